//! `histokin query`: the tiles most like the one at a position.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use image::{Rgb, RgbImage};
use serde_json::json;

use crate::descriptors::Recipe;
use crate::encoder;
use crate::geometry::{Level0Point, Level0Rect};
use crate::index::Snapshot;
use crate::pipeline::contact_sheet;
use crate::project::Project;
use crate::query::{self, Answer, Query, Scope};
use crate::slide::{self, SlideId};
use crate::tiling::read_tile;

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The project's folder.
    project: PathBuf,
    /// The query's slide: id, path, file name or file stem.
    #[arg(long)]
    slide: String,
    /// Position of the query tile in level-0 pixels: X,Y.
    #[arg(long, value_parser = super::parse_point)]
    at: Level0Point,
    /// How many matches.
    #[arg(short, default_value_t = 20)]
    k: usize,
    /// Which slides may hold matches.
    #[arg(long, default_value = "all")]
    scope: Scope,
    /// Leave out tiles of the query's slide within this distance of the query tile, in µm.
    #[arg(long, default_value_t = 0.0)]
    exclude_um: f64,
    /// Write the query tile and its matches as one picture (PNG or JPEG), the query first.
    #[arg(long)]
    contact_sheet: Option<PathBuf>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &QueryArgs) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    let entry = project.find_slide(&args.slide)?;
    let index = load_index(&project)?;
    let path = project.slide_path(entry);
    let source = slide::open(&path, entry.user_mpp)?;
    let answer = query::ask(
        &index,
        &Query {
            slide: entry.id.clone(),
            at: args.at,
            scope: args.scope,
            count: args.k,
            exclude_um: args.exclude_um,
            mpp: source.info().require_mpp()?,
        },
    )?;
    if let Some(path) = &args.contact_sheet {
        write_contact_sheet(&project, &answer, path)?;
    }
    if args.json { print(&answer) } else { tell(&project, &answer) }
}

/// All finished descriptors of the project's own recipe.
fn load_index(project: &Project) -> anyhow::Result<Snapshot> {
    let settings = project.settings();
    let spec = encoder::spec(settings.encoder.as_deref().unwrap_or(encoder::DEFAULT))?;
    let recipe =
        Recipe { encoder_id: spec.id, encoder_name: spec.name, tiles: settings.tiles, stain: settings.stain };
    let store = project.descriptors();
    let mut sets = Vec::new();
    for entry in project.slides() {
        if let Some(set) = store.open(&entry.id, &recipe)? {
            sets.push(Arc::new(set));
        }
    }
    Ok(Snapshot::build(sets, None))
}

fn print(answer: &Answer) -> anyhow::Result<()> {
    let place = |slide: &SlideId, rect: &Level0Rect| json!({"slide": slide, "x": rect.x, "y": rect.y, "width": rect.width, "height": rect.height});
    let matches: Vec<_> = answer
        .matches
        .iter()
        .map(|found| {
            let mut document = place(&found.slide, &found.rect);
            document["rank"] = json!(found.rank);
            document["distance"] = json!(found.distance);
            document
        })
        .collect();
    super::print_json(&json!({
        "query": place(&answer.slide, &answer.rect),
        "exact": answer.exact,
        "searched": answer.searched,
        "elapsed_ms": answer.elapsed.as_secs_f64() * 1000.0,
        "matches": matches,
    }))
}

fn tell(project: &Project, answer: &Answer) -> anyhow::Result<()> {
    println!(
        "{} nearest of {} tiles, {}, in {:.2} ms",
        answer.matches.len(),
        answer.searched,
        if answer.exact { "exact" } else { "approximate" },
        answer.elapsed.as_secs_f64() * 1000.0
    );
    for found in &answer.matches {
        let entry = project.find_slide(&found.slide.0)?;
        let path = project.slide_path(entry);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        println!("{:>4}  {:.4}  {name}  x {}, y {}", found.rank, found.distance, found.rect.x, found.rect.y);
    }
    Ok(())
}

fn write_contact_sheet(project: &Project, answer: &Answer, path: &std::path::Path) -> anyhow::Result<()> {
    const TILE_PX: u32 = 160;
    let matches = answer.matches.iter().map(|found| (&found.slide, &found.rect));
    let tiles: Vec<RgbImage> = std::iter::once((&answer.slide, &answer.rect))
        .chain(matches)
        .map(|(id, rect)| {
            let entry = project.find_slide(&id.0)?;
            let source = slide::open(&project.slide_path(entry), entry.user_mpp)?;
            Ok(read_tile(source.as_ref(), rect, TILE_PX)?)
        })
        .collect::<anyhow::Result<_>>()?;
    let sheet = contact_sheet(&tiles, 7, Rgb([230, 120, 30]));
    super::render::write_picture(&sheet, path).with_context(|| format!("{} was not written", path.display()))
}
