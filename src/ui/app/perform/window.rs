//! Actions on the whole window.

use egui::Context;

use super::App;
use crate::session::{EvaluationCommand, MessageCommand};
use crate::ui::actions::WindowAction;
use crate::ui::diagnostics;
use crate::ui::panels::dialogs::Dialog;
use crate::ui::settings::Settings;
use crate::ui::waker;

impl App {
    pub(super) fn perform_window_action(&mut self, context: &Context, action: WindowAction) {
        match action {
            WindowAction::Quit => context.send_viewport_cmd(egui::ViewportCommand::Close),
            WindowAction::ToggleSlides => self.chrome.slides_open ^= true,
            WindowAction::ToggleMatches => self.chrome.matches_open ^= true,
            WindowAction::ToggleReport => {
                // One page is shown at a time.
                self.chrome.report_open ^= true;
                self.chrome.encoders_open = false;
            }
            WindowAction::WriteReport => {
                self.command(EvaluationCommand::WriteReport { pseudonymise: self.report.view.pseudonymise })
            }
            WindowAction::ToggleTheme => {
                let dark = context.theme() == egui::Theme::Dark;
                context.set_theme(if dark { egui::Theme::Light } else { egui::Theme::Dark });
            }
            WindowAction::TextLarger => egui::gui_zoom::zoom_in(context),
            WindowAction::TextSmaller => egui::gui_zoom::zoom_out(context),
            WindowAction::ResetTextSize => context.set_zoom_factor(1.0),
            WindowAction::TogglePalette => {
                let open = matches!(self.chrome.dialog, Some(Dialog::Palette { .. }));
                self.chrome.dialog = (!open).then(Dialog::palette);
            }
            WindowAction::ToggleAbout => {
                let open = matches!(self.chrome.dialog, Some(Dialog::About));
                self.chrome.dialog = (!open).then_some(Dialog::About);
            }
            WindowAction::CopyDiagnostics => {
                context.copy_text(diagnostics::text(&self.session, &self.window.graphics));
                self.notice(context, "Diagnostics copied to the clipboard, without paths and names.");
            }
            WindowAction::ToggleSettings => {
                let open = matches!(self.chrome.dialog, Some(Dialog::Settings(_)));
                let settings = || Dialog::settings(self.window_state.settings.clone());
                self.chrome.dialog = (!open).then(settings);
            }
            WindowAction::OpenGuide => {
                if let Err(error) = self.files.guide.open(waker(context)) {
                    self.command(MessageCommand::Report(format!("the guide could not be opened: {error}")));
                } else {
                    self.notice(context, "Opening the guide in the browser.");
                }
            }
            WindowAction::ShowFirstSteps => {
                let settings = self.window_state.settings.clone();
                self.set_settings(Settings { first_steps_done: false, click_explained: false, ..settings });
            }
            WindowAction::ToggleHelp => {
                let open = matches!(self.chrome.dialog, Some(Dialog::Help));
                self.chrome.dialog = (!open).then_some(Dialog::Help);
            }
        }
    }
}
