//! The fit of `histokin fit-model`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::json;

use super::FitModelArgs;
use super::views::{self, read_varied};
use crate::encoder::backbones::BackboneKind;
use crate::encoder::engine::Engine;
use crate::encoder::fitting::{Fitted, PcaFit, gather_weights, write_model};
use crate::encoder::model::{About, Crops, ModelFile, Preprocessing};
use crate::encoder::neighbourhoods::{NeighbourhoodFit, NeighbourhoodSettings, SlideTiles};
use crate::encoder::prototypes::{PrototypeFit, PrototypeSettings};
use crate::encoder::readout::{FeatureScaling, HeadOutput};
use crate::encoder::{self, DescriptorBatch, Encoder, EncoderError, EncoderSpec};
use crate::geometry::MicronsPerPixel;
use crate::paths;
use crate::slide::{self, SlideSource};
use crate::stain::{LabNormaliser, LabStatistics, StainSetting};
use crate::tiling::{TileGrid, TileIndex, TileSettings, read_tile};
use crate::tissue::{TissueMask, selection};

/// Number of tiles per call of the encoder.
const BATCH: usize = 16;

/// A slide to fit on, and the tiles chosen from it.
struct Source {
    slide: Arc<dyn SlideSource>,
    grid: TileGrid,
    tiles: Vec<TileIndex>,
    statistics: LabStatistics,
}

/// Fits and writes the model, as [`super::run`] does.
///
/// # Errors
/// As [`super::run`].
pub(super) fn run(args: &FitModelArgs) -> anyhow::Result<serde_json::Value> {
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
    let folder = args.models.join(&args.name);
    let published = published(args)?;
    let backbone = published.backbone;
    let count = backbone.block_widths().len();
    ensure!(
        args.blocks.iter().all(|block| *block < count) && args.blocks.is_sorted_by(|a, b| a < b),
        "{backbone} has blocks 0 to {}: give some of them in ascending order",
        count - 1
    );
    let is_vit = matches!(backbone, BackboneKind::Vit(_));
    ensure!(
        !is_vit || args.weights.len() == 1 && !args.copy_weights && args.blocks.is_empty(),
        "a vision transformer takes one weights file, which stays where it is; leave out --copy-weights and --blocks"
    );
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
    let settings = crops.as_ref().map_or(published.preprocessing.tiles(), Crops::tiles);
    let mut random = ChaCha8Rng::seed_from_u64(args.seed);
    let sources = args
        .slides
        .iter()
        .map(|path| choose_tiles(path, settings, args, &mut random))
        .collect::<anyhow::Result<Vec<_>>>()?;

    // Paths are relative to the model's folder, which may not exist yet.
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let weights = match &args.weights[..] {
        [_] if !args.copy_weights => relative_weights(&published.weights, &args.models)?,
        all => gather_weights(backbone, all, &folder)?,
    };
    let mut file = ModelFile {
        name: args.name.clone(),
        backbone,
        weights,
        blocks: args.blocks.clone(),
        // Earlier blocks and transformers have negative outputs, and prototypes scale the features in their own way.
        feature_scaling: match args.plain_features
            || is_vit
            || args.prototypes
            || args.neighbourhoods
            || !args.blocks.is_empty()
        {
            true => FeatureScaling::None,
            false => FeatureScaling::Hellinger,
        },
        head: None,
        hidden: None,
        output: HeadOutput::Linear,
        stain_switch: None,
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
    };
    let mut pooled = encoder::load_embedded(file.clone(), &folder, args.device, Engine::Torch)?;
    let (width, device) = (pooled.spec().width, pooled.device());
    // Apart from the choice of tiles, so that this does not depend on views.
    let mut random = ChaCha8Rng::seed_from_u64(args.seed);
    random.set_stream(1);
    let mut each = |add: &mut dyn FnMut(SlideTiles) -> Result<(), EncoderError>| -> anyhow::Result<()> {
        for source in &sources {
            tracing::info!("{}: {} tiles", source.slide.info().name(), source.tiles.len());
            add(described(source, pooled.as_mut(), args.views, &mut random)?)?;
        }
        Ok(())
    };
    // All take slide after slide.
    let fitted = if args.neighbourhoods {
        file.preprocessing.l2_normalise = true;
        let settings =
            NeighbourhoodSettings { within_um: args.within_um, ..NeighbourhoodSettings::new(args.width) };
        let mut fit = NeighbourhoodFit::new(width, settings)?;
        each(&mut |slide| fit.add(&slide))?;
        fit.head()?
    } else if args.prototypes {
        file.output = HeadOutput::Memberships;
        let components = args.components.min(width);
        let settings =
            PrototypeSettings { count: args.width, components, sharpness: args.sharpness, seed: args.seed };
        let mut fit = PrototypeFit::new(width, settings)?;
        each(&mut |slide| fit.add(&slide.features))?;
        fit.head()?
    } else {
        file.preprocessing.l2_normalise = args.cosine;
        let mut fit = PcaFit::new(width)?;
        each(&mut |slide| fit.add(&slide.features))?;
        fit.head(args.width, args.whiten)?
    };
    file.head = Some("head.safetensors".into());
    write_model(&folder, &file, &fitted.head, &card(args, &file, &sources, &fitted))?;
    let spec = encoder::spec(&folder.to_string_lossy())?;
    Ok(json!({
        "name": file.name,
        "folder": paths::shown(&folder),
        "encoder_id": spec.id,
        "width": spec.width,
        "features": width,
        "crops": file.crops.as_ref().map(|crops| &crops.um_per_px),
        "explained_variance": fitted.explained,
        "device": device,
        "tiles": sources.iter().map(|source| source.tiles.len()).sum::<usize>(),
        "views": args.views,
        "slides": sources.iter().map(|source| json!({
            "path": paths::shown(&source.slide.info().path),
            "slide_id": source.slide.info().id,
            "tiles": source.tiles.len(),
        })).collect::<Vec<_>>(),
    }))
}

/// The backbone and the preprocessing that its weights are made for.
fn published(args: &FitModelArgs) -> anyhow::Result<ModelFile> {
    let which = args.weights.first().context("give the weights of the backbone (--weights)")?;
    if !which.exists() {
        return Err(EncoderError::WeightsMissing { path: which.clone() }.into());
    }
    let found = encoder::describe(&which.to_string_lossy())?.file;
    if let Some(wanted) = args.backbone {
        ensure!(
            wanted == found.backbone,
            "{}: these are the weights of {}, not of {wanted}",
            which.display(),
            found.backbone
        );
    }
    if matches!(found.backbone, BackboneKind::Vit(_)) {
        return Ok(found);
    }
    let (input_mean, input_std) = found.backbone.input_statistics();
    let preprocessing = Preprocessing { input_mean, input_std, ..Preprocessing::default() };
    Ok(ModelFile { crops: None, preprocessing, ..found })
}

fn choose_tiles(
    path: &Path,
    settings: TileSettings,
    args: &FitModelArgs,
    random: &mut ChaCha8Rng,
) -> anyhow::Result<Source> {
    let slide = slide::open(path, None)?;
    let settings = match slide.info().mpp {
        // How much neighbours differ depends on how much tissue a tile covers.
        Some(mpp) if args.neighbourhoods => of_same_field(settings, mpp),
        _ => settings,
    };
    let grid = TileGrid::new(slide.info(), settings)?;
    let tissue = TissueMask::of(slide.as_ref())?;
    let statistics = LabStatistics::of_slide(slide.as_ref())?
        .with_context(|| format!("{}: there is no tissue to fit on", path.display()))?;
    let of_tissue: Vec<TileIndex> = selection::tiles(&tissue, &grid, &tissue.settings);
    let most = args.tiles_per_slide;
    let mut tiles: Vec<TileIndex> =
        rand::seq::index::sample(random, of_tissue.len(), most.min(of_tissue.len()))
            .into_iter()
            .map(|index| of_tissue[index])
            .collect();
    // Neighbouring tiles share compressed blocks of the file, so reading them in order is faster.
    tiles.sort();
    Ok(Source { slide, grid, tiles, statistics })
}

/// Tiles as wide in µm as `settings` have them, of fewer pixels on a slide that is coarser.
fn of_same_field(settings: TileSettings, slide: MicronsPerPixel) -> TileSettings {
    /// Networks halve a tile five times.
    const FEWEST: u32 = 32;
    let mpp = settings.mpp.max(slide.mean());
    let tile_px = (f64::from(settings.tile_px) * settings.mpp / mpp).round() as u32;
    TileSettings { tile_px: tile_px.max(FEWEST), mpp }
}

/// What the network says of the chosen tiles of a slide, and of `views` varied views of each.
fn described(
    source: &Source,
    encoder: &mut dyn Encoder,
    views: u32,
    random: &mut ChaCha8Rng,
) -> anyhow::Result<SlideTiles> {
    let EncoderSpec { stain, stain_reference, width, .. } = encoder.spec().clone();
    let normaliser =
        (stain == StainSetting::Lab).then(|| LabNormaliser::new(source.statistics, stain_reference));
    let (slide, edge) = (source.slide.as_ref(), source.grid.tile_px);
    let mut features = DescriptorBatch { values: Vec::new(), width };
    let mut varied = vec![features.clone(); views as usize];
    for batch in source.tiles.chunks(BATCH) {
        let plain = |tile: &TileIndex| {
            let mut picture = read_tile(slide, &source.grid.rect(*tile), edge)?;
            if let Some(normaliser) = &normaliser {
                normaliser.apply(&mut picture);
            }
            anyhow::Ok(picture)
        };
        let pictures = batch.iter().map(plain).collect::<anyhow::Result<Vec<_>>>()?;
        features.values.extend(encoder.encode(&pictures)?.values);
        for (number, varied) in (0..).zip(&mut varied) {
            let view = |tile: &TileIndex| {
                read_varied(slide, &source.grid.rect(*tile), edge, normaliser.as_ref(), number, random)
            };
            let pictures = batch.iter().map(view).collect::<Result<Vec<_>, _>>()?;
            varied.values.extend(encoder.encode(&pictures)?.values);
        }
    }
    // There is one: no grid is laid on a slide without a pixel size.
    let mpp = slide.info().mpp.with_context(|| slide.info().path.display().to_string())?;
    let middle = |tile: &TileIndex| {
        let middle = source.grid.rect(*tile).center();
        [middle.x * mpp.x(), middle.y * mpp.y()]
    };
    let middles_um = source.tiles.iter().map(middle).collect();
    Ok(SlideTiles { features, middles_um, varied })
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
    let mut features = match &file.blocks[..] {
        [] => "Pooled features".to_owned(),
        blocks => format!("Pooled features after the blocks {blocks:?}"),
    };
    if let Some(Crops { px, um_per_px }) = &file.crops {
        let _ = write!(features, " of views of {px} px at {um_per_px:?} µm/px, concatenated,");
    }
    let reduced = match file.output {
        HeadOutput::Linear if args.neighbourhoods => {
            let (whitened, between) = match args.views {
                0 => ("half-whitened", String::new()),
                views => ("whitened", format!(" and, counting the same, between {}", varied_views(views))),
            };
            format!(
                "{whitened} by their covariance within neighbourhoods (tiles of a slide nearer than {} µm){between}, and \
                 reduced from {} to {} numbers, scaled to length 1, by a principal component analysis that keeps",
                args.within_um, fitted.head.inputs, fitted.head.outputs
            )
        }
        HeadOutput::Linear => format!(
            "reduced from {} to {} numbers by a principal component analysis{whitened} that keeps",
            fitted.head.inputs, fitted.head.outputs
        ),
        HeadOutput::Memberships => format!(
            "{} numbers, each brought to unit variance, and from them the membership in {} prototypes (sharpness {}) \
             in {} principal components that keep",
            fitted.head.inputs,
            fitted.head.outputs,
            args.sharpness,
            args.components.min(fitted.head.inputs)
        ),
    };
    let paths: Vec<String> = args.weights.iter().map(|path| path.display().to_string()).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{features} of {} with {}the weights {}{scaled}, {reduced} {:.1} % of their variance.\n\n\
         Fitted on {} tissue tiles of {} px at {} µm/px (or the slide's own resolution where that is coarser), \
         {}{}, at most {} a slide, seed {}, of:\n",
        file.backbone,
        if paths.len() > 1 { "the mean of " } else { "" },
        paths.join(", "),
        100.0 * fitted.explained,
        sources.iter().map(|source| source.tiles.len()).sum::<usize>(),
        file.preprocessing.tile_px,
        file.preprocessing.mpp,
        if file.preprocessing.stain == StainSetting::Lab {
            "stain-normalised"
        } else {
            "in their original colours"
        },
        if args.neighbourhoods { ", covering as much tissue on coarser slides by fewer pixels" } else { "" },
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

/// How views of a tile vary, in words.
fn varied_views(views: u32) -> String {
    let percent = views::STAIN.map(|share| f64::from(share) * 100.0);
    format!(
        "a tile and {views} varied view{} of it (moved by up to {:.0} % of its edge, {:.2} to {:.2} times as large, flipped, \
         turned, the amounts of stains scaled by up to {:.0} or {:.0} %)",
        if views == 1 { "" } else { "s" },
        100.0 * views::MOVE,
        1.0 / views::SIZE,
        views::SIZE,
        percent[0],
        percent[1],
    )
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
    fn coarser_slides_get_fewer_pixels_of_the_same_field() {
        let settings = TileSettings { tile_px: 224, mpp: 1.0 };
        let on = |mpp: f64| of_same_field(settings, MicronsPerPixel::square(mpp).unwrap());
        assert_eq!(on(2.0), TileSettings { tile_px: 112, mpp: 2.0 });
        assert_eq!(on(2.5), TileSettings { tile_px: 90, mpp: 2.5 });
        assert_eq!(on(0.25), settings);
        assert_eq!(on(30.0).tile_px, 32);
    }

    #[test]
    fn the_reference_averages_means_and_variances() {
        let slide = |mean: f32, std: f32| LabStatistics { mean: [mean; 3], std: [std; 3] };
        let reference = average([slide(60.0, 1.0), slide(80.0, 7.0)].into_iter());
        assert_eq!(reference, slide(70.0, 5.0));
    }
}
