//! Which tiles may be in an answer. Filters act inside the search: as many matches as are asked for are
//! found whenever so many exist.

use super::{TileRef, distance::squared_distance};
use crate::descriptors::DescriptorSet;
use crate::geometry::{Level0Point, MicronsPerPixel};

/// Which tiles may be in an answer.
#[derive(Debug, Clone)]
pub struct TileFilter {
    /// For each set of the snapshot whether its tiles count; sets beyond the end count.
    pub sets: Vec<bool>,
    /// Discs on slides whose tiles do not.
    pub excluded: Vec<Exclusion>,
    /// Tiles farther than this from the query do not.
    pub max_distance: f32,
    /// Descriptors of negative examples: tiles at least as near to one of them as to the query do not.
    pub unlike: Vec<Vec<f32>>,
}

impl Default for TileFilter {
    /// Every tile counts.
    fn default() -> Self {
        Self { sets: Vec::new(), excluded: Vec::new(), max_distance: f32::INFINITY, unlike: Vec::new() }
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
        if !self.accepts_set(tile.set) || distance > self.max_distance {
            return false;
        }
        let center = || set.rect(tile.row).center();
        let is_excluded = self.excluded.iter().any(|disc| {
            disc.set == tile.set && disc.mpp.distance_um(disc.center, center()) <= disc.radius_um
        });
        let is_unlike =
            |other: &Vec<f32>| squared_distance(other, set.descriptor(tile.row)).sqrt() <= distance;
        !is_excluded && !self.unlike.iter().any(is_unlike)
    }

    /// Whether any tile of a set counts.
    pub fn accepts_set(&self, set: u32) -> bool {
        self.sets.get(set as usize).copied().unwrap_or(true)
    }
}
