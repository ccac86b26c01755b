//! The background work: embedding and training.

use egui::Key;
use egui_material_icons::icons;

use super::{Action, Entry, plain};

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        Action::PauseOrResume,
        ICON_PAUSE,
        "Pause or resume embedding",
        "Give all power to viewing, or go on embedding",
        [plain(Key::P)]
    ),
    entry!(
        Action::StopEmbedding,
        ICON_STOP,
        "Stop embedding",
        "Stop; what is done is kept, and resuming goes on from there",
        []
    ),
    entry!(
        Action::EmbeddingSettings,
        ICON_SETTINGS,
        "Embedding settings…",
        "What counts as tissue, and which tiles are embedded",
        []
    ),
    entry!(
        Action::ToggleTraining,
        ICON_MODEL_TRAINING,
        "Training",
        "Teach an encoder on your own slides, and choose among those that were taught",
        [plain(Key::F6)]
    ),
    entry!(
        Action::LoadTrainingSettings,
        ICON_FILE_OPEN,
        "Load training settings",
        "Take the settings of a training from a TOML file",
        []
    ),
    entry!(
        Action::SaveTrainingSettings,
        ICON_SAVE,
        "Save training settings",
        "Keep the settings of the training panel in a TOML file, with explanations",
        []
    ),
];
