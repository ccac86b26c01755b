//! The fit of `histokin fit-model`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::json;

use super::super::progress::ShareBar;
use super::FitModelArgs;
use super::card::card;
use super::choosing::{self, Judging, options};
use super::sources::{self, Source};
use crate::encoder::backbones::BackboneKind;
use crate::encoder::engine::Engine;
use crate::encoder::fitting::{Fitted, gather_weights, write_model};
use crate::encoder::model::{About, Crops, ModelFile, Preprocessing};
use crate::encoder::neighbourhoods::SlideTiles;
use crate::encoder::readout_kind::{ReadoutFit, ReadoutKind, ReadoutSettings};
use crate::encoder::{self, Encoder, EncoderError};
use crate::evaluation::readout_choice::{KeptFeatures, ReadoutChoice, Readouts};
use crate::paths;
use crate::stain::{LabStatistics, StainSetting};

/// Fits and writes the model, as [`super::run`] does.
///
/// # Errors
/// As [`super::run`].
pub(super) fn run(args: &FitModelArgs) -> anyhow::Result<serde_json::Value> {
    check(args)?;
    let args = &FitModelArgs { weights: weights_of(args)?, ..args.clone() };
    let folder = args.models.join(&args.name);
    let published = published(args)?;
    let backbone = published.backbone;
    check_backbone(args, backbone)?;
    let crops = crops(args, &published)?;
    let settings = crops.as_ref().map_or(published.preprocessing.tiles(), Crops::tiles);
    let slides = sources::open(&args.slides, args.slide_mpp)?;
    let labels = args.labels.as_ref().map(|path| choosing::read_labels(path, &slides)).transpose()?;
    let sources = sources::sources(args, slides, settings, labels.as_ref())?;
    let judging = labels.as_ref().map(|labels| Judging::of(args, labels, &sources)).transpose()?;

    // Paths are relative to the model's folder, which may not exist yet.
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let weights = match &args.weights[..] {
        [_] if !args.copy_weights => relative_weights(&published.weights, &args.models)?,
        all => gather_weights(backbone, all, &folder)?,
    };
    let mut file = ModelFile {
        blocks: args.blocks.clone(),
        crops,
        about: About {
            purpose: format!("tissue as on the {} slides that it was fitted to", sources.len()),
            ..published.about
        },
        preprocessing: Preprocessing {
            tile_px: settings.tile_px,
            mpp: settings.mpp,
            // Not yet: the head is fitted on features as they are.
            l2_normalise: false,
            stain: args.stain.map_or(published.preprocessing.stain, StainSetting::from),
            stain_reference: average(sources.iter().map(|source| source.statistics)),
            ..published.preprocessing
        },
        ..ModelFile::of_backbone(&args.name, backbone, weights)
    };
    let readout = match &judging {
        None => fitted_as_asked(args, &mut file, &folder, &sources)?,
        Some(judging) => fitted_as_judged(args, &mut file, &folder, &sources, judging)?,
    };
    let FittedReadout { kind, fitted, inputs, device, choice } = readout;
    kind.describe(&mut file, &readout_settings(args));
    file.head = Some("head.safetensors".into());
    let chosen = judging.as_ref().zip(choice.as_ref()).map(|(judging, choice)| judging.in_card(choice));
    let card = card(args, &file, &sources, kind, &fitted, chosen.as_deref());
    write_model(&folder, &file, &fitted.head, &card)?;
    let spec = encoder::spec(&folder.to_string_lossy())?;
    Ok(json!({
        "name": file.name,
        "folder": paths::shown(&folder),
        "encoder_id": spec.id,
        "width": spec.width,
        "features": inputs,
        "crops": file.crops.as_ref().map(|crops| &crops.um_per_px),
        "readout": options(kind),
        "explained_variance": fitted.explained,
        "device": device,
        "tiles": sources.iter().map(|source| source.tiles.len()).sum::<usize>(),
        "views": args.views,
        "slides": sources.iter().map(|source| json!({
            "path": paths::shown(&source.slide.info().path),
            "slide_id": source.slide.info().id,
            "tiles": source.tiles.len(),
        })).collect::<Vec<_>>(),
        "choice": judging.as_ref().zip(choice.as_ref()).map(|(judging, choice)| judging.json(choice)),
    }))
}

/// Checks the options that can be checked without reading a file.
fn check(args: &FitModelArgs) -> anyhow::Result<()> {
    let is_plain_name = paths::portable_stem(&args.name) == args.name && !args.name.starts_with('.');
    // Windows drops points and spaces at the end of a folder's name.
    if !is_plain_name || !args.name.is_ascii() || args.name.ends_with(['.', ' ']) {
        bail!("{:?} is not a valid model name: use ASCII letters, digits and dashes", args.name);
    }
    ensure!(
        !args.stain_switch,
        "--stain-switch is no longer supported: it raised the ADDR and worsened retrieval (see the card of \
         tissue-and-nuclei); encoders that have a stain switch still work. Leave out --stain-switch"
    );
    ensure!(args.within_um.is_finite() && args.within_um > 0.0, "--within-um must be a number above 0");
    ensure!(args.sharpness.is_finite() && args.sharpness > 0.0, "--sharpness must be a number above 0");
    ensure!(
        args.labels.is_some() || args.labelling.patients.is_none() && !args.labelling.some_slides,
        "--patient-list and --some-slides say what --labels mean; give these, or leave them out"
    );
    Ok(())
}

/// Checks the options that depend on the backbone.
fn check_backbone(args: &FitModelArgs, backbone: BackboneKind) -> anyhow::Result<()> {
    let count = backbone.block_widths().len();
    ensure!(
        args.blocks.iter().all(|block| *block < count) && args.blocks.is_sorted_by(|a, b| a < b),
        "{} has blocks 0 to {}: give some of them in ascending order",
        backbone.shown_name(),
        count - 1
    );
    let is_vit = matches!(backbone, BackboneKind::Vit(_));
    ensure!(
        !is_vit || args.weights.len() == 1 && !args.copy_weights && args.blocks.is_empty(),
        "a vision transformer takes one weights file, which stays where it is; leave out --copy-weights and --blocks"
    );
    Ok(())
}

/// Returns the views of a tile: those asked for, or else those of the encoder whose weights are used.
fn crops(args: &FitModelArgs, published: &ModelFile) -> anyhow::Result<Option<Crops>> {
    let crops = match &args.crops[..] {
        // Those of an encoder that sees several views already.
        [] => published.crops.clone(),
        spacings => {
            let px = published.crops.as_ref().map_or(published.preprocessing.tile_px, |own| own.px);
            Some(Crops { px, um_per_px: spacings.to_vec() })
        }
    };
    if let Some(crops) = &crops {
        crops.check().map_err(anyhow::Error::msg)?;
    }
    Ok(crops)
}

/// A readout that was fitted to all slides.
struct FittedReadout {
    kind: ReadoutKind,
    fitted: Fitted,
    /// Number of features of a tile.
    inputs: usize,
    /// Name of the device on which the network ran.
    device: String,
    /// How it was chosen, if it was.
    choice: Option<ReadoutChoice>,
}

/// Fits the readout that the options ask for, while the network looks at slide after slide.
fn fitted_as_asked(
    args: &FitModelArgs,
    file: &mut ModelFile,
    folder: &Path,
    sources: &[Source],
) -> anyhow::Result<FittedReadout> {
    let (kind, settings) = (kind(args), readout_settings(args));
    file.feature_scaling = kind.scaling(file.backbone, &file.blocks, &settings);
    let mut pooled = encoder::load_embedded(file.clone(), folder, args.device, Engine::Torch)?;
    let (inputs, device) = (pooled.spec().width, pooled.device());
    let mut fit = ReadoutFit::new(kind, inputs, &settings)?;
    each_slide(args, sources, pooled.as_mut(), |_, _, tiles| Ok(fit.add(&tiles)?))?;
    Ok(FittedReadout { kind, fitted: fit.head(kind, &settings)?, inputs, device, choice: None })
}

/// Keeps what the network says of all slides, judges each kind of readout by labels, and fits the best to all slides.
fn fitted_as_judged(
    args: &FitModelArgs,
    file: &mut ModelFile,
    folder: &Path,
    sources: &[Source],
    judging: &Judging,
) -> anyhow::Result<FittedReadout> {
    let mut pooled = encoder::load_embedded(file.clone(), folder, args.device, Engine::Torch)?;
    let (inputs, device) = (pooled.spec().width, pooled.device());
    // Beside the model, since folders for temporary files may be in memory.
    let mut kept = KeptFeatures::new(folder, inputs)?;
    each_slide(args, sources, pooled.as_mut(), |source, encoder, tiles| {
        let judged = source.described_judged(encoder, &tiles.features)?;
        Ok(kept.add(&tiles, &judged)?)
    })?;
    drop(pooled);
    let mut readouts = Readouts { kept, file, settings: readout_settings(args) };
    let choice = judging.choose(args, &mut readouts)?;
    let kind = choice.readouts[choice.best].kind;
    let fitted = readouts.fit_to_all(kind, &mut |_, _| true)?;
    file.about.purpose += &format!("; {}", judging.in_words(&choice));
    Ok(FittedReadout { kind, fitted, inputs, device, choice: Some(choice) })
}

/// Passes on each slide with what the network says of its tiles.
fn each_slide(
    args: &FitModelArgs,
    sources: &[Source],
    encoder: &mut dyn Encoder,
    mut add: impl FnMut(&Source, &mut dyn Encoder, SlideTiles) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // Apart from the choice of tiles, so that this does not depend on views.
    let mut random = ChaCha8Rng::seed_from_u64(args.seed);
    random.set_stream(1);
    let bar = ShareBar::new(&*args.name);
    let all = sources.iter().map(|source| source.tiles.len()).sum::<usize>().max(1);
    let mut done = 0;
    for source in sources {
        let name = source.slide.info().name();
        tracing::info!("{name}: {} tiles", source.tiles.len());
        let tiles = source.described(encoder, args.views, &mut random, &mut |tiles| {
            bar.show((done + tiles) as f64 / all as f64, &name);
        })?;
        done += source.tiles.len();
        add(source, encoder, tiles)?;
    }
    bar.finish();
    Ok(())
}

/// The kind of readout that the options ask for.
fn kind(args: &FitModelArgs) -> ReadoutKind {
    match (args.neighbourhoods, args.prototypes) {
        (true, _) => ReadoutKind::Neighbourhoods { views: args.views },
        (false, true) => ReadoutKind::Prototypes,
        (false, false) => ReadoutKind::Pca { whiten: args.whiten, cosine: args.cosine },
    }
}

fn readout_settings(args: &FitModelArgs) -> ReadoutSettings {
    let FitModelArgs { width, within_um, components, sharpness, seed, plain_features, .. } = *args;
    ReadoutSettings { width, within_um, components, sharpness, seed, plain_features }
}

/// The weights that the options name; by default those of MobileNetV2, from the folder of models or as they ship.
fn weights_of(args: &FitModelArgs) -> anyhow::Result<Vec<PathBuf>> {
    /// Where they lie in a folder of models.
    const PLACE: &str = "weights/mobilenet_v2.safetensors";

    if !args.weights.is_empty() {
        return Ok(args.weights.clone());
    }
    let beside = args.models.join(PLACE);
    if beside.is_file() {
        return Ok(vec![beside]);
    }
    let shipped = encoder::available().into_iter().find(|model| model.name == encoder::DEFAULT);
    let models = shipped.as_ref().and_then(|model| model.folder.parent());
    Ok(vec![models.context("give the weights of the backbone (--weights)")?.join(PLACE)])
}

/// The backbone and the preprocessing that its weights are made for.
fn published(args: &FitModelArgs) -> anyhow::Result<ModelFile> {
    let which = args.weights.first().context("give the weights of the backbone (--weights)")?;
    if !which.exists() {
        return Err(EncoderError::WeightsMissing { path: which.clone() }.into());
    }
    let found = encoder::describe(&which.to_string_lossy())?.file;
    found.check_single().map_err(anyhow::Error::msg)?;
    if let Some(wanted) = args.backbone {
        ensure!(
            wanted == found.backbone,
            "{}: these are the weights of {}, not of {}",
            which.display(),
            found.backbone.shown_name(),
            wanted.shown_name()
        );
    }
    if matches!(found.backbone, BackboneKind::Vit(_)) {
        return Ok(found);
    }
    let (input_mean, input_std) = found.backbone.input_statistics();
    let preprocessing = Preprocessing { input_mean, input_std, ..Preprocessing::default() };
    Ok(ModelFile { crops: None, preprocessing, ..found })
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
}
