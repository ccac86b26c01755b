//! `histokin fit-model`: makes an encoder from a backbone's published weights, without training. Its head is
//! a principal component analysis of the features on tissue, prototypes found among them, or a whitening within
//! neighbourhoods.

#[cfg(feature = "torch")]
mod card;
#[cfg(feature = "torch")]
mod choosing;
#[cfg(feature = "torch")]
mod fitting;
#[cfg(feature = "torch")]
mod sources;
#[cfg(feature = "torch")]
mod views;

use std::path::PathBuf;

use super::choice::choice;
use super::label_options::LabelOptions;
use crate::encoder::DeviceChoice;
use crate::encoder::backbones::BackboneKind;
use crate::geometry::MicronsPerPixel;
use crate::number_format::counted;
use crate::stain::StainSetting;

/// Options of `histokin fit-model`.
#[derive(Debug, Clone, clap::Args)]
#[command(group(clap::ArgGroup::new("knows_views").args(["neighbourhoods", "labels"])))]
pub struct FitModelArgs {
    /// Slides, or folders of slides, to whose tissue the readout is fitted.
    #[arg(required = true, value_name = "SLIDE or FOLDER")]
    pub slides: Vec<PathBuf>,
    /// Name of the new encoder and of its folder.
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// The backbone [default: the one that the weights are of].
    #[arg(long, value_parser = choice::<BackboneKind>())]
    pub backbone: Option<BackboneKind>,
    /// Weights of the backbone: published ones, those of a vision transformer, or those of a trained encoder,
    /// whose head is ignored. Given several times, their mean is used [default: the MobileNetV2 that ships].
    #[arg(long, value_name = "FILE")]
    pub weights: Vec<PathBuf>,
    /// Copy the weights into the encoder's folder, as 16-bit numbers, to make it self-contained. The mean of
    /// several weights is always copied.
    #[arg(long)]
    pub copy_weights: bool,
    /// Folder in which the encoder's folder is created.
    #[arg(long, value_name = "FOLDER", default_value = "models")]
    pub models: PathBuf,
    /// Length of a descriptor: how many numbers it has.
    #[arg(long, value_name = "NUMBER", default_value_t = 128, value_parser = super::count(1, 100_000))]
    pub width: usize,
    /// Blocks of the backbone whose outputs form the features, counted from 0, such as 13,16 [default: the
    /// last block].
    #[arg(long, value_delimiter = ',', value_name = "BLOCK")]
    pub blocks: Vec<usize>,
    /// Spacings in µm per pixel of several views of a tile, all around its centre, such as 1.0,0.5: the network sees
    /// each at its own size, and their features are concatenated. The tile is as wide as the widest.
    #[arg(long, value_delimiter = ',', value_name = "UM")]
    pub crops: Vec<f64>,
    /// Scale all components to unit variance, so that each contributes equally to distances.
    #[arg(long, conflicts_with = "prototypes")]
    pub whiten: bool,
    /// Compare descriptors by their angle instead of their distance.
    #[arg(long, conflicts_with = "prototypes")]
    pub cosine: bool,
    /// Use the memberships of a tile in prototypes as its descriptor, one prototype for each number.
    #[arg(long)]
    pub prototypes: bool,
    /// With prototypes: number of principal components in which tiles are compared with them.
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = super::count(1, 100_000))]
    pub components: usize,
    /// With prototypes: how strongly the nearest prototypes outweigh the others, above 0.
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0)]
    pub sharpness: f64,
    /// Reduce what differs between neighbouring tiles, which mostly show the same tissue. Descriptors are compared by
    /// their angle.
    #[arg(long, conflicts_with_all = ["prototypes", "whiten"])]
    pub neighbourhoods: bool,
    /// With neighbourhoods: tiles whose centres are nearer than this are neighbours, in µm.
    #[arg(long, value_name = "UM", default_value_t = 500.0)]
    pub within_um: f64,
    /// With neighbourhoods: number of varied views of each tile, moved and in other sizes, directions and amounts of
    /// stain, such as 3. What differs between them is reduced as well, as in the default encoder. The network looks at
    /// each view, so that fitting takes as many times longer.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, requires = "knows_views", value_parser = clap::value_parser!(u32).range(..=32))]
    pub views: u32,
    /// Choose the readout by labels, as `evaluate` takes them: each kind (principal components, neighbourhoods and
    /// prototypes, with angle or distance where that matters) is judged on labelled tiles of patients that it was not
    /// fitted to, by P@5 across patients. The best one is fitted to all slides.
    #[arg(long, value_name = "FILE or FOLDER", conflicts_with_all = ["prototypes", "neighbourhoods", "whiten", "cosine"])]
    pub labels: Option<PathBuf>,
    /// What labels mean for tiles and patients.
    #[command(flatten)]
    pub labelling: LabelOptions,
    /// Whether tiles are stain-normalised, for fitting and whenever the encoder is used [default: lab, and none
    /// for vision transformers].
    #[arg(long, value_enum)]
    pub stain: Option<StainArg>,
    /// An option of earlier versions.
    #[arg(long, hide = true)]
    pub stain_switch: bool,
    /// Use the features as they are instead of the square roots of their shares (Hellinger).
    #[arg(long)]
    pub plain_features: bool,
    /// Maximum number of tissue tiles to fit to per slide, chosen at random.
    #[arg(long, value_name = "TILES", default_value_t = 400, value_parser = super::count(1, 10_000_000))]
    pub tiles_per_slide: usize,
    /// Seed of that choice.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where the backbone runs: auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Pixel size of the slides in µm, overriding the one in the files: M or MX,MY.
    #[arg(long, value_name = "UM", value_parser = super::parse_mpp)]
    pub slide_mpp: Option<MicronsPerPixel>,
    /// Write one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// How tiles are stain-normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StainArg {
    /// Match the colours of a reference.
    Lab,
    /// Keep original colours.
    None,
}

impl From<StainArg> for StainSetting {
    fn from(stain: StainArg) -> Self {
        match stain {
            StainArg::Lab => Self::Lab,
            StainArg::None => Self::None,
        }
    }
}

/// Runs `histokin fit-model`.
///
/// # Errors
/// As [`run`].
pub fn run_and_print(args: &FitModelArgs) -> anyhow::Result<()> {
    let made = run(args)?;
    if args.json {
        return super::print_json(&made);
    }
    let number = |key: &str| made[key].as_u64().unwrap_or_default();
    let slides = made["slides"].as_array().map_or(0, Vec::len);
    let folder = made["folder"].as_str().unwrap_or_default();
    outln!(
        "{}: descriptors of {} numbers, fitted to {} of {}, in {folder}",
        args.name,
        number("width"),
        counted(number("tiles"), "tile"),
        counted(slides as u64, "slide")
    );
    outln!("To use it: histokin embed PROJECT SLIDE… --encoder {folder}");
    Ok(())
}

/// Fits and writes the model; returns a summary for the user.
///
/// # Errors
/// When a slide cannot be read or has no pixel size, the weights do not fit the backbone, or there are too
/// few tiles; when this build has no libtorch, which computes the fit.
pub fn run(args: &FitModelArgs) -> anyhow::Result<serde_json::Value> {
    #[cfg(feature = "torch")]
    return fitting::run(args);
    #[cfg(not(feature = "torch"))]
    {
        let _ = args;
        Err(crate::encoder::EncoderError::NeedsTorch { what: "fitting an encoder" }.into())
    }
}
