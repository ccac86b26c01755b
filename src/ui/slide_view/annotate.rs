//! Drawing and editing annotations with the pointer on a canvas.

mod draft;
mod overlay_ui;
mod tool;
mod wand;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use eframe::egui_wgpu::RenderState;
use egui::{CursorIcon, Key, PointerButton, Pos2, Response, Ui};
use uuid::Uuid;

use super::annotation_layer::AnnotationLayer;
use super::overlay::OnScreen;
use crate::annotation::{Annotation, AnnotationClass, Bounds, Edit, Hit, Shape, Vertex};
use crate::geometry::{Level0Point, MicronsPerPixel};
use crate::session::{AnnotationCommand, SlideAnnotations};
use crate::slide::SlideId;
use crate::slide::pyramid::DisplayPyramid;
use crate::ui::theme::Palette;
use crate::workers::Waker;
use crate::workers::tile_loader::ViewKey;
use draft::{Draft, WandArea};
use overlay_ui::Labels;
use wand::Wand;

pub use tool::Tool;

/// Distance within which the pointer touches an outline or a vertex, in points.
const REACH: f32 = 7.0;
/// Initial radius of the brush, in points, and its minimum and maximum.
const BRUSH: f32 = 24.0;
const BRUSH_RANGE: (f32, f32) = (4.0, 160.0);

/// The annotations of the slide on the canvas.
pub struct AnnotationScene<'a> {
    /// The slide.
    pub slide: &'a SlideId,
    /// Its annotations and their selection.
    pub annotations: &'a SlideAnnotations,
    /// Class of new annotations.
    pub class: Option<&'a AnnotationClass>,
    /// Spacing of the slide, for measurements.
    pub mpp: Option<MicronsPerPixel>,
    /// The slide's pixels, for the wand.
    pub pyramid: &'a Arc<DisplayPyramid>,
    /// Whether annotations are shown.
    pub shown: bool,
    /// Whether areas are filled, not only outlined.
    pub filled: bool,
}

/// Pointer input that the annotation tools use, so that the canvas ignores it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Taken {
    /// Whether drags with the left button do not pan.
    pub drags: bool,
    /// Whether clicks neither search nor zoom.
    pub clicks: bool,
}

/// The annotations as one canvas draws them.
struct Canvas {
    layer: AnnotationLayer,
    labels: Labels,
}

/// The annotation tools, shared by all canvases.
pub struct Annotator {
    gpu: RenderState,
    waker: Waker,
    /// Drawing state of each canvas.
    canvases: HashMap<ViewKey, Canvas>,
    tool: Tool,
    draft: Option<Draft>,
    /// What was drawn with the wand before another tool was selected, while parts of it are still computed.
    pending: Option<(ViewKey, WandArea)>,
    /// The canvas on which drawing takes place.
    drafted_on: Option<ViewKey>,
    /// Radius of the brush, in points.
    brush_radius: f32,
    wand: Wand,
    /// Commands since the last call of [`Self::take_commands`].
    commands: Vec<AnnotationCommand>,
}

impl Annotator {
    /// Creates the tools, with the hand selected.
    ///
    /// # Errors
    /// If the thread of the wand cannot be started.
    pub fn new(gpu: &RenderState, waker: Waker) -> std::io::Result<Self> {
        Ok(Self {
            gpu: gpu.clone(),
            wand: Wand::start(waker.clone())?,
            waker,
            canvases: HashMap::new(),
            tool: Tool::Hand,
            draft: None,
            pending: None,
            drafted_on: None,
            brush_radius: BRUSH,
            commands: Vec::new(),
        })
    }

    /// The selected tool.
    pub fn tool(&self) -> Tool {
        self.tool
    }

    /// Selects a tool, and discards the shape being drawn with another one. Selecting the current tool changes nothing, so
    /// that a user who presses its key before each shape goes on drawing.
    pub fn select_tool(&mut self, tool: Tool) {
        if self.tool != tool {
            self.leave_draft();
            self.tool = tool;
        }
    }

    /// Returns to the hand and discards the shape being drawn.
    pub fn deselect_tool(&mut self) {
        self.leave_draft();
        self.tool = Tool::Hand;
    }

    /// Discards the shape being drawn, but keeps what the wand has drawn once its button was released: to the user that is
    /// finished, though it may still be computed.
    fn leave_draft(&mut self) {
        match (self.draft.take(), self.drafted_on) {
            (Some(Draft::Wand { area, is_over: true }), Some(canvas)) => self.pending = Some((canvas, area)),
            (Some(Draft::Wand { .. }), _) => self.wand.forget(),
            _ => {}
        }
    }

    /// Sets how closely the colours that the wand takes have to agree; 1.5 is the default.
    pub fn set_wand_sensitivity(&mut self, sensitivity: f64) {
        self.wand.sensitivity = sensitivity;
    }

    /// Discards the shape being drawn, and what the wand still computes. Returns `false` if there was none.
    fn discard_draft(&mut self) -> bool {
        self.wand.forget();
        let (pending, draft) = (self.pending.take(), self.draft.take());
        pending.is_some() || draft.is_some()
    }

    /// Multiplies the brush radius by `factor`, within its limits.
    pub fn resize_brush(&mut self, factor: f32) {
        self.brush_radius = (self.brush_radius * factor).clamp(BRUSH_RANGE.0, BRUSH_RANGE.1);
    }

    /// Discards the shape being drawn, or else returns to the hand. Returns `false` if there was nothing to
    /// cancel.
    pub fn escape(&mut self) -> bool {
        if self.discard_draft() {
            return true;
        }
        std::mem::replace(&mut self.tool, Tool::Hand) != Tool::Hand
    }

    /// Removes the last point of the path being drawn. Returns `false` if no path is being drawn.
    pub fn take_back_point(&mut self) -> bool {
        let Some(Draft::Path { points, .. }) = &mut self.draft else { return false };
        points.pop();
        if points.is_empty() {
            self.draft = None;
        }
        true
    }

    /// Returns the commands since the last call.
    pub fn take_commands(&mut self) -> Vec<AnnotationCommand> {
        std::mem::take(&mut self.commands)
    }

    /// Handles pointer input before the canvas does.
    pub fn handle(
        &mut self,
        canvas: ViewKey,
        ui: &Ui,
        response: &Response,
        on_screen: &OnScreen<'_>,
        scene: &AnnotationScene<'_>,
    ) -> Taken {
        // A shape is finished on the canvas on which it was begun.
        if self.draft.is_none() && (response.hovered() || response.is_pointer_button_down_on()) {
            self.drafted_on = Some(canvas);
        }
        if self.drafted_on != Some(canvas) {
            return Taken { drags: false, clicks: self.tool != Tool::Hand };
        }
        if !scene.shown && self.tool == Tool::Hand {
            return Taken::default();
        }
        let (space, modifiers) = ui.input(|input| (input.key_down(Key::Space), input.modifiers));
        if space || modifiers.alt {
            // With these keys, dragging pans or rotates the slide.
            return Taken { drags: false, clicks: self.tool != Tool::Hand };
        }
        let at = |position: Option<Pos2>| position.map(|position| on_screen.level0_at(position));
        let pressed = at(ui.input(|input| input.pointer.press_origin()));
        let pointer = at(response.interact_pointer_pos().or(response.hover_pos()));
        // For non-square pixels, the distance is larger on the screen along the longer edge.
        let reach = on_screen.drawn_from_points(REACH);
        match self.tool {
            Tool::Hand => self.with_hand(response, pointer, reach, scene),
            Tool::Select => self.with_selection(ui, response, (pressed, pointer), reach, scene),
            tool => {
                if response.hovered() {
                    let hidden = matches!(tool, Tool::Brush | Tool::Eraser);
                    ui.ctx().set_cursor_icon(if hidden { CursorIcon::None } else { CursorIcon::Crosshair });
                }
                self.draw(ui, response, (pressed, pointer), on_screen, scene);
                Taken { drags: true, clicks: true }
            }
        }
    }

    /// With the hand: a click on an outline selects; the canvas handles everything else.
    fn with_hand(
        &mut self,
        response: &Response,
        pointer: Option<Level0Point>,
        reach: f64,
        scene: &AnnotationScene<'_>,
    ) -> Taken {
        let hit = pointer.and_then(|at| hit(scene, at, reach)).filter(|(_, hit)| *hit == Hit::Edge);
        if response.hovered() && hit.is_some() && !response.dragged() {
            response.ctx.set_cursor_icon(CursorIcon::PointingHand);
        }
        if response.clicked() {
            match hit {
                Some((id, _)) => self.select(scene, vec![id]),
                None if !scene.annotations.selection().is_empty() => self.select(scene, Vec::new()),
                None => {}
            }
        }
        Taken { drags: false, clicks: hit.is_some() }
    }

    /// With the selection tool: drags move vertices and whole annotations, or else pan; with Shift, they
    /// select all annotations in a rectangle.
    fn with_selection(
        &mut self,
        ui: &Ui,
        response: &Response,
        (pressed, pointer): (Option<Level0Point>, Option<Level0Point>),
        reach: f64,
        scene: &AnnotationScene<'_>,
    ) -> Taken {
        let Some(at) = pointer else { return Taken { drags: self.draft.is_some(), clicks: true } };
        let only = scene.annotations.selected().next().filter(|_| scene.annotations.selection().len() == 1);
        let free = only.as_ref().filter(|one| !one.locked);
        let vertex_at = |at: Level0Point| free.and_then(|one| one.shape().vertex_near(at, reach));
        let touches = |at: Level0Point| {
            let selection = scene.annotations.selection();
            let is_movable = |one: &Annotation| !one.locked && selection.contains(&one.id);
            !selection.is_empty() && scene.annotations.set().hit(at, reach, is_movable).is_some()
        };
        if self.draft.is_none() && response.hovered() {
            ui.ctx().set_cursor_icon(match (vertex_at(at), touches(at)) {
                (Some(_), _) => CursorIcon::Grab,
                (None, true) => CursorIcon::Move,
                _ => CursorIcon::Default,
            });
        }
        if response.drag_started_by(PointerButton::Primary)
            && let Some(origin) = pressed
        {
            self.draft = match (free, vertex_at(origin)) {
                (Some(one), Some(vertex)) => Some(Draft::Vertex { id: one.id, vertex, to: at }),
                _ if touches(origin) => Some(Draft::Move { from: origin, to: at }),
                _ if ui.input(|input| input.modifiers.shift) => Some(Draft::Box { from: origin, to: at }),
                _ => None,
            };
        }
        if let Some(Draft::Vertex { to, .. } | Draft::Move { to, .. } | Draft::Box { to, .. }) =
            &mut self.draft
        {
            *to = at;
        }
        if response.drag_stopped_by(PointerButton::Primary) {
            self.finish_move(scene);
            return Taken { drags: true, clicks: true };
        }
        let command = ui.input(|input| input.modifiers.command);
        if response.double_clicked() {
            let new = free.and_then(|one| Some((one.id, one.shape().with_new_vertex(at, reach)?.0)));
            if let Some((id, shape)) = new {
                self.edit(scene, Edit::Reshape { id, shape });
            }
        } else if response.clicked() {
            let vertex = vertex_at(at).filter(|_| command);
            if let Some((one, shape)) =
                free.zip(vertex.and_then(|vertex| free?.shape().without_vertex(vertex)))
            {
                self.edit(scene, Edit::Reshape { id: one.id, shape });
            } else if vertex_at(at).is_none() {
                self.click_to_select(ui, at, reach, scene);
            }
        }
        let is_grip = pressed.is_some_and(|origin| vertex_at(origin).is_some() || touches(origin));
        Taken { drags: self.draft.is_some() || is_grip, clicks: true }
    }

    /// Selects the annotation under a click; with Shift, adds it to the selection or removes it.
    fn click_to_select(&mut self, ui: &Ui, at: Level0Point, reach: f64, scene: &AnnotationScene<'_>) {
        let hit = hit(scene, at, reach).map(|(id, _)| id);
        let mut ids = scene.annotations.selection().to_vec();
        match (ui.input(|input| input.modifiers.shift), hit) {
            (true, Some(id)) if ids.contains(&id) => ids.retain(|known| *known != id),
            (true, Some(id)) => ids.push(id),
            (true, None) => return,
            (false, hit) => ids = hit.into_iter().collect(),
        }
        self.select(scene, ids);
    }

    fn finish_move(&mut self, scene: &AnnotationScene<'_>) {
        match self.draft.take() {
            Some(Draft::Vertex { id, vertex, to }) => {
                if let Some(one) = scene.annotations.set().get(id) {
                    let shape = one.shape().with_vertex_at(vertex, to);
                    self.edit(scene, Edit::Reshape { id, shape });
                }
            }
            Some(Draft::Move { from, to }) => {
                let ids = scene.annotations.selection().to_vec();
                self.edit(scene, Edit::Translate { ids, dx: to.x - from.x, dy: to.y - from.y });
            }
            Some(Draft::Box { from, to }) => {
                let mut ids = scene.annotations.selection().to_vec();
                let selected: HashSet<Uuid> = ids.iter().copied().collect();
                let hidden = scene.annotations.hidden();
                let enclosed = scene.annotations.set().enclosed_by(Bounds::between(from, to));
                ids.extend(enclosed.into_iter().filter(|id| !selected.contains(id) && !hidden.contains(id)));
                self.select(scene, ids);
            }
            _ => {}
        }
    }

    fn select(&mut self, scene: &AnnotationScene<'_>, ids: Vec<Uuid>) {
        self.commands.push(AnnotationCommand::Select { slide: scene.slide.clone(), ids });
    }

    fn edit(&mut self, scene: &AnnotationScene<'_>, edit: Edit) {
        self.commands.push(AnnotationCommand::Edit { slide: scene.slide.clone(), edit });
    }

    /// Draws the annotations, the selection and the shape being drawn.
    pub fn paint(
        &mut self,
        canvas: ViewKey,
        (ui, response): (&Ui, &Response),
        on_screen: &OnScreen<'_>,
        scene: &AnnotationScene<'_>,
        palette: &Palette,
    ) {
        let painter = ui.painter_at(on_screen.rect);
        if scene.shown {
            if let Some(Canvas { layer, labels }) = self.canvas(canvas) {
                layer.fills = scene.filled;
                let drawn = layer.paint(on_screen, scene.slide, scene.annotations);
                if let Some(callback) = drawn {
                    painter.add(callback);
                }
                labels.follow(scene);
                labels.paint(&painter, on_screen, palette);
            }
            self.paint_selection(&painter, on_screen, scene, palette);
        }
        if self.drafted_on == Some(canvas) {
            self.paint_draft(&painter, on_screen, scene, palette, response.hover_pos());
        }
    }

    /// Drops the drawing state, including the thread, of canvases that no longer exist.
    pub fn keep_canvases(&mut self, is_there: impl Fn(ViewKey) -> bool) {
        self.canvases.retain(|key, _| is_there(*key));
        if self.pending.take_if(|(canvas, _)| !is_there(*canvas)).is_some() {
            self.wand.forget();
        }
    }

    /// Returns the drawing state of a canvas, created on first use. `None` if its thread cannot be started.
    fn canvas(&mut self, key: ViewKey) -> Option<&mut Canvas> {
        match self.canvases.entry(key) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(vacant) => match AnnotationLayer::start(&self.gpu, self.waker.clone()) {
                Ok(layer) => Some(vacant.insert(Canvas { layer, labels: Labels::default() })),
                Err(error) => {
                    tracing::error!("annotations cannot be drawn: {error}");
                    None
                }
            },
        }
    }
}

/// Returns the visible annotation at `at`, if any.
fn hit(scene: &AnnotationScene<'_>, at: Level0Point, reach: f64) -> Option<(Uuid, Hit)> {
    let hidden = scene.annotations.hidden();
    scene.annotations.set().hit(at, reach, |one: &Annotation| !hidden.contains(&one.id))
}

/// Returns the shape of an annotation with one vertex moved.
fn with_vertex(scene: &AnnotationScene<'_>, id: Uuid, vertex: Vertex, to: Level0Point) -> Option<Shape> {
    Some(scene.annotations.set().get(id)?.shape().with_vertex_at(vertex, to))
}
