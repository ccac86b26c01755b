//! The part of an answer that comes from the department's archive rather than from the project's own tiles.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::TilePosition;
use crate::number_format::decimal;
use crate::slide::SlideId;

/// The archive's part of an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FromArchive {
    /// Whether the archive compared every tile that the query allows.
    pub exact: bool,
    /// Measured recall of this kind of search: the share (0 to 1) of the truly nearest tiles that it finds.
    /// `None` if it was never measured.
    pub recall: Option<f32>,
    /// Number of archive tiles that the query allows.
    pub searched: u64,
    /// Number of archive slides in the slide ranking, and number that the query allows. `None` if slides were
    /// not ranked.
    pub ranked: Option<[usize; 2]>,
    /// Archive slides that contain matches or are ranked.
    pub slides: HashMap<SlideId, ArchiveSlide>,
    /// Additional data on matches in the archive.
    pub tiles: HashMap<TilePosition, ArchiveTile>,
}

/// A slide of the archive.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchiveSlide {
    /// File name, or a pseudonym.
    pub name: String,
    /// Path of the file when it was pushed; `None` for a pseudonymised slide.
    pub location: Option<PathBuf>,
    /// Whether a file currently exists at `location`.
    pub is_reachable: bool,
    /// Code of the patient, or a pseudonym.
    pub patient: Option<String>,
    /// Number of the slide's tiles in the archive.
    pub tiles: usize,
}

/// A match in the archive.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ArchiveTile {
    /// Class of the annotation in which its centre lies.
    pub class: Option<String>,
    /// Thumbnail of the tile, as JPEG.
    pub thumbnail: Option<Arc<[u8]>>,
    /// Its descriptor, by which a query can be taught without the slide.
    pub descriptor: Arc<[f32]>,
}

impl ArchiveSlide {
    /// Returns the slide's location as text for the user.
    pub fn location(&self) -> String {
        match (&self.location, self.is_reachable) {
            (Some(path), true) => path.display().to_string(),
            (Some(path), false) => format!("{}, not reachable from here", path.display()),
            (None, _) => "archive only".to_owned(),
        }
    }
}

impl FromArchive {
    /// Returns a sentence on how many of the archive's slides are ranked, unless all of them are.
    pub fn left_unranked(&self) -> Option<String> {
        let [ranked, all] = self.ranked.filter(|[ranked, all]| ranked < all)?;
        Some(format!("Of {all} slides in the archive, the {ranked} with the most similar tiles are ranked"))
    }

    /// Returns how exact the answer is, as text for the user.
    pub fn certainty(&self) -> String {
        match (self.exact, self.recall) {
            (true, _) => "exact".to_owned(),
            (false, Some(recall)) => format!("approximate, measured recall {} %", decimal(100.0 * recall, 1)),
            (false, None) => "approximate, recall not measured".to_owned(),
        }
    }
}
