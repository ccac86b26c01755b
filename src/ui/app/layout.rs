//! Layout of the window's panels.

use egui::scroll_area::ScrollBarVisibility;
use egui::{Frame, Margin, Panel, Rect, ScrollArea, Ui, Vec2};

use super::{App, Requests};
use crate::ui::panels::first_steps::Step;
use crate::ui::panels::{self, annotation_tools};
use crate::ui::theme::Palette;

/// Width of the window, in points, below which only one of the panels at its sides is shown: both, the tools, and a strip
/// of the slide.
const ROOM_FOR_BOTH_SIDES: f32 = 790.0;

/// Least width in points of the report or the page of encoders beside panels.
const PAGE_WIDTH: f32 = 600.0;

/// Height of the list of slides above the annotations in points: its header, a slide, and the progress.
const SLIDES_HEIGHT: f32 = 180.0;

/// Widths of the panels at the sides in points, until the user drags their edges: left and right.
pub(super) const SIDE_WIDTHS: [f32; 2] = [280.0, 300.0];

/// Which of the panels at the sides of the window are shown.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sides {
    left: bool,
    right: bool,
}

impl Sides {
    /// Those of `open` beside a page, as far as that leaves it [`PAGE_WIDTH`]. `width` is that of the window without the
    /// tools, and `widths` are those of the panels, in points.
    fn beside_page(open: Self, width: f32, widths: [f32; 2]) -> Self {
        let left = open.left && width - widths[0] >= PAGE_WIDTH;
        let taken = if left { widths[0] } else { 0.0 };
        Self { left, right: open.right && width - taken - widths[1] >= PAGE_WIDTH }
    }

    /// Those of `open` beside the slide. Where both would leave hardly any of the slide, as with large text, there is one: the
    /// matches of a query, otherwise the slides. `width` is that of the window in points.
    fn beside_slide(open: Self, width: f32, has_query: bool) -> Self {
        match open.left && open.right && width < ROOM_FOR_BOTH_SIDES {
            true => Self { left: !has_query, right: has_query },
            false => open,
        }
    }
}

impl App {
    /// Shows all panels, the canvas or the report, and the cards over it.
    pub(super) fn panels_ui(&mut self, ui: &mut Ui, palette: &Palette, requests: &mut Requests) {
        self.bars_ui(ui, palette, requests);
        let sides = self.sides(ui.available_width());
        if sides.left {
            self.left_ui(ui, palette, requests);
        }
        if self.session.active().is_some() {
            self.annotation_tools_ui(ui, palette, requests);
        }
        if sides.right {
            self.matches_ui(ui, palette, requests);
        }
        if self.chrome.training_open && self.chrome.training.is_docked {
            self.docked_training_ui(ui, palette, requests);
        }
        let canvas = Frame::new().fill(palette.canvas);
        egui::CentralPanel::default().frame(canvas).show(ui, |ui| {
            let canvas = ui.max_rect();
            self.page_ui(ui, palette, requests);
            let free = self.cards_ui(ui, canvas, palette, requests);
            self.chrome.canvas = canvas;
            self.chrome.free = free;
            if self.session.active().is_some() && !self.shows_page() {
                Step::Find.is_at(ui.ctx(), free);
            }
            panels::messages::messages_ui(ui, free, &self.session, palette, requests);
            let now = ui.input(|input| input.time);
            if let Some((notice, _)) = self.chrome.notice.as_ref().filter(|(_, until)| now < *until) {
                panels::messages::notice_ui(ui, self.hint_room(canvas), notice, palette);
            }
        });
    }

    /// Whether the report or the page of encoders takes the place of the slide.
    pub(super) fn shows_page(&self) -> bool {
        self.chrome.encoders_open || self.chrome.report_open
    }

    /// Which panels at the sides are shown in a window of `width` points.
    fn sides(&self, width: f32) -> Sides {
        let left = self.chrome.slides_open || self.annotations_open();
        let open = Sides { left, right: self.chrome.matches_open };
        match self.shows_page() {
            true => Sides::beside_page(open, width - annotation_tools::WIDTH, self.chrome.side_widths),
            false => Sides::beside_slide(open, width, self.session.query().is_some()),
        }
    }

    fn annotations_open(&self) -> bool {
        self.chrome.annotations_open && self.session.active().is_some()
    }

    /// Shows the toolbar and the status line.
    fn bars_ui(&mut self, ui: &mut Ui, palette: &Palette, requests: &mut Requests) {
        let bar = |x, y| Frame::new().fill(palette.panel).inner_margin(Margin::symmetric(x, y));
        Panel::top("tools").frame(bar(10, 6)).show_separator_line(true).show(ui, |ui| {
            panels::tools::tools_ui(ui, &self.session, &self.chrome, &self.canvas.panes, palette, requests);
        });
        Panel::bottom("status").frame(bar(12, 4)).show(ui, |ui| {
            let active = self.session.active().map(|slide| slide.id());
            let hovered =
                self.canvas.hovered.as_ref().filter(|(slide, _)| Some(slide) == active).map(|(_, at)| *at);
            panels::status::status_ui(ui, &self.session, self.canvas.panes.view(), hovered, palette);
        });
    }

    /// Shows the slides, the annotations, or both.
    fn left_ui(&mut self, ui: &mut Ui, palette: &Palette, requests: &mut Requests) {
        let side = Frame::new().fill(palette.panel);
        let panel = Panel::left("slides").frame(side).default_size(SIDE_WIDTHS[0]).size_range(220.0..=420.0);
        let shown = panel.show(ui, |ui| {
            if !self.chrome.slides_open {
                self.chrome.annotations.ui(ui, &self.session, palette, requests);
                return;
            }
            if self.annotations_open() {
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
        self.chrome.side_widths[0] = shown.response.rect.width();
    }

    /// Shows the strip of annotation tools.
    fn annotation_tools_ui(&self, ui: &mut Ui, palette: &Palette, requests: &mut Requests) {
        let strip = Frame::new().fill(palette.panel).inner_margin(Margin::symmetric(4, 8));
        Panel::left("annotation tools").frame(strip).exact_size(annotation_tools::WIDTH).show(ui, |ui| {
            let (tool, open) = (self.canvas.annotator.tool(), self.chrome.annotations_open);
            // In a low window the tools scroll with the wheel.
            let hidden = ScrollBarVisibility::AlwaysHidden;
            ScrollArea::vertical().scroll_bar_visibility(hidden).show(ui, |ui| {
                annotation_tools::annotation_tools_ui(ui, &self.session, tool, open, palette, requests);
            });
        });
    }

    /// Shows the query and its matches.
    fn matches_ui(&mut self, ui: &mut Ui, palette: &Palette, requests: &mut Requests) {
        let side = Frame::new().fill(palette.panel);
        let panel =
            Panel::right("matches").frame(side).default_size(SIDE_WIDTHS[1]).size_range(250.0..=460.0);
        let shown = panel.show(ui, |ui| {
            let (panel, pictures) = (&mut self.chrome.matches, &mut self.canvas.slides);
            panels::matches::matches_ui(ui, panel, &self.session, pictures, palette, requests);
        });
        self.chrome.side_widths[1] = shown.response.rect.width();
    }

    /// Shows the training panel at the side of the slide.
    fn docked_training_ui(&mut self, ui: &mut Ui, palette: &Palette, requests: &mut Requests) {
        let widest = (ui.available_width() - 240.0).max(420.0);
        let panel = Panel::right("training").frame(Frame::new().fill(palette.panel)).resizable(true);
        panel.default_size(480.0).size_range(420.0..=widest).show(ui, |ui| {
            let panel = &mut self.chrome.training;
            self.chrome.training_open =
                panels::training::docked_training_ui(ui, panel, &self.session, palette, requests);
        });
    }

    /// Shows the slides, or the page that takes their place.
    fn page_ui(&mut self, ui: &mut Ui, palette: &Palette, requests: &mut Requests) {
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
    }

    /// Shows the cards, which are stacked in the upper right corner, and the legend of the heat map. Returns what is left of
    /// `canvas` beside them.
    fn cards_ui(&mut self, ui: &mut Ui, canvas: Rect, palette: &Palette, requests: &mut Requests) -> Rect {
        let mut corner = canvas.right_top() + Vec2::new(-12.0, 12.0);
        let mut free = canvas;
        if self.chrome.appearance_open {
            let shown = panels::appearance::ShownColours {
                card: &mut self.chrome.appearance_card,
                appearance: &mut self.canvas.appearance,
                field: self.canvas.panes.view().field(),
            };
            let card = panels::appearance::appearance_ui(ui, corner, shown, &self.session, palette, requests);
            corner.y = card.bottom() + 8.0;
            free.max.x = free.max.x.min(card.left());
        }
        if self.chrome.tissue_settings_open {
            let shown = (&mut self.chrome.tissue_card, self.chrome.tissue_shown);
            let card = panels::tissue::tissue_ui(ui, corner, shown, &self.session, palette, requests);
            corner.y = card.bottom() + 8.0;
            free.max.x = free.max.x.min(card.left());
        }
        if !self.shows_page()
            && !self.session.slides().is_empty()
            && let Some(legend) = self.legend_ui(ui, canvas, corner, palette)
            && legend.left() > canvas.center().x
            && legend.top() < canvas.center().y
        {
            free.max.x = free.max.x.min(legend.left());
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Sides = Sides { left: true, right: true };
    const LEFT: Sides = Sides { left: true, right: false };
    const RIGHT: Sides = Sides { left: false, right: true };
    const NONE: Sides = Sides { left: false, right: false };

    #[test]
    fn panels_leave_a_page_the_width_that_it_needs() {
        let beside = |open, width| Sides::beside_page(open, width, SIDE_WIDTHS);
        assert_eq!([1238.0, 1000.0, 958.0].map(|width| beside(BOTH, width)), [BOTH, LEFT, LEFT]);
        assert_eq!(beside(BOTH, 800.0), NONE);
        assert_eq!(beside(RIGHT, 958.0), RIGHT);
        assert_eq!(Sides::beside_page(BOTH, 1238.0, [420.0, 460.0]), LEFT);
    }

    #[test]
    fn one_panel_is_left_beside_a_slide_in_a_narrow_window() {
        assert_eq!(Sides::beside_slide(BOTH, 1000.0, true), BOTH);
        assert_eq!(Sides::beside_slide(BOTH, 700.0, true), RIGHT);
        assert_eq!(Sides::beside_slide(BOTH, 700.0, false), LEFT);
        assert_eq!(Sides::beside_slide(RIGHT, 700.0, false), RIGHT);
        assert_eq!(Sides::beside_slide(LEFT, 700.0, true), LEFT);
    }
}
