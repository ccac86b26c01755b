//! A sealed part of the index: the tiles of some finished slides, with a tree and codes over them. It is
//! immutable; tiles embedded later go into another segment.
//!
//! Candidates come from trees (`kd_tree`) or, where the data is so flat that they prune too little
//! (detected by `flatness` or during the search), from a scan over all codes (`codes`). In both cases a
//! descriptor is compared if and only if its lower bound is within the current search radius, so the answer
//! is exact.

mod flatness;

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use super::basis::{BLOCK, Basis};
use super::best::Best;
use super::brute_force::{self, compare, in_pieces};
use super::codes::{self, CodeProbe};
use super::distance::{Code, prefetch, squared_distance};
use super::kd_tree::{self, Candidate, PointTree, TreePoint};
use super::{Neighbour, TileFilter, TileRef, layout};
use crate::descriptors::{DescriptorSet, Row};

/// Maximum width of descriptors that are indexed.
const WIDEST: usize = 4096;

/// The tree search is abandoned after one candidate per this many tiles; beyond that a scan over all codes is
/// faster.
const TILES_PER_CANDIDATE: usize = 12;
/// Minimum number of candidates before the tree search is abandoned.
const FEWEST_CANDIDATES: usize = 4096;

/// If a filter accepts less than one in this many tiles, the accepted tiles are scanned instead of using the
/// tree.
const SELECTIVE: usize = 4;

/// Interval, in candidates, at which the tree search checks whether restarting with a smaller radius pays
/// off.
const LOOK_AFTER: usize = 32;
/// The tree search restarts when the squared radius has shrunk below this share of the one it started with.
const WORTH_A_RESTART: f32 = 0.6;

/// Rounding may raise a bound above the true distance by this share of the distance …
const RELATIVE_SLACK: f32 = 2e-5;
/// … plus this share of the largest coordinate, which is stored with 24 bits.
const ABSOLUTE_SLACK: f32 = 4e-6;

/// Number of candidates whose codes are being loaded while earlier ones are compared. Codes lie scattered in
/// memory, so that each would otherwise be waited for.
const IN_FLIGHT: usize = 32;

/// Number of tiles of a tree. The first is searched alone, the others then side by side within the radius that it has
/// reached.
const TILES_PER_TREE: usize = 1 << 22;

/// Number of codes compared at once.
const CODES_AT_ONCE: usize = 64;

/// Codes and points of a segment.
enum Storage {
    Built { codes: Vec<Code>, points: Vec<TreePoint> },
    Mapped { map: memmap2::Mmap, codes: Range<usize>, points: Range<usize> },
}

impl Storage {
    fn codes(&self) -> &[Code] {
        match self {
            Self::Built { codes, .. } => codes,
            Self::Mapped { map, codes, .. } => bytemuck::cast_slice(&map[codes.clone()]),
        }
    }

    fn points(&self) -> &[TreePoint] {
        match self {
            Self::Built { points, .. } => points,
            Self::Mapped { map, points, .. } => bytemuck::cast_slice(&map[points.clone()]),
        }
    }
}

/// Tree and codes over the tiles of several sets.
pub struct Segment {
    sets: Vec<Arc<DescriptorSet>>,
    /// Item number of the first row of each set, and one past the last item.
    starts: Vec<u32>,
    basis: Basis,
    /// Largest absolute coordinate.
    reach: f32,
    storage: Storage,
    /// Whether no tree is built because it would prune too little.
    is_flat: bool,
    /// Number of tiles of a tree.
    tiles_per_tree: usize,
    /// Built from the points, one for every `tiles_per_tree` tiles; until then, or if that is not possible, the codes are
    /// scanned.
    trees: OnceLock<Option<Vec<PointTree>>>,
}

/// A query prepared for the search in a segment.
struct Probe<'a> {
    query: &'a [f32],
    point: TreePoint,
    codes: CodeProbe,
    /// Allowance for rounding, in descriptor units.
    slack: f32,
}

impl Probe<'_> {
    /// Returns the squared bound beyond which no tile can be at `distance` or nearer.
    fn radius_squared(&self, distance: f32) -> f32 {
        let radius = distance * (1.0 + RELATIVE_SLACK) + self.slack;
        radius * radius
    }
}

/// Candidates whose codes are being loaded.
struct InFlight {
    candidates: [Candidate; IN_FLIGHT],
    count: usize,
}

impl InFlight {
    fn new() -> Self {
        Self { candidates: [Candidate { item: 0, bound: 0.0 }; IN_FLIGHT], count: 0 }
    }

    /// Adds a candidate; returns the one that has waited longest, once there are more than [`IN_FLIGHT`].
    fn push(&mut self, candidate: Candidate) -> Option<Candidate> {
        let oldest = std::mem::replace(&mut self.candidates[self.count % IN_FLIGHT], candidate);
        self.count += 1;
        (self.count > IN_FLIGHT).then_some(oldest)
    }

    /// Returns the candidates that are left, in the order in which they were added.
    fn rest(self) -> impl Iterator<Item = Candidate> {
        (self.count.saturating_sub(IN_FLIGHT)..self.count)
            .map(move |added| self.candidates[added % IN_FLIGHT])
    }
}

/// The distance that the best matches of any tree have reached: no farther tile can be among the matches.
struct Reached(AtomicU32);

impl Reached {
    fn new(distance: f32) -> Self {
        // Distances are not negative, so that their bits are ordered as they are. With no matches wanted there are none.
        Self(AtomicU32::new(distance.max(0.0).to_bits()))
    }

    fn distance(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Lowers the distance to `distance`, unless it is lower; returns it.
    fn lower_to(&self, distance: f32) -> f32 {
        let bits = distance.max(0.0).to_bits();
        f32::from_bits(self.0.fetch_min(bits, Ordering::Relaxed).min(bits))
    }
}

/// The tree pruned too little; the matches found so far limit further ones to this distance.
struct TooMany(f32);

impl Segment {
    /// Indexes all rows of `sets`, which have equal width. `None` if that is not possible: no tiles, more
    /// than 2³² − 1 tiles, non-finite numbers, or descriptors wider than 4096.
    pub fn build(sets: &[Arc<DescriptorSet>]) -> Option<Self> {
        let width = sets.first()?.width();
        let starts = starts(sets)?;
        let len = *starts.last()? as usize;
        if len == 0 || !(1..=WIDEST).contains(&width) {
            return None;
        }
        let basis = Basis::fit(sets, width)?;
        let step = codes::step(&basis);
        let mut points = vec![TreePoint::default(); len];
        let mut codes = vec![<Code as bytemuck::Zeroable>::zeroed(); len];
        let mut parts = Vec::new();
        let (mut points_left, mut codes_left) = (points.as_mut_slice(), codes.as_mut_slice());
        for rows in sets.iter().flat_map(|set| set.features().chunks(BLOCK * width)) {
            let (points, codes);
            (points, points_left) = points_left.split_at_mut(rows.len() / width);
            (codes, codes_left) = codes_left.split_at_mut(rows.len() / width);
            parts.push((rows, points, codes));
        }
        let project = |(rows, points, codes): (&[f32], &mut [TreePoint], &mut [Code])| {
            let (mut reach, mut is_finite) = (0.0f64, true);
            let mut outputs = points.iter_mut().zip(codes);
            basis.project_block(rows, |projected| {
                let (point, code) = outputs.next().expect("a part has one output per row");
                *point = TreePoint::new(&projected);
                *code = codes::encode(&projected, step);
                reach = reach.max(projected.reach());
                // A single non-finite number makes the norm, and thus the residual, non-finite.
                is_finite &= projected.residual.is_finite();
            });
            is_finite.then_some(reach)
        };
        let furthest = |a: Option<f64>, b: Option<f64>| Some(a?.max(b?));
        let reach = parts.into_par_iter().map(project).reduce(|| Some(0.0), furthest)? as f32;
        let storage = Storage::Built { codes, points };
        let sets = sets.to_vec();
        let mut built = Self {
            sets,
            starts,
            basis,
            reach,
            storage,
            is_flat: false,
            tiles_per_tree: TILES_PER_TREE,
            trees: OnceLock::new(),
        };
        built.is_flat = flatness::is_flat(&built, built.storage.points());
        Some(built)
    }

    /// Opens the segment in a mapped file; `sets` are the sets in its header, in the same order.
    ///
    /// # Errors
    /// A description of the problem when the file is damaged or belongs to other sets.
    pub(super) fn mapped(map: memmap2::Mmap, sets: Vec<Arc<DescriptorSet>>) -> Result<Self, &'static str> {
        let starts = starts(&sets).ok_or("it has too many tiles")?;
        let len = starts.last().copied().unwrap_or(0) as usize;
        let parts = layout::read(&map)?;
        let fits = parts.head.sets.len() == sets.len()
            && parts.head.sets.iter().zip(&sets).all(|(stored, set)| stored.rows as usize == set.len())
            && sets.iter().all(|set| set.width() == parts.head.width);
        if !fits {
            return Err("it belongs to other slides");
        }
        let basis = Basis::from_numbers(parts.basis, parts.head.width).ok_or("its axes are incomplete")?;
        if parts.codes.len() != len || parts.points.len() != len {
            return Err("it belongs to other tiles");
        }
        let (reach, is_flat) = (parts.head.reach, parts.head.is_flat);
        let (codes, points) = (parts.codes_at, parts.points_at);
        let storage = Storage::Mapped { map, codes, points };
        Ok(Self {
            sets,
            starts,
            basis,
            reach,
            storage,
            is_flat,
            tiles_per_tree: TILES_PER_TREE,
            trees: OnceLock::new(),
        })
    }

    /// Replaces the segment with `mapped`, the same segment mapped from its file, but keeps the trees.
    pub(super) fn moved_to(self, mapped: Self) -> Self {
        Self { trees: self.trees, ..mapped }
    }

    /// Returns the content of the segment's file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let numbers = (self.reach, self.is_flat);
        layout::write(&self.sets, &self.basis, numbers, self.storage.codes(), self.storage.points())
    }

    /// Has a tree for every `tiles` tiles, so that few of them make several trees.
    #[cfg(feature = "test-support")]
    pub fn with_tiles_per_tree(self, tiles: usize) -> Self {
        Self { tiles_per_tree: tiles, trees: OnceLock::new(), ..self }
    }

    /// Builds the trees unless they exist or the data is flat; concurrent searches scan the codes meanwhile.
    pub fn grow_trees(&self) {
        let build = || self.storage.points().chunks(self.tiles_per_tree).map(PointTree::build).collect();
        self.trees.get_or_init(|| if self.is_flat { None } else { build() });
    }

    /// Returns the sets of the segment.
    pub fn sets(&self) -> &[Arc<DescriptorSet>] {
        &self.sets
    }

    /// Returns the number of tiles, including those of slides that have been removed since.
    pub fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or(0) as usize
    }

    /// Returns whether the segment has no tiles.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the size of the codes in bytes.
    pub fn code_bytes(&self) -> usize {
        self.len() * size_of::<Code>()
    }

    /// Returns the bytes that a search accesses: codes and, if there is one, the tree. Descriptors and the
    /// points that the tree is built from are not included.
    pub fn index_bytes(&self) -> usize {
        let tree = if self.is_flat { 0 } else { self.len() * kd_tree::BYTES_PER_ITEM };
        self.code_bytes() + tree
    }

    /// Returns whether the codes are mapped from a file.
    pub fn is_mapped(&self) -> bool {
        matches!(self.storage, Storage::Mapped { .. })
    }

    /// Offers the tiles nearest to `query` to `best`. `set_indices` are the indices of the segment's sets in the
    /// snapshot, as used by filter and answer; `None` for a set that has been removed.
    pub(super) fn search(
        &self,
        query: &[f32],
        set_indices: &[Option<u32>],
        filter: &TileFilter,
        best: Best,
    ) -> Best {
        let wanted = |local: usize| set_indices[local].filter(|set_index| filter.accepts_set(*set_index));
        let accepted: Vec<(usize, u32)> =
            (0..self.sets.len()).filter_map(|local| Some((local, wanted(local)?))).collect();
        let count =
            |(local, set_index): &(usize, u32)| filter.count_within(*set_index, self.sets[*local].len());
        let rows: usize = accepted.iter().map(count).sum();
        if rows == 0 {
            return best;
        }
        let projected = self.basis.project(query);
        let step = codes::step(&self.basis);
        let probe = Probe {
            query,
            point: TreePoint::new(&projected),
            codes: CodeProbe::new(&projected, step),
            slack: self.reach.max(projected.reach() as f32) * ABSOLUTE_SLACK,
        };
        let mut best = best;
        let trees = self.trees.get().and_then(Option::as_ref);
        if let Some(trees) = trees.filter(|_| rows * SELECTIVE >= self.len()) {
            let set_indices: Vec<Option<u32>> = (0..self.sets.len()).map(wanted).collect();
            match self.walk_all(trees, &probe, &set_indices, filter, &best) {
                Ok(best) => return best,
                Err(TooMany(limit)) => best = best.limited_to(limit),
            }
        }
        self.scan(&probe, &accepted, filter, best)
    }

    /// Searches all trees: the first, then the others on all cores.
    fn walk_all(
        &self,
        trees: &[PointTree],
        probe: &Probe<'_>,
        set_indices: &[Option<u32>],
        filter: &TileFilter,
        best: &Best,
    ) -> Result<Best, TooMany> {
        let reached = Reached::new(best.worst_distance());
        let walk = |(number, tree): (usize, &PointTree)| {
            let first = number * self.tiles_per_tree;
            self.walk(tree, first, probe, set_indices, filter, (best.for_part(), &reached))
        };
        let Some((first, others)) = trees.split_first() else { return Ok(best.clone()) };
        let of_first = walk((0, first))?;
        // Each of the others gives up on its own; what they have reached limits the scan that follows.
        let found: Vec<Result<Best, TooMany>> =
            others.par_iter().enumerate().map(|(number, tree)| walk((number + 1, tree))).collect();
        let found: Result<Vec<Best>, TooMany> = found.into_iter().collect();
        let found = found.map_err(|_| TooMany(reached.distance()))?;
        let so_far = best.clone().merge(of_first);
        Ok(found.into_iter().fold(so_far, Best::merge))
    }

    /// Searches the tree over the tiles from item `first` on, nearest leaf first.
    fn walk(
        &self,
        tree: &PointTree,
        first: usize,
        probe: &Probe<'_>,
        set_indices: &[Option<u32>],
        filter: &TileFilter,
        (mut best, reached): (Best, &Reached),
    ) -> Result<Best, TooMany> {
        let codes = &self.storage.codes()[first..];
        let tiles = codes.len().min(self.tiles_per_tree);
        let budget = (tiles / TILES_PER_CANDIDATE).max(FEWEST_CANDIDATES);
        let mut taken = 0;
        loop {
            let radius = probe.radius_squared(reached.distance());
            let mut within_reach = radius;
            let (mut in_round, mut again) = (0, false);
            let mut in_flight = InFlight::new();
            let mut compare = |candidate: Candidate, within_reach: &mut f32| {
                let code = &codes[candidate.item as usize];
                if candidate.bound > *within_reach || probe.codes.bound(code) > *within_reach {
                    return;
                }
                let (local, row) = self.tile(first as u32 + candidate.item);
                let Some(set_index) = set_indices[local] else { return };
                let tile = TileRef { set: set_index, row };
                if filter.accepts_row(tile) && self.offer(probe, local, tile, filter, &mut best) {
                    *within_reach = probe.radius_squared(reached.lower_to(best.worst_distance()));
                }
            };
            tree.candidates(&probe.point, radius, |candidate| {
                taken += 1;
                in_round += 1;
                if taken > budget {
                    return false;
                }
                if in_round % LOOK_AFTER == 0 {
                    within_reach = within_reach.min(probe.radius_squared(reached.distance()));
                    if within_reach < WORTH_A_RESTART * radius {
                        again = true;
                        return false;
                    }
                }
                let Some(code) = codes.get(candidate.item as usize) else { return true };
                if candidate.bound <= within_reach {
                    prefetch(code);
                    if let Some(oldest) = in_flight.push(candidate) {
                        compare(oldest, &mut within_reach);
                    }
                }
                true
            });
            in_flight.rest().for_each(|candidate| compare(candidate, &mut within_reach));
            if taken > budget {
                return Err(TooMany(reached.distance()));
            }
            if !again {
                return Ok(best);
            }
        }
    }

    /// Scans the codes of all tiles of the `accepted` sets (given with their indices in the snapshot), and
    /// compares the descriptors of those whose bound is within the search radius.
    fn scan(&self, probe: &Probe<'_>, accepted: &[(usize, u32)], filter: &TileFilter, best: Best) -> Best {
        let pieces: Vec<(usize, u32, Range<u32>)> = accepted
            .iter()
            .flat_map(|&(local, set_index)| {
                brute_force::pieces(self.sets[local].len() as u32).map(move |rows| (local, set_index, rows))
            })
            .collect();
        in_pieces(&pieces, best, |best, (local, set_index, rows)| {
            self.scan_piece(probe, (*local, *set_index), rows.clone(), filter, best);
        })
    }

    fn scan_piece(
        &self,
        probe: &Probe<'_>,
        (local, set_index): (usize, u32),
        rows: Range<u32>,
        filter: &TileFilter,
        best: &mut Best,
    ) {
        let start = self.starts[local] as usize;
        if let Some(mask) = filter.mask(set_index) {
            let codes = &self.storage.codes()[start..];
            for row in rows.map(Row).filter(|row| mask.contains(*row)) {
                let within_reach = probe.radius_squared(best.worst_distance());
                if probe.codes.bound(&codes[row.0 as usize]) <= within_reach {
                    self.offer(probe, local, TileRef { set: set_index, row }, filter, best);
                }
            }
            return;
        }
        let codes = &self.storage.codes()[start + rows.start as usize..start + rows.end as usize];
        let mut bounds = [0.0f32; CODES_AT_ONCE];
        for (block, first) in codes.chunks(CODES_AT_ONCE).zip(rows.clone().step_by(CODES_AT_ONCE)) {
            let bounds = &mut bounds[..block.len()];
            probe.codes.bounds(block, bounds);
            let mut within_reach = probe.radius_squared(best.worst_distance());
            let reached = bounds.iter().filter(|bound| **bound <= within_reach).count();
            if reached * 2 > block.len() {
                // Codes rule out few tiles here; the rest of this piece is likely no better.
                compare(&self.sets[local], set_index, first..rows.end, probe.query, filter, best);
                return;
            }
            if reached == 0 {
                continue;
            }
            for (row, bound) in (first..).map(Row).zip(bounds) {
                if *bound <= within_reach
                    && self.offer(probe, local, TileRef { set: set_index, row }, filter, best)
                {
                    within_reach = probe.radius_squared(best.worst_distance());
                }
            }
        }
    }

    /// Compares one descriptor and offers the tile to `best`; returns whether it was accepted.
    fn offer(
        &self,
        probe: &Probe<'_>,
        local: usize,
        tile: TileRef,
        filter: &TileFilter,
        best: &mut Best,
    ) -> bool {
        // With many identical tiles at distance 0, only the first ones need to be compared.
        if !best.takes(tile, 0.0) {
            return false;
        }
        let set = &self.sets[local];
        let distance = squared_distance(probe.query, set.descriptor(tile.row)).sqrt();
        if !best.takes(tile, distance) || best.holds(tile) || !filter.accepts(set, tile, distance) {
            return false;
        }
        best.offer(Neighbour { tile, distance });
        true
    }

    /// Returns the set and row of an item.
    fn tile(&self, item: u32) -> (usize, Row) {
        let local = self.starts.partition_point(|start| *start <= item) - 1;
        (local, Row(item - self.starts[local]))
    }
}

/// Returns the first item number of each set, and one past the last item; `None` when `u32` cannot number
/// them.
fn starts(sets: &[Arc<DescriptorSet>]) -> Option<Vec<u32>> {
    let mut starts = vec![0u32];
    for set in sets {
        let end = u64::from(*starts.last()?) + set.len() as u64;
        starts.push(u32::try_from(end).ok()?);
    }
    Some(starts)
}
