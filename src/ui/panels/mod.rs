//! The panels and dialogs of the window around the canvas.

pub mod about;
pub mod appearance;
pub mod annotation_tools;
mod archive;
pub mod annotations;
pub mod canvas_menu;
mod card;
mod colour_picker;
mod comparison;
pub mod concept_dialog;
mod detections;
pub mod dialogs;
pub mod first_steps;
mod help;
pub mod hint_room;
pub mod encoders;
pub mod matches;
pub mod messages;
pub mod pane;
pub mod position_dialog;
pub mod properties;
pub mod report;
pub mod save_view;
mod settings;
pub mod slides;
pub mod status;
pub mod tissue;
pub mod tools;
pub mod training;
mod unsaved;
pub mod welcome;

use egui::emath::Numeric;
use egui::text::{CCursor, CCursorRange};
use egui::{
    Align2, Button, Color32, CornerRadius, DragValue, Frame, Margin, Rect, Response, RichText, Sense, Stroke,
    TextEdit, TextureHandle, Ui, Vec2,
};
use egui_material_icons::MaterialIcon;

use super::actions::{self, Action};
use super::app::Requests;
use super::theme::{self, PANEL_MARGIN, Palette, RADIUS};
use crate::number_format::{self, counted};

/// Draws the header of a panel; `add` draws at its right end.
fn header_ui(ui: &mut Ui, palette: &Palette, title: &str, add: impl FnOnce(&mut Ui)) {
    Frame::new().inner_margin(Margin { left: PANEL_MARGIN, right: 8, top: 8, bottom: 6 }).show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.set_min_height(28.0);
            ui.label(RichText::new(title).family(theme::bold()).size(15.0).color(palette.strong));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), add);
        });
    });
}

/// Draws an icon button for an action; its tooltip has the action's name and shortcut. `on` is the state of
/// an action that toggles something.
fn action_icon_ui(
    ui: &mut Ui,
    action: impl Into<Action>,
    icon: MaterialIcon,
    on: Option<bool>,
    palette: &Palette,
    requests: &mut Requests,
) {
    let action = action.into();
    let entry = actions::entry(action);
    let color = match on {
        None => palette.text,
        Some(true) => palette.accent,
        Some(false) => palette.weak,
    };
    let hint = format!("{}\n{}", entry.name, entry.hint(ui.ctx()));
    let response = icon_button(ui, icon, entry.name, &hint, color);
    if let Some(on) = on {
        let is_enabled = response.enabled();
        response.widget_info(|| egui::WidgetInfo::selected(egui::Role::Button, is_enabled, on, entry.name));
    }
    if response.clicked() {
        requests.action(action);
    }
}

/// Sets the width of a dialog, limited by the width of the window; both in points.
fn dialog_width(ui: &mut Ui, wanted: f32) {
    let room = ui.ctx().content_rect().width() - 60.0;
    ui.set_width(wanted.min(room.max(0.0)));
}

/// Side of [`icon_button`] in points.
const ICON_BUTTON: f32 = 30.0;

/// Draws a square icon button without a frame until the pointer is over it. `name` is for screen readers; `hint` says what
/// it does, also while it is disabled.
fn icon_button(ui: &mut Ui, icon: MaterialIcon, name: &str, hint: &str, color: Color32) -> Response {
    let text = icon.rich_text().size(19.0).color(color);
    let button = Button::new(text).frame_when_inactive(false).min_size(Vec2::splat(ICON_BUTTON));
    ui.scope(|ui| {
        ui.spacing_mut().button_padding = Vec2::new(5.0, 4.0);
        let response = ui.add(button);
        let is_enabled = response.enabled();
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, is_enabled, name));
        response.on_hover_text(hint).on_disabled_hover_text(hint)
    })
    .inner
}

/// Draws an entry of a menu; returns whether it was chosen, which closes the menu.
fn menu_item_ui(ui: &mut Ui, icon: impl Into<RichText>, name: &str, shortcut: &str, hint: &str) -> bool {
    let mut button = Button::new((icon.into().size(17.0), name)).frame_when_inactive(false);
    if !shortcut.is_empty() {
        button = button.shortcut_text(shortcut);
    }
    let response = ui.add(button).on_hover_text(hint).accessible_name(name);
    if response.clicked() {
        ui.close();
    }
    response.clicked()
}

/// A field for a number, written and read in the user's number format.
fn number_field<N: Numeric>(value: &mut N) -> DragValue<'_> {
    DragValue::new(value).custom_parser(number_format::read)
}

/// Draws one of several alternative choices.
fn chip_ui(ui: &mut Ui, name: &str, chosen: bool, palette: &Palette) -> Response {
    let color = if chosen { palette.accent } else { palette.text };
    let fill = if chosen { palette.selected } else { Color32::TRANSPARENT };
    ui.add(Button::selectable(chosen, RichText::new(name).color(color)).fill(fill))
}

/// Draws a thin progress bar; `done` is 0 to 1.
fn progress_ui(ui: &mut Ui, done: f32, color: Color32, palette: &Palette) {
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 4.0), Sense::hover());
    ui.painter().rect_filled(rect, 2.0, palette.pressed);
    let filled = Rect::from_min_size(rect.min, Vec2::new(rect.width() * done.clamp(0.0, 1.0), rect.height()));
    ui.painter().rect_filled(filled, 2.0, color);
}

/// Draws what is being done in the background, and how far it is; `share` is 0 to 1.
fn task_ui(ui: &mut Ui, doing: &str, share: f64, palette: &Palette) {
    let text = format!("{doing} · {} %", number_format::decimal(100.0 * share.clamp(0.0, 1.0), 0));
    ui.label(RichText::new(text).small().color(palette.weak));
    progress_ui(ui, share as f32, palette.accent, palette);
}

/// Draws an image centred in `rect`, uncropped, on the colour of glass; a blank rectangle if there is none.
fn picture_ui(ui: &Ui, rect: Rect, picture: Option<&TextureHandle>, palette: &Palette) {
    let Some(picture) = picture else {
        ui.painter().rect_filled(rect, RADIUS - 2, palette.pressed);
        return;
    };
    ui.painter().rect_filled(rect, RADIUS - 2, palette.glass);
    let size = picture.size_vec2();
    let scale = (rect.width() / size.x).min(rect.height() / size.y);
    let area = Align2::CENTER_CENTER.align_size_within_rect(size * scale, rect);
    egui::Image::new(picture).corner_radius(CornerRadius::same(RADIUS - 2)).paint_at(ui, area);
}

/// Draws a clickable row of `height` points, highlighted when selected or under the pointer.
fn row_ui(ui: &mut Ui, height: f32, selected: bool, name: &str, palette: &Palette) -> (Rect, Response) {
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), height), Sense::click());
    response.widget_info(|| egui::WidgetInfo::selected(egui::Role::Button, true, selected, name));
    if response.gained_focus() {
        response.scroll_to_me(None);
    }
    let fill = match (selected, response.hovered()) {
        (true, _) => palette.selected,
        (false, true) => palette.hovered,
        (false, false) => palette.raised,
    };
    ui.painter().rect_filled(rect, RADIUS, fill);
    if response.has_focus() {
        ui.painter().rect_stroke(rect, RADIUS, Stroke::new(1.5, palette.accent), egui::StrokeKind::Inside);
    }
    (rect, response)
}

/// Draws contents from the top down into a part of a row that is already allocated.
fn text_over_ui(ui: &mut Ui, rect: Rect, add: impl FnOnce(&mut Ui)) {
    let layout = egui::Layout::top_down(egui::Align::Min);
    let mut inside = ui.new_child(egui::UiBuilder::new().max_rect(rect).layout(layout));
    // Line spacing by text height, not by the minimum height of buttons.
    inside.spacing_mut().interact_size.y = 0.0;
    add(&mut inside);
}

/// Draws one line of text, truncated with an ellipsis.
fn line_ui(ui: &mut Ui, text: RichText) {
    ui.add(egui::Label::new(text).truncate());
}

/// Draws a field for the path of a file to write. With `is_new`, the field gets the focus and the file name
/// without its extension is selected, so that typing replaces it.
fn path_edit_ui(ui: &mut Ui, path: &mut String, is_new: bool) -> Response {
    let edit = TextEdit::singleline(path).hint_text("/home/you/name").desired_width(f32::INFINITY);
    let mut output = edit.margin(Margin::symmetric(10, 8)).show(ui);
    output.response.ctx.accesskit_node_builder(output.response.id, |node| node.set_label("Path"));
    if is_new {
        let [from, to] = name_of(path).map(CCursor::new);
        output.state.cursor.set_char_range(Some(CCursorRange::two(from, to)));
        output.state.store(ui.ctx(), output.response.id);
        output.response.request_focus();
    }
    output.response.response
}

/// Returns where in a path the file name begins and where its extension begins, in characters.
fn name_of(path: &str) -> [usize; 2] {
    let begin = path.rfind(std::path::is_separator).map_or(0, |at| at + 1);
    let end = path[begin..].rfind('.').map_or(path.len(), |at| begin + at);
    [begin, end].map(|at| path[..at].chars().count())
}

/// Formats a duration in seconds: "40 s", "3 min", "2 h 5 min", "3 days".
fn waiting_time(seconds: f64) -> String {
    // Each unit is used from where the smaller one, as it is rounded, would reach it.
    let minutes = (seconds / 60.0).round() as u64;
    match minutes {
        _ if seconds <= 59.0 => format!("{} s", seconds.ceil().max(1.0)),
        ..60 => format!("{} min", minutes.max(1)),
        60..2880 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => counted(minutes / 1440, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_stands_between_its_folder_and_its_ending() {
        let name = |path: &str| {
            let [from, to] = name_of(path);
            path.chars().skip(from).take(to - from).collect::<String>()
        };
        assert_eq!(name("/home/ä/a slide.2.geojson"), "a slide.2");
        assert_eq!(name("no folder"), "no folder");
        assert_eq!(name("/a.b/"), "");
        assert_eq!(name(""), "");
    }

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(waiting_time(0.2), "1 s");
        assert_eq!(waiting_time(200.0), "3 min");
        assert_eq!(waiting_time(7500.0), "2 h 5 min");
        assert_eq!([59.0, 59.4, 89.0].map(waiting_time), ["59 s", "1 min", "1 min"]);
        assert_eq!([3569.0, 3590.0].map(waiting_time), ["59 min", "1 h 0 min"]);
        assert_eq!(
            [170_000.0, 172_800.0, 30.0 * 86_400.0].map(waiting_time),
            ["47 h 13 min", "2 days", "30 days"]
        );
    }
}
