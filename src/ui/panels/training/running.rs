//! The run under way: progress, curves, current pairs, log.

use egui::{Color32, ColorImage, Context, RichText, ScrollArea, TextureHandle, TextureOptions, Ui, Vec2};

use super::plots::{Course, plots_ui};
use super::{Tab, TrainingPanel, heading_ui};
use crate::session::{Command, RunningState, Session, TrainingCommand};
use crate::training::ShownPair;
use crate::training::pairs::Relation;
use crate::ui::app::Asked;
use crate::ui::panels::{progress_ui, waiting_time};
use crate::ui::theme::Palette;

/// Edge of a pair's pictures, in points.
const PICTURE: f32 = 62.0;

pub fn running_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    asked: &mut Asked,
) {
    let running = session.training().running();
    let Some(name) = running.run.clone().or_else(|| running.active.then(|| "new run".to_owned())) else {
        ui.label(
            RichText::new("No training since the program was started. Choose slides under “Set up”.")
                .color(palette.weak),
        );
        return;
    };
    controls_ui(ui, panel, session, running, palette, asked);
    ScrollArea::vertical().id_salt("run").auto_shrink([false, false]).show(ui, |ui| {
        let compared: Vec<_> = session
            .training()
            .runs()
            .iter()
            .filter(|run| panel.compared.contains(&run.card.id) && run.card.id != name)
            .collect();
        let mut courses = vec![Course { name: &name, history: &running.history }];
        courses.extend(compared.iter().map(|run| Course { name: &run.card.id, history: &run.history }));
        plots_ui(ui, &courses, 150.0, palette);
        let pairs = (running.pairs.as_slice(), running.pairs_shown);
        pairs_ui(ui, "Pairs of the last step", &mut panel.pictures, pairs, palette);
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
    asked: &mut Asked,
) {
    ui.horizontal(|ui| {
        if running.active {
            let (text, command) = match running.paused {
                true => ("Go on", TrainingCommand::Resume),
                false => ("Pause", TrainingCommand::Pause),
            };
            if ui.add_enabled(!running.stopping, egui::Button::new(text)).clicked() {
                asked.command(Command::Train(command));
            }
            let stop = ui.add_enabled(!running.stopping, egui::Button::new("Stop"));
            if stop.on_hover_text("End with a checkpoint, from which the run can go on later").clicked() {
                asked.command(Command::Train(TrainingCommand::Stop));
            }
        } else if let Some(run) = &running.run {
            let finished =
                session.training().runs().iter().any(|view| view.card.id == *run && view.model.is_some());
            let text = RichText::new("Use this encoder").color(palette.on_accent);
            if finished
                && ui.add(egui::Button::new(text).fill(palette.accent)).on_hover_text(USE_HINT).clicked()
            {
                asked.command(Command::Train(TrainingCommand::UseEncoder(run.clone())));
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
    let done = running.step as f32 / running.steps.max(1) as f32;
    progress_ui(ui, done, palette.accent, palette);
    ui.add_space(4.0);
}

pub(super) const USE_HINT: &str = "Describe all slides anew by this encoder, in the background; until that is done the \
                                   old descriptors answer";

fn state_of(running: &RunningState) -> String {
    if let Some(doing) = &running.doing {
        return format!("{doing}…");
    }
    let place = format!("step {} of {}", running.step, running.steps);
    match running {
        RunningState { active: false, .. } => place,
        RunningState { stopping: true, .. } => format!("{place} · stopping, a checkpoint is being written"),
        RunningState { paused: true, .. } => format!("{place} · paused"),
        _ => format!(
            "{place} · {:.1} pairs/s · {} left · on {}",
            running.pairs_per_second,
            waiting_time(running.seconds_left),
            running.device
        ),
    }
}

/// Pictures of pairs on the graphics card, and which set they are of.
#[derive(Default)]
pub(super) struct PairPictures {
    textures: Vec<[TextureHandle; 2]>,
    of: u64,
}

impl PairPictures {
    /// Bring in the pictures of the set with this number, unless they are there.
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

/// Pairs as the network sees them, with what lies between them on the slide and in its descriptors; `number`
/// changes with every new set.
pub(super) fn pairs_ui(
    ui: &mut Ui,
    heading: &str,
    pictures: &mut PairPictures,
    (pairs, number): (&[ShownPair], u64),
    palette: &Palette,
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
                    for picture in pictures {
                        ui.add(
                            egui::Image::new(picture)
                                .fit_to_exact_size(Vec2::splat(PICTURE))
                                .corner_radius(4),
                        );
                    }
                });
                let (name, color): (&str, Color32) = match pair.relation {
                    Relation::Near => ("near", palette.accent),
                    Relation::Far => ("far", palette.query),
                };
                let place = pair.distance_mm.map_or("your mark".to_owned(), |mm| format!("{mm:.1} mm"));
                let described = pair.descriptor_distance.map(|distance| format!(" · {distance:.2}"));
                let text = format!("{name}, {place}{}", described.unwrap_or_default());
                ui.label(RichText::new(text).small().color(color))
                    .on_hover_text("Distance on the slide, and between the descriptors");
            });
        }
    });
    ui.add_space(6.0);
}
