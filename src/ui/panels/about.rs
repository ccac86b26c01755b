//! The dialog about the program and its licences, and the dialog that asks whether a TorchScript module may
//! run.

use std::path::Path;

use egui::{Align, Button, Layout, RichText, ScrollArea, Ui, Vec2};

use super::dialog_width;
use super::dialogs::title_ui;
use crate::session::EmbeddingCommand;
use crate::slide;
use crate::ui::actions::{self, WindowAction};
use crate::ui::app::Requests;
use crate::ui::theme::{self, Palette};

/// The main third-party works in the program, with their licences.
const WORKS: [(&str, &str); 14] = [
    ("OpenSlide", "LGPL 2.1"),
    ("libtorch (PyTorch)", "BSD 3-Clause"),
    ("ONNX Runtime, ort", "MIT; MIT or Apache 2.0"),
    ("libjpeg-turbo", "IJG, BSD 3-Clause, zlib"),
    ("egui, eframe", "MIT or Apache 2.0"),
    ("wgpu, naga", "MIT or Apache 2.0"),
    ("tch", "MIT or Apache 2.0"),
    ("kiddo", "MIT or Apache 2.0"),
    ("nalgebra", "Apache 2.0"),
    ("i_overlay", "MIT or Apache 2.0"),
    ("image, png, tiff", "MIT or Apache 2.0"),
    ("IBM Plex Sans", "SIL Open Font License 1.1"),
    ("Material Symbols", "Apache 2.0"),
    ("ImageNet weights of MobileNetV2", "BSD 3-Clause (torchvision)"),
];

/// Draws the dialog about the program; returns whether to close it.
pub fn about_ui(ui: &mut Ui, palette: &Palette, requests: &mut Requests) -> bool {
    dialog_width(ui, 480.0);
    title_ui(ui, "histokin", palette);
    let versions =
        format!("Version {}, with OpenSlide {}", env!("CARGO_PKG_VERSION"), slide::openslide_version());
    ui.label(RichText::new(versions).color(palette.text));
    ui.label(RichText::new(env!("CARGO_PKG_DESCRIPTION")).color(palette.weak));
    ui.add_space(6.0);
    ui.label(RichText::new("For research, not for diagnosis.").color(palette.strong));
    ui.add_space(10.0);
    ui.label(RichText::new("Licences").family(theme::bold()).color(palette.accent));
    ui.label(
        RichText::new("histokin is released under the MIT licence. It includes third-party components:")
            .color(palette.text),
    );
    ui.add_space(4.0);
    // In a low window the list leaves room for the rest.
    let room = (ui.ctx().content_rect().height() - 350.0).clamp(60.0, 230.0);
    ScrollArea::vertical().max_height(room).auto_shrink([false, true]).show(ui, |ui| {
        ui.spacing_mut().interact_size.y = 0.0;
        for (work, licence) in WORKS {
            ui.horizontal(|ui| {
                ui.allocate_ui_with_layout(
                    Vec2::new(230.0, 18.0),
                    Layout::left_to_right(Align::Center),
                    |ui| {
                        ui.set_min_width(230.0);
                        ui.label(RichText::new(work).color(palette.text));
                    },
                );
                ui.label(RichText::new(licence).small().color(palette.weak));
            });
        }
    });
    ui.add_space(4.0);
    let all = "The folder “licences” of the package contains the complete list with all licence texts.";
    ui.label(RichText::new(all).small().color(palette.weak));
    ui.add_space(12.0);
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let closed = ui.button("Close").clicked();
        let diagnostics = actions::entry(WindowAction::CopyDiagnostics);
        if ui.button(diagnostics.name).on_hover_text(diagnostics.tooltip).clicked() {
            requests.action(WindowAction::CopyDiagnostics);
        }
        closed
    })
    .inner
}

/// Asks whether the project's TorchScript module may run; returns whether the user has answered. The Enter
/// key is not bound to an answer, so that nobody confirms the question unread.
pub fn trust_ui(ui: &mut Ui, module: &Path, palette: &Palette, requests: &mut Requests) -> bool {
    dialog_width(ui, 520.0);
    title_ui(ui, "Run this encoder?", palette);
    ui.label(RichText::new(module.display().to_string()).color(palette.strong));
    ui.add_space(6.0);
    ui.label(
        RichText::new(
            "The project's encoder is a TorchScript module. Such a module is a program: it can do anything on \
             this computer that you can do, including with your slides and files. It has not run on this \
             computer before.",
        )
        .color(palette.text),
    );
    ui.add_space(4.0);
    ui.label(
        RichText::new(
            "Run it only if you trust its source. Your answer is remembered for this module; if the file \
             changes, you are asked again.",
        )
        .color(palette.weak),
    );
    ui.add_space(12.0);
    let answer = ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let refused =
            ui.add(Button::new(RichText::new("Do not run it").color(palette.on_accent)).fill(palette.accent));
        match (refused.clicked(), ui.button("Run it").clicked()) {
            (true, _) => Some(false),
            (_, true) => Some(true),
            _ => None,
        }
    });
    if let Some(trusted) = answer.inner {
        requests.command(EmbeddingCommand::TrustEncoder(trusted));
    }
    answer.inner.is_some()
}
