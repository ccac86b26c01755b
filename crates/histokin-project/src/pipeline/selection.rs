//! Selection of the tiles of a slide to embed, by the project's tissue settings and the slide's annotations.

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

/// Selects the tiles of a slide that are embedded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TileSelection {
    settings: TissueSettings,
    /// Areas within which tiles are embedded; `None` for no restriction.
    areas: Option<Vec<Region>>,
}

impl TileSelection {
    /// Creates the selection by `settings`. `annotations` are those of the slide; they are used only if the
    /// settings refer to annotations.
    pub fn new(settings: TissueSettings, annotations: Option<&AnnotationSet>) -> Self {
        let areas = settings.within.as_ref().map(|within| {
            let is_chosen = |one: &Annotation| match within {
                Within::Annotated => true,
                Within::Class(name) => one.class.as_ref().is_some_and(|class| class.name == *name),
                Within::Annotation(id) => one.id == *id,
            };
            let all = annotations.into_iter().flat_map(AnnotationSet::iter);
            all.filter(|one| is_chosen(one)).filter_map(|one| Region::of_annotations([&*one])).collect()
        });
        Self { settings, areas }
    }

    /// Creates the selection for a slide of a project; annotations are read only if the settings refer to
    /// them.
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

    /// Returns the tissue settings.
    pub fn settings(&self) -> &TissueSettings {
        &self.settings
    }

    /// Returns the identifier of this selection in descriptor files; `None` for the default settings, as in
    /// files of earlier versions, which had no such settings.
    pub fn id(&self) -> Option<String> {
        if self.settings.is_default() {
            return None;
        }
        let text = serde_json::to_vec(&(&self.settings, &self.areas)).ok()?;
        Some(hex(&Sha256::digest(text))[..12].to_owned())
    }

    /// Returns the selected tiles of `grid`, in order.
    pub fn tiles(&self, mask: &TissueMask, grid: &TileGrid) -> Vec<TileIndex> {
        let mut tiles = selection::tiles(mask, grid, &self.settings);
        if let Some(areas) = &self.areas {
            let within = self.within(areas, grid);
            tiles.retain(|tile| within[tile.0 as usize]);
        }
        tiles
    }

    /// Returns the reason why no tile is selected.
    pub fn why_none(&self, mask: &TissueMask, grid: &TileGrid, info: &SlideInfo) -> NoTiles {
        let has_tissue = !selection::tiles(mask, grid, &self.settings).is_empty();
        let within = self.settings.within.as_ref().filter(|_| has_tissue).map(ToString::to_string);
        NoTiles::explain((mask, grid, info), &self.settings, within)
    }

    /// Returns, for each tile of the grid, whether its centre lies within an area. An area that contains no
    /// tile centre selects the tile under its middle.
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
