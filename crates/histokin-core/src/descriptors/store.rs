//! The folder of descriptor files: `<slide>-<recipe>.safetensors`, each with `features` f32 `[N, width]`,
//! `coords` i64 `[N, 2]`, and its complete [`DescriptorHeader`] in the metadata.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use super::{
    DescriptorError, DescriptorHeader, DescriptorSet, Features, Journal, Recipe, content_problem, hex,
};
use crate::slide::SlideId;
use crate::{durable, mapped};

/// A folder of descriptor files.
#[derive(Debug, Clone)]
pub struct DescriptorStore {
    folder: PathBuf,
    read_only: bool,
    /// IDs under which earlier versions of the program stored descriptors of a slide.
    former_ids: Arc<HashMap<SlideId, Vec<SlideId>>>,
}

impl DescriptorStore {
    /// Opens the store in `folder`, which is created on the first write.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), read_only: false, former_ids: Arc::default() }
    }

    /// Makes the store read-only: nothing is written, moved or deleted.
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// Makes the store also look for descriptors under the former IDs of a slide. New files use the current
    /// ID.
    pub fn with_former_ids(self, former_ids: Arc<HashMap<SlideId, Vec<SlideId>>>) -> Self {
        Self { former_ids, ..self }
    }

    /// Returns the IDs under which a slide may have files, the current ID first.
    fn ids<'a>(&'a self, slide: &'a SlideId) -> impl Iterator<Item = &'a SlideId> {
        std::iter::once(slide).chain(self.former_ids.get(slide).into_iter().flatten())
    }

    /// Checks that writing is allowed; `path` is for the message.
    ///
    /// # Errors
    /// [`DescriptorError::Io`] when the store is read-only.
    fn require_writable(&self, path: &Path) -> Result<(), DescriptorError> {
        match self.read_only {
            true => Err(DescriptorError::Io { path: path.to_owned(), source: durable::refused() }),
            false => Ok(()),
        }
    }

    /// Returns the path of a slide's finished descriptors, whether or not they exist.
    pub fn path(&self, slide: &SlideId, recipe: &Recipe) -> PathBuf {
        let id = self.ids(slide).find(|id| self.path_of(id, recipe).exists());
        self.path_of(id.unwrap_or(slide), recipe)
    }

    /// Returns the path of descriptors written under exactly this ID.
    fn path_of(&self, id: &SlideId, recipe: &Recipe) -> PathBuf {
        self.folder.join(format!("{}-{}.safetensors", id.short(), recipe.short_id()))
    }

    /// Returns the path of the journal, which collects descriptors while the slide is being embedded.
    fn journal_path(&self, slide: &SlideId, recipe: &Recipe) -> PathBuf {
        self.path_of(slide, recipe).with_extension("partial")
    }

    /// Returns the path of the descriptors of tiles that were embedded but are no longer selected.
    fn unselected_path(&self, slide: &SlideId, recipe: &Recipe) -> PathBuf {
        self.path_of(slide, recipe).with_extension("unselected")
    }

    /// Returns descriptors of tiles that were embedded but are no longer selected, so that these tiles need
    /// not be embedded again. An unreadable file is ignored; a damaged one is renamed and kept.
    pub fn open_unselected(&self, slide: &SlideId, recipe: &Recipe) -> Option<DescriptorSet> {
        let path = self.unselected_path(slide, recipe);
        if !path.exists() {
            return None;
        }
        let failure = match read(&path, Check::Quick).and_then(|set| belongs(set, slide, recipe)) {
            Ok(set) => return Some(set),
            Err(failure) => failure,
        };
        tracing::warn!("{}: {failure:?}; its tiles are embedded again", path.display());
        if matches!(failure, ReadFailure::Damaged(_)) && !self.read_only {
            durable::set_aside(&path).ok();
        }
        None
    }

    /// Writes the descriptors of tiles that are no longer selected, replacing earlier ones. An empty set
    /// deletes the file.
    ///
    /// # Errors
    /// [`DescriptorError::Io`]; [`DescriptorError::Unstorable`] when the set is invalid.
    pub fn save_unselected(&self, set: &DescriptorSet) -> Result<(), DescriptorError> {
        let path = self.unselected_path(&set.header.slide_id, &set.header.recipe);
        if !set.is_empty() {
            return self.save_at(set, &path);
        }
        self.require_writable(&path)?;
        match durable::remove(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(DescriptorError::Io { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Opens the finished descriptors of a slide, if there are any.
    ///
    /// # Errors
    /// [`DescriptorError::Damaged`]: the file was renamed and kept for inspection;
    /// [`DescriptorError::LeftDamaged`]: the store is read-only; [`DescriptorError::Io`] otherwise.
    pub fn open(&self, slide: &SlideId, recipe: &Recipe) -> Result<Option<DescriptorSet>, DescriptorError> {
        self.open_checked(slide, recipe, Check::Quick)
    }

    /// Opens descriptors as [`Self::open`] does, but checks the complete content against its SHA-256.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn verify(&self, slide: &SlideId, recipe: &Recipe) -> Result<Option<DescriptorSet>, DescriptorError> {
        self.open_checked(slide, recipe, Check::Thorough)
    }

    /// Opens descriptors as [`Self::open`] does, but whatever their checksum, which would keep fuzzing from the code
    /// behind it.
    ///
    /// # Errors
    /// As [`Self::open`].
    #[cfg(feature = "test-support")]
    pub fn open_unchecked(
        &self,
        slide: &SlideId,
        recipe: &Recipe,
    ) -> Result<Option<DescriptorSet>, DescriptorError> {
        self.open_checked(slide, recipe, Check::Skipped)
    }

    fn open_checked(
        &self,
        slide: &SlideId,
        recipe: &Recipe,
        check: Check,
    ) -> Result<Option<DescriptorSet>, DescriptorError> {
        let Some(id) = self.ids(slide).find(|id| self.path_of(id, recipe).exists()) else { return Ok(None) };
        let path = self.path_of(id, recipe);
        match read(&path, check).and_then(|set| belongs(set, id, recipe)) {
            Ok(mut set) => {
                set.header.slide_id = slide.clone();
                Ok(Some(set))
            }
            Err(ReadFailure::Io(source)) => Err(DescriptorError::Io { path, source }),
            Err(ReadFailure::Damaged(reason)) if self.read_only => {
                Err(DescriptorError::LeftDamaged { path, reason })
            }
            Err(ReadFailure::Damaged(reason)) => {
                let aside = durable::set_aside(&path)
                    .map_err(|source| DescriptorError::Io { path: path.clone(), source })?;
                Err(DescriptorError::Damaged { path, reason, aside })
            }
        }
    }

    /// Returns the recipes of all descriptors in the folder, each once, ordered by the encoders' names.
    /// Unreadable files are skipped.
    pub fn recipes(&self) -> Vec<Recipe> {
        let mut recipes: Vec<Recipe> = Vec::new();
        for recipe in self.headers().map(|header| header.recipe) {
            if !recipes.contains(&recipe) {
                recipes.push(recipe);
            }
        }
        recipes.sort_by_key(|recipe| (recipe.encoder_name.clone(), recipe.short_id()));
        recipes
    }

    /// Returns the headers of all descriptors in the folder, in no order. Unreadable files are skipped.
    pub fn headers(&self) -> impl Iterator<Item = DescriptorHeader> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
            .filter_map(|path| header(&path).ok())
    }

    /// Deletes what is kept of a slide by `recipe`: its descriptors, those of tiles that are not selected any more,
    /// and the journal.
    ///
    /// # Errors
    /// [`DescriptorError::Io`].
    pub fn discard(&self, slide: &SlideId, recipe: &Recipe) -> Result<(), DescriptorError> {
        for id in self.ids(slide) {
            for path in
                [self.path_of(id, recipe), self.unselected_path(id, recipe), self.journal_path(id, recipe)]
            {
                self.require_writable(&path)?;
                if path.exists() {
                    durable::remove(&path).map_err(|source| DescriptorError::Io { path, source })?;
                }
            }
        }
        Ok(())
    }

    /// Writes a finished set (durable write) and returns its path.
    ///
    /// # Errors
    /// [`DescriptorError::Io`]; [`DescriptorError::Unstorable`] when the set is invalid.
    pub fn save(&self, set: &DescriptorSet) -> Result<PathBuf, DescriptorError> {
        let path = self.path_of(&set.header.slide_id, &set.header.recipe);
        self.save_at(set, &path)?;
        Ok(path)
    }

    fn save_at(&self, set: &DescriptorSet, path: &Path) -> Result<(), DescriptorError> {
        self.require_writable(path)?;
        if let Some(reason) = set.problem() {
            return Err(DescriptorError::Unstorable { path: path.to_owned(), reason });
        }
        let io = |source| DescriptorError::Io { path: path.to_owned(), source };
        fs::create_dir_all(&self.folder).map_err(|source| io(durable::advised(source)))?;
        let coords: &[u8] = bytemuck::cast_slice(set.coords());
        let features: &[u8] = bytemuck::cast_slice(set.features());
        let view = |dtype, columns, bytes| {
            TensorView::new(dtype, vec![set.len(), columns], bytes)
                .expect("the bytes were cast from exactly len × columns numbers of this type")
        };
        let tensors =
            [("features", view(Dtype::F32, set.width(), features)), ("coords", view(Dtype::I64, 2, coords))];
        let bytes = safetensors::serialize(tensors, Some(metadata(set, coords, features)))
            .map_err(|error| io(std::io::Error::other(error)))?;
        durable::write(path, &bytes).map_err(io)
    }

    /// Opens the journal of a slide that is being embedded, with the records of an earlier run.
    ///
    /// # Errors
    /// [`DescriptorError::Io`].
    pub fn journal(&self, header: &DescriptorHeader) -> Result<Journal, DescriptorError> {
        let path = self.journal_path(&header.slide_id, &header.recipe);
        self.require_writable(&path)?;
        fs::create_dir_all(&self.folder).map_err(|source| DescriptorError::Io {
            path: self.folder.clone(),
            source: durable::advised(source),
        })?;
        let former = self.ids(&header.slide_id).skip(1).map(|id| (id, self.journal_path(id, &header.recipe)));
        for (id, former) in former.filter(|(_, former)| former.exists()) {
            Journal::take_over(&former, id, &path, header)?;
        }
        Journal::open(&path, header)
    }

    /// Deletes the journal of a slide whose descriptors are finished.
    ///
    /// # Errors
    /// [`DescriptorError::Io`].
    pub fn remove_journal(&self, header: &DescriptorHeader) -> Result<(), DescriptorError> {
        let path = self.journal_path(&header.slide_id, &header.recipe);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(DescriptorError::Io { path, source })
            }
            _ => Ok(()),
        }
    }
}

/// Returns the metadata of a file: separate entries for other programs, and the complete header as JSON.
fn metadata(set: &DescriptorSet, coords: &[u8], features: &[u8]) -> HashMap<String, String> {
    let header = &set.header;
    let mut entries = vec![
        ("slide_id", header.slide_id.0.clone()),
        ("encoder_id", header.recipe.encoder_id.0.clone()),
        ("encoder_name", header.recipe.encoder_name.clone()),
        ("tile_px", header.recipe.tiles.tile_px.to_string()),
        ("mpp", header.effective_mpp.to_string()),
        ("grid_origin", "0,0".to_owned()),
        ("stain", header.recipe.stain.name().to_owned()),
        ("program_version", header.program_version.clone()),
        ("tiles_failed", set.tiles_failed.to_string()),
        ("sha256", checksum(coords, features)),
        ("crc32", crc(coords, features)),
        ("header", serde_json::to_string(header).expect("a header is plain numbers and text")),
    ];
    match header.tile_level0_y {
        None => entries.push(("patch_size_level0", header.tile_level0.to_string())),
        // Programs that expect one size for both axes must not mistake the width for it.
        Some(height) => {
            entries.push(("patch_width_level0", header.tile_level0.to_string()));
            entries.push(("patch_height_level0", height.to_string()));
        }
    }
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

pub(super) fn checksum(coords: &[u8], features: &[u8]) -> String {
    hex(&Sha256::new().chain_update(coords).chain_update(features).finalize())
}

/// Returns the CRC-32 of coordinates and features. It runs at memory speed, so checking a million tiles at
/// every start takes only as long as a few frames.
fn crc(coords: &[u8], features: &[u8]) -> String {
    let of = |bytes: &[u8]| {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(bytes);
        hasher
    };
    let parts: Vec<crc32fast::Hasher> = features.par_chunks(4 << 20).map(of).collect();
    let mut whole = of(coords);
    parts.iter().for_each(|part| whole.combine(part));
    format!("{:08x}", whole.finalize())
}

/// How thoroughly a file is checked when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// By its CRC-32 if the file has one, else by its SHA-256.
    Quick,
    /// By its SHA-256.
    Thorough,
    /// Not by a checksum.
    #[cfg(feature = "test-support")]
    Skipped,
}

#[derive(Debug)]
enum ReadFailure {
    Io(std::io::Error),
    Damaged(String),
}

fn damaged(reason: impl ToString) -> ReadFailure {
    ReadFailure::Damaged(reason.to_string())
}

/// Reads the header of a file.
fn header(path: &Path) -> Result<DescriptorHeader, ReadFailure> {
    let map = mapped::map(path).map_err(ReadFailure::Io)?;
    let (_, meta) = SafeTensors::read_metadata(&map).map_err(damaged)?;
    let header = meta.metadata().as_ref().and_then(|entries| entries.get("header"));
    serde_json::from_str(header.ok_or_else(|| damaged("it has no header"))?).map_err(damaged)
}

fn read(path: &Path, check: Check) -> Result<DescriptorSet, ReadFailure> {
    let map = mapped::map(path).map_err(ReadFailure::Io)?;
    let (_, meta) = SafeTensors::read_metadata(&map).map_err(damaged)?;
    let entries = meta.metadata().as_ref().ok_or_else(|| damaged("it has no metadata"))?;
    let entry = |key: &str| entries.get(key).ok_or_else(|| damaged(format!("it lacks {key}")));
    let header: DescriptorHeader = serde_json::from_str(entry("header")?).map_err(damaged)?;
    if let Some(reason) = header.problem() {
        return Err(damaged(reason));
    }
    let tiles_failed = entry("tiles_failed")?.parse().map_err(damaged)?;

    let tensors = SafeTensors::deserialize(&map).map_err(damaged)?;
    let features = tensors.tensor("features").map_err(damaged)?;
    let coords = tensors.tensor("coords").map_err(damaged)?;
    let count = coords.shape().first().copied().unwrap_or(0);
    if features.dtype() != Dtype::F32 || features.shape() != [count, header.width] {
        return Err(damaged(format!("features are {:?} {:?}", features.dtype(), features.shape())));
    }
    if coords.dtype() != Dtype::I64 || coords.shape() != [count, 2] {
        return Err(damaged(format!("coords are {:?} {:?}", coords.dtype(), coords.shape())));
    }
    let checksum = entry("sha256")?.clone();
    let is_whole = match entry("crc32") {
        #[cfg(feature = "test-support")]
        _ if check == Check::Skipped => true,
        Ok(crc32) if check == Check::Quick => crc(coords.data(), features.data()) == *crc32,
        _ => self::checksum(coords.data(), features.data()) == checksum,
    };
    if !is_whole {
        return Err(damaged("its checksum does not match its content"));
    }
    let coords: Vec<[i64; 2]> = bytemuck::pod_collect_to_vec(coords.data());
    let start = features.data().as_ptr() as usize - map.as_ptr() as usize;
    let end = start + features.data().len();
    let values: &[f32] = bytemuck::try_cast_slice(&map[start..end]).map_err(damaged)?;
    if let Some(reason) = content_problem(&header, &coords, values) {
        return Err(damaged(reason));
    }
    let features = Features::Mapped { map, start, end };
    Ok(DescriptorSet { header, coords, features, tiles_failed, checksum: Some(checksum) })
}

/// Rejects a file whose name is that of another slide or recipe.
fn belongs(set: DescriptorSet, slide: &SlideId, recipe: &Recipe) -> Result<DescriptorSet, ReadFailure> {
    if set.header.slide_id != *slide {
        return Err(damaged(format!("it belongs to slide {}", set.header.slide_id)));
    }
    if set.header.recipe.short_id() != recipe.short_id() {
        return Err(damaged(format!("its encoder is {}", set.header.recipe.encoder_name)));
    }
    Ok(set)
}
