//! Settings of the query: scope, filters, number of matches, and the form in which the answer is shown.

use egui::{Align, Button, Layout, RichText, TextStyle, Ui, Vec2};
use egui_material_icons::icons;

use super::super::number_field;
use super::{Listing, MatchesPanel, filters, marks};
use crate::query::{Order, Scope};
use crate::session::{QueryCommand, Session};
use crate::ui::actions::SearchAction;
use crate::ui::app::Requests;
use crate::ui::theme::Palette;

/// Draws the settings.
pub fn settings_ui(
    ui: &mut Ui,
    panel: &mut MatchesPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let before = session.query_settings();
    let mut settings = before.clone();
    let scopes = [
        (Scope::All, "All", "Search every slide"),
        (Scope::Same, "This slide", "Search the query's slides only"),
        (Scope::Others, "Others", "Search every slide but the query's"),
        (Scope::Archive, "Archive", "Search every slide of the project and the department's archive"),
    ];
    choice_ui(ui, &mut settings.scope, &scopes, palette);
    if settings.scope == Scope::Archive && session.project().archive().is_none() {
        // The archive's address is needed first.
        settings.scope = before.scope;
        requests.action(SearchAction::SetUpArchive);
    }
    ui.horizontal(|ui| {
        let in_force = filters::in_force(session);
        let label = match in_force {
            0 => "Filters".to_owned(),
            1 => "1 filter".to_owned(),
            count => format!("{count} filters"),
        };
        let color = if in_force > 0 { palette.accent } else { palette.text };
        let arrow =
            if panel.filters_open { icons::ICON_KEYBOARD_ARROW_UP } else { icons::ICON_KEYBOARD_ARROW_DOWN };
        let text = (
            icons::ICON_FILTER_ALT.rich_text().size(16.0).color(color),
            RichText::new(label).color(color),
            arrow.rich_text().size(16.0).color(palette.weak),
        );
        let button = Button::new(text).frame_when_inactive(panel.filters_open);
        if ui.add(button).on_hover_text("Restrict the searched tiles and the shown matches").clicked() {
            panel.filters_open ^= true;
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let noun = if settings.count == 1 { " match" } else { " matches" };
            let count = number_field(&mut settings.count).range(1..=1000).speed(0.3).suffix(noun);
            ui.add(count).on_hover_text("Number of most similar tiles to show");
        });
    });
    let has_marks = session.query().is_some_and(|query| !query.marks.is_empty());
    if settings.rank_by.learns() && (has_marks || settings.order != Order::Best) {
        marks::order_ui(ui, &mut settings.order, palette);
    }
    if panel.filters_open {
        filters::filters_ui(ui, session, &mut settings, palette, requests);
    }
    let listings = [
        (Listing::List, "List", "One match per row"),
        (Listing::Gallery, "Gallery", "Images only"),
        (Listing::Slides, "Slides", "Slides ranked by their most similar tissue"),
        (Listing::Encoders, "Encoders", "Compare with the matches of another encoder"),
    ];
    let listed = panel.listing;
    choice_ui(ui, &mut panel.listing, &listings, palette);
    if panel.listing == Listing::Encoders && listed != Listing::Encoders {
        requests.command(QueryCommand::ListRecipes);
    }
    settings.rank_slides = panel.listing == Listing::Slides;
    if settings != *before {
        requests.command(QueryCommand::SetSettings(settings));
    }
}

/// Draws buttons of which one is selected. Together they fill the available width; space beyond their names
/// is shared equally.
pub fn choice_ui<T: Copy + PartialEq>(
    ui: &mut Ui,
    chosen: &mut T,
    choices: &[(T, &str, &str)],
    palette: &Palette,
) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 3.0;
        ui.spacing_mut().button_padding.x = 0.0;
        let font = TextStyle::Button.resolve(ui.style());
        let width_of = |name: &str| {
            ui.painter().layout_no_wrap(name.to_owned(), font.clone(), palette.text).size().x.ceil()
        };
        let names: Vec<f32> = choices.iter().map(|(_, name, _)| width_of(name)).collect();
        let count = choices.len() as f32;
        let room = ui.available_width() - 3.0 * (count - 1.0);
        let spare = ((room - names.iter().sum::<f32>()) / count).max(0.0);
        for ((choice, name, hint), width) in choices.iter().zip(names) {
            let is_chosen = *chosen == *choice;
            let color = if is_chosen { palette.accent } else { palette.text };
            let fill = if is_chosen { palette.selected } else { palette.raised };
            let size = Vec2::new((width + spare).floor(), 28.0);
            let button = Button::new(RichText::new(*name).color(color)).fill(fill).min_size(size);
            if ui.add(button).on_hover_text(*hint).clicked() {
                *chosen = *choice;
            }
        }
    });
}
