//! Everything that opens over the window: command palette, help, properties, pixel size, path.

use std::path::{Path, PathBuf};

use egui::{
    Align, Button, Context, Frame, Id, Key, Layout, Margin, Modal, RichText, ScrollArea, Stroke, TextEdit,
    Ui, Vec2,
};

use super::archive::{self, ArchiveForm};
use super::save_view::{self, SaveForm};
use super::{about, dialog_width, path_edit_ui, properties, row_ui, unsaved};
use crate::geometry::MicronsPerPixel;
use crate::number_format::sentence;
use crate::project::Project;
use crate::session::{Annotate, Command, Session};
use crate::slide::{SlideId, SlideInfo};
use crate::ui::actions::{self, Action, Group};
use crate::ui::app::Asked;
use crate::ui::shown_slides::ShownSlides;
use crate::ui::theme::{self, Palette};

/// What is open over the window.
pub enum Dialog {
    /// Find an action by name: what was typed, and the line that is chosen.
    Palette {
        search: String,
        chosen: usize,
    },
    Help,
    Properties {
        slide: SlideId,
        /// Whether the label is shown: it may carry a patient's name, so only when asked for.
        label_shown: bool,
    },
    /// Choose among the paths opened before.
    Recent {
        paths: Vec<PathBuf>,
        search: String,
    },
    /// State a slide's pixel size: what was typed.
    Calibrate {
        slide: SlideId,
        typed: String,
    },
    /// Say where the department's archive is.
    Archive(ArchiveForm),
    /// Whether the project's encoder may run, a TorchScript module that has not run here before.
    TrustEncoder {
        module: PathBuf,
    },
    /// What this program is, and whose work it contains.
    About,
    /// Save the view as a picture.
    SaveView(SaveForm),
    /// Type a path: what was typed.
    OpenPath {
        typed: String,
    },
    /// Type where to write a slide's annotations: what was typed.
    ExportAnnotations {
        slide: SlideId,
        typed: String,
        /// Whether it has opened just now.
        is_new: bool,
    },
    /// The window is to be closed, and annotations are not saved.
    Unsaved {
        /// The user closes it all the same.
        leave: bool,
    },
}

impl Dialog {
    /// Each kind is a window of its own, with its own size.
    fn name(&self) -> &'static str {
        match self {
            Self::Palette { .. } => "palette dialog",
            Self::Help => "help dialog",
            Self::Recent { .. } => "recent dialog",
            Self::Properties { .. } => "properties dialog",
            Self::Calibrate { .. } => "pixel size dialog",
            Self::Archive(_) => "archive dialog",
            Self::TrustEncoder { .. } => "trust dialog",
            Self::About => "about dialog",
            Self::SaveView(_) => "save dialog",
            Self::OpenPath { .. } => "path dialog",
            Self::ExportAnnotations { .. } => "export dialog",
            Self::Unsaved { .. } => "unsaved dialog",
        }
    }

    /// The action that opens it and closes it again, where it is one that nothing is typed into.
    pub fn opened_by(&self) -> Option<Action> {
        match self {
            Self::Properties { .. } => Some(Action::SlideProperties),
            _ => None,
        }
    }

    pub fn palette() -> Self {
        Self::Palette { search: String::new(), chosen: 0 }
    }

    pub fn properties(slide: SlideId) -> Self {
        Self::Properties { slide, label_shown: false }
    }

    pub fn recent(paths: &[PathBuf]) -> Self {
        Self::Recent { paths: paths.to_vec(), search: String::new() }
    }

    /// The pixel size of a slide, filled in with the one that it probably has.
    pub fn calibrate(slide: &SlideInfo) -> Self {
        let typed = slide.suggested_mpp().map(|mpp| mpp.mean().to_string()).unwrap_or_default();
        Self::Calibrate { slide: slide.id.clone(), typed }
    }

    pub fn archive(project: &Project) -> Self {
        Self::Archive(ArchiveForm::of(project))
    }

    pub fn open_path() -> Self {
        Self::OpenPath { typed: String::new() }
    }
}

/// Draw the open dialog; whether it is to be closed.
pub fn dialog_ui(
    context: &Context,
    dialog: &mut Dialog,
    session: &Session,
    shown: &mut ShownSlides,
    palette: &Palette,
    asked: &mut Asked,
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
        Dialog::Palette { search, chosen } => palette_ui(ui, search, chosen, palette, asked),
        Dialog::Help => help_ui(ui, palette, asked),
        Dialog::Properties { slide, label_shown } => {
            properties::properties_ui(ui, slide, label_shown, (session, shown), palette, asked)
        }
        Dialog::Recent { paths, search } => recent_ui(ui, paths, search, palette, asked),
        Dialog::Calibrate { slide, typed } => calibrate_ui(ui, slide, typed, session, palette, asked),
        Dialog::ExportAnnotations { slide, typed, is_new } => {
            export_ui(ui, slide, (typed, is_new), palette, asked)
        }
        Dialog::Archive(form) => archive::archive_ui(ui, form, palette, asked),
        Dialog::Unsaved { leave } => unsaved::unsaved_ui(ui, session, leave, palette, asked),
        Dialog::TrustEncoder { module } => about::trust_ui(ui, module, palette, asked),
        Dialog::About => about::about_ui(ui, palette, asked),
        Dialog::SaveView(form) => save_view::save_view_ui(ui, form, palette, asked),
        Dialog::OpenPath { typed } => open_path_ui(ui, typed, palette, asked),
    });
    let dismissed = shown.should_close();
    // No answer is no permission.
    if dismissed && !shown.inner && matches!(dialog, Dialog::TrustEncoder { .. }) {
        asked.command(Command::TrustEncoder(false));
    }
    shown.inner || dismissed
}

pub(super) fn title_ui(ui: &mut Ui, text: &str, palette: &Palette) {
    ui.label(RichText::new(text).family(theme::bold()).size(18.0).color(palette.strong));
    ui.add_space(6.0);
}

fn palette_ui(
    ui: &mut Ui,
    search: &mut String,
    chosen: &mut usize,
    palette: &Palette,
    asked: &mut Asked,
) -> bool {
    dialog_width(ui, 520.0);
    let (up, down, enter) = ui.input(|input| {
        (input.key_pressed(Key::ArrowUp), input.key_pressed(Key::ArrowDown), input.key_pressed(Key::Enter))
    });
    let edit = TextEdit::singleline(search)
        .hint_text("Search actions")
        .desired_width(f32::INFINITY)
        .margin(Margin::symmetric(12, 9))
        .font(egui::FontId::proportional(16.0));
    let response = ui.add(edit);
    response.request_focus();
    if response.changed() {
        *chosen = 0;
    }
    let found = actions::matching(search);
    *chosen = match (up, down) {
        (true, _) => chosen.saturating_sub(1),
        (_, true) => (*chosen + 1).min(found.len().saturating_sub(1)),
        _ => *chosen,
    };
    let mut done = false;
    if enter && let Some(entry) = found.get(*chosen) {
        asked.action(entry.action);
        done = true;
    }
    ui.add_space(4.0);
    ScrollArea::vertical().max_height(380.0).auto_shrink([false, true]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        if found.is_empty() {
            ui.add_space(10.0);
            ui.label(RichText::new("No action has such a name").color(palette.weak));
            ui.add_space(10.0);
        }
        for (place, entry) in found.iter().enumerate() {
            let is_chosen = place == *chosen;
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
            if is_chosen && (up || down) {
                response.scroll_to_me(None);
            }
            if response.on_hover_text(entry.tooltip).clicked() {
                asked.action(entry.action);
                done = true;
            }
        }
    });
    done
}

fn help_ui(ui: &mut Ui, palette: &Palette, asked: &mut Asked) -> bool {
    dialog_width(ui, 760.0);
    title_ui(ui, "Help", palette);
    let gestures = [
        ("Drag", "move the slide; let go in motion and it glides"),
        ("Wheel, pinch", "zoom about the pointer"),
        ("Click", "find tissue like the tile under the pointer"),
        ("Alt + drag", "turn the slide; it holds on to quarter turns"),
        ("Alt + wheel", "turn about the pointer"),
        ("Space + drag", "move the slide, whatever else the left button does"),
        ("Double-click", "zoom in"),
        ("Overview", "click or drag in the lower right corner to jump"),
    ];
    let room = (ui.ctx().content_rect().height() - 180.0).max(0.0);
    ScrollArea::vertical().max_height(room).min_scrolled_height(room).show(ui, |ui| {
        ui.spacing_mut().interact_size.y = 0.0;
        ui.spacing_mut().item_spacing.y = 5.0;
        ui.columns(2, |columns| {
            section_ui(
                &mut columns[0],
                "On the slide",
                palette,
                gestures.map(|(key, text)| (key.to_owned(), text)),
            );
            for group in Group::ALL {
                let column = usize::from(!matches!(group, Group::View));
                let ui = &mut columns[column];
                let entries = group.entries().iter();
                let lines: Vec<_> = entries
                    .map(|entry| (entry.shortcut_label(ui.ctx()).unwrap_or_default(), entry.name))
                    .collect();
                section_ui(ui, group.name(), palette, lines);
            }
        });
    });
    ui.add_space(8.0);
    let (closed, further) = ui
        .with_layout(Layout::right_to_left(Align::Center), |ui| {
            let closed = ui.button("Close").clicked();
            let of_help = [Action::CopyDiagnostics, Action::About].map(actions::entry);
            let clicked =
                |entry: &&actions::Entry| ui.button(entry.name).on_hover_text(entry.hint(ui.ctx())).clicked();
            (closed, of_help.into_iter().find(clicked))
        })
        .inner;
    if let Some(entry) = further {
        asked.action(entry.action);
    }
    closed
}

fn section_ui(
    ui: &mut Ui,
    title: &str,
    palette: &Palette,
    lines: impl IntoIterator<Item = (String, &'static str)>,
) {
    ui.label(RichText::new(title).family(theme::bold()).color(palette.accent));
    for (key, text) in lines {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 10.0;
            ui.allocate_ui_with_layout(Vec2::new(104.0, 18.0), Layout::left_to_right(Align::Center), |ui| {
                ui.set_min_width(104.0);
                ui.label(RichText::new(key).small().color(palette.weak));
            });
            ui.add(egui::Label::new(RichText::new(text).color(palette.text)).wrap());
        });
    }
    ui.add_space(10.0);
}

fn calibrate_ui(
    ui: &mut Ui,
    slide: &SlideId,
    typed: &mut String,
    session: &Session,
    palette: &Palette,
    asked: &mut Asked,
) -> bool {
    let info = session.slide(slide).map(|state| state.source.info());
    let name = info.map(SlideInfo::name).unwrap_or_default();
    dialog_width(ui, 420.0);
    title_ui(ui, "Pixel size", palette);
    for warning in info.into_iter().flat_map(|info| &info.warnings) {
        ui.label(RichText::new(sentence(&warning.text())).color(palette.query));
        ui.add_space(4.0);
    }
    ui.label(
        RichText::new(format!("How many µm does one pixel of {name} span at full resolution?"))
            .color(palette.text),
    );
    ui.add_space(8.0);
    ui.horizontal(|ui| {
        let response = ui.add(
            TextEdit::singleline(typed)
                .hint_text("0.25")
                .desired_width(110.0)
                .margin(Margin::symmetric(8, 6)),
        );
        if !response.has_focus() && typed.is_empty() {
            response.request_focus();
        }
        ui.label(RichText::new("µm per pixel").color(palette.weak));
    });
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        ui.label(RichText::new("Usual for").small().color(palette.weak));
        for (power, um) in [("40×", "0.25"), ("20×", "0.5"), ("10×", "1.0")] {
            if ui.add(Button::new(format!("{power}: {um}")).small()).clicked() {
                *typed = um.to_owned();
            }
        }
    });
    ui.add_space(6.0);
    ui.label(
        RichText::new(
            "It is kept with the project and used for magnification, scale bar, embedding and search.",
        )
        .small()
        .color(palette.weak),
    );
    let value = typed.trim().replace(',', ".").parse::<f64>().ok().map(MicronsPerPixel::square);
    let valid = value.filter(MicronsPerPixel::is_plausible);
    if !typed.trim().is_empty() && valid.is_none() {
        ui.label(RichText::new("Give a number of µm between 0.001 and 1000").color(palette.error));
    }
    confirm_ui(ui, "Set pixel size", valid.is_some(), palette, || {
        if let Some(mpp) = valid {
            asked.command(Command::SetMpp { slide: slide.clone(), mpp });
        }
    })
}

fn open_path_ui(ui: &mut Ui, typed: &mut String, palette: &Palette, asked: &mut Asked) -> bool {
    dialog_width(ui, 560.0);
    title_ui(ui, "Open path", palette);
    ui.label(RichText::new("A slide, an image, a folder of them, or a project's folder").color(palette.weak));
    ui.add_space(6.0);
    let edit = TextEdit::singleline(typed)
        .hint_text("/home/you/slides")
        .desired_width(f32::INFINITY)
        .margin(Margin::symmetric(10, 8));
    ui.add(edit).request_focus();
    let path = typed.trim().to_owned();
    confirm_ui(ui, "Open", !path.is_empty(), palette, || {
        asked.command(Command::Open(vec![PathBuf::from(path.trim_matches('"'))]));
    })
}

fn export_ui(
    ui: &mut Ui,
    slide: &SlideId,
    (typed, is_new): (&mut String, &mut bool),
    palette: &Palette,
    asked: &mut Asked,
) -> bool {
    dialog_width(ui, 560.0);
    title_ui(ui, "Export annotations", palette);
    ui.label(RichText::new("A .geojson file for QuPath, or an .xml file for ASAP").color(palette.weak));
    ui.add_space(6.0);
    path_edit_ui(ui, typed, std::mem::take(is_new));
    let path = typed.trim().trim_matches('"').to_owned();
    confirm_ui(ui, "Export", !path.is_empty(), palette, || {
        let wish = Annotate::Export { slide: slide.clone(), path: PathBuf::from(&path) };
        asked.command(Command::Annotate(wish));
    })
}

fn recent_ui(
    ui: &mut Ui,
    paths: &[PathBuf],
    search: &mut String,
    palette: &Palette,
    asked: &mut Asked,
) -> bool {
    dialog_width(ui, 620.0);
    title_ui(ui, "Open recent", palette);
    if paths.is_empty() {
        ui.label(RichText::new("Nothing has been opened yet.").color(palette.weak));
    } else {
        let edit = TextEdit::singleline(search).hint_text("Part of a name").desired_width(f32::INFINITY);
        ui.add(edit.margin(Margin::symmetric(10, 8))).request_focus();
    }
    ui.add_space(6.0);
    let wanted = search.to_lowercase();
    let found: Vec<&PathBuf> =
        paths.iter().filter(|path| path.to_string_lossy().to_lowercase().contains(&wanted)).collect();
    let mut done = false;
    if ui.input(|input| input.key_pressed(Key::Enter))
        && let Some(path) = found.first()
    {
        asked.command(Command::Open(vec![(*path).clone()]));
        done = true;
    }
    ScrollArea::vertical().max_height(380.0).auto_shrink([false, true]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        for path in found {
            done |= recent_row_ui(ui, path, palette, asked);
        }
    });
    ui.add_space(8.0);
    done || ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.button("Close").clicked()).inner
}

/// One path opened before, with its folder; whether it was chosen.
pub fn recent_row_ui(ui: &mut Ui, path: &Path, palette: &Palette, asked: &mut Asked) -> bool {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let folder = path.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    let plain = Palette { raised: egui::Color32::TRANSPARENT, ..palette.clone() };
    let (rect, response) = row_ui(ui, 40.0, false, &name, &plain);
    super::text_over_ui(ui, rect.shrink2(Vec2::new(10.0, 3.0)), |ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        super::line_ui(ui, RichText::new(&*name).color(palette.strong));
        super::line_ui(ui, RichText::new(folder).small().color(palette.weak));
    });
    let chosen = response.on_hover_text(path.display().to_string()).clicked();
    if chosen {
        asked.command(Command::Open(vec![path.to_owned()]));
    }
    chosen
}

/// Cancel and the confirming button, which Enter presses too; whether the dialog is done.
pub(super) fn confirm_ui(
    ui: &mut Ui,
    label: &str,
    enabled: bool,
    palette: &Palette,
    confirm: impl FnOnce(),
) -> bool {
    ui.add_space(12.0);
    let enter = enabled && ui.input(|input| input.key_pressed(Key::Enter));
    let (confirmed, cancelled) = ui
        .with_layout(Layout::right_to_left(Align::Center), |ui| {
            let text = RichText::new(label).color(if enabled { palette.on_accent } else { palette.weak });
            let fill = if enabled { palette.accent } else { palette.raised };
            let confirmed = ui.add_enabled(enabled, Button::new(text).fill(fill)).clicked();
            (confirmed, ui.button("Cancel").clicked())
        })
        .inner;
    if confirmed || enter {
        confirm();
        return true;
    }
    cancelled
}
