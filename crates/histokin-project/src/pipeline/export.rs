//! Export of answers to files: CSV and JSON, annotations, contact sheets, and PDF pages.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::imageops::FilterType;
use image::{ImageFormat, Rgb, RgbImage};

use super::contact_sheet;
use super::pdf::{self, Captioned};
use histokin_core::annotation::{self, AnnotationError};
use histokin_core::durable;
use histokin_core::geometry::Level0Rect;
use histokin_core::number_format::{decimal, grouped};
use histokin_core::paths::{FileStems, portable_stem};
use histokin_core::query::{Answer, QueryHistory, TilePosition, export};
use histokin_core::slide::{SlideError, SlideId, SlideSource};
use histokin_core::tiling::read_tile_as_shown;

/// Edge of a tile on a contact sheet, in pixels.
const SHEET_TILE_PX: u32 = 160;
/// Edge of a tile in the PDF, in pixels; higher, as print has a higher resolution.
const PAGE_TILE_PX: u32 = 256;
const SHEET_COLUMNS: u32 = 7;
const QUERY_FRAME: [u8; 3] = [230, 120, 30];

/// Open slides by their ID.
pub type Slides = HashMap<SlideId, Arc<dyn SlideSource>>;

/// Reason why an answer could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file or folder could not be written.
    #[error("{}: {source}{}", path.display(), durable::hint(source))]
    Io {
        /// File or folder that the operation failed on.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A tile could not be read.
    #[error(transparent)]
    Slide(#[from] SlideError),
    /// A file of annotations could not be written.
    #[error(transparent)]
    Annotations(#[from] AnnotationError),
    /// The encoder of a file format failed; carries its message.
    #[error("the answer could not be exported: {0}")]
    Format(String),
}

impl ExportError {
    pub(super) fn format(error: impl std::fmt::Display) -> Self {
        Self::Format(error.to_string())
    }
}

/// Returns a contact sheet of the query's first tile, framed, and the matches. Matches on slides that are not
/// in `slides` are shown by their thumbnails from the archive; tiles without either are left out.
///
/// # Errors
/// When a tile cannot be read.
pub fn answer_sheet(answer: &Answer, slides: &Slides) -> Result<RgbImage, SlideError> {
    let tiles = read_tiles(answer, slides, SHEET_TILE_PX)?;
    let pictures: Vec<RgbImage> = tiles.into_iter().map(|(_, pixels)| pixels).collect();
    Ok(contact_sheet(&pictures, SHEET_COLUMNS, Rgb(QUERY_FRAME)))
}

/// Returns the tiles of [`answer_sheet`] as a PDF, with rank, distance and slide below each tile.
///
/// # Errors
/// When a tile cannot be read.
pub fn answer_pages(answer: &Answer, slides: &Slides) -> Result<Vec<u8>, ExportError> {
    let tiles = read_tiles(answer, slides, PAGE_TILE_PX)?;
    let captioned = |(rank, picture): (Option<usize>, RgbImage)| {
        let found = rank.map(|rank| &answer.matches[rank]);
        let slide = found.map(|found| &found.slide).or(answer.first().map(|tile| &tile.slide));
        let line = found.map_or_else(
            || "Query".to_owned(),
            |found| format!("{} · {}", grouped(found.rank as u64), decimal(found.distance, 4)),
        );
        let lines = [line, slide.map(|slide| name(answer, slides, slide)).unwrap_or_default()];
        Captioned { picture, lines, frame: rank.is_none().then_some(QUERY_FRAME) }
    };
    let pictures: Vec<Captioned> = tiles.into_iter().map(captioned).collect();
    let title = format!(
        "Similar tissue: {} of {} tiles",
        grouped(answer.matches.len() as u64),
        grouped(answer.searched as u64)
    );
    let exact = if answer.exact { "Exact nearest neighbours" } else { "Approximate nearest neighbours" };
    let subtitle =
        format!("{exact}; rank · distance of the descriptors, and slide. For research, not for diagnosis.");
    pdf::pages(&title, &subtitle, &pictures).map_err(ExportError::format)
}

/// Reads the query's first tile, paired with `None`, and the matches, each paired with its index in the
/// answer.
fn read_tiles(
    answer: &Answer,
    slides: &Slides,
    px: u32,
) -> Result<Vec<(Option<usize>, RgbImage)>, SlideError> {
    let query = answer.first().map(|tile| (None, &tile.slide, tile.rect));
    let matches =
        answer.matches.iter().enumerate().map(|(rank, found)| (Some(rank), &found.slide, found.rect));
    let read = |(rank, slide, rect): (Option<usize>, &SlideId, Level0Rect)| {
        let picture = match slides.get(slide) {
            Some(slide) => read_tile_as_shown(slide.as_ref(), &rect, px),
            None => Ok(archived(answer, &TilePosition { slide: slide.clone(), rect }, px)?),
        };
        Some(picture.map(|picture| (rank, picture)))
    };
    query.into_iter().chain(matches).filter_map(read).collect()
}

/// Returns the archive's thumbnail of a match, resized to `px` × `px` pixels.
fn archived(answer: &Answer, tile: &TilePosition, px: u32) -> Option<RgbImage> {
    let jpeg = answer.archive.as_ref()?.tiles.get(tile)?.thumbnail.as_ref()?;
    let picture = image::load_from_memory_with_format(jpeg, ImageFormat::Jpeg)
        .inspect_err(|error| tracing::warn!("a damaged thumbnail from the archive is left out: {error}"));
    Some(image::imageops::resize(&picture.ok()?.into_rgb8(), px, px, FilterType::CatmullRom))
}

/// Writes the answer as PDF pages if `path` ends in `.pdf`, else as one contact sheet in the image format of
/// its extension.
///
/// # Errors
/// When a tile cannot be read or the file cannot be written.
pub fn write_sheet(answer: &Answer, slides: &Slides, path: &Path) -> Result<(), ExportError> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("pdf")) {
        let pages = answer_pages(answer, slides)?;
        return durable::write(path, &pages)
            .map_err(|source| ExportError::Io { path: path.to_owned(), source });
    }
    super::write_picture(&answer_sheet(answer, slides)?, path)
        .map_err(|error| ExportError::Format(format!("{}: {error}", path.display())))
}

/// Writes `matches.csv`, `matches.json`, `matches.png`, `matches.pdf` and, for each slide with matches, a
/// file for QuPath and one for ASAP into `folder`, which is created. Relevance judgements come from
/// `query_history`.
///
/// # Errors
/// When a tile cannot be read or a file cannot be written.
pub fn write_answer(
    answer: &Answer,
    query_history: &QueryHistory,
    slides: &Slides,
    folder: &Path,
) -> Result<(), ExportError> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        durable::write(&path, bytes).map_err(|source| ExportError::Io { path, source })
    };
    std::fs::create_dir_all(folder)
        .map_err(|source| ExportError::Io { path: folder.to_owned(), source: durable::advised(source) })?;
    let csv = export::to_csv(answer, query_history, |slide| name(answer, slides, slide))
        .map_err(ExportError::format)?;
    put("matches.csv", &csv)?;
    let json =
        serde_json::to_vec_pretty(&export::to_json(answer, query_history)).map_err(ExportError::format)?;
    put("matches.json", &json)?;
    write_matches(answer, query_history, slides, folder)?;
    let mut png = Vec::new();
    answer_sheet(answer, slides)?
        .write_to(&mut Cursor::new(&mut png), ImageFormat::Png)
        .map_err(ExportError::format)?;
    put("matches.png", &png)?;
    put("matches.pdf", &answer_pages(answer, slides)?)
}

/// Writes the matches on each slide into the existing `folder`, for QuPath (`.geojson`) and for ASAP
/// (`.xml`), each with the coordinate origin of that program.
///
/// # Errors
/// When a file cannot be written.
pub fn write_matches(
    answer: &Answer,
    query_history: &QueryHistory,
    slides: &Slides,
    folder: &Path,
) -> Result<(), ExportError> {
    let mut stems = FileStems::default();
    for slide in export::slides_of(answer) {
        let set = export::to_annotations(answer, query_history, &slide);
        let Some(source) = slides.get(&slide) else {
            // The slide is not open here, so coordinates refer to the corner of level 0.
            let path = folder.join(format!("{}.geojson", file_name(answer, &slide)));
            let text = annotation::write_geojson(&set, None);
            durable::write(&path, text.as_bytes()).map_err(|source| ExportError::Io { path, source })?;
            continue;
        };
        // Files in two folders may have the same name.
        let stem = stems.next(&source.info().name(), slide.short());
        for ending in ["geojson", "xml"] {
            let path = folder.join(format!("{stem}.{ending}"));
            annotation::write_file(&path, &set, source.info())?;
        }
    }
    Ok(())
}

/// Returns the display name of a slide.
fn name(answer: &Answer, slides: &Slides, slide: &SlideId) -> String {
    match (slides.get(slide), answer.from_archive(slide)) {
        (Some(source), _) => source.info().name(),
        (None, Some(archived)) => archived.name.clone(),
        (None, None) => slide.short().to_owned(),
    }
}

/// Returns a file name for a slide that is not open here. Slide names from the archive are untrusted input:
/// the result must not lead out of the folder, and must differ for slides with the same name.
fn file_name(answer: &Answer, slide: &SlideId) -> String {
    let plain = |text: &str| -> String {
        let is_safe = |letter: char| letter.is_alphanumeric() || "-_ .".contains(letter);
        text.chars().take(100).map(|letter| if is_safe(letter) { letter } else { '_' }).collect()
    };
    let short = plain(slide.short());
    match answer.from_archive(slide) {
        // The name alone is cut where it is too long, or those of two slides might be the same.
        Some(archived) => {
            format!("{}-{short}", portable_stem(plain(&archived.name).trim_start_matches('.')))
        }
        None => short,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;
    use histokin_core::query::{ArchiveSlide, ArchiveTile, FromArchive, Match};
    use image::codecs::jpeg::JpegEncoder;

    /// Three matches on slides that are only in the archive, the last one without a thumbnail.
    fn answer() -> Answer {
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, 95)
            .encode_image(&RgbImage::from_pixel(64, 64, Rgb([200, 10, 90])))
            .unwrap();
        let mut archive = FromArchive::default();
        let mut matches = Vec::new();
        for (number, name) in (0..).zip(["../../a.svs", "b.svs", "b.svs"]) {
            let slide = SlideId(format!("{number}{number}{number}"));
            let rect = Level0Rect::new(100 * number, 0, 100, 100);
            archive.slides.insert(
                slide.clone(),
                ArchiveSlide {
                    name: name.to_owned(),
                    location: None,
                    is_reachable: false,
                    patient: None,
                    tiles: 1,
                },
            );
            let thumbnail = (number < 2).then(|| Arc::from(jpeg.as_slice()));
            let position = TilePosition { slide: slide.clone(), rect };
            archive.tiles.insert(position, ArchiveTile { thumbnail, ..ArchiveTile::default() });
            matches.push(Match { rank: matches.len() + 1, slide, rect, distance: 0.5, example: 0 });
        }
        Answer {
            tiles: vec![None],
            direction: None,
            matches,
            slides: Vec::new(),
            exact: true,
            searched: 3,
            elapsed: Duration::ZERO,
            archive: Some(Arc::new(archive)),
        }
    }

    #[test]
    fn matches_that_only_the_archive_has_are_shown_by_its_pictures() {
        let sheet = answer_sheet(&answer(), &Slides::new()).unwrap();
        let is_match = |pixel: &&Rgb<u8>| pixel.0.iter().zip([200, 10, 90]).all(|(a, b)| a.abs_diff(b) < 8);
        let shown = sheet.pixels().filter(is_match).count() as u32;
        assert_eq!(shown, 2 * SHEET_TILE_PX * SHEET_TILE_PX, "two of the three have a thumbnail");
        let pages = answer_pages(&answer(), &Slides::new()).unwrap();
        assert!(pages.starts_with(b"%PDF"));
    }

    #[test]
    fn files_of_the_archives_slides_stay_in_their_folder_and_apart() {
        let folder = tempfile::tempdir().unwrap();
        write_answer(&answer(), &QueryHistory::default(), &Slides::new(), &folder.path().join("out"))
            .unwrap();
        let mut names: Vec<String> = std::fs::read_dir(folder.path().join("out"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let of_slides: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| name.ends_with(".geojson")).collect();
        assert_eq!(of_slides, ["_.._a.svs-000.geojson", "b.svs-111.geojson", "b.svs-222.geojson"]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let csv = std::fs::read_to_string(folder.path().join("out/matches.csv")).unwrap();
        assert!(csv.contains("b.svs,111"), "{csv}");
        let text = std::fs::read_to_string(folder.path().join("out/b.svs-111.geojson")).unwrap();
        assert!(text.contains("Similar tissue") && text.contains("Distance"));
    }

    #[test]
    fn advice_on_a_file_that_could_not_be_written_is_given_once() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing/matches.pdf");
        let message = write_sheet(&answer(), &Slides::new(), &missing).unwrap_err().to_string();
        assert!(message.contains("the folder does not exist"), "{message}");
        assert!(!message.contains("check the path") && !message.contains("has space"), "{message}");
    }

    #[test]
    fn long_names_of_the_archives_slides_stay_apart() {
        let mut answer = answer();
        let archive = answer.archive.as_mut().and_then(Arc::get_mut).unwrap();
        archive.slides.values_mut().for_each(|slide| slide.name = "肝".repeat(100));
        let names: HashSet<String> =
            answer.matches.iter().map(|found| file_name(&answer, &found.slide)).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(names.iter().all(|name| name.len() < 240));
    }
}
