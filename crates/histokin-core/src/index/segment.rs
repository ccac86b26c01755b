//! A sealed part of the index: the tiles of some finished slides, with a tree and codes over them. It is
//! immutable; tiles embedded later go into another segment.
//!
//! Candidates come from trees (`kd_tree`) or, where the search finds that these rule out too few, from a scan over
//! all codes (`codes`). Data so flat that trees are no use (`flatness`) has layers instead (`layers`), all of which
//! are compared (`sieve`). In each case a descriptor is compared if and only if its lower bound is within the current
//! search radius, so the answer is exact.

mod flatness;
mod sieve;
mod storage;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::prelude::*;

use super::basis::{AXES, BLOCK, Basis, Projected};
use super::best::Best;
use super::brute_force::{self, compare, in_pieces};
use super::codes::{self, CodeProbe};
use super::distance::{CODE_AXES, Code, prefetch, squared_distance};
use super::kd_tree::{self, Candidate, PointTree, TreePoint};
use super::layer_loops::{BLOCK_TILES, Layer, LayerBlock, PAIRS};
use super::layers::{LayerProbe, Scale};
use super::{Neighbour, TileFilter, TileRef, layout};
use crate::descriptors::{DescriptorSet, Row};
use sieve::{Distances, Sieve};
use storage::Storage;

pub(super) use storage::Arrays;

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
/// If it accepts less than one in this many, their descriptors are compared instead of the layers of all.
const VERY_SELECTIVE: usize = 32;

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

/// Tree and codes, or layers, over the tiles of several sets.
pub struct Segment {
    sets: Vec<Arc<DescriptorSet>>,
    /// Item number of the first row of each set, and one past the last item.
    starts: Vec<u32>,
    basis: Basis,
    /// Largest absolute coordinate.
    reach: f32,
    storage: Storage,
    /// Scale of the layers; `None` if there are codes and trees instead.
    scale: Option<Scale>,
    /// Number of tiles of a tree.
    tiles_per_tree: usize,
    /// Built from the points, one for every `tiles_per_tree` tiles; until then, or if that is not possible, the codes are
    /// scanned.
    trees: OnceLock<Option<Vec<PointTree>>>,
    /// Room for the distances of layers, which a search takes for its time.
    room: Mutex<Distances>,
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
    /// Returns the bound beyond which no tile can be at `distance` or nearer.
    fn radius(&self, distance: f32) -> f32 {
        distance * (1.0 + RELATIVE_SLACK) + self.slack
    }

    /// Returns the square of [`Self::radius`].
    fn radius_squared(&self, distance: f32) -> f32 {
        let radius = self.radius(distance);
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

/// The largest of several numbers that are not negative.
#[derive(Default)]
struct Most(AtomicU32);

impl Most {
    fn raise_to(&self, number: f32) {
        // Their bits are ordered as they are. Mostly it is only read, so that the threads do not wait for each other.
        if self.0.load(Ordering::Relaxed) < number.to_bits() {
            self.0.fetch_max(number.to_bits(), Ordering::Relaxed);
        }
    }

    fn value(self) -> f32 {
        f32::from_bits(self.0.into_inner())
    }
}

/// The tree pruned too little; the matches found so far limit further ones to this distance.
struct TooMany(f32);

impl Segment {
    /// Indexes all rows of `sets`, which have equal width. `None` if that is not possible: no tiles, more
    /// than 2³² − 1 tiles, non-finite numbers, or descriptors wider than 4096.
    pub fn build(sets: &[Arc<DescriptorSet>]) -> Option<Self> {
        Self::build_by(sets, flatness::is_flat)
    }

    /// As [`Self::build`]; `is_flat` decides by a sample of descriptors whether there are layers or trees.
    fn build_by(
        sets: &[Arc<DescriptorSet>],
        is_flat: impl Fn(&[(&[f32], Projected)]) -> bool,
    ) -> Option<Self> {
        let width = sets.first()?.width();
        let starts = starts(sets)?;
        let len = *starts.last()? as usize;
        if len == 0 || !(1..=WIDEST).contains(&width) {
            return None;
        }
        let mut basis = Basis::fit(sets, width)?;
        let sample = flatness::sample(sets, &basis);
        let (reach, storage, scale);
        if is_flat(&sample) {
            let by_sample = Scale::of_sample(sample.iter().map(|(_, projected)| projected));
            let mut blocks: Vec<LayerBlock> = vec![[[0; 2 * BLOCK_TILES]; PAIRS]; len.div_ceil(BLOCK_TILES)];
            let mut seconds: Vec<Layer> = vec![Layer::default(); len];
            let firsts: &mut [Layer] = bytemuck::cast_slice_mut(&mut blocks);
            let lost = [Most::default(), Most::default()];
            let encode = |projected: &Projected| {
                let encoded = by_sample.encode(projected);
                lost.iter().zip(encoded.lost).for_each(|(most, lost)| most.raise_to(lost));
                encoded.layers.into()
            };
            reach = project_all(sets, &basis, (&mut firsts[..len], &mut seconds), encode)?;
            let by_all = by_sample.with_lost(lost.map(Most::value)).complete(&mut blocks, &mut seconds);
            scale = Some(by_all);
            storage = Storage::Layers { blocks, seconds };
        } else {
            basis = basis.only(CODE_AXES);
            let step = codes::step(&basis);
            let mut codes = vec![<Code as bytemuck::Zeroable>::zeroed(); len];
            let mut points = vec![TreePoint::default(); len];
            let encode = |projected: &Projected| (codes::encode(projected, step), TreePoint::new(projected));
            reach = project_all(sets, &basis, (&mut codes, &mut points), encode)?;
            scale = None;
            storage = Storage::Tree { codes, points };
        }
        Some(Self::with_parts((sets.to_vec(), starts), basis, (reach, scale), storage))
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
        let axes = if parts.head.scale.is_some() { AXES } else { CODE_AXES };
        let basis =
            Basis::from_numbers(parts.basis, parts.head.width, axes).ok_or("its axes are incomplete")?;
        if parts.head.scale.as_ref().is_some_and(|scale| !scale.is_valid()) {
            return Err("the scale of its layers is invalid");
        }
        if !parts.arrays.are_of(len) {
            return Err("it belongs to other tiles");
        }
        let (reach, scale) = (parts.head.reach, parts.head.scale);
        let [first, second] = parts.arrays_at;
        let storage = Storage::Mapped { map, is_flat: scale.is_some(), first, second };
        Ok(Self::with_parts((sets, starts), basis, (reach, scale), storage))
    }

    fn with_parts(
        (sets, starts): (Vec<Arc<DescriptorSet>>, Vec<u32>),
        basis: Basis,
        (reach, scale): (f32, Option<Scale>),
        storage: Storage,
    ) -> Self {
        let (trees, room) = (OnceLock::new(), Mutex::default());
        Self { sets, starts, basis, reach, storage, scale, tiles_per_tree: TILES_PER_TREE, trees, room }
    }

    /// Replaces the segment with `mapped`, the same segment mapped from its file, but keeps the trees.
    pub(super) fn moved_to(self, mapped: Self) -> Self {
        Self { trees: self.trees, ..mapped }
    }

    /// Returns the content of the segment's file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        layout::write(&self.sets, &self.basis, (self.reach, self.scale.as_ref()), self.storage.arrays())
    }

    /// Has a tree for every `tiles` tiles, so that few of them make several trees.
    #[cfg(feature = "test-support")]
    pub fn with_tiles_per_tree(self, tiles: usize) -> Self {
        Self { tiles_per_tree: tiles, trees: OnceLock::new(), ..self }
    }

    /// Builds the trees unless they exist or the data is flat; concurrent searches scan the codes meanwhile.
    pub fn grow_trees(&self) {
        self.trees.get_or_init(|| match self.storage.arrays() {
            Arrays::Tree { points, .. } => points.chunks(self.tiles_per_tree).map(PointTree::build).collect(),
            Arrays::Layers { .. } => None,
        });
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

    /// Returns the size of the codes or layers in bytes.
    pub fn code_bytes(&self) -> usize {
        self.storage.arrays().searched_bytes()
    }

    /// Returns the bytes that a search accesses: codes and trees, or layers. Descriptors and the points that trees
    /// are built from are not included.
    pub fn index_bytes(&self) -> usize {
        let tree = if self.scale.is_some() { 0 } else { self.len() * kd_tree::BYTES_PER_ITEM };
        self.code_bytes() + tree
    }

    /// Returns whether the codes or layers are mapped from a file.
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
        let set_indices: Vec<Option<u32>> = (0..self.sets.len()).map(wanted).collect();
        if let (Some(scale), Arrays::Layers { blocks, seconds }) = (&self.scale, self.storage.arrays()) {
            if rows * VERY_SELECTIVE < self.len() {
                let parts = accepted.iter().map(|(local, set_index)| (&*self.sets[*local], *set_index));
                return brute_force::compare_all(parts, query, filter, best);
            }
            let layers = LayerProbe::new(&projected, scale);
            let (segment, probe, set_indices) = (self, &probe, &set_indices);
            let sieve = Sieve { segment, probe, layers, blocks, seconds, set_indices, filter };
            let room = || self.room.lock().unwrap_or_else(PoisonError::into_inner);
            let mut distances = std::mem::take(&mut *room());
            let best = sieve.search(&mut distances, best);
            *room() = distances;
            return best;
        }
        let mut best = best;
        let trees = self.trees.get().and_then(Option::as_ref);
        if let Some(trees) = trees.filter(|_| rows * SELECTIVE >= self.len()) {
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
        let codes = &self.storage.arrays().codes()[first..];
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
                    prefetch(std::slice::from_ref(code));
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
            let codes = &self.storage.arrays().codes()[start..];
            for row in rows.map(Row).filter(|row| mask.contains(*row)) {
                let within_reach = probe.radius_squared(best.worst_distance());
                if probe.codes.bound(&codes[row.0 as usize]) <= within_reach {
                    self.offer(probe, local, TileRef { set: set_index, row }, filter, best);
                }
            }
            return;
        }
        let codes = &self.storage.arrays().codes()[start + rows.start as usize..start + rows.end as usize];
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

/// Projects all rows of `sets` and writes what `encode` makes of each into both outputs. Returns the largest reach;
/// `None` if there are non-finite numbers.
fn project_all<A: Send, B: Send>(
    sets: &[Arc<DescriptorSet>],
    basis: &Basis,
    (mut firsts, mut seconds): (&mut [A], &mut [B]),
    encode: impl Fn(&Projected) -> (A, B) + Sync,
) -> Option<f32> {
    let width = basis.width();
    let mut parts = Vec::new();
    for rows in sets.iter().flat_map(|set| set.features().chunks(BLOCK * width)) {
        let (first, second);
        (first, firsts) = firsts.split_at_mut(rows.len() / width);
        (second, seconds) = seconds.split_at_mut(rows.len() / width);
        parts.push((rows, first, second));
    }
    let project = |(rows, first, second): (&[f32], &mut [A], &mut [B])| {
        let (mut reach, mut is_finite) = (0.0f64, true);
        let mut outputs = first.iter_mut().zip(second);
        basis.project_block(rows, |projected| {
            let (first, second) = outputs.next().expect("a part has one output per row");
            (*first, *second) = encode(&projected);
            reach = reach.max(projected.reach());
            // A single non-finite number makes the norm, and thus the residual, non-finite.
            is_finite &= projected.residual.is_finite();
        });
        is_finite.then_some(reach)
    };
    let furthest = |a: Option<f64>, b: Option<f64>| Some(a?.max(b?));
    Some(parts.into_par_iter().map(project).reduce(|| Some(0.0), furthest)? as f32)
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
