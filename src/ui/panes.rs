//! Canvases side by side: which slide each shows, which one is at work, and whether they move together.

use egui::{Pos2, Rect, Vec2};

use super::slide_view::{SlideRenderer, SlideView};
use crate::geometry::Level0Rect;
use crate::session::Session;
use crate::slide::SlideId;
use crate::slide::pyramid::SlideKey;
use crate::workers::tile_loader::{TileLoader, ViewKey};

/// Distance between two panes, in points.
const GAP: f32 = 3.0;

/// How the canvas is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    pub columns: usize,
    pub rows: usize,
}

impl Split {
    pub const ONE: Self = Self { columns: 1, rows: 1 };

    /// The divisions that are offered: whole, side by side, 2 × 2 and 3 × 3.
    pub const ALL: [Self; 4] =
        [Self::ONE, Self { columns: 2, rows: 1 }, Self { columns: 2, rows: 2 }, Self { columns: 3, rows: 3 }];

    fn panes(self) -> usize {
        self.columns * self.rows
    }

    /// Where each pane lies in `area`, row by row.
    pub fn rects(self, area: Rect) -> Vec<Rect> {
        let share = |length: f32, count: usize| (length - GAP * (count - 1) as f32) / count as f32;
        let size = Vec2::new(share(area.width(), self.columns), share(area.height(), self.rows));
        let corner = |place: usize| {
            let (column, row) = ((place % self.columns) as f32, (place / self.columns) as f32);
            area.min + Vec2::new(column * (size.x + GAP), row * (size.y + GAP))
        };
        let at = |corner: Pos2| Rect::from_min_size(corner, size);
        (0..self.panes()).map(|place| at(corner(place))).collect()
    }
}

/// One canvas and the slide that it shows.
pub struct Pane {
    pub view: SlideView,
    pub slide: Option<SlideId>,
}

/// All canvases. There is always one at work; the session's active slide is the one that it shows.
pub struct Panes {
    panes: Vec<Pane>,
    split: Split,
    active: usize,
    just_activated: bool,
    /// Whether what is done to one view is done to all.
    pub linked: bool,
    keys_given: u32,
    /// The session's active slide when it was looked at last.
    followed: Option<SlideId>,
}

impl Panes {
    pub fn new(renderer: &SlideRenderer) -> Self {
        let mut panes = Self {
            panes: Vec::new(),
            split: Split::ONE,
            active: 0,
            just_activated: false,
            linked: false,
            keys_given: 0,
            followed: None,
        };
        panes.add(None, renderer);
        panes
    }

    fn add(&mut self, slide: Option<SlideId>, renderer: &SlideRenderer) {
        let view = SlideView::new(ViewKey(self.keys_given), renderer);
        self.keys_given += 1;
        self.panes.push(Pane { view, slide });
    }

    pub fn split(&self) -> Split {
        self.split
    }

    /// The view at work.
    pub fn view(&self) -> &SlideView {
        &self.panes[self.active].view
    }

    pub fn view_mut(&mut self) -> &mut SlideView {
        &mut self.panes[self.active].view
    }

    pub fn pane(&self, place: usize) -> &Pane {
        &self.panes[place]
    }

    pub fn pane_mut(&mut self, place: usize) -> &mut Pane {
        &mut self.panes[place]
    }

    pub fn is_active(&self, place: usize) -> bool {
        self.active == place
    }

    /// Divide the canvas. The pane at work becomes the first; new ones show the slides that follow its slide
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
        if split == Split::ONE {
            self.linked = false;
        }
    }

    /// The pointer was pressed on a pane: work goes on there. Whether it was another one before.
    pub fn press(&mut self, place: usize) -> bool {
        self.just_activated = place != self.active;
        self.active = place;
        self.just_activated
    }

    /// Whether the last press did nothing but bring another pane to work.
    pub fn was_just_activated(&self) -> bool {
        self.just_activated
    }

    /// The slides in view.
    pub fn slides(&self) -> impl Iterator<Item = &SlideId> {
        self.panes.iter().filter_map(|pane| pane.slide.as_ref())
    }

    /// The part of its slide that each pane shows.
    pub fn fields(&self) -> Vec<Option<Level0Rect>> {
        self.panes.iter().map(|pane| pane.view.field()).collect()
    }

    /// The pane at work is to show `slide`.
    pub fn show(&mut self, slide: &SlideId) {
        self.panes[self.active].slide = Some(slide.clone());
    }

    /// Follow the session: show its active slide where that is shown already, else in the pane at work; leave
    /// slides that were closed.
    pub fn follow(&mut self, session: &Session) {
        for pane in &mut self.panes {
            pane.slide = pane.slide.take().filter(|id| session.slide(id).is_some());
        }
        let active = session.active().map(|slide| slide.id().clone());
        if active == self.followed {
            return;
        }
        self.followed = active.clone();
        if self.panes[self.active].slide == active {
            return;
        }
        match self.panes.iter().position(|pane| active.is_some() && pane.slide == active) {
            Some(place) => self.active = place,
            None => self.panes[self.active].slide = active,
        }
    }

    /// Forget a closed slide.
    pub fn forget(&mut self, slide: SlideKey) {
        self.panes.iter_mut().for_each(|pane| pane.view.forget(slide));
    }

    /// Where panes are linked, move all others as `leader` has moved in this frame; whether any moved.
    pub fn lead(&mut self, leader: usize) -> bool {
        if !self.linked {
            return false;
        }
        let Some(movement) = self.panes[leader].view.take_movement() else { return false };
        let others = self.panes.iter_mut().enumerate().filter(|(place, _)| *place != leader);
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
