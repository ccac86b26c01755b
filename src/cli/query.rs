//! `histokin query`: the tiles, or the slides, most like what is named.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use uuid::Uuid;

use super::choice::choice;
use super::index::load_index;
use crate::encoder::{self, DeviceChoice};
use crate::geometry::{Level0Point, Level0Rect, MicronsPerPixel};
use crate::index::Snapshot;
use crate::pipeline::{Slides, embed_picture, embed_tiles, write_matches, write_sheet};
use crate::project::{ArchiveUrl, Project, ProjectSettings};
use crate::query::builder::{self, QueryBuilder, SlideGeometry};
use crate::query::{
    self, Answer, Example, Marked, Marks, PatientNames, Patients, Query, QuerySettings, Region, Scope,
    ShownExample, TilePlace, USUAL_PATTERN, export,
};
use crate::slide::{self, SlideId, SlideSource};
use crate::tiling::{TileGrid, TileSettings};
use crate::tissue::TissueMask;

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The project's folder.
    project: PathBuf,
    /// The query's slide: id, path, file name or file stem.
    #[arg(long, value_parser = super::shown_name())]
    slide: Option<String>,
    /// Position of a tile in level-0 pixels: X,Y. Several are looked for together: a match is like any of them.
    #[arg(long, value_parser = super::parse_point, requires = "slide")]
    at: Vec<Level0Point>,
    /// A region in level-0 pixels, all of its tiles: X,Y,WIDTH,HEIGHT; may be given several times.
    #[arg(long, value_parser = super::parse_rect, requires = "slide")]
    rect: Vec<Level0Rect>,
    /// Position of a tile that matches are to be less like: X,Y; may be given several times.
    #[arg(long, value_parser = super::parse_point, requires = "slide")]
    not_at: Vec<Level0Point>,
    /// The whole slide: its tiles, evenly.
    #[arg(long, requires = "slide")]
    whole: bool,
    /// An annotation of the slide, by its id; may be given several times.
    #[arg(long, value_name = "ID", requires = "slide")]
    annotation: Vec<Uuid>,
    /// All that has an annotation of this class, on every slide of the project.
    #[arg(long, value_name = "CLASS")]
    like_class: Option<String>,
    /// A picture that is described on the spot: its tissue tiles where its pixel size is known, else its middle
    /// as one tile.
    #[arg(long)]
    image: Option<PathBuf>,
    /// Pixel size of the picture in µm, in place of its own: M or MX,MY.
    #[arg(long, value_parser = super::parse_mpp, requires = "image")]
    image_mpp: Option<MicronsPerPixel>,
    /// How many matches.
    #[arg(short, default_value_t = 20)]
    k: usize,
    /// Which slides may hold matches.
    #[arg(long, value_parser = choice::<Scope>(), default_value = "all")]
    scope: Scope,
    /// Only these slides: id, path, file name or file stem; may be given several times.
    #[arg(long = "slides", value_name = "SLIDE", num_args = 1..)]
    among: Vec<String>,
    /// Only tiles within an annotation, or within none.
    #[arg(long, default_value = "anywhere")]
    marked: MarkedArg,
    /// Only tiles within an annotation of this class.
    #[arg(long, conflicts_with = "marked")]
    class: Option<String>,
    /// Which patients' slides may hold matches.
    #[arg(long, value_parser = choice::<Patients>(), default_value = "any", requires = "slide")]
    patients: Patients,
    /// Whose slides they are: a CSV file with the columns slide (or file) and patient [default: what the project
    /// knows, else file names].
    #[arg(long, value_name = "CSV")]
    patient_list: Option<PathBuf>,
    /// How file names tell patients apart: a regular expression, its first group if it has one.
    #[arg(long, default_value = USUAL_PATTERN, hide_default_value = true)]
    patient_pattern: String,
    /// Leave out tiles of the query's slide within this distance of a query tile, in µm.
    #[arg(long, default_value_t = 0.0)]
    exclude_um: f64,
    /// Leave out tiles with a larger descriptor distance.
    #[arg(long)]
    max_distance: Option<f32>,
    /// No two matches of a slide are nearer to each other than this, in µm.
    #[arg(long, default_value_t = 0.0)]
    apart_um: f64,
    /// Matches that differ from each other, too: 0 to 1 [0.3 when no number is given].
    #[arg(long, num_args = 0..=1, default_missing_value = "0.3", default_value = "0", hide_default_value = true)]
    diverse: f32,
    /// What is ranked.
    #[arg(long, default_value = "tiles")]
    rank: Rank,
    /// Ask a department's archive, too: its address [with --scope archive and none given: the project's].
    #[arg(long, value_name = "URL")]
    archive: Option<String>,
    /// Compare all tiles of the archive, however long that takes.
    #[arg(long)]
    exact: bool,
    /// Answer by another encoder that has described the slides [default: the project's].
    #[arg(long)]
    encoder: Option<String>,
    /// Write the query tile and its matches as one picture (PNG or JPEG), or as pages with captions (PDF).
    #[arg(long, alias = "contact-sheet")]
    sheet: Option<PathBuf>,
    /// Folder for the matches as annotations: for each slide with matches a file for QuPath (.geojson) and one for
    /// ASAP (.xml).
    #[arg(long, alias = "geojson")]
    annotations: Option<PathBuf>,
    /// Write the matches as CSV.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Where the encoder runs, for what is described on the spot: auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rank {
    Tiles,
    /// Slides by the median of the distances to their most similar tiles, with the number of matches on each.
    Slides,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MarkedArg {
    Anywhere,
    Annotated,
    Unannotated,
}

pub fn run(args: &QueryArgs) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    let project = with_encoder(project, args.encoder.as_deref());
    let (index, _) = load_index(&project)?;
    let marks = marks(&project)?;
    let opened = OpenedSlides::new(&project)?;
    let mut question = question(args, &project, &index, &marks, &opened)?;
    let mut query = question.query();
    let mut answer = loop {
        let problem = match query::ask(&index, &query, &marks) {
            Ok(answer) => break answer,
            Err(problem) => problem,
        };
        // A place that is not embedded is described on the spot.
        let examples = question.positives.iter().chain(&question.negatives);
        match builder::missing_tile(&index, examples, &problem) {
            Some(place) => embed_missing_tile(args, &project, &opened, &place, &mut question)?,
            None => bail!(problem),
        }
        query = question.query();
    };
    let own = project.archive().filter(|_| args.scope == Scope::Archive);
    let url = args.archive.as_deref().or(own.map(ArchiveUrl::as_str));
    match url {
        Some(url) => answer = ask_archive(args, url, &project, &index, (&query, &marks))?,
        None if args.scope == Scope::Archive => {
            bail!("this project has no archive: name one with --archive postgresql://USER@HOST/DATABASE")
        }
        None => {}
    }
    let query_history = project.query_history()?;
    if let Some(path) = &args.sheet {
        write_sheet(&answer, &slides_of(&project, &answer)?, path)
            .with_context(|| format!("{} was not written", path.display()))?;
    }
    if let Some(folder) = &args.annotations {
        std::fs::create_dir_all(folder).with_context(|| format!("{} was not made", folder.display()))?;
        write_matches(&answer, &query_history, &slides_of(&project, &answer)?, folder)?;
    }
    if let Some(path) = &args.csv {
        let csv = export::to_csv(&answer, &query_history, |slide| name(&project, &answer, slide))?;
        crate::durable::write(path, csv.as_ref())
            .with_context(|| format!("{} was not written", path.display()))?;
    }
    match (args.json, args.rank) {
        (true, _) => super::print_json(&export::to_json(&answer, &query_history))?,
        (false, Rank::Tiles) => tell_tiles(&project, &answer),
        (false, Rank::Slides) => tell_slides(&project, &answer),
    }
    Ok(())
}

/// Ask the archive and the project together.
#[cfg(feature = "archive")]
fn ask_archive(
    args: &QueryArgs,
    url: &str,
    project: &Project,
    index: &Snapshot,
    (query, marks): (&Query, &Marks),
) -> anyhow::Result<Answer> {
    use crate::archive::search::{SearchSettings, ask};
    let mut settings = SearchSettings {
        exact: args.exact,
        class: args.class.clone(),
        patients: args.patients,
        among: named(args, project)?,
        marks: marks.clone(),
        former_ids: project.former_ids(),
        ..SearchSettings::default()
    };
    if let Some(own) = &args.slide {
        let names = PatientNames::new(&args.patient_pattern)?;
        settings.own_patient = names.of(&project.slide_path(project.find_slide(own)?));
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
    _: (&Query, &Marks),
) -> anyhow::Result<Answer> {
    bail!("this build of histokin was made without archives")
}

/// The project as if its slides were described by another encoder.
fn with_encoder(mut project: Project, encoder: Option<&str>) -> Project {
    if let Some(encoder) = encoder {
        let settings = ProjectSettings { encoder: Some(encoder.to_owned()), ..project.settings().clone() };
        project.set_settings(settings);
    }
    project
}

/// The annotations of all slides.
fn marks(project: &Project) -> anyhow::Result<Marks> {
    let store = project.annotations();
    let mut marks = Marks::new();
    for entry in project.slides() {
        let loaded = store.load(&entry.id)?;
        if let Some(trouble) = loaded.trouble {
            noteln!("{trouble}");
        }
        marks.insert(entry.id.clone(), Arc::new(loaded.set));
    }
    Ok(marks)
}

/// A question with what its examples stand for.
struct Question {
    positives: Vec<ShownExample>,
    negatives: Vec<ShownExample>,
    settings: QuerySettings,
}

impl Question {
    fn query(&self) -> Query {
        let examples = |list: &[ShownExample]| list.iter().map(|shown| shown.example.clone()).collect();
        Query {
            positives: examples(&self.positives),
            negatives: examples(&self.negatives),
            settings: self.settings.clone(),
        }
    }
}

/// The project's slides, opened when something about them has to be known.
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

fn question(
    args: &QueryArgs,
    project: &Project,
    index: &Snapshot,
    marks: &Marks,
    opened: &OpenedSlides<'_>,
) -> anyhow::Result<Question> {
    let build = QueryBuilder { index, marks, slides: opened };
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
        positives.extend(build.class(class)?);
    }
    if let Some(path) = &args.image {
        positives.push(embed_image(args, project, path)?);
    }
    if positives.is_empty() {
        bail!(
            "say what to look for: --slide with --at, --rect, --annotation or --whole, --like-class, or --image"
        );
    }
    let names = PatientNames::new(&args.patient_pattern)
        .with_context(|| format!("--patient-pattern {:?}", args.patient_pattern))?;
    let names = match &args.patient_list {
        Some(path) => names.with_list(query::read_patients(path).map_err(anyhow::Error::msg)?),
        None => names.with_list(project.patients()),
    };
    let paths: Vec<(&SlideId, PathBuf)> =
        project.slides().iter().map(|entry| (&entry.id, project.slide_path(entry))).collect();
    let slides = paths.iter().map(|(slide, path)| (*slide, path.as_path()));
    let listed = named(args, project)?;
    let among = builder::slides_among((args.patients, &names), own.as_deref(), slides, listed.as_deref());
    let mut settings = QuerySettings {
        scope: args.scope,
        among,
        marked: match (&args.class, args.marked) {
            (Some(class), _) => Marked::Class(class.clone()),
            (None, MarkedArg::Anywhere) => Marked::Anywhere,
            (None, MarkedArg::Annotated) => Marked::Annotated,
            (None, MarkedArg::Unannotated) => Marked::Unannotated,
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
    Ok(Question { positives, negatives, settings })
}

/// The slides that `--slides` names, if there are any.
fn named(args: &QueryArgs, project: &Project) -> anyhow::Result<Option<Vec<SlideId>>> {
    if args.among.is_empty() {
        return Ok(None);
    }
    args.among.iter().map(|name| Ok(Some(project.find_slide(name)?.id.clone()))).collect()
}

fn embed_image(args: &QueryArgs, project: &Project, path: &Path) -> anyhow::Result<ShownExample> {
    let picture = slide::open(path, args.image_mpp)?;
    let mut encoder = encoder::load(&project.encoder_name(), args.device)?;
    let recipe = project.recipe(encoder.spec());
    let descriptors = embed_picture(picture.as_ref(), encoder.as_mut(), &recipe)?;
    let info = picture.info();
    // A picture that is a slide of the project is not to find itself; any other lies on no slide.
    let is_ours = project.slides().iter().any(|entry| entry.id == info.id);
    let place = is_ours.then(|| TilePlace { slide: info.id.clone(), rect: info.extent() });
    let example = Example::Descriptors { name: info.name(), place: place.clone(), descriptors, file: None };
    Ok(ShownExample { example, place })
}

/// EmbedTiles a tile that is not among the embedded ones.
fn embed_missing_tile(
    args: &QueryArgs,
    project: &Project,
    opened: &OpenedSlides<'_>,
    place: &TilePlace,
    question: &mut Question,
) -> anyhow::Result<()> {
    let source = opened.get(&place.slide)?;
    let mut encoder = encoder::load(&project.encoder_name(), args.device)?;
    let tissue = TissueMask::find(source.as_ref(), &project.settings().tissue)?;
    if !tissue.has_tissue(&place.rect) {
        let (Level0Point { x, y }, name) = (place.rect.center(), source.info().name());
        bail!("there is no embedded tile at x {x:.0}, y {y:.0} of {name}: the place is not tissue");
    }
    let recipe = project.recipe(encoder.spec());
    let descriptors = embed_tiles(source.as_ref(), None, &[place.rect], encoder.as_mut(), &recipe)?;
    let examples = question.positives.iter_mut().chain(&mut question.negatives);
    builder::use_descriptor(examples, place, &source.info().name(), &descriptors[0]);
    Ok(())
}

/// File name of a slide, for people.
fn name(project: &Project, answer: &Answer, slide: &SlideId) -> String {
    if let Some(slide) = answer.from_archive(slide) {
        return slide.name.clone();
    }
    let path = project.find_slide(&slide.0).map(|entry| project.slide_path(entry));
    let name = path.ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    name.unwrap_or_else(|| slide.short().to_owned())
}

fn tell_tiles(project: &Project, answer: &Answer) {
    outln!(
        "{} nearest of {} tiles, {}, in {:.2} ms",
        answer.matches.len(),
        answer.searched,
        certainty(answer),
        answer.elapsed.as_secs_f64() * 1000.0
    );
    for found in &answer.matches {
        let name = name(project, answer, &found.slide);
        let place = answer.from_archive(&found.slide).map(|slide| format!("  {}", slide.location()));
        let (rank, at, place) = (found.rank, found.rect, place.unwrap_or_default());
        outln!("{rank:>4}  {:.4}  {name}  x {}, y {}{place}", found.distance, at.x, at.y);
    }
}

fn certainty(answer: &Answer) -> String {
    match &answer.archive {
        Some(archive) => archive.certainty(),
        None if answer.exact => "exact".to_owned(),
        None => "approximate".to_owned(),
    }
}

fn tell_slides(project: &Project, answer: &Answer) {
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

/// Where the histograms of an answer end.
fn farthest(answer: &Answer) -> f32 {
    answer.slides.first().map_or(0.0, |slide| slide.farthest)
}

/// A histogram as a line of bars.
fn bars(histogram: &[u32]) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = histogram.iter().copied().max().unwrap_or(0).max(1);
    histogram.iter().map(|count| BARS[(*count * 8).div_ceil(most) as usize]).collect()
}

/// The slides that an answer speaks of.
fn slides_of(project: &Project, answer: &Answer) -> anyhow::Result<Slides> {
    // Slides that only the archive has are named in the list, and have no pixels here.
    let mut ids = export::slides_of(answer);
    ids.retain(|id| answer.from_archive(id).is_none());
    ids.extend(answer.first().map(|tile| tile.slide.clone()));
    let open = |id: SlideId| {
        let entry = project.find_slide(&id.0)?;
        Ok((id, project.open_slide(entry)?))
    };
    ids.into_iter().map(open).collect()
}
