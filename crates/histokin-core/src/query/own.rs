//! The query's own tiles, which are never among its matches.
//!
//! They are found by slide and position, so it does not matter whether a tile was embedded before or after it
//! became an example:
//! - for a tile, every tile of its slide that shares more than half of the smaller of the two rectangles with
//!   it;
//! - for a region, every tile of its slide whose centre lies in it;
//! - for an image file that is also a slide of the project, every tile of that slide.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Example;
use crate::descriptors::{DescriptorSet, Row};
use crate::geometry::Level0Rect;
use crate::index::{RowMask, Snapshot};

/// Returns, for each set that contains tiles of the query, the mask of those tiles.
pub(super) fn rows<'a>(
    index: &Snapshot,
    examples: impl IntoIterator<Item = &'a Example>,
) -> Vec<(u32, Arc<RowMask>)> {
    let mut own: BTreeMap<u32, Vec<bool>> = BTreeMap::new();
    for example in examples {
        let Some(set_index) = example.slide().and_then(|slide| index.set_index(slide)) else { continue };
        let set = &index.sets()[set_index as usize];
        let rows = match example {
            Example::Tile { at, .. } => match set.row_at(*at) {
                Some(row) => overlapping(set, &set.rect(row)),
                None => Vec::new(),
            },
            Example::Region { region, .. } => region.rows(set),
            Example::Descriptors { position, .. } => match position {
                Some(position) => overlapping(set, &position.rect),
                None => Vec::new(),
            },
        };
        let mask = own.entry(set_index).or_insert_with(|| vec![false; set.len()]);
        rows.into_iter().for_each(|row| mask[row.0 as usize] = true);
    }
    own.into_iter().map(|(set, mask)| (set, Arc::new(RowMask::new(mask)))).collect()
}

/// Returns the tiles of a set that share more than half of the smaller of the two rectangles with `rect`.
fn overlapping(set: &DescriptorSet, rect: &Level0Rect) -> Vec<Row> {
    let area = |rect: &Level0Rect| u128::from(rect.width) * u128::from(rect.height);
    let is_own = |row: &Row| {
        let tile = set.rect(*row);
        let shared = tile.intersection(rect).map_or(0, |common| area(&common));
        2 * shared > area(&tile).min(area(rect))
    };
    // Rows are ordered by y first, so only those whose top lies near the rectangle can overlap it.
    let reach = set.coords().first().map_or(0, |_| i64::from(set.rect(Row(0)).height));
    let first = set.coords().partition_point(|[_, top]| top.saturating_add(reach) <= rect.y);
    let last = set.coords().partition_point(|[_, top]| *top < rect.bottom());
    (first..last.max(first)).map(|row| Row(row as u32)).filter(is_own).collect()
}
