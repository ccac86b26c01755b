//! Where on the slide there is tissue.
//!
//! The mask is computed once a slide from a low-power picture ([`TissueSettings`] say what counts); which tiles are
//! embedded follows from it ([`selection`]). Made for haematoxylin and eosin, and for the haematoxylin and DAB of
//! immunohistochemistry.

mod detection;
mod ink;
mod morphology;
pub mod selection;
mod settings;

use image::{GrayImage, RgbImage};

use crate::geometry::{Downsample, Level0Rect};
use crate::slide::{SlideError, SlideInfo, SlideSource};
use crate::tiling::{level_read_for_view, read_rect_for_view};
use detection::Rules;

pub(crate) use detection::is_stained;
pub use settings::{Detection, SMALLEST_PIECE_UM2, TissueSettings, Within};

/// Counts the ways in which the pixels have been chosen so far whose colours a slide is normalised by. It is part of
/// what decides descriptors. Which tiles are embedded is not: a tile has the same descriptor whatever selects it.
pub const TISSUE_VERSION: u32 = 2;

/// Share of a tile that has to be tissue for the tile to be embedded, where nothing else is asked for.
pub const TISSUE_FRACTION: f64 = 0.5;

/// Resolution of the mask in µm per pixel: a fat cell (50–120 µm) is still several pixels wide.
const MASK_UM: f64 = 8.0;

/// Longer side of the mask, about, where the pixel size is unknown.
const MASK_PX: f64 = 2000.0;

/// A low-power picture of the slide in which each pixel is tissue (255) or not (0).
#[derive(Debug, Clone)]
pub struct TissueMask {
    pub mask: GrayImage,
    /// Level-0 pixels that one mask pixel spans along x and y.
    pub scale: (f64, f64),
    /// Area in µm² of the largest piece that is no tissue for being smaller than the smallest piece asked for; 0 where
    /// there is none.
    pub largest_dropped_um2: f64,
    /// The settings by which it was found.
    pub settings: TissueSettings,
}

impl TissueMask {
    /// Find the tissue of `slide` by the usual settings.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn of(slide: &dyn SlideSource) -> Result<Self, SlideError> {
        Self::find(slide, &TissueSettings::default())
    }

    /// Find the tissue of `slide`.
    ///
    /// A pixel is tissue if it is colourful, by a threshold after Otsu (1979), or is a thin line, darker
    /// than what is beside it, as the walls of fat cells are; and if it is neither ink nor dark as dirt,
    /// borders and black pen are. Then gaps and holes as small as fat cells are closed, so that fat, whose
    /// cells are empty in section, counts as tissue, and threads, grey lines and small pieces are dropped.
    ///
    /// With [`Detection::Off`] everything counts that is neither plain glass nor outside the scan.
    ///
    /// # Errors
    /// [`SlideError::Read`] when the low-power picture cannot be read.
    pub fn find(slide: &dyn SlideSource, settings: &TissueSettings) -> Result<Self, SlideError> {
        let low_power = LowPower::of(slide)?;
        let um_per_px = low_power.um_per_px(slide.info());
        let (across, down) = low_power.scale;
        let (tissue, largest_dropped_um2) = match settings.detection {
            Detection::Auto => {
                let smallest_piece_um2 = settings.smallest_piece_um2;
                let rules = Rules { smallest_piece_um2, drops_artefacts: true };
                let found = detection::tissue_of(&low_power.picture, um_per_px, rules);
                (found.tissue, found.largest_dropped_um2)
            }
            Detection::Off => (detection::anything_in(&low_power.picture, um_per_px), 0.0),
        };
        Ok(Self {
            mask: tissue.into_image(),
            scale: (f64::from(across), f64::from(down)),
            largest_dropped_um2,
            settings: settings.clone(),
        })
    }

    /// Share (0 to 1) of `rect` that is tissue; what lies outside the slide is not.
    ///
    /// Counts the mask's pixels under `rect`, those at its edges by the part that is covered: for a tile
    /// some 800 of them, whatever the slide's size. A table of sums would take four times the mask's
    /// memory to save microseconds.
    pub fn fraction(&self, rect: &Level0Rect) -> f64 {
        let columns = Coverage::new(rect.x, rect.width, self.scale.0, self.mask.width());
        let rows = Coverage::new(rect.y, rect.height, self.scale.1, self.mask.height());
        let mut tissue = 0.0;
        for y in rows.first..rows.end {
            let row = &self.mask.as_raw()[y as usize * self.mask.width() as usize..];
            let of_row = (columns.first..columns.end)
                .filter(|x| row[*x as usize] > 0)
                .map(|x| columns.of(x))
                .sum::<f64>();
            tissue += of_row * rows.of(y);
        }
        let whole = f64::from(rect.width) / self.scale.0 * f64::from(rect.height) / self.scale.1;
        if whole > 0.0 { (tissue / whole).min(1.0) } else { 0.0 }
    }

    /// Whether a tile is worth asking with: some of it is tissue.
    pub fn has_tissue(&self, rect: &Level0Rect) -> bool {
        self.fraction(rect) > 0.0
    }

    /// Share (0 to 1) of the whole slide that is tissue.
    pub fn coverage(&self) -> f64 {
        let tissue = self.mask.as_raw().iter().filter(|value| **value > 0).count();
        tissue as f64 / self.mask.as_raw().len().max(1) as f64
    }
}

/// The mask's pixels under one side of a rectangle.
struct Coverage {
    start: f64,
    stop: f64,
    first: u32,
    end: u32,
}

impl Coverage {
    fn new(level0_start: i64, level0_length: u32, scale: f64, size: u32) -> Self {
        let start = (level0_start as f64 / scale).clamp(0.0, f64::from(size));
        let stop = ((level0_start as f64 + f64::from(level0_length)) / scale).clamp(0.0, f64::from(size));
        Self { start, stop, first: start.floor() as u32, end: stop.ceil() as u32 }
    }

    /// Part (0 to 1) of pixel `index` that is covered.
    fn of(&self, index: u32) -> f64 {
        let (left, right) = (f64::from(index), f64::from(index) + 1.0);
        self.stop.min(right) - self.start.max(left)
    }
}

/// A whole slide at low power.
pub(crate) struct LowPower {
    pub(crate) picture: RgbImage,
    /// Level-0 pixels along the width and the height of a pixel: whole numbers, so that pixels lie exactly on the
    /// slide. They differ where the slide's own pixels are not square.
    pub(crate) scale: (u32, u32),
}

impl LowPower {
    /// Level-0 pixels along the edge of a square pixel of the same area.
    pub(crate) fn mean_scale(&self) -> f64 {
        let (across, down) = self.scale;
        if across == down { across.into() } else { (f64::from(across) * f64::from(down)).sqrt() }
    }

    /// Read the picture that the mask is made from, in pieces, as there may be only one huge level.
    pub(crate) fn of(slide: &dyn SlideSource) -> Result<Self, SlideError> {
        /// Longer side of a piece in the pixels that are decoded for it: 64 MiB of them.
        const PIECE_PX: f64 = 4096.0;

        let info = slide.info();
        let scale = low_power_scale(info);
        let (width, height) = (info.width().div_ceil(scale.0), info.height().div_ceil(scale.1));
        let wanted = Downsample { x: scale.0.into(), y: scale.1.into() };
        let level = level_read_for_view(slide, wanted);
        let decoded_per_px = (wanted.x / level.x).max(wanted.y / level.y);
        let piece = (PIECE_PX / decoded_per_px).max(1.0) as u32;
        let mut picture = RgbImage::new(width, height);
        for top in (0..height).step_by(piece as usize) {
            for left in (0..width).step_by(piece as usize) {
                let (columns, rows) = (piece.min(width - left), piece.min(height - top));
                let rect = Level0Rect::new(
                    i64::from(left) * i64::from(scale.0),
                    i64::from(top) * i64::from(scale.1),
                    columns * scale.0,
                    rows * scale.1,
                );
                let part = read_rect_for_view(slide, &rect, columns, rows)?;
                image::imageops::replace(&mut picture, &part, i64::from(left), i64::from(top));
            }
        }
        Ok(Self { picture, scale })
    }
}

impl LowPower {
    /// Edge of a pixel in µm, as far as the slide's own pixels are known.
    fn um_per_px(&self, info: &SlideInfo) -> f64 {
        info.mpp.map_or(MASK_UM, |mpp| mpp.mean() * self.mean_scale())
    }
}

/// The tissue whose colours a slide is normalised by, as pixels of its low-power picture: a function of the slide
/// alone, whatever tiles are embedded.
pub struct ColouredTissue {
    pub(crate) pixels: Vec<bool>,
}

impl ColouredTissue {
    /// Fewer pixels than these say nothing of a slide's colours: a tenth of a tile at low power.
    pub(crate) const FEWEST_PIXELS: usize = 100;

    /// Find it on a slide.
    ///
    /// # Errors
    /// [`SlideError::Read`] when the low-power picture cannot be read.
    pub fn of(slide: &dyn SlideSource) -> Result<Self, SlideError> {
        Ok(Self::in_picture(&LowPower::of(slide)?, slide.info()))
    }

    /// Where the rules for colours find too little, as on a small biopsy, the usual ones decide.
    pub(crate) fn in_picture(low_power: &LowPower, info: &SlideInfo) -> Self {
        let um_per_px = low_power.um_per_px(info);
        let pixels = |rules: Rules| -> Vec<bool> {
            let tissue = detection::tissue_of(&low_power.picture, um_per_px, rules).tissue;
            tissue.into_bits()
        };
        let found = pixels(Rules::COLOURS);
        if found.iter().filter(|is_tissue| **is_tissue).count() >= Self::FEWEST_PIXELS {
            return Self { pixels: found };
        }
        Self { pixels: pixels(Rules { smallest_piece_um2: SMALLEST_PIECE_UM2, drops_artefacts: true }) }
    }
}

fn low_power_scale(info: &SlideInfo) -> (u32, u32) {
    let whole = |wanted: f64| wanted.round().max(1.0) as u32;
    match info.mpp {
        Some(mpp) if !mpp.is_square() => (whole(MASK_UM / mpp.x), whole(MASK_UM / mpp.y)),
        Some(mpp) => (whole(MASK_UM / mpp.mean()), whole(MASK_UM / mpp.mean())),
        None => {
            let scale = whole(f64::from(info.width().max(info.height())) / MASK_PX);
            (scale, scale)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_pixels_count_by_the_part_that_is_covered() {
        let mut mask = GrayImage::new(4, 4);
        mask.put_pixel(1, 1, image::Luma([255]));
        let mask = TissueMask {
            mask,
            scale: (10.0, 10.0),
            largest_dropped_um2: 0.0,
            settings: TissueSettings::default(),
        };
        let fraction = |x, y, size| mask.fraction(&Level0Rect::new(x, y, size, size));
        assert_eq!(fraction(10, 10, 10), 1.0);
        assert_eq!(fraction(5, 10, 10), 0.5);
        assert_eq!(fraction(5, 5, 10), 0.25);
        assert_eq!(fraction(0, 0, 40), 1.0 / 16.0);
        assert_eq!(fraction(-40, -40, 80), 1.0 / 64.0);
        assert_eq!(fraction(400, 400, 80), 0.0);
        assert_eq!(mask.coverage(), 1.0 / 16.0);
    }
}
