//! Writes levels of DICOM slides for tests.

use image::RgbImage;

use super::super::tiff::made::{jpeg, picture};
use super::elements::Tag;

/// Edge of the tiles in pixels.
pub const EDGE: u32 = 48;

/// How the offsets of frames are stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    None,
    Basic,
    Extended,
}

/// An instance with one level in JPEG tiles.
pub struct MadeDicom {
    pub width: u32,
    pub height: u32,
    pub table: Table,
    pub kind: &'static str,
    pub organization: &'static str,
    pub photometric: &'static str,
    /// Identifier of the instance within its series.
    pub instance: &'static str,
    /// Each frame is stored in two items.
    pub is_divided: bool,
    /// Number of focal planes; all but the middle one are black.
    pub focal_planes: u32,
    /// Number of optical paths of grey values of 16 bits that are not compressed; 0 for colours in JPEGs.
    pub grey_paths: u32,
    /// The place of each frame is stated, and the last comes first.
    pub has_places: bool,
}

impl Default for MadeDicom {
    fn default() -> Self {
        Self {
            width: 130,
            height: 90,
            table: Table::None,
            kind: r"DERIVED\PRIMARY\VOLUME\NONE",
            organization: "TILED_FULL",
            photometric: "YBR_FULL_422",
            instance: "1.2.3.1",
            is_divided: false,
            focal_planes: 1,
            grey_paths: 0,
            has_places: false,
        }
    }
}

impl MadeDicom {
    /// The streams of the tiles of the focal planes and optical paths, of even length.
    pub fn tiles(&self) -> Vec<Vec<u8>> {
        let (columns, rows) = (self.width.div_ceil(EDGE), self.height.div_ceil(EDGE));
        let whole: RgbImage = picture(columns * EDGE, rows * EDGE);
        let planes =
            (0..self.grey_paths.max(1)).flat_map(|path| (0..self.focal_planes).map(move |z| (path, z)));
        let all = planes.flat_map(|(path, z)| {
            (0..rows).flat_map(move |row| (0..columns).map(move |column| (path, z, row, column)))
        });
        let tile = |(path, z, row, column): (u32, u32, u32, u32)| {
            if self.grey_paths > 0 {
                let at = |at: u32| (column * EDGE + at % EDGE, row * EDGE + at / EDGE);
                return (0..EDGE * EDGE)
                    .flat_map(|index| Self::grey(path, at(index)).to_le_bytes())
                    .collect();
            }
            let view = image::imageops::crop_imm(&whole, column * EDGE, row * EDGE, EDGE, EDGE).to_image();
            let is_middle = z == self.focal_planes / 2;
            let mut stream = jpeg(&if is_middle { view } else { RgbImage::new(EDGE, EDGE) });
            stream.resize(stream.len().next_multiple_of(2), 0);
            stream
        };
        let mut tiles: Vec<Vec<u8>> = all.map(tile).collect();
        if self.has_places {
            tiles.reverse();
        }
        tiles
    }

    /// The value of a pixel of an optical path.
    pub fn grey(path: u32, (x, y): (u32, u32)) -> u16 {
        (x * 100 + y * 7 + path * 5000) as u16
    }

    /// The sequence that states the place of each frame.
    fn places(&self) -> Vec<u8> {
        let (columns, rows) = (self.width.div_ceil(EDGE), self.height.div_ceil(EDGE));
        let all = (0..self.focal_planes)
            .flat_map(|z| (0..rows).flat_map(move |row| (0..columns).map(move |column| (z, row, column))));
        let place = |(z, row, column): (u32, u32, u32)| {
            let position = [
                element((0x40, 0x74a), b"DS", format!("{}.5", z * 2).as_bytes()),
                element((0x48, 0x21e), b"SL", &(column * EDGE + 1).to_le_bytes()),
                element((0x48, 0x21f), b"SL", &(row * EDGE + 1).to_le_bytes()),
            ]
            .concat();
            item(&sequence((0x48, 0x21a), &item(&position)))
        };
        let mut places: Vec<Vec<u8>> = all.map(place).collect();
        places.reverse();
        sequence((0x5200, 0x9230), &places.concat())
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> Vec<u8> {
        let tiles = self.tiles();
        let number = |value: u32| value.to_le_bytes().to_vec();
        let short = |value: u16| value.to_le_bytes().to_vec();
        let bits = if self.grey_paths > 0 { 16 } else { 8 };
        let path = |path: u32| {
            let name = element((0x48, 0x107), b"ST", format!("dye {path}").as_bytes());
            item(&[element((0x48, 0x106), b"SH", path.to_string().as_bytes()), name].concat())
        };
        let paths: Vec<Vec<u8>> = (0..self.grey_paths).map(path).collect();
        let header = [
            element((2, 2), b"UI", b"1.2.840.10008.5.1.4.1.1.77.1.6"),
            element((2, 3), b"UI", self.instance.as_bytes()),
            element(
                (2, 0x10),
                b"UI",
                if self.grey_paths > 0 { b"1.2.840.10008.1.2.1" } else { b"1.2.840.10008.1.2.4.50" },
            ),
        ]
        .concat();
        let mut bytes = [&[0; 128], &b"DICM"[..]].concat();
        bytes.extend(element((2, 0), b"UL", &number(header.len() as u32)));
        bytes.extend(header);
        bytes.extend(
            [
                element((8, 8), b"CS", self.kind.as_bytes()),
                element((8, 0x16), b"UI", b"1.2.840.10008.5.1.4.1.1.77.1.6"),
                element((8, 0x18), b"UI", self.instance.as_bytes()),
                element((0x20, 0xe), b"UI", b"1.2.3"),
                element((0x20, 0x9311), b"CS", self.organization.as_bytes()),
                element((0x28, 2), b"US", &short(if self.grey_paths > 0 { 1 } else { 3 })),
                element((0x28, 4), b"CS", self.photometric.as_bytes()),
                element((0x28, 6), b"US", &short(0)),
                element((0x28, 8), b"IS", tiles.len().to_string().as_bytes()),
                element((0x28, 0x10), b"US", &short(EDGE as u16)),
                element((0x28, 0x11), b"US", &short(EDGE as u16)),
                element((0x28, 0x100), b"US", &short(bits)),
                element((0x28, 0x101), b"US", &short(bits)),
                element((0x28, 0x102), b"US", &short(bits - 1)),
                element((0x28, 0x103), b"US", &short(0)),
                element((0x48, 1), b"FL", &(self.width as f32 * 0.000_25).to_le_bytes()),
                element((0x48, 2), b"FL", &(self.height as f32 * 0.000_25).to_le_bytes()),
                element((0x48, 6), b"UL", &number(self.width)),
                element((0x48, 7), b"UL", &number(self.height)),
                sequence((0x48, 0x105), &paths.concat()),
                element((0x48, 0x303), b"UL", &number(self.focal_planes)),
            ]
            .concat(),
        );
        if self.has_places {
            bytes.extend(self.places());
        }
        bytes.extend(match self.grey_paths {
            0 => self.pixel_data(&tiles),
            _ => {
                let pixels = tiles.concat();
                [b"\xe0\x7f\x10\0OW\0\0", &(pixels.len() as u32).to_le_bytes()[..], &pixels].concat()
            }
        });
        bytes
    }

    fn pixel_data(&self, tiles: &[Vec<u8>]) -> Vec<u8> {
        let (mut items, mut offsets) = (Vec::new(), Vec::new());
        for tile in tiles {
            offsets.push(items.len() as u64);
            let (first, second) = tile.split_at(if self.is_divided { 100 } else { tile.len() });
            items.extend(item(first));
            if self.is_divided {
                items.extend(item(second));
            }
        }
        let mut bytes = Vec::new();
        if self.table == Table::Extended {
            let lengths = tiles.iter().flat_map(|tile| (tile.len() as u64).to_le_bytes());
            bytes.extend(element(
                (0x7fe0, 1),
                b"OV",
                &offsets.iter().flat_map(|o| o.to_le_bytes()).collect::<Vec<u8>>(),
            ));
            bytes.extend(element((0x7fe0, 2), b"OV", &lengths.collect::<Vec<u8>>()));
        }
        bytes.extend(b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff");
        let basic: Vec<u8> = match self.table {
            Table::Basic => offsets.iter().flat_map(|offset| (*offset as u32).to_le_bytes()).collect(),
            Table::None | Table::Extended => Vec::new(),
        };
        bytes.extend(item(&basic));
        bytes.extend(items);
        bytes.extend(b"\xfe\xff\xdd\xe0\0\0\0\0");
        bytes
    }
}

/// A sequence of this length.
fn sequence(tag: Tag, items: &[u8]) -> Vec<u8> {
    let head = [tag.0.to_le_bytes(), tag.1.to_le_bytes(), *b"SQ", [0, 0]].concat();
    [&head[..], &(items.len() as u32).to_le_bytes(), items].concat()
}

fn item(value: &[u8]) -> Vec<u8> {
    [b"\xfe\xff\0\xe0", &(value.len() as u32).to_le_bytes()[..], value].concat()
}

/// An explicit element; its value is padded to an even length.
fn element(tag: Tag, kind: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    value.resize(value.len().next_multiple_of(2), if kind == b"UI" { 0 } else { b' ' });
    let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes(), *kind].concat();
    match kind {
        b"OV" => bytes.extend([&[0, 0], &(value.len() as u32).to_le_bytes()[..]].concat()),
        _ => bytes.extend((value.len() as u16).to_le_bytes()),
    }
    bytes.extend(value);
    bytes
}
