//! The menu of the right button on a slide.

use egui::{Modifiers, Response, RichText, Ui};
use egui_material_icons::icons;

use super::matches::menu::judgement_items_ui;
use super::menu_item_ui;
use super::position_dialog::point_text;
use super::tools::menu_entry_ui;
use crate::geometry::Level0Point;
use crate::query::Match;
use crate::session::{QueryCommand, Session};
use crate::slide::SlideId;
use crate::ui::actions::{self, Action, SearchAction, SlideAction, ViewAction};
use crate::ui::app::{Requests, slide_name};
use crate::ui::theme::{self, Palette};

/// Width of the menu in points.
const WIDTH: f32 = 270.0;

/// The menu, open or not.
#[derive(Debug, Default)]
pub struct CanvasMenu {
    /// Where it was opened.
    at: Option<(SlideId, Level0Point)>,
    is_open: bool,
    /// Whether the last press of a mouse button closed the menu.
    closed_by_press: bool,
}

impl CanvasMenu {
    /// Begins a frame; `pressed` is whether a mouse button was pressed in it.
    pub fn begin_frame(&mut self, pressed: bool) {
        if pressed {
            self.closed_by_press = self.is_open;
        }
        self.is_open = false;
    }

    /// Whether a click only closes the menu.
    pub fn takes_click(&self) -> bool {
        self.closed_by_press
    }

    /// Draws the menu of the canvas that `response` is of. `hovered` is the position under the pointer. Returns the position
    /// that the user wants tissue similar to.
    pub fn ui(
        &mut self,
        response: &Response,
        (slide, hovered): (&SlideId, Option<Level0Point>),
        session: &Session,
        requests: &mut Requests,
    ) -> Option<Level0Point> {
        if response.secondary_clicked() {
            self.at = hovered.map(|at| (slide.clone(), at));
        }
        let at = self.at.as_ref().filter(|(of, _)| of == slide).map(|(_, at)| *at);
        let mut found = None;
        let shown = response.context_menu(|ui| {
            ui.set_min_width(WIDTH);
            found = at.and_then(|at| tissue_ui(ui, slide, at, session, requests));
            for (index, group) in GROUPS.into_iter().enumerate() {
                if index > 0 || at.is_some() {
                    ui.separator();
                }
                group.iter().for_each(|action| menu_entry_ui(ui, actions::entry(*action), session, requests));
            }
        });
        self.is_open |= shown.is_some();
        found
    }
}

/// Commands on the slide and the view.
const GROUPS: [&[Action]; 3] = [
    &[Action::View(ViewAction::Fit), Action::View(ViewAction::ZoomToPixels)],
    &[Action::View(ViewAction::Copy), Action::View(ViewAction::Save)],
    &[Action::Slides(SlideAction::Properties)],
];

/// Draws the commands on the tissue at `point`; returns it if the user wants similar tissue.
fn tissue_ui(
    ui: &mut Ui,
    slide: &SlideId,
    point: Level0Point,
    session: &Session,
    requests: &mut Requests,
) -> Option<Level0Point> {
    let entry = actions::entry(SearchAction::FindSimilar);
    let shortcut = entry.shortcut_label(ui.ctx()).unwrap_or_default();
    let found = menu_item_ui(ui, entry.icon, entry.name, &shortcut, entry.tooltip).then_some(point);
    if let Some(query) = session.query() {
        let click = |modifier| format!("{} + click", ui.ctx().format_modifiers(modifier));
        let same = (icons::ICON_ADD_CIRCLE, "Add as example", click(Modifiers::SHIFT));
        let different = (icons::ICON_DO_NOT_DISTURB_ON, "Add as negative example", click(Modifiers::COMMAND));
        for (is_positive, (icon, name, shortcut)) in [(true, same), (false, different)] {
            let hint = match is_positive {
                true => "Also search for tissue like this",
                false => "Search for tissue unlike this",
            };
            if menu_item_ui(ui, icon, name, &shortcut, hint) {
                let slide = slide.clone();
                requests.command(QueryCommand::AddExample { slide, point, is_positive });
            }
        }
        let matches = query.answer.as_ref().map(|answer| answer.matches.as_slice()).unwrap_or_default();
        let is_here = |found: &Match| found.slide == *slide && found.rect.contains(point);
        if let Some(rank) = matches.iter().position(is_here) {
            let palette = Palette::current(ui.ctx());
            let found = &matches[rank];
            ui.separator();
            let title = RichText::new(format!("Match {}", found.rank)).small().family(theme::bold());
            ui.label(title.color(palette.weak));
            judgement_items_ui(ui, (session, query), (rank, found), &palette, requests);
        }
    }
    let copy = actions::entry(ViewAction::CopyPosition);
    let hint = "Copy the name of the slide and this position in level-0 pixels";
    if menu_item_ui(ui, copy.icon, copy.name, "", hint) {
        ui.copy_text(point_text(&slide_name(session, slide), point));
        requests.notice = Some("Position copied to the clipboard.".to_owned());
    }
    found
}
