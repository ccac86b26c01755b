//! `histokin render`: writes a region of a slide as an image, as the viewer shows it.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use image::RgbImage;

use crate::geometry::{Level0Rect, MicronsPerPixel, Stretch};
use crate::slide::{self, SlideSource};

/// Options of `histokin render`.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// The slide.
    slide: PathBuf,
    /// Region in level-0 pixels: X,Y,WIDTH,HEIGHT.
    #[arg(long, value_parser = super::parse_rect, allow_hyphen_values = true)]
    rect: Level0Rect,
    /// Size of the image in pixels: WIDTHxHEIGHT.
    #[arg(long, value_parser = super::parse_size)]
    size: (u32, u32),
    /// Rotate the slide about the centre of the region, in degrees clockwise.
    #[arg(long, default_value_t = 0.0, allow_hyphen_values = true)]
    rotate: f64,
    /// Colours of the image.
    #[arg(long, default_value = "normal")]
    view: View,
    /// Apply the colour profile embedded in the slide.
    #[arg(long)]
    icc: bool,
    /// Name or path of the encoder whose reference colours `--view normalised` uses.
    #[arg(long, default_value = crate::encoder::DEFAULT)]
    encoder: String,
    /// Pixel size of the slide in µm, overriding the one in the file: M or MX,MY.
    #[arg(long, value_parser = super::parse_mpp)]
    slide_mpp: Option<MicronsPerPixel>,
    /// Resample on the CPU with a Lanczos filter instead of the viewer's renderer, for computers without a
    /// graphics driver.
    #[arg(long)]
    cpu: bool,
    /// Image file to write; its extension selects PNG, JPEG, TIFF, BMP or WebP.
    #[arg(short)]
    output: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum View {
    /// The slide's original colours.
    Normal,
    /// Haematoxylin only.
    H,
    /// Eosin only.
    E,
    /// Stain-normalised as for the encoder.
    Normalised,
}

/// Runs `histokin render`.
///
/// # Errors
/// When the slide cannot be read, options conflict, or the image cannot be drawn or written.
pub fn run(args: &RenderArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.rotate.is_finite(), "--rotate must be a number of degrees");
    let source = slide::open(&args.slide, args.slide_mpp)?;
    if let Some(note) = distortion(args, Stretch::of(source.info().mpp)) {
        noteln!("{}: {note}", args.slide.display());
    }
    let picture = if args.cpu { on_processor(args, source.as_ref())? } else { draw(args, source)? };
    crate::pipeline::write_picture(&picture, &args.output)
        .with_context(|| format!("{} was not written", args.output.display()))
}

/// Returns a warning if the slide's pixels are not square and the aspect ratio of the image differs from that
/// of the region in µm.
fn distortion(args: &RenderArgs, stretch: Stretch) -> Option<String> {
    let (wide, high) = stretch.extent((args.rect.width.into(), args.rect.height.into()));
    let (width, height) = (f64::from(args.size.0), f64::from(args.size.1));
    let right_height = (width * high / wide).round().max(1.0);
    let is_right = (right_height - height).abs() <= (right_height * 0.01).max(1.0);
    (stretch != Stretch::NONE && !is_right).then(|| {
        format!(
            "its pixels are not square, and an image of {width} × {height} px shows this region distorted; \
             --size {width}x{right_height} shows it undistorted"
        )
    })
}

fn on_processor(args: &RenderArgs, source: &dyn SlideSource) -> anyhow::Result<RgbImage> {
    anyhow::ensure!(
        args.rotate == 0.0 && args.view == View::Normal && !args.icc,
        "--cpu does not support --rotate, --view and --icc: leave them out, or use the viewer's renderer (without \
         --cpu, in a build with the feature `gui`)"
    );
    let (width, height) = args.size;
    Ok(crate::pipeline::render(source, &args.rect, width, height)?)
}

#[cfg(not(feature = "gui"))]
fn draw(args: &RenderArgs, source: std::sync::Arc<dyn SlideSource>) -> anyhow::Result<RgbImage> {
    on_processor(args, source.as_ref())
}

#[cfg(feature = "gui")]
fn draw(args: &RenderArgs, source: std::sync::Arc<dyn SlideSource>) -> anyhow::Result<RgbImage> {
    use crate::slide::colour_profile::ProfileTable;
    use crate::slide::pyramid::{DisplayPyramid, SlideKey};
    use crate::stain::separation::Stain;
    use crate::stain::{LabNormaliser, LabStatistics};
    use crate::ui::{Appearance, Camera, Colouring, OffscreenPicture, OffscreenRenderer};

    let mut painter =
        OffscreenRenderer::headless().context("with --cpu, regions are drawn without a graphics driver")?;
    let colouring = match args.view {
        View::Normal => Colouring::Own,
        View::H => Colouring::Stain(Stain::Haematoxylin),
        View::E => Colouring::Stain(Stain::Eosin),
        View::Normalised => Colouring::Normalised,
    };
    let normaliser = match args.view {
        View::Normalised => {
            let own = LabStatistics::of_slide(source.as_ref())?;
            if own.is_none() {
                let slide = args.slide.display();
                noteln!(
                    "{slide}: warning: too little tissue for stain normalisation; drawn in its own colours"
                );
            }
            let reference = crate::encoder::spec(&args.encoder)?.stain_reference;
            own.map(|own| LabNormaliser::new(own, reference))
        }
        _ => None,
    };
    let appearance = Appearance { colouring, ..Appearance::default() };
    let profile = match args.icc {
        true => Some(ProfileTable::of(source.as_ref())?.with_context(|| {
            format!("{}: no colour profile is embedded; leave out --icc", args.slide.display())
        })?),
        false => None,
    };
    anyhow::ensure!(
        profile.is_none() || args.view == View::Normal,
        "stains are separated from colours without a profile: give either --view or --icc"
    );
    let stretch = Stretch::of(source.info().mpp);
    let rotation = args.rotate.to_radians();
    let camera = Camera { rotation, stretch, ..Camera::upright(args.rect.center()) };
    let still = OffscreenPicture {
        pyramid: &DisplayPyramid::new(SlideKey(0), source),
        camera,
        span: stretch.extent((args.rect.width.into(), args.rect.height.into())),
        size: args.size,
        shading: appearance.shading(normaliser.as_ref()),
        profile: profile.as_ref(),
        marks: &[],
        annotations: None,
    };
    Ok(painter.draw(&still)?)
}
