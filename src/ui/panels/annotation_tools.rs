//! The toolbar for annotations beside the slide.

use egui::{Color32, Sense, Stroke, Ui, Vec2};

use super::action_icon_ui;
use super::annotations::class_choice_ui;
use crate::annotation::UNCLASSIFIED;
use crate::session::{AnnotationCommand, Session, SlideAnnotations};
use crate::ui::actions::{self, Action, AnnotationAction};
use crate::ui::app::Requests;
use crate::ui::slide_view::Tool;
use crate::ui::theme::Palette;

/// Width of the toolbar in points.
pub const WIDTH: f32 = 42.0;

/// The tools in groups, from top to bottom.
const TOOLS: [&[Tool]; 4] = [
    &[Tool::Hand, Tool::Select],
    &[Tool::Point, Tool::Line, Tool::Polyline, Tool::Rectangle, Tool::Ellipse, Tool::Polygon],
    &[Tool::Brush, Tool::Wand, Tool::Eraser],
    &[Tool::Distance, Tool::Area],
];

/// Draws the toolbar; `panel_open` is whether the list of annotations is shown.
pub fn annotation_tools_ui(
    ui: &mut Ui,
    session: &Session,
    tool: Tool,
    panel_open: bool,
    palette: &Palette,
    requests: &mut Requests,
) {
    ui.vertical_centered(|ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        class_ui(ui, session, palette, requests);
        for group in TOOLS {
            ui.add_space(8.0);
            for one in group {
                let icon = actions::entry(AnnotationAction::Tool(*one)).icon;
                action_icon_ui(ui, AnnotationAction::Tool(*one), icon, Some(*one == tool), palette, requests);
            }
        }
        ui.add_space(8.0);
        let changes = session.active().and_then(|slide| session.annotations(slide.id()));
        for (action, title) in [
            (Action::Annotations(AnnotationAction::Undo), changes.and_then(SlideAnnotations::undo_title)),
            (Action::Annotations(AnnotationAction::Redo), changes.and_then(SlideAnnotations::redo_title)),
        ] {
            let is_undo = action == Action::Annotations(AnnotationAction::Undo);
            ui.add_enabled_ui(title.is_some() || is_undo && requests.undoes_judgement, |ui| {
                action_icon_ui(ui, action, actions::entry(action).icon, None, palette, requests);
            });
        }
        ui.add_space(8.0);
        let icon = actions::entry(AnnotationAction::ToggleList).icon;
        action_icon_ui(ui, AnnotationAction::ToggleList, icon, Some(panel_open), palette, requests);
    });
}

/// Draws the choice of the class for new annotations.
fn class_ui(ui: &mut Ui, session: &Session, palette: &Palette, requests: &mut Requests) {
    let class = session.annotation_class();
    let [r, g, b] = class.map_or(UNCLASSIFIED, |class| class.color);
    let name = class.map_or("No class", |class| class.name.as_str());
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(30.0), Sense::click());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "class of new annotations"));
    let ring = if response.hovered() { palette.strong } else { palette.line };
    ui.painter().circle(rect.center(), 9.0, Color32::from_rgb(r, g, b), Stroke::new(2.0, ring));
    egui::Popup::menu(&response).show(|ui| {
        if let Some(chosen) = class_choice_ui(ui, session, class) {
            requests.command(AnnotationCommand::ChooseClass(chosen));
        }
    });
    response.on_hover_text(format!("Class of new annotations: {name}"));
}
