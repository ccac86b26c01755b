//! The list of encoders that can be chosen, and ways to add one.

use egui::{Color32, Margin, RichText, ScrollArea, Spinner, TextEdit, Ui, Vec2};

use super::super::{line_ui, row_ui, text_over_ui};
use super::{EncodersPage, looked_at};
use crate::number_format::{counted, decimal, plain};
use crate::project::{EncoderOrigin, ListedEncoder};
use crate::session::{EmbeddingCommand, EncoderState, Session};
use crate::ui::actions::{self, EmbeddingAction};
use crate::ui::app::Requests;
use crate::ui::theme::{self, Palette};

/// Height of a row in points.
const ROW: f32 = 64.0;

/// Height in points of what stands below the list.
const BELOW: f32 = 104.0;

/// The parts of the list with their headings.
const PARTS: [(EncoderOrigin, &str); 4] = [
    (EncoderOrigin::Shipped, "Shipped with histokin"),
    (EncoderOrigin::Project, "In this project"),
    (EncoderOrigin::User, "Added by you"),
    (EncoderOrigin::Elsewhere, "Descriptors only, without the encoder"),
];

pub fn list_ui(
    ui: &mut Ui,
    page: &mut EncodersPage,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let height = (ui.available_height() - BELOW).max(100.0);
    ScrollArea::vertical().id_salt("encoders").max_height(height).min_scrolled_height(height).show(
        ui,
        |ui| {
            ui.spacing_mut().item_spacing.y = 3.0;
            let Some(encoders) = session.encoders() else {
                ui.horizontal(|ui| {
                    ui.add(Spinner::new());
                    ui.label(RichText::new("Reading encoders").color(palette.weak));
                });
                return;
            };
            for (origin, heading) in PARTS {
                let mut part = encoders.iter().filter(|encoder| encoder.origin == origin).peekable();
                if part.peek().is_none() {
                    continue;
                }
                ui.add_space(6.0);
                ui.label(RichText::new(heading).small().color(palette.weak));
                for encoder in part {
                    encoder_ui(ui, encoder, session, palette, requests);
                }
            }
        },
    );
    add_ui(ui, page, palette, requests);
}

fn encoder_ui(
    ui: &mut Ui,
    encoder: &ListedEncoder,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let is_chosen = !encoder.which.is_empty() && looked_at(session) == Some(&encoder.which);
    let plain = Palette { raised: Color32::TRANSPARENT, ..palette.clone() };
    let (rect, response) = row_ui(ui, ROW, is_chosen, &encoder.name, &plain);
    text_over_ui(ui, rect.shrink2(Vec2::new(10.0, 5.0)), |ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        ui.horizontal(|ui| {
            ui.label(RichText::new(&encoder.name).family(theme::bold()).color(palette.strong));
            if is_in_use(encoder, session) {
                ui.label(RichText::new("in use").small().color(palette.accent));
            }
        });
        let (text, color) = match &encoder.problem {
            Some(problem) => (problem.clone(), palette.query),
            None => (summary(encoder), palette.weak),
        };
        line_ui(ui, RichText::new(text).small().color(color));
        line_ui(ui, RichText::new(work(encoder, session)).small().color(palette.weak));
    });
    let hint = match (&encoder.problem, encoder.about.purpose.as_str()) {
        (Some(problem), _) => problem.clone(),
        (None, "") => "Show details of this encoder".to_owned(),
        (None, purpose) => format!("Made for {purpose}"),
    };
    if response.on_hover_text(hint).clicked() && !encoder.which.is_empty() {
        requests.command(EmbeddingCommand::ExamineEncoder(encoder.which.clone()));
    }
}

/// Whether the project uses an encoder.
pub fn is_in_use(encoder: &ListedEncoder, session: &Session) -> bool {
    match (session.encoder(), &encoder.id) {
        (EncoderState::Known(spec), Some(id)) => spec.id == *id,
        _ => session.project().encoder_name() == encoder.which,
    }
}

/// Network, length of a descriptor, and tiles.
fn summary(encoder: &ListedEncoder) -> String {
    let (edge, mpp) = (encoder.tiles.tile_px, plain(encoder.tiles.mpp));
    let network = encoder.network.split(',').next().unwrap_or_default();
    format!("{} numbers · tiles of {edge} px at {mpp} µm/px · {network}", encoder.width)
}

/// What it has embedded, and how fast it is.
fn work(encoder: &ListedEncoder, session: &Session) -> String {
    let here = encoder.embedded.iter().filter(|slide| session.slide(slide).is_some()).count();
    let embedded = match (here, session.slides().len()) {
        (0, _) => "no open slide embedded".to_owned(),
        (here, all) => format!("{here} of {} embedded", counted(all as u64, "open slide")),
    };
    match &encoder.speed {
        Some(speed) => format!("{embedded} · {} tiles/s", rate(speed.tiles_per_second)),
        None => embedded,
    }
}

/// Formats a speed with two digits or more.
pub fn rate(tiles_per_second: f64) -> String {
    match tiles_per_second {
        slow if slow < 10.0 => decimal(slow, 1),
        fast => decimal(fast, 0),
    }
}

/// Draws what adds an encoder.
fn add_ui(ui: &mut Ui, page: &mut EncodersPage, palette: &Palette, requests: &mut Requests) {
    ui.add_space(10.0);
    ui.horizontal(|ui| {
        let entry = actions::entry(EmbeddingAction::ChooseEncoderFile);
        if ui.button("From file…").on_hover_text(entry.hint(ui.ctx())).clicked() {
            requests.action(EmbeddingAction::ChooseEncoderFile);
        }
        let edit = TextEdit::singleline(&mut page.path)
            .hint_text("or type a path")
            .desired_width((ui.available_width() - 66.0).max(60.0))
            .margin(Margin::symmetric(8, 5));
        let response = ui.add(edit).accessible_name("Path of an encoder");
        let enter = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        let path = page.path.trim().trim_matches('"').to_owned();
        let look = ui.add_enabled(!path.is_empty(), egui::Button::new("Open"));
        if !path.is_empty() && (enter || look.clicked()) {
            requests.command(EmbeddingCommand::OfferEncoder(path));
            page.path.clear();
        }
    });
    let hint = "Weights (.safetensors, .bin, .pth), their folder, or a TorchScript module (.pt); you can also \
                drop it on the window. Nothing changes before you have seen what it is.";
    ui.add(egui::Label::new(RichText::new(hint).small().color(palette.weak)).wrap());
}
