//! Near and far pairs of tiles of one slide, drawn at random in bounded time even if there are few or none.

use std::collections::HashMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::addr::Limits;

/// If a slide has at most this many pairs of tiles, all are enumerated when far pairs are drawn.
const ENUMERATED_PAIRS: usize = 20_000_000;

/// Random attempts per wanted far pair, before all pairs are enumerated.
const TRIES: usize = 20;

/// Positions of the tiles of one slide, with the limits of near and far pairs.
pub(super) struct PairFinder<'a> {
    /// Centres in µm.
    pub at_um: &'a [[f64; 2]],
    /// Limits of near and far pairs.
    pub limits: Limits,
}

impl PairFinder<'_> {
    fn squared_um(&self, a: usize, b: usize) -> f64 {
        let ([ax, ay], [bx, by]) = (self.at_um[a], self.at_um[b]);
        (ax - bx).powi(2) + (ay - by).powi(2)
    }

    /// Returns whether two tiles are nearer than the near limit.
    pub fn is_near(&self, a: usize, b: usize) -> bool {
        self.squared_um(a, b) < self.limits.near_um().powi(2)
    }

    /// Returns whether two tiles are farther apart than the far limit.
    pub fn is_far(&self, a: usize, b: usize) -> bool {
        self.squared_um(a, b) > self.limits.far_um().powi(2)
    }

    /// Draws `count` near pairs uniformly without replacement; returns all if there are fewer.
    pub fn draw_near(&self, count: usize, random: &mut ChaCha8Rng) -> Vec<(u32, u32)> {
        let cells = Cells::new(self.at_um, self.limits.near_um());
        draw(self.at_um.len(), count, random, |a, visit| {
            for b in cells.around(self.at_um[a]) {
                if b as usize > a && self.is_near(a, b as usize) {
                    visit(b);
                }
            }
        })
    }

    /// Draws `count` far pairs uniformly; returns all if there are fewer. On slides with very many tiles a
    /// pair may be drawn twice.
    pub fn draw_far(&self, count: usize, random: &mut ChaCha8Rng) -> Vec<(u32, u32)> {
        let tiles = self.at_um.len();
        if tiles * tiles.saturating_sub(1) / 2 > ENUMERATED_PAIRS {
            let mut drawn = Vec::with_capacity(count);
            for _ in 0..count.saturating_mul(TRIES) {
                let (a, b) = (random.random_range(0..tiles), random.random_range(0..tiles));
                if self.is_far(a, b) {
                    drawn.push((a.min(b) as u32, a.max(b) as u32));
                    if drawn.len() == count {
                        return drawn;
                    }
                }
            }
        }
        draw(tiles, count, random, |a, visit| {
            for b in a + 1..tiles {
                if self.is_far(a, b) {
                    visit(b as u32);
                }
            }
        })
    }
}

/// Draws from the pairs (a, b) that `others(a, …)` enumerates: counts them, draws their numbers, and
/// enumerates them again to find these.
fn draw(
    tiles: usize,
    count: usize,
    random: &mut ChaCha8Rng,
    others: impl Fn(usize, &mut dyn FnMut(u32)) + Sync,
) -> Vec<(u32, u32)> {
    let per_tile: Vec<usize> = (0..tiles)
        .into_par_iter()
        .map(|a| {
            let mut found = 0;
            others(a, &mut |_| found += 1);
            found
        })
        .collect();
    let total: usize = per_tile.iter().sum();
    let mut chosen = if total <= count {
        (0..total).collect()
    } else {
        rand::seq::index::sample(random, total, count).into_vec()
    };
    chosen.sort_unstable();
    let starts = per_tile.iter().scan(0, |next, found| {
        let start = *next;
        *next += found;
        Some(start)
    });
    let mut pairs = Vec::with_capacity(chosen.len());
    let mut wanted = chosen.into_iter().peekable();
    for (a, (start, found)) in starts.zip(&per_tile).enumerate() {
        if wanted.peek().is_none_or(|next| *next >= start + found) {
            continue;
        }
        let mut number = start;
        others(a, &mut |b| {
            if wanted.next_if_eq(&number).is_some() {
                pairs.push((a as u32, b));
            }
            number += 1;
        });
    }
    pairs
}

/// Tiles in square cells as wide as the near limit, so that near tiles are in the nine cells around a tile.
struct Cells {
    edge_um: f64,
    tiles: HashMap<(i64, i64), Vec<u32>>,
}

impl Cells {
    fn new(at_um: &[[f64; 2]], edge_um: f64) -> Self {
        let mut cells = Self { edge_um, tiles: HashMap::new() };
        for (tile, position) in (0..).zip(at_um) {
            let cell = cells.cell(*position);
            cells.tiles.entry(cell).or_default().push(tile);
        }
        cells
    }

    fn cell(&self, [x, y]: [f64; 2]) -> (i64, i64) {
        ((x / self.edge_um).floor() as i64, (y / self.edge_um).floor() as i64)
    }

    /// Returns the tiles in the nine cells around a position.
    fn around(&self, position: [f64; 2]) -> impl Iterator<Item = u32> {
        let (x, y) = self.cell(position);
        (y - 1..=y + 1)
            .flat_map(move |y| (x - 1..=x + 1).map(move |x| (x, y)))
            .filter_map(|cell| self.tiles.get(&cell))
            .flatten()
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    /// A row of tiles every half millimetre.
    fn row(tiles: usize) -> Vec<[f64; 2]> {
        (0..tiles).map(|tile| [500.0 * tile as f64, 0.0]).collect()
    }

    #[test]
    fn all_pairs_are_drawn_where_there_are_few() {
        let at_um = row(31);
        let finder = PairFinder { at_um: &at_um, limits: Limits { near_mm: 2.0, far_mm: 10.0 } };
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let near: BTreeSet<_> = finder.draw_near(1000, &mut random).into_iter().collect();
        let far: BTreeSet<_> = finder.draw_far(1000, &mut random).into_iter().collect();
        // 0.5, 1.0 and 1.5 mm are near, 2.0 mm is not; 10.5 mm and more is far.
        assert_eq!(near.len(), 30 + 29 + 28);
        assert_eq!(far.len(), (1..=10).sum::<usize>());
        assert!(near.iter().all(|(a, b)| b - a <= 3) && far.iter().all(|(a, b)| b - a >= 21));
    }

    #[test]
    fn a_few_of_many_are_drawn_evenly() {
        let at_um = row(400);
        let finder = PairFinder { at_um: &at_um, limits: Limits { near_mm: 2.0, far_mm: 10.0 } };
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let near = finder.draw_near(300, &mut random);
        let far = finder.draw_far(3000, &mut random);
        assert_eq!((near.len(), far.len()), (300, 3000));
        assert_eq!(near.iter().collect::<BTreeSet<_>>().len(), 300, "none twice");
        let mean = near.iter().map(|(a, _)| f64::from(*a)).sum::<f64>() / 300.0;
        assert!((mean - 199.0).abs() < 25.0, "{mean}");
        assert!(near.iter().all(|(a, b)| finder.is_near(*a as usize, *b as usize)));
        assert!(far.iter().all(|(a, b)| finder.is_far(*a as usize, *b as usize)));
    }

    #[test]
    fn a_slide_without_far_pairs_ends_soon() {
        let at_um = vec![[0.0, 0.0]; 7000];
        let finder = PairFinder { at_um: &at_um, limits: Limits { near_mm: 2.0, far_mm: 10.0 } };
        assert!(finder.draw_far(100, &mut ChaCha8Rng::seed_from_u64(1)).is_empty());
    }
}
