//! Detection of tissue in a low-power picture.

use image::RgbImage;

use super::ink;
use super::morphology::Bitmap;
use crate::two_class_threshold::TwoClassThreshold;

/// Half the width of gaps that are closed, in µm: a fat cell is a gap between its walls.
const CLOSING_UM: f64 = 60.0;

/// Half the width in µm below which strands are threads and scratches.
const OPENING_UM: f64 = 24.0;

/// Maximum width of the walls of fat cells, blurred at low power, in µm.
const WALL_UM: f64 = 48.0;

/// Maximum area of holes that are filled, in µm²: ten merged fat cells, which is less than a tile.
const LARGEST_HOLE_UM2: f64 = 100_000.0;

/// Area in µm² below which connected walls are dust.
const SMALLEST_NET_UM2: f64 = 2_000.0;

/// Colourfulness (see [`colourfulness`]) up to which a pixel is never tissue: JPEG compression gives white
/// glass as much.
const GLASS_NOISE: u8 = 5;

/// Colourfulness above which a pixel is always stained. On slides with both strong and faint stain, Otsu's
/// threshold lies between the two; it is limited to this value, to keep mucin and pale stroma.
const FAINT_STAIN: u8 = 12;

/// Minimum difference in grey levels between the wall of a fat cell and the lighter cell.
const WALL_CONTRAST: u8 = 5;
/// Minimum colourfulness of the wall of a fat cell, averaged over its neighbourhood: scratches and shadows
/// have none.
const WALL_COLOUR: u8 = 2;

/// Area in µm² below which a piece is reduced to its stained pixels if less than [`SOLID_SHARE`] of it is
/// stained: a few cells near each other, joined by closing gaps, are not a piece of tissue.
const LOOSE_PIECE_UM2: f64 = 20_000.0;

/// See [`LOOSE_PIECE_UM2`].
const SOLID_SHARE: f64 = 0.5;

/// Minimum length, in µm, of grey or black objects that count as lines: the edge of a cover slip or of the
/// scan, the rim of an air bubble, a thread.
const LINE_UM: f64 = 1_500.0;
/// Width of the tinted margin of a line, in µm, which is not tissue either.
const LINE_EDGE_UM: f64 = 32.0;

/// Which objects the detection discards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rules {
    /// Area in µm² below which a piece is dust.
    pub(super) smallest_piece_um2: f64,
    /// Whether to discard the blurred rim around tissue, grey shading, long grey lines and their tint, violet
    /// and orange ink, and the area between a few loose cells.
    pub(super) drops_artefacts: bool,
}

impl Rules {
    /// The rules that select the pixels whose colours a slide is normalised by. They affect descriptors
    /// ([`super::TISSUE_VERSION`]) and must not be changed.
    pub(super) const COLOURS: Self = Self { smallest_piece_um2: 20_000.0, drops_artefacts: false };
}

/// Result of the detection.
pub(super) struct Found {
    pub(super) tissue: Bitmap,
    /// Area in µm² of the largest piece that was discarded as too small; 0 if none was.
    pub(super) largest_dropped_um2: f64,
}

/// Finds tissue in a low-power picture whose pixels are `um_per_px` wide.
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
    let local_contrast = local_contrast(&darkest_channel, row, (px(WALL_UM) / 2.0).round() as usize);
    // Camera noise is colourful and has thin lines, too, so the noise of the glass is measured.
    let noise_of = |values: &[u8]| median_where(values, |index| darkest_channel[index] > BRIGHT_GLASS);
    let least_colour = noise_of(&colour).saturating_mul(3).clamp(GLASS_NOISE, FAINT_STAIN);
    let threshold = otsu_threshold(&colour).clamp(least_colour, FAINT_STAIN);
    let least_contrast = noise_of(&local_contrast).saturating_mul(3).max(WALL_CONTRAST);
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
        let is_wall = local_contrast[index] >= least_contrast && colour[index] >= WALL_COLOUR;
        (is_coloured(index) || is_wall)
            && !is_dark_or_grey(balanced[index])
            && !is_artefact(balanced[index], LINE_DENSITY)
            && !ink.get(index)
    });
    let mut tissue = stained.clone();
    // Single grains would be joined when gaps are closed.
    tissue.remove_pieces_below(area_px(SMALLEST_NET_UM2.min(rules.smallest_piece_um2)));
    tissue.close(px(CLOSING_UM));
    // Threads are narrower than the smallest piece.
    tissue.open(px(OPENING_UM.min(rules.smallest_piece_um2.sqrt() / 3.5)));
    tissue.fill_holes_up_to(area_px(LARGEST_HOLE_UM2));
    // Closing and filling may have included ink on glass within the tissue.
    tissue.remove(&ink);
    if rules.drops_artefacts {
        tissue.thin_loose_pieces(&stained, area_px(LOOSE_PIECE_UM2), SOLID_SHARE);
    }
    let largest_dropped = tissue.remove_pieces_below(area_px(rules.smallest_piece_um2));
    Found { tissue, largest_dropped_um2: largest_dropped as f64 * px_area }
}

/// Finds everything except plain glass and the area outside the scan, in a low-power picture whose pixels are
/// `um_per_px` wide.
pub(super) fn anything_in(picture: &RgbImage, um_per_px: f64) -> Bitmap {
    let (width, height) = picture.dimensions();
    let radius = (CLOSING_UM / um_per_px).max(1.0);
    let pixels: Vec<[u8; 3]> = picture.pixels().map(|pixel| pixel.0).collect();
    // The area outside the scan is white or black; holes in the tissue are, too, but they are small.
    let mut unscanned = Bitmap::from_fn(width, height, |index| pixels[index].iter().all(|value| *value < 12));
    unscanned.open(radius);
    // Include its blurred edge.
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

/// Minimum value of all channels where nothing was scanned, or where the glass is overexposed.
const WHITE: u8 = 252;

/// Returns the most frequent light value among those whose index is wanted, which is that of the glass; 255
/// if too few values are light but not white.
fn commonest_light(values: &[u8], is_wanted: impl Fn(usize) -> bool) -> u8 {
    /// Minimum share of values close to the most frequent one.
    const FEWEST: f64 = 0.02;

    let mut histogram = [0_usize; 256];
    for (_, value) in values.iter().enumerate().filter(|(index, _)| is_wanted(*index)) {
        histogram[usize::from(*value)] += 1;
    }
    let near = |value: &usize| histogram[value - 3..=(value + 3).min(255)].iter().sum::<usize>();
    let commonest = (150..usize::from(WHITE)).max_by_key(near).unwrap_or(255);
    if near(&commonest) as f64 >= FEWEST * values.len() as f64 { commonest as u8 } else { 255 }
}

/// Minimum difference in grey levels between the glass and an object on it, in the darkest channel.
const LEAST_CONTRAST: u8 = 12;

/// Optical density (natural logarithm) above which a neutral colour is shading, not stain.
const SHADE_DENSITY: f32 = 0.1;
/// Optical density above which a neutral colour is a line. The walls of fat cells are neutral, too, but
/// paler.
const LINE_DENSITY: f32 = 0.35;

/// Finds long grey and black objects with their margin.
fn lines(balanced: &[[u8; 3]], (width, height): (u32, u32), um_per_px: f64) -> Bitmap {
    let px = |um: f64| (um / um_per_px).max(1.0);
    let is_line =
        |index: usize| is_dark_or_grey(balanced[index]) || is_neutral(balanced[index], LINE_DENSITY);
    let mut lines = Bitmap::from_fn(width, height, is_line);
    lines.keep_long_pieces(px(LINE_UM) as usize);
    lines.dilate(px(LINE_EDGE_UM));
    lines
}

/// Returns whether a colour has an optical density above `least` and absorbs all channels almost equally, as
/// grey shadows, ink and carbon do. Stains differ more between channels (the palest haematoxylin by a
/// quarter).
fn is_neutral(rgb: [u8; 3], least: f32) -> bool {
    let [red, green, blue] = rgb.map(ink::density);
    let most = red.max(green).max(blue);
    most > least && red.min(green).min(blue) > 0.82 * most
}

/// Value above which white-balanced pixels are glass.
const BRIGHT_GLASS: u8 = 240;

/// Returns whether a colour is darker than stained tissue at low power, or as grey as dust and black pen.
fn is_dark_or_grey([r, g, b]: [u8; 3]) -> bool {
    let (lightest, darkest) = (r.max(g).max(b), r.min(g).min(b));
    lightest < 60 || (lightest < 150 && f64::from(lightest - darkest) < 0.12 * f64::from(lightest))
}

/// Divides the picture by the colour of the glass, so that tinted illumination does not count as stain.
fn white_balanced(picture: &RgbImage) -> Vec<[u8; 3]> {
    let glass = glass_colour(picture);
    let balance = |value: u8, white: u8| {
        let value = (u32::from(value) * 255 + u32::from(white) / 2) / u32::from(white);
        value.min(255) as u8
    };
    let tables = glass.map(|white| std::array::from_fn::<u8, 256, _>(|value| balance(value as u8, white)));
    picture.pixels().map(|p| std::array::from_fn(|i| tables[i][usize::from(p.0[i])])).collect()
}

/// Returns the median colour of the brightest tenth of the picture, or white if nothing is bright. Pure white
/// is excluded: it is the area outside the scan.
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

/// Returns the value of the given rank, from 0, among the counted values.
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

/// Returns the difference between the strongest and the weakest channel (chroma in HSV terms). Unlike
/// saturation, it is small for all black and grey pixels.
fn colourfulness([r, g, b]: [u8; 3]) -> u8 {
    r.max(g).max(b) - r.min(g).min(b)
}

/// Returns whether a colour at low power is clearly that of stain.
pub(crate) fn is_stained(rgb: [u8; 3]) -> bool {
    colourfulness(rgb) > FAINT_STAIN
}

/// Returns how much darker thin structures are than their surroundings: the grey-scale closing with a square
/// of `2 * radius + 1` pixels minus the picture (black top-hat).
fn local_contrast(values: &[u8], width: usize, radius: usize) -> Vec<u8> {
    let lightest = windows(values, width, radius, u8::max);
    let closed = windows(&lightest, width, radius, u8::min);
    closed.iter().zip(values).map(|(closed, value)| closed - value).collect()
}

/// Returns the extreme value (by `choose`) in a square around each pixel, computed along rows and then along
/// columns.
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

/// Returns the median of the values whose index satisfies `is_wanted`; 0 if there are none.
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

/// Returns the mean over 3 × 3 pixels (fewer at the edges), to reduce noise.
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

/// Returns Otsu's threshold (1979). Values above it belong to the upper class; 0 if all values are equal.
fn otsu_threshold(values: &[u8]) -> u8 {
    let mut histogram = [0_u64; 256];
    for value in values {
        histogram[usize::from(*value)] += 1;
    }
    let counts = histogram.iter().enumerate().map(|(value, count)| (value as f64, *count as f64));
    TwoClassThreshold::of_counts(counts).map_or(0, |split| split.last_below as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn otsu_separates_two_clusters() {
        let values: Vec<u8> =
            (0..300).map(|i| if i % 3 == 0 { 90 + (i % 7) as u8 } else { 10 + (i % 5) as u8 }).collect();
        let threshold = otsu_threshold(&values);
        assert!((14..90).contains(&threshold), "{threshold}");
    }
}
