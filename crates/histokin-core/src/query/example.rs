//! Examples of a query: tiles, regions, and descriptors that are not in the index.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{QueryError, TilePosition};
use crate::descriptors::{DescriptorSet, Recipe, Row};
use crate::geometry::{Level0Point, Level0Rect};
use crate::index::{Snapshot, TileRef};
use crate::slide::SlideId;

/// Maximum number of tiles taken from one example; larger regions are sampled evenly.
pub const MOST_TILES: usize = 256;

/// An example of a query, positive or negative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Example {
    /// The tile under a level-0 position.
    Tile {
        /// Slide that contains the tile.
        slide: SlideId,
        /// Position within the tile.
        at: Level0Point,
    },
    /// All tiles whose centre lies in a region.
    Region {
        /// Slide that contains the region.
        slide: SlideId,
        /// Outline of the region.
        region: Region,
    },
    /// Tiles that are not in the index and were embedded for this query: those of an image file, or of a
    /// slide that is not embedded.
    #[serde(alias = "Described", alias = "described")]
    Descriptors {
        /// Name shown to the user, such as that of the image file.
        name: String,
        /// Position on its slide, if it has one; an image file counts as a slide with a single tile.
        #[serde(alias = "place")]
        position: Option<TilePosition>,
        /// One descriptor per tile.
        descriptors: Vec<Vec<f32>>,
        /// [`Recipe::short_id`] of the descriptors; `None` in queries of earlier versions, which did not keep it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recipe: Option<String>,
        /// The image file, if the tiles come from one.
        #[serde(default, with = "crate::paths::whole_option", skip_serializing_if = "Option::is_none")]
        file: Option<PathBuf>,
    },
}

/// A part of a slide, in level-0 pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Region {
    /// A rectangle.
    Rect(Level0Rect),
    /// The corners of a closed outline, as drawn with a lasso; the even-odd rule applies to
    /// self-intersections.
    Outline(Vec<Level0Point>),
    /// Several areas, each as its outline followed by the outlines of its holes.
    Areas(Vec<Vec<Vec<Level0Point>>>),
}

impl Region {
    /// Returns whether `point` lies inside the region.
    pub fn contains(&self, point: Level0Point) -> bool {
        match self {
            Self::Rect(rect) => rect.contains(point),
            Self::Outline(corners) => crossings(corners, point) % 2 == 1,
            Self::Areas(areas) => areas.iter().any(|rings| is_within(rings, point)),
        }
    }

    /// Returns the smallest rectangle that contains the region.
    pub fn bounds(&self) -> Level0Rect {
        match self {
            Self::Rect(rect) => *rect,
            Self::Outline(corners) => bounds(corners.iter()),
            Self::Areas(areas) => bounds(areas.iter().flatten().flatten()),
        }
    }

    /// Returns the rows of a set whose tile centres lie in the region, in order.
    pub fn rows(&self, set: &DescriptorSet) -> Vec<Row> {
        let among = |bounds: Level0Rect, is_in: &dyn Fn(Level0Point) -> bool| -> Vec<Row> {
            // Rows are ordered by y first, so only a band of them needs to be checked.
            let half = i64::from(set.header.tile_height_level0()) / 2;
            let band = |y: i64| set.coords().partition_point(|[_, top]| top + half < y);
            let rows = band(bounds.y - 1)..band(bounds.bottom() + 2);
            rows.map(|row| Row(row as u32)).filter(|row| is_in(set.rect(*row).center())).collect()
        };
        let Self::Areas(areas) = self else { return among(self.bounds(), &|point| self.contains(point)) };
        let of_area = |rings: &Vec<Vec<Level0Point>>| {
            among(bounds(rings.iter().flatten()), &|point| is_within(rings, point))
        };
        let mut rows: Vec<Row> = areas.iter().flat_map(of_area).collect();
        rows.sort();
        rows.dedup();
        rows
    }
}

/// Counts how often a horizontal ray from `point` crosses a closed outline.
fn crossings(corners: &[Level0Point], point: Level0Point) -> usize {
    let edges = corners.iter().zip(corners.iter().cycle().skip(1));
    let crossed = edges.filter(|(a, b)| {
        (a.y > point.y) != (b.y > point.y) && point.x < a.x + (point.y - a.y) / (b.y - a.y) * (b.x - a.x)
    });
    crossed.count()
}

/// Returns whether `point` lies within an outline and in none of its holes.
fn is_within(rings: &[Vec<Level0Point>], point: Level0Point) -> bool {
    rings.iter().map(|ring| crossings(ring, point)).sum::<usize>() % 2 == 1
}

/// Returns the smallest rectangle around all corners.
fn bounds<'a>(corners: impl Iterator<Item = &'a Level0Point> + Clone) -> Level0Rect {
    let least = |of: fn(&Level0Point) -> f64| corners.clone().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: fn(&Level0Point) -> f64| corners.clone().map(of).fold(f64::NEG_INFINITY, f64::max);
    let (left, top) = (least(|at| at.x).floor(), least(|at| at.y).floor());
    let extent = |from: f64, to: f64| (to.ceil() - from).clamp(1.0, u32::MAX.into()) as u32;
    let (width, height) = (extent(left, most(|at| at.x)), extent(top, most(|at| at.y)));
    Level0Rect::new(left as i64, top as i64, width, height)
}

impl Example {
    /// Returns the slide that the example lies on, if any.
    pub fn slide(&self) -> Option<&SlideId> {
        match self {
            Self::Tile { slide, .. } | Self::Region { slide, .. } => Some(slide),
            Self::Descriptors { position, .. } => position.as_ref().map(|position| &position.slide),
        }
    }

    /// Checks that descriptors which the example holds itself can be compared with those of `recipe`, of `width` numbers.
    ///
    /// # Errors
    /// [`QueryError::OtherEncoder`] and [`QueryError::OtherRecipe`].
    pub fn require(&self, recipe: &Recipe, width: usize) -> Result<(), QueryError> {
        let Self::Descriptors { name, descriptors, recipe: own, .. } = self else { return Ok(()) };
        if let Some(other) = descriptors.iter().find(|row| row.len() != width) {
            return Err(QueryError::OtherEncoder { name: name.clone(), found: other.len(), wanted: width });
        }
        match own {
            Some(own) if *own != recipe.short_id() => Err(QueryError::OtherRecipe { name: name.clone() }),
            _ => Ok(()),
        }
    }

    pub(super) fn slide_mut(&mut self) -> Option<&mut SlideId> {
        match self {
            Self::Tile { slide, .. } | Self::Region { slide, .. } => Some(slide),
            Self::Descriptors { position, .. } => position.as_mut().map(|position| &mut position.slide),
        }
    }
}

/// One tile of an example.
pub(super) struct ExampleTile<'a> {
    /// Reference into the index, if the tile is embedded.
    pub tile: Option<TileRef>,
    pub position: Option<TilePosition>,
    pub descriptor: Cow<'a, [f32]>,
}

/// Returns all tiles of `examples`, without duplicates.
pub(super) fn tiles<'a>(
    index: &'a Snapshot,
    examples: impl IntoIterator<Item = &'a Example>,
) -> Result<Vec<ExampleTile<'a>>, QueryError> {
    let mut tiles: Vec<ExampleTile<'a>> = Vec::new();
    for example in examples {
        let fresh = match example {
            Example::Tile { slide, at } => {
                let (set_index, set) = set_of(index, slide)?;
                let row = set.row_at(*at).ok_or_else(|| QueryError::NoTileThere {
                    slide: slide.clone(),
                    x: at.x,
                    y: at.y,
                })?;
                vec![embedded(set_index, set, row)]
            }
            Example::Region { slide, region } => {
                let (set_index, set) = set_of(index, slide)?;
                let inside = region.rows(set);
                if inside.is_empty() {
                    return Err(QueryError::EmptyRegion(slide.clone()));
                }
                let step = inside.len().div_ceil(MOST_TILES);
                inside.into_iter().step_by(step).map(|row| embedded(set_index, set, row)).collect()
            }
            Example::Descriptors { position, descriptors, .. } => {
                if let Some(set) = index.sets().first() {
                    example.require(&set.header.recipe, set.width())?;
                }
                let as_tile = |row: &'a Vec<f32>| ExampleTile {
                    tile: None,
                    position: position.clone(),
                    descriptor: Cow::Borrowed(row.as_slice()),
                };
                descriptors.iter().take(MOST_TILES).map(as_tile).collect()
            }
        };
        for tile in fresh {
            if tile.tile.is_none() || tiles.iter().all(|known| known.tile != tile.tile) {
                tiles.push(tile);
            }
        }
    }
    Ok(tiles)
}

fn set_of<'a>(index: &'a Snapshot, slide: &SlideId) -> Result<(u32, &'a DescriptorSet), QueryError> {
    let set_index = index.set_index(slide).ok_or_else(|| QueryError::NotEmbedded(slide.clone()))?;
    Ok((set_index, &index.sets()[set_index as usize]))
}

fn embedded(set_index: u32, set: &DescriptorSet, row: Row) -> ExampleTile<'_> {
    ExampleTile {
        tile: Some(TileRef { set: set_index, row }),
        position: Some(TilePosition { slide: set.header.slide_id.clone(), rect: set.rect(row) }),
        descriptor: Cow::Borrowed(set.descriptor(row)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasso_holds_what_it_goes_around() {
        let corners = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (5.0, 4.0), (0.0, 10.0)];
        let lasso = Region::Outline(corners.map(|(x, y)| Level0Point::new(x, y)).to_vec());
        assert!(lasso.contains(Level0Point::new(2.0, 5.0)));
        assert!(lasso.contains(Level0Point::new(5.0, 3.0)));
        assert!(!lasso.contains(Level0Point::new(5.0, 8.0)), "in the notch");
        assert!(!lasso.contains(Level0Point::new(12.0, 5.0)));
        assert_eq!(lasso.bounds(), Level0Rect::new(0, 0, 10, 10));
    }

    #[test]
    fn areas_leave_out_their_holes_and_do_not_cancel_each_other() {
        let ring = |from: f64, to: f64| {
            [(from, from), (to, from), (to, to), (from, to)].map(|(x, y)| Level0Point::new(x, y)).to_vec()
        };
        let areas = Region::Areas(vec![vec![ring(0.0, 100.0), ring(20.0, 40.0)], vec![ring(80.0, 200.0)]]);
        let at = |position: f64| areas.contains(Level0Point::new(position, position));
        assert!(at(10.0) && !at(30.0), "the hole");
        assert!(at(90.0), "both areas");
        assert!(at(150.0) && !at(210.0));
        assert_eq!(areas.bounds(), Level0Rect::new(0, 0, 200, 200));
    }
}
