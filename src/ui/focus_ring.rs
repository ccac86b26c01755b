//! The ring around the control that has the keyboard focus.

use egui::{Context, CornerRadius, Id, LayerId, Order, Stroke, StrokeKind};

use super::theme::Palette;

/// Width of the ring in points.
const WIDTH: f32 = 2.0;

/// Shows where the keyboard focus is, from when the keyboard moves it until the pointer is pressed.
#[derive(Default)]
pub struct FocusRing {
    focused: Option<Id>,
    is_shown: bool,
}

impl FocusRing {
    /// Draws the ring over everything else.
    pub fn ui(&mut self, context: &Context, palette: &Palette) {
        let focused = context.memory(|memory| memory.focused());
        let is_new = focused.is_some() && focused != self.focused;
        self.focused = focused;
        if context.input(|input| input.pointer.any_pressed()) {
            self.is_shown = false;
        } else if is_new {
            self.is_shown = true;
        }
        let Some(response) = focused.filter(|_| self.is_shown).and_then(|id| context.read_response(id))
        else {
            return;
        };
        // What was pressed may have closed the control, which loses the focus in the next frame only.
        if context.input(|input| !input.events.is_empty()) {
            context.request_repaint();
        }
        // Inside at the edges of the window, so that the ring of the slide is seen as well.
        let rect = response.interact_rect.expand(WIDTH).intersect(context.content_rect().shrink(WIDTH));
        let layer = LayerId::new(Order::Foreground, Id::unique("focus ring"));
        let stroke = Stroke::new(WIDTH, palette.accent);
        context.layer_painter(layer).rect_stroke(rect, CornerRadius::same(4), stroke, StrokeKind::Inside);
    }
}
