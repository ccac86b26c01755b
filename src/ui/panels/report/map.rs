//! The map of the descriptors: points by class, slide or patient; hover tells the tile, a click goes there.

use egui::{Color32, Pos2, Rect, RichText, Sense, Stroke, Ui, Vec2};

use super::charts::COLORS;
use super::points::{MapPoint, MapRenderer, PointSet, PointView};
use super::{caption_of, place_of};
use crate::evaluation::report::Map;
use crate::evaluation::sample::Sample;
use crate::geometry::Level0Rect;
use crate::query::Match;
use crate::session::{Command, Session};
use crate::ui::app::Asked;
use crate::ui::theme::Palette;

/// What the colours of the points mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Coloured {
    #[default]
    Class,
    Slide,
    Patient,
}

/// Where the user looks on the map, and what is on the graphics card.
#[derive(Default)]
pub struct MapView {
    coloured: Coloured,
    /// Position on the map of the canvas centre, and points of the screen per unit of the map; nothing until
    /// the map was first shown.
    at: Option<([f32; 2], f32)>,
    uploaded: Option<(Coloured, PointSet)>,
}

impl MapView {
    /// Another map is to be shown.
    pub fn forget(&mut self) {
        self.at = None;
        self.uploaded = None;
    }
}

const HEIGHT: f32 = 460.0;
const RADIUS: f32 = 3.0;
/// Points nearer to the pointer than this are meant, in points of the screen.
const REACH: f32 = 8.0;

#[expect(clippy::too_many_arguments, reason = "what is shown, and on what")]
pub fn map_ui(
    ui: &mut Ui,
    session: &Session,
    map: &Map,
    sample: &Sample,
    view: &mut MapView,
    renderer: &MapRenderer,
    palette: &Palette,
    asked: &mut Asked,
) {
    legend_ui(ui, sample, view, palette);
    let (rect, response) =
        ui.allocate_exact_size(Vec2::new(ui.available_width(), HEIGHT), Sense::click_and_drag());
    ui.painter().rect_filled(rect, 6.0, palette.canvas);
    let (center, zoom) = view.at.get_or_insert_with(|| whole(map, rect));
    center[0] -= response.drag_delta().x / *zoom;
    center[1] += response.drag_delta().y / *zoom;
    if let Some(pointer) = response.hover_pos() {
        let steps = ui.input(|input| input.zoom_delta());
        if steps != 1.0 {
            let before = on_map(pointer, rect, *center, *zoom);
            *zoom *= steps;
            let after = on_map(pointer, rect, *center, *zoom);
            center[0] += before[0] - after[0];
            center[1] += before[1] - after[1];
        }
    }
    if response.double_clicked() {
        (*center, *zoom) = whole(map, rect);
    }
    let (center, zoom) = (*center, *zoom);
    let coloured = view.coloured;
    if view.uploaded.as_ref().is_none_or(|(known, _)| *known != coloured) {
        let points: Vec<MapPoint> = map
            .points
            .iter()
            .enumerate()
            .map(|(tile, at)| MapPoint {
                at: *at,
                color: color_of(sample, tile, coloured, palette).to_array(),
            })
            .collect();
        view.uploaded = Some((coloured, renderer.upload(&points)));
    }
    if let Some((_, points)) = &view.uploaded {
        let half = rect.size() / 2.0;
        let per_unit = [zoom / half.x, zoom / half.y];
        let radius = [RADIUS / half.x, RADIUS / half.y];
        let view = PointView { center, scale: per_unit, radius, unused: [0.0; 2] };
        ui.painter().add(renderer.paint(rect, view, points));
    }
    let painter = ui.painter().with_clip_rect(rect);
    for tile in matched(session, sample) {
        let at = on_screen(map.points[tile as usize], rect, center, zoom);
        painter.circle_stroke(at, RADIUS + 2.0, Stroke::new(1.5, palette.query));
    }
    let Some(tile) = response.hover_pos().and_then(|pointer| nearest(map, pointer, rect, center, zoom))
    else {
        return;
    };
    painter.circle_stroke(
        on_screen(map.points[tile as usize], rect, center, zoom),
        RADIUS + 3.0,
        Stroke::new(2.0, palette.strong),
    );
    let clicked = response.clicked();
    response.on_hover_text_at_pointer(caption_of(sample, tile));
    if clicked && let Some((slide, rect)) = place_of(sample, tile) {
        asked.command(Command::GoToTile { slide, rect, from: None });
    }
}

fn legend_ui(ui: &mut Ui, sample: &Sample, view: &mut MapView, palette: &Palette) {
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new("coloured by").color(palette.weak));
        for (coloured, name) in
            [(Coloured::Class, "class"), (Coloured::Slide, "slide"), (Coloured::Patient, "patient")]
        {
            ui.selectable_value(&mut view.coloured, coloured, name);
        }
        ui.add_space(12.0);
        let names: Vec<&str> = match view.coloured {
            Coloured::Class => sample.classes.iter().map(String::as_str).collect(),
            Coloured::Slide => sample.slides.iter().map(|slide| slide.name.as_str()).collect(),
            Coloured::Patient => Vec::new(),
        };
        for (place, name) in names.iter().enumerate().take(COLORS.len()) {
            let (dot, _) = ui.allocate_exact_size(Vec2::splat(9.0), Sense::hover());
            ui.painter().circle_filled(dot.center(), 4.0, COLORS[place]);
            ui.label(RichText::new(*name).small());
        }
    });
}

fn color_of(sample: &Sample, tile: usize, coloured: Coloured, palette: &Palette) -> Color32 {
    let place = match coloured {
        Coloured::Class => sample.tiles.classes[tile].map(|class| usize::from(class.0)),
        Coloured::Slide => Some(sample.tiles.slides[tile] as usize),
        Coloured::Patient => Some(sample.tiles.patients[tile] as usize),
    };
    place.map_or(palette.pressed, |place| COLORS[place % COLORS.len()])
}

/// Centre and scale that show the whole map.
fn whole(map: &Map, rect: Rect) -> ([f32; 2], f32) {
    let bounds = |axis: usize| {
        map.points.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), point| {
            (low.min(point[axis]), high.max(point[axis]))
        })
    };
    let ((left, right), (bottom, top)) = (bounds(0), bounds(1));
    let span = Vec2::new((right - left).max(1e-6), (top - bottom).max(1e-6));
    let zoom = 0.94 * (rect.width() / span.x).min(rect.height() / span.y);
    ([(left + right) / 2.0, (bottom + top) / 2.0], zoom)
}

fn on_screen(point: [f32; 2], rect: Rect, center: [f32; 2], zoom: f32) -> Pos2 {
    rect.center() + Vec2::new(point[0] - center[0], center[1] - point[1]) * zoom
}

fn on_map(at: Pos2, rect: Rect, center: [f32; 2], zoom: f32) -> [f32; 2] {
    let from = (at - rect.center()) / zoom;
    [center[0] + from.x, center[1] - from.y]
}

/// The point nearest to the pointer, if one is near.
fn nearest(map: &Map, pointer: Pos2, rect: Rect, center: [f32; 2], zoom: f32) -> Option<u32> {
    let at = on_map(pointer, rect, center, zoom);
    let squared = |point: &[f32; 2]| (point[0] - at[0]).powi(2) + (point[1] - at[1]).powi(2);
    let (tile, point) = (0..).zip(&map.points).min_by(|a, b| squared(a.1).total_cmp(&squared(b.1)))?;
    (squared(point).sqrt() * zoom <= REACH).then_some(tile)
}

/// Tiles of the sample that the current query has found.
fn matched(session: &Session, sample: &Sample) -> Vec<u32> {
    let Some(answer) = session.query().and_then(|query| query.answer.as_ref()) else { return Vec::new() };
    let is_match = |(tile, rect): &(u32, &Level0Rect)| {
        let slide = sample.tiles.slides[*tile as usize] as usize;
        let is_same = |found: &Match| found.rect == **rect && found.slide.0 == sample.slides[slide].id;
        answer.matches.iter().any(is_same)
    };
    (0..).zip(&sample.rects).filter(is_match).map(|(tile, _)| tile).collect()
}
