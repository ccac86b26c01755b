//! File format of a segment, little-endian: eight bytes `HKINDEX5`, the length of the header as `u64`, the
//! header as JSON, then at multiples of 64 bytes the numbers of the basis (`f64`) and two arrays, and at the end
//! the CRC-32 of everything before it. The arrays are codes (72 bytes per tile) and points of the tree (8 × `f32`
//! per tile), or, if the header has a scale, first layers (2,048 bytes per 64 tiles) and second layers (32 bytes per
//! tile). The tree itself is not stored but built from its points, since its layout depends on the version of kiddo.
//!
//! A segment can always be rebuilt from the descriptors, so files that do not fit are deleted.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::basis::Basis;
use super::layers::Scale;
use super::segment::Arrays;
use crate::descriptors::DescriptorSet;

const MAGIC: &[u8; 8] = b"HKINDEX5";

/// Alignment of the parts, in bytes.
const ALIGNMENT: usize = 64;

/// Header of a segment file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Number of values in a descriptor.
    pub width: usize,
    /// The sets, in the order in which their tiles are numbered.
    pub sets: Vec<HeadSet>,
    /// Largest absolute coordinate.
    pub reach: f32,
    /// Scale of the layers; without one there are codes and points instead.
    pub scale: Option<Scale>,
    /// Length of the basis in bytes; the next two are those of the arrays.
    basis: usize,
    first: usize,
    second: usize,
}

/// One set of a segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeadSet {
    /// Checksum of the descriptor file; `None` for a set that is not stored in a file.
    pub checksum: Option<String>,
    /// Number of tiles.
    pub rows: u32,
}

impl HeadSet {
    /// Returns the header entry of a set.
    pub fn of(set: &DescriptorSet) -> Self {
        Self { checksum: set.checksum().map(str::to_owned), rows: set.len() as u32 }
    }
}

/// The parts of a segment within the bytes of its file.
pub struct Parts<'a> {
    /// The header.
    pub head: Head,
    /// Numbers of the basis, as [`Basis::numbers`] returns them.
    pub basis: &'a [f64],
    /// What the segment compares.
    pub arrays: Arrays<'a>,
    /// Byte ranges of the two arrays.
    pub arrays_at: [Range<usize>; 2],
}

/// Serialises a segment from its parts; `reach` and `scale` are as in [`Head`].
pub fn write(
    sets: &[Arc<DescriptorSet>],
    basis: &Basis,
    (reach, scale): (f32, Option<&Scale>),
    arrays: Arrays<'_>,
) -> Vec<u8> {
    let numbers = basis.numbers();
    let basis_bytes: &[u8] = bytemuck::cast_slice(&numbers);
    let [first, second] = arrays.bytes();
    let head = Head {
        width: basis.width(),
        sets: sets.iter().map(|set| HeadSet::of(set)).collect(),
        reach,
        scale: scale.cloned(),
        basis: basis_bytes.len(),
        first: first.len(),
        second: second.len(),
    };
    let head = serde_json::to_vec(&head).expect("a header is plain numbers and text");
    let room = 16 + head.len() + basis_bytes.len() + first.len() + second.len() + 4 * ALIGNMENT + 4;
    let mut bytes = Vec::with_capacity(room);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(head.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&head);
    for part in [basis_bytes, first, second] {
        bytes.resize(aligned(bytes.len()), 0);
        bytes.extend_from_slice(part);
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads only the header, from the first bytes of a file; `None` if they are not a valid header.
pub fn read_head(bytes: &[u8]) -> Option<Head> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    serde_json::from_slice(rest.get(..length)?).ok()
}

/// Finds the parts of a segment in the bytes of its file.
///
/// # Errors
/// A description of the damage when the bytes are not a valid segment.
pub fn read(bytes: &[u8]) -> Result<Parts<'_>, &'static str> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or("it is truncated")?;
    if crc32fast::hash(body).to_le_bytes() != *crc {
        return Err("its checksum does not match its content");
    }
    let head = read_head(body).ok_or("its header is damaged")?;
    let length = body[8..16].try_into().map(u64::from_le_bytes).map_err(|_| "its header is damaged")?;
    let mut end = 16 + length as usize;
    let mut part = |length: usize| {
        let start = aligned(end);
        end = start.checked_add(length).filter(|end| *end <= body.len()).ok_or("it is truncated")?;
        Ok::<_, &'static str>(start..end)
    };
    let (basis, first, second) = (part(head.basis)?, part(head.first)?, part(head.second)?);
    let odd = "the lengths of its parts are invalid";
    let basis = bytemuck::try_cast_slice(&body[basis]).map_err(|_| odd)?;
    let arrays =
        Arrays::of_bytes(head.scale.is_some(), &body[first.clone()], &body[second.clone()]).ok_or(odd)?;
    Ok(Parts { head, basis, arrays, arrays_at: [first, second] })
}

fn aligned(offset: usize) -> usize {
    offset.next_multiple_of(ALIGNMENT)
}
