//! All annotations of one slide, and the edits that change them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use uuid::Uuid;

use super::json::RawJson;
use super::{Annotation, AnnotationClass, Hit, Shape, new_id};
use crate::geometry::Level0Point;

/// The annotations of one slide, in drawing order. Cloning is cheap, since the annotations themselves are
/// shared.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AnnotationSet {
    annotations: IndexMap<Uuid, Arc<Annotation>>,
    /// Groups declared by an ASAP file.
    pub groups: Vec<Group>,
    /// Members of a GeoJSON collection that have no meaning in this program.
    pub(super) members: Vec<(String, RawJson)>,
}

/// A group as declared in an ASAP file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Group {
    /// Name; annotations refer to it.
    pub name: String,
    /// Colour in the notation of the file, such as `#64FE2E`.
    pub color: String,
    /// Name of the group that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Further attributes, as names and values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
}

/// One change that a user can make and undo.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Add annotations; one whose ID is in the set replaces the existing one.
    Add(Vec<Annotation>),
    /// Remove the annotations with these IDs.
    Remove(Vec<Uuid>),
    /// Set the shape of an annotation.
    Reshape {
        /// The annotation.
        id: Uuid,
        /// Its new shape.
        shape: Shape,
    },
    /// Move annotations.
    Translate {
        /// The annotations.
        ids: Vec<Uuid>,
        /// Horizontal offset in level-0 pixels.
        dx: f64,
        /// Vertical offset in level-0 pixels.
        dy: f64,
    },
    /// Add an area to an annotation.
    Paint {
        /// The annotation.
        id: Uuid,
        /// The area to add.
        area: Shape,
    },
    /// Subtract an area from annotations; those that become empty are removed.
    Erase {
        /// The annotations.
        ids: Vec<Uuid>,
        /// The area to subtract.
        area: Shape,
    },
    /// Set the class of annotations.
    Classify {
        /// The annotations.
        ids: Vec<Uuid>,
        /// Their new class; `None` removes it.
        class: Option<AnnotationClass>,
    },
    /// Set another class for all annotations of a class, after the class was renamed or recoloured.
    Reclassify {
        /// Name of the previous class.
        from: String,
        /// The new class; `None` removes it.
        to: Option<AnnotationClass>,
    },
    /// Set the name of an annotation.
    Rename {
        /// The annotation.
        id: Uuid,
        /// Its new name; `None` removes it.
        name: Option<String>,
    },
    /// Lock or unlock annotations.
    Lock {
        /// The annotations.
        ids: Vec<Uuid>,
        /// Whether they are locked afterwards.
        locked: bool,
    },
}

impl Edit {
    /// Returns its name for the undo menu.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Add(annotations) if annotations.len() > 1 => "import",
            Self::Add(_) => "new annotation",
            Self::Remove(_) => "delete",
            Self::Reshape { .. } => "change of shape",
            Self::Translate { .. } => "move",
            Self::Paint { .. } => "brush",
            Self::Erase { .. } => "eraser",
            Self::Classify { .. } | Self::Reclassify { .. } => "change of class",
            Self::Rename { .. } => "rename",
            Self::Lock { .. } => "lock",
        }
    }
}

/// The effect of an edit, with the data to undo and redo it.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Name for the undo menu.
    pub title: &'static str,
    steps: Vec<Step>,
}

/// One annotation before and after the change, with its index in the set.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    before: Option<(usize, Arc<Annotation>)>,
    after: Option<(usize, Arc<Annotation>)>,
}

impl Change {
    /// Returns the annotations that the change added or modified.
    pub fn touched(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.steps.iter().filter_map(|step| step.after.as_ref()).map(|(_, annotation)| annotation.id)
    }

    /// Returns the number of annotations whose parent was removed while they were kept.
    pub fn kept_below_removed(&self) -> usize {
        let removed: HashSet<Uuid> = self
            .steps
            .iter()
            .filter(|step| step.after.is_none())
            .filter_map(|step| step.before.as_ref().map(|(_, before)| before.id))
            .collect();
        let is_kept = |step: &&Step| match (&step.before, &step.after) {
            (Some((_, before)), Some(_)) => before.parent.is_some_and(|parent| removed.contains(&parent)),
            _ => false,
        };
        self.steps.iter().filter(is_kept).count()
    }

    /// Returns the annotations that exist once the change has been undone.
    pub fn restored(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.steps.iter().filter_map(|step| step.before.as_ref()).map(|(_, annotation)| annotation.id)
    }
}

impl FromIterator<Annotation> for AnnotationSet {
    fn from_iter<I: IntoIterator<Item = Annotation>>(annotations: I) -> Self {
        Self::new(annotations)
    }
}

impl AnnotationSet {
    /// Makes a set of annotations. If several have the same ID, the later ones get new IDs.
    pub fn new(annotations: impl IntoIterator<Item = Annotation>) -> Self {
        let mut set = Self::default();
        annotations.into_iter().for_each(|annotation| set.push(annotation));
        set
    }

    pub(super) fn push(&mut self, mut annotation: Annotation) {
        while self.annotations.contains_key(&annotation.id) {
            annotation.id = new_id();
        }
        self.annotations.insert(annotation.id, Arc::new(annotation));
    }

    /// Adds the groups whose names are not yet declared.
    pub fn declare_groups(&mut self, groups: impl IntoIterator<Item = Group>) {
        for group in groups {
            if !self.groups.iter().any(|known| known.name == group.name) {
                self.groups.push(group);
            }
        }
    }

    /// Adds the members of a collection whose keys are not yet present.
    pub(super) fn take_members(&mut self, members: impl IntoIterator<Item = (String, RawJson)>) {
        for (key, value) in members {
            if !self.members.iter().any(|(known, _)| *known == key) {
                self.members.push((key, value));
            }
        }
    }

    /// Adds the groups and further members of a file, without its annotations.
    pub fn take_over(&mut self, file: &Self) {
        self.declare_groups(file.groups.iter().cloned());
        self.take_members(file.members.iter().cloned());
    }

    /// Changes IDs of annotations; the new IDs must not be in use.
    pub(super) fn rename(&mut self, ids: &HashMap<Uuid, Uuid>) {
        if ids.is_empty() {
            return;
        }
        let renamed = |id: Uuid| ids.get(&id).copied().unwrap_or(id);
        for mut one in std::mem::take(&mut self.annotations).into_values() {
            let annotation = Arc::make_mut(&mut one);
            annotation.id = renamed(annotation.id);
            annotation.parent = annotation.parent.map(renamed);
            self.annotations.insert(annotation.id, one);
        }
    }

    /// Moves all annotations by an offset in level-0 pixels.
    pub fn translate(&mut self, dx: f64, dy: f64) {
        if (dx, dy) != (0.0, 0.0) {
            self.annotations.values_mut().for_each(|one| Arc::make_mut(one).translate(dx, dy));
        }
    }

    /// Returns the number of annotations.
    pub fn len(&self) -> usize {
        self.annotations.len()
    }

    /// Returns whether there are no annotations.
    pub fn is_empty(&self) -> bool {
        self.annotations.is_empty()
    }

    /// Returns the annotation with an ID.
    pub fn get(&self, id: Uuid) -> Option<&Arc<Annotation>> {
        self.annotations.get(&id)
    }

    /// Returns the annotations in drawing order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Annotation>> + ExactSizeIterator {
        self.annotations.values()
    }

    /// Returns the annotation at an index in drawing order.
    pub fn at(&self, index: usize) -> Option<&Arc<Annotation>> {
        self.annotations.get_index(index).map(|(_, annotation)| annotation)
    }

    /// Returns the topmost annotation at `point` among those for which `is_candidate` is true. An annotation
    /// whose outline is near takes precedence over one that only contains the point, and a smaller area over
    /// a larger one around it. `reach_px` is the maximum distance that counts as near, in level-0 pixels.
    pub fn hit(
        &self,
        point: Level0Point,
        reach_px: f64,
        is_candidate: impl Fn(&Annotation) -> bool,
    ) -> Option<(Uuid, Hit)> {
        let touched = self.iter().rev().filter(|one| is_candidate(one)).filter_map(|annotation| {
            let hit = annotation.hit(point, reach_px)?;
            Some((hit, annotation.shape().area_px2().unwrap_or(0.0), annotation.id))
        });
        let best = touched.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))?;
        Some((best.2, best.0))
    }

    /// Applies an edit and returns the change; `None` if nothing changes. Shapes of locked annotations are
    /// not changed.
    pub fn apply(&mut self, edit: Edit) -> Option<Change> {
        let title = edit.title();
        let steps = match edit {
            Edit::Add(annotations) => {
                let mut steps: Vec<Step> = Vec::new();
                let mut next = self.len();
                for annotation in annotations {
                    let before = self.annotations.get_full(&annotation.id);
                    let before = before.map(|(index, _, known)| (index, known.clone()));
                    let index = before.as_ref().map_or(next, |(index, _)| *index);
                    next += usize::from(before.is_none());
                    steps.push(Step { before, after: Some((index, Arc::new(annotation))) });
                }
                steps.retain(|step| !matches!((&step.before, &step.after), (Some(b), Some(a)) if b == a));
                steps
            }
            Edit::Remove(ids) => self.steps(&ids, |_| None),
            Edit::Reshape { id, shape } => self.reshaped(&[id], |_| shape.clone()),
            Edit::Translate { ids, dx, dy } => self.steps(&ids, |annotation| {
                let mut moved = annotation.clone();
                if !annotation.locked {
                    moved.translate(dx, dy);
                }
                Some(moved)
            }),
            Edit::Paint { id, area } => self.reshaped(&[id], |shape| shape.union(&area)),
            Edit::Erase { ids, area } => self.reshaped(&ids, |shape| shape.difference(&area)),
            Edit::Classify { ids, class } => self.steps(&ids, |annotation| {
                let mut classified = annotation.clone();
                classified.set_class(class.clone());
                Some(classified)
            }),
            Edit::Reclassify { from, to } => {
                let of_class =
                    |one: &&Arc<Annotation>| one.class.as_ref().is_some_and(|class| class.name == from);
                let ids: Vec<Uuid> = self.iter().filter(of_class).map(|one| one.id).collect();
                self.steps(&ids, |annotation| {
                    let mut classified = annotation.clone();
                    classified.set_class(to.clone());
                    Some(classified)
                })
            }
            Edit::Rename { id, name } => {
                self.steps(&[id], |annotation| Some(Annotation { name: name.clone(), ..annotation.clone() }))
            }
            Edit::Lock { ids, locked } => {
                self.steps(&ids, |annotation| Some(Annotation { locked, ..annotation.clone() }))
            }
        };
        let mut change = Change { title, steps };
        self.adopt(&mut change.steps);
        self.redo(&change);
        (!change.steps.is_empty()).then_some(change)
    }

    /// Sets the parent of children of removed annotations to their nearest remaining ancestor, as QuPath does
    /// when it keeps child objects.
    fn adopt(&self, steps: &mut Vec<Step>) {
        let removal = |step: &Step| {
            let (_, before) = step.before.as_ref().filter(|_| step.after.is_none())?;
            Some((before.id, before.parent))
        };
        let removed: HashMap<Uuid, Option<Uuid>> = steps.iter().filter_map(removal).collect();
        if removed.is_empty() {
            return;
        }
        let above = |mut parent: Option<Uuid>| {
            // Bounded by the number of removed annotations, in case their parents form a cycle.
            for _ in 0..=removed.len() {
                match parent.and_then(|id| removed.get(&id)) {
                    Some(next) => parent = *next,
                    None => return parent,
                }
            }
            None
        };
        let mut changed: HashMap<Uuid, usize> = HashMap::new();
        for (position, step) in steps.iter().enumerate() {
            changed.extend(step.before.as_ref().map(|(_, before)| (before.id, position)));
        }
        for (index, one) in self.annotations.values().enumerate() {
            if removed.contains_key(&one.id)
                || !one.parent.is_some_and(|parent| removed.contains_key(&parent))
            {
                continue;
            }
            match changed.get(&one.id).and_then(|position| steps[*position].after.as_mut()) {
                Some((_, after)) => {
                    let parent = above(after.parent);
                    Arc::make_mut(after).parent = parent;
                }
                None => {
                    let moved = Annotation { parent: above(one.parent), ..one.as_ref().clone() };
                    let (before, after) = ((index, one.clone()), (index, Arc::new(moved)));
                    steps.push(Step { before: Some(before), after: Some(after) });
                }
            }
        }
    }

    /// Undoes a change. Changes must be undone in reverse order.
    pub fn undo(&mut self, change: &Change) {
        // First remove added annotations, then restore removed ones at their old index, lowest first.
        for step in change.steps.iter().rev().filter(|step| step.before.is_none()) {
            if let Some((_, added)) = &step.after {
                self.annotations.shift_remove(&added.id);
            }
        }
        for (index, annotation) in change.steps.iter().filter_map(|step| step.before.clone()) {
            self.put(index, annotation);
        }
    }

    /// Redoes a change that was undone.
    pub fn redo(&mut self, change: &Change) {
        for step in change.steps.iter().rev().filter(|step| step.after.is_none()) {
            if let Some((_, removed)) = &step.before {
                self.annotations.shift_remove(&removed.id);
            }
        }
        for (index, annotation) in change.steps.iter().filter_map(|step| step.after.clone()) {
            self.put(index, annotation);
        }
    }

    fn put(&mut self, index: usize, annotation: Arc<Annotation>) {
        match self.annotations.get_mut(&annotation.id) {
            Some(known) => *known = annotation,
            None => {
                _ = self.annotations.shift_insert(
                    index.min(self.annotations.len()),
                    annotation.id,
                    annotation,
                )
            }
        }
    }

    /// Returns the steps for those of `ids` that `change` modifies, in the order of the set.
    fn steps(&self, ids: &[Uuid], change: impl Fn(&Annotation) -> Option<Annotation>) -> Vec<Step> {
        let mut known: Vec<(usize, &Arc<Annotation>)> = ids
            .iter()
            .filter_map(|id| self.annotations.get_full(id))
            .map(|(index, _, annotation)| (index, annotation))
            .collect();
        known.sort_by_key(|(index, _)| *index);
        known.dedup_by_key(|(index, _)| *index);
        let step = |(index, before): (usize, &Arc<Annotation>)| {
            let after = change(before);
            (after.as_ref() != Some(before.as_ref())).then(|| Step {
                before: Some((index, before.clone())),
                after: after.map(|after| (index, Arc::new(after))),
            })
        };
        known.into_iter().filter_map(step).collect()
    }

    /// Returns the steps that change the shapes of those of `ids` that are not locked, and remove those that
    /// become empty.
    fn reshaped(&self, ids: &[Uuid], change: impl Fn(&Shape) -> Shape) -> Vec<Step> {
        self.steps(ids, |annotation| {
            let mut reshaped = annotation.clone();
            if !annotation.locked {
                reshaped.set_shape(change(annotation.shape()));
            }
            // Annotations without a position were already empty and are kept.
            (!reshaped.shape().is_empty() || annotation.shape().is_empty()).then_some(reshaped)
        })
    }
}
