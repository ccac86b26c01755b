//! The properties of a slide: measurements, warnings, associated images and metadata from the file.

use egui::{Align, Button, Grid, Layout, RichText, ScrollArea, Ui, Vec2};
use egui_material_icons::icons;

use super::appearance::stain_type_ui;
use super::dialogs::title_ui;
use super::{dialog_width, picture_ui};
use crate::number_format::{decimal, grouped, plain, sentence};
use crate::session::{Session, SlideCommand, TilePicture};
use crate::slide::calibration::SlideWarning;
use crate::slide::{MppSource, SlideId, SlideInfo};
use crate::ui::actions::SlideAction;
use crate::ui::app::Requests;
use crate::ui::shown_slides::ShownSlides;
use crate::ui::theme::{self, Palette};

/// Height of associated images in points.
const PICTURE_HEIGHT: f32 = 120.0;

/// Name of the associated image that may contain a patient's name.
const LABEL: &str = "label";

/// Draws the dialog; returns whether to close it.
pub fn properties_ui(
    ui: &mut Ui,
    slide: &SlideId,
    label_shown: &mut bool,
    (session, shown): (&Session, &mut ShownSlides),
    palette: &Palette,
    requests: &mut Requests,
) -> bool {
    let Some(state) = session.slide(slide) else { return true };
    let info = state.shown().info();
    dialog_width(ui, 640.0);
    ui.horizontal_top(|ui| {
        let (rect, _) = ui.allocate_exact_size(Vec2::splat(96.0), egui::Sense::hover());
        picture_ui(ui, rect, shown.get(slide).and_then(|shown| shown.thumbnail.as_ref()), palette);
        ui.add_space(8.0);
        ui.vertical(|ui| {
            title_ui(ui, &info.name(), palette);
            let path = RichText::new(info.path.display().to_string()).small().color(palette.weak);
            ui.add(egui::Label::new(path).wrap().selectable(true));
        });
    });
    ui.add_space(10.0);
    ScrollArea::vertical()
        .max_height((ui.ctx().content_rect().height() - 320.0).max(0.0))
        .auto_shrink([false, true])
        .show(ui, |ui| {
            facts_ui(ui, "facts", &facts(info), palette);
            // In line with the facts above.
            let first = ui.available_width() * 0.32;
            let grid = Grid::new("stain").num_columns(2).spacing(Vec2::new(16.0, 5.0)).min_col_width(first);
            grid.show(ui, |ui| {
                ui.label(RichText::new("Stain").color(palette.weak));
                ui.horizontal(|ui| stain_type_ui(ui, slide, session, palette, requests));
            });
            if let Some(note) = stain_note(session, slide) {
                ui.label(RichText::new(note).small().color(palette.weak));
            }
            warnings_ui(ui, info, palette, requests);
            if !info.associated.is_empty() {
                heading_ui(ui, "Associated images", palette);
                associated_ui(ui, info, label_shown, (session, shown), palette, requests);
            }
            if !info.properties.is_empty() {
                heading_ui(ui, "Metadata", palette);
                let own: Vec<(&str, String)> =
                    info.properties.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                facts_ui(ui, "properties", &own, palette);
            }
        });
    ui.add_space(8.0);
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.button("Close").clicked()).inner
}

/// What the stain of a slide means for its embedding, if it means anything.
fn stain_note(session: &Session, slide: &SlideId) -> Option<String> {
    let kind = session.stain(slide).kind;
    let is_normalised = session.recipe().is_some_and(|recipe| recipe.stain.is_lab());
    match (kind.can_be_normalised(), is_normalised, session.is_stain_set(slide)) {
        (false, true, false) => Some(format!(
            "Its tiles are matched to the colours of an H&E reference. Choose {} to embed this project without that.",
            kind.name()
        )),
        (false, false, true) => {
            Some("Tiles of this project are embedded without stain normalisation.".to_owned())
        }
        _ => None,
    }
}

/// Draws the slide's warnings, and a button to set its pixel size if that is missing or doubtful.
fn warnings_ui(ui: &mut Ui, info: &SlideInfo, palette: &Palette, requests: &mut Requests) {
    for warning in &info.warnings {
        ui.add_space(6.0);
        let text = RichText::new(sentence(&warning.text())).color(palette.query);
        ui.add(egui::Label::new(text).wrap().selectable(true));
    }
    let offers = info.mpp.is_none() || info.warnings.iter().any(SlideWarning::concerns_pixel_size);
    if offers && ui.add(Button::new("Set pixel size…").small()).clicked() {
        requests.action(SlideAction::Calibrate);
    }
}

fn heading_ui(ui: &mut Ui, text: &str, palette: &Palette) {
    ui.add_space(12.0);
    ui.label(RichText::new(text).family(theme::bold()).color(palette.accent));
}

fn facts(info: &SlideInfo) -> Vec<(&'static str, String)> {
    let mpp = info
        .mpp
        .map_or("unknown".to_owned(), |mpp| format!("{} × {} µm", decimal(mpp.x(), 5), decimal(mpp.y(), 5)));
    let source = match info.mpp_source {
        MppSource::Slide => "from the file",
        MppSource::User => "set by you",
        MppSource::Unknown => "not stated",
    };
    let levels: Vec<String> =
        info.levels.iter().map(|level| format!("{} × {}", level.width, level.height)).collect();
    vec![
        ("Size", format!("{} × {} px", grouped(info.width().into()), grouped(info.height().into()))),
        ("Pixel size", format!("{mpp} ({source})")),
        (
            "Objective",
            info.objective_power.map_or("unknown".to_owned(), |power| format!("{}×", plain(power))),
        ),
        ("Format", info.vendor.clone()),
        ("Levels", levels.join(",  ")),
        ("Slide ID", info.id.to_string()),
    ]
}

/// Draws the associated images (label, macro, thumbnail) side by side; the label only on request.
fn associated_ui(
    ui: &mut Ui,
    info: &SlideInfo,
    label_shown: &mut bool,
    (session, shown): (&Session, &mut ShownSlides),
    palette: &Palette,
    requests: &mut Requests,
) {
    ui.horizontal_wrapped(|ui| {
        for name in &info.associated {
            ui.vertical(|ui| {
                let hidden = name == LABEL && !*label_shown;
                if hidden {
                    let text = RichText::new("Show label").color(palette.text);
                    let button = Button::new((icons::ICON_VISIBILITY_OFF.rich_text().size(16.0), text));
                    let hint = "The label may contain the patient's name. Exported images and reports never \
                                include it.";
                    let size = Vec2::new(150.0, PICTURE_HEIGHT);
                    if ui.add_sized(size, button).on_hover_text(hint).clicked() {
                        *label_shown = true;
                    }
                } else {
                    requests
                        .command(SlideCommand::ReadAssociated { slide: info.id.clone(), name: name.clone() });
                    let picture = shown.associated(session, ui.ctx(), &info.id, name);
                    let width = picture.as_ref().map_or(PICTURE_HEIGHT, |picture| {
                        let size = picture.size_vec2();
                        (PICTURE_HEIGHT * size.x / size.y).clamp(60.0, 300.0)
                    });
                    let (rect, response) =
                        ui.allocate_exact_size(Vec2::new(width, PICTURE_HEIGHT), egui::Sense::hover());
                    picture_ui(ui, rect, picture.as_ref(), palette);
                    if let Some(TilePicture::Failed(reason)) = session.associated(&info.id, name) {
                        response.on_hover_text(reason);
                    }
                }
                ui.label(RichText::new(name).small().color(palette.weak));
            });
        }
    });
}

fn facts_ui(ui: &mut Ui, id: &str, facts: &[(&str, String)], palette: &Palette) {
    let width = ui.available_width();
    ui.spacing_mut().interact_size.y = 0.0;
    Grid::new(id).num_columns(2).spacing(Vec2::new(16.0, 5.0)).show(ui, |ui| {
        for (name, value) in facts {
            ui.scope(|ui| {
                ui.set_width(width * 0.32);
                ui.add(egui::Label::new(RichText::new(*name).color(palette.weak)).wrap());
            });
            ui.scope(|ui| {
                ui.set_width(width * 0.62);
                ui.add(egui::Label::new(RichText::new(value).color(palette.text)).wrap().selectable(true));
            });
            ui.end_row();
        }
    });
}
