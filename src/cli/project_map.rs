//! `histokin project-map`: the descriptors of all slides on a plane.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::choice::choice;
use crate::durable;
use crate::evaluation::gather;
use crate::evaluation::map::{self, MapKind, MapStore, UmapSettings};
use crate::evaluation::sample::Sample;
use crate::paths;
use crate::project::Project;

#[derive(Debug, Args)]
pub struct ProjectMapArgs {
    /// The project's folder.
    project: PathBuf,
    /// Whose descriptors [default: the project's encoder].
    #[arg(long)]
    encoder: Option<String>,
    /// How the plane is found.
    #[arg(long, value_parser = choice::<MapKind>(), default_value = "umap")]
    kind: MapKind,
    /// Tiles that make up a neighbourhood (UMAP).
    #[arg(long, default_value_t = UmapSettings::default().neighbours)]
    neighbours: usize,
    /// Tiles beyond this number are placed among those laid out (UMAP).
    #[arg(long, default_value_t = UmapSettings::default().laid_out)]
    laid_out: usize,
    /// Seed of the layout's start.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Table to write: slide, x, y (level-0 pixels of the tile's corner), u, v (place on the map)
    /// [default: maps/<kind>-<encoder>.csv in the project].
    #[arg(long)]
    to: Option<PathBuf>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ProjectMapArgs) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    let spec = super::spec_in(&project, args.encoder.as_deref())?;
    if !(2..=200).contains(&args.neighbours) {
        bail!("--neighbours {}: give 2 to 200", args.neighbours);
    }
    let slides = gather::slides_of(&project)?;
    let candidate = gather::of_project(&project, &spec, &slides)?;
    let (sample, described) = Sample::gather(slides, vec![candidate])
        .with_context(|| format!("no slide of the project is embedded with {}", spec.name))?;
    let descriptors = described[0].descriptors()?;
    let points = match args.kind {
        MapKind::Pca => map::pca(descriptors, args.seed),
        MapKind::Umap => {
            let bar = indicatif::ProgressBar::new(1000);
            let settings = UmapSettings {
                neighbours: args.neighbours,
                laid_out: args.laid_out.max(100),
                seed: args.seed,
            };
            let points =
                MapStore::of_project(&project).umap(&spec.id.0, descriptors, &settings, &mut |share| {
                    bar.set_position((1000.0 * share) as u64);
                    true
                });
            bar.finish_and_clear();
            points.context("the layout was stopped")?
        }
    };
    let path = args.to.clone().unwrap_or_else(|| {
        let name = format!("{}-{}.csv", args.kind.name().to_lowercase(), spec.id.short());
        project.root().join("maps").join(name)
    });
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{}: the folder cannot be made", folder.display()))?;
    }
    durable::write(&path, &table(&sample, &points)?)
        .with_context(|| format!("{}: cannot be written", path.display()))?;
    if args.json {
        super::print_json(&json!({
            "encoder_id": spec.id,
            "kind": args.kind,
            "tiles": points.len(),
            "file": paths::shown(&path),
        }))
    } else {
        outln!("{} tiles: {}", points.len(), path.display());
        Ok(())
    }
}

fn table(sample: &Sample, points: &[[f32; 2]]) -> anyhow::Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["slide", "x", "y", "u", "v"])?;
    for (tile, [u, v]) in points.iter().enumerate() {
        let slide = &sample.slides[sample.tiles.slides[tile] as usize].name;
        let rect = sample.rects[tile];
        table.write_record([
            slide,
            &rect.x.to_string(),
            &rect.y.to_string(),
            &u.to_string(),
            &v.to_string(),
        ])?;
    }
    Ok(table.into_inner()?)
}
