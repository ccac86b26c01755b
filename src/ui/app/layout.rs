//! Layout of the window's panels.

use egui::scroll_area::ScrollBarVisibility;
use egui::{Frame, Panel, ScrollArea, Ui, Vec2};

use super::{App, Requests};
use crate::ui::panels::first_steps::Step;
use crate::ui::panels::{self, annotation_tools};
use crate::ui::theme::Palette;

/// Width of the window, in points, below which only one of the panels at its sides is shown: both, the tools, and a strip
/// of the slide.
const ROOM_FOR_BOTH_SIDES: f32 = 790.0;

/// Least width of the window in points in which the report or the page of encoders stands between the panels.
const ROOM_FOR_PANELS: f32 = 980.0;

/// Height of the list of slides above the annotations in points: its header, a slide, and the progress.
const SLIDES_HEIGHT: f32 = 180.0;

impl App {
    /// Shows all panels, the canvas or the report, and the cards over it.
    pub(super) fn panels_ui(&mut self, ui: &mut Ui, palette: &Palette, requests: &mut Requests) {
        let bar = Frame::new().fill(palette.panel).inner_margin(egui::Margin::symmetric(10, 6));
        Panel::top("tools").frame(bar).show_separator_line(true).show(ui, |ui| {
            panels::tools::tools_ui(ui, &self.session, &self.chrome, &self.canvas.panes, palette, requests);
        });
        let bar = Frame::new().fill(palette.panel).inner_margin(egui::Margin::symmetric(12, 4));
        Panel::bottom("status").frame(bar).show(ui, |ui| {
            let active = self.session.active().map(|slide| slide.id());
            let hovered =
                self.canvas.hovered.as_ref().filter(|(slide, _)| Some(slide) == active).map(|(_, at)| *at);
            panels::status::status_ui(ui, &self.session, self.canvas.panes.view(), hovered, palette);
        });
        let side = Frame::new().fill(palette.panel);
        // A page takes the place of the panels where the window is too narrow for both.
        let is_page = self.chrome.encoders_open || self.chrome.report_open;
        let has_room = !is_page || ui.available_width() >= ROOM_FOR_PANELS;
        let annotations_open = self.chrome.annotations_open && self.session.active().is_some();
        // Where both would leave hardly any of the slide, as with large text, there is one: the matches of a query, otherwise
        // the slides.
        let is_one = ui.available_width() < ROOM_FOR_BOTH_SIDES;
        let has_query = self.session.query().is_some();
        let has_left = self.chrome.slides_open || annotations_open;
        let gives_way = is_one && has_query && self.chrome.matches_open;
        if has_room && has_left && !gives_way {
            Panel::left("slides").frame(side).default_size(280.0).size_range(220.0..=420.0).show(ui, |ui| {
                if !self.chrome.slides_open {
                    self.chrome.annotations.ui(ui, &self.session, palette, requests);
                    return;
                }
                if annotations_open {
                    // A slide of the list stays in view.
                    let most = (ui.available_height() - SLIDES_HEIGHT).max(150.0);
                    let below = Panel::bottom("annotations").frame(side).resizable(true);
                    below.default_size(360.0).size_range(most.min(260.0)..=most).show(ui, |ui| {
                        // It stays as high as the user has made it, whatever it contains.
                        ui.set_min_height(ui.available_height());
                        self.chrome.annotations.ui(ui, &self.session, palette, requests);
                    });
                }
                panels::slides::slides_ui(ui, &self.session, &self.canvas.slides, palette, requests);
            });
        }
        if self.session.active().is_some() {
            let strip = Frame::new().fill(palette.panel).inner_margin(egui::Margin::symmetric(4, 8));
            Panel::left("annotation tools").frame(strip).exact_size(annotation_tools::WIDTH).show(ui, |ui| {
                let (tool, open) = (self.canvas.annotator.tool(), self.chrome.annotations_open);
                // In a low window the tools scroll with the wheel.
                let hidden = ScrollBarVisibility::AlwaysHidden;
                ScrollArea::vertical().scroll_bar_visibility(hidden).show(ui, |ui| {
                    annotation_tools::annotation_tools_ui(ui, &self.session, tool, open, palette, requests);
                });
            });
        }
        if has_room && self.chrome.matches_open && (!is_one || has_query || !has_left) {
            Panel::right("matches").frame(side).default_size(300.0).size_range(250.0..=460.0).show(
                ui,
                |ui| {
                    panels::matches::matches_ui(
                        ui,
                        &mut self.chrome.matches,
                        &self.session,
                        &mut self.canvas.slides,
                        palette,
                        requests,
                    );
                },
            );
        }
        if self.chrome.training_open && self.chrome.training.is_docked {
            let widest = (ui.available_width() - 240.0).max(420.0);
            let panel = Panel::right("training").frame(side).resizable(true);
            panel.default_size(480.0).size_range(420.0..=widest).show(ui, |ui| {
                let panel = &mut self.chrome.training;
                self.chrome.training_open =
                    panels::training::docked_training_ui(ui, panel, &self.session, palette, requests);
            });
        }
        let canvas = Frame::new().fill(palette.canvas);
        egui::CentralPanel::default().frame(canvas).show(ui, |ui| {
            let rect = ui.max_rect();
            self.chrome.canvas = rect;
            if self.session.active().is_some() {
                Step::Find.is_at(ui.ctx(), rect);
            }
            if self.chrome.encoders_open {
                self.canvas.hovered = None;
                let page = &mut self.chrome.encoders;
                panels::encoders::encoders_ui(ui, page, &self.session, palette, requests);
            } else if self.chrome.report_open {
                self.canvas.hovered = None;
                let (report, renderer) = (&mut self.report.view, &self.report.renderer);
                let shown = &mut self.canvas.slides;
                panels::report::report_ui(ui, &self.session, report, renderer, shown, palette, requests);
            } else {
                self.canvas_ui(ui, palette, requests);
            }
            // Cards are stacked in the upper right corner.
            let mut corner = rect.right_top() + Vec2::new(-12.0, 12.0);
            // What is left of the cards, for messages.
            let mut free = rect;
            if self.chrome.appearance_open {
                let field = self.canvas.panes.view().field();
                let shown = panels::appearance::ShownColours {
                    card: &mut self.chrome.appearance_card,
                    appearance: &mut self.canvas.appearance,
                    field,
                };
                let card =
                    panels::appearance::appearance_ui(ui, corner, shown, &self.session, palette, requests);
                corner.y = card.bottom() + 8.0;
                free.max.x = free.max.x.min(card.left());
            }
            if self.chrome.tissue_settings_open {
                let shown = (&mut self.chrome.tissue_card, self.chrome.tissue_shown);
                let card = panels::tissue::tissue_ui(ui, corner, shown, &self.session, palette, requests);
                corner.y = card.bottom() + 8.0;
                free.max.x = free.max.x.min(card.left());
            }
            if !self.chrome.report_open
                && !self.chrome.encoders_open
                && !self.session.slides().is_empty()
                && let Some(legend) = self.legend_ui(ui, rect, corner, palette)
                && legend.left() > rect.center().x
                && legend.top() < rect.center().y
            {
                free.max.x = free.max.x.min(legend.left());
            }
            panels::messages::messages_ui(ui, free, &self.session, palette, requests);
            let now = ui.input(|input| input.time);
            if let Some((notice, _)) = self.chrome.notice.as_ref().filter(|(_, until)| now < *until) {
                panels::messages::notice_ui(ui, rect, notice, palette);
            }
        });
    }
}
