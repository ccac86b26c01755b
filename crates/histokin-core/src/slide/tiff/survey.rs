//! Determines the range of the values in an image if its tags do not state it.

use super::colours::{Model, Range, Rendering};
use super::raster::Raster;
use super::set::Handles;

/// Maximum number of pixels of one image that are sampled.
const MAX_PIXELS: usize = 1 << 21;

/// Maximum number of tiles or strips that are sampled.
const MAX_CHUNKS: usize = 32;

/// Quantiles of the values that are shown as black and white, for types without a fixed range.
const BLACK_BELOW: f64 = 0.001;
const WHITE_BELOW: f64 = 0.999;

/// Returns the number of bits for values up to `max`; `None` if it is 0.
pub(super) fn bits_of(max: u64) -> Option<u32> {
    (max > 0).then(|| u64::BITS - max.leading_zeros())
}

/// Returns values sampled evenly from `raster`, of one sample or of all.
pub(super) fn numbers(raster: &Raster, sample: Option<usize>, files: &mut Handles) -> Vec<f32> {
    let mut numbers = Vec::new();
    let Ok(file) = files.of(raster) else { return numbers };
    let chunks = raster.grid.tiles();
    let each = (raster.grid.tile_width as usize).saturating_mul(raster.grid.tile_height as usize).max(1);
    let wanted = (MAX_PIXELS / each).clamp(1, MAX_CHUNKS.max(1));
    let step = chunks.div_ceil(wanted).max(1);
    // Start half a step in, because the first tiles of a slide are empty glass.
    let mut chunk = if chunks > wanted { step / 2 } else { 0 };
    while chunk < chunks && numbers.len() < 4 * MAX_PIXELS {
        let read = match sample {
            Some(sample) => raster.read_sample(file, chunk, sample),
            None => raster.read(file, chunk),
        };
        // Tiles that cannot be read are skipped.
        if let Ok(Some(samples)) = read {
            let stride = (samples.len() / MAX_PIXELS).max(1);
            // What extends beyond the image is not seen.
            let shown = raster.grid.region(0, chunk);
            let each = if sample.is_some() { 1 } else { raster.samples };
            let is_shown = |index: &usize| {
                let (x, y) = (
                    index / each % raster.grid.tile_width as usize,
                    index / each / raster.grid.tile_width as usize,
                );
                x < shown.width as usize && y < shown.height as usize
            };
            let indices = (0..samples.len()).step_by(stride).filter(is_shown);
            numbers.extend(indices.map(|index| samples.at(index)));
        }
        chunk += step;
    }
    numbers
}

/// Determines the range of values for `rendering` if their type does not: 12 bits are often stored in 16, and
/// floating-point numbers have no fixed white. `stated` is the number of bits stated in the file. Returns a
/// note if the range had to be guessed.
pub(super) fn range(
    rendering: &mut Rendering,
    raster: &Raster,
    files: &mut Handles,
    stated: Option<u32>,
) -> Option<String> {
    match rendering.range {
        // Colours of this kind have a range of their own.
        Range::Bits(_) if matches!(rendering.model, Model::Lab { .. }) => None,
        Range::Bits(bits @ 9..=16) => {
            if let Some(stated) = stated.filter(|stated| (1..bits).contains(stated)) {
                rendering.range = Range::Bits(stated.max(8));
                return None;
            }
            if bits < 16 {
                return None;
            }
            let max = largest(raster, files);
            let used = [8, 10, 12, 14].into_iter().find(|used| max < 1 << used).filter(|_| max > 0)?;
            rendering.range = Range::Bits(used);
            Some(format!("its 16-bit values use only {used} bits and are shown with that range"))
        }
        Range::Bits(_) => None,
        Range::Window(..) => {
            let mut numbers = numbers(raster, None, files);
            numbers.retain(|number| number.is_finite());
            numbers.sort_unstable_by(f32::total_cmp);
            let (Some(first), Some(last)) = (numbers.first().copied(), numbers.last().copied()) else {
                return None;
            };
            if first >= 0.0 && last <= 255.0 {
                rendering.range = Range::Window(0.0, if last <= 1.0 { 1.0 } else { 255.0 });
                return None;
            }
            let at = |share: f64| numbers[((numbers.len() - 1) as f64 * share) as usize];
            let (low, high) = (at(BLACK_BELOW), at(WHITE_BELOW));
            let (low, high) = if high > low { (low, high) } else { (low, low + 1.0) };
            rendering.range = Range::Window(low, high);
            Some(format!("its values from {low} to {high} are shown as black to white"))
        }
    }
}

fn largest(raster: &Raster, files: &mut Handles) -> u32 {
    numbers(raster, None, files).into_iter().fold(0.0, f32::max) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_tell_bits() {
        assert_eq!([1, 255, 4095, 65_535].map(bits_of), [1, 8, 12, 16].map(Some));
        assert_eq!(bits_of(0), None);
    }
}
