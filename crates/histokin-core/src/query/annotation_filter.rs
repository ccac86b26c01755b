//! Annotations in queries: as examples, and as a restriction on where matches may lie.

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

/// Annotations by slide, for the slides whose annotations are loaded.
pub type AnnotationsBySlide = HashMap<SlideId, Arc<AnnotationSet>>;

/// Restriction of matches by annotations. The position of a tile is that of its centre.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnnotationFilter {
    /// No restriction.
    #[default]
    Anywhere,
    /// Within an annotation.
    Annotated,
    /// Outside all annotations.
    Unannotated,
    /// Within an annotation of this class.
    Class(String),
}

impl Region {
    /// Returns the areas of annotations; `None` when none of them encloses an area.
    pub fn of_annotations<'a>(annotations: impl IntoIterator<Item = &'a Annotation>) -> Option<Self> {
        Self::of_shapes(annotations.into_iter().map(Annotation::shape))
    }

    /// Returns the areas of several [`Region::Areas`] as one region; `None` when there are none.
    pub fn of_regions<'a>(regions: impl IntoIterator<Item = &'a Region>) -> Option<Self> {
        let areas = regions.into_iter().flat_map(|region| match region {
            Self::Areas(areas) => areas.clone(),
            Self::Rect(_) | Self::Outline(_) => Vec::new(),
        });
        let areas: Vec<Vec<Vec<Level0Point>>> = areas.collect();
        (!areas.is_empty()).then_some(Self::Areas(areas))
    }

    /// Returns the areas of several shapes as one region; `None` when no shape encloses an area.
    pub fn of_shapes<'a>(shapes: impl IntoIterator<Item = &'a Shape>) -> Option<Self> {
        let polygons = shapes.into_iter().flat_map(|shape| shape.polygons().into_owned());
        let areas: Vec<Vec<Vec<Level0Point>>> =
            polygons.map(|polygon| polygon.rings().cloned().collect()).collect();
        (!areas.is_empty()).then_some(Self::Areas(areas))
    }
}

/// Returns the positions of all point annotations.
pub fn points_of<'a>(
    annotations: impl IntoIterator<Item = &'a Annotation>,
) -> impl Iterator<Item = Level0Point> {
    annotations.into_iter().flat_map(|one| match one.shape() {
        Shape::Points(points) => points.clone(),
        _ => Vec::new(),
    })
}

impl AnnotationFilter {
    /// Returns, for each set of the index, the rows that may be matches; `None` where all of them may.
    pub(super) fn rows(
        &self,
        index: &Snapshot,
        annotations: &AnnotationsBySlide,
    ) -> Vec<Option<Arc<RowMask>>> {
        if *self == Self::Anywhere {
            return Vec::new();
        }
        // Slides without loaded annotations come from the department's archive, which has already filtered
        // them.
        let mask =
            |set: &Arc<DescriptorSet>| Some(Arc::new(self.mask(set, annotations.get(&set.header.slide_id)?)));
        index.sets().iter().map(mask).collect()
    }

    fn mask(&self, set: &DescriptorSet, annotations: &AnnotationSet) -> RowMask {
        let is_chosen = |one: &Annotation| match self {
            Self::Class(name) => one.class.as_ref().is_some_and(|class| class.name == *name),
            _ => true,
        };
        let chosen = annotations.matching(is_chosen);
        let chosen = || chosen.iter().map(|one| &**one);
        let mut is_in = vec![false; set.len()];
        let region = match self {
            // The innermost of nested annotations decides the class.
            Self::Class(_) => {
                let (nesting, least) = (Nesting::of(annotations), set.header.tile_area_px2());
                let shapes: Vec<Cow<Shape>> = chosen().map(|one| nesting.own_area(one, least)).collect();
                Region::of_shapes(shapes.iter().map(|shape| &**shape))
            }
            _ => Region::of_annotations(chosen()),
        };
        if let Some(region) = region {
            region.rows(set).into_iter().for_each(|row| is_in[row.0 as usize] = true);
        }
        // A point selects the tile that contains it.
        for row in points_of(chosen()).filter_map(|point| set.row_at(point)) {
            is_in[row.0 as usize] = true;
        }
        if *self == Self::Unannotated {
            is_in.iter_mut().for_each(|is_in| *is_in ^= true);
        }
        RowMask::new(is_in)
    }
}
