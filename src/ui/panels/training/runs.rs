//! The list of training runs.

use std::time::{SystemTime, UNIX_EPOCH};

use egui::{Align, Frame, Layout, RichText, ScrollArea, Ui};

use super::advanced::loss_name;
use super::running::USE_HINT;
use super::trial::trial_ui;
use super::{Tab, TrainingPanel};
use crate::number_format::{counted, decimal, grouped, plain};
use crate::session::{RunView, Session, TrainingCommand};
use crate::training::check_available;
use crate::training::config::Method;
use crate::training::run::RunStatus;
use crate::ui::app::Requests;
use crate::ui::panels::waiting_time;
use crate::ui::theme::{self, Palette};

/// Tooltip of what waits for the end of a training.
const WAIT_HINT: &str = "Possible when no training is running";

/// Draws the list of runs, newest first.
pub fn runs_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let training = session.training();
    if training.runs().is_empty() {
        ui.label(RichText::new("This project has no training runs yet.").color(palette.weak));
        return;
    }
    ScrollArea::vertical().id_salt("runs").auto_shrink([false, false]).show(ui, |ui| {
        // Newest first.
        for run in training.runs().iter().rev() {
            Frame::new().fill(palette.raised).corner_radius(6).inner_margin(10).show(ui, |ui| {
                ui.set_width(ui.available_width());
                run_ui(ui, panel, session, run, palette, requests);
            });
        }
    });
}

fn run_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    run: &RunView,
    palette: &Palette,
    requests: &mut Requests,
) {
    let id = &run.card.id;
    let running = session.training().running();
    let is_running = running.active && running.run.as_ref() == Some(id);
    ui.horizontal(|ui| {
        ui.label(RichText::new(id).family(theme::bold()).color(palette.strong));
        ui.label(RichText::new(recipe(run)).color(palette.text));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let mut compared = panel.compared.contains(id);
            let hint = "Draw the curves of this run with those of the current run";
            if ui.checkbox(&mut compared, "Compare curves").on_hover_text(hint).changed() {
                match compared {
                    true => _ = panel.compared.insert(id.clone()),
                    false => _ = panel.compared.remove(id),
                }
            }
        });
    });
    let (state, color) = match &run.card.status {
        _ if is_running => ("running".to_owned(), palette.accent),
        RunStatus::Running => ("interrupted: the program ended during the run".to_owned(), palette.query),
        RunStatus::Stopped { step } => {
            let text = format!("stopped at step {} of {}", grouped(*step), grouped(run.config.steps));
            (text, palette.query)
        }
        RunStatus::Failed { reason } => (reason.clone(), palette.error),
        RunStatus::Finished { step, seconds, .. } => {
            (format!("{} in {}", counted(*step, "step"), waiting_time(*seconds)), palette.good)
        }
    };
    let best = run.best_validation().map(|best| {
        let addr = best.addr_global.map(|addr| format!(" · ADDR {}", decimal(addr, 2))).unwrap_or_default();
        let found = best.retrieval.map(|found| format!(" · P@5 {} %", decimal(100.0 * found.p_at_5, 0)));
        format!("{addr}{} at step {}", found.unwrap_or_default(), grouped(best.step))
    });
    let text = format!("{state}{} · started {} ago", best.unwrap_or_default(), age(run.card.begun));
    ui.add(egui::Label::new(RichText::new(text).small().color(color)).wrap());
    ui.horizontal(|ui| {
        ui.add_enabled_ui(!is_running, |ui| buttons_ui(ui, panel, session, run, palette, requests));
    });
    trial_ui(ui, id, panel, session, palette, requests);
}

fn buttons_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    run: &RunView,
    palette: &Palette,
    requests: &mut Requests,
) {
    let id = run.card.id.clone();
    let free = !session.training().running().active;
    if run.model.is_some() {
        if ui.button("Use this encoder").on_hover_text(USE_HINT).clicked() {
            requests.command(TrainingCommand::UseEncoder(id.clone()));
        }
        let hint = "Answer the same queries with this encoder and with the current one, before you use it";
        let compare = ui.add_enabled(free, egui::Button::new("Compare matches…")).on_hover_text(hint);
        if compare.on_disabled_hover_text(WAIT_HINT).clicked() {
            requests.command(TrainingCommand::Try(id.clone()));
        }
        let hint = "Copy the encoder and its model card to the project's folder “models”";
        if ui.button("Export").on_hover_text(hint).clicked() {
            requests.command(TrainingCommand::Export(id.clone()));
        }
    }
    if run.can_continue() {
        continue_ui(ui, panel, session, run, requests);
    }
    if ui.button("Repeat…").on_hover_text("Start a new run with the same settings and slides").clicked() {
        panel.copy_from(run, session);
    }
    if let Some(model) = &run.model {
        let hint = "Start a new run with the same settings and slides, from the weights of this run";
        if ui.button("Train further…").on_hover_text(hint).clicked() {
            panel.copy_from(run, session);
            panel.config.init = model.to_string_lossy().into_owned();
        }
    }
    if panel.deleting.as_ref() == Some(&id) {
        ui.label(RichText::new("Delete this run and its encoder?").color(palette.error));
        if ui.button("Delete permanently").clicked() {
            requests.command(TrainingCommand::Delete(id));
            panel.deleting = None;
        } else if ui.button("Cancel").clicked() {
            panel.deleting = None;
        }
    } else if ui.button("Delete…").clicked() {
        panel.deleting = Some(id);
    }
}

/// Draws the button that continues a run.
pub(super) fn continue_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    run: &RunView,
    requests: &mut Requests,
) {
    let hint = "Continue from the last checkpoint, with the run's own settings and slides";
    let obstacle = match check_available() {
        Err(error) => Some(error.to_string()),
        Ok(()) => session.training().running().active.then(|| WAIT_HINT.to_owned()),
    };
    let go_on = ui.add_enabled(obstacle.is_none(), egui::Button::new("Continue")).on_hover_text(hint);
    if go_on.on_disabled_hover_text(obstacle.unwrap_or_default()).clicked() {
        requests.command(TrainingCommand::Continue { run: run.card.id.clone(), device: panel.device });
        panel.tab = Tab::Run;
    }
}

fn recipe(run: &RunView) -> String {
    let config = &run.config;
    let how = match config.method {
        Method::Siamese => format!("siamese, {}", loss_name(config.loss)),
        Method::Npid => "NPID".to_owned(),
    };
    let learned = run.card.slides.iter().filter(|slide| !slide.validation).count();
    format!(
        "{how} · {} · {} px at {} µm/px · {}",
        config.backbone.shown_name(),
        config.tile_px,
        plain(config.mpp),
        counted(learned as u64, "slide")
    )
}

fn age(begun: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(begun, |since| since.as_secs());
    waiting_time(now.saturating_sub(begun) as f64)
}
