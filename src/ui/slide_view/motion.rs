//! Animation of a view between frames: eased zooming, panning and rotation, gliding after a release, and
//! flights to a position.

use super::camera::{Camera, ScreenPoint, Viewport};
use crate::geometry::Level0Point;

/// Time constants of easing, in seconds: after each, the remaining movement has shrunk to 37 %.
const ZOOM_EASE: f64 = 0.055;
const PAN_EASE: f64 = 0.07;
const TURN_EASE: f64 = 0.06;
const GLIDE_DECAY: f64 = 0.22;
/// A release slower than this, in screen pixels per second, does not glide.
const SLOWEST_THROW: f64 = 150.0;
/// A glide slower than this, in screen pixels per second, ends.
const SLOWEST_GLIDE: f64 = 12.0;
/// Duration of a flight, in seconds.
const FLIGHT_SECONDS: f64 = 0.22;

/// Movement in progress; the default is rest.
#[derive(Debug, Clone, Default)]
pub struct Motion {
    zoom: Option<ZoomTo>,
    turn: Option<TurnTo>,
    /// Remaining distance to pan, in screen pixels.
    pan: Option<(f64, f64)>,
    /// Velocity in screen pixels per second.
    glide: Option<(f64, f64)>,
    flight: Option<Flight>,
}

#[derive(Debug, Clone, Copy)]
struct ZoomTo {
    zoom: f64,
    anchor: ScreenPoint,
}

#[derive(Debug, Clone, Copy)]
struct TurnTo {
    /// Target in radians, clockwise. Not reduced to one full turn, so that the rotation follows the requested
    /// direction.
    rotation: f64,
    anchor: ScreenPoint,
    /// Current rotation of the easing, on the same scale.
    current: f64,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    from: (Level0Point, f64),
    to: (Level0Point, f64),
    elapsed: f64,
}

impl Motion {
    /// Multiplies the target zoom by `factor`, keeping the slide position under `anchor`.
    pub fn zoom_by(&mut self, camera: &Camera, factor: f64, anchor: ScreenPoint, clamp: impl Fn(f64) -> f64) {
        let heading_for = self.zoom.map_or(camera.zoom, |zoom| zoom.zoom);
        self.zoom_to(clamp(heading_for * factor), anchor);
    }

    /// Zooms to `zoom`, keeping the slide position under `anchor`.
    pub fn zoom_to(&mut self, zoom: f64, anchor: ScreenPoint) {
        self.flight = None;
        self.glide = None;
        self.zoom = Some(ZoomTo { zoom, anchor });
    }

    /// Adds `radians` clockwise to the target rotation, keeping the slide position under `anchor`.
    pub fn turn_by(&mut self, camera: &Camera, radians: f64, anchor: ScreenPoint) {
        let (heading_for, current) =
            self.turn.map_or((camera.rotation, camera.rotation), |turn| (turn.rotation, turn.current));
        self.turn = Some(TurnTo { rotation: heading_for + radians, anchor, current });
    }

    /// Rotates to upright by the shorter way, about `anchor`.
    pub fn turn_upright(&mut self, camera: &Camera, anchor: ScreenPoint) {
        self.turn = Some(TurnTo { rotation: 0.0, anchor, current: camera.rotation });
    }

    /// Completes a rotation in progress at once.
    pub fn finish_turn(&mut self, camera: &mut Camera, viewport: Viewport) {
        if let Some(TurnTo { rotation, anchor, .. }) = self.turn.take() {
            camera.turn_about(rotation, anchor, viewport);
        }
    }

    /// Pans smoothly by a number of screen pixels.
    pub fn pan_by(&mut self, dx: f64, dy: f64) {
        self.flight = None;
        let (x, y) = self.pan.unwrap_or_default();
        self.pan = Some((x + dx, y + dy));
    }

    /// Starts gliding at a velocity in screen pixels per second.
    pub fn fling(&mut self, vx: f64, vy: f64) {
        self.glide = (vx.hypot(vy) > SLOWEST_THROW).then_some((vx, vy));
    }

    /// Flies to a level-0 position and zoom.
    pub fn fly(&mut self, camera: &Camera, center: Level0Point, zoom: f64) {
        *self = Self { turn: self.turn, ..Self::default() };
        self.flight = Some(Flight { from: (camera.center, camera.zoom), to: (center, zoom), elapsed: 0.0 });
    }

    /// Stops all movement except a rotation, which runs to its end: nobody means to stop between two rotation
    /// steps.
    pub fn stop(&mut self) {
        *self = Self { turn: self.turn, ..Self::default() };
    }

    /// Advances by `seconds`. Returns whether anything is still moving.
    pub fn step(&mut self, camera: &mut Camera, viewport: Viewport, seconds: f64) -> bool {
        let share = |ease: f64| 1.0 - (-seconds / ease).exp();
        if let Some(ZoomTo { zoom, anchor }) = self.zoom {
            let left = (zoom / camera.zoom).ln();
            if left.abs() < 0.004 {
                camera.zoom_about(zoom, anchor, viewport);
                self.zoom = None;
            } else {
                camera.zoom_about(camera.zoom * (left * share(ZOOM_EASE)).exp(), anchor, viewport);
            }
        }
        if let Some(TurnTo { rotation, anchor, current }) = &mut self.turn {
            let left = *rotation - *current;
            if left.abs() < 0.002 {
                self.finish_turn(camera, viewport);
            } else {
                *current += left * share(TURN_EASE);
                camera.turn_about(*current, *anchor, viewport);
            }
        }
        if let Some((dx, dy)) = self.pan {
            let part = if dx.hypot(dy) < 1.0 { 1.0 } else { share(PAN_EASE) };
            camera.pan(dx * part, dy * part);
            self.pan = (part < 1.0).then_some((dx * (1.0 - part), dy * (1.0 - part)));
        }
        if let Some((vx, vy)) = self.glide {
            let glide_seconds = GLIDE_DECAY * share(GLIDE_DECAY);
            camera.pan(vx * glide_seconds, vy * glide_seconds);
            let kept = 1.0 - share(GLIDE_DECAY);
            self.glide = (vx.hypot(vy) * kept > SLOWEST_GLIDE).then_some((vx * kept, vy * kept));
        }
        if let Some(flight) = &mut self.flight {
            flight.elapsed += seconds;
            let done = (flight.elapsed / FLIGHT_SECONDS).min(1.0);
            if done >= 1.0 {
                (camera.center, camera.zoom) = flight.to;
                self.flight = None;
            } else {
                let eased = done * done * (3.0 - 2.0 * done);
                let mix = |from: f64, to: f64| from + (to - from) * eased;
                let (from, to) = (flight.from, flight.to);
                camera.zoom = mix(from.1.ln(), to.1.ln()).exp();
                camera.center = Level0Point::new(mix(from.0.x, to.0.x), mix(from.0.y, to.0.y));
            }
        }
        let Self { zoom, turn, pan, glide, flight } = self;
        zoom.is_some() || turn.is_some() || pan.is_some() || glide.is_some() || flight.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEWPORT: Viewport = Viewport { width: 800.0, height: 600.0 };
    const FRAME: f64 = 1.0 / 60.0;

    fn camera() -> Camera {
        Camera::fit(10_000.0, 10_000.0, VIEWPORT)
    }

    fn run(motion: &mut Motion, camera: &mut Camera) -> usize {
        (1..1000).find(|_| !motion.step(camera, VIEWPORT, FRAME)).expect("movement ends")
    }

    #[test]
    fn zooming_ends_exactly_where_it_was_sent() {
        let (mut camera, mut motion) = (camera(), Motion::default());
        let anchor = ScreenPoint { x: 100.0, y: 50.0 };
        let held = camera.level0_from_screen(anchor, VIEWPORT);
        motion.zoom_to(1.0, anchor);
        run(&mut motion, &mut camera);
        assert_eq!(camera.zoom, 1.0);
        let now = camera.screen_from_level0(held, VIEWPORT);
        assert!((now.x - anchor.x).hypot(now.y - anchor.y) < 1e-6);
    }

    #[test]
    fn turns_of_the_wheel_add_up_while_it_eases() {
        let (mut camera, mut motion) = (camera(), Motion::default());
        let start = camera.zoom;
        for _ in 0..3 {
            motion.zoom_by(&camera, 2.0, VIEWPORT.center(), |zoom| zoom);
            motion.step(&mut camera, VIEWPORT, FRAME);
        }
        run(&mut motion, &mut camera);
        assert!((camera.zoom - start * 8.0).abs() < 1e-12);
    }

    #[test]
    fn turns_add_up_the_way_they_were_asked_for_and_end_exactly() {
        let (mut camera, mut motion) = (camera(), Motion::default());
        let quarter = std::f64::consts::FRAC_PI_2;
        for _ in 0..3 {
            motion.turn_by(&camera, quarter, VIEWPORT.center());
            motion.step(&mut camera, VIEWPORT, FRAME);
        }
        run(&mut motion, &mut camera);
        assert_eq!((camera.rotation, camera.quarter_turns()), (-quarter, Some(3)));
        motion.turn_upright(&camera, VIEWPORT.center());
        run(&mut motion, &mut camera);
        assert!(camera.is_upright());
    }

    #[test]
    fn a_pan_arrives_and_a_throw_comes_to_rest() {
        let (mut camera, mut motion) = (camera(), Motion::default());
        let start = camera.center;
        motion.pan_by(-120.0, 0.0);
        run(&mut motion, &mut camera);
        assert!(((camera.center.x - start.x) * camera.zoom - 120.0).abs() < 1e-6);
        motion.fling(0.0, -2000.0);
        run(&mut motion, &mut camera);
        let thrown = (camera.center.y - start.y) * camera.zoom;
        assert!((300.0..2000.0 * GLIDE_DECAY).contains(&thrown), "{thrown}");
        motion.fling(20.0, 20.0);
        assert!(!motion.step(&mut camera, VIEWPORT, FRAME), "a slow release does not glide");
    }

    #[test]
    fn a_flight_ends_at_its_goal_whatever_the_frame_rate() {
        for frame in [1.0 / 240.0, 1.0 / 60.0, 0.25] {
            let (mut camera, mut motion) = (camera(), Motion::default());
            motion.fly(&camera, Level0Point::new(123.0, 456.0), 0.5);
            while motion.step(&mut camera, VIEWPORT, frame) {}
            assert_eq!((camera.center, camera.zoom), (Level0Point::new(123.0, 456.0), 0.5));
        }
    }
}
