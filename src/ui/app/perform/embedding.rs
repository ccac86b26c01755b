//! Actions on embedding and training.

use egui::Context;

use super::App;
use crate::session::EmbeddingCommand;
use crate::ui::actions::EmbeddingAction;
use crate::ui::file_dialog::Choose;

impl App {
    /// Opens or closes the page of encoders.
    pub(in crate::ui::app) fn show_encoders(&mut self, open: bool) {
        self.chrome.encoders_open = open;
        // One page is shown at a time.
        self.chrome.report_open &= !open;
        if open {
            self.command(EmbeddingCommand::ListEncoders);
        }
    }

    pub(super) fn perform_embedding_action(&mut self, context: &Context, action: EmbeddingAction) {
        match action {
            EmbeddingAction::PauseOrResume => {
                let embedding = self.session.embedding();
                let resume = embedding.paused || embedding.cancelled;
                self.command(if resume { EmbeddingCommand::Resume } else { EmbeddingCommand::Pause });
                // Otherwise the list of slides shows it.
                if !self.session.is_embedding_left() {
                    match resume {
                        true => self.notice(context, "Embedding is no longer paused."),
                        false => {
                            let text =
                                "Embedding is paused, also of slides opened from now on. Resume it with";
                            self.notice_with(context, action, text);
                        }
                    }
                }
            }
            EmbeddingAction::ToggleSettings => self.chrome.tissue_settings_open ^= true,
            EmbeddingAction::ToggleEncoders => {
                let open = !self.chrome.encoders_open;
                self.show_encoders(open);
            }
            EmbeddingAction::ChooseEncoderFile => self.choose_file(context, Choose::Encoder),
            EmbeddingAction::Stop => self.command(EmbeddingCommand::Cancel),
            EmbeddingAction::ToggleTraining => {
                self.chrome.training_open ^= true;
                self.chrome.training.opened(&self.session);
            }
            EmbeddingAction::LoadTrainingSettings => self.choose_file(context, Choose::TrainingSettings),
            EmbeddingAction::SaveTrainingSettings => self.choose_file(context, Choose::SaveTrainingSettings),
        }
    }
}
