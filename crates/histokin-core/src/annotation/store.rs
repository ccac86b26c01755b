//! Storage of the annotations of a project: one GeoJSON file per slide, and beside a large one a journal of the
//! latest edits.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{MOST_BYTES, read_watched, write_for_store};
use super::journal::{self, Found};
use super::{AnnotationError, AnnotationFile, AnnotationSet};
use crate::slide::SlideId;
use crate::{durable, untrusted};

/// The folder in which a project stores its annotations, in level-0 pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationStore {
    folder: PathBuf,
    read_only: bool,
    /// IDs under which earlier versions of the program stored the annotations of a slide.
    former_ids: Arc<HashMap<SlideId, Vec<SlideId>>>,
}

/// The stored annotations of a slide.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The annotations that could be read.
    pub set: AnnotationSet,
    /// Message if the file is damaged, with the name under which it was set aside.
    pub trouble: Option<String>,
    /// Generation of the file that a journal can continue.
    generation: u64,
    /// Number of whole bytes of its journal; 0 if there is none.
    journal: u64,
}

impl AnnotationStore {
    /// Makes a store in `folder`, which is created when annotations are first saved.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, read_only: false, former_ids: Arc::default() }
    }

    /// Returns the store in read-only mode: no file is written or renamed.
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// Returns the store with former IDs of slides. If a slide has no file under its current ID, its former
    /// IDs are tried. Files are always written under the current ID.
    pub fn with_former_ids(self, former_ids: Arc<HashMap<SlideId, Vec<SlideId>>>) -> Self {
        Self { former_ids, ..self }
    }

    /// Returns the path of the file of a slide.
    pub fn path(&self, slide: &SlideId) -> PathBuf {
        self.folder.join(format!("{slide}.geojson"))
    }

    /// Returns the path of an existing file of a slide, under its current or a former ID; otherwise that
    /// under its current ID.
    fn path_to_read(&self, slide: &SlideId) -> PathBuf {
        let mut ids = std::iter::once(slide).chain(self.former_ids.get(slide).into_iter().flatten());
        ids.find(|id| self.path(id).exists()).map_or_else(|| self.path(slide), |id| self.path(id))
    }

    /// Returns the path of the journal beside a file.
    fn journal(path: &Path) -> PathBuf {
        path.with_extension("journal")
    }

    /// Loads the annotations of a slide; an empty set if it has no file. A file that cannot be parsed is set
    /// aside. A file of which some objects cannot be parsed is set aside, too, and replaced by one with the
    /// other objects.
    ///
    /// # Errors
    /// Fails if the file exists but cannot be read or set aside. It must not be overwritten then.
    pub fn load(&self, slide: &SlideId) -> Result<Loaded, AnnotationError> {
        self.load_watched(slide, &|_| {})
    }

    /// Loads the annotations of a slide like [`Self::load`], and calls `progress` again and again with the
    /// share of the file that has been read, from 0 to 1.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn load_watched(
        &self,
        slide: &SlideId,
        progress: &(dyn Fn(f32) + Sync),
    ) -> Result<Loaded, AnnotationError> {
        /// Number of attempts to read a file that is replaced meanwhile.
        const ATTEMPTS: usize = 5;
        let path = self.path_to_read(slide);
        // A journal that is folded while file and journal are read would be missed.
        let stamp = || fs::metadata(&path).and_then(|file| Ok((file.len(), file.modified()?))).ok();
        let mut before = stamp();
        for _ in 1..ATTEMPTS {
            let loaded = self.load_once(slide, &path, progress)?;
            if loaded.trouble.is_some() || stamp() == before {
                return Ok(loaded);
            }
            before = stamp();
        }
        self.load_once(slide, &path, progress)
    }

    fn load_once(
        &self,
        slide: &SlideId,
        path: &Path,
        progress: &(dyn Fn(f32) + Sync),
    ) -> Result<Loaded, AnnotationError> {
        let bytes = match untrusted::read(path, MOST_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Loaded::default()),
            Err(source) => return Err(io_error(path, source)),
        };
        let read = read_watched(&bytes, path, &|share| {
            progress(share);
            true
        });
        drop(bytes);
        match read {
            Ok(mut file) => {
                let (journal, mut trouble) = self.apply_journal(path, &mut file)?;
                let AnnotationFile { set, left_out, notes, generation, .. } = file;
                if left_out.count > 0 {
                    // The next save would lose the objects that were left out, so the complete file is set
                    // aside.
                    let left_out = format!("{}: {}", path.display(), notes.join(" "));
                    if self.read_only {
                        return Ok(Loaded { set, trouble: Some(left_out), generation, journal });
                    }
                    let aside = durable::set_aside(path).map_err(|source| io_error(path, source))?;
                    self.save(slide, &set)?;
                    let kept = format!("{left_out} The complete file was kept as {}", aside.display());
                    trouble = Some(kept);
                }
                Ok(Loaded { set, trouble, generation, journal })
            }
            Err(error) if self.read_only => {
                let trouble = format!("{error}; it was left unchanged, because the project is read-only");
                Ok(Loaded { trouble: Some(trouble), ..Loaded::default() })
            }
            Err(error) => {
                let aside = durable::set_aside(path).map_err(|source| io_error(path, source))?;
                let journal = Self::journal(path);
                if journal.exists() {
                    durable::set_aside(&journal).map_err(|source| io_error(&journal, source))?;
                }
                let trouble = format!("{error}; it was kept as {}", aside.display());
                Ok(Loaded { trouble: Some(trouble), ..Loaded::default() })
            }
        }
    }

    /// Makes the changes of the journal of a file. Returns the number of its bytes, and a message if it does
    /// not fit.
    fn apply_journal(
        &self,
        path: &Path,
        file: &mut AnnotationFile,
    ) -> Result<(u64, Option<String>), AnnotationError> {
        let journal_path = Self::journal(path);
        let io = |source| io_error(&journal_path, source);
        let set_aside = |why: &str| {
            if self.read_only {
                return Ok((0, Some(format!("{}: {why}; it was not used", journal_path.display()))));
            }
            let aside = durable::set_aside(&journal_path).map_err(io)?;
            let kept = format!("{}: {why}; it was kept as {}", journal_path.display(), aside.display());
            Ok((0, Some(kept)))
        };
        match journal::apply(&journal_path, file.generation, &mut file.set) {
            Ok(Found::None) => Ok((0, None)),
            Ok(Found::Applied { length }) => Ok((length, None)),
            Ok(Found::Other { is_folded: true }) => {
                if !self.read_only {
                    remove_if_there(&journal_path).map_err(io)?;
                }
                Ok((0, None))
            }
            Ok(Found::Other { is_folded: false }) => {
                set_aside("this journal continues a newer version of the annotations, which is missing")
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => set_aside(&error.to_string()),
            Err(error) => Err(io(error)),
        }
    }

    /// Saves the annotations of a slide by a durable write.
    ///
    /// # Errors
    /// Fails if the file cannot be written; the previous file is then unchanged.
    pub fn save(&self, slide: &SlideId, set: &AnnotationSet) -> Result<(), AnnotationError> {
        self.fold(slide, set, &|| false).map(drop)
    }

    /// Saves the annotations of a slide, given what is on the disk: if that is a large file and few
    /// annotations differ, only the differences are written, to a journal beside the file.
    ///
    /// # Errors
    /// Fails if the file cannot be written; what was on the disk is then unchanged.
    pub fn save_changes(
        &self,
        slide: &SlideId,
        saved: Option<&Saved>,
        set: &Arc<AnnotationSet>,
    ) -> Result<Saved, AnnotationError> {
        /// Size of a file, and of a journal, in bytes, from which a journal is made, and is folded.
        const LARGE: u64 = 1 << 20;
        const TOO_LARGE: u64 = 64 << 20;
        let path = self.path(slide);
        let journal_path = Self::journal(&path);
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        let is_worth_it = size(&path) >= LARGE && size(&journal_path) < TOO_LARGE;
        if let Some(saved) = saved.filter(|_| is_worth_it && !self.read_only) {
            let Saved { set: known, generation, journal } = saved;
            let appended = journal::append(&journal_path, *journal, *generation, known, set);
            if let Some(journal) = appended.map_err(|source| io_error(&journal_path, source))? {
                return Ok(Saved { set: set.clone(), generation: *generation, journal });
            }
        }
        let generation = self.fold(slide, set, &|| false)?;
        Ok(Saved::new(set.clone(), generation))
    }

    /// Returns whether the journal of a slide is worth folding into its file.
    pub fn has_long_journal(&self, slide: &SlideId) -> bool {
        const LONG: u64 = 1 << 20;
        fs::metadata(Self::journal(&self.path(slide))).is_ok_and(|file| file.len() > LONG)
    }

    /// Saves all annotations of a slide by a durable write, which takes the place of file and journal. Returns
    /// the generation of the file. `stop` is asked again and again; once it is true, nothing is changed.
    ///
    /// # Errors
    /// Fails if the file cannot be written, or is not because of `stop`; what was on the disk is then
    /// unchanged.
    pub fn fold(
        &self,
        slide: &SlideId,
        set: &AnnotationSet,
        stop: &dyn Fn() -> bool,
    ) -> Result<u64, AnnotationError> {
        let path = self.path(slide);
        let io = |source| io_error(&path, source);
        if self.read_only {
            return Err(io(durable::refused()));
        }
        fs::create_dir_all(&self.folder).map_err(|source| io(durable::advised(source)))?;
        let journal_path = Self::journal(&path);
        let continued = match journal::generation(&journal_path) {
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                durable::set_aside(&journal_path).map_err(io)?;
                None
            }
            continued => continued.map_err(io)?,
        };
        let generation = continued.map_or(0, |generation| generation + 1);
        let written = durable::write_with(&path, |file| {
            write_for_store(set, generation, &mut Stoppable { inner: file, stop })
        });
        written.map_err(io)?;
        if continued.is_some() {
            remove_if_there(&journal_path).map_err(io)?;
        }
        Ok(generation)
    }
}

/// Removes a file, which another thread may have removed already.
fn remove_if_there(path: &Path) -> io::Result<()> {
    match durable::remove(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn io_error(path: &Path, source: io::Error) -> AnnotationError {
    AnnotationError::Io { path: path.to_owned(), source }
}

/// The annotations of a slide that are on the disk.
#[derive(Debug, Clone)]
pub struct Saved {
    set: Arc<AnnotationSet>,
    generation: u64,
    /// Number of whole bytes of the journal; 0 if there is none.
    journal: u64,
}

impl Saved {
    /// Returns what is on the disk after annotations have been loaded; `None` if their file had to be set
    /// aside.
    pub fn of(loaded: &Loaded) -> Option<Self> {
        let is_whole = loaded.trouble.is_none();
        is_whole.then(|| Self {
            set: Arc::new(loaded.set.clone()),
            generation: loaded.generation,
            journal: loaded.journal,
        })
    }

    /// States that a set is on the disk, in a file of a generation, as [`AnnotationStore::fold`] returns it.
    pub fn new(set: Arc<AnnotationSet>, generation: u64) -> Self {
        Self { set, generation, journal: 0 }
    }

    /// Returns the annotations.
    pub fn set(&self) -> &Arc<AnnotationSet> {
        &self.set
    }
}

/// Writes until it is asked to stop.
struct Stoppable<'a, W> {
    inner: W,
    stop: &'a dyn Fn() -> bool,
}

impl<W: Write> Write for Stoppable<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.stop)() {
            return Err(io::Error::other("it was stopped"));
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Annotation, AnnotationClass, Bounds, Edit, Shape, read_bytes};
    use super::*;
    use crate::geometry::Level0Point;

    #[test]
    fn annotations_come_back_and_damaged_files_are_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let store = AnnotationStore::new(folder.path().join("annotations"));
        let slide = SlideId("abc".to_owned());
        assert!(store.load(&slide).unwrap().set.is_empty());

        let bounds = Bounds::between(Level0Point::new(1.5, 2.0), Level0Point::new(30.0, 40.25));
        let set = AnnotationSet::new([Annotation::new(Shape::Rectangle(bounds), None)]);
        store.save(&slide, &set).unwrap();
        assert_eq!(store.load(&slide).unwrap().set, set);

        fs::write(store.path(&slide), "{\"type\":\"FeatureCollection\",\n\"features\":[{]}").unwrap();
        let loaded = store.load(&slide).unwrap();
        let trouble = loaded.trouble.unwrap();
        assert!(trouble.contains("line 2") && trouble.contains("damaged-1"), "{trouble}");
        assert!(loaded.set.is_empty() && !store.path(&slide).exists());
        let kept = fs::read_to_string(store.path(&slide).with_extension("geojson.damaged-1")).unwrap();
        assert!(kept.contains("[{]"));

        // If one object of a file is invalid, the others remain, and the complete file is kept.
        store.save(&slide, &set).unwrap();
        let text = fs::read_to_string(store.path(&slide)).unwrap();
        fs::write(store.path(&slide), text.replace("\n]}", ",\n{\"type\":\"Feature\",\"geometry\":7}\n]}"))
            .unwrap();
        let trouble = store.load(&slide).unwrap().trouble.unwrap();
        assert!(
            trouble.contains("1 object was left out: object 2") && trouble.contains("damaged-2"),
            "{trouble}"
        );
        let loaded = store.load(&slide).unwrap();
        assert_eq!((loaded.set, loaded.trouble), (set, None));
        let kept = fs::read_to_string(store.path(&slide).with_extension("geojson.damaged-2")).unwrap();
        assert!(kept.contains("\"geometry\":7"));
    }

    #[test]
    fn annotations_keep_their_identity_whatever_id_their_file_gave_them() {
        let folder = tempfile::tempdir().unwrap();
        let store = AnnotationStore::new(folder.path().join("annotations"));
        let slide = SlideId("abc".to_owned());
        let text = r#"[{"type":"Feature","id":17,"geometry":{"type":"Point","coordinates":[1,2]}},
            {"type":"Feature","id":17,"geometry":{"type":"Point","coordinates":[3,4]}},
            {"type":"Feature","id":"00000000-0000-4000-8000-00000000000A","geometry":{"type":"Point","coordinates":[5,6]}},
            {"type":"Feature","geometry":{"type":"Point","coordinates":[7,8]}}]"#;
        let set = read_bytes(text.as_bytes(), Path::new("cells.geojson")).unwrap().set;
        store.save(&slide, &set).unwrap();
        assert_eq!(store.load(&slide).unwrap().set, set);
    }

    /// A slide with detections enough for a journal, in a store, and what is on the disk.
    fn large(folder: &Path) -> (AnnotationStore, SlideId, Saved) {
        let cell = |number: u32| {
            let at = |right: f64, down: f64| {
                Level0Point::new(
                    f64::from(number % 100) * 20.0 + right,
                    f64::from(number / 100) * 20.0 + down,
                )
            };
            let ring = vec![at(0.25, 0.0), at(9.0, 1.0), at(8.0, 8.5), at(1.0, 9.75)];
            let mut one = Annotation::new(Shape::polygon(ring), None);
            one.kind = crate::annotation::ObjectKind::Detection;
            one.measurements =
                (0..24).map(|m| (format!("Measurement number {m}"), f64::from(number) / 3.0)).collect();
            one
        };
        let store = AnnotationStore::new(folder.join("annotations"));
        let slide = SlideId("abc".to_owned());
        let set = Arc::new(AnnotationSet::packed((0..1200).map(cell)));
        let saved = store.save_changes(&slide, None, &set).unwrap();
        assert!(!AnnotationStore::journal(&store.path(&slide)).exists());
        (store, slide, saved)
    }

    /// Edits of all kinds, one after the other.
    fn edits(set: &AnnotationSet) -> Vec<Edit> {
        let id = |index: usize| set.at(index).unwrap().id;
        let bounds = Bounds::between(Level0Point::new(1.5, 2.0), Level0Point::new(30.0, 40.25));
        let drawn = Annotation::new(Shape::Rectangle(bounds), Some(AnnotationClass::named("Stroma")));
        let (drawn_id, mut nested) = (drawn.id, Annotation::new(Shape::Rectangle(bounds), None));
        nested.parent = Some(drawn_id);
        vec![
            Edit::Add(vec![drawn]),
            Edit::Remove(vec![id(3), id(700)]),
            Edit::Classify { ids: vec![id(5), id(900)], class: Some(AnnotationClass::named("Tumor")) },
            Edit::Add(vec![nested]),
            Edit::Translate { ids: vec![id(6), drawn_id], dx: 0.5, dy: -3.0 },
            Edit::Rename { id: drawn_id, name: Some("a \"name\"\n".to_owned()) },
            Edit::Remove(vec![drawn_id]),
        ]
    }

    #[test]
    fn edits_of_a_large_file_are_saved_in_a_journal_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let (store, slide, mut saved) = large(folder.path());
        let base = fs::read(store.path(&slide)).unwrap();
        let mut set = saved.set.as_ref().clone();
        for edit in edits(&saved.set) {
            let change = set.apply(edit).unwrap();
            saved = store.save_changes(&slide, Some(&saved), &Arc::new(set.clone())).unwrap();
            assert_eq!(store.load(&slide).unwrap().set, set, "after {}", change.title);
            set.undo(&change);
            saved = store.save_changes(&slide, Some(&saved), &Arc::new(set.clone())).unwrap();
            let loaded = store.load(&slide).unwrap().set;
            let by_id = |set: &AnnotationSet| {
                let mut all: Vec<_> = set.iter().collect();
                all.sort_by_key(|one| one.id);
                all
            };
            assert!(by_id(&loaded) == by_id(&set), "after undoing {}", change.title);
            set.redo(&change);
            saved = store.save_changes(&slide, Some(&saved), &Arc::new(set.clone())).unwrap();
        }
        assert_eq!(fs::read(store.path(&slide)).unwrap(), base, "the large file was not written again");
        // Folded, and continued by a new journal.
        let generation = store.fold(&slide, &set, &|| false).unwrap();
        assert_eq!(generation, 1);
        assert!(!AnnotationStore::journal(&store.path(&slide)).exists());
        let loaded = store.load(&slide).unwrap();
        let mut set = loaded.set.clone();
        set.apply(Edit::Remove(vec![set.at(9).unwrap().id]));
        store.save_changes(&slide, Saved::of(&loaded).as_ref(), &Arc::new(set.clone())).unwrap();
        assert_eq!(store.load(&slide).unwrap().set, set);
    }

    #[test]
    fn a_torn_record_is_left_out_and_those_before_it_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (store, slide, mut saved) = large(folder.path());
        let journal = AnnotationStore::journal(&store.path(&slide));
        let mut set = saved.set.as_ref().clone();
        let mut states = vec![(0, set.clone())];
        for edit in edits(&saved.set).into_iter().take(3) {
            set.apply(edit);
            saved = store.save_changes(&slide, Some(&saved), &Arc::new(set.clone())).unwrap();
            states.push((fs::metadata(&journal).unwrap().len(), set.clone()));
        }
        let whole = fs::read(&journal).unwrap();
        for length in (states[1].0..=states[3].0).step_by(97).chain([states[2].0, states[3].0]) {
            fs::write(&journal, &whole[..length as usize]).unwrap();
            let (end, state) = states.iter().rev().find(|(end, _)| *end <= length).unwrap();
            let loaded = store.load(&slide).unwrap();
            assert_eq!((&loaded.set, &loaded.trouble), (state, &None));
            // What is saved next follows the last whole record.
            let mut next = loaded.set.clone();
            next.apply(Edit::Remove(vec![next.at(50).unwrap().id]));
            store.save_changes(&slide, Saved::of(&loaded).as_ref(), &Arc::new(next.clone())).unwrap();
            assert!(store.load(&slide).unwrap().set == next && fs::metadata(&journal).unwrap().len() > *end);
        }
        // A journal that has been folded, but not been removed, is not applied again.
        fs::write(&journal, &whole).unwrap();
        let loaded = store.load(&slide).unwrap();
        store.fold(&slide, &loaded.set, &|| false).unwrap();
        fs::write(&journal, &whole).unwrap();
        let mut set = loaded.set.clone();
        assert_eq!(store.load(&slide).unwrap().set, set);
        assert!(!journal.exists());
        // One whose header is damaged is set aside, with a message.
        set.apply(Edit::Remove(vec![set.at(0).unwrap().id]));
        fs::write(&journal, b"no header").unwrap();
        let loaded = store.load(&slide).unwrap();
        assert!(loaded.trouble.unwrap().contains("damaged-1"));
    }

    #[test]
    fn folding_can_be_stopped_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (store, slide, saved) = large(folder.path());
        let mut set = saved.set.as_ref().clone();
        set.apply(Edit::Remove(vec![set.at(0).unwrap().id]));
        store.save_changes(&slide, Some(&saved), &Arc::new(set.clone())).unwrap();
        assert!(store.fold(&slide, &set, &|| true).is_err());
        assert_eq!(store.load(&slide).unwrap().set, set);
    }
}
