//! Fitting a batch of tiles into memory.

use std::ops::Range;

use image::RgbImage;

use super::EncoderError;

/// Processes `count` items in parts of at most `largest`. When memory runs out, as `is_lack` tells of an error, the part
/// is halved and retried, and `largest` is reduced for later parts.
///
/// # Errors
/// The first error other than lack of memory, or lack of memory for a single item.
pub(super) fn in_parts<E>(
    count: usize,
    largest: &mut usize,
    is_lack: impl Fn(&E) -> bool,
    mut run: impl FnMut(Range<usize>) -> Result<(), E>,
) -> Result<(), E> {
    let mut begin = 0;
    while begin < count {
        let part = (count - begin).min(*largest);
        match run(begin..begin + part) {
            Ok(()) => begin += part,
            Err(error) if is_lack(&error) && part > 1 => {
                *largest = part / 2;
                tracing::warn!("out of memory on the device: going on with batches of {largest}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns whether a message reports a lack of memory. Neither engine has an error code for it. libtorch says "CUDA out
/// of memory. Tried to allocate …", and on the CPU "DefaultCPUAllocator: can't allocate memory" or "not enough memory";
/// ONNX Runtime "Failed to allocate memory" or the C++ library's "bad allocation" and "bad_alloc".
pub(super) fn is_lack_of_memory(message: &str) -> bool {
    let signs = [
        "out of memory",
        "can't allocate memory",
        "not enough memory",
        "Failed to allocate memory",
        "bad allocation",
        "bad_alloc",
    ];
    signs.iter().any(|sign| message.contains(sign))
}

/// Checks that all tiles have the same size.
///
/// # Errors
/// [`EncoderError::UnequalTiles`] with the first that differs.
pub(super) fn check_sizes(tiles: &[RgbImage]) -> Result<(), EncoderError> {
    match tiles.iter().find(|tile| tile.dimensions() != tiles[0].dimensions()) {
        Some(odd) => {
            Err(EncoderError::UnequalTiles { first: tiles[0].dimensions(), other: odd.dimensions() })
        }
        None => Ok(()),
    }
}

/// Checks that all descriptors, of `width` numbers each, are finite. `name` is that of the encoder.
///
/// # Errors
/// [`EncoderError::NotFinite`] with the number of those that are not.
pub(super) fn check_finite(values: &[f32], width: usize, name: &str) -> Result<(), EncoderError> {
    let is_damaged = |row: &&[f32]| row.iter().any(|value| !value.is_finite());
    match values.chunks_exact(width).filter(is_damaged).count() {
        0 => Ok(()),
        count => Err(EncoderError::NotFinite { name: name.to_owned(), count }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_memory_halves_the_batch_and_goes_on() {
        let (mut largest, mut done, mut tried) = (16, Vec::new(), Vec::new());
        let run = |part: Range<usize>| {
            tried.push(part.len());
            if part.len() > 5 {
                return Err("CUDA out of memory. Tried to allocate 2.00 GiB");
            }
            done.extend(part);
            Ok(())
        };
        in_parts(21, &mut largest, |error| is_lack_of_memory(error), run).unwrap();
        assert_eq!(done, (0..21).collect::<Vec<_>>());
        assert_eq!(tried, [16, 8, 4, 4, 4, 4, 4, 1]);
        assert_eq!(largest, 4);
    }

    #[test]
    fn memory_for_a_single_item_or_another_error_ends_it() {
        let is_lack = |error: &&str| is_lack_of_memory(error);
        assert!(in_parts(8, &mut 8, is_lack, |_| Err("CUDA out of memory")).is_err());
        let mut calls = 0;
        let other = |_: Range<usize>| {
            calls += 1;
            Err("size mismatch")
        };
        assert!(in_parts(8, &mut 8, is_lack, other).is_err());
        assert_eq!(calls, 1);
    }
}
