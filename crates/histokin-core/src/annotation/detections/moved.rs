//! Moving all detections at once.

use std::sync::Arc;

use rayon::prelude::*;

use super::index::{BoxIndex, rounded_outwards};
use super::{Detections, Stored, record};
use crate::annotation::Annotation;

impl Detections {
    /// Returns the detections moved by an offset in level-0 pixels; `None` if some have been edited, or if they take too much
    /// memory afterwards.
    pub fn moved(&self, dx: f64, dy: f64) -> Option<Self> {
        const AT_A_TIME: usize = 8192;
        if !self.changed.is_empty() {
            return None;
        }
        let slots: Vec<u32> = (0..self.slots()).collect();
        let moved: Vec<Moved> =
            slots.par_chunks(AT_A_TIME).map(|slots| self.moved_records(slots, dx, dy)).collect();
        let Stored { ids, by_id, .. } = &*self.stored;
        let mut records = Vec::with_capacity(moved.iter().map(|part| part.records.len()).sum());
        let (mut ends, mut bounds) = (Vec::with_capacity(ids.len()), Vec::with_capacity(ids.len()));
        for part in moved {
            let start = records.len();
            records.extend(part.records);
            u32::try_from(records.len()).ok()?;
            ends.extend(part.lengths.iter().scan(start, |end, length| {
                *end += length;
                Some(*end as u32)
            }));
            bounds.extend(part.bounds);
        }
        let template = |one: &Arc<Annotation>| {
            let mut one = one.clone();
            Arc::make_mut(&mut one).forget_bounds_of_file();
            one
        };
        let index = BoxIndex::of(&bounds);
        let stored = Stored { ids: ids.clone(), by_id: by_id.clone(), ends, records, index };
        Some(Self {
            stored: Arc::new(stored),
            templates: Arc::new(self.templates.iter().map(template).collect()),
            template_of: self.template_of.clone(),
            ..Self::default()
        })
    }

    fn moved_records(&self, slots: &[u32], dx: f64, dy: f64) -> Moved {
        let mut moved = Moved::default();
        for slot in slots {
            let (template, mut from) = (self.template(*slot), self.record(*slot));
            let start = moved.records.len();
            for _ in &template.measurements {
                record::put_number(&mut moved.records, from.number());
            }
            let shape = from.shape().translated(dx, dy);
            record::put_shape(&mut moved.records, &shape);
            if template.nucleus.is_some() {
                record::put_shape(&mut moved.records, &from.shape().translated(dx, dy));
            }
            moved.lengths.push(moved.records.len() - start);
            // Only what has a position is packed.
            moved.bounds.push(shape.bounds().map(rounded_outwards).unwrap_or_default());
        }
        moved
    }
}

/// Moved records of some slots.
#[derive(Default)]
struct Moved {
    records: Vec<u8>,
    lengths: Vec<usize>,
    bounds: Vec<[f32; 4]>,
}
