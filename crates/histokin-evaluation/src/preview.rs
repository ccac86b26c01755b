//! Which tiles an encoder finds similar, before anything is embedded with it in full: the nearest tiles of a few tiles, in a
//! sample of a few hundred.

use std::time::{Duration, Instant};

use image::RgbImage;
use image::imageops::{self, FilterType};
use rand::seq::{SliceRandom, index};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use histokin_core::descriptors::Recipe;
use histokin_core::geometry::Level0Rect;
use histokin_core::index::squared_distance;
use histokin_core::slide::{SlideError, SlideId, SlideSource};
use histokin_core::stain::{LabNormaliser, LabStatistics};
use histokin_core::tiling::{TileGrid, TileIndex, read_tile};
use histokin_core::tissue::TissueMask;
use histokin_encoder::Encoder;
use histokin_project::pipeline::{EmbedError, TileSelection};

/// Number of tiles that are sampled.
const TILES: usize = 320;

/// Number of tiles that are enough if the encoder is slow.
const FEWEST: usize = 64;

/// Time after which the fewest tiles are enough.
const LONGEST: Duration = Duration::from_secs(60);

/// Largest number of slides that tiles are sampled from.
const SLIDES: usize = 16;

/// Number of tiles encoded at once.
const BATCH: usize = 8;

/// Number of queries.
const QUERIES: usize = 6;

/// Number of nearest tiles of each query.
const NEAREST: usize = 5;

/// Edge length in pixels of the pictures of tiles.
const PICTURE_PX: u32 = 96;

/// A slide from which tiles are sampled.
pub struct PreviewSlide<'a> {
    /// The slide.
    pub slide: &'a dyn SlideSource,
    /// Its tissue mask, if that is known; otherwise the tissue is detected.
    pub tissue: Option<&'a TissueMask>,
    /// Which of its tiles are embedded.
    pub selection: &'a TileSelection,
}

/// A sampled tile.
#[derive(Debug, Clone)]
pub struct PreviewTile {
    /// Its slide.
    pub slide: SlideId,
    /// Its place on the slide.
    pub rect: Level0Rect,
    /// A small picture of it.
    pub picture: RgbImage,
}

/// A tile with its nearest tiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewQuery {
    /// The tile.
    pub tile: usize,
    /// The nearest tiles, the nearest first; of other slides where there are several.
    pub nearest: Vec<usize>,
}

/// Which tiles of a sample an encoder finds similar.
#[derive(Debug, Clone)]
pub struct EncoderPreview {
    /// The sampled tiles.
    pub tiles: Vec<PreviewTile>,
    /// Some of them, with their nearest tiles.
    pub queries: Vec<PreviewQuery>,
    /// Number of tiles that would be embedded of the slides that were sampled.
    pub selected: usize,
    /// Number of slides that were sampled.
    pub slides: usize,
    /// Speed of the encoder, in tiles per second, without reading them.
    pub tiles_per_second: f64,
    /// Name of the device.
    pub device: String,
}

/// A slide with the tiles that are left to be read, and what changes their colours.
struct Sampled<'a> {
    slide: &'a dyn SlideSource,
    grid: TileGrid,
    tiles: Vec<TileIndex>,
    normaliser: Option<LabNormaliser>,
}

/// Samples tiles of `slides`, embeds them with `recipe`, and answers a few queries. Slides that cannot be read are left
/// out. Returns `None` if there is no tile, or when `progress`, which receives the share (0 to 1) that is done and what
/// is being done, returns false.
///
/// # Errors
/// [`EmbedError`] if the encoder fails, or no slide can be read.
pub fn preview(
    slides: &[PreviewSlide<'_>],
    encoder: &mut dyn Encoder,
    recipe: &Recipe,
    seed: u64,
    progress: &mut dyn FnMut(f64, &str) -> bool,
) -> Result<Option<EncoderPreview>, EmbedError> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let chosen = index::sample(&mut random, slides.len(), SLIDES.min(slides.len()));
    let (mut sampled, mut selected, mut failed) = (Vec::new(), 0, None);
    for index in chosen {
        let one = &slides[index];
        let doing = format!("Finding tissue on {}", one.slide.info().name());
        if !progress(0.0, &doing) {
            return Ok(None);
        }
        let most = TILES.div_ceil(slides.len().min(SLIDES));
        match sample(one, encoder, recipe, most, &mut random, &mut |_| progress(0.0, &doing)) {
            Ok((count, found)) => {
                selected += count;
                sampled.extend(found);
            }
            Err(error) => failed = Some(error),
        }
    }
    if let (true, Some(error)) = (sampled.is_empty(), failed) {
        return Err(error.into());
    }
    let Some((tiles, descriptors, batches)) = embed(&mut sampled, encoder, recipe, progress)? else {
        return Ok(None);
    };
    if tiles.is_empty() {
        return Ok(None);
    }
    let queries = answer(&tiles, &descriptors, encoder.spec().width, &mut random);
    Ok(Some(EncoderPreview {
        queries,
        selected,
        slides: sampled.len(),
        tiles_per_second: speed(&batches),
        device: encoder.device(),
        tiles,
    }))
}

/// Chooses at most `most` tiles of a slide; also returns how many there are to choose from.
fn sample<'a>(
    one: &PreviewSlide<'a>,
    encoder: &dyn Encoder,
    recipe: &Recipe,
    most: usize,
    random: &mut ChaCha8Rng,
    goes_on: &mut dyn FnMut(f64) -> bool,
) -> Result<(usize, Option<Sampled<'a>>), SlideError> {
    let grid = TileGrid::new(one.slide.info(), recipe.tiles)?;
    let found;
    let tissue = match one.tissue.filter(|mask| mask.settings.same_mask(one.selection.settings())) {
        Some(tissue) => tissue,
        None => match TissueMask::find_while(one.slide, one.selection.settings(), goes_on)? {
            Some(mask) => {
                found = mask;
                &found
            }
            None => return Ok((0, None)),
        },
    };
    let mut tiles = one.selection.tiles(tissue, &grid);
    let count = tiles.len();
    if count == 0 {
        return Ok((0, None));
    }
    tiles.shuffle(random);
    tiles.truncate(most);
    let reference = encoder.spec().stain_reference;
    let normaliser = match recipe.stain.is_lab() {
        true => LabStatistics::of_slide(one.slide)?.map(|colours| LabNormaliser::new(colours, reference)),
        false => None,
    };
    Ok((count, Some(Sampled { slide: one.slide, grid, tiles, normaliser })))
}

/// Tiles of a batch, and the seconds that the encoder took.
type TimedBatch = (usize, f64);

/// Sampled tiles, their descriptors, and the batches in which they were encoded.
type Embedded = (Vec<PreviewTile>, Vec<f32>, Vec<TimedBatch>);

/// Embeds tiles of all slides in turn, until there are none or it takes too long.
fn embed(
    sampled: &mut [Sampled<'_>],
    encoder: &mut dyn Encoder,
    recipe: &Recipe,
    progress: &mut dyn FnMut(f64, &str) -> bool,
) -> Result<Option<Embedded>, EmbedError> {
    let begun = Instant::now();
    let all: usize = sampled.iter().map(|one| one.tiles.len()).sum();
    let (mut tiles, mut values, mut batches) = (Vec::new(), Vec::new(), Vec::new());
    while sampled.iter().any(|one| !one.tiles.is_empty()) {
        for one in sampled.iter_mut() {
            let is_enough = tiles.len() >= FEWEST.min(all) && begun.elapsed() > LONGEST;
            if is_enough {
                return Ok(Some((tiles, values, batches)));
            }
            if !progress(tiles.len() as f64 / all as f64, &format!("Embedding {all} sampled tiles")) {
                return Ok(None);
            }
            let part = one.tiles.split_off(one.tiles.len().saturating_sub(BATCH));
            let (mut read, mut pictures) = (Vec::new(), Vec::new());
            for tile in part {
                let rect = one.grid.rect(tile);
                // A few tiles less are no harm.
                let Ok(mut pixels) = read_tile(one.slide, &rect, recipe.tiles.tile_px) else { continue };
                let picture = imageops::resize(&pixels, PICTURE_PX, PICTURE_PX, FilterType::Triangle);
                read.push(PreviewTile { slide: one.slide.info().id.clone(), rect, picture });
                if let Some(normaliser) = &one.normaliser {
                    normaliser.apply(&mut pixels);
                }
                pictures.push(pixels);
            }
            if pictures.is_empty() {
                continue;
            }
            let started = Instant::now();
            let encoded = encoder
                .encode(&pictures)
                .map_err(|source| EmbedError::Encoder { path: one.slide.info().path.clone(), source })?;
            batches.push((read.len(), started.elapsed().as_secs_f64()));
            values.extend(encoded.values);
            tiles.extend(read);
        }
    }
    Ok(Some((tiles, values, batches)))
}

/// Returns the speed of an encoder in tiles per second. The first batch prepares the device as well, and is left out
/// if there are others.
fn speed(batches: &[TimedBatch]) -> f64 {
    let timed = if batches.len() > 1 { &batches[1..] } else { batches };
    let tiles: usize = timed.iter().map(|(tiles, _)| tiles).sum();
    let seconds: f64 = timed.iter().map(|(_, seconds)| seconds).sum();
    tiles as f64 / seconds.max(1e-9)
}

/// Answers some queries, of each slide in turn.
fn answer(tiles: &[PreviewTile], values: &[f32], width: usize, random: &mut ChaCha8Rng) -> Vec<PreviewQuery> {
    let several = tiles.iter().any(|tile| tile.slide != tiles[0].slide);
    let mut asked: Vec<usize> = Vec::new();
    let mut left: Vec<usize> = (0..tiles.len()).collect();
    while asked.len() < QUERIES && !left.is_empty() {
        let count = |slide: &SlideId| asked.iter().filter(|tile| tiles[**tile].slide == *slide).count();
        let fewest = left.iter().map(|tile| count(&tiles[*tile].slide)).min().unwrap_or(0);
        let next: Vec<usize> =
            left.iter().copied().filter(|tile| count(&tiles[*tile].slide) == fewest).collect();
        let tile = next[random.random_range(0..next.len())];
        left.retain(|other| *other != tile);
        asked.push(tile);
    }
    let row = |tile: usize| &values[tile * width..][..width];
    let may_match = |query: &PreviewTile, other: &PreviewTile| match several {
        true => query.slide != other.slide,
        // Tiles beside the query are alike in any encoder.
        false => {
            let apart = query.rect.center().distance_px(other.rect.center());
            apart > 1.5 * f64::from(query.rect.width.max(query.rect.height))
        }
    };
    let nearest = |tile: usize| {
        let mut others: Vec<(usize, f32)> = (0..tiles.len())
            .filter(|other| may_match(&tiles[tile], &tiles[*other]))
            .map(|other| (other, squared_distance(row(tile), row(other))))
            .collect();
        others.sort_by(|a, b| a.1.total_cmp(&b.1));
        others.into_iter().take(NEAREST).map(|(other, _)| other).collect()
    };
    asked.into_iter().map(|tile| PreviewQuery { tile, nearest: nearest(tile) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(slide: &str, column: i64) -> PreviewTile {
        PreviewTile {
            slide: SlideId(slide.into()),
            rect: Level0Rect::new(100 * column, 0, 100, 100),
            picture: RgbImage::new(1, 1),
        }
    }

    #[test]
    fn the_first_batch_does_not_count_for_the_speed() {
        assert_eq!(speed(&[(8, 4.0), (8, 0.5), (4, 0.5)]), 12.0);
        assert_eq!(speed(&[(8, 4.0)]), 2.0);
        assert_eq!(speed(&[]), 0.0);
    }

    #[test]
    fn the_nearest_are_of_other_slides_or_of_no_neighbour() {
        let tiles: Vec<PreviewTile> = (0..24).map(|at| tile(["a", "b"][at % 2], at as i64 / 2)).collect();
        let values: Vec<f32> = (0..24).map(|at| (at / 2) as f32).collect();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let queries = answer(&tiles, &values, 1, &mut random);
        assert_eq!(queries.len(), QUERIES);
        for query in &queries {
            assert_eq!(query.nearest.len(), NEAREST);
            let other = query.tile ^ 1;
            assert_eq!(query.nearest[0], other, "the tile of the same number on the other slide");
            assert!(query.nearest.iter().all(|found| tiles[*found].slide != tiles[query.tile].slide));
        }
        let of_a = queries.iter().filter(|query| tiles[query.tile].slide.0 == "a").count();
        assert_eq!(of_a, QUERIES / 2, "as many of each slide");

        let one: Vec<PreviewTile> = (0..12).map(|at| tile("a", at)).collect();
        for query in answer(&one, &values[..12], 1, &mut random) {
            let apart = |found: &usize| found.abs_diff(query.tile);
            assert!(query.nearest.iter().all(|found| apart(found) > 1), "{query:?}");
        }
    }
}
