//! Filters on the tiles of an answer. They apply inside the search, so that the requested number of matches
//! is found whenever enough exist.

use std::sync::Arc;

use super::{TileRef, distance::squared_distance};
use crate::descriptors::{DescriptorSet, Row};
use crate::geometry::{Level0Point, MicronsPerPixel};

/// Selects the tiles that may be in an answer.
#[derive(Debug, Clone)]
pub struct TileFilter {
    /// For each set of the snapshot, whether its tiles are accepted; sets beyond the end are.
    pub sets: Vec<bool>,
    /// For each set of the snapshot, the accepted rows; `None`, and sets beyond the end, accept all rows.
    pub rows: Vec<Option<Arc<RowMask>>>,
    /// Rejected rows, as pairs of set index and mask, such as the query's own tiles.
    pub without: Vec<(u32, Arc<RowMask>)>,
    /// Discs on slides whose tiles are rejected.
    pub excluded: Vec<Exclusion>,
    /// Maximum distance from the query, in descriptor units.
    pub max_distance: f32,
    /// Descriptors of negative examples; tiles at least as near to one of them as to the query are rejected.
    pub negatives: Vec<Vec<f32>>,
}

impl Default for TileFilter {
    /// Accepts every tile.
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

/// A subset of the rows of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowMask {
    is_in: Vec<bool>,
    count: usize,
}

impl RowMask {
    /// Creates the mask of the rows for which `is_in` is true.
    pub fn new(is_in: Vec<bool>) -> Self {
        let count = is_in.iter().filter(|is_in| **is_in).count();
        Self { is_in, count }
    }

    /// Returns whether a row is in the mask; rows beyond its end are not.
    pub fn contains(&self, row: Row) -> bool {
        self.is_in.get(row.0 as usize).copied().unwrap_or(false)
    }

    /// Returns the number of rows in the mask.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// A disc on one slide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exclusion {
    /// Index of the slide's set in the snapshot.
    pub set: u32,
    /// Centre of the disc.
    pub center: Level0Point,
    /// Radius in µm. Tiles whose centre is at this distance or nearer are rejected; 0 rejects only the tile
    /// itself.
    pub radius_um: f64,
    /// Size of a level-0 pixel of the slide.
    pub mpp: MicronsPerPixel,
}

impl TileFilter {
    /// Returns whether a tile at `distance` from the query is accepted.
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

    /// Returns whether the filter may accept any tile of a set.
    pub fn accepts_set(&self, set: u32) -> bool {
        self.sets.get(set as usize).copied().unwrap_or(true)
            && self.mask(set).is_none_or(|mask| mask.count() > 0)
    }

    /// Returns whether a tile is accepted, apart from its position and distance.
    pub fn accepts_row(&self, tile: TileRef) -> bool {
        self.accepts_set(tile.set)
            && self.mask(tile.set).is_none_or(|mask| mask.contains(tile.row))
            && !self.without.iter().any(|(set, rows)| *set == tile.set && rows.contains(tile.row))
    }

    /// Returns the accepted rows of a set; `None` if all are.
    pub fn mask(&self, set: u32) -> Option<&RowMask> {
        self.rows.get(set as usize)?.as_deref()
    }

    /// Returns how many tiles of a set of `len` tiles are accepted, apart from their positions and distances.
    pub fn count_within(&self, set: u32, len: usize) -> usize {
        match (self.accepts_set(set), self.mask(set)) {
            (false, _) => 0,
            (true, None) => len,
            (true, Some(mask)) => mask.count(),
        }
    }
}
