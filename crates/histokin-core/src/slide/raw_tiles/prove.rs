//! Proves that tiles decoded without OpenSlide equal its pixels.

use super::super::SlideSource;
use super::super::openslide::OpenSlideSource;
use super::find;
use super::level::RawLevel;
use super::read::RawLevels;

/// Number of tiles of level 0 that are compared with OpenSlide's, besides the last one: those with the most
/// bytes.
const DETAILED_TILES_COMPARED: usize = 3;

/// Finds the levels of `slide` that can be read as raw tiles, which must include level 0.
///
/// # Errors
/// A message, why the slide has to be read through OpenSlide.
pub(in crate::slide) fn prove(slide: &OpenSlideSource) -> Result<RawLevels, String> {
    let info = slide.info();
    let mut raw = RawLevels::new(find::levels(info)?);
    for level in 0..info.levels.len() {
        match compare(&raw, slide, level) {
            Err(reason) if level == 0 => return Err(reason),
            Err(reason) => {
                tracing::debug!(path = %info.path.display(), level, reason, "level read through OpenSlide");
                raw.omit(level);
            }
            Ok(()) => {}
        }
    }
    Ok(raw)
}

/// Compares some tiles of a level with OpenSlide's. Fails if any of them differs or if none of them can
/// be compared.
fn compare(levels: &RawLevels, slide: &OpenSlideSource, level: usize) -> Result<(), String> {
    let raw = levels.level(level)?;
    let mut equal = 0;
    // The other levels were written by the same program, so one tile is enough.
    let count = if level == 0 { DETAILED_TILES_COMPARED } else { 1 };
    let downsample = slide.own_downsample(level).ok_or("OpenSlide has no such level")?;
    for tile in tiles_to_compare(raw, downsample, count) {
        let region = raw.grid().region(level as u32, tile);
        match (slide.read(&region), levels.read(&region)) {
            (Ok(theirs), Ok(ours)) if theirs == ours => equal += 1,
            // Such a tile is later read through OpenSlide.
            (_, Err(_)) => {}
            _ => return Err(format!("tile {tile} differs from OpenSlide's")),
        }
    }
    if equal == 0 { Err("none of its tiles could be compared".to_owned()) } else { Ok(()) }
}

/// Selects the `count` tiles with the most bytes, and the last one, among those that OpenSlide reads without
/// resampling.
///
/// OpenSlide takes positions in integer level-0 pixels, divides them by its own `downsample` of the level,
/// and resamples if the result is not an integer position on the level.
fn tiles_to_compare(level: &RawLevel, downsample: f64, count: usize) -> Vec<usize> {
    let is_exact = |tile: &usize| {
        let region = level.grid().region(0, *tile);
        [region.x, region.y].iter().all(|px| (*px as f64 * downsample).fract() == 0.0)
    };
    let mut tiles: Vec<usize> = (0..level.grid().tiles()).filter(is_exact).collect();
    let last = tiles.last().copied();
    let bytes = |tile: &usize| std::cmp::Reverse(level.stored_bytes(*tile));
    let count = count.min(tiles.len());
    if count < tiles.len() {
        tiles.select_nth_unstable_by_key(count, bytes);
        tiles.truncate(count);
        tiles.extend(last.filter(|last| !tiles.contains(last)));
    }
    tiles
}
