//! Which numbers the pixels of an image hold, where its tags do not say.

use std::fs::File;

use super::colours::{Range, Rendering};
use super::raster::Raster;

/// Pixels of one image that are looked at.
const MOST_PIXELS: usize = 1 << 21;

/// Tiles or strips that are looked at.
const MOST_CHUNKS: usize = 32;

/// Shares of unbounded numbers that are black and white.
const BLACK_BELOW: f64 = 0.001;
const WHITE_BELOW: f64 = 0.999;

/// Bits that hold the numbers up to `most`; `None` for limits that say nothing.
pub(super) fn bits_of(most: u64) -> Option<u32> {
    (most > 0).then(|| u64::BITS - most.leading_zeros())
}

/// Numbers of `raster` from all over it: of one sample, or of all.
pub(super) fn numbers(raster: &Raster, sample: Option<usize>, file: &mut File) -> Vec<f32> {
    let mut numbers = Vec::new();
    let chunks = raster.chunks();
    let each = (raster.chunk_width as usize).saturating_mul(raster.chunk_height as usize).max(1);
    let wanted = (MOST_PIXELS / each).clamp(1, MOST_CHUNKS.max(1));
    let step = chunks.div_ceil(wanted).max(1);
    // Half a step in: the first tiles of a slide are glass.
    let mut chunk = if chunks > wanted { step / 2 } else { 0 };
    while chunk < chunks && numbers.len() < 4 * MOST_PIXELS {
        let read = match sample {
            Some(sample) => raster.read_sample(file, chunk, sample),
            None => raster.read(file, chunk),
        };
        // What cannot be read says nothing.
        if let Ok(Some(samples)) = read {
            let stride = (samples.len() / MOST_PIXELS).max(1);
            numbers.extend((0..samples.len()).step_by(stride).map(|index| samples.at(index)));
        }
        chunk += step;
    }
    numbers
}

/// Find the range of numbers that `rendering` needs, where their type says too little: 12 bits are often stored in 16,
/// and floating-point numbers have no white. `stated` bits come from the file. What was guessed is answered in words.
pub(super) fn range(
    rendering: &mut Rendering,
    raster: &Raster,
    file: &mut File,
    stated: Option<u32>,
) -> Option<String> {
    match rendering.range {
        Range::Bits(bits @ 9..=16) => {
            if let Some(stated) = stated.filter(|stated| (1..bits).contains(stated)) {
                rendering.range = Range::Bits(stated.max(8));
                return None;
            }
            if bits < 16 {
                return None;
            }
            let most = largest(raster, file);
            let used = [8, 10, 12, 14].into_iter().find(|used| most < 1 << used).filter(|_| most > 0)?;
            rendering.range = Range::Bits(used);
            Some(format!("its 16-bit numbers reach {used} bits only, and are shown as such"))
        }
        Range::Bits(_) => None,
        Range::Window(..) => {
            let mut numbers = numbers(raster, None, file);
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
            Some(format!("its numbers from {low} to {high} are shown as black to white"))
        }
    }
}

fn largest(raster: &Raster, file: &mut File) -> u32 {
    numbers(raster, None, file).into_iter().fold(0.0, f32::max) as u32
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
