//! What the weights of an encoder leave open, with the guess filled in, when it is added.

use egui::{ComboBox, Grid, RichText, Ui};

use crate::encoder::backbones::vit::{VitActivation, VitOutput};
use crate::encoder::vit_settings::OpenSettings;
use crate::ui::panels::number_field;
use crate::ui::theme::Palette;

/// Activations by the names that their libraries use.
const ACTIVATIONS: [(VitActivation, &str); 5] = [
    (VitActivation::Gelu, "GELU"),
    (VitActivation::GeluTanh, "GELU (tanh)"),
    (VitActivation::QuickGelu, "quick GELU"),
    (VitActivation::Silu, "SiLU"),
    (VitActivation::Relu, "ReLU"),
];

/// What can be taken out of the network.
const OUTPUTS: [(VitOutput, &str); 4] = [
    (VitOutput::Class, "class token"),
    (VitOutput::ClassAndMean, "class token and mean of patches"),
    (VitOutput::Mean, "mean of patches"),
    (VitOutput::Projection, "projection"),
];

/// Draws the settings.
pub fn open_settings_ui(ui: &mut Ui, open: &mut OpenSettings, palette: &Palette) {
    ui.add_space(6.0);
    let text = match open.is_assumed {
        true => {
            "The file does not tell all of this; some is assumed. Compare it with the page where you got the file:"
        }
        false => "The settings of this encoder:",
    };
    ui.label(RichText::new(text).small().color(palette.weak));
    Grid::new("what the weights leave open").num_columns(2).spacing([16.0, 5.0]).show(ui, |ui| {
        let mut row = |name: &str, hint: &str, add: &mut dyn FnMut(&mut Ui)| {
            ui.label(RichText::new(name).color(palette.weak)).on_hover_text(hint);
            ui.horizontal(add);
            ui.end_row();
        };
        let hint = "Number of attention heads in each block. The width of the network is a multiple of it";
        row("Attention heads", hint, &mut |ui| {
            let most = open.architecture.width.max(1);
            ui.add(number_field(&mut open.architecture.heads).range(1..=most))
                .accessible_name("Attention heads");
        });
        // All libraries use the SiLU in gated networks.
        if !open.architecture.gated {
            let hint = "Function between the two linear layers at the end of each block";
            row("Activation", hint, &mut |ui| {
                choice_ui(ui, "Activation", &mut open.architecture.activation, &ACTIVATIONS);
            });
        }
        let hint = "What of the network's output becomes the descriptor of a tile";
        row("Output", hint, &mut |ui| {
            let architecture = &mut open.architecture;
            let is_there = |output: VitOutput| match output {
                VitOutput::Mean => true,
                VitOutput::Class | VitOutput::ClassAndMean => architecture.class_token,
                VitOutput::Projection => architecture.class_token && architecture.projection.is_some(),
            };
            let outputs: Vec<_> = OUTPUTS.into_iter().filter(|(output, _)| is_there(*output)).collect();
            choice_ui(ui, "Output", &mut architecture.output, &outputs);
        });
        for (name, values, least) in
            [("Mean of colours", &mut open.mean, 0.0), ("Standard deviation", &mut open.std, 0.001)]
        {
            let hint = "Red, green and blue, on a scale of 0 to 1, as they were normalised when the network was trained";
            row(name, hint, &mut |ui| {
                for (value, colour) in values.iter_mut().zip(["red", "green", "blue"]) {
                    let field = number_field(value).range(least..=1.0).speed(0.001).max_decimals(6);
                    ui.add(field).accessible_name(format!("{name}, {colour}"));
                }
            });
        }
        let hint = "Edge of a tile in pixels, and its spacing, as the network was trained with";
        row("Tiles", hint, &mut |ui| {
            ui.add(number_field(&mut open.tile_px).range(8..=4096).suffix(" px"))
                .accessible_name("Tile size");
            let spacing = number_field(&mut open.mpp).range(0.05..=20.0).speed(0.005).suffix(" µm/px");
            ui.add(spacing).accessible_name("Spacing");
        });
    });
}

fn choice_ui<T: PartialEq + Copy>(ui: &mut Ui, name: &str, value: &mut T, choices: &[(T, &str)]) {
    let chosen = choices.iter().find(|(choice, _)| choice == value).map_or("", |(_, chosen)| chosen);
    let combo = ComboBox::from_id_salt(name).selected_text(chosen).width(230.0);
    let shown = combo.show_ui(ui, |ui| {
        for (choice, name) in choices {
            ui.selectable_value(value, *choice, *name);
        }
    });
    shown.response.accessible_name(format!("{name}: {chosen}"));
}
