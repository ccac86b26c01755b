//! The hierarchy of annotations, and the area of a class without nested areas of other classes.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::{Annotation, AnnotationSet, Shape};

/// The annotations of a set, grouped by their parent.
pub struct Nesting<'a> {
    set: &'a AnnotationSet,
    below: HashMap<Uuid, Vec<Child<'a>>>,
}

/// An annotation that has a parent.
enum Child<'a> {
    Object(&'a Arc<Annotation>),
    /// A detection in compact form, by its slot.
    Slot(u32),
}

impl<'a> Nesting<'a> {
    /// Computes the hierarchy of a set.
    pub fn of(set: &'a AnnotationSet) -> Self {
        let mut below: HashMap<Uuid, Vec<Child<'a>>> = HashMap::new();
        let detections = set.detections();
        for slot in detections.slots_where(|one| one.parent.is_some()) {
            if let Some(parent) = detections.parent(slot) {
                below.entry(parent).or_default().push(Child::Slot(slot));
            }
        }
        for one in set.annotations.values() {
            if let Some(parent) = one.parent {
                below.entry(parent).or_default().push(Child::Object(one));
            }
        }
        Self { set, below }
    }

    /// Returns the part of an annotation to which its class applies: its shape minus the areas of other
    /// classes among its descendants, since the innermost class applies there. Descendants of less than
    /// `least_px2` square level-0 pixels, such as single cells in a region, are not subtracted.
    pub fn own_area<'b>(&self, one: &'b Annotation, least_px2: f64) -> Cow<'b, Shape> {
        let mut others = self.other_classes_below(one);
        others.retain(|other| other.shape().area_px2().is_some_and(|area| area >= least_px2));
        if others.is_empty() {
            return Cow::Borrowed(one.shape());
        }
        Cow::Owned(one.shape().without_all(others.iter().map(|other| other.shape())))
    }

    /// Returns the nearest descendants that are areas of other classes.
    fn other_classes_below(&self, one: &Annotation) -> Vec<Arc<Annotation>> {
        let mut others = Vec::new();
        let mut seen = HashSet::from([one.id]);
        let mut waiting = vec![one.id];
        while let Some(id) = waiting.pop() {
            for child in self.below.get(&id).into_iter().flatten() {
                let child = match child {
                    Child::Object(one) => Some((*one).clone()),
                    Child::Slot(slot) => self.set.detections().get(*slot),
                };
                let Some(child) = child.filter(|child| seen.insert(child.id)) else { continue };
                let class = child.class.as_ref().map(|class| &class.name);
                let is_other = class.is_some() && class != one.class.as_ref().map(|class| &class.name);
                match is_other && child.shape().is_area() {
                    true => others.push(child),
                    false => waiting.push(child.id),
                }
            }
        }
        others
    }
}
