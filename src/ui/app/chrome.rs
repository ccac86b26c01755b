//! Which parts of the window are open, the user's requests in a frame, and messages that disappear by
//! themselves.

use std::collections::HashMap;
use std::time::Duration;

use egui::{Context, Rect};

use super::App;
use super::layout::SIDE_WIDTHS;
use crate::encoder::DeviceChoice;
use crate::query::TilePosition;
use crate::session::{Command, Message, MessageCommand, Remedy, Severity};
use crate::ui::actions::{self, Action};
use crate::ui::heat_map::HeatSource;
use crate::ui::panels::annotations::AnnotationsPanel;
use crate::ui::panels::appearance::AppearanceCard;
use crate::ui::panels::dialogs::Dialog;
use crate::ui::panels::encoders::EncodersPage;
use crate::ui::panels::first_steps::{self, Step};
use crate::ui::panels::hint_room::HintRoom;
use crate::ui::panels::matches::MatchesPanel;
use crate::ui::panels::save_view::SaveRequest;
use crate::ui::panels::tissue::TissueCard;
use crate::ui::panels::training::TrainingPanel;
use crate::ui::settings::Settings;
use crate::ui::theme::Palette;
use crate::ui::window_state::WindowState;

/// How long a short notice stays, in seconds.
const NOTICE_SECONDS: f64 = 3.5;
/// How long a note (not an error) stays, in seconds.
const NOTE_SECONDS: f64 = 12.0;

/// Which parts of the window are open, and their state.
pub struct Chrome {
    /// Whether the slide list is open.
    pub slides_open: bool,
    /// Whether the match list is open.
    pub matches_open: bool,
    /// Whether highlighted matches and annotations are shown.
    pub highlights_shown: bool,
    /// Whether annotations are shown, if overlays are.
    pub annotations_shown: bool,
    /// Whether annotated areas are filled.
    pub annotations_filled: bool,
    /// Whether the grid is shown.
    pub grid_shown: bool,
    /// Whether the cross-hair is shown.
    pub crosshair_shown: bool,
    /// Whether the annotation list is open.
    pub annotations_open: bool,
    /// State of the annotation list.
    pub annotations: AnnotationsPanel,
    /// Whether areas outside the tissue mask are shaded.
    pub tissue_shown: bool,
    /// Whether the card of colour settings is open.
    pub appearance_open: bool,
    /// State of the card of colour settings.
    pub appearance_card: AppearanceCard,
    /// Whether the card of embedding settings is open.
    pub tissue_settings_open: bool,
    /// State of the card of embedding settings.
    pub tissue_card: TissueCard,
    /// Whether the page of encoders is shown instead of the canvas.
    pub encoders_open: bool,
    /// State of the page of encoders.
    pub encoders: EncodersPage,
    /// Whether the view history is shown on the overview.
    pub view_history_shown: bool,
    /// State of the match list.
    pub matches: MatchesPanel,
    /// Whether the heat map is on.
    pub heat_shown: bool,
    /// Whether the region tool is selected.
    pub region_drawn: bool,
    /// Whether the report is shown instead of the canvas.
    pub report_open: bool,
    /// Rectangle of the canvas, with all panes, in points.
    pub(super) canvas: Rect,
    /// What cards leave of it.
    pub(super) free: Rect,
    /// Widths of the panels at the left and at the right when they were shown last, in points.
    pub(super) side_widths: [f32; 2],
    /// The open dialog.
    pub dialog: Option<Dialog>,
    /// State of the training panel.
    pub training: TrainingPanel,
    /// Whether the training panel is open.
    pub training_open: bool,
    /// Whether the hint after the first search by a click is shown.
    pub(super) click_hint: bool,
    /// A short notice, and the time at which it disappears, in seconds.
    pub(super) notice: Option<(String, f64)>,
    /// The time at which each note (not error) appeared, in seconds; notes disappear by themselves.
    pub(super) notes: HashMap<u64, f64>,
}

/// An image of a tile that the user wants.
#[derive(Debug, Clone, PartialEq)]
pub enum TilePicture {
    /// On the clipboard.
    Copy(TilePosition),
    /// In a file, by the dialog for images.
    Save(TilePosition),
}

/// The user's requests in one frame.
#[derive(Default)]
pub struct Requests {
    /// Commands to the session.
    pub commands: Vec<Command>,
    /// Actions of the window.
    pub actions: Vec<Action>,
    /// Pictures to save or copy.
    pub saves: Vec<SaveRequest>,
    /// A dialog to open.
    pub dialog: Option<Dialog>,
    /// What the heat map is to show similarity to.
    pub heat: Option<HeatSource>,
    /// Settings to put in force.
    pub settings: Option<Settings>,
    /// Images of tiles to save or copy.
    pub pictures: Vec<TilePicture>,
    /// A short notice of what was done.
    pub notice: Option<String>,
    /// Whether the query is shown beside its matches.
    pub is_comparing: bool,
    /// Whether undo takes back a judgement, since that is later than the last change to annotations.
    pub undoes_judgement: bool,
}

impl Requests {
    /// Adds a command.
    pub fn command(&mut self, command: impl Into<Command>) {
        self.commands.push(command.into());
    }

    /// Adds an action.
    pub fn action(&mut self, action: impl Into<Action>) {
        self.actions.push(action.into());
    }
}

impl Chrome {
    /// Restores the state of the last start.
    pub(super) fn new(state: &WindowState, device: DeviceChoice) -> Self {
        Self {
            slides_open: state.slides_open,
            matches_open: state.matches_open,
            highlights_shown: state.highlights_shown,
            annotations_shown: state.annotations_shown,
            annotations_filled: state.annotations_filled,
            grid_shown: state.grid_shown,
            crosshair_shown: state.crosshair_shown,
            annotations_open: state.annotations_open,
            annotations: AnnotationsPanel::default(),
            tissue_shown: state.tissue_shown,
            appearance_open: false,
            appearance_card: AppearanceCard::default(),
            tissue_settings_open: false,
            tissue_card: TissueCard::default(),
            encoders_open: false,
            encoders: EncodersPage::default(),
            view_history_shown: state.view_history_shown,
            matches: MatchesPanel::default(),
            heat_shown: false,
            region_drawn: false,
            report_open: false,
            canvas: Rect::NOTHING,
            free: Rect::NOTHING,
            side_widths: SIDE_WIDTHS,
            dialog: None,
            training: TrainingPanel::new(device, state.training_docked),
            training_open: false,
            click_hint: false,
            notice: None,
            notes: HashMap::new(),
        }
    }
}

impl App {
    /// Shows a short notice for a few seconds.
    pub(super) fn notice(&mut self, context: &Context, text: impl Into<String>) {
        let until = context.input(|input| input.time) + NOTICE_SECONDS;
        self.chrome.notice = Some((text.into(), until));
        context.request_repaint_after(Duration::from_secs_f64(NOTICE_SECONDS));
    }

    /// Shows a short notice that ends in the name of a command, with its shortcut.
    pub(super) fn notice_with(&mut self, context: &Context, action: impl Into<Action>, text: &str) {
        let named = actions::entry(action).named(context);
        self.notice(context, format!("{text} {named}."));
    }

    /// Says after the first search by a click that a click searches, unless the user knows. Nothing is said where
    /// it could not be remembered that it was said.
    pub(super) fn explain_click(&mut self) {
        self.chrome.click_hint |= !self.window_state.settings.click_explained && self.state_file.is_some();
    }

    /// Shows the first step that is due, and the hint after the first search by a click.
    pub(super) fn hints_ui(&mut self, context: &Context, palette: &Palette, requests: &mut Requests) {
        if self.chrome.dialog.is_some() || self.state_file.is_none() {
            return;
        }
        let mut settings = self.window_state.settings.clone();
        if !settings.first_steps_done {
            let room = self.hint_room(self.chrome.free);
            settings.first_steps_done = Step::are_over(&self.session)
                || Step::due(&self.session)
                    .is_some_and(|step| first_steps::first_steps_ui(context, step, room, palette));
        } else if self.chrome.click_hint && !self.shows_page() {
            let room = self.hint_room(self.chrome.free);
            settings.click_explained |= first_steps::click_hint_ui(context, room, palette, requests);
            self.chrome.click_hint = !settings.click_explained;
        }
        if settings != self.window_state.settings {
            let chosen = requests.settings.take().map(|chosen| chosen.find_similar);
            settings.find_similar = chosen.unwrap_or(settings.find_similar);
            self.set_settings(settings);
        }
    }

    /// Where there is room for a hint or a notice on `area` of the canvas: on the active pane, if a slide is shown.
    pub(super) fn hint_room(&self, area: Rect) -> HintRoom {
        if self.session.active().is_none() || self.shows_page() {
            return HintRoom { area, corners: None };
        }
        let view = self.canvas.panes.view();
        HintRoom {
            area: self.canvas.panes.active_rect(self.chrome.canvas).intersect(area),
            corners: Some([view.scale_bar_rect(), view.overview_rect()]),
        }
    }

    /// Dismisses notes that were shown long enough. The suggestion of another encoder stays until it is answered.
    pub(super) fn dismiss_old_notes(&mut self, context: &Context) {
        let now = context.input(|input| input.time);
        let passes = |message: &&Message| {
            message.severity == Severity::Note && !matches!(message.remedy, Some(Remedy::NewerEncoder(_)))
        };
        let notes = self.session.messages().iter().filter(passes);
        let ids: Vec<u64> = notes.map(|message| message.id).collect();
        self.chrome.notes.retain(|id, _| ids.contains(id));
        for id in ids {
            let since = *self.chrome.notes.entry(id).or_insert(now);
            if now - since > NOTE_SECONDS {
                self.command(MessageCommand::Dismiss(id));
            } else {
                context.request_repaint_after(Duration::from_secs_f64(NOTE_SECONDS - (now - since) + 0.1));
            }
        }
    }
}
