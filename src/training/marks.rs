//! Pairs of tiles that the user has judged, from the project's `judgements.csv`: two tiles by slide and level-0
//! rectangle, and whether they show the same tissue.

use std::path::Path;

use serde::Deserialize;

use super::TrainingError;
use super::pairs::{MarkedPair, TileRef};
use super::slides::TrainingSlide;
use crate::geometry::Level0Rect;
use crate::slide::SlideId;

/// Name of the file, in a project's folder and, as it was when a run began, in the run's.
pub const FILE: &str = "judgements.csv";

/// What training needs of a row; the file may say more.
#[derive(Deserialize)]
struct Row {
    query_slide: SlideId,
    query_x: i64,
    query_y: i64,
    query_width: u32,
    query_height: u32,
    slide: SlideId,
    x: i64,
    y: i64,
    width: u32,
    height: u32,
    verdict: String,
}

/// The judged pairs in `folder` whose tiles both lie on `slides`. Pairs that the user was unsure of are left out.
///
/// # Errors
/// [`TrainingError::File`] when the file is there and cannot be read; it is left as it is.
pub fn read(folder: &Path, slides: &[TrainingSlide]) -> Result<Vec<MarkedPair>, TrainingError> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let failed = |error: csv::Error| TrainingError::File { path: path.clone(), reason: error.to_string() };
    let place = |id: &SlideId| slides.iter().position(|slide| slide.source.info().id == *id);
    let mut pairs = Vec::new();
    for row in csv::Reader::from_path(&path).map_err(failed)?.into_deserialize() {
        let row: Row = row.map_err(failed)?;
        let same = match row.verdict.as_str() {
            "same" => true,
            "different" => false,
            _ => continue,
        };
        let (Some(first), Some(second)) = (place(&row.query_slide), place(&row.slide)) else { continue };
        let query = Level0Rect::new(row.query_x, row.query_y, row.query_width, row.query_height);
        let found = Level0Rect::new(row.x, row.y, row.width, row.height);
        let tiles = [TileRef { slide: first, rect: query }, TileRef { slide: second, rect: found }];
        pairs.push(MarkedPair { tiles, same });
    }
    Ok(pairs)
}
