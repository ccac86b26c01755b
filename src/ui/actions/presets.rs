//! Where the presets differ from QuPath's keys, which stand with the commands.

use egui::{Key, KeyboardShortcut};

use super::{
    Action, AnnotationAction, EmbeddingAction, SearchAction, SlideAction, ViewAction, WindowAction, alt,
    ctrl, plain, shift,
};
use crate::query::Judgement;
use crate::ui::slide_view::Tool;

/// Commands with their shortcuts.
type Preset = &'static [(Action, &'static [KeyboardShortcut])];

const fn tool(tool: Tool) -> Action {
    Action::Annotations(AnnotationAction::Tool(tool))
}

/// The keys of ASAP's tools: X pans, D and I add points, P and S draw outlines, R draws a rectangle, M
/// measures.
pub(super) const ASAP: Preset = &[
    (tool(Tool::Hand), &[plain(Key::X)]),
    (tool(Tool::Point), &[plain(Key::D), plain(Key::I)]),
    (tool(Tool::Polygon), &[plain(Key::P), plain(Key::S)]),
    (tool(Tool::Distance), &[plain(Key::M), shift(Key::L)]),
    (Action::Search(SearchAction::FindSimilar), &[ctrl(Key::F)]),
    (Action::Search(SearchAction::ToggleHeatMap), &[shift(Key::H)]),
    (Action::Slides(SlideAction::Properties), &[shift(Key::I)]),
    (Action::Search(SearchAction::Judge(Judgement::Different)), &[plain(Key::K)]),
];

/// The keys of histokin before it had presets.
pub(super) const CLASSIC: Preset = &[
    (tool(Tool::Hand), &[]),
    (tool(Tool::Select), &[plain(Key::V)]),
    (tool(Tool::Point), &[plain(Key::K)]),
    (tool(Tool::Rectangle), &[plain(Key::Z)]),
    (tool(Tool::Line), &[]),
    (tool(Tool::Polyline), &[]),
    (tool(Tool::Polygon), &[plain(Key::G)]),
    (tool(Tool::Brush), &[plain(Key::W)]),
    (tool(Tool::Wand), &[]),
    (tool(Tool::Distance), &[shift(Key::A)]),
    (tool(Tool::Area), &[plain(Key::A)]),
    (Action::Annotations(AnnotationAction::Delete), &[plain(Key::Delete)]),
    (Action::View(ViewAction::Turn(90)), &[plain(Key::R)]),
    (Action::View(ViewAction::Turn(-90)), &[shift(Key::R)]),
    (Action::View(ViewAction::Turn(15)), &[plain(Key::Period)]),
    (Action::View(ViewAction::Turn(-15)), &[plain(Key::Comma)]),
    (Action::View(ViewAction::MirrorLeftRight), &[plain(Key::F)]),
    (Action::View(ViewAction::MirrorTopBottom), &[shift(Key::F)]),
    (Action::View(ViewAction::ToggleAppearance), &[plain(Key::B)]),
    (Action::View(ViewAction::ResetColours), &[shift(Key::C)]),
    (Action::View(ViewAction::LinkPanes), &[plain(Key::L)]),
    (Action::View(ViewAction::ToggleAnnotations), &[]),
    (Action::View(ViewAction::ToggleFill), &[]),
    (Action::View(ViewAction::ToggleGrid), &[]),
    (Action::View(ViewAction::ToggleCrosshair), &[]),
    (Action::Slides(SlideAction::Calibrate), &[plain(Key::M)]),
    (Action::Search(SearchAction::FindSimilar), &[plain(Key::S)]),
    (Action::Search(SearchAction::ByAnnotations), &[shift(Key::S)]),
    (Action::Search(SearchAction::Back), &[plain(Key::Backspace), alt(Key::ArrowLeft)]),
    (Action::Embedding(EmbeddingAction::PauseOrResume), &[plain(Key::P)]),
    (Action::Window(WindowAction::TogglePalette), &[ctrl(Key::K), ctrl(Key::L)]),
];
