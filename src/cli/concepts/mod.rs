//! `histokin concepts`: teaches, lists, applies and exports concepts.

mod apply;
mod teach;

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::annotation::AnnotationClass;
use crate::concept::{Concept, FEWEST_MARKS, LeftOut, LoadedConcepts};
use crate::number_format::counted;
use crate::project::Project;
use crate::query::PatientNames;
use crate::slide::SlideId;

/// Options of `histokin concepts`.
#[derive(Debug, Args)]
pub struct ConceptsArgs {
    #[command(subcommand)]
    command: ConceptsCommand,
}

#[derive(Debug, Subcommand)]
enum ConceptsCommand {
    /// Teach a concept with tiles of the same and of different tissue, and keep it with the project.
    Teach(teach::TeachArgs),
    /// List the concepts of a project, with their marks, thresholds and estimated precision.
    List(ListArgs),
    /// Find a concept on all slides of the project: its area on each slide and in each patient.
    Apply(apply::ApplyArgs),
    /// Write what a concept finds: tables of areas (CSV), regions for QuPath (GeoJSON) and ASAP (XML), and
    /// similarity maps (PNG, TIFF).
    Export(apply::ExportArgs),
    /// Give every tile the class of the concept that it belongs to, or none of them: tiles and areas of each class on
    /// each slide.
    ClassMap(apply::ClassMapArgs),
    /// Set or remove the threshold of a concept.
    Threshold(ThresholdArgs),
    /// Give a concept another name or another class.
    Rename(RenameArgs),
    /// Remove a concept.
    Remove(NamedArgs),
    /// Add a concept from another project, given its text file (.toml) in that project's folder `concepts`.
    Import(ImportArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct NamedArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Name of the concept.
    name: String,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RenameArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Name of the concept.
    name: String,
    /// The new name; the current one, to change only the class.
    #[arg(value_name = "NEW-NAME")]
    new_name: String,
    /// Annotation class of what it finds from now on [default: the class that it has].
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ThresholdArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Name of the concept.
    name: String,
    /// Largest distance of a tile that belongs to the concept [default: the one that the marks give; none if there
    /// are too few of them].
    #[arg(value_parser = super::parse_distance)]
    distance: Option<f32>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// The concept's text file (.toml); its numbers have to lie beside it.
    file: PathBuf,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs `histokin concepts`.
///
/// # Errors
/// When the project or a concept cannot be read or written.
pub fn run(args: &ConceptsArgs) -> anyhow::Result<()> {
    match &args.command {
        ConceptsCommand::Teach(args) => teach::run(args),
        ConceptsCommand::List(args) => list(args),
        ConceptsCommand::Apply(args) => apply::apply(args),
        ConceptsCommand::Export(args) => apply::export(args),
        ConceptsCommand::ClassMap(args) => apply::class_map(args),
        ConceptsCommand::Threshold(args) => threshold(args),
        ConceptsCommand::Rename(args) => rename(args),
        ConceptsCommand::Remove(args) => remove(args),
        ConceptsCommand::Import(args) => import(args),
    }
}

/// Returns the project for writing.
fn writable(path: &std::path::Path) -> anyhow::Result<Project> {
    let project = Project::open(path)?.claim()?;
    project.require_writable()?;
    Ok(project)
}

/// Returns the concepts of a project; reports damaged ones. Unless the project was claimed, they are left as they are.
pub(super) fn load(project: &Project) -> anyhow::Result<LoadedConcepts> {
    let store = project.concepts();
    let store = if project.shared_claim().is_some() { store } else { store.read_only() };
    let loaded = store.load()?;
    loaded.trouble.iter().for_each(|trouble| noteln!("{trouble}"));
    Ok(loaded)
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let loaded = load(&Project::open(&args.project)?)?;
    if args.json {
        let concepts: Vec<Value> = loaded.concepts.iter().map(to_json).collect();
        return super::print_json(&json!({ "concepts": concepts }));
    }
    if loaded.concepts.is_empty() {
        outln!("no concepts yet; teach one with histokin concepts teach");
    }
    loaded.concepts.iter().for_each(print);
    Ok(())
}

fn threshold(args: &ThresholdArgs) -> anyhow::Result<()> {
    let project = writable(&args.project)?;
    let mut concept = load(&project)?.find(&args.name)?.clone();
    concept.threshold = args.distance.or(concept.estimate.map(|estimate| estimate.distance));
    project.concepts().save(&concept)?;
    show(&concept, args.json)
}

fn rename(args: &RenameArgs) -> anyhow::Result<()> {
    let mut project = writable(&args.project)?;
    let mut concept = load(&project)?.find(&args.name)?.clone();
    if let Some(class) = &args.class {
        concept.class = AnnotationClass::among(class, &project.classes());
    }
    project.concepts().rename(&mut concept, &args.new_name)?;
    if args.class.is_some() && project.add_classes([&concept.class]) {
        project.save()?;
    }
    show(&concept, args.json)
}

fn remove(args: &NamedArgs) -> anyhow::Result<()> {
    let project = writable(&args.project)?;
    let name = load(&project)?.find(&args.name)?.name.clone();
    project.concepts().remove(&name)?;
    match args.json {
        true => super::print_json(&json!({ "removed": name })),
        false => {
            outln!("removed {name}");
            Ok(())
        }
    }
}

fn import(args: &ImportArgs) -> anyhow::Result<()> {
    let project = writable(&args.project)?;
    let concept = Concept::read(&args.file)?;
    if load(&project)?.find(&concept.name).is_ok() {
        bail!("there is a concept {:?} already; remove or rename it first", concept.name);
    }
    project.concepts().save(&concept)?;
    show(&concept, args.json)
}

/// Writes one concept to standard output.
fn show(concept: &Concept, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return super::print_json(&to_json(concept));
    }
    print(concept);
    Ok(())
}

fn to_json(concept: &Concept) -> Value {
    let [same, different] = concept.counts();
    let estimate = concept.estimate.as_ref();
    json!({
        "name": concept.name,
        "class": concept.class.name,
        "color": concept.class.color,
        "encoder_id": concept.recipe.encoder_id,
        "encoder": concept.recipe.encoder_name,
        "same": same,
        "different": different,
        "threshold": concept.threshold,
        "threshold_of_marks": estimate.map(|estimate| estimate.distance),
        "precision": estimate.and_then(|estimate| estimate.precision()),
        "precision_ci95": estimate.and_then(|estimate| estimate.interval()),
        "marks_within": estimate.map(|estimate| estimate.within),
        "left_out": estimate.map(|estimate| estimate.left_out),
        "fewest_marks": FEWEST_MARKS,
    })
}

fn print(concept: &Concept) {
    let [same, different] = concept.counts();
    let same = counted(same as u64, "tile");
    outln!(
        "{} (class {}): {same} of the same tissue, {different} of different tissue",
        concept.name,
        concept.class.name
    );
    match concept.threshold {
        Some(threshold) => outln!("    threshold {threshold:.3}"),
        None => outln!("    no threshold; set one with histokin concepts threshold, or mark more tiles"),
    }
    outln!("    {}", precision(concept));
}

/// Returns the patients of the project's slides, as far as they are known.
fn patients(project: &Project) -> HashMap<SlideId, String> {
    let names = PatientNames::usual().with_list(project.patients());
    let slides = project.slides().iter();
    slides.filter_map(|entry| Some((entry.id.clone(), names.of(&project.slide_path(entry))?))).collect()
}

/// The estimated precision of a concept in words.
fn precision(concept: &Concept) -> String {
    let Some(estimate) = &concept.estimate else {
        return format!(
            "too few marks to estimate a precision: that takes {FEWEST_MARKS} of the same and {FEWEST_MARKS} of different \
             tissue"
        );
    };
    let left_out = match estimate.left_out {
        LeftOut::Patients => "patients left out in turn",
        LeftOut::Slides => "slides left out in turn",
        LeftOut::Marks => "marks left out in turn; all of the same tissue lie on one or two slides",
    };
    match (estimate.precision(), estimate.interval()) {
        (Some(share), Some([low, high])) => format!(
            "precision of the marks within {:.3}: {:.0} % [{:.0}, {:.0}] of {}, {left_out}",
            estimate.distance,
            share * 100.0,
            low * 100.0,
            high * 100.0,
            estimate.within
        ),
        _ => "none of the marks lies within thresholds chosen without it".to_owned(),
    }
}
