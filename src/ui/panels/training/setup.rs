//! Choice of slides and settings for a training run.

use egui::{
    Align, Button, ComboBox, DragValue, Frame, Grid, Layout, RichText, ScrollArea, TextEdit, Ui, Vec2,
};

use super::running::pairs_ui;
use super::{Role, Tab, TrainingPanel, heading_ui};
use crate::encoder::DeviceChoice;
use crate::encoder::backbones::BackboneKind;
use crate::encoder::trainable::Depth;
use crate::number_format::counted;
use crate::session::{PairLimits, Session, SlideState, TrainingCommand};
use crate::slide::SlideId;
use crate::stain::StainSetting;
use crate::training::config::{
    JudgedBy, LossKind, Method, Preset, SlideWeighting, SlidesWithoutFarPairs, TrainingConfig,
};
use crate::training::fields::help_of;
use crate::ui::actions::EmbeddingAction;
use crate::ui::app::Requests;
use crate::ui::panels::line_ui;
use crate::ui::theme::Palette;

/// Width of the list of slides in points.
const SLIDES_WIDTH: f32 = 380.0;

/// Draws the slides, the settings and the start button.
pub fn setup_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let room = (ui.available_height() - 52.0).max(240.0);
    ui.horizontal_top(|ui| {
        ui.vertical(|ui| {
            ui.set_width(SLIDES_WIDTH);
            heading_ui(ui, "Slides", palette);
            ScrollArea::vertical()
                .id_salt("training slides")
                .max_height(room - 30.0)
                .auto_shrink([false, false])
                .show(ui, |ui| {
                    for slide in session.slides() {
                        slide_ui(ui, panel, session, slide, palette);
                    }
                    if session.slides().is_empty() {
                        ui.label(RichText::new("Open slides first.").color(palette.weak));
                    }
                    preview_ui(ui, panel, session, palette, requests);
                });
        });
        ui.add_space(10.0);
        ui.vertical(|ui| {
            presets_ui(ui, panel, palette, requests);
            ScrollArea::vertical()
                .id_salt("training settings")
                .max_height(room - 40.0)
                .auto_shrink([false, false])
                .show(ui, |ui| settings_ui(ui, panel, session));
        });
    });
    count_pairs(ui, panel, session, requests);
    ui.separator();
    start_ui(ui, panel, session, palette, requests);
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
                    ComboBox::from_id_salt(("role", slide.id()))
                        .selected_text(name(role))
                        .width(92.0)
                        .show_ui(ui, |ui| {
                            for choice in [Role::Learn, Role::Validate, Role::LeftOut] {
                                ui.selectable_value(&mut role, choice, name(choice));
                            }
                        });
                });
                if role != before {
                    panel.roles.insert(slide.id().clone(), role);
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    line_ui(ui, RichText::new(info.name()).color(palette.text));
                });
            });
        });
        let limits = PairLimits::of(&panel.config);
        let (text, color) = match session.training().count(slide.id(), limits) {
            _ if info.mpp.is_none() => ("Pixel size unknown: set it first (M)".to_owned(), palette.error),
            None | Some(None) => ("counting tissue tiles and pairs…".to_owned(), palette.weak),
            Some(Some(Err(reason))) => (reason.clone(), palette.error),
            Some(Some(Ok(count))) if count.far == 0 => (
                format!(
                    "{} · {} · no far pairs: the tissue extends over {:.1} mm",
                    counted(count.tiles as u64, "tissue tile"),
                    counted(count.near, "near pair"),
                    count.reach_mm
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
        let can = !slides.is_empty() && !preview.drawing && panel.config.check().is_ok();
        let hint = "Show some random pairs with these settings, augmented as in training";
        if ui.add_enabled(can, Button::new("Preview pairs")).on_hover_text(hint).clicked() {
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

fn presets_ui(ui: &mut Ui, panel: &mut TrainingPanel, palette: &Palette, requests: &mut Requests) {
    ui.horizontal(|ui| {
        heading_ui(ui, "Settings", palette);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.menu_button("Preset", |ui| {
                for preset in Preset::ALL {
                    if ui.button(preset.label()).clicked() {
                        panel.config = preset.config();
                        ui.close();
                    }
                }
            })
            .response
            .on_hover_text("Fill in all settings at once");
            if ui
                .button("Save…")
                .on_hover_text("Save these settings to a TOML file with explanations")
                .clicked()
            {
                requests.action(EmbeddingAction::SaveTrainingSettings);
            }
            if ui.button("Load…").on_hover_text("Load settings from a TOML file").clicked() {
                requests.action(EmbeddingAction::LoadTrainingSettings);
            }
        });
    });
}

/// Draws one setting: name, field, and the field's help as the tooltip.
fn field_ui(ui: &mut Ui, label: &str, field: &str, add: impl FnOnce(&mut Ui)) {
    ui.label(label).on_hover_text(help_of(field));
    ui.scope(add).response.on_hover_text(help_of(field));
    ui.end_row();
}

fn choice_ui<T: PartialEq + Copy>(ui: &mut Ui, id: &str, value: &mut T, choices: &[(T, &str)]) {
    let shown = choices.iter().find(|(choice, _)| choice == value).map_or("", |(_, name)| name);
    ComboBox::from_id_salt(id).selected_text(shown).width(190.0).show_ui(ui, |ui| {
        for (choice, name) in choices {
            ui.selectable_value(value, *choice, *name);
        }
    });
}

fn settings_ui(ui: &mut Ui, panel: &mut TrainingPanel, session: &Session) {
    let config = &mut panel.config;
    Grid::new("training settings").num_columns(2).spacing(Vec2::new(14.0, 6.0)).show(ui, |ui| {
        field_ui(ui, "Method", "method", |ui| {
            let methods =
                [(Method::Siamese, "Siamese (near and far)"), (Method::Npid, "NPID (each tile a class)")];
            choice_ui(ui, "method", &mut config.method, &methods);
        });
        method_ui(ui, config);
        let hint = "Where the training runs; mixed precision is faster and needs less memory";
        ui.label("Device").on_hover_text(hint);
        let devices = [
            (DeviceChoice::Auto, "automatic"),
            (DeviceChoice::Cpu, "CPU"),
            (DeviceChoice::Cuda(0), "CUDA"),
            (DeviceChoice::CudaHalf(0), "CUDA, mixed precision"),
        ];
        choice_ui(ui, "device", &mut panel.device, &devices);
        ui.end_row();
        let backbones: Vec<(BackboneKind, &str)> = BackboneKind::PUBLISHED
            .into_iter()
            .chain([BackboneKind::Tiny])
            .map(|kind| (kind, kind.name()))
            .collect();
        field_ui(ui, "Network", "backbone", |ui| choice_ui(ui, "backbone", &mut config.backbone, &backbones));
        field_ui(ui, "Start from", "init", |ui| {
            ui.horizontal(|ui| {
                ui.add(TextEdit::singleline(&mut config.init).desired_width(150.0));
                ui.menu_button("…", |ui| start_choices_ui(ui, &mut config.init, &panel.models, session));
            });
        });
        field_ui(ui, "Trained layers", "depth", |ui| depth_ui(ui, &mut config.depth));
        field_ui(ui, "Near pairs up to", "near_mm", |ui| mm_ui(ui, &mut config.near_mm));
        field_ui(ui, "Far pairs from", "far_mm", |ui| mm_ui(ui, &mut config.far_mm));
        field_ui(ui, "Slides without far pairs", "without_far", |ui| {
            let choices = [
                (SlidesWithoutFarPairs::LeaveOut, "leave the slide out"),
                (SlidesWithoutFarPairs::NearOnly, "near pairs only"),
            ];
            choice_ui(ui, "without far", &mut config.without_far, &choices);
        });
        field_ui(ui, "Steps", "steps", |ui| {
            ui.add(DragValue::new(&mut config.steps).range(1..=10_000_000).speed(5));
        });
        field_ui(ui, "Batch size", "batch", |ui| {
            ui.add(DragValue::new(&mut config.batch).range(2..=4096).suffix(" pairs"));
        });
        field_ui(ui, "Learning rate", "lr", |ui| {
            ui.add(
                DragValue::new(&mut config.lr)
                    .range(1e-8..=1.0)
                    .speed(1e-6)
                    .custom_formatter(|lr, _| format!("{lr:.1e}")),
            );
        });
        field_ui(ui, "Seed", "seed", |ui| {
            ui.add(DragValue::new(&mut config.seed));
        });
    });
    ui.add_space(4.0);
    egui::CollapsingHeader::new("More settings").show(ui, |ui| more_ui(ui, config));
}

fn method_ui(ui: &mut Ui, config: &mut TrainingConfig) {
    if config.method == Method::Npid {
        field_ui(ui, "Noise tiles", "npid_noise", |ui| {
            ui.add(DragValue::new(&mut config.npid_noise).range(0..=65_536).suffix(" tiles"));
        });
    } else {
        field_ui(ui, "Loss", "loss", |ui| {
            let losses = [
                (LossKind::Contrastive, "contrastive (paper)"),
                (LossKind::ContrastiveSquared, "contrastive, squared"),
                (LossKind::Triplet, "triplet"),
                (LossKind::NtXent, "NT-Xent (near pairs only)"),
            ];
            choice_ui(ui, "loss", &mut config.loss, &losses);
        });
        field_ui(ui, "Anti-collapse", "anti_collapse", |ui| {
            ui.add(DragValue::new(&mut config.anti_collapse).range(0.0..=100.0).speed(0.05));
        });
        field_ui(ui, "Anchor", "anchor", |ui| {
            ui.add(DragValue::new(&mut config.anchor).range(0.0..=1000.0).speed(0.1));
        });
    }
    if config.compares_angles() {
        field_ui(ui, "Temperature", "temperature", |ui| {
            ui.add(DragValue::new(&mut config.temperature).range(0.001..=10.0).speed(0.005));
        });
    } else {
        field_ui(ui, "Margin", "margin", |ui| {
            ui.add(DragValue::new(&mut config.margin).range(0.001..=1000.0).speed(0.1));
        });
    }
}

fn start_choices_ui(ui: &mut Ui, init: &mut String, models: &[String], session: &Session) {
    let fixed = [("ImageNet", "imagenet"), ("Random", "random")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let named = models.iter().map(|name| (name.clone(), name.clone()));
    let runs = session.training().runs().iter().filter_map(|run| {
        Some((format!("{} of this project", run.card.id), run.model.as_ref()?.to_string_lossy().into_owned()))
    });
    for (name, value) in fixed.into_iter().chain(named).chain(runs) {
        if ui.button(name).clicked() {
            *init = value;
            ui.close();
        }
    }
}

fn depth_ui(ui: &mut Ui, depth: &mut Depth) {
    ui.horizontal(|ui| {
        let last = match *depth {
            Depth::Last(count) => count,
            _ => 6,
        };
        let choices =
            [(Depth::Head, "head only"), (Depth::Last(last), "head and last blocks"), (Depth::All, "all")];
        choice_ui(ui, "depth", depth, &choices);
        if let Depth::Last(count) = depth {
            ui.add(DragValue::new(count).range(1..=30));
        }
    });
}

fn mm_ui(ui: &mut Ui, mm: &mut f64) {
    ui.add(DragValue::new(mm).range(0.01..=200.0).speed(0.05).suffix(" mm"));
}

fn more_ui(ui: &mut Ui, config: &mut TrainingConfig) {
    Grid::new("more training settings").num_columns(2).spacing(Vec2::new(14.0, 6.0)).show(ui, |ui| {
        field_ui(ui, "Tile size", "tile_px", |ui| {
            ui.add(DragValue::new(&mut config.tile_px).range(16..=1024).suffix(" px"));
        });
        field_ui(ui, "Pixel size", "mpp", |ui| {
            ui.add(DragValue::new(&mut config.mpp).range(0.05..=50.0).speed(0.01).suffix(" µm/px"));
        });
        field_ui(ui, "Stain normalisation", "stain", |ui| {
            let choices = [(StainSetting::Lab, "on"), (StainSetting::None, "off")];
            choice_ui(ui, "stain", &mut config.stain, &choices);
        });
        field_ui(ui, "Descriptor length", "width", |ui| {
            ui.add(DragValue::new(&mut config.width).range(2..=4096).suffix(" numbers"));
        });
        field_ui(ui, "Batch statistics", "batch_statistics", |ui| {
            ui.checkbox(&mut config.batch_statistics, "");
        });
        field_ui(ui, "Slide weighting", "slide_weighting", |ui| {
            let choices = [
                (SlideWeighting::Equal, "equal"),
                (SlideWeighting::SquareRoot, "square root of tissue area"),
                (SlideWeighting::Tiles, "tissue area"),
            ];
            choice_ui(ui, "slide weighting", &mut config.slide_weighting, &choices);
        });
        field_ui(ui, "Slides per batch", "slides_per_batch", |ui| {
            ui.add(DragValue::new(&mut config.slides_per_batch).range(0..=1000));
        });
        field_ui(ui, "Share of judged pairs", "marks_share", |ui| {
            ui.add(DragValue::new(&mut config.marks_share).range(0.0..=1.0).speed(0.01));
        });
        field_ui(ui, "Warm-up", "warmup_steps", |ui| {
            ui.add(DragValue::new(&mut config.warmup_steps).range(0..=1_000_000).suffix(" steps"));
        });
        field_ui(ui, "Weight decay", "weight_decay", |ui| {
            ui.add(DragValue::new(&mut config.weight_decay).range(0.0..=1.0).speed(1e-5).max_decimals(6));
        });
        field_ui(ui, "Gradient clipping", "clip_norm", |ui| {
            ui.add(DragValue::new(&mut config.clip_norm).range(0.0..=1e6).speed(0.1));
        });
        field_ui(ui, "Validate every", "validate_every", |ui| {
            ui.add(DragValue::new(&mut config.validate_every).range(1..=1_000_000).suffix(" steps"));
        });
        field_ui(ui, "Validation tiles", "validation_tiles", |ui| {
            ui.add(DragValue::new(&mut config.validation_tiles).range(2..=100_000).suffix(" per slide"));
        });
        field_ui(ui, "Labels", "labels", |ui| {
            let field = TextEdit::singleline(&mut config.labels).desired_width(190.0);
            ui.add(field.hint_text("project labels"));
        });
        field_ui(ui, "Choose best step by", "judged_by", |ui| {
            let choices = [(JudgedBy::Retrieval, "P@5, else ADDR"), (JudgedBy::Addr, "ADDR")];
            choice_ui(ui, "judged by", &mut config.judged_by, &choices);
        });
        field_ui(ui, "Early stopping", "early_stopping", |ui| {
            ui.add(DragValue::new(&mut config.early_stopping).range(0..=1000).suffix(" validations"));
        });
        field_ui(ui, "Checkpoint every", "checkpoint_every", |ui| {
            ui.add(DragValue::new(&mut config.checkpoint_every).range(1..=1_000_000).suffix(" steps"));
        });
        field_ui(ui, "Tile cache on disk", "tile_cache_mb", |ui| {
            ui.add(DragValue::new(&mut config.tile_cache_mb).range(0..=1_000_000).speed(16).suffix(" MB"));
        });
        let augmentation = &mut config.augmentation;
        field_ui(ui, "Flip tiles", "augmentation", |ui| {
            ui.checkbox(&mut augmentation.flips, "");
        });
        field_ui(ui, "Rotate tiles", "augmentation", |ui| {
            ui.checkbox(&mut augmentation.rotations, "");
        });
        field_ui(ui, "Stain variation", "augmentation", |ui| {
            ui.add(DragValue::new(&mut augmentation.stain_jitter).range(0.0..=1.0).speed(0.01));
        });
        field_ui(ui, "Share of blurred tiles", "augmentation", |ui| {
            ui.add(DragValue::new(&mut augmentation.blur).range(0.0..=1.0).speed(0.01));
        });
    });
}

fn start_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    let (slides, validation) = (chosen(panel, session, Role::Learn), chosen(panel, session, Role::Validate));
    let obstacle = match panel.config.check() {
        Err(error) => Some(error.to_string()),
        Ok(()) if slides.is_empty() => Some("Choose at least one slide to train on.".to_owned()),
        Ok(()) if session.training().running().active => Some("A training is already running.".to_owned()),
        Ok(()) => None,
    };
    ui.horizontal(|ui| {
        let text = RichText::new("Start training").color(palette.on_accent);
        let button = Button::new(text).fill(palette.accent).min_size(Vec2::new(130.0, 30.0));
        if ui.add_enabled(obstacle.is_none(), button).clicked() {
            panel.tab = Tab::Run;
            let config = Box::new(panel.config.clone());
            let (slides, validation) = (slides.clone(), validation.clone());
            requests.command(TrainingCommand::Start { slides, validation, config, device: panel.device });
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
