//! Images of the best and worst queries with their answers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

use super::super::comparison::Target;
use super::super::retrieval::{Measure, QueryOutcome};
use super::super::sample::Sample;
use histokin_core::slide::SlideSource;
use histokin_core::tiling::read_tile_as_shown;
use histokin_project::project::Project;

/// Number of queries in each gallery.
const QUERIES: usize = 4;
/// Number of answers shown for a query.
pub const SHOWN_ANSWERS: usize = 6;

/// Width and height of a tile image in pixels.
pub const EDGE: u32 = 112;

/// Reads images of tiles from the slides of a project. Only tiles are read, never a slide's label image.
pub struct Pictures<'a> {
    project: &'a Project,
    /// Opened slides by index in the sample; `None` if a slide cannot be opened.
    open: RefCell<HashMap<u32, Option<Arc<dyn SlideSource>>>>,
}

impl<'a> Pictures<'a> {
    /// Creates a reader for the slides of a project; slides are opened when needed.
    pub fn of_project(project: &'a Project) -> Self {
        Self { project, open: RefCell::new(HashMap::new()) }
    }

    /// Reads a tile, scaled to 112 × 112 pixels; `None` if it cannot be read.
    pub fn tile(&self, sample: &Sample, tile: u32) -> Option<RgbImage> {
        let rect = sample.rects.get(tile as usize)?;
        let slide = sample.tiles.slides[tile as usize];
        let mut open = self.open.borrow_mut();
        let source = open.entry(slide).or_insert_with(|| self.open_slide(sample, slide)).clone()?;
        read_tile_as_shown(source.as_ref(), rect, EDGE).ok()
    }

    /// Reads a tile as a JPEG; `None` if it cannot be read.
    pub fn jpeg(&self, sample: &Sample, tile: u32) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 82).encode_image(&self.tile(sample, tile)?).ok()?;
        Some(bytes)
    }

    fn open_slide(&self, sample: &Sample, slide: u32) -> Option<Arc<dyn SlideSource>> {
        let entry = self.project.find_slide(&sample.slides[slide as usize].id).ok()?;
        self.project.open_slide_as_shown(entry).ok()
    }
}

/// Returns the best and the worst queries, at most two of one slide.
pub fn extremes(target: &Target, sample: &Sample) -> [Vec<QueryOutcome>; 2] {
    let mut order: Vec<&QueryOutcome> = target.retrieval.queries.iter().collect();
    let merit = |query: &QueryOutcome| {
        query.precision(SHOWN_ANSWERS) + 0.1 * query.value(Measure::Map).unwrap_or(0.0)
    };
    order.sort_by(|a, b| merit(b).total_cmp(&merit(a)).then(a.tile.cmp(&b.tile)));
    let best = first_few(order.iter().copied(), sample);
    let worst = first_few(order.iter().rev().copied(), sample);
    [best, worst]
}

/// Returns the first queries, at most two of one slide.
fn first_few<'a>(order: impl Iterator<Item = &'a QueryOutcome>, sample: &Sample) -> Vec<QueryOutcome> {
    let mut of_slide: HashMap<u32, usize> = HashMap::new();
    order
        .filter(|query| {
            let taken = of_slide.entry(sample.tiles.slides[query.tile as usize]).or_default();
            *taken += 1;
            *taken <= 2
        })
        .take(QUERIES)
        .cloned()
        .collect()
}
