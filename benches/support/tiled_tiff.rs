//! Tiled RGB TIFF files of lossless compressions, written from a picture.

use std::io::Write;
use std::path::Path;

use histokin::geometry::LevelRect;
use histokin::slide::SlideSource;
use weezl::BitOrder;

/// Edge of a tile in pixels.
pub const TILE: u32 = 256;

/// A compression of TIFF files.
pub struct Compression {
    /// Its name, for display.
    pub name: &'static str,
    /// Value of the tag Compression.
    tag: u32,
    /// Whether differences of neighbouring pixels are stored, as most programs do to save space.
    has_predictor: bool,
    pack: fn(&[u8]) -> Vec<u8>,
}

/// The compressions that are compared.
pub const COMPRESSIONS: [Compression; 5] = [
    Compression { name: "none", tag: 1, has_predictor: false, pack: <[u8]>::to_vec },
    Compression { name: "PackBits", tag: 32773, has_predictor: false, pack: pack_bits },
    Compression { name: "LZW", tag: 5, has_predictor: true, pack: lzw },
    Compression { name: "Deflate", tag: 8, has_predictor: true, pack: deflate },
    Compression { name: "Zstandard", tag: 50000, has_predictor: true, pack: zstandard },
];

/// Writes the middle of level 0 of `slide`, `edge` pixels wide and high or as many whole tiles as it has.
pub fn write(
    path: &Path,
    slide: &dyn SlideSource,
    edge: u32,
    compression: &Compression,
) -> std::io::Result<()> {
    let whole = |side: u32| side.min(edge) / TILE * TILE;
    let (width, height) = (whole(slide.info().width()), whole(slide.info().height()));
    let (left, top) = ((slide.info().width() - width) / 2, (slide.info().height() - height) / 2);
    let mut bytes = b"II*\0\0\0\0\0".to_vec();
    let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
    for y in (0..height).step_by(TILE as usize) {
        for x in (0..width).step_by(TILE as usize) {
            let (x, y) = (i64::from(left + x), i64::from(top + y));
            let region = LevelRect { level: 0, x, y, width: TILE, height: TILE };
            let pixels = slide.read(&region).map_err(std::io::Error::other)?;
            let mut rgb: Vec<u8> = pixels.pixels().flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
            if compression.has_predictor {
                rgb.chunks_exact_mut(TILE as usize * 3).for_each(differences);
            }
            let packed = (compression.pack)(&rgb);
            offsets.push(bytes.len() as u32);
            lengths.push(packed.len() as u32);
            bytes.extend(packed);
        }
    }
    let tags: [(u16, Vec<u32>); 11] = [
        (256, vec![width]),
        (257, vec![height]),
        (258, vec![8; 3]),
        (259, vec![compression.tag]),
        (262, vec![2]),
        (277, vec![3]),
        (317, vec![if compression.has_predictor { 2 } else { 1 }]),
        (322, vec![TILE]),
        (323, vec![TILE]),
        (324, offsets),
        (325, lengths),
    ];
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let mut directory = (tags.len() as u16).to_le_bytes().to_vec();
    for (tag, values) in &tags {
        let value = match values.as_slice() {
            [single] => *single,
            several => {
                let start = bytes.len() as u32;
                bytes.extend(several.iter().flat_map(|value| value.to_le_bytes()));
                start
            }
        };
        // All values are stored as 32-bit numbers, type 4.
        directory.extend([tag.to_le_bytes(), 4_u16.to_le_bytes()].concat());
        directory.extend([values.len() as u32, value].map(u32::to_le_bytes).concat());
    }
    let start = bytes.len() as u32;
    bytes[4..8].copy_from_slice(&start.to_le_bytes());
    bytes.extend(directory);
    bytes.extend([0; 4]);
    std::fs::write(path, bytes)
}

fn differences(row: &mut [u8]) {
    (3..row.len()).rev().for_each(|at| row[at] = row[at].wrapping_sub(row[at - 3]));
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn lzw(bytes: &[u8]) -> Vec<u8> {
    weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(bytes).expect("memory")
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, zstd::DEFAULT_COMPRESSION_LEVEL).expect("memory")
}

/// Runs of three equal bytes or more are packed.
fn pack_bits(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut different: Vec<u8> = Vec::new();
    let finish = |different: &mut Vec<u8>, packed: &mut Vec<u8>| {
        for part in different.chunks(128) {
            packed.push((part.len() - 1) as u8);
            packed.extend(part);
        }
        different.clear();
    };
    for run in bytes.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(128)) {
        if run.len() < 3 {
            different.extend(run);
        } else {
            finish(&mut different, &mut packed);
            packed.extend([1_u8.wrapping_sub(run.len() as u8), run[0]]);
        }
    }
    finish(&mut different, &mut packed);
    packed
}
