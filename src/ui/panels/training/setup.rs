//! Choice of slides and time for a training run.

use egui::{
    Align, Button, CollapsingHeader, ComboBox, Frame, Layout, RichText, ScrollArea, Stroke, TextStyle, Ui,
    Vec2,
};

use super::advanced::advanced_ui;
use super::running::pairs_ui;
use super::{Duration, Role, Tab, TrainingPanel, heading_ui};
use crate::number_format::{counted, decimal, grouped};
use crate::session::{PairLimits, Session, SlideState, TrainingCommand};
use crate::slide::SlideId;
use crate::training::check_available;
use crate::training::config::Preset;
use crate::ui::actions::{self, SlideAction};
use crate::ui::app::Requests;
use crate::ui::panels::waiting_time;
use crate::ui::short_names::slide_name_within;
use crate::ui::theme::Palette;

/// Width of the list of slides in points.
const SLIDES_WIDTH: f32 = 380.0;

/// Width in points below which the settings are drawn below the list of slides rather than beside it.
const SIDE_BY_SIDE: f32 = 700.0;

/// Draws the slides, the settings and the start button.
pub fn setup_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let room = (ui.available_height() - 52.0).max(240.0);
    if ui.available_width() >= SIDE_BY_SIDE {
        ui.horizontal_top(|ui| {
            ui.vertical(|ui| {
                ui.set_width(SLIDES_WIDTH);
                slides_ui(ui, room, panel, session, palette, requests);
            });
            ui.add_space(10.0);
            ui.vertical(|ui| settings_ui(ui, room, panel, session, palette, requests));
        });
    } else {
        slides_ui(ui, room * 0.5, panel, session, palette, requests);
        ui.separator();
        settings_ui(ui, room * 0.5 - 20.0, panel, session, palette, requests);
    }
    count_pairs(ui, panel, session, requests);
    ui.separator();
    start_ui(ui, panel, session, palette, requests);
}

/// Draws the slides and the preview of pairs, at most `room` points high.
fn slides_ui(
    ui: &mut Ui,
    room: f32,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    heading_ui(ui, "Slides", palette);
    let area = ScrollArea::vertical().id_salt("training slides").max_height(room - 30.0);
    area.auto_shrink([false, false]).show(ui, |ui| {
        for slide in session.slides() {
            slide_ui(ui, panel, session, slide, palette);
        }
        if session.slides().is_empty() {
            ui.label(RichText::new("Open slides first.").color(palette.weak));
        }
        preview_ui(ui, panel, session, palette, requests);
    });
}

/// Draws the settings, at most `room` points high.
fn settings_ui(
    ui: &mut Ui,
    room: f32,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let area = ScrollArea::vertical().id_salt("training settings").max_height(room);
    area.auto_shrink([false, false]).show(ui, |ui| {
        scope_ui(ui, panel, palette);
        match panel.config.kept_views {
            0 => duration_ui(ui, panel, session, palette),
            _ => kept_ui(ui, panel, session, palette),
        }
        ui.add_space(10.0);
        let advanced = CollapsingHeader::new("Advanced").id_salt("advanced training settings");
        advanced.show(ui, |ui| advanced_ui(ui, panel, session, palette, requests));
    });
}

fn slide_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    slide: &SlideState,
    palette: &Palette,
) {
    let info = slide.source.info();
    Frame::new().fill(palette.raised).corner_radius(6).inner_margin(8).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal(|ui| {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let before = panel.role(session, slide.id());
                let mut role = before;
                let name = |role: Role| match role {
                    Role::Learn => "train",
                    Role::Validate => "validate",
                    Role::LeftOut => "leave out",
                };
                ui.add_enabled_ui(info.mpp.is_some(), |ui| {
                    let combo = ComboBox::from_id_salt(("role", slide.id())).selected_text(name(role));
                    let shown = combo.width(92.0).show_ui(ui, |ui| {
                        for choice in [Role::Learn, Role::Validate, Role::LeftOut] {
                            ui.selectable_value(&mut role, choice, name(choice));
                        }
                    });
                    shown.response.accessible_name(format!("Role of {}: {}", info.name(), name(role)));
                });
                if role != before {
                    panel.roles.insert(slide.id().clone(), role);
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    let font = TextStyle::Body.resolve(ui.style());
                    let short = slide_name_within(ui, session, slide.id(), &font, ui.available_width());
                    ui.label(RichText::new(short).color(palette.text)).on_hover_text(info.name());
                });
            });
        });
        let limits = PairLimits::of(&panel.config);
        let (text, color) = match session.training().count(slide.id(), limits) {
            _ if info.mpp.is_none() => {
                let named = actions::entry(SlideAction::Calibrate).named(ui.ctx());
                (format!("Pixel size unknown: {named} first"), palette.error)
            }
            None | Some(None) => ("counting tissue tiles and pairs…".to_owned(), palette.weak),
            Some(Some(Err(reason))) => (reason.clone(), palette.error),
            Some(Some(Ok(count))) if count.far == 0 => (
                format!(
                    "{} · {} · no far pairs: the tissue extends over {} mm",
                    counted(count.tiles as u64, "tissue tile"),
                    counted(count.near, "near pair"),
                    decimal(count.reach_mm, 1)
                ),
                palette.query,
            ),
            Some(Some(Ok(count))) => (
                format!(
                    "{} · {} · {}{}",
                    counted(count.tiles as u64, "tissue tile"),
                    counted(count.near, "near pair"),
                    if count.exact { "" } else { "about " },
                    counted(count.far, "far pair")
                ),
                palette.weak,
            ),
        };
        ui.add(egui::Label::new(RichText::new(text).small().color(color)).wrap());
    });
}

/// Draws a preview of pairs as they would be trained on.
fn preview_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let slides = chosen(panel, session, Role::Learn);
    let preview = session.training().preview();
    ui.horizontal(|ui| {
        let obstacle = match panel.config.check() {
            Err(error) => Some(error.to_string()),
            Ok(()) if slides.is_empty() => Some("Choose at least one slide to train on.".to_owned()),
            Ok(()) => preview.drawing.then(|| "Pairs are being drawn.".to_owned()),
        };
        let hint = "Show some random pairs with these settings, augmented as in training";
        let button = ui.add_enabled(obstacle.is_none(), Button::new("Preview pairs")).on_hover_text(hint);
        if button.on_disabled_hover_text(obstacle.unwrap_or_default()).clicked() {
            let config = Box::new(panel.config.clone());
            requests.command(TrainingCommand::Preview { slides, config });
        }
        if preview.drawing {
            ui.spinner();
        }
    });
    if let Some(problem) = &preview.problem {
        ui.add(egui::Label::new(RichText::new(problem).small().color(palette.error)).wrap());
    }
    let pairs = (preview.pairs.as_slice(), preview.drawn);
    pairs_ui(ui, "Preview of training pairs", &mut panel.previewed, pairs, palette, requests);
    if !preview.pairs.is_empty() {
        let hint = "The pairs are also drawn on their slides; click a tile to go there.";
        ui.label(RichText::new(hint).small().color(palette.weak));
    }
}

/// Calibrated slides with the role `wanted`.
fn chosen(panel: &TrainingPanel, session: &Session, wanted: Role) -> Vec<SlideId> {
    let calibrated = session.slides().iter().filter(|slide| slide.source.info().mpp.is_some());
    calibrated.map(|slide| slide.id().clone()).filter(|slide| panel.role(session, slide) == wanted).collect()
}

/// Requests missing counts of pairs, except while a value is being dragged.
fn count_pairs(ui: &Ui, panel: &TrainingPanel, session: &Session, requests: &mut Requests) {
    let busy = ui.input(|input| input.pointer.any_down()) || panel.config.check().is_err();
    let limits = PairLimits::of(&panel.config);
    let uncounted: Vec<SlideId> = session
        .slides()
        .iter()
        .filter(|slide| slide.source.info().mpp.is_some() && slide.tissue.is_some())
        .map(|slide| slide.id().clone())
        .filter(|slide| session.training().count(slide, limits).is_none())
        .collect();
    if !busy && !uncounted.is_empty() {
        let config = Box::new(panel.config.clone());
        requests.command(TrainingCommand::Count { slides: uncounted, config });
    }
}

/// Draws the choice between training the network and training its head alone.
fn scope_ui(ui: &mut Ui, panel: &mut TrainingPanel, palette: &Palette) {
    heading_ui(ui, "What is trained", palette);
    let choices = [
        (
            Preset::ThisComputer,
            "The network",
            "Reads tiles at every step. Takes hours, and can change the encoder most",
        ),
        (
            Preset::HeadAlone,
            "Its last layer only",
            "Runs each tile through the network once, and keeps its features in the project. Takes minutes",
        ),
    ];
    ui.horizontal(|ui| {
        ui.visuals_mut().widgets.inactive.bg_stroke = Stroke::new(1.0, palette.weak);
        for (preset, name, hint) in choices {
            let is_chosen = (panel.config.kept_views > 0) == (preset == Preset::HeadAlone);
            if ui.radio(is_chosen, name).on_hover_text(hint).clicked() && !is_chosen {
                panel.config = preset.config();
            }
        }
    });
    ui.add_space(10.0);
}

/// Draws how long it takes to train the head alone.
fn kept_ui(ui: &mut Ui, panel: &TrainingPanel, session: &Session, palette: &Palette) {
    heading_ui(ui, "Duration", palette);
    let config = &panel.config;
    let slides = [Role::Learn, Role::Validate].map(|role| chosen(panel, session, role));
    let limits = PairLimits::of(config);
    let tiles = |slides: &[SlideId]| -> Option<usize> {
        slides.iter().map(|id| Some(session.training().count(id, limits)??.as_ref().ok()?.tiles)).sum()
    };
    let views = config.kept_views;
    let mut lines = Vec::new();
    match tiles(&slides[0]) {
        None => lines.push("The tissue tiles of the slides are being counted.".to_owned()),
        Some(tiles) => {
            let speed = session.embedding().tiles_per_second;
            let time = if speed > 0.0 {
                let seconds = (tiles * views) as f64 / speed;
                format!(
                    "about {} at the speed of embedding ({} tiles/s)",
                    waiting_time(seconds),
                    decimal(speed, 0)
                )
            } else {
                "as long as embedding these tiles once for each view".to_owned()
            };
            lines.push(format!(
                "First, the features of {} with {} each are computed: {time}. Those that the project has already are not \
                 computed again.",
                counted(tiles as u64, "tile"),
                counted(views as u64, "view")
            ));
        }
    }
    let learning = match session.training().seconds_per_step(config) {
        Some(seconds) => {
            format!("about {}, by the speed of the last run", waiting_time(seconds * config.steps as f64))
        }
        None => "seconds to minutes".to_owned(),
    };
    lines.push(format!("Then {} steps: {learning}.", grouped(config.steps)));
    lines.push(format!(
        "Kept features take at most {} MB in the project (Advanced: “Kept features on disk”).",
        grouped(config.kept_features_mb)
    ));
    for text in lines {
        ui.add_space(4.0);
        ui.add(egui::Label::new(RichText::new(text).color(palette.text)).wrap());
    }
}

/// Draws the choice of how long the training lasts.
fn duration_ui(ui: &mut Ui, panel: &mut TrainingPanel, session: &Session, palette: &Palette) {
    heading_ui(ui, "Duration", palette);
    let measured = session.training().seconds_per_step(&panel.config);
    let validation = chosen(panel, session, Role::Validate).len();
    for duration in Duration::ALL {
        let (fill, is_chosen) = match panel.duration == duration {
            true => (palette.pressed, true),
            false => (palette.raised, false),
        };
        let row = Frame::new().fill(fill).corner_radius(6).inner_margin(8).show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.visuals_mut().widgets.inactive.bg_stroke = Stroke::new(1.0, palette.weak);
            let chosen = ui.radio(is_chosen, RichText::new(duration.name()).color(palette.strong)).clicked();
            if let Some(text) = steps_within(duration, panel, measured, validation) {
                ui.add(egui::Label::new(RichText::new(text).small().color(palette.weak)).wrap());
            }
            chosen
        });
        if row.inner {
            panel.duration = duration;
        }
    }
    let unmeasured = "How many steps that is depends on the speed of this computer, which is measured when training starts.";
    let kept = "A run keeps its best step on the validation slides. The project changes only when you use the new encoder.";
    for text in measured.is_none().then_some(unmeasured).into_iter().chain([kept]) {
        ui.add_space(4.0);
        ui.add(egui::Label::new(RichText::new(text).small().color(palette.weak)).wrap());
    }
}

/// Returns how many steps a training of this duration has, in words, from the measured seconds per step; `None`
/// without them.
fn steps_within(
    duration: Duration,
    panel: &TrainingPanel,
    measured: Option<f64>,
    validation: usize,
) -> Option<String> {
    let Some(seconds) = duration.seconds() else {
        return Some(format!("{} steps, as set under Advanced", grouped(panel.config.steps)));
    };
    let measured = measured?;
    let mut config = panel.config.clone();
    config.fit_into(seconds, measured, validation);
    Some(format!(
        "About {} steps of {}, by the speed of the last run ({} s a step)",
        grouped(config.steps),
        counted(config.batch as u64, "pair"),
        decimal(measured, 1)
    ))
}

fn start_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let (slides, validation) = (chosen(panel, session, Role::Learn), chosen(panel, session, Role::Validate));
    let obstacle = match check_available().and_then(|()| panel.config.check()) {
        Err(error) => Some(error.to_string()),
        Ok(()) if slides.is_empty() => Some("Choose at least one slide to train on.".to_owned()),
        Ok(()) if session.training().running().active => Some("Training is already running.".to_owned()),
        Ok(()) => None,
    };
    ui.horizontal(|ui| {
        let text = RichText::new("Start training").color(palette.on_accent);
        let button = Button::new(text).fill(palette.accent).min_size(Vec2::new(130.0, 30.0));
        if ui.add_enabled(obstacle.is_none(), button).clicked() {
            panel.tab = Tab::Run;
            let config = Box::new(panel.config.clone());
            let (slides, validation) = (slides.clone(), validation.clone());
            requests.command(TrainingCommand::Start {
                slides,
                validation,
                config,
                seconds: panel.duration.seconds().filter(|_| panel.config.kept_views == 0),
                device: panel.device,
            });
        }
        let note = obstacle.unwrap_or_else(|| {
            format!(
                "{} to train on, {} to validate on. Embedding pauses meanwhile; the viewer stays usable.",
                counted(slides.len() as u64, "slide"),
                counted(validation.len() as u64, "slide")
            )
        });
        ui.add(egui::Label::new(RichText::new(note).small().color(palette.weak)).wrap());
    });
}
