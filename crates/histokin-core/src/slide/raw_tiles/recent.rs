//! Whether regions are read next to each other or scattered.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::geometry::LevelRect;

/// Number of regions that are remembered: more than are read at once by all threads of most machines.
const REMEMBERED: usize = 16;

/// The regions that were read last.
#[derive(Default)]
pub(super) struct RecentRegions(Mutex<VecDeque<LevelRect>>);

impl RecentRegions {
    /// Records that `region` is read. Returns whether it touches one that was read shortly before, so that its other
    /// neighbours are likely to follow.
    pub fn note(&self, region: &LevelRect) -> bool {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_beside = recent.iter().any(|other| touch(region, other));
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(*region);
        is_beside
    }
}

/// Whether two regions of a level overlap, or have an edge or a corner in common.
fn touch(one: &LevelRect, other: &LevelRect) -> bool {
    let meet = |a: i64, a_length: u32, b: i64, b_length: u32| {
        a <= b.saturating_add(b_length.into()) && b <= a.saturating_add(a_length.into())
    };
    one.level == other.level
        && meet(one.x, one.width, other.x, other.width)
        && meet(one.y, one.height, other.y, other.height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_beside_recent_ones_are_known() {
        let at = |level, x, y| LevelRect { level, x, y, width: 10, height: 10 };
        let recent = RecentRegions::default();
        assert!(!recent.note(&at(0, 100, 100)));
        for (region, is_beside) in [
            (at(0, 110, 110), true),
            (at(0, 131, 100), false),
            (at(0, 95, 300), false),
            (at(1, 100, 100), false),
            (at(0, 105, 100), true),
            (at(0, i64::MIN, i64::MAX), false),
        ] {
            assert_eq!(recent.note(&region), is_beside, "{region:?}");
        }
        (0..REMEMBERED as i64).for_each(|number| assert!(!recent.note(&at(2, 20 * number, 0))));
        assert!(!recent.note(&at(0, 100, 100)), "it was read too long ago");
    }
}
