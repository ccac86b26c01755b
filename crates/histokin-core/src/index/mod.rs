//! The similarity index: exact nearest neighbours of a descriptor among all embedded tiles.
//!
//! A [`Snapshot`] is immutable and shared as an `Arc`; during embedding it is replaced as a whole. It
//! consists of sealed segments of finished slides and a tail of the remaining slides:
//!
//! ```text
//! descriptors → basis → codes and k-d tree, or layers → segment → snapshot
//! ```
//!
//! The tail is searched completely ([`brute_force`], which is also the reference in tests). In a [`segment`],
//! lower bounds from a few numbers rule out nearly all tiles before their descriptors are read. Every answer
//! is exact and does not depend on the method.

mod basis;
mod best;
pub mod brute_force;
mod cache;
mod codes;
mod distance;
mod filter;
mod kd_tree;
mod layer_loops;
mod layers;
mod layout;
mod moments;
pub mod segment;
mod snapshot;
mod statistics;

use std::cmp::Ordering;

use serde::Serialize;

use crate::descriptors::Row;

pub use basis::first_axes;
pub use best::Ranked;
pub use cache::IndexCache;
pub use distance::{squared_distance, squared_distances};
pub use filter::{Exclusion, RowMask, TileFilter};
pub use snapshot::Snapshot;
pub use statistics::DescriptorStatistics;
pub(crate) use statistics::UNIT_TOLERANCE;

/// Reference to a tile in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileRef {
    /// Index of the slide's set in the snapshot.
    pub set: u32,
    /// Row of the tile in the set.
    pub row: Row,
}

/// A tile and its distance to the query. The type of the tile's identifier is up to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Neighbour<Tile = TileRef> {
    /// The tile.
    pub tile: Tile,
    /// Euclidean distance to the query, in descriptor units.
    pub distance: f32,
}

/// Parses the bytes of a segment file, aligned as in a mapped file, with the right checksum; for fuzzing.
#[cfg(feature = "test-support")]
pub fn fuzz_layout(file: &[u8]) {
    let mut aligned = vec![0_u64; file.len().div_ceil(8)];
    let bytes = &mut bytemuck::cast_slice_mut(&mut aligned)[..file.len()];
    bytes.copy_from_slice(file);
    if let Some((body, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(body).to_le_bytes();
    }
    let _ = layout::read(bytes);
}

impl<Tile: Ord> Neighbour<Tile> {
    /// Compares two neighbours in the order of answers: nearest first, equal distances by slide and position,
    /// so that answers are reproducible.
    pub fn rank(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.tile.cmp(&other.tile))
    }
}
