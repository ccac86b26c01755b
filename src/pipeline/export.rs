//! Answers as files: for spreadsheets, for other programs, for a slide of a talk.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use image::{Rgb, RgbImage};

use super::contact_sheet;
use crate::annotation::{self, AnnotationError};
use crate::durable;
use crate::geometry::Level0Rect;
use crate::query::{Answer, export};
use crate::slide::{SlideError, SlideId, SlideSource};
use crate::tiling::read_tile;

/// Side of a tile on a sheet, in pixels.
const SHEET_TILE_PX: u32 = 160;
const SHEET_COLUMNS: u32 = 7;
const QUERY_FRAME: Rgb<u8> = Rgb([230, 120, 30]);

/// Slides by their identity.
pub type Slides = HashMap<SlideId, Arc<dyn SlideSource>>;

/// Why an answer was not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("{}: {source}; check that the folder is writable and has space", path.display())]
    Io { path: std::path::PathBuf, source: std::io::Error },
    #[error(transparent)]
    Slide(#[from] SlideError),
    #[error(transparent)]
    Annotations(#[from] AnnotationError),
    #[error("the answer could not be written out: {0}")]
    Format(String),
}

/// The query's first tile, framed, and its matches as one picture. Tiles of slides that are not among `slides` are
/// left out.
pub fn answer_sheet(answer: &Answer, slides: &Slides) -> Result<RgbImage, SlideError> {
    let query = answer.first().map(|tile| (&tile.slide, tile.rect));
    let matches = answer.matches.iter().map(|found| (&found.slide, found.rect));
    let read = |(slide, rect): (&SlideId, Level0Rect)| {
        Some(read_tile(slides.get(slide)?.as_ref(), &rect, SHEET_TILE_PX))
    };
    let tiles: Vec<RgbImage> = query.into_iter().chain(matches).filter_map(read).collect::<Result<_, _>>()?;
    Ok(contact_sheet(&tiles, SHEET_COLUMNS, QUERY_FRAME))
}

/// Write `matches.csv`, `matches.json`, `matches.png` and for each slide with matches a file for QuPath and one
/// for ASAP into `folder`, which is made.
pub fn write_answer(answer: &Answer, slides: &Slides, folder: &Path) -> Result<(), ExportError> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        durable::write(&path, bytes).map_err(|source| ExportError::Io { path, source })
    };
    let format = |error: &dyn std::fmt::Display| ExportError::Format(error.to_string());
    std::fs::create_dir_all(folder).map_err(|source| ExportError::Io { path: folder.to_owned(), source })?;
    put(
        "matches.csv",
        &export::to_csv(answer, |slide| name(slides, slide)).map_err(|error| format(&error))?,
    )?;
    let json = serde_json::to_vec_pretty(&export::to_json(answer)).map_err(|error| format(&error))?;
    put("matches.json", &json)?;
    write_matches(answer, slides, folder)?;
    let mut png = Vec::new();
    answer_sheet(answer, slides)?
        .write_to(&mut Cursor::new(&mut png), image::ImageFormat::Png)
        .map_err(|error| format(&error))?;
    put("matches.png", &png)
}

/// Write the matches on each slide into `folder`, which is there, for QuPath (`.geojson`) and for ASAP (`.xml`); each
/// counts from where that program does.
pub fn write_matches(answer: &Answer, slides: &Slides, folder: &Path) -> Result<(), ExportError> {
    for slide in export::slides_of(answer) {
        let set = export::to_annotations(answer, &slide);
        let Some(source) = slides.get(&slide) else {
            // A slide that is not here: its file counts from the corner of level 0.
            let path = folder.join(format!("{}.geojson", name(slides, &slide)));
            let text = annotation::write_geojson(&set, None);
            durable::write(&path, text.as_bytes()).map_err(|source| ExportError::Io { path, source })?;
            continue;
        };
        for ending in ["geojson", "xml"] {
            let path = folder.join(format!("{}.{ending}", name(slides, &slide)));
            annotation::write_file(&path, &set, source.info())?;
        }
    }
    Ok(())
}

/// File name of a slide, for people.
fn name(slides: &Slides, slide: &SlideId) -> String {
    slides.get(slide).map_or_else(|| slide.short().to_owned(), |source| source.info().name())
}
