//! `histokin index`: builds or checks a project's index.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::descriptors::{DescriptorSet, Row};
use crate::encoder;
use crate::index::segment::Segment;
use crate::index::{Snapshot, TileFilter, brute_force};
use crate::number_format::counted;
use crate::project::{Project, SlideEntry};
use crate::slide::SlideError;

/// Number of queries when the index is checked.
const SAMPLE: usize = 50;
/// Number of nearest tiles per query.
const NEIGHBOURS: usize = 20;

/// Options of `histokin index`.
#[derive(Debug, Args)]
pub struct IndexArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Check that every slide of the project has complete descriptors, check the index files, and compare
    /// answers with an exhaustive search.
    #[arg(long)]
    verify: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// Opens or builds the index of all completed descriptors of the project's recipe. Also returns the time that
/// it took, in seconds.
///
/// # Errors
/// When the encoder or the descriptors cannot be read.
pub fn load_index(project: &Project) -> anyhow::Result<(Snapshot, f64)> {
    let recipe = project.recipe(&encoder::spec(&project.encoder_name())?);
    let store = project.descriptors();
    let mut sets = Vec::new();
    for entry in project.slides() {
        if let Some(set) = store.open(&entry.id, &recipe)? {
            sets.push(Arc::new(set));
        }
    }
    let started = Instant::now();
    let index = Snapshot::build(sets, None, Some(&project.index_cache()));
    Ok((index, started.elapsed().as_secs_f64()))
}

/// Runs `histokin index`.
///
/// # Errors
/// When the project cannot be read, or `--verify` finds a fault.
pub fn run(args: &IndexArgs) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    // Report damaged files before opening the index, which deletes them.
    let damaged = if args.verify { project.index_cache().check() } else { Vec::new() };
    for (path, reason) in &damaged {
        noteln!("{}: {reason}; it is rebuilt", path.display());
    }
    if args.verify {
        let recipe = project.recipe(&encoder::spec(&project.encoder_name())?);
        for entry in project.slides() {
            // Damaged descriptors are moved aside and reported.
            project.descriptors().verify(&entry.id, &recipe)?;
        }
    }
    let replaced = if args.verify { replaced(&project) } else { Vec::new() };
    replaced.iter().for_each(|error| noteln!("{error}"));
    let (index, seconds) = load_index(&project)?;
    index.grow_trees();
    let differing = if args.verify { differing(&index) } else { 0 };
    let missing = if args.verify { missing(&project, &index) } else { Vec::new() };
    for path in &missing {
        noteln!("{}: has no descriptors; embed it", path.display());
    }
    let bytes: usize = index.segments().map(Segment::index_bytes).sum();
    let tiles = index.len();
    if args.json {
        super::print_json(&json!({
            "slides": index.sets().len(),
            "tiles": tiles,
            "segments": index.segments().count(),
            "mapped": index.segments().all(Segment::is_mapped),
            "index_bytes": bytes,
            "seconds": seconds,
            "verified": args.verify,
            "damaged_files": damaged.len(),
            "differing_answers": differing,
            "slides_missing": missing.len(),
            "slides_replaced": replaced.len(),
        }))?;
    } else {
        outln!(
            "{} of {}, {}, {} bytes of index per tile, ready in {seconds:.3} s",
            counted(tiles as u64, "tile"),
            counted(index.sets().len() as u64, "slide"),
            counted(index.segments().count() as u64, "sealed segment"),
            bytes / tiles.max(1),
        );
        if args.verify {
            outln!("{differing} of {} differ from brute force", counted(SAMPLE.min(tiles) as u64, "answer"));
            outln!(
                "{} of {} without descriptors",
                missing.len(),
                counted(project.slides().len() as u64, "slide")
            );
        }
    }
    if differing > 0 || !damaged.is_empty() || !missing.is_empty() || !replaced.is_empty() {
        bail!(
            "{} damaged, {} differing, {} without descriptors, {} replaced by another one",
            counted(damaged.len() as u64, "index file"),
            counted(differing as u64, "answer"),
            counted(missing.len() as u64, "slide"),
            counted(replaced.len() as u64, "slide")
        );
    }
    Ok(())
}

/// Errors of slides whose file has been replaced by another slide. Unreadable files are not included.
fn replaced(project: &Project) -> Vec<SlideError> {
    let is_replaced = |error: &SlideError| matches!(error, SlideError::Replaced { .. });
    project.slides().iter().filter_map(|entry| project.open_slide(entry).err()).filter(is_replaced).collect()
}

/// Slides of the project that are not in the index.
fn missing(project: &Project, index: &Snapshot) -> Vec<PathBuf> {
    let is_missing = |entry: &&SlideEntry| index.set_index(&entry.id).is_none();
    project.slides().iter().filter(is_missing).map(|entry| project.slide_path(entry)).collect()
}

/// Number of answers in a sample that differ from brute force.
fn differing(index: &Snapshot) -> usize {
    let sets: &[Arc<DescriptorSet>] = index.sets();
    let positions: Vec<u32> = (0..sets.len() as u32).collect();
    let rows = sets.iter().flat_map(|set| (0..set.len() as u32).map(move |row| (set, Row(row))));
    let step = index.len().div_ceil(SAMPLE).max(1);
    let filter = TileFilter::default();
    rows.step_by(step)
        .filter(|(set, row)| {
            let query = set.descriptor(*row);
            let expected = brute_force::nearest(sets, &positions, query, &filter, NEIGHBOURS);
            index.nearest(query, &filter, NEIGHBOURS) != expected
        })
        .count()
}
