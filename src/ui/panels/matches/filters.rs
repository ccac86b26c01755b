//! Filters: which tiles are searched, and which of the nearest tiles are shown.

use egui::{Align, Button, DragValue, Frame, Layout, Margin, RichText, ScrollArea, Slider, Stroke, Ui, Vec2};

use super::super::{ICON_BUTTON, action_icon_ui, line_ui, number_field};
use super::settings::choice_ui;
use crate::number_format::decimal;
use crate::query::{AnnotationFilter, Patients, QuerySettings, RankBy, Scope};
use crate::session::{QueryCommand, Session};
use crate::slide::SlideId;
use crate::ui::actions::SearchAction;
use crate::ui::app::{Requests, slide_name};
use crate::ui::theme::{self, Palette};

/// Initial maximum distance if there is no answer to derive one from.
const SOME_DISTANCE: f32 = 1.0;
/// Width of the fields on the right in points.
const FIELD: f32 = 132.0;

/// Returns the number of active filters, not counting the exclusion of the query's neighbourhood.
pub fn in_force(session: &Session) -> usize {
    let settings = session.query_settings();
    let filters = [
        settings.among.is_some(),
        session.patients() != Patients::Any,
        settings.annotation_filter != AnnotationFilter::Anywhere,
        settings.apart_um > 0.0,
        settings.max_distance.is_some(),
        settings.diversity > 0.0,
    ];
    filters.into_iter().filter(|in_force| *in_force).count()
}

/// Says why there are no matches; `in_force` is the number of filters that are.
pub fn why_none(settings: &QuerySettings, in_force: usize) -> String {
    match settings.scope {
        _ if in_force > 0 => "No tiles match these filters.".to_owned(),
        Scope::Others => "No other slide has tiles to search.".to_owned(),
        _ if settings.exclude_um > 0.0 => format!(
            "There are no other tiles: those nearer than {} µm to the query are left out. Filters, From query, changes that.",
            decimal(settings.exclude_um, 0)
        ),
        _ => "There are no other tiles to search.".to_owned(),
    }
}

/// Draws the filters and applies changes to `settings`.
pub fn filters_ui(
    ui: &mut Ui,
    session: &Session,
    settings: &mut QuerySettings,
    palette: &Palette,
    requests: &mut Requests,
) {
    // Not filled: slider rails and boxes are visible against the panel's own colour.
    let frame = Frame::new().stroke(Stroke::new(1.0, palette.line)).corner_radius(theme::RADIUS);
    frame.inner_margin(Margin::symmetric(10, 8)).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 4.0;
        title_ui(ui, "Search in", palette);
        slides_ui(ui, session, settings, palette);
        patients_ui(ui, session, palette, requests);
        marked_ui(ui, session, settings, palette);
        ui.add_space(4.0);
        title_ui(ui, "Show", palette);
        let hint = "Tiles on the query's slide closer than this are left out, since they show the same area";
        setting_ui(ui, "From query", hint, palette, |ui| {
            ui.add_sized([FIELD, 28.0], um(&mut settings.exclude_um, "at least "));
        });
        let hint = "Of matches on the same slide closer to each other than this, only the best is shown";
        setting_ui(ui, "Between matches", hint, palette, |ui| {
            ui.add_sized([FIELD, 28.0], um(&mut settings.apart_um, "at least "));
        });
        distance_ui(ui, session, settings, palette);
        let hint = "Prefer matches that also differ from each other. Far left: the nearest matches only";
        setting_ui(ui, "Diversity", hint, palette, |ui| {
            ui.spacing_mut().slider_width = FIELD;
            ui.add(Slider::new(&mut settings.diversity, 0.0..=0.9).show_value(false));
        });
        let hint = "After marks, compare tiles with the direction of all marks, which is best in patients without marks; with their \
                    linear discriminant, which with tissue-views finds no more; or with the nearest example or marked area only, so \
                    that judgements of matches do not change the ranking";
        setting_ui(ui, "Rank by", hint, palette, |ui| {
            let name = |rank_by: RankBy| match rank_by {
                RankBy::Direction => "all marks",
                RankBy::Discriminant => "discriminant",
                RankBy::Nearest => "nearest example",
            };
            let combo = egui::ComboBox::from_id_salt("rank by").selected_text(name(settings.rank_by)).width(FIELD);
            combo.show_ui(ui, |ui| {
                for choice in [RankBy::Direction, RankBy::Discriminant, RankBy::Nearest] {
                    ui.selectable_value(&mut settings.rank_by, choice, name(choice));
                }
            });
        });
        let button = Button::new(RichText::new("Clear filters").small().color(palette.accent)).frame(false);
        if in_force(session) > 0 && ui.add(button).on_hover_text("Remove all filters").clicked() {
            *settings = QuerySettings {
                scope: settings.scope,
                count: settings.count,
                exclude_um: settings.exclude_um,
                rank_by: settings.rank_by,
                order: settings.order,
                ..QuerySettings::default()
            };
            requests.command(QueryCommand::SetPatients(Patients::Any));
        }
    });
}

fn title_ui(ui: &mut Ui, title: &str, palette: &Palette) {
    ui.label(RichText::new(title).small().family(theme::bold()).color(palette.weak));
}

/// Draws the choice of slides to search.
fn slides_ui(ui: &mut Ui, session: &Session, settings: &mut QuerySettings, palette: &Palette) {
    let all: Vec<&SlideId> = session.slides().iter().map(|state| state.id()).collect();
    let label = match &settings.among {
        None => "all".to_owned(),
        Some(chosen) => format!("{} of {}", chosen.len(), all.len()),
    };
    setting_ui(ui, "Slides", "Search only these slides", palette, |ui| {
        let combo = egui::ComboBox::from_id_salt("slides of the query").selected_text(label).width(FIELD);
        let combo = combo.close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside);
        combo.show_ui(ui, |ui| {
            ui.set_min_width(240.0);
            let mut chosen: Vec<SlideId> =
                settings.among.clone().unwrap_or_else(|| all.iter().map(|id| (*id).clone()).collect());
            ui.horizontal(|ui| {
                if ui.button("All").clicked() {
                    chosen = all.iter().map(|id| (*id).clone()).collect();
                }
                if ui.button("None").clicked() {
                    chosen.clear();
                }
            });
            ScrollArea::vertical().max_height(260.0).show(ui, |ui| {
                for id in &all {
                    let mut is_in = chosen.contains(id);
                    if ui.checkbox(&mut is_in, slide_name(session, id)).changed() {
                        match is_in {
                            true => chosen.push((*id).clone()),
                            false => chosen.retain(|one| one != *id),
                        }
                    }
                }
            });
            let is_all = all.iter().all(|id| chosen.contains(id));
            settings.among = (!is_all).then_some(chosen);
        });
    });
}

fn patients_ui(ui: &mut Ui, session: &Session, palette: &Palette, requests: &mut Requests) {
    let patients = [
        (Patients::Any, "Any patient", "Search slides of all patients"),
        (
            Patients::Same,
            "Same",
            "Search only slides of the query's patient, according to the patient list or the file names",
        ),
        (
            Patients::Others,
            "Other",
            "Search only slides of other patients, according to the patient list or the file names",
        ),
    ];
    let mut chosen = session.patients();
    ui.horizontal(|ui| {
        let room = (ui.available_width() - ICON_BUTTON - ui.spacing().item_spacing.x).max(0.0);
        ui.allocate_ui(Vec2::new(room, 28.0), |ui| choice_ui(ui, &mut chosen, &patients, palette));
        let icon = egui_material_icons::icons::ICON_CONTACT_PAGE;
        action_icon_ui(ui, SearchAction::ChoosePatients, icon, None, palette, requests);
    });
    if chosen != session.patients() {
        requests.command(QueryCommand::SetPatients(chosen));
    }
}

/// Draws the restriction to tiles inside or outside annotations.
fn marked_ui(ui: &mut Ui, session: &Session, settings: &mut QuerySettings, palette: &Palette) {
    let label = match &settings.annotation_filter {
        AnnotationFilter::Anywhere => "anywhere".to_owned(),
        AnnotationFilter::Annotated => "annotated".to_owned(),
        AnnotationFilter::Unannotated => "not annotated".to_owned(),
        AnnotationFilter::Class(name) => name.clone(),
    };
    setting_ui(
        ui,
        "Annotations",
        "Search only tiles inside annotations, or only those outside",
        palette,
        |ui| {
            let combo = egui::ComboBox::from_id_salt("marked tissue").selected_text(label).width(FIELD);
            combo.show_ui(ui, |ui| {
                let plain = [
                    (AnnotationFilter::Anywhere, "anywhere"),
                    (AnnotationFilter::Annotated, "inside an annotation"),
                    (AnnotationFilter::Unannotated, "not annotated"),
                ];
                for (annotation_filter, name) in plain {
                    ui.selectable_value(&mut settings.annotation_filter, annotation_filter, name);
                }
                ui.separator();
                for class in session.project().classes() {
                    let name = class.name.clone();
                    ui.selectable_value(
                        &mut settings.annotation_filter,
                        AnnotationFilter::Class(class.name),
                        name,
                    );
                }
            });
        },
    );
}

fn distance_ui(ui: &mut Ui, session: &Session, settings: &mut QuerySettings, palette: &Palette) {
    let mut limited = settings.max_distance.is_some();
    let answer = session.query().and_then(|query| query.answer.as_ref());
    let farthest =
        answer.and_then(|answer| answer.matches.last()).map_or(SOME_DISTANCE, |last| last.distance);
    let mut most = settings.max_distance.unwrap_or(farthest);
    setting_ui(ui, "Distance", "Leave out tiles with a larger descriptor distance", palette, |ui| {
        let field = number_field(&mut most).range(0.0..=1e6).speed(0.005).max_decimals(3).prefix("≤ ");
        ui.checkbox(&mut limited, "");
        ui.add_enabled_ui(limited, |ui| ui.add_sized([ui.available_width(), 28.0], field));
    });
    settings.max_distance = limited.then_some(most);
}

fn um<'a>(value: &'a mut f64, prefix: &str) -> DragValue<'a> {
    number_field(value).range(0.0..=100_000.0).speed(10.0).prefix(prefix).suffix(" µm").max_decimals(0)
}

/// Draws a name, and a field of [`FIELD`] points at the right edge.
fn setting_ui(ui: &mut Ui, name: &str, hint: &str, palette: &Palette, add: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        let room = Vec2::new((ui.available_width() - FIELD - ui.spacing().item_spacing.x).max(0.0), 28.0);
        let left = Layout::left_to_right(Align::Center);
        let named = ui.allocate_ui_with_layout(room, left, |ui| {
            ui.set_min_width(room.x);
            line_ui(ui, RichText::new(name).color(palette.text));
        });
        named.response.on_hover_text(hint);
        ui.allocate_ui_with_layout(Vec2::new(FIELD, 28.0), left, add);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_matches_what_left_it_out_is_named() {
        let settings = |scope, exclude_um| QuerySettings { scope, exclude_um, ..QuerySettings::default() };
        assert!(why_none(&settings(Scope::All, 500.0), 1).contains("filters"));
        assert!(why_none(&settings(Scope::Others, 500.0), 0).contains("other slide"));
        assert!(why_none(&settings(Scope::All, 500.0), 0).contains("500 µm"));
        assert!(why_none(&settings(Scope::Same, 0.0), 0).contains("no other tiles"));
    }
}
