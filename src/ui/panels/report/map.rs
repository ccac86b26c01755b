//! The map of the descriptors, coloured by class, slide, patient or distance to the query. Hovering over a
//! point shows its tile, a click goes to it, and a lasso selects points.

use egui::{Color32, Key, Pos2, Rect, Response, RichText, Sense, Shape, Stroke, Ui, Vec2};

use super::super::picture_ui;
use super::charts::COLORS;
use super::points::{MapPoint, MapRenderer, PointSet, PointView};
use super::{caption_of, tile_of};
use crate::evaluation::map::MapKind;
use crate::evaluation::report::Map;
use crate::evaluation::sample::Sample;
use crate::evaluation::study::Study;
use crate::number_format::counted;
use crate::query::{Judgement, TilePosition};
use crate::session::{
    AnnotationCommand, EvaluationCommand, MarkedTissue, QueryCommand, Session, SlideCommand, ViewCommand,
};
use crate::ui::app::Requests;
use crate::ui::shown_slides::ShownSlides;
use crate::ui::theme::Palette;

/// Property that decides the colour of the points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Coloured {
    #[default]
    Class,
    Slide,
    Patient,
    /// Descriptor distance to the current query.
    Distance,
}

/// Everything that decides the colours of the points. They are uploaded to the GPU again when it changes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ColourState {
    coloured: Coloured,
    /// Generation of the query whose distances are shown.
    query: Option<u64>,
    /// Counter of changes of the selection.
    selection: u32,
    dark: bool,
}

/// State of the map: view, selection, and the points on the GPU.
#[derive(Default)]
pub struct MapView {
    coloured: Coloured,
    kind: MapKind,
    /// Map position of the canvas centre, and screen points per map unit; `None` until the map is first
    /// drawn.
    at: Option<([f32; 2], f32)>,
    uploaded: Option<(ColourState, PointSet)>,
    /// Whether dragging draws a lasso.
    lasso: bool,
    /// The lasso being drawn, in map positions.
    line: Vec<[f32; 2]>,
    /// Indices of the selected tiles, ascending.
    chosen: Vec<u32>,
    /// Counter of changes of `chosen`.
    selection: u32,
    /// Generation of the query whose distances were requested.
    requested: Option<u64>,
}

impl MapView {
    /// Resets everything that belongs to the current map.
    pub fn forget(&mut self) {
        *self = Self { coloured: self.coloured, kind: self.kind, lasso: self.lasso, ..Self::default() };
    }

    /// Returns the map of the selected kind, or any map if there is none of this kind.
    pub fn shown<'a>(&self, maps: &'a [Map]) -> Option<&'a Map> {
        maps.iter().find(|map| map.kind == self.kind).or(maps.first())
    }

    fn choose(&mut self, chosen: Vec<u32>) {
        self.chosen = chosen;
        self.selection += 1;
    }
}

/// Height of the map in screen points.
const HEIGHT: f32 = 520.0;
/// Radius of a point in screen points.
const RADIUS: f32 = 3.0;
/// Maximum distance from the pointer to the point under it, in screen points.
const REACH: f32 = 8.0;
/// Side of the tile image in the tooltip, in screen points.
const PICTURE: f32 = 150.0;

/// Everything that the map is drawn from.
pub struct MapContext<'a> {
    /// The session.
    pub session: &'a Session,
    /// The evaluation whose tiles are shown.
    pub study: &'a Study,
    /// Positions of the tiles.
    pub map: &'a Map,
    /// Draws the points.
    pub renderer: &'a MapRenderer,
    /// Colours of the window.
    pub palette: &'a Palette,
}

/// Draws the map with its legend.
pub fn map_ui(
    ui: &mut Ui,
    context: &MapContext<'_>,
    view: &mut MapView,
    shown: &mut ShownSlides,
    requests: &mut Requests,
) {
    let MapContext { session, study, map, palette, .. } = *context;
    let sample = &study.sample;
    legend_ui(ui, session, sample, view, palette, requests);
    chosen_ui(ui, session, sample, view, palette, requests);
    let (rect, response) =
        ui.allocate_exact_size(Vec2::new(ui.available_width(), HEIGHT), Sense::click_and_drag());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "map of the descriptors"));
    ui.painter().rect_filled(rect, 6.0, palette.canvas);
    let (mut center, mut zoom) = *view.at.get_or_insert_with(|| whole(map, rect));
    if view.lasso {
        lasso_ui(ui, &response, map, view, rect, (center, zoom));
    } else {
        center[0] -= response.drag_delta().x / zoom;
        center[1] += response.drag_delta().y / zoom;
    }
    if let Some(pointer) = response.hover_pos() {
        let steps = ui.input(|input| input.zoom_delta());
        if steps != 1.0 {
            let before = on_map(pointer, rect, center, zoom);
            zoom *= steps;
            let after = on_map(pointer, rect, center, zoom);
            center[0] += before[0] - after[0];
            center[1] += before[1] - after[1];
        }
    }
    if response.double_clicked() {
        (center, zoom) = whole(map, rect);
    }
    view.at = Some((center, zoom));
    points_ui(ui, context, view, rect);
    let painter = ui.painter().with_clip_rect(rect);
    let line: Vec<Pos2> = view.line.iter().map(|point| on_screen(*point, rect, center, zoom)).collect();
    painter.add(Shape::line(line, Stroke::new(1.5, palette.strong)));
    for tile in matched(session, study) {
        let at = on_screen(map.points[tile as usize], rect, center, zoom);
        painter.circle_stroke(at, RADIUS + 2.0, Stroke::new(1.5, palette.query));
    }
    let under = response.hover_pos().filter(|_| view.line.is_empty());
    let Some(tile) = under.and_then(|pointer| nearest(map, pointer, rect, center, zoom)) else { return };
    let at = on_screen(map.points[tile as usize], rect, center, zoom);
    painter.circle_stroke(at, RADIUS + 3.0, Stroke::new(2.0, palette.strong));
    let clicked = response.clicked();
    tile_hint_ui(response, context, tile, shown, requests);
    if clicked && let Some((slide, rect)) = tile_of(sample, tile) {
        requests.command(ViewCommand::GoToTile { slide, rect, from: None });
    }
}

/// Draws the tooltip of the tile under the pointer: its image and caption.
fn tile_hint_ui(
    response: Response,
    context: &MapContext<'_>,
    tile: u32,
    shown: &mut ShownSlides,
    requests: &mut Requests,
) {
    let MapContext { session, study, palette, .. } = *context;
    response.on_hover_ui_at_pointer(|ui| {
        if let Some((slide, rect)) = tile_of(&study.sample, tile) {
            let picture = shown.picture(session, ui.ctx(), &slide, rect);
            let (image, _) = ui.allocate_exact_size(Vec2::splat(PICTURE), Sense::hover());
            picture_ui(ui, image, picture.as_ref(), palette);
            if picture.is_none() {
                requests.command(SlideCommand::ReadTile { slide, rect });
            }
        }
        ui.label(caption_of(&study.sample, tile));
    });
}

/// Handles the lasso: releasing the button selects the enclosed points, Escape cancels.
fn lasso_ui(
    ui: &Ui,
    response: &Response,
    map: &Map,
    view: &mut MapView,
    rect: Rect,
    (center, zoom): ([f32; 2], f32),
) {
    if let (true, Some(pointer)) = (response.dragged(), response.interact_pointer_pos()) {
        view.line.push(on_map(pointer, rect, center, zoom));
    }
    if ui.input(|input| input.key_pressed(Key::Escape)) {
        view.line.clear();
    }
    if response.drag_stopped() {
        let line = std::mem::take(&mut view.line);
        let inside = (0..).zip(&map.points).filter(|(_, point)| encloses(&line, **point));
        let chosen = inside.map(|(tile, _)| tile).collect();
        view.choose(chosen);
    }
}

/// Returns whether a point is inside a closed line, by the even-odd rule.
fn encloses(line: &[[f32; 2]], [x, y]: [f32; 2]) -> bool {
    let edges = line.iter().zip(line.iter().cycle().skip(1));
    let crossed = edges
        .filter(|(a, b)| (a[1] > y) != (b[1] > y) && x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
    crossed.count() % 2 == 1
}

fn points_ui(ui: &Ui, context: &MapContext<'_>, view: &mut MapView, rect: Rect) {
    let MapContext { session, study, map, renderer, palette } = *context;
    let distances = session.distances().filter(|_| view.coloured == Coloured::Distance);
    let state = ColourState {
        coloured: view.coloured,
        query: distances.map(|_| session.generation()),
        selection: view.selection,
        dark: ui.visuals().dark_mode,
    };
    if view.uploaded.as_ref().is_none_or(|(known, _)| *known != state) {
        let typical = distances.map_or(1.0, |distances| median(distances));
        let color_of = |tile: usize| {
            let color = match distances {
                Some(distances) => distance_color(distances[tile] / typical, palette),
                None => color_of(&study.sample, tile, view.coloured, palette),
            };
            let is_chosen = view.chosen.is_empty() || view.chosen.binary_search(&(tile as u32)).is_ok();
            if is_chosen { color } else { color.gamma_multiply(0.18) }
        };
        let points: Vec<MapPoint> = map
            .points
            .iter()
            .enumerate()
            .map(|(tile, at)| MapPoint { at: *at, color: color_of(tile).to_srgba_unmultiplied() })
            .collect();
        view.uploaded = Some((state, renderer.upload(&points)));
    }
    if let (Some((_, points)), Some((center, zoom))) = (&view.uploaded, view.at) {
        let half = rect.size() / 2.0;
        let (scale, radius) = ([zoom / half.x, zoom / half.y], [RADIUS / half.x, RADIUS / half.y]);
        let view = PointView { center, scale, radius, unused: [0.0; 2] };
        ui.painter().add(renderer.paint(rect, view, points));
    }
}

fn legend_ui(
    ui: &mut Ui,
    session: &Session,
    sample: &Sample,
    view: &mut MapView,
    palette: &Palette,
    requests: &mut Requests,
) {
    ui.horizontal_wrapped(|ui| {
        let before = view.kind;
        for kind in [MapKind::Umap, MapKind::Pca] {
            ui.selectable_value(&mut view.kind, kind, kind.name());
        }
        if view.kind != before {
            (view.at, view.uploaded) = (None, None);
        }
        ui.add_space(12.0);
        ui.label(RichText::new("coloured by").color(palette.weak));
        let kinds = [
            (Coloured::Class, "class"),
            (Coloured::Slide, "slide"),
            (Coloured::Patient, "patient"),
            (Coloured::Distance, "distance to the query"),
        ];
        for (coloured, name) in kinds {
            ui.selectable_value(&mut view.coloured, coloured, name);
        }
        ui.add_space(12.0);
        let hint = "Draw a line around points to select their tiles, to search with them, to mark or to annotate them";
        ui.toggle_value(&mut view.lasso, "Lasso").on_hover_text(hint);
        ui.add_space(12.0);
        match view.coloured {
            Coloured::Class => names_ui(ui, sample.classes.iter().map(String::as_str), palette),
            Coloured::Slide => names_ui(ui, sample.slides.iter().map(|slide| slide.name.as_str()), palette),
            Coloured::Patient => {}
            Coloured::Distance => {
                let text = match (session.query().is_some(), session.distances().is_some()) {
                    (false, _) => "Click a tile on a slide first.",
                    (true, false) => "Comparing…",
                    (true, true) => "bright: similar; dark: median distance or more",
                };
                ui.label(RichText::new(text).small().color(palette.weak));
            }
        }
    });
    let query = session.query().map(|_| session.generation());
    if view.coloured == Coloured::Distance && session.distances().is_none() && view.requested != query {
        view.requested = query;
        requests.command(EvaluationCommand::MeasureDistances);
    }
}

fn names_ui<'a>(ui: &mut Ui, names: impl Iterator<Item = &'a str>, palette: &Palette) {
    for (index, name) in names.enumerate() {
        let (dot, _) = ui.allocate_exact_size(Vec2::splat(9.0), Sense::hover());
        ui.painter().circle_filled(dot.center(), 4.0, COLORS[index % COLORS.len()]);
        ui.label(RichText::new(name).small().color(palette.text));
    }
}

/// Draws the actions on the selected tiles.
fn chosen_ui(
    ui: &mut Ui,
    session: &Session,
    sample: &Sample,
    view: &mut MapView,
    palette: &Palette,
    requests: &mut Requests,
) {
    if view.chosen.is_empty() {
        return;
    }
    let positions = |rows: &[u32]| -> Vec<TilePosition> {
        let position = |row: &u32| tile_of(sample, *row).map(|(slide, rect)| TilePosition { slide, rect });
        rows.iter().filter_map(position).collect()
    };
    ui.horizontal_wrapped(|ui| {
        let text = format!("{} selected", counted(view.chosen.len() as u64, "tile"));
        ui.label(RichText::new(text).color(palette.strong));
        if ui.button("Find similar").on_hover_text("Search for similar tiles on all slides").clicked() {
            requests.command(QueryCommand::Tiles(positions(&view.chosen)));
        }
        let marks = [
            (Judgement::Same, "Mark as same", "Mark these tiles as what the query looks for"),
            (
                Judgement::Different,
                "Mark as different",
                "Mark these tiles as different from what the query looks for",
            ),
        ];
        for (judgement, name, hint) in marks {
            let enabled = judgement == Judgement::Same || session.query().is_some();
            let button = ui.add_enabled(enabled, egui::Button::new(name)).on_hover_text(hint);
            if button.on_disabled_hover_text("Search for some tissue first").clicked() {
                let tissue = MarkedTissue::Tiles(positions(&view.chosen));
                requests.command(QueryCommand::Mark { tissue, judgement });
            }
        }
        ui.menu_button("Annotate as", |ui| {
            for class in session.project().classes() {
                if ui.button(&class.name).clicked() {
                    let tiles = positions(&view.chosen);
                    requests.command(AnnotationCommand::AnnotateTiles { tiles, class });
                    ui.close();
                }
            }
        });
        if ui.button("Clear selection").clicked() {
            view.choose(Vec::new());
        }
    });
}

fn color_of(sample: &Sample, tile: usize, coloured: Coloured, palette: &Palette) -> Color32 {
    let index = match coloured {
        Coloured::Class => sample.tiles.classes[tile].map(|class| usize::from(class.0)),
        Coloured::Slide => Some(sample.tiles.slides[tile] as usize),
        Coloured::Patient => Some(sample.tiles.patients[tile] as usize),
        Coloured::Distance => None,
    };
    index.map_or(palette.pressed, |index| COLORS[index % COLORS.len()])
}

/// Colour of a point at a distance given as a share of the median distance: the query's colour at 0, a
/// neutral colour from 1 on.
fn distance_color(share: f32, palette: &Palette) -> Color32 {
    if share.is_finite() {
        palette.query.lerp_to_gamma(palette.pressed, share.clamp(0.0, 1.0))
    } else {
        palette.line
    }
}

fn median(distances: &[f32]) -> f32 {
    let mut known: Vec<f32> = distances.iter().copied().filter(|distance| distance.is_finite()).collect();
    let middle = known.len() / 2;
    if known.is_empty() {
        return 1.0;
    }
    known.select_nth_unstable_by(middle, f32::total_cmp).1.max(f32::MIN_POSITIVE)
}

/// Returns the centre and scale that show the whole map.
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

/// Returns the point nearest to the pointer, if one is within [`REACH`].
fn nearest(map: &Map, pointer: Pos2, rect: Rect, center: [f32; 2], zoom: f32) -> Option<u32> {
    let at = on_map(pointer, rect, center, zoom);
    let squared = |point: &[f32; 2]| (point[0] - at[0]).powi(2) + (point[1] - at[1]).powi(2);
    let (tile, point) = (0..).zip(&map.points).min_by(|a, b| squared(a.1).total_cmp(&squared(b.1)))?;
    (squared(point).sqrt() * zoom <= REACH).then_some(tile)
}

/// Tiles of the evaluation that are matches of the current query.
fn matched(session: &Session, study: &Study) -> Vec<u32> {
    let Some(answer) = session.query().and_then(|query| query.answer.as_ref()) else { return Vec::new() };
    answer.matches.iter().filter_map(|found| study.tile_at(&found.slide, &found.rect)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_what_it_goes_around() {
        let line = [[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [2.0, 1.0], [0.0, 4.0]];
        assert!(encloses(&line, [1.0, 1.0]) && encloses(&line, [3.0, 1.0]));
        assert!(!encloses(&line, [2.0, 3.0]), "in the notch");
        assert!(!encloses(&line, [5.0, 1.0]) && !encloses(&[], [0.0, 0.0]));
    }

    #[test]
    fn the_usual_distance_passes_over_what_is_unknown() {
        assert_eq!(median(&[3.0, f32::NAN, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[f32::NAN]), 1.0);
    }
}
