//! The page of the view: theme, size of text, units, grid, wand, hints.

use egui::{ComboBox, Slider, Theme, Ui};

use super::super::number_field;
use super::{choices_ui, heading_ui, note_ui, row_ui};
use crate::number_format::{self, LengthUnit, NumberStyle, decimal};
use crate::ui::actions::WindowAction;
use crate::ui::app::Requests;
use crate::ui::settings::{Settings, WAND_RANGE, WAND_SENSITIVITY};
use crate::ui::theme::Palette;

/// Spacing of a fixed grid when it is switched on, in µm.
const GRID_UM: f64 = 250.0;

/// Draws the page.
pub(super) fn view_ui(ui: &mut Ui, settings: &mut Settings, palette: &Palette, requests: &mut Requests) {
    heading_ui(ui, "Appearance", palette);
    let mut theme = ui.ctx().theme();
    let hint = "Default: dark, so that the slide is the brightest part of the window";
    if row_ui(ui, "Theme", hint, theme == Theme::Dark, palette, |ui, _| {
        choices_ui(ui, &mut theme, &[(Theme::Dark, "Dark"), (Theme::Light, "Light")], palette);
    }) {
        theme = Theme::Dark;
    }
    if theme != ui.ctx().theme() {
        ui.ctx().set_theme(theme);
    }
    let scale = ui.ctx().zoom_factor();
    let mut percent = (scale * 100.0).round();
    let hint = "Size of text and controls, relative to the system's. Default: 100 %";
    let is_default = percent == 100.0;
    if row_ui(ui, "Size of text", hint, is_default, palette, |ui, name| {
        ui.add(
            number_field(&mut percent)
                .range(50.0..=300.0)
                .speed(1.0)
                .suffix(" %")
                .update_while_editing(false),
        )
        .labelled_by(name);
        for size in [100.0, 125.0, 150.0, 200.0] {
            choices_ui(ui, &mut percent, &[(size, &format!("{} %", decimal(size, 0)))], palette);
        }
    }) {
        percent = 100.0;
    }
    if (percent / 100.0 - scale).abs() > 0.004 {
        ui.ctx().set_zoom_factor(percent / 100.0);
    }

    heading_ui(ui, "Units and numbers", palette);
    let units = [
        (LengthUnit::Automatic, "µm or mm"),
        (LengthUnit::Micrometres, "µm"),
        (LengthUnit::Millimetres, "mm"),
    ];
    let hint = "Unit of lengths and areas on the screen. Default: µm for what is small, mm for what is large";
    let is_default = settings.length_unit == LengthUnit::default();
    if row_ui(ui, "Unit of length", hint, is_default, palette, |ui, _| {
        choices_ui(ui, &mut settings.length_unit, &units, palette);
    }) {
        settings.length_unit = LengthUnit::default();
    }
    number_format_ui(ui, settings, palette);
    let hint = "Distance between the lines of the grid. Default: a round length that suits the magnification";
    let is_default = settings.grid_um.is_none();
    if row_ui(ui, "Grid spacing", hint, is_default, palette, |ui, name| {
        let mut fixed = settings.grid_um.is_some();
        choices_ui(ui, &mut fixed, &[(false, "Automatic"), (true, "Fixed")], palette);
        match (fixed, &mut settings.grid_um) {
            (true, Some(um)) => {
                let number = number_field(um).range(1.0..=1e5).speed(1.0).max_decimals(1).suffix(" µm");
                ui.add(number).labelled_by(name);
            }
            (true, none) => *none = Some(GRID_UM),
            (false, any) => *any = None,
        }
    }) {
        settings.grid_um = None;
    }

    heading_ui(ui, "Drawing", palette);
    let mut sensitivity = settings.wand_sensitivity();
    let hint = "How closely the colours that the wand takes have to agree: more selects less. Default: 1.5";
    let is_default = settings.wand_sensitivity.is_none();
    if row_ui(ui, "Sensitivity of the wand", hint, is_default, palette, |ui, name| {
        ui.add(Slider::new(&mut sensitivity, WAND_RANGE).max_decimals(1).custom_parser(number_format::read))
            .labelled_by(name);
    }) {
        sensitivity = WAND_SENSITIVITY;
    }
    settings.wand_sensitivity = Some(sensitivity).filter(|value| (value - WAND_SENSITIVITY).abs() > 0.01);

    heading_ui(ui, "Hints", palette);
    ui.horizontal(|ui| {
        if ui.button("Show first steps again").clicked() {
            requests.action(WindowAction::ShowFirstSteps);
            (settings.first_steps_done, settings.click_explained) = (false, false);
        }
    });
    note_ui(ui, "Shows the three first steps, and the hint after the first search.", palette);
}

/// Draws the choice of the number format.
fn number_format_ui(ui: &mut Ui, settings: &mut Settings, palette: &Palette) {
    let example = |style: NumberStyle| style.written("12345.6");
    let system = format!("As the system: {}", example(number_format::system_number_style()));
    let hint = "Decimal sign and separator of thousands on the screen and in reports. Tables (CSV, JSON) always have a \
                decimal point. Default: as the language of the system has it";
    let style = &mut settings.number_style;
    if row_ui(ui, "Number format", hint, style.is_none(), palette, |ui, name| {
        let shown = style.map_or_else(|| system.clone(), example);
        let list = ComboBox::from_id_salt("number format").selected_text(shown).width(240.0);
        let list = list.show_ui(ui, |ui| {
            ui.selectable_value(style, None, system.as_str());
            for choice in NumberStyle::ALL {
                ui.selectable_value(style, Some(choice), example(choice));
            }
        });
        list.response.labelled_by(name);
    }) {
        settings.number_style = None;
    }
}
