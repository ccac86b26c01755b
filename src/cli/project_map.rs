//! `histokin project-map`: projects the descriptors of all slides onto a plane.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::choice::choice;
use super::progress::ShareBar;
use crate::durable;
use crate::evaluation::gather;
use crate::evaluation::map::{self, MapKind, MapStore, UmapSettings};
use crate::evaluation::sample::Sample;
use crate::number_format::counted;
use crate::paths;
use crate::project::Project;

/// Options of `histokin project-map`.
#[derive(Debug, Args)]
pub struct ProjectMapArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Encoder whose descriptors are projected: its name or path, or its encoder_id [default: the project's encoder].
    #[arg(long, value_name = "ENCODER")]
    encoder: Option<String>,
    /// Method of projection.
    #[arg(long, value_parser = choice::<MapKind>(), default_value = "umap")]
    kind: MapKind,
    /// UMAP: number of neighbours of each tile, 2 to 200.
    #[arg(long, value_name = "NUMBER", default_value_t = UmapSettings::default().neighbours, value_parser = super::count(2, 200))]
    neighbours: usize,
    /// UMAP: maximum number of tiles in the layout, at least 100; further tiles are placed near their neighbours in it.
    #[arg(long, value_name = "TILES", default_value_t = UmapSettings::default().laid_out, value_parser = super::count(100, 10_000_000))]
    laid_out: usize,
    /// Seed of the random initialisation.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// CSV file to write: slide, x, y (the tile's upper left corner in level-0 pixels), u, v (position on the
    /// map) [default: maps/<kind>-<encoder>.csv in the project].
    #[arg(short, long, alias = "to", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs `histokin project-map`.
///
/// # Errors
/// When the project cannot be read, no slide is embedded, or the table cannot be written.
pub fn run(args: &ProjectMapArgs) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    let spec = super::spec_in(&project, args.encoder.as_deref())?;
    let slides = gather::slides_of(&project)?;
    let candidate = gather::of_project(&project, &spec, &slides)?;
    let (sample, described) = Sample::gather(slides, vec![candidate])
        .with_context(|| format!("no slide of the project is embedded with {}", spec.name))?;
    let descriptors = described[0].descriptors()?;
    let points = match args.kind {
        MapKind::Pca => map::pca(descriptors, args.seed),
        MapKind::Umap => {
            let bar = ShareBar::new("project-map");
            let settings =
                UmapSettings { neighbours: args.neighbours, laid_out: args.laid_out, seed: args.seed };
            let points =
                MapStore::of_project(&project).umap(&spec.id.0, descriptors, &settings, &mut |share| {
                    bar.show(share, "");
                    true
                });
            bar.finish();
            points.context("the layout was stopped")?
        }
    };
    let path = args.output.clone().unwrap_or_else(|| {
        let name = format!("{}-{}.csv", args.kind.name().to_lowercase(), spec.id.short());
        project.root().join("maps").join(name)
    });
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{}: the folder cannot be created", folder.display()))?;
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
        outln!("{}: {}", counted(points.len() as u64, "tile"), path.display());
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
