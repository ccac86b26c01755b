//! `histokin info`: prints the properties of slides.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::paths;
use crate::slide::calibration::SlideWarning;
use crate::slide::{self, MppSource, SlideInfo};

/// Options of `histokin info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Slides, or folders of slides.
    #[arg(required = true, value_name = "SLIDE or FOLDER")]
    slides: Vec<PathBuf>,
    /// Pixel size in µm, overriding the one in the files: M or MX,MY.
    #[arg(long, value_name = "UM", value_parser = super::parse_mpp)]
    slide_mpp: Option<crate::geometry::MicronsPerPixel>,
    /// Omit path and file name, which may contain a person's name. The remaining output is the same for every
    /// copy of the slide, because the slide ID is derived from its content.
    #[arg(long)]
    deidentified: bool,
    /// Write one JSON document: an object for one slide, a list of them for several.
    #[arg(long)]
    json: bool,
}

/// Runs `histokin info`.
///
/// # Errors
/// When a slide cannot be read.
pub fn run(args: &InfoArgs) -> anyhow::Result<()> {
    let slides: Vec<PathBuf> =
        args.slides.iter().map(|path| in_folder(path)).collect::<anyhow::Result<Vec<_>>>()?.concat();
    if let [slide] = slides.as_slice() {
        let document = one(slide, args)?;
        return if args.json { super::print_json(&document) } else { Ok(()) };
    }
    let mut documents = Vec::new();
    for slide in &slides {
        match one(slide, args) {
            Ok(document) => documents.push(document),
            Err(error) => noteln!("{}", super::in_words(&error)),
        }
    }
    let failed = slides.len() - documents.len();
    if args.json {
        super::print_json(&json!(documents))?;
    }
    if failed > 0 {
        bail!("{failed} of {} slides cannot be read", slides.len());
    }
    Ok(())
}

/// Returns a file as it is given, and the slides of a folder.
fn in_folder(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path.is_dir() { super::slides_in(&[path.to_owned()]) } else { Ok(vec![path.to_owned()]) }
}

/// Returns the properties of a slide as JSON; without `--json` also prints them as text.
fn one(slide: &Path, args: &InfoArgs) -> anyhow::Result<serde_json::Value> {
    let source = slide::open(slide, args.slide_mpp)?;
    let path = (!args.deidentified).then_some(slide);
    if !args.json {
        print(source.info(), path);
    }
    Ok(document(source.info(), path))
}

fn document(info: &SlideInfo, path: Option<&Path>) -> serde_json::Value {
    let levels: Vec<_> = info
        .levels
        .iter()
        .map(|level| {
            json!({
                "width": level.width,
                "height": level.height,
                "downsample": level.downsample.mean(),
                "downsample_x": level.downsample.x,
                "downsample_y": level.downsample.y,
            })
        })
        .collect();
    let mut document = json!({
        "slide_id": info.id,
        "vendor": info.vendor,
        "reader": info.reader,
        "width": info.width(),
        "height": info.height(),
        "levels": levels,
        "mpp_x": info.mpp.map(|mpp| mpp.x()),
        "mpp_y": info.mpp.map(|mpp| mpp.y()),
        "mpp_source": info.mpp_source,
        "objective_power": info.objective_power,
        "associated": info.associated,
        "warnings": warnings(info),
        "suggested_mpp": info.suggested_mpp().map(|mpp| mpp.mean()),
    });
    if let Some(path) = path {
        paths::put(&mut document, "path", path);
    }
    document
}

/// The warnings as JSON: their fields and their text.
fn warnings(info: &SlideInfo) -> Vec<serde_json::Value> {
    let one = |warning: &SlideWarning| {
        let mut fields = json!(warning);
        fields["text"] = json!(warning.text());
        fields
    };
    info.warnings.iter().map(one).collect()
}

/// A size in µm to five decimals, without zeros at its end: sizes in files are the quotients of other numbers.
fn short(um: f64) -> String {
    format!("{um:.5}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn print(info: &SlideInfo, path: Option<&Path>) {
    outln!("{}", path.unwrap_or(Path::new("slide")).display());
    outln!("  slide ID       {}", info.id);
    outln!("  format         {}", info.vendor);
    outln!("  size           {} × {} px", info.width(), info.height());
    match (info.mpp, info.mpp_source) {
        (Some(mpp), source) => {
            let origin = if source == MppSource::User { "set by you" } else { "from the file" };
            outln!("  pixel size     {} × {} µm ({origin})", short(mpp.x()), short(mpp.y()));
            let mm = |px: u32, um: f64| f64::from(px) * um / 1000.0;
            outln!(
                "  extent         {:.2} × {:.2} mm",
                mm(info.width(), mpp.x()),
                mm(info.height(), mpp.y())
            );
        }
        _ => outln!("  pixel size     unknown (give it with --slide-mpp)"),
    }
    if let Some(power) = info.objective_power {
        outln!("  objective      {power}×");
    }
    for (number, level) in info.levels.iter().enumerate() {
        let scale = match level.downsample {
            both if both.x == both.y => format!("{:.4}", both.x),
            each => format!("{:.4} × {:.4}", each.x, each.y),
        };
        outln!("  level {number}        {} × {} px, 1 : {scale}", level.width, level.height);
    }
    if !info.associated.is_empty() {
        outln!("  associated     {}", info.associated.join(", "));
    }
    for line in super::warning_lines(info) {
        outln!("  warning        {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn sizes_are_written_as_people_do() {
        assert_eq!(
            [0.499_000_002_046_679_7, 0.25, 2.0, 0.227_312].map(short),
            ["0.499", "0.25", "2", "0.22731"]
        );
    }
}
