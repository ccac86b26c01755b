//! The panel with the query, its settings and its matches: as a list, as a gallery, as ranked slides, or for
//! two encoders side by side.

mod chosen;
mod concepts;
mod encoders;
mod filters;
mod gallery;
mod hint;
mod list;
mod marks;
pub(super) mod menu;
mod query;
mod settings;
mod slides;

use egui::{Color32, Frame, Margin, RichText, ScrollArea, Ui};
use egui_material_icons::{MaterialIcon, icons};

use super::{action_icon_ui, header_ui};
use crate::number_format::{counted, decimal, sentence};
use crate::query::{Answer, Judgement, Match, QuerySettings, TilePosition, pair};
use crate::session::{ArchiveProgress, QueryState, Session};
use crate::ui::actions::SearchAction;
use crate::ui::app::{Requests, slide_name};
use crate::ui::shown_slides::ShownSlides;
use crate::ui::theme::{self, PANEL_MARGIN, Palette};

/// Height in points that the query and its settings leave to the matches: two rows of the list.
const LIST_HEIGHT: f32 = 170.0;
/// Least height in points of the query and its settings.
const LEAST_ABOVE: f32 = 110.0;

/// Form in which the panel shows an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Listing {
    /// One match per row.
    #[default]
    List,
    /// A grid of images.
    Gallery,
    /// Slides ranked by similarity.
    Slides,
    /// The answers of two encoders side by side.
    Encoders,
}

/// What an answer depends on, besides what has been embedded: examples, number of marks, and settings.
#[derive(Debug, PartialEq)]
struct Asked {
    tiles: Vec<Option<TilePosition>>,
    marks: usize,
    settings: QuerySettings,
}

/// State of the panel between frames.
#[derive(Debug, Default)]
pub struct MatchesPanel {
    /// Form in which the answer is shown.
    pub listing: Listing,
    /// Whether the query history is shown.
    pub history_open: bool,
    /// Whether the concepts are shown.
    pub concepts_open: bool,
    /// Whether the filters are shown.
    pub filters_open: bool,
    /// The concept whose deletion awaits confirmation.
    deleting: Option<String>,
    /// The match that was scrolled to last: the list follows the visited match, but leaves manual scrolling
    /// alone.
    scrolled_to: Option<usize>,
    /// What was asked when the matches were drawn last: those of another query are shown from the first one.
    asked: Option<Asked>,
    /// Whether slides were ranked in the previous frame. A query with a whole slide switches to the list of
    /// slides.
    ranked: bool,
}

/// The answer that is drawn, with everything that the views of it need.
struct Shown<'a> {
    session: &'a Session,
    query: &'a QueryState,
    answer: &'a Answer,
    pictures: &'a mut ShownSlides,
    palette: &'a Palette,
    requests: &'a mut Requests,
}

impl Shown<'_> {
    /// Returns the user's relevance judgement of a match.
    fn judgement(&self, found: &Match) -> Option<Judgement> {
        let (query, found) = pair(self.answer, found)?;
        self.session.query_history().judgement(&query, &found)
    }

    /// Colour of the frame of a match.
    fn frame_color(&self, rank: usize) -> Color32 {
        match self.query.visited == Some(rank) {
            true => self.palette.visited,
            false => theme::rank_color(rank + 1, self.answer.matches.len()),
        }
    }
}

/// Draws the panel.
pub fn matches_ui(
    ui: &mut Ui,
    panel: &mut MatchesPanel,
    session: &Session,
    pictures: &mut ShownSlides,
    palette: &Palette,
    requests: &mut Requests,
) {
    let query = session.query();
    header_ui(ui, palette, "Similar tissue", |ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        if query.is_some() {
            action_icon_ui(ui, SearchAction::Clear, icons::ICON_CLOSE, None, palette, requests);
            action_icon_ui(ui, SearchAction::ExportMatches, icons::ICON_DOWNLOAD, None, palette, requests);
            let compared = Some(requests.is_comparing);
            action_icon_ui(ui, SearchAction::Compare, icons::ICON_COMPARE, compared, palette, requests);
        }
        if !session.query_history().history().is_empty() {
            let open = Some(panel.history_open);
            action_icon_ui(ui, SearchAction::ToggleHistory, icons::ICON_HISTORY, open, palette, requests);
        }
        let open = Some(panel.concepts_open);
        action_icon_ui(ui, SearchAction::ToggleConcepts, icons::ICON_BOOKMARKS, open, palette, requests);
    });
    let ranks = session.query_settings().rank_slides;
    if ranks && !panel.ranked {
        panel.listing = Listing::Slides;
    }
    panel.ranked = ranks;
    let answered = query.and_then(|query| Some((query, query.answer.as_ref()?)));
    if let Some((query, answer)) = answered {
        chosen::chosen_ui(ui, session, query, answer, palette, requests);
    }
    // In a low window, what is above the list scrolls, so that some of the matches stay in view.
    let below = if answered.is_some() { LIST_HEIGHT } else { 0.0 };
    let room = (ui.available_height() - below).max(LEAST_ABOVE);
    let above =
        ScrollArea::vertical().id_salt("query and settings").max_height(room).min_scrolled_height(room);
    above.auto_shrink([false, true]).show(ui, |ui| {
        if panel.concepts_open {
            concepts::concepts_ui(ui, &mut panel.deleting, session, palette, requests);
        }
        if panel.history_open {
            query::history_ui(ui, session, pictures, palette, requests);
        }
        let Some(query) = query else {
            hint::hint_ui(ui, session, palette);
            return;
        };
        Frame::new().inner_margin(Margin::symmetric(PANEL_MARGIN, 0)).show(ui, |ui| {
            query::query_ui(ui, session, query, pictures, palette, requests);
            marks::marks_ui(ui, session, query, pictures, palette, requests);
            ui.add_space(8.0);
            settings::settings_ui(ui, panel, session, palette, requests);
            ui.add_space(2.0);
            summary_ui(ui, session, query, palette, requests);
        });
    });
    let Some((query, answer)) = answered else { return };
    ui.add_space(2.0);
    // Stepping through the matches also scrolls the list.
    let asked = Asked {
        tiles: answer.tiles.clone(),
        marks: query.marks.len(),
        settings: session.query_settings().clone(),
    };
    let is_new = panel.asked.as_ref() != Some(&asked);
    panel.asked = Some(asked);
    let to = query.visited.filter(|_| panel.scrolled_to != query.visited).or(is_new.then_some(0));
    panel.scrolled_to = query.visited;
    let shown = Shown { session, query, answer, pictures, palette, requests };
    match panel.listing {
        Listing::List => list::list_ui(ui, shown, to),
        Listing::Gallery => gallery::gallery_ui(ui, shown, to),
        Listing::Slides => slides::slides_ui(ui, shown, is_new),
        Listing::Encoders => encoders::encoders_ui(ui, shown),
    }
}

/// Draws the state of the search in the archive.
fn archive_ui(ui: &mut Ui, session: &Session, palette: &Palette, requests: &mut Requests) {
    match session.archive_progress() {
        ArchiveProgress::NotAsked | ArchiveProgress::Answered => {}
        ArchiveProgress::Searching => {
            ui.label(
                RichText::new("Searching the archive; so far only matches from the project")
                    .small()
                    .color(palette.accent),
            );
        }
        ArchiveProgress::Failed(reason) => {
            let text = format!("Matches from the project only. {reason}");
            ui.label(RichText::new(text).small().color(palette.error));
            let text = RichText::new("Set up archive").small().color(palette.accent);
            if ui.add(egui::Button::new(text).frame(false)).clicked() {
                requests.action(SearchAction::SetUpArchive);
            }
        }
    }
}

fn summary_ui(
    ui: &mut Ui,
    session: &Session,
    query: &QueryState,
    palette: &Palette,
    requests: &mut Requests,
) {
    if let Some(problem) = &query.problem {
        // Show names instead of slide IDs.
        let names = query.examples().filter_map(|(_, shown)| shown.example.slide());
        let problem =
            names.fold(problem.clone(), |text, slide| text.replace(&slide.0, &slide_name(session, slide)));
        ui.add_space(6.0);
        let title = if hint::is_to_come(session, query) { "Please wait" } else { "Cannot search here" };
        ui.label(RichText::new(title).family(theme::bold()).color(palette.query));
        ui.label(RichText::new(sentence(&problem)).small().color(palette.weak));
        return;
    }
    let Some(answer) = &query.answer else {
        ui.label(RichText::new("Searching…").small().color(palette.weak));
        return;
    };
    let exact = match &answer.archive {
        Some(archive) => archive.certainty(),
        None if answer.exact => "exact".to_owned(),
        None => "approximate".to_owned(),
    };
    let text = format!(
        "{} of {} · {exact} · {} ms",
        answer.matches.len(),
        counted(answer.searched as u64, "tile"),
        decimal(answer.elapsed.as_secs_f64() * 1000.0, 1)
    );
    ui.label(RichText::new(text).small().color(palette.weak));
    if let Some(unranked) = answer.archive.as_ref().and_then(|archive| archive.left_unranked()) {
        ui.label(RichText::new(unranked).small().color(palette.weak));
    }
    archive_ui(ui, session, palette, requests);
    if answer.matches.is_empty() {
        let text = filters::why_none(session.query_settings(), filters::in_force(session));
        ui.label(RichText::new(text).small().color(palette.query));
    }
    let precision = session.query_history().precision(answer);
    if let Some(share) = precision.share() {
        let judged = precision.same + precision.different;
        let text = format!(
            "{} of {judged} judged matches are the same tissue ({} %)",
            precision.same,
            decimal(share * 100.0, 0)
        );
        ui.label(RichText::new(text).small().color(palette.accent))
            .on_hover_text("Matches judged as unsure are not counted");
    }
}

/// Icon and colour of a relevance judgement.
fn judgement_icon(judgement: Judgement, palette: &Palette) -> (MaterialIcon, Color32) {
    match judgement {
        Judgement::Same => (icons::ICON_CHECK_CIRCLE, palette.good),
        Judgement::Different => (icons::ICON_CANCEL, palette.error),
        Judgement::Unsure => (icons::ICON_HELP, palette.weak),
    }
}
