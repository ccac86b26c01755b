//! `histokin heat-map`: writes similarity maps of slides as georeferenced images.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::index::load_index;
use crate::geometry::Level0Point;
use crate::index::TileRef;
use crate::interchange::write_maps;
use crate::number_format::counted;
use crate::project::Project;
use crate::query::similarity_map::{MapRequest, Reference, typical_distance};
use crate::slide::SlideId;

/// Options of `histokin heat-map`.
#[derive(Debug, Args)]
pub struct HeatMapArgs {
    /// The project folder.
    #[arg(value_parser = super::project_folder())]
    project: PathBuf,
    /// Slide of the query tile: its ID, path, file name, or file name without extension.
    #[arg(long, value_name = "SLIDE", value_parser = super::shown_name())]
    slide: String,
    /// Position of the query tile in level-0 pixels: X,Y.
    #[arg(long, value_name = "X,Y", value_parser = super::parse_point, allow_hyphen_values = true)]
    at: Level0Point,
    /// Slide to draw; may be given several times [default: the slide of the query tile].
    #[arg(long, value_name = "SLIDE", value_parser = super::shown_name())]
    on: Vec<String>,
    /// Folder for the maps, created if it does not exist. For each slide: <slide>.png with one pixel per tile (bright: similar;
    /// transparent: not embedded), <slide>.pgw, the world file that locates it in level-0 pixels, and
    /// <slide>.tif, the same map as a pyramid that slide viewers open at its true size.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs `histokin heat-map`.
///
/// # Errors
/// When the project cannot be read, the tile is not embedded, or files cannot be written.
pub fn run(args: &HeatMapArgs) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    let index = Arc::new(load_index(&project)?.0);
    let position_of = |name: &str| -> anyhow::Result<u32> {
        let entry = project.find_slide(name)?;
        index.set_index(&entry.id).with_context(|| format!("{name} is not embedded; embed it first"))
    };
    let set = position_of(&args.slide)?;
    let Some(row) = index.sets()[set as usize].row_at(args.at) else {
        bail!(
            "there is no embedded tile at x {}, y {} of {}: this position is not tissue, or not embedded yet",
            args.at.x,
            args.at.y,
            args.slide
        );
    };
    let shown: Vec<u32> = match args.on.as_slice() {
        [] => vec![set],
        named => named.iter().map(|name| position_of(name)).collect::<anyhow::Result<_>>()?,
    };
    let scale = typical_distance(&index);
    let reference = Reference::Tile(TileRef { set, row });
    let request = MapRequest { index: index.clone(), reference, shown };
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
        outln!("{} in {}", counted(written.len() as u64, "heat map"), args.to.display());
        Ok(())
    }
}
