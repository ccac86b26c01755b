//! How a segment lies on the disk, little-endian: eight bytes `HKINDEX2`, the length of the head
//! as `u64`, the head as JSON, then at multiples of 64 bytes the numbers of the basis (`f64`), the codes (40
//! bytes a tile) and the points of the tree (13 × `f32` a tile), and at the very end the CRC-32 of all before it.
//! The tree itself is grown from its points: its layout belongs to kiddo, and changes with it.
//!
//! A segment can always be made again from the descriptors: whatever does not fit is thrown away.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::basis::Basis;
use super::distance::Code;
use super::kd_tree::TreePoint;
use crate::descriptors::DescriptorSet;

const MAGIC: &[u8; 8] = b"HKINDEX2";

/// Parts begin at multiples of this many bytes.
const ALIGNMENT: usize = 64;

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Numbers in a descriptor.
    pub width: usize,
    /// The sets, in the order in which their tiles are numbered.
    pub sets: Vec<HeadSet>,
    /// Largest coordinate in size.
    pub reach: f32,
    /// Whether a tree would rule out too little to be grown.
    pub is_flat: bool,
    /// Lengths in bytes of what follows.
    basis: usize,
    codes: usize,
    points: usize,
}

/// One set of a segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeadSet {
    /// Checksum of the descriptor file; nothing for a set that is in none.
    pub checksum: Option<String>,
    pub rows: u32,
}

impl HeadSet {
    pub fn of(set: &DescriptorSet) -> Self {
        Self { checksum: set.checksum().map(str::to_owned), rows: set.len() as u32 }
    }
}

/// The parts of a segment within its bytes.
pub struct Parts<'a> {
    pub head: Head,
    pub basis: &'a [f64],
    pub codes: &'a [Code],
    pub codes_at: Range<usize>,
    pub points: &'a [TreePoint],
    pub points_at: Range<usize>,
}

/// Lay out a segment: its reach and whether it is flat, as [`Head`] has them, and its parts.
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
    let head = serde_json::to_vec(&head).expect("a head is plain numbers and text");
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

/// The head alone, from the first bytes of a file; `None` where it is none.
pub fn read_head(bytes: &[u8]) -> Option<Head> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    serde_json::from_slice(rest.get(..length)?).ok()
}

/// Find the parts of a segment.
///
/// # Errors
/// What is wrong with the bytes.
pub fn read(bytes: &[u8]) -> Result<Parts<'_>, &'static str> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or("it is cut off")?;
    // Fuzzing is to get past it.
    if crc32fast::hash(body).to_le_bytes() != *crc && !cfg!(fuzzing) {
        return Err("its checksum does not fit its content");
    }
    let head = read_head(body).ok_or("its head is damaged")?;
    let length = body[8..16].try_into().map(u64::from_le_bytes).map_err(|_| "its head is damaged")?;
    let mut end = 16 + length as usize;
    let mut part = |length: usize| {
        let start = aligned(end);
        end = start.checked_add(length).filter(|end| *end <= body.len()).ok_or("it is cut off")?;
        Ok::<_, &'static str>(start..end)
    };
    let (basis, codes_at, points_at) = (part(head.basis)?, part(head.codes)?, part(head.points)?);
    let odd = |_| "its parts are of odd lengths";
    let basis = bytemuck::try_cast_slice(&body[basis]).map_err(odd)?;
    let codes = bytemuck::try_cast_slice(&body[codes_at.clone()]).map_err(odd)?;
    let points = bytemuck::try_cast_slice(&body[points_at.clone()]).map_err(odd)?;
    Ok(Parts { head, basis, codes, codes_at, points, points_at })
}

fn aligned(place: usize) -> usize {
    place.next_multiple_of(ALIGNMENT)
}
