//! `histokin render`: a region of a slide, as the viewer shows it.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use image::{DynamicImage, ImageFormat, RgbImage};

use crate::durable;
use crate::geometry::Level0Rect;
use crate::{pipeline, slide};

#[derive(Debug, Args)]
pub struct RenderArgs {
    slide: PathBuf,
    /// The region in level-0 pixels: X,Y,WIDTH,HEIGHT.
    #[arg(long, value_parser = super::parse_rect, allow_hyphen_values = true)]
    rect: Level0Rect,
    /// Size of the picture in pixels: WIDTHxHEIGHT.
    #[arg(long, value_parser = super::parse_size)]
    size: (u32, u32),
    /// The picture, by its ending a PNG, JPEG, TIFF, BMP or WebP.
    #[arg(short)]
    output: PathBuf,
}

pub fn run(args: &RenderArgs) -> anyhow::Result<()> {
    let source = slide::open(&args.slide, None)?;
    let (width, height) = args.size;
    let picture = pipeline::render(source.as_ref(), &args.rect, width, height)?;
    write_picture(&picture, &args.output)
        .with_context(|| format!("{} was not written", args.output.display()))
}

/// Write a picture in the format of the path's ending, whole or not at all.
pub(super) fn write_picture(picture: &RgbImage, path: &Path) -> anyhow::Result<()> {
    let format = ImageFormat::from_path(path)?;
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture.clone()).write_to(&mut bytes, format)?;
    Ok(durable::write(path, bytes.get_ref())?)
}
