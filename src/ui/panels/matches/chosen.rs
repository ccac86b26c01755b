//! The bar with actions on the selected matches.

use egui::{Button, Frame, Margin, Panel, RichText, Ui};
use egui_material_icons::icons;

use super::super::action_icon_ui;
use super::super::annotations::class_choice_ui;
use crate::query::{Answer, Judgement, pair};
use crate::session::{MatchCommand, QueryState, Session};
use crate::ui::actions::SearchAction;
use crate::ui::app::Requests;
use crate::ui::theme::{self, PANEL_MARGIN, Palette};

/// Draws the bar at the bottom of the panel, if matches are selected or a classification can be undone.
pub fn chosen_ui(
    ui: &mut Ui,
    session: &Session,
    query: &QueryState,
    answer: &Answer,
    palette: &Palette,
    requests: &mut Requests,
) {
    let count = query.chosen.len();
    if count == 0 && !session.can_undo_classification() {
        return;
    }
    let frame = Frame::new().fill(palette.raised).inner_margin(Margin::symmetric(PANEL_MARGIN, 8));
    Panel::bottom("chosen matches").frame(frame).resizable(false).show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.label(RichText::new(format!("{count} selected")).family(theme::bold()).color(palette.strong));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                let mut choice = |ui: &mut Ui, name: &str, hint: &str, ranks: &dyn Fn() -> Vec<usize>| {
                    let button = Button::new(RichText::new(name).small().color(palette.accent)).frame(false);
                    if ui.add(button).on_hover_text(hint).clicked() {
                        requests.command(MatchCommand::ChooseExactly(ranks()));
                    }
                };
                let is_same = |rank: &usize| {
                    let judged = pair(answer, &answer.matches[*rank]);
                    judged.and_then(|(query, found)| session.query_history().judgement(&query, &found))
                        == Some(Judgement::Same)
                };
                choice(ui, "None", "Deselect all matches", &Vec::new);
                ui.add_space(6.0);
                choice(
                    ui,
                    "Judged same",
                    "Select the matches that you judged to be the same tissue",
                    &|| (0..answer.matches.len()).filter(is_same).collect(),
                );
                ui.add_space(6.0);
                choice(ui, "All matches", "Select all matches", &|| (0..answer.matches.len()).collect());
            });
        });
        ui.horizontal(|ui| {
            ui.add_enabled_ui(count > 0, |ui| {
                let undo = if session.can_undo_classification() { 44.0 } else { 0.0 };
                let room = (ui.available_width() - undo).max(0.0);
                egui::ComboBox::from_id_salt("class of the chosen matches")
                    .selected_text(RichText::new("Assign class…"))
                    .width(room)
                    .show_ui(ui, |ui| {
                        if let Some(class) = class_choice_ui(ui, session, None) {
                            requests.command(MatchCommand::Classify(class));
                        }
                    })
                    .response
                    .on_hover_text("Each selected match becomes an annotation of this class on its slide");
            });
            if session.can_undo_classification() {
                action_icon_ui(
                    ui,
                    SearchAction::UndoClassification,
                    icons::ICON_UNDO,
                    None,
                    palette,
                    requests,
                );
            }
        });
    });
}
