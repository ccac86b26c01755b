//! The settings of a training run that most runs leave as they are, each with its meaning.

use egui::{ComboBox, Grid, Response, RichText, TextEdit, Ui, Vec2};

use super::super::number_field;
use super::{Duration, TrainingPanel};
use crate::encoder::DeviceChoice;
use crate::encoder::backbones::BackboneKind;
use crate::encoder::trainable::{Depth, HeadKind};
use crate::number_format::scientific;
use crate::session::Session;
use crate::stain::StainSetting;
use crate::training::config::{
    JudgedBy, LossKind, Method, Preset, SlideWeighting, SlidesWithoutFarPairs, TrainingConfig,
};
use crate::training::fields::help_of;
use crate::ui::actions::EmbeddingAction;
use crate::ui::app::Requests;
use crate::ui::theme::Palette;

/// Width of the explanation of a field in points.
const MEANING: f32 = 400.0;
/// Distance between settings in points.
const SPACING: Vec2 = Vec2::new(14.0, 12.0);

/// Draws the presets and all settings.
pub fn advanced_ui(
    ui: &mut Ui,
    panel: &mut TrainingPanel,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) {
    presets_ui(ui, panel, requests);
    settings_ui(ui, panel, session, palette);
}

fn presets_ui(ui: &mut Ui, panel: &mut TrainingPanel, requests: &mut Requests) {
    ui.horizontal(|ui| {
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
        if ui.button("Save…").on_hover_text("Save these settings to a TOML file with explanations").clicked()
        {
            requests.action(EmbeddingAction::SaveTrainingSettings);
        }
        if ui.button("Load…").on_hover_text("Load settings from a TOML file").clicked() {
            requests.action(EmbeddingAction::LoadTrainingSettings);
        }
    });
}

/// Draws one setting: its name, its field, and its meaning.
fn field_ui(ui: &mut Ui, label: &str, field: &str, add: impl FnOnce(&mut Ui) -> Response) {
    described_ui(ui, label, help_of(field), add);
}

/// Draws a row of a name, a field and what it means.
fn described_ui(ui: &mut Ui, label: &str, meaning: &str, add: impl FnOnce(&mut Ui) -> Response) {
    ui.vertical(|ui| {
        // At the height of the field.
        ui.add_space(4.0);
        ui.add(egui::Label::new(label).extend());
    });
    ui.vertical(|ui| {
        add(ui).accessible_name(label);
        ui.set_max_width(MEANING);
        ui.add(egui::Label::new(RichText::new(meaning).small().weak()).wrap());
    });
    ui.end_row();
}

fn choice_ui<T: PartialEq + Copy>(ui: &mut Ui, id: &str, value: &mut T, choices: &[(T, &str)]) -> Response {
    let shown = choices.iter().find(|(choice, _)| choice == value).map_or("", |(_, name)| name);
    let combo = ComboBox::from_id_salt(id).selected_text(shown).width(190.0);
    let shown = combo.show_ui(ui, |ui| {
        for (choice, name) in choices {
            ui.selectable_value(value, *choice, *name);
        }
    });
    shown.response
}

fn settings_ui(ui: &mut Ui, panel: &mut TrainingPanel, session: &Session, palette: &Palette) {
    let by_steps = panel.duration == Duration::Steps || panel.config.kept_views > 0;
    let config = &mut panel.config;
    Grid::new("training settings").num_columns(2).spacing(SPACING).show(ui, |ui| {
        field_ui(ui, "Method", "method", |ui| {
            let methods =
                [(Method::Siamese, "Siamese (near and far)"), (Method::Npid, "NPID (each tile a class)")];
            choice_ui(ui, "method", &mut config.method, &methods)
        });
        method_ui(ui, config);
        let meaning = "Where the training runs; mixed precision is faster and needs less memory.";
        let devices = [
            (DeviceChoice::Auto, "automatic"),
            (DeviceChoice::Cpu, "CPU"),
            (DeviceChoice::Cuda(0), "CUDA"),
            (DeviceChoice::CudaHalf(0), "CUDA, mixed precision"),
        ];
        described_ui(ui, "Device", meaning, |ui| choice_ui(ui, "device", &mut panel.device, &devices));
        let backbones: Vec<(BackboneKind, String)> = BackboneKind::PUBLISHED
            .into_iter()
            .chain([BackboneKind::Tiny])
            .map(|kind| (kind, kind.shown_name()))
            .collect();
        let backbones: Vec<(BackboneKind, &str)> =
            backbones.iter().map(|(kind, name)| (*kind, name.as_str())).collect();
        field_ui(ui, "Network", "backbone", |ui| choice_ui(ui, "backbone", &mut config.backbone, &backbones));
        field_ui(ui, "Start from", "init", |ui| {
            ui.horizontal(|ui| {
                let field = ui.add(TextEdit::singleline(&mut config.init).desired_width(150.0));
                ui.menu_button("…", |ui| start_choices_ui(ui, &mut config.init, &panel.models, session))
                    .response
                    .accessible_name("Choose what to start from");
                field
            })
            .inner
        });
        field_ui(ui, "Trained layers", "depth", |ui| depth_ui(ui, &mut config.depth));
        field_ui(ui, "Head", "head", |ui| {
            let heads = [
                (HeadKind::Init, "as the starting encoder"),
                (HeadKind::Linear, "linear"),
                (HeadKind::TwoLayers, "two layers"),
                (HeadKind::Prototypes, "prototypes"),
            ];
            choice_ui(ui, "head", &mut config.head, &heads)
        });
        field_ui(ui, "Kept views", "kept_views", |ui| {
            ui.add(number_field(&mut config.kept_views).range(0..=64).suffix(" per tile"))
        });
        field_ui(ui, "Near pairs up to", "near_mm", |ui| mm_ui(ui, &mut config.near_mm));
        field_ui(ui, "Far pairs from", "far_mm", |ui| mm_ui(ui, &mut config.far_mm));
        field_ui(ui, "Slides without far pairs", "without_far", |ui| {
            let choices = [
                (SlidesWithoutFarPairs::LeaveOut, "leave the slide out"),
                (SlidesWithoutFarPairs::NearOnly, "near pairs only"),
            ];
            choice_ui(ui, "without far", &mut config.without_far, &choices)
        });
        field_ui(ui, "Steps", "steps", |ui| {
            ui.add_enabled(by_steps, number_field(&mut config.steps).range(1..=10_000_000).speed(5))
        });
        field_ui(ui, "Batch size", "batch", |ui| {
            ui.add(number_field(&mut config.batch).range(2..=4096).suffix(" pairs"))
        });
        field_ui(ui, "Learning rate", "lr", |ui| {
            ui.add(
                number_field(&mut config.lr)
                    .range(1e-8..=1.0)
                    .speed(1e-6)
                    .custom_formatter(|lr, _| scientific(lr, 1)),
            )
        });
        field_ui(ui, "Seed", "seed", |ui| ui.add(number_field(&mut config.seed)));
    });
    if !by_steps {
        let text = "Steps, warm-up and validations are set by how long the training lasts; choose “By steps” to set them.";
        ui.label(RichText::new(text).small().color(palette.weak));
    }
    ui.add_space(4.0);
    more_ui(ui, config);
}

/// Name of a loss for the user.
pub(super) fn loss_name(loss: LossKind) -> &'static str {
    match loss {
        LossKind::Contrastive => "contrastive (paper)",
        LossKind::ContrastiveSquared => "contrastive, squared",
        LossKind::Triplet => "triplet",
        LossKind::NtXent => "NT-Xent (near pairs only)",
    }
}

fn method_ui(ui: &mut Ui, config: &mut TrainingConfig) {
    if config.method == Method::Npid {
        field_ui(ui, "Noise tiles", "npid_noise", |ui| {
            ui.add(number_field(&mut config.npid_noise).range(0..=65_536).suffix(" tiles"))
        });
    } else {
        field_ui(ui, "Loss", "loss", |ui| {
            let losses = LossKind::ALL.map(|loss| (loss, loss_name(loss)));
            choice_ui(ui, "loss", &mut config.loss, &losses)
        });
        field_ui(ui, "Anti-collapse", "anti_collapse", |ui| {
            ui.add(number_field(&mut config.anti_collapse).range(0.0..=100.0).speed(0.05))
        });
        field_ui(ui, "Anchor", "anchor", |ui| {
            ui.add(number_field(&mut config.anchor).range(0.0..=1000.0).speed(0.1))
        });
    }
    if config.compares_angles() {
        field_ui(ui, "Temperature", "temperature", |ui| {
            ui.add(number_field(&mut config.temperature).range(0.001..=10.0).speed(0.005))
        });
    } else {
        field_ui(ui, "Margin", "margin", |ui| {
            ui.add(number_field(&mut config.margin).range(0.001..=1000.0).speed(0.1))
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

fn depth_ui(ui: &mut Ui, depth: &mut Depth) -> Response {
    let row = ui.horizontal(|ui| {
        let last = match *depth {
            Depth::Last(count) => count,
            _ => 6,
        };
        let rank = match *depth {
            Depth::Lora(rank) => rank,
            _ => 8,
        };
        let choices = [
            (Depth::Head, "head only"),
            (Depth::Last(last), "head and last blocks"),
            (Depth::Lora(rank), "head and adapters"),
            (Depth::All, "all"),
        ];
        let choice = choice_ui(ui, "depth", depth, &choices);
        match depth {
            Depth::Last(count) => {
                ui.add(number_field(count).range(1..=30)).accessible_name("Number of last blocks");
            }
            Depth::Lora(rank) => {
                ui.add(number_field(rank).range(Depth::RANKS).prefix("rank "))
                    .accessible_name("Rank of the adapters");
            }
            Depth::Head | Depth::All => {}
        }
        choice
    });
    row.inner
}

fn mm_ui(ui: &mut Ui, mm: &mut f64) -> Response {
    ui.add(number_field(mm).range(0.01..=200.0).speed(0.05).suffix(" mm"))
}

fn more_ui(ui: &mut Ui, config: &mut TrainingConfig) {
    Grid::new("more training settings").num_columns(2).spacing(SPACING).show(ui, |ui| {
        field_ui(ui, "Tile size", "tile_px", |ui| {
            ui.add(number_field(&mut config.tile_px).range(16..=1024).suffix(" px"))
        });
        field_ui(ui, "Pixel size", "mpp", |ui| {
            ui.add(number_field(&mut config.mpp).range(0.05..=50.0).speed(0.01).suffix(" µm/px"))
        });
        field_ui(ui, "Stain normalisation", "stain", |ui| {
            let choices = [(StainSetting::Lab, "on"), (StainSetting::None, "off")];
            choice_ui(ui, "stain", &mut config.stain, &choices)
        });
        field_ui(ui, "Descriptor length", "width", |ui| {
            ui.add(number_field(&mut config.width).range(2..=4096).suffix(" numbers"))
        });
        field_ui(ui, "Batch statistics", "batch_statistics", |ui| {
            ui.checkbox(&mut config.batch_statistics, "")
        });
        field_ui(ui, "Slide weighting", "slide_weighting", |ui| {
            let choices = [
                (SlideWeighting::Equal, "equal"),
                (SlideWeighting::SquareRoot, "square root of tissue area"),
                (SlideWeighting::Tiles, "tissue area"),
            ];
            choice_ui(ui, "slide weighting", &mut config.slide_weighting, &choices)
        });
        field_ui(ui, "Slides per batch", "slides_per_batch", |ui| {
            ui.add(number_field(&mut config.slides_per_batch).range(0..=1000))
        });
        field_ui(ui, "Share of judged pairs", "judged_pairs_share", |ui| {
            ui.add(number_field(&mut config.judged_pairs_share).range(0.0..=1.0).speed(0.01))
        });
        field_ui(ui, "Warm-up", "warmup_steps", |ui| {
            ui.add(number_field(&mut config.warmup_steps).range(0..=1_000_000).suffix(" steps"))
        });
        field_ui(ui, "Weight decay", "weight_decay", |ui| {
            ui.add(number_field(&mut config.weight_decay).range(0.0..=1.0).speed(1e-5).max_decimals(6))
        });
        field_ui(ui, "Gradient clipping", "clip_norm", |ui| {
            ui.add(number_field(&mut config.clip_norm).range(0.0..=1e6).speed(0.1))
        });
        field_ui(ui, "Validate every", "validate_every", |ui| {
            ui.add(number_field(&mut config.validate_every).range(1..=1_000_000).suffix(" steps"))
        });
        field_ui(ui, "Validation tiles", "validation_tiles", |ui| {
            ui.add(number_field(&mut config.validation_tiles).range(2..=100_000).suffix(" per slide"))
        });
        field_ui(ui, "Labels", "labels", |ui| {
            let field = TextEdit::singleline(&mut config.labels).desired_width(190.0);
            ui.add(field.hint_text("project labels"))
        });
        field_ui(ui, "Choose best step by", "judged_by", |ui| {
            let choices = [(JudgedBy::Retrieval, "P@5, else ADDR"), (JudgedBy::Addr, "ADDR")];
            choice_ui(ui, "judged by", &mut config.judged_by, &choices)
        });
        field_ui(ui, "Early stopping", "early_stopping", |ui| {
            ui.add(number_field(&mut config.early_stopping).range(0..=1000).suffix(" validations"))
        });
        field_ui(ui, "Checkpoint every", "checkpoint_every", |ui| {
            ui.add(number_field(&mut config.checkpoint_every).range(1..=1_000_000).suffix(" steps"))
        });
        field_ui(ui, "Tile cache on disk", "tile_cache_mb", |ui| {
            ui.add(number_field(&mut config.tile_cache_mb).range(0..=1_000_000).speed(16).suffix(" MB"))
        });
        field_ui(ui, "Kept features on disk", "kept_features_mb", |ui| {
            ui.add(number_field(&mut config.kept_features_mb).range(0..=10_000_000).speed(16).suffix(" MB"))
        });
        let augmentation = &mut config.augmentation;
        field_ui(ui, "Flip tiles", "augmentation", |ui| ui.checkbox(&mut augmentation.flips, ""));
        field_ui(ui, "Rotate tiles", "augmentation", |ui| ui.checkbox(&mut augmentation.rotations, ""));
        field_ui(ui, "Stain variation", "augmentation", |ui| {
            ui.add(number_field(&mut augmentation.stain_jitter).range(0.0..=1.0).speed(0.01))
        });
        field_ui(ui, "Share of blurred tiles", "augmentation", |ui| {
            ui.add(number_field(&mut augmentation.blur).range(0.0..=1.0).speed(0.01))
        });
    });
}
