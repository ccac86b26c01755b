//! Deciding which annotations of a set are held in compact form.

use std::sync::Arc;

use indexmap::IndexMap;
use uuid::Uuid;

use super::detections::{Builder, can_pack, join};
use super::{Annotation, AnnotationSet, Detections};

/// Number of detections from which a set holds them in compact form, before all other annotations. Smaller
/// sets keep the order of their file.
const LEAST: usize = 1000;

/// Number of detections in the first part, if parts are wanted.
const FIRST_PART: usize = if cfg!(test) { 2000 } else { 50_000 };

/// Sorts annotations into detections and objects, one after the other.
#[derive(Default)]
pub struct Packing {
    objects: IndexMap<Uuid, Arc<Annotation>>,
    /// Number of objects that could be packed.
    packable: usize,
    /// `None` until there are enough detections.
    builder: Option<Builder>,
    wants_parts: bool,
    /// What was returned while more was added.
    parts: Vec<Arc<Detections>>,
    /// Number of detections in these.
    in_parts: usize,
}

impl Packing {
    /// Makes one that returns detections in compact form already while more are added.
    pub fn in_parts() -> Self {
        Self { wants_parts: true, ..Self::default() }
    }

    /// Adds an annotation, whose ID must not be in use. If parts are wanted, returns the latest detections in compact
    /// form from time to time. Since what is drawn of earlier ones is drawn again with each part, parts grow with what
    /// was there before.
    pub fn push(&mut self, one: Arc<Annotation>) -> Option<Arc<Detections>> {
        match &mut self.builder {
            Some(builder) => {
                if builder.push(&one) {
                    return self.part();
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
        None
    }

    fn part(&mut self) -> Option<Arc<Detections>> {
        let builder = self.builder.as_mut().filter(|_| self.wants_parts)?;
        if builder.len() < FIRST_PART.max(self.in_parts / 2) {
            return None;
        }
        let part = Arc::new(builder.part());
        self.in_parts += part.len();
        self.parts.push(part.clone());
        Some(part)
    }

    /// Puts the annotations into a set, in place of those that it has.
    pub fn finish(mut self, set: &mut AnnotationSet) {
        set.annotations = self.objects;
        self.parts
            .extend(self.builder.filter(|builder| builder.len() > 0).map(|last| Arc::new(last.finish())));
        set.detections = Arc::new(join(self.parts));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AnnotationClass, Bounds, ObjectKind, Shape};
    use super::*;
    use crate::geometry::Level0Point;
    use proptest::prelude::*;

    /// Number `number` of many: a small square of one of `classes` classes; now and then an object that is not packed.
    fn one(number: usize, classes: usize) -> Arc<Annotation> {
        let at = Level0Point::new((number * 37 % 1009) as f64, (number * 91 % 2003) as f64 + 0.25);
        let corner = Level0Point::new(at.x + 4.0, at.y + 3.5);
        let class = AnnotationClass::new(format!("Class {}", number % classes), [1, 2, 3]);
        let mut one = Annotation::new(Shape::Rectangle(Bounds { min: at, max: corner }), Some(class));
        if !number.is_multiple_of(211) {
            one.kind = ObjectKind::Detection;
        }
        one.measurements = vec![("Number".to_owned(), number as f64)];
        Arc::new(one)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn what_is_packed_in_parts_is_what_is_packed_at_once(
            count in 0_usize..3 * FIRST_PART, classes in 1_usize..5,
        ) {
            let all: Vec<Arc<Annotation>> = (0..count).map(|number| one(number, classes)).collect();
            let (mut whole, mut parts) = (Packing::default(), Packing::in_parts());
            let mut came: Vec<Arc<Detections>> = Vec::new();
            for one in &all {
                prop_assert!(whole.push(one.clone()).is_none());
                came.extend(parts.push(one.clone()));
            }
            let (mut at_once, mut joined) = (AnnotationSet::default(), AnnotationSet::default());
            whole.finish(&mut at_once);
            parts.finish(&mut joined);
            prop_assert!(joined == at_once);
            prop_assert_eq!(joined.detections.bytes(), at_once.detections.bytes());
            prop_assert_eq!(joined.detections.templates(), at_once.detections.templates());
            prop_assert_eq!(joined.detections.extent(), at_once.detections.extent());
            let area = Bounds::between(Level0Point::new(100.0, 100.0), Level0Point::new(180.0, 160.0));
            let within = |set: &AnnotationSet| {
                set.detections.within(area).iter().map(|one| one.id()).collect::<Vec<_>>()
            };
            prop_assert_eq!(within(&joined), within(&at_once));
            for one in all.iter().step_by(977) {
                prop_assert_eq!(joined.get(one.id), at_once.get(one.id));
            }
            // The parts are the first detections, in their order.
            let in_order = came.iter().flat_map(|part| part.unedited().map(|one| one.id()).collect::<Vec<_>>());
            let expected = at_once.detections.unedited().map(|one| one.id());
            let (in_parts, expected): (Vec<_>, Vec<_>) = (in_order.collect(), expected.collect());
            prop_assert!(expected.starts_with(&in_parts));
            prop_assert!(in_parts.len() + FIRST_PART.max(in_parts.len() / 2) > expected.len());
        }
    }
}
