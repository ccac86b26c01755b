//! `histokin train`: trains an encoder on slides, without labels.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::choice::choice;
use super::progress::TrainingBar;
use crate::encoder::DeviceChoice;
use crate::encoder::backbones::BackboneKind;
use crate::encoder::trainable::{Depth, HeadKind};
use crate::geometry::MicronsPerPixel;
use crate::number_format::counted;
use crate::paths;
use crate::platform;
use crate::project::Project;
use crate::slide::{self, SlideSource};
use crate::training::config::{JudgedBy, LossKind, Method, Preset, SlidesWithoutFarPairs, TrainingConfig};
use crate::training::fields::help_of;
use crate::training::run::{Run, RunSlide};
use crate::training::slides::TrainingSlide;
use crate::training::{
    Control, Outcome, Setup, TrainingError, check_available, judged_pairs, labels, speed, train,
};

/// Help text on settings that are not given.
const ABOUT_DEFAULTS: &str = "Settings that are not given are those of the preset or of the settings file; `histokin train \
    --print-config` lists them with their values.";

/// Returns the explanation of a setting as the help of its option, which ends without a full stop as all others do.
fn option_help(name: &str) -> &'static str {
    help_of(name).trim_end_matches('.')
}

/// Options of `histokin train`.
#[derive(Debug, Args)]
#[command(after_help = ABOUT_DEFAULTS)]
pub struct TrainArgs {
    /// The project folder, created if it does not exist. The run is stored in it.
    #[arg(required_unless_present = "print_config", value_parser = super::project_folder())]
    project: Option<PathBuf>,
    /// Slides or folders of slides to train on [default: the slides of the project].
    #[arg(value_name = "SLIDE or FOLDER")]
    slides: Vec<PathBuf>,
    /// TOML file with all settings; options on the command line override it. See --print-config.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Preset of settings to start from, if no file is given [default: this_computer].
    #[arg(long, value_parser = choice::<Preset>(), conflicts_with = "config")]
    preset: Option<Preset>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// How long the training lasts, in minutes. Its steps and validations follow from the speed of this computer,
    /// which is measured first. Overrides --steps.
    #[arg(long, value_parser = parse_minutes, conflicts_with = "resume")]
    minutes: Option<f64>,
    /// Slides or folders of slides to validate on; they are not used for training.
    #[arg(long, value_name = "SLIDE or FOLDER", num_args = 1..)]
    validate: Vec<PathBuf>,
    /// Pixel size of the slides in µm, overriding the one in the files: M or MX,MY.
    #[arg(long, value_name = "UM", value_parser = super::parse_mpp)]
    slide_mpp: Option<MicronsPerPixel>,
    /// Where the training runs: auto, cpu, cuda or cuda:N, or cuda-half or cuda-half:N for mixed precision.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
    /// Number of threads that read pairs of tiles [default: depends on the number of CPU cores].
    #[arg(long, value_name = "NUMBER", value_parser = super::count(1, 1024))]
    threads: Option<usize>,
    /// Resume a stopped run of the project, given its ID, with its own settings and slides.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["slides", "config", "preset", "validate"])]
    resume: Option<String>,
    /// File for the trained encoder (.safetensors) [default: in the run's folder].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the settings as a TOML file with explanations, without training.
    #[arg(long)]
    print_config: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// Individual settings; each corresponds to the field of the same name in the settings file.
#[derive(Debug, Default, Args)]
struct SettingsArgs {
    #[arg(long, value_parser = choice::<Method>(), help = option_help("method"))]
    method: Option<Method>,
    #[arg(long, value_parser = choice::<LossKind>(), help = option_help("loss"))]
    loss: Option<LossKind>,
    #[arg(long, value_parser = choice::<BackboneKind>(), help = option_help("backbone"))]
    backbone: Option<BackboneKind>,
    #[arg(long, value_name = "ENCODER", help = option_help("init"))]
    init: Option<String>,
    #[arg(long, value_parser = choice::<HeadKind>(), help = option_help("head"))]
    head: Option<HeadKind>,
    #[arg(long, value_name = "NUMBER", help = option_help("width"))]
    width: Option<usize>,
    #[arg(long, help = option_help("depth"))]
    depth: Option<Depth>,
    #[arg(long, value_name = "BOOLEAN", help = option_help("batch_statistics"))]
    batch_statistics: Option<bool>,
    #[arg(long, value_name = "PX", help = option_help("tile_px"))]
    tile_px: Option<u32>,
    #[arg(long, value_name = "UM", help = option_help("mpp"))]
    mpp: Option<f64>,
    #[arg(long, value_name = "MM", help = option_help("near_mm"))]
    near_mm: Option<f64>,
    #[arg(long, value_name = "MM", help = option_help("far_mm"))]
    far_mm: Option<f64>,
    #[arg(long, value_parser = choice::<SlidesWithoutFarPairs>(), value_name = "USE", help = option_help("without_far"))]
    without_far: Option<SlidesWithoutFarPairs>,
    #[arg(long, value_name = "SLIDES", help = option_help("slides_per_batch"))]
    slides_per_batch: Option<usize>,
    #[arg(long, value_name = "DISTANCE", help = option_help("margin"))]
    margin: Option<f64>,
    #[arg(long, alias = "spread", value_name = "WEIGHT", help = option_help("anti_collapse"))]
    anti_collapse: Option<f64>,
    #[arg(long, alias = "keep", value_name = "WEIGHT", help = option_help("anchor"))]
    anchor: Option<f64>,
    #[arg(long, value_name = "NUMBER", help = option_help("temperature"))]
    temperature: Option<f64>,
    #[arg(long, value_name = "STEPS", help = option_help("steps"))]
    steps: Option<u64>,
    #[arg(long, value_name = "NUMBER", help = option_help("batch"))]
    batch: Option<usize>,
    #[arg(long, value_name = "RATE", help = option_help("lr"))]
    lr: Option<f64>,
    #[arg(long, help = option_help("seed"))]
    seed: Option<u64>,
    #[arg(long, value_name = "STEPS", help = option_help("validate_every"))]
    validate_every: Option<u64>,
    #[arg(long, value_name = "TILES", help = option_help("validation_tiles"))]
    validation_tiles: Option<usize>,
    #[arg(long, value_name = "FILE or FOLDER", help = option_help("labels"))]
    labels: Option<String>,
    #[arg(long, value_parser = choice::<JudgedBy>(), value_name = "MEASURE", help = option_help("judged_by"))]
    judged_by: Option<JudgedBy>,
    #[arg(long, alias = "patience", value_name = "NUMBER", help = option_help("early_stopping"))]
    early_stopping: Option<usize>,
    #[arg(long, value_name = "STEPS", help = option_help("checkpoint_every"))]
    checkpoint_every: Option<u64>,
    #[arg(long, value_name = "MB", help = option_help("tile_cache_mb"))]
    tile_cache_mb: Option<u64>,
    #[arg(long, value_name = "VIEWS", help = option_help("kept_views"))]
    kept_views: Option<usize>,
    #[arg(long, value_name = "MB", help = option_help("kept_features_mb"))]
    kept_features_mb: Option<u64>,
}

impl SettingsArgs {
    fn apply(&self, config: &mut TrainingConfig) {
        fn set<T: Clone>(field: &mut T, given: &Option<T>) {
            if let Some(value) = given {
                *field = value.clone();
            }
        }
        set(&mut config.method, &self.method);
        set(&mut config.loss, &self.loss);
        set(&mut config.backbone, &self.backbone);
        set(&mut config.init, &self.init);
        set(&mut config.head, &self.head);
        set(&mut config.width, &self.width);
        set(&mut config.depth, &self.depth);
        set(&mut config.batch_statistics, &self.batch_statistics);
        set(&mut config.tile_px, &self.tile_px);
        set(&mut config.mpp, &self.mpp);
        set(&mut config.near_mm, &self.near_mm);
        set(&mut config.far_mm, &self.far_mm);
        set(&mut config.without_far, &self.without_far);
        set(&mut config.slides_per_batch, &self.slides_per_batch);
        set(&mut config.margin, &self.margin);
        set(&mut config.anti_collapse, &self.anti_collapse);
        set(&mut config.anchor, &self.anchor);
        set(&mut config.temperature, &self.temperature);
        set(&mut config.steps, &self.steps);
        set(&mut config.batch, &self.batch);
        set(&mut config.lr, &self.lr);
        set(&mut config.seed, &self.seed);
        set(&mut config.validate_every, &self.validate_every);
        set(&mut config.validation_tiles, &self.validation_tiles);
        set(&mut config.labels, &self.labels);
        set(&mut config.judged_by, &self.judged_by);
        set(&mut config.early_stopping, &self.early_stopping);
        set(&mut config.checkpoint_every, &self.checkpoint_every);
        set(&mut config.tile_cache_mb, &self.tile_cache_mb);
        set(&mut config.kept_views, &self.kept_views);
        set(&mut config.kept_features_mb, &self.kept_features_mb);
    }
}

fn parse_minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if (0.1..=100_000.0).contains(&minutes) => Ok(minutes),
        _ => Err("give minutes, such as 10".to_owned()),
    }
}

/// Runs `histokin train`.
///
/// # Errors
/// When settings or slides cannot be used, the training fails, or the user stops it.
pub fn run(args: &TrainArgs) -> anyhow::Result<()> {
    if args.print_config {
        out!("{}", config(args)?.to_toml());
        return Ok(());
    }
    check_available()?;
    let root = args.project.as_deref().context("give the project folder")?;
    let mut project = Project::open_to_write(root)?;
    project.store_computed_levels();
    let (run, slides, mut validation) = match &args.resume {
        Some(which) => resume(&project, which)?,
        None => begin(args, &mut project)?,
    };
    let run_id = run.card.id.clone();
    let model = args.output.clone().unwrap_or_else(|| run.model());
    if let Some(folder) = model.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let name = match &args.output {
        Some(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        None => run_id.clone(),
    };
    let labelled = labels::apply(project.root(), &run.config.labels, &mut validation);
    let labelled = match labelled {
        Err(error) if args.resume.is_none() => return Err(discard(run, error).into()),
        other => other?,
    };
    if labelled > 0 {
        let labelled = counted(labelled as u64, "labelled tile");
        noteln!("{run_id}: {labelled} on the validation slides; retrieval is measured");
    }
    let judged_pairs = judged_pairs::read(run.folder(), &slides)?;
    if !judged_pairs.is_empty() {
        noteln!(
            "{run_id}: also training on {} from your judgements and concepts",
            counted(judged_pairs.len() as u64, "pair")
        );
    }
    let setup = Setup {
        slides,
        validation,
        judged_pairs,
        device: args.device,
        threads: args.threads.unwrap_or_else(loader_threads),
        resume: args.resume.is_some(),
        model: model.clone(),
        model_name: name,
        run,
    };
    let control = Arc::new(Control::default());
    let stopped = control.clone();
    platform::on_end_request(move || stopped.stop()).context("cannot install a handler for Ctrl-C")?;
    let bar = TrainingBar::new(run_id.clone());
    let outcome = train(setup, &control, &mut |progress| bar.show(progress));
    bar.finish();
    let outcome = outcome.with_context(|| format!("run {run_id}"))?;
    if args.output.is_some() && outcome.encoder.is_some() {
        Run::find(project.root(), &run_id)?.write_card(&model)?;
    }
    if args.json {
        super::print_json(&report(&run_id, &model, &outcome))?;
    }
    let Some((id, step)) = &outcome.encoder else {
        bail!(
            "{run_id}: stopped at step {}; continue with `histokin train {} --resume {run_id}`",
            outcome.steps,
            root.display()
        );
    };
    if !args.json {
        outln!(
            "{run_id}: encoder {} of step {step} in {} ({:.0} s, {:.1} pairs/s)",
            id.short(),
            model.display(),
            outcome.seconds,
            outcome.pairs_per_second
        );
        outln!("To use it: histokin embed {} --encoder {}", root.display(), model.display());
    }
    Ok(())
}

/// Deletes the folder of a run that failed before it began; returns the error to report.
fn discard(run: Run, error: TrainingError) -> TrainingError {
    match run.delete() {
        Ok(()) => error,
        Err(deletion) => deletion,
    }
}

/// Default number of threads that read pairs. Reading and augmenting a pair takes a fraction of a training
/// step, so few threads keep up with it.
fn loader_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2).min(16)
}

fn config(args: &TrainArgs) -> anyhow::Result<TrainingConfig> {
    let mut config = match &args.config {
        Some(path) => TrainingConfig::read(path)?,
        None => args.preset.unwrap_or(Preset::ThisComputer).config(),
    };
    args.settings.apply(&mut config);
    config.check()?;
    Ok(config)
}

/// A run with its training and validation slides.
type Prepared = (Run, Vec<TrainingSlide>, Vec<TrainingSlide>);

fn begin(args: &TrainArgs, project: &mut Project) -> anyhow::Result<Prepared> {
    let mut config = config(args)?;
    config.settle()?;
    if args.minutes.is_some() && config.kept_views > 0 {
        bail!(
            "--minutes does not apply to training from kept features, whose steps take milliseconds: leave it out, \
             and give the number of steps with --steps"
        );
    }
    let held_out: Vec<PathBuf> = super::slides_in(&named(project, &args.validate))?;
    let paths: Vec<PathBuf> = if args.slides.is_empty() {
        project.slides().iter().map(|entry| project.slide_path(entry)).collect()
    } else {
        super::slides_in(&named(project, &args.slides))?
    };
    let mut known = Vec::new();
    let mut prepare = |paths: &[PathBuf], validation: bool, left_out: &[slide::SlideId]| {
        let mut prepared = Vec::new();
        for path in paths {
            let source = open(path, args.slide_mpp, project)?;
            if left_out.contains(&source.info().id) {
                continue;
            }
            let slide = TrainingSlide::prepare(source, config.tiles(), None)?;
            let info = slide.source.info();
            project.add_or_update(info).iter().for_each(|note| noteln!("{note}"));
            if let Some(mpp) = args.slide_mpp {
                project.set_user_mpp(&info.id, mpp);
            }
            known.push(RunSlide { id: info.id.clone(), path: info.path.clone(), validation });
            prepared.push(slide);
        }
        anyhow::Ok(prepared)
    };
    let validation = prepare(&held_out, true, &[])?;
    let held_out: Vec<slide::SlideId> =
        validation.iter().map(|slide| slide.source.info().id.clone()).collect();
    let slides = prepare(&paths, false, &held_out)?;
    if slides.is_empty() {
        bail!(
            "no slides to train on: give training slides after the project, in addition to those to validate on"
        );
    }
    project.save()?;
    if let Some(minutes) = args.minutes {
        let (threads, control) = (args.threads.unwrap_or_else(loader_threads), Control::default());
        let measured =
            speed::seconds_per_step(project.root(), &config, slides.clone(), args.device, threads, &control)?
                .context("the speed of training was not measured")?;
        config.fit_into(60.0 * minutes, measured, validation.len());
        noteln!("{} steps fit into {minutes} minutes, at {measured:.2} s a step", config.steps);
    }
    Ok((Run::create(project.root(), config, known)?, slides, validation))
}

fn resume(project: &Project, which: &str) -> anyhow::Result<Prepared> {
    let run = Run::find(project.root(), which)?;
    let (mut slides, mut validation) = (Vec::new(), Vec::new());
    for known in &run.card.slides {
        let source = open(&known.path, None, project)?;
        if !source.info().has_id(&known.id) {
            bail!("{}: not the slide that the run was trained on; restore that slide", known.path.display());
        }
        let slide = TrainingSlide::prepare(source, run.config.tiles(), None)?;
        if known.validation { validation.push(slide) } else { slides.push(slide) }
    }
    Ok((run, slides, validation))
}

/// Replaces names and IDs of the project's slides by their paths; existing paths stay as they are.
fn named(project: &Project, given: &[PathBuf]) -> Vec<PathBuf> {
    let of_project = |path: &Path| {
        let entry = project.find_slide(path.to_str()?).ok()?;
        Some(project.slide_path(entry))
    };
    given
        .iter()
        .map(
            |path| {
                if path.exists() { path.clone() } else { of_project(path).unwrap_or_else(|| path.clone()) }
            },
        )
        .collect()
}

/// Opens a slide with the pixel size given now, else the one stored in the project, else its own.
fn open(
    path: &Path,
    given: Option<MicronsPerPixel>,
    project: &Project,
) -> Result<Arc<dyn SlideSource>, slide::SlideError> {
    let source = slide::open(path, given)?;
    match project.user_mpp_of(source.info()).filter(|_| given.is_none()) {
        Some(mpp) => slide::open(path, Some(mpp)),
        None => Ok(source),
    }
}

fn report(run_id: &str, model: &Path, outcome: &Outcome) -> Value {
    let mut report = json!({
        "run_id": run_id,
        "steps": outcome.steps,
        "seconds": outcome.seconds,
        "pairs_per_second": outcome.pairs_per_second,
        "loss": outcome.history.steps.iter().map(|step| step.loss).collect::<Vec<_>>(),
        "validation": outcome.history.validations.iter().map(|validation| json!({
            "step": validation.step,
            "loss": validation.loss,
            "addr_global": validation.addr_global,
            "addr_median": validation.addr_median,
            "addr_ci95": validation.addr_ci95,
            "retrieval": validation.retrieval,
            "tiles": validation.tiles,
        })).collect::<Vec<_>>(),
        "encoder_id": outcome.encoder.as_ref().map(|(id, _)| id),
        "encoder_step": outcome.encoder.as_ref().map(|(_, step)| step),
        "model": outcome.encoder.as_ref().map(|_| paths::shown(model)),
    });
    if outcome.stopped {
        report["stopped_at_step"] = outcome.steps.into();
    }
    report
}
