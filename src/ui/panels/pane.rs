//! Decoration of the panes when several are open.

use egui::{FontId, Pos2, Rect, RichText, Sense, Stroke, StrokeKind, Ui, Vec2};

use crate::session::Session;
use crate::slide::SlideId;
use crate::ui::short_names::slide_name_within;
use crate::ui::theme::Palette;

/// Draws the slide's name in the corner, and a frame around the active pane.
pub fn pane_ui(
    ui: &Ui,
    rect: Rect,
    session: &Session,
    slide: Option<&SlideId>,
    active: bool,
    palette: &Palette,
) {
    let painter = ui.painter_at(rect);
    if let Some(slide) = slide {
        let color = if active { palette.on_chip } else { palette.on_chip.gamma_multiply(0.8) };
        let room = (rect.width() - 44.0).max(40.0);
        let font = FontId::proportional(12.0);
        let name = slide_name_within(ui, session, slide, &font, room);
        let mut job = egui::text::LayoutJob::simple_singleline(name.clone(), font, color);
        job.wrap = egui::text::TextWrapping::truncate_at_width(room);
        let galley = painter.layout_job(job);
        let chip = Rect::from_min_size(rect.min + Vec2::splat(10.0), galley.size() + Vec2::new(16.0, 8.0));
        painter.rect_filled(chip, 5.0, palette.chip);
        painter.galley(chip.min + Vec2::new(8.0, 4.0), galley, color);
        let full = session.slide_name(slide).filter(|full| *full != name);
        if let Some(full) = full {
            ui.interact(chip, ui.scope_id().with((slide, "name")), Sense::hover()).on_hover_text(full);
        }
    }
    if active {
        painter.rect_stroke(rect, 0.0, Stroke::new(2.0, palette.accent), StrokeKind::Inside);
    }
}

/// Draws a pane without a slide, or one whose slide is being opened (`is_opening`); returns whether it was
/// pressed.
pub fn empty_ui(ui: &mut Ui, is_opening: bool, palette: &Palette) -> bool {
    let rect = ui.available_rect_before_wrap();
    let response = ui.allocate_rect(rect, Sense::click());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "empty pane"));
    ui.painter().rect_filled(rect, 0.0, palette.canvas);
    let label = Rect::from_center_size(rect.center(), Vec2::new((rect.width() - 24.0).max(0.0), 40.0));
    let text = if is_opening { "Opening…" } else { "Click here, then click a slide in the list" };
    let text = RichText::new(text).color(palette.weak);
    ui.put(label, egui::Label::new(text).selectable(false));
    let at = |input: &egui::InputState| input.pointer.interact_pos().unwrap_or(Pos2::ZERO);
    response.is_pointer_button_down_on()
        && ui.input(|input| input.pointer.any_pressed() && rect.contains(at(input)))
}
