//! The help sheet: gestures, all commands with their keys, and the way to the guide.

use egui::{Align, Layout, RichText, ScrollArea, Ui, Vec2};

use super::dialog_width;
use super::dialogs::title_ui;
use crate::ui::actions::{self, Group, Keys, WindowAction, label};
use crate::ui::app::Requests;
use crate::ui::settings::{FindSimilar, Settings, Trackpad};
use crate::ui::theme::{self, Palette};

/// Width of the keys, in points.
const KEYS_WIDTH: f32 = 122.0;

/// Draws the sheet; returns whether to close it.
pub fn help_ui(ui: &mut Ui, palette: &Palette, requests: &mut Requests) -> bool {
    dialog_width(ui, 800.0);
    title_ui(ui, "Help", palette);
    let room = (ui.ctx().content_rect().height() - 180.0).max(0.0);
    let keys = Keys::current(ui.ctx());
    ScrollArea::vertical().max_height(room).min_scrolled_height(room).show(ui, |ui| {
        ui.spacing_mut().interact_size.y = 0.0;
        ui.spacing_mut().item_spacing.y = 5.0;
        ui.columns(2, |columns| {
            let gestures = gestures(&Settings::current(columns[0].ctx()));
            section_ui(&mut columns[0], "On the slide", palette, gestures);
            for group in Group::ALL {
                let column = usize::from(!matches!(group, Group::View | Group::Slides));
                let ui = &mut columns[column];
                let lines: Vec<_> = group
                    .entries()
                    .iter()
                    .map(|entry| {
                        let keys = keys.of(entry).iter().map(|shortcut| label(ui.ctx(), shortcut));
                        (keys.collect::<Vec<_>>().join(", "), entry.name)
                    })
                    .collect();
                section_ui(ui, group.name(), palette, lines);
            }
        });
    });
    ui.add_space(8.0);
    ui.horizontal(|ui| {
        for action in [WindowAction::OpenGuide, WindowAction::ToggleSettings] {
            let entry = actions::entry(action);
            let name = if action == WindowAction::ToggleSettings { "Change keys…" } else { entry.name };
            if ui.button(name).on_hover_text(entry.hint(ui.ctx())).clicked() {
                requests.action(entry.action);
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let closed = ui.button("Close").clicked();
            for action in [WindowAction::ToggleAbout, WindowAction::CopyDiagnostics] {
                let entry = actions::entry(action);
                if ui.button(entry.name).on_hover_text(entry.hint(ui.ctx())).clicked() {
                    requests.action(entry.action);
                }
            }
            closed
        })
        .inner
    })
    .inner
}

/// What mouse and trackpad do on the slide.
fn gestures(settings: &Settings) -> Vec<(String, &'static str)> {
    let mut gestures = vec![("Drag, middle button", "pan"), ("Wheel, pinch", "zoom at the pointer")];
    gestures.push(match settings.trackpad {
        Trackpad::Pan => ("Two fingers", "pan; with Ctrl zoom"),
        Trackpad::Zoom => ("Two fingers", "zoom at the pointer"),
    });
    gestures.extend(match settings.find_similar {
        FindSimilar::Click => [("Click", "find similar tissue"), ("Double-click", "zoom in")],
        FindSimilar::DoubleClick => {
            [("Click", "select an annotation"), ("Double-click", "find similar tissue")]
        }
        FindSimilar::Key => [("Click", "select an annotation"), ("Double-click", "zoom in")],
    });
    gestures.extend([
        ("Shift + click", "add the tile to the query"),
        ("Ctrl + click", "add it as a negative example"),
        ("Right click", "menu of what can be done there"),
        ("Space + drag", "pan with any tool"),
        ("Alt + drag", "rotate the slide; snaps to multiples of 90°"),
        ("Alt + wheel", "rotate about the pointer"),
        ("Overview", "click or drag to navigate (lower right corner)"),
    ]);
    gestures.into_iter().map(|(gesture, text)| (gesture.to_owned(), text)).collect()
}

fn section_ui(
    ui: &mut Ui,
    title: &str,
    palette: &Palette,
    lines: impl IntoIterator<Item = (String, &'static str)>,
) {
    ui.label(RichText::new(title).family(theme::bold()).color(palette.accent));
    for (key, text) in lines {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 10.0;
            ui.allocate_ui_with_layout(
                Vec2::new(KEYS_WIDTH, 18.0),
                Layout::left_to_right(Align::Center),
                |ui| {
                    ui.set_min_width(KEYS_WIDTH);
                    ui.label(RichText::new(key).small().color(palette.weak));
                },
            );
            ui.add(egui::Label::new(RichText::new(text).color(palette.text)).wrap());
        });
    }
    ui.add_space(10.0);
}
