//! Storage of the annotations of a project: one GeoJSON file per slide.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{MOST_BYTES, write_for_store};
use super::{AnnotationError, AnnotationSet, read_bytes};
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

    /// Loads the annotations of a slide; an empty set if it has no file. A file that cannot be parsed is set
    /// aside. A file of which some objects cannot be parsed is set aside, too, and replaced by one with the
    /// other objects.
    ///
    /// # Errors
    /// Fails if the file exists but cannot be read or set aside. It must not be overwritten then.
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
            // The next save would lose the objects that were left out, so the complete file is set aside.
            Ok(file) => {
                let left_out = format!("{}: {}", path.display(), file.notes.join(" "));
                if self.read_only {
                    return Ok(Loaded { set: file.set, trouble: Some(left_out) });
                }
                let aside = durable::set_aside(&path).map_err(|source| io(&path, source))?;
                self.save(slide, &file.set)?;
                let trouble = format!("{left_out} The complete file was kept as {}", aside.display());
                Ok(Loaded { set: file.set, trouble: Some(trouble) })
            }
            Err(error) if self.read_only => {
                let trouble = format!("{error}; it was left unchanged, because the project is read-only");
                Ok(Loaded { set: AnnotationSet::default(), trouble: Some(trouble) })
            }
            Err(error) => {
                let aside = durable::set_aside(&path).map_err(|source| io(&path, source))?;
                let trouble = format!("{error}; it was kept as {}", aside.display());
                Ok(Loaded { set: AnnotationSet::default(), trouble: Some(trouble) })
            }
        }
    }

    /// Saves the annotations of a slide by a durable write.
    ///
    /// # Errors
    /// Fails if the file cannot be written; the previous file is then unchanged.
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
}
