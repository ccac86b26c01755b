//! Drawing annotations, and importing and exporting them.

use egui::Key;
use egui_material_icons::icons;

use super::{Action, Entry, ctrl, ctrl_alt, ctrl_shift, plain, shift};
use crate::ui::slide_view::Tool;

/// An action on annotations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AnnotationAction {
    /// Selects an annotation tool.
    Tool(Tool),
    /// Makes the brush larger (`true`) or smaller.
    ResizeBrush(bool),
    /// Undoes the last change to the annotations.
    Undo,
    /// Redoes the last undone change to the annotations.
    Redo,
    /// Selects all visible annotations of the active slide.
    SelectAll,
    /// Deletes the selected annotations that are not locked.
    Delete,
    /// Imports annotations from files.
    Import,
    /// Exports annotations to a file chosen in the system's dialog.
    Export,
    /// Exports annotations to a typed path.
    ExportToPath,
    /// Shows or hides the annotation list.
    ToggleList,
}

pub(super) static ENTRIES: &[Entry] = &[
    entry!(
        Action::Annotations(AnnotationAction::Tool(Tool::Hand)),
        ICON_PAN_TOOL,
        "Pan",
        "Drag to pan; click an outline to select it",
        [plain(Key::M)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Tool(Tool::Select)),
        ICON_ARROW_SELECTOR_TOOL,
        "Select",
        "Select and move annotations and their corners; double-click an outline to add a corner, Ctrl + click a corner to remove it",
        [shift(Key::S)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Tool(Tool::Point)),
        ICON_ADJUST,
        "Point",
        "Click to add a point",
        [plain(Key::Period)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Tool(Tool::Rectangle)),
        ICON_RECTANGLE,
        "Rectangle",
        "Drag from corner to corner",
        [plain(Key::R)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Tool(Tool::Ellipse)),
        ICON_CIRCLE,
        "Ellipse",
        "Drag from corner to corner",
        [plain(Key::O)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Tool(Tool::Line)),
        ICON_DIAGONAL_LINE,
        "Line",
        "Drag from end to end; its length is shown beside it",
        [plain(Key::L)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Tool(Tool::Polygon)),
        ICON_PENTAGON,
        "Polygon",
        "Click each corner and double-click to finish, or draw freehand with the button held",
        [plain(Key::P)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Tool(Tool::Polyline)),
        ICON_POLYLINE,
        "Polyline",
        "Click each point and double-click to finish, or draw freehand with the button held",
        [plain(Key::V)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Tool(Tool::Brush)),
        ICON_BRUSH,
        "Brush",
        "Paint an area, or add to the selected area that the brush touches; “Smaller brush” and “Larger brush” resize it",
        [plain(Key::B)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Tool(Tool::Wand)),
        ICON_WAND_STARS,
        "Wand",
        "Click or drag over tissue to select what has a similar colour; zoom out for larger regions",
        [plain(Key::W)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Tool(Tool::Eraser)),
        ICON_INK_ERASER,
        "Eraser",
        "Erase from the selected areas, or from all that it touches; “Smaller brush” and “Larger brush” resize it",
        [plain(Key::E)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Tool(Tool::Distance)),
        ICON_STRAIGHTEN,
        "Measure distance",
        "Drag from end to end, or click each point and double-click to finish",
        [shift(Key::L)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Tool(Tool::Area)),
        ICON_SQUARE_FOOT,
        "Measure area",
        "Click each corner and double-click to finish, or draw freehand with the button held",
        [shift(Key::P)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Undo),
        ICON_UNDO,
        "Undo",
        "Undo the last change to the annotations of this slide, or the last judgement if that was later",
        [ctrl(Key::Z)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Redo),
        ICON_REDO,
        "Redo",
        "Redo the last undone change to the annotations",
        [ctrl_shift(Key::Z), ctrl(Key::Y)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::SelectAll),
        ICON_SELECT_ALL,
        "Select all annotations",
        "Select all visible annotations of this slide",
        [ctrl(Key::A)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Delete),
        ICON_DELETE,
        "Delete annotations",
        "Delete the selected annotations that are not locked; while drawing, remove the last point",
        [plain(Key::Delete), plain(Key::Backspace)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::ResizeBrush(false)),
        ICON_REMOVE,
        "Smaller brush",
        "Make the brush and the eraser smaller",
        [plain(Key::OpenBracket)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::ResizeBrush(true)),
        ICON_ADD,
        "Larger brush",
        "Make the brush and the eraser larger",
        [plain(Key::CloseBracket)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Import),
        ICON_DOWNLOAD,
        "Import annotations…",
        "Add annotations from a QuPath GeoJSON, ASAP XML or ImageScope XML file; you can also drop the file on the slide",
        [ctrl(Key::I)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::Export),
        ICON_UPLOAD,
        "Export annotations…",
        "Export all annotations of this slide for QuPath (.geojson) or ASAP (.xml), or the counts of detections (.csv)",
        [ctrl_shift(Key::X)]
    ),
    entry!(
        Action::Annotations(AnnotationAction::ExportToPath),
        ICON_KEYBOARD,
        "Export annotations to path…",
        "Export all annotations of this slide to a path that you type (.geojson, .geojson.gz, .xml or .csv)",
        [ctrl_alt(Key::E)]
    ),
];
