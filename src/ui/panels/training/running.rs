//! The current run: progress, curves, current pairs and log.

use egui::{
    Color32, ColorImage, Context, RichText, ScrollArea, Sense, TextureHandle, TextureOptions, Ui, Vec2,
};

use super::plots::{PlottedRun, plots_ui};
use super::runs::continue_ui;
use super::trial::trial_ui;
use super::{Tab, TrainingPanel, heading_ui};
use crate::number_format::{counted, decimal, grouped};
use crate::session::{RunningState, Session, TrainingCommand, ViewCommand};
use crate::training::ShownPair;
use crate::training::pairs::Relation;
use crate::ui::app::Requests;
use crate::ui::panels::{progress_ui, waiting_time};
use crate::ui::theme::Palette;

/// Side of the images of a pair in points.
const PICTURE: f32 = 62.0;

/// Draws the current run, or the last one since the program was started.
pub fn running_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let running = session.training().running();
    let is_any = running.active || running.problem.is_some();
    let Some(name) = running.run.clone().or_else(|| is_any.then(|| "new run".to_owned())) else {
        ui.label(
            RichText::new("No training since the program started. Choose slides under “Setup”.")
                .color(palette.weak),
        );
        return;
    };
    controls_ui(ui, panel, session, running, palette, requests);
    ScrollArea::vertical().id_salt("run").auto_shrink([false, false]).show(ui, |ui| {
        trial_ui(ui, &name, panel, session, palette, requests);
        let compared: Vec<_> = session
            .training()
            .runs()
            .iter()
            .filter(|run| panel.compared.contains(&run.card.id) && run.card.id != name)
            .collect();
        let mut runs = vec![PlottedRun { name: &name, history: &running.history }];
        runs.extend(compared.iter().map(|run| PlottedRun { name: &run.card.id, history: &run.history }));
        plots_ui(ui, &runs, &mut panel.validation, 138.0, palette);
        let pairs = (running.pairs.as_slice(), running.pairs_shown);
        pairs_ui(ui, "Pairs of the latest step", &mut panel.pictures, pairs, palette, requests);
        heading_ui(ui, "Log", palette);
        for line in running.log.iter().rev().take(60) {
            ui.add(egui::Label::new(RichText::new(line).small().color(palette.weak)).wrap().selectable(true));
        }
    });
}

fn controls_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    running: &RunningState,
    palette: &Palette,
    requests: &mut Requests,
) {
    ui.horizontal(|ui| {
        if running.active {
            let (text, command) = match running.paused {
                true => ("Resume", TrainingCommand::Resume),
                false => ("Pause", TrainingCommand::Pause),
            };
            if ui.add_enabled(!running.stopping, egui::Button::new(text)).clicked() {
                requests.command(command);
            }
            let stop = ui.add_enabled(!running.stopping, egui::Button::new("Stop"));
            if stop.on_hover_text("Save a checkpoint and stop; the run can be continued later").clicked() {
                requests.command(TrainingCommand::Stop);
            }
        } else if let Some(run) = &running.run {
            let view = session.training().runs().iter().find(|view| view.card.id == *run);
            let finished = view.is_some_and(|view| view.model.is_some());
            let text = RichText::new("Use this encoder").color(palette.on_accent);
            if finished
                && ui.add(egui::Button::new(text).fill(palette.accent)).on_hover_text(USE_HINT).clicked()
            {
                requests.command(TrainingCommand::UseEncoder(run.clone()));
            }
            if let Some(view) = view.filter(|view| view.can_continue()) {
                continue_ui(ui, panel, session, view, requests);
            }
            if ui.button("All runs").clicked() {
                panel.tab = Tab::Runs;
            }
        }
        ui.label(RichText::new(state_of(running)).color(palette.text));
    });
    if let Some(problem) = &running.problem {
        ui.add(egui::Label::new(RichText::new(problem).color(palette.error)).wrap());
    }
    let done = running.doing_share.unwrap_or(running.step as f32 / running.steps.max(1) as f32);
    progress_ui(ui, done, palette.accent, palette);
    ui.add_space(4.0);
}

/// Tooltip of the button that makes a run's encoder the project's encoder.
pub(super) const USE_HINT: &str =
    "Embed all slides with this encoder in the background. Until then, searches use the current descriptors";

fn state_of(running: &RunningState) -> String {
    if let Some(doing) = &running.doing {
        return format!("{doing}…");
    }
    let step = format!("Step {} of {}", grouped(running.step), grouped(running.steps));
    match running {
        RunningState { active: false, step: done, steps, .. } if done >= steps => {
            format!("Finished: {}", counted(*done, "step"))
        }
        RunningState { active: false, .. } => {
            format!("Stopped at step {} of {}", grouped(running.step), grouped(running.steps))
        }
        RunningState { stopping: true, .. } => format!("{step} · stopping, saving a checkpoint"),
        RunningState { paused: true, .. } => format!("{step} · paused"),
        RunningState { pace, .. } => {
            let mut text = format!(
                "{step} · {} pairs/s · {} left",
                decimal(pace.pairs_per_second, 1),
                waiting_time(pace.seconds_left)
            );
            if let Some(memory) = pace.memory {
                text += &format!(" · {} memory", bytes(memory as u64));
            }
            if pace.cached > 0 {
                text += &format!(" · {} tile cache on disk", bytes(pace.cached));
            }
            text
        }
    }
}

/// Formats a number of bytes: "740 MB", "2.1 GB".
fn bytes(count: u64) -> String {
    let megabytes = count as f64 / 1e6;
    match megabytes < 1000.0 {
        true => format!("{} MB", decimal(megabytes, 0)),
        false => format!("{} GB", decimal(megabytes / 1000.0, 1)),
    }
}

/// Images of a set of pairs on the GPU.
#[derive(Default)]
pub(super) struct PairPictures {
    textures: Vec<[TextureHandle; 2]>,
    /// Number of the set.
    of: u64,
}

impl PairPictures {
    /// Uploads the images of set `number`, unless they are already uploaded.
    fn follow(&mut self, context: &Context, pairs: &[ShownPair], number: u64) {
        if self.of == number && self.textures.len() == pairs.len() {
            return;
        }
        let load = |picture: &image::RgbImage| {
            let size = [picture.width() as usize, picture.height() as usize];
            let image = ColorImage::from_rgb(size, picture.as_raw());
            context.load_texture("training pair", image, TextureOptions::LINEAR)
        };
        self.textures = pairs.iter().map(|pair| [load(&pair.pictures[0]), load(&pair.pictures[1])]).collect();
        self.of = number;
    }
}

/// Returns the name and colour of near or far pairs.
pub(super) fn relation_style(relation: Relation, palette: &Palette) -> (&'static str, Color32) {
    match relation {
        Relation::Near => ("near", palette.accent),
        Relation::Far => ("far", palette.query),
    }
}

/// Draws pairs as the network sees them, with their distance on the slide and between their descriptors.
/// `number` changes with every new set.
pub(super) fn pairs_ui(
    ui: &mut Ui,
    heading: &str,
    pictures: &mut PairPictures,
    (pairs, number): (&[ShownPair], u64),
    palette: &Palette,
    requests: &mut Requests,
) {
    if pairs.is_empty() {
        return;
    }
    pictures.follow(ui.ctx(), pairs, number);
    ui.add_space(6.0);
    heading_ui(ui, heading, palette);
    ui.horizontal_wrapped(|ui| {
        for (pair, pictures) in pairs.iter().zip(&pictures.textures) {
            ui.vertical(|ui| {
                ui.horizontal(|ui| {
                    ui.spacing_mut().item_spacing.x = 2.0;
                    for (picture, (slide, rect)) in pictures.iter().zip(&pair.tiles) {
                        let image = egui::Image::new(picture)
                            .fit_to_exact_size(Vec2::splat(PICTURE))
                            .corner_radius(4)
                            .sense(Sense::click());
                        let tile = ui.add(image).on_hover_cursor(egui::CursorIcon::PointingHand);
                        if tile.on_hover_text("Show this tile on its slide").clicked() {
                            let (slide, rect) = (slide.clone(), *rect);
                            requests.command(ViewCommand::GoToTile { slide, rect, from: None });
                        }
                    }
                });
                let (name, color) = relation_style(pair.relation, palette);
                let distance = pair.distance_mm.map(|mm| format!("{} mm", decimal(mm, 1)));
                let distance = distance.unwrap_or_else(|| "judged by you".to_owned());
                let in_descriptors =
                    pair.descriptor_distance.map(|distance| format!(" · {}", decimal(distance, 2)));
                let text = format!("{name}, {distance}{}", in_descriptors.unwrap_or_default());
                ui.label(RichText::new(text).small().color(color))
                    .on_hover_text("Distance on the slide and descriptor distance");
            });
        }
    });
    ui.add_space(6.0);
}
