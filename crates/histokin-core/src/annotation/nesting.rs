//! Which annotations lie below which, and what area of a class is left to those above.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{Annotation, AnnotationSet, Shape};

/// The annotations of a set by the annotation above them.
pub struct Nesting<'a> {
    below: HashMap<Uuid, Vec<&'a Annotation>>,
}

impl<'a> Nesting<'a> {
    pub fn of(set: &'a AnnotationSet) -> Self {
        let mut below: HashMap<Uuid, Vec<&Annotation>> = HashMap::new();
        for one in set.iter() {
            if let Some(parent) = one.parent {
                below.entry(parent).or_default().push(one);
            }
        }
        Self { below }
    }

    /// The part of an annotation in which its own class counts: its shape without the areas of other classes that lie
    /// below it, of which the innermost class counts. Areas below it of less than `least_px2` square level-0 pixels,
    /// such as single cells in a region, leave it whole.
    pub fn own_area(&self, one: &'a Annotation, least_px2: f64) -> Cow<'a, Shape> {
        let mut others = self.other_classes_below(one);
        others.retain(|other| other.shape().area_px2().is_some_and(|area| area >= least_px2));
        if others.is_empty() {
            return Cow::Borrowed(one.shape());
        }
        Cow::Owned(one.shape().without_all(others.into_iter().map(Annotation::shape)))
    }

    /// The nearest areas of other classes below an annotation.
    fn other_classes_below(&self, one: &Annotation) -> Vec<&'a Annotation> {
        let mut others = Vec::new();
        let mut seen = HashSet::from([one.id]);
        let mut waiting = vec![one.id];
        while let Some(id) = waiting.pop() {
            for child in self.below.get(&id).into_iter().flatten().filter(|child| seen.insert(child.id)) {
                let class = child.class.as_ref().map(|class| &class.name);
                let is_other = class.is_some() && class != one.class.as_ref().map(|class| &class.name);
                match is_other && child.shape().is_area() {
                    true => others.push(*child),
                    false => waiting.push(child.id),
                }
            }
        }
        others
    }
}
