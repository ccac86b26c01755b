//! A project: a folder with `project.toml`, `descriptors/`, `annotations/`, `concepts/`, `models/`, `reports/`,
//! and `index/` and `thumbnails/`, which can be rebuilt. Concurrent embedding processes list their slides in `slides/`.
//!
//! A program must claim a project before writing to it ([`Project::claim`]): one program at a time, and none
//! that is older than the project. Others can only read. Concurrent embedding processes are the exception:
//! they claim nothing, as no two of them write the same file.

mod access;
mod archive_url;
mod encoders;
mod file;
mod format;
mod left_behind;
mod listing;
mod local_encoder;
mod lock;
mod noted;
mod password;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use access::Access;
use file::ProjectFile;
use format::FORMAT;
use histokin_core::annotation::{AnnotationClass, AnnotationStore};
use histokin_core::concept::ConceptStore;
use histokin_core::descriptors::{DescriptorStore, Recipe};
use histokin_core::index::IndexCache;
use histokin_core::slide::{computed, names};
use histokin_core::stain::StainSetting;
use histokin_core::{durable, paths, untrusted};
use histokin_encoder::{self as encoder, EncoderSpec};
use local_encoder::LocalEncoder;

use crate::pipeline::ThumbnailCache;
pub use access::{Claim, ReadOnly};
pub use archive_url::{ArchiveUrl, UrlError};
pub use encoders::{EncoderOrigin, ListedEncoder};
pub use file::{ProjectSettings, SlideEntry};
pub use listing::FormerIds;
pub use lock::{Holder, LOCK_FILE, LockError, ProjectLock};
pub use password::Password;

/// Name of the file that makes a folder a project.
pub const PROJECT_FILE: &str = "project.toml";

/// Folder of a project for the annotations of its slides.
pub const ANNOTATIONS_FOLDER: &str = "annotations";

/// Folder of a project for its concepts.
pub const CONCEPTS_FOLDER: &str = "concepts";

/// Optional folder of a project for labels of its slides, in any supported file format.
pub const LABELS_FOLDER: &str = "labels";

/// Longer side in pixels of thumbnails in the list of slides.
const THUMBNAIL_PX: u32 = 256;

/// Maximum size of the file in bytes; enough for a million slides.
const MOST_BYTES: u64 = 1 << 28;

/// An open project. Changes are made in memory and written by [`Project::save`].
#[derive(Debug, Clone)]
pub struct Project {
    root: PathBuf,
    file: ProjectFile,
    /// Notes of slides listed by concurrent processes, with their text; their content moves to `project.toml` on the
    /// next save.
    noted: Vec<(PathBuf, String)>,
    access: Access,
    /// Format and text of the file, if it was written by an older program.
    older: Option<(u32, Arc<str>)>,
    local_encoder: LocalEncoder,
}

/// Error of opening or using a project. Messages name the file and, if there is one, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder that the operation failed on.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A file of the project is invalid.
    #[error(
        "{}: cannot be read: {reason}; it was left unchanged, correct it or choose another project",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Description of the problem.
        reason: String,
    },
    /// The project has a newer format that this program cannot read.
    #[error(
        "{}: was written by a newer version of histokin (format {found}, this one supports {FORMAT}), and this version \
         cannot display it ({reason}); update histokin",
        path.display()
    )]
    Newer {
        /// The project file.
        path: PathBuf,
        /// Format of the file.
        found: u32,
        /// Error of parsing the file.
        reason: String,
    },
    /// The project must not be written.
    #[error("{}: the project is read-only: {why}", root.display())]
    ReadOnly {
        /// Folder of the project.
        root: PathBuf,
        /// Reason why the project is read-only.
        why: ReadOnly,
    },
    /// The folder is not a project.
    #[error(
        "{}: not a project; create one with `histokin embed {} SLIDE…`",
        root.display(), root.display()
    )]
    Missing {
        /// The folder.
        root: PathBuf,
    },
    /// No slide of the project matches a name.
    #[error("no slide {name:?} in the project; it has: {known}")]
    NoSuchSlide {
        /// The name given by the user.
        name: String,
        /// Paths of all slides of the project, separated by commas.
        known: String,
    },
    /// Several slides of the project match a name.
    #[error("{name:?} matches several slides of the project ({known}); give the ID or the path")]
    Ambiguous {
        /// The name given by the user.
        name: String,
        /// Paths of the matching slides, separated by commas.
        known: String,
    },
}

impl Project {
    /// Opens the project in `root`, for reading until it is [claimed](Self::claim). A project written by a
    /// newer program stays read-only; one of an older program is migrated in memory.
    ///
    /// # Errors
    /// [`ProjectError::Missing`] when `root` is not a project; [`ProjectError::Io`],
    /// [`ProjectError::Damaged`] or [`ProjectError::Newer`] when its file cannot be read.
    pub fn open(root: &Path) -> Result<Self, ProjectError> {
        let path = root.join(PROJECT_FILE);
        let text = match untrusted::read_text(&path, MOST_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ProjectError::Missing { root: root.to_owned() });
            }
            Err(source) => return Err(ProjectError::Io { path, source }),
        };
        let (file, found) = ProjectFile::parse(&path, &text)?;
        if let Some(reason) = file.problem() {
            return Err(ProjectError::Damaged { path, reason });
        }
        let access = match found > FORMAT {
            true => Access::ReadOnly(ReadOnly::Newer { found, written_by: file.written_by.clone() }),
            false => Access::Unclaimed,
        };
        let older = (found < FORMAT).then(|| (found, text.into()));
        let local_encoder = LocalEncoder::default();
        let mut project =
            Self { root: absolute(root)?, file, noted: Vec::new(), access, older, local_encoder };
        project.add_noted()?;
        project.find_left_behind();
        // Looked up here, so that no window has to wait for the folder later.
        project.encoder_name();
        Ok(project)
    }

    /// Opens the project in `root`, or creates an empty one there.
    ///
    /// # Errors
    /// As [`Self::open`], and [`ProjectError::Io`] when the project cannot be created.
    pub fn open_or_create(root: &Path) -> Result<Self, ProjectError> {
        match Self::open(root) {
            Err(ProjectError::Missing { .. }) => {}
            other => return other,
        }
        let io = |source| ProjectError::Io { path: root.to_owned(), source: durable::advised(source) };
        for folder in ["descriptors", ANNOTATIONS_FOLDER, "models", "reports"] {
            fs::create_dir_all(root.join(folder)).map_err(io)?;
        }
        let settings =
            ProjectSettings { encoder: Some(encoder::DEFAULT.to_owned()), ..ProjectSettings::default() };
        let classes = AnnotationClass::defaults();
        let file = ProjectFile { format: FORMAT, settings, classes, ..ProjectFile::default() };
        let access = Access::Unclaimed;
        let local_encoder = LocalEncoder::default();
        let project =
            Self { root: absolute(root)?, file, noted: Vec::new(), access, older: None, local_encoder };
        project.save()?;
        project.encoder_name();
        Ok(project)
    }

    /// Returns whether `folder` is a project.
    pub fn is_project(folder: &Path) -> bool {
        folder.join(PROJECT_FILE).is_file()
    }

    /// Writes `project.toml` (durable write). The file of an older program is preserved once as
    /// `project.toml.format-N`.
    ///
    /// # Errors
    /// [`ProjectError::ReadOnly`]; [`ProjectError::Io`] when a file cannot be written.
    pub fn save(&self) -> Result<(), ProjectError> {
        self.require_writable()?;
        let path = self.root.join(PROJECT_FILE);
        self.keep_older()?;
        let file = ProjectFile {
            written_by: Some(env!("CARGO_PKG_VERSION").to_owned()),
            folder: self.root.to_str().map(str::to_owned),
            ..self.file.clone()
        };
        let text = toml::to_string_pretty(&file)
            .map_err(|error| ProjectError::Damaged { path: path.clone(), reason: error.to_string() })?;
        durable::write(&path, text.as_bytes()).map_err(|source| ProjectError::Io { path, source })?;
        self.remove_noted();
        Ok(())
    }

    /// Saves a copy of an older program's file before it is first replaced.
    fn keep_older(&self) -> Result<(), ProjectError> {
        let Some((format, text)) = &self.older else { return Ok(()) };
        let path = self.root.join(format!("{PROJECT_FILE}.format-{format}"));
        if path.exists() {
            return Ok(());
        }
        durable::write(&path, text.as_bytes()).map_err(|source| ProjectError::Io { path, source })
    }

    /// Returns the project's folder, an absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the settings with which slides are embedded.
    pub fn settings(&self) -> &ProjectSettings {
        &self.file.settings
    }

    /// Returns the settings for modification; [`Self::save`] writes them.
    pub fn settings_mut(&mut self) -> &mut ProjectSettings {
        &mut self.file.settings
    }

    /// Replaces the settings; [`Self::save`] writes them.
    pub fn set_settings(&mut self, settings: ProjectSettings) {
        self.file.settings = settings;
    }

    /// Returns the address of the archive that queries can include.
    pub fn archive(&self) -> Option<&ArchiveUrl> {
        self.file.archive.as_ref()
    }

    /// Sets or removes the address of the archive; [`Self::save`] writes it.
    pub fn set_archive(&mut self, archive: Option<ArchiveUrl>) {
        self.file.archive = archive;
    }

    /// Whether the project uses the encoder that was the default when it was made, and nobody has chosen it since.
    pub fn has_former_default(&self) -> bool {
        match self.file.settings.encoder.as_deref() {
            None => true,
            Some(encoder::PREVIOUS_DEFAULT) => !self.file.settings.keeps_encoder,
            Some(_) => false,
        }
    }

    /// Returns the name or path of the encoder. A file in the project's folder is found even if the project
    /// has moved.
    pub fn encoder_name(&self) -> String {
        let Some(name) = &self.file.settings.encoder else { return encoder::FIRST_DEFAULT.to_owned() };
        self.local_encoder.resolve(&self.root, name)
    }

    /// Returns the recipe of this project's descriptors with the given encoder. Imported descriptors use the
    /// tiles of their encoder, without stain normalisation. Colours are normalised for encoders that were fitted on
    /// normalised tiles, unless the project turns that off or the user says that a slide has another stain than H&E: the
    /// reference is one of H&E, and all slides of a project are compared with each other.
    pub fn recipe(&self, encoder: &EncoderSpec) -> Recipe {
        let settings = &self.file.settings;
        let tiles = if encoder.id.is_imported() { encoder.tiles } else { settings.tiles };
        let is_normalisable =
            |entry: &SlideEntry| entry.stain.is_none_or(|stain| stain.kind.can_be_normalised());
        let is_wanted = settings.stain.is_lab() && encoder.stain.is_lab();
        let is_normalised = is_wanted && self.file.slides.iter().all(is_normalisable);
        let stain = if is_normalised { StainSetting::Lab } else { StainSetting::None };
        Recipe { encoder_id: encoder.id.clone(), encoder_name: encoder.name.clone(), tiles, stain }
    }

    /// Returns the store of this project's descriptors.
    pub fn descriptors(&self) -> DescriptorStore {
        let store = DescriptorStore::new(self.root.join("descriptors"));
        let store = store.with_former_ids(self.former_ids_of_descriptors());
        if self.read_only().is_some() { store.read_only() } else { store }
    }

    /// Returns the cache of index segments, which can be rebuilt from the descriptors.
    pub fn index_cache(&self) -> IndexCache {
        let cache = IndexCache::new(self.root.join("index"));
        if self.read_only().is_some() { cache.read_only() } else { cache }
    }

    /// Stores computed slide levels in this project's folder from now on, or in memory only if the project is read-only.
    pub fn store_computed_levels(&self) {
        let is_writable = self.read_only().is_none();
        computed::keep_in(is_writable.then(|| self.root.join("levels")));
    }

    /// Returns the thumbnails of this project's slides, which can be made again from the slides.
    pub fn thumbnails(&self) -> ThumbnailCache {
        ThumbnailCache::new(self.root.join("thumbnails"), THUMBNAIL_PX, self.read_only().is_none())
    }

    /// Returns the store of this project's annotations.
    pub fn annotations(&self) -> AnnotationStore {
        let store =
            AnnotationStore::new(self.root.join(ANNOTATIONS_FOLDER)).with_former_ids(self.former_ids());
        if self.read_only().is_some() { store.read_only() } else { store }
    }

    /// Returns the store of this project's concepts.
    pub fn concepts(&self) -> ConceptStore {
        let store = ConceptStore::new(self.root.join(CONCEPTS_FOLDER));
        if self.read_only().is_some() { store.read_only() } else { store }
    }

    /// Returns the annotation classes of the project.
    pub fn classes(&self) -> Vec<AnnotationClass> {
        self.file.classes.clone()
    }

    /// Replaces the annotation classes; [`Self::save`] writes them.
    pub fn set_classes(&mut self, classes: Vec<AnnotationClass>) {
        self.file.classes = classes;
    }

    /// Adds the classes whose names are new; returns whether there were any.
    pub fn add_classes<'a>(&mut self, classes: impl IntoIterator<Item = &'a AnnotationClass>) -> bool {
        let mut all = self.classes();
        let known = all.len();
        for class in classes {
            if !all.iter().any(|one| one.name == class.name) {
                all.push(class.clone());
            }
        }
        let has_new = all.len() > known;
        if has_new {
            self.set_classes(all);
        }
        has_new
    }

    /// Returns the imported list of slides (file name or stem) and their patients.
    pub fn patients(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.file.patients.iter().map(|(slide, patient)| (slide.clone(), patient.clone()))
    }

    /// Replaces the list of slides (file name or stem) and their patients; [`Self::save`] writes it.
    pub fn set_patients(&mut self, list: impl IntoIterator<Item = (String, String)>) {
        self.file.patients = list.into_iter().collect();
    }

    /// Returns the absolute path of a slide's file, without `..` components.
    pub fn slide_path(&self, entry: &SlideEntry) -> PathBuf {
        joined(&self.root, entry.path())
    }

    /// Finds a slide by ID (or its first characters, at least 6), path, file name or file stem. A name that no slide has
    /// as it stands is compared [without regard to case](names::fit).
    ///
    /// # Errors
    /// [`ProjectError::NoSuchSlide`] or [`ProjectError::Ambiguous`].
    pub fn find_slide(&self, name: &str) -> Result<&SlideEntry, ProjectError> {
        let wanted = std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name));
        // Names that are not valid UTF-8 are compared in their displayed form.
        let is = |part: Option<&OsStr>| part.is_some_and(|part| part.to_string_lossy() == name);
        let fits = |entry: &SlideEntry| {
            let part = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
            let (file, stem) = (part(entry.path().file_name()), part(entry.path().file_stem()));
            names::fit(name, &[&file, &stem]).is_some_and(|fit| !fit.is_by_file_alone)
        };
        let ranked: [&dyn Fn(&SlideEntry) -> bool; 7] = [
            &|entry| entry.id.0 == name,
            &|entry| self.slide_path(entry).to_string_lossy() == wanted.to_string_lossy(),
            &|entry| is(entry.path().file_name()),
            &|entry| is(entry.path().file_stem()),
            &|entry| name.len() >= 6 && entry.id.0.starts_with(name),
            &|entry| name.len() >= 6 && entry.former_ids.iter().any(|id| id.0.starts_with(name)),
            &fits,
        ];
        let names = |entries: &[&SlideEntry]| {
            entries.iter().map(|entry| entry.path().display().to_string()).collect::<Vec<_>>().join(", ")
        };
        for matches in ranked {
            let found: Vec<&SlideEntry> = self.slides().iter().filter(|entry| matches(entry)).collect();
            match found.as_slice() {
                [] => {}
                [entry] => return Ok(entry),
                several => {
                    return Err(ProjectError::Ambiguous { name: name.to_owned(), known: names(several) });
                }
            }
        }
        let all: Vec<&SlideEntry> = self.slides().iter().collect();
        let known = if all.is_empty() { "no slides".to_owned() } else { names(&all) };
        Err(ProjectError::NoSuchSlide { name: name.to_owned(), known })
    }

    /// Returns the path as it is stored: relative to the project if the two share a parent folder other than
    /// the file system's root, so that a project still works when it is moved together with its slides.
    fn stored_path(&self, slide: &Path) -> PathBuf {
        let slide = std::path::absolute(slide).unwrap_or_else(|_| slide.to_owned());
        paths::relative(&self.root, &slide).unwrap_or(slide)
    }
}

/// Joins a path to a canonical folder, so that `..` can be resolved by removing the last component.
fn joined(folder: &Path, path: &Path) -> PathBuf {
    let mut joined = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            std::path::Component::ParentDir => _ = joined.pop(),
            other => joined.push(other),
        }
    }
    joined
}

fn absolute(path: &Path) -> Result<PathBuf, ProjectError> {
    paths::canonical(path).map_err(|source| ProjectError::Io { path: path.to_owned(), source })
}
