//! All annotations of one slide, and the edits that change them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use uuid::Uuid;

use super::change::Place;
use super::json::RawJson;
use super::packing::Packing;
use super::{Annotation, AnnotationClass, Bounds, Detection, Detections, Hit, Shape, new_id};
use crate::geometry::Level0Point;

/// The annotations of one slide, in drawing order. Cloning is cheap, since the annotations themselves are
/// shared. Detections in compact form, if there are any, come first.
#[derive(Debug, Clone, Default)]
pub struct AnnotationSet {
    pub(super) detections: Arc<Detections>,
    /// All other annotations.
    pub(super) annotations: IndexMap<Uuid, Arc<Annotation>>,
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
    /// Replace the whole set by one to which a file has been added; see [`AnnotationSet::with_file`].
    Import(Box<AnnotationSet>),
}

impl Edit {
    /// Returns its name for the undo menu.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Import(_) => "import",
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

impl FromIterator<Annotation> for AnnotationSet {
    fn from_iter<I: IntoIterator<Item = Annotation>>(annotations: I) -> Self {
        Self::new(annotations)
    }
}

/// Sets are equal if their annotations are, in whichever form they are held.
impl PartialEq for AnnotationSet {
    fn eq(&self, other: &Self) -> bool {
        self.groups == other.groups
            && self.members == other.members
            && self.len() == other.len()
            && self.iter().eq(other.iter())
    }
}

impl AnnotationSet {
    /// Makes a set of annotations. If several have the same ID, the later ones get new IDs.
    pub fn new(annotations: impl IntoIterator<Item = Annotation>) -> Self {
        let mut set = Self::default();
        annotations.into_iter().for_each(|annotation| set.push(annotation));
        set
    }

    /// Makes a set of annotations with unique IDs, with detections in compact form if there are many.
    pub fn packed(annotations: impl IntoIterator<Item = Annotation>) -> Self {
        let mut packing = Packing::default();
        annotations.into_iter().for_each(|annotation| _ = packing.push(Arc::new(annotation)));
        let mut set = Self::default();
        packing.finish(&mut set);
        set
    }

    pub(super) fn push(&mut self, mut annotation: Annotation) {
        while self.contains(annotation.id) {
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
        self.remake(|annotation| {
            annotation.id = renamed(annotation.id);
            annotation.parent = annotation.parent.map(renamed);
        });
    }

    /// Moves all annotations by an offset in level-0 pixels.
    pub fn translate(&mut self, dx: f64, dy: f64) {
        if (dx, dy) == (0.0, 0.0) {
            return;
        }
        match self.detections.moved(dx, dy) {
            Some(moved) => {
                self.detections = Arc::new(moved);
                self.annotations.values_mut().for_each(|one| Arc::make_mut(one).translate(dx, dy));
            }
            None => self.remake(|annotation| annotation.translate(dx, dy)),
        }
    }

    /// Changes every annotation. Their IDs must be unique afterwards.
    fn remake(&mut self, change: impl Fn(&mut Annotation)) {
        let mut packing = Packing::default();
        for mut one in self.iter() {
            change(Arc::make_mut(&mut one));
            packing.push(one);
        }
        packing.finish(self);
    }

    /// Returns the number of annotations.
    pub fn len(&self) -> usize {
        self.detections.len() + self.annotations.len()
    }

    /// Returns whether there are no annotations.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the detections that are held in compact form.
    pub fn detections(&self) -> &Arc<Detections> {
        &self.detections
    }

    /// Returns all annotations that are objects of their own, in drawing order: all but unedited detections
    /// in compact form.
    pub fn objects(&self) -> impl DoubleEndedIterator<Item = &Arc<Annotation>> {
        self.detections.edited().chain(self.annotations.values())
    }

    /// Returns the set with the annotations of a file, which replace those with the same IDs. Meant for files
    /// with many detections; for others, see [`super::AnnotationFile::edit_for`].
    pub fn with_file(&self, file: &Self) -> Self {
        let mut set = Self { groups: self.groups.clone(), members: self.members.clone(), ..Self::default() };
        set.take_over(file);
        if !self.detections.is_empty() {
            let mut packing = Packing::default();
            self.iter().for_each(|one| _ = packing.push(file.get(one.id).unwrap_or(one)));
            file.iter().filter(|one| !self.contains(one.id)).for_each(|one| _ = packing.push(one));
            packing.finish(&mut set);
            return set;
        }
        set.detections = file.detections.clone();
        let is_kept = |one: &&Arc<Annotation>| file.detections.slot_of(one.id).is_none();
        let known = self.annotations.values().filter(is_kept);
        let known = known.map(|one| file.annotations.get(&one.id).unwrap_or(one));
        let new = file.annotations.values().filter(|one| !self.annotations.contains_key(&one.id));
        set.annotations = known.chain(new).map(|one| (one.id, one.clone())).collect();
        set
    }

    /// Returns whether there is an annotation with an ID.
    pub fn contains(&self, id: Uuid) -> bool {
        self.annotations.contains_key(&id) || self.detections.slot_of(id).is_some()
    }

    /// Returns the annotation with an ID.
    pub fn get(&self, id: Uuid) -> Option<Arc<Annotation>> {
        let object = self.annotations.get(&id).cloned();
        object.or_else(|| self.detections.get(self.detections.slot_of(id)?))
    }

    /// Returns what is known of an annotation besides its position and its measured values, which are missing
    /// for a detection in compact form.
    pub fn described(&self, id: Uuid) -> Option<&Annotation> {
        let object = self.annotations.get(&id).map(Arc::as_ref);
        object.or_else(|| self.detections.described(self.detections.slot_of(id)?))
    }

    /// Returns the annotations in drawing order. Detections in compact form are unpacked one by one.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Arc<Annotation>> + Clone + '_ {
        self.detections.iter().chain(self.annotations.values().cloned())
    }

    /// Returns the IDs of all annotations, in drawing order.
    pub fn ids(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.places_with_parents().map(|(place, _)| self.id(place))
    }

    /// Returns the ID of the annotation at a place of the set.
    pub(super) fn id(&self, place: Place) -> Uuid {
        match place {
            Place::Slot(slot) => self.detections.id(slot),
            Place::Index(index) => self.annotations.get_index(index).map_or(Uuid::nil(), |(id, _)| *id),
        }
    }

    /// Returns the places of all annotations with the IDs of their parents, in drawing order.
    pub(super) fn places_with_parents(&self) -> impl Iterator<Item = (Place, Option<Uuid>)> + '_ {
        let detections = &self.detections;
        let slots = (0..detections.slots()).filter(|slot| !matches!(detections.change_of(*slot), Some(None)));
        let of_slots = slots.map(|slot| (Place::Slot(slot), detections.parent(slot)));
        let objects = self.annotations.values().enumerate();
        of_slots.chain(objects.map(|(index, one)| (Place::Index(index), one.parent)))
    }

    /// Returns the annotation at an index in drawing order.
    pub fn at(&self, index: usize) -> Option<Arc<Annotation>> {
        match index.checked_sub(self.detections.len()) {
            Some(index) => self.annotations.get_index(index).map(|(_, annotation)| annotation.clone()),
            None => self.detections.get(self.detections.slot_at(index)?),
        }
    }

    /// Returns the annotations with these IDs, in drawing order.
    pub fn chosen(&self, ids: &[Uuid]) -> Vec<Arc<Annotation>> {
        let places = self.places(ids);
        places.into_iter().filter_map(|(place, _)| self.annotation(place)).collect()
    }

    /// Returns the annotations for which `is_meant` is true, in drawing order. It must not look at positions
    /// and measured values.
    pub fn matching(&self, is_meant: impl Fn(&Annotation) -> bool) -> Vec<Arc<Annotation>> {
        let slots = self.detections.slots_where(&is_meant).into_iter();
        let detections = slots.filter_map(|slot| self.detections.get(slot));
        detections.chain(self.annotations.values().filter(|one| is_meant(one)).cloned()).collect()
    }

    /// Returns the annotations whose bounding boxes touch an area: first detections, then objects.
    pub fn touching(&self, area: Bounds) -> impl Iterator<Item = Arc<Annotation>> + '_ {
        let detections = self.detections.within(area).into_iter().map(|one| Arc::new(one.unpacked()));
        let touches = move |one: &&Arc<Annotation>| one.bounds().is_some_and(|of| of.intersects(&area));
        detections.chain(self.objects().filter(touches).cloned())
    }

    /// Returns the classes of all annotations, each once.
    pub fn classes(&self) -> Vec<AnnotationClass> {
        let mut seen = HashSet::new();
        let of_objects = self.objects().filter_map(|one| one.class.as_ref());
        let all = self.detections.templates().iter().filter_map(|one| one.class.as_ref()).chain(of_objects);
        all.filter(|class| seen.insert(*class)).cloned().collect()
    }

    /// Returns the topmost annotation at `point` among those for which `is_candidate` is true. An annotation
    /// whose outline is near takes precedence over one that only contains the point, and a smaller area over
    /// a larger one around it. `reach_px` is the maximum distance that counts as near, in level-0 pixels. Detections in compact
    /// form that are much smaller than this are not found: they cannot be told apart at such a zoom.
    pub fn hit(
        &self,
        point: Level0Point,
        reach_px: f64,
        is_candidate: impl Fn(&Annotation) -> bool,
    ) -> Option<(Uuid, Hit)> {
        let touch = |annotation: &Annotation| {
            let hit = annotation.hit(point, reach_px).filter(|_| is_candidate(annotation))?;
            Some((hit, annotation.shape().area_px2().unwrap_or(0.0), annotation.id))
        };
        let detections = self.detections_near(point, reach_px);
        let detections = detections.iter().rev().filter_map(|one| touch(&one.unpacked()));
        let touched = self.objects().rev().filter_map(|one| touch(one)).chain(detections);
        let best = touched.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))?;
        Some((best.2, best.0))
    }

    /// Returns the unedited detections that may be near a point and are large enough to be told apart if the reach is a few
    /// pixels on the screen.
    fn detections_near(&self, point: Level0Point, reach_px: f64) -> Vec<Detection<'_>> {
        /// Size of a detection that is a point, as it is drawn.
        const LEAST_PX: f64 = 6.0;
        let smallest = reach_px * 2.0 / 3.0;
        let least_px = if smallest > LEAST_PX { smallest } else { 0.0 };
        self.detections.large_within(Bounds { min: point, max: point }.grown(reach_px), least_px)
    }

    /// Returns the IDs of all annotations whose bounding boxes lie within `area`, in drawing order.
    pub fn enclosed_by(&self, area: Bounds) -> Vec<Uuid> {
        let detections = self.detections.enclosed_by(area);
        let is_in = |bounds: Bounds| area.contains(bounds.min) && area.contains(bounds.max);
        let objects = self.objects().filter(|one| one.bounds().is_some_and(is_in)).map(|one| one.id);
        detections.iter().map(Detection::id).chain(objects).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ObjectKind;
    use super::*;

    #[test]
    fn detections_are_found_by_a_point_unless_they_are_too_small_on_the_screen() {
        let cell = |number: usize| {
            let at = Level0Point::new((number % 50 * 20) as f64, (number / 50 * 20) as f64);
            let bounds = Bounds { min: at, max: Level0Point::new(at.x + 9.0, at.y + 8.0) };
            let mut one = Annotation::new(Shape::Rectangle(bounds), None);
            one.kind = ObjectKind::Detection;
            one
        };
        let mut large = cell(0);
        large.set_shape(Shape::Rectangle(Bounds {
            min: Level0Point::new(100.0, 100.0),
            max: Level0Point::new(500.0, 500.0),
        }));
        let cells: Vec<Annotation> = (0..1500).map(cell).chain([large.clone()]).collect();
        let set = AnnotationSet::packed(cells.iter().cloned());
        assert_eq!(set.detections().len(), 1501);
        let at = Level0Point::new(225.0, 205.0);
        let found = |reach| set.hit(at, reach, |_| true).map(|(id, _)| id);
        let under = cells.iter().find(|one| one.bounds().is_some_and(|bounds| bounds.contains(at))).unwrap();
        assert_eq!(found(3.0), Some(under.id));
        assert_eq!(found(13.0), Some(under.id));
        // Nine pixels are a fifth of the reach.
        assert_eq!(found(45.0), Some(large.id));
        assert_eq!(found(2000.0), None);
        let others = |one: &Annotation| one.id != large.id;
        assert_eq!(set.hit(at, 45.0, others), None);
    }
}
