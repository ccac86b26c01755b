//! The question before closing the window with annotations that could not be saved.

use egui::{Button, RichText, Ui};

use super::dialog_width;
use super::dialogs::title_ui;
use crate::session::{AnnotationCommand, Session, ViewCommand};
use crate::slide::SlideId;
use crate::ui::actions::AnnotationAction;
use crate::ui::app::{Requests, slide_name};
use crate::ui::theme::Palette;

/// Draws the unsaved slides and the possible actions; returns whether to close the dialog. Sets `leave` if
/// the user closes the window without saving.
pub fn unsaved_ui(
    ui: &mut Ui,
    session: &Session,
    leave: &mut bool,
    palette: &Palette,
    requests: &mut Requests,
) -> bool {
    dialog_width(ui, 440.0);
    title_ui(ui, "Annotations are not saved", palette);
    let slides: Vec<SlideId> = session.unsaved_annotations().cloned().collect();
    if slides.is_empty() {
        // Saved in the meantime: the window can close.
        *leave = true;
        ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close);
        return true;
    }
    for slide in &slides {
        let reason =
            session.annotations(slide).and_then(|annotations| annotations.unsaved()).unwrap_or_default();
        ui.label(RichText::new(slide_name(session, slide)).color(palette.strong));
        ui.add(egui::Label::new(RichText::new(reason).small().color(palette.weak)).wrap());
        ui.add_space(6.0);
    }
    let mut done = false;
    ui.horizontal(|ui| {
        if ui.add(Button::new("Try again")).on_hover_text("Try again to save them in the project").clicked() {
            for slide in &slides {
                requests.command(AnnotationCommand::SaveAgain(slide.clone()));
            }
        }
        let elsewhere = ui.add(Button::new("Save as…"));
        if elsewhere.on_hover_text("Save the annotations of the first slide as another file").clicked() {
            requests.command(ViewCommand::Show(slides[0].clone()));
            requests.action(AnnotationAction::Export);
            done = true;
        }
        let close = ui.add(Button::new("Close without saving"));
        if close.on_hover_text("The latest changes will be lost").clicked() {
            *leave = true;
            ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close);
        }
        done |= ui.add(Button::new("Cancel")).clicked();
    });
    done && !*leave
}
