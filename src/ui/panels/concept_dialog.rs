//! The dialog that names a concept.

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
    /// Current name of the concept that is renamed.
    renamed: Option<String>,
}

impl ConceptForm {
    /// Returns the form that renames a concept.
    pub fn rename(concept: &Concept) -> Self {
        Self {
            name: concept.name.clone(),
            class: concept.class.name.clone(),
            renamed: Some(concept.name.clone()),
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
    let title = if form.renamed.is_some() { "Rename concept" } else { "Save as concept" };
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
    if form.renamed.is_none() {
        ui.add_space(6.0);
        field(ui, "Class", TextEdit::singleline(&mut form.class).hint_text("same as the name"));
        let text = "The marks and what they teach are kept with the project. Regions that the concept finds get this class.";
        ui.label(RichText::new(text).small().color(palette.weak));
    }
    let is_known = session.concept(&name).is_some();
    let is_taken = is_known && form.renamed.is_some() && form.renamed.as_deref() != Some(name.as_str());
    if is_known && form.renamed.is_none() {
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
    let label = if form.renamed.is_some() { "Rename" } else { "Save" };
    confirm_ui(ui, label, is_name && !is_taken, palette, || match &form.renamed {
        Some(known) => {
            requests.command(ConceptCommand::Rename { name: known.clone(), to: name.clone() });
        }
        None => {
            let wanted = if form.class.trim().is_empty() { name.as_str() } else { form.class.trim() };
            let class = AnnotationClass::among(wanted, &session.project().classes());
            requests.command(ConceptCommand::Teach { name: name.clone(), class });
        }
    })
}
