//! Import of descriptors from HDF5 in the layouts of CLAM, TRIDENT and STAMP.

use std::collections::{BTreeMap, HashMap};

use hdf5_pure::{AttrValue, DType, Dataset, Datatype, DatatypeByteOrder, Error, File, Group};

use super::raw::{RawFeatures, RawPositions};
use super::read::from_half;
use super::stated::{Attribute, Space, Stated};
use histokin_core::untrusted;

/// Dataset names that other programs use for descriptors, the most common first.
pub(super) const FEATURES: [&str; 10] = [
    "features",
    "feats",
    "embeddings",
    "embedding",
    "patch_embeddings",
    "tile_embeddings",
    "tile_embeds",
    "patch_features",
    "tile_features",
    "feature",
];

/// Dataset names that other programs use for tile positions.
pub(super) const COORDS: [&str; 5] = ["coords", "coordinates", "coord", "tile_coords", "patch_coords"];

/// Maximum depth of groups searched.
const DEEPEST: usize = 3;
/// Maximum number of groups searched.
const MOST_GROUPS: usize = 64;

/// Maximum number of datasets listed in a message.
const MOST_LISTED: usize = 8;

/// Reads descriptors from the content of a file.
///
/// # Errors
/// A message if it is damaged, or in another layout.
pub(super) fn read(bytes: Vec<u8>) -> Result<RawFeatures, String> {
    // Datasets may be compressed, and may declare any size without storing any data.
    let most = untrusted::max_unpacked(bytes.len() as u64).max(bytes.len() as u64);
    let file = File::from_bytes(bytes).map_err(words)?;
    let found = Found::within(&file)?;
    for named in [&found.features, &found.coords] {
        let size = named.dataset.element_size().map_err(words)?;
        let claimed = named.shape.iter().try_fold(size, |bytes, extent| bytes.checked_mul(*extent));
        if claimed.is_none_or(|claimed| claimed > most) {
            let shape = extents(&named.shape);
            return Err(format!("a shape of {shape} is far more than a file of this size can hold"));
        }
    }
    let (tiles, width) = tiles_and_width(&found)?;
    let values = descriptors(&found.features)?;
    let read =
        |name: &str, found| attributes(found).map_err(|error| format!("attributes of {name}: {error}"));
    let (coords, features) = (&found.coords, &found.features);
    let mut positions = vec![
        (coords.name.as_str(), read(&coords.name, coords.dataset.attrs())?),
        (features.name.as_str(), read(&features.name, features.dataset.attrs())?),
    ];
    if let Some(group) = &found.group {
        positions.push((found.group_name.as_str(), read(&found.group_name, group.attrs())?));
    }
    positions.push(("the root", read("the root", file.root().attrs())?));
    let mut stated = Stated::of(&positions)?;
    if stated.encoder.is_none() && !found.group_name.is_empty() {
        stated.encoder = Some(found.group_name.clone());
    }
    let coords = Coordinates::read(&found.coords, tiles)?;
    if let Some(edge) = coords.edge {
        // Two corners per tile give the same information as `patch_size_level0`.
        stated.patch_size_level0 = stated.patch_size_level0.or(Some(edge));
    }
    let space = match stated.space()? {
        Some(space) => space,
        None if coords.is_whole => Space::Pixels,
        None => {
            return Err(format!(
                "{} holds fractional numbers ({}) without a unit; expected attribute unit (um or px) on the root, or \
                 patch_size_level0 on {}",
                found.coords.name, found.coords.kind, found.coords.name
            ));
        }
    };
    let positions = match space {
        Space::Pixels => RawPositions::Corners(coords.positions),
        Space::Microns => RawPositions::CornersUm(coords.positions),
    };
    Ok(RawFeatures { width, values, positions, stated })
}

fn words(error: Error) -> String {
    const HINTS: [(&str, &str); 4] = [
        (
            "layout version",
            "this version of HDF5 is too new to be read here: convert the file with h5repack --high=2",
        ),
        ("unsupported filter", "this compression is not read here: convert the file with h5repack -f GZIP=4"),
        ("virtual", "write the numbers themselves into the file"),
        ("unexpected EOF", "the file is cut off, or a link in it leads elsewhere: copy or write it again"),
    ];
    let text = error.to_string();
    match HINTS.iter().find(|(part, _)| text.contains(part)) {
        Some((_, hint)) => format!("{text}; {hint}"),
        None => text,
    }
}

/// A dataset with its description for messages.
struct Named {
    /// Path within the file.
    name: String,
    dataset: Dataset,
    shape: Vec<u64>,
    /// Name of the element type.
    kind: String,
}

impl Named {
    fn open(group: &Group, folder: &str, name: &str) -> Result<Self, String> {
        let dataset = group.dataset(name).map_err(words)?;
        let shape = dataset.shape().map_err(words)?;
        let kind = dataset.dtype().map_or_else(|_| "unknown".to_owned(), |kind| kind.to_string());
        Ok(Self { name: format!("{folder}{name}"), dataset, shape, kind })
    }

    /// Returns name, shape and type, for messages.
    fn shown(&self) -> String {
        format!("{} ({} of {})", self.name, extents(&self.shape), self.kind)
    }
}

fn extents(shape: &[u64]) -> String {
    match shape {
        [] => "one value".to_owned(),
        shape => shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" × "),
    }
}

/// The datasets of descriptors and positions, and the group of the descriptors unless it is the root.
struct Found {
    features: Named,
    coords: Named,
    group: Option<Group>,
    group_name: String,
}

impl Found {
    fn within(file: &File) -> Result<Self, String> {
        let mut groups = vec![(String::new(), file.root())];
        let mut next = 0;
        while next < groups.len() && groups.len() < MOST_GROUPS {
            let (folder, group) = &groups[next];
            next += 1;
            if folder.matches('/').count() >= DEEPEST {
                continue;
            }
            let names = group.groups().unwrap_or_default();
            let inner: Vec<(String, Group)> = names
                .into_iter()
                .filter_map(|name| Some((format!("{folder}{name}/"), group.group(&name).ok()?)))
                .collect();
            groups.extend(inner.into_iter().take(MOST_GROUPS));
        }
        let mut features: Vec<(usize, String)> = Vec::new();
        let mut coords: Vec<(usize, String)> = Vec::new();
        let mut listed = Vec::new();
        for (index, (folder, group)) in groups.iter().enumerate() {
            let names = group.datasets().map_err(words)?;
            features.extend(first_of(&FEATURES, &names).map(|name| (index, name)));
            coords.extend(first_of(&COORDS, &names).map(|name| (index, name)));
            let room = MOST_LISTED.saturating_sub(listed.len());
            listed.extend(names.iter().take(room).map(|name| match Named::open(group, folder, name) {
                Ok(named) => named.shown(),
                Err(_) => format!("{folder}{name} (unreadable)"),
            }));
        }
        let open = |(index, name): &(usize, String)| Named::open(&groups[*index].1, &groups[*index].0, name);
        // Descriptors belong to the positions in the same group, or else to the only positions in the file.
        let pairs: Vec<_> = features
            .iter()
            .filter_map(|feature| {
                let same = coords.iter().find(|(index, _)| *index == feature.0);
                Some((feature, same.or(if coords.len() == 1 { coords.first() } else { None })?))
            })
            .collect();
        match pairs[..] {
            [(feature, position)] => {
                let (folder, group) = &groups[feature.0];
                Ok(Self {
                    features: open(feature)?,
                    coords: open(position)?,
                    group: (feature.0 > 0).then(|| group.clone()),
                    group_name: folder.trim_end_matches('/').to_owned(),
                })
            }
            [] => Err(format!(
                "expected a dataset features (or feats, embeddings) of tiles × numbers beside a dataset coords (or \
                 coordinates) of tiles × 2; the file holds {}",
                if listed.is_empty() { "no dataset".to_owned() } else { listed.join(", ") }
            )),
            _ => Err(format!(
                "the file has features of several encoders ({}); expected those of one",
                pairs
                    .iter()
                    .map(|(feature, _)| format!("{}{}", groups[feature.0].0, feature.1))
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
        }
    }
}

/// Returns the first of the `known` names that is among `names`.
fn first_of(known: &[&str], names: &[String]) -> Option<String> {
    known.iter().find(|known| names.iter().any(|name| name == *known)).map(|name| (*name).to_owned())
}

/// Returns the number of tiles and the width of descriptors, after checking that both datasets agree.
fn tiles_and_width(found: &Found) -> Result<(usize, usize), String> {
    let Found { features, coords, .. } = found;
    let (tiles, width) = match features.shape[..] {
        // Some networks keep the 1 × 1 extent of the pooled feature map.
        [tiles, width] | [1, tiles, width] | [tiles, width, 1, 1] => (tiles, width),
        [width] if width > 0 => {
            return Err(format!(
                "{} is one vector of {width} numbers for the whole slide; expected one per tile (tiles × numbers)",
                features.shown()
            ));
        }
        [0] => (0, 0),
        _ => {
            return Err(format!(
                "expected tiles × numbers; found {} with {}",
                features.shown(),
                coords.shown()
            ));
        }
    };
    let positions = Coordinates::count(coords, tiles)?;
    if tiles == 1 && positions > 1 {
        return Err(format!(
            "{} is one vector for the {positions} tiles of {}: it describes the whole slide; expected one vector per tile",
            features.shown(),
            coords.name
        ));
    }
    if tiles != positions {
        return Err(format!("{tiles} tiles in {}, {positions} in {}", features.shown(), coords.shown()));
    }
    let sizes = (usize::try_from(tiles), usize::try_from(width));
    let (Ok(tiles), Ok(width)) = sizes else { return Err("it has too many values for this computer".into()) };
    Ok((tiles, width))
}

/// Reads the values of all descriptors.
fn descriptors(features: &Named) -> Result<Vec<f32>, String> {
    let failed = |error: Error| format!("{}: {}", features.name, words(error));
    let dataset = &features.dataset;
    match dataset.dtype().map_err(failed)? {
        DType::F32 => dataset.read_f32().map_err(failed),
        DType::F64 => {
            Ok(dataset.read_f64().map_err(failed)?.into_iter().map(|number| number as f32).collect())
        }
        _ => {
            let datatype = dataset.datatype().map_err(failed)?;
            if !matches!(datatype, Datatype::FloatingPoint { size: 2, .. }) {
                return Err(format!(
                    "expected descriptors of 16, 32 or 64 bit floating-point numbers; found {}, whose scale is \
                     unknown",
                    features.shown()
                ));
            }
            let bytes = dataset.read_raw().map_err(failed)?;
            let numbers = decode(&bytes, 2, 0, &datatype)
                .ok_or_else(|| format!("{}: numbers of an unknown type", features.shown()))?;
            Ok(numbers.into_iter().map(|number| number as f32).collect())
        }
    }
}

/// Positions of tiles, in the unit of the file.
struct Coordinates {
    positions: Vec<[f64; 2]>,
    /// Edge of a tile, if the coordinates include it.
    edge: Option<f64>,
    /// Whether all coordinates are whole numbers.
    is_whole: bool,
}

impl Coordinates {
    /// Returns the number of positions in `coords`, given the number of descriptors.
    fn count(coords: &Named, tiles: u64) -> Result<u64, String> {
        let is_structured = matches!(coords.dataset.dtype(), Ok(DType::Compound(_)));
        match coords.shape[..] {
            [count, 2 | 4] | [1, count, 2 | 4] => Ok(count),
            [2, count] if count == tiles => Ok(count),
            [count] if is_structured => Ok(count),
            _ => Err(format!(
                "expected positions of tiles × 2 (x and y of the top-left corner); found {}",
                coords.shown()
            )),
        }
    }

    fn read(coords: &Named, tiles: usize) -> Result<Self, String> {
        let failed = |error: Error| format!("{}: {}", coords.name, words(error));
        let unknown = || format!("expected positions as numbers; found {}", coords.shown());
        let bytes = coords.dataset.read_raw().map_err(failed)?;
        let datatype = coords.dataset.datatype().map_err(failed)?;
        if let Datatype::Compound { size, members } = &datatype {
            let column = |name: &str| {
                let member = members.iter().find(|member| member.name.eq_ignore_ascii_case(name))?;
                let offset = usize::try_from(member.byte_offset).ok()?;
                decode(&bytes, *size as usize, offset, &member.datatype)
            };
            let (x, y) = column("x").zip(column("y")).ok_or_else(unknown)?;
            let positions = x.into_iter().zip(y).map(|(x, y)| [x, y]).collect();
            return Ok(Self::of(positions, None));
        }
        let size = element_size(&datatype).ok_or_else(unknown)?;
        let numbers = decode(&bytes, size, 0, &datatype).ok_or_else(unknown)?;
        match coords.shape[..] {
            [2, count] if count != 2 => {
                let (x, y) = numbers.split_at(numbers.len() / 2);
                Ok(Self::of(x.iter().zip(y).map(|(x, y)| [*x, *y]).collect(), None))
            }
            [_, 4] | [1, _, 4] => {
                let rows: Vec<[f64; 4]> = numbers.as_chunks::<4>().0.to_vec();
                let edge = edge_of_rectangles(&rows).ok_or_else(|| {
                    format!(
                        "{} has four numbers per tile that are neither two corners nor corner and size of a square",
                        coords.shown()
                    )
                })?;
                Ok(Self::of(rows.iter().map(|[x, y, ..]| [*x, *y]).collect(), edge))
            }
            _ => Ok(Self::of(numbers.as_chunks::<2>().0.to_vec(), None)),
        }
        .and_then(|read| match read.positions.len() == tiles {
            true => Ok(read),
            false => Err(format!("{} positions for {tiles} tiles", read.positions.len())),
        })
    }

    fn of(positions: Vec<[f64; 2]>, edge: Option<f64>) -> Self {
        let is_whole = positions.iter().flatten().all(|place| !place.is_finite() || place.fract() == 0.0);
        Self { positions, edge, is_whole }
    }
}

/// Returns the common edge of squares given by two corners (x0, y0, x1, y1; TIAToolbox) or by corner and size
/// (x, y, width, height). `None` if they are not squares of equal size, `Some(None)` if there are none.
fn edge_of_rectangles(rows: &[[f64; 4]]) -> Option<Option<f64>> {
    let common = |size: fn(&[f64; 4]) -> [f64; 2]| -> Option<f64> {
        let [edge, _] = size(rows.first()?);
        let is_square = |row: &[f64; 4]| size(row).iter().all(|extent| (extent - edge).abs() <= 1.0);
        (edge > 0.0 && rows.iter().all(is_square)).then_some(edge)
    };
    if rows.is_empty() {
        return Some(None);
    }
    let corners = common(|[x0, y0, x1, y1]| [x1 - x0, y1 - y0]);
    corners.or_else(|| common(|[_, _, width, height]| [*width, *height])).map(Some)
}

fn element_size(datatype: &Datatype) -> Option<usize> {
    match datatype {
        Datatype::FixedPoint { size, .. } | Datatype::FloatingPoint { size, .. } => Some(*size as usize),
        _ => None,
    }
}

/// Decodes numbers of any integer or floating-point type: one in every `stride` bytes, starting at `offset`
/// in them. `None` for other types.
fn decode(bytes: &[u8], stride: usize, offset: usize, datatype: &Datatype) -> Option<Vec<f64>> {
    let size = element_size(datatype)?;
    if !(1..=8).contains(&size) || offset.checked_add(size)? > stride {
        return None;
    }
    let (order, of_bits): (_, fn(u64, usize) -> f64) = match datatype {
        Datatype::FixedPoint { byte_order, layout, .. } => match layout.signed {
            true => (byte_order, |bits, size| {
                let unused = 64 - 8 * size as u32;
                ((bits << unused).cast_signed() >> unused) as f64
            }),
            false => (byte_order, |bits, _| bits as f64),
        },
        Datatype::FloatingPoint { byte_order, layout, .. } => match (size, layout.exponent_size) {
            (2, 5) => (byte_order, |bits, _| f64::from(from_half(bits as u16))),
            // bfloat16: the upper half of a 32-bit number.
            (2, 8) => (byte_order, |bits, _| f64::from(f32::from_bits((bits as u32) << 16))),
            (4, 8) => (byte_order, |bits, _| f64::from(f32::from_bits(bits as u32))),
            (8, 11) => (byte_order, |bits, _| f64::from_bits(bits)),
            _ => return None,
        },
        _ => return None,
    };
    let number = |element: &[u8]| {
        let digits = &element[offset..offset + size];
        let shift = |bits: u64, digit: &u8| bits << 8 | u64::from(*digit);
        let bits = match order {
            DatatypeByteOrder::BigEndian => digits.iter().fold(0, shift),
            _ => digits.iter().rev().fold(0, shift),
        };
        of_bits(bits, size)
    };
    (*order != DatatypeByteOrder::Vax).then(|| bytes.chunks_exact(stride).map(number).collect())
}

/// Returns the attributes that are numbers or text; others are irrelevant.
fn attributes(
    found: Result<HashMap<String, AttrValue>, Error>,
) -> Result<BTreeMap<String, Attribute>, Error> {
    let attribute = |(name, value): (String, AttrValue)| {
        let attribute = if let Some(text) = value.as_str() {
            Attribute::Text(text.to_owned())
        } else if let Some(numbers) = value.to_f64s() {
            Attribute::Numbers(numbers)
        } else {
            Attribute::Numbers(value.to_i64s()?.into_iter().map(|number| number as f64).collect())
        };
        Some((name, attribute))
    };
    Ok(found?.into_iter().filter_map(attribute).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(size: u32, byte_order: DatatypeByteOrder, signed: bool) -> Datatype {
        let bit_precision = 8 * size as u16;
        let layout = hdf5_pure::FixedPointLayout { signed, bit_offset: 0, bit_precision };
        Datatype::FixedPoint { size, byte_order, layout }
    }

    #[test]
    fn integers_of_any_size_order_and_sign_are_decoded() {
        use DatatypeByteOrder::{BigEndian, LittleEndian};
        assert_eq!(decode(&[0xfe, 0xff], 2, 0, &integer(2, LittleEndian, true)), Some(vec![-2.0]));
        assert_eq!(decode(&[0xff, 0xfe], 2, 0, &integer(2, BigEndian, true)), Some(vec![-2.0]));
        assert_eq!(decode(&[0xff, 0xfe], 2, 0, &integer(2, BigEndian, false)), Some(vec![65534.0]));
        let long = 1_000_000_i64.to_be_bytes();
        assert_eq!(decode(&long, 8, 0, &integer(8, BigEndian, true)), Some(vec![1e6]));
        assert_eq!(decode(&[1, 0, 7, 2, 0, 9], 3, 2, &integer(1, LittleEndian, false)), Some(vec![7.0, 9.0]));
        assert_eq!(decode(&[1, 0], 2, 1, &integer(2, LittleEndian, false)), None, "beyond the element");
        assert_eq!(decode(&[1, 0], 2, 0, &integer(0, LittleEndian, true)), None, "of no size");
    }

    #[test]
    fn rectangles_are_two_corners_or_a_corner_and_a_size() {
        let corners = [[0.0, 0.0, 256.0, 256.0], [256.0, 0.0, 512.0, 256.0]];
        assert_eq!(edge_of_rectangles(&corners), Some(Some(256.0)));
        let sizes = [[0.0, 0.0, 256.0, 256.0], [300.0, 0.0, 256.0, 256.0]];
        assert_eq!(edge_of_rectangles(&sizes), Some(Some(256.0)));
        assert_eq!(edge_of_rectangles(&[[0.0, 0.0, 256.0, 100.0]]), None);
        assert_eq!(edge_of_rectangles(&[]), Some(None));
    }
}
