//! Where a segment has what it compares: in memory, or in a mapped file.

use std::ops::Range;

use crate::index::distance::Code;
use crate::index::kd_tree::TreePoint;
use crate::index::layer_loops::{BLOCK_TILES, Layer, LayerBlock};

/// What a segment compares, of all of its tiles in order.
#[derive(Debug, Clone, Copy)]
pub enum Arrays<'a> {
    /// Codes, and the points of trees over them.
    Tree { codes: &'a [Code], points: &'a [TreePoint] },
    /// First layers in blocks, the last one filled up, and second layers.
    Layers { blocks: &'a [LayerBlock], seconds: &'a [Layer] },
}

impl<'a> Arrays<'a> {
    /// Reads the arrays from the bytes of their two parts; `None` if these have other lengths or are not aligned.
    pub fn of_bytes(is_flat: bool, first: &'a [u8], second: &'a [u8]) -> Option<Self> {
        if is_flat {
            let (blocks, seconds) =
                (bytemuck::try_cast_slice(first).ok()?, bytemuck::try_cast_slice(second).ok()?);
            Some(Self::Layers { blocks, seconds })
        } else {
            let (codes, points) =
                (bytemuck::try_cast_slice(first).ok()?, bytemuck::try_cast_slice(second).ok()?);
            Some(Self::Tree { codes, points })
        }
    }

    /// Returns the bytes of the two parts.
    pub fn bytes(self) -> [&'a [u8]; 2] {
        match self {
            Self::Tree { codes, points } => [bytemuck::cast_slice(codes), bytemuck::cast_slice(points)],
            Self::Layers { blocks, seconds } => [bytemuck::cast_slice(blocks), bytemuck::cast_slice(seconds)],
        }
    }

    /// Returns whether these are the arrays of so many tiles.
    pub fn are_of(self, tiles: usize) -> bool {
        match self {
            Self::Tree { codes, points } => codes.len() == tiles && points.len() == tiles,
            Self::Layers { blocks, seconds } => {
                blocks.len() == tiles.div_ceil(BLOCK_TILES) && seconds.len() == tiles
            }
        }
    }

    /// Returns whether the data is so flat that it has layers.
    pub fn is_flat(self) -> bool {
        matches!(self, Self::Layers { .. })
    }

    /// Returns the codes; none if there are layers.
    pub fn codes(self) -> &'a [Code] {
        match self {
            Self::Tree { codes, .. } => codes,
            Self::Layers { .. } => &[],
        }
    }

    /// Returns the size in bytes of what every search reads: not of the points, which trees are built from.
    pub fn searched_bytes(self) -> usize {
        let [first, second] = self.bytes();
        first.len() + if self.is_flat() { second.len() } else { 0 }
    }
}

/// Owner of [`Arrays`].
pub enum Storage {
    Tree {
        codes: Vec<Code>,
        points: Vec<TreePoint>,
    },
    Layers {
        blocks: Vec<LayerBlock>,
        seconds: Vec<Layer>,
    },
    /// The ranges of valid arrays in a file.
    Mapped {
        map: memmap2::Mmap,
        is_flat: bool,
        first: Range<usize>,
        second: Range<usize>,
    },
}

impl Storage {
    /// Returns the arrays.
    pub fn arrays(&self) -> Arrays<'_> {
        match self {
            Self::Tree { codes, points } => Arrays::Tree { codes, points },
            Self::Layers { blocks, seconds } => Arrays::Layers { blocks, seconds },
            Self::Mapped { map, is_flat, first, second } => {
                Arrays::of_bytes(*is_flat, &map[first.clone()], &map[second.clone()])
                    .expect("the ranges were checked when the file was opened")
            }
        }
    }
}
