//! Tells tissue from glass in a low-power picture.

use image::RgbImage;

use super::ink;
use super::morphology::Bitmap;
use crate::two_class_threshold::TwoClassThreshold;

/// Gaps up to twice this wide are closed, in µm: a fat cell is a gap between its walls.
const CLOSING_UM: f64 = 60.0;

/// Strands thinner than twice this are threads and scratches, in µm.
const OPENING_UM: f64 = 24.0;

/// Walls of fat cells are at most this wide, blurred as they are at low power, in µm.
const WALL_UM: f64 = 48.0;

/// Holes up to this area are filled, in µm²: ten fat cells that ran together, still less than a tile.
const LARGEST_HOLE_UM2: f64 = 100_000.0;

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

/// Pieces smaller than this, in µm², of which less than [`SOLID_SHARE`] is stained, are not joined by closing gaps: a
/// few cells that lie near each other are no piece of tissue.
const LOOSE_PIECE_UM2: f64 = 20_000.0;

/// See [`LOOSE_PIECE_UM2`].
const SOLID_SHARE: f64 = 0.5;

/// Grey or black objects at least this long, in µm, are lines: the edge of a cover slip or of the scan, the rim of an
/// air bubble, a thread. What they tint beside them is no tissue either, up to [`LINE_EDGE_UM`].
const LINE_UM: f64 = 1_500.0;
const LINE_EDGE_UM: f64 = 32.0;

/// What the detection drops.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rules {
    /// Pieces of less than this area are dust, in µm².
    pub(super) smallest_piece_um2: f64,
    /// Whether the blurred rim around tissue, grey shading, long grey lines and their tint, violet and orange ink, and
    /// what joins a few loose cells are dropped.
    pub(super) drops_artefacts: bool,
}

impl Rules {
    /// The rules by which the pixels are chosen whose colours a slide is normalised by. They are part of what decides
    /// descriptors ([`super::TISSUE_VERSION`]) and are not to be changed.
    pub(super) const COLOURS: Self = Self { smallest_piece_um2: 20_000.0, drops_artefacts: false };
}

/// What was found.
pub(super) struct Found {
    pub(super) tissue: Bitmap,
    /// Area of the largest piece that was dropped for being small, in µm²; 0 where there is none.
    pub(super) largest_dropped_um2: f64,
}

/// The tissue in a low-power picture whose pixels are `um_per_px` wide.
pub(super) fn tissue_of(picture: &RgbImage, um_per_px: f64, rules: Rules) -> Found {
    let px = |um: f64| (um / um_per_px).max(1.0);
    let px_area = um_per_px * um_per_px;
    let area_px = |um2: f64| (um2 / px_area).max(1.0) as usize;
    let (width, height) = picture.dimensions();
    let row = width as usize;
    let balanced = white_balanced(picture);
    let colourful: Vec<u8> = balanced.iter().map(|rgb| colourfulness(*rgb)).collect();
    let colour = smoothed(&colourful, row);
    let darkest_channel: Vec<u8> = balanced.iter().map(|[r, g, b]| *r.min(g).min(b)).collect();
    let relief = relief(&darkest_channel, row, (px(WALL_UM) / 2.0).round() as usize);
    // A camera's noise is colourful and lined, too: what the glass has is measured.
    let noise_of = |values: &[u8]| median_where(values, |index| darkest_channel[index] > BRIGHT_GLASS);
    let least_colour = noise_of(&colour).saturating_mul(3).clamp(GLASS_NOISE, FAINT_STAIN);
    let threshold = otsu_threshold(&colour).clamp(least_colour, FAINT_STAIN);
    let least_relief = noise_of(&relief).saturating_mul(3).max(WALL_CONTRAST);
    let is_artefact = |rgb: [u8; 3], density: f32| rules.drops_artefacts && is_neutral(rgb, density);
    // Smoothing spreads colour onto the glass beside tissue.
    let is_rim =
        |index: usize| rules.drops_artefacts && 2 * u16::from(colourful[index]) <= u16::from(threshold);
    let is_coloured = |index: usize| {
        colour[index] > threshold && !is_rim(index) && !is_artefact(balanced[index], SHADE_DENSITY)
    };
    let mut ink = ink::find(&balanced, width, um_per_px);
    if rules.drops_artefacts {
        let coloured = Bitmap::from_fn(width, height, |index| colour[index] > threshold);
        ink.add(&ink::find_violet_and_orange(&balanced, &coloured, um_per_px));
        ink.add(&lines(&balanced, (width, height), um_per_px));
    }
    let stained = Bitmap::from_fn(width, height, |index| {
        let is_wall = relief[index] >= least_relief && colour[index] >= WALL_COLOUR;
        (is_coloured(index) || is_wall)
            && !is_dark_or_grey(balanced[index])
            && !is_artefact(balanced[index], LINE_DENSITY)
            && !ink.get(index)
    });
    let mut tissue = stained.clone();
    // Single grains would grow together when gaps are closed.
    tissue.remove_pieces_below(area_px(SMALLEST_NET_UM2.min(rules.smallest_piece_um2)));
    tissue.close(px(CLOSING_UM));
    // Threads are narrower than the pieces that are asked for.
    tissue.open(px(OPENING_UM.min(rules.smallest_piece_um2.sqrt() / 3.5)));
    tissue.fill_holes_up_to(area_px(LARGEST_HOLE_UM2));
    // Closing and filling reach over ink that lies on glass amid tissue.
    tissue.remove(&ink);
    if rules.drops_artefacts {
        tissue.thin_loose_pieces(&stained, area_px(LOOSE_PIECE_UM2), SOLID_SHARE);
    }
    let largest_dropped = tissue.remove_pieces_below(area_px(rules.smallest_piece_um2));
    Found { tissue, largest_dropped_um2: largest_dropped as f64 * px_area }
}

/// All that is neither glass without anything on it nor outside the scan, in a low-power picture whose pixels are
/// `um_per_px` wide.
pub(super) fn anything_in(picture: &RgbImage, um_per_px: f64) -> Bitmap {
    let (width, height) = picture.dimensions();
    let radius = (CLOSING_UM / um_per_px).max(1.0);
    let pixels: Vec<[u8; 3]> = picture.pixels().map(|pixel| pixel.0).collect();
    // Outside the scan all is white or black; so is a hole, but those are small.
    let mut unscanned = Bitmap::from_fn(width, height, |index| pixels[index].iter().all(|value| *value < 12));
    unscanned.open(radius);
    // Its blurred edge.
    unscanned.dilate(2.0);
    let mut white = Bitmap::from_fn(width, height, |index| pixels[index].iter().all(|value| *value >= WHITE));
    white.open(radius);
    unscanned.add(&white);
    let darkest: Vec<u8> = pixels.iter().map(|[r, g, b]| *r.min(g).min(b)).collect();
    let glass = commonest_light(&darkest, |index| !unscanned.get(index));
    let contrast: Vec<u8> = darkest.iter().map(|value| glass.saturating_sub(*value)).collect();
    let noise = median_where(&contrast, |index| contrast[index] < LEAST_CONTRAST && !unscanned.get(index));
    let least = noise.saturating_mul(3).max(LEAST_CONTRAST);
    Bitmap::from_fn(width, height, |index| contrast[index] >= least && !unscanned.get(index))
}

/// All channels are at least as light where nothing was scanned, or where the camera has let glass go white.
const WHITE: u8 = 252;

/// The light value around which most of the values at wanted places lie, which is that of the glass; 255 where too
/// few are light without being white.
fn commonest_light(values: &[u8], is_wanted: impl Fn(usize) -> bool) -> u8 {
    /// Share of all values that have to be nearly the same.
    const FEWEST: f64 = 0.02;

    let mut histogram = [0_usize; 256];
    for (_, value) in values.iter().enumerate().filter(|(index, _)| is_wanted(*index)) {
        histogram[usize::from(*value)] += 1;
    }
    let near = |value: &usize| histogram[value - 3..=(value + 3).min(255)].iter().sum::<usize>();
    let commonest = (150..usize::from(WHITE)).max_by_key(near).unwrap_or(255);
    if near(&commonest) as f64 >= FEWEST * values.len() as f64 { commonest as u8 } else { 255 }
}

/// Grey levels by which something on the glass is at least darker than the glass, in its darkest channel.
const LEAST_CONTRAST: u8 = 12;

/// Optical density (natural logarithm) from which a neutral colour is shading or a line, not stain. The walls of fat
/// cells are neutral, too, but paler than a line.
const SHADE_DENSITY: f32 = 0.1;
const LINE_DENSITY: f32 = 0.35;

/// Long grey and black objects, and what lies close beside them.
fn lines(balanced: &[[u8; 3]], (width, height): (u32, u32), um_per_px: f64) -> Bitmap {
    let px = |um: f64| (um / um_per_px).max(1.0);
    let is_line =
        |index: usize| is_dark_or_grey(balanced[index]) || is_neutral(balanced[index], LINE_DENSITY);
    let mut lines = Bitmap::from_fn(width, height, is_line);
    lines.keep_long_pieces(px(LINE_UM) as usize);
    lines.dilate(px(LINE_EDGE_UM));
    lines
}

/// Whether a colour is at least of optical density `least` and absorbs all channels alike, as grey shadows, ink and
/// carbon do: stains differ by more (the palest haematoxylin by a quarter).
fn is_neutral(rgb: [u8; 3], least: f32) -> bool {
    let [red, green, blue] = rgb.map(ink::density);
    let most = red.max(green).max(blue);
    most > least && red.min(green).min(blue) > 0.82 * most
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
    TwoClassThreshold::of_counts(counts).map_or(0, |heaps| heaps.last_below as u8)
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
}
