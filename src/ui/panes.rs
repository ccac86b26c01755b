//! Canvases side by side: the slide of each, which one is active, and whether they move together.

use egui::{Pos2, Rect, Vec2};
use serde::{Deserialize, Serialize};

use super::slide_view::{Framing, SlideRenderer, SlideView};
use crate::geometry::Level0Rect;
use crate::session::Session;
use crate::slide::SlideId;
use crate::slide::pyramid::SlideKey;
use crate::workers::tile_loader::{TileLoader, ViewKey};

/// Distance between two panes, in points.
const GAP: f32 = 3.0;

/// How the canvas is divided into panes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Panes side by side.
    pub columns: usize,
    /// Panes one below the other.
    pub rows: usize,
}

impl Split {
    /// A single pane.
    pub const ONE: Self = Self { columns: 1, rows: 1 };

    /// The available divisions: one pane, two side by side, 2 × 2 and 3 × 3.
    pub const ALL: [Self; 4] =
        [Self::ONE, Self { columns: 2, rows: 1 }, Self { columns: 2, rows: 2 }, Self { columns: 3, rows: 3 }];

    fn panes(self) -> usize {
        self.columns * self.rows
    }

    /// Rectangles of the panes in `area`, row by row.
    pub fn rects(self, area: Rect) -> Vec<Rect> {
        let share = |length: f32, count: usize| (length - GAP * (count - 1) as f32) / count as f32;
        let size = Vec2::new(share(area.width(), self.columns), share(area.height(), self.rows));
        let corner = |index: usize| {
            let (column, row) = ((index % self.columns) as f32, (index / self.columns) as f32);
            area.min + Vec2::new(column * (size.x + GAP), row * (size.y + GAP))
        };
        let at = |corner: Pos2| Rect::from_min_size(corner, size);
        (0..self.panes()).map(|index| at(corner(index))).collect()
    }
}

/// Division and content of the canvas, to be restored at the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layout {
    /// Division into panes.
    pub split: Split,
    /// Whether all panes move together.
    pub linked: bool,
    /// Index of the active pane.
    pub active: usize,
    /// The slide of each pane, row by row.
    #[serde(with = "slides_by_pane")]
    pub slides: Vec<Option<SlideId>>,
}

impl Default for Layout {
    fn default() -> Self {
        Self { split: Split::ONE, linked: false, active: 0, slides: Vec::new() }
    }
}

/// TOML has no null value: a pane without a slide is stored as an empty string.
mod slides_by_pane {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::slide::SlideId;

    /// Writes slide IDs, or an empty string for a pane without a slide.
    ///
    /// # Errors
    /// If the serializer fails.
    pub fn serialize<S: Serializer>(slides: &[Option<SlideId>], serializer: S) -> Result<S::Ok, S::Error> {
        let names: Vec<&str> = slides.iter().map(|slide| slide.as_ref().map_or("", |id| &id.0)).collect();
        names.serialize(serializer)
    }

    /// Reads slide IDs, or an empty string for a pane without a slide.
    ///
    /// # Errors
    /// If the value is not a list of strings.
    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Vec<Option<SlideId>>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let id = |name: String| if name.is_empty() { None } else { Some(SlideId(name)) };
        Ok(names.into_iter().map(id).collect())
    }
}

/// One canvas and the slide that it shows.
pub struct Pane {
    /// The view on the slide.
    pub view: SlideView,
    /// The slide that is shown.
    pub slide: Option<SlideId>,
    /// The slide that was shown before the last start, until it is open again.
    awaited: Option<SlideId>,
}

impl Pane {
    /// Whether the pane waits for a slide to open.
    pub fn awaits(&self) -> bool {
        self.slide.is_none() && self.awaited.is_some()
    }
}

/// All canvases. One of them is always active; it shows the session's active slide.
pub struct Panes {
    panes: Vec<Pane>,
    split: Split,
    active: usize,
    just_activated: bool,
    /// Whether all views move together.
    pub linked: bool,
    /// Index of the pane that always keeps its slide and position: the query's, beside its matches.
    query_pane: Option<usize>,
    keys_given: u32,
    /// The session's active slide at the last call of [`Self::follow`].
    followed: Option<SlideId>,
}

impl Panes {
    /// Creates a single pane without a slide.
    pub fn new(renderer: &SlideRenderer) -> Self {
        let mut panes = Self {
            panes: Vec::new(),
            split: Split::ONE,
            active: 0,
            just_activated: false,
            linked: false,
            query_pane: None,
            keys_given: 0,
            followed: None,
        };
        panes.add(None, renderer);
        panes
    }

    fn add(&mut self, slide: Option<SlideId>, renderer: &SlideRenderer) {
        let view = SlideView::new(ViewKey(self.keys_given), renderer);
        self.keys_given += 1;
        self.panes.push(Pane { view, slide, awaited: None });
    }

    /// The division into panes.
    pub fn split(&self) -> Split {
        self.split
    }

    /// The active view.
    pub fn view(&self) -> &SlideView {
        &self.panes[self.active].view
    }

    /// The active view.
    pub fn view_mut(&mut self) -> &mut SlideView {
        &mut self.panes[self.active].view
    }

    /// The pane at `index`, row by row.
    pub fn pane(&self, index: usize) -> &Pane {
        &self.panes[index]
    }

    /// The pane at `index`, row by row.
    pub fn pane_mut(&mut self, index: usize) -> &mut Pane {
        &mut self.panes[index]
    }

    /// Rectangle of the active pane on a canvas with the rectangle `canvas`.
    pub fn active_rect(&self, canvas: Rect) -> Rect {
        self.split.rects(canvas).get(self.active).copied().unwrap_or(canvas)
    }

    /// Whether the pane at `index` is active.
    pub fn is_active(&self, index: usize) -> bool {
        self.active == index
    }

    /// Divides the canvas. The active pane becomes the first; new panes show the slides that follow its slide
    /// in the list.
    pub fn divide(&mut self, split: Split, session: &Session, renderer: &SlideRenderer, loader: &TileLoader) {
        self.panes.swap(0, self.active);
        self.active = 0;
        for pane in self.panes.drain(split.panes().min(self.panes.len())..) {
            pane.view.close(loader);
        }
        let ids: Vec<&SlideId> = session.slides().iter().map(|slide| slide.id()).collect();
        let first = ids.iter().position(|id| Some(*id) == self.panes[0].slide.as_ref()).unwrap_or(0);
        while self.panes.len() < split.panes() {
            let next = ids.get((first + self.panes.len()) % ids.len().max(1)).map(|id| (*id).clone());
            self.add(next, renderer);
        }
        self.split = split;
        self.query_pane = None;
        if split == Split::ONE {
            self.linked = false;
        }
    }

    /// Division and content of the canvas, to be restored at the next start.
    pub fn layout(&self) -> Layout {
        let shown = |pane: &Pane| pane.slide.clone().or_else(|| pane.awaited.clone());
        let slides = self.panes.iter().map(shown).collect();
        Layout { split: self.split, linked: self.linked, active: self.active, slides }
    }

    /// Restores an earlier layout; its slides are shown as soon as they are open.
    pub fn restore(&mut self, layout: &Layout, renderer: &SlideRenderer) {
        let split = Split::ALL.into_iter().find(|split| *split == layout.split).unwrap_or(Split::ONE);
        while self.panes.len() < split.panes() {
            self.add(None, renderer);
        }
        for (pane, slide) in self.panes.iter_mut().zip(&layout.slides) {
            pane.awaited = slide.clone();
        }
        self.split = split;
        self.linked = layout.linked && split != Split::ONE;
        self.active = layout.active.min(self.panes.len() - 1);
    }

    /// Shows awaited slides that are open now. Returns the slide of the active pane if it is one of them; it
    /// becomes the session's active slide.
    pub fn take_awaited(&mut self, session: &Session) -> Option<SlideId> {
        let mut to_show = None;
        for (index, pane) in self.panes.iter_mut().enumerate() {
            let current = |id: &SlideId| session.project().current_id(id);
            let Some(id) = pane.awaited.take_if(|id| session.slide(&current(id)).is_some()) else { continue };
            let id = current(&id);
            pane.slide = Some(id.clone());
            if index == self.active {
                to_show = Some(id);
            }
        }
        to_show
    }

    /// Stops waiting for slides in all panes.
    pub fn stop_waiting(&mut self) {
        self.panes.iter_mut().for_each(|pane| pane.awaited = None);
    }

    /// Stops waiting for a slide in the active pane.
    pub fn stop_waiting_in_active_pane(&mut self) {
        self.panes[self.active].awaited = None;
    }

    /// Whether any pane waits for its previous slide.
    pub fn awaits_any(&self) -> bool {
        self.panes.iter().any(Pane::awaits)
    }

    /// Whether the query is shown beside its matches.
    pub fn is_comparing(&self) -> bool {
        self.query_pane.is_some()
    }

    /// With two panes: keeps `query` in the first and activates the second; both move together.
    pub fn compare_with(&mut self, query: &SlideId, tile: Level0Rect) {
        let [first, second] = &mut self.panes[..] else { return };
        first.slide = Some(query.clone());
        first.view.go_to(tile, Framing::Tile);
        // Both show the tissue at the same size, whatever their magnification was before.
        first.view.forget_scale();
        second.view.forget_scale();
        self.query_pane = Some(0);
        self.active = 1;
        self.linked = true;
    }

    /// Activates another pane before a jump to slide `to`, if a pane keeps the query.
    pub fn show_beside_query(&mut self, to: &SlideId) {
        if let Some(query_pane) = self.query_pane {
            self.active = (query_pane + 1) % self.panes.len();
            self.panes[self.active].slide = Some(to.clone());
        }
    }

    /// Activates the pane on which the pointer was pressed. Returns whether another one was active before.
    pub fn press(&mut self, index: usize) -> bool {
        self.just_activated = index != self.active;
        self.active = index;
        self.just_activated
    }

    /// Whether the last press only activated another pane.
    pub fn was_just_activated(&self) -> bool {
        self.just_activated
    }

    /// Index and slide of each pane that shows one.
    pub fn shown(&self) -> impl Iterator<Item = (usize, SlideId)> {
        self.panes.iter().enumerate().filter_map(|(index, pane)| Some((index, pane.slide.clone()?)))
    }

    /// The slides in view.
    pub fn slides(&self) -> impl Iterator<Item = &SlideId> {
        self.panes.iter().filter_map(|pane| pane.slide.as_ref())
    }

    /// Whether one of the panes is the view with this key.
    pub fn has_view(&self, key: ViewKey) -> bool {
        self.panes.iter().any(|pane| pane.view.key() == key)
    }

    /// The part of its slide that each pane shows, in level-0 pixels.
    pub fn fields(&self) -> Vec<Option<Level0Rect>> {
        self.panes.iter().map(|pane| pane.view.field()).collect()
    }

    /// Shows `slide` in the active pane.
    pub fn show(&mut self, slide: &SlideId) {
        let pane = &mut self.panes[self.active];
        (pane.slide, pane.awaited) = (Some(slide.clone()), None);
    }

    /// Follows the session: activates the pane that shows the active slide, or shows it in the active pane;
    /// removes closed slides.
    pub fn follow(&mut self, session: &Session) {
        for pane in &mut self.panes {
            pane.slide = pane.slide.take().filter(|id| session.slide(id).is_some());
        }
        let active = session.active().map(|slide| slide.id().clone());
        // While a pane waits for its previous slide, it does not show another slide that opened first.
        if active == self.followed || self.panes[self.active].awaits() {
            return;
        }
        self.followed = active.clone();
        if self.panes[self.active].slide == active {
            return;
        }
        match self.panes.iter().position(|pane| active.is_some() && pane.slide == active) {
            Some(index) if self.query_pane != Some(index) => self.active = index,
            _ => self.panes[self.active].slide = active,
        }
    }

    /// Forgets a slide that has been closed.
    pub fn forget(&mut self, slide: SlideKey) {
        self.panes.iter_mut().for_each(|pane| pane.view.forget(slide));
    }

    /// Keeps the views of a slide whose key has changed.
    pub fn rename(&mut self, old: SlideKey, new: SlideKey) {
        self.panes.iter_mut().for_each(|pane| pane.view.rename(old, new));
    }

    /// If panes are linked, moves all others as `leader` has moved in this frame. Returns whether they moved.
    pub fn lead(&mut self, leader: usize) -> bool {
        if !self.linked {
            return false;
        }
        let Some(movement) = self.panes[leader].view.take_movement() else { return false };
        let others = self.panes.iter_mut().enumerate().filter(|(index, _)| *index != leader);
        others.for_each(|(_, pane)| pane.view.move_along(&movement));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panes_fill_the_canvas_row_by_row() {
        let area = Rect::from_min_size(Pos2::new(10.0, 20.0), Vec2::new(603.0, 403.0));
        let rects = Split { columns: 2, rows: 2 }.rects(area);
        assert_eq!(rects.len(), 4);
        assert_eq!((rects[0].min, rects[3].max), (area.min, area.max));
        assert_eq!(rects[1].min, Pos2::new(10.0 + 303.0, 20.0));
        assert_eq!(rects[2].min, Pos2::new(10.0, 20.0 + 203.0));
        assert_eq!(Split::ONE.rects(area), [area]);
    }
}
