//! The first steps: what to do next, beside the control that does it, until the first search was answered or
//! the user has dismissed them; and the hint after the first search by a click.

use egui::{
    Align2, Area, Context, Frame, Id, Margin, Order, Pos2, Rect, RichText, Shape, Stroke, StrokeKind, Ui,
    Vec2,
};

use super::chip_ui;
use super::hint_room::HintRoom;
use crate::session::Session;
use crate::ui::actions::{self, SearchAction};
use crate::ui::app::Requests;
use crate::ui::settings::{FindSimilar, Settings};
use crate::ui::theme::{self, Palette};

/// Width of the texts, in points.
const WIDTH: f32 = 280.0;
/// Width of the hint after the first search by a click, in points.
const CLICK_HINT: f32 = 440.0;
/// Width of both sides of the frame around texts, in points.
const FRAME: f32 = 31.0;
/// Length of the tip that points at a control, in points.
const TIP: f32 = 10.0;

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Opening a slide.
    Open,
    /// Waiting for the first tiles.
    Wait,
    /// Finding similar tissue.
    Find,
}

impl Step {
    const ALL: [Self; 3] = [Self::Open, Self::Wait, Self::Find];

    /// Whether the first steps are over, since a search was answered.
    pub fn are_over(session: &Session) -> bool {
        session.query().is_some_and(|query| query.answer.is_some())
    }

    /// The step that is due. There is none beside a slide without a pixel size: a message with a button asks for that.
    pub fn due(session: &Session) -> Option<Self> {
        match (session.slides().is_empty(), session.searchable_tiles()) {
            (true, _) => Some(Self::Open),
            _ if session.active().is_some_and(|slide| slide.source.info().mpp.is_none()) => None,
            (false, 0) => Some(Self::Wait),
            (false, _) => Some(Self::Find),
        }
    }

    fn id(self) -> Id {
        Id::unique(("first steps point here", self))
    }

    /// Says in this frame where the control of a step is.
    pub fn is_at(self, context: &Context, rect: Rect) {
        let frame = context.cumulative_frame_nr();
        context.data_mut(|data| data.insert_temp(self.id(), (frame, rect)));
    }

    /// Where the control of the step was in this frame.
    fn control(self, context: &Context) -> Option<Rect> {
        let (frame, rect) = context.data(|data| data.get_temp::<(u64, Rect)>(self.id()))?;
        (frame == context.cumulative_frame_nr()).then_some(rect)
    }

    fn title(self) -> &'static str {
        match self {
            Self::Open => "Open a slide",
            Self::Wait => "Wait for the first tiles",
            Self::Find => "Find similar tissue",
        }
    }

    fn text(self, context: &Context) -> String {
        match self {
            Self::Open => "Choose a slide or a folder here, drop files on the window, or open the demonstration.".to_owned(),
            Self::Wait => "Tissue is divided into tiles, and each tile is embedded. That takes seconds to minutes; you can \
                           already pan, zoom and annotate."
                .to_owned(),
            Self::Find => {
                let how = match Settings::current(context).find_similar {
                    FindSimilar::Click => "Click tissue on the slide".to_owned(),
                    FindSimilar::DoubleClick => "Double-click tissue on the slide".to_owned(),
                    FindSimilar::Key => {
                        let named = actions::entry(SearchAction::FindSimilar).named(context);
                        format!("Point at tissue and use {named}")
                    }
                };
                format!("{how}. The most similar tiles are outlined and listed on the right.")
            }
        }
    }
}

/// Draws the step that is due beside its control, or on the slide where there is `room`; returns whether the user has
/// dismissed the first steps.
pub fn first_steps_ui(context: &Context, step: Step, room: HintRoom, palette: &Palette) -> bool {
    let Some(control) = step.control(context) else { return false };
    let screen = context.content_rect();
    let painter = context.layer_painter(egui::LayerId::new(Order::Middle, step.id()));
    // On the slide, beside any other control.
    let is_on_slide = step == Step::Find;
    let on_slide = room.for_width(WIDTH + FRAME);
    if is_on_slide && on_slide.width() < WIDTH + FRAME {
        return false;
    }
    if !is_on_slide {
        painter.rect_stroke(control.expand(3.0), 8.0, Stroke::new(2.0, palette.accent), StrokeKind::Outside);
    }
    let is_left = control.center().x < screen.center().x;
    let (pivot, at) = match (is_on_slide, step) {
        // At the bottom, since messages are at the top.
        (true, _) => (Align2::CENTER_BOTTOM, on_slide.center_bottom()),
        (false, Step::Open) => (Align2::CENTER_TOP, control.center_bottom() + Vec2::new(0.0, TIP + 6.0)),
        (false, _) if is_left => (Align2::LEFT_CENTER, control.right_center() + Vec2::new(TIP + 6.0, 0.0)),
        (false, _) => (Align2::RIGHT_CENTER, control.left_center() - Vec2::new(TIP + 6.0, 0.0)),
    };
    let area = Area::new(Id::unique("first steps")).order(Order::Middle).pivot(pivot).fixed_pos(at);
    let shown = area.constrain_to(screen.shrink(8.0)).show(context, |ui| card_ui(ui, step, palette));
    if !is_on_slide {
        tip_ui(&painter, control, shown.response.rect, palette);
    }
    shown.inner
}

/// Draws the tip between a text and its control.
fn tip_ui(painter: &egui::Painter, control: Rect, card: Rect, palette: &Palette) {
    let middle = control.center();
    let side = Vec2::splat(TIP * 0.8);
    let points: Option<[Pos2; 3]> = if card.top() > control.bottom() {
        let base = Pos2::new(middle.x.clamp(card.left() + 16.0, card.right() - 16.0), card.top() + 1.0);
        Some([base - side * Vec2::X, base + side * Vec2::X, base - Vec2::new(0.0, TIP)])
    } else if card.left() > control.right() {
        let base = Pos2::new(card.left() + 1.0, middle.y.clamp(card.top() + 16.0, card.bottom() - 16.0));
        Some([base - side * Vec2::Y, base + side * Vec2::Y, base - Vec2::new(TIP, 0.0)])
    } else {
        None
    };
    if let Some(points) = points {
        painter.add(Shape::convex_polygon(points.to_vec(), palette.accent, Stroke::NONE));
    }
}

fn card_ui(ui: &mut Ui, step: Step, palette: &Palette) -> bool {
    frame(palette)
        .show(ui, |ui| {
            ui.set_width(WIDTH);
            let number = Step::ALL.iter().position(|one| *one == step).unwrap_or_default() + 1;
            ui.label(
                RichText::new(format!("Step {number} of {}", Step::ALL.len())).small().color(palette.accent),
            );
            ui.label(RichText::new(step.title()).family(theme::bold()).size(15.0).color(palette.strong));
            ui.label(RichText::new(step.text(ui.ctx())).color(palette.text));
            ui.add_space(4.0);
            ui.button("Do not show again")
                .on_hover_text("You can show them again from the settings")
                .clicked()
        })
        .inner
}

fn frame(palette: &Palette) -> Frame {
    Frame::new()
        .fill(palette.raised)
        .stroke(Stroke::new(1.5, palette.accent))
        .corner_radius(10)
        .inner_margin(Margin::symmetric(14, 12))
        .shadow(palette.shadow)
}

/// Draws the hint after the first search by a click where there is `room`; returns whether the user has read it.
pub fn click_hint_ui(context: &Context, room: HintRoom, palette: &Palette, requests: &mut Requests) -> bool {
    let at = room.for_width(CLICK_HINT + FRAME);
    let area = Area::new(Id::unique("click hint")).order(Order::Middle).pivot(Align2::CENTER_BOTTOM);
    let area = area.fixed_pos(at.center_bottom()).constrain_to(context.content_rect().shrink(8.0));
    let shown = area.show(context, |ui| {
        frame(palette).show(ui, |ui| {
            ui.set_max_width((at.width() - FRAME).clamp(180.0, CLICK_HINT));
            let title = RichText::new("A click on tissue finds similar tissue").family(theme::bold());
            ui.label(title.color(palette.strong));
            let key = actions::entry(SearchAction::FindSimilar).shortcut_label(ui.ctx());
            let text = "To avoid searching by accident, choose another way. You can change this later in the settings.";
            ui.label(RichText::new(text).color(palette.text));
            ui.add_space(2.0);
            let mut is_read = false;
            ui.horizontal_wrapped(|ui| {
                let settings = Settings::current(ui.ctx());
                for choice in FindSimilar::ALL {
                    let is_chosen = choice == settings.find_similar;
                    if chip_ui(ui, &choice.name(key.as_deref()), is_chosen, palette).clicked() {
                        requests.settings = Some(Settings { find_similar: choice, ..(*settings).clone() });
                        is_read = true;
                    }
                }
                ui.add_space(12.0);
                is_read |= ui.button("Dismiss").clicked();
            });
            is_read
        })
        .inner
    });
    shown.inner
}
