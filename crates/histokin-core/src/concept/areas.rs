//! Where a concept is found: tiles within its threshold, as areas on slides.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::{Concept, ConceptError, TileArea};
use crate::annotation::{Polygon, Shape};
use crate::descriptors::{DescriptorSet, Row};
use crate::geometry::{Level0Point, Level0Rect};
use crate::index::Snapshot;
use crate::slide::SlideId;

/// What a concept finds on one slide.
#[derive(Debug, Clone, PartialEq)]
pub struct Areas {
    /// The slide.
    pub slide: SlideId,
    /// Tiles within the threshold, in the order of rows.
    pub rows: Vec<Row>,
    /// Number of tiles within the threshold, and the area that they cover together.
    pub found: TileArea,
    /// Number of embedded tiles, and the sum of their areas.
    pub of: TileArea,
    /// The tiles within the threshold as one shape in level-0 pixels; tiles that touch are merged.
    pub shape: Shape,
}

impl Areas {
    /// Returns the share (0 to 1) of the slide's tiles that are within the threshold.
    pub fn share(&self) -> f64 {
        self.found.tiles as f64 / self.of.tiles.max(1) as f64
    }
}

/// What a concept finds on all slides of one patient.
#[derive(Debug, Clone, PartialEq)]
pub struct PatientAreas {
    /// The patient.
    pub patient: String,
    /// Number of slides.
    pub slides: usize,
    /// Tiles within the threshold.
    pub found: TileArea,
    /// All embedded tiles.
    pub of: TileArea,
}

/// Adds up the areas of each patient, the largest first. Slides without a known patient are left out.
pub fn by_patient(areas: &[Areas], patient: impl Fn(&SlideId) -> Option<String>) -> Vec<PatientAreas> {
    let mut patients: BTreeMap<String, PatientAreas> = BTreeMap::new();
    for slide in areas {
        let Some(patient) = patient(&slide.slide) else { continue };
        let sum = patients.entry(patient.clone()).or_insert_with(|| PatientAreas {
            patient,
            slides: 0,
            found: TileArea::default(),
            of: TileArea::default(),
        });
        sum.slides += 1;
        for (sum, part) in [(&mut sum.found, slide.found), (&mut sum.of, slide.of)] {
            sum.tiles += part.tiles;
            sum.mm2 += part.mm2;
        }
    }
    let mut patients: Vec<PatientAreas> = patients.into_values().collect();
    patients.sort_by(|a, b| b.found.mm2.total_cmp(&a.found.mm2));
    patients
}

/// Finds a concept on all slides of an index; the slide with the largest area comes first.
///
/// # Errors
/// [`ConceptError::OtherRecipe`] and [`ConceptError::NoThreshold`].
pub fn areas(index: &Snapshot, concept: &Concept) -> Result<Vec<Areas>, ConceptError> {
    let Some(first) = index.sets().first() else { return Ok(Vec::new()) };
    let threshold = concept.threshold_for(&first.header.recipe)?;
    let of_set = |set: &Arc<DescriptorSet>| {
        let distances = concept.distances(set);
        let within = (0..).map(Row).zip(distances).filter(|(_, distance)| *distance <= threshold);
        on_slide(set, within.map(|(row, _)| row).collect())
    };
    let mut found: Vec<Areas> = index.sets().par_iter().map(of_set).collect();
    found.sort_by(|a, b| b.found.mm2.total_cmp(&a.found.mm2).then(a.slide.cmp(&b.slide)));
    Ok(found)
}

/// Returns the areas of chosen rows of a set, which are in order.
pub(super) fn on_slide(set: &DescriptorSet, rows: Vec<Row>) -> Areas {
    let mpp = set.header.level0_mpp();
    let shape = covered(rows.iter().map(|row| set.rect(*row)));
    // The sum over no polygon is -0.
    let found_mm2 = shape.area_um2(mpp).unwrap_or(0.0) * 1e-6 + 0.0;
    let tile_mm2 = set.header.tile_area_px2() * mpp.x() * mpp.y() * 1e-6;
    Areas {
        slide: set.header.slide_id.clone(),
        found: TileArea { tiles: rows.len(), mm2: found_mm2 },
        of: TileArea { tiles: set.len(), mm2: set.len() as f64 * tile_mm2 },
        rows,
        shape,
    }
}

/// Returns the area that tiles cover together. They are ordered by y, then by x, so that neighbours in a row
/// are merged before the union of all of them is computed.
fn covered(tiles: impl Iterator<Item = Level0Rect>) -> Shape {
    let mut bands: Vec<Level0Rect> = Vec::new();
    for tile in tiles {
        match bands.last_mut() {
            Some(band) if band.y == tile.y && band.right() == tile.x => band.width += tile.width,
            _ => bands.push(tile),
        }
    }
    let polygon = |band: Level0Rect| {
        let corner = |x: i64, y: i64| Level0Point::new(x as f64, y as f64);
        let (left, top, right, bottom) = (band.x, band.y, band.right(), band.bottom());
        Polygon::new(vec![corner(left, top), corner(right, top), corner(right, bottom), corner(left, bottom)])
    };
    Shape::Polygons(bands.into_iter().map(polygon).collect()).merged()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_that_touch_become_one_area_and_overlaps_count_once() {
        let tile = |x: i64, y: i64| Level0Rect::new(x, y, 100, 100);
        let shape =
            covered([tile(0, 0), tile(100, 0), tile(400, 0), tile(0, 100), tile(50, 100)].into_iter());
        let Shape::Polygons(polygons) = &shape else { panic!("{shape:?}") };
        assert_eq!((polygons.len(), shape.area_px2()), (2, Some(45_000.0)));
    }
}
