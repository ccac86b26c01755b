//! Builds the examples of a query from what a person names: a place, a region, annotations, a class, a whole slide.
//! The window and the command line both call this code, so that the same question has the same answer.
//!
//! Rules:
//! - a place stands for the embedded tile under it, else for the tile of the slide's grid there;
//! - an area (region or annotation) stands for the embedded tiles whose centre lies in it; an area that holds no
//!   tile centre stands for the embedded tile under its middle;
//! - a class stands for its annotations without what other classes cover below them;
//! - a point annotation stands for the embedded tile under it; lines stand for nothing;
//! - a tile is either an example or a counterexample: what was said last counts.

use std::borrow::Cow;
use std::path::Path;

use uuid::Uuid;

use super::{
    Example, Marks, PatientNames, Patients, QueryError, QuerySettings, Region, Scope, ShownExample,
    TilePlace, points_of,
};
use crate::annotation::{Annotation, Nesting, Shape};
use crate::descriptors::DescriptorSet;
use crate::geometry::{Level0Point, Level0Rect, Stretch};
use crate::index::Snapshot;
use crate::slide::SlideId;
use crate::tiling::TileGrid;

/// The most tiles that stand for points and small areas of the annotations of one slide.
const MOST_POINTS: usize = 200;

/// Where the slides' geometry comes from; a slide may have to be opened for it.
pub trait SlideGeometry {
    /// The tile grid of a slide.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn grid(&self, slide: &SlideId) -> Result<TileGrid, String>;

    /// The extent of level 0.
    ///
    /// # Errors
    /// Why it is not known, in words.
    fn extent(&self, slide: &SlideId) -> Result<Level0Rect, String>;
}

/// Why examples cannot be made of what was named.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BuildError {
    #[error("{0}")]
    NoGeometry(String),
    #[error("there is no tile at x {x:.0}, y {y:.0}: the place is outside the slide's tile grid")]
    OffGrid { x: f64, y: f64 },
    #[error(
        "these annotations hold no embedded tile to look for: draw them over embedded tissue; lines have no inside"
    )]
    EmptyAnnotations,
    #[error("no embedded tile lies within an annotation of the class {0:?}")]
    EmptyClass(String),
}

/// Builds examples against an index.
pub struct QueryBuilder<'a> {
    pub index: &'a Snapshot,
    pub marks: &'a Marks,
    pub slides: &'a dyn SlideGeometry,
}

impl QueryBuilder<'_> {
    /// The tile under `at`.
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

    /// The tiles of a region.
    pub fn region(&self, slide: &SlideId, region: Region) -> ShownExample {
        let is_empty = self.set(slide).is_some_and(|set| region.rows(set).is_empty());
        let middle = || self.embedded_tile(slide, middle_of(&region));
        match is_empty.then(middle).flatten() {
            Some(tile) => tile,
            None => self.region_example(slide, region),
        }
    }

    /// The tiles of a whole slide.
    ///
    /// # Errors
    /// When the slide's extent is not known.
    pub fn whole_slide(&self, slide: &SlideId) -> Result<ShownExample, BuildError> {
        let extent = self.slides.extent(slide).map_err(BuildError::NoGeometry)?;
        Ok(self.region_example(slide, Region::Rect(extent)))
    }

    /// The annotations of a slide with these ids.
    ///
    /// # Errors
    /// When they hold no embedded tile.
    pub fn annotations(&self, slide: &SlideId, ids: &[Uuid]) -> Result<Vec<ShownExample>, BuildError> {
        let examples = match (self.marks.get(slide), self.set(slide)) {
            (Some(marks), Some(set)) => {
                let meant = marks.iter().filter(|one| ids.contains(&one.id));
                let meant: Vec<_> = meant.map(|one| (&**one, Cow::Borrowed(one.shape()))).collect();
                self.annotated(set, &meant)
            }
            _ => Vec::new(),
        };
        if examples.is_empty() { Err(BuildError::EmptyAnnotations) } else { Ok(examples) }
    }

    /// All annotations of a class, on every slide of the index. Of nested annotations the innermost class counts:
    /// what other classes cover below an annotation is none of its class.
    ///
    /// # Errors
    /// When they hold no embedded tile.
    pub fn class(&self, name: &str) -> Result<Vec<ShownExample>, BuildError> {
        let of_slide = |set: &DescriptorSet| {
            let Some(marks) = self.marks.get(&set.header.slide_id) else { return Vec::new() };
            let (nesting, least) = (Nesting::of(marks), set.header.tile_area_px2());
            let is_meant = |one: &Annotation| one.class.as_ref().is_some_and(|class| class.name == name);
            let meant = marks.iter().map(|one| &**one).filter(|one| is_meant(one));
            let meant: Vec<_> = meant.map(|one| (one, nesting.own_area(one, least))).collect();
            self.annotated(set, &meant)
        };
        let examples: Vec<ShownExample> = self.index.sets().iter().flat_map(|set| of_slide(set)).collect();
        if examples.is_empty() { Err(BuildError::EmptyClass(name.to_owned())) } else { Ok(examples) }
    }

    /// Annotations of a slide, each with the area that it stands for: the areas that hold tile centres as one region,
    /// every other area and each point as the tile there.
    fn annotated(&self, set: &DescriptorSet, meant: &[(&Annotation, Cow<Shape>)]) -> Vec<ShownExample> {
        let slide = &set.header.slide_id;
        let areas: Vec<Region> = meant.iter().filter_map(|(_, area)| Region::of_shapes([&**area])).collect();
        let (large, small): (Vec<&Region>, Vec<&Region>) =
            areas.iter().partition(|region| !region.rows(set).is_empty());
        let region = Region::of_regions(large);
        let mut examples: Vec<ShownExample> =
            region.into_iter().map(|region| self.region_example(slide, region)).collect();
        let points = points_of(meant.iter().map(|(one, _)| *one));
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

    /// A region as an example, shown by the square of µm around it, as the pictures of tiles are square.
    fn region_example(&self, slide: &SlideId, region: Region) -> ShownExample {
        let stretch = Stretch::of(self.set(slide).map(|set| set.header.level0_mpp()));
        let bounds = region.bounds();
        let (across, down) = stretch.extent((bounds.width.into(), bounds.height.into()));
        let edge = |stretch: f64| (across.max(down) / stretch).round().clamp(1.0, f64::from(u32::MAX)) as u32;
        let (width, height) = (edge(stretch.x), edge(stretch.y));
        let center = bounds.center();
        let (x, y) = (center.x - f64::from(width) / 2.0, center.y - f64::from(height) / 2.0);
        let rect = Level0Rect::new(x as i64, y as i64, width, height);
        let place = Some(TilePlace { slide: slide.clone(), rect });
        ShownExample { example: Example::Region { slide: slide.clone(), region }, place }
    }

    fn set(&self, slide: &SlideId) -> Option<&DescriptorSet> {
        Some(&self.index.sets()[self.index.place(slide)? as usize])
    }
}

/// The middle of a region's bounds, or, where that lies outside of the region, the corner next to it.
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

/// A tile as an example.
pub fn tile_example(slide: &SlideId, rect: Level0Rect) -> ShownExample {
    let example = Example::Tile { slide: slide.clone(), at: rect.center() };
    ShownExample { example, place: Some(TilePlace { slide: slide.clone(), rect }) }
}

/// Add `example` to one of two lists, and take it off the other: a tile is either like the matches or not.
pub fn put_example(to: &mut Vec<ShownExample>, off: &mut Vec<ShownExample>, example: ShownExample) {
    off.retain(|known| known.place != example.place);
    if !to.iter().any(|known| known.place == example.place && known.example == example.example) {
        to.push(example);
    }
}

/// Change settings as a query by a whole slide needs them: the slides are ranked, and the query's own slide, all of
/// whose tiles ask, cannot be the only one searched.
pub fn rank_whole_slides(settings: &mut QuerySettings) {
    settings.rank_slides = true;
    if settings.scope == Scope::Same {
        settings.scope = Scope::Others;
    }
}

/// The slides that may hold matches where patients decide and slides are listed: those that both allow. `own` is the
/// file of the query's slide, `slides` are the project's slides and their files.
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

/// The first tile among `examples` that has to be described before `problem` is solved: a tile of that slide that
/// is not embedded.
pub fn missing_tile<'a>(
    index: &Snapshot,
    examples: impl IntoIterator<Item = &'a ShownExample>,
    problem: &QueryError,
) -> Option<TilePlace> {
    let (QueryError::NotEmbedded(wanted) | QueryError::NoTileThere { slide: wanted, .. }) = problem else {
        return None;
    };
    let is_embedded = |slide: &SlideId, at: Level0Point| {
        index.place(slide).is_some_and(|place| index.sets()[place as usize].row_at(at).is_some())
    };
    examples.into_iter().find_map(|shown| match &shown.example {
        Example::Tile { slide, at } if slide == wanted && !is_embedded(slide, *at) => shown.place.clone(),
        _ => None,
    })
}

/// Replace the examples that are the tile at `place` by its descriptor.
pub fn use_descriptor<'a>(
    examples: impl IntoIterator<Item = &'a mut ShownExample>,
    place: &TilePlace,
    name: &str,
    descriptor: &[f32],
) {
    for shown in examples {
        if shown.place.as_ref() == Some(place) && matches!(shown.example, Example::Tile { .. }) {
            shown.example = Example::Descriptors {
                name: name.to_owned(),
                place: Some(place.clone()),
                descriptors: vec![descriptor.to_vec()],
                file: None,
            };
        }
    }
}
