//! The dialog that gives a concept its name and its class.

use egui::{Margin, RichText, TextEdit, Ui};

use super::dialog_width;
use super::dialogs::{confirm_ui, title_ui};
use crate::annotation::AnnotationClass;
use crate::concept::Concept;
use crate::session::{ConceptCommand, Session};
use crate::ui::app::Requests;
use crate::ui::theme::Palette;

/// Input of the dialog.
#[derive(Default)]
pub struct ConceptForm {
    name: String,
    class: String,
    /// Present name and class of the concept that is changed.
    changed: Option<(String, AnnotationClass)>,
}

impl ConceptForm {
    /// Returns the form that changes a concept.
    pub fn change(concept: &Concept) -> Self {
        Self {
            name: concept.name.clone(),
            class: concept.class.name.clone(),
            changed: Some((concept.name.clone(), concept.class.clone())),
        }
    }

    /// Returns the class that was entered, which is that of the concept's `name` if there was none.
    fn class(&self, name: &str, known: &[AnnotationClass]) -> AnnotationClass {
        let wanted = if self.class.trim().is_empty() { name } else { self.class.trim() };
        match &self.changed {
            // A concept of another project may have a class that this one does not have.
            Some((_, class)) if class.name == wanted => class.clone(),
            _ => AnnotationClass::among(wanted, known),
        }
    }
}

/// Draws the dialog; returns whether to close it.
pub fn concept_ui(
    ui: &mut Ui,
    form: &mut ConceptForm,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) -> bool {
    dialog_width(ui, 440.0);
    let title = if form.changed.is_some() { "Change concept" } else { "Save as concept" };
    title_ui(ui, title, palette);
    let field = |ui: &mut Ui, name: &str, edit: TextEdit<'_>| {
        let label = ui.label(RichText::new(name).color(palette.text));
        ui.add(edit.desired_width(f32::INFINITY).margin(Margin::symmetric(10, 8))).labelled_by(label.id)
    };
    let response = field(ui, "Name", TextEdit::singleline(&mut form.name).hint_text("Liver parenchyma"));
    if !response.has_focus() && form.name.is_empty() && form.class.is_empty() {
        response.request_focus();
    }
    let name = form.name.trim().to_owned();
    ui.add_space(6.0);
    field(ui, "Class", TextEdit::singleline(&mut form.class).hint_text("same as the name"));
    let text = match &form.changed {
        Some(_) => "Regions that the concept finds from now on get this class.",
        None => {
            "The marks and what they teach are kept with the project. Regions that the concept finds get this class."
        }
    };
    ui.label(RichText::new(text).small().color(palette.weak));
    let is_known = session.concept(&name).is_some();
    let is_taken = is_known && form.changed.as_ref().is_some_and(|(present, _)| *present != name);
    if is_known && form.changed.is_none() {
        let is_asked = session.asked_concept().is_some_and(|concept| concept.name == name);
        let text = match is_asked {
            true => format!("Adds to the marks of the concept {name}."),
            false => format!("Replaces the concept {name}."),
        };
        ui.label(RichText::new(text).small().color(palette.query));
    }
    if is_taken {
        ui.label(RichText::new("There is a concept of this name already.").small().color(palette.error));
    }
    let is_name = name.chars().any(char::is_alphanumeric) && name.chars().count() <= 100;
    let label = if form.changed.is_some() { "Change" } else { "Save" };
    let obstacle = match (is_name, is_taken) {
        (false, _) => Some("Enter a name with a letter or a digit, of at most 100 characters"),
        (true, true) => Some("Enter a name that no other concept has"),
        (true, false) => None,
    };
    confirm_ui(ui, label, obstacle, palette, || {
        let (to, class) = (name.clone(), form.class(&name, &session.project().classes()));
        requests.command(match &form.changed {
            Some((name, _)) => ConceptCommand::Change { name: name.clone(), to, class },
            None => ConceptCommand::Teach { name: to, class },
        });
    })
}
