//! Finding detections by the place and the size of their bounding boxes.

use geo_index::rtree::sort::HilbertSort;
use geo_index::rtree::{Node, RTree, RTreeBuilder, RTreeIndex};

use crate::annotation::Bounds;
use crate::geometry::Level0Point;

/// The bounding boxes of all slots in level-0 pixels, rounded outwards; at least one.
pub struct BoxIndex(RTree<f32>);

impl BoxIndex {
    /// Makes the index of boxes by [`rounded_outwards`], in the order of their slots; `None` if there are none.
    pub fn of(boxes: &[[f32; 4]]) -> Option<Self> {
        (!boxes.is_empty()).then(|| {
            let mut tree = RTreeBuilder::<f32>::new(boxes.len() as u32);
            for [left, top, right, bottom] in boxes {
                tree.add(*left, *top, *right, *bottom);
            }
            Self(tree.finish::<HilbertSort>())
        })
    }

    /// Returns the smallest rectangle around all boxes.
    pub fn extent(&self) -> Bounds {
        bounds_of(&self.0.root())
    }

    /// Passes the slots whose boxes touch `area` and are at least `least_px` level-0 pixels wide or high to `found`, with
    /// their boxes, in no particular order.
    pub fn search(&self, area: Bounds, least_px: f64, found: &mut impl FnMut(u32, Bounds)) {
        search_below(&self.0.root(), area, least_px, found);
    }

    /// Copies the boxes into `boxes`, which has one for each slot.
    pub fn copy_to(&self, boxes: &mut [[f32; 4]]) {
        let (slots, known) = (self.0.indices(), self.0.boxes().as_chunks::<4>().0);
        // The boxes of inner nodes follow.
        for (place, around) in known.iter().take(boxes.len()).enumerate() {
            boxes[slots.get(place)] = *around;
        }
    }

    /// Returns its memory in bytes.
    pub fn bytes(&self) -> usize {
        AsRef::<[u8]>::as_ref(&self.0).len()
    }
}

fn search_below(
    node: &Node<'_, f32, RTree<f32>>,
    area: Bounds,
    least_px: f64,
    found: &mut impl FnMut(u32, Bounds),
) {
    let around = bounds_of(node);
    // All boxes below lie within this one: none of them is larger, or touches what this one does not touch.
    if !around.intersects(&area) || around.width().max(around.height()) < least_px {
        return;
    }
    if let Some(slot) = node.insertion_index() {
        found(slot, around);
    }
    for child in node.children().into_iter().flatten() {
        search_below(&child, area, least_px, found);
    }
}

fn bounds_of(node: &Node<'_, f32, RTree<f32>>) -> Bounds {
    let corner = |x: f32, y: f32| Level0Point::new(f64::from(x), f64::from(y));
    Bounds { min: corner(node.min_x(), node.min_y()), max: corner(node.max_x(), node.max_y()) }
}

/// Returns left, top, right and bottom of a rectangle that contains the given one.
pub fn rounded_outwards(Bounds { min, max }: Bounds) -> [f32; 4] {
    [
        (min.x as f32).next_down(),
        (min.y as f32).next_down(),
        (max.x as f32).next_up(),
        (max.y as f32).next_up(),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use crate::annotation::packing::Packing;
    use crate::annotation::{Annotation, AnnotationSet, Bounds, Edit, ObjectKind, Shape};
    use crate::geometry::Level0Point;

    /// Wide and high rectangles of many sizes, few of which are large. No corner is exact as f32.
    fn rectangles(count: usize) -> Vec<Annotation> {
        let rectangle = |number: usize| {
            let min = Level0Point::new((number * 37 % 3001) as f64 + 0.1, (number * 91 % 2003) as f64 + 0.7);
            let longer = if number.is_multiple_of(100) { number % 457 } else { 2 + number % 9 };
            let longer = longer as f64;
            let (width, height) = if number.is_multiple_of(3) { (longer, 1.0) } else { (2.0, longer) };
            let max = Level0Point::new(min.x + width, min.y + height);
            let mut one = Annotation::new(Shape::Rectangle(Bounds { min, max }), None);
            one.kind = ObjectKind::Detection;
            one
        };
        (0..count).map(rectangle).collect()
    }

    fn side(one: &Annotation) -> f64 {
        one.bounds().map_or(0.0, |of| of.width().max(of.height()))
    }

    #[test]
    fn large_detections_are_found_by_a_point_after_parts_were_joined_moved_and_edited() {
        let all = rectangles(2600);
        let mut packing = Packing::in_parts();
        let parts = all.iter().filter_map(|one| packing.push(Arc::new(one.clone()))).count();
        assert_eq!(parts, 1, "two are joined");
        let (mut packed, mut plain) = (AnnotationSet::default(), AnnotationSet::new(all.iter().cloned()));
        packing.finish(&mut packed);
        assert_eq!((packed.detections().len(), plain.detections().len()), (all.len(), 0));
        let check = |packed: &AnnotationSet, plain: &AnnotationSet, edited: Option<Uuid>| {
            let mut found = 0;
            for number in 0..300_usize {
                let at = Level0Point::new((number * 131 % 3000) as f64, (number * 57 % 2000) as f64);
                let smallest = (number * 7 % 400) as f64 + 0.5;
                let reach = 1.5 * smallest;
                // Points and what is edited are found at any size.
                let is_sought =
                    |one: &Annotation| smallest < 6.0 || side(one) >= smallest || edited == Some(one.id);
                let expected = plain.hit(at, reach, is_sought);
                assert_eq!(packed.hit(at, reach, |_| true), expected, "{at:?} {reach}");
                found += usize::from(expected.is_some());
            }
            assert!((50..250).contains(&found), "{found} of 300");
        };
        check(&packed, &plain, None);
        packed.translate(40.25, -17.5);
        plain.translate(40.25, -17.5);
        check(&packed, &plain, None);
        let largest = all.iter().max_by(|a, b| side(a).total_cmp(&side(b))).unwrap().id;
        let (min, max) = (Level0Point::new(1000.25, 900.0), Level0Point::new(1301.0, 1203.5));
        let enlarged = all[1].id;
        let reshaped = Edit::Reshape { id: enlarged, shape: Shape::Rectangle(Bounds { min, max }) };
        for edit in [Edit::Remove(vec![largest]), reshaped] {
            assert!(packed.apply(edit.clone()).is_some() && plain.apply(edit).is_some());
        }
        check(&packed, &plain, Some(enlarged));
    }

    #[test]
    fn a_rectangle_encloses_exactly_what_lies_within_it() {
        let all = rectangles(1500);
        let packed = AnnotationSet::packed(all.iter().cloned());
        let plain = AnnotationSet::new(all.iter().cloned());
        assert_eq!((packed.detections().len(), plain.detections().len()), (all.len(), 0));
        for (one, other) in all.iter().zip(&all[700..]).step_by(17) {
            let corners = [one, other].map(|one| one.bounds().unwrap()).map(|of| [of.min, of.max]);
            let area = Bounds::around(corners.iter().flatten()).unwrap();
            let within = packed.enclosed_by(area);
            assert!(within.contains(&one.id) && within.contains(&other.id), "on its sides");
            assert_eq!(within, plain.enclosed_by(area));
            // A part of a pixel that an f32 cannot tell.
            let smaller = area.grown(-1e-6);
            let within = packed.enclosed_by(smaller);
            assert!(!within.contains(&one.id) && !within.contains(&other.id), "beyond its sides");
            assert_eq!(within, plain.enclosed_by(smaller));
        }
    }
}
