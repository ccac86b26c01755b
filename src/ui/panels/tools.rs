//! The toolbar at the top: menu, navigation and display options.

use egui::{Align, Button, Layout, RichText, ScrollArea, Ui};
use egui_material_icons::icons;

use super::{action_icon_ui, icon_button};
use crate::number_format::plain;
use crate::session::Session;
use crate::ui::actions::{self, Action, Entry, Group, SearchAction, SlideAction, ViewAction, WindowAction};
use crate::ui::app::{Chrome, Requests};
use crate::ui::panes::{Panes, Split};
use crate::ui::region_tool::RegionShape;
use crate::ui::slide_view::SlideView;
use crate::ui::theme::{self, Palette};

/// Minimum width of the bar in points for a search field instead of an icon.
const ROOM_FOR_SEARCH: f32 = 1210.0;
/// Minimum width of the bar in points for magnification buttons; the keyboard shortcuts always work.
const ROOM_FOR_POWERS: f32 = 1050.0;

/// Minimum width of the bar in points for the program's name and for buttons of commands that are used less often; with
/// large text the bar is narrower.
const ROOM_FOR_ALL: f32 = 860.0;

/// Width of a group of the menu, and its distance from the edges of a window that it fills, in points.
const MENU_WIDTH: f32 = 260.0;
const MENU_MARGIN: f32 = 14.0;

/// Magnifications with a button.
const POWERS: [f64; 5] = [2.5, 5.0, 10.0, 20.0, 40.0];

/// Draws the toolbar.
pub fn tools_ui(
    ui: &mut Ui,
    session: &Session,
    chrome: &Chrome,
    panes: &Panes,
    palette: &Palette,
    requests: &mut Requests,
) {
    let room = ui.available_width();
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        menu_ui(ui, session, palette, requests);
        if room >= ROOM_FOR_ALL {
            ui.label(RichText::new("histokin").family(theme::bold()).size(16.0).color(palette.strong));
            ui.add_space(10.0);
        }
        action_icon_ui(ui, SlideAction::OpenFiles, icons::ICON_FOLDER_OPEN, None, palette, requests);
        ui.add_enabled_ui(session.can_go_back(), |ui| {
            action_icon_ui(ui, SearchAction::Back, icons::ICON_ARROW_BACK, None, palette, requests);
        });
        if session.active().is_some() {
            gap_ui(ui);
            magnification_ui(ui, panes.view(), room >= ROOM_FOR_POWERS, palette, requests);
            gap_ui(ui);
            action_icon_ui(
                ui,
                ViewAction::ToggleTissue,
                icons::ICON_TEXTURE,
                Some(chrome.tissue_shown),
                palette,
                requests,
            );
            action_icon_ui(
                ui,
                ViewAction::ToggleHighlights,
                icons::ICON_HIGHLIGHT,
                Some(chrome.highlights_shown),
                palette,
                requests,
            );
            let (heat, region) = (Some(chrome.heat_shown), Some(chrome.region_drawn));
            action_icon_ui(ui, SearchAction::ToggleHeatMap, icons::ICON_GRADIENT, heat, palette, requests);
            let rect = Action::Search(SearchAction::DrawRegion(RegionShape::Rect));
            action_icon_ui(ui, rect, icons::ICON_SELECT, region, palette, requests);
            action_icon_ui(
                ui,
                ViewAction::ToggleAppearance,
                icons::ICON_TUNE,
                Some(chrome.appearance_open),
                palette,
                requests,
            );
            split_ui(ui, panes, palette, requests);
            if room >= ROOM_FOR_ALL {
                action_icon_ui(ui, ViewAction::Save, icons::ICON_PHOTO_CAMERA, None, palette, requests);
                action_icon_ui(ui, SlideAction::Properties, icons::ICON_INFO, None, palette, requests);
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            action_icon_ui(
                ui,
                WindowAction::ToggleMatches,
                icons::ICON_RIGHT_PANEL_OPEN,
                Some(chrome.matches_open),
                palette,
                requests,
            );
            action_icon_ui(
                ui,
                WindowAction::ToggleSlides,
                icons::ICON_LEFT_PANEL_OPEN,
                Some(chrome.slides_open),
                palette,
                requests,
            );
            action_icon_ui(ui, WindowAction::ToggleTheme, icons::ICON_CONTRAST, None, palette, requests);
            action_icon_ui(ui, WindowAction::ToggleHelp, icons::ICON_HELP, None, palette, requests);
            ui.add_space(6.0);
            if room >= ROOM_FOR_SEARCH {
                search_ui(ui, palette, requests);
            } else {
                action_icon_ui(ui, WindowAction::TogglePalette, icons::ICON_SEARCH, None, palette, requests);
            }
        });
    });
}

fn gap_ui(ui: &mut Ui) {
    ui.add_space(8.0);
    ui.add(egui::Separator::default().vertical().spacing(4.0).shrink(6.0));
    ui.add_space(8.0);
}

fn menu_ui(ui: &mut Ui, session: &Session, palette: &Palette, requests: &mut Requests) {
    let button = icon_button(ui, icons::ICON_MENU, "menu", "All commands", palette.text);
    egui::Popup::menu(&button).show(|ui| {
        ui.set_min_width(220.0);
        for group in Group::ALL {
            ui.menu_button(group.name(), |ui| {
                ui.set_min_width(MENU_WIDTH);
                // A group may have more commands than the window has room for.
                let room = ui.ctx().content_rect().height() - 2.0 * MENU_MARGIN;
                ScrollArea::vertical().max_height(room).min_scrolled_height(room).show(ui, |ui| {
                    ui.set_min_width(MENU_WIDTH);
                    for entry in group.entries() {
                        menu_entry_ui(ui, entry, session, requests);
                    }
                });
            });
        }
    });
}

/// Draws a command of the menu; one that lacks something is disabled and says what.
pub(super) fn menu_entry_ui(ui: &mut Ui, entry: &Entry, session: &Session, requests: &mut Requests) {
    let mut button = Button::new((entry.icon.rich_text().size(17.0), entry.name)).frame_when_inactive(false);
    if let Some(shortcut) = entry.shortcut_label(ui.ctx()) {
        button = button.shortcut_text(shortcut);
    }
    let obstacle = entry.action.obstacle(session);
    let shown = ui.add_enabled(obstacle.is_none(), button).on_hover_text(entry.tooltip);
    let shown = shown.on_disabled_hover_text(obstacle.unwrap_or_default()).accessible_name(entry.name);
    if shown.gained_focus() {
        shown.scroll_to_me(None);
    }
    if shown.clicked() {
        requests.action(entry.action);
        ui.close();
    }
}

fn magnification_ui(
    ui: &mut Ui,
    view: &SlideView,
    has_powers: bool,
    palette: &Palette,
    requests: &mut Requests,
) {
    action_icon_ui(ui, ViewAction::Fit, icons::ICON_FIT_SCREEN, None, palette, requests);
    action_icon_ui(ui, ViewAction::ZoomOut, icons::ICON_REMOVE, None, palette, requests);
    let current = view.magnification();
    // The magnification is unknown until the slide has been drawn once.
    let label = if current.is_known() { current.short_label() } else { String::new() };
    let text = RichText::new(label).family(theme::bold()).color(palette.strong);
    let hint =
        format!("Magnification: {}\nScreen pixels per slide pixel: {}", current.label(), current.percent());
    ui.add_sized([64.0, 30.0], egui::Label::new(text)).on_hover_text(hint);
    action_icon_ui(ui, ViewAction::ZoomIn, icons::ICON_ADD, None, palette, requests);
    // The buttons stay in place while a slide is loading.
    if !has_powers || current.is_known() && !current.is_calibrated() {
        return;
    }
    ui.add_space(4.0);
    for power in POWERS {
        let action = Action::View(ViewAction::ZoomTo(power));
        let is_current = current.is_at(power);
        let color = if is_current { palette.accent } else { palette.text };
        let text = RichText::new(format!("{}×", plain(power))).color(color);
        let hint = actions::entry(action).hint(ui.ctx());
        let button = Button::new(text).frame_when_inactive(is_current);
        if ui
            .scope(|ui| {
                ui.spacing_mut().button_padding.x = 7.0;
                ui.add(button).on_hover_text(hint).clicked()
            })
            .inner
        {
            requests.action(action);
        }
    }
}

/// Draws the choice of panes, and whether they are linked.
fn split_ui(ui: &mut Ui, panes: &Panes, palette: &Palette, requests: &mut Requests) {
    let current = actions::entry(ViewAction::Split(panes.split()));
    let color = if panes.split() == Split::ONE { palette.weak } else { palette.accent };
    let button = icon_button(ui, current.icon, "panes", "Split the view into panes", color);
    egui::Popup::menu(&button).show(|ui| {
        ui.set_min_width(180.0);
        for split in Split::ALL {
            let entry = actions::entry(ViewAction::Split(split));
            let mut button =
                Button::new((entry.icon.rich_text().size(17.0), entry.name)).frame_when_inactive(false);
            if let Some(shortcut) = entry.shortcut_label(ui.ctx()) {
                button = button.shortcut_text(shortcut);
            }
            if ui.add(button).on_hover_text(entry.tooltip).accessible_name(entry.name).clicked() {
                requests.action(entry.action);
                ui.close();
            }
        }
    });
    if panes.split() != Split::ONE {
        action_icon_ui(ui, ViewAction::LinkPanes, icons::ICON_LINK, Some(panes.linked), palette, requests);
    }
}

fn search_ui(ui: &mut Ui, palette: &Palette, requests: &mut Requests) {
    let entry = actions::entry(WindowAction::TogglePalette);
    let text = RichText::new("Search commands").color(palette.weak);
    let button = Button::new((icons::ICON_SEARCH.rich_text().size(16.0).color(palette.weak), text))
        .shortcut_text(
            RichText::new(entry.shortcut_label(ui.ctx()).unwrap_or_default()).color(palette.weak).small(),
        )
        .min_size(egui::Vec2::new(200.0, 28.0));
    if ui.add(button).on_hover_text(entry.tooltip).clicked() {
        requests.action(WindowAction::TogglePalette);
    }
}
