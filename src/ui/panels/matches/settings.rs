//! How a question is answered: where, how many, and what is left out.

use egui::{Align, Button, DragValue, Layout, RichText, Slider, Ui, Vec2};

use super::{Listing, MatchesPanel};
use crate::query::{Patients, QuerySettings, Scope};
use crate::session::{Command, Session};
use crate::ui::actions::Action;
use crate::ui::app::Asked;
use crate::ui::theme::Palette;

/// Maximum distance that is offered when the user first asks for one: the farthest match of the answer, or this.
const SOME_DISTANCE: f32 = 1.0;

pub fn settings_ui(
    ui: &mut Ui,
    panel: &mut MatchesPanel,
    session: &Session,
    palette: &Palette,
    asked: &mut Asked,
) {
    let before = session.query_settings();
    let mut settings = before.clone();
    let scopes = [
        (Scope::All, "All", "Search every slide"),
        (Scope::Same, "This one", "Search the query's slides only"),
        (Scope::Others, "Others", "Search every slide but the query's"),
        (Scope::Archive, "Archive", "Search every slide here, and the department's archive"),
    ];
    choice_ui(ui, &mut settings.scope, &scopes, palette);
    if settings.scope == Scope::Archive && session.project().archive().is_none() {
        // First of all it has to be said where that is.
        settings.scope = before.scope;
        asked.action(Action::SetUpArchive);
    }
    setting_ui(ui, "Matches", "How many of the most similar tiles are shown", palette, |ui| {
        ui.add(DragValue::new(&mut settings.count).range(1..=1000).speed(0.3));
    });
    let hint = "Neighbours of the query tile within this distance are left out: they show the same spot";
    setting_ui(ui, "Leave out neighbours within", hint, palette, |ui| {
        ui.add(um(&mut settings.exclude_um));
    });
    let arrow = if panel.filters_open { "Fewer filters" } else { "More filters" };
    let text = RichText::new(arrow).small().color(palette.accent);
    if ui.add(Button::new(text).frame(false)).clicked() {
        panel.filters_open ^= true;
    }
    if panel.filters_open {
        filters_ui(ui, session, &mut settings, palette, asked);
    }
    let listings = [
        (Listing::List, "List", "One match a row"),
        (Listing::Gallery, "Gallery", "Pictures only"),
        (Listing::Slides, "Slides", "Which slides hold the most similar tissue"),
    ];
    ui.add_space(2.0);
    choice_ui(ui, &mut panel.listing, &listings, palette);
    settings.rank_slides = panel.listing == Listing::Slides;
    if settings != *before {
        asked.command(Command::SetQuery(settings));
    }
}

fn filters_ui(
    ui: &mut Ui,
    session: &Session,
    settings: &mut QuerySettings,
    palette: &Palette,
    asked: &mut Asked,
) {
    let patients = [
        (Patients::Any, "Any patient", "Whoever the slide is of"),
        (Patients::Same, "Same", "Slides of the query's patient only, as file names tell"),
        (Patients::Others, "Others", "Slides of other patients only, as file names tell"),
    ];
    let mut chosen = session.patients();
    choice_ui(ui, &mut chosen, &patients, palette);
    if chosen != session.patients() {
        asked.command(Command::SetPatients(chosen));
    }
    let hint = "Of matches on a slide that are nearer to each other than this, only the best is shown";
    setting_ui(ui, "One match within", hint, palette, |ui| {
        ui.add(um(&mut settings.apart_um));
    });
    let mut limited = settings.max_distance.is_some();
    let answer = session.query().and_then(|query| query.answer.as_ref());
    let farthest =
        answer.and_then(|answer| answer.matches.last()).map_or(SOME_DISTANCE, |last| last.distance);
    let mut most = settings.max_distance.unwrap_or(farthest);
    setting_ui(ui, "Distance at most", "Tiles that are less alike are no matches", palette, |ui| {
        if limited {
            ui.add(DragValue::new(&mut most).range(0.0..=1e6).speed(0.005).max_decimals(3));
        }
        ui.checkbox(&mut limited, "");
    });
    settings.max_distance = limited.then_some(most);
    let hint = "Choose matches that differ from each other, too: to the left the nearest ones only";
    setting_ui(ui, "Variety", hint, palette, |ui| {
        ui.add(Slider::new(&mut settings.diversity, 0.0..=0.9).show_value(false));
    });
}

fn um(value: &mut f64) -> DragValue<'_> {
    DragValue::new(value).range(0.0..=100_000.0).speed(10.0).suffix(" µm").max_decimals(0)
}

/// Buttons of which one is chosen.
fn choice_ui<T: Copy + PartialEq>(
    ui: &mut Ui,
    chosen: &mut T,
    choices: &[(T, &str, &str)],
    palette: &Palette,
) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        // Four of them fit the panel without widening it.
        ui.spacing_mut().button_padding.x = 3.0;
        let count = choices.len() as f32;
        let width = (ui.available_width() - 4.0 * (count - 1.0)) / count;
        for (choice, name, hint) in choices {
            let is_chosen = *chosen == *choice;
            let color = if is_chosen { palette.accent } else { palette.text };
            let fill = if is_chosen { palette.selected } else { palette.raised };
            let button =
                Button::new(RichText::new(*name).color(color)).fill(fill).min_size(Vec2::new(width, 28.0));
            if ui.add(button).on_hover_text(*hint).clicked() {
                *chosen = *choice;
            }
        }
    });
}

fn setting_ui(ui: &mut Ui, name: &str, hint: &str, palette: &Palette, add: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(name).color(palette.weak)).on_hover_text(hint);
        ui.with_layout(Layout::right_to_left(Align::Center), add);
    });
}
