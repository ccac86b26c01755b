//! `histokin heat-map`: how like one tile all tiles of slides are, as pictures with their place on the slide.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::index::load_index;
use crate::geometry::Level0Point;
use crate::index::TileRef;
use crate::project::Project;
use crate::slide::SlideId;
use crate::workers::heat::{HeatRequest, typical_distance, write_maps};

#[derive(Debug, Args)]
pub struct HeatMapArgs {
    /// The project's folder.
    project: PathBuf,
    /// Slide of the tile that is compared with: its id, path, file name or stem.
    #[arg(long, value_parser = super::shown_name())]
    slide: String,
    /// Place of that tile, in level-0 pixels.
    #[arg(long, value_parser = super::parse_point)]
    at: Level0Point,
    /// Slides to draw [default: that of the tile].
    #[arg(long)]
    on: Vec<String>,
    /// Folder for <slide>.png, one pixel a tile: bright is alike, transparent is not embedded; for <slide>.pgw, the
    /// world file that places it in level-0 pixels; and for <slide>.tif, the same as a pyramid that slide viewers open
    /// in its true size.
    #[arg(long)]
    to: PathBuf,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &HeatMapArgs) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    let index = Arc::new(load_index(&project)?.0);
    let place = |name: &str| -> anyhow::Result<u32> {
        let entry = project.find_slide(name)?;
        index.place(&entry.id).with_context(|| format!("{name} is not embedded; embed it first"))
    };
    let set = place(&args.slide)?;
    let Some(row) = index.sets()[set as usize].row_at(args.at) else {
        bail!("there is no embedded tile at {}, {} of {}", args.at.x, args.at.y, args.slide);
    };
    let shown: Vec<u32> = match args.on.as_slice() {
        [] => vec![set],
        named => named.iter().map(|name| place(name)).collect::<anyhow::Result<_>>()?,
    };
    let scale = typical_distance(&index);
    let request = HeatRequest { index: index.clone(), tile: TileRef { set, row }, shown };
    let stem = |slide: &SlideId| {
        let path = project.find_slide(&slide.0).map(|entry| project.slide_path(entry)).unwrap_or_default();
        path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    };
    let written: Vec<_> = write_maps(&request, scale, stem, &args.to)?
        .into_iter()
        .map(|map| {
            json!({
                "slide_id": map.slide,
                "file": map.picture,
                "pyramid": map.pyramid,
                "origin_level0": [0, 0],
                "pixel_level0": match map.tile_level0 {
                    [width, height] if width == height => json!(width),
                    both => json!(both),
                },
            })
        })
        .collect();
    if args.json {
        super::print_json(&json!({"scale_distance": scale, "maps": written}))
    } else {
        outln!("{} heat maps in {}", written.len(), args.to.display());
        Ok(())
    }
}
