//! The close guard: keeps the window from closing while annotations are unsaved.

use egui::{Context, ViewportCommand};

use super::App;
use crate::ui::panels::dialogs::Dialog;

impl App {
    /// Cancels a close request while annotations are unsaved, and asks the user.
    pub(super) fn hold_back_closing(&mut self, context: &Context) {
        let may_leave = matches!(self.chrome.dialog, Some(Dialog::Unsaved { leave: true }))
            || self.session.unsaved_annotations().next().is_none();
        if context.input(|input| input.viewport().close_requested()) && !may_leave {
            context.send_viewport_cmd(ViewportCommand::CancelClose);
            self.chrome.dialog = Some(Dialog::Unsaved { leave: false });
        }
    }
}
