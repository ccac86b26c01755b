//! Where on the slide there is tissue.
//!
//! The mask is computed once a slide from a low-power picture; a tile counts as tissue when the mask
//! covers at least [`TISSUE_FRACTION`] of it. Made for haematoxylin and eosin, and for the haematoxylin and
//! DAB of immunohistochemistry.

mod ink;
mod morphology;

use image::{GrayImage, RgbImage};

use crate::geometry::{Downsample, Level0Rect};
use crate::slide::{SlideError, SlideInfo, SlideSource};
use crate::tiling::{level_read_for_view, read_rect_for_view};
use crate::two_means::TwoMeans;
use morphology::Bitmap;

/// Counts the ways in which tissue has been found so far. It is part of what decides descriptors: raise it
/// when other tiles are tissue, or other pixels decide a slide's stain.
pub const TISSUE_VERSION: u32 = 2;

/// Share of a tile that has to be tissue for the tile to be embedded.
pub const TISSUE_FRACTION: f64 = 0.5;

/// Resolution of the mask in µm per pixel: a fat cell (50–120 µm) is still several pixels wide.
const MASK_UM: f64 = 8.0;

/// Longer side of the mask, about, where the pixel size is unknown.
const MASK_PX: f64 = 2000.0;

/// Gaps up to twice this wide are closed, in µm: a fat cell is a gap between its walls.
const CLOSING_UM: f64 = 60.0;

/// Strands thinner than twice this are threads and scratches, in µm.
const OPENING_UM: f64 = 24.0;

/// Walls of fat cells are at most this wide, blurred as they are at low power, in µm.
const WALL_UM: f64 = 48.0;

/// Holes up to this area are filled, in µm²: ten fat cells that ran together, still less than a tile.
const LARGEST_HOLE_UM2: f64 = 100_000.0;

/// Pieces of less than this area are dust, in µm²: half a tile of 224 µm.
const SMALLEST_PIECE_UM2: f64 = 20_000.0;

/// Walls that hang together over less than this are dust, in µm².
const SMALLEST_NET_UM2: f64 = 2_000.0;

/// Colourfulness (see [`colourfulness`]) that is never tissue, as JPEG gives white glass as much.
const GLASS_NOISE: u8 = 5;

/// Colourfulness that is always tissue. Otsu's threshold lies between strong and faint stain where a slide
/// has both; it is not let rise above this, or mucin and pale stroma would go.
const FAINT_STAIN: u8 = 12;

/// Grey levels by which the wall of a fat cell is at least darker than the cell, and the colourfulness it
/// has at least, averaged over its neighbourhood: scratches and shadows have none.
const WALL_CONTRAST: u8 = 5;
const WALL_COLOUR: u8 = 2;

/// A low-power picture of the slide in which each pixel is tissue (255) or not (0).
#[derive(Debug, Clone)]
pub struct TissueMask {
    pub mask: GrayImage,
    /// Level-0 pixels that one mask pixel spans along x and y.
    pub scale: (f64, f64),
}

impl TissueMask {
    /// Find the tissue of `slide`.
    ///
    /// A pixel is tissue if it is colourful, by a threshold after Otsu (1979), or is a thin line, darker
    /// than what is beside it, as the walls of fat cells are; and if it is neither ink nor dark as dirt,
    /// borders and black pen are. Then gaps and holes as small as fat cells are closed, so that fat, whose
    /// cells are empty in section, counts as tissue, and threads and small pieces are dropped.
    ///
    /// # Errors
    /// [`SlideError::Read`] when the low-power picture cannot be read.
    pub fn of(slide: &dyn SlideSource) -> Result<Self, SlideError> {
        let low_power = LowPower::of(slide)?;
        let um_per_px = match slide.info().mpp {
            Some(mpp) => mpp.mean() * low_power.mean_scale(),
            None => MASK_UM,
        };
        let tissue = tissue_of(&low_power.picture, um_per_px);
        let (across, down) = low_power.scale;
        Ok(Self { mask: tissue.into_image(), scale: (f64::from(across), f64::from(down)) })
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

/// The tissue in a low-power picture whose pixels are `um_per_px` wide.
fn tissue_of(picture: &RgbImage, um_per_px: f64) -> Bitmap {
    let px = |um: f64| (um / um_per_px).max(1.0);
    let area_px = |um2: f64| (um2 / (um_per_px * um_per_px)).max(1.0) as usize;
    let width = picture.width() as usize;
    let balanced = white_balanced(picture);
    let colourful: Vec<u8> = balanced.iter().map(|rgb| colourfulness(*rgb)).collect();
    let colour = smoothed(&colourful, width);
    let darkest_channel: Vec<u8> = balanced.iter().map(|[r, g, b]| *r.min(g).min(b)).collect();
    let relief = relief(&darkest_channel, width, (px(WALL_UM) / 2.0).round() as usize);
    // A camera's noise is colourful and lined, too: what the glass has is measured.
    let noise_of = |values: &[u8]| median_where(values, |index| darkest_channel[index] > BRIGHT_GLASS);
    let least_colour = noise_of(&colour).saturating_mul(3).clamp(GLASS_NOISE, FAINT_STAIN);
    let threshold = otsu_threshold(&colour).clamp(least_colour, FAINT_STAIN);
    let least_relief = noise_of(&relief).saturating_mul(3).max(WALL_CONTRAST);
    let ink = ink::find(&balanced, picture.width(), um_per_px);
    let mut tissue = Bitmap::from_fn(picture.width(), picture.height(), |index| {
        let is_wall = relief[index] >= least_relief && colour[index] >= WALL_COLOUR;
        (colour[index] > threshold || is_wall) && !is_dark_or_grey(balanced[index]) && !ink.get(index)
    });
    // Single grains would grow together when gaps are closed.
    tissue.remove_pieces_below(area_px(SMALLEST_NET_UM2));
    tissue.close(px(CLOSING_UM));
    tissue.open(px(OPENING_UM));
    tissue.fill_holes_up_to(area_px(LARGEST_HOLE_UM2));
    // Closing and filling reach over ink that lies on glass amid tissue.
    tissue.remove(&ink);
    tissue.remove_pieces_below(area_px(SMALLEST_PIECE_UM2));
    tissue
}

/// Glass is brighter than this once it is white.
const BRIGHT_GLASS: u8 = 240;

/// Whether a colour is darker than stained tissue at low power, or as grey as dust and black pen.
fn is_dark_or_grey([r, g, b]: [u8; 3]) -> bool {
    let (lightest, darkest) = (r.max(g).max(b), r.min(g).min(b));
    lightest < 60 || (lightest < 150 && f64::from(lightest - darkest) < 0.12 * f64::from(lightest))
}

/// Divide by the colour of the glass, so that a tinted lamp is not taken for stain.
fn white_balanced(picture: &RgbImage) -> Vec<[u8; 3]> {
    let glass = glass_colour(picture);
    let balance = |value: u8, white: u8| {
        let value = (u32::from(value) * 255 + u32::from(white) / 2) / u32::from(white);
        value.min(255) as u8
    };
    let tables = glass.map(|white| std::array::from_fn::<u8, 256, _>(|value| balance(value as u8, white)));
    picture.pixels().map(|p| std::array::from_fn(|i| tables[i][usize::from(p.0[i])])).collect()
}

/// The median colour of the brightest tenth of the picture, or white where nothing is bright. Pure white is
/// left out: it is what lies outside the scan.
fn glass_colour(picture: &RgbImage) -> [u8; 3] {
    const DARKEST_GLASS: u8 = 200;
    let candidates =
        || picture.pixels().filter(|p| p.0 != [255; 3] && p.0.iter().all(|v| *v >= DARKEST_GLASS));
    let mut darkest_channel = [0_usize; 256];
    for pixel in candidates() {
        darkest_channel[usize::from(pixel.0[0].min(pixel.0[1]).min(pixel.0[2]))] += 1;
    }
    let count: usize = darkest_channel.iter().sum();
    let brightest = quantile(&darkest_channel, count - count / 10);
    let mut channels = [[0_usize; 256]; 3];
    for pixel in candidates().filter(|p| p.0.iter().all(|v| usize::from(*v) >= brightest)) {
        for (channel, value) in channels.iter_mut().zip(pixel.0) {
            channel[usize::from(value)] += 1;
        }
    }
    if count == 0 {
        return [255; 3];
    }
    channels.map(|histogram| quantile(&histogram, histogram.iter().sum::<usize>() / 2) as u8)
}

/// The value below which `rank` of the counted values lie.
fn quantile(histogram: &[usize; 256], rank: usize) -> usize {
    let mut seen = 0;
    histogram
        .iter()
        .position(|count| {
            seen += count;
            seen > rank
        })
        .unwrap_or(255)
}

/// Saturation as the difference between the strongest and the weakest channel (chroma in HSV terms):
/// unlike the quotient it is small for all that is black or grey.
fn colourfulness([r, g, b]: [u8; 3]) -> u8 {
    r.max(g).max(b) - r.min(g).min(b)
}

/// Whether a colour is that of stain, at low power, beyond doubt.
pub(crate) fn is_stained(rgb: [u8; 3]) -> bool {
    colourfulness(rgb) > FAINT_STAIN
}

/// How much darker a pixel is than what is beside it, where that is thin: a grey closing with a square of
/// `2 * radius + 1` pixels, less the picture itself (black top-hat).
fn relief(values: &[u8], width: usize, radius: usize) -> Vec<u8> {
    let lightest = windows(values, width, radius, u8::max);
    let closed = windows(&lightest, width, radius, u8::min);
    closed.iter().zip(values).map(|(closed, value)| closed - value).collect()
}

/// The extreme value (by `choose`) in a square around each pixel, along rows and then along columns.
fn windows(values: &[u8], width: usize, radius: usize, choose: impl Fn(u8, u8) -> u8) -> Vec<u8> {
    let mut along_rows = values.to_vec();
    for (row, extremes) in values.chunks_exact(width).zip(along_rows.chunks_exact_mut(width)) {
        for shift in 1..=radius.min(width - 1) {
            for x in 0..width - shift {
                extremes[x] = choose(extremes[x], row[x + shift]);
                extremes[x + shift] = choose(extremes[x + shift], row[x]);
            }
        }
    }
    let mut extremes = along_rows.clone();
    for shift in (1..=radius).map(|rows| rows * width).take_while(|shift| *shift < values.len()) {
        for index in 0..values.len() - shift {
            extremes[index] = choose(extremes[index], along_rows[index + shift]);
            extremes[index + shift] = choose(extremes[index + shift], along_rows[index]);
        }
    }
    extremes
}

/// Median of the values at whose index `is_wanted` holds; 0 if there are none.
fn median_where(values: &[u8], is_wanted: impl Fn(usize) -> bool) -> u8 {
    let mut histogram = [0_usize; 256];
    for (_, value) in values.iter().enumerate().filter(|(index, _)| is_wanted(*index)) {
        histogram[usize::from(*value)] += 1;
    }
    match histogram.iter().sum::<usize>() {
        0 => 0,
        count => quantile(&histogram, count / 2) as u8,
    }
}

/// Mean over 3 × 3 pixels (fewer at the edges), against grain.
fn smoothed(values: &[u8], width: usize) -> Vec<u8> {
    let height = values.len() / width;
    // Sum and number of up to three values, first along rows and then along columns.
    let along_rows: Vec<(u16, u16)> = values
        .chunks_exact(width)
        .flat_map(|row| {
            (0..width).map(|x| {
                let near = &row[x.saturating_sub(1)..(x + 2).min(width)];
                (near.iter().map(|value| u16::from(*value)).sum(), near.len() as u16)
            })
        })
        .collect();
    let mean = |index: usize| {
        let (x, y) = (index % width, index / width);
        let rows = y.saturating_sub(1)..(y + 2).min(height);
        let (sum, count) = rows
            .map(|row| along_rows[row * width + x])
            .fold((0, 0), |(sum, count), (more, of)| (sum + more, count + of));
        ((sum + count / 2) / count) as u8
    };
    (0..values.len()).map(mean).collect()
}

/// The threshold that separates the values best (Otsu 1979). Values above it belong to the upper class; 0 where all are the
/// same.
fn otsu_threshold(values: &[u8]) -> u8 {
    let mut histogram = [0_u64; 256];
    for value in values {
        histogram[usize::from(*value)] += 1;
    }
    let counts = histogram.iter().enumerate().map(|(value, count)| (value as f64, *count as f64));
    TwoMeans::of_counts(counts).map_or(0, |heaps| heaps.last_below as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn otsu_parts_two_heaps() {
        let values: Vec<u8> =
            (0..300).map(|i| if i % 3 == 0 { 90 + (i % 7) as u8 } else { 10 + (i % 5) as u8 }).collect();
        let threshold = otsu_threshold(&values);
        assert!((14..90).contains(&threshold), "{threshold}");
    }

    #[test]
    fn edge_pixels_count_by_the_part_that_is_covered() {
        let mut mask = GrayImage::new(4, 4);
        mask.put_pixel(1, 1, image::Luma([255]));
        let mask = TissueMask { mask, scale: (10.0, 10.0) };
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
