//! Stain robustness: slides are changed as if they had been stained slightly differently, and it is measured
//! whether a tile then still finds the same tissue.
//!
//! The whole slide is changed before stain normalisation, so the complete chain from the scan to the
//! descriptor is tested.

use image::RgbaImage;
use rayon::prelude::*;
use serde::Serialize;

use super::Exclude;
use super::health;
use super::intervals::Resampling;
use super::retrieval::{Figure, ratio};
use super::sample::{EncoderDescriptors, Sample};
use histokin_core::descriptors::Recipe;
use histokin_core::geometry::LevelRect;
use histokin_core::index::squared_distance;
use histokin_core::slide::{SlideError, SlideInfo, SlideSource};
use histokin_core::stain::StainVectors;
use histokin_core::stain::separation::Separation;
use histokin_core::tissue::ColouredTissue;
use histokin_encoder::Encoder;
use histokin_project::pipeline::{EmbedError, embed_tiles};
use histokin_project::project::{Project, ProjectError};

/// Factors of haematoxylin and eosin: each separately a quarter stronger and a fifth weaker, about the
/// difference between batches of one laboratory.
const CHANGES: [[f32; 2]; 4] = [[1.25, 1.0], [0.8, 1.0], [1.0, 1.25], [1.0, 0.8]];

/// Maximum number of tiles that are searched, drawn at random.
const POOL: usize = 50_000;

/// Effect of stain changes on retrieval, over all tiles and changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StainRobustness {
    /// Number of tiles that were embedded again, under each of four changes.
    pub tiles: usize,
    /// Share of cases in which the nearest tile of other slides (or patients) is the same as without the
    /// change.
    pub nearest_stays: Figure,
    /// Share of cases in which the unchanged tile is the nearest of all tiles.
    pub finds_itself: Figure,
}

/// An error of a stain robustness measurement.
#[derive(Debug, thiserror::Error)]
pub enum StainChangeError {
    /// A slide cannot be opened or read.
    #[error(transparent)]
    Slide(#[from] SlideError),
    /// The project has no such slide.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// The tiles cannot be embedded.
    #[error(transparent)]
    Embed(#[from] EmbedError),
}

/// Settings of a stain robustness measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StainSettings {
    /// Number of tiles to embed again, drawn at random from the labelled tiles, or from all without labels; 0
    /// skips the measurement.
    pub tiles: usize,
    /// Tiles that are excluded from the answers.
    pub exclude: Exclude,
    /// Seed for drawing tiles.
    pub seed: u64,
}

/// Embeds some tiles of `sample` again with `encoder` and `recipe`, under each stain change, and finds their
/// nearest tiles in `descriptors`.
///
/// `progress` receives the share (0 to 1) that is done and returns whether to continue. The result is `None`
/// if `progress` returned false, or if the sample has no slides to read.
///
/// # Errors
/// When a slide cannot be read or the encoder fails.
#[expect(clippy::too_many_arguments, reason = "inputs, settings and progress are independent")]
pub fn measure(
    project: &Project,
    sample: &Sample,
    descriptors: &EncoderDescriptors,
    encoder: &mut dyn Encoder,
    recipe: &Recipe,
    settings: &StainSettings,
    resampling: &Resampling,
    progress: &mut dyn FnMut(f64) -> bool,
) -> Result<Option<StainRobustness>, StainChangeError> {
    if settings.tiles == 0 || sample.rects.len() != sample.tiles.len() {
        return Ok(None);
    }
    let chosen = choose(sample, settings);
    let pool = health::sample(sample.tiles.len(), POOL, settings.seed);
    let found = Nearest { sample, descriptors, exclude: settings.exclude, pool: &pool };
    let slides = chosen.chunk_by(|a, b| slide_of(sample, *a) == slide_of(sample, *b));
    // For each slide and each of the two criteria: number of cases in which it held, and number of cases.
    let mut sums: [Vec<(f64, u32)>; 2] = Default::default();
    let mut done = 0;
    for rows in slides {
        let entry = project.find_slide(&sample.slides[slide_of(sample, rows[0]) as usize].id)?;
        let source = project.open_slide(entry)?;
        let tissue = ColouredTissue::of(source.as_ref())?;
        let rects: Vec<_> = rows.iter().map(|row| sample.rects[*row as usize]).collect();
        let (mut stays, mut itself) = (0.0, 0.0);
        for [haematoxylin, eosin] in CHANGES {
            if !progress(done as f64 / (chosen.len() * CHANGES.len()) as f64) {
                return Ok(None);
            }
            let changed = Restained::new(source.as_ref(), haematoxylin, eosin);
            let after = embed_tiles(&changed, Some(&tissue), &rects, encoder, recipe)?;
            let held: Vec<[bool; 2]> =
                rows.par_iter().zip(&after).map(|(row, descriptor)| found.held(*row, descriptor)).collect();
            stays += held.iter().filter(|held| held[0]).count() as f64;
            itself += held.iter().filter(|held| held[1]).count() as f64;
            done += rows.len();
        }
        let cases = (rows.len() * CHANGES.len()) as u32;
        sums[0].push((stays, cases));
        sums[1].push((itself, cases));
    }
    let figure = |sums: &[(f64, u32)]| {
        let ci95 = resampling.interval(sums.len(), |counts| ratio(sums, Some(counts)));
        Some(Figure { value: ratio(sums, None)?, ci95 })
    };
    let (Some(nearest_stays), Some(finds_itself)) = (figure(&sums[0]), figure(&sums[1])) else {
        return Ok(None);
    };
    Ok(Some(StainRobustness { tiles: chosen.len(), nearest_stays, finds_itself }))
}

fn slide_of(sample: &Sample, row: u32) -> u32 {
    sample.tiles.slides[row as usize]
}

/// Returns the rows to embed again, in ascending order and therefore grouped by slide.
fn choose(sample: &Sample, settings: &StainSettings) -> Vec<u32> {
    let labelled: Vec<u32> =
        (0..sample.tiles.len() as u32).filter(|row| sample.tiles.classes[*row as usize].is_some()).collect();
    let all: Vec<u32> = if labelled.is_empty() { (0..sample.tiles.len() as u32).collect() } else { labelled };
    let chosen = health::sample(all.len(), settings.tiles, settings.seed);
    chosen.into_iter().map(|index| all[index as usize]).collect()
}

/// Search of nearest tiles in the unchanged descriptors.
struct Nearest<'a> {
    sample: &'a Sample,
    descriptors: &'a EncoderDescriptors,
    exclude: Exclude,
    pool: &'a [u32],
}

impl Nearest<'_> {
    /// Returns whether `changed`, the new descriptor of the tile `row`, has the same nearest tile in other
    /// groups as before, and whether the unchanged tile is nearer to it than all other tiles.
    fn held(&self, row: u32, changed: &[f32]) -> [bool; 2] {
        let groups = self.sample.tiles.groups(self.exclude);
        let own = groups[row as usize];
        let is_other = |other: u32| groups[other as usize] != own;
        let before = self.nearest(self.descriptor(row), is_other);
        let after = self.nearest(changed, is_other);
        let to_itself = squared_distance(changed, self.descriptor(row));
        let others = self.nearest(changed, |other| other != row);
        let finds_itself = others.is_none_or(|(_, distance)| to_itself <= distance);
        [before.map(|(row, _)| row) == after.map(|(row, _)| row), finds_itself]
    }

    fn descriptor(&self, row: u32) -> &[f32] {
        let width = self.descriptors.width;
        &self.descriptors.values[row as usize * width..(row as usize + 1) * width]
    }

    /// Returns the nearest tile of the pool that is `allowed`, and its squared distance.
    fn nearest(&self, descriptor: &[f32], allowed: impl Fn(u32) -> bool) -> Option<(u32, f32)> {
        let candidates = self.pool.iter().filter(|row| allowed(**row));
        candidates
            .map(|row| (*row, squared_distance(descriptor, self.descriptor(*row))))
            .min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// A slide with changed amounts of its stains.
struct Restained<'a> {
    slide: &'a dyn SlideSource,
    /// Relative change of the amount of each stain.
    added: [(Separation, f32); 2],
    /// Optical density of each channel value.
    densities: [f32; 256],
}

impl<'a> Restained<'a> {
    fn new(slide: &'a dyn SlideSource, haematoxylin: f32, eosin: f32) -> Self {
        let added = [
            (Separation::new(&StainVectors::HAEMATOXYLIN_EOSIN, 0, true), haematoxylin - 1.0),
            (Separation::new(&StainVectors::HAEMATOXYLIN_EOSIN, 1, true), eosin - 1.0),
        ];
        let densities = std::array::from_fn(|value| -(value.max(1) as f32 / 255.0).ln());
        Self { slide, added, densities }
    }

    /// Returns the changed colour of a pixel.
    fn restain(&self, rgb: [u8; 3]) -> [u8; 3] {
        let density = rgb.map(|value| self.densities[usize::from(value)]);
        let mut more = [0.0; 3];
        for (separation, factor) in &self.added {
            let amount = separation.amount.iter().zip(density).map(|(weight, density)| weight * density);
            let amount = factor * amount.sum::<f32>().max(0.0);
            more.iter_mut().zip(separation.colour).for_each(|(more, colour)| *more += amount * colour);
        }
        std::array::from_fn(|channel| {
            let value = f32::from(rgb[channel]) * (-more[channel]).exp();
            value.round().clamp(0.0, 255.0) as u8
        })
    }
}

impl SlideSource for Restained<'_> {
    fn info(&self) -> &SlideInfo {
        self.slide.info()
    }

    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        let mut image = self.slide.read(region)?;
        image.par_chunks_mut(4).for_each(|pixel| {
            if pixel[3] > 0 {
                let changed = self.restain([pixel[0], pixel[1], pixel[2]]);
                pixel[..3].copy_from_slice(&changed);
            }
        });
        Ok(image)
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        self.slide.associated(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use histokin_core::slide::test_slide::TestSlide;

    #[test]
    fn more_stain_is_darker_and_none_leaves_the_glass_white() {
        let slide = TestSlide::new(8, 8);
        let stronger = Restained::new(&slide, 1.25, 1.0);
        assert_eq!(stronger.restain([255; 3]), [255; 3]);
        let nucleus = [90, 60, 130];
        let darker = stronger.restain(nucleus);
        assert!(darker.iter().zip(nucleus).all(|(after, before)| *after < before), "{darker:?}");
        let weaker = Restained::new(&slide, 0.8, 1.0).restain(nucleus);
        assert!(weaker.iter().zip(nucleus).all(|(after, before)| *after > before), "{weaker:?}");
        assert_eq!(Restained::new(&slide, 1.0, 1.0).restain(nucleus), nucleus);
    }
}
