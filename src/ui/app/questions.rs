//! Questions that the state of the session asks: may the encoder run, and may the window close.

use egui::{Context, ViewportCommand};

use super::App;
use crate::session::EncoderState;
use crate::ui::panels::dialogs::Dialog;

impl App {
    /// Asks whether the project's encoder may run, until that is answered.
    pub(super) fn ask_for_permission(&mut self) {
        match (self.session.encoder(), &self.chrome.dialog) {
            (EncoderState::Untrusted(module), None) => {
                self.chrome.dialog = Some(Dialog::TrustEncoder { module: module.clone() });
            }
            (EncoderState::Untrusted(_), Some(_)) => {}
            (_, Some(Dialog::TrustEncoder { .. })) => self.chrome.dialog = None,
            _ => {}
        }
    }

    /// Cancels a close request while annotations are unsaved, and asks the user.
    pub(super) fn confirm_closing(&mut self, context: &Context) {
        let may_leave = matches!(self.chrome.dialog, Some(Dialog::Unsaved { leave: true }))
            || (self.session.unsaved_annotations().next().is_none()
                && self.session.unsaved_elsewhere().is_empty());
        if context.input(|input| input.viewport().close_requested()) && !may_leave {
            context.send_viewport_cmd(ViewportCommand::CancelClose);
            self.chrome.dialog = Some(Dialog::Unsaved { leave: false });
        }
    }
}
