//! Which parts of the window are open, the user's requests in a frame, and messages that disappear by
//! themselves.

use std::collections::HashMap;
use std::time::Duration;

use egui::Context;

use super::App;
use crate::encoder::DeviceChoice;
use crate::session::{Command, Message, MessageCommand, Remedy, Severity};
use crate::ui::actions::Action;
use crate::ui::heat_map::HeatSource;
use crate::ui::panels::annotations::AnnotationsPanel;
use crate::ui::panels::dialogs::Dialog;
use crate::ui::panels::matches::MatchesPanel;
use crate::ui::panels::save_view::SaveRequest;
use crate::ui::panels::tissue::TissueCard;
use crate::ui::panels::training::TrainingPanel;
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
    pub marks_shown: bool,
    /// Whether the annotation list is open.
    pub annotations_open: bool,
    /// State of the annotation list.
    pub annotations: AnnotationsPanel,
    /// Whether areas outside the tissue mask are shaded.
    pub tissue_shown: bool,
    /// Whether the card of colour settings is open.
    pub appearance_open: bool,
    /// Whether the card of embedding settings is open.
    pub tissue_settings_open: bool,
    /// State of the card of embedding settings.
    pub tissue_card: TissueCard,
    /// Whether the card of encoders is open.
    pub encoders_open: bool,
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
    /// The open dialog.
    pub dialog: Option<Dialog>,
    /// State of the training panel.
    pub training: TrainingPanel,
    /// Whether the training panel is open.
    pub training_open: bool,
    /// A short notice, and the time at which it disappears, in seconds.
    pub(super) notice: Option<(String, f64)>,
    /// The time at which each note (not error) appeared, in seconds; notes disappear by themselves.
    pub(super) notes: HashMap<u64, f64>,
}

/// The user's requests in one frame.
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
    /// Whether the query is shown beside its matches.
    pub is_comparing: bool,
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
            marks_shown: state.marks_shown,
            annotations_open: state.annotations_open,
            annotations: AnnotationsPanel::default(),
            tissue_shown: state.tissue_shown,
            appearance_open: false,
            tissue_settings_open: false,
            tissue_card: TissueCard::default(),
            encoders_open: false,
            view_history_shown: state.view_history_shown,
            matches: MatchesPanel::default(),
            heat_shown: false,
            region_drawn: false,
            report_open: false,
            dialog: None,
            training: TrainingPanel::new(device),
            training_open: false,
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
