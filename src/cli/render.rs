//! `histokin render`: writes a region of a slide as an image, as the viewer shows it.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use image::RgbImage;

use crate::geometry::{Level0Rect, MicronsPerPixel, Stretch};
use crate::slide::{self, SlideSource};
use crate::stain::separation::ShownAs;
use crate::stain::{self, SlideStain, StainType, StainVectors};

/// Options of `histokin render`.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// The slide.
    slide: PathBuf,
    /// Region in level-0 pixels.
    #[arg(long, value_name = "X,Y,WIDTH,HEIGHT", value_parser = super::parse_rect, allow_hyphen_values = true)]
    rect: Level0Rect,
    /// Size of the image in pixels.
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = super::parse_size)]
    size: (u32, u32),
    /// Rotate the slide about the centre of the region, in degrees clockwise.
    #[arg(long, value_name = "DEGREES", default_value_t = 0.0, allow_hyphen_values = true)]
    rotate: f64,
    /// Colours of the image.
    #[arg(long, default_value = "normal")]
    view: View,
    /// Show one stain alone, by colour deconvolution.
    #[arg(long, conflicts_with = "view")]
    stain: Option<OneStain>,
    /// With --stain, the staining of the slide: he, h-dab, or the optical densities (red, green, blue) of two stains as
    /// R,G,B/R,G,B. By default, what the stain and a thumbnail of the slide suggest.
    #[arg(long, value_parser = parse_staining, requires = "stain")]
    staining: Option<SlideStain>,
    /// With --stain, show its optical density as grey: white is 0, black is 1.5.
    #[arg(long, requires = "stain")]
    density: bool,
    /// Apply the colour profile embedded in the slide.
    #[arg(long)]
    icc: bool,
    /// Name or path of the encoder whose reference colours `--view normalised` uses.
    #[arg(long, value_name = "ENCODER", default_value = crate::encoder::DEFAULT)]
    encoder: String,
    /// Pixel size of the slide in µm, overriding the one in the file: M or MX,MY.
    #[arg(long, value_name = "UM", value_parser = super::parse_mpp)]
    slide_mpp: Option<MicronsPerPixel>,
    /// Resample on the CPU with a Lanczos filter instead of the viewer's renderer, for computers without a
    /// graphics driver.
    #[arg(long)]
    cpu: bool,
    /// Image file to write; its extension selects PNG, JPEG, TIFF, BMP or WebP.
    #[arg(short, long, value_name = "FILE", value_parser = super::image_file())]
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

/// One stain of a slide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OneStain {
    /// Haematoxylin.
    #[value(alias = "hematoxylin")]
    Haematoxylin,
    /// Eosin.
    Eosin,
    /// Diaminobenzidine.
    Dab,
    /// The first of two stains given with --staining.
    First,
    /// The second of two stains given with --staining.
    Second,
    /// What neither of the two stains explains.
    Residual,
}

fn parse_staining(text: &str) -> Result<SlideStain, String> {
    let usual = |kind| Ok(SlideStain::usual(kind));
    match text {
        "he" => return usual(StainType::HaematoxylinEosin),
        "h-dab" => return usual(StainType::HaematoxylinDab),
        _ => {}
    }
    let vector = |text: &str| -> Option<[f32; 3]> {
        let values: Vec<f32> =
            text.split(',').map(|value| value.trim().parse().ok()).collect::<Option<_>>()?;
        values.try_into().ok()
    };
    let (first, second) = text
        .split_once('/')
        .and_then(|(first, second)| Some((vector(first)?, vector(second)?)))
        .ok_or_else(|| format!("{text:?} is neither he nor h-dab nor two vectors R,G,B/R,G,B"))?;
    let vectors = StainVectors::of_two(first, second).map_err(|error| error.to_string())?;
    Ok(SlideStain { kind: StainType::Other, vectors: Some(vectors) })
}

/// Runs `histokin render`.
///
/// # Errors
/// When the slide cannot be read, options conflict, or the image cannot be drawn or written.
pub fn run(args: &RenderArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.rotate.is_finite(), "--rotate must be a number of degrees");
    anyhow::ensure!(
        args.stain.is_none() || !args.icc,
        "stains are separated from colours without a profile: give either --stain or --icc"
    );
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
    let mut picture = crate::pipeline::render(source, &args.rect, width, height)?;
    if let Some((stain, index)) = separated(args, source)? {
        stain.separation(index).context(NO_STAINS)?.show(&mut picture, shown_as(args));
    }
    Ok(picture)
}

/// Why a slide has no stain to show.
const NO_STAINS: &str = "fluorescence has no stains to separate; leave out --stain, or give --staining";

fn shown_as(args: &RenderArgs) -> ShownAs {
    if args.density { ShownAs::Density } else { ShownAs::Colour }
}

/// Returns the staining by which one stain is to be shown alone, and the index of that stain.
fn separated(args: &RenderArgs, source: &dyn SlideSource) -> anyhow::Result<Option<(SlideStain, usize)>> {
    /// Longer side in pixels of the thumbnail from which the staining is guessed.
    const GUESSED_FROM_PX: u32 = 256;

    let Some(wanted) = args.stain else { return Ok(None) };
    let staining = match (args.staining, wanted) {
        (Some(staining), _) => staining,
        (None, OneStain::Eosin) => SlideStain::usual(StainType::HaematoxylinEosin),
        (None, OneStain::Dab) => SlideStain::usual(StainType::HaematoxylinDab),
        (None, _) => {
            let kind = match source.info().is_fluorescence() {
                true => StainType::Fluorescence,
                false => stain::guess(&crate::pipeline::thumbnail(source, GUESSED_FROM_PX)?),
            };
            noteln!("{}: taken for {}; --staining says otherwise", args.slide.display(), kind.name());
            SlideStain::usual(kind)
        }
    };
    let index = match (wanted, staining.kind) {
        (OneStain::Haematoxylin | OneStain::First, _) => 0,
        (OneStain::Second, _)
        | (OneStain::Eosin, StainType::HaematoxylinEosin | StainType::Other)
        | (OneStain::Dab, StainType::HaematoxylinDab | StainType::Other) => 1,
        (OneStain::Residual, _) => 2,
        (OneStain::Eosin, _) => anyhow::bail!("{} has no eosin; use --stain dab", staining.kind.name()),
        (OneStain::Dab, _) => anyhow::bail!("{} has no DAB; use --stain eosin", staining.kind.name()),
    };
    Ok(Some((staining, index)))
}

#[cfg(not(feature = "gui"))]
fn draw(args: &RenderArgs, source: std::sync::Arc<dyn SlideSource>) -> anyhow::Result<RgbImage> {
    on_processor(args, source.as_ref())
}

#[cfg(feature = "gui")]
fn draw(args: &RenderArgs, source: std::sync::Arc<dyn SlideSource>) -> anyhow::Result<RgbImage> {
    use crate::slide::colour_profile::ProfileTable;
    use crate::slide::pyramid::{DisplayPyramid, SlideKey};
    use crate::stain::{LabNormaliser, LabStatistics};
    use crate::ui::{Appearance, Camera, Colouring, OffscreenPicture, OffscreenRenderer};

    let mut painter =
        OffscreenRenderer::headless().context("with --cpu, regions are drawn without a graphics driver")?;
    let one_stain = separated(args, source.as_ref())?;
    let stain = one_stain.map_or(SlideStain::default(), |(stain, _)| stain);
    stain.separated_by().context(NO_STAINS)?;
    let colouring = match (args.view, one_stain) {
        (_, Some((_, index))) => Colouring::Stain(index),
        (View::Normal, _) => Colouring::Own,
        (View::H, _) => Colouring::Stain(0),
        (View::E, _) => Colouring::Stain(1),
        (View::Normalised, _) => Colouring::Normalised,
    };
    let normaliser = match args.view {
        View::Normalised => {
            let own = LabStatistics::of_slide(source.as_ref())?;
            if own.is_none() {
                let slide = args.slide.display();
                noteln!(
                    "{slide}: warning: too little tissue for stain normalisation; drawn in its original colours"
                );
            }
            let reference = crate::encoder::spec(&args.encoder)?.stain_reference;
            own.map(|own| LabNormaliser::new(own, reference))
        }
        _ => None,
    };
    let appearance = Appearance { colouring, shown_as: shown_as(args), ..Appearance::default() };
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
        shading: appearance.shading(normaliser.as_ref(), &stain),
        profile: profile.as_ref(),
        marks: &[],
        annotations: None,
    };
    Ok(painter.draw(&still)?)
}
