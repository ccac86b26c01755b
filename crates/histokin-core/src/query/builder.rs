//! Builds the examples of a query from a position, a region, annotations, a class or a whole slide.
//! The window and the command line both use this module, so the same query gives the same answer in both.
//!
//! Rules:
//! - a position selects the embedded tile under it, or else the tile of the slide's grid there;
//! - an area (region or annotation) selects the embedded tiles whose centre lies in it; an area that contains
//!   no tile centre selects the embedded tile under its middle;
//! - a class selects its annotations, minus what nested annotations of other classes cover;
//! - a point annotation selects the embedded tile under it; lines select nothing;
//! - a tile is either a positive or a negative example; the last assignment counts.

use std::borrow::Cow;
use std::path::Path;

use uuid::Uuid;

use super::{
    AnnotationsBySlide, Example, PatientNames, Patients, QueryError, QuerySettings, Region, Scope,
    ShownExample, TilePosition, points_of,
};
use crate::annotation::{Annotation, Nesting, Shape};
use crate::descriptors::{DescriptorSet, Recipe};
use crate::geometry::{Level0Point, Level0Rect, Stretch};
use crate::index::Snapshot;
use crate::number_format::decimal;
use crate::slide::SlideId;
use crate::tiling::TileGrid;

/// Maximum number of tiles taken for the points and small areas of one slide's annotations.
const MOST_POINTS: usize = 200;

/// Source of the slides' geometry; implementations may have to open the slide.
pub trait SlideGeometry {
    /// Returns the tile grid of a slide.
    ///
    /// # Errors
    /// A message for the user when the grid is not available.
    fn grid(&self, slide: &SlideId) -> Result<TileGrid, String>;

    /// Returns the extent of level 0.
    ///
    /// # Errors
    /// A message for the user when the extent is not known.
    fn extent(&self, slide: &SlideId) -> Result<Level0Rect, String>;
}

/// Reason why examples could not be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// Grid or extent of the slide is not available; carries the message of [`SlideGeometry`].
    #[error("{0}")]
    NoGeometry(String),
    /// The position lies outside the slide's tile grid.
    #[error(
        "there is no tile at x {}, y {}: the position is outside the slide's tile grid",
        decimal(*x, 0),
        decimal(*y, 0)
    )]
    OffGrid {
        /// Level-0 x of the position.
        x: f64,
        /// Level-0 y of the position.
        y: f64,
    },
    /// None of the annotations contains an embedded tile.
    #[error("these annotations contain no embedded tile: draw them over embedded tissue; lines have no area")]
    EmptyAnnotations,
    /// No annotation of the class with this name contains an embedded tile.
    #[error("no embedded tile lies within an annotation of the class {0:?}")]
    EmptyClass(String),
}

/// Builds examples from the embedded tiles of an index.
pub struct QueryBuilder<'a> {
    /// Embedded tiles to choose from.
    pub index: &'a Snapshot,
    /// Annotations of the slides.
    pub annotations: &'a AnnotationsBySlide,
    /// Grids and extents of slides, for tiles that are not embedded.
    pub slides: &'a dyn SlideGeometry,
}

impl QueryBuilder<'_> {
    /// Returns the tile under `at` as an example.
    ///
    /// # Errors
    /// When neither an embedded tile nor a tile of the grid lies there.
    pub fn tile(&self, slide: &SlideId, at: Level0Point) -> Result<ShownExample, BuildError> {
        if let Some(example) = self.embedded_tile(slide, at) {
            return Ok(example);
        }
        let grid = self.slides.grid(slide).map_err(BuildError::NoGeometry)?;
        let tile = grid.tile_at(at).ok_or(BuildError::OffGrid { x: at.x, y: at.y })?;
        Ok(tile_example(slide, grid.rect(tile)))
    }

    /// Returns the tiles of a region as an example.
    pub fn region(&self, slide: &SlideId, region: Region) -> ShownExample {
        let is_empty = self.set(slide).is_some_and(|set| region.rows(set).is_empty());
        let middle = || self.embedded_tile(slide, middle_of(&region));
        match is_empty.then(middle).flatten() {
            Some(tile) => tile,
            None => self.region_example(slide, region),
        }
    }

    /// Returns the tiles of a whole slide as an example.
    ///
    /// # Errors
    /// When the slide's extent is not known.
    pub fn whole_slide(&self, slide: &SlideId) -> Result<ShownExample, BuildError> {
        let extent = self.slides.extent(slide).map_err(BuildError::NoGeometry)?;
        Ok(self.region_example(slide, Region::Rect(extent)))
    }

    /// Returns the annotations of a slide with these ids as examples.
    ///
    /// # Errors
    /// When they contain no embedded tile.
    pub fn annotations(&self, slide: &SlideId, ids: &[Uuid]) -> Result<Vec<ShownExample>, BuildError> {
        let examples = match (self.annotations.get(slide), self.set(slide)) {
            (Some(annotations), Some(set)) => {
                let chosen = annotations.chosen(ids);
                let chosen: Vec<_> = chosen.iter().map(|one| (&**one, Cow::Borrowed(one.shape()))).collect();
                self.annotated(set, &chosen)
            }
            _ => Vec::new(),
        };
        if examples.is_empty() { Err(BuildError::EmptyAnnotations) } else { Ok(examples) }
    }

    /// Returns all annotations of a class as examples, on every slide of the index. The innermost of nested
    /// annotations decides the class, so areas covered by nested annotations of other classes are subtracted.
    ///
    /// # Errors
    /// When they contain no embedded tile.
    pub fn class(&self, name: &str) -> Result<Vec<ShownExample>, BuildError> {
        let of_slide = |set: &DescriptorSet| {
            let Some(annotations) = self.annotations.get(&set.header.slide_id) else { return Vec::new() };
            let (nesting, least) = (Nesting::of(annotations), set.header.tile_area_px2());
            let has_class = |one: &Annotation| one.class.as_ref().is_some_and(|class| class.name == name);
            let chosen = annotations.matching(has_class);
            let chosen: Vec<_> = chosen.iter().map(|one| (&**one, nesting.own_area(one, least))).collect();
            self.annotated(set, &chosen)
        };
        let examples: Vec<ShownExample> = self.index.sets().iter().flat_map(|set| of_slide(set)).collect();
        if examples.is_empty() { Err(BuildError::EmptyClass(name.to_owned())) } else { Ok(examples) }
    }

    /// Turns annotations of a slide, each given with its effective area, into examples: the areas that
    /// contain tile centres become one region; every other area and each point becomes the tile there.
    fn annotated(&self, set: &DescriptorSet, chosen: &[(&Annotation, Cow<Shape>)]) -> Vec<ShownExample> {
        let slide = &set.header.slide_id;
        let areas: Vec<Region> = chosen.iter().filter_map(|(_, area)| Region::of_shapes([&**area])).collect();
        let (large, small): (Vec<&Region>, Vec<&Region>) =
            areas.iter().partition(|region| !region.rows(set).is_empty());
        let region = Region::of_regions(large);
        let mut examples: Vec<ShownExample> =
            region.into_iter().map(|region| self.region_example(slide, region)).collect();
        let points = points_of(chosen.iter().map(|(one, _)| *one));
        for point in points.chain(small.into_iter().map(middle_of)).take(MOST_POINTS) {
            let tile = self.embedded_tile(slide, point);
            let is_new = |example: &ShownExample| !examples.contains(example);
            examples.extend(tile.filter(is_new));
        }
        examples
    }

    fn embedded_tile(&self, slide: &SlideId, at: Level0Point) -> Option<ShownExample> {
        let set = self.set(slide)?;
        Some(tile_example(slide, set.rect(set.row_at(at)?)))
    }

    /// Returns a region as an example. Its thumbnail shows the square (in µm) around it, as thumbnails are
    /// square.
    fn region_example(&self, slide: &SlideId, region: Region) -> ShownExample {
        let stretch = Stretch::of(self.set(slide).map(|set| set.header.level0_mpp()));
        let bounds = region.bounds();
        let (across, down) = stretch.extent((bounds.width.into(), bounds.height.into()));
        let edge = |stretch: f64| (across.max(down) / stretch).round().clamp(1.0, f64::from(u32::MAX)) as u32;
        let (width, height) = (edge(stretch.x), edge(stretch.y));
        let center = bounds.center();
        let (x, y) = (center.x - f64::from(width) / 2.0, center.y - f64::from(height) / 2.0);
        let rect = Level0Rect::new(x as i64, y as i64, width, height);
        let position = Some(TilePosition { slide: slide.clone(), rect });
        ShownExample { example: Example::Region { slide: slide.clone(), region }, position }
    }

    fn set(&self, slide: &SlideId) -> Option<&DescriptorSet> {
        Some(&self.index.sets()[self.index.set_index(slide)? as usize])
    }
}

/// Returns the centre of a region's bounds or, if that lies outside the region, the corner nearest to it.
pub fn middle_of(region: &Region) -> Level0Point {
    let middle = region.bounds().center();
    let corners: Vec<Level0Point> = match region {
        Region::Rect(_) => return middle,
        Region::Outline(corners) => corners.clone(),
        Region::Areas(areas) => areas.iter().flatten().flatten().copied().collect(),
    };
    let nearest = corners.into_iter().min_by(|a, b| a.distance_px(middle).total_cmp(&b.distance_px(middle)));
    nearest.filter(|_| !region.contains(middle)).unwrap_or(middle)
}

/// Returns a tile as an example.
pub fn tile_example(slide: &SlideId, rect: Level0Rect) -> ShownExample {
    let example = Example::Tile { slide: slide.clone(), at: rect.center() };
    ShownExample { example, position: Some(TilePosition { slide: slide.clone(), rect }) }
}

/// Adds `example` to the list `to` and removes it from the list `off`, since a tile is either a positive or a
/// negative example.
pub fn put_example(to: &mut Vec<ShownExample>, off: &mut Vec<ShownExample>, example: ShownExample) {
    off.retain(|known| known.position != example.position);
    if !to.iter().any(|known| known.position == example.position && known.example == example.example) {
        to.push(example);
    }
}

/// Adapts settings to a query by a whole slide: slides are ranked, and a scope of only the query's slide is
/// widened to all other slides, since all tiles of the query's slide are examples and therefore excluded.
pub fn rank_whole_slides(settings: &mut QuerySettings) {
    settings.rank_slides = true;
    if settings.scope == Scope::Same {
        settings.scope = Scope::Others;
    }
}

/// Returns the slides that both the patient restriction and the list of slides allow, or `None` when neither
/// restricts the search. `own` is the file of the query's slide; `slides` are the project's slides and their
/// files.
pub fn slides_among<'a>(
    (patients, names): (Patients, &PatientNames),
    own: Option<&Path>,
    slides: impl Iterator<Item = (&'a SlideId, &'a Path)>,
    listed: Option<&[SlideId]>,
) -> Option<Vec<SlideId>> {
    let is_listed = |slide: &SlideId| listed.is_none_or(|listed| listed.contains(slide));
    match own.filter(|_| patients != Patients::Any) {
        Some(own) => Some(
            slides
                .filter(|(slide, path)| is_listed(slide) && patients.accept(names, own, path))
                .map(|(slide, _)| slide.clone())
                .collect(),
        ),
        None => listed.map(<[SlideId]>::to_vec),
    }
}

/// Returns the first tile among `examples` that must be embedded to resolve `problem`: a tile of the slide
/// that the problem names and that is not embedded.
pub fn missing_tile<'a>(
    index: &Snapshot,
    examples: impl IntoIterator<Item = &'a ShownExample>,
    problem: &QueryError,
) -> Option<TilePosition> {
    let (QueryError::NotEmbedded(wanted) | QueryError::NoTileThere { slide: wanted, .. }) = problem else {
        return None;
    };
    let is_embedded = |slide: &SlideId, at: Level0Point| {
        index.set_index(slide).is_some_and(|set| index.sets()[set as usize].row_at(at).is_some())
    };
    examples.into_iter().find_map(|shown| match &shown.example {
        Example::Tile { slide, at } if slide == wanted && !is_embedded(slide, *at) => shown.position.clone(),
        _ => None,
    })
}

/// Replaces the examples that are the tile at `position` with its descriptor, which was computed by `recipe`.
pub fn use_descriptor<'a>(
    examples: impl IntoIterator<Item = &'a mut ShownExample>,
    position: &TilePosition,
    name: &str,
    recipe: &Recipe,
    descriptor: &[f32],
) {
    for shown in examples {
        if shown.position.as_ref() == Some(position) && matches!(shown.example, Example::Tile { .. }) {
            shown.example = Example::Descriptors {
                name: name.to_owned(),
                position: Some(position.clone()),
                descriptors: vec![descriptor.to_vec()],
                recipe: Some(recipe.short_id()),
                file: None,
            };
        }
    }
}
