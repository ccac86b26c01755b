//! Pointer input on a canvas: panning, zooming, rotating, clicking.

use egui::{
    CursorIcon, Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, PointerButton, Pos2, Rect, Response,
    Ui, Vec2,
};

use super::annotate::Taken;
use super::camera::{ScreenPoint, canonical};
use super::{CanvasOutcome, SlideView};

/// Zoom factor of one notch of a mouse wheel.
const WHEEL_NOTCH: f64 = 1.25;
/// Rotation per notch of a mouse wheel, in degrees.
const TURN_NOTCH: f64 = 5.0;
/// A free rotation closer than this to a quarter turn snaps to it, in degrees.
const MAGNET: f64 = 1.0;

/// A free rotation in progress.
#[derive(Debug, Clone, Copy)]
pub struct FreeTurn {
    /// The slide's rotation at the start of the drag, in radians.
    rotation: f64,
    /// Direction of the pointer from the centre of the canvas at the start of the drag, in radians.
    direction: f64,
}

/// What gestures do, as far as the user can choose.
#[derive(Debug, Clone, Copy, Default)]
pub struct InputSettings {
    /// Whether a double-click is reported instead of zooming in.
    pub reports_double_clicks: bool,
    /// Whether two fingers on a trackpad zoom, as a wheel does, instead of panning.
    pub trackpad_zooms: bool,
}

impl SlideView {
    /// Handles pointer input: panning, zooming, rotation, clicks. `scale` is physical pixels per point.
    pub(super) fn handle_input(
        &mut self,
        ui: &Ui,
        response: &Response,
        (overview, taken): (Rect, Taken),
        scale: f32,
        outcome: &mut CanvasOutcome,
    ) {
        let origin = response.rect.min;
        let screen = |at: Pos2| ScreenPoint {
            x: f64::from((at.x - origin.x) * scale),
            y: f64::from((at.y - origin.y) * scale),
        };
        let hover = response.hover_pos().filter(|at| !overview.contains(*at));
        outcome.hovered = hover
            .map(|at| self.camera.level0_from_screen(screen(at), self.viewport))
            .filter(|at| at.x >= 0.0 && at.y >= 0.0 && at.x < self.extent.0 && at.y < self.extent.1);

        let modifiers = ui.input(|input| input.modifiers);
        let space = ui.input(|input| input.key_down(Key::Space));
        self.turn_by_hand(ui, response, modifiers, screen);
        if self.free_turn.is_none() {
            self.pan_by_hand(ui, response, scale, !(self.drawing || taken.drags) || space);
        }
        if hover.is_some() && space && !response.dragged() {
            ui.ctx().set_cursor_icon(CursorIcon::Grab);
        }
        if taken.clicks {
            // A tool has handled the click.
        } else if response.double_clicked() && self.input.reports_double_clicks {
            outcome.double_clicked = outcome.hovered.filter(|_| !space && !modifiers.alt && !self.drawing);
        } else if response.double_clicked() {
            if let Some(at) = hover {
                self.zoom_by_about(2.0, screen(at));
            }
        } else if response.clicked() {
            self.motion.stop();
            outcome.clicked = outcome.hovered.filter(|_| !space && !modifiers.alt && !self.drawing);
        }
        if let Some(at) = hover {
            let gestures = ui.input(|input| Gestures::of(&input.events, self.input));
            if gestures.pan != Vec2::ZERO {
                self.motion.stop();
                let by = gestures.pan * scale;
                self.camera.pan(by.x.into(), by.y.into());
            }
            if gestures.zoom != 1.0 {
                self.zoom_by_about(gestures.zoom, screen(at));
            }
            if gestures.turn != 0.0 {
                self.motion.turn_by(&self.camera, gestures.turn, screen(at));
            }
        }
    }

    /// Pans with the middle button, or with the left one if it does not draw. The slide glides on after a
    /// quick release.
    fn pan_by_hand(&mut self, ui: &Ui, response: &Response, scale: f32, left_pans: bool) {
        let pans = |by: fn(&Response, PointerButton) -> bool| {
            by(response, PointerButton::Middle) || left_pans && by(response, PointerButton::Primary)
        };
        if pans(Response::dragged_by) {
            self.motion.stop();
            let by = response.drag_delta() * scale;
            self.camera.pan(by.x.into(), by.y.into());
            ui.ctx().set_cursor_icon(CursorIcon::Grabbing);
        }
        if pans(Response::drag_stopped_by) {
            let velocity = ui.input(|input| input.pointer.velocity()) * scale;
            self.motion.fling(velocity.x.into(), velocity.y.into());
        }
    }

    /// With Alt held, a drag rotates the slide about the centre of the canvas.
    fn turn_by_hand(
        &mut self,
        ui: &Ui,
        response: &Response,
        modifiers: Modifiers,
        screen: impl Fn(Pos2) -> ScreenPoint,
    ) {
        let middle = self.viewport.center();
        let towards = |at: Pos2| {
            let at = screen(at);
            (at.y - middle.y).atan2(at.x - middle.x)
        };
        let direction = response.interact_pointer_pos().map(towards);
        if response.drag_started_by(PointerButton::Primary) && modifiers.alt {
            self.motion.finish_turn(&mut self.camera, self.viewport);
            self.motion.stop();
            let rotation = self.camera.rotation;
            // The press position, not the current one: the pointer has already moved when a press is
            // recognised as a drag.
            let pressed = ui.input(|input| input.pointer.press_origin());
            self.free_turn = pressed.map(towards).map(|direction| FreeTurn { rotation, direction });
        }
        if !response.dragged_by(PointerButton::Primary) {
            // In the frame of the release the slide neither rotates nor pans.
            self.free_turn = self.free_turn.filter(|_| response.drag_stopped());
            return;
        }
        if let Some((hold, direction)) = self.free_turn.zip(direction) {
            let turned = near_quarter_exact(hold.rotation + direction - hold.direction);
            self.camera.turn_about(turned, middle, self.viewport);
            ui.ctx().set_cursor_icon(CursorIcon::Grabbing);
        }
    }
}

fn near_quarter_exact(rotation: f64) -> f64 {
    let quarter = std::f64::consts::FRAC_PI_2;
    let nearest = (rotation / quarter).round() * quarter;
    canonical(if (rotation - nearest).abs() < MAGNET.to_radians() { nearest } else { rotation })
}

/// Zoom, rotation and movement requested by wheel and trackpad in one frame.
#[derive(Debug, PartialEq)]
struct Gestures {
    /// How far the slide moves, in points.
    pan: Vec2,
    /// Zoom factor; 1 for none.
    zoom: f64,
    /// Rotation in radians, clockwise.
    turn: f64,
}

impl Gestures {
    fn of(events: &[Event], settings: InputSettings) -> Self {
        let mut all = Self { pan: Vec2::ZERO, zoom: 1.0, turn: 0.0 };
        for event in events {
            match event {
                Event::Zoom(factor) => all.zoom *= f64::from(*factor),
                Event::Rotate(radians) => all.turn += f64::from(*radians),
                Event::MouseWheel { unit, delta, modifiers, source, .. }
                    if is_trackpad(*unit, *source) && !modifiers.any() && !settings.trackpad_zooms =>
                {
                    all.pan += *delta;
                }
                Event::MouseWheel { unit, delta, modifiers, .. } => {
                    // Some systems report a wheel with Alt or Shift held as horizontal scrolling.
                    let along = if delta.y == 0.0 && modifiers.any() { delta.x } else { delta.y };
                    let notches = match unit {
                        MouseWheelUnit::Line | MouseWheelUnit::Page => f64::from(along),
                        MouseWheelUnit::Point => f64::from(along) / 50.0,
                    };
                    let notches = notches.clamp(-6.0, 6.0);
                    match modifiers.alt {
                        true => all.turn += (notches * TURN_NOTCH).to_radians(),
                        false => all.zoom *= WHEEL_NOTCH.powf(notches),
                    }
                }
                _ => {}
            }
        }
        all
    }
}

/// Whether scrolling comes from fingers. Only they move by less than a line; wheels report lines where the
/// system does not name the source.
fn is_trackpad(unit: MouseWheelUnit, source: MouseWheelSource) -> bool {
    match source {
        MouseWheelSource::Wheel => false,
        MouseWheelSource::Unknown => unit == MouseWheelUnit::Point,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::TouchPhase;

    fn wheel(delta: Vec2, modifiers: Modifiers) -> Event {
        let (unit, phase) = (MouseWheelUnit::Line, TouchPhase::Move);
        Event::MouseWheel { unit, delta, phase, modifiers, source: MouseWheelSource::Wheel }
    }

    #[test]
    fn the_wheel_zooms_and_with_alt_it_turns() {
        let settings = InputSettings::default();
        let zoom = Gestures::of(&[wheel(Vec2::new(0.0, 2.0), Modifiers::NONE)], settings);
        assert_eq!(zoom, Gestures { pan: Vec2::ZERO, zoom: WHEEL_NOTCH * WHEEL_NOTCH, turn: 0.0 });
        for delta in [Vec2::new(0.0, 3.0), Vec2::new(3.0, 0.0)] {
            let turn = Gestures::of(&[wheel(delta, Modifiers::ALT)], settings);
            assert_eq!(turn, Gestures { pan: Vec2::ZERO, zoom: 1.0, turn: 15.0_f64.to_radians() });
        }
    }

    #[test]
    fn two_fingers_pan_and_zoom_with_ctrl_or_when_set_so() {
        let fingers = |source, modifiers| {
            let (unit, phase) = (MouseWheelUnit::Point, TouchPhase::Move);
            Event::MouseWheel { unit, delta: Vec2::new(-8.0, 50.0), phase, modifiers, source }
        };
        let pans = InputSettings::default();
        let zooms = InputSettings { trackpad_zooms: true, ..pans };
        for source in [MouseWheelSource::Trackpad, MouseWheelSource::Unknown] {
            let panned = Gestures::of(&[fingers(source, Modifiers::NONE)], pans);
            assert_eq!(panned, Gestures { pan: Vec2::new(-8.0, 50.0), zoom: 1.0, turn: 0.0 });
            for (modifiers, settings) in [(Modifiers::COMMAND, pans), (Modifiers::NONE, zooms)] {
                let zoomed = Gestures::of(&[fingers(source, modifiers)], settings);
                assert_eq!((zoomed.pan, zoomed.zoom), (Vec2::ZERO, WHEEL_NOTCH), "{modifiers:?}");
            }
        }
        let wheel = Gestures::of(&[fingers(MouseWheelSource::Wheel, Modifiers::NONE)], pans);
        assert_eq!((wheel.pan, wheel.zoom), (Vec2::ZERO, WHEEL_NOTCH));
    }

    #[test]
    fn a_turn_by_hand_holds_on_to_quarter_turns() {
        let degrees = |turn: f64| near_quarter_exact(turn.to_radians()).to_degrees();
        assert_eq!((degrees(0.9), degrees(-90.6), degrees(269.7)), (0.0, -90.0, -90.0));
        assert!((degrees(47.0) - 47.0).abs() < 1e-9);
    }
}
