//! Pairs as images, for display.

use std::sync::atomic::AtomicUsize;

use image::RgbImage;

use super::TrainingError;
use super::config::{Method, TrainingConfig};
#[cfg(feature = "torch")]
use super::loader::Batch;
use super::loader::BatchSource;
use super::pairs::{PairSampler, Relation, TileRef};
use super::slides::TrainingSlide;
use super::tile_reader::TileReader;
use histokin_core::geometry::Level0Rect;
use histokin_core::slide::SlideId;
use histokin_core::stain::{LabStatistics, StainSetting};

/// Number of pairs shown at once.
#[cfg(feature = "torch")]
const SHOWN_PAIRS: usize = 6;

/// Number of pairs in a preview.
const PREVIEWED_PAIRS: usize = 12;

/// A pair as the network saw it.
#[derive(Debug, Clone)]
pub struct ShownPair {
    /// Pixels of both tiles, after augmentation.
    pub pictures: [RgbImage; 2],
    /// Slide and level-0 rectangle of both tiles.
    pub tiles: [(SlideId, Level0Rect); 2],
    /// Whether they are a near or a far pair.
    pub relation: Relation,
    /// Distance of their centres in mm; `None` for pairs judged by the user.
    pub distance_mm: Option<f64>,
    /// Descriptor distance; `None` in a preview.
    pub descriptor_distance: Option<f32>,
}

fn location(slides: &[TrainingSlide], tile: &TileRef) -> (SlideId, Level0Rect) {
    (slides[tile.slide].source.info().id.clone(), tile.rect)
}

/// Returns the first pairs of a batch, with their distances; none where features are kept instead of images.
#[cfg(feature = "torch")]
pub(super) fn shown_pairs(batch: &Batch, distances: &[f32], slides: &[TrainingSlide]) -> Vec<ShownPair> {
    let mut first_tile = 0;
    let mut shown = Vec::new();
    if batch.tiles.is_empty() {
        return shown;
    }
    let mut distances = distances.iter();
    for group in &batch.groups {
        for pair in &group.pairs {
            let Some(distance) = distances.next() else { return shown };
            let picture = |index: usize| batch.tiles[first_tile + index].clone();
            if shown.len() < SHOWN_PAIRS {
                shown.push(ShownPair {
                    pictures: [picture(pair.first), picture(pair.second)],
                    tiles: [pair.first, pair.second].map(|of| location(slides, &group.tiles[of])),
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

/// Draws and reads some pairs, as the first step of a run would.
///
/// # Errors
/// Returns an error as [`super::train`] does, if nothing can be drawn or read.
pub fn preview(
    slides: &[TrainingSlide],
    config: &TrainingConfig,
    stain_reference: LabStatistics,
) -> Result<Vec<ShownPair>, TrainingError> {
    let config = TrainingConfig { method: Method::Siamese, batch: PREVIEWED_PAIRS, ..config.clone() };
    let (sampler, _) = PairSampler::new(slides, Vec::new(), &config)?;
    let reader = TileReader::new((config.stain == StainSetting::Lab).then_some(stain_reference));
    let limit = AtomicUsize::new(usize::MAX);
    let (sampler, reader, limit) = (&sampler, &reader, &limit);
    let source = BatchSource { slides, sampler, config: &config, reader, limit, kept: None };
    let batch = source.batch(0)?;
    let mut tiles = batch.tiles.into_iter();
    let mut shown = Vec::new();
    for group in &batch.groups {
        let pictures: Vec<RgbImage> = tiles.by_ref().take(group.tiles.len()).collect();
        shown.extend(group.pairs.iter().map(|pair| ShownPair {
            pictures: [pair.first, pair.second].map(|of| pictures[of].clone()),
            tiles: [pair.first, pair.second].map(|of| location(slides, &group.tiles[of])),
            relation: pair.relation,
            distance_mm: pair.distance_mm,
            descriptor_distance: None,
        }));
    }
    Ok(shown)
}
