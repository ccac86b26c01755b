//! Camelyon16's rule: areas of group `_2` within tumours are not tumour.

use uuid::Uuid;

use super::{AsapOrigin, HOLE_GROUP, text_from_color};
use crate::annotation::{Annotation, AnnotationSet, Edit, Polygon, Shape, means_tumour};

/// Cuts the areas of group `_2` out of the tumours that they overlap, and returns their number. Those that
/// overlap no tumour remain annotations.
pub fn cut_camelyon16_holes(set: &mut AnnotationSet) -> usize {
    let class_is = |one: &Annotation, is: &dyn Fn(&str) -> bool| {
        one.class.as_ref().is_some_and(|class| is(&class.name)) && one.shape().is_area()
    };
    let ids = |set: &AnnotationSet, is: &dyn Fn(&str) -> bool| -> Vec<Uuid> {
        set.objects().filter(|one| class_is(one, is)).map(|one| one.id).collect()
    };
    let tumours = ids(set, &means_tumour);
    let mut used = Vec::new();
    for hole in ids(set, &|name| name == HOLE_GROUP) {
        let Some(hole) = set.get(hole) else { continue };
        for tumour in &tumours {
            let Some(whole) = set.get(*tumour) else { continue };
            let Some(cut) = without(&whole, &hole) else { continue };
            used.push(hole.id);
            // A tumour that is cut out completely is removed.
            set.apply(if cut.shape().is_empty() {
                Edit::Remove(vec![*tumour])
            } else {
                Edit::Add(vec![cut])
            });
        }
    }
    used.dedup();
    set.apply(Edit::Remove(used.clone()));
    used.len()
}

/// Returns `whole` with `hole` cut out; `None` if they do not overlap.
fn without(whole: &Annotation, hole: &Annotation) -> Option<Annotation> {
    if !whole.shape().bounds()?.intersects(&hole.shape().bounds()?) {
        return None;
    }
    let mut cut = whole.clone();
    let mut polygons = whole.shape().polygons().into_owned();
    let rings = hole.shape().polygons();
    // Most holes lie completely inside one tumour: then no vertex changes.
    if let [Polygon { exterior, holes }] = rings.as_ref()
        && holes.is_empty()
        && let [polygon] = polygons.as_mut_slice()
        && exterior.iter().all(|corner| polygon.contains(*corner))
        && hole.shape().difference(whole.shape()).area_px2().is_some_and(|outside| outside < 1e-6)
    {
        polygon.holes.push(exterior.clone());
        cut.set_shape(Shape::Polygons(polygons));
        let color = hole.asap.as_ref().and_then(|origin| origin.color.clone());
        let color = color.unwrap_or_else(|| text_from_color(hole.drawn_color()));
        let origin = cut.asap.get_or_insert_with(AsapOrigin::default);
        origin.holes.push((hole.name.clone().unwrap_or_default(), color));
        return Some(cut);
    }
    let rest = whole.shape().difference(hole.shape());
    let area = |shape: &Shape| shape.area_px2().unwrap_or(0.0);
    if area(whole.shape()) - area(&rest) < 1e-6 {
        return None;
    }
    cut.set_shape(rest);
    Some(cut)
}
