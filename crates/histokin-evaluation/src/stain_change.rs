//! Stain robustness: slides as they would look had they been stained a little otherwise, and whether a tile then
//! still finds the same tissue.
//!
//! The change is that of the whole slide, before anything is normalised: what is measured is all that stands
//! between the glass and the descriptor.

use image::RgbaImage;
use rayon::prelude::*;
use serde::Serialize;

use super::Exclude;
use super::health;
use super::intervals::Resampling;
use super::retrieval::{Figure, ratio};
use super::sample::{Described, Sample};
use histokin_core::descriptors::Recipe;
use histokin_core::geometry::LevelRect;
use histokin_core::index::squared_distance;
use histokin_core::slide::{SlideError, SlideInfo, SlideSource};
use histokin_core::stain::separation::{Separation, Stain};
use histokin_core::tissue::ColouredTissue;
use histokin_encoder::Encoder;
use histokin_project::pipeline::{EmbedError, embed_tiles};
use histokin_project::project::{Project, ProjectError};

/// Factors of haematoxylin and eosin: each alone a quarter stronger and a fifth weaker, about what batches of one
/// laboratory differ by.
const CHANGES: [[f32; 2]; 4] = [[1.25, 1.0], [0.8, 1.0], [1.0, 1.25], [1.0, 0.8]];

/// Answers are looked for among so many tiles at most, drawn at random.
const POOL: usize = 50_000;

/// How much a change of the stain changes what is found, over all tiles and changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StainRobustness {
    /// Tiles that were described anew, under each of four changes.
    pub tiles: usize,
    /// How often the nearest tile of other slides (or patients) is the one that it was before.
    pub nearest_stays: Figure,
    /// How often the tile itself, as it was before, is the nearest of all.
    pub finds_itself: Figure,
}

/// Why it could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum StainChangeError {
    #[error(transparent)]
    Slide(#[from] SlideError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Embed(#[from] EmbedError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StainSettings {
    /// Tiles to describe anew, drawn at random from the labelled ones, or from all where there are no labels; 0
    /// for none.
    pub tiles: usize,
    pub exclude: Exclude,
    pub seed: u64,
}

/// EmbedTiles some tiles of `sample` anew with `encoder` by `recipe`, under each change of the stain, and look among
/// `described` for their nearest. `tell` hears the share (0 to 1) that is done, and answers whether to go on. None
/// when it was stopped, or when the sample has no slides to read.
///
/// # Errors
/// When a slide cannot be read, or the encoder fails.
#[expect(clippy::too_many_arguments, reason = "what is measured, with what, and who watches")]
pub fn measure(
    project: &Project,
    sample: &Sample,
    described: &Described,
    encoder: &mut dyn Encoder,
    recipe: &Recipe,
    settings: &StainSettings,
    resampling: &Resampling,
    tell: &mut dyn FnMut(f64) -> bool,
) -> Result<Option<StainRobustness>, StainChangeError> {
    if settings.tiles == 0 || sample.rects.len() != sample.tiles.len() {
        return Ok(None);
    }
    let chosen = choose(sample, settings);
    let pool = health::sample(sample.tiles.len(), POOL, settings.seed);
    let found = Nearest { sample, described, exclude: settings.exclude, pool: &pool };
    let slides = chosen.chunk_by(|a, b| slide_of(sample, *a) == slide_of(sample, *b));
    // For each slide: how often each of the two held, and of how many.
    let mut sums: [Vec<(f64, u32)>; 2] = Default::default();
    let mut done = 0;
    for rows in slides {
        let entry = project.find_slide(&sample.slides[slide_of(sample, rows[0]) as usize].id)?;
        let source = project.open_slide(entry)?;
        let tissue = ColouredTissue::of(source.as_ref())?;
        let rects: Vec<_> = rows.iter().map(|row| sample.rects[*row as usize]).collect();
        let (mut stays, mut itself) = (0.0, 0.0);
        for [haematoxylin, eosin] in CHANGES {
            if !tell(done as f64 / (chosen.len() * CHANGES.len()) as f64) {
                return Ok(None);
            }
            let changed = Restained::new(source.as_ref(), haematoxylin, eosin);
            let anew = embed_tiles(&changed, Some(&tissue), &rects, encoder, recipe)?;
            let held: Vec<[bool; 2]> =
                rows.par_iter().zip(&anew).map(|(row, descriptor)| found.held(*row, descriptor)).collect();
            stays += held.iter().filter(|held| held[0]).count() as f64;
            itself += held.iter().filter(|held| held[1]).count() as f64;
            done += rows.len();
        }
        let asked = (rows.len() * CHANGES.len()) as u32;
        sums[0].push((stays, asked));
        sums[1].push((itself, asked));
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

/// Rows that are described anew, in ascending order, and so by slide.
fn choose(sample: &Sample, settings: &StainSettings) -> Vec<u32> {
    let labelled: Vec<u32> =
        (0..sample.tiles.len() as u32).filter(|row| sample.tiles.classes[*row as usize].is_some()).collect();
    let all: Vec<u32> = if labelled.is_empty() { (0..sample.tiles.len() as u32).collect() } else { labelled };
    let places = health::sample(all.len(), settings.tiles, settings.seed);
    places.into_iter().map(|place| all[place as usize]).collect()
}

/// Where nearest tiles are looked for.
struct Nearest<'a> {
    sample: &'a Sample,
    described: &'a Described,
    exclude: Exclude,
    pool: &'a [u32],
}

impl Nearest<'_> {
    /// Whether `changed`, the tile `row` described anew, has the nearest tile elsewhere that it had, and whether
    /// the tile itself is nearer to it than all others.
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
        let width = self.described.width;
        &self.described.values[row as usize * width..(row as usize + 1) * width]
    }

    /// The nearest tile of the pool that `may` be it, and its squared distance.
    fn nearest(&self, descriptor: &[f32], may: impl Fn(u32) -> bool) -> Option<(u32, f32)> {
        let candidates = self.pool.iter().filter(|row| may(**row));
        candidates
            .map(|row| (*row, squared_distance(descriptor, self.descriptor(*row))))
            .min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// A slide with other amounts of its stains.
struct Restained<'a> {
    slide: &'a dyn SlideSource,
    /// What is added to the optical density of a pixel for a unit of each stain's amount in it.
    added: [(Separation, f32); 2],
    /// Optical density of each value of a channel.
    densities: [f32; 256],
}

impl<'a> Restained<'a> {
    fn new(slide: &'a dyn SlideSource, haematoxylin: f32, eosin: f32) -> Self {
        let added = [
            (Separation::new(Stain::Haematoxylin), haematoxylin - 1.0),
            (Separation::new(Stain::Eosin), eosin - 1.0),
        ];
        let densities = std::array::from_fn(|value| -(value.max(1) as f32 / 255.0).ln());
        Self { slide, added, densities }
    }

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
        let mut picture = self.slide.read(region)?;
        picture.par_chunks_mut(4).for_each(|pixel| {
            if pixel[3] > 0 {
                let changed = self.restain([pixel[0], pixel[1], pixel[2]]);
                pixel[..3].copy_from_slice(&changed);
            }
        });
        Ok(picture)
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
