//! Modal dialogs: command palette, help, slide properties, pixel size, paths and others.

use std::path::{Path, PathBuf};

use egui::{
    Align, Button, Context, Frame, Id, Key, Layout, Margin, Modal, Response, RichText, ScrollArea, Stroke,
    TextEdit, Ui, Vec2,
};

use super::archive::{self, ArchiveForm};
use super::concept_dialog::{self, ConceptForm};
use super::position_dialog::{self, PositionForm};
use super::save_view::{self, SaveForm};
use super::settings::{self, SettingsForm};
use super::{about, dialog_width, help, path_edit_ui, properties, row_ui, unsaved};
use crate::geometry::MicronsPerPixel;
use crate::number_format::{plain, read_small, sentence};
use crate::project::Project;
use crate::session::{AnnotationCommand, Command, EmbeddingCommand, Session, SlideCommand};
use crate::slide::{SlideId, SlideInfo};
use crate::ui::actions::{self, Action, SlideAction, WindowAction};
use crate::ui::app::Requests;
use crate::ui::settings::Settings;
use crate::ui::shown_slides::ShownSlides;
use crate::ui::theme::{self, Palette};

/// The dialog that is open.
pub enum Dialog {
    /// Command palette: finds an action by name.
    Palette {
        /// Text typed so far.
        search: String,
        /// Index of the highlighted result.
        chosen: usize,
    },
    /// Gestures and keyboard shortcuts.
    Help,
    /// The user's settings.
    Settings(Box<SettingsForm>),
    /// Properties of a slide.
    Properties {
        /// The slide.
        slide: SlideId,
        /// Whether the label image is shown. It may contain a patient's name, so it is shown only on request.
        label_shown: bool,
    },
    /// Recently opened paths.
    Recent {
        /// The paths, the latest first.
        paths: Vec<PathBuf>,
        /// Text typed to filter them.
        search: String,
        /// Index of the highlighted path among those found.
        chosen: usize,
    },
    /// Pixel size of a slide.
    Calibrate {
        /// The slide.
        slide: SlideId,
        /// Text typed so far, in µm per pixel.
        typed: String,
    },
    /// Position to go to.
    Position(PositionForm),
    /// Address of the department's archive.
    Archive(ArchiveForm),
    /// Name of a concept.
    Concept(ConceptForm),
    /// Question whether the project's encoder may run: a TorchScript module that has not run on this computer
    /// before.
    TrustEncoder {
        /// File of the module.
        module: PathBuf,
    },
    /// Version and licences of the program.
    About,
    /// Saving the view as an image.
    SaveView(SaveForm),
    /// Opening a typed path.
    OpenPath {
        /// Text typed so far.
        typed: String,
    },
    /// File for a slide's annotations.
    ExportAnnotations {
        /// The slide.
        slide: SlideId,
        /// Path typed so far.
        typed: String,
        /// Whether this is the first frame of the dialog.
        is_new: bool,
    },
    /// Question before closing the window with unsaved annotations.
    Unsaved {
        /// Whether the user chose to close without saving.
        leave: bool,
    },
}

impl Dialog {
    /// Identifier of this kind of dialog; egui remembers the size of each kind separately.
    fn name(&self) -> &'static str {
        match self {
            Self::Palette { .. } => "palette dialog",
            Self::Help => "help dialog",
            Self::Settings(_) => "settings dialog",
            Self::Recent { .. } => "recent dialog",
            Self::Properties { .. } => "properties dialog",
            Self::Calibrate { .. } => "pixel size dialog",
            Self::Position(_) => "position dialog",
            Self::Archive(_) => "archive dialog",
            Self::Concept(_) => "concept dialog",
            Self::TrustEncoder { .. } => "trust dialog",
            Self::About => "about dialog",
            Self::SaveView(_) => "save dialog",
            Self::OpenPath { .. } => "path dialog",
            Self::ExportAnnotations { .. } => "export dialog",
            Self::Unsaved { .. } => "unsaved dialog",
        }
    }

    /// Returns the action that toggles this dialog, for dialogs without text input.
    pub fn opened_by(&self) -> Option<Action> {
        match self {
            Self::Properties { .. } => Some(Action::Slides(SlideAction::Properties)),
            Self::Settings(_) => Some(Action::Window(WindowAction::ToggleSettings)),
            _ => None,
        }
    }

    /// Whether the dialog waits for the new key of a command.
    pub fn is_assigning(&self) -> bool {
        matches!(self, Self::Settings(form) if form.is_assigning())
    }

    /// Returns the settings dialog.
    pub fn settings(settings: Settings) -> Self {
        Self::Settings(Box::new(SettingsForm::new(settings)))
    }

    /// Returns an empty command palette.
    pub fn palette() -> Self {
        Self::Palette { search: String::new(), chosen: 0 }
    }

    /// Returns the properties of a slide, with its label hidden.
    pub fn properties(slide: SlideId) -> Self {
        Self::Properties { slide, label_shown: false }
    }

    /// Returns the list of recently opened paths.
    pub fn recent(paths: &[PathBuf]) -> Self {
        Self::Recent { paths: paths.to_vec(), search: String::new(), chosen: 0 }
    }

    /// Returns the dialog for a slide's pixel size, filled in with the suggested one, if any.
    pub fn calibrate(slide: &SlideInfo) -> Self {
        let typed = slide.suggested_mpp().map(|mpp| plain(mpp.mean())).unwrap_or_default();
        Self::Calibrate { slide: slide.id.clone(), typed }
    }

    /// Returns the dialog for the project's archive.
    pub fn archive(project: &Project) -> Self {
        Self::Archive(ArchiveForm::of(project))
    }

    /// Returns the dialog for typing a path.
    pub fn open_path() -> Self {
        Self::OpenPath { typed: String::new() }
    }
}

/// Draws the open dialog; returns whether to close it.
pub fn dialog_ui(
    context: &Context,
    dialog: &mut Dialog,
    session: &Session,
    shown: &mut ShownSlides,
    palette: &Palette,
    requests: &mut Requests,
) -> bool {
    let is_palette = matches!(dialog, Dialog::Palette { .. });
    let mut modal = Modal::new(Id::unique(dialog.name())).frame(
        Frame::new()
            .fill(palette.panel)
            .stroke(Stroke::new(1.0, palette.line))
            .corner_radius(12)
            .inner_margin(Margin::same(if is_palette { 10 } else { 20 }))
            .shadow(palette.shadow),
    );
    if is_palette {
        let high =
            egui::Area::new(Id::unique("palette")).anchor(egui::Align2::CENTER_TOP, Vec2::new(0.0, 90.0));
        modal = modal
            .area(high.order(egui::Order::Foreground).kind(egui::UiKind::Modal).sense(egui::Sense::hover()));
    }
    let shown = modal.show(context, |ui| match dialog {
        Dialog::Palette { search, chosen } => palette_ui(ui, search, chosen, palette, requests),
        Dialog::Help => help::help_ui(ui, palette, requests),
        Dialog::Settings(form) => settings::settings_ui(ui, form, session, palette, requests),
        Dialog::Properties { slide, label_shown } => {
            properties::properties_ui(ui, slide, label_shown, (session, shown), palette, requests)
        }
        Dialog::Recent { paths, search, chosen } => recent_ui(ui, paths, (search, chosen), palette, requests),
        Dialog::Calibrate { slide, typed } => calibrate_ui(ui, slide, typed, session, palette, requests),
        Dialog::ExportAnnotations { slide, typed, is_new } => {
            export_ui(ui, slide, (typed, is_new), palette, requests)
        }
        Dialog::Position(form) => position_dialog::position_ui(ui, form, session, palette, requests),
        Dialog::Archive(form) => archive::archive_ui(ui, form, palette, requests),
        Dialog::Concept(form) => concept_dialog::concept_ui(ui, form, session, palette, requests),
        Dialog::Unsaved { leave } => unsaved::unsaved_ui(ui, session, leave, palette, requests),
        Dialog::TrustEncoder { module } => about::trust_ui(ui, module, palette, requests),
        Dialog::About => about::about_ui(ui, palette, requests),
        Dialog::SaveView(form) => save_view::save_view_ui(ui, form, palette, requests),
        Dialog::OpenPath { typed } => open_path_ui(ui, typed, palette, requests),
    });
    let dismissed = shown.should_close();
    // Dismissing the question refuses permission.
    if dismissed && !shown.inner && matches!(dialog, Dialog::TrustEncoder { .. }) {
        requests.command(EmbeddingCommand::TrustEncoder(false));
    }
    shown.inner || dismissed
}

/// Draws the title of a dialog.
pub(super) fn title_ui(ui: &mut Ui, text: &str, palette: &Palette) {
    ui.label(RichText::new(text).family(theme::bold()).size(18.0).color(palette.strong));
    ui.add_space(6.0);
}

/// Moves the highlight in a list of `count` rows with the arrow keys; returns whether it has moved.
fn step_ui(ui: &Ui, chosen: &mut usize, count: usize) -> bool {
    let (up, down) = ui.input(|input| (input.key_pressed(Key::ArrowUp), input.key_pressed(Key::ArrowDown)));
    let last = count.saturating_sub(1);
    *chosen = match (up, down) {
        (true, _) => chosen.saturating_sub(1).min(last),
        (_, true) => (*chosen + 1).min(last),
        _ => (*chosen).min(last),
    };
    up || down
}

fn palette_ui(
    ui: &mut Ui,
    search: &mut String,
    chosen: &mut usize,
    palette: &Palette,
    requests: &mut Requests,
) -> bool {
    dialog_width(ui, 520.0);
    let enter = ui.input(|input| input.key_pressed(Key::Enter));
    let edit = TextEdit::singleline(search)
        .hint_text("Search commands")
        .desired_width(f32::INFINITY)
        .margin(Margin::symmetric(12, 9))
        .font(egui::FontId::proportional(16.0));
    let response = ui.add(edit).accessible_name("Search commands");
    response.request_focus();
    if response.changed() {
        *chosen = 0;
    }
    let found = actions::matching(search);
    let has_moved = step_ui(ui, chosen, found.len());
    let mut done = false;
    if enter && let Some(entry) = found.get(*chosen) {
        requests.action(entry.action);
        done = true;
    }
    ui.add_space(4.0);
    // It hangs from the top of the window, below which its height is not known to be free.
    let room = (ui.ctx().content_rect().height() - 210.0).clamp(64.0, 380.0);
    let list = ScrollArea::vertical().max_height(room).min_scrolled_height(room);
    list.auto_shrink([false, true]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        if found.is_empty() {
            ui.add_space(10.0);
            ui.label(RichText::new("No matching command").color(palette.weak));
            ui.add_space(10.0);
        }
        for (index, entry) in found.iter().enumerate() {
            let is_chosen = index == *chosen;
            let plain = Palette { raised: palette.panel, ..palette.clone() };
            let (rect, response) = row_ui(ui, 34.0, is_chosen, entry.name, &plain);
            let mut line = ui.new_child(
                egui::UiBuilder::new()
                    .max_rect(rect.shrink2(Vec2::new(10.0, 0.0)))
                    .layout(Layout::left_to_right(Align::Center)),
            );
            line.label(entry.icon.rich_text().size(17.0).color(palette.weak));
            line.label(RichText::new(entry.name).color(palette.strong));
            line.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if let Some(shortcut) = entry.shortcut_label(ui.ctx()) {
                    ui.label(RichText::new(shortcut).small().color(palette.weak));
                }
            });
            if is_chosen && has_moved {
                response.scroll_to_me(None);
            }
            if response.on_hover_text(entry.tooltip).clicked() {
                requests.action(entry.action);
                done = true;
            }
        }
    });
    done
}

fn calibrate_ui(
    ui: &mut Ui,
    slide: &SlideId,
    typed: &mut String,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) -> bool {
    let info = session.slide(slide).map(|state| state.source.info());
    let name = info.map(SlideInfo::name).unwrap_or_default();
    dialog_width(ui, 420.0);
    title_ui(ui, "Pixel size", palette);
    for warning in info.into_iter().flat_map(|info| &info.warnings) {
        ui.label(RichText::new(sentence(&warning.text())).color(palette.query));
        ui.add_space(4.0);
    }
    ui.label(RichText::new(format!("Pixel size of {name} at full resolution")).color(palette.text));
    ui.add_space(8.0);
    ui.horizontal(|ui| {
        let response = ui.add(
            TextEdit::singleline(typed)
                .hint_text(plain(0.25))
                .desired_width(110.0)
                .margin(Margin::symmetric(8, 6)),
        );
        let response = response.accessible_name("Pixel size in µm per pixel");
        focus_unless_elsewhere(&response);
        ui.label(RichText::new("µm per pixel").color(palette.weak));
    });
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        ui.label(RichText::new("Typical for").small().color(palette.weak));
        for (power, um) in [("40×", 0.25), ("20×", 0.5), ("10×", 1.0)] {
            let um = plain(um);
            if ui.add(Button::new(format!("{power}: {um}")).small()).clicked() {
                *typed = um;
            }
        }
    });
    ui.add_space(6.0);
    ui.label(
        RichText::new(
            "Saved in the project. Used for magnification, scale bar, measurements, embedding and search.",
        )
        .small()
        .color(palette.weak),
    );
    let value = read_small(typed);
    let valid = value.and_then(|um| MicronsPerPixel::square(um).ok());
    if !typed.trim().is_empty() && valid.is_none() {
        let text = format!("Enter a value between {} and {} µm", plain(0.001), plain(1000));
        ui.label(RichText::new(text).color(palette.error));
    }
    if let Some(um) = value.filter(|um| valid.is_some() && typed.trim() != plain(*um)) {
        ui.label(RichText::new(format!("Read as {} µm per pixel", plain(um))).small().color(palette.weak));
    }
    let obstacle = valid.is_none().then_some("Enter the size of a pixel first");
    confirm_ui(ui, "Set pixel size", obstacle, palette, || {
        if let Some(mpp) = valid {
            requests.command(SlideCommand::SetMpp { slide: slide.clone(), mpp });
        }
    })
}

/// Gives a field the focus when the dialog is opened. The Tab key can leave it.
pub(super) fn focus_unless_elsewhere(field: &egui::Response) {
    if field.ctx.memory(|memory| memory.focused().is_none()) {
        field.request_focus();
    }
}

fn open_path_ui(ui: &mut Ui, typed: &mut String, palette: &Palette, requests: &mut Requests) -> bool {
    dialog_width(ui, 560.0);
    title_ui(ui, "Open path", palette);
    ui.label(RichText::new("A slide, an image, a folder of slides, or a project folder").color(palette.weak));
    ui.add_space(6.0);
    let edit = TextEdit::singleline(typed)
        .hint_text("/home/you/slides")
        .desired_width(f32::INFINITY)
        .margin(Margin::symmetric(10, 8));
    focus_unless_elsewhere(&ui.add(edit).accessible_name("Path"));
    let path = typed.trim().to_owned();
    let obstacle = path.is_empty().then_some("Enter a path first");
    confirm_ui(ui, "Open", obstacle, palette, || {
        requests.command(SlideCommand::Open(vec![PathBuf::from(path.trim_matches('"'))]));
    })
}

fn export_ui(
    ui: &mut Ui,
    slide: &SlideId,
    (typed, is_new): (&mut String, &mut bool),
    palette: &Palette,
    requests: &mut Requests,
) -> bool {
    dialog_width(ui, 560.0);
    title_ui(ui, "Export annotations", palette);
    ui.label(
        RichText::new("A .geojson file for QuPath, an .xml file for ASAP, or a .csv file for counts")
            .color(palette.weak),
    );
    ui.add_space(6.0);
    path_edit_ui(ui, typed, std::mem::take(is_new));
    let path = typed.trim().trim_matches('"').to_owned();
    let obstacle = path.is_empty().then_some("Enter a path first");
    confirm_ui(ui, "Export", obstacle, palette, || {
        let export = AnnotationCommand::Export { slide: slide.clone(), path: PathBuf::from(&path) };
        requests.command(Command::Annotations(export));
    })
}

fn recent_ui(
    ui: &mut Ui,
    paths: &[PathBuf],
    (search, chosen): (&mut String, &mut usize),
    palette: &Palette,
    requests: &mut Requests,
) -> bool {
    dialog_width(ui, 620.0);
    title_ui(ui, "Open recent", palette);
    if paths.is_empty() {
        ui.label(RichText::new("Nothing has been opened yet.").color(palette.weak));
    } else {
        let edit = TextEdit::singleline(search).hint_text("Part of a name").desired_width(f32::INFINITY);
        let edit = ui.add(edit.margin(Margin::symmetric(10, 8))).accessible_name("Part of a name");
        focus_unless_elsewhere(&edit);
        if edit.changed() {
            *chosen = 0;
        }
    }
    ui.add_space(6.0);
    let wanted = search.to_lowercase();
    let found: Vec<&PathBuf> =
        paths.iter().filter(|path| path.to_string_lossy().to_lowercase().contains(&wanted)).collect();
    let has_moved = step_ui(ui, chosen, found.len());
    let mut done = false;
    if is_entered(ui)
        && let Some(path) = found.get(*chosen)
    {
        requests.command(SlideCommand::Open(vec![(*path).clone()]));
        done = true;
    }
    if found.is_empty() && !paths.is_empty() {
        ui.label(RichText::new("No recent path contains this text.").color(palette.weak));
    }
    let room = (ui.ctx().content_rect().height() - 260.0).clamp(80.0, 380.0);
    ScrollArea::vertical().max_height(room).auto_shrink([false, true]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        for (index, path) in found.into_iter().enumerate() {
            let row = recent_row_ui(ui, path, index == *chosen, palette, requests);
            if index == *chosen && has_moved {
                row.scroll_to_me(None);
            }
            done |= row.clicked();
        }
    });
    ui.add_space(8.0);
    done || ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.button("Close").clicked()).inner
}

/// Draws a recently opened path with its folder, which is opened by a click.
pub fn recent_row_ui(
    ui: &mut Ui,
    path: &Path,
    is_chosen: bool,
    palette: &Palette,
    requests: &mut Requests,
) -> Response {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let folder = path.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    let plain = Palette { raised: egui::Color32::TRANSPARENT, ..palette.clone() };
    let (rect, response) = row_ui(ui, 40.0, is_chosen, &name, &plain);
    super::text_over_ui(ui, rect.shrink2(Vec2::new(10.0, 3.0)), |ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        super::line_ui(ui, RichText::new(&*name).color(palette.strong));
        super::line_ui(ui, RichText::new(folder).small().color(palette.weak));
    });
    let response = response.on_hover_text(path.display().to_string());
    if response.clicked() {
        requests.command(SlideCommand::Open(vec![path.to_owned()]));
    }
    response
}

/// Whether Enter was pressed to finish a dialog, and not to press the button or choice that has the focus. A line of text
/// gives up the focus in the same frame, and may have been given it back.
fn is_entered(ui: &Ui) -> bool {
    let presses = ui.memory(|memory| memory.focused().is_some()) && !ui.ctx().text_edit_focused();
    ui.input(|input| input.key_pressed(Key::Enter)) && !presses
}

/// Draws a Cancel button and a confirming button, which the Enter key also activates; `obstacle` says what is missing
/// before the dialog can be confirmed. Returns whether to close the dialog.
pub(super) fn confirm_ui(
    ui: &mut Ui,
    label: &str,
    obstacle: Option<&str>,
    palette: &Palette,
    confirm: impl FnOnce(),
) -> bool {
    let enabled = obstacle.is_none();
    ui.add_space(12.0);
    let enter = enabled && is_entered(ui);
    let (confirmed, cancelled) = ui
        .with_layout(Layout::right_to_left(Align::Center), |ui| {
            let text = RichText::new(label).color(if enabled { palette.on_accent } else { palette.weak });
            let fill = if enabled { palette.accent } else { palette.raised };
            let button = ui.add_enabled(enabled, Button::new(text).fill(fill));
            let confirmed = button.on_disabled_hover_text(obstacle.unwrap_or_default()).clicked();
            (confirmed, ui.button("Cancel").clicked())
        })
        .inner;
    if confirmed || enter {
        confirm();
        return true;
    }
    cancelled
}
