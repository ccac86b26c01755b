//! The card of encoders: those that ship, those that the user added, and one from a file.

use egui::{Button, Grid, Pos2, Rect, RichText, ScrollArea, Spinner, Ui};

use super::card::card_ui;
use crate::session::{EmbeddingCommand, EncoderChoice, EncoderOffer, EncoderState, Session};
use crate::ui::actions::EmbeddingAction;
use crate::ui::app::Requests;
use crate::ui::theme::Palette;

/// Width of the card in points.
const WIDTH: f32 = 440.0;

/// Height of the list in points, beyond which it scrolls.
const LIST_HEIGHT: f32 = 260.0;

/// Draws the card with its upper right corner at `corner`; returns the rectangle that it covers.
pub fn encoders_ui(
    ui: &mut Ui,
    corner: Pos2,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) -> Rect {
    let title = ("Encoders", WIDTH);
    card_ui(ui, corner, title, EmbeddingAction::ToggleEncoders, palette, requests, |ui, requests| {
        present_ui(ui, session, palette);
        ui.add_space(6.0);
        match session.embedding().choice() {
            EncoderChoice::None => list_ui(ui, session, palette, requests),
            EncoderChoice::Reading(which) => {
                ui.horizontal(|ui| {
                    ui.add(Spinner::new());
                    ui.label(format!("Reading {which}"));
                });
                cancel_ui(ui, requests);
            }
            EncoderChoice::Refused(reason) => {
                ui.label(RichText::new(reason).color(palette.query));
                cancel_ui(ui, requests);
            }
            EncoderChoice::Offered(offer) => offer_ui(ui, offer, palette, requests),
        }
    })
}

/// Draws what the project uses.
fn present_ui(ui: &mut Ui, session: &Session, palette: &Palette) {
    let text = match session.encoder() {
        EncoderState::Known(spec) => {
            let tiles = session.project().settings().tiles;
            let (width, edge, mpp) = (spec.width, tiles.tile_px, tiles.mpp);
            format!(
                "This project uses {}: {width} numbers for each tile of {edge} px at {mpp} µm/px.",
                spec.name
            )
        }
        EncoderState::Unknown => "The encoder of this project is being read.".to_owned(),
        EncoderState::Untrusted(path) => format!("{} was not allowed to run.", path.display()),
        EncoderState::Failed(reason) => reason.clone(),
    };
    ui.label(RichText::new(text).color(palette.weak));
}

fn list_ui(ui: &mut Ui, session: &Session, palette: &Palette, requests: &mut Requests) {
    let present = session.project().encoder_name();
    ScrollArea::vertical().max_height(LIST_HEIGHT).show(ui, |ui| {
        for encoder in session.embedding().listed() {
            ui.horizontal(|ui| {
                ui.vertical(|ui| {
                    ui.set_width(WIDTH - 110.0);
                    let own = if encoder.is_own { " · added by you" } else { "" };
                    ui.label(RichText::new(format!("{}{own}", encoder.name)).color(palette.strong));
                    ui.label(RichText::new(&encoder.summary).small().color(palette.weak));
                });
                let is_present = encoder.name == present;
                let text = if is_present { "In use" } else { "Select" };
                let button = ui.add_enabled(encoder.is_usable && !is_present, Button::new(text));
                if button.on_hover_text("Show what is known of it, to use it for this project").clicked() {
                    requests.command(EmbeddingCommand::ExamineEncoder(encoder.name.clone()));
                }
            });
            ui.add_space(4.0);
        }
    });
    ui.add_space(6.0);
    let hint = "Choose weights of a vision transformer or another supported network (.safetensors, .bin, .pth), or a \
                TorchScript module (.pt)";
    if ui.button("From file…").on_hover_text(hint).clicked() {
        requests.action(EmbeddingAction::ChooseEncoderFile);
    }
}

fn offer_ui(ui: &mut Ui, offer: &EncoderOffer, palette: &Palette, requests: &mut Requests) {
    Grid::new("what is known of an encoder").num_columns(2).show(ui, |ui| {
        for (label, text) in &offer.facts {
            ui.label(RichText::new(label).color(palette.weak));
            ui.scope(|ui| {
                ui.set_max_width(WIDTH - 170.0);
                ui.label(text);
            });
            ui.end_row();
        }
    });
    ui.add_space(8.0);
    ui.label(
        RichText::new(
            "All slides are embedded again; searches use the present descriptors until that is done.",
        )
        .small()
        .color(palette.weak),
    );
    ui.horizontal(|ui| {
        let hint = "Use this encoder, with its tiles, for this project and embed all slides again";
        if ui.button("Use for this project").on_hover_text(hint).clicked() {
            requests.command(EmbeddingCommand::UseOfferedEncoder);
        }
        cancel_ui(ui, requests);
    });
}

fn cancel_ui(ui: &mut Ui, requests: &mut Requests) {
    if ui.button("Cancel").on_hover_text("Go back to the list and keep the project's encoder").clicked() {
        requests.command(EmbeddingCommand::DismissOffer);
    }
}
