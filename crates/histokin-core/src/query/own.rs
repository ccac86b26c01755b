//! The query's own tiles, which are never among its answers.
//!
//! They are found by slide and place, so that it does not matter whether an example was embedded before or after it
//! was asked with:
//! - of a tile, every tile of its slide that shares more than half of the smaller of the two rectangles with it;
//! - of a region, every tile of its slide whose centre lies in it;
//! - of a picture that is a file of the project, every tile of that slide.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Example;
use crate::descriptors::{DescriptorSet, Row};
use crate::geometry::Level0Rect;
use crate::index::{RowMask, Snapshot};

/// For each set with tiles of the query, the rows that are its own.
pub(super) fn rows(index: &Snapshot, examples: &[Example]) -> Vec<(u32, Arc<RowMask>)> {
    let mut own: BTreeMap<u32, Vec<bool>> = BTreeMap::new();
    for example in examples {
        let Some(place) = example.slide().and_then(|slide| index.place(slide)) else { continue };
        let set = &index.sets()[place as usize];
        let rows = match example {
            Example::Tile { at, .. } => match set.row_at(*at) {
                Some(row) => overlapping(set, &set.rect(row)),
                None => Vec::new(),
            },
            Example::Region { region, .. } => region.rows(set),
            Example::Descriptors { place, .. } => match place {
                Some(place) => overlapping(set, &place.rect),
                None => Vec::new(),
            },
        };
        let mask = own.entry(place).or_insert_with(|| vec![false; set.len()]);
        rows.into_iter().for_each(|row| mask[row.0 as usize] = true);
    }
    own.into_iter().map(|(set, mask)| (set, Arc::new(RowMask::new(mask)))).collect()
}

/// The tiles of a set that share more than half of the smaller of the two rectangles with `rect`.
fn overlapping(set: &DescriptorSet, rect: &Level0Rect) -> Vec<Row> {
    let area = |rect: &Level0Rect| u128::from(rect.width) * u128::from(rect.height);
    let is_own = |row: &Row| {
        let tile = set.rect(*row);
        let shared = tile.intersection(rect).map_or(0, |common| area(&common));
        2 * shared > area(&tile).min(area(rect))
    };
    // Rows are ordered by y first: only those whose top lies near the rectangle can overlap it.
    let reach = set.coords().first().map_or(0, |_| i64::from(set.rect(Row(0)).height));
    let first = set.coords().partition_point(|[_, top]| top.saturating_add(reach) <= rect.y);
    let last = set.coords().partition_point(|[_, top]| *top < rect.bottom());
    (first..last.max(first)).map(|row| Row(row as u32)).filter(is_own).collect()
}
