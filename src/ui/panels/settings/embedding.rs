//! The page of embedding and memory: tiles of new projects, device, threads, caches.

use egui::{ComboBox, Ui};

use super::super::number_field;
use super::{choices_ui, heading_ui, note_ui, row_ui};
use crate::encoder::DeviceChoice;
use crate::encoder::engine::{self, Engine, EngineChoice};
use crate::memory::Budget;
use crate::number_format::{decimal, plain};
use crate::session::Session;
use crate::tiling::TileSettings;
use crate::ui::settings::{self, Device, Settings};
use crate::ui::theme::Palette;

/// Devices to choose from, the default first.
const DEVICES: [(DeviceChoice, &str); 4] = [
    (DeviceChoice::Auto, "Automatic"),
    (DeviceChoice::Cpu, "Processor (CPU)"),
    (DeviceChoice::Cuda(0), "First NVIDIA GPU"),
    (DeviceChoice::CudaHalf(0), "First NVIDIA GPU, half precision"),
];

/// Draws the page.
pub(super) fn embedding_ui(ui: &mut Ui, settings: &mut Settings, session: &Session, palette: &Palette) {
    heading_ui(ui, "Tiles of new projects", palette);
    let default = TileSettings::default();
    let tiles = &mut settings.tiles;
    let hint = "Edge of a tile in pixels of the encoder's input. Default: 224 px";
    if row_ui(ui, "Tile size", hint, tiles.tile_px == default.tile_px, palette, |ui, name| {
        ui.add(number_field(&mut tiles.tile_px).range(32..=1024).speed(1.0).suffix(" px")).labelled_by(name);
        choices_ui(ui, &mut tiles.tile_px, &[(112, "112"), (224, "224"), (256, "256")], palette);
    }) {
        tiles.tile_px = default.tile_px;
    }
    let hint = "Pixel size at which tiles are read. Default: 1.0 µm/px (10×); smaller shows more detail and gives more tiles";
    if row_ui(ui, "Resolution", hint, tiles.mpp == default.mpp, palette, |ui, name| {
        let number = number_field(&mut tiles.mpp).range(0.1..=16.0).speed(0.01).max_decimals(3);
        ui.add(number.suffix(" µm/px")).labelled_by(name);
        choices_ui(ui, &mut tiles.mpp, &[(0.25, "40×"), (0.5, "20×"), (1.0, "10×"), (2.0, "5×")], palette);
    }) {
        tiles.mpp = default.mpp;
    }
    let own = session.project().settings().tiles;
    let text = format!(
        "A tile covers {} µm. The open project keeps its own: {} px at {} µm/px.",
        decimal(f64::from(tiles.tile_px) * tiles.mpp, 0),
        own.tile_px,
        plain(own.mpp)
    );
    note_ui(ui, &text, palette);

    heading_ui(ui, "Applied at the next start", palette);
    let device = &mut settings.device.0;
    let hint = "Where the encoder runs. Default: the first NVIDIA GPU if there is one, otherwise the processor. \
                The option --device takes precedence";
    if row_ui(ui, "Device", hint, *device == DeviceChoice::default(), palette, |ui, name| {
        let known = DEVICES.iter().find(|(choice, _)| choice == device).map(|(_, name)| (*name).to_owned());
        let shown = known.unwrap_or_else(|| device.to_string());
        let list = ComboBox::from_id_salt("device").selected_text(shown).width(240.0);
        let list = list.show_ui(ui, |ui| {
            for (choice, name) in DEVICES {
                ui.selectable_value(device, choice, name);
            }
        });
        list.response.labelled_by(name);
    }) {
        settings.device = Device::default();
    }
    if Engine::built().count() > 1 {
        engine_ui(ui, settings, palette);
    }
    if let Some(device) = &session.embedding().device {
        note_ui(ui, &format!("Now: {device}."), palette);
    }
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let hint =
        "Threads that read tiles while slides are embedded. Default: half of the processors, at most 8";
    let is_default = settings.embedding_threads.is_none();
    if row_ui(ui, "Threads for reading tiles", hint, is_default, palette, |ui, name| {
        let mut is_set = settings.embedding_threads.is_some();
        choices_ui(ui, &mut is_set, &[(false, "Automatic"), (true, "Fixed")], palette);
        match (is_set, &mut settings.embedding_threads) {
            (true, Some(threads)) => {
                ui.add(number_field(threads).range(1..=cores.max(2)).speed(0.05)).labelled_by(name);
            }
            (true, none) => *none = Some((cores / 2).clamp(1, 8)),
            (false, any) => *any = None,
        }
    }) {
        settings.embedding_threads = None;
    }

    heading_ui(ui, "Memory", palette);
    let default_mib = (Budget::default_limit() >> 20) as u32;
    let hint = format!(
        "Memory for tiles on the screen, thumbnails and the index. Default: {default_mib} MiB on this computer. The option \
         --cache-mb takes precedence at the start"
    );
    let is_default = settings.cache_mib.is_none();
    if row_ui(ui, "Memory for caches", &hint, is_default, palette, |ui, name| {
        let mut is_set = settings.cache_mib.is_some();
        choices_ui(ui, &mut is_set, &[(false, "Automatic"), (true, "Fixed")], palette);
        match (is_set, &mut settings.cache_mib) {
            (true, Some(mib)) => {
                let number = number_field(mib).range(64..=1 << 20).speed(16.0).suffix(" MiB");
                ui.add(number.update_while_editing(false)).labelled_by(name);
            }
            (true, none) => *none = Some(default_mib),
            (false, any) => *any = None,
        }
    }) {
        settings.cache_mib = None;
    }
    let budget = Budget::of_process();
    let text = format!("In use: {} of {} MiB.", budget.used() >> 20, budget.limit() >> 20);
    note_ui(ui, &text, palette);
}

/// Draws the choice of the engine.
fn engine_ui(ui: &mut Ui, settings: &mut Settings, palette: &Palette) {
    let automatic = match engine::expected(settings.device.0) {
        Some(Engine::Torch) => "Automatic (libtorch)",
        Some(Engine::OnnxRuntime) => "Automatic (ONNX Runtime)",
        None => "Automatic",
    };
    let engines = [
        (EngineChoice::Automatic, automatic),
        (EngineChoice::Torch, "libtorch"),
        (EngineChoice::OnnxRuntime, "ONNX Runtime"),
    ];
    let engine = &mut settings.engine.0;
    let hint = "What computes descriptors; they are the same. Default: libtorch on an NVIDIA GPU, and ONNX Runtime, which is \
                quicker there, on the processor. What ONNX Runtime cannot run, libtorch runs. The option --engine takes precedence";
    if row_ui(ui, "Engine", hint, *engine == EngineChoice::Automatic, palette, |ui, _| {
        choices_ui(ui, engine, &engines, palette)
    }) {
        settings.engine = settings::Engine::default();
    }
}
