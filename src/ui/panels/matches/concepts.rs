//! The concepts of the project: what they find, and what can be done with them.

use egui::{Align, Frame, Layout, Margin, RichText, ScrollArea, Ui};
use egui_material_icons::icons;

use super::super::{icon_button, line_ui, number_field};
use super::marks::{link_ui, swatch_ui};
use crate::concept::{Concept, FEWEST_MARKS, LeftOut};
use crate::number_format::decimal;
use crate::session::{ConceptAreas, ConceptCommand, Session};
use crate::ui::actions::{self, SearchAction};
use crate::ui::app::{Requests, slide_name};
use crate::ui::heat_map::HeatSource;
use crate::ui::panels::concept_dialog::ConceptForm;
use crate::ui::panels::dialogs::Dialog;
use crate::ui::theme::{self, PANEL_MARGIN, Palette};

/// Largest height of the list in points.
const HEIGHT: f32 = 320.0;
/// Largest number of slides that are listed with their areas.
const SLIDES: usize = 8;

/// Draws the list of concepts.
/// `deleting` is the concept whose deletion awaits confirmation.
pub fn concepts_ui(
    ui: &mut Ui,
    deleting: &mut Option<String>,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    Frame::new().inner_margin(Margin::symmetric(PANEL_MARGIN, 4)).show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.label(RichText::new("Concepts").small().color(palette.weak));
            let hint = actions::entry(SearchAction::ToggleClassMap).hint(ui.ctx());
            let is_several = session.concepts().len() > 1;
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let export = "Write the class map, areas (CSV) and regions (GeoJSON, ASAP XML) of all concepts with a threshold, to the project's folder “reports”";
                // From right to left.
                if is_several && link_ui(ui, "Export map", export, palette.accent) {
                    requests.command(ConceptCommand::ExportClassMap);
                }
                if is_several && link_ui(ui, "Class map", &hint, palette.accent) {
                    requests.heat = Some(HeatSource::AllConcepts);
                }
            });
        });
        if session.concepts().is_empty() {
            let text = "No concepts yet. Search, mark some matches as the same or different tissue, then save the query as a concept.";
            ui.label(RichText::new(text).small().color(palette.text));
        }
        ScrollArea::vertical().id_salt("concepts").max_height(HEIGHT).auto_shrink([false, true]).show(ui, |ui| {
            for concept in session.concepts() {
                ui.push_id(&concept.name, |ui| {
                    concept_ui(ui, deleting, session, concept, palette, requests);
                });
                ui.add_space(4.0);
            }
        });
        ui.add_space(4.0);
    });
}

fn concept_ui(
    ui: &mut Ui,
    deleting: &mut Option<String>,
    session: &Session,
    concept: &Concept,
    palette: &Palette,
    requests: &mut Requests,
) {
    let name = || concept.name.clone();
    Frame::new().fill(palette.raised).corner_radius(theme::RADIUS).inner_margin(Margin::symmetric(10, 8)).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.spacing_mut().item_spacing.y = 3.0;
        ui.horizontal(|ui| {
            swatch_ui(ui, concept.class.color);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.spacing_mut().item_spacing.x = 0.0;
                let hint = "Delete this concept and what it was taught";
                if icon_button(ui, icons::ICON_DELETE, "delete concept", hint, palette.weak).clicked() {
                    *deleting = Some(name());
                }
                let hint = "Change the name or the class of this concept";
                if icon_button(ui, icons::ICON_EDIT, "change concept", hint, palette.weak).clicked() {
                    requests.dialog = Some(Dialog::Concept(ConceptForm::change(concept)));
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    line_ui(ui, RichText::new(&concept.name).family(theme::bold()).color(palette.strong));
                });
            });
        });
        if deleting.as_ref() == Some(&concept.name) {
            ui.label(RichText::new("Delete this concept? That cannot be undone.").color(palette.error));
            ui.horizontal(|ui| {
                let delete = ui.button("Delete permanently").clicked();
                if delete {
                    requests.command(ConceptCommand::Remove(name()));
                }
                if delete || ui.button("Cancel").clicked() {
                    *deleting = None;
                }
            });
            return;
        }
        let [same, different] = concept.counts();
        let text = format!("{same} same, {different} different · {}", precision(concept));
        ui.label(RichText::new(text).small().color(palette.weak)).on_hover_text(estimate(concept));
        threshold_ui(ui, concept, palette, requests);
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 12.0;
            let accent = palette.accent;
            if link_ui(ui, "Find", "Show the tiles nearest to this concept", accent) {
                requests.command(ConceptCommand::Find(name()));
            }
            if link_ui(ui, "Heat map", "Colour every tile by its similarity to this concept", accent) {
                requests.heat = Some(HeatSource::Concept(name()));
            }
            if link_ui(ui, "Areas", "Compute its area on every slide", accent) {
                requests.command(ConceptCommand::Apply(name()));
            }
            let hint = "Write areas (CSV), regions (GeoJSON, ASAP XML) and maps (TIFF) to the project's folder “reports”";
            if link_ui(ui, "Export", hint, accent) {
                requests.command(ConceptCommand::Export(name()));
            }
            if link_ui(ui, "Teach", "Show the query with its marks again, to add marks", accent) {
                requests.command(ConceptCommand::GoOnTeaching(name()));
            }
        });
        match session.concept_areas() {
            Some(Ok(areas)) if areas.name == concept.name => areas_ui(ui, session, areas, palette),
            Some(Err(problem)) if problem.name == concept.name => {
                ui.label(RichText::new(&problem.reason).small().color(palette.error));
            }
            _ => {}
        }
    });
}

fn threshold_ui(ui: &mut Ui, concept: &Concept, palette: &Palette, requests: &mut Requests) {
    ui.horizontal(|ui| {
        let label = ui.label(RichText::new("Threshold").small().color(palette.weak));
        let kept = concept.threshold.unwrap_or(0.0);
        // The value while it is being dragged or typed; the concept changes at the end only.
        let id = ui.scope_id().with("threshold");
        let mut distance = ui.data(|data| data.get_temp::<f32>(id)).unwrap_or(kept);
        let text = |value: f64| if value > 0.0 { decimal(value, 3) } else { "none".to_owned() };
        let field = number_field(&mut distance).range(0.0..=1e6).speed(0.002);
        let field = field.custom_formatter(|value, _| text(value)).update_while_editing(false);
        let response = ui.add(field).labelled_by(label.id).on_hover_text(
            "Largest distance of a tile that belongs to the concept; drag to change. More tiles belong to it when it is \
             larger",
        );
        if response.dragged() || response.has_focus() {
            ui.data_mut(|data| data.insert_temp(id, distance));
        } else {
            ui.data_mut(|data| data.remove::<f32>(id));
            // A value that was not changed is read back as it is shown.
            if text(distance.into()) != text(kept.into()) {
                let distance = Some(distance).filter(|distance| *distance > 0.0);
                requests.command(ConceptCommand::SetThreshold { name: concept.name.clone(), distance });
            }
        }
        let of_marks = concept.estimate.map(|estimate| estimate.distance);
        if of_marks.is_some()
            && concept.threshold != of_marks
            && link_ui(ui, "from the marks", "Use the threshold that the marks give", palette.accent)
        {
            requests.command(ConceptCommand::SetThreshold { name: concept.name.clone(), distance: of_marks });
        }
    });
}

fn areas_ui(ui: &mut Ui, session: &Session, areas: &ConceptAreas, palette: &Palette) {
    let line = |ui: &mut Ui, name: &str, found: f64, of: f64| {
        ui.horizontal(|ui| {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let share = if of > 0.0 { found / of * 100.0 } else { 0.0 };
                let text = format!("{} mm² ({} %)", decimal(found, 2), decimal(share, 0));
                ui.label(RichText::new(text).small().color(palette.text));
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    line_ui(ui, RichText::new(name).small().color(palette.weak));
                });
            });
        });
    };
    for slide in areas.slides.iter().filter(|slide| slide.found.tiles > 0).take(SLIDES) {
        line(ui, &slide_name(session, &slide.slide), slide.found.mm2, slide.of.mm2);
    }
    let found = areas.slides.iter().filter(|slide| slide.found.tiles > 0).count();
    let patients = areas.patients.iter().filter(|patient| patient.found.tiles > 0).count();
    let text = format!(
        "Found on {found} of {} slides, in {patients} of {} patients",
        areas.slides.len(),
        areas.patients.len()
    );
    ui.label(RichText::new(text).small().color(palette.weak));
}

/// The estimated precision of a concept in a few words.
fn precision(concept: &Concept) -> String {
    let Some(estimate) = concept.estimate else { return "too few marks".to_owned() };
    match (estimate.precision(), estimate.interval()) {
        (Some(share), Some([low, high])) => {
            // It is that of the threshold that the marks give, and says nothing about another one.
            let at = match concept.threshold == Some(estimate.distance) {
                true => String::new(),
                false => format!(" at {}", decimal(estimate.distance, 3)),
            };
            let [share, low, high] = [share, low, high].map(|share| decimal(share * 100.0, 0));
            format!("precision {share} % [{low}–{high}]{at}")
        }
        _ => "precision unknown".to_owned(),
    }
}

/// What the estimated precision means.
fn estimate(concept: &Concept) -> String {
    let Some(estimate) = concept.estimate else {
        return format!(
            "A threshold and its precision take {FEWEST_MARKS} marks of the same tissue and {FEWEST_MARKS} of different tissue."
        );
    };
    let left_out = match estimate.left_out {
        LeftOut::Patients => "patients left out in turn",
        LeftOut::Slides => "slides left out in turn",
        LeftOut::Marks => "marks left out in turn, since those of the same tissue lie on one or two slides",
    };
    format!(
        "Of {} marked tiles within the threshold that the marks give, {} are the same tissue; {left_out}. In brackets the 95 % \
         interval.\nMarked \
         tiles are mostly among the most similar ones: for all tiles it may be lower.",
        estimate.within, estimate.same
    )
}
