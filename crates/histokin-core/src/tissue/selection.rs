//! Selection of the tiles of a grid that contain enough tissue to be embedded, and the reason if there are
//! none.
//!
//! If the user has set the share of a tile that has to be tissue, this share applies. Otherwise it is one
//! half. Needle cores and small biopsies are narrower than a tile. Where tiles that are at least half tissue
//! would cover less than half of the slide's tissue, each piece of tissue contributes the tiles that contain
//! at least half as much of it as its fullest tile.

use std::collections::HashMap;

use super::morphology::Bitmap;
use super::{Detection, TISSUE_FRACTION, TissueMask, TissueSettings};
use crate::geometry::{Level0Point, MicronsPerPixel};
use crate::number_format::decimal;
use crate::slide::SlideInfo;
use crate::tiling::{TileGrid, TileIndex};

/// Share of the slide's tissue, or of a piece of it, that the tiles of at least half tissue must cover for
/// the others to be omitted.
const COVERED_SHARE: f64 = 0.5;

/// Minimum amount of tissue in a tile of a narrow piece, relative to the fullest tile of this piece.
const OF_FULLEST: f64 = 0.5;

/// Returns the tiles of `grid` that contain enough tissue, in order.
pub fn tiles(mask: &TissueMask, grid: &TileGrid, settings: &TissueSettings) -> Vec<TileIndex> {
    let shares: Vec<f64> = grid.tiles().map(|tile| mask.fraction(&grid.rect(tile))).collect();
    let at_least = |least: f64| -> Vec<bool> { shares.iter().map(|share| *share >= least).collect() };
    let chosen = match (settings.tile_share, settings.detection) {
        (Some(share), _) => at_least(share),
        (None, Detection::Off) => shares.iter().map(|share| *share > 0.0).collect(),
        (None, Detection::Auto) => with_narrow_pieces(mask, grid, at_least(TISSUE_FRACTION)),
    };
    grid.tiles().filter(|tile| chosen[tile.0 as usize]).collect()
}

/// Adds the fullest tiles of narrow pieces to `chosen` if it covers too little of the tissue.
fn with_narrow_pieces(mask: &TissueMask, grid: &TileGrid, mut chosen: Vec<bool>) -> Vec<bool> {
    let (width, height) = mask.mask.dimensions();
    let tissue = Bitmap::from_fn(width, height, |index| mask.mask.as_raw()[index] > 0);
    let tile_of = |index: usize| {
        let (x, y) = (index % width as usize, index / width as usize);
        grid.tile_at(Level0Point::new((x as f64 + 0.5) * mask.scale.0, (y as f64 + 0.5) * mask.scale.1))
    };
    let pieces = tissue.pieces();
    let covered = |chosen: &[bool], piece: &[usize]| {
        let is_covered = |index: &&usize| tile_of(**index).is_some_and(|tile| chosen[tile.0 as usize]);
        piece.iter().filter(is_covered).count() as f64
    };
    let all: usize = pieces.iter().map(Vec::len).sum();
    let all_covered: f64 = pieces.iter().map(|piece| covered(&chosen, piece)).sum();
    if all_covered >= COVERED_SHARE * all as f64 {
        return chosen;
    }
    let half_full = chosen.clone();
    for piece in &pieces {
        if covered(&half_full, piece) >= COVERED_SHARE * piece.len() as f64 {
            continue;
        }
        let mut counts: HashMap<TileIndex, usize> = HashMap::new();
        piece
            .iter()
            .filter_map(|index| tile_of(*index))
            .for_each(|tile| *counts.entry(tile).or_default() += 1);
        let fullest = counts.values().copied().max().unwrap_or(0) as f64;
        for (tile, count) in counts {
            chosen[tile.0 as usize] |= count as f64 >= OF_FULLEST * fullest;
        }
    }
    chosen
}

/// Why no tile of a slide is embedded.
#[derive(Debug, Clone, PartialEq)]
pub struct NoTiles {
    /// Area of the tissue that was found, in µm²; `None` if the slide's pixel size is unknown.
    pub tissue_um2: Option<f64>,
    /// The reason.
    pub cause: Cause,
}

/// Reason why no tile of a slide is embedded.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    /// The slide is smaller than a tile.
    SmallerThanATile {
        /// Width and height of the slide in level-0 pixels.
        slide_px: [u32; 2],
        /// Width of a tile in level-0 pixels.
        tile_px: u32,
    },
    /// All tissue lies at the right or lower edge, where no complete tile fits.
    AtTheEdge {
        /// Width of a tile in level-0 pixels.
        tile_px: u32,
    },
    /// Nothing on the glass was recognised as tissue.
    NothingFound,
    /// All pieces of tissue are smaller than the smallest piece that counts.
    SmallPieces {
        /// Area of the largest piece that was found, in µm².
        largest_um2: f64,
        /// Area of the smallest piece that counts, in µm².
        smallest_um2: f64,
    },
    /// No tile contains the required share of tissue.
    TooLittleOfATile {
        /// Largest share of tissue in a tile (0 to 1).
        fullest: f64,
        /// Required share (0 to 1).
        asked: f64,
    },
    /// No tile with tissue lies within the given annotations, which the text names.
    OutsideAnnotations(String),
}

/// The user interface whose settings a message names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// Options of the command line.
    CommandLine,
    /// Settings in the window.
    Window,
}

impl NoTiles {
    /// Determines why no tile of `grid` is selected; `within` names the annotations that excluded tiles, if
    /// any did.
    pub fn explain(
        (mask, grid, info): (&TissueMask, &TileGrid, &SlideInfo),
        settings: &TissueSettings,
        within: Option<String>,
    ) -> Self {
        let area = |mpp: MicronsPerPixel| {
            mask.coverage() * f64::from(info.width()) * mpp.x() * f64::from(info.height()) * mpp.y()
        };
        let fullest = grid.tiles().map(|tile| mask.fraction(&grid.rect(tile))).fold(0.0, f64::max);
        let tile_px = grid.tile_level0;
        let cause = if grid.is_empty() {
            Cause::SmallerThanATile { slide_px: [info.width(), info.height()], tile_px }
        } else if let Some(within) = within {
            Cause::OutsideAnnotations(within)
        } else if fullest > 0.0 {
            Cause::TooLittleOfATile { fullest, asked: settings.tile_share.unwrap_or(TISSUE_FRACTION) }
        } else if mask.coverage() > 0.0 {
            Cause::AtTheEdge { tile_px }
        } else if mask.largest_dropped_um2 > 0.0 {
            let (largest_um2, smallest_um2) = (mask.largest_dropped_um2, settings.smallest_piece_um2);
            Cause::SmallPieces { largest_um2, smallest_um2 }
        } else {
            Cause::NothingFound
        };
        Self { tissue_um2: info.mpp.map(area), cause }
    }

    /// Returns a message with the tissue that was found, and the setting to change.
    pub fn advice(&self, surface: Surface) -> String {
        let found = match self.tissue_um2 {
            Some(um2) if um2 > 0.0 => format!("{} mm² of tissue found", mm2(um2)),
            _ => "no tissue found".to_owned(),
        };
        let set = |option: &str, words: &str| match surface {
            Surface::CommandLine => option.to_owned(),
            Surface::Window => words.to_owned(),
        };
        match &self.cause {
            Cause::SmallerThanATile { slide_px: [width, height], tile_px } => format!(
                "the slide ({width} × {height} px) is smaller than a tile ({tile_px} px of the slide); {}",
                set("use smaller tiles with --tile-px", "use an encoder or a project with smaller tiles")
            ),
            Cause::AtTheEdge { tile_px } => format!(
                "{found}, at the right or lower edge of the slide, where no whole tile ({tile_px} px of the slide) \
                 fits; {}",
                set("use smaller tiles with --tile-px", "use an encoder or a project with smaller tiles")
            ),
            Cause::NothingFound => format!(
                "{found}; for cytology, or if the stain is too pale, {}",
                set("use --tissue off", "switch off \u{201c}Detect tissue\u{201d} in the embedding settings")
            ),
            Cause::SmallPieces { largest_um2, smallest_um2 } => {
                let lower = (largest_um2 * 0.9).max(1.0).floor();
                format!(
                    "{found}; the largest stained piece is {} mm², and pieces below {} mm² do not count: {}, or, for \
                     cytology, {}",
                    mm2(*largest_um2),
                    mm2(*smallest_um2),
                    set(
                        &format!("use --smallest-piece {lower}um2"),
                        "lower the minimum area in the embedding settings"
                    ),
                    set("--tissue off", "switch off \u{201c}Detect tissue\u{201d} there")
                )
            }
            Cause::TooLittleOfATile { fullest, asked } => {
                let lower = (fullest * 100.0).floor().max(1.0);
                format!(
                    "{found}; the fullest tile is {} % tissue, but {} % is required: {}",
                    decimal(100.0 * fullest, 0),
                    decimal(100.0 * asked, 0),
                    set(
                        &format!("use --tile-share {lower}% or --tile-share auto"),
                        "lower the tissue per tile in the embedding settings"
                    )
                )
            }
            Cause::OutsideAnnotations(within) => format!(
                "{found}, but no tile with tissue lies within {within}; annotate this slide, or {}",
                set("use --within everywhere", "embed everywhere in the embedding settings")
            ),
        }
    }
}

/// Formats an area in mm² with two significant digits.
fn mm2(um2: f64) -> String {
    let mm2 = um2 * 1e-6;
    let digits = if mm2 > 0.0 { (1.0 - mm2.log10().floor()).clamp(0.0, 6.0) as usize } else { 0 };
    decimal(mm2, digits)
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma};

    use super::*;
    use crate::slide::SlideSource as _;
    use crate::slide::test_slide::TestSlide;

    /// Makes a mask of 280 × 280 pixels of 8 µm, and a grid of 10 × 10 tiles, for a slide of 0.5 µm/px.
    fn drawn(is_tissue: impl Fn(u32, u32) -> bool) -> (TissueMask, TileGrid) {
        let mask = GrayImage::from_fn(280, 280, |x, y| Luma([if is_tissue(x, y) { 255 } else { 0 }]));
        let settings = TissueSettings::default();
        let mask = TissueMask { mask, scale: (16.0, 16.0), largest_dropped_um2: 0.0, settings };
        let slide = TestSlide::new(4480, 4480);
        let grid = TileGrid::new(slide.info(), crate::tiling::TileSettings::default()).unwrap();
        (mask, grid)
    }

    fn count(drawn: &(TissueMask, TileGrid), settings: &TissueSettings) -> usize {
        tiles(&drawn.0, &drawn.1, settings).len()
    }

    fn share(share: f64) -> TissueSettings {
        TissueSettings { tile_share: Some(share), ..TissueSettings::default() }
    }

    #[test]
    fn large_tissue_gives_the_tiles_that_are_half_tissue() {
        let usual = TissueSettings::default();
        // Five and a third tiles wide, four tiles high, and a fragment beside it.
        let drawn =
            drawn(|x, y| x < 28 * 5 + 9 && y < 28 * 4 || (250..262).contains(&x) && (250..262).contains(&y));
        assert_eq!(count(&drawn, &usual), 20, "neither the rim nor the fragment");
        assert_eq!(count(&drawn, &share(0.3)), 24);
        assert_eq!(count(&drawn, &share(1.0)), 20);
    }

    #[test]
    fn narrow_cores_and_small_biopsies_give_their_fullest_tiles() {
        let usual = TissueSettings::default();
        let core = drawn(|x, y| (x + 3).abs_diff(y) < 6);
        assert!(count(&core, &usual) >= 10, "each tile on the diagonal: {}", count(&core, &usual));
        assert_eq!(count(&core, &share(0.5)), 0);
        let biopsy = drawn(|x, y| x.abs_diff(60).pow(2) + y.abs_diff(70).pow(2) < 81);
        assert_eq!(count(&biopsy, &usual), 1);
        let on_a_corner = drawn(|x, y| x.abs_diff(56).pow(2) + y.abs_diff(56).pow(2) < 81);
        assert_eq!(count(&on_a_corner, &usual), 4);
        let nothing = drawn(|_, _| false);
        assert_eq!(count(&nothing, &usual), 0);
    }

    #[test]
    fn without_detection_a_speck_is_enough() {
        let off = TissueSettings { detection: Detection::Off, ..TissueSettings::default() };
        let specks = drawn(|x, y| x % 28 == 5 && y % 56 == 7);
        assert_eq!(count(&specks, &off), 50);
        assert_eq!(count(&specks, &TissueSettings { tile_share: Some(0.01), ..off }), 0);
    }

    #[test]
    fn areas_are_told_with_two_digits() {
        assert_eq!(
            (mm2(13_234.0), mm2(8_000.0), mm2(12_345_678.0)),
            ("0.013".into(), "0.0080".into(), "12".into())
        );
    }

    #[test]
    fn every_cause_names_a_setting() {
        let causes = [
            (Cause::NothingFound, "--tissue off"),
            (Cause::SmallPieces { largest_um2: 5000.0, smallest_um2: 8000.0 }, "--smallest-piece 4500um2"),
            (Cause::TooLittleOfATile { fullest: 0.267, asked: 0.5 }, "--tile-share 26%"),
            (Cause::OutsideAnnotations("annotations of the class \"A\"".to_owned()), "--within everywhere"),
            (Cause::AtTheEdge { tile_px: 224 }, "--tile-px"),
            (Cause::SmallerThanATile { slide_px: [100, 90], tile_px: 224 }, "--tile-px"),
        ];
        for (cause, option) in causes {
            let reason = NoTiles { tissue_um2: Some(0.0), cause };
            assert!(reason.advice(Surface::CommandLine).contains(option), "{reason:?}");
            assert!(!reason.advice(Surface::Window).contains("--"), "{reason:?}");
        }
    }
}
