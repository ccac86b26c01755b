//! `histokin concepts apply`, `export` and `class-map`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::super::index::load_index;
use crate::concept::{self, Areas, Concept, PatientAreas, TileArea};
use crate::index::Snapshot;
use crate::interchange::write_maps;
use crate::number_format::counted;
use crate::pipeline::{NO_CONCEPT, Slides, write_areas, write_class_map};
use crate::project::Project;
use crate::query::similarity_map::{MapRequest, Reference, typical_distance};
use crate::slide::SlideId;

/// Options of `histokin concepts apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The project folder.
    #[arg(value_parser = super::super::project_folder())]
    project: PathBuf,
    /// Name of the concept.
    name: String,
    /// Largest distance of a tile that belongs to the concept [default: the concept's threshold].
    #[arg(long, value_name = "DISTANCE", value_parser = super::super::parse_distance)]
    threshold: Option<f32>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// Options of `histokin concepts export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    apply: ApplyArgs,
    /// Folder for the files, created if it does not exist.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
}

/// Options of `histokin concepts class-map`.
#[derive(Debug, Args)]
pub struct ClassMapArgs {
    /// The project folder.
    #[arg(value_parser = super::super::project_folder())]
    project: PathBuf,
    /// Names of the concepts [default: all of the project's encoder that have a threshold].
    names: Vec<String>,
    /// Folder for files of the map: a table of areas (CSV), and the regions of all classes of each slide for QuPath
    /// (GeoJSON) and ASAP (XML). Created if it does not exist.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// A concept and where it is found.
struct Applied {
    project: Project,
    index: Arc<Snapshot>,
    concept: Concept,
    areas: Vec<Areas>,
    patients: Vec<PatientAreas>,
}

impl Applied {
    fn of(args: &ApplyArgs) -> anyhow::Result<Self> {
        let project = Project::open(&args.project)?;
        let mut concept = super::load(&project)?.find(&args.name)?.clone();
        concept.threshold = args.threshold.or(concept.threshold);
        let index = Arc::new(load_index(&project)?.0);
        let areas = concept::areas(&index, &concept)?;
        let of_slides = super::patients(&project);
        let patients = concept::by_patient(&areas, |slide| of_slides.get(slide).cloned());
        Ok(Self { project, index, concept, areas, patients })
    }
}

/// Runs `histokin concepts apply`.
///
/// # Errors
/// When the concept does not apply to the project's slides, or has no threshold.
pub fn apply(args: &ApplyArgs) -> anyhow::Result<()> {
    let applied = Applied::of(args)?;
    if args.json {
        return super::super::print_json(&to_json(&applied));
    }
    let Applied { project, concept, areas, patients, .. } = &applied;
    super::print(concept);
    outln!("{:>10} {:>9} {:>8}  slide", "area mm²", "of mm²", "tiles");
    for slide in areas {
        let name = name(project, &slide.slide);
        outln!("{:>10.2} {:>9.2} {:>8}  {name}", slide.found.mm2, slide.of.mm2, slide.found.tiles);
    }
    outln!("{:>10} {:>9} {:>8}  patient", "area mm²", "of mm²", "tiles");
    for one in patients {
        outln!("{:>10.2} {:>9.2} {:>8}  {}", one.found.mm2, one.of.mm2, one.found.tiles, one.patient);
    }
    Ok(())
}

/// Runs `histokin concepts export`.
///
/// # Errors
/// As [`apply`], and when a file cannot be written.
pub fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let applied = Applied::of(&args.apply)?;
    let Applied { project, index, concept, areas, patients } = &applied;
    let stem = |slide: &SlideId| stem(project, slide);
    let slides = opened(project, areas.iter().filter(|found| found.found.tiles > 0))?;
    let mut files = write_areas(concept, (areas, patients), &slides, stem, &args.to)?;
    let shown = (0..index.sets().len() as u32).collect();
    let reference = Reference::Point(concept.direction.as_slice().into());
    let request = MapRequest { index: index.clone(), reference, shown };
    let scale = typical_distance(index);
    let maps = write_maps(&request, scale, stem, &args.to)?;
    files.extend(maps.into_iter().flat_map(|map| [map.picture, map.pyramid]));
    if args.apply.json {
        let mut document = to_json(&applied);
        document["files"] = json!(files);
        document["scale_distance"] = json!(scale);
        return super::super::print_json(&document);
    }
    outln!("{} in {}", counted(files.len() as u64, "file"), args.to.display());
    Ok(())
}

/// Runs `histokin concepts class-map`.
///
/// # Errors
/// When a concept does not apply to the project's slides, or has no threshold.
pub fn class_map(args: &ClassMapArgs) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    let loaded = super::load(&project)?;
    let (index, _) = load_index(&project)?;
    let applies = |concept: &&Concept| {
        index.sets().first().is_some_and(|set| concept.threshold_for(&set.header.recipe).is_ok())
    };
    let concepts: Vec<&Concept> = match args.names.as_slice() {
        [] => loaded.concepts.iter().filter(applies).collect(),
        names => names.iter().map(|name| loaded.find(name)).collect::<Result<_, _>>()?,
    };
    if concepts.is_empty() {
        bail!(
            "no concept of this project has both a threshold and the encoder of the embedded slides; see histokin concepts \
             list"
        );
    }
    let mut slides = Vec::new();
    for set in index.sets() {
        slides.push(concept::class_areas(set, &concepts)?);
    }
    let files = match &args.to {
        Some(folder) => {
            let found = slides.iter().flat_map(|areas| areas[..concepts.len()].iter());
            let opened = opened(&project, found.filter(|found| found.found.tiles > 0))?;
            write_class_map(&concepts, &slides, &opened, |slide| stem(&project, slide), folder)?
        }
        None => Vec::new(),
    };
    if args.json {
        let area = |(class, Areas { found, .. }): (usize, &Areas)| {
            json!({
                "concept": concepts.get(class).map(|concept| &concept.name),
                "class": concepts.get(class).map(|concept| &concept.class.name),
                "tiles": found.tiles,
                "area_mm2": found.mm2,
            })
        };
        let slides: Vec<Value> = slides
            .iter()
            .map(|areas| {
                let classes: Vec<Value> = areas.iter().enumerate().map(area).collect();
                let slide = &areas[0].slide;
                json!({ "slide_id": slide, "slide": name(&project, slide), "classes": classes })
            })
            .collect();
        return super::super::print_json(&json!({ "slides": slides, "files": files }));
    }
    for areas in &slides {
        outln!("{}", name(&project, &areas[0].slide));
        for (class, Areas { found, .. }) in areas.iter().enumerate().filter(|(_, one)| one.found.tiles > 0) {
            let label = concepts.get(class).map_or(NO_CONCEPT, |concept| &concept.name);
            outln!("{:>10.2} mm² {:>14}  {label}", found.mm2, counted(found.tiles as u64, "tile"));
        }
    }
    if let Some(folder) = &args.to {
        outln!("{} in {}", counted(files.len() as u64, "file"), folder.display());
    }
    Ok(())
}

/// Opens the slides on which something was found; reports those that cannot be opened.
fn opened<'a>(project: &Project, found: impl Iterator<Item = &'a Areas>) -> anyhow::Result<Slides> {
    let mut slides = Slides::new();
    for Areas { slide, .. } in found {
        if slides.contains_key(slide) {
            continue;
        }
        match project.open_slide(project.find_slide(&slide.0)?) {
            Ok(source) => _ = slides.insert(slide.clone(), source),
            Err(error) => noteln!("{error}; its regions are written for QuPath only"),
        }
    }
    Ok(slides)
}

/// File name of a slide without its ending.
fn stem(project: &Project, slide: &SlideId) -> String {
    let name = PathBuf::from(name(project, slide));
    name.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn to_json(applied: &Applied) -> Value {
    let of = |found: TileArea, of: TileArea| json!({ "tiles": found.tiles, "area_mm2": found.mm2, "of_tiles": of.tiles, "of_area_mm2": of.mm2 });
    let slide = |areas: &Areas| {
        let mut document = of(areas.found, areas.of);
        document["slide_id"] = json!(areas.slide);
        document["slide"] = json!(name(&applied.project, &areas.slide));
        document
    };
    let patient = |areas: &PatientAreas| {
        let mut document = of(areas.found, areas.of);
        document["patient"] = json!(areas.patient);
        document["slides"] = json!(areas.slides);
        document
    };
    json!({
        "concept": super::to_json(&applied.concept),
        "slides": applied.areas.iter().map(slide).collect::<Vec<_>>(),
        "patients": applied.patients.iter().map(patient).collect::<Vec<_>>(),
    })
}

fn name(project: &Project, slide: &SlideId) -> String {
    super::super::slide_name(project, slide)
}
