//! The view on a slide, and the conversion between screen and slide positions.
//!
//! **Screen** positions are physical pixels from the top-left corner of the canvas, y downwards. **Drawn
//! pixels** are level-0 pixels stretched so that a distance has the same length along both axes; for square
//! pixels they are level-0 pixels.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use serde::{Deserialize, Serialize};

use crate::geometry::{Level0Point, Stretch};

/// Maximum zoom, in screen pixels per level-0 pixel.
pub const MAX_ZOOM: f64 = 32.0;
/// Fraction of the canvas that a fitted slide fills along the tighter axis.
const FIT_SHARE: f64 = 0.96;
/// Rotations closer than this to a quarter turn, in radians, count as a quarter turn: sums of 15° steps have
/// such rounding errors.
const QUARTER_TOLERANCE: f64 = 1e-6;

/// Size of a canvas in physical pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Viewport {
    /// Width in physical pixels, at least 1.
    pub width: f64,
    /// Height in physical pixels, at least 1.
    pub height: f64,
}

impl Viewport {
    /// Creates a viewport; sizes below 1 are raised to 1.
    pub fn new(width: f64, height: f64) -> Self {
        Self { width: width.max(1.0), height: height.max(1.0) }
    }

    /// Returns the centre of the canvas.
    pub fn center(&self) -> ScreenPoint {
        ScreenPoint { x: self.width / 2.0, y: self.height / 2.0 }
    }
}

/// A position in physical pixels from the top-left corner of the canvas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScreenPoint {
    /// Pixels to the right.
    pub x: f64,
    /// Pixels downwards.
    pub y: f64,
}

/// What a canvas shows: the slide position at its centre, and how the slide is scaled, rotated and mirrored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// The level-0 position at the centre of the canvas.
    pub center: Level0Point,
    /// Screen pixels per drawn pixel.
    pub zoom: f64,
    /// Drawn pixels per level-0 pixel.
    pub stretch: Stretch,
    /// Clockwise rotation of the slide on the screen, in radians.
    pub rotation: f64,
    /// Whether the slide is mirrored left to right, before rotation.
    pub flip_horizontal: bool,
    /// Whether the slide is mirrored top to bottom, before rotation.
    pub flip_vertical: bool,
}

/// Rotation and mirroring of a slide on the screen, as in [`Camera`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Orientation {
    /// Clockwise rotation in radians.
    pub rotation: f64,
    /// Whether the slide is mirrored left to right, before rotation.
    pub flip_horizontal: bool,
    /// Whether the slide is mirrored top to bottom, before rotation.
    pub flip_vertical: bool,
}

impl Orientation {
    /// Whether the slide is neither rotated nor mirrored.
    pub fn is_upright(&self) -> bool {
        *self == Self::default()
    }
}

impl Camera {
    /// Returns the rotation and mirroring.
    pub fn orientation(&self) -> Orientation {
        let Self { rotation, flip_horizontal, flip_vertical, .. } = *self;
        Orientation { rotation, flip_horizontal, flip_vertical }
    }

    /// Sets rotation and mirroring; the centre stays.
    pub fn set_orientation(&mut self, orientation: Orientation) {
        self.rotation = if orientation.rotation.is_finite() { canonical(orientation.rotation) } else { 0.0 };
        (self.flip_horizontal, self.flip_vertical) = (orientation.flip_horizontal, orientation.flip_vertical);
    }

    /// Creates an upright camera at 1:1 with `center` in the middle.
    pub fn upright(center: Level0Point) -> Self {
        Self {
            center,
            zoom: 1.0,
            stretch: Stretch::NONE,
            rotation: 0.0,
            flip_horizontal: false,
            flip_vertical: false,
        }
    }

    /// Creates an upright camera that shows a whole slide of `width` × `height` square level-0 pixels, with a
    /// small margin.
    pub fn fit(width: f64, height: f64, viewport: Viewport) -> Self {
        Self::fit_stretched(width, height, Stretch::NONE, viewport)
    }

    /// Creates an upright camera that shows a whole slide of `width` × `height` level-0 pixels, drawn with
    /// `stretch`.
    pub fn fit_stretched(width: f64, height: f64, stretch: Stretch, viewport: Viewport) -> Self {
        Self { stretch, ..Self::upright(Level0Point::default()) }.fitted(width, height, viewport)
    }

    /// Screen pixels per level-0 pixel along x and y of the slide.
    pub fn zooms(&self) -> (f64, f64) {
        (self.zoom * self.stretch.x, self.zoom * self.stretch.y)
    }

    /// Returns this camera moved to show a whole slide of `width` × `height` level-0 pixels, with the same
    /// rotation and mirroring.
    pub fn fitted(&self, width: f64, height: f64, viewport: Viewport) -> Self {
        Self {
            center: Level0Point::new(width / 2.0, height / 2.0),
            zoom: self.fit_zoom(width, height, viewport),
            ..*self
        }
    }

    /// The zoom at which a slide of `width` × `height` level-0 pixels fills 96 % of the canvas.
    fn fit_zoom(&self, width: f64, height: f64, viewport: Viewport) -> f64 {
        self.zoom_to_contain(width.max(1.0), height.max(1.0), viewport).min(MAX_ZOOM) * FIT_SHARE
    }

    /// Returns the largest zoom at which a rectangle of `width` × `height` level-0 pixels is completely in
    /// view at the current rotation.
    pub fn zoom_to_contain(&self, width: f64, height: f64, viewport: Viewport) -> f64 {
        let [[a, b], [c, d]] = self.rotation_matrix().map(|row| row.map(f64::abs));
        let (width, height) = self.stretch.extent((width, height));
        (viewport.width / (a * width + b * height)).min(viewport.height / (c * width + d * height))
    }

    /// Returns the zoom at which [`Self::bounds`] has a size of `width` × `height` level-0 pixels, or fits
    /// into it.
    pub fn zoom_to_span(&self, width: f64, height: f64, viewport: Viewport) -> f64 {
        let [[a, b], [c, d]] = self.rotation_matrix().map(|row| row.map(f64::abs));
        let (width, height) = self.stretch.extent((width, height));
        let across = (a * viewport.width + c * viewport.height) / width;
        across.min((b * viewport.width + d * viewport.height) / height)
    }

    /// Returns the nearest zoom that [`Self::clamp`] allows.
    pub fn clamp_zoom(&self, zoom: f64, width: f64, height: f64, viewport: Viewport) -> f64 {
        zoom.clamp((self.fit_zoom(width, height, viewport) / 2.0).min(1.0), MAX_ZOOM)
    }

    /// Returns the number of clockwise quarter turns (0 to 3), or `None` for any other rotation.
    pub fn quarter_turns(&self) -> Option<u8> {
        let turns = self.rotation / FRAC_PI_2;
        let is_whole = (turns - turns.round()).abs() * FRAC_PI_2 < QUARTER_TOLERANCE;
        is_whole.then(|| turns.round().rem_euclid(4.0) as u8)
    }

    /// Whether the slide is neither rotated nor mirrored.
    pub fn is_upright(&self) -> bool {
        self.quarter_turns() == Some(0) && !self.flip_horizontal && !self.flip_vertical
    }

    /// Rotation and mirroring from drawn pixels to the screen, as rows of an orthogonal 2 × 2 matrix.
    pub fn rotation_matrix(&self) -> [[f64; 2]; 2] {
        // Quarter turns are exact, which keeps slide pixels on screen pixels.
        let (sin, cos) = match self.quarter_turns() {
            Some(0) => (0.0, 1.0),
            Some(1) => (1.0, 0.0),
            Some(2) => (0.0, -1.0),
            Some(_) => (-1.0, 0.0),
            None => self.rotation.sin_cos(),
        };
        let sign = |flipped: bool| if flipped { -1.0 } else { 1.0 };
        let (x, y) = (sign(self.flip_horizontal), sign(self.flip_vertical));
        [[cos * x, -sin * y], [sin * x, cos * y]]
    }

    /// Converts a level-0 position to a screen position.
    pub fn screen_from_level0(&self, point: Level0Point, viewport: Viewport) -> ScreenPoint {
        let [[a, b], [c, d]] = self.rotation_matrix();
        let zoom = self.zooms();
        let (x, y) = ((point.x - self.center.x) * zoom.0, (point.y - self.center.y) * zoom.1);
        let middle = viewport.center();
        ScreenPoint { x: middle.x + a * x + b * y, y: middle.y + c * x + d * y }
    }

    /// Converts a screen position to a level-0 position.
    pub fn level0_from_screen(&self, point: ScreenPoint, viewport: Viewport) -> Level0Point {
        let [[a, b], [c, d]] = self.rotation_matrix();
        let middle = viewport.center();
        let (x, y) = ((point.x - middle.x) / self.zoom, (point.y - middle.y) / self.zoom);
        // The orientation is orthogonal: its inverse is its transpose.
        let Stretch { x: across, y: down } = self.stretch;
        Level0Point::new(self.center.x + (a * x + c * y) / across, self.center.y + (b * x + d * y) / down)
    }

    /// Level-0 positions of the canvas corners: top-left, top-right, bottom-right, bottom-left of the screen.
    pub fn corners(&self, viewport: Viewport) -> [Level0Point; 4] {
        [(0.0, 0.0), (viewport.width, 0.0), (viewport.width, viewport.height), (0.0, viewport.height)]
            .map(|(x, y)| self.level0_from_screen(ScreenPoint { x, y }, viewport))
    }

    /// Top-left and bottom-right of the smallest upright rectangle on the slide that contains the canvas, in
    /// level-0 pixels.
    pub fn bounds(&self, viewport: Viewport) -> (Level0Point, Level0Point) {
        let corners = self.corners(viewport);
        let over = |pick: fn(f64, f64) -> f64, axis: fn(&Level0Point) -> f64| {
            corners.iter().map(axis).reduce(pick).unwrap_or(0.0)
        };
        (
            Level0Point::new(over(f64::min, |point| point.x), over(f64::min, |point| point.y)),
            Level0Point::new(over(f64::max, |point| point.x), over(f64::max, |point| point.y)),
        )
    }

    /// Returns the smallest picture with this camera's rotation and mirroring that contains all `points`: a
    /// camera at its centre, and its size in drawn pixels along its own axes. For quarter turns, its edges
    /// lie between slide pixels. `None` if `points` is empty.
    pub fn around(&self, points: &[Level0Point]) -> Option<(Self, (f64, f64))> {
        let [[a, b], [c, d]] = self.rotation_matrix();
        let extent = |along: &dyn Fn(Level0Point) -> f64, pixel: f64| {
            let drawn = || points.iter().map(|point| along(self.stretch.drawn(*point)));
            let (low, high) = (drawn().reduce(f64::min)?, drawn().reduce(f64::max)?);
            let between = |edge: f64| (edge / pixel).round() * pixel;
            let edges =
                if self.quarter_turns().is_some() { (between(low), between(high)) } else { (low, high) };
            Some(((edges.0 + edges.1) / 2.0, (edges.1 - edges.0).max(1.0)))
        };
        // Length of a slide pixel's edge along each screen axis, in drawn pixels.
        let Stretch { x: wide, y: high } = self.stretch;
        let pixel = if self.quarter_turns().is_some_and(|turns| turns % 2 == 1) {
            (high, wide)
        } else {
            (wide, high)
        };
        let (x, across) = extent(&|point| a * point.x + b * point.y, pixel.0)?;
        let (y, down) = extent(&|point| c * point.x + d * point.y, pixel.1)?;
        let center = self.stretch.level0(Level0Point::new(a * x + c * y, b * x + d * y));
        Some((Self { center, ..*self }, (across, down)))
    }

    /// Applies `change`, then moves the view so that the slide position under `anchor` stays there.
    fn hold(&mut self, anchor: ScreenPoint, viewport: Viewport, change: impl FnOnce(&mut Self)) {
        let before = self.level0_from_screen(anchor, viewport);
        change(self);
        let after = self.level0_from_screen(anchor, viewport);
        self.center.x += before.x - after.x;
        self.center.y += before.y - after.y;
    }

    /// Sets the zoom and keeps the slide position under `anchor`.
    pub fn zoom_about(&mut self, zoom: f64, anchor: ScreenPoint, viewport: Viewport) {
        self.hold(anchor, viewport, |camera| camera.zoom = zoom);
    }

    /// Sets the rotation (radians, clockwise) and keeps the slide position under `anchor`.
    pub fn turn_about(&mut self, rotation: f64, anchor: ScreenPoint, viewport: Viewport) {
        self.hold(anchor, viewport, |camera| camera.rotation = canonical(rotation));
    }

    /// Mirrors the screen left to right at any rotation; the centre stays.
    pub fn mirror_left_right(&mut self) {
        // Mirroring after a rotation equals mirroring before the opposite rotation.
        self.rotation = canonical(-self.rotation);
        self.flip_horizontal ^= true;
    }

    /// Mirrors the screen top to bottom at any rotation; the centre stays.
    pub fn mirror_top_bottom(&mut self) {
        self.rotation = canonical(-self.rotation);
        self.flip_vertical ^= true;
    }

    /// Moves the slide by a number of screen pixels.
    pub fn pan(&mut self, dx: f64, dy: f64) {
        let [[a, b], [c, d]] = self.rotation_matrix();
        let zoom = self.zooms();
        self.center.x -= (a * dx + c * dy) / zoom.0;
        self.center.y -= (b * dx + d * dy) / zoom.1;
    }

    /// Limits the zoom to between half the zoom that fits the whole slide and `MAX_ZOOM`, and the centre to
    /// the slide.
    pub fn clamp(&mut self, width: f64, height: f64, viewport: Viewport) {
        self.zoom = self.clamp_zoom(self.zoom, width, height, viewport);
        self.center.x = self.center.x.clamp(0.0, width);
        self.center.y = self.center.y.clamp(0.0, height);
    }

    /// Returns this view moved by less than a screen pixel, so that slide pixels fall on whole screen pixels:
    /// at 1:1 the canvas then shows exactly the slide's pixels. Views at other rotations than quarter turns
    /// cannot be aligned, and views below 1:1 need not be.
    pub fn aligned(&self, viewport: Viewport) -> Self {
        if self.zoom < 1.0 || self.quarter_turns().is_none() {
            return *self;
        }
        let origin = self.screen_from_level0(Level0Point::default(), viewport);
        let mut aligned = *self;
        aligned.pan(origin.x.round() - origin.x, origin.y.round() - origin.y);
        aligned
    }
}

/// Movement of a view between two moments, to be repeated by linked views.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Movement {
    /// Displacement of the centre along the screen axes, in drawn pixels of the view that moved.
    along: (f64, f64),
    zoom: f64,
    /// Rotation in radians, clockwise, applied after mirroring.
    turn: f64,
    left_right: bool,
    top_bottom: bool,
}

impl Camera {
    /// Returns the movement from `before` to this camera, or `None` if they are equal.
    pub fn movement_since(&self, before: &Self) -> Option<Movement> {
        if self == before {
            return None;
        }
        let left_right = self.flip_horizontal != before.flip_horizontal;
        let top_bottom = self.flip_vertical != before.flip_vertical;
        let mut mirrored = *before;
        mirrored.mirror(left_right, top_bottom);
        let [[a, b], [c, d]] = self.rotation_matrix();
        let (x, y) = self.stretch.extent((self.center.x - before.center.x, self.center.y - before.center.y));
        Some(Movement {
            along: (a * x + b * y, c * x + d * y),
            zoom: self.zoom / before.zoom,
            turn: self.rotation - mirrored.rotation,
            left_right,
            top_bottom,
        })
    }

    /// Repeats the movement of another view. `scale` is the number of drawn pixels here per drawn pixel
    /// there.
    pub fn move_along(&mut self, movement: &Movement, scale: f64) {
        self.mirror(movement.left_right, movement.top_bottom);
        self.rotation = canonical(self.rotation + movement.turn);
        let [[a, b], [c, d]] = self.rotation_matrix();
        let (x, y) = (movement.along.0 * scale, movement.along.1 * scale);
        self.center.x += (a * x + c * y) / self.stretch.x;
        self.center.y += (b * x + d * y) / self.stretch.y;
        self.zoom *= movement.zoom;
    }

    fn mirror(&mut self, left_right: bool, top_bottom: bool) {
        if left_right {
            self.mirror_left_right();
        }
        if top_bottom {
            self.mirror_top_bottom();
        }
    }
}

/// Normalises a rotation to (−π, π]. Rotations within the tolerance of a quarter turn become exactly that
/// quarter turn.
pub fn canonical(rotation: f64) -> f64 {
    let quarters = (rotation / FRAC_PI_2).round();
    if (rotation - quarters * FRAC_PI_2).abs() >= QUARTER_TOLERANCE {
        return rotation - ((rotation - PI) / TAU).ceil() * TAU;
    }
    match quarters.rem_euclid(4.0) as u8 {
        0 => 0.0,
        1 => FRAC_PI_2,
        2 => PI,
        _ => -FRAC_PI_2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cameras() -> impl Strategy<Value = Camera> {
        let stretches = prop_oneof![
            Just(Stretch::NONE),
            (1.0..8.0).prop_map(|x| Stretch { x, y: 1.0 }),
            (1.0..8.0).prop_map(|y| Stretch { x: 1.0, y }),
        ];
        let places = (0.0..200_000.0, 0.0..200_000.0);
        (places, -9.0f64..3.4, -7.0..7.0, any::<(bool, bool)>(), stretches).prop_map(
            |((x, y), log_zoom, rotation, (flip_horizontal, flip_vertical), stretch)| Camera {
                center: Level0Point::new(x, y),
                zoom: log_zoom.exp(),
                stretch,
                rotation,
                flip_horizontal,
                flip_vertical,
            },
        )
    }

    const VIEWPORT: Viewport = Viewport { width: 1201.0, height: 800.0 };

    proptest! {
        #[test]
        fn screen_and_slide_lead_into_each_other(camera in cameras(), x in -500.0..2000.0, y in -500.0..2000.0) {
            let point = ScreenPoint { x, y };
            let back = camera.screen_from_level0(camera.level0_from_screen(point, VIEWPORT), VIEWPORT);
            prop_assert!((back.x - x).hypot(back.y - y) < 1e-5, "{back:?}");
        }

        #[test]
        fn zooming_keeps_what_is_under_the_pointer(camera in cameras(), zoom in 0.001..32.0, x in 0.0..1201.0, y in 0.0..800.0) {
            let anchor = ScreenPoint { x, y };
            let held = camera.level0_from_screen(anchor, VIEWPORT);
            let mut zoomed = camera;
            zoomed.zoom_about(zoom, anchor, VIEWPORT);
            let now = zoomed.screen_from_level0(held, VIEWPORT);
            prop_assert!((now.x - x).hypot(now.y - y) < 1e-5, "{now:?}");
        }

        #[test]
        fn panning_moves_the_slide_with_the_hand(camera in cameras(), dx in -900.0..900.0, dy in -900.0..900.0) {
            let grabbed = camera.level0_from_screen(ScreenPoint { x: 300.0, y: 200.0 }, VIEWPORT);
            let mut moved = camera;
            moved.pan(dx, dy);
            let now = moved.screen_from_level0(grabbed, VIEWPORT);
            prop_assert!((now.x - 300.0 - dx).hypot(now.y - 200.0 - dy) < 1e-5, "{now:?}");
        }

        #[test]
        fn aligning_moves_by_less_than_a_pixel_onto_whole_pixels(mut camera in cameras(), turns in 0..4) {
            camera.zoom = camera.zoom.max(1.0);
            camera.rotation = f64::from(turns) * FRAC_PI_2;
            let point = camera.center;
            let aligned = camera.aligned(VIEWPORT);
            let (before, after) = (camera.screen_from_level0(point, VIEWPORT), aligned.screen_from_level0(point, VIEWPORT));
            prop_assert!((before.x - after.x).abs() <= 0.5001 && (before.y - after.y).abs() <= 0.5001);
            let origin = aligned.screen_from_level0(Level0Point::default(), VIEWPORT);
            prop_assert!((origin.x - origin.x.round()).abs() < 1e-4 && (origin.y - origin.y.round()).abs() < 1e-4);
        }

        #[test]
        fn turning_keeps_what_is_under_the_anchor(camera in cameras(), turn in -9.0..9.0, x in 0.0..1201.0, y in 0.0..800.0) {
            let anchor = ScreenPoint { x, y };
            let held = camera.level0_from_screen(anchor, VIEWPORT);
            let mut turned = camera;
            turned.turn_about(turn, anchor, VIEWPORT);
            let now = turned.screen_from_level0(held, VIEWPORT);
            prop_assert!((now.x - x).hypot(now.y - y) < 1e-5, "{now:?}");
            prop_assert!(turned.rotation.abs() <= PI);
        }

        #[test]
        fn mirrors_swap_sides_of_the_screen_however_the_view_is_turned(camera in cameras(), x in 0.0..1201.0, y in 0.0..800.0) {
            let point = camera.level0_from_screen(ScreenPoint { x, y }, VIEWPORT);
            let (mut left_right, mut top_bottom) = (camera, camera);
            left_right.mirror_left_right();
            top_bottom.mirror_top_bottom();
            let (across, down) = (left_right.screen_from_level0(point, VIEWPORT), top_bottom.screen_from_level0(point, VIEWPORT));
            // A rotation within the tolerance of a quarter turn is treated as a quarter turn, hence a
            // fraction of a pixel.
            prop_assert!((across.x - (1201.0 - x)).abs() < 0.01 && (across.y - y).abs() < 0.01, "{across:?}");
            prop_assert!((down.x - x).abs() < 0.01 && (down.y - (800.0 - y)).abs() < 0.01, "{down:?}");
        }

        #[test]
        fn the_zoom_that_spans_a_views_bounds_is_its_own(camera in cameras()) {
            let (low, high) = camera.bounds(VIEWPORT);
            let zoom = camera.zoom_to_span(high.x - low.x, high.y - low.y, VIEWPORT);
            prop_assert!((zoom / camera.zoom - 1.0).abs() < 1e-5, "{zoom}");
        }

        #[test]
        fn a_view_that_moves_along_stays_beside_the_one_that_leads(
            before in cameras(), turn in -4.0..4.0, dx in -900.0..900.0, flips in any::<(bool, bool)>(),
        ) {
            let mut after = before;
            after.mirror(flips.0, flips.1);
            after.turn_about(after.rotation + turn, ScreenPoint { x: 30.0, y: 700.0 }, VIEWPORT);
            after.zoom_about(after.zoom * 1.7, ScreenPoint { x: 900.0, y: 50.0 }, VIEWPORT);
            after.pan(dx, 12.0);
            // The same slide scanned at half the pixel size, and seen at the same magnification.
            let finer = |camera: &Camera| Camera {
                center: Level0Point::new(camera.center.x * 2.0, camera.center.y * 2.0),
                zoom: camera.zoom / 2.0,
                ..*camera
            };
            let mut follower = finer(&before);
            follower.move_along(&after.movement_since(&before).expect("it moved"), 2.0);
            let expected = finer(&after);
            prop_assert!(follower.center.distance_px(expected.center) * expected.zoom < 0.01);
            prop_assert!((follower.zoom / expected.zoom - 1.0).abs() < 1e-9);
            let apart = (follower.rotation - expected.rotation).rem_euclid(TAU);
            prop_assert!(apart.min(TAU - apart) < 3e-6, "{apart}");
        }

        #[test]
        fn the_picture_around_a_views_own_corners_is_the_view(camera in cameras()) {
            let (around, span) = camera.around(&camera.corners(VIEWPORT)).expect("four corners");
            // Upright views are aligned with whole slide pixels.
            let pixel = camera.stretch.x.max(camera.stretch.y);
            let slack = if camera.quarter_turns().is_some() { pixel } else { 1e-6 };
            prop_assert!((span.0 - VIEWPORT.width / camera.zoom).abs() <= slack + 1e-6);
            prop_assert!((span.1 - VIEWPORT.height / camera.zoom).abs() <= slack + 1e-6);
            prop_assert!(around.center.distance_px(camera.center) <= slack + 1e-3);
        }

        #[test]
        fn bounds_hold_every_corner(camera in cameras()) {
            let (low, high) = camera.bounds(VIEWPORT);
            for corner in camera.corners(VIEWPORT) {
                prop_assert!(low.x <= corner.x && corner.x <= high.x && low.y <= corner.y && corner.y <= high.y);
            }
        }
    }

    #[test]
    fn a_region_keeps_slide_pixels_whole_however_it_is_turned_by_quarters() {
        for turn in 0..4 {
            let mut camera = Camera::upright(Level0Point::new(500.0, 300.0));
            camera.turn_about(f64::from(turn) * FRAC_PI_2, VIEWPORT.center(), VIEWPORT);
            let corners = [Level0Point::new(100.3, 50.2), Level0Point::new(350.9, 249.6)];
            let (around, span) = camera.around(&corners).expect("two corners");
            assert_eq!(span, if turn % 2 == 0 { (251.0, 200.0) } else { (200.0, 251.0) });
            assert_eq!(around.center, Level0Point::new(225.5, 150.0));
        }
        assert_eq!(Camera::upright(Level0Point::default()).around(&[]), None);
    }

    #[test]
    fn stretched_pixels_lie_in_square_microns_however_the_view_is_turned() {
        // At 0.5 × 0.25 µm per pixel, 100 µm are 200 pixels along x and 400 along y, and 400 drawn pixels
        // along both.
        let stretch = Stretch { x: 2.0, y: 1.0 };
        for turn in [0.0, 0.4, FRAC_PI_2, 2.0] {
            let mut camera =
                Camera { stretch, zoom: 0.5, ..Camera::upright(Level0Point::new(1000.0, 1000.0)) };
            camera.turn_about(turn, VIEWPORT.center(), VIEWPORT);
            let middle = VIEWPORT.center();
            for (dx, dy) in [(200.0, 0.0), (0.0, 400.0), (-120.0, 320.0)] {
                let at = camera.screen_from_level0(Level0Point::new(1000.0 + dx, 1000.0 + dy), VIEWPORT);
                assert!(((at.x - middle.x).hypot(at.y - middle.y) - 200.0).abs() < 1e-9, "{turn}: {at:?}");
            }
        }
        let fit = Camera::fit_stretched(2048.0, 3072.0, stretch, VIEWPORT);
        assert_eq!(fit.zoom, 800.0 / 3072.0 * FIT_SHARE);
        let turned = Camera { rotation: FRAC_PI_2, ..fit }.fitted(2048.0, 3072.0, VIEWPORT);
        assert_eq!(turned.zoom, 800.0 / 4096.0 * FIT_SHARE);
        let corners = [Level0Point::new(100.3, 50.2), Level0Point::new(350.9, 249.6)];
        assert_eq!(fit.around(&corners).expect("two corners").1, (502.0, 200.0));
    }

    #[test]
    fn fit_shows_the_whole_slide_however_it_is_turned() {
        for turn in [0.0, 0.3, FRAC_PI_2, 2.5, -1.0] {
            let mut camera = Camera::fit(40_000.0, 8000.0, VIEWPORT);
            camera.rotation = turn;
            let camera = camera.fitted(40_000.0, 8000.0, VIEWPORT);
            for (x, y) in [(0.0, 0.0), (40_000.0, 0.0), (40_000.0, 8000.0), (0.0, 8000.0)] {
                let corner = camera.screen_from_level0(Level0Point::new(x, y), VIEWPORT);
                let (width, height) = (VIEWPORT.width, VIEWPORT.height);
                assert!((0.0..=width).contains(&corner.x) && (0.0..=height).contains(&corner.y), "{turn}");
            }
        }
    }

    #[test]
    fn twenty_four_steps_of_15_degrees_are_a_whole_turn_to_the_last_bit() {
        let upright = Camera::fit(4000.0, 3000.0, VIEWPORT);
        let mut camera = upright;
        for step in 1..=24 {
            camera.turn_about(camera.rotation + 15.0_f64.to_radians(), VIEWPORT.center(), VIEWPORT);
            assert_eq!(camera.quarter_turns().is_some(), step % 6 == 0);
        }
        assert_eq!((camera.rotation, camera.rotation_matrix()), (0.0, upright.rotation_matrix()));
    }

    #[test]
    fn clamping_brings_a_lost_view_back() {
        let mut camera = Camera::fit(1000.0, 1000.0, VIEWPORT);
        camera.center = Level0Point::new(-5000.0, 99_999.0);
        camera.zoom = 1e9;
        camera.clamp(1000.0, 1000.0, VIEWPORT);
        assert_eq!((camera.center, camera.zoom), (Level0Point::new(0.0, 1000.0), MAX_ZOOM));
    }
}
