//! Slides to test on: what ships with the program, what a developer has, and what is made up on the spot.

#[cfg(feature = "archive")]
pub mod postgres;
#[cfg(feature = "archive")]
pub mod proxy;
pub mod running;
pub mod skipped;
pub mod tiff_bones;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use histokin::cli::fit_model::FitModelArgs;
use histokin::cli::label_options::LabelOptions;
use histokin::encoder::DeviceChoice;
use image::RgbImage;
use tiff::encoder::{Rational, TiffEncoder};
use tiff::tags::{CompressionMethod, PhotometricInterpretation, ResolutionUnit, Tag};

/// The program with these arguments.
pub fn histokin(arguments: &[&str]) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_histokin"));
    command.args(arguments);
    command
}

/// The JSON document that the program writes to standard output, and nothing else.
pub fn json(arguments: &[&str]) -> serde_json::Value {
    let output = histokin(arguments).assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).expect("standard output is one JSON document")
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The program, which ends at SIGINT even where the tests run in a shell's background, whose processes ignore that signal.
pub fn interruptible_program() -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,HUP", env!("CARGO_BIN_EXE_histokin")]);
    command
}

/// Options of `fit-model` for a readout of 8 numbers, `fitted` in the folder `models` to a demonstration slide.
pub fn fit_model_args(models: &Path, weights: &Path) -> FitModelArgs {
    FitModelArgs {
        slides: vec![asset("slides/CMU-1-Small-Region.svs")],
        name: "fitted".into(),
        backbone: None,
        weights: vec![weights.to_owned()],
        copy_weights: false,
        models: models.to_owned(),
        width: 8,
        blocks: Vec::new(),
        crops: Vec::new(),
        whiten: false,
        cosine: false,
        prototypes: false,
        neighbourhoods: false,
        within_um: 100.0,
        views: 0,
        labels: None,
        labelling: LabelOptions::default(),
        stain: None,
        stain_switch: false,
        components: 64,
        sharpness: 1.0,
        plain_features: false,
        tiles_per_slide: 40,
        seed: 1,
        device: DeviceChoice::Cpu,
        slide_mpp: None,
        json: true,
    }
}

/// A picture with straight alpha over white, as the program shows and embeds it.
pub fn over_white(picture: &image::RgbaImage) -> RgbImage {
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [red, green, blue, alpha] = picture.get_pixel(x, y).0.map(u32::from);
        image::Rgb([red, green, blue].map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8))
    })
}

/// A file that ships with the program.
pub fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
}

/// A small encoder for tests.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoder").join(name)
}

/// A file or folder of the real slides that developers share, or `None` and a note that the test skips it.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    let found = Some(path).filter(|path| path.exists());
    if found.is_none() {
        skipped::skip(format_args!("the shared data hold no {name} here"));
    }
    found
}

/// Write `picture` as a pyramidal TIFF of uncompressed 256 px tiles that OpenSlide opens (generic TIFF):
/// each further level averages 2 × 2 pixels. `um_per_px` goes into the resolution tags, if there is one.
pub fn write_pyramid(path: &Path, picture: &RgbImage, levels: u32, um_per_px: Option<f64>) {
    let mut pyramid = vec![picture.clone()];
    while pyramid.len() < levels as usize {
        pyramid.push(halved(pyramid.last().unwrap()));
    }
    write_levels(path, &pyramid, um_per_px.map(|um| [um, um]), Tiles::Uncompressed);
}

/// How the tiles of [`write_levels`] are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tiles {
    Uncompressed,
    /// At a quality of 95, without subsampling.
    Jpeg,
}

/// Write the levels of a pyramid, finest first, as OpenSlide's generic TIFF. `um_per_px` are the pixel's width and
/// height.
pub fn write_levels(path: &Path, levels: &[RgbImage], um_per_px: Option<[f64; 2]>, kind: Tiles) {
    let mut file = TiffEncoder::new(BufWriter::new(File::create(path).unwrap())).unwrap();
    for (index, level) in levels.iter().enumerate() {
        let mut directory = file.image_directory().unwrap();
        let tiles: Vec<Vec<u8>> = match kind {
            Tiles::Uncompressed => tiles_of(level),
            Tiles::Jpeg => tiles_of(level).into_iter().map(jpeg).collect(),
        };
        let bytes: Vec<u32> = tiles.iter().map(|tile| tile.len() as u32).collect();
        let offsets: Vec<u32> =
            tiles.iter().map(|tile| directory.write_data(tile.as_slice()).unwrap() as u32).collect();
        directory.write_tag(Tag::NewSubfileType, u32::from(index > 0)).unwrap();
        directory.write_tag(Tag::ImageWidth, level.width()).unwrap();
        directory.write_tag(Tag::ImageLength, level.height()).unwrap();
        directory.write_tag(Tag::BitsPerSample, [8_u16, 8, 8]).unwrap();
        let (compression, colours) = match kind {
            Tiles::Uncompressed => (CompressionMethod::None, PhotometricInterpretation::RGB),
            Tiles::Jpeg => (CompressionMethod::ModernJPEG, PhotometricInterpretation::YCbCr),
        };
        directory.write_tag(Tag::Compression, compression).unwrap();
        directory.write_tag(Tag::PhotometricInterpretation, colours).unwrap();
        if kind == Tiles::Jpeg {
            directory.write_tag(Tag::ChromaSubsampling, [1_u16, 1]).unwrap();
        }
        directory.write_tag(Tag::SamplesPerPixel, 3_u16).unwrap();
        directory.write_tag(Tag::TileWidth, TILE).unwrap();
        directory.write_tag(Tag::TileLength, TILE).unwrap();
        directory.write_tag(Tag::TileOffsets, offsets.as_slice()).unwrap();
        directory.write_tag(Tag::TileByteCounts, bytes.as_slice()).unwrap();
        if let Some(um) = um_per_px.filter(|_| index == 0) {
            let per_cm = |um: f64| Rational { n: (10_000.0 / um * 1000.0).round() as u32, d: 1000 };
            directory.write_tag(Tag::ResolutionUnit, ResolutionUnit::Centimeter).unwrap();
            directory.write_tag(Tag::XResolution, per_cm(um[0])).unwrap();
            directory.write_tag(Tag::YResolution, per_cm(um[1])).unwrap();
        }
        directory.finish().unwrap();
    }
}

fn jpeg(tile: Vec<u8>) -> Vec<u8> {
    let picture = RgbImage::from_raw(TILE, TILE, tile).unwrap();
    let mut stream = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut stream, 95).encode_image(&picture).unwrap();
    stream
}

/// Edge of a tile in [`write_pyramid`]'s files.
pub const TILE: u32 = 256;

fn tiles_of(level: &RgbImage) -> Vec<Vec<u8>> {
    let mut tiles = Vec::new();
    for top in (0..level.height()).step_by(TILE as usize) {
        for left in (0..level.width()).step_by(TILE as usize) {
            let mut tile = RgbImage::new(TILE, TILE);
            image::imageops::replace(&mut tile, level, -i64::from(left), -i64::from(top));
            tiles.push(tile.into_raw());
        }
    }
    tiles
}

/// Half of `level` both ways; what is left over at the right and at the bottom is cut off.
pub fn halved(level: &RgbImage) -> RgbImage {
    RgbImage::from_fn(level.width() / 2, level.height() / 2, |x, y| {
        let near = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(i, j)| level.get_pixel(2 * x + i, 2 * y + j).0);
        image::Rgb(std::array::from_fn(|c| (near.iter().map(|p| u32::from(p[c])).sum::<u32>() / 4) as u8))
    })
}
