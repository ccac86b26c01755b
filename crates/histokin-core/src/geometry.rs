//! Types for positions, rectangles and pixel sizes, one per coordinate space.
//!
//! Two pixel spaces are used: **level 0**, the slide's finest pixels, in which positions are stored and
//! exchanged; and the pixels of **one pyramid level**, in which regions are read.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::number_format::decimal;

/// A position in level-0 pixels; may lie between pixels and outside the slide.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Level0Point {
    /// Distance from the slide's left edge.
    pub x: f64,
    /// Distance from the slide's top edge.
    pub y: f64,
}

impl Level0Point {
    /// Makes a point from level-0 coordinates.
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    /// Returns the Euclidean distance to `other` in level-0 pixels.
    pub fn distance_px(self, other: Self) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// A rectangle of whole level-0 pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Level0Rect {
    /// First column; may be negative.
    pub x: i64,
    /// First row; may be negative.
    pub y: i64,
    /// Number of columns.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

impl Level0Rect {
    /// Makes a rectangle from its top-left corner and its extent, in level-0 pixels.
    pub fn new(x: i64, y: i64, width: u32, height: u32) -> Self {
        Self { x, y, width, height }
    }

    /// Returns the column after the last one.
    pub fn right(&self) -> i64 {
        self.x.saturating_add(i64::from(self.width))
    }

    /// Returns the row after the last one.
    pub fn bottom(&self) -> i64 {
        self.y.saturating_add(i64::from(self.height))
    }

    /// Returns the centre, which may lie between pixels.
    pub fn center(&self) -> Level0Point {
        Level0Point::new(
            self.x as f64 + f64::from(self.width) / 2.0,
            self.y as f64 + f64::from(self.height) / 2.0,
        )
    }

    /// Returns whether `point` lies inside. The left and top edges count as inside, the right and bottom
    /// edges do not.
    pub fn contains(&self, point: Level0Point) -> bool {
        point.x >= self.x as f64
            && point.x < self.right() as f64
            && point.y >= self.y as f64
            && point.y < self.bottom() as f64
    }

    /// Returns the intersection of two rectangles, if they share at least one pixel.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let x = self.x.max(other.x);
        let y = self.y.max(other.y);
        // Where positive, neither exceeds the shorter of the two sides, so both fit into a u32.
        let width = self.right().min(other.right()).saturating_sub(x);
        let height = self.bottom().min(other.bottom()).saturating_sub(y);
        (width > 0 && height > 0).then(|| Self::new(x, y, width as u32, height as u32))
    }
}

/// A rectangle in the pixels of one pyramid level; may extend beyond the edges of the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LevelRect {
    /// Index of the stored pyramid level, 0 being the finest.
    pub level: u32,
    /// First column, in pixels of the level.
    pub x: i64,
    /// First row, in pixels of the level.
    pub y: i64,
    /// Number of columns.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

/// Number of level-0 pixels that one pixel spans along each axis; at least 1 for stored levels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Downsample {
    /// Level-0 pixels per pixel, horizontally.
    pub x: f64,
    /// Level-0 pixels per pixel, vertically.
    pub y: f64,
}

impl Downsample {
    /// The downsample of level 0.
    pub const ONE: Self = Self { x: 1.0, y: 1.0 };

    /// Makes a downsample that is the same along both axes.
    pub fn square(factor: f64) -> Self {
        Self { x: factor, y: factor }
    }

    /// Returns the geometric mean of both axes, used to choose and to name levels.
    pub fn mean(&self) -> f64 {
        if self.x == self.y { self.x } else { (self.x * self.y).sqrt() }
    }
}

/// Physical size of one pixel in µm, along each axis; always one that a microscope can have
/// ([`MicronsPerPixel::new`]).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StatedPixelSize", into = "StatedPixelSize")]
pub struct MicronsPerPixel {
    x: f64,
    y: f64,
}

/// A pixel size in µm as a file or a user states it, which may be impossible.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StatedPixelSize {
    /// Width of a pixel in µm.
    pub x: f64,
    /// Height of a pixel in µm.
    pub y: f64,
}

/// A stated pixel size that no microscope has.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[error(
    "{x} × {y} µm is not a possible pixel size; give one between 0.001 and 1000 µm, such as 0.25, neither edge of which \
     is more than {MAX_ASPECT_RATIO} times the other"
)]
pub struct ImpossiblePixelSize {
    x: f64,
    y: f64,
}

impl MicronsPerPixel {
    /// Makes the size of a pixel that is `x` µm wide and `y` µm high.
    ///
    /// # Errors
    /// Unless both are numbers from 0.001 to 1000 µm, and neither is more than 16 times the other.
    pub fn new(x: f64, y: f64) -> Result<Self, ImpossiblePixelSize> {
        let is_possible =
            [x, y].iter().all(|um| POSSIBLE_UM.contains(um)) && x.max(y) <= x.min(y) * MAX_ASPECT_RATIO;
        if is_possible { Ok(Self { x, y }) } else { Err(ImpossiblePixelSize { x, y }) }
    }

    /// Makes the size of square pixels with an edge of `um` µm.
    ///
    /// # Errors
    /// As [`MicronsPerPixel::new`].
    pub fn square(um: f64) -> Result<Self, ImpossiblePixelSize> {
        Self::new(um, um)
    }

    /// Makes the possible size that is nearest to one derived from other values.
    pub(crate) fn nearest(x: f64, y: f64) -> Self {
        let [x, y] = [x, y].map(|um| um.max(*POSSIBLE_UM.start()).min(*POSSIBLE_UM.end()));
        Self { x: x.max(y / MAX_ASPECT_RATIO), y: y.max(x / MAX_ASPECT_RATIO) }
    }

    /// Width of a pixel in µm.
    pub fn x(&self) -> f64 {
        self.x
    }

    /// Height of a pixel in µm.
    pub fn y(&self) -> f64 {
        self.y
    }

    /// Returns the size of the pixels of a picture that is turned by a quarter.
    pub fn transposed(&self) -> Self {
        Self { x: self.y, y: self.x }
    }

    /// Returns the edge in µm of the square pixel of the same area (the geometric mean of both axes), used
    /// for display and for ratios of areas.
    pub fn mean(&self) -> f64 {
        (self.x * self.y).sqrt()
    }

    /// Returns whether pixels are square to within 1 %. The values that scanners write for the two axes often
    /// differ by less. Such pixels are treated as squares: drawn 1:1, and cut into tiles that are square in
    /// pixels.
    pub fn is_square(&self) -> bool {
        self.x.max(self.y) <= self.x.min(self.y) * MAX_SQUARE_RATIO
    }

    /// Returns the edge in µm of the square pixels in which a slide is drawn: the mean for square pixels,
    /// otherwise the shorter edge.
    pub fn screen_um(&self) -> f64 {
        if self.is_square() { self.mean() } else { self.x.min(self.y) }
    }

    /// Returns the stretch that makes a distance equally long on the screen in every direction.
    pub fn stretch(&self) -> Stretch {
        if self.is_square() {
            return Stretch::NONE;
        }
        let um = self.screen_um();
        Stretch { x: self.x / um, y: self.y / um }
    }

    /// Returns the pixel size as text: one number for square pixels, otherwise both.
    pub fn label(&self, decimals: usize) -> String {
        if self.is_square() {
            return format!("{} µm/px", decimal(self.mean(), decimals));
        }
        format!("{} × {} µm/px", decimal(self.x, decimals), decimal(self.y, decimals))
    }

    /// Returns the distance in µm between two level-0 points of a slide with this pixel size.
    pub fn distance_um(&self, a: Level0Point, b: Level0Point) -> f64 {
        ((a.x - b.x) * self.x).hypot((a.y - b.y) * self.y)
    }
}

impl TryFrom<StatedPixelSize> for MicronsPerPixel {
    type Error = ImpossiblePixelSize;

    fn try_from(stated: StatedPixelSize) -> Result<Self, ImpossiblePixelSize> {
        Self::new(stated.x, stated.y)
    }
}

impl From<MicronsPerPixel> for StatedPixelSize {
    fn from(mpp: MicronsPerPixel) -> Self {
        Self { x: mpp.x, y: mpp.y }
    }
}

/// Possible edges of a pixel, in µm.
const POSSIBLE_UM: std::ops::RangeInclusive<f64> = 1e-3..=1e3;

/// Largest possible ratio between the edges of a pixel. Anisotropic scans have 2 to 4.
const MAX_ASPECT_RATIO: f64 = 16.0;

/// Largest ratio between the edges of a pixel that counts as square.
const MAX_SQUARE_RATIO: f64 = 1.01;

/// Screen pixels that a level-0 pixel spans along each axis at zoom 1: at least 1, and exactly 1 along one
/// axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// Drawn pixels per level-0 pixel, horizontally.
    pub x: f64,
    /// Drawn pixels per level-0 pixel, vertically.
    pub y: f64,
}

impl Stretch {
    /// No stretch: level-0 pixels are drawn as squares.
    pub const NONE: Self = Self { x: 1.0, y: 1.0 };

    /// Returns the stretch for a pixel size; [`Self::NONE`] where the size is unknown.
    pub fn of(mpp: Option<MicronsPerPixel>) -> Self {
        mpp.map_or(Self::NONE, |mpp| mpp.stretch())
    }

    /// Returns the extent, in drawn pixels, of `width` × `height` level-0 pixels.
    pub fn extent(&self, (width, height): (f64, f64)) -> (f64, f64) {
        (width * self.x, height * self.y)
    }

    /// Converts a level-0 position to drawn pixels.
    pub fn drawn(&self, point: Level0Point) -> Level0Point {
        Level0Point::new(point.x * self.x, point.y * self.y)
    }

    /// Converts a position in drawn pixels to level 0.
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
        let nearly = MicronsPerPixel::new(0.242534722, 0.242647059).unwrap();
        assert!(nearly.is_square());
        assert_eq!((nearly.stretch(), nearly.screen_um()), (Stretch::NONE, nearly.mean()));
        let flat = MicronsPerPixel::new(0.5, 0.25).unwrap();
        assert!(!flat.is_square());
        assert_eq!((flat.stretch(), flat.screen_um()), (Stretch { x: 2.0, y: 1.0 }, 0.25));
        assert_eq!(flat.label(2), "0.50 × 0.25 µm/px");
    }

    #[test]
    fn sizes_that_no_microscope_has_are_refused_wherever_they_come_from() {
        for (x, y) in
            [(0.0, 0.0), (-0.5, 0.5), (f64::NAN, 0.5), (0.5, f64::INFINITY), (1e-4, 1e-4), (17.0, 1.0)]
        {
            assert!(MicronsPerPixel::new(x, y).is_err(), "{x} × {y}");
        }
        assert!(serde_json::from_str::<MicronsPerPixel>(r#"{"x":0.0,"y":0.5}"#).is_err());
        let mpp = MicronsPerPixel::new(0.5, 0.25).unwrap();
        assert_eq!(serde_json::to_string(&mpp).unwrap(), r#"{"x":0.5,"y":0.25}"#);
        assert_eq!(serde_json::from_str::<MicronsPerPixel>(r#"{"x":0.5,"y":0.25}"#).unwrap(), mpp);
    }

    #[test]
    fn distance_uses_each_axis_own_pixel_size() {
        let mpp = MicronsPerPixel::new(0.5, 0.25).unwrap();
        let distance = mpp.distance_um(Level0Point::new(0.0, 0.0), Level0Point::new(6.0, 16.0));
        assert_eq!(distance, 5.0);
    }
}
