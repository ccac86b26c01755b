//! What `project.toml` holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::format::{self, FORMAT};
use super::{ArchiveUrl, ProjectError};
use histokin_core::annotation::AnnotationClass;
use histokin_core::geometry::MicronsPerPixel;
use histokin_core::paths::{self, HexPath};
use histokin_core::slide::SlideId;
use histokin_core::stain::StainSetting;
use histokin_core::tiling::TileSettings;
use histokin_core::tissue::TissueSettings;

/// The file as it is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct ProjectFile {
    pub(super) format: u32,
    /// Address of the department's archive, which never holds a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) archive: Option<ArchiveUrl>,
    /// Version of the program that wrote it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) written_by: Option<String>,
    #[serde(default)]
    pub(super) settings: ProjectSettings,
    #[serde(default, rename = "class")]
    pub(super) classes: Vec<AnnotationClass>,
    #[serde(default, rename = "slide")]
    pub(super) slides: Vec<SlideEntry>,
    /// Slides that are not listed any more and of which something is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unlisted: Vec<SlideEntry>,
    /// Former ids that turned out to stand for several slides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) shared_ids: Vec<SlideId>,
    /// Patients by the file name or stem of their slides, where a list told them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) patients: BTreeMap<String, String>,
}

impl ProjectFile {
    /// What `text` says, brought up to this program's format, and the format that it has.
    pub(super) fn parse(path: &Path, text: &str) -> Result<(Self, u32), ProjectError> {
        let damaged =
            |reason: String| ProjectError::Damaged { path: path.to_owned(), reason: one_line(&reason) };
        let mut table: toml::Table = toml::from_str(text).map_err(|error| damaged(error.to_string()))?;
        let found = format::of(&table).ok_or_else(|| damaged("it does not tell its format".to_owned()))?;
        format::migrate(&mut table, found).map_err(damaged)?;
        match table.try_into() {
            Ok(file) => Ok((file, found)),
            Err(error) if found > FORMAT => {
                let reason = one_line(&error.to_string());
                Err(ProjectError::Newer { path: path.to_owned(), found, reason })
            }
            // Read once more as it stands: then the message names the line.
            Err(error) => {
                let reason = toml::from_str::<Self>(text).err().unwrap_or(error);
                Err(damaged(reason.to_string()))
            }
        }
    }

    /// What no project of this program holds.
    pub(super) fn problem(&self) -> Option<String> {
        let tiles = self.settings.tiles;
        if !tiles.is_plausible() {
            return Some(format!("tiles of {} px at {} µm per pixel cannot be", tiles.tile_px, tiles.mpp));
        }
        if let Some(problem) = self.settings.tissue.problem() {
            return Some(problem);
        }
        let entries = || self.slides.iter().chain(&self.unlisted);
        let mut ids = entries().flat_map(|entry| std::iter::once(&entry.id).chain(&entry.former_ids));
        if let Some(id) = ids.find(|id| !id.is_plain()) {
            return Some(format!("{:?} is no identity of a slide", id.0));
        }
        let absurd = |entry: &&SlideEntry| entry.user_mpp.is_some_and(|mpp| !mpp.is_plausible());
        let entry = entries().find(absurd)?;
        Some(format!("the pixel size given for the slide {} is none of a microscope", entry.id))
    }
}

/// How this project's slides are embedded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectSettings {
    /// Name or path of the encoder. Projects name it from the start; those of earlier versions, where it is absent,
    /// use what was the default then ([`crate::encoder::FORMER_DEFAULT`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
    pub tiles: TileSettings,
    pub stain: StainSetting,
    /// What counts as tissue, and which tiles are embedded.
    #[serde(skip_serializing_if = "TissueSettings::is_default")]
    pub tissue: TissueSettings,
}

impl Default for ProjectSettings {
    fn default() -> Self {
        Self {
            encoder: None,
            tiles: TileSettings::default(),
            stain: StainSetting::Lab,
            tissue: TissueSettings::default(),
        }
    }
}

/// One slide of the project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlideEntry {
    pub id: SlideId,
    /// Relative to the project's folder where the slide lies on the same drive, else absolute. What is no UTF-8 in
    /// it is replaced here; `path_bytes` has it whole.
    path: String,
    /// The bytes of a path that is no UTF-8, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_bytes: Option<HexPath>,
    /// Pixel size given by the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_mpp: Option<MicronsPerPixel>,
    /// What earlier versions of the program called this slide: files may be named after these ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) former_ids: Vec<SlideId>,
}

impl SlideEntry {
    pub(super) fn new(id: SlideId, path: PathBuf) -> Self {
        let (path, path_bytes) = paths::in_text(path);
        Self { id, path, path_bytes, user_mpp: None, former_ids: Vec::new() }
    }

    /// The path as it is kept.
    pub(super) fn path(&self) -> &Path {
        self.path_bytes.as_ref().map_or(Path::new(&self.path), HexPath::as_path)
    }

    pub(super) fn set_path(&mut self, path: PathBuf) {
        (self.path, self.path_bytes) = paths::in_text(path);
    }
}

/// A parser's message on a single line.
pub(super) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
