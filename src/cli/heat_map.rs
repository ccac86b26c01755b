//! `histokin heat-map`: how like one tile all tiles of slides are, as pictures with their place on the slide.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use image::{GrayAlphaImage, LumaA};
use serde_json::json;

use super::index::load_index;
use crate::durable;
use crate::geometry::Level0Point;
use crate::index::TileRef;
use crate::interchange::{GridValues, write_map_tiff};
use crate::project::Project;
use crate::workers::heat::{HeatRequest, LikenessMap, likeness_maps, typical_distance};

#[derive(Debug, Args)]
pub struct HeatMapArgs {
    /// The project's folder.
    project: PathBuf,
    /// Slide of the tile that is compared with: its id, path, file name or stem.
    #[arg(long)]
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
    std::fs::create_dir_all(&args.to)
        .with_context(|| format!("{}: the folder cannot be made", args.to.display()))?;
    let scale = typical_distance(&index);
    let request = HeatRequest { index: index.clone(), tile: TileRef { set, row }, shown };
    let mut written = Vec::new();
    for map in likeness_maps(&request, scale).maps {
        let path = project.slide_path(project.find_slide(&map.slide.0)?);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (file, pyramid) = (format!("{stem}.png"), format!("{stem}.tif"));
        write(&args.to.join(&file), &map)?;
        let header = &index.sets()[place(&map.slide.0)? as usize].header;
        let tile_um = header.level0_mpp().x * f64::from(map.tile_level0);
        let values = GridValues { grid: map.grid, values: &map.likeness, tile_um };
        write_map_tiff(&args.to.join(&pyramid), values)?;
        written.push(json!({
            "slide_id": map.slide,
            "file": file,
            "pyramid": pyramid,
            "origin_level0": [0, 0],
            "pixel_level0": map.tile_level0,
        }));
    }
    if args.json {
        super::print_json(&json!({"scale_distance": scale, "maps": written}))
    } else {
        println!("{} heat maps in {}", written.len(), args.to.display());
        Ok(())
    }
}

/// A picture, one pixel a tile, and its world file (six lines: size and turn of a pixel, centre of the first one).
fn write(path: &Path, map: &LikenessMap) -> anyhow::Result<()> {
    let [columns, rows] = map.grid.map(|count| count as u32);
    let picture = GrayAlphaImage::from_fn(columns, rows, |x, y| {
        let likeness = map.likeness[(y * columns + x) as usize];
        LumaA([likeness, if likeness == 0 { 0 } else { 255 }])
    });
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png)?;
    let edge = f64::from(map.tile_level0);
    let world = format!("{edge}\n0\n0\n{edge}\n{}\n{}\n", edge / 2.0, edge / 2.0);
    for (path, bytes) in
        [(path.to_owned(), png.get_ref().as_slice()), (path.with_extension("pgw"), world.as_bytes())]
    {
        durable::write(&path, bytes).with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok(())
}
