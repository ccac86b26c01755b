//! Detections by the hundred thousand: small objects found by an algorithm, in compact form.
//!
//! What many detections have in common (class, names of measurements, parent, members of other programs) is
//! stored once, as a template. A detection itself is an ID, the number of its template, and a record of its
//! positions and measured values. Its number in the order of its file is its slot, which never changes. A
//! detection whose shape or values are edited becomes an object of its own.

mod builder;
mod index;
mod moved;
mod record;
mod text;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::shape::{Geometry, Ring};
use super::{Annotation, Bounds, Shape};
use crate::geometry::Level0Point;

use builder::KnownTemplates;
pub use builder::MOST_DETECTION_SIDE_PX;
pub(super) use builder::{Builder, can_pack, join};
use index::BoxIndex;
use record::RecordReader;
pub(super) use text::{FeatureTexts, TemplateText};

/// The detections of a set. Cloning is cheap. An [`Arc`] of it changes only if a detection does.
#[derive(Clone, Default)]
pub struct Detections {
    stored: Arc<Stored>,
    /// Everything but ID, positions and measured values.
    templates: Arc<Vec<Arc<Annotation>>>,
    /// Index of the template of each slot.
    template_of: Arc<Vec<u32>>,
    /// Slots whose detection has been edited; `None` if it has been removed.
    changed: BTreeMap<u32, Option<Arc<Annotation>>>,
    removed: usize,
}

/// What never changes.
#[derive(Default)]
struct Stored {
    ids: Vec<Uuid>,
    /// Slots in the order of their IDs.
    by_id: Vec<u32>,
    /// End of each record.
    ends: Vec<u32>,
    records: Vec<u8>,
    /// Bounding boxes; `None` if there are no slots.
    index: Option<BoxIndex>,
}

impl fmt::Debug for Detections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detections").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Detections {
    /// Returns the number of detections.
    pub fn len(&self) -> usize {
        self.slots() as usize - self.removed
    }

    /// Returns whether there are no detections.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of slots, including those of removed detections.
    pub(super) fn slots(&self) -> u32 {
        self.stored.ids.len() as u32
    }

    /// Returns the slot of a detection that has not been removed.
    pub(super) fn slot_of(&self, id: Uuid) -> Option<u32> {
        let slot = self.known_slot_of(id)?;
        (!matches!(self.changed.get(&slot), Some(None))).then_some(slot)
    }

    /// Returns the slot of a detection, also of one that has been removed.
    pub(super) fn known_slot_of(&self, id: Uuid) -> Option<u32> {
        let Stored { ids, by_id, .. } = &*self.stored;
        let at = by_id.binary_search_by_key(&id, |slot| ids[*slot as usize]).ok()?;
        Some(by_id[at])
    }

    /// Returns the slot of the detection at an index among those that are not removed.
    pub(super) fn slot_at(&self, index: usize) -> Option<u32> {
        let mut slot = index as u32;
        for removed in self.changed.iter().filter(|(_, to)| to.is_none()).map(|(slot, _)| *slot) {
            if removed > slot {
                break;
            }
            slot += 1;
        }
        (slot < self.slots()).then_some(slot)
    }

    /// Returns the ID of a slot's detection.
    pub(super) fn id(&self, slot: u32) -> Uuid {
        self.stored.ids[slot as usize]
    }

    /// Returns what the detection of a slot has in common with others; outdated if it is changed.
    fn template(&self, slot: u32) -> &Arc<Annotation> {
        &self.templates[self.template_of[slot as usize] as usize]
    }

    /// Returns how the detection of a slot was changed, if it was.
    pub(super) fn change_of(&self, slot: u32) -> Option<&Option<Arc<Annotation>>> {
        self.changed.get(&slot)
    }

    /// Returns what is known of a slot's detection besides its position and its values.
    pub(super) fn described(&self, slot: u32) -> Option<&Annotation> {
        match self.changed.get(&slot) {
            Some(changed) => changed.as_deref(),
            None => Some(self.template(slot)),
        }
    }

    /// Returns the parent of a slot's detection.
    pub(super) fn parent(&self, slot: u32) -> Option<Uuid> {
        self.described(slot)?.parent
    }

    fn record(&self, slot: u32) -> RecordReader<'_> {
        let Stored { ends, records, .. } = &*self.stored;
        let start = slot.checked_sub(1).map_or(0, |before| ends[before as usize]);
        RecordReader(&records[start as usize..ends[slot as usize] as usize])
    }

    /// Returns the detection of a slot; `None` if it has been removed.
    pub(super) fn get(&self, slot: u32) -> Option<Arc<Annotation>> {
        match self.changed.get(&slot) {
            Some(changed) => changed.clone(),
            None => Some(Arc::new(self.unpacked(slot))),
        }
    }

    fn unpacked(&self, slot: u32) -> Annotation {
        let mut one = self.template(slot).as_ref().clone();
        let mut record = self.record(slot);
        one.id = self.id(slot);
        for (_, value) in &mut one.measurements {
            *value = record.number();
        }
        for geometry in std::iter::once(&mut one.geometry).chain(&mut one.nucleus) {
            let members = std::mem::take(&mut geometry.members);
            *geometry = Geometry::read(record.shape(), None, members);
        }
        one
    }

    /// Returns all detections in the order of their slots.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Arc<Annotation>> + Clone + '_ {
        (0..self.slots()).filter_map(|slot| self.get(slot))
    }

    /// Returns the edited detections.
    pub(super) fn edited(&self) -> impl DoubleEndedIterator<Item = &Arc<Annotation>> {
        self.changed.values().flatten()
    }

    /// Returns what each group of unedited detections has in common: class, colour, parent, names of
    /// measurements. Some may not be in use any more.
    pub fn templates(&self) -> &[Arc<Annotation>] {
        &self.templates
    }

    /// Returns the unedited detections whose bounding boxes touch an area, in the order of their slots.
    pub fn within(&self, area: Bounds) -> Vec<Detection<'_>> {
        self.large_within(area, 0.0)
    }

    /// Returns those of [`Self::within`] whose bounding boxes, rounded outwards to `f32`, are at least `least_px` level-0
    /// pixels wide or high. Takes little time for smaller ones, however many they are.
    pub fn large_within(&self, area: Bounds, least_px: f64) -> Vec<Detection<'_>> {
        self.unedited_where(area, least_px, |_, _| true)
    }

    /// Returns the unedited detections whose bounding boxes lie within an area, in the order of their slots.
    pub(super) fn enclosed_by(&self, area: Bounds) -> Vec<Detection<'_>> {
        let lies_within = |of: Bounds| area.contains(of.min) && area.contains(of.max);
        let mut ring = Ring::new();
        self.unedited_where(area, 0.0, |slot, around| {
            // Only at the sides of the area does the exact box matter, which takes unpacking.
            lies_within(around)
                || self.detection(slot).and_then(|one| one.bounds(&mut ring)).is_some_and(lies_within)
        })
    }

    /// Returns the unedited detections, in the order of their slots, that [`BoxIndex::search`] finds and for whose slot and
    /// box `is_meant` is true.
    fn unedited_where(
        &self,
        area: Bounds,
        least_px: f64,
        mut is_meant: impl FnMut(u32, Bounds) -> bool,
    ) -> Vec<Detection<'_>> {
        let Some(index) = &self.stored.index else { return Vec::new() };
        let mut slots = Vec::new();
        index.search(area, least_px, &mut |slot, around| {
            if is_meant(slot, around) {
                slots.push(slot);
            }
        });
        slots.sort_unstable();
        slots.into_iter().filter_map(|slot| self.detection(slot)).collect()
    }

    /// Returns the smallest rectangle around all detections as they were stored; `None` if there are none.
    pub fn extent(&self) -> Option<Bounds> {
        self.stored.index.as_ref().map(BoxIndex::extent)
    }

    /// Returns all unedited detections.
    pub fn unedited(&self) -> impl Iterator<Item = Detection<'_>> {
        (0..self.slots()).filter_map(|slot| self.detection(slot))
    }

    fn detection(&self, slot: u32) -> Option<Detection<'_>> {
        (self.changed.is_empty() || !self.changed.contains_key(&slot))
            .then_some(Detection { detections: self, slot })
    }

    /// Returns the memory that the detections take, in bytes, without templates and edited ones.
    pub fn bytes(&self) -> usize {
        let Stored { ids, by_id, ends, records, index } = &*self.stored;
        size_of_val(&**ids)
            + size_of_val(&**by_id)
            + size_of_val(&**ends)
            + records.len()
            + index.as_ref().map_or(0, BoxIndex::bytes)
            + size_of_val(&**self.template_of)
    }

    /// Returns the slots whose detection differs from that in `other`; `None` if they are more than `most`, or
    /// stored in another form.
    pub(super) fn differences(&self, other: &Self, most: usize) -> Option<Vec<u32>> {
        if !Arc::ptr_eq(&self.stored, &other.stored) {
            return None;
        }
        let edited =
            self.changed.keys().chain(other.changed.keys().filter(|slot| !self.changed.contains_key(slot)));
        let is_same = |slot: &&u32| match (self.changed.get(slot), other.changed.get(slot)) {
            (Some(Some(one)), Some(Some(other))) => Arc::ptr_eq(one, other),
            (Some(None), Some(None)) => true,
            _ => false,
        };
        let mut different: Vec<u32> = edited.filter(|slot| !is_same(slot)).copied().take(most + 1).collect();
        if !Arc::ptr_eq(&self.template_of, &other.template_of) {
            let revised = (0..self.slots()).filter(|slot| {
                self.template_of[*slot as usize] != other.template_of[*slot as usize]
                    && !self.changed.contains_key(slot)
                    && !other.changed.contains_key(slot)
            });
            different.extend(revised.take(most + 1));
        }
        (different.len() <= most).then_some(different)
    }

    /// Removes the detection of a slot, replaces it, or restores it as it was stored (`None`).
    pub(super) fn set(&mut self, slot: u32, to: Option<Option<Arc<Annotation>>>) {
        let is_removed = |changed: Option<&Option<Arc<Annotation>>>| matches!(changed, Some(None));
        self.removed -= usize::from(is_removed(self.changed.get(&slot)));
        self.removed += usize::from(is_removed(to.as_ref()));
        match to {
            Some(to) => _ = self.changed.insert(slot, to),
            None => _ = self.changed.remove(&slot),
        }
    }

    /// Removes the detections of many slots, given in ascending order, at once.
    pub(super) fn remove(&mut self, slots: &[u32]) {
        self.changed.append(&mut slots.iter().map(|slot| (*slot, None)).collect());
        self.removed = self.changed.values().filter(|changed| changed.is_none()).count();
    }

    /// Returns the slots whose unedited detection has one of the templates for which `is_meant` is true, and
    /// those of edited detections for which it is.
    pub(super) fn slots_where(&self, is_meant: impl Fn(&Annotation) -> bool) -> Vec<u32> {
        let meant: Vec<bool> = self.templates.iter().map(|template| is_meant(template)).collect();
        if !meant.contains(&true) && self.changed.is_empty() {
            return Vec::new();
        }
        let of_slot = |slot: &u32| match self.changed.get(slot) {
            Some(changed) => changed.as_ref().is_some_and(|one| is_meant(one)),
            None => meant[self.template_of[*slot as usize] as usize],
        };
        (0..self.slots()).filter(of_slot).collect()
    }

    /// Changes what is in the template of detections: class, colour, lock or parent. Returns whether any of them is
    /// another one afterwards.
    pub(super) fn revise(&mut self, slots: &[u32], change: impl Fn(&mut Annotation)) -> bool {
        let template_of = Arc::make_mut(&mut self.template_of);
        let templates = Arc::make_mut(&mut self.templates);
        let mut known = KnownTemplates::of(templates);
        let mut revised: HashMap<u32, u32> = HashMap::new();
        let mut is_changed = false;
        let mut revise = |old: u32| {
            let mut template = templates[old as usize].as_ref().clone();
            change(&mut template);
            if template == *templates[old as usize] {
                return old;
            }
            known.find(templates, &template).unwrap_or_else(|| known.add(templates, template))
        };
        for slot in slots {
            match self.changed.get_mut(slot) {
                Some(Some(one)) => {
                    let before = one.clone();
                    change(Arc::make_mut(one));
                    is_changed |= *one != before;
                }
                Some(None) => {}
                None => {
                    let of_slot = &mut template_of[*slot as usize];
                    let new = *revised.entry(*of_slot).or_insert_with_key(|old| revise(*old));
                    is_changed |= new != *of_slot;
                    *of_slot = new;
                }
            }
        }
        is_changed
    }
}

/// A detection that has not been edited.
#[derive(Clone, Copy)]
pub struct Detection<'a> {
    detections: &'a Detections,
    slot: u32,
}

impl<'a> Detection<'a> {
    /// Returns its ID.
    pub fn id(&self) -> Uuid {
        self.detections.id(self.slot)
    }

    /// Returns the index of its template in [`Detections::templates`].
    pub fn template_index(&self) -> usize {
        self.detections.template_of[self.slot as usize] as usize
    }

    /// Returns what it has in common with others. Positions and values are empty.
    pub fn template(&self) -> &'a Annotation {
        self.detections.template(self.slot)
    }

    /// Returns its measured value at an index of its template's measurements.
    pub fn measured(&self, index: usize) -> Option<f64> {
        let count = self.template().measurements.len();
        let mut record = self.detections.record(self.slot);
        (index < count).then(|| (0..=index).map(|_| record.number()).last())?
    }

    /// Passes its outlines, or its points, to `draw`, with whether they enclose an area. `ring` is scratch
    /// space.
    pub fn each_outline(&self, ring: &mut Ring, draw: impl FnMut(&[Level0Point], bool)) {
        let mut record = self.detections.record(self.slot);
        for _ in 0..self.template().measurements.len() {
            record.number();
        }
        record.each_outline(ring, draw);
    }

    /// Returns the box around its outlines or points; `None` if it has none. `ring` is scratch space.
    pub fn bounds(&self, ring: &mut Ring) -> Option<Bounds> {
        let mut around: Option<Bounds> = None;
        self.each_outline(ring, |points, _| {
            let corners = around.map(|known| [known.min, known.max]);
            around = Bounds::around(points.iter().chain(corners.iter().flatten()));
        });
        around
    }

    /// Returns the centre of the box around its outlines or points; `None` if it has none. `ring` is scratch space.
    pub fn center(&self, ring: &mut Ring) -> Option<Level0Point> {
        self.bounds(ring).map(|around| around.center())
    }

    /// Returns it as an annotation of its own.
    pub fn unpacked(&self) -> Annotation {
        self.detections.unpacked(self.slot)
    }
}

/// Returns a template's geometry: without positions.
fn hollow(geometry: &Geometry) -> Geometry {
    Geometry::read(Shape::Points(Vec::new()), None, geometry.members.clone())
}

#[cfg(test)]
mod tests {
    use super::super::json::RawJson;
    use super::super::{AnnotationClass, ObjectKind, Polygon};
    use super::*;

    fn at(x: f64, y: f64) -> Level0Point {
        Level0Point::new(x, y)
    }

    /// A cell of one of three classes, somewhere in a square of 1000 pixels.
    fn cell(number: usize) -> Annotation {
        let (x, y) = ((number * 37 % 1000) as f64 + 0.25, (number * 91 % 1000) as f64);
        let ring = |r: f64| {
            (0..8).map(move |k| {
                let angle = f64::from(k) * std::f64::consts::FRAC_PI_4;
                at(((x + r * angle.cos()) * 100.0).round() / 100.0, y + r * angle.sin())
            })
        };
        let class = AnnotationClass::named(["Tumor", "Stroma", "Immune cells"][number % 3]);
        let mut one = Annotation::new(Shape::Polygons(vec![Polygon::new(ring(5.0).collect())]), Some(class));
        one.kind = ObjectKind::Cell;
        one.nucleus = Some(Geometry::new(Shape::polygon(ring(2.0).collect())));
        one.measurements = vec![("Area".to_owned(), number as f64 / 7.0), ("Odd".to_owned(), f64::INFINITY)];
        one.metadata = vec![("source".to_owned(), RawJson::from("segmenter"))];
        one
    }

    fn packed(cells: &[Annotation]) -> Detections {
        let mut builder = Builder::default();
        cells.iter().for_each(|cell| assert!(builder.push(cell)));
        builder.finish()
    }

    #[test]
    fn detections_are_found_by_id_by_place_and_by_order_and_are_what_they_were() {
        let cells: Vec<Annotation> = (0..2000).map(cell).collect();
        let detections = packed(&cells);
        assert_eq!(detections.templates().len(), 3);
        assert!(detections.iter().map(|one| one.as_ref().clone()).eq(cells.iter().cloned()));
        for (slot, cell) in cells.iter().enumerate().step_by(97) {
            assert_eq!(detections.slot_of(cell.id), Some(slot as u32));
            assert_eq!(detections.detection(slot as u32).unwrap().measured(0), Some(slot as f64 / 7.0));
        }
        assert_eq!(detections.slot_of(Uuid::nil()), None);
        let area = Bounds::between(at(200.0, 300.0), at(260.0, 310.0));
        let touching = |cell: &&Annotation| cell.bounds().unwrap().intersects(&area);
        let expected: Vec<Uuid> = cells.iter().filter(touching).map(|cell| cell.id).collect();
        let found: Vec<Uuid> = detections.within(area).iter().map(Detection::id).collect();
        assert!(!expected.is_empty());
        assert_eq!(found, expected);
    }

    #[test]
    fn edits_of_single_slots_and_of_templates_do_not_disturb_others() {
        let cells: Vec<Annotation> = (0..10).map(cell).collect();
        let mut detections = packed(&cells);
        detections.set(2, Some(None));
        detections.set(4, Some(Some(Arc::new(cell(77)))));
        assert_eq!((detections.len(), detections.slots()), (9, 10));
        assert_eq!(detections.slot_of(cells[2].id), None);
        let order: Vec<_> = (0..9).map(|index| detections.slot_at(index).unwrap()).collect();
        assert_eq!(order, [0, 1, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(detections.slot_at(9), None);
        assert_eq!(detections.within(Bounds::between(at(0.0, 0.0), at(1000.0, 1000.0))).len(), 8);

        let before = detections.clone();
        let stroma = |one: &Annotation| one.class.as_ref().is_some_and(|class| class.name == "Stroma");
        let slots = detections.slots_where(stroma);
        assert_eq!(slots, [1, 7], "slot 4 was a stroma cell before it was edited");
        assert!(detections.revise(&slots, |one| one.locked = true));
        assert!(!detections.revise(&slots, |one| one.locked = true), "they are locked already");
        assert!(detections.get(1).unwrap().locked && !before.get(1).unwrap().locked);
        assert!(!detections.get(0).unwrap().locked && !detections.get(4).unwrap().locked);
        detections.set(2, None);
        assert_eq!(detections.get(2).as_deref(), Some(&cells[2]));
        assert_eq!(detections.len(), 10);

        detections.set(3, Some(None));
        detections.remove(&[3, 4, 9]);
        assert_eq!(detections.len(), 7, "one was removed before, and one edited");
        assert!([3, 4, 9].iter().all(|slot| detections.get(*slot).is_none()));
        detections.set(9, None);
        assert_eq!((detections.len(), detections.get(9).as_deref()), (8, Some(&cells[9])));
    }

    #[test]
    fn moved_detections_are_found_where_they_are_and_take_no_more_memory() {
        let cells: Vec<Annotation> = (0..2000).map(cell).collect();
        let detections = packed(&cells);
        let moved = detections.moved(5000.0, -3.5).unwrap();
        let expected = cells.iter().map(|cell| {
            let mut cell = cell.clone();
            cell.translate(5000.0, -3.5);
            cell
        });
        assert!(moved.iter().map(|one| one.as_ref().clone()).eq(expected));
        let extent = moved.extent().unwrap();
        assert!(extent.min.x > 4990.0 && extent.min.y < 0.0, "{extent:?}");
        let area = Bounds::between(at(200.0, 300.0), at(260.0, 310.0));
        let there = Bounds::between(at(5200.0, 296.5), at(5260.0, 306.5));
        let ids = |found: Vec<Detection<'_>>| found.iter().map(Detection::id).collect::<Vec<_>>();
        assert_eq!(ids(moved.within(there)), ids(detections.within(area)));
        assert_eq!(moved.slot_of(cells[7].id), Some(7));
        let back = moved.moved(-5000.0, 3.5).unwrap();
        assert!(back.iter().map(|one| one.id).eq(cells.iter().map(|cell| cell.id)));
        let mut edited = detections.clone();
        edited.set(2, Some(None));
        assert!(edited.moved(1.0, 1.0).is_none());
    }

    #[test]
    fn a_detection_of_sixteen_corners_takes_less_than_two_hundred_bytes() {
        let ring = |x: f64| {
            (0..16).map(move |k| {
                let angle = f64::from(k) / 16.0 * std::f64::consts::TAU;
                at(((x + 3.0 * angle.cos()) * 100.0).round() / 100.0, (300.0 * angle.sin()).round() / 100.0)
            })
        };
        let mut builder = Builder::default();
        for number in 0..1000 {
            let mut one = Annotation::new(Shape::polygon(ring(f64::from(number) * 50.0).collect()), None);
            one.kind = ObjectKind::Detection;
            one.measurements = vec![("Area".to_owned(), 31.73), ("Mean".to_owned(), 0.42)];
            assert!(builder.push(&one));
        }
        let detections = builder.finish();
        let bytes = detections.bytes();
        assert!(bytes < 200 * 1000, "{bytes} bytes for 1000");
    }
}
