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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Downsample {
    pub x: f64,
    pub y: f64,
}

impl Downsample {
    /// That of level 0.
    pub const ONE: Self = Self { x: 1.0, y: 1.0 };

    /// The same along both axes.
    pub fn square(factor: f64) -> Self {
        Self { x: factor, y: factor }
    }

    /// One number for both axes, for choosing and naming levels: their geometric mean.
    pub fn mean(&self) -> f64 {
        if self.x == self.y { self.x } else { (self.x * self.y).sqrt() }
    }
}

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

    /// The edge of the square pixel of the same area: one number for both axes, for naming and for ratios of areas.
    pub fn mean(&self) -> f64 {
        (self.x * self.y).sqrt()
    }

    /// Whether both values are finite, positive and within what a microscope can give (1 nm to 1 mm), and neither is
    /// more than `LONGEST_PIXEL` times the other.
    pub fn is_plausible(&self) -> bool {
        [self.x, self.y].iter().all(|um| (1e-3..=1e3).contains(um))
            && self.x.max(self.y) <= self.x.min(self.y) * LONGEST_PIXEL
    }

    /// Whether pixels are square to 1 %. What scanners write differs by less from one axis to the other, and their
    /// pixels are treated as squares: drawn 1:1, and cut into tiles that are square in pixels.
    pub fn is_square(&self) -> bool {
        self.x.max(self.y) <= self.x.min(self.y) * SQUARE_TO
    }

    /// Edge in µm of the square pixels in which a slide is drawn: the mean for square pixels, else the shorter edge.
    pub fn drawn_um(&self) -> f64 {
        if self.is_square() { self.mean() } else { self.x.min(self.y) }
    }

    /// How a slide's pixels are drawn so that the same distance is as long in every direction.
    pub fn stretch(&self) -> Stretch {
        if self.is_square() {
            return Stretch::NONE;
        }
        let um = self.drawn_um();
        Stretch { x: self.x / um, y: self.y / um }
    }

    /// The pixel size for people: one number for square pixels, else both.
    pub fn label(&self, decimals: usize) -> String {
        if self.is_square() {
            return format!("{:.decimals$} µm/px", self.mean());
        }
        format!("{:.decimals$} × {:.decimals$} µm/px", self.x, self.y)
    }

    /// Physical distance in µm between two level-0 points of a slide with these pixels.
    pub fn distance_um(&self, a: Level0Point, b: Level0Point) -> f64 {
        ((a.x - b.x) * self.x).hypot((a.y - b.y) * self.y)
    }
}

/// How many times longer than wide a pixel may be to be believed, or wider than long. Anisotropic scans have 2 to 4.
const LONGEST_PIXEL: f64 = 16.0;

/// Ratio of a pixel's edges up to which it counts as square.
const SQUARE_TO: f64 = 1.01;

/// Drawn pixels along each edge of a level-0 pixel at zoom 1: at least 1, and 1 along one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    pub x: f64,
    pub y: f64,
}

impl Stretch {
    /// Level-0 pixels are drawn as squares.
    pub const NONE: Self = Self { x: 1.0, y: 1.0 };

    /// Of a slide with pixels of `mpp`; none where their size is unknown.
    pub fn of(mpp: Option<MicronsPerPixel>) -> Self {
        mpp.map_or(Self::NONE, |mpp| mpp.stretch())
    }

    /// The drawn extent of `width` × `height` level-0 pixels.
    pub fn extent(&self, (width, height): (f64, f64)) -> (f64, f64) {
        (width * self.x, height * self.y)
    }

    /// A level-0 position in drawn pixels.
    pub fn drawn(&self, point: Level0Point) -> Level0Point {
        Level0Point::new(point.x * self.x, point.y * self.y)
    }

    /// The level-0 position of one in drawn pixels.
    pub fn level0(&self, drawn: Level0Point) -> Level0Point {
        Level0Point::new(drawn.x / self.x, drawn.y / self.y)
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
    fn nearly_square_pixels_are_not_stretched_and_others_are_drawn_in_square_microns() {
        let nearly = MicronsPerPixel { x: 0.242534722, y: 0.242647059 };
        assert!(nearly.is_square());
        assert_eq!((nearly.stretch(), nearly.drawn_um()), (Stretch::NONE, nearly.mean()));
        let flat = MicronsPerPixel { x: 0.5, y: 0.25 };
        assert!(!flat.is_square() && flat.is_plausible());
        assert_eq!((flat.stretch(), flat.drawn_um()), (Stretch { x: 2.0, y: 1.0 }, 0.25));
        assert!(!MicronsPerPixel { x: 17.0, y: 1.0 }.is_plausible());
        assert_eq!(flat.label(2), "0.50 × 0.25 µm/px");
    }

    #[test]
    fn distance_uses_each_axis_own_pixel_size() {
        let mpp = MicronsPerPixel { x: 0.5, y: 0.25 };
        let distance = mpp.distance_um(Level0Point::new(0.0, 0.0), Level0Point::new(6.0, 16.0));
        assert_eq!(distance, 5.0);
    }
}
