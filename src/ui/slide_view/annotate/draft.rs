//! Shapes being drawn, from the first press to the finished annotation.

use std::sync::Arc;

use egui::{Event, Key, PointerButton, Pos2, Response, Ui};
use uuid::Uuid;

use super::{AnnotationScene, Annotator, Tool};
use crate::annotation::{Annotation, Bounds, Edit, Shape, Vertex, stroke};
use crate::geometry::{Level0Point, Stretch};
use crate::session::AnnotationCommand;
use crate::slide::SlideId;
use crate::ui::slide_view::overlay::OnScreen;
use crate::workers::tile_loader::ViewKey;

/// A shape or a change in progress.
pub(super) enum Draft {
    /// Vertices of a polygon or a line, or the path of a freehand line.
    Path {
        points: Vec<Level0Point>,
        /// Whether the path is drawn with the button held.
        freely: bool,
    },
    /// A rectangle or an ellipse between two corners; with the selection tool, the area to select.
    Box { from: Level0Point, to: Level0Point },
    /// A line between two ends.
    Line { from: Level0Point, to: Level0Point },
    /// What the wand has selected so far, and whether the button was released.
    Wand { area: WandArea, is_over: bool },
    /// The path of the brush or eraser, and its radius in drawn pixels.
    Stroke { path: Vec<Level0Point>, radius_px: f64 },
    /// A vertex of an annotation that is being moved.
    Vertex { id: Uuid, vertex: Vertex, to: Level0Point },
    /// The selected annotations, being moved.
    Move { from: Level0Point, to: Level0Point },
}

/// An area that the wand selects.
pub(super) struct WandArea {
    slide: SlideId,
    /// The regions that were found so far, as one shape.
    shape: Shape,
    /// Where the wand was last moved to.
    last: Level0Point,
}

/// Minimum distance between the points of a freehand line, in points.
const FREE_STEP: f32 = 2.5;
/// Distance that the pointer moves before the wand takes another region, in points.
const WAND_STEP: f32 = 12.0;
/// Shapes smaller than this are discarded as accidental, in points.
const LEAST_SIZE: f32 = 3.0;

impl Annotator {
    /// Handles pointer input with a drawing tool.
    pub(super) fn draw(
        &mut self,
        ui: &Ui,
        response: &Response,
        (pressed, pointer): (Option<Level0Point>, Option<Level0Point>),
        on_screen: &OnScreen<'_>,
        scene: &AnnotationScene<'_>,
    ) {
        let started = response.drag_started_by(PointerButton::Primary);
        let stopped = response.drag_stopped_by(PointerButton::Primary);
        let dragged = response.dragged_by(PointerButton::Primary);
        if self.tool == Tool::Wand {
            self.use_wand(ui, response, pointer, on_screen, scene);
            return;
        }
        if started && let Some(from) = pressed {
            self.begin_drag(from, on_screen);
        }
        if (started || dragged || stopped)
            && let Some(at) = pointer
        {
            self.drag_on(ui, at, on_screen);
        }
        if stopped {
            self.end_drag(on_screen, scene);
        } else if response.clicked()
            && let Some(at) = pointer
        {
            self.click(at, response.double_clicked(), on_screen, scene);
        }
        let typing = ui.ctx().egui_wants_keyboard_input();
        if !typing && ui.input(|input| input.key_pressed(Key::Enter)) {
            self.finish_path(scene);
        }
    }

    fn begin_drag(&mut self, from: Level0Point, on_screen: &OnScreen<'_>) {
        match self.tool {
            Tool::Rectangle | Tool::Ellipse => self.draft = Some(Draft::Box { from, to: from }),
            Tool::Brush | Tool::Eraser => {
                let radius_px = on_screen.drawn_from_points(self.brush_radius);
                self.draft = Some(Draft::Stroke { path: vec![from], radius_px });
            }
            Tool::Line => self.draft = Some(Draft::Line { from, to: from }),
            Tool::Distance if self.draft.is_none() => {
                self.draft = Some(Draft::Path { points: vec![from, from], freely: true });
            }
            Tool::Polygon | Tool::Polyline | Tool::Area => match &mut self.draft {
                // Freehand lines can join the corners.
                Some(Draft::Path { points, freely }) => {
                    points.push(from);
                    *freely = true;
                }
                _ => self.draft = Some(Draft::Path { points: vec![from], freely: true }),
            },
            _ => {}
        }
    }

    fn drag_on(&mut self, ui: &Ui, at: Level0Point, on_screen: &OnScreen<'_>) {
        // The pointer moves faster than the frame rate; the system reports every position in between.
        let passed: Vec<Level0Point> = ui.input(|input| {
            let positions = input.events.iter().filter_map(|event| match event {
                Event::PointerMoved(at) => Some(on_screen.level0_at(*at)),
                _ => None,
            });
            positions.collect()
        });
        let is_line = self.tool == Tool::Distance;
        match &mut self.draft {
            Some(Draft::Box { to, .. } | Draft::Line { to, .. }) => *to = at,
            Some(Draft::Path { points, freely: true }) if is_line => {
                if let Some(last) = points.last_mut() {
                    *last = at;
                }
            }
            Some(Draft::Path { points, freely: true }) => {
                let step = on_screen.drawn_from_points(FREE_STEP);
                extend(points, &passed, step, on_screen.camera.stretch);
            }
            Some(Draft::Stroke { path, radius_px }) => {
                let step = *radius_px / 4.0;
                extend(path, &passed, step, on_screen.camera.stretch);
            }
            _ => {}
        }
    }

    fn end_drag(&mut self, on_screen: &OnScreen<'_>, scene: &AnnotationScene<'_>) {
        let least = on_screen.drawn_from_points(LEAST_SIZE);
        match self.draft.take() {
            Some(Draft::Box { from, to }) => {
                let bounds = Bounds::between(from, to);
                let (width, height) = on_screen.camera.stretch.extent((bounds.width(), bounds.height()));
                if width >= least && height >= least {
                    let is_ellipse = self.tool == Tool::Ellipse;
                    let shape = if is_ellipse { Shape::Ellipse(bounds) } else { Shape::Rectangle(bounds) };
                    self.add(scene, shape);
                }
            }
            Some(Draft::Line { from, to }) => {
                if drawn_distance(from, to, on_screen.camera.stretch) >= least {
                    self.add(scene, Shape::Lines(vec![vec![from, to]]));
                }
            }
            Some(Draft::Stroke { path, radius_px }) => self.apply_stroke(&path, radius_px, scene),
            Some(Draft::Path { points, freely: true }) => {
                self.draft = Some(Draft::Path { points, freely: true });
                self.finish_path(scene);
            }
            other => self.draft = other,
        }
    }

    fn click(
        &mut self,
        at: Level0Point,
        is_double: bool,
        on_screen: &OnScreen<'_>,
        scene: &AnnotationScene<'_>,
    ) {
        let near = on_screen.drawn_from_points(super::REACH);
        match self.tool {
            Tool::Point => self.add(scene, Shape::Points(vec![at])),
            Tool::Brush | Tool::Eraser => {
                self.apply_stroke(&[at], on_screen.drawn_from_points(self.brush_radius), scene);
            }
            tool if tool.draws_path() => {
                let closes = !tool.draws_line();
                match &mut self.draft {
                    // The second click of a double click is at the same position as the first.
                    Some(Draft::Path { .. }) if is_double => self.finish_path(scene),
                    Some(Draft::Path { points, .. })
                        if closes
                            && points.len() > 2
                            && drawn_distance(points[0], at, on_screen.camera.stretch) <= near =>
                    {
                        self.finish_path(scene);
                    }
                    Some(Draft::Path { points, .. }) => points.push(at),
                    _ => self.draft = Some(Draft::Path { points: vec![at], freely: false }),
                }
            }
            _ => {}
        }
    }

    fn finish_path(&mut self, scene: &AnnotationScene<'_>) {
        let Some(Draft::Path { mut points, .. }) = self.draft.take() else { return };
        points.dedup();
        match self.tool {
            tool if tool.draws_line() && points.len() > 1 => self.add(scene, Shape::Lines(vec![points])),
            _ if points.len() > 2 => {
                let shape = Shape::enclosed_by(&points);
                if !shape.is_empty() {
                    self.add(scene, shape);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, scene: &AnnotationScene<'_>, shape: Shape) {
        let class = scene.class.filter(|_| !self.tool.measures()).cloned();
        let mut annotation = Annotation::new(shape, class);
        if self.tool.measures() {
            annotation.mark_as_measurement();
        }
        self.edit(scene, Edit::Add(vec![annotation]));
    }

    /// Follows the pointer with the wand: takes the regions that its thread has found, asks for those that the
    /// pointer moves to, and adds everything once the button is released and nothing is awaited.
    fn use_wand(
        &mut self,
        ui: &Ui,
        response: &Response,
        pointer: Option<Level0Point>,
        on_screen: &OnScreen<'_>,
        scene: &AnnotationScene<'_>,
    ) {
        let is_down = response.is_pointer_button_down_on() && ui.input(|input| input.pointer.primary_down());
        // A quick click goes down and up within a frame.
        let is_touched = is_down || self.draft.is_none() && response.clicked();
        if is_touched && let Some(at) = pointer {
            if self.draft.is_none()
                && let Some((_, mut area)) = self.pending.take()
            {
                // Regions that are still to come could not be told from those of the new stroke.
                area.take(self.wand.take_found());
                self.wand.forget();
                self.add_wand_area(area, scene);
            }
            let step = on_screen.drawn_from_points(WAND_STEP);
            let level = scene.pyramid.level_for_zooms(on_screen.camera.zooms());
            match &mut self.draft {
                Some(Draft::Wand { area, is_over: false }) => {
                    if drawn_distance(area.last, at, on_screen.camera.stretch) >= step {
                        area.last = at;
                        self.wand.ask(scene.pyramid, level, at);
                    }
                }
                Some(Draft::Wand { .. }) => {}
                _ => {
                    let (slide, shape) = (scene.slide.clone(), Shape::Polygons(Vec::new()));
                    self.draft =
                        Some(Draft::Wand { area: WandArea { slide, shape, last: at }, is_over: false });
                    self.wand.ask(scene.pyramid, level, at);
                }
            }
        }
        let Some(Draft::Wand { area, is_over }) = &mut self.draft else { return };
        area.take(self.wand.take_found());
        *is_over |= !is_down;
        if !*is_over || self.wand.is_busy() {
            return;
        }
        if let Some(Draft::Wand { area, .. }) = self.draft.take() {
            self.add_wand_area(area, scene);
        }
    }

    /// Adds what was drawn with the wand on a canvas before another tool was selected, once all of it is computed.
    pub(in crate::ui::slide_view) fn finish_pending(&mut self, canvas: ViewKey, scene: &AnnotationScene<'_>) {
        let Some((of, area)) = &mut self.pending else { return };
        if *of != canvas {
            return;
        }
        area.take(self.wand.take_found());
        if !self.wand.is_busy()
            && let Some((_, area)) = self.pending.take()
        {
            self.add_wand_area(area, scene);
        }
    }

    /// Adds an area, unless the canvas shows another slide by now.
    fn add_wand_area(&mut self, area: WandArea, scene: &AnnotationScene<'_>) {
        if !area.shape.is_empty() && area.slide == *scene.slide {
            self.paint_area(area.shape, &[area.last], 0.0, scene);
        }
    }

    /// Applies the brush or the eraser along `path`. The brush adds to the selected area that it touches, or
    /// creates a new one; the eraser removes from the selected areas, or from all areas that it touches.
    /// `radius_px` is in drawn pixels, which makes the brush round in µm.
    fn apply_stroke(&mut self, path: &[Level0Point], radius_px: f64, scene: &AnnotationScene<'_>) {
        let stretch = Stretch::of(scene.mpp);
        let drawn: Vec<Level0Point> = path.iter().map(|at| stretch.drawn(*at)).collect();
        let area = stroke(&drawn, radius_px).mapped(|at| stretch.level0(at));
        let Some(bounds) = area.bounds() else { return };
        let is_open = |one: &Annotation| {
            one.shape().is_area()
                && !one.locked
                && !scene.annotations.hidden().contains(&one.id)
                && one.shape().bounds().is_some_and(|of| of.intersects(&bounds))
        };
        if self.tool == Tool::Brush {
            self.paint_area(area, path, radius_px, scene);
            return;
        }
        let ids_of = |ones: &mut dyn Iterator<Item = Arc<Annotation>>| -> Vec<Uuid> {
            ones.filter(|one| is_open(one)).map(|one| one.id).collect()
        };
        let mut ids = ids_of(&mut scene.annotations.selected());
        if ids.is_empty() {
            ids = ids_of(&mut scene.annotations.set().touching(bounds));
        }
        if !ids.is_empty() {
            self.commands.push(AnnotationCommand::Edit {
                slide: scene.slide.clone(),
                edit: Edit::Erase { ids, area },
            });
        }
    }

    /// Adds an area to the selected area that `path` touches, within `reach_px` drawn pixels, or as a new
    /// annotation.
    fn paint_area(&mut self, area: Shape, path: &[Level0Point], reach_px: f64, scene: &AnnotationScene<'_>) {
        let touched = scene.annotations.selected().find(|one| {
            one.shape().is_area()
                && !one.locked
                && !scene.annotations.hidden().contains(&one.id)
                && path.iter().any(|at| one.hit(*at, reach_px).is_some())
        });
        match touched {
            Some(one) => self.edit(scene, Edit::Paint { id: one.id, area }),
            // Not `add`: another tool, one that measures, may be selected by now.
            None => self.edit(scene, Edit::Add(vec![Annotation::new(area, scene.class.cloned())])),
        }
    }

    /// Returns the shape that would be added if drawing ended at `pointer`, for display.
    pub(super) fn drafted(&self, pointer: Option<Level0Point>) -> Option<Shape> {
        match self.draft.as_ref()? {
            Draft::Path { points, freely } => {
                let mut points = points.clone();
                points.extend(pointer.filter(|_| !*freely));
                Some(match self.tool {
                    tool if tool.draws_line() => Shape::Lines(vec![points]),
                    _ if points.len() < 3 => Shape::Lines(vec![points]),
                    _ => Shape::polygon(points),
                })
            }
            Draft::Box { from, to } if self.tool == Tool::Ellipse => {
                Some(Shape::Ellipse(Bounds::between(*from, *to)))
            }
            Draft::Box { from, to } => Some(Shape::Rectangle(Bounds::between(*from, *to))),
            Draft::Line { from, to } => Some(Shape::Lines(vec![vec![*from, *to]])),
            Draft::Wand { area, .. } => Some(area.shape.clone()).filter(|shape| !shape.is_empty()),
            Draft::Stroke { .. } | Draft::Vertex { .. } | Draft::Move { .. } => None,
        }
    }
}

impl WandArea {
    fn take(&mut self, found: Vec<Shape>) {
        for region in found {
            self.shape = self.shape.union(&region);
        }
    }
}

/// Distance in drawn pixels between two level-0 positions.
fn drawn_distance(a: Level0Point, b: Level0Point, stretch: Stretch) -> f64 {
    stretch.drawn(a).distance_px(stretch.drawn(b))
}

/// Appends the positions in `passed` that are at least `step` drawn pixels from the one before.
fn extend(path: &mut Vec<Level0Point>, passed: &[Level0Point], step: f64, stretch: Stretch) {
    for at in passed {
        if path.last().is_none_or(|last| drawn_distance(*last, *at, stretch) >= step) {
            path.push(*at);
        }
    }
}

/// Converts a pointer position to level-0 pixels.
pub(super) fn level0(on_screen: &OnScreen<'_>, at: Option<Pos2>) -> Option<Level0Point> {
    at.map(|at| on_screen.level0_at(at))
}
