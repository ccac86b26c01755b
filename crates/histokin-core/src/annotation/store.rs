//! The annotations of a project's slides: one GeoJSON file each.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{MOST_BYTES, write_for_store};
use super::{AnnotationError, AnnotationSet, read_bytes};
use crate::slide::SlideId;
use crate::{durable, untrusted};

/// The folder in which a project keeps its annotations, in level-0 pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationStore {
    folder: PathBuf,
    read_only: bool,
    /// Ids under which earlier versions of the program wrote annotations of a slide.
    former_ids: Arc<HashMap<SlideId, Vec<SlideId>>>,
}

/// What was found for a slide.
#[derive(Debug, Default)]
pub struct Loaded {
    pub set: AnnotationSet,
    /// What went wrong: a damaged file was set aside, under the name that this tells.
    pub trouble: Option<String>,
}

impl AnnotationStore {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, read_only: false, former_ids: Arc::default() }
    }

    /// The same store, in which nothing is written or moved.
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// The same store, in which annotations of a slide are looked for under its former ids, too, as long as it has
    /// none under its own. What is written goes by its own.
    pub fn with_former_ids(self, former_ids: Arc<HashMap<SlideId, Vec<SlideId>>>) -> Self {
        Self { former_ids, ..self }
    }

    /// The file of a slide.
    pub fn path(&self, slide: &SlideId) -> PathBuf {
        self.folder.join(format!("{slide}.geojson"))
    }

    /// The file that holds the annotations of a slide: its own, else that of a former id, else its own to be.
    fn path_to_read(&self, slide: &SlideId) -> PathBuf {
        let mut ids = std::iter::once(slide).chain(self.former_ids.get(slide).into_iter().flatten());
        ids.find(|id| self.path(id).exists()).map_or_else(|| self.path(slide), |id| self.path(id))
    }

    /// The annotations of a slide; none when it has no file. A file that cannot be understood is set aside; of one
    /// that can be understood in part, the rest takes its place.
    ///
    /// # Errors
    /// When there is a file, but it cannot be read or set aside: then nothing must be written in its place.
    pub fn load(&self, slide: &SlideId) -> Result<Loaded, AnnotationError> {
        let path = self.path_to_read(slide);
        let io = |path: &Path, source| AnnotationError::Io { path: path.to_owned(), source };
        let bytes = match untrusted::read(&path, MOST_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Loaded::default()),
            Err(source) => return Err(io(&path, source)),
        };
        match read_bytes(&bytes, &path) {
            Ok(file) if file.left_out.count == 0 => Ok(Loaded { set: file.set, trouble: None }),
            // The next change would be saved without what was left out: the whole file is kept aside.
            Ok(file) => {
                let left_out = format!("{}: {}", path.display(), file.notes.join(" "));
                if self.read_only {
                    return Ok(Loaded { set: file.set, trouble: Some(left_out) });
                }
                let aside = durable::set_aside(&path).map_err(|source| io(&path, source))?;
                self.save(slide, &file.set)?;
                let trouble = format!("{left_out} The whole file was kept as {}", aside.display());
                Ok(Loaded { set: file.set, trouble: Some(trouble) })
            }
            Err(error) if self.read_only => {
                let trouble =
                    format!("{error}; it was left as it is, since the project is open for reading only");
                Ok(Loaded { set: AnnotationSet::default(), trouble: Some(trouble) })
            }
            Err(error) => {
                let aside = durable::set_aside(&path).map_err(|source| io(&path, source))?;
                let trouble = format!("{error}; it was kept as {}", aside.display());
                Ok(Loaded { set: AnnotationSet::default(), trouble: Some(trouble) })
            }
        }
    }

    /// Keep the annotations of a slide: written beside, synced, renamed.
    ///
    /// # Errors
    /// When the file cannot be written; the one before stays.
    pub fn save(&self, slide: &SlideId, set: &AnnotationSet) -> Result<(), AnnotationError> {
        let path = self.path(slide);
        let io = |source| AnnotationError::Io { path: path.clone(), source };
        if self.read_only {
            return Err(io(durable::refused()));
        }
        fs::create_dir_all(&self.folder).map_err(|source| io(durable::advised(source)))?;
        durable::write(&path, write_for_store(set).as_bytes()).map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Annotation, Bounds, Shape};
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

        // Of a file with one object that is none, the others stay, and the whole file is kept.
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
}
