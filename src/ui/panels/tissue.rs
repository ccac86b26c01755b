//! Settings of tissue detection and tile selection, in a card over the canvas so that changes of the mask are
//! visible.

use egui::{Button, ComboBox, Pos2, Rect, RichText, Slider, Ui};

use super::card::card_ui;
use super::{chip_ui, number_field};
use crate::annotation::AnnotationClass;
use crate::number_format::{self, plain};
use crate::session::{EmbeddingCommand, Session};
use crate::tissue::{Detection, TISSUE_FRACTION, TissueSettings, Within};
use crate::ui::actions::{EmbeddingAction, ViewAction};
use crate::ui::app::Requests;
use crate::ui::theme::Palette;

/// Width of the card in points.
const WIDTH: f32 = 316.0;

/// State of the card: changed settings that have not been applied yet.
#[derive(Debug, Default)]
pub struct TissueCard {
    draft: Option<TissueSettings>,
}

/// Draws the card with its upper right corner at `corner`; returns the rectangle that it covers.
pub fn tissue_ui(
    ui: &mut Ui,
    corner: Pos2,
    (card, mask_shown): (&mut TissueCard, bool),
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) -> Rect {
    let title = ("Embedding settings", WIDTH);
    card_ui(ui, corner, title, EmbeddingAction::ToggleSettings, palette, requests, |ui, requests| {
        let kept = session.tissue_settings();
        let mut settings = card.draft.take().unwrap_or_else(|| kept.clone());
        settings_ui(ui, &mut settings, session, palette);
        ui.add_space(6.0);
        let mut is_shown = mask_shown;
        let shade = ui.checkbox(&mut is_shown, "Show tissue mask");
        if shade
            .on_hover_text("Shade everything that does not count as tissue with the applied settings")
            .changed()
        {
            requests.action(ViewAction::ToggleTissue);
        }
        ui.add_space(8.0);
        buttons_ui(ui, &mut settings, kept, palette, requests);
        card.draft = (settings != *kept).then_some(settings);
    })
}

fn settings_ui(ui: &mut Ui, settings: &mut TissueSettings, session: &Session, palette: &Palette) {
    let mut finds = settings.detection == Detection::Auto;
    let find = ui.checkbox(&mut finds, "Detect tissue").on_hover_text(
        "Embed only tiles with tissue. Switch off for smears and other cytology: every tile is then embedded \
         unless it is plain glass or outside the scanned area. Default: on",
    );
    if find.changed() {
        settings.detection = if finds { Detection::Auto } else { Detection::Off };
    }
    ui.add_enabled_ui(finds, |ui| {
        ui.horizontal(|ui| {
            ui.label(RichText::new("Minimum area").color(palette.weak));
            let mut mm2 = settings.smallest_piece_um2 * 1e-6;
            let number =
                number_field(&mut mm2).range(0.0..=100.0).speed(0.0005).max_decimals(5).suffix(" mm²");
            let default = TissueSettings::default().smallest_piece_um2 * 1e-6;
            let hint = format!(
                "Pieces of tissue with a smaller area are ignored. Default: {} mm², which is 100 µm across",
                plain(default)
            );
            if ui.add(number).on_hover_text(hint).accessible_name("Minimum area").changed() {
                // Rounded to 1 µm², so that equal displayed values are equal settings.
                settings.smallest_piece_um2 = (mm2 * 1e6).round();
            }
        });
    });
    share_ui(ui, settings, palette);
    within_ui(ui, settings, session, palette);
}

fn share_ui(ui: &mut Ui, settings: &mut TissueSettings, palette: &Palette) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("Tissue per tile").color(palette.weak)).on_hover_text(
            "Minimum share of tissue in a tile. Automatic: half, and less on slides whose tissue is narrower \
             than a tile, such as core needle biopsies and other small biopsies. Default: automatic",
        );
        if chip_ui(ui, "Automatic", settings.tile_share.is_none(), palette).clicked() {
            settings.tile_share = None;
        }
        if chip_ui(ui, "At least", settings.tile_share.is_some(), palette).clicked() {
            settings.tile_share.get_or_insert(TISSUE_FRACTION);
        }
    });
    if let Some(share) = &mut settings.tile_share {
        let mut percent = (*share * 100.0).round();
        let slider = Slider::new(&mut percent, 1.0..=100.0).integer().suffix(" %");
        let slider = slider.custom_parser(number_format::read);
        let slider = ui.add(slider).on_hover_text("Minimum share of tissue in a tile");
        if slider.accessible_name("Minimum share of tissue in a tile").changed() {
            *share = percent / 100.0;
        }
    }
}

fn within_ui(ui: &mut Ui, settings: &mut TissueSettings, session: &Session, palette: &Palette) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("Only within").color(palette.weak));
        let text = match &settings.within {
            None => "everywhere".to_owned(),
            Some(Within::Annotated) => "any annotation".to_owned(),
            Some(Within::Class(name)) => name.clone(),
            Some(Within::Annotation(_)) => "one annotation".to_owned(),
        };
        let choices = ComboBox::from_id_salt("embedded within").selected_text(text).show_ui(ui, |ui| {
            ui.selectable_value(&mut settings.within, None, "everywhere");
            ui.selectable_value(&mut settings.within, Some(Within::Annotated), "any annotation");
            for AnnotationClass { name, .. } in session.project().classes() {
                ui.selectable_value(&mut settings.within, Some(Within::Class(name.clone())), name.as_str());
            }
        });
        choices.response.accessible_name("Only within").on_hover_text(
            "Embed only tiles whose centre is inside an annotation: any annotation, or those of one class. On \
             slides without such annotations, nothing is embedded. Default: everywhere",
        );
    });
}

fn buttons_ui(
    ui: &mut Ui,
    settings: &mut TissueSettings,
    kept: &TissueSettings,
    palette: &Palette,
    requests: &mut Requests,
) {
    ui.horizontal(|ui| {
        let apply = ui.add_enabled(settings != kept, Button::new("Apply"));
        let hint = "Save these settings in the project. Tiles are added and removed accordingly; tiles that \
                    remain are not embedded again";
        if apply.on_hover_text(hint).clicked() {
            requests.command(EmbeddingCommand::SetTissue(settings.clone()));
        }
        let reset = ui.add_enabled(!settings.is_default(), Button::new("Reset"));
        if reset.on_hover_text("Restore the default settings; click Apply to use them").clicked() {
            *settings = TissueSettings::default();
        }
        if kept.within.is_some() && settings == kept {
            let again = ui.button("Update tiles");
            let hint = "Add and remove tiles according to the current annotations";
            if again.on_hover_text(hint).clicked() {
                requests.command(EmbeddingCommand::SetTissue(settings.clone()));
            }
        }
    });
    if settings != kept {
        ui.label(RichText::new("Not applied yet").small().color(palette.query));
    }
}
