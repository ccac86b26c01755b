//! `histokin query`: the tiles, or the slides, most like what is named.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::index::load_index;
use crate::archive::ArchiveUrl;
use crate::encoder::{self, DeviceChoice};
use crate::geometry::{Level0Point, Level0Rect, MicronsPerPixel};
use crate::pipeline::{Slides, answer_sheet, describe_picture, describe_tiles, write_matches};
use crate::project::Project;
use crate::query::{
    self, Answer, Example, PatientNames, Patients, Query, QueryError, QuerySettings, Region, Scope,
    TilePlace, USUAL_PATTERN, export,
};
use crate::slide::{self, SlideId};
use crate::tiling::TileGrid;

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The project's folder.
    project: PathBuf,
    /// The query's slide: id, path, file name or file stem.
    #[arg(long)]
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
    #[arg(long, default_value = "all")]
    scope: Scope,
    /// Only these slides: id, path, file name or file stem; may be given several times.
    #[arg(long = "slides", value_name = "SLIDE", num_args = 1..)]
    among: Vec<String>,
    /// Which patients' slides may hold matches.
    #[arg(long, default_value = "any", requires = "slide")]
    patients: Patients,
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
    /// Only tiles of the archive in annotations of this class.
    #[arg(long)]
    class: Option<String>,
    /// Write the query tile and its matches as one picture (PNG or JPEG), the query first.
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

pub fn run(args: &QueryArgs) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    let (index, _) = load_index(&project)?;
    let mut query = question(args, &project)?;
    let mut answer = match query::ask(&index, &query) {
        // A place that is not embedded is described on the spot.
        Err(QueryError::NotEmbedded(slide) | QueryError::NoTileThere { slide, .. }) => {
            describe_missing(args, &project, &index, &slide, &mut query)?;
            query::ask(&index, &query)?
        }
        other => other?,
    };
    let own = project.archive().filter(|_| args.scope == Scope::Archive);
    let url = args.archive.as_deref().or(own.map(ArchiveUrl::as_str));
    match url {
        Some(url) => answer = ask_archive(args, url, &project, &index, &query)?,
        None if args.scope == Scope::Archive => {
            bail!("this project has no archive: name one with --archive postgresql://USER@HOST/DATABASE")
        }
        None => {}
    }
    if let Some(path) = &args.sheet {
        let sheet = answer_sheet(&answer, &slides_of(&project, &answer)?)?;
        crate::pipeline::write_picture(&sheet, path)
            .with_context(|| format!("{} was not written", path.display()))?;
    }
    if let Some(folder) = &args.annotations {
        std::fs::create_dir_all(folder).with_context(|| format!("{} was not made", folder.display()))?;
        write_matches(&answer, &slides_of(&project, &answer)?, folder)?;
    }
    if let Some(path) = &args.csv {
        let csv = export::to_csv(&answer, |slide| name(&project, &answer, slide))?;
        crate::durable::write(path, csv.as_ref())
            .with_context(|| format!("{} was not written", path.display()))?;
    }
    match (args.json, args.rank) {
        (true, _) => super::print_json(&export::to_json(&answer))?,
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
    index: &crate::index::Snapshot,
    query: &Query,
) -> anyhow::Result<Answer> {
    use crate::archive::search::{SearchSettings, ask};
    let mut settings = SearchSettings {
        exact: args.exact,
        class: args.class.clone(),
        patients: args.patients,
        among: named(args, project)?,
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
    _: &crate::index::Snapshot,
    _: &Query,
) -> anyhow::Result<Answer> {
    bail!("this build of histokin was made without archives")
}

fn question(args: &QueryArgs, project: &Project) -> anyhow::Result<Query> {
    let mut like = Vec::new();
    let mut unlike = Vec::new();
    let mut among = None;
    if let Some(name) = &args.slide {
        let entry = project.find_slide(name)?;
        let slide = &entry.id;
        let tile = |at: &Level0Point| Example::Tile { slide: slide.clone(), at: *at };
        like.extend(args.at.iter().map(tile));
        unlike.extend(args.not_at.iter().map(tile));
        let region =
            |rect: &Level0Rect| Example::Region { slide: slide.clone(), region: Region::Rect(*rect) };
        like.extend(args.rect.iter().map(region));
        if args.whole {
            like.push(region(&slide::open(&project.slide_path(entry), entry.user_mpp)?.info().extent()));
        }
        if args.patients != Patients::Any {
            let names = PatientNames::new(&args.patient_pattern)
                .with_context(|| format!("--patient-pattern {:?}", args.patient_pattern))?;
            let own = project.slide_path(entry);
            let accepted = project
                .slides()
                .iter()
                .filter(|other| args.patients.accept(&names, &own, &project.slide_path(other)));
            among = Some(accepted.map(|other| other.id.clone()).collect());
        }
    }
    if let Some(named) = named(args, project)? {
        let of_patients: Option<Vec<SlideId>> = among.take();
        let both = |slide: &SlideId| of_patients.as_ref().is_none_or(|accepted| accepted.contains(slide));
        among = Some(named.into_iter().filter(both).collect());
    }
    if let Some(path) = &args.image {
        like.push(describe_image(args, project, path)?);
    }
    if like.is_empty() {
        bail!("say what to look for: --slide with --at, --rect or --whole, or --image");
    }
    let settings = QuerySettings {
        scope: args.scope,
        among,
        count: args.k,
        exclude_um: args.exclude_um,
        max_distance: args.max_distance,
        apart_um: args.apart_um,
        diversity: args.diverse,
        rank_slides: args.rank == Rank::Slides,
    };
    Ok(Query { like, unlike, settings })
}

/// The slides that `--slides` names, if there are any.
fn named(args: &QueryArgs, project: &Project) -> anyhow::Result<Option<Vec<SlideId>>> {
    if args.among.is_empty() {
        return Ok(None);
    }
    args.among.iter().map(|name| Ok(Some(project.find_slide(name)?.id.clone()))).collect()
}

fn describe_image(args: &QueryArgs, project: &Project, path: &Path) -> anyhow::Result<Example> {
    let picture = slide::open(path, args.image_mpp)?;
    let mut encoder = encoder::load(&project.encoder_name(), args.device)?;
    let recipe = project.recipe(encoder.spec());
    let descriptors = describe_picture(picture.as_ref(), encoder.as_mut(), &recipe)?;
    Ok(Example::Described { name: picture.info().name(), place: None, descriptors })
}

/// Describe the named tiles of a slide that are not among the embedded ones.
fn describe_missing(
    args: &QueryArgs,
    project: &Project,
    index: &crate::index::Snapshot,
    slide: &SlideId,
    query: &mut Query,
) -> anyhow::Result<()> {
    let entry = project.find_slide(&slide.0)?;
    let source = slide::open(&project.slide_path(entry), entry.user_mpp)?;
    let mut encoder = encoder::load(&project.encoder_name(), args.device)?;
    let recipe = project.recipe(encoder.spec());
    let grid = TileGrid::new(source.info(), recipe.tiles)?;
    let tissue = crate::tissue::TissueMask::of(source.as_ref())?;
    let set = index.place(slide).map(|place| &index.sets()[place as usize]);
    for example in query.like.iter_mut().chain(&mut query.unlike) {
        let Example::Tile { slide: own, at } = &*example else { continue };
        if own != slide || set.is_some_and(|set| set.row_at(*at).is_some()) {
            continue;
        }
        let tile = grid.tile_at(*at).map(|tile| grid.rect(tile));
        let tile = tile.filter(|rect| tissue.fraction(rect) >= crate::tissue::TISSUE_FRACTION);
        let Some(rect) = tile else {
            bail!(QueryError::NoTileThere { slide: slide.clone(), x: at.x, y: at.y });
        };
        let descriptors = describe_tiles(source.as_ref(), Some(&tissue), &[rect], encoder.as_mut(), &recipe)?;
        let place = Some(TilePlace { slide: slide.clone(), rect });
        *example = Example::Described { name: source.info().name(), place, descriptors };
    }
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
    println!(
        "{} nearest of {} tiles, {}, in {:.2} ms",
        answer.matches.len(),
        answer.searched,
        certainty(answer),
        answer.elapsed.as_secs_f64() * 1000.0
    );
    for found in &answer.matches {
        let name = name(project, answer, &found.slide);
        let place = answer.from_archive(&found.slide).map(|slide| format!("  {}", slide.whereabouts()));
        let (rank, at, place) = (found.rank, found.rect, place.unwrap_or_default());
        println!("{rank:>4}  {:.4}  {name}  x {}, y {}{place}", found.distance, at.x, at.y);
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
    println!("rank  median of the nearest  matches  tiles  slide");
    for (rank, slide) in (1..).zip(&answer.slides) {
        println!(
            "{rank:>4}  {:>21.4}  {:>7}  {:>5}  {}",
            slide.median_distance,
            slide.matches,
            slide.tiles,
            name(project, answer, &slide.slide)
        );
    }
}

/// The slides that an answer speaks of.
fn slides_of(project: &Project, answer: &Answer) -> anyhow::Result<Slides> {
    // Slides that only the archive has are named in the list, and have no pixels here.
    let mut ids = export::slides_of(answer);
    ids.retain(|id| answer.from_archive(id).is_none());
    ids.extend(answer.first().map(|tile| tile.slide.clone()));
    let open = |id: SlideId| {
        let entry = project.find_slide(&id.0)?;
        Ok((id, slide::open(&project.slide_path(entry), entry.user_mpp)?))
    };
    ids.into_iter().map(open).collect()
}
