//! What an answer has from the department's archive, beside the project's own tiles.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::TilePlace;
use crate::slide::SlideId;

/// The archive's share of an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FromArchive {
    /// Whether the archive compared every tile that the question allows.
    pub exact: bool,
    /// Share (0 to 1) of the truly nearest tiles that searches of this kind have found when it was measured; nothing
    /// where it never was.
    pub recall: Option<f32>,
    /// Tiles of the archive that the question allows.
    pub searched: u64,
    /// How many slides of the archive the ranking of slides holds, and how many the question allows; nothing where
    /// slides were not ranked.
    pub ranked: Option<[usize; 2]>,
    /// The archive's slides that hold matches, or are ranked.
    pub slides: HashMap<SlideId, ArchiveSlide>,
    /// What more is known of matches in the archive.
    pub tiles: HashMap<TilePlace, ArchiveTile>,
}

/// A slide of the archive.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchiveSlide {
    /// File name, or a pseudonym.
    pub name: String,
    /// Where the file lay when it was pushed; nothing behind a pseudonym.
    pub location: Option<PathBuf>,
    /// Whether there is a file at that place here and now.
    pub is_reachable: bool,
    /// Code of the patient, or a pseudonym.
    pub patient: Option<String>,
    /// Tiles that the archive holds of it.
    pub tiles: usize,
}

/// A match in the archive.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ArchiveTile {
    /// Class of the annotation in which its centre lies.
    pub class: Option<String>,
    /// A small picture of it, as JPEG.
    pub thumbnail: Option<Arc<[u8]>>,
}

impl ArchiveSlide {
    /// Where the slide is, for people.
    pub fn location(&self) -> String {
        match (&self.location, self.is_reachable) {
            (Some(path), true) => path.display().to_string(),
            (Some(path), false) => format!("{}, not reachable from here", path.display()),
            (None, _) => "archive only".to_owned(),
        }
    }
}

impl FromArchive {
    /// Which of the archive's slides are ranked, for people, where it is not all of them.
    pub fn left_unranked(&self) -> Option<String> {
        let [ranked, all] = self.ranked.filter(|[ranked, all]| ranked < all)?;
        Some(format!(
            "Of {all} slides in the archive, the {ranked} that hold the most similar tiles are ranked"
        ))
    }

    /// How sure an answer is, for people.
    pub fn certainty(&self) -> String {
        match (self.exact, self.recall) {
            (true, _) => "exact".to_owned(),
            (false, Some(recall)) => format!("approximate, measured recall {:.1} %", 100.0 * recall),
            (false, None) => "approximate, recall not measured".to_owned(),
        }
    }
}
