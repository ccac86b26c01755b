//! Storage of the annotations of a project: one GeoJSON file per slide, and beside a large one a journal of the
//! latest edits.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{MOST_BYTES, read_watched, write_for_store};
use super::journal::{self, Base, Found};
use super::watch::{Part, Watch};
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
    /// The file that a journal can continue.
    base: Base,
    /// Number of whole bytes of its journal; 0 if there is none.
    journal: u64,
}

/// What a journal added to the annotations of its file.
#[derive(Default)]
struct FromJournal {
    /// Number of whole bytes; 0 if there is no journal, or it cannot be continued.
    length: u64,
    /// Message if it does not fit its file or is damaged, with the name under which it was set aside.
    trouble: Option<String>,
    /// Whether it was set aside although some of its changes were made.
    is_partial: bool,
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
        self.load_for(slide, &Watch::none())
    }

    /// Loads the annotations of a slide like [`Self::load`], and calls `go_on` again and again with the share of
    /// the file that has been read, from 0 to 1; reading stops once it returns false. Passes detections in compact form to
    /// `part` while further ones are read; later edits of them may be missing there. They must be forgotten at the end.
    ///
    /// # Errors
    /// As for [`Self::load`], and [`AnnotationError::Stopped`].
    pub fn load_in_parts(
        &self,
        slide: &SlideId,
        go_on: &(dyn Fn(f32) -> bool + Sync),
        part: &(dyn Fn(Part) + Sync),
    ) -> Result<Loaded, AnnotationError> {
        self.load_for(slide, &Watch::new(go_on).with_parts(part))
    }

    fn load_for(&self, slide: &SlideId, watch: &Watch<'_>) -> Result<Loaded, AnnotationError> {
        /// Number of attempts to read a file that is replaced meanwhile.
        const ATTEMPTS: usize = 5;
        let path = self.path_to_read(slide);
        // A journal that is folded while file and journal are read would be missed.
        let stamp = || fs::metadata(&path).and_then(|file| Ok((file.len(), file.modified()?))).ok();
        let mut before = stamp();
        for _ in 1..ATTEMPTS {
            let loaded = self.load_once(slide, &path, watch)?;
            // Only the window that may write sets files aside and makes others in their place.
            let has_set_aside = loaded.trouble.is_some() && !self.read_only;
            if has_set_aside || stamp() == before {
                return Ok(loaded);
            }
            before = stamp();
        }
        self.load_once(slide, &path, watch)
    }

    fn load_once(&self, slide: &SlideId, path: &Path, watch: &Watch<'_>) -> Result<Loaded, AnnotationError> {
        let bytes = match untrusted::read_while(path, MOST_BYTES, &|| watch.go_on(0.0)) {
            Ok(bytes) => bytes,
            Err(_) if watch.has_stopped() => {
                return Err(AnnotationError::Stopped { path: path.to_owned() });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let journal = Self::journal(path);
                let why = "the annotations that this journal continues are missing";
                let trouble = journal.exists().then(|| self.reject(&journal, why)).transpose()?;
                return Ok(Loaded { trouble, ..Loaded::default() });
            }
            Err(source) => return Err(io_error(path, source)),
        };
        let crc32 = crc32fast::hash(&bytes);
        // What a project has written is UTF-8 unless it is damaged; a guess would replace the letters of all names.
        let read = read_watched(bytes, path, watch).and_then(|file| match file.is_encoding_guessed {
            true => {
                let reason = "it is not UTF-8 text".to_owned();
                Err(AnnotationError::Malformed { path: path.to_owned(), line: None, reason })
            }
            false => Ok(file),
        });
        match read {
            Ok(mut file) => {
                let base = Base { generation: file.generation, crc32 };
                let FromJournal { length: journal, mut trouble, is_partial } =
                    self.apply_journal(path, base, &mut file.set)?;
                let AnnotationFile { set, left_out, notes, .. } = file;
                let mut add_trouble = |text: String| {
                    trouble = Some(match trouble.take() {
                        Some(first) => format!("{first}. {text}"),
                        None => text,
                    });
                };
                if left_out.count > 0 {
                    // The next save would lose the objects that were left out, so the complete file is set
                    // aside.
                    let left_out = format!("{}: {}", path.display(), notes.join(" "));
                    if self.read_only {
                        add_trouble(left_out);
                    } else {
                        let aside = durable::set_aside(path).map_err(|source| io_error(path, source))?;
                        self.save(slide, &set)?;
                        add_trouble(format!("{left_out} The complete file was kept as {}", aside.display()));
                    }
                } else if is_partial {
                    self.save(slide, &set)?;
                }
                Ok(Loaded { set, trouble, base, journal })
            }
            Err(error @ AnnotationError::Stopped { .. }) => Err(error),
            Err(error) if self.read_only => {
                let trouble = format!("{error}; it was left unchanged, because the project is read-only");
                Ok(Loaded { trouble: Some(trouble), ..Loaded::default() })
            }
            Err(error) => {
                let aside = durable::set_aside(path).map_err(|source| io_error(path, source))?;
                let mut trouble = format!("{error}; it was kept as {}", aside.display());
                let journal = Self::journal(path);
                if journal.exists() {
                    let aside = durable::set_aside(&journal).map_err(|source| io_error(&journal, source))?;
                    trouble += &format!(", and its journal as {}", aside.display());
                }
                Ok(Loaded { trouble: Some(trouble), ..Loaded::default() })
            }
        }
    }

    /// Makes the changes of the journal of the file `base` at `path`.
    fn apply_journal(
        &self,
        path: &Path,
        base: Base,
        set: &mut AnnotationSet,
    ) -> Result<FromJournal, AnnotationError> {
        let journal = Self::journal(path);
        let io = |source| io_error(&journal, source);
        let rejected = |why: &str| -> Result<FromJournal, AnnotationError> {
            let trouble = Some(self.reject(&journal, why)?);
            Ok(FromJournal { trouble, ..FromJournal::default() })
        };
        match journal::apply(&journal, base, set) {
            Ok(Found::None) => Ok(FromJournal::default()),
            Ok(Found::Applied { length, is_damaged: false }) => {
                Ok(FromJournal { length, ..FromJournal::default() })
            }
            Ok(Found::Applied { is_damaged: true, .. }) => {
                let why = "this journal is damaged, and the latest changes in it cannot be read";
                Ok(FromJournal { is_partial: !self.read_only, ..rejected(why)? })
            }
            Ok(Found::Folded) => {
                if !self.read_only {
                    remove_if_there(&journal).map_err(io)?;
                }
                Ok(FromJournal::default())
            }
            Ok(Found::Other) => rejected(
                "this journal does not continue the annotations beside it, which were replaced by others",
            ),
            Err(error) if error.kind() == ErrorKind::InvalidData => rejected(&error.to_string()),
            Err(error) => Err(io(error)),
        }
    }

    /// Sets a journal aside, unless the project is read-only. Returns the message.
    fn reject(&self, journal: &Path, why: &str) -> Result<String, AnnotationError> {
        if self.read_only {
            return Ok(format!(
                "{}: {why}; it was left unchanged, because the project is read-only",
                journal.display()
            ));
        }
        let aside = durable::set_aside(journal).map_err(|source| io_error(journal, source))?;
        Ok(format!("{}: {why}; it was kept as {}", journal.display(), aside.display()))
    }

    /// Saves the annotations of a slide by a durable write.
    ///
    /// # Errors
    /// Fails if the file cannot be written; the previous file is then unchanged.
    pub fn save(&self, slide: &SlideId, set: &AnnotationSet) -> Result<(), AnnotationError> {
        self.write(slide, set, &Watch::none()).map(drop)
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
            let Saved { set: known, base, journal } = saved;
            let appended = journal::append(&journal_path, *journal, *base, known, set);
            if let Some(journal) = appended.map_err(|source| io_error(&journal_path, source))? {
                return Ok(Saved { set: set.clone(), base: *base, journal });
            }
        }
        self.fold(slide, set, &|_| true)
    }

    /// Returns whether the journal of a slide is worth folding into its file.
    pub fn has_long_journal(&self, slide: &SlideId) -> bool {
        const LONG: u64 = 1 << 20;
        fs::metadata(Self::journal(&self.path(slide))).is_ok_and(|file| file.len() > LONG)
    }

    /// Saves all annotations of a slide by a durable write, which takes the place of file and journal. Calls `go_on` again
    /// and again with the share that has been written, from 0 to 1; once it returns false, nothing is changed.
    ///
    /// # Errors
    /// Fails if the file cannot be written, and with [`AnnotationError::Stopped`] because of `go_on`; what was on the disk is
    /// then unchanged.
    pub fn fold(
        &self,
        slide: &SlideId,
        set: &Arc<AnnotationSet>,
        go_on: &(dyn Fn(f32) -> bool + Sync),
    ) -> Result<Saved, AnnotationError> {
        let watch = Watch::new(go_on);
        let base = self.write(slide, set, &watch).map_err(|error| match watch.has_stopped() {
            true => AnnotationError::Stopped { path: self.path(slide) },
            false => error,
        })?;
        Ok(Saved { set: set.clone(), base, journal: 0 })
    }

    fn write(
        &self,
        slide: &SlideId,
        set: &AnnotationSet,
        watch: &Watch<'_>,
    ) -> Result<Base, AnnotationError> {
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
        let mut crc32 = 0;
        let written = durable::write_with(&path, |file| {
            let mut out = Checked { inner: file, checksum: crc32fast::Hasher::new() };
            write_for_store(set, generation, watch, &mut out)?;
            crc32 = out.checksum.finalize();
            Ok(())
        });
        written.map_err(io)?;
        if continued.is_some() {
            remove_if_there(&journal_path).map_err(io)?;
        }
        Ok(Base { generation, crc32 })
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
    base: Base,
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
            base: loaded.base,
            journal: loaded.journal,
        })
    }

    /// Returns the annotations.
    pub fn set(&self) -> &Arc<AnnotationSet> {
        &self.set
    }

    /// Returns whether a set is what is on the disk. Sets with equal annotations that do not share them count as different.
    pub fn holds(&self, set: &AnnotationSet) -> bool {
        journal::are_same(&self.set, set)
    }
}

/// Writes with a checksum.
struct Checked<W> {
    inner: W,
    /// Of what has been written.
    checksum: crc32fast::Hasher,
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.checksum.update(&bytes[..written]);
        Ok(written)
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
            assert_eq!(store.load(&slide).unwrap().set, set, "after undoing {}", change.title);
            set.redo(&change);
            saved = store.save_changes(&slide, Some(&saved), &Arc::new(set.clone())).unwrap();
        }
        assert_eq!(fs::read(store.path(&slide)).unwrap(), base, "the large file was not written again");
        // Folded, and continued by a new journal.
        let folded = store.fold(&slide, &Arc::new(set.clone()), &|_| true).unwrap();
        assert_eq!(folded.base.generation, 1);
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
        store.save(&slide, &loaded.set).unwrap();
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
        let set = Arc::new(set);
        store.save_changes(&slide, Some(&saved), &set).unwrap();
        let stopped = store.fold(&slide, &set, &|_| false).unwrap_err();
        assert!(matches!(stopped, AnnotationError::Stopped { .. }), "{stopped}");
        assert_eq!(store.load(&slide).unwrap().set, *set);
    }

    /// A journal of three edits, with the set and the length of the journal after each.
    fn journal_of_three(folder: &Path) -> (AnnotationStore, SlideId, PathBuf, Vec<(AnnotationSet, usize)>) {
        let (store, slide, mut saved) = large(folder);
        let journal = AnnotationStore::journal(&store.path(&slide));
        let mut set = saved.set.as_ref().clone();
        let mut states = Vec::new();
        for edit in edits(&saved.set).into_iter().take(3) {
            set.apply(edit);
            saved = store.save_changes(&slide, Some(&saved), &Arc::new(set.clone())).unwrap();
            states.push((set.clone(), fs::metadata(&journal).unwrap().len() as usize));
        }
        (store, slide, journal, states)
    }

    #[test]
    fn a_journal_damaged_before_its_end_is_set_aside_and_what_comes_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (store, slide, journal, states) = journal_of_three(folder.path());
        let mut damaged = fs::read(&journal).unwrap();
        damaged[states[1].1 - 20] ^= 1;
        fs::write(&journal, &damaged).unwrap();
        let read_only = store.clone().read_only().load(&slide).unwrap();
        assert!(read_only.trouble.is_some() && read_only.set == states[0].0);
        assert_eq!(fs::read(&journal).unwrap(), damaged);
        let loaded = store.load(&slide).unwrap();
        assert_eq!(loaded.set, states[0].0);
        let trouble = loaded.trouble.unwrap();
        assert!(trouble.contains("damaged-1"), "{trouble}");
        assert_eq!(fs::read(journal.with_extension("journal.damaged-1")).unwrap(), damaged);
        let again = store.load(&slide).unwrap();
        assert_eq!((again.set, again.trouble), (states[0].0.clone(), None));
    }

    #[test]
    fn a_journal_without_its_file_or_beside_another_one_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (store, slide, journal, states) = journal_of_three(folder.path());
        let (file, edits) = (fs::read(store.path(&slide)).unwrap(), fs::read(&journal).unwrap());
        // As a version of the program does that knows no journals.
        let text = String::from_utf8(file.clone()).unwrap();
        fs::write(store.path(&slide), text.replacen("0.25", "0.75", 1)).unwrap();
        let loaded = store.load(&slide).unwrap();
        assert!(loaded.trouble.unwrap().contains("damaged-1") && loaded.set.len() == 1200);
        assert!(!journal.exists());
        fs::write(&journal, &edits).unwrap();
        fs::remove_file(store.path(&slide)).unwrap();
        let loaded = store.load(&slide).unwrap();
        assert!(loaded.trouble.unwrap().contains("damaged-2") && loaded.set.is_empty());
        assert!(!journal.exists());
        // With its own file, it is applied.
        fs::write(store.path(&slide), &file).unwrap();
        fs::write(&journal, &edits).unwrap();
        let loaded = store.load(&slide).unwrap();
        assert_eq!((loaded.set, loaded.trouble), (states[2].0.clone(), None));
    }
}
