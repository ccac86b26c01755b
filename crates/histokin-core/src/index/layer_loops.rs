//! Inner loops of the comparison of layers, compiled like those of distances.

use super::distance::{prefetch, vectorised};

/// Number of lanes of a layer.
pub const LANES: usize = 32;
/// Lane of the norm of what is beyond a layer's axes.
pub const NORM: usize = LANES - 1;
/// Number of tiles in a [`LayerBlock`].
pub const BLOCK_TILES: usize = 64;

/// One layer of a tile.
pub type Layer = [u8; LANES];
/// Number of pairs of lanes.
pub const PAIRS: usize = LANES / 2;
/// One layer of [`BLOCK_TILES`] tiles, pair of lanes by pair of lanes, the two of a tile side by side, so that different
/// tiles are compared at once.
pub type LayerBlock = [[u8; 2 * BLOCK_TILES]; PAIRS];
/// Squared distances to the first layers of a block, in steps; 65,535 also stands for all larger ones.
pub type BlockDistances = [u16; BLOCK_TILES];

/// Lanes of first layers that differ by more steps than this count as if they differed by so many, which fits the
/// instructions of the processor.
const WIDEST: u8 = 127;

/// Number of tiles whose second layers are being loaded while earlier ones are compared.
const AHEAD: usize = 12;

/// A tile that has passed a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Passed {
    /// Place among the tiles compared.
    pub place: u32,
    /// Squared distance, in steps. Of first layers it is 65,535 at most.
    pub distance: u32,
}

/// Writes the distances of `query` to the first layers in `blocks` into `distances`, and the least of each block into
/// `least`.
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "AVX2 support is checked first"))]
pub fn compare_first(
    query: &Layer,
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
    /// all, and returns their number.
    pub fn pass_first(distances: &[BlockDistances], limit: u32, passed: &mut [Passed]) -> usize = first
}

vectorised! {
    /// Compares both layers of `query` with those of the tiles that have `passed` the first, which are in `blocks` and
    /// `seconds`. Writes those within the squared distance `limit`, in order, to the start of `left`, which has room
    /// for all, and returns their number.
    pub fn pass_both(
        query: &[Layer; 2],
        blocks: &[LayerBlock],
        seconds: &[Layer],
        passed: &[Passed],
        limit: u32,
        left: &mut [Passed]
    ) -> usize = both
}

#[inline(always)]
fn first(distances: &[BlockDistances], limit: u32, passed: &mut [Passed]) -> usize {
    let limit = limit.min(u32::from(u16::MAX)) as u16;
    let mut count = 0;
    for (place, distance) in (0..).zip(distances.as_flattened()) {
        // Without a branch, which could not be predicted.
        passed[count] = Passed { place, distance: u32::from(*distance) };
        count += usize::from(*distance <= limit);
    }
    count
}

#[inline(always)]
fn both(
    query: &[Layer; 2],
    blocks: &[LayerBlock],
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
        let place = tile.place as usize;
        let norm = blocks[place / BLOCK_TILES][NORM / 2][2 * (place % BLOCK_TILES) + NORM % 2];
        // The second layer replaces the norm in the first one, whose distance may have been cut off: the sum is then too
        // small, as a lower bound may be.
        let of_norm = u32::from(squared(query[0][NORM], norm));
        let distance = tile.distance.saturating_sub(of_norm) + layer_distance(&query[1], &seconds[place]);
        left[count] = Passed { place: tile.place, distance };
        count += usize::from(distance <= limit);
    }
    count
}

/// Returns the squared difference of two lanes of first layers.
#[inline(always)]
fn squared(a: u8, b: u8) -> u16 {
    let difference = u16::from(a.abs_diff(b).min(WIDEST));
    difference * difference
}

fn block_distances(query: &Layer, block: &LayerBlock) -> BlockDistances {
    let mut sums = [0u16; BLOCK_TILES];
    for (value, lanes) in query.chunks_exact(2).zip(block) {
        for (sum, lanes) in sums.iter_mut().zip(lanes.chunks_exact(2)) {
            *sum = sum.saturating_add(squared(value[0], lanes[0]) + squared(value[1], lanes[1]));
        }
    }
    sums
}

/// The same with instructions that compilers do not find: a fifth of the time of the whole search.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{BLOCK_TILES, BlockDistances, Layer, LayerBlock, PAIRS, WIDEST};

    /// Bytes of a register, of which a pair of lanes of a block fills four.
    const BYTES: usize = 32;
    const REGISTERS: usize = 2 * BLOCK_TILES / BYTES;

    #[target_feature(enable = "avx2")]
    pub fn compare_first(
        query: &Layer,
        blocks: &[LayerBlock],
        distances: &mut [BlockDistances],
        least: &mut [u16],
    ) {
        let pairs: [__m256i; PAIRS] = std::array::from_fn(|pair| {
            _mm256_set1_epi16(i16::from_le_bytes([query[2 * pair], query[2 * pair + 1]]))
        });
        for ((block, distances), least) in blocks.iter().zip(distances).zip(least) {
            *distances = block_distances(&pairs, block);
            *least = distances.iter().copied().min().unwrap_or(u16::MAX);
        }
    }

    #[target_feature(enable = "avx2")]
    fn block_distances(pairs: &[__m256i; PAIRS], block: &LayerBlock) -> BlockDistances {
        let widest = _mm256_set1_epi8(WIDEST as i8);
        let mut sums = [_mm256_setzero_si256(); REGISTERS];
        for (pair, lanes) in pairs.iter().zip(block) {
            let lanes: &[[u8; BYTES]; REGISTERS] = bytemuck::cast_ref(lanes);
            for (sum, lanes) in sums.iter_mut().zip(lanes) {
                let lanes: __m256i = bytemuck::cast(*lanes);
                // One of the two is 0, the other the difference.
                let difference =
                    _mm256_or_si256(_mm256_subs_epu8(*pair, lanes), _mm256_subs_epu8(lanes, *pair));
                let difference = _mm256_min_epu8(difference, widest);
                *sum = _mm256_adds_epu16(*sum, _mm256_maddubs_epi16(difference, difference));
            }
        }
        bytemuck::cast(sums)
    }
}

#[inline(always)]
fn layer_distance(a: &Layer, b: &Layer) -> u32 {
    let mut sum = 0i32;
    for (a, b) in a.iter().zip(b) {
        let difference = i16::from(*a) - i16::from(*b);
        sum += i32::from(difference) * i32::from(difference);
    }
    sum as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn squared(a: u8, b: u8) -> u32 {
        u32::from(a.abs_diff(b)).pow(2)
    }

    proptest! {
        #[test]
        fn tiles_pass_by_their_distance(seed in any::<u32>(), spread in 1u32..=256, limit in 0u32..400_000) {
            const TILES: usize = 2 * BLOCK_TILES;
            let value = |tile: usize, lane: usize| {
                let hash = (seed ^ (tile * 64 + lane) as u32).wrapping_mul(2_654_435_761);
                (100 + (hash >> 16) % spread).min(255) as u8
            };
            let mut blocks = [[[0; 2 * BLOCK_TILES]; PAIRS]; 2];
            for (tile, lane) in (0..TILES).flat_map(|tile| (0..LANES).map(move |lane| (tile, lane))) {
                blocks[tile / BLOCK_TILES][lane / 2][2 * (tile % BLOCK_TILES) + lane % 2] = value(tile, lane);
            }
            let seconds: Vec<Layer> = (0..TILES).map(|tile| std::array::from_fn(|lane| value(tile, 32 + lane))).collect();
            let query: [Layer; 2] = [0, 32].map(|start| std::array::from_fn(|lane| value(TILES, start + lane)));
            let of_first = |tile: usize| (0..LANES).map(|lane| squared(query[0][lane], value(tile, lane))).sum::<u32>();

            let (mut distances, mut least) = ([[0; BLOCK_TILES]; 2], [0; 2]);
            compare_first(&query[0], &blocks, &mut distances, &mut least);
            for (block, (distances, least)) in distances.iter().zip(least).enumerate() {
                prop_assert_eq!(*distances, block_distances(&query[0], &blocks[block]), "on every processor");
                prop_assert_eq!(distances.iter().min(), Some(&least));
            }
            for (tile, distance) in distances.as_flattened().iter().enumerate() {
                prop_assert!(u32::from(*distance) <= of_first(tile));
                prop_assert!(spread > 45 || u32::from(*distance) == of_first(tile).min(65_535));
            }

            let mut room = [Passed::default(); TILES];
            let count = pass_first(&distances, limit, &mut room);
            let expected: Vec<Passed> = (0..)
                .zip(distances.as_flattened())
                .map(|(place, distance)| Passed { place, distance: u32::from(*distance) })
                .filter(|tile| tile.distance <= limit)
                .collect();
            prop_assert_eq!(&room[..count], &expected[..]);

            let mut left = [Passed::default(); TILES];
            let count = pass_both(&query, &blocks, &seconds, &expected, limit, &mut left);
            for tile in &expected {
                let place = tile.place as usize;
                let norms = squared(query[0][NORM], value(place, NORM));
                let second: u32 = (0..LANES).map(|lane| squared(query[1][lane], value(place, 32 + lane))).sum();
                let found = left[..count].iter().find(|left| left.place == tile.place);
                let exact = of_first(place) - norms + second;
                prop_assert!(found.is_some() || exact > limit, "{exact} is within {limit}");
                prop_assert!(found.is_none_or(|found| found.distance <= exact.min(limit)));
                prop_assert!(spread > 45 || found.is_none_or(|found| found.distance == exact));
            }
        }
    }
}
