//! Answers as files: for spreadsheets, for other programs, for a slide of a talk, for paper.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{Rgb, RgbImage};

use super::contact_sheet;
use super::pdf::{self, Captioned};
use crate::annotation::{self, AnnotationError};
use crate::durable;
use crate::geometry::Level0Rect;
use crate::query::{Answer, QueryBook, export};
use crate::slide::{SlideError, SlideId, SlideSource};
use crate::tiling::read_tile;

/// Side of a tile on a sheet, in pixels.
const SHEET_TILE_PX: u32 = 160;
/// The same on paper, where there are more dots.
const PAGE_TILE_PX: u32 = 256;
const SHEET_COLUMNS: u32 = 7;
const QUERY_FRAME: [u8; 3] = [230, 120, 30];

/// Slides by their identity.
pub type Slides = HashMap<SlideId, Arc<dyn SlideSource>>;

/// Why an answer was not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("{}: {source}; check that the folder is writable and has space", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Slide(#[from] SlideError),
    #[error(transparent)]
    Annotations(#[from] AnnotationError),
    #[error("the answer could not be written out: {0}")]
    Format(String),
}

impl ExportError {
    fn format(error: impl std::fmt::Display) -> Self {
        Self::Format(error.to_string())
    }
}

/// The query's first tile, framed, and its matches as one picture. Tiles of slides that are not among `slides` are
/// left out.
///
/// # Errors
/// When a tile cannot be read.
pub fn answer_sheet(answer: &Answer, slides: &Slides) -> Result<RgbImage, SlideError> {
    let tiles = read_tiles(answer, slides, SHEET_TILE_PX)?;
    let pictures: Vec<RgbImage> = tiles.into_iter().map(|(_, picture)| picture).collect();
    Ok(contact_sheet(&pictures, SHEET_COLUMNS, Rgb(QUERY_FRAME)))
}

/// The same as pages to print, with rank, distance and slide below each tile.
///
/// # Errors
/// When a tile cannot be read.
pub fn answer_pages(answer: &Answer, slides: &Slides) -> Result<Vec<u8>, ExportError> {
    let tiles = read_tiles(answer, slides, PAGE_TILE_PX)?;
    let captioned = |(rank, picture): (Option<usize>, RgbImage)| {
        let found = rank.map(|rank| &answer.matches[rank]);
        let slide = found.map(|found| &found.slide).or(answer.first().map(|tile| &tile.slide));
        let line = found
            .map_or_else(|| "Query".to_owned(), |found| format!("{} · {:.4}", found.rank, found.distance));
        let lines = [line, slide.map(|slide| name(slides, slide)).unwrap_or_default()];
        Captioned { picture, lines, frame: rank.is_none().then_some(QUERY_FRAME) }
    };
    let pictures: Vec<Captioned> = tiles.into_iter().map(captioned).collect();
    let title = format!("Similar tissue: {} of {} tiles", answer.matches.len(), answer.searched);
    let exact = if answer.exact { "Exact nearest neighbours" } else { "Approximate nearest neighbours" };
    let subtitle =
        format!("{exact}; rank · distance of the descriptors, and slide. For research, not for diagnosis.");
    pdf::pages(&title, &subtitle, &pictures).map_err(ExportError::format)
}

/// The query's first tile, with no rank, and the matches, by their places in the answer.
fn read_tiles(
    answer: &Answer,
    slides: &Slides,
    px: u32,
) -> Result<Vec<(Option<usize>, RgbImage)>, SlideError> {
    let query = answer.first().map(|tile| (None, &tile.slide, tile.rect));
    let matches =
        answer.matches.iter().enumerate().map(|(rank, found)| (Some(rank), &found.slide, found.rect));
    let read = |(rank, slide, rect): (Option<usize>, &SlideId, Level0Rect)| {
        let slide = slides.get(slide)?.as_ref();
        Some(read_tile(slide, &rect, px).map(|picture| (rank, picture)))
    };
    query.into_iter().chain(matches).filter_map(read).collect()
}

/// Write the answer as a sheet: pages where `path` ends in `.pdf`, else one picture in the format of its ending.
///
/// # Errors
/// When a tile cannot be read, or the file not be written.
pub fn write_sheet(answer: &Answer, slides: &Slides, path: &Path) -> Result<(), ExportError> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("pdf")) {
        let pages = answer_pages(answer, slides)?;
        return durable::write(path, &pages)
            .map_err(|source| ExportError::Io { path: path.to_owned(), source });
    }
    super::write_picture(&answer_sheet(answer, slides)?, path)
        .map_err(|error| ExportError::Format(format!("{}: {error}", path.display())))
}

/// Write `matches.csv`, `matches.json`, `matches.png`, `matches.pdf` and for each slide with matches a file for
/// QuPath and one for ASAP into `folder`, which is made. `book` tells what the reader said of them.
///
/// # Errors
/// When a tile cannot be read, or a file not be written.
pub fn write_answer(
    answer: &Answer,
    book: &QueryBook,
    slides: &Slides,
    folder: &Path,
) -> Result<(), ExportError> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        durable::write(&path, bytes).map_err(|source| ExportError::Io { path, source })
    };
    std::fs::create_dir_all(folder).map_err(|source| ExportError::Io { path: folder.to_owned(), source })?;
    let csv = export::to_csv(answer, book, |slide| name(slides, slide)).map_err(ExportError::format)?;
    put("matches.csv", &csv)?;
    let json = serde_json::to_vec_pretty(&export::to_json(answer, book)).map_err(ExportError::format)?;
    put("matches.json", &json)?;
    write_matches(answer, book, slides, folder)?;
    let mut png = Vec::new();
    answer_sheet(answer, slides)?
        .write_to(&mut Cursor::new(&mut png), image::ImageFormat::Png)
        .map_err(ExportError::format)?;
    put("matches.png", &png)?;
    put("matches.pdf", &answer_pages(answer, slides)?)
}

/// Write the matches on each slide into `folder`, which is there, for QuPath (`.geojson`) and for ASAP (`.xml`); each
/// counts from where that program does.
pub fn write_matches(
    answer: &Answer,
    book: &QueryBook,
    slides: &Slides,
    folder: &Path,
) -> Result<(), ExportError> {
    for slide in export::slides_of(answer) {
        let set = export::to_annotations(answer, book, &slide);
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
