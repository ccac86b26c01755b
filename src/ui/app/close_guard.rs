//! How the window is left.

use egui::{Context, ViewportCommand};

use super::App;
use crate::ui::panels::dialogs::Dialog;

impl App {
    /// The window does not close by a slip while annotations are not saved.
    pub(super) fn hold_back_closing(&mut self, context: &Context) {
        let may_leave = matches!(self.chrome.dialog, Some(Dialog::Unsaved { leave: true }))
            || self.session.unsaved_annotations().next().is_none();
        if context.input(|input| input.viewport().close_requested()) && !may_leave {
            context.send_viewport_cmd(ViewportCommand::CancelClose);
            self.chrome.dialog = Some(Dialog::Unsaved { leave: false });
        }
    }
}
