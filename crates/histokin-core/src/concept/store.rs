//! Storage of the concepts of a project: for each a text file `NAME.toml` with everything that a person may want
//! to read, and `NAME-HASH.safetensors` with `direction` f32 `[width]` and `tiles` f32 `[N, width]`, the
//! descriptors of the marked tiles in the order of the text.
//!
//! The text names the content of the numbers by its SHA-256, and is written after them, so that a concept is
//! complete at any moment.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Concept, ConceptError, ConceptTile, Estimate};
use crate::annotation::AnnotationClass;
use crate::descriptors::{MOST_NUMBERS, Recipe, hex};
use crate::geometry::Level0Point;
use crate::paths::portable_stem;
use crate::slide::SlideId;
use crate::{durable, untrusted};

/// Largest text and largest file of numbers, in bytes.
const MOST_BYTES: u64 = 1 << 28;

/// Longest name, in characters.
const LONGEST_NAME: usize = 100;

/// Number of digits of the hash in the name of a file of numbers.
const HASH_DIGITS: usize = 12;

/// The folder in which a project stores its concepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConceptStore {
    folder: PathBuf,
    read_only: bool,
}

/// The concepts of a project.
#[derive(Debug, Default)]
pub struct LoadedConcepts {
    /// Those that could be read, by name.
    pub concepts: Vec<Concept>,
    /// A message for each file that is damaged, with the name under which it was set aside.
    pub trouble: Vec<String>,
}

/// The text file of a concept.
#[derive(Serialize, Deserialize)]
struct ConceptText {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    threshold: Option<f32>,
    /// SHA-256 of the file of numbers.
    sha256: String,
    class: AnnotationClass,
    recipe: Recipe,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    estimate: Option<Estimate>,
    #[serde(default, rename = "mark")]
    marks: Vec<MarkText>,
}

#[derive(Serialize, Deserialize)]
struct MarkText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slide: Option<SlideId>,
    x: f64,
    y: f64,
    judgement: Said,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Same,
    Different,
}

impl ConceptStore {
    /// Makes a store in `folder`, which is created when a concept is first saved.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, read_only: false }
    }

    /// Returns the store in read-only mode: no file is written, renamed or removed.
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// Loads all concepts. A damaged file is set aside and reported.
    ///
    /// # Errors
    /// [`ConceptError::Io`] if the folder or a file cannot be read or set aside.
    pub fn load(&self) -> Result<LoadedConcepts, ConceptError> {
        let mut loaded = LoadedConcepts::default();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(loaded),
            Err(source) => return Err(io(&self.folder, source)),
        };
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        let mut paths: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect();
        paths.sort();
        for path in paths {
            match read(&path) {
                Ok(concept) => loaded.concepts.push(concept),
                Err(Unread::Io(source)) => return Err(io(&path, source)),
                Err(Unread::Damaged(reason)) if self.read_only => {
                    let text =
                        format!("{}: damaged concept ({reason}); it was left as it is", path.display());
                    loaded.trouble.push(text);
                }
                Err(Unread::Damaged(reason)) => {
                    let aside = durable::set_aside(&path).map_err(|source| io(&path, source))?;
                    // A concept taught under the same name would remove them.
                    for numbers in numbers_of(&path) {
                        durable::set_aside(&numbers).map_err(|source| io(&numbers, source))?;
                    }
                    loaded.trouble.push(format!(
                        "{}: damaged concept ({reason}); it was kept as {}, teach it again",
                        path.display(),
                        aside.display()
                    ));
                }
            }
        }
        Ok(loaded)
    }

    /// Reads the concept of this name.
    ///
    /// # Errors
    /// [`ConceptError::Nameless`], and as [`Concept::read`].
    pub fn get(&self, name: &str) -> Result<Concept, ConceptError> {
        Concept::read(&self.path(name)?)
    }

    /// Saves a concept, replacing the one of the same name (durable writes).
    ///
    /// # Errors
    /// [`ConceptError::Nameless`], [`ConceptError::NameTaken`] by a name that differs in signs or capitals only, and
    /// [`ConceptError::Io`]; the previous files are then unchanged.
    pub fn save(&self, concept: &Concept) -> Result<(), ConceptError> {
        let path = self.path(&concept.name)?;
        if let Ok(known) = read(&path)
            && known.name != concept.name
        {
            return Err(ConceptError::NameTaken(known.name));
        }
        self.write(concept, &path)
    }

    /// Writes the files of a concept, whose text is `path`.
    fn write(&self, concept: &Concept, path: &Path) -> Result<(), ConceptError> {
        if self.read_only {
            return Err(io(path, durable::refused()));
        }
        let numbers = numbers(concept).map_err(|source| io(path, source))?;
        let sha256 = hex(&Sha256::digest(&numbers));
        let text = toml::to_string_pretty(&ConceptText::of(concept, sha256.clone()))
            .map_err(|error| io(path, io::Error::other(error)))?;
        fs::create_dir_all(&self.folder).map_err(|source| io(&self.folder, durable::advised(source)))?;
        let beside = numbers_path(path, &sha256);
        durable::write(&beside, &numbers).map_err(|source| io(&beside, source))?;
        durable::write(path, text.as_bytes()).map_err(|source| io(path, source))?;
        remove_numbers(path, Some(&beside));
        Ok(())
    }

    /// Removes the concept of this name.
    ///
    /// # Errors
    /// [`ConceptError::Nameless`] and [`ConceptError::Io`].
    pub fn remove(&self, name: &str) -> Result<(), ConceptError> {
        let path = self.path(name)?;
        if self.read_only {
            return Err(io(&path, durable::refused()));
        }
        durable::remove(&path).map_err(|source| io(&path, source))?;
        remove_numbers(&path, None);
        Ok(())
    }

    /// Saves a concept under another name.
    ///
    /// # Errors
    /// As [`Self::save`] and [`Self::remove`], and [`ConceptError::NameTaken`]. Nothing has changed then, or the
    /// concept has both names.
    pub fn rename(&self, concept: &mut Concept, name: &str) -> Result<(), ConceptError> {
        let name = name.trim();
        let (from, to) = (self.path(&concept.name)?, self.path(name)?);
        let renamed = Concept { name: name.to_owned(), ..concept.clone() };
        if from == to {
            // Another way to write the same name.
            self.write(&renamed, &to)?;
        } else if to.exists() {
            return Err(ConceptError::NameTaken(name.to_owned()));
        } else {
            self.save(&renamed)?;
            self.remove(&concept.name)?;
        }
        *concept = renamed;
        Ok(())
    }

    /// Returns the path of the text of a concept: its name in lower case, with a dash for everything that is neither
    /// a letter nor a digit.
    fn path(&self, name: &str) -> Result<PathBuf, ConceptError> {
        let words: Vec<String> = name
            .to_lowercase()
            .split(|letter: char| !letter.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        if words.is_empty() || name.chars().count() > LONGEST_NAME {
            return Err(ConceptError::Nameless(name.to_owned()));
        }
        Ok(self.folder.join(format!("{}.toml", portable_stem(&words.join("-")))))
    }
}

fn io(path: &Path, source: io::Error) -> ConceptError {
    ConceptError::Io { path: path.to_owned(), source }
}

/// Returns the path of the numbers that belong to a text.
fn numbers_path(text: &Path, sha256: &str) -> PathBuf {
    let stem = text.file_stem().unwrap_or_default().to_string_lossy();
    let hash: String = sha256.chars().filter(char::is_ascii_hexdigit).take(HASH_DIGITS).collect();
    text.with_file_name(format!("{stem}-{hash}.safetensors"))
}

/// Returns the paths of all numbers of a concept, those of earlier versions included.
fn numbers_of(text: &Path) -> Vec<PathBuf> {
    let stem = format!("{}-", text.file_stem().unwrap_or_default().to_string_lossy());
    let is_of_text = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hash = name.strip_prefix(&stem).and_then(|rest| rest.strip_suffix(".safetensors"));
        let is_hash = |hash: &str| hash.len() == HASH_DIGITS && hash.chars().all(|c| c.is_ascii_hexdigit());
        hash.is_some_and(is_hash)
    };
    let entries = fs::read_dir(text.parent().unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(is_of_text).collect()
}

/// Removes the numbers of earlier versions of a concept. A file that cannot be removed is never read again.
fn remove_numbers(text: &Path, keep: Option<&Path>) {
    for path in numbers_of(text).into_iter().filter(|path| Some(path.as_path()) != keep) {
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!("{}: no longer needed, and cannot be removed: {error}", path.display());
        }
    }
}

/// Returns the numbers of a concept as safetensors.
fn numbers(concept: &Concept) -> io::Result<Vec<u8>> {
    let width = concept.direction.len();
    let tiles: Vec<f32> = concept.tiles.iter().flat_map(|tile| tile.descriptor.iter().copied()).collect();
    let view = |shape: Vec<usize>, values| {
        TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(values)).map_err(io::Error::other)
    };
    let tensors = BTreeMap::from([
        ("direction", view(vec![width], &concept.direction)?),
        ("tiles", view(vec![concept.tiles.len(), width], &tiles)?),
    ]);
    safetensors::serialize(tensors, None).map_err(io::Error::other)
}

enum Unread {
    Io(io::Error),
    Damaged(String),
}

fn damaged(reason: impl ToString) -> Unread {
    Unread::Damaged(reason.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Reads a concept from its two files.
fn read(path: &Path) -> Result<Concept, Unread> {
    let mut text = read_text(path)?;
    loop {
        let read = read_numbers(path, &text);
        if !matches!(read, Err(Unread::Damaged(_))) {
            return read;
        }
        // Another program may have saved the concept since, and removed the numbers that this text names.
        let now = read_text(path)?;
        if now == text {
            return read;
        }
        text = now;
    }
}

fn read_text(path: &Path) -> Result<String, Unread> {
    untrusted::read_text(path, MOST_BYTES).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => damaged(error),
        _ => Unread::Io(error),
    })
}

/// Reads the numbers that belong to the text of a concept, which is that of the file `path`.
fn read_numbers(path: &Path, text: &str) -> Result<Concept, Unread> {
    let text: ConceptText = toml::from_str(text).map_err(damaged)?;
    let beside = numbers_path(path, &text.sha256);
    let bytes = match untrusted::read(&beside, MOST_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(damaged(format!("{} is missing", beside.display())));
        }
        Err(error) => return Err(Unread::Io(error)),
    };
    if hex(&Sha256::digest(&bytes)) != text.sha256 {
        return Err(damaged(format!("{} has changed", beside.display())));
    }
    text.concept(&bytes)
}

impl ConceptText {
    fn of(concept: &Concept, sha256: String) -> Self {
        let mark = |tile: &ConceptTile| MarkText {
            slide: tile.slide.clone(),
            x: tile.at.x,
            y: tile.at.y,
            judgement: if tile.is_same { Said::Same } else { Said::Different },
        };
        Self {
            name: concept.name.clone(),
            threshold: concept.threshold,
            sha256,
            class: concept.class.clone(),
            recipe: concept.recipe.clone(),
            estimate: concept.estimate,
            marks: concept.tiles.iter().map(mark).collect(),
        }
    }

    /// Returns the concept with the numbers of its other file.
    fn concept(self, bytes: &[u8]) -> Result<Concept, Unread> {
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let values = |name: &str| -> Result<(Vec<usize>, Vec<f32>), Unread> {
            let tensor = tensors.tensor(name).map_err(damaged)?;
            if tensor.dtype() != Dtype::F32 {
                return Err(damaged(format!("{name} is not f32")));
            }
            // Not necessarily aligned in the file.
            let values: Vec<f32> = tensor
                .data()
                .chunks_exact(4)
                .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
                .collect();
            match values.iter().all(|value| value.is_finite()) {
                true => Ok((tensor.shape().to_vec(), values)),
                false => Err(damaged(format!("{name} contains NaN or an infinity"))),
            }
        };
        let (shape, direction) = values("direction")?;
        let width = direction.len();
        if shape != [width] || width == 0 || width > MOST_NUMBERS {
            return Err(damaged("the width of its direction is invalid"));
        }
        let (shape, tiles) = values("tiles")?;
        if shape != [self.marks.len(), width] {
            return Err(damaged("it has more or fewer descriptors than marks"));
        }
        let is_sensible = |limit: f32| limit.is_finite() && limit >= 0.0;
        if !self.threshold.is_none_or(is_sensible) {
            return Err(damaged("its threshold is not a distance"));
        }
        if let Some(mark) = self.marks.iter().find_map(|mark| mark.slide.as_ref().filter(|id| !id.is_plain()))
        {
            return Err(damaged(format!("{:?} is not a slide ID", mark.0)));
        }
        let tile = |(mark, descriptor): (MarkText, &[f32])| ConceptTile {
            slide: mark.slide,
            at: Level0Point::new(mark.x, mark.y),
            is_same: mark.judgement == Said::Same,
            descriptor: descriptor.to_vec(),
        };
        Ok(Concept {
            name: self.name,
            class: self.class,
            recipe: self.recipe,
            tiles: self.marks.into_iter().zip(tiles.chunks_exact(width)).map(tile).collect(),
            direction,
            threshold: self.threshold,
            estimate: self.estimate,
        })
    }
}

impl Concept {
    /// Reads a concept from its text file, such as that of another project; the numbers lie beside it.
    ///
    /// # Errors
    /// [`ConceptError::Io`] and [`ConceptError::Damaged`]; the files are left as they are.
    pub fn read(path: &Path) -> Result<Self, ConceptError> {
        read(path).map_err(|error| match error {
            Unread::Io(source) => io(path, source),
            Unread::Damaged(reason) => ConceptError::Damaged { path: path.to_owned(), reason },
        })
    }
}

impl LoadedConcepts {
    /// Returns the concept of this name.
    ///
    /// # Errors
    /// [`ConceptError::Unknown`].
    pub fn find(&self, name: &str) -> Result<&Concept, ConceptError> {
        let wanted = name.trim().to_lowercase();
        let found = self.concepts.iter().find(|concept| concept.name.to_lowercase() == wanted);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.concepts.iter().map(|concept| concept.name.as_str()).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            ConceptError::Unknown { name: name.to_owned(), known }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concept::Learning;
    use crate::descriptors::EncoderId;
    use crate::index::DescriptorStatistics;
    use crate::query::RankBy;
    use crate::stain::StainSetting;
    use crate::tiling::TileSettings;
    use std::collections::HashMap;

    fn concept(name: &str) -> Concept {
        let recipe = Recipe {
            encoder_id: EncoderId("e".repeat(64)),
            encoder_name: "test".to_owned(),
            tiles: TileSettings { tile_px: 224, mpp: 1.0 },
            stain: StainSetting::None,
        };
        let tile = |x: f64, is_same: bool| ConceptTile {
            slide: Some(SlideId("abc".to_owned())),
            at: Level0Point::new(x, 5.5),
            is_same,
            descriptor: vec![x as f32, 0.25],
        };
        let image = ConceptTile { slide: None, ..tile(3.0, true) };
        let tiles = vec![tile(1.0, true), tile(2.0, false), image];
        let learning =
            Learning { rank_by: RankBy::default(), statistics: &DescriptorStatistics::of_sets(&[]) };
        let class = AnnotationClass::named("Liver");
        Concept::of_tiles(name, class, recipe, tiles, learning, &HashMap::new()).unwrap()
    }

    #[test]
    fn concepts_come_back_and_are_renamed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = ConceptStore::new(folder.path().join("concepts"));
        assert!(store.load().unwrap().concepts.is_empty());
        let mut liver = Concept { threshold: Some(0.75), ..concept("Liver (normal)") };
        store.save(&liver).unwrap();
        store.save(&concept("Fat")).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!(loaded.concepts, [concept("Fat"), liver.clone()]);
        assert_eq!(loaded.find("liver (NORMAL)").unwrap(), &liver);
        assert!(loaded.find("x").unwrap_err().to_string().contains("Fat, Liver (normal)"));

        assert!(matches!(store.rename(&mut liver, "fat!"), Err(ConceptError::NameTaken(_))));
        assert!(matches!(store.rename(&mut liver, " – "), Err(ConceptError::Nameless(_))));
        store.rename(&mut liver, "LIVER normal").unwrap();
        store.rename(&mut liver, "Hepatocytes").unwrap();
        store.remove("Fat").unwrap();
        assert_eq!(store.load().unwrap().concepts, [liver.clone()]);
        store.save(&Concept { direction: vec![9.0, 9.0], ..liver }).unwrap();
        store.save(&concept("Aux")).unwrap();
        assert!(folder.path().join("concepts/_aux.toml").exists(), "Windows cannot have a file aux.toml");
        store.rename(&mut concept("Aux"), &"肝".repeat(LONGEST_NAME)).unwrap();
        store.remove(&"肝".repeat(LONGEST_NAME)).unwrap();
        let files = fs::read_dir(folder.path().join("concepts")).unwrap().count();
        assert_eq!(files, 2, "earlier numbers are removed");
    }

    #[test]
    fn damaged_concepts_are_set_aside_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = ConceptStore::new(folder.path().to_owned());
        for name in ["a", "b", "c", "d"] {
            store.save(&concept(name)).unwrap();
        }
        fs::write(folder.path().join("a.toml"), "name = 7").unwrap();
        let numbers = |stem: &str| {
            let of =
                |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(&format!("{stem}-"));
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).find(of).unwrap()
        };
        let mut bytes = fs::read(numbers("b")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(numbers("b"), bytes).unwrap();
        fs::remove_file(numbers("c")).unwrap();
        let unchanged = store.clone().read_only().load().unwrap();
        assert_eq!((unchanged.concepts.len(), unchanged.trouble.len()), (1, 3));
        assert!(folder.path().join("a.toml").exists());
        let loaded = store.load().unwrap();
        assert_eq!((loaded.concepts, loaded.trouble.len()), (vec![concept("d")], 3));
        assert!(folder.path().join("b.toml.damaged-1").exists());
        assert!(store.load().unwrap().trouble.is_empty());
        store.save(&Concept { direction: vec![9.0, 9.0], ..concept("a") }).unwrap();
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let aside = names.filter(|name| name.to_string_lossy().ends_with(".safetensors.damaged-1")).count();
        assert_eq!(aside, 2, "the numbers of a and b are kept when a is taught again");
        assert!(store.read_only().save(&concept("e")).is_err());
    }
}
