//! The start view on the canvas while no slide is open, and the hint while files are dragged over the window.

use std::path::PathBuf;

use egui::{
    Align2, Area, Button, Color32, Context, Frame, Id, Margin, Order, Response, RichText, ScrollArea, Stroke,
    StrokeKind, Ui, Vec2,
};
use egui_material_icons::icons;

use super::dialogs::recent_row_ui;
use crate::ui::actions::{self, Action, SlideAction};
use crate::ui::app::Requests;
use crate::ui::panels::first_steps::Step;
use crate::ui::theme::{self, Palette};

/// Number of recent paths shown.
const RECENT_SHOWN: usize = 6;

/// Width of a button that opens something, in points.
const BUTTON_WIDTH: f32 = 130.0;
/// Width below which the buttons are one below the other, in points.
const ROW_WIDTH: f32 = 3.0 * BUTTON_WIDTH + 16.0;

/// Draws the start view with the recent paths.
pub fn welcome_ui(ui: &mut Ui, recent: &[PathBuf], palette: &Palette, requests: &mut Requests) {
    let rect = ui.max_rect();
    let listed = recent.len().min(RECENT_SHOWN);
    let size = Vec2::new(460.0, 300.0 + if listed > 0 { 34.0 + 41.0 * listed as f32 } else { 0.0 });
    let size = size.min(rect.size());
    let place = Align2::CENTER_CENTER.align_size_within_rect(size, rect);
    ui.scope_builder(egui::UiBuilder::new().max_rect(place), |ui| {
        // In a low or narrow window the page scrolls.
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            ui.vertical_centered(|ui| {
                ui.label(icons::ICON_BIOTECH.rich_text().size(44.0).color(palette.weak));
                ui.add_space(6.0);
                ui.label(
                    RichText::new("Open a slide to begin")
                        .family(theme::bold())
                        .size(20.0)
                        .color(palette.strong),
                );
                ui.add_space(2.0);
                ui.label(
                    RichText::new("Drop slides, folders or a project anywhere on this window.")
                        .color(palette.weak),
                );
                ui.label(
                    RichText::new("SVS, NDPI, MRXS, SCN, BIF, CZI, DICOM, TIFF · PNG, JPEG, BMP, WebP")
                        .small()
                        .color(palette.weak),
                );
                ui.add_space(16.0);
                let mut buttons = egui::Rect::NOTHING;
                let is_narrow = ui.available_width() < ROW_WIDTH;
                let mut add_buttons = |ui: &mut Ui| {
                    for (action, primary) in [
                        (Action::Slides(SlideAction::OpenFiles), true),
                        (Action::Slides(SlideAction::OpenFolder), false),
                        (Action::Slides(SlideAction::OpenPath), false),
                    ] {
                        let response = open_button_ui(ui, action, primary, palette);
                        buttons |= response.rect;
                        if response.clicked() {
                            requests.action(action);
                        }
                    }
                };
                if is_narrow {
                    ui.vertical_centered(&mut add_buttons);
                } else {
                    ui.horizontal(|ui| {
                        let row = 3.0 * BUTTON_WIDTH + 2.0 * ui.spacing().item_spacing.x;
                        ui.add_space(((ui.available_width() - row) / 2.0).max(0.0));
                        add_buttons(ui);
                    });
                }
                ui.add_space(8.0);
                let entry = actions::entry(SlideAction::OpenDemonstration);
                let text = RichText::new(entry.name).color(palette.accent);
                let button = ui.add(Button::new((entry.icon.rich_text().color(palette.accent), text)));
                button.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, entry.name));
                // Where panels leave no room for both, the page says enough by itself.
                if !is_narrow {
                    Step::Open.is_at(ui.ctx(), buttons | button.rect);
                }
                if button.on_hover_text(entry.tooltip).clicked() {
                    requests.action(entry.action);
                }
                if listed > 0 {
                    ui.add_space(16.0);
                    ui.label(RichText::new("Recent").small().color(palette.weak));
                    ui.spacing_mut().item_spacing.y = 1.0;
                    for path in &recent[..listed] {
                        recent_row_ui(ui, path, false, palette, requests);
                    }
                }
            })
        });
    });
}

fn open_button_ui(ui: &mut Ui, action: Action, is_primary: bool, palette: &Palette) -> Response {
    let entry = actions::entry(action);
    let color = if is_primary { palette.on_accent } else { palette.text };
    let mut button =
        Button::new(RichText::new(entry.name).color(color)).min_size(Vec2::new(BUTTON_WIDTH, 34.0));
    if is_primary {
        button = button.fill(palette.accent).stroke(Stroke::NONE);
    }
    ui.add(button).on_hover_text(entry.hint(ui.ctx()))
}

/// Draws the hint over everything while files are dragged over the window.
pub fn drop_hint_ui(context: &Context, palette: &Palette) {
    let screen = context.content_rect();
    let painter = context.layer_painter(egui::LayerId::new(Order::Foreground, Id::unique("drop hint")));
    painter.rect_filled(screen, 0.0, Color32::from_black_alpha(140));
    painter.rect_stroke(screen.shrink(12.0), 12.0, Stroke::new(2.0, palette.accent), StrokeKind::Inside);
    Area::new(Id::unique("drop hint text"))
        .order(Order::Tooltip)
        .anchor(Align2::CENTER_CENTER, Vec2::ZERO)
        .show(context, |ui| {
            Frame::new().fill(palette.panel).corner_radius(10).inner_margin(Margin::symmetric(28, 18)).show(
                ui,
                |ui| {
                    ui.label(
                        RichText::new("Drop to open").family(theme::bold()).size(18.0).color(palette.strong),
                    );
                },
            );
        });
}
