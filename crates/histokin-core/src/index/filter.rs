//! Which tiles may be in an answer. Filters act inside the search: as many matches as are asked for are
//! found whenever so many exist.

use std::sync::Arc;

use super::{TileRef, distance::squared_distance};
use crate::descriptors::{DescriptorSet, Row};
use crate::geometry::{Level0Point, MicronsPerPixel};

/// Which tiles may be in an answer.
#[derive(Debug, Clone)]
pub struct TileFilter {
    /// For each set of the snapshot whether its tiles count; sets beyond the end count.
    pub sets: Vec<bool>,
    /// For each set of the snapshot the rows that count, where not all of them do; of sets beyond the end all count.
    pub rows: Vec<Option<Arc<RowMask>>>,
    /// Rows of sets that never count, such as the query's own tiles.
    pub without: Vec<(u32, Arc<RowMask>)>,
    /// Discs on slides whose tiles do not.
    pub excluded: Vec<Exclusion>,
    /// Tiles farther than this from the query do not.
    pub max_distance: f32,
    /// Descriptors of negative examples: tiles at least as near to one of them as to the query do not.
    pub negatives: Vec<Vec<f32>>,
}

impl Default for TileFilter {
    /// Every tile counts.
    fn default() -> Self {
        Self {
            sets: Vec::new(),
            rows: Vec::new(),
            without: Vec::new(),
            excluded: Vec::new(),
            max_distance: f32::INFINITY,
            negatives: Vec::new(),
        }
    }
}

/// Some rows of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowMask {
    is_in: Vec<bool>,
    count: usize,
}

impl RowMask {
    /// The rows for which `is_in` holds.
    pub fn new(is_in: Vec<bool>) -> Self {
        let count = is_in.iter().filter(|is_in| **is_in).count();
        Self { is_in, count }
    }

    pub fn contains(&self, row: Row) -> bool {
        self.is_in.get(row.0 as usize).copied().unwrap_or(false)
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// A disc on one slide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exclusion {
    pub set: u32,
    pub center: Level0Point,
    /// Tiles whose centre is at this distance or nearer are left out; 0 leaves out just the tile itself.
    pub radius_um: f64,
    pub mpp: MicronsPerPixel,
}

impl TileFilter {
    /// Whether a tile at `distance` from the query counts.
    pub fn accepts(&self, set: &DescriptorSet, tile: TileRef, distance: f32) -> bool {
        if !self.accepts_row(tile) || distance > self.max_distance {
            return false;
        }
        let center = || set.rect(tile.row).center();
        let is_excluded = self.excluded.iter().any(|disc| {
            disc.set == tile.set && disc.mpp.distance_um(disc.center, center()) <= disc.radius_um
        });
        let is_negative =
            |other: &Vec<f32>| squared_distance(other, set.descriptor(tile.row)).sqrt() <= distance;
        !is_excluded && !self.negatives.iter().any(is_negative)
    }

    /// Whether any tile of a set counts.
    pub fn accepts_set(&self, set: u32) -> bool {
        self.sets.get(set as usize).copied().unwrap_or(true)
            && self.mask(set).is_none_or(|mask| mask.count() > 0)
    }

    /// Whether a tile counts, wherever it lies and however far it is.
    pub fn accepts_row(&self, tile: TileRef) -> bool {
        self.accepts_set(tile.set)
            && self.mask(tile.set).is_none_or(|mask| mask.contains(tile.row))
            && !self.without.iter().any(|(set, rows)| *set == tile.set && rows.contains(tile.row))
    }

    /// The rows of a set that count, where not all of them do.
    pub fn mask(&self, set: u32) -> Option<&RowMask> {
        self.rows.get(set as usize)?.as_deref()
    }

    /// How many tiles of a set of `len` count, wherever they lie and however far they are.
    pub fn count_within(&self, set: u32, len: usize) -> usize {
        match (self.accepts_set(set), self.mask(set)) {
            (false, _) => 0,
            (true, None) => len,
            (true, Some(mask)) => mask.count(),
        }
    }
}
