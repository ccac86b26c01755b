//! File format of a segment, little-endian: eight bytes `HKINDEX3`, the length of the header as `u64`, the
//! header as JSON, then at multiples of 64 bytes the numbers of the basis (`f64`), the codes (72 bytes per
//! tile) and the points of the tree (8 × `f32` per tile), and at the end the CRC-32 of everything before it.
//! The tree itself is not stored but built from its points, since its layout depends on the version of kiddo.
//!
//! A segment can always be rebuilt from the descriptors, so files that do not fit are deleted.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::basis::Basis;
use super::distance::Code;
use super::kd_tree::TreePoint;
use crate::descriptors::DescriptorSet;

const MAGIC: &[u8; 8] = b"HKINDEX3";

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
    /// Whether no tree is built because it would prune too little.
    pub is_flat: bool,
    /// Length of the basis in bytes; the next two are those of codes and points.
    basis: usize,
    codes: usize,
    points: usize,
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
    /// One code per tile.
    pub codes: &'a [Code],
    /// Byte range of the codes.
    pub codes_at: Range<usize>,
    /// One point per tile.
    pub points: &'a [TreePoint],
    /// Byte range of the points.
    pub points_at: Range<usize>,
}

/// Serialises a segment from its parts; `reach` and `is_flat` are as in [`Head`].
pub fn write(
    sets: &[Arc<DescriptorSet>],
    basis: &Basis,
    (reach, is_flat): (f32, bool),
    codes: &[Code],
    points: &[TreePoint],
) -> Vec<u8> {
    let numbers = basis.numbers();
    let (basis_bytes, codes): (&[u8], &[u8]) = (bytemuck::cast_slice(&numbers), bytemuck::cast_slice(codes));
    let points: &[u8] = bytemuck::cast_slice(points);
    let head = Head {
        width: basis.width(),
        sets: sets.iter().map(|set| HeadSet::of(set)).collect(),
        reach,
        is_flat,
        basis: basis_bytes.len(),
        codes: codes.len(),
        points: points.len(),
    };
    let head = serde_json::to_vec(&head).expect("a header is plain numbers and text");
    let room = 16 + head.len() + basis_bytes.len() + codes.len() + points.len() + 4 * ALIGNMENT + 4;
    let mut bytes = Vec::with_capacity(room);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(head.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&head);
    for part in [basis_bytes, codes, points] {
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
    let (basis, codes_at, points_at) = (part(head.basis)?, part(head.codes)?, part(head.points)?);
    let odd = |_| "the lengths of its parts are invalid";
    let basis = bytemuck::try_cast_slice(&body[basis]).map_err(odd)?;
    let codes = bytemuck::try_cast_slice(&body[codes_at.clone()]).map_err(odd)?;
    let points = bytemuck::try_cast_slice(&body[points_at.clone()]).map_err(odd)?;
    Ok(Parts { head, basis, codes, codes_at, points, points_at })
}

fn aligned(offset: usize) -> usize {
    offset.next_multiple_of(ALIGNMENT)
}
