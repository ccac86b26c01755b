//! The question, how it is answered, and the ranked matches: a list or a gallery, and slides by likeness.

mod list;
mod question;
mod settings;

use egui::{Frame, Margin, RichText, Ui};
use egui_material_icons::icons;

use super::{action_icon_ui, grouped, header_ui};
use crate::session::{ArchiveProgress, QueryState, Session};
use crate::ui::actions::Action;
use crate::ui::app::{Asked, slide_name};
use crate::ui::shown_slides::ShownSlides;
use crate::ui::theme::{self, PANEL_MARGIN, Palette};

/// How the panel shows an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Listing {
    #[default]
    List,
    Gallery,
    Slides,
}

/// What the panel remembers between frames.
#[derive(Debug, Default)]
pub struct MatchesPanel {
    pub listing: Listing,
    /// Whether questions asked before are shown.
    pub history_open: bool,
    /// Whether more than scope and number of matches is offered.
    pub filters_open: bool,
    /// The match that was scrolled to last, so that the list follows the walk but not the hand's scrolling.
    scrolled_to: Option<usize>,
}

pub fn matches_ui(
    ui: &mut Ui,
    panel: &mut MatchesPanel,
    session: &Session,
    shown: &mut ShownSlides,
    palette: &Palette,
    asked: &mut Asked,
) {
    let query = session.query();
    header_ui(ui, palette, "Similar tissue", |ui| {
        if query.is_some() {
            action_icon_ui(ui, Action::ClearQuery, icons::ICON_CLOSE, None, palette, asked);
            action_icon_ui(ui, Action::ExportMatches, icons::ICON_DOWNLOAD, None, palette, asked);
        }
        if !session.book().history().is_empty() {
            let open = Some(panel.history_open);
            action_icon_ui(ui, Action::ToggleHistory, icons::ICON_HISTORY, open, palette, asked);
        }
    });
    if panel.history_open {
        question::history_ui(ui, session, shown, palette, asked);
    }
    let Some(query) = query else {
        hint_ui(ui, session, palette);
        return;
    };
    Frame::new().inner_margin(Margin::symmetric(PANEL_MARGIN, 0)).show(ui, |ui| {
        question::question_ui(ui, session, query, shown, palette, asked);
        ui.add_space(10.0);
        settings::settings_ui(ui, panel, session, palette, asked);
        ui.add_space(4.0);
        summary_ui(ui, session, query, palette, asked);
    });
    let Some(answer) = &query.answer else { return };
    ui.add_space(2.0);
    list::answer_ui(ui, panel, session, query, answer, shown, palette, asked);
}

fn hint_ui(ui: &mut Ui, session: &Session, palette: &Palette) {
    Frame::new().inner_margin(Margin::symmetric(24, 40)).show(ui, |ui| {
        ui.vertical_centered(|ui| {
            ui.label(icons::ICON_IMAGE_SEARCH.rich_text().size(40.0).color(palette.weak));
            ui.add_space(6.0);
            ui.label(RichText::new("Click a spot on the slide").family(theme::bold()).color(palette.strong));
            ui.label(
                RichText::new("The tiles most like it, here and on every other slide, are tinted by rank and listed here.")
                    .color(palette.weak),
            );
            ui.add_space(8.0);
            let text = match session.searchable_tiles() {
                0 => "Nothing can be searched yet: embedding has to describe some tissue first.".to_owned(),
                tiles => format!("{} tiles can be searched so far.", grouped(tiles as u64)),
            };
            ui.label(RichText::new(text).small().color(palette.weak));
        });
    });
}

/// How the archive comes along with the question.
fn archive_ui(ui: &mut Ui, session: &Session, palette: &Palette, asked: &mut Asked) {
    match session.archive_progress() {
        ArchiveProgress::NotAsked | ArchiveProgress::Answered => {}
        ArchiveProgress::Searching => {
            ui.label(
                RichText::new("Asking the archive; these are the project's own matches")
                    .small()
                    .color(palette.accent),
            );
        }
        ArchiveProgress::Failed(reason) => {
            let text = format!("Only the project's own matches. {reason}");
            ui.label(RichText::new(text).small().color(palette.error));
            let text = RichText::new("Set the archive up").small().color(palette.accent);
            if ui.add(egui::Button::new(text).frame(false)).clicked() {
                asked.action(Action::SetUpArchive);
            }
        }
    }
}

fn summary_ui(ui: &mut Ui, session: &Session, query: &QueryState, palette: &Palette, asked: &mut Asked) {
    if let Some(problem) = &query.problem {
        // People know slides by their names.
        let names = query.examples().filter_map(|(_, shown)| shown.example.slide());
        let problem =
            names.fold(problem.clone(), |text, slide| text.replace(&slide.0, &slide_name(session, slide)));
        ui.add_space(6.0);
        let title = if query.waiting { "One moment" } else { "Nothing to compare here" };
        ui.label(RichText::new(title).family(theme::bold()).color(palette.query));
        ui.label(RichText::new(problem).small().color(palette.weak));
        return;
    }
    let Some(answer) = &query.answer else {
        ui.label(RichText::new("Searching").small().color(palette.weak));
        return;
    };
    let exact = match &answer.archive {
        Some(archive) => archive.certainty(),
        None if answer.exact => "exact".to_owned(),
        None => "approximate".to_owned(),
    };
    let text = format!(
        "{} of {} tiles · {exact} · {:.1} ms",
        answer.matches.len(),
        grouped(answer.searched as u64),
        answer.elapsed.as_secs_f64() * 1000.0
    );
    ui.label(RichText::new(text).small().color(palette.weak));
    archive_ui(ui, session, palette, asked);
    let precision = session.book().precision(answer);
    if let Some(share) = precision.share() {
        let judged = precision.same + precision.different;
        let text =
            format!("{} of {judged} judged are the same tissue ({:.0} %)", precision.same, share * 100.0);
        ui.label(RichText::new(text).small().color(palette.accent))
            .on_hover_text("Of the matches that you marked the same or different; unsure ones are left out");
    }
}
