//! Conversion of 8-bit RGB to opaque RGBA, which most tiles without alpha need.
//!
//! Four pixels are converted at once, as words and as arrays of 16 bytes, for which compilers use vector instructions.

/// Converts pixels of at least three samples, of which the first three are the colours, to RGBA. `rgba` has as many pixels.
pub(super) fn opaque(all: &[u8], samples: usize, rgba: &mut [u8]) {
    let (fours, rest) = if samples == 3 { all.as_chunks::<12>() } else { (&[] as &[_], all) };
    let (words, last) = rgba.split_at_mut(fours.len() * 16);
    for (to, from) in words.as_chunks_mut::<16>().0.iter_mut().zip(fours) {
        *to = made_opaque(four_pixels(from));
    }
    for (to, from) in last.as_chunks_mut::<4>().0.iter_mut().zip(rest.chunks_exact(samples)) {
        *to = [from[0], from[1], from[2], 255];
    }
}

/// Converts a row of RGB in which each pixel but the first is stored as the difference from the one before (TIFF 6.0,
/// section 14) to RGBA. `rgba` has as many pixels.
pub(super) fn opaque_sums(differences: &[u8], rgba: &mut [u8]) {
    let (fours, rest) = differences.as_chunks::<12>();
    let (words, last) = rgba.split_at_mut(fours.len() * 16);
    let mut previous = [0; 4];
    for (to, from) in words.as_chunks_mut::<16>().0.iter_mut().zip(fours) {
        let pixels = four_pixels(from);
        // Each pixel and the one before, then these and the two before them.
        let pairs = sums(pixels, moved::<4>(pixels));
        let fours = sums(pairs, moved::<8>(pairs));
        let whole = sums(fours, four_times(previous));
        previous = [whole[12], whole[13], whole[14], whole[15]];
        *to = made_opaque(whole);
    }
    for (to, from) in last.as_chunks_mut::<4>().0.iter_mut().zip(rest.as_chunks::<3>().0) {
        for (sum, difference) in previous.iter_mut().zip(from) {
            *sum = sum.wrapping_add(*difference);
        }
        *to = [previous[0], previous[1], previous[2], 255];
    }
}

/// Four pixels with any alpha. Shifting words takes half the time of moving bytes.
#[inline]
fn four_pixels(rgb: &[u8; 12]) -> [u8; 16] {
    let (words, _) = rgb.as_chunks::<4>();
    let (a, b, c) =
        (u32::from_le_bytes(words[0]), u32::from_le_bytes(words[1]), u32::from_le_bytes(words[2]));
    bytemuck::cast([a.to_le(), (a >> 24 | b << 8).to_le(), (b >> 16 | c << 16).to_le(), (c >> 8).to_le()])
}

// Loops, since closures over arrays are not always inlined, which takes longer than decoding the tile.

#[inline]
fn made_opaque(mut pixels: [u8; 16]) -> [u8; 16] {
    for alpha in [3, 7, 11, 15] {
        pixels[alpha] = 255;
    }
    pixels
}

#[inline]
fn sums(mut a: [u8; 16], b: [u8; 16]) -> [u8; 16] {
    for at in 0..16 {
        a[at] = a[at].wrapping_add(b[at]);
    }
    a
}

/// The bytes `BY` places farther on, with zeros before them.
#[inline]
fn moved<const BY: usize>(bytes: [u8; 16]) -> [u8; 16] {
    let mut to = [0; 16];
    to[BY..].copy_from_slice(&bytes[..16 - BY]);
    to
}

/// A pixel four times.
#[inline]
fn four_times([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_becomes_opaque() {
        for samples in [3, 4, 5] {
            for pixels in 0..10 {
                let all: Vec<u8> = (0..pixels * samples).map(|at| (at * 37 + 11) as u8).collect();
                let wanted: Vec<u8> =
                    all.chunks_exact(samples).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect();
                let mut rgba = vec![9; pixels * 4];
                opaque(&all, samples, &mut rgba);
                assert_eq!(rgba, wanted);
            }
        }
    }

    #[test]
    fn differences_are_summed_along_the_row() {
        for pixels in 0..30 {
            let row: Vec<u8> = (0..pixels * 3).map(|at| (at * at * 41 + 200) as u8).collect();
            let mut differences = row.clone();
            (3..row.len()).for_each(|at| differences[at] = row[at].wrapping_sub(row[at - 3]));
            let (mut wanted, mut rgba) = (vec![0; pixels * 4], vec![9; pixels * 4]);
            opaque(&row, 3, &mut wanted);
            opaque_sums(&differences, &mut rgba);
            assert_eq!(rgba, wanted);
        }
    }
}
