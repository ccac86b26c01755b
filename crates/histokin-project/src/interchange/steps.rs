//! The step between neighbouring tiles of a grid.

use std::collections::BTreeMap;

/// The most frequent distance in pixels between tiles that follow each other in one row or one column; of equally
/// frequent ones the smaller. `None` where fewer than two tiles share a row or a column, or where no distance occurs
/// twice although there are several.
///
/// Neighbouring tiles of a grid without gaps lie one step apart. The smallest distance says less: contours that were
/// cut separately, as CLAM does, have grids of their own that lie a few pixels apart.
pub fn most_frequent_step(corners: &[[i64; 2]]) -> Option<u32> {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for [along, across] in [[0, 1], [1, 0]] {
        let mut ordered: Vec<[i64; 2]> = corners.iter().map(|at| [at[across], at[along]]).collect();
        ordered.sort_unstable();
        ordered.dedup();
        for pair in ordered.windows(2).filter(|pair| pair[0][0] == pair[1][0]) {
            *counts.entry(pair[1][1].saturating_sub(pair[0][1])).or_default() += 1;
        }
    }
    let (step, count) = counts.iter().max_by_key(|(step, count)| (**count, -**step))?;
    let is_known = *count > 1 || counts.len() == 1;
    is_known.then(|| u32::try_from(*step).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(at: [i64; 2], step: i64, columns: i64, rows: i64) -> Vec<[i64; 2]> {
        (0..columns * rows)
            .map(|tile| [at[0] + step * (tile % columns), at[1] + step * (tile / columns)])
            .collect()
    }

    #[test]
    fn grids_with_gaps_and_grids_beside_each_other_have_the_step_of_their_tiles() {
        let mut corners = grid([0, 0], 256, 6, 5);
        assert_eq!(most_frequent_step(&corners), Some(256));
        corners.retain(|[x, _]| *x != 512);
        assert_eq!(most_frequent_step(&corners), Some(256));
        // A second contour, whose grid begins 3 px beside the first.
        corners.extend(grid([3, 0], 256, 3, 2));
        assert_eq!(most_frequent_step(&corners), Some(256));
    }

    #[test]
    fn a_column_is_enough_and_scattered_tiles_have_no_step() {
        assert_eq!(most_frequent_step(&grid([7, 9], 512, 1, 4)), Some(512));
        assert_eq!(most_frequent_step(&grid([0, 0], 300, 2, 1)), Some(300));
        assert_eq!(most_frequent_step(&[[0, 0], [100, 1], [217, 5]]), None);
        assert_eq!(most_frequent_step(&[[0, 0], [100, 0], [317, 0]]), None);
        assert_eq!(most_frequent_step(&[[5, 5], [5, 5]]), None);
    }
}
