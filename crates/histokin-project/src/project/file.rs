//! Content of `project.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Value;

use super::format::{self, FORMAT};
use super::{ArchiveUrl, ProjectError};
use histokin_core::annotation::AnnotationClass;
use histokin_core::geometry::{MicronsPerPixel, StatedPixelSize};
use histokin_core::paths::{self, HexPath};
use histokin_core::slide::SlideId;
use histokin_core::slide::channel::ChannelDisplay;
use histokin_core::stain::{SlideStain, StainSetting};
use histokin_core::tiling::TileSettings;
use histokin_core::tissue::TissueSettings;

/// The file as it is stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct ProjectFile {
    pub(super) format: u32,
    /// Address of the department's archive, which never contains a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) archive: Option<ArchiveUrl>,
    /// Version of the program that wrote it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) written_by: Option<String>,
    /// The project's folder when it was written last, as an absolute path. Slides beside a folder that was moved or copied
    /// without them are found from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) folder: Option<String>,
    #[serde(default)]
    pub(super) settings: ProjectSettings,
    #[serde(default, rename = "class")]
    pub(super) classes: Vec<AnnotationClass>,
    #[serde(default, rename = "slide")]
    pub(super) slides: Vec<SlideEntry>,
    /// Slides that are no longer listed but still have stored data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unlisted: Vec<SlideEntry>,
    /// Former IDs that turned out to be shared by several slides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) shared_ids: Vec<SlideId>,
    /// Patients by the file name or stem of their slides, as imported from a list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) patients: BTreeMap<String, String>,
}

impl ProjectFile {
    /// Parses `text` and migrates it to this program's format. Also returns the format that `text` has.
    ///
    /// # Errors
    /// [`ProjectError::Damaged`]; [`ProjectError::Newer`] for an unreadable file of a newer format.
    pub(super) fn parse(path: &Path, text: &str) -> Result<(Self, u32), ProjectError> {
        let damaged =
            |reason: String| ProjectError::Damaged { path: path.to_owned(), reason: one_line(&reason) };
        let mut table: toml::Table = toml::from_str(text).map_err(|error| damaged(error.to_string()))?;
        let found = format::of(&table).ok_or_else(|| damaged("it does not state its format".to_owned()))?;
        format::migrate(&mut table, found).map_err(damaged)?;
        let lists = ["slide", "unlisted"].iter().filter_map(|key| table.get(*key)?.as_array());
        let problem = lists.flatten().filter_map(Value::as_table).find_map(pixel_size_problem);
        if let Some(problem) = problem {
            return Err(damaged(problem));
        }
        match table.try_into() {
            Ok(file) => Ok((file, found)),
            Err(error) if found > FORMAT => {
                let reason = one_line(&error.to_string());
                Err(ProjectError::Newer { path: path.to_owned(), found, reason })
            }
            // Parsed again without migration, so that the message contains the line number.
            Err(error) => {
                let reason = toml::from_str::<Self>(text).err().unwrap_or(error);
                Err(damaged(reason.to_string()))
            }
        }
    }

    /// Returns the reason why the content is invalid, if it is.
    pub(super) fn problem(&self) -> Option<String> {
        let tiles = self.settings.tiles;
        if !tiles.is_plausible() {
            return Some(format!(
                "tiles of {} px at {} µm per pixel are not possible",
                tiles.tile_px, tiles.mpp
            ));
        }
        if let Some(problem) = self.settings.tissue.problem() {
            return Some(problem);
        }
        self.slides.iter().chain(&self.unlisted).find_map(SlideEntry::id_problem)
    }
}

/// Settings with which the project's slides are embedded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectSettings {
    /// Name or path of the encoder. New projects always name it. `None` in projects of earlier versions, which use the
    /// default of that time ([`histokin_encoder::FIRST_DEFAULT`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
    /// Whether the user has chosen the encoder, so that no newer default is suggested.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keeps_encoder: bool,
    /// Size and spacing of tiles.
    pub tiles: TileSettings,
    /// Stain normalisation of tiles.
    pub stain: StainSetting,
    /// Tissue detection and selection of tiles.
    #[serde(skip_serializing_if = "TissueSettings::is_default")]
    pub tissue: TissueSettings,
}

impl Default for ProjectSettings {
    fn default() -> Self {
        Self {
            encoder: None,
            keeps_encoder: false,
            tiles: TileSettings::default(),
            stain: StainSetting::Lab,
            tissue: TissueSettings::default(),
        }
    }
}

/// One slide of the project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlideEntry {
    /// Identity of the slide.
    pub id: SlideId,
    /// Path relative to the project's folder if both are on the same drive, else absolute. Invalid UTF-8 is
    /// replaced; `path_bytes` contains the exact path.
    path: String,
    /// The bytes of a path that is not valid UTF-8, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_bytes: Option<HexPath>,
    /// Pixel size given by the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_mpp: Option<MicronsPerPixel>,
    /// What the user says the slide is stained with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stain: Option<SlideStain>,
    /// How the user has set its channels to be shown, if it has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<ChannelDisplay>,
    /// IDs that earlier versions of the program gave this slide; stored files may be named after them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) former_ids: Vec<SlideId>,
}

impl SlideEntry {
    pub(super) fn new(id: SlideId, path: PathBuf) -> Self {
        let (path, path_bytes) = paths::in_text(path);
        Self {
            id,
            path,
            path_bytes,
            user_mpp: None,
            stain: None,
            channels: Vec::new(),
            former_ids: Vec::new(),
        }
    }

    /// Returns the reason why one of the slide's IDs is invalid, if it is.
    pub(super) fn id_problem(&self) -> Option<String> {
        let invalid = std::iter::once(&self.id).chain(&self.former_ids).find(|id| !id.is_plain())?;
        Some(format!("{:?} is not a slide ID", invalid.0))
    }

    /// Returns the path as it is stored.
    pub(super) fn path(&self) -> &Path {
        self.path_bytes.as_ref().map_or(Path::new(&self.path), HexPath::as_path)
    }

    pub(super) fn set_path(&mut self, path: PathBuf) {
        (self.path, self.path_bytes) = paths::in_text(path);
    }
}

/// Returns the reason why the pixel size that the user gave for a stored slide is invalid, if it is.
pub(super) fn pixel_size_problem(entry: &toml::Table) -> Option<String> {
    let stated: StatedPixelSize = entry.get("user_mpp")?.clone().try_into().ok()?;
    let error = MicronsPerPixel::try_from(stated).err()?;
    let slide = ["path", "id"].into_iter().find_map(|key| entry.get(key)?.as_str()).unwrap_or_default();
    Some(format!("the pixel size given for the slide {slide}: {error}"))
}

/// Joins a multi-line parser message into a single line.
pub(super) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_pixel_size_is_told_with_its_slide_and_what_to_do() {
        for list in ["slide", "unlisted"] {
            let entry = format!("[[{list}]]\nid = \"0123456789abcdef\"\npath = \"a.svs\"");
            let text = format!("format = {FORMAT}\n{entry}\nuser_mpp = {{ x = 0.0, y = 0.5 }}\n");
            let error = ProjectFile::parse(Path::new("project.toml"), &text).unwrap_err().to_string();
            assert!(error.contains("the slide a.svs: 0 × 0.5 µm"), "{error}");
            assert!(error.contains("between 0.001 and 1000 µm"), "{error}");
            let text = text.replace("0.0", "0.25");
            let (file, _) = ProjectFile::parse(Path::new("project.toml"), &text).unwrap();
            let stored = file.slides.iter().chain(&file.unlisted).next().unwrap();
            assert_eq!(stored.user_mpp, Some(MicronsPerPixel::new(0.25, 0.5).unwrap()));
        }
    }
}
