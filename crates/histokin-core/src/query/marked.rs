//! Annotations in questions: as what is looked for, and as where matches may lie.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Region;
use crate::annotation::{Annotation, AnnotationSet, Nesting, Shape};
use crate::descriptors::DescriptorSet;
use crate::geometry::Level0Point;
use crate::index::{RowMask, Snapshot};
use crate::slide::SlideId;

/// The annotations of slides, as far as they are known.
pub type Marks = HashMap<SlideId, Arc<AnnotationSet>>;

/// Where matches may lie, as annotations tell. A tile lies where its centre does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Marked {
    #[default]
    Anywhere,
    /// Within an annotation.
    Annotated,
    /// Within none.
    Unannotated,
    /// Within an annotation of this class.
    Class(String),
}

impl Region {
    /// The areas of annotations; `None` when none of them has one.
    pub fn of_annotations<'a>(annotations: impl IntoIterator<Item = &'a Annotation>) -> Option<Self> {
        Self::of_shapes(annotations.into_iter().map(Annotation::shape))
    }

    /// All areas of several regions of areas; nothing where there is none.
    pub fn of_regions<'a>(regions: impl IntoIterator<Item = &'a Region>) -> Option<Self> {
        let areas = regions.into_iter().flat_map(|region| match region {
            Self::Areas(areas) => areas.clone(),
            Self::Rect(_) | Self::Outline(_) => Vec::new(),
        });
        let areas: Vec<Vec<Vec<Level0Point>>> = areas.collect();
        (!areas.is_empty()).then_some(Self::Areas(areas))
    }

    /// What areas cover together; nothing where there is no area among the shapes.
    pub fn of_shapes<'a>(shapes: impl IntoIterator<Item = &'a Shape>) -> Option<Self> {
        let polygons = shapes.into_iter().flat_map(|shape| shape.polygons().into_owned());
        let areas: Vec<Vec<Vec<Level0Point>>> =
            polygons.map(|polygon| polygon.rings().cloned().collect()).collect();
        (!areas.is_empty()).then_some(Self::Areas(areas))
    }
}

/// The places that annotations mark as points.
pub fn points_of<'a>(
    annotations: impl IntoIterator<Item = &'a Annotation>,
) -> impl Iterator<Item = Level0Point> {
    annotations.into_iter().flat_map(|one| match one.shape() {
        Shape::Points(points) => points.clone(),
        _ => Vec::new(),
    })
}

impl Marked {
    /// For each set of the index the rows that may be matches, where not all of them may.
    pub(super) fn rows(&self, index: &Snapshot, marks: &Marks) -> Vec<Option<Arc<RowMask>>> {
        if *self == Self::Anywhere {
            return Vec::new();
        }
        // Slides whose annotations are not known here are a department archive's, which has chosen by itself.
        let mask =
            |set: &Arc<DescriptorSet>| Some(Arc::new(self.mask(set, marks.get(&set.header.slide_id)?)));
        index.sets().iter().map(mask).collect()
    }

    fn mask(&self, set: &DescriptorSet, marks: &AnnotationSet) -> RowMask {
        let is_meant = |one: &&Arc<Annotation>| match self {
            Self::Class(name) => one.class.as_ref().is_some_and(|class| class.name == *name),
            _ => true,
        };
        let meant = || marks.iter().filter(is_meant).map(|one| &**one);
        let mut is_in = vec![false; set.len()];
        let region = match self {
            // Of nested annotations the innermost class counts.
            Self::Class(_) => {
                let (nesting, least) = (Nesting::of(marks), set.header.tile_area_px2());
                let shapes: Vec<Cow<Shape>> = meant().map(|one| nesting.own_area(one, least)).collect();
                Region::of_shapes(shapes.iter().map(|shape| &**shape))
            }
            _ => Region::of_annotations(meant()),
        };
        if let Some(region) = region {
            region.rows(set).into_iter().for_each(|row| is_in[row.0 as usize] = true);
        }
        // A point marks the tile that it lies in.
        for row in points_of(meant()).filter_map(|point| set.row_at(point)) {
            is_in[row.0 as usize] = true;
        }
        if *self == Self::Unannotated {
            is_in.iter_mut().for_each(|is_in| *is_in ^= true);
        }
        RowMask::new(is_in)
    }
}
