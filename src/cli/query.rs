//! `histokin query`: finds the tiles or slides most similar to a query.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;
use uuid::Uuid;

use super::choice::choice;
use super::index::load_index;
use super::marks::MarkArgs;
use crate::encoder::{self, DeviceChoice};
use crate::geometry::{Level0Point, Level0Rect, MicronsPerPixel};
use crate::index::Snapshot;
use crate::number_format::counted;
use crate::pipeline::{Slides, embed_picture, embed_tiles, write_matches, write_sheet};
use crate::project::{ArchiveUrl, Project, ProjectSettings};
use crate::query::builder::{self, QueryBuilder, SlideGeometry};
use crate::query::{
    self, AnnotationFilter, AnnotationsBySlide, Answer, DEFAULT_PATTERN, Example, Judgement, Mark, Order,
    PatientList, PatientNames, Patients, Query, QuerySettings, RankBy, Region, Scope, ShownExample,
    TilePosition, export,
};
use crate::slide::{self, SlideId, SlideSource};
use crate::tiling::{TileGrid, TileSettings};
use crate::tissue::TissueMask;

/// Options of `histokin query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Slide of the query: ID, path, file name, or file name without extension.
    #[arg(long, value_name = "SLIDE", value_parser = super::shown_name())]
    slide: Option<String>,
    /// Position of an example tile in level-0 pixels. May be given several times.
    #[arg(long, value_name = "X,Y", value_parser = super::parse_point, allow_hyphen_values = true, requires = "slide")]
    at: Vec<Level0Point>,
    /// Example region in level-0 pixels. All of its tiles are examples. May be given several times.
    #[arg(
        long,
        value_name = "X,Y,WIDTH,HEIGHT",
        value_parser = super::parse_rect,
        allow_hyphen_values = true,
        requires = "slide"
    )]
    rect: Vec<Level0Rect>,
    /// Position of a negative example in level-0 pixels. Matches are less similar to it. May be given several
    /// times.
    #[arg(long, value_name = "X,Y", value_parser = super::parse_point, allow_hyphen_values = true, requires = "slide")]
    not_at: Vec<Level0Point>,
    #[command(flatten)]
    marks: MarkArgs,
    /// What matches are compared with when there are marks, negative or several examples.
    #[arg(long, value_name = "HOW", value_parser = choice::<RankBy>(), default_value = "direction")]
    rank_by: RankBy,
    /// Which of the best tiles to return: the best ones, or those that teach most when they are marked.
    #[arg(long, value_parser = choice::<Order>(), default_value = "best")]
    order: Order,
    /// Use the whole slide as the example: tiles spread evenly over it.
    #[arg(long, requires = "slide")]
    whole: bool,
    /// ID of an annotation of the slide whose tiles are examples. May be given several times.
    #[arg(long, value_name = "ID", requires = "slide")]
    annotation: Vec<Uuid>,
    /// Use all annotations of this class, on every slide of the project, as examples.
    #[arg(long, value_name = "CLASS")]
    like_class: Option<String>,
    /// Name of a concept of the project: its tiles are searched for, nearest to what it was taught first.
    #[arg(long, value_name = "NAME")]
    concept: Option<String>,
    /// Image file to use as an example: its tissue tiles if its pixel size is known, otherwise its centre as
    /// one tile.
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Pixel size of the image in µm, overriding the one in the file: M or MX,MY.
    #[arg(long, value_name = "UM", value_parser = super::parse_mpp, requires = "image")]
    image_mpp: Option<MicronsPerPixel>,
    /// Number of matches.
    #[arg(short, long = "matches", value_name = "NUMBER", default_value_t = 20, value_parser = super::count(1, 1_000_000))]
    k: usize,
    /// Slides to search.
    #[arg(long, value_parser = choice::<Scope>(), default_value = "all")]
    scope: Scope,
    /// Search only these slides: ID, path, file name, or file name without extension. May be given several
    /// times.
    #[arg(long = "slides", value_name = "SLIDE", num_args = 1.., value_parser = super::shown_name())]
    among: Vec<String>,
    /// Search only tiles inside annotations, or only tiles outside all annotations.
    #[arg(long = "tiles", alias = "marked", value_name = "WHICH", default_value = "anywhere")]
    annotation_filter: AnnotationFilterArg,
    /// Search only tiles inside annotations of this class.
    #[arg(long, value_name = "CLASS", conflicts_with = "annotation_filter")]
    class: Option<String>,
    /// Search slides of any patient, of the query's patient only, or of other patients only.
    #[arg(long, value_parser = choice::<Patients>(), default_value = "any", requires = "slide")]
    patients: Patients,
    /// Patients of the slides: a CSV file with the columns slide (or file) and patient [default: the
    /// project's list of patients, else from file names].
    #[arg(long, value_name = "CSV")]
    patient_list: Option<PathBuf>,
    /// Regular expression that extracts the patient code from a file name: its first group, or the whole
    /// match.
    #[arg(long, value_name = "REGEX", default_value = DEFAULT_PATTERN, hide_default_value = true)]
    patient_pattern: String,
    /// Exclude tiles on the query's slide within this distance of an example, in µm.
    #[arg(long, value_name = "UM", default_value_t = 0.0, value_parser = super::parse_um)]
    exclude_um: f64,
    /// Exclude tiles with a larger descriptor distance.
    #[arg(long, value_name = "DISTANCE", value_parser = super::parse_distance)]
    max_distance: Option<f32>,
    /// Minimum distance between two matches on the same slide, in µm.
    #[arg(long, value_name = "UM", default_value_t = 0.0, value_parser = super::parse_um)]
    apart_um: f64,
    /// Prefer matches that differ from each other: strength from 0 to 1 [default: 0, and 0.3 if no number is given].
    #[arg(
        long,
        value_name = "STRENGTH",
        num_args = 0..=1,
        default_missing_value = "0.3",
        default_value = "0",
        hide_default_value = true,
        value_parser = super::parse_share
    )]
    diverse: f32,
    /// What to rank.
    #[arg(long, value_name = "WHAT", default_value = "tiles")]
    rank: Rank,
    /// Address of a department's archive to search as well [default with --scope archive: the project's
    /// archive].
    #[arg(long, value_name = "URL")]
    archive: Option<String>,
    /// Search the archive exactly by comparing all of its tiles, which may be slow.
    #[arg(long)]
    exact: bool,
    /// Search with another encoder with which the slides have been embedded [default: the project's encoder].
    #[arg(long, value_name = "ENCODER")]
    encoder: Option<String>,
    /// Write the query tile and its matches as a contact sheet: one image (PNG or JPEG), or pages with captions (PDF).
    #[arg(long, alias = "contact-sheet", value_name = "FILE", value_parser = super::sheet_file())]
    sheet: Option<PathBuf>,
    /// Write the matches as annotations into this folder: for each slide with matches, one file for QuPath
    /// (.geojson) and one for ASAP (.xml).
    #[arg(long, alias = "geojson", value_name = "FOLDER")]
    annotations: Option<PathBuf>,
    /// Write the matches as CSV.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Where the encoder runs if examples have to be embedded: auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rank {
    /// Tiles by their descriptor distance.
    Tiles,
    /// Slides by the median distance to their most similar tiles, with the number of matches on each.
    Slides,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AnnotationFilterArg {
    /// All tiles.
    Anywhere,
    /// Tiles inside annotations.
    Annotated,
    /// Tiles outside all annotations.
    Unannotated,
}

/// Runs `histokin query`.
///
/// # Errors
/// When the project or archive cannot be read, the query is invalid, or files cannot be written.
pub fn run(args: &QueryArgs) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    let project = with_encoder(project, args.encoder.as_deref());
    let (index, _) = load_index(&project)?;
    let annotations = annotations(&project)?;
    let own = project.archive().filter(|_| args.scope == Scope::Archive);
    let url = args.archive.as_deref().or(own.map(ArchiveUrl::as_str));
    // In an archive, tiles have classes that no annotation of the project has.
    if let Some(class) = args.class.as_ref().filter(|_| url.is_none())
        && let Some(known) = instead_of(class, &annotations)
    {
        bail!("no annotation of the project has the class {class:?}; {known}");
    }
    if index.is_empty() && url.is_none() && args.scope != Scope::Archive {
        bail!(
            "no slide of the project is embedded with {}; embed them first: histokin embed {} --encoder {0}",
            project.encoder_name(),
            args.project.display()
        );
    }
    let opened = OpenedSlides::new(&project)?;
    let mut examples = examples(args, &project, &index, &annotations, &opened)?;
    let mut query = examples.query();
    let mut answer = loop {
        let problem = match query::ask(&index, &query, &annotations) {
            Ok(answer) => break answer,
            Err(problem) => problem,
        };
        // An example that is not embedded yet is embedded now.
        let all = examples.positives.iter().chain(&examples.negatives);
        match builder::missing_tile(&index, all, &problem) {
            Some(position) => embed_missing_tile(args, &project, &opened, &position, &mut examples)?,
            None => bail!(problem.naming(|slide| super::slide_name(&project, slide))),
        }
        query = examples.query();
    };
    match url {
        Some(url) => answer = ask_archive(args, url, &project, &index, (&query, &annotations))?,
        None if args.scope == Scope::Archive => {
            bail!("this project has no archive: give one with --archive postgresql://USER@HOST/DATABASE")
        }
        None => {}
    }
    let query_history = project.query_history()?;
    if let Some(path) = &args.sheet {
        write_sheet(&answer, &slides_of(&project, &answer)?, path)
            .with_context(|| format!("{} was not written", path.display()))?;
    }
    if let Some(folder) = &args.annotations {
        std::fs::create_dir_all(folder).with_context(|| format!("{} was not created", folder.display()))?;
        write_matches(&answer, &query_history, &slides_of(&project, &answer)?, folder)?;
    }
    if let Some(path) = &args.csv {
        let csv = export::to_csv(&answer, &query_history, |slide| name(&project, &answer, slide))?;
        crate::durable::write(path, csv.as_ref())
            .with_context(|| format!("{} was not written", path.display()))?;
    }
    match (args.json, args.rank) {
        (true, _) => {
            let mut document = export::to_json(&answer, &query_history);
            name_slides(&mut document, &|slide| name(&project, &answer, slide));
            super::print_json(&document)?;
        }
        (false, Rank::Tiles) => print_tiles(&project, &answer),
        (false, Rank::Slides) => print_slides(&project, &answer),
    }
    Ok(())
}

/// Answers the query from the archive and the project together.
#[cfg(feature = "archive")]
fn ask_archive(
    args: &QueryArgs,
    url: &str,
    project: &Project,
    index: &Snapshot,
    (query, annotations): (&Query, &AnnotationsBySlide),
) -> anyhow::Result<Answer> {
    use crate::archive::search::{SearchSettings, ask};
    let mut settings = SearchSettings {
        exact: args.exact,
        class: args.class.clone(),
        patients: args.patients,
        among: named(args, project)?,
        annotations: annotations.clone(),
        former_ids: project.former_ids(),
        ..SearchSettings::default()
    };
    if let Some(own) = &args.slide {
        settings.own_patient =
            patient_names(args, project)?.of(&project.slide_path(project.find_slide(own)?));
    }
    let recipe = project.recipe(&encoder::spec(&project.encoder_name())?);
    Ok(ask(&mut super::archive::open(url)?, index, &recipe, query, &settings)?)
}

#[cfg(not(feature = "archive"))]
fn ask_archive(
    _: &QueryArgs,
    _: &str,
    _: &Project,
    _: &Snapshot,
    _: (&Query, &AnnotationsBySlide),
) -> anyhow::Result<Answer> {
    bail!("this build of histokin does not support archives")
}

/// Returns the project with `encoder` as its encoder, if one is given.
fn with_encoder(mut project: Project, encoder: Option<&str>) -> Project {
    if let Some(encoder) = encoder {
        let settings = ProjectSettings { encoder: Some(encoder.to_owned()), ..project.settings().clone() };
        project.set_settings(settings);
    }
    project
}

/// Returns the classes of the project's annotations, for a message about one that is not among them; `None` if it is.
pub fn instead_of(class: &str, annotations: &AnnotationsBySlide) -> Option<String> {
    let all = annotations.values().flat_map(|set| set.classes()).map(|class| class.name);
    let known: BTreeSet<String> = all.collect();
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    match names.as_slice() {
        [] => Some("there are no classes yet".to_owned()),
        _ if known.contains(class) => None,
        names => Some(format!("there are the classes {}", names.join(", "))),
    }
}

/// The annotations of all slides.
pub fn annotations(project: &Project) -> anyhow::Result<AnnotationsBySlide> {
    let store = project.annotations();
    let mut annotations = AnnotationsBySlide::new();
    for entry in project.slides() {
        let loaded = store.load(&entry.id)?;
        if let Some(trouble) = loaded.trouble {
            noteln!("{trouble}");
        }
        annotations.insert(entry.id.clone(), Arc::new(loaded.set));
    }
    Ok(annotations)
}

/// The examples of a query with what is shown for each, its marks and its settings.
struct QueryExamples {
    positives: Vec<ShownExample>,
    negatives: Vec<ShownExample>,
    marks: Vec<Mark>,
    settings: QuerySettings,
}

impl QueryExamples {
    fn query(&self) -> Query {
        let examples = |list: &[ShownExample]| list.iter().map(|shown| shown.example.clone()).collect();
        Query {
            positives: examples(&self.positives),
            negatives: examples(&self.negatives),
            marks: self.marks.clone(),
            settings: self.settings.clone(),
        }
    }
}

/// The project's slides, each opened at its first use.
struct OpenedSlides<'a> {
    project: &'a Project,
    tiles: TileSettings,
    opened: RefCell<HashMap<SlideId, Arc<dyn SlideSource>>>,
}

impl<'a> OpenedSlides<'a> {
    fn new(project: &'a Project) -> anyhow::Result<Self> {
        let tiles = project.recipe(&encoder::spec(&project.encoder_name())?).tiles;
        Ok(Self { project, tiles, opened: RefCell::default() })
    }

    fn get(&self, slide: &SlideId) -> anyhow::Result<Arc<dyn SlideSource>> {
        if let Some(known) = self.opened.borrow().get(slide) {
            return Ok(known.clone());
        }
        let entry = self.project.find_slide(&slide.0)?;
        let source = self.project.open_slide(entry)?;
        self.opened.borrow_mut().insert(slide.clone(), source.clone());
        Ok(source)
    }
}

impl SlideGeometry for OpenedSlides<'_> {
    fn grid(&self, slide: &SlideId) -> Result<TileGrid, String> {
        let source = self.get(slide).map_err(|error| super::in_words(&error))?;
        TileGrid::new(source.info(), self.tiles).map_err(|error| error.to_string())
    }

    fn extent(&self, slide: &SlideId) -> Result<Level0Rect, String> {
        Ok(self.get(slide).map_err(|error| super::in_words(&error))?.info().extent())
    }
}

/// Returns how patients are found: by the given list or else the project's, and by file names.
fn patient_names(args: &QueryArgs, project: &Project) -> anyhow::Result<PatientNames> {
    let names = PatientNames::new(&args.patient_pattern)
        .with_context(|| format!("--patient-pattern {:?}", args.patient_pattern))?;
    Ok(match &args.patient_list {
        Some(path) => {
            let PatientList { patients, note } = query::read_patients(path).map_err(anyhow::Error::msg)?;
            if let Some(note) = note {
                noteln!("{}: {note}", path.display());
            }
            names.with_list(patients)
        }
        None => names.with_list(project.patients()),
    })
}

fn examples(
    args: &QueryArgs,
    project: &Project,
    index: &Snapshot,
    annotations: &AnnotationsBySlide,
    opened: &OpenedSlides<'_>,
) -> anyhow::Result<QueryExamples> {
    let build = QueryBuilder { index, annotations, slides: opened };
    let (mut positives, mut negatives) = (Vec::new(), Vec::new());
    let mut own = None;
    if let Some(name) = &args.slide {
        let entry = project.find_slide(name)?;
        let slide = &entry.id;
        for at in &args.at {
            builder::put_example(&mut positives, &mut negatives, build.tile(slide, *at)?);
        }
        for rect in &args.rect {
            positives.push(build.region(slide, Region::Rect(*rect)));
        }
        if !args.annotation.is_empty() {
            positives.extend(build.annotations(slide, &args.annotation)?);
        }
        if args.whole {
            positives.push(build.whole_slide(slide)?);
        }
        for at in &args.not_at {
            builder::put_example(&mut negatives, &mut positives, build.tile(slide, *at)?);
        }
        own = Some(project.slide_path(entry));
    }
    if let Some(class) = &args.like_class {
        let tiles = build.class(class).map_err(|problem| match instead_of(class, annotations) {
            Some(known) => anyhow!("{problem}; {known}"),
            None => anyhow::Error::from(problem),
        })?;
        positives.extend(tiles);
    }
    if let Some(name) = &args.concept {
        positives.push(taught(project, index, name)?);
    }
    if let Some(path) = &args.image {
        positives.push(embed_image(args, project, path)?);
    }
    let mut marks = args.marks.marks(project)?;
    if positives.is_empty() {
        // The first tile that is the same stands for the query.
        let first = marks.iter().position(|mark| mark.judgement == Judgement::Same);
        let Some(first) = first.map(|first| marks.remove(first)) else {
            bail!(
                "no example: give --slide with --at, --rect, --annotation or --whole, or --like-class, --concept, --image \
                 or --same"
            );
        };
        positives.push(ShownExample { example: first.example, position: None });
    }
    let names = patient_names(args, project)?;
    let paths: Vec<(&SlideId, PathBuf)> =
        project.slides().iter().map(|entry| (&entry.id, project.slide_path(entry))).collect();
    let slides = paths.iter().map(|(slide, path)| (*slide, path.as_path()));
    let listed = named(args, project)?;
    let among = builder::slides_among((args.patients, &names), own.as_deref(), slides, listed.as_deref());
    let mut settings = QuerySettings {
        scope: args.scope,
        rank_by: args.rank_by,
        order: args.order,
        among,
        annotation_filter: match (&args.class, args.annotation_filter) {
            (Some(class), _) => AnnotationFilter::Class(class.clone()),
            (None, AnnotationFilterArg::Anywhere) => AnnotationFilter::Anywhere,
            (None, AnnotationFilterArg::Annotated) => AnnotationFilter::Annotated,
            (None, AnnotationFilterArg::Unannotated) => AnnotationFilter::Unannotated,
        },
        count: args.k,
        exclude_um: args.exclude_um,
        max_distance: args.max_distance,
        apart_um: args.apart_um,
        diversity: args.diverse,
        rank_slides: args.rank == Rank::Slides,
    };
    if args.whole {
        builder::rank_whole_slides(&mut settings);
    }
    Ok(QueryExamples { positives, negatives, marks, settings })
}

/// The slides given with `--slides`; `None` without this option.
fn named(args: &QueryArgs, project: &Project) -> anyhow::Result<Option<Vec<SlideId>>> {
    if args.among.is_empty() {
        return Ok(None);
    }
    args.among.iter().map(|name| Ok(Some(project.find_slide(name)?.id.clone()))).collect()
}

/// Returns what a concept was taught as an example.
fn taught(project: &Project, index: &Snapshot, name: &str) -> anyhow::Result<ShownExample> {
    let loaded = super::concepts::load(project)?;
    let concept = loaded.find(name)?;
    // Distances to the descriptors of another encoder mean nothing.
    if let Some(set) = index.sets().first() {
        concept.require(&set.header.recipe)?;
    }
    Ok(ShownExample { example: concept.example(), position: None })
}

fn embed_image(args: &QueryArgs, project: &Project, path: &Path) -> anyhow::Result<ShownExample> {
    let picture = slide::open(path, args.image_mpp)?;
    let mut encoder = encoder::load(&project.encoder_name(), args.device)?;
    let recipe = project.recipe(encoder.spec());
    let descriptors = embed_picture(picture.as_ref(), encoder.as_mut(), &recipe)?;
    let info = picture.info();
    // An image that is a slide of the project must not match itself. Other images have no position on a
    // slide.
    let is_ours = project.slides().iter().any(|entry| entry.id == info.id);
    let position = is_ours.then(|| TilePosition { slide: info.id.clone(), rect: info.extent() });
    let example = Example::Descriptors {
        name: info.name(),
        position: position.clone(),
        descriptors,
        recipe: Some(recipe.short_id()),
        file: None,
    };
    Ok(ShownExample { example, position })
}

/// Embeds an example tile that has no descriptor yet and adds its descriptor to `examples`.
fn embed_missing_tile(
    args: &QueryArgs,
    project: &Project,
    opened: &OpenedSlides<'_>,
    position: &TilePosition,
    examples: &mut QueryExamples,
) -> anyhow::Result<()> {
    let source = opened.get(&position.slide)?;
    let mut encoder = encoder::load(&project.encoder_name(), args.device)?;
    let tissue = TissueMask::find(source.as_ref(), &project.settings().tissue)?;
    if !tissue.has_tissue(&position.rect) {
        let (Level0Point { x, y }, name) = (position.rect.center(), source.info().name());
        bail!("there is no embedded tile at x {x:.0}, y {y:.0} of {name}: this position is not tissue");
    }
    let recipe = project.recipe(encoder.spec());
    let descriptors = embed_tiles(source.as_ref(), None, &[position.rect], encoder.as_mut(), &recipe)?;
    let all = examples.positives.iter_mut().chain(&mut examples.negatives);
    builder::use_descriptor(all, position, &source.info().name(), &recipe, &descriptors[0]);
    Ok(())
}

/// Adds ID and file name of the slide to every object that has its ID as `slide`.
fn name_slides(document: &mut Value, name: &dyn Fn(&SlideId) -> String) {
    match document {
        Value::Object(object) => {
            object.values_mut().for_each(|value| name_slides(value, name));
            if let Some(Value::String(id)) = object.get("slide") {
                let slide = SlideId(id.clone());
                object.insert("slide_name".to_owned(), name(&slide).into());
                object.insert("slide_id".to_owned(), slide.0.into());
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| name_slides(value, name)),
        _ => {}
    }
}

/// File name of a slide for output; the beginning of its ID if it has no file name.
fn name(project: &Project, answer: &Answer, slide: &SlideId) -> String {
    if let Some(slide) = answer.from_archive(slide) {
        return slide.name.clone();
    }
    super::slide_name(project, slide)
}

fn print_tiles(project: &Project, answer: &Answer) {
    outln!(
        "{} nearest of {}, {}, in {:.2} ms",
        answer.matches.len(),
        counted(answer.searched as u64, "tile"),
        certainty(answer),
        answer.elapsed.as_secs_f64() * 1000.0
    );
    for found in &answer.matches {
        let name = name(project, answer, &found.slide);
        let position = answer.from_archive(&found.slide).map(|slide| format!("  {}", slide.location()));
        let (rank, at, position) = (found.rank, found.rect, position.unwrap_or_default());
        outln!("{rank:>4}  {:.4}  {name}  x {}, y {}{position}", found.distance, at.x, at.y);
    }
}

fn certainty(answer: &Answer) -> String {
    match &answer.archive {
        Some(archive) => archive.certainty(),
        None if answer.exact => "exact".to_owned(),
        None => "approximate".to_owned(),
    }
}

fn print_slides(project: &Project, answer: &Answer) {
    outln!("rank  median of the nearest  matches  tiles  distances from 0 to {:.2}  slide", farthest(answer));
    for (rank, slide) in (1..).zip(&answer.slides) {
        outln!(
            "{rank:>4}  {:>21.4}  {:>7}  {:>5}  {:<24}  {}",
            slide.median_distance,
            slide.matches,
            slide.tiles,
            bars(&slide.histogram),
            name(project, answer, &slide.slide)
        );
    }
    if let Some(unranked) = answer.archive.as_ref().and_then(|archive| archive.left_unranked()) {
        outln!("{unranked}.");
    }
}

/// Upper end of the histograms of an answer, as a descriptor distance.
fn farthest(answer: &Answer) -> f32 {
    answer.slides.first().map_or(0.0, |slide| slide.farthest)
}

/// A histogram as a line of bar characters.
fn bars(histogram: &[u32]) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = histogram.iter().copied().max().unwrap_or(0).max(1);
    histogram.iter().map(|count| BARS[(*count * 8).div_ceil(most) as usize]).collect()
}

/// Opens the slides of an answer: of its matches and its first example.
fn slides_of(project: &Project, answer: &Answer) -> anyhow::Result<Slides> {
    // Slides that exist only in the archive have no pixels here.
    let mut ids = export::slides_of(answer);
    ids.retain(|id| answer.from_archive(id).is_none());
    ids.extend(answer.first().map(|tile| tile.slide.clone()));
    let open = |id: SlideId| {
        let entry = project.find_slide(&id.0)?;
        Ok((id, project.open_slide_as_shown(entry)?))
    };
    ids.into_iter().map(open).collect()
}
