//! `histokin annotations`: imports, exports and lists annotations.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::annotation::{
    AnnotationSet, area_label, count_detections, counts_table, length_label, read_file, write_file,
};
use crate::durable;
use crate::geometry::Level0Point;
use crate::number_format::{counted, grouped};
use crate::paths;
use crate::project::Project;
use crate::slide::SlideInfo;

/// Options of `histokin annotations`.
#[derive(Debug, Args)]
pub struct AnnotationsArgs {
    #[command(subcommand)]
    command: AnnotationsCommand,
}

#[derive(Debug, Subcommand)]
enum AnnotationsCommand {
    /// Add the annotations in a QuPath GeoJSON file (.geojson, .json, .gz, .zip) or an ASAP or Aperio
    /// ImageScope XML file to a slide. Annotations that the slide already has are replaced: those with the
    /// same UUID, or with the same other ID in a file of the same name. Objects that cannot be interpreted
    /// are skipped and listed.
    Import(ImportArgs),
    /// Write the annotations of a slide for QuPath (.geojson, .geojson.gz) or ASAP (.xml), or the counts of its detections
    /// (.csv).
    Export(ExportArgs),
    /// List the annotations of a slide with their areas and lengths.
    List(ListArgs),
    /// Count the detections of each class within each annotation and on the whole slide, also per mm².
    Count(CountArgs),
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Slide of the project: its ID, path, file name, or file name without extension.
    #[arg(long, value_name = "SLIDE", value_parser = super::shown_name())]
    slide: String,
    /// The annotation file.
    file: PathBuf,
    /// Level-0 position of the origin of the file's coordinates [default: as QuPath and ASAP define it].
    #[arg(long, value_name = "X,Y", value_parser = super::parse_point, allow_hyphen_values = true)]
    origin: Option<Level0Point>,
    /// Import the areas of Camelyon16's group _2 as they are, instead of cutting them out of the tumour
    /// areas.
    #[arg(long)]
    keep_holes: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Slide of the project: its ID, path, file name, or file name without extension.
    #[arg(long, value_name = "SLIDE", value_parser = super::shown_name())]
    slide: String,
    /// The file to write: .geojson, .geojson.gz, .xml or .csv.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Slide of the project: its ID, path, file name, or file name without extension.
    #[arg(long, value_name = "SLIDE", value_parser = super::shown_name())]
    slide: String,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct CountArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Slide of the project: its ID, path, file name, or file name without extension.
    #[arg(long, value_name = "SLIDE", value_parser = super::shown_name())]
    slide: String,
    /// Write a table in CSV to this file instead of printing it.
    #[arg(short, long, value_name = "FILE", conflicts_with = "json")]
    output: Option<PathBuf>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs `histokin annotations`.
///
/// # Errors
/// When the project, the slide or the file cannot be read or written.
pub fn run(args: &AnnotationsArgs) -> anyhow::Result<()> {
    match &args.command {
        AnnotationsCommand::Import(args) => import(args),
        AnnotationsCommand::Export(args) => export(args),
        AnnotationsCommand::List(args) => list(args),
        AnnotationsCommand::Count(args) => count(args),
    }
}

/// Returns the project, the information about its slide, and the slide's annotations.
fn open(project: Project, slide: &str) -> anyhow::Result<(Project, SlideInfo, AnnotationSet)> {
    let entry = project.find_slide(slide)?;
    let source = project.open_slide(entry)?;
    let loaded = project.annotations().load(&entry.id)?;
    if let Some(trouble) = loaded.trouble {
        bail!("{trouble}; run the command again to continue without it");
    }
    let info = SlideInfo { id: entry.id.clone(), ..source.info().clone() };
    Ok((project, info, loaded.set))
}

fn import(args: &ImportArgs) -> anyhow::Result<()> {
    let mut file = read_file(&args.file)?;
    let project = Project::open(&args.project)?.claim()?;
    project.require_writable()?;
    let (mut project, info, mut set) = open(project, &args.slide)?;
    file.place_on(&info, args.origin);
    if !args.keep_holes {
        file.cut_camelyon16_holes();
    }
    let count = file.set.len();
    let known = set.len();
    let edit = file.edit_for(&set);
    set.take_over(&file.set);
    set.apply(edit);
    project.annotations().save(&info.id, &set)?;
    if project.add_classes(&file.set.classes()) {
        project.save()?;
    }
    let added = set.len() - known;
    if args.json {
        return super::print_json(&json!({
            "slide_id": info.id,
            "file": paths::shown(&args.file),
            "format": file.format.name(),
            "read": count,
            "added": added,
            "annotations": set.len(),
            "left_out": file.left_out.count,
            "left_out_objects": file.left_out.first,
            "parts_left_out": file.parts_left_out.count,
            "parts_left_out_objects": file.parts_left_out.first,
            "notes": file.notes,
        }));
    }
    let read = counted(count as u64, "annotation");
    outln!(
        "{}: {read} read, {} of them new; {} in all",
        info.name(),
        grouped(added as u64),
        grouped(set.len() as u64)
    );
    let empty = file.set.iter().filter(|one| one.shape().is_empty()).count();
    if empty > 0 {
        outln!("{empty} without a position on the slide; kept, and written again on export.");
    }
    file.notes.iter().for_each(|note| outln!("{note}"));
    Ok(())
}

fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let (_, info, set) = open(Project::open(&args.project)?, &args.slide)?;
    let notes = write_file(&args.output, &set, &info)
        .with_context(|| format!("the annotations of {} were not exported", info.name()))?;
    if args.json {
        return super::print_json(&json!({
            "slide_id": info.id,
            "file": paths::shown(&args.output),
            "annotations": set.len(),
            "notes": notes,
        }));
    }
    let written = counted(set.len() as u64, "annotation");
    outln!("{}: {written} written to {}", info.name(), args.output.display());
    notes.iter().for_each(|note| outln!("{note}"));
    Ok(())
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let (_, info, set) = open(Project::open(&args.project)?, &args.slide)?;
    if args.json {
        let annotations: Vec<_> = set
            .iter()
            .map(|one| {
                let shape = one.shape();
                let bounds = shape.bounds();
                json!({
                    "id": one.id.to_string(),
                    "parent": one.parent.map(|parent| parent.to_string()),
                    "shape": shape.noun().to_lowercase(),
                    "class": one.class.as_ref().map(|class| &class.name),
                    "name": one.name,
                    "locked": one.locked,
                    "bounds": bounds.map(|b| [b.min.x, b.min.y, b.width(), b.height()]),
                    "area_px2": shape.area_px2(),
                    "area_um2": info.mpp.and_then(|mpp| shape.area_um2(mpp)),
                    "length_px": shape.length_px(),
                    "length_um": info.mpp.and_then(|mpp| shape.length_um(mpp)),
                })
            })
            .collect();
        return super::print_json(&json!({ "slide_id": info.id, "annotations": annotations }));
    }
    for one in set.iter() {
        let size = area_label(one.shape(), info.mpp).or_else(|| length_label(one.shape(), info.mpp));
        let class = one.class.as_ref().map_or("no class", |class| class.name.as_str());
        outln!("{}\t{}\t{class}\t{}", one.title(), one.shape().noun(), size.unwrap_or_default());
    }
    Ok(())
}

fn count(args: &CountArgs) -> anyhow::Result<()> {
    let (_, info, set) = open(Project::open(&args.project)?, &args.slide)?;
    let size = (f64::from(info.width()), f64::from(info.height()));
    let counts = count_detections(&set, size, info.mpp);
    if args.json {
        let areas = counts.iter().map(|area| {
            let classes = area.classes.iter().map(
                |(class, count)| json!({ "class": class, "count": count, "per_mm2": area.per_mm2(*count) }),
            );
            json!({
                "annotation": area.annotation.as_ref().map(|one| one.id.to_string()),
                "title": area.annotation.as_ref().map(|one| &one.title),
                "annotation_class": area.annotation.as_ref().and_then(|one| one.class.as_ref()),
                "area_mm2": area.area_mm2,
                "count": area.total(),
                "classes": classes.collect::<Vec<_>>(),
            })
        });
        let areas: Vec<_> = areas.collect();
        return super::print_json(&json!({ "slide_id": info.id, "areas": areas }));
    }
    let table = counts_table(&counts)?;
    let Some(path) = &args.output else {
        out!("{table}");
        return Ok(());
    };
    durable::write(path, table.as_bytes()).with_context(|| format!("{} was not written", path.display()))?;
    outln!("{}: counts within {} areas written", path.display(), grouped(counts.len() as u64));
    Ok(())
}
