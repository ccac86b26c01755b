//! Coordinates that say which space they are in, and lengths that say their unit.
//!
//! Two pixel spaces occur throughout: **level 0**, the slide's finest pixels, in which everything that is
//! stored or exchanged is written; and the pixels of **one pyramid level**, in which regions are read.

use serde::{Deserialize, Serialize};

/// A position in level-0 pixels; may lie between pixels and outside the slide.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Level0Point {
    pub x: f64,
    pub y: f64,
}

impl Level0Point {
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    /// Euclidean distance to `other` in level-0 pixels.
    pub fn distance_px(self, other: Self) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// A rectangle of whole level-0 pixels: its top-left corner (may be negative) and its extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Level0Rect {
    pub x: i64,
    pub y: i64,
    pub width: u32,
    pub height: u32,
}

impl Level0Rect {
    pub fn new(x: i64, y: i64, width: u32, height: u32) -> Self {
        Self { x, y, width, height }
    }

    /// One past the last column.
    pub fn right(&self) -> i64 {
        self.x.saturating_add(i64::from(self.width))
    }

    /// One past the last row.
    pub fn bottom(&self) -> i64 {
        self.y.saturating_add(i64::from(self.height))
    }

    pub fn center(&self) -> Level0Point {
        Level0Point::new(
            self.x as f64 + f64::from(self.width) / 2.0,
            self.y as f64 + f64::from(self.height) / 2.0,
        )
    }

    /// Whether `point` lies inside; the left and top edges belong to the rectangle, the others do not.
    pub fn contains(&self, point: Level0Point) -> bool {
        point.x >= self.x as f64
            && point.x < self.right() as f64
            && point.y >= self.y as f64
            && point.y < self.bottom() as f64
    }

    /// The common part of two rectangles, if they share at least one pixel.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let x = self.x.max(other.x);
        let y = self.y.max(other.y);
        // Neither is longer than the shorter of the two sides, unless there is no common part at all.
        let width = self.right().min(other.right()).saturating_sub(x);
        let height = self.bottom().min(other.bottom()).saturating_sub(y);
        (width > 0 && height > 0).then(|| Self::new(x, y, width as u32, height as u32))
    }
}

/// A rectangle in the pixels of one pyramid level; may reach beyond the level's edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LevelRect {
    /// Index of the stored pyramid level, 0 being the finest.
    pub level: u32,
    pub x: i64,
    pub y: i64,
    pub width: u32,
    pub height: u32,
}

/// How many level-0 pixels one pixel spans along each axis; at least 1 for stored levels.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Downsample(pub f64);

/// Physical size of one pixel, in micrometres, along each axis.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MicronsPerPixel {
    pub x: f64,
    pub y: f64,
}

impl MicronsPerPixel {
    /// Square pixels of `um` micrometres.
    pub fn square(um: f64) -> Self {
        Self { x: um, y: um }
    }

    /// The edge of the square pixel of the same area; tiles are square in pixels, and scanners'
    /// pixels differ from squares by a fraction of a per cent.
    pub fn mean(&self) -> f64 {
        (self.x * self.y).sqrt()
    }

    /// Whether both values are finite, positive and within what a microscope can give (1 nm to 1 mm).
    pub fn is_plausible(&self) -> bool {
        [self.x, self.y].iter().all(|um| (1e-3..=1e3).contains(um))
    }

    /// Physical distance in µm between two level-0 points of a slide with these pixels.
    pub fn distance_um(&self, a: Level0Point, b: Level0Point) -> f64 {
        ((a.x - b.x) * self.x).hypot((a.y - b.y) * self.y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn intersection_is_inside_both_and_symmetric(
            a in (-500i64..500, -500i64..500, 1u32..400, 1u32..400),
            b in (-500i64..500, -500i64..500, 1u32..400, 1u32..400),
        ) {
            let a = Level0Rect::new(a.0, a.1, a.2, a.3);
            let b = Level0Rect::new(b.0, b.1, b.2, b.3);
            prop_assert_eq!(a.intersection(&b), b.intersection(&a));
            if let Some(both) = a.intersection(&b) {
                prop_assert!(both.x >= a.x && both.x >= b.x);
                prop_assert!(both.right() <= a.right() && both.right() <= b.right());
                prop_assert!(a.contains(both.center()) && b.contains(both.center()));
            }
        }
    }

    #[test]
    fn rectangles_at_the_end_of_all_numbers_are_rectangles_still() {
        let far = Level0Rect::new(i64::MAX, i64::MIN, u32::MAX, u32::MAX);
        assert_eq!((far.right(), far.bottom()), (i64::MAX, i64::MIN + i64::from(u32::MAX)));
        assert_eq!(far.intersection(&Level0Rect::new(0, 0, 10, 10)), None);
        assert!(!far.contains(Level0Point::default()));
    }

    #[test]
    fn distance_uses_each_axis_own_pixel_size() {
        let mpp = MicronsPerPixel { x: 0.5, y: 0.25 };
        let distance = mpp.distance_um(Level0Point::new(0.0, 0.0), Level0Point::new(6.0, 16.0));
        assert_eq!(distance, 5.0);
    }
}
