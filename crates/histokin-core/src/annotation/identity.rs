//! Identity of annotations across files.
//!
//! A UUID identifies an annotation globally. Other IDs, such as numbers, identify an annotation only within
//! its file: the same ID in a file with another name is another annotation, unless it has the same shape.
//! Reading a file again, or a file written from the same annotations, therefore adds no duplicates.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::file::id_from_text;
use super::packing::Packing;
use super::{Annotation, AnnotationSet, Detections};

/// Derives the identity of an annotation from the name of its file and its ID there, as JSON, if that is not
/// a UUID.
pub(super) fn id_in_file(source: &str, id: &str) -> Uuid {
    id_from_text(&format!("{source}\n{id}"))
}

/// Adds annotations to a set; each follows its parent, which is given by its index. Annotations whose ID is
/// in use get another one, which is the same whenever the file is read. Returns the number of IDs that are
/// repeated in the file.
pub(super) fn insert_with_ids(
    annotations: Vec<(Annotation, Option<usize>)>,
    source: &str,
    set: &mut AnnotationSet,
) -> usize {
    let mut inserter = Inserter::new(source);
    set.iter().for_each(|known| inserter.keep(known));
    annotations.into_iter().for_each(|(annotation, parent)| _ = inserter.insert(annotation, parent));
    inserter.finish(set)
}

/// Gathers the annotations of a file, one after the other, as [`insert_with_ids`] does.
pub(super) struct Inserter<'a> {
    source: &'a str,
    packing: Packing,
    used: HashSet<Uuid>,
    /// IDs of the inserted annotations, in their order.
    ids: Vec<Uuid>,
    repeated: usize,
}

impl<'a> Inserter<'a> {
    /// Makes an inserter for a file of this name.
    pub fn new(source: &'a str) -> Self {
        Self { source, packing: Packing::default(), used: HashSet::new(), ids: Vec::new(), repeated: 0 }
    }

    /// Makes an inserter that returns detections in compact form already while more are inserted.
    pub fn in_parts(source: &'a str) -> Self {
        Self { packing: Packing::in_parts(), ..Self::new(source) }
    }

    /// Adds an annotation that is in the set already.
    fn keep(&mut self, known: Arc<Annotation>) {
        self.used.insert(known.id);
        self.packing.push(known);
    }

    /// Returns the number of inserted annotations.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// Adds an annotation of the file, with the index of its parent. May return a part; see [`Packing::push`].
    pub fn insert(&mut self, mut annotation: Annotation, parent: Option<usize>) -> Option<Arc<Detections>> {
        annotation.parent = parent.and_then(|parent| self.ids.get(parent).copied());
        let stated = annotation.id;
        let mut number = 1;
        while !self.used.insert(annotation.id) {
            number += 1;
            annotation.id = id_from_text(&format!("{stated} {number}"));
        }
        // IDs derived from the text of an object are not stated in the file.
        if number > 1 && (annotation.id_of_file().is_some() || stated.get_version_num() != 8) {
            self.repeated += 1;
            annotation.keep_id_of_file(stated, self.source);
        }
        self.ids.push(annotation.id);
        self.packing.push(Arc::new(annotation))
    }

    /// Puts the annotations into a set, and returns the number of repeated IDs.
    pub fn finish(self, set: &mut AnnotationSet) -> usize {
        self.packing.finish(set);
        self.repeated
    }
}

impl Annotation {
    /// Returns its ID in its file, as JSON, if this differs from its identity.
    fn id_of_file(&self) -> Option<&str> {
        self.foreign.own.iter().find(|(key, _)| key == "id").map(|(_, id)| id.get())
    }

    /// Keeps the ID that it had in its file, to be written back.
    fn keep_id_of_file(&mut self, id: Uuid, source: &str) {
        if self.id_of_file().is_none() {
            let id = id.hyphenated().to_string();
            self.foreign.own.push(("id".to_owned(), id.as_str().into()));
            self.as_written_mut().source = Some(source.to_owned());
        }
    }
}

impl AnnotationSet {
    /// Gives annotations from a file the identity of those in `known` that have the same ID, from another
    /// file, and the same shape. Returns the number of annotations whose ID belongs to a different annotation
    /// in `known`.
    pub fn recognise(&mut self, known: &AnnotationSet) -> usize {
        let mut by_id: HashMap<String, Vec<Arc<Annotation>>> = HashMap::new();
        let has_id = |one: &Annotation| one.id_of_file().is_some();
        let slots = known.detections.slots_where(has_id);
        let detections = slots.into_iter().filter_map(|slot| known.detections.get(slot));
        for one in detections.chain(known.annotations.values().cloned()) {
            if let Some(id) = one.id_of_file() {
                by_id.entry(id.to_owned()).or_default().push(one);
            }
        }
        if by_id.is_empty() {
            return 0;
        }
        let mut taken: HashSet<Uuid> =
            self.iter().map(|one| one.id).filter(|id| known.contains(*id)).collect();
        let (mut renamed, mut others) = (HashMap::new(), 0);
        for one in self.iter().filter(|one| !known.contains(one.id)) {
            let Some(candidates) = one.id_of_file().and_then(|id| by_id.get(id)) else { continue };
            let same = candidates.iter().find(|known| {
                known.shape() == one.shape() && !taken.contains(&known.id) && !self.contains(known.id)
            });
            match same {
                Some(same) => {
                    taken.insert(same.id);
                    renamed.insert(one.id, same.id);
                }
                None => others += 1,
            }
        }
        self.rename(&renamed);
        others
    }
}
