//! Pairs as pictures, for people to look at.

use std::sync::atomic::AtomicUsize;

use image::RgbImage;

use super::TrainingError;
use super::config::{Method, TrainingConfig};
use super::loader::{Batch, BatchSource};
use super::pairs::{PairSampler, Relation, TileRef};
use super::slides::TrainingSlide;
use super::tile_reader::TileReader;
use histokin_core::geometry::Level0Rect;
use histokin_core::slide::SlideId;
use histokin_core::stain::{LabStatistics, StainSetting};

/// Pairs shown at once.
const SHOWN_PAIRS: usize = 6;

/// Pairs of a preview.
const PREVIEWED_PAIRS: usize = 12;

/// A pair as the network saw it.
#[derive(Debug, Clone)]
pub struct ShownPair {
    pub pictures: [RgbImage; 2],
    /// Slide and level-0 rectangle of both.
    pub places: [(SlideId, Level0Rect); 2],
    pub relation: Relation,
    /// `None` for pairs from the user's marks.
    pub distance_mm: Option<f64>,
    /// `None` before the network has seen them.
    pub descriptor_distance: Option<f32>,
}

fn place(slides: &[TrainingSlide], tile: &TileRef) -> (SlideId, Level0Rect) {
    (slides[tile.slide].source.info().id.clone(), tile.rect)
}

/// The first pairs of a batch, with their distances.
pub(super) fn shown_pairs(batch: &Batch, distances: &[f32], slides: &[TrainingSlide]) -> Vec<ShownPair> {
    let mut first_tile = 0;
    let mut shown = Vec::new();
    let mut distances = distances.iter();
    for group in &batch.groups {
        for pair in &group.pairs {
            let Some(distance) = distances.next() else { return shown };
            let picture = |place: usize| batch.tiles[first_tile + place].clone();
            if shown.len() < SHOWN_PAIRS {
                shown.push(ShownPair {
                    pictures: [picture(pair.first), picture(pair.second)],
                    places: [pair.first, pair.second].map(|of| place(slides, &group.tiles[of])),
                    relation: pair.relation,
                    distance_mm: pair.distance_mm,
                    descriptor_distance: Some(*distance),
                });
            }
        }
        first_tile += group.tiles.len();
    }
    shown
}

/// Some pairs as the first steps of a run would see them, to look at before it is begun.
///
/// # Errors
/// As [`super::train`], when nothing can be drawn or read.
pub fn preview(
    slides: &[TrainingSlide],
    config: &TrainingConfig,
    stain_reference: LabStatistics,
) -> Result<Vec<ShownPair>, TrainingError> {
    let config = TrainingConfig { method: Method::Siamese, batch: PREVIEWED_PAIRS, ..config.clone() };
    let (sampler, _) = PairSampler::new(slides, Vec::new(), &config)?;
    let reader = TileReader::new((config.stain == StainSetting::Lab).then_some(stain_reference));
    let limit = AtomicUsize::new(usize::MAX);
    let source = BatchSource { slides, sampler: &sampler, config: &config, reader: &reader, limit: &limit };
    let batch = source.batch(0)?;
    let mut tiles = batch.tiles.into_iter();
    let mut shown = Vec::new();
    for group in &batch.groups {
        let pictures: Vec<RgbImage> = tiles.by_ref().take(group.tiles.len()).collect();
        shown.extend(group.pairs.iter().map(|pair| ShownPair {
            pictures: [pair.first, pair.second].map(|of| pictures[of].clone()),
            places: [pair.first, pair.second].map(|of| place(slides, &group.tiles[of])),
            relation: pair.relation,
            distance_mm: pair.distance_mm,
            descriptor_distance: None,
        }));
    }
    Ok(shown)
}
