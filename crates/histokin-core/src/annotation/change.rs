//! Changes of a set: how an edit is made, undone and redone.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{Annotation, AnnotationSet, Edit, Shape};

/// Number of detections from which an edit changes what they have in common instead of each of them, so that
/// they stay in compact form.
const MANY: usize = 1000;

/// The effect of an edit, with the data to undo and redo it.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Name for the undo menu.
    pub title: &'static str,
    kept_below_removed: usize,
    effect: Effect,
}

#[derive(Debug, Clone, PartialEq)]
enum Effect {
    /// A few annotations change.
    Steps(Vec<Step>),
    /// The set becomes another one, with which it shares what is equal.
    Whole { before: Box<AnnotationSet>, after: Box<AnnotationSet> },
}

/// One annotation before and after the change.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    id: Uuid,
    place: Place,
    before: Version,
    after: Version,
}

/// Where an annotation is in its set: among the detections in compact form, or among all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    Slot(u32),
    Index(usize),
}

impl Place {
    /// Returns the slot of a detection in compact form.
    pub fn slot(self) -> Option<u32> {
        match self {
            Self::Slot(slot) => Some(slot),
            Self::Index(_) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Version {
    Absent,
    /// As stored in compact form.
    Stored,
    Object(Arc<Annotation>),
}

impl Version {
    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl Change {
    fn of_steps(&self) -> &[Step] {
        match &self.effect {
            Effect::Steps(steps) => steps,
            Effect::Whole { .. } => &[],
        }
    }

    /// Returns the annotations that the change added or modified; none of an edit of very many.
    pub fn touched(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.of_steps().iter().filter(|step| !step.after.is_absent()).map(|step| step.id)
    }

    /// Returns the number of annotations whose parent was removed while they were kept.
    pub fn kept_below_removed(&self) -> usize {
        self.kept_below_removed
    }

    /// Returns the annotations that exist once the change has been undone; none for an edit of very many.
    pub fn restored(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.of_steps().iter().filter(|step| !step.before.is_absent()).map(|step| step.id)
    }
}

impl AnnotationSet {
    /// Applies an edit and returns the change; `None` if nothing changes. Shapes of locked annotations are
    /// not changed.
    pub fn apply(&mut self, edit: Edit) -> Option<Change> {
        let title = edit.title();
        let steps = match edit {
            Edit::Import(set) => return Some(self.whole(title, |known| *known = *set)),
            Edit::Add(annotations) => self.additions(annotations),
            Edit::Remove(ids) => {
                let places = self.places(&ids);
                if slots_of(&places).len() > MANY {
                    return Some(self.without(title, &places));
                }
                let removal =
                    |(place, id)| Step { id, place, before: self.version(place), after: Version::Absent };
                places.into_iter().map(removal).collect()
            }
            Edit::Reshape { id, shape } => self.reshaped(&[id], |_| shape.clone()),
            Edit::Translate { ids, dx, dy } => self.steps(&self.places(&ids), |annotation| {
                if !annotation.locked {
                    annotation.translate(dx, dy);
                }
                true
            }),
            Edit::Paint { id, area } => self.reshaped(&[id], |shape| shape.union(&area)),
            Edit::Erase { ids, area } => self.reshaped(&ids, |shape| shape.difference(&area)),
            Edit::Classify { ids, class } => {
                return self.revised(title, &ids, |annotation| annotation.set_class(class.clone()));
            }
            Edit::Reclassify { from, to } => {
                let of_class = |one: &Annotation| one.class.as_ref().is_some_and(|class| class.name == from);
                let slots = self.detections.slots_where(of_class);
                let objects = self.annotations.values().filter(|one| of_class(one)).map(|one| one.id);
                let ids: Vec<Uuid> =
                    slots.iter().map(|slot| self.detections.id(*slot)).chain(objects).collect();
                return self.revised(title, &ids, |annotation| annotation.set_class(to.clone()));
            }
            Edit::Rename { id, name } => self.steps(&self.places(&[id]), |annotation| {
                annotation.name = name.clone();
                true
            }),
            Edit::Lock { ids, locked } => {
                return self.revised(title, &ids, |annotation| annotation.locked = locked);
            }
        };
        self.take(title, steps)
    }

    /// Undoes a change. Changes must be undone in reverse order.
    pub fn undo(&mut self, change: &Change) {
        match &change.effect {
            Effect::Whole { before, .. } => *self = before.as_ref().clone(),
            // First remove added annotations, then restore removed ones at their old index, lowest first.
            Effect::Steps(steps) => self.go(steps, |step| &step.before),
        }
    }

    /// Redoes a change that was undone.
    pub fn redo(&mut self, change: &Change) {
        match &change.effect {
            Effect::Whole { after, .. } => *self = after.as_ref().clone(),
            Effect::Steps(steps) => self.go(steps, |step| &step.after),
        }
    }

    /// Gives each annotation the version that `to` returns.
    fn go(&mut self, steps: &[Step], to: impl Fn(&Step) -> &Version) {
        for step in steps.iter().rev().filter(|step| to(step).is_absent()) {
            match step.place {
                Place::Slot(slot) => Arc::make_mut(&mut self.detections).set(slot, Some(None)),
                Place::Index(_) => _ = self.annotations.shift_remove(&step.id),
            }
        }
        for step in steps {
            match (step.place, to(step)) {
                (_, Version::Absent) => {}
                (Place::Slot(slot), Version::Stored) => Arc::make_mut(&mut self.detections).set(slot, None),
                (Place::Slot(slot), Version::Object(one)) => {
                    Arc::make_mut(&mut self.detections).set(slot, Some(Some(one.clone())));
                }
                (Place::Index(index), Version::Object(one)) => self.put(index, one.clone()),
                (Place::Index(_), Version::Stored) => {}
            }
        }
    }

    /// Removes annotations, and puts others in their place or, if they are new, at an index among the objects.
    /// A removed detection without an index gets its slot again.
    pub(super) fn patch(&mut self, removed: &[Uuid], put: Vec<(Option<usize>, Arc<Annotation>)>) {
        for id in removed {
            match self.place(*id) {
                Some(Place::Slot(slot)) => Arc::make_mut(&mut self.detections).set(slot, Some(None)),
                Some(Place::Index(_)) => _ = self.annotations.shift_remove(id),
                None => {}
            }
        }
        for (index, one) in put {
            let slot = match self.place(one.id) {
                Some(place) => place.slot(),
                None if index.is_none() => self.detections.known_slot_of(one.id),
                None => None,
            };
            match slot {
                Some(slot) => Arc::make_mut(&mut self.detections).set(slot, Some(Some(one))),
                None => self.put(index.unwrap_or(usize::MAX), one),
            }
        }
    }

    fn put(&mut self, index: usize, annotation: Arc<Annotation>) {
        match self.annotations.get_mut(&annotation.id) {
            Some(known) => *known = annotation,
            None => {
                let index = index.min(self.annotations.len());
                _ = self.annotations.shift_insert(index, annotation.id, annotation);
            }
        }
    }

    fn place(&self, id: Uuid) -> Option<Place> {
        let object = self.annotations.get_index_of(&id).map(Place::Index);
        object.or_else(|| self.detections.slot_of(id).map(Place::Slot))
    }

    /// Returns the places of annotations in the order of the set, each once.
    pub(super) fn places(&self, ids: &[Uuid]) -> Vec<(Place, Uuid)> {
        let mut known: Vec<(Place, Uuid)> =
            ids.iter().filter_map(|id| Some((self.place(*id)?, *id))).collect();
        known.sort_unstable();
        known.dedup();
        known
    }

    fn version(&self, place: Place) -> Version {
        let object = match place {
            Place::Index(index) => self.annotations.get_index(index).map(|(_, one)| one),
            Place::Slot(slot) => match self.detections.change_of(slot) {
                None => return Version::Stored,
                Some(changed) => changed.as_ref(),
            },
        };
        object.map_or(Version::Absent, |one| Version::Object(one.clone()))
    }

    pub(super) fn annotation(&self, place: Place) -> Option<Arc<Annotation>> {
        match place {
            Place::Index(index) => self.annotations.get_index(index).map(|(_, one)| one.clone()),
            Place::Slot(slot) => self.detections.get(slot),
        }
    }

    fn parent(&self, place: Place) -> Option<Uuid> {
        match place {
            Place::Index(index) => self.annotations.get_index(index)?.1.parent,
            Place::Slot(slot) => self.detections.parent(slot),
        }
    }

    fn additions(&self, annotations: Vec<Annotation>) -> Vec<Step> {
        let mut next = self.annotations.len();
        let step = |annotation: Annotation| {
            let (id, known) = (annotation.id, self.place(annotation.id));
            let place = known.unwrap_or(Place::Index(next));
            next += usize::from(known.is_none());
            let before = known.map_or(Version::Absent, |place| self.version(place));
            let changes = known.and_then(|place| self.annotation(place)).as_deref() != Some(&annotation);
            changes.then(|| Step { id, place, before, after: Version::Object(Arc::new(annotation)) })
        };
        annotations.into_iter().filter_map(step).collect()
    }

    /// Returns the steps for those annotations that `change` modifies. It returns false to remove one.
    fn steps(&self, places: &[(Place, Uuid)], change: impl Fn(&mut Annotation) -> bool) -> Vec<Step> {
        let step = |(place, id): &(Place, Uuid)| {
            let known = self.annotation(*place)?;
            let mut changed = known.as_ref().clone();
            let after = match change(&mut changed) {
                true if changed == *known => return None,
                true => Version::Object(Arc::new(changed)),
                false => Version::Absent,
            };
            Some(Step { id: *id, place: *place, before: self.version(*place), after })
        };
        places.iter().filter_map(step).collect()
    }

    /// Returns the steps that change the shapes of those of `ids` that are not locked, and remove those that
    /// become empty.
    fn reshaped(&self, ids: &[Uuid], change: impl Fn(&Shape) -> Shape) -> Vec<Step> {
        self.steps(&self.places(ids), |annotation| {
            // Annotations without a position were already empty and are kept.
            let was_empty = annotation.shape().is_empty();
            if !annotation.locked {
                annotation.set_shape(change(annotation.shape()));
            }
            was_empty || !annotation.shape().is_empty()
        })
    }

    /// Changes class or lock of annotations.
    fn revised(
        &mut self,
        title: &'static str,
        ids: &[Uuid],
        change: impl Fn(&mut Annotation),
    ) -> Option<Change> {
        let mut places = self.places(ids);
        let slots = slots_of(&places);
        if slots.len() > MANY {
            places.retain(|(place, _)| place.slot().is_none());
        }
        let steps = self.steps(&places, |annotation| {
            change(annotation);
            true
        });
        if slots.len() <= MANY {
            return self.take(title, steps);
        }
        let mut is_changed = !steps.is_empty();
        let whole = self.whole(title, |set| {
            set.go(&steps, |step| &step.after);
            is_changed |= Arc::make_mut(&mut set.detections).revise(&slots, change);
        });
        is_changed.then_some(whole)
    }

    /// Makes the steps of a change. Children of removed annotations get the nearest remaining ancestor as
    /// their parent, as in QuPath when it keeps child objects.
    fn take(&mut self, title: &'static str, mut steps: Vec<Step>) -> Option<Change> {
        if steps.is_empty() {
            return None;
        }
        let removed: HashMap<Uuid, Option<Uuid>> = steps
            .iter()
            .filter(|step| step.after.is_absent())
            .map(|step| (step.id, self.parent(step.place)))
            .collect();
        let mut orphans = self.orphans(&removed);
        let kept_below_removed = orphans.len();
        let slots = slots_of(&orphans);
        let are_many = slots.len() > MANY;
        if are_many {
            orphans.retain(|(place, _)| place.slot().is_none());
        }
        self.adopt(&mut steps, &orphans, &removed);
        let change = if are_many {
            self.whole(title, |set| {
                set.go(&steps, |step| &step.after);
                let adopt = |one: &mut Annotation| one.parent = remaining(one.parent, &removed);
                Arc::make_mut(&mut set.detections).revise(&slots, adopt);
            })
        } else {
            self.go(&steps, |step| &step.after);
            Change { title, kept_below_removed, effect: Effect::Steps(steps) }
        };
        Some(Change { kept_below_removed, ..change })
    }

    /// Removes annotations among which are many detections, all at once.
    fn without(&mut self, title: &'static str, places: &[(Place, Uuid)]) -> Change {
        let removed: HashMap<Uuid, Option<Uuid>> =
            places.iter().map(|(place, id)| (*id, self.parent(*place))).collect();
        let orphans = self.orphans(&removed);
        let (slots, orphan_slots) = (slots_of(places), slots_of(&orphans));
        let change = self.whole(title, |set| {
            let adopt = |one: &mut Annotation| one.parent = remaining(one.parent, &removed);
            let detections = Arc::make_mut(&mut set.detections);
            detections.remove(&slots);
            if !orphan_slots.is_empty() {
                detections.revise(&orphan_slots, adopt);
            }
            for (_, id) in &orphans {
                if let Some(one) = set.annotations.get_mut(id) {
                    adopt(Arc::make_mut(one));
                }
            }
            set.annotations.retain(|id, _| !removed.contains_key(id));
        });
        Change { kept_below_removed: orphans.len(), ..change }
    }

    /// Returns the annotations that are kept while their parents are removed.
    fn orphans(&self, removed: &HashMap<Uuid, Option<Uuid>>) -> Vec<(Place, Uuid)> {
        if removed.is_empty() {
            return Vec::new();
        }
        let is_below = |one: &Annotation| one.parent.is_some_and(|parent| removed.contains_key(&parent));
        let slots = self.detections.slots_where(is_below);
        let slots = slots.into_iter().map(|slot| (Place::Slot(slot), self.detections.id(slot)));
        let objects = self.annotations.values().enumerate().filter(|(_, one)| is_below(one));
        let objects = objects.map(|(index, one)| (Place::Index(index), one.id));
        slots.chain(objects).filter(|(_, id)| !removed.contains_key(id)).collect()
    }

    /// Adds the steps that give `orphans` another parent.
    fn adopt(&self, steps: &mut Vec<Step>, orphans: &[(Place, Uuid)], removed: &HashMap<Uuid, Option<Uuid>>) {
        let changed: HashMap<Uuid, usize> =
            steps.iter().enumerate().map(|(position, step)| (step.id, position)).collect();
        for (place, id) in orphans {
            let known = changed.get(id).map(|position| &mut steps[*position].after);
            if let Some(Version::Object(after)) = known {
                let parent = remaining(after.parent, removed);
                Arc::make_mut(after).parent = parent;
            } else if let Some(one) = self.annotation(*place) {
                let moved = Annotation { parent: remaining(one.parent, removed), ..one.as_ref().clone() };
                let (before, after) = (self.version(*place), Version::Object(Arc::new(moved)));
                steps.push(Step { id: *id, place: *place, before, after });
            }
        }
    }

    /// Makes a change that is undone by restoring the whole set.
    fn whole(&mut self, title: &'static str, change: impl FnOnce(&mut Self)) -> Change {
        let before = Box::new(self.clone());
        change(self);
        let effect = Effect::Whole { before, after: Box::new(self.clone()) };
        Change { title, kept_below_removed: 0, effect }
    }
}

/// Returns the slots among `places`, in their order.
fn slots_of(places: &[(Place, Uuid)]) -> Vec<u32> {
    places.iter().filter_map(|(place, _)| place.slot()).collect()
}

/// Returns the nearest ancestor from `parent` upwards that is not removed.
fn remaining(mut parent: Option<Uuid>, removed: &HashMap<Uuid, Option<Uuid>>) -> Option<Uuid> {
    // Bounded by the number of removed annotations, in case their parents form a cycle.
    for _ in 0..=removed.len() {
        match parent.and_then(|id| removed.get(&id)) {
            Some(next) => parent = *next,
            None => return parent,
        }
    }
    None
}
