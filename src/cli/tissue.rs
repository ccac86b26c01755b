//! `histokin tissue`: writes the tissue mask of a slide and counts the tiles to embed.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use image::DynamicImage;
use serde_json::json;

use super::tissue_options::TissueOptions;
use crate::number_format::counted;
use crate::paths;
use crate::pipeline::TileSelection;
use crate::project::{Project, ProjectSettings};
use crate::slide;
use crate::tiling::TileGrid;
use crate::tissue::TissueMask;
use crate::tissue::selection::Surface;

/// Options of `histokin tissue`.
#[derive(Debug, Args)]
pub struct TissueArgs {
    /// The slide.
    slide: PathBuf,
    /// Image file for the mask: tissue is white, everything else black.
    #[arg(short, long, value_name = "FILE", value_parser = super::image_file())]
    output: PathBuf,
    /// Use the settings and annotations of this project, and save the options given here in it.
    #[arg(long, value_name = "PROJECT", value_parser = super::project_folder())]
    project: Option<PathBuf>,
    /// Pixel size of the slide in µm, overriding the one in the file: M or MX,MY.
    #[arg(long, value_name = "UM", value_parser = super::parse_mpp)]
    slide_mpp: Option<crate::geometry::MicronsPerPixel>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tissue: TissueOptions,
}

/// Runs `histokin tissue`.
///
/// # Errors
/// When the slide or project cannot be read, or the mask cannot be written.
pub fn run(args: &TissueArgs) -> anyhow::Result<()> {
    let mut source = slide::open(&args.slide, args.slide_mpp)?;
    let (settings, selection) = match &args.project {
        Some(root) => {
            let project = with_options(args, root)?;
            if args.slide_mpp.is_none()
                && let Some(mpp) = project.user_mpp(&source.info().id)
            {
                source = slide::open(&args.slide, Some(mpp))?;
            }
            (project.settings().clone(), TileSelection::of_slide(&project, &source.info().id)?)
        }
        None => {
            let settings = ProjectSettings::default();
            let tissue = args.tissue.apply(&settings.tissue);
            (settings, TileSelection::new(tissue, None))
        }
    };
    let tissue = TissueMask::find(source.as_ref(), selection.settings())?;
    let mask = DynamicImage::ImageLuma8(tissue.mask.clone()).into_rgb8();
    crate::pipeline::write_picture(&mask, &args.output)
        .with_context(|| format!("{} was not written", args.output.display()))?;
    let info = source.info();
    let (width, height) = tissue.mask.dimensions();
    let area_mm2 = info.mpp.map(|mpp| {
        let slide_mm2 = f64::from(info.width()) * mpp.x() * f64::from(info.height()) * mpp.y() * 1e-6;
        slide_mm2 * tissue.coverage()
    });
    // A slide with unknown pixel size has no tile grid.
    let grid = TileGrid::new(info, settings.tiles).ok();
    let tiles = grid.map(|grid| selection.tiles(&tissue, &grid).len());
    let no_tiles = grid
        .filter(|_| tiles == Some(0))
        .map(|grid| selection.why_none(&tissue, &grid, info).advice(Surface::CommandLine));
    if args.json {
        return super::print_json(&json!({
            "slide_id": info.id,
            "path": paths::shown(&info.path),
            "mask": paths::shown(&args.output),
            "width": width,
            "height": height,
            "level0_per_pixel": [tissue.scale.0, tissue.scale.1],
            "tissue_fraction": tissue.coverage(),
            "tissue_mm2": area_mm2,
            "tiles": tiles,
            "no_tiles": no_tiles,
            "settings": selection.settings(),
        }));
    }
    let area = area_mm2.map_or(String::new(), |mm2| format!(", {mm2:.3} mm²"));
    let count = tiles.map_or(String::new(), |tiles| format!(", {} to embed", counted(tiles as u64, "tile")));
    outln!("{}: {:.1} % tissue{area}{count}", info.name(), 100.0 * tissue.coverage());
    if let Some(why) = no_tiles {
        noteln!("{}: warning: no tiles to embed: {why}", info.name());
    }
    Ok(())
}

/// Opens the project and applies the given options. Changed settings are saved.
fn with_options(args: &TissueArgs, root: &std::path::Path) -> anyhow::Result<Project> {
    let project = Project::open(root)?;
    let tissue = args.tissue.apply(&project.settings().tissue);
    if tissue == project.settings().tissue {
        return Ok(project);
    }
    let mut project = Project::open_to_write(root)?;
    project.require_writable()?;
    project.settings_mut().tissue = tissue;
    project.save()?;
    Ok(project)
}
