//! Messages over the canvas. Errors stay until they are dismissed; notices disappear by themselves. Of many
//! messages only the newest are shown, with the number of others, so that the slide stays visible.

use std::path::Path;

use egui::{
    Align, Align2, Button, Frame, Id, Layout, Margin, Rect, RichText, ScrollArea, Sense, Stroke, Ui,
    UiBuilder, Vec2,
};
use egui_material_icons::{MaterialIcon, icons};

use super::hint_room::HintRoom;
use super::{ICON_BUTTON, icon_button};
use crate::encoder;
use crate::number_format::sentence;
use crate::project::ReadOnly;
use crate::session::{
    AnnotationCommand, EmbeddingCommand, Message, MessageCommand, Remedy, Session, Severity, SlideCommand,
    ViewCommand,
};
use crate::slide::SlideId;
use crate::slide::calibration::SlideWarning;
use crate::ui::actions::{AnnotationAction, SlideAction};
use crate::ui::app::Requests;
use crate::ui::theme::Palette;

/// Number of messages shown until the user expands the list.
const SHOWN: usize = 2;

/// Width of the column of messages in points.
const WIDTH: f32 = 460.0;

/// Draws the messages in a column at the top of the canvas, newest first.
pub fn messages_ui(ui: &mut Ui, canvas: Rect, session: &Session, palette: &Palette, requests: &mut Requests) {
    let info = session.active().map(|slide| slide.shown().info());
    let needs_mpp = info.is_some_and(|info| info.mpp.is_none());
    let (doubts, notes): (Vec<_>, Vec<_>) = info
        .into_iter()
        .flat_map(|info| info.warnings.iter().map(|warning| (&info.id, warning)))
        .filter(|(slide, warning)| !is_dismissed(ui, slide, warning))
        .partition(|(_, warning)| warning.concerns_pixel_size());
    let read_only = session.project().read_only();
    let is_any = needs_mpp || !doubts.is_empty() || !notes.is_empty() || read_only.is_some();
    if session.messages().is_empty() && !is_any {
        return;
    }
    let width = WIDTH.min((canvas.width() - 32.0).max(0.0));
    let top = Rect::from_min_size(
        egui::Pos2::new(canvas.center().x - width / 2.0, canvas.top() + 12.0),
        Vec2::new(width, canvas.height() * 0.5),
    );
    ui.scope_builder(UiBuilder::new().max_rect(top).layout(Layout::top_down(Align::Min)), |ui| {
        ui.spacing_mut().item_spacing.y = 8.0;
        if let Some(why) = read_only {
            read_only_ui(ui, why, session.project().root(), palette, requests);
        }
        if needs_mpp && doubts.is_empty() {
            calibration_ui(ui, palette, requests);
        }
        for (_, doubt) in doubts {
            doubt_ui(ui, doubt, needs_mpp, palette, requests);
        }
        for (slide, note) in notes {
            note_ui(ui, slide, note, palette);
        }
        let messages = session.messages();
        let expanded = ui.scope_id().with("all messages");
        let shows_all = ui.data(|data| data.get_temp(expanded)).unwrap_or(false);
        let shown = if shows_all { messages.len() } else { messages.len().min(SHOWN) };
        ScrollArea::vertical().max_height(canvas.height() * 0.4).show(ui, |ui| {
            for message in messages.iter().rev().take(shown) {
                message_ui(ui, message, palette, requests);
            }
        });
        if messages.len() > SHOWN {
            ui.horizontal(|ui| {
                let label = match shows_all {
                    true => "Show fewer".to_owned(),
                    false => format!("Show {} more", messages.len() - shown),
                };
                if ui
                    .add(Button::new(label).small())
                    .on_hover_text("Show all messages or only the newest")
                    .clicked()
                {
                    ui.data_mut(|data| data.insert_temp(expanded, !shows_all));
                }
                let all = ui.add(Button::new("Dismiss all").small());
                if all.on_hover_text("Remove all messages").clicked() {
                    messages.iter().for_each(|message| requests.command(MessageCommand::Dismiss(message.id)));
                }
            });
        }
    });
}

fn card(palette: &Palette, color: egui::Color32) -> Frame {
    Frame::new()
        .fill(palette.raised)
        .stroke(Stroke::new(1.0, color))
        .corner_radius(8)
        .inner_margin(Margin::symmetric(12, 8))
        .shadow(palette.shadow)
}

fn message_ui(ui: &mut Ui, message: &Message, palette: &Palette, requests: &mut Requests) {
    let (icon, color) = match message.severity {
        Severity::Error => (icons::ICON_ERROR, palette.error),
        Severity::Note => (icons::ICON_INFO, palette.accent),
    };
    card(palette, color.gamma_multiply(0.6)).show(ui, |ui| {
        ui.horizontal_top(|ui| {
            ui.label(icon.rich_text().size(18.0).color(color));
            let room = (ui.available_width() - ICON_BUTTON - ui.spacing().item_spacing.x).max(0.0);
            ui.vertical(|ui| {
                ui.set_width(room);
                let short = without_folder(&message.text);
                let text = RichText::new(short).color(palette.text);
                let label = ui.add(egui::Label::new(text).wrap().selectable(true));
                if short.len() < message.text.len() {
                    label.on_hover_text(&message.text);
                }
                if let Some(remedy) = &message.remedy {
                    ui.horizontal(|ui| remedy_ui(ui, remedy, requests));
                }
            });
            if icon_button(ui, icons::ICON_CLOSE, "dismiss", "Dismiss this message", palette.weak).clicked() {
                requests.command(MessageCommand::Dismiss(message.id));
            }
        });
    });
}

/// Returns a message about a file without the folder that it begins with.
fn without_folder(text: &str) -> &str {
    let (path, _) = text.split_once(": ").unwrap_or_default();
    let name = if Path::new(path).is_absolute() { Path::new(path).file_name() } else { None };
    let name = name.and_then(|name| name.to_str()).filter(|name| path.ends_with(name));
    name.map_or(text, |name| &text[path.len() - name.len()..])
}

/// Draws buttons for what the user can do about a message.
fn remedy_ui(ui: &mut Ui, remedy: &Remedy, requests: &mut Requests) {
    let mut button = |text: &str, hint: &str| ui.add(Button::new(text).small()).on_hover_text(hint).clicked();
    match remedy {
        Remedy::OpenAgain(path) => {
            if button("Try again", "Open the file again") {
                requests.command(SlideCommand::Retry(path.clone()));
            }
            let hint = "Choose the file at its new location; a slide is recognised by its content";
            if button("Locate file…", hint) {
                requests.action(SlideAction::OpenFiles);
            }
        }
        Remedy::OpenProject(root) => {
            if button("Open project", "Open that project in this window") {
                requests.command(SlideCommand::Open(vec![root.clone()]));
            }
        }
        Remedy::SaveAnnotations(slide) => {
            if button("Try again", "Try again to save them in the project") {
                requests.command(AnnotationCommand::SaveAgain(slide.clone()));
            }
            if button("Save as…", "Save them as a file for QuPath or ASAP, for example on another disk") {
                requests.command(ViewCommand::Show(slide.clone()));
                requests.action(AnnotationAction::Export);
            }
        }
        Remedy::EmbedAgain(slide) => {
            if button("Try again", "Embed the slide, continuing where it stopped") {
                requests.command(EmbeddingCommand::EmbedAgain(slide.clone()));
            }
        }
        Remedy::NewerEncoder(own) => {
            let hint =
                "Embed all slides again with it; searches use the current descriptors until that is done";
            if button(&format!("Switch to {}", encoder::DEFAULT), hint) {
                requests.command(EmbeddingCommand::ChooseEncoder(encoder::DEFAULT.to_owned()));
            }
            if button("Keep current encoder", "Keep the project's encoder and dismiss this message") {
                requests.command(EmbeddingCommand::ChooseEncoder(own.clone()));
            }
        }
        Remedy::Report(report) => {
            if button("Copy report", "Copy the details for the developers; they contain no slide names") {
                ui.ctx().copy_text(report.clone());
            }
        }
    }
}

/// Draws the reason why the project is read-only.
fn read_only_ui(ui: &mut Ui, why: &ReadOnly, root: &Path, palette: &Palette, requests: &mut Requests) {
    let text = format!("This project is read-only: {why}. You can view and search slides.");
    persistent_message_ui(ui, (icons::ICON_LOCK, palette.accent), &text, palette, |ui| {
        let again = ui
            .add(Button::new("Try again").small())
            .on_hover_text("Open the project again with write access");
        if again.clicked() {
            requests.command(SlideCommand::Open(vec![root.to_owned()]));
        }
    });
}

/// Draws what is doubtful about the pixel size of the active slide, with the button that resolves it.
fn doubt_ui(ui: &mut Ui, doubt: &SlideWarning, needs_mpp: bool, palette: &Palette, requests: &mut Requests) {
    let mut text = sentence(&doubt.text());
    if needs_mpp {
        text += " Set the pixel size to measure, embed and search this slide.";
    }
    persistent_message_ui(ui, (icons::ICON_STRAIGHTEN, palette.query), &text, palette, |ui| {
        if ui.add(Button::new("Set pixel size…").small()).clicked() {
            requests.action(SlideAction::Calibrate);
        }
    });
}

/// Draws a note on how the active slide is shown, until it is dismissed. The slide's properties keep it.
fn note_ui(ui: &mut Ui, slide: &SlideId, note: &SlideWarning, palette: &Palette) {
    let color = palette.accent;
    card(palette, color.gamma_multiply(0.6)).show(ui, |ui| {
        ui.horizontal_top(|ui| {
            ui.label(icons::ICON_INFO.rich_text().size(18.0).color(color));
            let room = (ui.available_width() - ICON_BUTTON - ui.spacing().item_spacing.x).max(0.0);
            ui.vertical(|ui| {
                ui.set_width(room);
                let text = RichText::new(sentence(&note.text())).color(palette.text);
                ui.add(egui::Label::new(text).wrap());
            });
            let hint = "Dismiss this note; the slide's properties keep it";
            if icon_button(ui, icons::ICON_CLOSE, "dismiss", hint, palette.weak).clicked() {
                ui.data_mut(|data| data.insert_persisted(dismissal(slide, note), true));
            }
        });
    });
}

/// Key under which the window remembers, also after a restart, that a note on a slide was dismissed.
fn dismissal(slide: &SlideId, note: &SlideWarning) -> Id {
    Id::unique(("dismissed note on a slide", &slide.0, note.text()))
}

/// Whether a note on a slide was dismissed. What is doubtful about its pixel size stays.
fn is_dismissed(ui: &Ui, slide: &SlideId, note: &SlideWarning) -> bool {
    let dismissed = |key| ui.data_mut(|data| data.get_persisted(key)).unwrap_or(false);
    !note.concerns_pixel_size() && dismissed(dismissal(slide, note))
}

fn calibration_ui(ui: &mut Ui, palette: &Palette, requests: &mut Requests) {
    let text =
        "The file does not state the slide's pixel size. Set it to measure, embed and search this slide.";
    persistent_message_ui(ui, (icons::ICON_STRAIGHTEN, palette.query), text, palette, |ui| {
        if ui.add(Button::new("Set pixel size…").small()).clicked() {
            requests.action(SlideAction::Calibrate);
        }
    });
}

/// Draws a message that stays as long as its cause exists, with `remedy` below it.
fn persistent_message_ui(
    ui: &mut Ui,
    (icon, color): (MaterialIcon, egui::Color32),
    text: &str,
    palette: &Palette,
    remedy: impl FnOnce(&mut Ui),
) {
    card(palette, color.gamma_multiply(0.6)).show(ui, |ui| {
        ui.horizontal_top(|ui| {
            ui.label(icon.rich_text().size(18.0).color(color));
            ui.vertical(|ui| {
                ui.set_width(ui.available_width());
                ui.add(egui::Label::new(RichText::new(text).color(palette.text)).wrap());
                remedy(ui);
            });
        });
    });
}

/// Draws a short notice where there is `room`.
pub fn notice_ui(ui: &Ui, room: HintRoom, text: &str, palette: &Palette) {
    let font = egui::FontId::proportional(14.0);
    let galley = ui.painter().layout(text.to_owned(), font, palette.on_chip, room.area.width() * 0.8);
    let size = galley.size() + Vec2::new(28.0, 16.0);
    let rect = Align2::CENTER_BOTTOM.align_size_within_rect(size, room.for_width(size.x));
    ui.painter().rect_filled(rect, 8.0, palette.chip);
    ui.painter().galley(rect.min + Vec2::new(14.0, 8.0), galley, palette.on_chip);
    ui.interact(rect, egui::Id::unique("notice"), Sense::hover())
        .widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn messages_name_a_file_without_its_folder() {
        let cases = [
            (
                "/a/long folder/Ä slide.svs: cannot be opened: it is empty",
                "Ä slide.svs: cannot be opened: it is empty",
            ),
            ("/a/project/: is read-only", "/a/project/: is read-only"),
            ("slide.svs: cannot be opened", "slide.svs: cannot be opened"),
            ("Saved to /a/b: done", "Saved to /a/b: done"),
            ("/: is full", "/: is full"),
            ("no colon", "no colon"),
        ];
        for (text, shown) in cases {
            assert_eq!(without_folder(text), shown);
        }
    }
}
