//! A run's encoder beside the current one, before it is used.

use egui::Ui;

use super::{TrainingPanel, heading_ui};
use crate::session::{Session, TrainingCommand};
use crate::ui::app::Requests;
use crate::ui::panels::comparison::comparison_ui;
use crate::ui::theme::Palette;

/// Draws the comparison of the encoder of `run` with the current one, if there is any.
pub fn trial_ui(
    ui: &mut Ui,
    run: &str,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let Some((_, state)) = session.training().trial().filter(|(of, _)| *of == run) else { return };
    ui.add_space(8.0);
    heading_ui(ui, &format!("{run} compared with the current encoder"), palette);
    let commands = (TrainingCommand::Try(run.to_owned()), TrainingCommand::StopTrial);
    comparison_ui(ui, state, &mut panel.trial, commands, palette, requests);
    ui.add_space(10.0);
}
