//! Inner loops of the comparison of layers, compiled like those of distances.

use super::distance::{prefetch, vectorised};

/// Number of bytes of a layer.
pub const BYTES: usize = 32;
/// Number of tiles in a [`LayerBlock`].
pub const BLOCK_TILES: usize = 64;
/// Number of pairs of bytes of a layer.
pub const PAIRS: usize = BYTES / 2;

/// Number of fine lanes of a first layer, of seven bits each, in pairs.
pub const FINE_PAIRS: usize = 5;
/// Number of pairs of bytes of a first layer that hold coarse lanes, of four bits each.
pub const COARSE_PAIRS: usize = PAIRS - FINE_PAIRS - 1;
/// Number of coarse lanes of a first layer.
pub const FIRST_COARSE: usize = 4 * COARSE_PAIRS;
/// Number of bytes of a second layer before its coarse lanes.
pub const SECOND_HEAD: usize = 4;
/// Number of coarse lanes of a second layer.
pub const SECOND_COARSE: usize = 2 * (BYTES - SECOND_HEAD);

/// One layer of a tile.
///
/// A first layer begins with a squared norm (`u16`, little-endian). Fine lanes follow, then coarse lanes, two in a byte:
/// the first half of them in the lower four bits, the second half in the upper ones. A second layer begins with a squared
/// norm (`i16`), the last fine lane of the first layer and a fine lane of its own; coarse lanes follow in the same way.
pub type Layer = [u8; BYTES];
/// First layers of [`BLOCK_TILES`] tiles, pair of bytes by pair of bytes, the two of a tile side by side, so that different
/// tiles are compared at once.
pub type LayerBlock = [[u8; 2 * BLOCK_TILES]; PAIRS];
/// Squared distances to the first layers of a block, in units of the query.
pub type BlockDistances = [u16; BLOCK_TILES];

/// Number of tiles whose second layers are being loaded while earlier ones are compared.
const AHEAD: usize = 12;

/// A query for first layers: the distance to a layer is `start + norm × its squared norm / 2¹⁶ − Σ weight × lane`,
/// modulo 2¹⁶.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FirstProbe {
    pub start: u16,
    pub norm: u16,
    /// Weights of the fine lanes, from −127 to 127.
    pub fine: [[i8; 2]; FINE_PAIRS],
    /// Weights of the coarse lanes in the lower and in the upper bits of each pair of bytes, from −127 to 127.
    pub coarse: [[[i8; 2]; 2]; COARSE_PAIRS],
}

/// A query for second layers: the distance to both layers is that to the first one `+ start + norm × squared norm + shared ×
/// shared fine lane − scale × (fine × own fine lane + Σ weight × coarse lane)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SecondProbe {
    pub start: f64,
    pub norm: f64,
    pub shared: f64,
    pub scale: f64,
    pub fine: i16,
    /// Weights of the coarse lanes in the lower and in the upper bits of each byte; 0 for those that hold none.
    pub coarse: [[i16; BYTES]; 2],
}

/// A tile that has passed a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Passed {
    /// Place among the tiles compared.
    pub place: u32,
    /// Squared distance, in units of the query.
    pub distance: u32,
}

/// Writes the distances of `query` to the first layers in `blocks` into `distances`, and the least of each block into
/// `least`.
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "AVX2 support is checked first"))]
pub fn compare_first(
    query: &FirstProbe,
    blocks: &[LayerBlock],
    distances: &mut [BlockDistances],
    least: &mut [u16],
) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, the only requirement of the function.
        return unsafe { avx2::compare_first(query, blocks, distances, least) };
    }
    for ((block, distances), least) in blocks.iter().zip(distances).zip(least) {
        *distances = block_distances(query, block);
        *least = distances.iter().copied().min().unwrap_or(u16::MAX);
    }
}

vectorised! {
    /// Writes the tiles within the squared distance `limit`, in order, to the start of `passed`, which has room for
    /// all, and returns their number. `least` has the least distance of each block.
    pub fn pass_first(
        distances: &[BlockDistances],
        least: &[u16],
        limit: u32,
        passed: &mut [Passed]
    ) -> usize = first
}

vectorised! {
    /// Compares the second layers of the tiles that have `passed` the first, which are in `seconds`. Writes those within
    /// the squared distance `limit`, in order, to the start of `left`, which has room for all, and returns their number.
    pub fn pass_second(
        query: &SecondProbe,
        seconds: &[Layer],
        passed: &[Passed],
        limit: u32,
        left: &mut [Passed]
    ) -> usize = second
}

#[inline(always)]
fn first(distances: &[BlockDistances], least: &[u16], limit: u32, passed: &mut [Passed]) -> usize {
    let limit = limit.min(u32::from(u16::MAX)) as u16;
    let mut count = 0;
    for ((block, distances), least) in (0..).step_by(BLOCK_TILES).zip(distances).zip(least) {
        if *least > limit {
            continue;
        }
        for (place, distance) in (block..).zip(distances) {
            // Without a branch, which could not be predicted.
            passed[count] = Passed { place, distance: u32::from(*distance) };
            count += usize::from(*distance <= limit);
        }
    }
    count
}

#[inline(always)]
fn second(
    query: &SecondProbe,
    seconds: &[Layer],
    passed: &[Passed],
    limit: u32,
    left: &mut [Passed],
) -> usize {
    let mut count = 0;
    for (number, tile) in passed.iter().enumerate() {
        if let Some(next) = passed.get(number + AHEAD) {
            prefetch(&seconds[next.place as usize]);
        }
        let layer = &seconds[tile.place as usize];
        let [low, high, shared, fine, ..] = *layer;
        let mut sum = i32::from(query.fine) * i32::from(fine);
        for (lane, byte) in layer.iter().enumerate() {
            sum += i32::from(query.coarse[0][lane]) * i32::from(byte & 0xF);
            sum += i32::from(query.coarse[1][lane]) * i32::from(byte >> 4);
        }
        let squared_norm = f64::from(i16::from_le_bytes([low, high]));
        let more = query.start + query.norm * squared_norm + query.shared * f64::from(shared)
            - query.scale * f64::from(sum);
        // A number below 0, from rounding down, becomes 0.
        let distance = (f64::from(tile.distance) + more) as u32;
        left[count] = Passed { place: tile.place, distance };
        count += usize::from(distance <= limit);
    }
    count
}

fn block_distances(query: &FirstProbe, block: &LayerBlock) -> BlockDistances {
    let times = |weights: &[i8; 2], lanes: [u8; 2]| {
        // At most 2 × 127 × 127.
        i16::from(weights[0]) * i16::from(lanes[0]) + i16::from(weights[1]) * i16::from(lanes[1])
    };
    std::array::from_fn(|tile| {
        let mut pairs = block.iter().map(|pairs| [pairs[2 * tile], pairs[2 * tile + 1]]);
        let squared_norm = pairs.next().map_or(0, u16::from_le_bytes);
        let norm = (u32::from(squared_norm) * u32::from(query.norm)) >> 16;
        let mut distance = query.start.wrapping_add(norm as u16);
        for (weights, lanes) in query.fine.iter().zip(&mut pairs) {
            distance = distance.wrapping_sub(times(weights, lanes) as u16);
        }
        for ([lower, upper], lanes) in query.coarse.iter().zip(pairs) {
            let sum = times(lower, lanes.map(|lane| lane & 0xF)) + times(upper, lanes.map(|lane| lane >> 4));
            distance = distance.wrapping_sub(sum as u16);
        }
        distance
    })
}

/// The same with instructions that compilers do not find.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{BLOCK_TILES, BlockDistances, FirstProbe, LayerBlock, PAIRS};

    /// Bytes of a register, of which a pair of bytes of a block fills four.
    const BYTES: usize = 32;
    const REGISTERS: usize = 2 * BLOCK_TILES / BYTES;

    #[target_feature(enable = "avx2")]
    pub fn compare_first(
        query: &FirstProbe,
        blocks: &[LayerBlock],
        distances: &mut [BlockDistances],
        least: &mut [u16],
    ) {
        for ((block, distances), least) in blocks.iter().zip(distances).zip(least) {
            *distances = block_distances(query, block);
            *least = distances.iter().copied().min().unwrap_or(u16::MAX);
        }
    }

    #[target_feature(enable = "avx2")]
    fn block_distances(query: &FirstProbe, block: &LayerBlock) -> BlockDistances {
        let pair =
            |weights: &[i8; 2]| _mm256_set1_epi16(i16::from_le_bytes(weights.map(|weight| weight as u8)));
        let lower_bits = _mm256_set1_epi8(0xF);
        let block: &[[[u8; BYTES]; REGISTERS]; PAIRS] = bytemuck::cast_ref(block);
        let (norms, lanes) = (&block[0], &block[1..]);
        let (fine, coarse) = lanes.split_at(query.fine.len());

        let (start, norm) = (_mm256_set1_epi16(query.start as i16), _mm256_set1_epi16(query.norm as i16));
        let mut sums = [start; REGISTERS];
        for (sum, norms) in sums.iter_mut().zip(norms) {
            *sum = _mm256_add_epi16(*sum, _mm256_mulhi_epu16(bytemuck::cast(*norms), norm));
        }
        for (weights, lanes) in query.fine.iter().zip(fine) {
            let weights = pair(weights);
            for (sum, lanes) in sums.iter_mut().zip(lanes) {
                *sum = _mm256_sub_epi16(*sum, _mm256_maddubs_epi16(bytemuck::cast(*lanes), weights));
            }
        }
        for ([lower, upper], lanes) in query.coarse.iter().zip(coarse) {
            let (lower, upper) = (pair(lower), pair(upper));
            for (sum, lanes) in sums.iter_mut().zip(lanes) {
                let lanes: __m256i = bytemuck::cast(*lanes);
                let of_lower = _mm256_maddubs_epi16(_mm256_and_si256(lanes, lower_bits), lower);
                let lanes = _mm256_and_si256(_mm256_srli_epi16::<4>(lanes), lower_bits);
                let of_upper = _mm256_maddubs_epi16(lanes, upper);
                *sum = _mm256_sub_epi16(*sum, _mm256_add_epi16(of_lower, of_upper));
            }
        }
        bytemuck::cast(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// The weights of a query, from −`most` to `most`.
    fn probes(random: &mut StdRng, most: i8) -> (FirstProbe, SecondProbe) {
        let mut weight = || random.random_range(-most..=most);
        let fine = std::array::from_fn(|_| [weight(), weight()]);
        let coarse = std::array::from_fn(|_| [[weight(), weight()], [weight(), weight()]]);
        let mut coarse_of_second =
            || std::array::from_fn(|lane| if lane < SECOND_HEAD { 0 } else { 50 * i16::from(weight()) });
        let coarse_of_second = [coarse_of_second(), coarse_of_second()];
        (
            FirstProbe { start: 1000, norm: 40_000, fine, coarse },
            SecondProbe {
                start: 90.5,
                norm: 0.75,
                shared: 3.0,
                scale: 0.125,
                fine: -300,
                coarse: coarse_of_second,
            },
        )
    }

    proptest! {
        #[test]
        fn tiles_pass_by_their_distance(seed in any::<u64>(), most in 0i8..=127, limit in 0u32..100_000) {
            const TILES: usize = 2 * BLOCK_TILES;
            let mut random = StdRng::seed_from_u64(seed);
            let (query, of_both) = probes(&mut random, most);
            let mut blocks = [[[0; 2 * BLOCK_TILES]; PAIRS]; 2];
            for (pair, byte) in (0..2 * PAIRS).flat_map(|pair| (0..2 * BLOCK_TILES).map(move |byte| (pair, byte))) {
                // Fine lanes have seven bits.
                let bits = if (1..=FINE_PAIRS).contains(&(pair % PAIRS)) { 0x7F } else { 0xFF };
                blocks[pair / PAIRS][pair % PAIRS][byte] = random.random::<u8>() & bits;
            }
            let exact = |tile: usize| {
                let byte = |byte: usize| {
                    blocks[tile / BLOCK_TILES][byte / 2][2 * (tile % BLOCK_TILES) + byte % 2]
                };
                let norm = i64::from(u16::from_le_bytes([byte(0), byte(1)])) * i64::from(query.norm) / 65_536;
                let fine: i64 = (0..2 * FINE_PAIRS)
                    .map(|lane| i64::from(query.fine.as_flattened()[lane]) * i64::from(byte(2 + lane)))
                    .sum();
                let coarse: i64 = (0..2 * COARSE_PAIRS)
                    .map(|lane| {
                        let [lower, upper] = query.coarse[lane / 2].map(|weights| i64::from(weights[lane % 2]));
                        let byte = i64::from(byte(2 + 2 * FINE_PAIRS + lane));
                        lower * (byte % 16) + upper * (byte / 16)
                    })
                    .sum();
                (i64::from(query.start) + norm - fine - coarse).rem_euclid(65_536) as u32
            };

            let (mut distances, mut least) = ([[0; BLOCK_TILES]; 2], [0; 2]);
            compare_first(&query, &blocks, &mut distances, &mut least);
            for (block, (distances, least)) in distances.iter().zip(least).enumerate() {
                prop_assert_eq!(*distances, block_distances(&query, &blocks[block]), "on every processor");
                prop_assert_eq!(distances.iter().min(), Some(&least));
            }
            for (tile, distance) in distances.as_flattened().iter().enumerate() {
                prop_assert_eq!(u32::from(*distance), exact(tile));
            }

            let mut room = [Passed::default(); TILES];
            let count = pass_first(&distances, &least, limit, &mut room);
            let expected: Vec<Passed> = (0..)
                .zip(distances.as_flattened())
                .map(|(place, distance)| Passed { place, distance: u32::from(*distance) })
                .filter(|tile| tile.distance <= limit)
                .collect();
            prop_assert_eq!(&room[..count], &expected[..]);

            let seconds: Vec<Layer> = (0..TILES).map(|_| random.random()).collect();
            let mut left = [Passed::default(); TILES];
            let count = pass_second(&of_both, &seconds, &expected, limit, &mut left);
            let with_second = |tile: &Passed| {
                let layer = &seconds[tile.place as usize];
                let lanes: i64 = (SECOND_HEAD..BYTES)
                    .map(|byte| {
                        let [lower, upper] = of_both.coarse.map(|weights| i64::from(weights[byte]));
                        lower * i64::from(layer[byte] % 16) + upper * i64::from(layer[byte] / 16)
                    })
                    .sum();
                let norm = 0.75 * f64::from(i16::from_le_bytes([layer[0], layer[1]]));
                let own = (lanes - 300 * i64::from(layer[3])) as f64;
                let distance = f64::from(tile.distance) + 90.5 + norm + 3.0 * f64::from(layer[2]) - 0.125 * own;
                Passed { place: tile.place, distance: distance.max(0.0) as u32 }
            };
            let expected: Vec<Passed> = expected.iter().map(with_second).filter(|tile| tile.distance <= limit).collect();
            prop_assert_eq!(&left[..count], &expected[..]);
        }
    }
}
