//! Similarity maps: the similarity of every tile of some slides to one tile or to what was taught, and class maps: to
//! which concept each tile belongs.

use std::sync::Arc;

use rayon::prelude::*;

use crate::concept::{self, Concept};
use crate::descriptors::{DescriptorSet, Row};
use crate::index::{Snapshot, TileRef, squared_distance, squared_distances};
use crate::slide::SlideId;

/// Number of tile pairs whose distances give the scale of similarity.
const PAIRS: usize = 400;

/// Factor between the lower quartile of the distances and the scale: about the median when distances cluster
/// around one value, and still that of the nearer cluster when there are two, as with a change of stain.
const SCALE_FACTOR: f32 = 1.3;

/// Number of tiles that one thread compares at a time.
const CHUNK: usize = 4096;

/// What all tiles are compared with.
#[derive(Debug, Clone)]
pub enum Reference {
    /// A tile of the index.
    Tile(TileRef),
    /// A point in descriptor space: the direction of a taught query or a concept.
    Point(Arc<[f32]>),
    /// The concepts of a class map: the map tells to which of them each tile belongs.
    Concepts(Vec<Arc<Concept>>),
}

impl PartialEq for Reference {
    fn eq(&self, other: &Self) -> bool {
        // The window compares in every frame, and a concept has many descriptors.
        let is_same = |(a, b): (&Arc<Concept>, &Arc<Concept>)| Arc::ptr_eq(a, b) || a == b;
        match (self, other) {
            (Self::Tile(a), Self::Tile(b)) => a == b,
            (Self::Point(a), Self::Point(b)) => a == b,
            (Self::Concepts(a), Self::Concepts(b)) => a.len() == b.len() && a.iter().zip(b).all(is_same),
            _ => false,
        }
    }
}

/// What is compared with which slides.
#[derive(Clone)]
pub struct MapRequest {
    /// Index with the descriptors.
    pub index: Arc<Snapshot>,
    /// What all tiles are compared with.
    pub reference: Reference,
    /// Positions of the slides in the index.
    pub shown: Vec<u32>,
}

/// Similarity of all tiles of a slide to one descriptor, or their classes.
#[derive(Debug, Clone, PartialEq)]
pub struct SimilarityMap {
    /// The slide.
    pub slide: SlideId,
    /// Columns and rows of the slide's tile grid.
    pub grid: [usize; 2],
    /// Width and height of a tile in level-0 pixels.
    pub tile_level0: [u32; 2],
    /// One value for each tile of the grid, row by row: 0 if there is no descriptor, else from 1 (distance of
    /// the scale or more) to 255 (distance 0). In a class map 1 for a tile of none of the concepts, and 2 more than the
    /// index of its concept for the others.
    pub similarity: Vec<u8>,
}

impl MapRequest {
    /// Returns the sets to map: a slide without tissue, or smaller than a tile, has no map.
    pub fn sets(&self) -> impl Iterator<Item = &Arc<DescriptorSet>> {
        let sets = self.shown.iter().map(|position| &self.index.sets()[*position as usize]);
        sets.filter(|set| !set.is_empty())
    }

    /// Returns the descriptor that all tiles are compared with; `None` for a class map.
    pub fn descriptor(&self) -> Option<&[f32]> {
        match &self.reference {
            Reference::Tile(tile) => Some(self.index.sets()[tile.set as usize].descriptor(tile.row)),
            Reference::Point(point) => Some(point),
            Reference::Concepts(_) => None,
        }
    }

    /// Compares the reference with all tiles of each set; `scale` is the distance of lowest similarity. Uses the
    /// rayon thread pool from which it is called.
    pub fn maps(&self, scale: f32) -> Vec<SimilarityMap> {
        let map = |set: &Arc<DescriptorSet>| {
            let descriptor = match &self.reference {
                Reference::Concepts(concepts) => return SimilarityMap::of_classes(set, concepts),
                Reference::Tile(_) | Reference::Point(_) => self.descriptor().unwrap_or_default(),
            };
            let mut squared = vec![0.0f32; set.len()];
            squared
                .par_chunks_mut(CHUNK)
                .zip(set.features().par_chunks(CHUNK * descriptor.len()))
                .for_each(|(out, rows)| squared_distances(descriptor, rows, out));
            SimilarityMap::new(set, &squared, scale)
        };
        self.sets().map(map).collect()
    }
}

impl SimilarityMap {
    /// Makes the map of a set from the squared distances of its rows; `scale` is the distance of lowest
    /// similarity.
    pub fn new(set: &DescriptorSet, squared: &[f32], scale: f32) -> Self {
        Self::on_grid(set, squared.iter().map(|squared| similarity(*squared, scale)))
    }

    /// Makes the class map of a set; empty if the concepts do not apply to its descriptors.
    fn of_classes(set: &DescriptorSet, concepts: &[Arc<Concept>]) -> Self {
        let concepts: Vec<&Concept> = concepts.iter().map(|concept| &**concept).collect();
        let classes = concept::class_map(set, &concepts).unwrap_or_default().into_iter();
        Self::on_grid(set, classes.map(|concept| concept.map_or(1, |concept| 2 + concept.min(253) as u8)))
    }

    /// Makes a map with one value for each row of a set.
    fn on_grid(set: &DescriptorSet, values: impl Iterator<Item = u8>) -> Self {
        let [columns, rows] = set.header.grid.map(|count| count as usize);
        let mut cells = vec![0u8; columns * rows];
        let size = [set.header.tile_level0, set.header.tile_height_level0()];
        let [width, height] = size.map(i64::from);
        for ([x, y], value) in set.coords().iter().zip(values) {
            let index = (y / height) as usize * columns + (x / width) as usize;
            if let Some(cell) = cells.get_mut(index) {
                *cell = value;
            }
        }
        let slide = set.header.slide_id.clone();
        Self { slide, grid: [columns, rows], tile_level0: size, similarity: cells }
    }

    /// Number of tiles that were compared.
    pub fn tiles(&self) -> usize {
        self.similarity.iter().filter(|similarity| **similarity > 0).count()
    }
}

/// Converts a squared distance to similarity: linear from 255 at distance 0 to 1 at `scale` and beyond.
pub fn similarity(squared: f32, scale: f32) -> u8 {
    1 + ((1.0 - squared.sqrt() / scale).clamp(0.0, 1.0) * 254.0).round() as u8
}

/// Returns 1.3 times the lower quartile of the distances between tiles sampled evenly from all slides; 1 if
/// there are too few.
pub fn typical_distance(index: &Snapshot) -> f32 {
    let rows =
        || index.sets().iter().flat_map(|set| (0..set.len() as u32).map(move |row| set.descriptor(Row(row))));
    let step = index.len().div_ceil(2 * PAIRS).max(1);
    let picked: Vec<&[f32]> = rows().step_by(step).collect();
    let half = picked.len() / 2;
    let pairs = picked[..half].iter().zip(&picked[half..]);
    let mut distances: Vec<f32> = pairs.map(|(a, b)| squared_distance(a, b).sqrt()).collect();
    distances.sort_by(f32::total_cmp);
    let quartile = distances.get(distances.len() / 4).copied();
    quartile.filter(|quartile| *quartile > 0.0).map_or(1.0, |quartile| SCALE_FACTOR * quartile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarity_falls_linearly_to_the_scale() {
        assert_eq!(
            [0.0, 1.0, 4.0, 16.0, 100.0].map(|squared| similarity(squared, 4.0)),
            [255, 192, 128, 1, 1]
        );
    }
}
