//! The slide canvas: input, movement, which tiles to load, and what to draw.

pub mod camera;
pub mod pipeline;
mod appearance;
mod annotate;
mod annotation_layer;
mod annotation_mesh;
mod atlas;
mod detections;
mod guides;
mod input;
mod motion;
mod overlay;
mod overview;
mod renderer;
mod scale;
mod offscreen;
mod tile_plan;
mod view_history;

use std::collections::HashMap;
use std::sync::Arc;

use egui::{Color32, Pos2, Rect, Response, Role, Sense, Ui, WidgetInfo};

use crate::geometry::{Level0Point, Level0Rect, MicronsPerPixel, Stretch};
use crate::slide::pyramid::{DisplayPyramid, SlideKey, TileKey};
use crate::ui::theme::{self, Palette};
use crate::workers::tile_loader::{Loaded, TileLoader, ViewKey};
use annotate::Taken;
use atlas::TileAtlas;
pub use camera::Orientation;
use camera::{Camera, Movement, ScreenPoint, Viewport};
use input::FreeTurn;
use motion::Motion;
use overview::Overview;
use renderer::{CanvasBuffers, Picture};
use tile_plan::{TileState, plan_tiles};

pub use annotate::{AnnotationScene, Annotator, Tool};
pub use appearance::{Appearance, Colouring, Shading};
pub use guides::Guides;
pub use input::InputSettings;
pub use offscreen::{OffscreenAnnotations, OffscreenError, OffscreenPicture, OffscreenRenderer, ScaleBar};
pub use overlay::PairOnSlide;
pub use renderer::{Mark, MarkSet, ProfileTexture, SlideRenderer};
pub use scale::{Magnification, length_label};
pub use tile_plan::MissingTiles;
pub use view_history::ViewHistory;

/// Fraction of the canvas by which one press of an arrow key moves the view.
const ARROW_STEP: f64 = 0.18;
/// Maximum number of tiles taken from the tile cache in one frame: a full view on a typical screen, in at
/// most 6 ms.
const KEPT_PER_FRAME: usize = 40;

/// Everything that a canvas shows in one frame.
pub struct Scene<'a> {
    /// The slide, as a pyramid of display tiles.
    pub pyramid: &'a Arc<DisplayPyramid>,
    /// Highlighted rectangles, drawn in this order.
    pub marks: &'a [MarkSet],
    /// Matches on this slide and their ranks, from 1.
    pub ranks: &'a [(Level0Rect, usize)],
    /// The shade over everything that is not tissue, and the level-0 pixels that it spans from the slide's
    /// top-left corner.
    pub tissue: Option<(&'a egui::TextureHandle, (f64, f64))>,
    /// The similarity map: its texture, the level-0 pixels that it spans, and its opacity (0 to 1).
    pub heat: Option<(&'a egui::TextureHandle, (f64, f64), f32)>,
    /// The query tile, if it lies on this slide.
    pub query: Option<Level0Rect>,
    /// The visited match, if it lies on this slide.
    pub visited: Option<Level0Rect>,
    /// Training pairs of which at least one tile lies on this slide.
    pub pairs: &'a [PairOnSlide],
    /// Spacing of the slide; `None` if it is not calibrated.
    pub mpp: Option<MicronsPerPixel>,
    /// Nominal objective power of the slide, such as 20.
    pub objective_power: Option<f64>,
    /// The slide's annotations, once they are loaded.
    pub annotations: Option<AnnotationScene<'a>>,
    /// Colour settings for the shader.
    pub shading: Shading,
    /// The slide's colour profile, if its colours are shown through it.
    pub profile: Option<&'a ProfileTexture>,
    /// The view history, shown on the overview.
    pub view_history: Option<&'a ViewHistory>,
    /// Guides over the slide.
    pub guides: Guides,
    /// Whether areas that were not scanned are black rather than glass: in fluorescence.
    pub is_dark: bool,
    /// A note on the canvas that the colours are not the slide's own.
    pub note: Option<&'a str>,
}

impl Scene<'_> {
    /// Colour of areas that were not scanned.
    fn glass(&self, palette: &Palette) -> Color32 {
        if self.is_dark { Color32::BLACK } else { palette.glass }
    }
}

/// How a rectangle is brought into view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Shows a tile with its surroundings. Keeps the current magnification if the tile can be judged at it.
    Tile,
    /// Shows exactly this rectangle, for restoring an earlier view.
    Field,
}

/// What the user did on the canvas in one frame.
#[derive(Debug, Default)]
pub struct CanvasOutcome {
    /// Position of a click, unless a tool or a pan used it.
    pub clicked: Option<Level0Point>,
    /// Position of a double-click that does not zoom, unless a tool used it.
    pub double_clicked: Option<Level0Point>,
    /// Position under the pointer, if it is on the slide.
    pub hovered: Option<Level0Point>,
    /// Whether a pointer button went down on the canvas or its overview.
    pub pressed: bool,
    /// The canvas as a widget, if a slide is shown.
    pub response: Option<Response>,
}

/// How a view moved in one frame, so that linked views can move in the same way.
#[derive(Debug, Clone, Copy)]
pub struct ViewMovement {
    movement: Movement,
    /// Zoom before the movement, in screen pixels per drawn pixel.
    zoom: f64,
    mpp: Option<MicronsPerPixel>,
}

/// Direction in which the view is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirror {
    /// Swaps left and right on the screen.
    LeftRight,
    /// Swaps top and bottom on the screen.
    TopBottom,
}

/// One canvas. It remembers the camera of every slide that it has shown.
pub struct SlideView {
    key: ViewKey,
    camera: Camera,
    motion: Motion,
    /// Free rotation in progress.
    free_turn: Option<FreeTurn>,
    viewport: Viewport,
    /// The slide shown in the last frame.
    slide: Option<SlideKey>,
    /// Cameras of the slides shown before.
    remembered: HashMap<SlideKey, Camera>,
    /// Whether the primary button draws a region instead of panning.
    pub drawing: bool,
    /// What gestures do, as set by the user.
    pub input: InputSettings,
    /// Rectangle to show in the next frame, when the canvas size is known, with the rotation and mirroring to
    /// apply, if any.
    destination: Option<(Level0Rect, Framing, Option<Orientation>)>,
    /// µm per screen pixel, kept when a match on another slide is shown.
    um_per_pixel: Option<f64>,
    mpp: Option<MicronsPerPixel>,
    is_moving: bool,
    /// Camera at the end of the previous frame; `None` after a change of slide or size.
    before: Option<Camera>,
    movement: Option<ViewMovement>,
    /// Whether the view is flying to a position on its own slide. Linked views do not follow such a movement.
    is_travelling: bool,
    /// Last value returned by [`Self::settled_field`].
    settled: Option<(Level0Rect, Orientation)>,
    /// Tiles last requested from the tile loader.
    requested: Vec<TileKey>,
    missing_tiles: MissingTiles,
    buffers: CanvasBuffers,
    overview: Overview,
    overview_rect: Rect,
    scale_bar_rect: Rect,
    extent: (f64, f64),
    magnification: Magnification,
}

impl SlideView {
    /// Key that identifies this view among all views of the window.
    pub fn key(&self) -> ViewKey {
        self.key
    }

    /// Creates a view that shows no slide yet.
    pub fn new(key: ViewKey, renderer: &SlideRenderer) -> Self {
        let viewport = Viewport::new(1.0, 1.0);
        Self {
            key,
            camera: Camera::fit(1.0, 1.0, viewport),
            motion: Motion::default(),
            free_turn: None,
            viewport,
            slide: None,
            remembered: HashMap::new(),
            drawing: false,
            input: InputSettings::default(),
            destination: None,
            um_per_pixel: None,
            mpp: None,
            is_moving: false,
            before: None,
            movement: None,
            is_travelling: false,
            settled: None,
            requested: Vec::new(),
            missing_tiles: MissingTiles::default(),
            buffers: renderer.canvas_buffers(),
            overview: Overview::new(renderer),
            overview_rect: Rect::NOTHING,
            scale_bar_rect: Rect::NOTHING,
            extent: (1.0, 1.0),
            magnification: Magnification::default(),
        }
    }

    /// Magnification of the view, as far as the slide's metadata define it.
    pub fn magnification(&self) -> &Magnification {
        &self.magnification
    }

    /// Number of tiles missing in the last frame.
    pub fn missing_tiles(&self) -> MissingTiles {
        self.missing_tiles
    }

    /// Rectangle of the overview in the last frame, in points.
    pub fn overview_rect(&self) -> Rect {
        self.overview_rect
    }

    /// Rectangle of the scale bar and the notes beside it in the last frame, in points.
    pub fn scale_bar_rect(&self) -> Rect {
        self.scale_bar_rect
    }

    /// The part of the slide in view, in level-0 pixels; may extend beyond the slide's edges.
    pub fn field(&self) -> Option<Level0Rect> {
        self.slide?;
        let (low, high) = self.camera.aligned(self.viewport).bounds(self.viewport);
        let (x, y) = (low.x.round(), low.y.round());
        let extent = |from: f64, to: f64| (to - from).round().max(1.0) as u32;
        Some(Level0Rect::new(x as i64, y as i64, extent(x, high.x), extent(y, high.y)))
    }

    /// The part of the slide in view. Returned once each time the view comes to rest at another position,
    /// rotation or mirroring.
    pub fn settled_field(&mut self) -> Option<Level0Rect> {
        let field = self.field()?;
        let rest = Some((field, self.orientation()));
        if self.is_moving || self.settled == rest {
            return None;
        }
        self.settled = rest;
        Some(field)
    }

    /// Adds the current view to the slide's view history.
    pub fn note_view(&self, view_history: &mut ViewHistory) {
        view_history.looked(&self.camera, self.viewport);
    }

    /// The camera, and the size of the canvas in physical pixels.
    pub fn seen(&self) -> (Camera, (f64, f64)) {
        (self.camera.aligned(self.viewport), (self.viewport.width, self.viewport.height))
    }

    /// Brings a rectangle of the slide into view.
    pub fn go_to(&mut self, target: Level0Rect, framing: Framing) {
        self.destination = Some((target, framing, None));
    }

    /// Restores an earlier view with its rotation and mirroring, unless another destination is already set.
    pub fn restore(&mut self, field: Level0Rect, orientation: Orientation) {
        self.destination.get_or_insert((field, Framing::Field, Some(orientation)));
    }

    /// Rotation and mirroring of the slide on the screen.
    pub fn orientation(&self) -> Orientation {
        self.camera.orientation()
    }

    /// Forgets the current µm per screen pixel: the next tile is shown at a magnification that suits it.
    pub fn forget_scale(&mut self) {
        self.um_per_pixel = None;
    }

    /// Shows the whole slide.
    pub fn fit(&mut self) {
        let fit = self.camera.fitted(self.extent.0, self.extent.1, self.viewport);
        self.motion.fly(&self.camera, fit.center, fit.zoom);
    }

    /// Turns the slide clockwise about the centre of the view.
    pub fn turn_by(&mut self, degrees: f64) {
        self.motion.turn_by(&self.camera, degrees.to_radians(), self.viewport.center());
    }

    /// Mirrors the view about its centre.
    pub fn mirror(&mut self, mirror: Mirror) {
        self.motion.finish_turn(&mut self.camera, self.viewport);
        self.motion.stop();
        match mirror {
            Mirror::LeftRight => self.camera.mirror_left_right(),
            Mirror::TopBottom => self.camera.mirror_top_bottom(),
        }
    }

    /// Removes all rotation and mirroring.
    pub fn make_upright(&mut self) {
        self.motion.finish_turn(&mut self.camera, self.viewport);
        (self.camera.flip_horizontal, self.camera.flip_vertical) = (false, false);
        self.motion.turn_upright(&self.camera, self.viewport.center());
    }

    /// Zooms about the centre of the view.
    pub fn zoom_by(&mut self, factor: f64) {
        self.zoom_by_about(factor, self.viewport.center());
    }

    fn zoom_by_about(&mut self, factor: f64, anchor: ScreenPoint) {
        let (camera, extent, viewport) = (self.camera, self.extent, self.viewport);
        self.motion.zoom_by(&self.camera, factor, anchor, |zoom| {
            camera.clamp_zoom(zoom, extent.0, extent.1, viewport)
        });
    }

    /// Zooms to one level-0 pixel per screen pixel.
    pub fn zoom_to_pixels(&mut self) {
        self.motion.zoom_to(1.0, self.viewport.center());
    }

    /// Zooms to a magnification such as 10×. Returns `false` if the slide's magnification is unknown.
    pub fn zoom_to_magnification(&mut self, power: f64) -> bool {
        let Some(zoom) = self.magnification.zoom_for(power) else { return false };
        let zoom = self.camera.clamp_zoom(zoom, self.extent.0, self.extent.1, self.viewport);
        self.motion.zoom_to(zoom, self.viewport.center());
        true
    }

    /// Moves the view by a fraction of the canvas per step; (1, 0) moves it to the right.
    pub fn step(&mut self, right: f64, down: f64) {
        let (width, height) = (self.viewport.width, self.viewport.height);
        self.motion.pan_by(-right * width * ARROW_STEP, -down * height * ARROW_STEP);
    }

    /// Returns the movement of the view in the last frame, once.
    pub fn take_movement(&mut self) -> Option<ViewMovement> {
        self.movement.take()
    }

    /// Repeats the movement of another view: over the same distance in µm if both slides are calibrated,
    /// otherwise over the same number of screen pixels.
    pub fn move_along(&mut self, lead: &ViewMovement) {
        if self.slide.is_none() {
            return;
        }
        let scale = match (lead.mpp, self.mpp) {
            (Some(theirs), Some(own)) => theirs.screen_um() / own.screen_um(),
            _ => lead.zoom / self.camera.zoom,
        };
        self.motion.stop();
        self.camera.move_along(&lead.movement, scale);
        self.camera.clamp(self.extent.0, self.extent.1, self.viewport);
        self.before = Some(self.camera);
    }

    /// Withdraws all tile requests of this canvas before it is closed.
    pub fn close(&self, loader: &TileLoader) {
        loader.want(self.key, Vec::new());
    }

    /// Forgets a slide that has been closed.
    pub fn forget(&mut self, slide: SlideKey) {
        self.remembered.remove(&slide);
        if self.slide == Some(slide) {
            self.slide = None;
        }
    }

    /// Keeps the view of a slide whose key has changed.
    pub fn rename(&mut self, old: SlideKey, new: SlideKey) {
        if let Some(camera) = self.remembered.remove(&old) {
            self.remembered.insert(new, camera);
        }
        if self.slide == Some(old) {
            self.slide = Some(new);
        }
    }

    /// Level-0 position under the screen point `at`. `canvas` is the rectangle of the canvas on the screen;
    /// `scale` is physical pixels per point.
    pub fn level0_at(&self, at: Pos2, canvas: Rect, scale: f32) -> Level0Point {
        let from = on_whole_pixels(canvas, scale).min;
        let screen =
            ScreenPoint { x: f64::from((at.x - from.x) * scale), y: f64::from((at.y - from.y) * scale) };
        self.camera.level0_from_screen(screen, self.viewport)
    }

    /// Draws the scene into all remaining space and handles the user's input there.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        scene: &Scene<'_>,
        annotator: &mut Annotator,
        renderer: &mut SlideRenderer,
        loader: &TileLoader,
        palette: &Palette,
    ) -> CanvasOutcome {
        let scale = ui.ctx().pixels_per_point();
        let rect = on_whole_pixels(ui.available_rect_before_wrap(), scale);
        let response = ui.allocate_rect(rect, Sense::click_and_drag());
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, "slide canvas"));
        self.look_at(scene, rect, scale);

        let overview = self.overview.rect(rect, self.camera.stretch.extent(self.extent));
        self.overview_rect = overview;
        let mut outcome = CanvasOutcome::default();
        let before = self.camera.aligned(self.viewport);
        if let Some(annotations) = &scene.annotations {
            annotator.finish_pending(self.key, annotations);
        }
        let taken =
            scene.annotations.as_ref().filter(|_| !self.drawing).map_or_else(Taken::default, |annotations| {
                let on_screen = overlay::OnScreen { camera: &before, viewport: self.viewport, rect, scale };
                annotator.handle(self.key, ui, &response, &on_screen, annotations)
            });
        self.handle_input(ui, &response, (overview, taken), scale, &mut outcome);
        let pressed = ui.input(|input| input.pointer.any_pressed());
        outcome.pressed = pressed && response.is_pointer_button_down_on();
        let magnification = self.magnification;
        outcome.response = Some(response.clone());
        let hint = |at| Some(scene.view_history?.label_at(at, &magnification));
        if let Some(center) = self.overview.interact(ui, overview, self.extent, hint) {
            outcome.pressed |= pressed;
            self.motion.stop();
            self.camera.center = center;
        }
        let seconds = f64::from(ui.input(|input| input.stable_dt));
        self.is_moving = self.motion.step(&mut self.camera, self.viewport, seconds) || response.dragged();
        if self.is_moving {
            ui.ctx().request_repaint();
        }
        self.camera.clamp(self.extent.0, self.extent.1, self.viewport);

        let movement = self.before.and_then(|before| self.camera.movement_since(&before));
        let (zoom, mpp) = (self.before.unwrap_or(self.camera).zoom, self.mpp);
        self.movement =
            movement.filter(|_| !self.is_travelling).map(|movement| ViewMovement { movement, zoom, mpp });
        self.is_travelling &= self.is_moving;
        self.before = Some(self.camera);

        let camera = self.camera.aligned(self.viewport);
        self.paint(ui, rect, &camera, scene, renderer, loader, palette);
        let painter = ui.painter_at(rect);
        let on_screen = overlay::OnScreen { camera: &camera, viewport: self.viewport, rect, scale };
        if let Some((tissue, span)) = scene.tissue {
            overlay::picture(&painter, &on_screen, tissue, span, 1.0);
        }
        if let Some((heat, span, opacity)) = scene.heat {
            overlay::picture(&painter, &on_screen, heat, span, opacity);
        }
        if scene.guides.grid {
            let (extent, fixed) = (self.extent, scene.guides.grid_um);
            guides::grid_ui(&painter, &on_screen, extent, scene.mpp, fixed, palette);
        }
        if let Some(annotations) = &scene.annotations {
            annotator.paint(self.key, (ui, &response), &on_screen, annotations, palette);
        }
        for pair in scene.pairs {
            overlay::pair(&painter, &on_screen, pair, palette.casing);
        }
        overlay::ranks(&painter, &on_screen, scene.ranks.iter().copied(), palette);
        if let Some(query) = scene.query {
            overlay::outline(&painter, &on_screen, query, theme::EXAMPLE, palette.casing);
        }
        if let Some(visited) = scene.visited {
            overlay::outline(&painter, &on_screen, visited, palette.visited, palette.casing);
        }
        let gaps: Vec<_> = renderer.atlas.gaps(scene.pyramid.key()).map(|(_, gap)| gap.clone()).collect();
        overlay::gaps(&painter, &on_screen, &gaps, palette);
        if let Some(gap) = outcome.hovered.and_then(|at| gaps.iter().find(|gap| gap.rect.contains(at))) {
            response.on_hover_text_at_pointer(format!("This part could not be read.\n{}", gap.reason));
        }
        if scene.guides.crosshair {
            guides::crosshair_ui(&painter, &on_screen, palette);
        }
        let bar = scale::bar_ui(&painter, rect, &camera, scene.mpp, scale, palette);
        self.scale_bar_rect = scale::notes_ui(&painter, rect, bar, &camera, scene.note, palette);
        self.overview.paint(ui, overview, &camera, self.viewport, scene, renderer, palette);
        outcome
    }

    /// Switches to the scene's slide, follows changes of the canvas size, and starts moving to a pending
    /// destination.
    fn look_at(&mut self, scene: &Scene<'_>, rect: Rect, scale: f32) {
        let level = scene.pyramid.levels()[0];
        self.extent = (level.width.into(), level.height.into());
        let before = self.viewport;
        let px = |points: f32| f64::from((points * scale).round());
        self.viewport = Viewport::new(px(rect.width()), px(rect.height()));
        let is_new = self.slide != Some(scene.pyramid.key());
        let stretch = Stretch::of(scene.mpp);
        let is_of_other_shape = before != self.viewport || self.camera.stretch != stretch;
        if is_new || is_of_other_shape {
            self.before = None;
        }
        self.mpp = scene.mpp;
        if is_new {
            if let Some(previous) = self.slide.replace(scene.pyramid.key()) {
                self.remembered.insert(previous, self.camera);
            }
            self.motion.stop();
            self.settled = None;
            let known = self.remembered.get(&scene.pyramid.key()).map(|known| Camera { stretch, ..*known });
            self.camera = known.unwrap_or_else(|| {
                Camera::fit_stretched(self.extent.0, self.extent.1, stretch, self.viewport)
            });
        } else if is_of_other_shape {
            let was_fitted = self.camera == self.camera.fitted(self.extent.0, self.extent.1, before);
            self.camera.stretch = stretch;
            if was_fitted {
                // A view of the whole slide still shows the whole slide after a panel opens, the window is
                // resized or the slide is calibrated.
                self.camera = self.camera.fitted(self.extent.0, self.extent.1, self.viewport);
            }
        }
        if let Some((target, framing, orientation)) = self.destination.take() {
            if let Some(orientation) = orientation {
                self.motion.finish_turn(&mut self.camera, self.viewport);
                self.camera.set_orientation(orientation);
            }
            let zoom = self.zoom_for(target, framing, scene.mpp);
            if is_new {
                (self.camera.center, self.camera.zoom) = (target.center(), zoom);
            } else {
                self.motion.fly(&self.camera, target.center(), zoom);
                self.is_travelling = true;
            }
        }
        self.um_per_pixel = scene.mpp.map(|mpp| mpp.screen_um() / self.camera.zoom);
        self.magnification = Magnification::of(self.camera.zoom, scene.mpp, scene.objective_power);
    }

    fn zoom_for(&self, target: Level0Rect, framing: Framing, mpp: Option<MicronsPerPixel>) -> f64 {
        let (width, height) = (f64::from(target.width), f64::from(target.height));
        let zoom = match framing {
            Framing::Field => self.camera.zoom_to_span(width, height, self.viewport),
            Framing::Tile => {
                let room = self.camera.zoom_to_contain(width, height, self.viewport);
                let same = mpp.zip(self.um_per_pixel).map(|(mpp, um)| mpp.screen_um() / um);
                same.filter(|zoom| (0.2..0.6).contains(&(zoom / room))).unwrap_or(room * 0.28)
            }
        };
        self.camera.clamp_zoom(zoom, self.extent.0, self.extent.1, self.viewport)
    }

    #[expect(clippy::too_many_arguments, reason = "all of them are what one frame needs")]
    fn paint(
        &mut self,
        ui: &Ui,
        rect: Rect,
        camera: &Camera,
        scene: &Scene<'_>,
        renderer: &mut SlideRenderer,
        loader: &TileLoader,
        palette: &Palette,
    ) {
        ui.painter().rect_filled(rect, 0.0, palette.canvas);
        let viewport = self.viewport;
        let plan_with =
            |atlas: &TileAtlas| plan_tiles(scene.pyramid, camera, viewport, |tile| atlas.state(tile));
        let mut plan = plan_with(&renderer.atlas);
        // Tiles that were seen before are taken from the cache and drawn in the same frame.
        if plan.missing_tiles.sharp > 0 && plan.want != self.requested {
            let kept = loader.take_kept(&plan.want[..plan.in_view], KEPT_PER_FRAME);
            if !kept.is_empty() {
                // Mark the tiles that this view already draws as used, so that they are not evicted for the
                // others.
                for tile in &plan.draw {
                    renderer.atlas.draw(*tile);
                }
                for Loaded { key, tile, .. } in kept {
                    renderer.atlas.put_back(key, tile, key == scene.pyramid.root());
                }
                plan = plan_with(&renderer.atlas);
            }
        }
        let atlas = &renderer.atlas;
        self.missing_tiles = plan.missing_tiles;
        if plan.want != self.requested {
            loader.want(self.key, plan.want.clone());
            self.requested = plan.want;
        }
        if plan.draw.iter().any(|tile| atlas.state(*tile) == TileState::Fading) {
            ui.ctx().request_repaint();
        }
        let picture = Picture {
            pyramid: scene.pyramid,
            camera,
            viewport: self.viewport,
            tiles: &plan.draw,
            marks: scene.marks,
            glass: scene.glass(palette),
            shading: scene.shading,
            profile: scene.profile,
        };
        ui.painter_at(rect).add(renderer.paint(rect, &self.buffers, &picture));
    }
}

/// Rounds the edges of a rectangle to physical pixels, so that slide pixels can be aligned with them exactly.
fn on_whole_pixels(rect: Rect, scale: f32) -> Rect {
    let snap = |at: Pos2| Pos2::new((at.x * scale).round() / scale, (at.y * scale).round() / scale);
    Rect::from_min_max(snap(rect.min), snap(rect.max))
}

/// Returns `color` with straight alpha (0 to 1), in the format of the mark pipeline.
pub fn mark_color(color: Color32, alpha: f32) -> [u8; 4] {
    let [r, g, b, _] = color.to_srgba_unmultiplied();
    [r, g, b, (alpha.clamp(0.0, 1.0) * 255.0).round() as u8]
}
