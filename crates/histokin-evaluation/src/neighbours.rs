//! Exact nearest neighbours of many tiles at once, by blocks of matrix products.
//!
//! ‖q − p‖² = ‖q‖² + ‖p‖² − 2 q·p, of centred descriptors so that little cancels. The products only choose
//! candidates; these are compared again number by number, and a query for which rounding might have hidden a
//! neighbour is compared with all.
//!
//! In a large pool whose variance lies along few axes, the products are those of the coordinates along these axes
//! and of the norm of what is left, which gives a lower bound of the distance for a quarter of the work: with
//! `P` these coordinates and `r` that norm, ‖q − p‖² ≥ ‖Pq − Pp‖² + (r_q − r_p)² (as in `index/basis.rs`).

use std::collections::BinaryHeap;

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::Descriptors;
use histokin_core::index::{self, Ranked, first_axes};

/// Queries and pool tiles in one matrix product: what fits into a core's cache.
const QUERY_BLOCK: usize = 256;
const POOL_BLOCK: usize = 512;

/// Candidates beyond those asked for, so that rounding rarely matters.
const SPARE: usize = 12;

/// Products looked at in one go for one that is small enough.
const LOOK: usize = 32;

/// Bounds are used from so many tiles on, …
const BOUNDED: usize = 20_000;
/// … of so many numbers, the last of which is the norm of what is left, …
const BOUND_NUMBERS: usize = 32;
/// … where they hold so much of the variance, as found in a sample.
const BOUND_SHARE: f64 = 0.75;
const BOUND_SAMPLE: usize = 6000;

/// Rounding may lift a bound above the squared distance by this part of the largest squared norms.
const BOUND_SLACK: f32 = 2e-5;

/// A tile of the pool, by its row.
pub type Neighbour = index::Neighbour<u32>;

/// Tiles that can be answers, prepared for searching.
pub struct Pool<'a> {
    descriptors: Descriptors<'a>,
    /// What queries and answers may not have in common, for each tile.
    groups: &'a [u32],
    rows: Vec<u32>,
    mean: Vec<f32>,
    /// Centred descriptors of `rows`, one after the other.
    values: Vec<f32>,
    squared_norms: Vec<f32>,
    largest_norm: f32,
    bounds: Option<Bounds>,
}

/// The tiles of a pool along a few axes.
struct Bounds {
    /// Orthonormal, one after the other: `(BOUND_NUMBERS − 1) × width`.
    axes: Vec<f32>,
    /// `rows × BOUND_NUMBERS`: coordinates along the axes, and the norm of what is left.
    values: Vec<f32>,
}

impl<'a> Pool<'a> {
    /// The tiles at `rows` of `descriptors`. A tile never answers a query of its own group; `groups` has one
    /// entry a descriptor.
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

    /// Rows of the tiles in the pool.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn centred(&self, rows: &[u32]) -> Vec<f32> {
        let mut values = Vec::with_capacity(rows.len() * self.descriptors.width());
        for row in rows {
            let row = self.descriptors.row(*row as usize);
            values.extend(row.iter().zip(&self.mean).map(|(value, mean)| value - mean));
        }
        values
    }

    /// The `count` nearest tiles of each query, nearest first and equal distances by row; fewer where the
    /// pool has fewer outside the query's group.
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

    /// Compare those tiles with each query whose bound is below the distance of the best so far.
    fn nearest_within_bounds(&self, bounds: &Bounds, queries: &[u32], count: usize) -> Vec<Vec<Neighbour>> {
        let width = self.descriptors.width();
        let centred = self.centred(queries);
        let own = squared_norms(&centred, width);
        let asked = project(&centred, &bounds.axes, width);
        let mut best: Vec<BinaryHeap<Ranked<u32>>> = queries.iter().map(|_| BinaryHeap::new()).collect();
        products(&bounds.values, &asked, BOUND_NUMBERS, |query, first, products| {
            let group = self.groups[queries[query] as usize];
            let slack = BOUND_SLACK * (own[query] + self.largest_norm);
            let best = &mut best[query];
            let reach = |best: &BinaryHeap<Ranked<u32>>| match best.peek() {
                Some(worst) if best.len() == count => worst.0.distance.powi(2) - own[query] + slack,
                _ => f32::INFINITY,
            };
            let mut within = reach(best);
            let norms = &self.squared_norms[first..first + products.len()];
            for (part, (norms, products)) in (0..).zip(norms.chunks(LOOK).zip(products.chunks(LOOK))) {
                if !any_below(norms, products, within) {
                    continue;
                }
                for (place, (norm, product)) in (first + part * LOOK..).zip(norms.iter().zip(products)) {
                    if norm - 2.0 * product > within || self.groups[self.rows[place] as usize] == group {
                        continue;
                    }
                    best.push(Ranked(self.neighbour(queries[query], place as u32)));
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

    fn nearest_of_block(&self, queries: &[u32], count: usize) -> Vec<Vec<Neighbour>> {
        let mut best: Vec<Candidates> = queries.iter().map(|_| Candidates::new(count + SPARE)).collect();
        self.products(queries, |query, first, products| {
            let group = self.groups[queries[query] as usize];
            let best = &mut best[query];
            let norms = &self.squared_norms[first..first + products.len()];
            for (part, (norms, products)) in (0..).zip(norms.chunks(LOOK).zip(products.chunks(LOOK))) {
                if !any_below(norms, products, best.worst) {
                    continue;
                }
                for (place, (norm, product)) in (first + part * LOOK..).zip(norms.iter().zip(products)) {
                    let key = norm - 2.0 * product;
                    if key < best.worst && self.groups[self.rows[place] as usize] != group {
                        best.offer(key, place as u32);
                    }
                }
            }
        });
        queries.iter().zip(best).map(|(query, best)| self.settle(*query, best, count)).collect()
    }

    /// Compare the candidates of a query exactly, or all tiles where the candidates may not suffice.
    fn settle(&self, query: u32, candidates: Candidates, count: usize) -> Vec<Neighbour> {
        let was_full = candidates.is_full();
        let worst = candidates.worst;
        let mut found: Vec<Neighbour> =
            candidates.heap.iter().map(|candidate| self.neighbour(query, candidate.place)).collect();
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
            .filter(|place| self.groups[self.rows[*place as usize] as usize] != group)
            .map(|place| self.neighbour(query, place))
            .collect();
        if found.len() > count {
            found.select_nth_unstable_by(count - 1, Neighbour::rank);
            found.truncate(count);
        }
        sort(&mut found);
        found
    }

    fn neighbour(&self, query: u32, place: u32) -> Neighbour {
        let tile = self.rows[place as usize];
        Neighbour { tile, distance: self.descriptors.distance(query as usize, tile as usize) }
    }

    /// Tell `each` of every query (its place in `queries`) the squared distances to all tiles of the pool,
    /// in the order of [`Pool::rows`]; a few 10⁻⁷ of the squared norms off. The queries come in any order.
    pub fn distances(&self, queries: &[u32], each: impl Fn(usize, &[f32]) + Sync) {
        queries.par_chunks(8).enumerate().for_each(|(block, queries)| {
            let mut rows = vec![0.0; queries.len() * self.rows.len()];
            let own = squared_norms(&self.centred(queries), self.descriptors.width());
            self.products(queries, |query, first, products| {
                let start = query * self.rows.len() + first;
                for (place, product) in products.iter().enumerate() {
                    rows[start + place] = own[query] + self.squared_norms[first + place] - 2.0 * product;
                }
            });
            for (query, row) in rows.chunks_exact(self.rows.len().max(1)).enumerate() {
                each(block * 8 + query, row);
            }
        });
    }

    /// The products of each query with consecutive tiles of the pool: place of the query, place of the first
    /// tile, products.
    fn products(&self, queries: &[u32], each: impl FnMut(usize, usize, &[f32])) {
        products(&self.values, &self.centred(queries), self.descriptors.width(), each);
    }
}

impl Bounds {
    /// Bounds for centred `values` (`… × width`); none where they would save nothing.
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

/// Coordinates of centred descriptors along `axes`, each followed by the norm of what is left.
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

/// The products of each of `queries` with consecutive ones of `tiles`, both `… × width`: place of the query, place
/// of the first tile, products.
fn products(tiles: &[f32], queries: &[f32], width: usize, mut each: impl FnMut(usize, usize, &[f32])) {
    let asked = queries.len() / width;
    let mut products = vec![0.0; POOL_BLOCK * asked];
    for (block, values) in tiles.chunks(POOL_BLOCK * width).enumerate() {
        let tiles = values.len() / width;
        let products = &mut products[..tiles * asked];
        multiply(values, queries, width, products);
        for (query, products) in products.chunks_exact(tiles).enumerate() {
            each(query, block * POOL_BLOCK, products);
        }
    }
}

/// Whether any squared norm less twice its product is at most `limit`: without a branch, so that vector
/// instructions do it.
fn any_below(norms: &[f32], products: &[f32], limit: f32) -> bool {
    norms.iter().zip(products).fold(false, |any, (norm, product)| any | (norm - 2.0 * product <= limit))
}

/// Products of each of `tiles` with each of `queries`, both `… × width`: all of the first query, then all of
/// the second, and so on.
#[expect(unsafe_code, reason = "matrixmultiply takes pointers and strides")]
fn multiply(tiles: &[f32], queries: &[f32], width: usize, products: &mut [f32]) {
    let (rows, columns) = (tiles.len() / width, queries.len() / width);
    assert_eq!((rows * width, columns * width, rows * columns), (tiles.len(), queries.len(), products.len()));
    let (along, next) = (1, width as isize);
    // SAFETY: the strides address `rows × width`, `width × columns` and `rows × columns` numbers, which the
    // assertion says the three slices hold; nothing else refers to `products`.
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

/// The nearest places of the pool so far, by squared distance less the query's own norm.
struct Candidates {
    heap: BinaryHeap<Candidate>,
    most: usize,
    /// Keys from here on are of no use.
    worst: f32,
}

struct Candidate {
    key: f32,
    place: u32,
}

impl Candidates {
    fn new(most: usize) -> Self {
        Self { heap: BinaryHeap::with_capacity(most + 1), most, worst: f32::INFINITY }
    }

    fn is_full(&self) -> bool {
        self.heap.len() == self.most
    }

    fn offer(&mut self, key: f32, place: u32) {
        self.heap.push(Candidate { key, place });
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
        self.key.total_cmp(&other.key).then(self.place.cmp(&other.place))
    }
}

#[cfg(test)]
mod tests {
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
            // Coarse numbers make many equal distances.
            let values: Vec<f32> = (0..tiles * width)
                .map(|_| if coarse { random.random_range(0..3) as f32 } else { offset + random.random::<f32>() })
                .collect();
            let groups: Vec<u32> = (0..tiles).map(|_| random.random_range(0..groups)).collect();
            let descriptors = Descriptors::new(&values, width).unwrap();
            let pool_rows: Vec<u32> = (0..tiles as u32).filter(|row| row % 3 != 1).collect();
            let queries: Vec<u32> = (0..tiles as u32).collect();
            let pool = Pool::new(descriptors, &groups, pool_rows.clone());
            let found = pool.nearest(&queries, count);
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

    /// Descriptors whose variance falls off along their numbers, as that of real ones does.
    fn decaying(tiles: usize, width: usize) -> Vec<f32> {
        use rand::RngExt;
        use rand_chacha::rand_core::SeedableRng;
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let mut value = |place: usize| {
            // Some tiles are there twice.
            random.random_range(-1.0_f32..1.0) * 0.9_f32.powi((place % width) as i32)
        };
        let mut values: Vec<f32> = (0..tiles * width).map(&mut value).collect();
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
        pool.distances(&queries, |query, row| {
            for (tile, squared) in row.iter().enumerate() {
                let exact = descriptors.distance(queries[query] as usize, tile).powi(2);
                assert!((squared - exact).abs() < 1e-3, "{squared} {exact}");
            }
        });
    }
}
