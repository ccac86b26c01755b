//! `histokin embed`: computes descriptors of slides' tissue tiles and stores them in a project.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::fit_model::StainArg;
use super::progress::EmbedBar;
use super::tissue_options::TissueOptions;
use crate::descriptors::Recipe;
use crate::encoder::{self, DeviceChoice, Encoder};
use crate::geometry::MicronsPerPixel;
use crate::number_format::{counted, grouped};
use crate::paths;
use crate::pipeline::{EmbedControl, EmbedOutcome, EmbedRequest, EmbedSettings, TileSelection, embed_slide};
use crate::platform;
use crate::project::{Project, ProjectSettings};
use crate::slide::calibration::SlideWarning;
use crate::slide::{self, SlideSource};
use crate::stain::StainSetting;
use crate::tiling::TileSettings;
use crate::tissue::selection::Surface;

/// Options of `histokin embed`.
#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// The project folder, created if it does not exist.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Slides or folders of slides [default: the slides of the project].
    #[arg(value_name = "SLIDE or FOLDER")]
    slides: Vec<PathBuf>,
    /// Name of an encoder, or path of its folder, its weights (.safetensors, .bin, .pth) or a TorchScript file
    /// [default: the project's encoder].
    #[arg(long, value_name = "ENCODER")]
    encoder: Option<String>,
    /// Edge length of a tile in pixels, 16 to 4096 [default: that of the encoder given here, else the project's].
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(16..=4096))]
    tile_px: Option<u32>,
    /// Spacing of the tiles in µm per pixel [default: that of the encoder given here, else the project's].
    #[arg(long, value_name = "UM")]
    mpp: Option<f64>,
    /// Pixel size of the slides in µm, overriding the one in the files: M or MX,MY.
    #[arg(long, value_name = "UM", value_parser = super::parse_mpp)]
    slide_mpp: Option<MicronsPerPixel>,
    /// Stain normalisation for encoders that were made on normalised slides; others see the slide's original colours
    /// [default: the project's, else lab].
    #[arg(long)]
    stain: Option<StainArg>,
    /// Where the encoder runs: auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
    /// Embed only share I of N (1/N to N/N) of the slides, to split the work over several jobs. Slides are
    /// sorted by path and distributed in turn; give every job the same list of slides. The jobs may share one
    /// project or use separate ones. To merge separate projects, copy their files into one folder and check
    /// it with `index --verify`.
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    shard: Option<Shard>,
    /// Number of tiles that the encoder takes at once, 1 to 1024.
    #[arg(long, value_name = "TILES", default_value_t = EmbedSettings::default().batch, value_parser = super::count(1, 1024))]
    batch: usize,
    /// Do not store the colour histogram of the tiles. It is the baseline of `evaluate`, which reads the slides
    /// once more without it, and takes 512 bytes a tile.
    #[arg(long)]
    no_baseline: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tissue: TissueOptions,
}

/// One of several equal shares of the slides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard {
    /// 0 to `count - 1`.
    index: usize,
    /// Number of shares.
    count: usize,
}

impl Shard {
    /// Returns the paths of this share. The shares are disjoint and together contain every path.
    fn take(self, mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
        paths.sort();
        paths.dedup();
        paths.into_iter().skip(self.index).step_by(self.count).collect()
    }
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let number = |text: &str| text.parse::<usize>().ok();
    let parts = text.split_once('/').and_then(|(rank, count)| Some((number(rank)?, number(count)?)));
    match parts {
        Some((rank, count)) if (1..=count).contains(&rank) => Ok(Shard { index: rank - 1, count }),
        _ => Err("give I/N with I from 1 to N, such as 3/16".to_owned()),
    }
}

/// Runs `histokin embed`.
///
/// # Errors
/// When the project or the encoder cannot be used, or a slide was not embedded completely.
pub fn run(args: &EmbedArgs) -> anyhow::Result<()> {
    if args.slides.is_empty() && !Project::is_project(&args.project) {
        bail!("{}: not a project; give slides or folders after it to create one", args.project.display());
    }
    let given = super::slides_in(&args.slides)?;
    // An encoder or slides that cannot be used leave no empty project.
    let is_new = !Project::is_project(&args.project);
    let loaded = is_new.then(|| encoder_of_new_project(args, &given)).transpose()?;
    // Jobs that share the work write concurrently, but never to the same file.
    let mut project = match args.shard {
        Some(_) => Project::open_or_create(&args.project)?,
        None => Project::open_to_write(&args.project)?,
    };
    project.require_writable()?;
    project.store_computed_levels();
    let settings = settings(args, project.settings())?;
    project.set_settings(settings.clone());
    if args.shard.is_some() {
        project.save_settings()?;
    }

    if project.has_former_default() {
        noteln!("{}", encoder::newer_default(args.project.display(), &project.encoder_name()));
    }
    let mut encoder = match loaded {
        Some(encoder) => encoder,
        None => encoder::load(&project.encoder_name(), args.device)?,
    };
    let recipe = project.recipe(encoder.spec());
    if matches!(args.stain, Some(StainArg::Lab)) && recipe.stain == StainSetting::None {
        noteln!(
            "{} works on original colours, so stain normalisation does not apply to it",
            recipe.encoder_name
        );
    }
    let paths = if args.slides.is_empty() {
        project.slides().iter().map(|entry| project.slide_path(entry)).collect()
    } else {
        given
    };
    if paths.is_empty() {
        bail!("no slides to embed: give slides or folders after the project");
    }
    let paths = match args.shard {
        Some(shard) => shard.take(paths),
        None => paths,
    };
    let control = Arc::new(EmbedControl::default());
    let stopped = control.clone();
    platform::on_end_request(move || stopped.stop()).context("cannot install a handler for Ctrl-C")?;
    let mut slides = Vec::new();
    let mut failures = 0;
    for path in &paths {
        let outcome = embed(path, args, &mut project, &recipe, encoder.as_mut(), &control);
        if control.is_stopped() && outcome.is_err() {
            bail!("{}: stopped; finished tiles are kept, run the same command to continue", path.display());
        }
        match outcome {
            Ok(done) => {
                failures += usize::from(done["tiles_failed"] != 0);
                slides.push(done);
            }
            Err(error) => {
                noteln!("{}", super::in_words(&error));
                failures += 1;
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
    if failures > 0 {
        bail!("{failures} of {} not embedded completely", counted(paths.len() as u64, "slide"));
    }
    Ok(())
}

/// Returns the encoder of a project that is about to be created for `slides`.
fn encoder_of_new_project(args: &EmbedArgs, slides: &[PathBuf]) -> anyhow::Result<Box<dyn Encoder>> {
    settings(args, &ProjectSettings::default())?;
    let mut reasons = Vec::new();
    let can_be_opened = |path: &PathBuf| {
        slide::open(path, args.slide_mpp).map_err(|error| reasons.push(error.to_string())).is_ok()
    };
    if !slides.iter().any(can_be_opened) {
        reasons.iter().for_each(|reason| noteln!("{reason}"));
        bail!("none of the slides can be opened, so {} was not created", args.project.display());
    }
    Ok(encoder::load(args.encoder.as_deref().unwrap_or(encoder::DEFAULT), args.device)?)
}

fn settings(args: &EmbedArgs, kept: &ProjectSettings) -> anyhow::Result<ProjectSettings> {
    // An encoder given now gets the tiles that it was made for, unless options set others.
    let usual = match &args.encoder {
        Some(which) => encoder::spec(which)?.tiles,
        None => kept.tiles,
    };
    let tiles =
        TileSettings { tile_px: args.tile_px.unwrap_or(usual.tile_px), mpp: args.mpp.unwrap_or(usual.mpp) };
    if !(16..=4096).contains(&tiles.tile_px) {
        bail!("--tile-px {}: give 16 to 4096 pixels", tiles.tile_px);
    }
    if MicronsPerPixel::square(tiles.mpp).is_err() {
        bail!("--mpp {}: give µm per pixel, such as 1.0", tiles.mpp);
    }
    let stain = args.stain.map_or(kept.stain, StainSetting::from);
    let encoder = args.encoder.clone().or_else(|| kept.encoder.clone());
    let keeps_encoder = args.encoder.is_some() || kept.keeps_encoder;
    Ok(ProjectSettings { encoder, keeps_encoder, tiles, stain, tissue: args.tissue.apply(&kept.tissue) })
}

/// Opens a slide with its pixel size and lists it in the project; also returns what was noted about that.
fn open_listed(
    path: &Path,
    args: &EmbedArgs,
    project: &mut Project,
) -> anyhow::Result<(Arc<dyn SlideSource>, Vec<String>)> {
    let mut source = slide::open(path, args.slide_mpp)?;
    let notes = project.add_or_update(source.info());
    notes.iter().for_each(|note| noteln!("{note}"));
    if args.slide_mpp.is_none()
        && let Some(mpp) = project.user_mpp(&source.info().id)
    {
        source = slide::open(path, Some(mpp))?;
    }
    let info = source.info();
    if args.shard.is_some() {
        // Other jobs write the list of slides too.
        project.note_slide(info, args.slide_mpp.or(project.user_mpp(&info.id)))?;
    } else {
        if let Some(mpp) = args.slide_mpp {
            project.set_user_mpp(&info.id, mpp);
        }
        project.save()?;
    }
    Ok((source, notes))
}

/// Embeds one slide; returns what is reported of it.
fn embed(
    path: &Path,
    args: &EmbedArgs,
    project: &mut Project,
    recipe: &Recipe,
    encoder: &mut dyn Encoder,
    control: &EmbedControl,
) -> anyhow::Result<Value> {
    let (source, notes) = open_listed(path, args, project)?;
    let info = source.info();
    for line in super::warning_lines(info) {
        noteln!("{}: {line}", info.name());
    }
    let started = Instant::now();
    let bar = EmbedBar::new(info.name());
    let settings =
        EmbedSettings { batch: args.batch, baseline: !args.no_baseline, ..EmbedSettings::default() };
    let selection = TileSelection::of_slide(project, &info.id)?;
    let request = EmbedRequest {
        slide: source.as_ref(),
        selection: &selection,
        tissue: None,
        recipe,
        store: &project.descriptors(),
        settings,
    };
    let outcome = embed_slide(&request, encoder, control, &mut |progress| bar.show(progress));
    bar.finish();
    let EmbedOutcome::Finished { summary, .. } = outcome? else {
        bail!("{}: stopped before all tiles were done", path.display());
    };
    let seconds = started.elapsed().as_secs_f64();
    let text = format!(
        "{}: {} of {} in the grid, in {seconds:.1} s{}{}",
        info.name(),
        counted(summary.tiles_tissue.into(), "tissue tile"),
        grouped(summary.tiles_grid.into()),
        match summary.tiles_kept {
            0 => String::new(),
            kept => format!(", {kept} of them embedded earlier"),
        },
        if summary.tiles_failed > 0 {
            format!(", {} could not be read", summary.tiles_failed)
        } else {
            String::new()
        }
    );
    // Beside a JSON document it is a message.
    if args.json {
        noteln!("{text}")
    } else {
        outln!("{text}")
    }
    let no_tiles = summary.no_tiles.as_ref().map(|why| why.advice(Surface::CommandLine));
    if let Some(why) = &no_tiles {
        noteln!("{}: warning: no tiles to embed: {why}", info.name());
    }
    let descriptors = summary
        .descriptors
        .strip_prefix(project.root())
        .context("the descriptors are not in the project folder")?
        .to_owned();
    let mut done = json!({
        "slide_id": info.id,
        "tiles_grid": summary.tiles_grid,
        "tiles_tissue": summary.tiles_tissue,
        "tiles_failed": summary.tiles_failed,
        "tiles_kept": summary.tiles_kept,
        "no_tiles": no_tiles,
        "seconds": seconds,
        "descriptors": paths::shown(&descriptors),
        "warnings": info.warnings.iter().map(SlideWarning::text).collect::<Vec<_>>(),
        "notes": notes,
    });
    paths::put(&mut done, "path", &info.path);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_all_slides_each_once_whatever_their_order() {
        let slides: Vec<PathBuf> = (0..23).map(|number| PathBuf::from(format!("{number:02}.svs"))).collect();
        let shuffled: Vec<PathBuf> = slides.iter().rev().chain(&slides[..3]).cloned().collect();
        let share = |index: usize| Shard { index, count: 4 }.take(shuffled.clone());
        let sizes: Vec<usize> = (0..4).map(|index| share(index).len()).collect();
        assert_eq!(sizes, [6, 6, 6, 5]);
        let mut all: Vec<PathBuf> = (0..4).flat_map(share).collect();
        all.sort();
        assert_eq!(all, slides);
        assert_eq!(parse_shard("3/16"), Ok(Shard { index: 2, count: 16 }));
        for wrong in ["0/4", "5/4", "1/0", "1", "a/b", "-1/4"] {
            assert!(parse_shard(wrong).is_err(), "{wrong}");
        }
    }
}
