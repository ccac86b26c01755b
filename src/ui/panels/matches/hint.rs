//! What the panel says without a query: how to search, or what has to happen first.

use egui::{Frame, Margin, RichText, Ui};
use egui_material_icons::icons;

use crate::number_format::counted;
use crate::session::{EncoderState, QueryState, Session, SlideState, SlideStatus};
use crate::ui::actions::{self, Action, EmbeddingAction, SearchAction, SlideAction};
use crate::ui::region_tool::RegionShape;
use crate::ui::settings::{FindSimilar, Settings};
use crate::ui::theme::{self, Palette};

/// Whether what a query lacks is still being embedded.
pub(super) fn is_to_come(session: &Session, query: &QueryState) -> bool {
    let target = query.target().and_then(|target| Some((session.slide(&target.slide)?, target.rect)));
    query.embeds_tile
        || target.is_some_and(|(slide, rect)| {
            let is_tissue = slide.tissue.as_ref().is_none_or(|tissue| tissue.has_tissue(&rect));
            let (halted, status) = (is_halted(session), &slide.status);
            is_tissue && !halted && matches!(status, SlideStatus::Waiting(_) | SlideStatus::Embedding(_))
        })
}

fn is_halted(session: &Session) -> bool {
    session.embedding().paused || session.embedding().cancelled
}

/// Whether a slide may still get tiles.
fn is_any_to_come(session: &Session) -> bool {
    let is_checked = |slide: &SlideState| matches!(slide.status, SlideStatus::Checking);
    session.is_embedding_left() || session.slides().iter().any(is_checked)
}

/// Draws the hint.
pub(super) fn hint_ui(ui: &mut Ui, session: &Session, palette: &Palette) {
    let named = |ui: &Ui, action: Action| actions::entry(action).named(ui.ctx());
    let lacks_pixel_size = session.active().is_some_and(|slide| slide.source.info().mpp.is_none());
    Frame::new().inner_margin(Margin::symmetric(24, 40)).show(ui, |ui| {
        ui.vertical_centered(|ui| {
            let icon = if lacks_pixel_size { icons::ICON_STRAIGHTEN } else { icons::ICON_IMAGE_SEARCH };
            ui.label(icon.rich_text().size(40.0).color(palette.weak));
            ui.add_space(6.0);
            let title = if lacks_pixel_size { "Set the pixel size first".to_owned() } else { how(ui) };
            ui.label(RichText::new(title).family(theme::bold()).color(palette.strong));
            if lacks_pixel_size {
                let set = named(ui, SlideAction::Calibrate.into());
                let text = format!(
                    "The file does not state how large its pixels are. Without that, tissue cannot be compared. {set}."
                );
                ui.label(RichText::new(text).color(palette.weak));
                return;
            }
            let text = "The most similar tiles on this and all other slides are outlined, and listed here.";
            ui.label(RichText::new(text).color(palette.weak));
            ui.add_space(8.0);
            let resume = named(ui, EmbeddingAction::PauseOrResume.into());
            ui.label(RichText::new(searchable(session, &resume)).small().color(palette.weak));
            ui.add_space(8.0);
            let region = named(ui, SearchAction::DrawRegion(RegionShape::Rect).into());
            let image = named(ui, SearchAction::PastePicture.into());
            let annotation = named(ui, SearchAction::ByAnnotations.into());
            let more = format!("Other ways: {region}, {image}, {annotation}.");
            ui.label(RichText::new(more).small().color(palette.weak));
        });
    });
}

/// How to search, by the user's settings.
fn how(ui: &Ui) -> String {
    let key = actions::entry(SearchAction::FindSimilar).shortcut_label(ui.ctx());
    match (Settings::current(ui.ctx()).find_similar, key) {
        (FindSimilar::Click, _) => "Click tissue on the slide".to_owned(),
        (FindSimilar::DoubleClick, _) => "Double-click tissue on the slide".to_owned(),
        (FindSimilar::Key, Some(key)) => format!("Point at tissue and press {key}"),
        (FindSimilar::Key, None) => "Point at tissue and use the command Find similar tissue".to_owned(),
    }
}

/// How much can be searched, or why nothing can; `resume` is the command that resumes embedding.
fn searchable(session: &Session, resume: &str) -> String {
    let is_encoder_missing =
        matches!(session.encoder(), EncoderState::Failed(_) | EncoderState::Untrusted(_));
    match session.searchable_tiles() {
        _ if session.slides().is_empty() => "Open a slide first.".to_owned(),
        0 if is_encoder_missing => {
            "Slides can be viewed only: there is no encoder to compare tissue with.".to_owned()
        }
        0 if is_halted(session) => {
            format!("Nothing can be searched yet: embedding was halted. {resume} continues it.")
        }
        0 if !is_any_to_come(session) => {
            "There are no tiles to search; the list of slides says why.".to_owned()
        }
        0 => "Nothing can be searched yet: the first tiles are still to be embedded.".to_owned(),
        tiles => format!("{} can be searched so far.", counted(tiles as u64, "tile")),
    }
}
