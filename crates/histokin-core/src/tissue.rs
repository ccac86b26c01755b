//! The tissue mask of a slide.
//!
//! The mask is computed once per slide from a low-power picture, according to [`TissueSettings`]. The tiles
//! to embed are selected from it ([`selection`]). The method is designed for haematoxylin and eosin, and for
//! haematoxylin and DAB in immunohistochemistry.

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

/// Version of the method that selects the pixels whose colours a slide is normalised by. It affects
/// descriptors and is part of the recipe. The selection of tiles to embed is not: it does not change the
/// descriptor of a tile.
pub const TISSUE_VERSION: u32 = 2;

/// Default share of a tile that has to be tissue for the tile to be embedded.
pub const TISSUE_FRACTION: f64 = 0.5;

/// Pixel size of the mask in µm: fine enough that a fat cell (50–120 µm) is several pixels wide.
const MASK_UM: f64 = 8.0;

/// Approximate longer side of the mask in pixels, where the pixel size of the slide is unknown.
const MASK_PX: f64 = 2000.0;

/// The tissue mask of a slide, at low power.
#[derive(Debug, Clone)]
pub struct TissueMask {
    /// The mask: 255 for tissue, 0 for everything else.
    pub mask: GrayImage,
    /// Number of level-0 pixels that one mask pixel spans along x and y.
    pub scale: (f64, f64),
    /// Area in µm² of the largest piece that was dropped as too small; 0 if none was.
    pub largest_dropped_um2: f64,
    /// The settings with which it was computed.
    pub settings: TissueSettings,
}

impl TissueMask {
    /// Computes the mask of `slide` with default settings.
    ///
    /// # Errors
    /// As for [`Self::find`].
    pub fn of(slide: &dyn SlideSource) -> Result<Self, SlideError> {
        Self::find(slide, &TissueSettings::default())
    }

    /// Computes the mask of `slide`.
    ///
    /// A pixel is tissue if it is colourful, by Otsu's threshold (1979), or part of a thin line darker than
    /// its surroundings, such as the wall of a fat cell, and if it is neither ink nor as dark as dirt,
    /// borders or black pen. Then gaps and holes up to the size of fat cells are closed, so that fat, whose
    /// cells are empty in sections, counts as tissue. Threads, grey lines and small pieces are dropped.
    ///
    /// With [`Detection::Off`], everything counts as tissue except plain glass and the area outside the scan.
    ///
    /// # Errors
    /// [`SlideError::Read`] if the low-power picture cannot be read.
    pub fn find(slide: &dyn SlideSource, settings: &TissueSettings) -> Result<Self, SlideError> {
        Ok(Self::of_low_power(slide.info(), &LowPower::of(slide)?, settings))
    }

    /// As [`Self::find`], for slides that take long to read because they lack coarse levels. `goes_on` gets the share
    /// (0 to 1) that has been read and returns whether to go on; `None` if it does not.
    ///
    /// # Errors
    /// As for [`Self::find`].
    pub fn find_while(
        slide: &dyn SlideSource,
        settings: &TissueSettings,
        goes_on: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Option<Self>, SlideError> {
        let low_power = LowPower::of_while(slide, goes_on)?;
        Ok(low_power.map(|low_power| Self::of_low_power(slide.info(), &low_power, settings)))
    }

    fn of_low_power(info: &SlideInfo, low_power: &LowPower, settings: &TissueSettings) -> Self {
        let um_per_px = low_power.um_per_px(info);
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
        Self {
            mask: tissue.into_image(),
            scale: (f64::from(across), f64::from(down)),
            largest_dropped_um2,
            settings: settings.clone(),
        }
    }

    /// Returns the share (0 to 1) of `rect` that is tissue. The area outside the slide is not tissue.
    ///
    /// Counts the mask pixels under `rect`, weighting those at its edges by the covered part: about 800 per
    /// tile, independent of the slide's size. A summed-area table would take four times the memory of the
    /// mask to save microseconds.
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

    /// Returns whether any part of `rect` is tissue, so that it can be used as a query.
    pub fn has_tissue(&self, rect: &Level0Rect) -> bool {
        self.fraction(rect) > 0.0
    }

    /// Returns the share (0 to 1) of the whole slide that is tissue.
    pub fn coverage(&self) -> f64 {
        let tissue = self.mask.as_raw().iter().filter(|value| **value > 0).count();
        tissue as f64 / self.mask.as_raw().len().max(1) as f64
    }
}

/// The range of mask pixels that a rectangle covers along one axis.
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

    /// Returns the share (0 to 1) of pixel `index` that is covered.
    fn of(&self, index: u32) -> f64 {
        let (left, right) = (f64::from(index), f64::from(index) + 1.0);
        self.stop.min(right) - self.start.max(left)
    }
}

/// A whole slide at low power.
pub(crate) struct LowPower {
    pub(crate) picture: RgbImage,
    /// Level-0 pixels along the width and the height of a pixel: integers, so that pixels align with the
    /// level-0 pixels. They differ where the slide's pixels are not square.
    pub(crate) scale: (u32, u32),
}

impl LowPower {
    /// Returns the number of level-0 pixels along the edge of a square pixel of the same area.
    pub(crate) fn mean_scale(&self) -> f64 {
        let (across, down) = self.scale;
        if across == down { across.into() } else { (f64::from(across) * f64::from(down)).sqrt() }
    }

    /// Reads the picture from which the mask is computed.
    pub(crate) fn of(slide: &dyn SlideSource) -> Result<Self, SlideError> {
        let picture = Self::of_while(slide, &mut |_| true)?;
        Ok(picture.expect("only a caller that does not go on ends the reading"))
    }

    /// As [`Self::of`], as long as `goes_on`, which gets the share (0 to 1) that has been read. The picture is read in
    /// pieces, since the slide may have only one huge level.
    fn of_while(
        slide: &dyn SlideSource,
        goes_on: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Option<Self>, SlideError> {
        /// Edge of a piece in decoded pixels: 64 MiB.
        const PIECE_PX: f64 = 4096.0;
        /// Height of a piece of a level that has to be computed: one row of tiles.
        const COMPUTED_ROWS: f64 = 512.0;

        let info = slide.info();
        let scale = low_power_scale(info);
        let (width, height) = (info.width().div_ceil(scale.0), info.height().div_ceil(scale.1));
        let wanted = Downsample { x: scale.0.into(), y: scale.1.into() };
        let level = level_read_for_view(slide, wanted);
        let decoded_per_px = (wanted.x / level.x).max(wanted.y / level.y);
        let is_computed = slide.computed_levels().iter().any(|computed| computed.downsample == level);
        let most = |decoded: f64| (decoded / decoded_per_px).max(1.0) as u32;
        let (most_columns, most_rows) =
            (most(PIECE_PX), most(if is_computed { COMPUTED_ROWS } else { PIECE_PX }));
        let mut picture = RgbImage::new(width, height);
        for top in (0..height).step_by(most_rows as usize) {
            if !goes_on(f64::from(top) / f64::from(height)) {
                return Ok(None);
            }
            for left in (0..width).step_by(most_columns as usize) {
                let (columns, rows) = (most_columns.min(width - left), most_rows.min(height - top));
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
        Ok(Some(Self { picture, scale }))
    }
}

impl LowPower {
    /// Returns the edge of a pixel in µm; the nominal size if the slide is not calibrated.
    fn um_per_px(&self, info: &SlideInfo) -> f64 {
        info.mpp.map_or(MASK_UM, |mpp| mpp.mean() * self.mean_scale())
    }
}

/// The tissue whose colours a slide is normalised by, as pixels of its low-power picture. It depends on the
/// slide alone, not on the selection of tiles.
pub struct ColouredTissue {
    pub(crate) pixels: Vec<bool>,
}

impl ColouredTissue {
    /// Minimum number of pixels to measure the colours of a slide: about a tenth of a tile at low power.
    pub(crate) const FEWEST_PIXELS: usize = 100;

    /// Finds this tissue on a slide.
    ///
    /// # Errors
    /// [`SlideError::Read`] if the low-power picture cannot be read.
    pub fn of(slide: &dyn SlideSource) -> Result<Self, SlideError> {
        Ok(Self::in_picture(&LowPower::of(slide)?, slide.info()))
    }

    /// Finds this tissue in a low-power picture. Where [`Rules::COLOURS`] finds too little, as on a small
    /// biopsy, the default rules are used.
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
        Some(mpp) if !mpp.is_square() => (whole(MASK_UM / mpp.x()), whole(MASK_UM / mpp.y())),
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
    use crate::slide::test_slide::TestSlide;

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

    #[test]
    fn reading_for_the_mask_goes_on_as_long_as_it_is_wanted() {
        let slide = TestSlide::new(300, 9000);
        let settings = TissueSettings::default();
        let mut shares = Vec::new();
        let found = TissueMask::find_while(&slide, &settings, &mut |share| {
            shares.push(share);
            true
        });
        assert!(found.unwrap().unwrap().mask == TissueMask::find(&slide, &settings).unwrap().mask);
        assert!(
            shares.len() > 1
                && shares[0] == 0.0
                && shares.is_sorted()
                && shares.iter().all(|share| *share < 1.0)
        );
        let mut asked = 0;
        let ended = TissueMask::find_while(&slide, &settings, &mut |_| {
            asked += 1;
            asked < 2
        });
        assert!(ended.unwrap().is_none() && asked == 2);
    }
}
