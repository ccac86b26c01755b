//! The question before closing the window with annotations that could not be saved.

use egui::{Button, RichText, Ui};

use super::dialog_width;
use super::dialogs::title_ui;
use crate::session::{AnnotationCommand, Session, SlideCommand, ViewCommand};
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
    let elsewhere = session.unsaved_elsewhere();
    if slides.is_empty() && elsewhere.is_empty() {
        // Saved in the meantime: the window can close.
        *leave = true;
        ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close);
        return true;
    }
    let mut unsaved_ui = |name: String, reason: &str| {
        ui.label(RichText::new(name).color(palette.strong));
        ui.add(egui::Label::new(RichText::new(reason).small().color(palette.weak)).wrap());
        ui.add_space(6.0);
    };
    for slide in &slides {
        let reason =
            session.annotations(slide).and_then(|annotations| annotations.unsaved()).unwrap_or_default();
        unsaved_ui(slide_name(session, slide), reason);
    }
    for entry in elsewhere {
        unsaved_ui(format!("{} in {}", entry.name, entry.root.display()), &entry.reason);
    }
    let mut done = false;
    ui.horizontal(|ui| {
        let Some(first) = slides.first() else {
            let open = ui.add(Button::new("Open project"));
            if open.on_hover_text("Open that project, to save its annotations elsewhere").clicked() {
                requests.command(SlideCommand::Open(vec![elsewhere[0].root.clone()]));
                done = true;
            }
            leave_ui(ui, leave);
            done |= ui.add(Button::new("Cancel")).clicked();
            return;
        };
        if ui.add(Button::new("Try again")).on_hover_text("Try again to save them in the project").clicked() {
            for slide in &slides {
                requests.command(AnnotationCommand::SaveAgain(slide.clone()));
            }
        }
        let save = ui.add(Button::new("Save as…"));
        if save.on_hover_text("Save the annotations of the first slide as another file").clicked() {
            requests.command(ViewCommand::Show(first.clone()));
            requests.action(AnnotationAction::Export);
            done = true;
        }
        leave_ui(ui, leave);
        done |= ui.add(Button::new("Cancel")).clicked();
    });
    done && !*leave
}

/// Draws the button that closes the window all the same.
fn leave_ui(ui: &mut Ui, leave: &mut bool) {
    let close = ui.add(Button::new("Close without saving"));
    if close.on_hover_text("The latest changes will be lost").clicked() {
        *leave = true;
        ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close);
    }
}
