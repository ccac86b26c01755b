//! Exact nearest neighbours of many tiles at once, by blocked matrix products.
//!
//! ‖q − p‖² = ‖q‖² + ‖p‖² − 2 q·p, with centred descriptors to limit cancellation. The products only select
//! candidates, whose distances are then computed exactly. A query for which rounding might have hidden a
//! neighbour is compared with all tiles.
//!
//! In a large pool whose variance lies along few axes, the products are those of the coordinates along these
//! axes and of the norm of the remainder. They give a lower bound of the distance for a quarter of the work:
//! with the coordinates `P` and the norm `r`, ‖q − p‖² ≥ ‖Pq − Pp‖² + (r_q − r_p)² (as in `index/basis.rs`).

use std::collections::BinaryHeap;

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::Descriptors;
use histokin_core::index::{self, Ranked, first_axes};

/// Queries in one matrix product; the blocks fit into a core's cache.
const QUERY_BLOCK: usize = 256;
/// Tiles of the pool in one matrix product.
const POOL_BLOCK: usize = 512;

/// Candidates beyond the number requested, so that rounding rarely matters.
const SPARE: usize = 12;

/// Number of products that are tested together against the limit.
const CHUNK: usize = 32;

/// Minimum number of tiles for which bounds are used.
const BOUNDED: usize = 20_000;
/// Numbers in a bound vector; the last is the norm of the remainder.
const BOUND_NUMBERS: usize = 32;
/// Minimum share of the variance along the axes for which bounds are used.
const BOUND_SHARE: f64 = 0.75;
/// Approximate number of tiles from which the axes are estimated.
const BOUND_SAMPLE: usize = 6000;

/// Rounding may raise a bound above the squared distance by this fraction of the largest squared norms.
const BOUND_SLACK: f32 = 2e-5;

/// A tile of the pool, by its row.
pub type Neighbour = index::Neighbour<u32>;

/// A set of tiles prepared for nearest-neighbour search.
pub struct Pool<'a> {
    descriptors: Descriptors<'a>,
    /// Group of each tile; queries and answers must be of different groups.
    groups: &'a [u32],
    rows: Vec<u32>,
    mean: Vec<f32>,
    /// Centred descriptors of `rows`, row by row.
    values: Vec<f32>,
    squared_norms: Vec<f32>,
    largest_norm: f32,
    bounds: Option<Bounds>,
}

/// Projections of the tiles of a pool on a few axes, for lower bounds of distances.
struct Bounds {
    /// Orthonormal axes, `(BOUND_NUMBERS − 1) × width`.
    axes: Vec<f32>,
    /// `rows × BOUND_NUMBERS`: coordinates along the axes, and the norm of the remainder.
    values: Vec<f32>,
}

impl<'a> Pool<'a> {
    /// Creates a pool of the tiles at `rows` of `descriptors`. A tile is never an answer to a query of its
    /// own group; `groups` has one entry per descriptor.
    pub fn new(descriptors: Descriptors<'a>, groups: &'a [u32], rows: Vec<u32>) -> Self {
        let mean: Vec<f32> = super::health::mean(descriptors).iter().map(|value| *value as f32).collect();
        let mut pool = Self {
            descriptors,
            groups,
            rows,
            mean,
            values: Vec::new(),
            squared_norms: Vec::new(),
            largest_norm: 0.0,
            bounds: None,
        };
        pool.values = pool.centred(&pool.rows);
        pool.squared_norms = squared_norms(&pool.values, descriptors.width());
        pool.largest_norm = pool.squared_norms.iter().copied().fold(0.0, f32::max);
        pool.bounds = Bounds::of(&pool.values, descriptors.width());
        pool
    }

    /// Returns the rows of the tiles in the pool.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Returns the descriptors at `rows` minus the mean.
    fn centred(&self, rows: &[u32]) -> Vec<f32> {
        let mut values = Vec::with_capacity(rows.len() * self.descriptors.width());
        for row in rows {
            let row = self.descriptors.row(*row as usize);
            values.extend(row.iter().zip(&self.mean).map(|(value, mean)| value - mean));
        }
        values
    }

    /// Returns the `count` nearest tiles of each query, nearest first and equal distances by row; fewer if
    /// the pool has fewer outside the query's group.
    pub fn nearest(&self, queries: &[u32], count: usize) -> Vec<Vec<Neighbour>> {
        if count == 0 || self.rows.is_empty() {
            return vec![Vec::new(); queries.len()];
        }
        let of_block = |queries: &[u32]| match &self.bounds {
            Some(bounds) => self.nearest_within_bounds(bounds, queries, count),
            None => self.nearest_of_block(queries, count),
        };
        queries.par_chunks(QUERY_BLOCK).flat_map_iter(of_block).collect()
    }

    /// Finds the nearest tiles by comparing each query exactly with the tiles whose bound is below the
    /// largest of the best distances so far.
    fn nearest_within_bounds(&self, bounds: &Bounds, queries: &[u32], count: usize) -> Vec<Vec<Neighbour>> {
        let width = self.descriptors.width();
        let centred = self.centred(queries);
        let own = squared_norms(&centred, width);
        let projected = project(&centred, &bounds.axes, width);
        let mut best: Vec<BinaryHeap<Ranked<u32>>> = queries.iter().map(|_| BinaryHeap::new()).collect();
        products(&bounds.values, &projected, BOUND_NUMBERS, |query, first, products| {
            let group = self.groups[queries[query] as usize];
            let slack = BOUND_SLACK * (own[query] + self.largest_norm);
            let best = &mut best[query];
            let reach = |best: &BinaryHeap<Ranked<u32>>| match best.peek() {
                Some(worst) if best.len() == count => worst.0.distance.powi(2) - own[query] + slack,
                _ => f32::INFINITY,
            };
            let mut within = reach(best);
            let norms = &self.squared_norms[first..first + products.len()];
            for (part, (norms, products)) in (0..).zip(norms.chunks(CHUNK).zip(products.chunks(CHUNK))) {
                if !any_below(norms, products, within) {
                    continue;
                }
                for (index, (norm, product)) in (first + part * CHUNK..).zip(norms.iter().zip(products)) {
                    if norm - 2.0 * product > within || self.groups[self.rows[index] as usize] == group {
                        continue;
                    }
                    best.push(Ranked(self.neighbour(queries[query], index as u32)));
                    if best.len() > count {
                        best.pop();
                    }
                    within = reach(best);
                }
            }
        });
        best.into_iter()
            .map(|best| best.into_sorted_vec().into_iter().map(|ranked| ranked.0).collect())
            .collect()
    }

    /// Finds the nearest tiles of a block of queries by products of whole descriptors.
    fn nearest_of_block(&self, queries: &[u32], count: usize) -> Vec<Vec<Neighbour>> {
        let mut best: Vec<Candidates> = queries.iter().map(|_| Candidates::new(count + SPARE)).collect();
        self.products(queries, |query, first, products| {
            let group = self.groups[queries[query] as usize];
            let best = &mut best[query];
            let norms = &self.squared_norms[first..first + products.len()];
            for (part, (norms, products)) in (0..).zip(norms.chunks(CHUNK).zip(products.chunks(CHUNK))) {
                if !any_below(norms, products, best.worst) {
                    continue;
                }
                for (index, (norm, product)) in (first + part * CHUNK..).zip(norms.iter().zip(products)) {
                    let key = norm - 2.0 * product;
                    if key < best.worst && self.groups[self.rows[index] as usize] != group {
                        best.offer(key, index as u32);
                    }
                }
            }
        });
        queries.iter().zip(best).map(|(query, best)| self.settle(*query, best, count)).collect()
    }

    /// Compares the candidates of a query exactly, or all tiles if the candidates may not suffice.
    fn settle(&self, query: u32, candidates: Candidates, count: usize) -> Vec<Neighbour> {
        let was_full = candidates.is_full();
        let worst = candidates.worst;
        let mut found: Vec<Neighbour> =
            candidates.heap.iter().map(|candidate| self.neighbour(query, candidate.index)).collect();
        sort(&mut found);
        found.truncate(count);
        let (Some(last), true) = (found.last(), was_full) else { return found };
        // Twice the largest rounding error that the sum of `width` products can have here.
        let own: f32 = self.centred(&[query]).iter().map(|value| value * value).sum();
        let scale = own + self.largest_norm;
        let error = 8.0 * f32::EPSILON * (self.descriptors.width() as f32).sqrt() * scale;
        if last.distance * last.distance + error < worst + own {
            return found;
        }
        let group = self.groups[query as usize];
        let mut found: Vec<Neighbour> = (0..self.rows.len() as u32)
            .filter(|index| self.groups[self.rows[*index as usize] as usize] != group)
            .map(|index| self.neighbour(query, index))
            .collect();
        if found.len() > count {
            found.select_nth_unstable_by(count - 1, Neighbour::rank);
            found.truncate(count);
        }
        sort(&mut found);
        found
    }

    /// Returns the tile at `index` of the pool with its exact distance to the query.
    fn neighbour(&self, query: u32, index: u32) -> Neighbour {
        let tile = self.rows[index as usize];
        Neighbour { tile, distance: self.descriptors.distance(query as usize, tile as usize) }
    }

    /// Calls `each` for every query, in any order, with its index in `queries` and its squared distances to
    /// all tiles of the pool, in the order of [`Pool::rows`]. The error is a few 10⁻⁷ of the squared norms.
    pub fn distances(&self, queries: &[u32], each: impl Fn(usize, &[f32]) + Sync) {
        queries.par_chunks(8).enumerate().for_each(|(block, queries)| {
            let mut rows = vec![0.0; queries.len() * self.rows.len()];
            let own = squared_norms(&self.centred(queries), self.descriptors.width());
            self.products(queries, |query, first, products| {
                let start = query * self.rows.len() + first;
                for (index, product) in products.iter().enumerate() {
                    rows[start + index] = own[query] + self.squared_norms[first + index] - 2.0 * product;
                }
            });
            for (query, row) in rows.chunks_exact(self.rows.len().max(1)).enumerate() {
                each(block * 8 + query, row);
            }
        });
    }

    /// Computes the products of each query with consecutive tiles of the pool. `each` receives the index of
    /// the query, the index of the first tile, and the products.
    fn products(&self, queries: &[u32], each: impl FnMut(usize, usize, &[f32])) {
        products(&self.values, &self.centred(queries), self.descriptors.width(), each);
    }
}

impl Bounds {
    /// Computes bounds for centred `values` (`… × width`); `None` if they would save no work.
    fn of(values: &[f32], width: usize) -> Option<Self> {
        let tiles = values.len() / width;
        if tiles < BOUNDED || width < 2 * BOUND_NUMBERS {
            return None;
        }
        let step = tiles.div_ceil(BOUND_SAMPLE);
        let rows: Vec<f64> =
            values.chunks_exact(width).step_by(step).flatten().map(|value| f64::from(*value)).collect();
        let sample = DMatrix::from_column_slice(width, rows.len() / width, &rows);
        let covariance = &sample * sample.transpose() / sample.ncols() as f64;
        let (axes, _) = first_axes(&covariance, BOUND_NUMBERS - 1);
        let held = (&axes * &covariance * axes.transpose()).trace();
        if held < BOUND_SHARE * covariance.trace() {
            return None;
        }
        let axes: Vec<f32> =
            axes.row_iter().flat_map(|axis| axis.iter().map(|x| *x as f32).collect::<Vec<_>>()).collect();
        let values =
            values.par_chunks(width * POOL_BLOCK).flat_map_iter(|rows| project(rows, &axes, width)).collect();
        Some(Self { axes, values })
    }
}

/// Returns the coordinates of centred descriptors along `axes`, each row followed by the norm of the
/// remainder.
fn project(values: &[f32], axes: &[f32], width: usize) -> Vec<f32> {
    let (tiles, along) = (values.len() / width, axes.len() / width);
    let mut coordinates = vec![0.0; tiles * along];
    multiply(axes, values, width, &mut coordinates);
    let mut projected = Vec::with_capacity(tiles * (along + 1));
    for (row, coordinates) in values.chunks_exact(width).zip(coordinates.chunks_exact(along)) {
        let squared = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        projected.extend_from_slice(coordinates);
        projected.push((squared(row) - squared(coordinates)).max(0.0).sqrt() as f32);
    }
    projected
}

/// Computes the products of each of `queries` with consecutive ones of `tiles`, both `… × width`. `each`
/// receives the index of the query, the index of the first tile, and the products.
fn products(tiles: &[f32], queries: &[f32], width: usize, mut each: impl FnMut(usize, usize, &[f32])) {
    let count = queries.len() / width;
    let mut products = vec![0.0; POOL_BLOCK * count];
    for (block, values) in tiles.chunks(POOL_BLOCK * width).enumerate() {
        let tiles = values.len() / width;
        let products = &mut products[..tiles * count];
        multiply(values, queries, width, products);
        for (query, products) in products.chunks_exact(tiles).enumerate() {
            each(query, block * POOL_BLOCK, products);
        }
    }
}

/// Returns whether any squared norm minus twice its product is at most `limit`. Written without branches, so
/// that it is compiled to vector instructions.
fn any_below(norms: &[f32], products: &[f32], limit: f32) -> bool {
    norms.iter().zip(products).fold(false, |any, (norm, product)| any | (norm - 2.0 * product <= limit))
}

/// Computes the products of each of `tiles` with each of `queries`, both `… × width`: all products of the
/// first query, then all of the second, and so on.
#[expect(unsafe_code, reason = "matrixmultiply takes pointers and strides")]
fn multiply(tiles: &[f32], queries: &[f32], width: usize, products: &mut [f32]) {
    let (rows, columns) = (tiles.len() / width, queries.len() / width);
    assert_eq!((rows * width, columns * width, rows * columns), (tiles.len(), queries.len(), products.len()));
    let (along, next) = (1, width as isize);
    // SAFETY: the strides address `rows × width`, `width × columns` and `rows × columns` numbers, which the
    // assertion ensures are in the three slices; nothing else refers to `products`.
    unsafe {
        matrixmultiply::sgemm(
            rows,
            width,
            columns,
            1.0,
            tiles.as_ptr(),
            next,
            along,
            queries.as_ptr(),
            along,
            next,
            0.0,
            products.as_mut_ptr(),
            along,
            rows as isize,
        );
    }
}

fn squared_norms(values: &[f32], width: usize) -> Vec<f32> {
    values.chunks_exact(width).map(|row| row.iter().map(|value| value * value).sum()).collect()
}

fn sort(found: &mut [Neighbour]) {
    found.sort_unstable_by(Neighbour::rank);
}

/// The nearest tiles of the pool so far, by squared distance minus the query's squared norm.
struct Candidates {
    heap: BinaryHeap<Candidate>,
    most: usize,
    /// Largest key of a full heap; larger keys are rejected.
    worst: f32,
}

struct Candidate {
    key: f32,
    /// Index in the pool.
    index: u32,
}

impl Candidates {
    fn new(most: usize) -> Self {
        Self { heap: BinaryHeap::with_capacity(most + 1), most, worst: f32::INFINITY }
    }

    fn is_full(&self) -> bool {
        self.heap.len() == self.most
    }

    fn offer(&mut self, key: f32, index: u32) {
        self.heap.push(Candidate { key, index });
        if self.heap.len() > self.most {
            self.heap.pop();
        }
        if self.is_full() {
            self.worst = self.heap.peek().map_or(f32::INFINITY, |worst| worst.key);
        }
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Candidate {}
impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.total_cmp(&other.key).then(self.index.cmp(&other.index))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn the_same_as_comparing_with_all(
            width in 1_usize..20,
            tiles in 2_usize..300,
            count in 1_usize..25,
            groups in 1_u32..6,
            offset in -50.0_f32..50.0,
            coarse in any::<bool>(),
            seed in any::<u64>(),
        ) {
            use rand::RngExt;
            use rand_chacha::rand_core::SeedableRng;
            let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            // Coarse numbers give many equal distances.
            let values: Vec<f32> = (0..tiles * width)
                .map(|_| if coarse { random.random_range(0..3) as f32 } else { offset + random.random::<f32>() })
                .collect();
            let groups: Vec<u32> = (0..tiles).map(|_| random.random_range(0..groups)).collect();
            let descriptors = Descriptors::new(&values, width).unwrap();
            let pool_rows: Vec<u32> = (0..tiles as u32).filter(|row| row % 3 != 1).collect();
            let queries: Vec<u32> = (0..tiles as u32).collect();
            let pool = Pool::new(descriptors, &groups, pool_rows.clone());
            let found = pool.nearest(&queries, count);
            prop_assert_eq!(found.len(), queries.len());
            for (query, found) in queries.iter().zip(&found) {
                let mut all: Vec<Neighbour> = pool_rows
                    .iter()
                    .filter(|row| groups[**row as usize] != groups[*query as usize])
                    .map(|row| Neighbour {
                        tile: *row,
                        distance: descriptors.distance(*query as usize, *row as usize),
                    })
                    .collect();
                all.sort_by(Neighbour::rank);
                all.truncate(count);
                prop_assert_eq!(found, &all);
            }
        }
    }

    /// Descriptors whose variance decreases along their numbers, as for real descriptors.
    fn decaying(tiles: usize, width: usize) -> Vec<f32> {
        use rand::RngExt;
        use rand_chacha::rand_core::SeedableRng;
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let mut value =
            |index: usize| random.random_range(-1.0_f32..1.0) * 0.9_f32.powi((index % width) as i32);
        let mut values: Vec<f32> = (0..tiles * width).map(&mut value).collect();
        // Some tiles are present twice.
        values.copy_within(0..100 * width, 5000 * width);
        values
    }

    #[test]
    fn bounds_hide_no_neighbour() {
        let (tiles, width) = (BOUNDED + 700, 2 * BOUND_NUMBERS);
        let values = decaying(tiles, width);
        let descriptors = Descriptors::new(&values, width).unwrap();
        let groups: Vec<u32> = (0..tiles as u32).map(|tile| tile % 7).collect();
        let pool = Pool::new(descriptors, &groups, (0..tiles as u32).collect());
        assert!(pool.bounds.is_some());
        let queries: Vec<u32> = (0..tiles as u32).step_by(211).collect();
        let bounded = pool.nearest(&queries, 20);
        let all: Vec<Vec<Neighbour>> =
            queries.chunks(64).flat_map(|queries| pool.nearest_of_block(queries, 20)).collect();
        assert_eq!(bounded, all);

        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32
        };
        let noise: Vec<f32> = (0..tiles * width).map(|_| noise()).collect();
        let flat = Descriptors::new(&noise, width).unwrap();
        let pool = Pool::new(flat, &groups, (0..tiles as u32).collect());
        assert!(pool.bounds.is_none(), "bounds of flat descriptors would rule nothing out");
    }

    #[test]
    fn whole_rows_hold_the_squared_distances() {
        let values: Vec<f32> = (0..600).map(|number| ((number * 37) % 101) as f32 / 7.0).collect();
        let descriptors = Descriptors::new(&values, 3).unwrap();
        let groups = vec![0; 200];
        let pool = Pool::new(descriptors, &groups, (0..200).collect());
        let queries: Vec<u32> = (0..50).collect();
        let seen: Vec<AtomicUsize> = queries.iter().map(|_| AtomicUsize::new(0)).collect();
        pool.distances(&queries, |query, row| {
            seen[query].fetch_add(row.len(), Ordering::Relaxed);
            for (tile, squared) in row.iter().enumerate() {
                let exact = descriptors.distance(queries[query] as usize, tile).powi(2);
                assert!((squared - exact).abs() < 1e-3, "{squared} {exact}");
            }
        });
        let seen: Vec<usize> = seen.into_iter().map(AtomicUsize::into_inner).collect();
        assert!(seen.iter().all(|tiles| *tiles == 200), "each query once, with all tiles: {seen:?}");
    }
}
