//! Pictures of queries with their answers: those that went best and those that went worst.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

use super::super::comparison::Target;
use super::super::retrieval::{Measure, QueryOutcome};
use super::super::sample::Sample;
use histokin_core::slide::SlideSource;
use histokin_core::tiling::read_tile;
use histokin_project::project::Project;

/// Rows of each gallery, and answers in a row.
const QUERIES: usize = 4;
pub const SHOWN_ANSWERS: usize = 6;

/// Edge of a picture, in pixels.
pub const EDGE: u32 = 112;

/// Where pictures of tiles come from. Only tiles are read, never a slide's label.
pub struct Pictures<'a> {
    project: &'a Project,
    /// By place in the sample; none where the slide cannot be opened.
    open: RefCell<HashMap<u32, Option<Arc<dyn SlideSource>>>>,
}

impl<'a> Pictures<'a> {
    pub fn of_project(project: &'a Project) -> Self {
        Self { project, open: RefCell::new(HashMap::new()) }
    }

    /// The pixels of a tile, 112 pixels wide; none where it cannot be read.
    pub fn tile(&self, sample: &Sample, tile: u32) -> Option<RgbImage> {
        let rect = sample.rects.get(tile as usize)?;
        let place = sample.tiles.slides[tile as usize];
        let mut open = self.open.borrow_mut();
        let source = open.entry(place).or_insert_with(|| self.open_slide(sample, place)).clone()?;
        read_tile(source.as_ref(), rect, EDGE).ok()
    }

    /// A tile as a JPEG; none where it cannot be read.
    pub fn jpeg(&self, sample: &Sample, tile: u32) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 82).encode_image(&self.tile(sample, tile)?).ok()?;
        Some(bytes)
    }

    fn open_slide(&self, sample: &Sample, place: u32) -> Option<Arc<dyn SlideSource>> {
        let entry = self.project.find_slide(&sample.slides[place as usize].id).ok()?;
        self.project.open_slide(entry).ok()
    }
}

/// The queries that went best and those that went worst, at most two of one slide.
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
