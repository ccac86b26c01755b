//! Which tiles of one slide are embedded: the project's tissue settings together with the slide's annotations.

use sha2::{Digest, Sha256};

use crate::project::Project;
use histokin_core::annotation::{Annotation, AnnotationError, AnnotationSet};
use histokin_core::descriptors::hex;
use histokin_core::geometry::Level0Rect;
use histokin_core::query::Region;
use histokin_core::query::builder::middle_of;
use histokin_core::slide::{SlideId, SlideInfo};
use histokin_core::tiling::{TileGrid, TileIndex};
use histokin_core::tissue::selection::{self, NoTiles};
use histokin_core::tissue::{TissueMask, TissueSettings, Within};

/// What selects the tiles of a slide.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TileSelection {
    settings: TissueSettings,
    /// The areas within which tiles are embedded; nothing where they are embedded everywhere.
    areas: Option<Vec<Region>>,
}

impl TileSelection {
    /// The selection by `settings`; `annotations` are those of the slide, which matter only where settings name some.
    pub fn new(settings: TissueSettings, annotations: Option<&AnnotationSet>) -> Self {
        let areas = settings.within.as_ref().map(|within| {
            let is_meant = |one: &&Annotation| match within {
                Within::Annotated => true,
                Within::Class(name) => one.class.as_ref().is_some_and(|class| class.name == *name),
                Within::Annotation(id) => one.id == *id,
            };
            let all = annotations.into_iter().flat_map(AnnotationSet::iter).map(|one| &**one);
            all.filter(is_meant).filter_map(|one| Region::of_annotations([one])).collect()
        });
        Self { settings, areas }
    }

    /// The selection of a slide of a project; annotations are read where they matter.
    ///
    /// # Errors
    /// When the annotations cannot be read.
    pub fn of_slide(project: &Project, slide: &SlideId) -> Result<Self, AnnotationError> {
        let settings = project.settings().tissue.clone();
        if settings.within.is_none() {
            return Ok(Self::new(settings, None));
        }
        let loaded = project.annotations().load(slide)?;
        Ok(Self::new(settings, Some(&loaded.set)))
    }

    pub fn settings(&self) -> &TissueSettings {
        &self.settings
    }

    /// Stands for this selection in descriptor files; nothing for the usual settings, which is also what files hold
    /// that were written before there were any.
    pub fn id(&self) -> Option<String> {
        if self.settings.is_default() {
            return None;
        }
        let text = serde_json::to_vec(&(&self.settings, &self.areas)).ok()?;
        Some(hex(&Sha256::digest(text))[..12].to_owned())
    }

    /// The selected tiles of `grid`, in order.
    pub fn tiles(&self, mask: &TissueMask, grid: &TileGrid) -> Vec<TileIndex> {
        let mut tiles = selection::tiles(mask, grid, &self.settings);
        if let Some(areas) = &self.areas {
            let within = self.within(areas, grid);
            tiles.retain(|tile| within[tile.0 as usize]);
        }
        tiles
    }

    /// Why no tile is selected.
    pub fn why_none(&self, mask: &TissueMask, grid: &TileGrid, info: &SlideInfo) -> NoTiles {
        let has_tissue = !selection::tiles(mask, grid, &self.settings).is_empty();
        let within = self.settings.within.as_ref().filter(|_| has_tissue).map(ToString::to_string);
        NoTiles::explain((mask, grid, info), &self.settings, within)
    }

    /// For each tile of the grid whether its centre lies within an area; an area that holds no tile's centre counts
    /// for the tile under its middle.
    fn within(&self, areas: &[Region], grid: &TileGrid) -> Vec<bool> {
        let rects: Vec<Level0Rect> = grid.tiles().map(|tile| grid.rect(tile)).collect();
        let mut within = vec![false; rects.len()];
        for area in areas {
            let bounds = area.bounds();
            let mut is_empty = true;
            for (rect, is_in) in rects.iter().zip(&mut within) {
                if bounds.intersection(rect).is_some() && area.contains(rect.center()) {
                    (*is_in, is_empty) = (true, false);
                }
            }
            if is_empty && let Some(tile) = grid.tile_at(middle_of(area)) {
                within[tile.0 as usize] = true;
            }
        }
        within
    }
}
