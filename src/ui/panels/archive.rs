//! The dialog that connects the project to a department's archive.

use egui::{Margin, RichText, TextEdit, Ui};

use super::dialog_width;
use super::dialogs::{confirm_ui, title_ui};
use crate::project::{ArchiveUrl, Password, Project};
use crate::session::ArchiveCommand;
use crate::ui::app::Requests;
use crate::ui::theme::Palette;

/// Input of the dialog.
pub struct ArchiveForm {
    url: String,
    password: String,
    /// Whether the project has an archive already.
    is_set: bool,
}

impl ArchiveForm {
    /// Returns the form filled with the project's archive address, if it has one.
    pub fn of(project: &Project) -> Self {
        let url = project.archive().map(ToString::to_string);
        Self { is_set: url.is_some(), url: url.unwrap_or_default(), password: String::new() }
    }
}

/// Draws the dialog; returns whether to close it.
pub fn archive_ui(ui: &mut Ui, form: &mut ArchiveForm, palette: &Palette, requests: &mut Requests) -> bool {
    dialog_width(ui, 560.0);
    title_ui(ui, "Department archive", palette);
    let text = "Queries with the scope \u{201c}Archive\u{201d} are also sent to this PostgreSQL server. The \
                program makes no other network connections.";
    ui.label(RichText::new(text).color(palette.weak));
    ui.add_space(10.0);
    let field = |ui: &mut Ui, name: &str, edit: TextEdit<'_>| {
        let label = ui.label(RichText::new(name).color(palette.text));
        ui.add(edit.desired_width(f32::INFINITY).margin(Margin::symmetric(10, 8))).labelled_by(label.id)
    };
    let url = TextEdit::singleline(&mut form.url).hint_text("postgresql://you@db.clinic.example/archive");
    let response = field(ui, "Address", url);
    if !response.has_focus() && form.url.is_empty() && form.password.is_empty() {
        response.request_focus();
    }
    ui.add_space(6.0);
    let password = TextEdit::singleline(&mut form.password).password(true);
    field(ui, "Password", password.hint_text("if empty: from PGPASSWORD or ~/.pgpass"));
    let text = "The address is saved in the project. The password is not saved; it is discarded when the \
                window closes.";
    ui.label(RichText::new(text).small().color(palette.weak));
    let url = form.url.trim().parse::<ArchiveUrl>();
    if let Err(problem) = &url
        && !form.url.trim().is_empty()
    {
        ui.label(RichText::new(problem.to_string()).small().color(palette.error));
    }
    let mut is_removed = false;
    if form.is_set {
        ui.add_space(6.0);
        let text = RichText::new("Disconnect").small().color(palette.accent);
        is_removed = ui.add(egui::Button::new(text).frame(false)).clicked();
        if is_removed {
            requests.command(ArchiveCommand::Set { url: None, password: None });
        }
    }
    let url = url.ok();
    let obstacle = url.is_none().then_some("Enter the address of the archive first");
    is_removed
        || confirm_ui(ui, "Connect", obstacle, palette, || {
            let password = Some(form.password.clone()).filter(|typed| !typed.is_empty()).map(Password::new);
            requests.command(ArchiveCommand::Set { url: url.clone(), password });
        })
}
