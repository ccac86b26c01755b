//! Colour settings of the view, in a small card over the canvas so that changes are visible on the slide at
//! once.

mod channels;
mod stains;

use egui::{Button, Pos2, Rect, RichText, Slider, Ui, Vec2};

use super::card::card_ui;
use super::chip_ui;
use crate::geometry::Level0Rect;
use crate::number_format;
use crate::session::{Profile, Session};
use crate::ui::actions::ViewAction;
use crate::ui::app::Requests;
use crate::ui::slide_view::Appearance;
use crate::ui::theme::Palette;

pub use stains::stain_type_ui;

/// Width of the card in points.
const WIDTH: f32 = 312.0;

/// State of the card.
#[derive(Default)]
pub struct AppearanceCard {
    channels: channels::ChannelDraft,
}

/// What the card shows and changes.
pub struct ShownColours<'a> {
    /// State of the card.
    pub card: &'a mut AppearanceCard,
    /// The colour settings.
    pub appearance: &'a mut Appearance,
    /// The part of the active slide that is in view, in level-0 pixels.
    pub field: Option<Level0Rect>,
}

/// Draws the card with its upper right corner at `corner`; returns the rectangle that it covers.
pub fn appearance_ui(
    ui: &mut Ui,
    corner: Pos2,
    shown: ShownColours<'_>,
    session: &Session,
    palette: &Palette,
    requests: &mut Requests,
) -> Rect {
    let ShownColours { card, appearance, field } = shown;
    let title = ("Brightness/contrast", WIDTH);
    card_ui(ui, corner, title, ViewAction::ToggleAppearance, palette, requests, |ui, requests| {
        if session.active().is_some_and(|slide| slide.source.info().is_fluorescence()) {
            channels::channels_ui(ui, &mut card.channels, session, palette, requests);
        } else {
            stains::stains_ui(ui, appearance, field, session, palette, requests);
            profile_ui(ui, appearance, session, palette);
        }
        ui.add_space(8.0);
        tone_ui(ui, appearance, palette);
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            ui.label(RichText::new("Beyond 1:1").color(palette.weak));
            for (smooth, name) in [(false, "Pixels"), (true, "Smooth")] {
                choice_ui(ui, &mut appearance.smooth, smooth, name, palette);
            }
        });
        ui.add_space(8.0);
        let own = *appearance == Appearance { smooth: appearance.smooth, ..Appearance::default() };
        if ui.add_enabled(!own, Button::new("Reset to original colours")).clicked() {
            appearance.reset();
        }
    })
}

fn choice_ui<T: PartialEq>(ui: &mut Ui, current: &mut T, value: T, name: &str, palette: &Palette) {
    if chip_ui(ui, name, *current == value, palette).clicked() {
        *current = value;
    }
}

/// Draws the switch for the slide's colour profile.
fn profile_ui(ui: &mut Ui, appearance: &mut Appearance, session: &Session, palette: &Palette) {
    let hint = match session.active().map(|slide| &slide.profile) {
        _ if !appearance.profile => "off: colours as stored",
        _ if !appearance.wants_profile() => "applies to original colours only",
        Some(Profile::Known(_)) => "on: the slide's embedded profile",
        Some(Profile::None) => "this slide has no profile",
        _ => "reading…",
    };
    ui.horizontal_wrapped(|ui| {
        ui.checkbox(&mut appearance.profile, "Colour profile");
        ui.label(RichText::new(hint).small().color(palette.weak));
    });
}

fn tone_ui(ui: &mut Ui, appearance: &mut Appearance, palette: &Palette) {
    let default = Appearance::default();
    egui::Grid::new("tone").num_columns(2).spacing(Vec2::new(10.0, 4.0)).show(ui, |ui| {
        ui.spacing_mut().slider_width = 120.0;
        // Returns whether to reset the value.
        let mut line = |name: &str, slider: Slider<'_>| {
            ui.label(RichText::new(name).color(palette.weak));
            let response =
                ui.add(slider.clamping(egui::SliderClamping::Always).custom_parser(number_format::read));
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Slider, true, name));
            ui.end_row();
            response.on_hover_text("Double-click to reset").double_clicked()
        };
        let mut percent = appearance.brightness * 100.0;
        let slider = Slider::new(&mut percent, -100.0..=100.0).suffix(" %").fixed_decimals(0);
        let reset = line("Brightness", slider);
        appearance.brightness = if reset { default.brightness } else { percent.round() / 100.0 };
        for (name, value, reset_to) in [
            ("Contrast", &mut appearance.contrast, default.contrast),
            ("Gamma", &mut appearance.gamma, default.gamma),
        ] {
            if line(name, Slider::new(value, 0.25..=4.0).logarithmic(true).fixed_decimals(2)) {
                *value = reset_to;
            }
        }
    });
}
