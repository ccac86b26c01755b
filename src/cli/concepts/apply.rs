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
use crate::pipeline::{Slides, write_areas};
use crate::project::Project;
use crate::query::similarity_map::{MapRequest, Reference, typical_distance};
use crate::slide::SlideId;

/// Options of `histokin concepts apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The project folder.
    project: PathBuf,
    /// Name of the concept.
    name: String,
    /// Largest distance of a tile that belongs to the concept [default: the concept's threshold].
    #[arg(long, value_parser = super::parse_distance)]
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
    /// Folder for the files.
    #[arg(long)]
    to: PathBuf,
}

/// Options of `histokin concepts class-map`.
#[derive(Debug, Args)]
pub struct ClassMapArgs {
    /// The project folder.
    project: PathBuf,
    /// Names of the concepts [default: all of the project's encoder that have a threshold].
    names: Vec<String>,
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
    let stem = |slide: &SlideId| {
        let name = PathBuf::from(name(project, slide));
        name.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    };
    let mut slides = Slides::new();
    for found in areas.iter().filter(|found| found.found.tiles > 0) {
        match project.open_slide(project.find_slide(&found.slide.0)?) {
            Ok(source) => _ = slides.insert(found.slide.clone(), source),
            Err(error) => noteln!("{error}; its regions are written for QuPath only"),
        }
    }
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
        slides.push((set.header.slide_id.clone(), concept::class_areas(set, &concepts)?));
    }
    let none = concepts.len();
    let label = |class: usize| concepts.get(class).map_or("none of them", |concept| &concept.name);
    if args.json {
        let area = |class: usize, area: &TileArea| {
            json!({
                "concept": concepts.get(class).map(|concept| &concept.name),
                "class": concepts.get(class).map(|concept| &concept.class.name),
                "tiles": area.tiles,
                "area_mm2": area.mm2,
            })
        };
        let slides: Vec<Value> = slides
            .iter()
            .map(|(slide, areas)| {
                let classes: Vec<Value> =
                    areas.iter().enumerate().map(|(class, one)| area(class, one)).collect();
                json!({ "slide_id": slide, "slide": name(&project, slide), "classes": classes })
            })
            .collect();
        return super::super::print_json(&json!({ "slides": slides }));
    }
    for (slide, areas) in &slides {
        outln!("{}", name(&project, slide));
        for class in (0..=none).filter(|class| areas[*class].tiles > 0) {
            outln!("{:>10.2} mm² {:>8} tiles  {}", areas[class].mm2, areas[class].tiles, label(class));
        }
    }
    Ok(())
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
