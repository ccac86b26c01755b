//! Actions on embedding and training.

use egui::Context;

use super::App;
use crate::session::EmbeddingCommand;
use crate::ui::actions::EmbeddingAction;
use crate::ui::file_dialog::Choose;

impl App {
    pub(super) fn perform_embedding_action(&mut self, context: &Context, action: EmbeddingAction) {
        match action {
            EmbeddingAction::PauseOrResume => {
                let embedding = self.session.embedding();
                let resume = embedding.paused || embedding.cancelled;
                self.command(if resume { EmbeddingCommand::Resume } else { EmbeddingCommand::Pause });
            }
            EmbeddingAction::ToggleSettings => self.chrome.tissue_settings_open ^= true,
            EmbeddingAction::ToggleEncoders => {
                self.chrome.encoders_open ^= true;
                if self.chrome.encoders_open {
                    self.command(EmbeddingCommand::ListEncoders);
                }
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
