//! The similarity index: exact nearest neighbours of a descriptor among all embedded tiles.
//!
//! A [`Snapshot`] is immutable and shared as an `Arc`; while embedding goes on it is replaced as a whole. It
//! consists of sealed segments of finished slides and a tail of the others:
//!
//! ```text
//! descriptors → basis → codes and k-d tree → segment → snapshot
//! ```
//!
//! The tail is compared with completely ([`brute_force`], which is also the oracle in the tests). In a
//! [`segment`] lower bounds from few numbers rule out nearly all tiles before their descriptors are read. Every
//! answer is exact, and the same whichever way it was found.

mod basis;
mod best;
pub mod brute_force;
mod cache;
mod codes;
mod distance;
mod filter;
mod kd_tree;
mod layout;
pub mod segment;
mod snapshot;

use std::cmp::Ordering;

use serde::Serialize;

use crate::descriptors::Row;

pub use basis::first_axes;
pub use best::Ranked;
pub use cache::IndexCache;
pub use distance::{squared_distance, squared_distances};
pub use filter::{Exclusion, RowMask, TileFilter};
pub use snapshot::Snapshot;

/// A tile in a snapshot: the place of its slide's set, and its row there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileRef {
    pub set: u32,
    pub row: Row,
}

/// A tile, named as suits whoever asks, and its Euclidean distance to the query, in descriptor units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Neighbour<Tile = TileRef> {
    pub tile: Tile,
    pub distance: f32,
}

/// The parts of a segment in the bytes of a file, which lie as they would in a mapped one.
#[cfg(fuzzing)]
pub fn fuzz_layout(file: &[u8]) {
    let mut aligned = vec![0_u64; file.len().div_ceil(8)];
    let bytes = &mut bytemuck::cast_slice_mut(&mut aligned)[..file.len()];
    bytes.copy_from_slice(file);
    let _ = layout::read(bytes);
}

impl<Tile: Ord> Neighbour<Tile> {
    /// The order of every answer: nearest first, and equal distances by slide and position, so that
    /// answers repeat.
    pub fn rank(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.tile.cmp(&other.tile))
    }
}
