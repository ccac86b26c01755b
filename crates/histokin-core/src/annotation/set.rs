//! All annotations of one slide, and the typed edits that change them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use uuid::Uuid;

use super::json::RawJson;
use super::{Annotation, AnnotationClass, Hit, Shape, new_id};
use crate::geometry::Level0Point;

/// The annotations of one slide, in the order in which they are drawn. Cloning is cheap: the annotations
/// themselves are shared.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AnnotationSet {
    annotations: IndexMap<Uuid, Arc<Annotation>>,
    /// Groups that an ASAP file declares.
    pub groups: Vec<Group>,
    /// Members of a GeoJSON collection that mean nothing here.
    pub(super) members: Vec<(String, RawJson)>,
}

/// A group as ASAP's files declare it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Group {
    pub name: String,
    /// As the file writes it, such as `#64FE2E`.
    pub color: String,
    /// The group that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
}

/// One change that a person can make, and take back.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Add annotations; one with a known id takes that one's place.
    Add(Vec<Annotation>),
    Remove(Vec<Uuid>),
    Reshape {
        id: Uuid,
        shape: Shape,
    },
    /// Move by level-0 pixels.
    Translate {
        ids: Vec<Uuid>,
        dx: f64,
        dy: f64,
    },
    /// Add an area to an annotation.
    Paint {
        id: Uuid,
        area: Shape,
    },
    /// Take an area off annotations; those of which nothing is left are removed.
    Erase {
        ids: Vec<Uuid>,
        area: Shape,
    },
    Classify {
        ids: Vec<Uuid>,
        class: Option<AnnotationClass>,
    },
    /// Give all annotations of a class another one; the class was renamed or recoloured.
    Reclassify {
        from: String,
        to: Option<AnnotationClass>,
    },
    Rename {
        id: Uuid,
        name: Option<String>,
    },
    Lock {
        ids: Vec<Uuid>,
        locked: bool,
    },
}

impl Edit {
    /// What undoing it takes back, for the menu.
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

/// What an edit has done: enough to take it back and to do it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub title: &'static str,
    steps: Vec<Step>,
}

/// One annotation before and after, with its place in the order.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    before: Option<(usize, Arc<Annotation>)>,
    after: Option<(usize, Arc<Annotation>)>,
}

impl Change {
    /// The annotations that are there after the change and were different or absent before.
    pub fn touched(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.steps.iter().filter_map(|step| step.after.as_ref()).map(|(_, annotation)| annotation.id)
    }

    /// How many annotations it kept that lay below a removed one.
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

    /// The annotations that are there after the change has been taken back.
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
    /// A set of these annotations; of several with one id, the later ones get new ids.
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

    /// Add groups that are not declared yet.
    pub fn declare_groups(&mut self, groups: impl IntoIterator<Item = Group>) {
        for group in groups {
            if !self.groups.iter().any(|known| known.name == group.name) {
                self.groups.push(group);
            }
        }
    }

    /// Add members of a collection that are not there yet.
    pub(super) fn take_members(&mut self, members: impl IntoIterator<Item = (String, RawJson)>) {
        for (key, value) in members {
            if !self.members.iter().any(|(known, _)| *known == key) {
                self.members.push((key, value));
            }
        }
    }

    /// Take over what a file says beside its annotations.
    pub fn take_over(&mut self, file: &Self) {
        self.declare_groups(file.groups.iter().cloned());
        self.take_members(file.members.iter().cloned());
    }

    /// Give annotations other ids, which no others have.
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

    /// Move everything by so many level-0 pixels.
    pub fn translate(&mut self, dx: f64, dy: f64) {
        if (dx, dy) != (0.0, 0.0) {
            self.annotations.values_mut().for_each(|one| Arc::make_mut(one).translate(dx, dy));
        }
    }

    pub fn len(&self) -> usize {
        self.annotations.len()
    }

    pub fn is_empty(&self) -> bool {
        self.annotations.is_empty()
    }

    pub fn get(&self, id: Uuid) -> Option<&Arc<Annotation>> {
        self.annotations.get(&id)
    }

    /// In the order in which they are drawn.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Annotation>> + ExactSizeIterator {
        self.annotations.values()
    }

    /// The annotation at a place in the order.
    pub fn at(&self, index: usize) -> Option<&Arc<Annotation>> {
        self.annotations.get_index(index).map(|(_, annotation)| annotation)
    }

    /// The topmost annotation that `point` touches and `is_candidate` admits: one whose outline is touched
    /// goes before one that merely contains the point, and a smaller area before a larger one around it.
    /// `reach_px` is how near counts as touching, in level-0 pixels.
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

    /// Make an edit. `None` when it changes nothing; shapes of locked annotations are not changed.
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

    /// Annotations below those that go for good move up to the nearest one above that stays, as QuPath does when
    /// it is asked to keep them.
    fn adopt(&self, steps: &mut Vec<Step>) {
        let gone = |step: &Step| {
            let (_, before) = step.before.as_ref().filter(|_| step.after.is_none())?;
            Some((before.id, before.parent))
        };
        let gone: HashMap<Uuid, Option<Uuid>> = steps.iter().filter_map(gone).collect();
        if gone.is_empty() {
            return;
        }
        let above = |mut parent: Option<Uuid>| {
            // No longer than there are removed annotations, should they lie in each other in a circle.
            for _ in 0..=gone.len() {
                match parent.and_then(|id| gone.get(&id)) {
                    Some(next) => parent = *next,
                    None => return parent,
                }
            }
            None
        };
        let mut changed: HashMap<Uuid, usize> = HashMap::new();
        for (place, step) in steps.iter().enumerate() {
            changed.extend(step.before.as_ref().map(|(_, before)| (before.id, place)));
        }
        for (index, one) in self.annotations.values().enumerate() {
            if gone.contains_key(&one.id) || !one.parent.is_some_and(|parent| gone.contains_key(&parent)) {
                continue;
            }
            match changed.get(&one.id).and_then(|place| steps[*place].after.as_mut()) {
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

    /// Take a change back. Changes are taken back in the opposite order in which they were made.
    pub fn undo(&mut self, change: &Change) {
        // What was added goes first, then what was removed comes back to its old place, lowest first.
        for step in change.steps.iter().rev().filter(|step| step.before.is_none()) {
            if let Some((_, added)) = &step.after {
                self.annotations.shift_remove(&added.id);
            }
        }
        for (index, annotation) in change.steps.iter().filter_map(|step| step.before.clone()) {
            self.put(index, annotation);
        }
    }

    /// Do a change again that was taken back.
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

    /// Steps that change those of `ids` for which `change` gives something else, in the order of the set.
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

    /// Steps that give other shapes to those of `ids` that are not locked, and remove what has none left.
    fn reshaped(&self, ids: &[Uuid], change: impl Fn(&Shape) -> Shape) -> Vec<Step> {
        self.steps(ids, |annotation| {
            let mut reshaped = annotation.clone();
            if !annotation.locked {
                reshaped.set_shape(change(annotation.shape()));
            }
            // What had no place before has none to lose.
            (!reshaped.shape().is_empty() || annotation.shape().is_empty()).then_some(reshaped)
        })
    }
}
