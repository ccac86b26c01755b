//! Packing of detections, at once or in parts.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use uuid::Uuid;

use super::index::{BoxIndex, rounded_outwards};
use super::{Detections, Stored, hollow, record};
use crate::annotation::{Annotation, Bounds, ObjectKind};

/// Largest side of a detection's bounding box, in level-0 pixels. Larger ones stay objects of their own.
pub const MOST_DETECTION_SIDE_PX: f64 = 512.0;
/// Number of templates with the same key that are compared with a detection. Beyond, equal templates may be
/// stored more than once.
const MOST_COMPARED: usize = 8;

/// Packs detections, one after the other.
#[derive(Default)]
pub struct Builder {
    ids: Vec<Uuid>,
    ends: Vec<u32>,
    records: Vec<u8>,
    bounds: Vec<[f32; 4]>,
    templates: Vec<Arc<Annotation>>,
    template_of: Vec<u32>,
    known: KnownTemplates,
    /// Number of bytes of the records of earlier parts.
    bytes_before: usize,
}

/// Indices of templates by their key, the latest last.
#[derive(Default)]
pub struct KnownTemplates(HashMap<u64, Vec<u32>>);

impl KnownTemplates {
    /// Makes the index of some templates.
    pub fn of(templates: &[Arc<Annotation>]) -> Self {
        let mut known = Self::default();
        (0..)
            .zip(templates)
            .for_each(|(index, template)| known.0.entry(key(template)).or_default().push(index));
        known
    }

    /// Returns the index of the template that fits a detection, if it is among the latest with its key.
    pub fn find(&self, templates: &[Arc<Annotation>], one: &Annotation) -> Option<u32> {
        let mut latest = self.0.get(&key(one))?.iter().rev().take(MOST_COMPARED);
        latest.find(|index| fits(&templates[**index as usize], one)).copied()
    }

    /// Adds a template, and returns its index.
    pub fn add(&mut self, templates: &mut Vec<Arc<Annotation>>, template: Annotation) -> u32 {
        let index = templates.len() as u32;
        self.0.entry(key(&template)).or_default().push(index);
        templates.push(Arc::new(template));
        index
    }
}

/// Returns whether an annotation can be packed: small, found by an algorithm, and without values that are
/// kept in the notation of their file.
pub fn can_pack(one: &Annotation) -> bool {
    let geometries = || std::iter::once(&one.geometry).chain(&one.nucleus);
    let is_small = |bounds: Bounds| {
        bounds.width() <= MOST_DETECTION_SIDE_PX && bounds.height() <= MOST_DETECTION_SIDE_PX
    };
    matches!(one.kind, ObjectKind::Detection | ObjectKind::Cell | ObjectKind::Tile)
        && one.bounds().is_some_and(is_small)
        && geometries().all(|geometry| geometry.written.is_none() && record::can_store(&geometry.shape))
        && one.as_written.as_ref().is_none_or(|written| written.measurements.is_empty())
        && one.asap.is_none()
        && !one.is_measurement()
}

impl Builder {
    /// Packs a detection whose ID is not in use. Returns false if it cannot be packed.
    pub fn push(&mut self, one: &Annotation) -> bool {
        /// Largest record in bytes: a few hundred thousand corners.
        const MOST_BYTES: usize = 4 << 20;
        let Some(bounds) = one.bounds().filter(|_| can_pack(one)) else { return false };
        let start = self.records.len();
        one.measurements.iter().for_each(|(_, value)| record::put_number(&mut self.records, *value));
        for geometry in std::iter::once(&one.geometry).chain(&one.nucleus) {
            record::put_shape(&mut self.records, &geometry.shape);
        }
        // All parts together must be within what an end of a record can state.
        let is_too_long = u32::try_from(self.bytes_before + self.records.len()).is_err();
        if is_too_long || self.records.len() - start > MOST_BYTES {
            self.records.truncate(start);
            return false;
        }
        let end = self.records.len() as u32;
        let template = self.template(one);
        self.template_of.push(template);
        self.ids.push(one.id);
        self.ends.push(end);
        self.bounds.push(rounded_outwards(bounds));
        true
    }

    /// Returns the index of the template of a detection, which is made if there is none yet.
    fn template(&mut self, one: &Annotation) -> u32 {
        if let Some(known) = self.known.find(&self.templates, one) {
            return known;
        }
        let mut template = one.clone();
        template.id = Uuid::nil();
        template.geometry = hollow(&one.geometry);
        template.nucleus = one.nucleus.as_ref().map(hollow);
        template.measurements.iter_mut().for_each(|(_, value)| *value = 0.0);
        self.known.add(&mut self.templates, template)
    }

    /// Returns the number of detections since the last part.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns the detections since the last part, in the order in which they were pushed. Further ones are for the next part.
    pub fn part(&mut self) -> Detections {
        self.bytes_before += self.records.len();
        let mut templates = self.templates.clone();
        templates.shrink_to_fit();
        let mut by_id: Vec<u32> = (0..self.ids.len() as u32).collect();
        by_id.sort_unstable_by_key(|slot| self.ids[*slot as usize]);
        let index = BoxIndex::of(&std::mem::take(&mut self.bounds));
        let columns = Columns {
            ids: std::mem::take(&mut self.ids),
            by_id,
            ends: std::mem::take(&mut self.ends),
            records: std::mem::take(&mut self.records),
            template_of: std::mem::take(&mut self.template_of),
        };
        columns.stored(index, Arc::new(templates))
    }

    /// Returns the packed detections since the last part.
    pub fn finish(mut self) -> Detections {
        self.part()
    }
}

/// Joins the parts that one builder made, in their order. None of them may have been edited.
pub fn join(mut parts: Vec<Arc<Detections>>) -> Detections {
    if parts.len() <= 1 {
        return parts.pop().map(Arc::unwrap_or_clone).unwrap_or_default();
    }
    let count = parts.iter().map(|part| part.slots() as usize).sum();
    // The templates of each part are those of the one before, and others after them.
    let templates = parts.last().map(|part| part.templates.clone()).unwrap_or_default();
    let mut bounds = vec![[0.0; 4]; count];
    let mut all = Columns {
        ids: Vec::with_capacity(count),
        by_id: Vec::with_capacity(count),
        ends: Vec::with_capacity(count),
        records: Vec::with_capacity(parts.iter().map(|part| part.stored.records.len()).sum()),
        template_of: Vec::with_capacity(count),
    };
    for part in parts {
        let (first, start) = (all.ids.len(), all.records.len() as u32);
        let Stored { ids, by_id, ends, records, index } = &*part.stored;
        all.ids.extend_from_slice(ids);
        all.by_id.extend(by_id.iter().map(|slot| first as u32 + slot));
        all.ends.extend(ends.iter().map(|end| start + end));
        all.records.extend_from_slice(records);
        all.template_of.extend_from_slice(&part.template_of);
        if let Some(index) = index {
            index.copy_to(&mut bounds[first..first + ids.len()]);
        }
    }
    let Columns { ids, by_id, .. } = &mut all;
    // A stable sort makes use of the order within each part.
    let (index, ()) = rayon::join(|| BoxIndex::of(&bounds), || by_id.sort_by_key(|slot| ids[*slot as usize]));
    all.stored(index, templates)
}

/// The columns of packed detections.
struct Columns {
    ids: Vec<Uuid>,
    by_id: Vec<u32>,
    ends: Vec<u32>,
    records: Vec<u8>,
    template_of: Vec<u32>,
}

impl Columns {
    fn stored(self, index: Option<BoxIndex>, templates: Arc<Vec<Arc<Annotation>>>) -> Detections {
        let Self { mut ids, by_id, mut ends, mut records, mut template_of } = self;
        ids.shrink_to_fit();
        ends.shrink_to_fit();
        records.shrink_to_fit();
        template_of.shrink_to_fit();
        let stored = Arc::new(Stored { ids, by_id, ends, records, index });
        Detections { stored, templates, template_of: Arc::new(template_of), ..Detections::default() }
    }
}

/// Returns a number that is equal for detections with the same template.
fn key(one: &Annotation) -> u64 {
    let mut hasher = DefaultHasher::new();
    let Annotation { kind, class, name, color, locked, measurements, metadata, parent, foreign, .. } = one;
    (kind.word(), class, name, color, locked, parent).hash(&mut hasher);
    (measurements.len(), metadata.len(), foreign.own.len(), foreign.properties.len()).hash(&mut hasher);
    hasher.finish()
}

/// Returns whether a template is that of a detection.
fn fits(template: &Annotation, one: &Annotation) -> bool {
    template.kind == one.kind
        && template.class == one.class
        && template.name == one.name
        && template.color == one.color
        && template.locked == one.locked
        && template.parent == one.parent
        && template.measurements.len() == one.measurements.len()
        && template.measurements.iter().zip(&one.measurements).all(|((known, _), (name, _))| known == name)
        && template.metadata == one.metadata
        && template.foreign == one.foreign
        && template.as_written == one.as_written
        && template.geometry.members == one.geometry.members
        && template.nucleus.as_ref().map(|nucleus| &nucleus.members)
            == one.nucleus.as_ref().map(|nucleus| &nucleus.members)
}
