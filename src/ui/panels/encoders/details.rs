//! What is known of an encoder, and what can be done with it.

use std::path::Path;

use egui::{Button, Grid, Margin, RichText, Spinner, TextEdit, Ui};

use super::list::{is_in_use, rate};
use super::open_settings::open_settings_ui;
use super::preview::preview_ui;
use super::{Editing, EncodersPage};
use crate::encoder::user_models::plain_name;
use crate::number_format::plain;
use crate::project::{EncoderOrigin, ListedEncoder};
use crate::session::{
    EmbeddingCommand, EncoderChange, EncoderChoice, EncoderOffer, EncoderState, Session, TrialState,
};
use crate::ui::app::{Requests, slide_name};
use crate::ui::panels::comparison::comparison_ui;
use crate::ui::theme::{self, Palette};

/// Width of the labels of facts in points.
const LABELS: f32 = 150.0;

/// Number of slides that are named.
const NAMED: usize = 6;

pub fn details_ui(
    ui: &mut Ui,
    page: &mut EncodersPage,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    match session.embedding().choice() {
        EncoderChoice::None => {
            ui.label(RichText::new(current(session)).color(palette.text));
            ui.add_space(6.0);
            let hint = "Choose an encoder on the left to see its purpose, source and licence, what it finds on your slides, and how it compares with the current one.";
            ui.add(egui::Label::new(RichText::new(hint).color(palette.weak)).wrap());
        }
        EncoderChoice::Reading(which) => {
            ui.horizontal(|ui| {
                ui.add(Spinner::new());
                ui.label(format!("Reading {which}"));
            });
            cancel_ui(ui, requests);
        }
        EncoderChoice::Refused(reason) => {
            ui.add(egui::Label::new(RichText::new(reason).color(palette.query)).wrap());
            cancel_ui(ui, requests);
        }
        EncoderChoice::Offered(offer) => {
            page.follow(&offer.which);
            let listed = session.encoders().unwrap_or_default();
            let listed = listed.iter().find(|encoder| encoder.which == offer.which);
            ui.label(RichText::new(&offer.name).family(theme::bold()).size(17.0).color(palette.strong));
            ui.add_space(4.0);
            buttons_ui(ui, page, offer, listed, session, palette, requests);
            editing_ui(ui, page, offer, palette, requests);
            ui.add_space(8.0);
            facts_ui(ui, offer, listed, session, palette);
            ui.add_space(12.0);
            preview_ui(ui, &mut page.pictures, session, palette, requests);
            compared_ui(ui, page, session, palette, requests);
        }
    }
}

/// What the project uses, in a sentence.
fn current(session: &Session) -> String {
    match session.encoder() {
        EncoderState::Known(spec) => {
            let tiles = session.project().settings().tiles;
            let (width, edge, mpp) = (spec.width, tiles.tile_px, plain(tiles.mpp));
            format!(
                "This project uses {}: {width} numbers for each tile of {edge} px at {mpp} µm/px.",
                spec.name
            )
        }
        EncoderState::Unknown => "The encoder of this project is being read.".to_owned(),
        EncoderState::Untrusted(path) => format!("{} was not allowed to run.", path.display()),
        EncoderState::Failed(reason) => reason.clone(),
    }
}

fn buttons_ui(
    ui: &mut Ui,
    page: &mut EncodersPage,
    offer: &EncoderOffer,
    listed: Option<&ListedEncoder>,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let in_use = match listed {
        Some(listed) => is_in_use(listed, session),
        None => session.project().encoder_name() == offer.which,
    };
    ui.horizontal_wrapped(|ui| {
        if in_use {
            ui.label(RichText::new("In use by this project").color(palette.accent));
            let hint = "Delete what this encoder has embedded on the open slides, and embed them again";
            if ui.button("Embed all slides again…").on_hover_text(hint).clicked() {
                page.edit(Editing::EmbeddingAgain, &offer.which, String::new());
            }
        } else {
            let hint = "Use this encoder, with its tiles, for this project. All slides are embedded with it; searches use the current descriptors until that is done, and these are kept";
            let text = RichText::new("Use for this project").color(palette.on_accent);
            if ui.add(Button::new(text).fill(palette.accent)).on_hover_text(hint).clicked() {
                requests.command(EmbeddingCommand::UseOfferedEncoder);
            }
        }
        match listed.map(|listed| listed.origin) {
            Some(EncoderOrigin::User) => {
                if ui.button("Rename…").on_hover_text("Give this encoder another name").clicked() {
                    page.edit(Editing::Renaming, &offer.which, offer.name.clone());
                }
                let hint = "Remove it from the list; its file and descriptors are kept";
                if ui.button("Remove…").on_hover_text(hint).clicked() {
                    page.edit(Editing::Removing, &offer.which, String::new());
                }
            }
            Some(EncoderOrigin::Shipped | EncoderOrigin::Elsewhere) => {}
            Some(EncoderOrigin::Project) | None => {
                let hint = "Give it a name by which all your projects and the command line know it; its file stays where it \
                            is";
                if ui.button("Add to my encoders…").on_hover_text(hint).clicked() {
                    page.edit(Editing::Adding, &offer.which, plain_name(&offer.name));
                    page.open = offer.open;
                }
            }
        }
        if !in_use && !matches!(session.encoder_comparison(), Some(TrialState::Running { .. })) {
            let hint =
                "Answer the same queries with this encoder and with the current one, and measure P@5 by class";
            if ui.button("Compare with the current one…").on_hover_text(hint).clicked() {
                requests.command(EmbeddingCommand::Compare);
            }
        }
        cancel_ui(ui, requests);
    });
}

fn cancel_ui(ui: &mut Ui, requests: &mut Requests) {
    if ui.button("Cancel").on_hover_text("Keep the project's encoder and look at another one").clicked() {
        requests.command(EmbeddingCommand::DismissOffer);
    }
}

/// Draws the question that belongs to what the user is about to do.
fn editing_ui(
    ui: &mut Ui,
    page: &mut EncodersPage,
    offer: &EncoderOffer,
    palette: &Palette,
    requests: &mut Requests,
) {
    let which = offer.which.clone();
    let (question, verb) = match page.editing {
        Editing::Nothing => return,
        Editing::Adding => ("Name in the list and on the command line", "Add"),
        Editing::Renaming => {
            ("New name. Other projects that use this encoder have to be switched to it", "Rename")
        }
        Editing::Removing => ("Its file and descriptors are kept.", "Remove from the list"),
        Editing::EmbeddingAgain => ("All its descriptors of the open slides are deleted.", "Embed again"),
    };
    ui.add_space(6.0);
    let mut done = false;
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new(question).color(palette.text));
        let has_name = matches!(page.editing, Editing::Adding | Editing::Renaming);
        let mut enter = false;
        if has_name {
            let edit = TextEdit::singleline(&mut page.name).desired_width(200.0);
            let response =
                ui.add(edit.margin(Margin::symmetric(8, 5))).accessible_name("Name of the encoder");
            enter = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        }
        let name = page.name.trim().to_owned();
        let is_fit = !has_name || (!name.is_empty() && plain_name(&name) == name.to_ascii_lowercase());
        let confirm = ui.add_enabled(is_fit, Button::new(verb));
        if is_fit && (confirm.clicked() || enter) {
            requests.command(match page.editing {
                Editing::Adding => {
                    let open = page.open.filter(|open| Some(*open) != offer.open).map(Box::new);
                    EmbeddingCommand::ChangeEncoders(EncoderChange::Add { which, name, open })
                }
                Editing::Renaming => {
                    EmbeddingCommand::ChangeEncoders(EncoderChange::Rename { from: which, to: name })
                }
                Editing::Removing => EmbeddingCommand::ChangeEncoders(EncoderChange::Remove(which)),
                Editing::EmbeddingAgain | Editing::Nothing => EmbeddingCommand::EmbedAllAgain,
            });
            done = true;
        }
        if !is_fit {
            let hint = "Use letters, digits, dashes and underscores.";
            ui.label(RichText::new(hint).small().color(palette.query));
        }
        done |= ui.button("Keep it as it is").clicked();
    });
    if let (Editing::Adding, Some(open)) = (page.editing, &mut page.open) {
        open_settings_ui(ui, open, palette);
    }
    if done {
        page.editing = Editing::Nothing;
    }
}

fn facts_ui(
    ui: &mut Ui,
    offer: &EncoderOffer,
    listed: Option<&ListedEncoder>,
    session: &Session,
    palette: &Palette,
) {
    // The heading has the name.
    let facts = offer.facts.iter().filter(|(label, _)| label != "Name");
    let mut facts: Vec<(String, String)> = facts.cloned().collect();
    if let Some(listed) = listed {
        let speed = match &listed.speed {
            Some(speed) => format!("{} tiles/s on {}", rate(speed.tiles_per_second), speed.device),
            None => "not measured yet; a preview measures it".to_owned(),
        };
        facts.push(("Speed on this computer".to_owned(), speed));
        let mut names: Vec<String> = listed
            .embedded
            .iter()
            .filter(|slide| session.slide(slide).is_some())
            .map(|slide| slide_name(session, slide))
            .collect();
        names.sort();
        let more = names.len().saturating_sub(NAMED);
        names.truncate(NAMED);
        let mut text = if names.is_empty() { "no open slide".to_owned() } else { names.join(", ") };
        if more > 0 {
            text += &format!(" and {more} more");
        }
        facts.push(("Embedded slides".to_owned(), text));
    }
    let width = (ui.available_width() - LABELS - 20.0).max(120.0);
    let grid = Grid::new("what is known of an encoder").num_columns(2).spacing([16.0, 5.0]);
    grid.min_row_height(0.0).show(ui, |ui| {
        ui.spacing_mut().interact_size.y = 0.0;
        for (label, text) in &facts {
            // Beside the first line of the text.
            let label = egui::Label::new(RichText::new(label).color(palette.weak));
            ui.vertical(|ui| ui.add(label.extend()));
            ui.vertical(|ui| {
                ui.set_max_width(width);
                // A path would take lines; its last part says which file it is.
                let path = Path::new(text);
                let name = path.file_name().filter(|_| path.is_absolute()).and_then(|name| name.to_str());
                let shown = RichText::new(name.unwrap_or(text)).color(palette.text);
                let response = ui.add(egui::Label::new(shown).wrap());
                if name.is_some() {
                    response.on_hover_text(text);
                }
            });
            ui.end_row();
        }
    });
}

/// Draws the comparison with the current encoder, if there is one.
fn compared_ui(
    ui: &mut Ui,
    page: &mut EncodersPage,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let Some(state) = session.encoder_comparison() else { return };
    ui.add_space(16.0);
    let title =
        RichText::new("Compared with the current encoder").family(theme::bold()).color(palette.strong);
    ui.label(title);
    ui.add_space(4.0);
    let commands = (EmbeddingCommand::Compare, EmbeddingCommand::StopComparison);
    comparison_ui(ui, state, &mut page.trial, commands, palette, requests);
}
