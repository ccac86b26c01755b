//! `histokin tissue`: the tissue mask of a slide.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use image::DynamicImage;
use serde_json::json;

use crate::slide;
use crate::tissue::TissueMask;

#[derive(Debug, Args)]
pub struct TissueArgs {
    slide: PathBuf,
    /// The mask: tissue white, the rest black.
    #[arg(short)]
    output: PathBuf,
    /// Pixel size of the slide in µm, in place of its own: M or MX,MY.
    #[arg(long, value_parser = super::parse_mpp)]
    slide_mpp: Option<crate::geometry::MicronsPerPixel>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &TissueArgs) -> anyhow::Result<()> {
    let source = slide::open(&args.slide, args.slide_mpp)?;
    let tissue = TissueMask::of(source.as_ref())?;
    let mask = DynamicImage::ImageLuma8(tissue.mask.clone()).into_rgb8();
    crate::pipeline::write_picture(&mask, &args.output)
        .with_context(|| format!("{} was not written", args.output.display()))?;
    let info = source.info();
    let (width, height) = tissue.mask.dimensions();
    let area_mm2 = info.mpp.map(|mpp| {
        let slide_mm2 = f64::from(info.width()) * mpp.x * f64::from(info.height()) * mpp.y * 1e-6;
        slide_mm2 * tissue.coverage()
    });
    if args.json {
        return super::print_json(&json!({
            "slide_id": info.id,
            "path": info.path,
            "mask": args.output,
            "width": width,
            "height": height,
            "level0_per_pixel": [tissue.scale.0, tissue.scale.1],
            "tissue_fraction": tissue.coverage(),
            "tissue_mm2": area_mm2,
        }));
    }
    let area = area_mm2.map_or(String::new(), |mm2| format!(", {mm2:.1} mm²"));
    println!("{}: {:.1} % tissue{area}", info.name(), 100.0 * tissue.coverage());
    Ok(())
}
