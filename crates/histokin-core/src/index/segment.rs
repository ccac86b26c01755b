//! A sealed part of the index: the tiles of some finished slides, with a tree and codes over them. It never
//! changes; what is embedded later becomes another segment.
//!
//! Candidates come from the tree (`kd_tree`) or, where the data is so flat that the tree rules out too
//! little (`flatness`, or the walk itself finds it out), from a scan over all codes (`codes`). Either way only a descriptor whose lower bound lies
//! within reach is compared itself, and none within reach is left out: the answer is exact.

mod flatness;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use super::basis::{BLOCK, Basis};
use super::best::Best;
use super::brute_force::{self, compare, in_pieces};
use super::codes::{self, CodeProbe};
use super::distance::{Code, squared_distance};
use super::kd_tree::{self, PointTree, TreePoint};
use super::{Neighbour, TileFilter, TileRef, layout};
use crate::descriptors::{DescriptorSet, Row};

/// Widest descriptor that is indexed.
const WIDEST: usize = 4096;

/// The tree gives up after one candidate in so many tiles; by then a scan over all codes is quicker.
const TILES_PER_CANDIDATE: usize = 32;
const FEWEST_CANDIDATES: usize = 4096;

/// Where a filter leaves less than one tile in so many, those are scanned rather than looked for in the tree.
const SELECTIVE: usize = 4;

/// Candidates after which the walk begins anew where a far smaller radius has turned out to do.
const LOOK_AFTER: usize = 128;
const WORTH_A_RESTART: f32 = 0.5;

/// Rounding may lift a bound above the true distance by this much of the distance, …
const RELATIVE_SLACK: f32 = 2e-5;
/// … and by this much of the largest coordinate, which was rounded to 24 bits when it was stored.
const ABSOLUTE_SLACK: f32 = 4e-6;

/// Codes compared at once.
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
    /// Largest coordinate in size.
    reach: f32,
    storage: Storage,
    /// Whether no tree is grown, since it would rule out too little.
    is_flat: bool,
    /// Grown from the points; until then, and where it cannot be, the codes are scanned.
    tree: OnceLock<Option<PointTree>>,
}

/// A query as a segment sees it.
struct Probe<'a> {
    query: &'a [f32],
    point: TreePoint,
    codes: CodeProbe,
    /// What rounding may cost, in units of distance.
    slack: f32,
}

impl Probe<'_> {
    /// Squared bound beyond which no tile can be at `distance` or nearer.
    fn radius_squared(&self, distance: f32) -> f32 {
        let radius = distance * (1.0 + RELATIVE_SLACK) + self.slack;
        radius * radius
    }
}

/// The tree ruled out too little; what it has found shows that nothing farther than this gets in.
struct TooMany(f32);

impl Segment {
    /// Index all rows of `sets`, which are of equal width. `None` where that cannot be done: no tiles, more
    /// than can be numbered, numbers that are not finite, or too many of them in a descriptor.
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
            let mut places = points.iter_mut().zip(codes);
            basis.project_block(rows, |projected| {
                let (point, code) = places.next().expect("a part has a place for each of its rows");
                *point = TreePoint::new(&projected);
                *code = codes::encode(&projected, step);
                reach = reach.max(projected.reach());
                // One number that is not finite makes the norm, and with it the residual, no number either.
                is_finite &= projected.residual.is_finite();
            });
            is_finite.then_some(reach)
        };
        let furthest = |a: Option<f64>, b: Option<f64>| Some(a?.max(b?));
        let reach = parts.into_par_iter().map(project).reduce(|| Some(0.0), furthest)? as f32;
        let storage = Storage::Built { codes, points };
        let sets = sets.to_vec();
        let mut built = Self { sets, starts, basis, reach, storage, is_flat: false, tree: OnceLock::new() };
        built.is_flat = flatness::is_flat(&built, built.storage.points());
        Some(built)
    }

    /// The segment in a mapped file, over the sets that it names, in their order.
    ///
    /// # Errors
    /// Why the file holds no segment over these sets.
    pub(super) fn mapped(map: memmap2::Mmap, sets: Vec<Arc<DescriptorSet>>) -> Result<Self, &'static str> {
        let starts = starts(&sets).ok_or("it has too many tiles")?;
        let len = starts.last().copied().unwrap_or(0) as usize;
        let parts = layout::read(&map)?;
        let fits = parts.head.sets.len() == sets.len()
            && parts.head.sets.iter().zip(&sets).all(|(told, set)| told.rows as usize == set.len())
            && sets.iter().all(|set| set.width() == parts.head.width);
        if !fits {
            return Err("it is of other slides");
        }
        let basis = Basis::from_numbers(parts.basis, parts.head.width).ok_or("its axes are not whole")?;
        if parts.codes.len() != len || parts.points.len() != len {
            return Err("it is of other tiles");
        }
        let (reach, is_flat) = (parts.head.reach, parts.head.is_flat);
        let (codes, points) = (parts.codes_at, parts.points_at);
        let storage = Storage::Mapped { map, codes, points };
        Ok(Self { sets, starts, basis, reach, storage, is_flat, tree: OnceLock::new() })
    }

    /// The same segment, but mapped from the file that it was written to.
    pub(super) fn moved_to(self, mapped: Self) -> Self {
        Self { tree: self.tree, ..mapped }
    }

    /// The segment as it is kept in a file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let numbers = (self.reach, self.is_flat);
        layout::write(&self.sets, &self.basis, numbers, self.storage.codes(), self.storage.points())
    }

    /// Grow the tree unless it is there or of no use; searches that run meanwhile scan the codes.
    pub fn grow_tree(&self) {
        self.tree.get_or_init(|| if self.is_flat { None } else { PointTree::build(self.storage.points()) });
    }

    /// The sets of the segment.
    pub fn sets(&self) -> &[Arc<DescriptorSet>] {
        &self.sets
    }

    /// Number of tiles, those of slides that have been taken off since included.
    pub fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or(0) as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the codes.
    pub fn code_bytes(&self) -> usize {
        self.len() * size_of::<Code>()
    }

    /// Bytes that searching touches: codes, and the tree where there is one. Descriptors, and the points that the
    /// tree was grown from, are not among them.
    pub fn index_bytes(&self) -> usize {
        let tree = if self.is_flat { 0 } else { self.len() * kd_tree::BYTES_PER_ITEM };
        self.code_bytes() + tree
    }

    /// Whether the codes are mapped from a file.
    pub fn is_mapped(&self) -> bool {
        matches!(self.storage, Storage::Mapped { .. })
    }

    /// Offer the tiles nearest to `query` to `best`. `places` are the places of the segment's sets in the
    /// snapshot, in which filter and answer speak; a set without a place is gone.
    pub(super) fn search(
        &self,
        query: &[f32],
        places: &[Option<u32>],
        filter: &TileFilter,
        best: Best,
    ) -> Best {
        let wanted = |local: usize| places[local].filter(|place| filter.accepts_set(*place));
        let accepted: Vec<(usize, u32)> =
            (0..self.sets.len()).filter_map(|local| Some((local, wanted(local)?))).collect();
        let count = |(local, place): &(usize, u32)| filter.count_within(*place, self.sets[*local].len());
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
        let tree = self.tree.get().and_then(Option::as_ref);
        if let Some(tree) = tree.filter(|_| rows * SELECTIVE >= self.len()) {
            let places: Vec<Option<u32>> = (0..self.sets.len()).map(wanted).collect();
            match self.walk(tree, &probe, &places, filter, best.clone()) {
                Ok(best) => return best,
                Err(TooMany(limit)) => best = best.limited_to(limit),
            }
        }
        self.scan(&probe, &accepted, filter, best)
    }

    /// Go through the candidates of the tree, nearest leaf first.
    fn walk(
        &self,
        tree: &PointTree,
        probe: &Probe<'_>,
        places: &[Option<u32>],
        filter: &TileFilter,
        mut best: Best,
    ) -> Result<Best, TooMany> {
        let codes = self.storage.codes();
        let budget = (self.len() / TILES_PER_CANDIDATE).max(FEWEST_CANDIDATES);
        let mut taken = 0;
        loop {
            let radius = probe.radius_squared(best.worst_distance());
            let mut within_reach = radius;
            let (mut in_round, mut again) = (0, false);
            tree.candidates(&probe.point, radius, |candidate| {
                taken += 1;
                in_round += 1;
                if taken > budget {
                    return false;
                }
                if in_round % LOOK_AFTER == 0 && within_reach < WORTH_A_RESTART * radius {
                    again = true;
                    return false;
                }
                let Some(code) = codes.get(candidate.item as usize) else { return true };
                if candidate.bound > within_reach || probe.codes.bound(code) > within_reach {
                    return true;
                }
                let (local, row) = self.tile(candidate.item);
                let Some(place) = places[local] else { return true };
                let tile = TileRef { set: place, row };
                if filter.accepts_row(tile) && self.offer(probe, local, tile, filter, &mut best) {
                    within_reach = probe.radius_squared(best.worst_distance());
                }
                true
            });
            if taken > budget {
                return Err(TooMany(best.worst_distance()));
            }
            if !again {
                return Ok(best);
            }
        }
    }

    /// Compare the codes of all tiles of the `accepted` sets (and their places), and the descriptors of those
    /// within reach.
    fn scan(&self, probe: &Probe<'_>, accepted: &[(usize, u32)], filter: &TileFilter, best: Best) -> Best {
        let pieces: Vec<(usize, u32, Range<u32>)> = accepted
            .iter()
            .flat_map(|&(local, place)| {
                brute_force::pieces(self.sets[local].len() as u32).map(move |rows| (local, place, rows))
            })
            .collect();
        in_pieces(&pieces, best, |best, (local, place, rows)| {
            self.scan_piece(probe, (*local, *place), rows.clone(), filter, best);
        })
    }

    fn scan_piece(
        &self,
        probe: &Probe<'_>,
        (local, place): (usize, u32),
        rows: Range<u32>,
        filter: &TileFilter,
        best: &mut Best,
    ) {
        let start = self.starts[local] as usize;
        if let Some(mask) = filter.mask(place) {
            let codes = &self.storage.codes()[start..];
            for row in rows.map(Row).filter(|row| mask.contains(*row)) {
                let within_reach = probe.radius_squared(best.worst_distance());
                if probe.codes.bound(&codes[row.0 as usize]) <= within_reach {
                    self.offer(probe, local, TileRef { set: place, row }, filter, best);
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
                // Codes rule out little here; what follows in this piece is likely no better.
                compare(&self.sets[local], place, first..rows.end, probe.query, filter, best);
                return;
            }
            if reached == 0 {
                continue;
            }
            for (row, bound) in (first..).map(Row).zip(bounds) {
                if *bound <= within_reach
                    && self.offer(probe, local, TileRef { set: place, row }, filter, best)
                {
                    within_reach = probe.radius_squared(best.worst_distance());
                }
            }
        }
    }

    /// Compare one descriptor itself; whether it got in.
    fn offer(
        &self,
        probe: &Probe<'_>,
        local: usize,
        tile: TileRef,
        filter: &TileFilter,
        best: &mut Best,
    ) -> bool {
        // Nothing is nearer than 0, so that of many equal tiles only the first ones are compared.
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

    /// Set and row of an item.
    fn tile(&self, item: u32) -> (usize, Row) {
        let local = self.starts.partition_point(|start| *start <= item) - 1;
        (local, Row(item - self.starts[local]))
    }
}

/// Number of the first item of each set, and one past the last; `None` when there are more than numbers.
fn starts(sets: &[Arc<DescriptorSet>]) -> Option<Vec<u32>> {
    let mut starts = vec![0u32];
    for set in sets {
        let end = u64::from(*starts.last()?) + set.len() as u64;
        starts.push(u32::try_from(end).ok()?);
    }
    Some(starts)
}
