//! Deciding which annotations of a set are held in compact form.

use std::sync::Arc;

use indexmap::IndexMap;
use uuid::Uuid;

use super::detections::{Builder, can_pack};
use super::{Annotation, AnnotationSet};

/// Number of detections from which a set holds them in compact form, before all other annotations. Smaller
/// sets keep the order of their file.
const LEAST: usize = 1000;

/// Sorts annotations into detections and objects, one after the other.
#[derive(Default)]
pub struct Packing {
    objects: IndexMap<Uuid, Arc<Annotation>>,
    /// Number of objects that could be packed.
    packable: usize,
    /// `None` until there are enough detections.
    builder: Option<Builder>,
}

impl Packing {
    /// Adds an annotation, whose ID must not be in use.
    pub fn push(&mut self, one: Arc<Annotation>) {
        match &mut self.builder {
            Some(builder) => {
                if builder.push(&one) {
                    return;
                }
            }
            None => self.packable += usize::from(can_pack(&one)),
        }
        self.objects.insert(one.id, one);
        if self.builder.is_none() && self.packable >= LEAST {
            let mut builder = Builder::default();
            self.objects.retain(|_, one| !builder.push(one));
            self.builder = Some(builder);
        }
    }

    /// Puts the annotations into a set, in place of those that it has.
    pub fn finish(self, set: &mut AnnotationSet) {
        set.annotations = self.objects;
        set.detections = Arc::new(self.builder.map(Builder::finish).unwrap_or_default());
    }
}
