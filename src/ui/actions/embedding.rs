//! Background work: embedding and training.

use egui::Key;
use egui_material_icons::icons;

use super::{Action, Entry, alt, plain};

/// An action on embedding or training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EmbeddingAction {
    /// Pauses or resumes embedding.
    PauseOrResume,
    /// Stops embedding.
    Stop,
    /// Opens or closes the card of embedding settings.
    ToggleSettings,
    /// Opens or closes the card of encoders.
    ToggleEncoders,
    /// Chooses an encoder from a file.
    ChooseEncoderFile,
    /// Opens or closes the training panel.
    ToggleTraining,
    /// Loads training settings from a file.
    LoadTrainingSettings,
    /// Saves training settings to a file.
    SaveTrainingSettings,
}

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        Action::Embedding(EmbeddingAction::PauseOrResume),
        ICON_PAUSE,
        "Pause or resume embedding",
        "Pause embedding, to give viewing the full speed of the computer, or resume it",
        [alt(Key::P)]
    ),
    entry!(
        Action::Embedding(EmbeddingAction::Stop),
        ICON_STOP,
        "Stop embedding",
        "Stop embedding; embedded tiles are kept, and you can resume later",
        []
    ),
    entry!(
        Action::Embedding(EmbeddingAction::ToggleSettings),
        ICON_SETTINGS,
        "Embedding settings…",
        "Set what counts as tissue and which tiles are embedded",
        []
    ),
    entry!(
        Action::Embedding(EmbeddingAction::ToggleEncoders),
        ICON_MEMORY,
        "Encoders…",
        "See which encoders there are, and choose one for this project",
        []
    ),
    entry!(
        Action::Embedding(EmbeddingAction::ChooseEncoderFile),
        ICON_FILE_OPEN,
        "Encoder from file…",
        "Choose an encoder from a file of weights, such as one made for pathology",
        []
    ),
    entry!(
        Action::Embedding(EmbeddingAction::ToggleTraining),
        ICON_MODEL_TRAINING,
        "Training",
        "Train an encoder on your own slides, and choose among trained encoders",
        [plain(Key::F6)]
    ),
    entry!(
        Action::Embedding(EmbeddingAction::LoadTrainingSettings),
        ICON_FILE_OPEN,
        "Load training settings…",
        "Load training settings from a TOML file",
        []
    ),
    entry!(
        Action::Embedding(EmbeddingAction::SaveTrainingSettings),
        ICON_SAVE,
        "Save training settings…",
        "Save the settings of the training panel to a TOML file, with explanations",
        []
    ),
];
