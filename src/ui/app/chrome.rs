//! Which parts of the window are open, what the user asks for in a frame, and notices that go by themselves.

use std::collections::HashMap;
use std::time::Duration;

use egui::Context;

use super::App;
use crate::encoder::DeviceChoice;
use crate::session::{Command, Severity};
use crate::ui::actions::Action;
use crate::ui::panels::dialogs::Dialog;
use crate::ui::panels::matches::MatchesPanel;
use crate::ui::panels::save_view::SaveWish;
use crate::ui::panels::tissue::TissueCard;
use crate::ui::panels::training::TrainingPanel;
use crate::ui::remembered::Remembered;

/// Seconds for which a short notice stays.
const NOTICE_SECONDS: f64 = 3.5;
/// Seconds for which a note (not an error) stays.
const NOTE_SECONDS: f64 = 12.0;

/// Which parts of the window are open, and what the user is busy with.
pub struct Chrome {
    pub slides_open: bool,
    pub matches_open: bool,
    pub marks_shown: bool,
    pub annotations_open: bool,
    pub tissue_shown: bool,
    pub appearance_open: bool,
    pub tissue_settings_open: bool,
    pub tissue_card: TissueCard,
    pub view_history_shown: bool,
    pub matches: MatchesPanel,
    pub heat_shown: bool,
    /// Whether the region of a question is being drawn.
    pub region_drawn: bool,
    pub report_open: bool,
    pub dialog: Option<Dialog>,
    pub training: TrainingPanel,
    pub training_open: bool,
    /// A short notice and when it goes.
    pub(super) notice: Option<(String, f64)>,
    /// When each note (not error) came on the screen; notes go by themselves.
    pub(super) notes: HashMap<u64, f64>,
}

/// What the user asked for in this frame.
pub struct Asked {
    pub commands: Vec<Command>,
    pub actions: Vec<Action>,
    pub saves: Vec<SaveWish>,
    /// Whether the query is shown beside its matches.
    pub is_comparing: bool,
}

impl Asked {
    pub fn command(&mut self, command: Command) {
        self.commands.push(command);
    }

    pub fn action(&mut self, action: Action) {
        self.actions.push(action);
    }
}

impl Chrome {
    /// As the last start left it.
    pub(super) fn new(remembered: &Remembered, device: DeviceChoice) -> Self {
        Self {
            slides_open: remembered.slides_open,
            matches_open: remembered.matches_open,
            marks_shown: remembered.marks_shown,
            annotations_open: remembered.annotations_open,
            tissue_shown: remembered.tissue_shown,
            appearance_open: false,
            tissue_settings_open: false,
            tissue_card: TissueCard::default(),
            view_history_shown: remembered.view_history_shown,
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
    pub(super) fn notice(&mut self, context: &Context, text: impl Into<String>) {
        let until = context.input(|input| input.time) + NOTICE_SECONDS;
        self.chrome.notice = Some((text.into(), until));
        context.request_repaint_after(Duration::from_secs_f64(NOTICE_SECONDS));
    }

    /// Dismiss notes that have been readable long enough.
    pub(super) fn dismiss_old_notes(&mut self, context: &Context) {
        let now = context.input(|input| input.time);
        let notes = self.session.messages().iter().filter(|message| message.severity == Severity::Note);
        let ids: Vec<u64> = notes.map(|message| message.id).collect();
        self.chrome.notes.retain(|id, _| ids.contains(id));
        for id in ids {
            let since = *self.chrome.notes.entry(id).or_insert(now);
            if now - since > NOTE_SECONDS {
                self.command(Command::DismissMessage(id));
            } else {
                context.request_repaint_after(Duration::from_secs_f64(NOTE_SECONDS - (now - since) + 0.1));
            }
        }
    }
}
