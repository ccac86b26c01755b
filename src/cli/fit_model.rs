//! `histokin fit-model`: makes an encoder from a backbone's published weights, without training: its head is
//! a principal component analysis of the features on tissue, or prototypes found among them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::json;

use super::choice::choice;
use crate::encoder::backbones::BackboneKind;
use crate::encoder::fitting::{Fitted, fit_pca_head, gather_weights, write_model};
use crate::encoder::model::{ModelFile, Preprocessing};
use crate::encoder::prototypes::{PrototypeSettings, fit_prototype_head};
use crate::encoder::readout::{FeatureScaling, HeadOutput};
use crate::encoder::stain_switch::{self, add_switch};
use crate::encoder::{self, DescriptorBatch, DeviceChoice, Encoder};
use crate::paths;
use crate::slide::{self, SlideSource};
use crate::stain::{LabNormaliser, LabStatistics};
use crate::tiling::{TileGrid, TileIndex, TileSettings, read_tile};
use crate::tissue::{TissueMask, selection};

/// Number of tiles per call of the encoder.
const BATCH: usize = 16;

/// Options of `histokin fit-model`.
#[derive(Debug, Clone, clap::Args)]
pub struct FitModelArgs {
    /// Slides to whose tissue the encoder is fitted
    #[arg(required = true)]
    pub slides: Vec<PathBuf>,
    /// Name of the new model and of its folder
    #[arg(long)]
    pub name: String,
    /// The backbone
    #[arg(long, value_parser = choice::<BackboneKind>(), default_value = "mobilenet_v2")]
    pub backbone: BackboneKind,
    /// Weights of the backbone (safetensors): published ones, or those of a trained encoder, whose head is
    /// ignored. Given several times, their mean is used
    #[arg(long, default_value = "models/weights/mobilenet_v2.safetensors")]
    pub weights: Vec<PathBuf>,
    /// Copy the weights into the model's folder, as 16-bit numbers, to make it self-contained. The mean of
    /// several weights is always copied
    #[arg(long)]
    pub copy_weights: bool,
    /// Folder of models in which the new model is created
    #[arg(long, default_value = "models")]
    pub models: PathBuf,
    /// Length of a descriptor
    #[arg(long, default_value_t = 128)]
    pub width: usize,
    /// Blocks of the backbone whose outputs form the features, counted from 0, such as 13,16 [default: the
    /// last block]
    #[arg(long, value_delimiter = ',')]
    pub blocks: Vec<usize>,
    /// Scale all components to unit variance, so that each contributes equally to distances
    #[arg(long, conflicts_with = "prototypes")]
    pub whiten: bool,
    /// Use the memberships of a tile in prototypes as its descriptor, one prototype for each number
    #[arg(long)]
    pub prototypes: bool,
    /// With prototypes: number of principal components in which tiles are compared with them
    #[arg(long, default_value_t = 64)]
    pub components: usize,
    /// With prototypes: how strongly the nearest prototypes outweigh the others, above 0
    #[arg(long, default_value_t = 1.0)]
    pub sharpness: f64,
    /// With prototypes: the last number of a descriptor states whether the tile is dense with nuclei
    #[arg(long, requires = "prototypes")]
    pub stain_switch: bool,
    /// Use the features as they are instead of the square roots of their shares (Hellinger)
    #[arg(long)]
    pub plain_features: bool,
    /// Maximum number of tissue tiles per slide, chosen at random
    #[arg(long, default_value_t = 400)]
    pub tiles_per_slide: usize,
    /// Seed of that choice
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where the backbone runs: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
}

/// A slide to fit on, and the tiles chosen from it.
struct Source {
    slide: Arc<dyn SlideSource>,
    grid: TileGrid,
    tiles: Vec<TileIndex>,
    statistics: LabStatistics,
}

/// Fits and writes the model; returns a summary for the user.
///
/// # Errors
/// When a slide cannot be read or has no pixel size, the weights do not fit the backbone, or there are too
/// few tiles.
pub fn run(args: &FitModelArgs) -> anyhow::Result<serde_json::Value> {
    let is_plain_name = Path::new(&args.name).components().count() == 1 && !args.name.starts_with('.');
    if !is_plain_name || !args.name.is_ascii() {
        bail!("{:?} is not a valid model name: use ASCII letters, digits and dashes", args.name);
    }
    let count = args.backbone.block_widths().len();
    ensure!(
        args.blocks.iter().all(|block| *block < count) && args.blocks.is_sorted_by(|a, b| a < b),
        "{} has blocks 0 to {}: give some of them in ascending order",
        args.backbone,
        count - 1
    );
    ensure!(
        args.width > usize::from(args.stain_switch),
        "--width is too small: there would be no prototypes"
    );
    ensure!(args.sharpness.is_finite() && args.sharpness > 0.0, "--sharpness must be a number above 0");
    let folder = args.models.join(&args.name);
    let settings = TileSettings::default();
    let mut random = ChaCha8Rng::seed_from_u64(args.seed);
    let sources = args
        .slides
        .iter()
        .map(|path| choose_tiles(path, settings, args.tiles_per_slide, &mut random))
        .collect::<anyhow::Result<Vec<_>>>()?;

    let (input_mean, input_std) = args.backbone.input_statistics();
    // Paths are relative to the model's folder, which may not exist yet.
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let weights = match &args.weights[..] {
        [one] if !args.copy_weights => relative_weights(one, &args.models)?,
        all => gather_weights(args.backbone, all, &folder)?,
    };
    let mut file = ModelFile {
        name: args.name.clone(),
        backbone: args.backbone,
        weights,
        blocks: args.blocks.clone(),
        // Earlier blocks have negative outputs, and prototypes scale the features in their own way.
        feature_scaling: match args.plain_features || args.prototypes || !args.blocks.is_empty() {
            true => FeatureScaling::None,
            false => FeatureScaling::Hellinger,
        },
        head: None,
        output: HeadOutput::Linear,
        stain_switch: args.stain_switch.then_some(stain_switch::HEIGHT),
        preprocessing: Preprocessing {
            tile_px: settings.tile_px,
            mpp: settings.mpp,
            input_mean,
            input_std,
            l2_normalise: false,
            stain_reference: average(sources.iter().map(|source| source.statistics)),
        },
    };
    let mut pooled = encoder::load_embedded(file.clone(), &folder, args.device)?;
    let mut features = DescriptorBatch { values: Vec::new(), width: pooled.spec().width };
    for source in &sources {
        tracing::info!("{}: {} tiles", source.slide.info().name(), source.tiles.len());
        features.values.extend(encode_tiles(source, pooled.as_mut())?);
    }

    let fitted = if args.prototypes {
        file.output = HeadOutput::Memberships;
        let of_network = args.backbone.width_of(&args.blocks);
        let count = args.width - usize::from(args.stain_switch);
        let components = args.components.min(of_network);
        let settings = PrototypeSettings { count, components, sharpness: args.sharpness, seed: args.seed };
        let fitted = fit_prototype_head(&features.first(of_network), &settings)?;
        if args.stain_switch { add_switch(fitted, &features)? } else { fitted }
    } else {
        fit_pca_head(&features, args.width, args.whiten)?
    };
    file.head = Some("head.safetensors".into());
    write_model(&folder, &file, &fitted.head, &card(args, &file, &sources, &fitted))?;
    let spec = encoder::spec(&folder.to_string_lossy())?;
    Ok(json!({
        "name": file.name,
        "folder": paths::shown(&folder),
        "encoder_id": spec.id,
        "width": spec.width,
        "features": features.width,
        "explained_variance": fitted.explained,
        "device": pooled.device(),
        "tiles": features.rows().len(),
        "slides": sources.iter().map(|source| json!({
            "path": paths::shown(&source.slide.info().path),
            "slide_id": source.slide.info().id,
            "tiles": source.tiles.len(),
        })).collect::<Vec<_>>(),
    }))
}

fn choose_tiles(
    path: &Path,
    settings: TileSettings,
    most: usize,
    random: &mut ChaCha8Rng,
) -> anyhow::Result<Source> {
    let slide = slide::open(path, None)?;
    let grid = TileGrid::new(slide.info(), settings)?;
    let tissue = TissueMask::of(slide.as_ref())?;
    let statistics = LabStatistics::of_slide(slide.as_ref())?
        .with_context(|| format!("{}: there is no tissue to fit on", path.display()))?;
    let of_tissue: Vec<TileIndex> = selection::tiles(&tissue, &grid, &tissue.settings);
    let mut tiles: Vec<TileIndex> =
        rand::seq::index::sample(random, of_tissue.len(), most.min(of_tissue.len()))
            .into_iter()
            .map(|index| of_tissue[index])
            .collect();
    // Neighbouring tiles share compressed blocks of the file, so reading them in order is faster.
    tiles.sort();
    Ok(Source { slide, grid, tiles, statistics })
}

fn encode_tiles(source: &Source, encoder: &mut dyn Encoder) -> anyhow::Result<Vec<f32>> {
    let normaliser = LabNormaliser::new(source.statistics, encoder.spec().stain_reference);
    let mut values = Vec::new();
    for batch in source.tiles.chunks(BATCH) {
        let read = |tile: &TileIndex| {
            let mut picture =
                read_tile(source.slide.as_ref(), &source.grid.rect(*tile), source.grid.tile_px)?;
            normaliser.apply(&mut picture);
            anyhow::Ok(picture)
        };
        let pictures = batch.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        values.extend(encoder.encode(&pictures)?.values);
    }
    Ok(values)
}

/// Returns the mean of the means, and the standard deviation whose square is the mean of the variances. Every
/// slide has the same weight, independent of the amount of tissue.
fn average(statistics: impl ExactSizeIterator<Item = LabStatistics>) -> LabStatistics {
    let count = statistics.len() as f32;
    let (mut mean, mut variance) = ([0.0_f32; 3], [0.0_f32; 3]);
    for of_slide in statistics {
        for channel in 0..3 {
            mean[channel] += of_slide.mean[channel] / count;
            variance[channel] += of_slide.std[channel].powi(2) / count;
        }
    }
    LabStatistics { mean, std: variance.map(f32::sqrt) }
}

/// Path of the weights as stored in a model file: relative to the model's folder for weights inside the
/// folder of models, so that both can be moved together; absolute otherwise.
fn relative_weights(weights: &Path, models: &Path) -> anyhow::Result<PathBuf> {
    match weights.strip_prefix(models) {
        Ok(inside) => Ok(Path::new("..").join(inside)),
        Err(_) => std::path::absolute(weights).with_context(|| weights.display().to_string()),
    }
}

fn card(args: &FitModelArgs, file: &ModelFile, sources: &[Source], fitted: &Fitted) -> String {
    use std::fmt::Write;
    let mut text = format!("# {}\n\n", file.name);
    let scaled = match file.feature_scaling {
        FeatureScaling::None => "",
        FeatureScaling::Hellinger => ", scaled to the square roots of their shares (Hellinger)",
    };
    let whitened = if args.whiten { ", whitened" } else { "" };
    let features = match &file.blocks[..] {
        [] => "Pooled features".to_owned(),
        blocks => format!("Pooled features after the blocks {blocks:?}"),
    };
    let of_network = args.backbone.width_of(&args.blocks);
    let switched = match file.stain_switch {
        None => String::new(),
        Some(height) => format!(" and, as the last number, a stain switch (height {height})"),
    };
    let reduced = match file.output {
        HeadOutput::Linear => format!(
            "reduced from {} to {} numbers by a principal component analysis{whitened} that keeps",
            fitted.head.inputs, fitted.head.outputs
        ),
        HeadOutput::Memberships => format!(
            "{} numbers, each brought to unit variance, and from them the membership in {} prototypes (sharpness {}) \
             in {} principal components that keep",
            of_network,
            fitted.head.outputs - usize::from(args.stain_switch),
            args.sharpness,
            args.components.min(of_network)
        ),
    };
    let paths: Vec<String> = args.weights.iter().map(|path| path.display().to_string()).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{features} of {} with {}the weights {}{scaled}, {reduced} {:.1} % of their variance{switched}.\n\n\
         Fitted on {} tissue tiles of {} px at {} µm/px (or the slide's own resolution where that is coarser), \
         stain-normalised, at most {} a slide, seed {}, of:\n",
        file.backbone,
        if paths.len() > 1 { "the mean of " } else { "" },
        paths.join(", "),
        100.0 * fitted.explained,
        sources.iter().map(|source| source.tiles.len()).sum::<usize>(),
        file.preprocessing.tile_px,
        file.preprocessing.mpp,
        args.tiles_per_slide,
        args.seed,
    );
    for source in sources {
        let _ = writeln!(
            text,
            "- {} ({} tiles, {:.2} µm/px)",
            source.slide.info().name(),
            source.tiles.len(),
            source.grid.effective_mpp
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_beside_the_models_are_named_relative() {
        let relative =
            relative_weights(Path::new("models/weights/w.safetensors"), Path::new("models")).unwrap();
        assert_eq!(relative, Path::new("../weights/w.safetensors"));
        let elsewhere = relative_weights(Path::new("/data/w.safetensors"), Path::new("models")).unwrap();
        assert_eq!(elsewhere, Path::new("/data/w.safetensors"));
    }

    #[test]
    fn the_reference_averages_means_and_variances() {
        let slide = |mean: f32, std: f32| LabStatistics { mean: [mean; 3], std: [std; 3] };
        let reference = average([slide(60.0, 1.0), slide(80.0, 7.0)].into_iter());
        assert_eq!(reference, slide(70.0, 5.0));
    }
}
