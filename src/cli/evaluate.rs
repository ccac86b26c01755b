//! `histokin evaluate`: compares encoders on labelled slides.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::Args;

use super::choice::choice;
use super::label_options::LabelOptions;
use super::progress::{EmbedBar, ShareBar};
use crate::encoder::{self, DeviceChoice, Encoder, EncoderError, EncoderSpec};
use crate::evaluation::addr::{AddrSettings, Limits, PairCount};
use crate::evaluation::camelyon::{self, Camelyon};
use crate::evaluation::comparison::{Comparison, ComparisonError, ComparisonSettings, compare};
use crate::evaluation::gather::{self, GatherError, Gathered};
use crate::evaluation::intervals::Resampling;
use crate::evaluation::labels;
use crate::evaluation::map::MapStore;
use crate::evaluation::report;
use crate::evaluation::retrieval::{PoolKind, RetrievalSettings};
use crate::evaluation::sample::{EncoderDescriptors, Sample, SampleSlide};
use crate::evaluation::stain_change::{self, StainSettings};
use crate::evaluation::study::labels_of;
use crate::evaluation::{EvaluationError, Exclude};
use crate::geometry::MicronsPerPixel;
use crate::number_format::counted;
use crate::pipeline::{
    EmbedControl, EmbedOutcome, EmbedRequest, EmbedSettings, HSV_HISTOGRAM, HsvHistogram, TileSelection,
    embed_slide,
};
use crate::project::Project;
use crate::slide::{self, names};

/// Options of `histokin evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// The project folder, or a copy of Camelyon16 as distributed. Optional with --features.
    #[arg(required_unless_present = "features", value_parser = super::project_folder())]
    project: Option<PathBuf>,
    /// Name of an encoder, path of its folder, its weights or a TorchScript file, or the encoder_id that `embed --json`
    /// prints. May be given several times. The colour histogram `hsv-histogram` is added as the baseline.
    #[arg(long, value_name = "ENCODER")]
    encoder: Vec<String>,
    /// Descriptors computed elsewhere: a .safetensors file of one slide, or a folder of such files named like
    /// the slides. May be given several times.
    #[arg(long, value_name = "FILE or FOLDER")]
    features: Vec<PathBuf>,
    /// Labels: a table of tiles or regions (.csv), annotations (.geojson, .xml), or a folder with such files
    /// and masks [default: the project's annotations and its folder `labels`].
    #[arg(long, value_name = "FILE or FOLDER")]
    labels: Option<PathBuf>,
    /// The class whose retrieval is measured beside that of all classes [default: tumour, if there is any].
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    #[command(flatten)]
    labelling: LabelOptions,
    /// Pairs of tiles closer than this distance in mm are near pairs.
    #[arg(long, value_name = "MM", default_value_t = Limits::default().near_mm)]
    near_mm: f64,
    /// Pairs of tiles farther apart than this distance in mm are far pairs.
    #[arg(long, value_name = "MM", default_value_t = Limits::default().far_mm)]
    far_mm: f64,
    /// Number of near pairs and of far pairs per slide; 0 means all [default: all, up to 10000 tiles per
    /// slide].
    #[arg(long, value_name = "NUMBER")]
    pairs: Option<usize>,
    /// Seed of all random choices.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of bootstrap samples of patients or slides for each confidence interval.
    #[arg(long, value_name = "NUMBER", default_value_t = Resampling::default().draws, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    draws: u32,
    /// Which tiles are excluded from the matches.
    #[arg(long, value_parser = choice::<Exclude>(), default_value = "patient")]
    exclude: Exclude,
    /// Which tiles can be matches: labelled tiles only, or all tiles, with unlabelled ones counted as wrong.
    #[arg(long, value_parser = choice::<PoolKind>(), default_value = "labelled")]
    pool: PoolKind,
    /// Maximum number of queries per class, drawn at random.
    #[arg(long, value_name = "NUMBER", default_value_t = RetrievalSettings::default().queries_per_class, value_parser = super::count(1, 10_000_000))]
    queries: usize,
    /// Leave out the colour histogram.
    #[arg(long)]
    no_baseline: bool,
    /// Pixel size in µm of slides whose descriptor files do not state it: M or MX,MY.
    #[arg(long, value_name = "UM", value_parser = super::parse_mpp)]
    slide_mpp: Option<MicronsPerPixel>,
    /// Project folder for the descriptors of Camelyon16's slides.
    #[arg(long, value_name = "FOLDER", default_value = "camelyon16-project")]
    into: PathBuf,
    /// Number of tiles per encoder for the stain test: they are embedded again with changed stain, and their
    /// matches are compared. 0 skips the test.
    #[arg(long, value_name = "TILES", default_value_t = 100)]
    stain_tiles: usize,
    /// Folder for the report: report.html, report.pdf, report.json and tables.
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// Replace patients' names by codes, including in slide names.
    #[arg(long)]
    pseudonymise: bool,
    /// Where encoders run: auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// The target class unless another is given.
const DEFAULT_CLASS: &str = "tumour";

/// Runs `histokin evaluate`.
///
/// # Errors
/// When data cannot be read, labels or settings do not fit them, or slides had to be left out.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    if args.report.as_ref().is_some_and(|folder| folder.is_file()) {
        bail!("--report names a file; give a folder");
    }
    let mut study = study(args)?;
    let Gathered { slides, candidates } = std::mem::take(&mut study.gathered);
    if candidates.is_empty() {
        bail!("name at least one encoder with --encoder, or descriptors with --features");
    }
    let (mut sample, encoders) = Sample::gather(slides, candidates)?;
    args.labelling.apply(&mut sample, study.labels.as_ref())?;
    let target = match (&study.labels, &args.class) {
        (None, _) => Vec::new(),
        (Some(_), Some(class)) => sample.target(class)?,
        (Some(_), None) => sample.target_if_any(DEFAULT_CLASS, args.exclude)?,
    };
    if args.pseudonymise {
        sample.pseudonymise();
    }
    let settings = settings(args);
    let bar = ShareBar::new("evaluate");
    let comparison = compare(&sample, &encoders, &target, &settings, &mut |share, doing| {
        bar.show(share, doing);
        true
    });
    bar.finish();
    let mut comparison = comparison.map_err(with_options)?;
    change_stain(args, &mut study, &sample, &encoders, &mut comparison)?;
    let document = report::json::document(&sample, &comparison);
    if let Some(folder) = &args.report {
        let pictures = study.project.as_ref().map(report::Pictures::of_project);
        let maps = study.project.as_ref().map(MapStore::of_project);
        let map = report::map_of(maps.as_ref(), &encoders, &comparison, &mut |_| true);
        report::write(folder, &sample, &comparison, &document, map.as_ref(), pictures.as_ref())
            .with_context(|| format!("the report was not written to {}", folder.display()))?;
        noteln!("report: {}", folder.join("report.html").display());
    }
    if args.json {
        super::print_json(&document)?;
    } else {
        out!("{}", report::text::table(&sample, &comparison));
    }
    if study.left_out > 0 {
        bail!("left out {} that could not be read or embedded", counted(study.left_out as u64, "slide"));
    }
    Ok(())
}

/// The data that is evaluated.
struct Study {
    gathered: Gathered,
    labels: Option<labels::Labels>,
    project: Option<Project>,
    /// The candidates' encoders that can run on this computer.
    encoders: Vec<Box<dyn Encoder>>,
    /// Number of slides that cannot be read.
    left_out: usize,
}

/// Runs the stain test for every encoder that can run on this computer.
fn change_stain(
    args: &EvaluateArgs,
    study: &mut Study,
    sample: &Sample,
    encoders: &[EncoderDescriptors],
    comparison: &mut Comparison,
) -> anyhow::Result<()> {
    let Some(project) = &study.project else { return Ok(()) };
    let settings = StainSettings { tiles: args.stain_tiles, exclude: args.exclude, seed: args.seed };
    let resampling = comparison.settings.resampling;
    for encoder in &mut study.encoders {
        let id = &encoder.spec().id.0;
        let Some(index) = encoders.iter().position(|one| one.id == *id) else { continue };
        let recipe = project.recipe(encoder.spec());
        let bar = ShareBar::new("evaluate");
        let doing = format!("{}: stain test", encoders[index].name);
        let mut report = |share: f64| {
            bar.show(share, &doing);
            true
        };
        comparison.encoders[index].stain = stain_change::measure(
            project,
            sample,
            &encoders[index],
            encoder.as_mut(),
            &recipe,
            &settings,
            &resampling,
            &mut report,
        )?;
        bar.finish();
    }
    Ok(())
}

fn study(args: &EvaluateArgs) -> anyhow::Result<Study> {
    let mut labels: Option<labels::Labels> = None;
    let mut project = None;
    let mut left_out = 0;
    if let Some(folder) = &args.project {
        let found = if Project::is_project(folder) { None } else { camelyon::find(folder)? };
        match found {
            Some(found) => {
                let (taken, bad) = add_camelyon(&found, args)?;
                left_out += bad;
                project = Some(taken);
                labels = Some(found.labels);
            }
            None => project = Some(Project::open(folder)?),
        }
    }
    let mut gathered = Gathered::default();
    let mut loaded: Vec<Box<dyn Encoder>> = Vec::new();
    if let Some(project) = &mut project {
        let (slides, problems) = gather::usable_slides_of(project);
        problems.iter().for_each(|problem| noteln!("{problem}; it is left out"));
        left_out += problems.len();
        gathered.slides = slides;
        if gathered.slides.is_empty() {
            bail!("the project has no slides that can be read; embed some first");
        }
        // Read labels first: their errors are reported before slides are embedded, which may take hours.
        read_labels(args, Some(&*project), &mut labels)?;
        let mut specs = Vec::new();
        for requested in encoders(args, project)? {
            specs.push(match requested {
                Requested::Imported(spec) => spec,
                Requested::Here(mut encoder) => {
                    left_out += embed_missing(project, encoder.as_mut(), !args.no_baseline, &mut gathered)?;
                    let spec = encoder.spec().clone();
                    loaded.push(encoder);
                    spec
                }
            });
        }
        for spec in &specs {
            gathered.candidates.push(gather::of_project(project, spec, &gathered.slides)?);
        }
    }
    let mut errors = Vec::new();
    for path in &args.features {
        errors.extend(gather::add_features(&mut gathered, path, args.slide_mpp, project.is_some()).err());
    }
    GatherError::all(errors)?;
    if project.is_none() {
        read_labels(args, None, &mut labels)?;
    }
    if let (None, Some(project)) = (&labels, &project) {
        labels = labels_of(project)?;
    }
    Ok(Study { gathered, labels, project, encoders: loaded, left_out })
}

/// Adds the labels given by `--labels` to `labels`.
fn read_labels(
    args: &EvaluateArgs,
    project: Option<&Project>,
    labels: &mut Option<labels::Labels>,
) -> anyhow::Result<()> {
    let Some(path) = &args.labels else { return Ok(()) };
    let infos = project.map(gather::infos).unwrap_or_default();
    let read = labels::read_labels(path, &|stem| names::among(stem, &infos).cloned())?;
    labels.get_or_insert_default().join(read);
    Ok(())
}

/// Opens or creates the project for a Camelyon16 folder and adds its slides. Also returns the number of
/// slides that cannot be read.
fn add_camelyon(found: &Camelyon, args: &EvaluateArgs) -> anyhow::Result<(Project, usize)> {
    let mut project = Project::open_to_write(&args.into)?;
    let mut bad = 0;
    for path in &found.slides {
        let source = match slide::open(path, args.slide_mpp) {
            Ok(source) => source,
            Err(error) => {
                noteln!("{error}; it is left out");
                bad += 1;
                continue;
            }
        };
        project.add_or_update(source.info()).iter().for_each(|note| noteln!("{note}"));
        if let Some(mpp) = args.slide_mpp {
            project.set_user_mpp(&source.info().id, mpp);
        }
    }
    project.save()?;
    Ok((project, bad))
}

/// An encoder to evaluate.
enum Requested {
    /// It can run on this computer.
    Here(Box<dyn Encoder>),
    /// Its features were computed elsewhere and imported.
    Imported(EncoderSpec),
}

/// Returns the encoders to evaluate, including the baseline.
fn encoders(args: &EvaluateArgs, project: &Project) -> anyhow::Result<Vec<Requested>> {
    let mut requested = Vec::new();
    let mut names: Vec<Option<&str>> = args.encoder.iter().map(|name| Some(name.as_str())).collect();
    if args.encoder.is_empty() && args.features.is_empty() {
        names.push(None);
    }
    let mut baseline_requested = false;
    for name in names {
        let which = super::encoder_in(project, name)?;
        if which == HSV_HISTOGRAM {
            baseline_requested = true;
            continue;
        }
        requested.push(match encoder::load(&which, args.device) {
            Err(EncoderError::Imported { .. }) => Requested::Imported(encoder::spec(&which)?),
            other => Requested::Here(other?),
        });
    }
    // Tiles of imported features are not the project's tiles, so a baseline on the latter says nothing about
    // them.
    let has_own = requested.iter().any(|one| matches!(one, Requested::Here(_)));
    if baseline_requested || (!args.no_baseline && has_own) {
        requested.push(Requested::Here(Box::new(HsvHistogram::new(project.settings().tiles))));
    }
    Ok(requested)
}

/// Embeds the slides that have no descriptors of this encoder yet, and stores the colour histogram as well if
/// `baseline`. Slides that cannot be embedded are reported and removed from `gathered`; returns their number.
fn embed_missing(
    project: &mut Project,
    encoder: &mut dyn Encoder,
    baseline: bool,
    gathered: &mut Gathered,
) -> anyhow::Result<usize> {
    let before = gathered.slides.len();
    let recipe = project.recipe(encoder.spec());
    let store = project.descriptors();
    let is_missing = |slide: &SampleSlide| -> anyhow::Result<bool> {
        Ok(store.open(&project.find_slide(&slide.id)?.id, &recipe)?.is_none())
    };
    // What cannot be looked up is reported below.
    if gathered.slides.iter().any(|slide| is_missing(slide).unwrap_or(false)) {
        // A project in which nothing has to be embedded can be evaluated while another program writes to it.
        *project = project.clone().claim()?;
        project.require_writable()?;
    }
    let mut usable = Vec::new();
    for slide in std::mem::take(&mut gathered.slides) {
        match embed_if_missing(project, encoder, baseline, &slide) {
            Ok(()) => usable.push(slide),
            Err(error) => noteln!("{}; it is left out", super::in_words(&error)),
        }
    }
    gathered.slides = usable;
    if gathered.slides.is_empty() {
        bail!("none of the slides can be embedded");
    }
    Ok(before - gathered.slides.len())
}

fn embed_if_missing(
    project: &Project,
    encoder: &mut dyn Encoder,
    baseline: bool,
    slide: &SampleSlide,
) -> anyhow::Result<()> {
    let recipe = project.recipe(encoder.spec());
    let store = project.descriptors();
    let entry = project.find_slide(&slide.id)?;
    if store.open(&entry.id, &recipe)?.is_none() {
        let source = project.open_slide(entry)?;
        let bar = EmbedBar::new(format!("{} with {}", slide.name, recipe.encoder_name));
        let selection = TileSelection::of_slide(project, &entry.id)?;
        let request = EmbedRequest {
            slide: source.as_ref(),
            selection: &selection,
            tissue: None,
            recipe: &recipe,
            store: &store,
            settings: EmbedSettings { baseline, ..EmbedSettings::default() },
        };
        let outcome =
            embed_slide(&request, encoder, &EmbedControl::default(), &mut |progress| bar.show(progress));
        bar.finish();
        let EmbedOutcome::Finished { .. } = outcome? else {
            bail!("{}: stopped before all tiles were done", slide.name);
        };
    }
    Ok(())
}

/// Turns an error into one that names the options by which it is mended.
fn with_options(error: ComparisonError) -> anyhow::Error {
    match error {
        ComparisonError::Evaluation(EvaluationError::NoPairs { .. }) => {
            anyhow!("{error} (--near-mm 0.5 --far-mm 4)")
        }
        error => error.into(),
    }
}

fn settings(args: &EvaluateArgs) -> ComparisonSettings {
    ComparisonSettings {
        addr: AddrSettings {
            limits: Limits { near_mm: args.near_mm, far_mm: args.far_mm },
            pairs: match args.pairs {
                None => PairCount::Auto,
                Some(0) => PairCount::All,
                Some(count) => PairCount::PerSlide(count),
            },
            seed: args.seed,
        },
        retrieval: RetrievalSettings {
            exclude: args.exclude,
            pool: args.pool,
            queries_per_class: args.queries,
            seed: args.seed,
            only: None,
        },
        resampling: Resampling { draws: args.draws, seed: args.seed },
        class: args.class.as_deref().unwrap_or(DEFAULT_CLASS).to_owned(),
    }
}
