//! Background work: embedding and training.

use egui::Key;
use egui_material_icons::icons;

use super::{Action, Entry, plain};

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        Action::PauseOrResume,
        ICON_PAUSE,
        "Pause or resume embedding",
        "Pause embedding to leave the computer's full speed to viewing, or resume it",
        [plain(Key::P)]
    ),
    entry!(
        Action::StopEmbedding,
        ICON_STOP,
        "Stop embedding",
        "Stop embedding; embedded tiles are kept, and resuming continues from there",
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
        "Train an encoder on your own slides, and choose among trained encoders",
        [plain(Key::F6)]
    ),
    entry!(
        Action::LoadTrainingSettings,
        ICON_FILE_OPEN,
        "Load training settings",
        "Load training settings from a TOML file",
        []
    ),
    entry!(
        Action::SaveTrainingSettings,
        ICON_SAVE,
        "Save training settings",
        "Save the settings of the training panel to a TOML file, with explanations",
        []
    ),
];
