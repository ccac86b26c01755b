//! `histokin embed`: embed the tissue of slides into a project.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::progress::EmbedBar;
use crate::descriptors::Recipe;
use crate::encoder::{self, DeviceChoice, Encoder};
use crate::geometry::MicronsPerPixel;
use crate::pipeline::{EmbedControl, EmbedOutcome, EmbedSettings, embed_slide, find_slides};
use crate::project::{Project, ProjectSettings};
use crate::slide;
use crate::stain::StainSetting;
use crate::tiling::TileSettings;

#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// The project's folder, made when it is not there.
    project: PathBuf,
    /// Slides or folders of slides; none means those of the project.
    slides: Vec<PathBuf>,
    /// Name of a model, path of a model folder, or TorchScript file [default: the project's].
    #[arg(long)]
    encoder: Option<String>,
    /// Edge of a tile in pixels [default: that of the encoder named here, else the project's].
    #[arg(long)]
    tile_px: Option<u32>,
    /// Resolution of the tiles in µm per pixel [default: that of the encoder named here, else the project's].
    #[arg(long)]
    mpp: Option<f64>,
    /// Pixel size of the slides in µm, in place of their own: M or MX,MY.
    #[arg(long, value_parser = super::parse_mpp)]
    slide_mpp: Option<MicronsPerPixel>,
    /// Stain normalisation [default: the project's, else lab].
    #[arg(long)]
    stain: Option<StainArg>,
    /// Where the encoder runs: auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Tiles that the encoder is given at once.
    #[arg(long, default_value_t = EmbedSettings::default().batch)]
    batch: usize,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StainArg {
    Lab,
    None,
}

pub fn run(args: &EmbedArgs) -> anyhow::Result<()> {
    let mut project = Project::open_or_create(&args.project)?;
    let settings = settings(args, project.settings())?;
    project.set_settings(settings.clone());

    let which = settings.encoder.as_deref().unwrap_or(encoder::DEFAULT);
    let mut encoder = encoder::load(which, args.device)?;
    let spec = encoder.spec();
    let recipe = Recipe {
        encoder_id: spec.id.clone(),
        encoder_name: spec.name.clone(),
        tiles: settings.tiles,
        stain: settings.stain,
    };
    let paths = if args.slides.is_empty() {
        project.slides().iter().map(|entry| project.slide_path(entry)).collect()
    } else {
        find_slides(&args.slides)
    };
    if paths.is_empty() {
        bail!("no slides to embed: name slides or folders behind the project");
    }
    let mut slides = Vec::new();
    let mut troubles = 0;
    for path in &paths {
        match embed(path, args, &mut project, &recipe, encoder.as_mut()) {
            Ok(done) => {
                troubles += usize::from(done["tiles_failed"] != 0);
                slides.push(done);
            }
            Err(error) => {
                eprintln!("{error:#}");
                troubles += 1;
            }
        }
    }
    if args.json {
        super::print_json(&json!({
            "encoder_id": recipe.encoder_id,
            "device": encoder.device(),
            "slides": slides,
        }))?;
    }
    if troubles > 0 {
        bail!("{troubles} of {} slides were not embedded completely", paths.len());
    }
    Ok(())
}

fn settings(args: &EmbedArgs, kept: &ProjectSettings) -> anyhow::Result<ProjectSettings> {
    // An encoder that is named now sees the tiles that it was made for, unless others are asked for.
    let usual = match &args.encoder {
        Some(which) => encoder::spec(which)?.tiles,
        None => kept.tiles,
    };
    let tiles =
        TileSettings { tile_px: args.tile_px.unwrap_or(usual.tile_px), mpp: args.mpp.unwrap_or(usual.mpp) };
    if !(16..=4096).contains(&tiles.tile_px) {
        bail!("--tile-px {}: give 16 to 4096 pixels", tiles.tile_px);
    }
    if !MicronsPerPixel::square(tiles.mpp).is_plausible() {
        bail!("--mpp {}: give µm per pixel, such as 1.0", tiles.mpp);
    }
    let stain = match args.stain {
        Some(StainArg::Lab) => StainSetting::Lab,
        Some(StainArg::None) => StainSetting::None,
        None => kept.stain,
    };
    Ok(ProjectSettings { encoder: args.encoder.clone().or_else(|| kept.encoder.clone()), tiles, stain })
}

fn embed(
    path: &Path,
    args: &EmbedArgs,
    project: &mut Project,
    recipe: &Recipe,
    encoder: &mut dyn Encoder,
) -> anyhow::Result<Value> {
    let mut source = slide::open(path, args.slide_mpp)?;
    if args.slide_mpp.is_none()
        && let Some(mpp) = project.user_mpp(&source.info().id)
    {
        source = slide::open(path, Some(mpp))?;
    }
    let info = source.info();
    project.add_slide(info);
    if let Some(mpp) = args.slide_mpp {
        project.set_user_mpp(&info.id, mpp);
    }
    project.save()?;

    let started = Instant::now();
    let bar = EmbedBar::new(info.name());
    let settings = EmbedSettings { batch: args.batch.clamp(1, 1024), ..EmbedSettings::default() };
    let outcome = embed_slide(
        source.as_ref(),
        None,
        encoder,
        recipe,
        &project.descriptors(),
        settings,
        &EmbedControl::default(),
        &mut |progress| bar.show(progress),
    );
    bar.finish();
    let EmbedOutcome::Finished { summary, .. } = outcome? else {
        bail!("{}: stopped before all tiles were done", path.display());
    };
    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "{}: {} tissue tiles of {} in {seconds:.1} s{}",
        info.name(),
        summary.tiles_tissue,
        summary.tiles_grid,
        if summary.tiles_failed > 0 {
            format!(", {} could not be read", summary.tiles_failed)
        } else {
            String::new()
        }
    );
    let descriptors = summary
        .descriptors
        .strip_prefix(project.root())
        .context("descriptors lie in the project's folder")?
        .to_owned();
    Ok(json!({
        "slide_id": info.id,
        "path": info.path,
        "tiles_grid": summary.tiles_grid,
        "tiles_tissue": summary.tiles_tissue,
        "tiles_failed": summary.tiles_failed,
        "seconds": seconds,
        "descriptors": descriptors,
    }))
}
