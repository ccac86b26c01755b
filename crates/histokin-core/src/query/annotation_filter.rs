//! Annotations in queries: as examples, and as a restriction on where matches may lie.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::{Deserialize, Serialize};

use super::Region;
use crate::annotation::{Annotation, AnnotationSet, Nesting, Shape};
use crate::descriptors::{DescriptorSet, EncoderId};
use crate::geometry::Level0Point;
use crate::index::{RowMask, Snapshot};
use crate::slide::SlideId;

/// Annotations by slide, for the slides whose annotations are loaded.
#[derive(Debug, Clone, Default)]
pub struct AnnotationsBySlide {
    sets: HashMap<SlideId, Arc<AnnotationSet>>,
    masks: Arc<KnownMasks>,
}

impl AnnotationsBySlide {
    /// Returns no annotations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses the masks that earlier queries have made, and keeps new ones there.
    pub fn with_masks(self, masks: Arc<KnownMasks>) -> Self {
        Self { masks, ..self }
    }

    /// Returns the annotations of a slide.
    pub fn get(&self, slide: &SlideId) -> Option<&Arc<AnnotationSet>> {
        self.sets.get(slide)
    }

    /// Returns the annotations of all slides, in no particular order.
    pub fn values(&self) -> impl Iterator<Item = &Arc<AnnotationSet>> {
        self.sets.values()
    }

    /// Adds the annotations of a slide, or replaces them.
    pub fn insert(&mut self, slide: SlideId, annotations: Arc<AnnotationSet>) {
        self.sets.insert(slide, annotations);
    }
}

impl FromIterator<(SlideId, Arc<AnnotationSet>)> for AnnotationsBySlide {
    fn from_iter<T: IntoIterator<Item = (SlideId, Arc<AnnotationSet>)>>(sets: T) -> Self {
        Self { sets: sets.into_iter().collect(), masks: Arc::default() }
    }
}

/// The rows within annotations, of the last filter by which each slide was searched with each encoder. With very many annotations they take
/// longer to find than the matches, and most queries use the same ones.
#[derive(Debug, Default)]
pub struct KnownMasks(Mutex<HashMap<(SlideId, EncoderId), KnownMask>>);

#[derive(Debug)]
struct KnownMask {
    /// Identity of the descriptors.
    set: Weak<DescriptorSet>,
    /// Identity of the annotations: each change makes others.
    annotations: Weak<AnnotationSet>,
    filter: AnnotationFilter,
    mask: Arc<RowMask>,
}

impl KnownMasks {
    /// Returns the mask of `set`, which `make` makes if it is not known.
    fn mask(
        &self,
        (set, annotations): (&Arc<DescriptorSet>, &Arc<AnnotationSet>),
        filter: &AnnotationFilter,
        make: impl FnOnce() -> RowMask,
    ) -> Arc<RowMask> {
        let key = (set.header.slide_id.clone(), set.header.recipe.encoder_id.clone());
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().get(&key)
            && std::ptr::eq(known.set.as_ptr(), Arc::as_ptr(set))
            && std::ptr::eq(known.annotations.as_ptr(), Arc::as_ptr(annotations))
            && known.filter == *filter
        {
            return known.mask.clone();
        }
        let mask = Arc::new(make());
        let (set, annotations) = (Arc::downgrade(set), Arc::downgrade(annotations));
        let made = KnownMask { set, annotations, filter: filter.clone(), mask: mask.clone() };
        known().insert(key, made);
        mask
    }
}

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
        let mask = |set: &Arc<DescriptorSet>| {
            let of_slide = annotations.get(&set.header.slide_id)?;
            Some(annotations.masks.mask((set, of_slide), self, || self.mask(set, of_slide)))
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::{DescriptorHeader, Recipe};
    use crate::stain::StainSetting;
    use crate::tiling::{TileGrid, TileIndex, TileSettings};

    fn descriptors() -> Arc<DescriptorSet> {
        let grid = TileGrid {
            tile_px: 224,
            tile_level0: 224,
            tile_level0_y: 224,
            effective_mpp: 1.0,
            columns: 2,
            rows: 1,
        };
        let recipe = Recipe {
            encoder_id: EncoderId("test".to_owned()),
            encoder_name: "test".to_owned(),
            tiles: TileSettings::default(),
            stain: StainSetting::None,
        };
        let header = DescriptorHeader::new(SlideId("a".to_owned()), recipe, 1, &grid, 2);
        let rows: [(TileIndex, &[f32]); 2] = [(TileIndex(0), &[0.0]), (TileIndex(1), &[1.0])];
        Arc::new(DescriptorSet::from_rows(header, &rows, 0))
    }

    #[test]
    fn a_mask_is_made_once_until_the_filter_the_annotations_or_the_descriptors_change() {
        let masks = KnownMasks::default();
        let (set, annotations) = (descriptors(), Arc::new(AnnotationSet::default()));
        let made = std::cell::Cell::new(0);
        let mask = |set: &Arc<DescriptorSet>, annotations: &Arc<AnnotationSet>, filter: &AnnotationFilter| {
            masks.mask((set, annotations), filter, || {
                made.set(made.get() + 1);
                filter.mask(set, annotations)
            })
        };
        let first = mask(&set, &annotations, &AnnotationFilter::Annotated);
        assert!(Arc::ptr_eq(&first, &mask(&set, &annotations, &AnnotationFilter::Annotated)));
        assert_eq!(made.get(), 1);
        mask(&set, &annotations, &AnnotationFilter::Unannotated);
        assert_eq!(made.get(), 2);
        mask(&set, &Arc::new(AnnotationSet::default()), &AnnotationFilter::Unannotated);
        assert_eq!(made.get(), 3);
        mask(&descriptors(), &annotations, &AnnotationFilter::Unannotated);
        assert_eq!(made.get(), 4);
    }
}
