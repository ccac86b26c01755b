//! Who is who: ids of files, and annotations that are known already.
//!
//! A UUID names the same annotation everywhere. Other ids of a file, such as numbers, name an annotation within
//! that file alone: the same id in a file of another name is another annotation, unless it has the same shape. So
//! a file that is read again, or one that was written from what had been read, brings nothing twice.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::file::id_from_text;
use super::{Annotation, AnnotationSet};

/// The identity of the annotation that a file of this name gives an id other than a UUID, as JSON.
pub(super) fn id_in_file(source: &str, id: &str) -> Uuid {
    id_from_text(&format!("{source}\n{id}"))
}

/// Put annotations, each after its parent and with the place of that, into a set. Those whose id is taken get
/// another one, the same whenever the file is read; how many did.
pub(super) fn settle(
    annotations: Vec<(Annotation, Option<usize>)>,
    source: &str,
    set: &mut AnnotationSet,
) -> usize {
    let mut ids = Vec::with_capacity(annotations.len());
    let mut repeated = 0;
    for (mut annotation, parent) in annotations {
        annotation.parent = parent.and_then(|parent| ids.get(parent).copied());
        let stated = annotation.id;
        let mut number = 1;
        while set.get(annotation.id).is_some() {
            number += 1;
            annotation.id = id_from_text(&format!("{stated} {number}"));
        }
        // An id made from a text is not the file's own.
        if number > 1 && (annotation.id_of_file().is_some() || stated.get_version_num() != 8) {
            repeated += 1;
            annotation.keep_id_of_file(stated, source);
        }
        ids.push(annotation.id);
        set.push(annotation);
    }
    repeated
}

impl Annotation {
    /// Its id in its file as JSON, where that is not its own identity.
    fn id_of_file(&self) -> Option<&str> {
        self.foreign.own.iter().find(|(key, _)| key == "id").map(|(_, id)| id.get())
    }

    /// Go back to its file with the id that it had there.
    fn keep_id_of_file(&mut self, id: Uuid, source: &str) {
        if self.id_of_file().is_none() {
            let id = id.hyphenated().to_string();
            self.foreign.own.push(("id".to_owned(), id.as_str().into()));
            self.as_written_mut().source = Some(source.to_owned());
        }
    }
}

impl AnnotationSet {
    /// Of annotations that come from a file, give those the identity of one in `known` that have its id in
    /// another file and its shape; how many have an id that means something else there.
    pub fn recognise(&mut self, known: &AnnotationSet) -> usize {
        let mut by_id: HashMap<&str, Vec<&Annotation>> = HashMap::new();
        for one in known.iter() {
            if let Some(id) = one.id_of_file() {
                by_id.entry(id).or_default().push(one);
            }
        }
        if by_id.is_empty() {
            return 0;
        }
        let mut taken: HashSet<Uuid> =
            self.iter().map(|one| one.id).filter(|id| known.get(*id).is_some()).collect();
        let (mut renamed, mut others) = (HashMap::new(), 0);
        for one in self.iter().filter(|one| known.get(one.id).is_none()) {
            let Some(candidates) = one.id_of_file().and_then(|id| by_id.get(id)) else { continue };
            let same = candidates.iter().find(|known| {
                known.shape() == one.shape() && !taken.contains(&known.id) && self.get(known.id).is_none()
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
