//! The slide and part in view, and moving to another.

use super::slides::SlideState;
use super::{Job, Session};
use histokin_core::geometry::Level0Rect;
use histokin_core::slide::{SlideId, SlideInfo};

/// A command that moves the view.
#[derive(Debug, Clone, PartialEq)]
pub enum ViewCommand {
    /// Shows a slide in the view.
    Show(SlideId),
    /// Reports the part of a slide that is in view; tiles there are embedded first.
    InView {
        /// Slide in view.
        slide: SlideId,
        /// Part in view, in level-0 pixels.
        field: Level0Rect,
    },
    /// Goes to a tile of an open slide.
    GoToTile {
        /// Slide with the tile.
        slide: SlideId,
        /// Tile in level-0 pixels.
        rect: Level0Rect,
        /// Current view, to return to.
        from: Option<(SlideId, Level0Rect)>,
    },
    /// Returns to the view before the last jump.
    Back,
}

/// A part of a slide.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewTarget {
    /// The slide.
    pub slide: SlideId,
    /// The part, in level-0 pixels.
    pub field: Level0Rect,
}

/// What is in view.
#[derive(Default)]
pub(super) struct View {
    /// The slide in view.
    pub(super) active: Option<SlideId>,
    /// Part of the active slide that is in view.
    pub(super) field: Option<Level0Rect>,
    /// Where the view goes next; the window takes it with [`Session::take_destination`].
    destination: Option<ViewTarget>,
    /// Views before each jump.
    back: Vec<ViewTarget>,
    /// What to show of a slide once it has been opened: a part, or the whole slide.
    pub(super) awaited: Option<(SlideId, Option<Level0Rect>)>,
}

impl View {
    /// Whether a slide is in view.
    pub(super) fn shows(&self, slide: &SlideId) -> bool {
        self.active.as_ref() == Some(slide)
    }

    /// Remembers a view to return to.
    pub(super) fn remember(&mut self, from: Option<(SlideId, Level0Rect)>) {
        self.back.extend(from.map(|(slide, field)| ViewTarget { slide, field }));
    }

    /// Removes a slide that was closed; `next` is shown if it was in view.
    pub(super) fn forget(&mut self, slide: &SlideId, next: Option<SlideId>) {
        self.back.retain(|target| target.slide != *slide);
        if self.shows(slide) {
            self.active = next;
        }
    }
}

impl Session {
    /// Returns the slide in view.
    pub fn active(&self) -> Option<&SlideState> {
        self.slide(self.view.active.as_ref()?)
    }

    /// Whether there is a view to return to with [`ViewCommand::Back`].
    pub fn can_go_back(&self) -> bool {
        !self.view.back.is_empty()
    }

    /// Takes the position to which the view has to move, if any.
    pub fn take_destination(&mut self) -> Option<ViewTarget> {
        self.view.destination.take()
    }

    pub(super) fn view_command(&mut self, command: ViewCommand) -> Vec<Job> {
        match command {
            ViewCommand::Show(slide) => self.show(slide),
            ViewCommand::InView { slide, field } => self.in_view(&slide, field),
            ViewCommand::GoToTile { slide, rect, from } => self.go_to_tile(slide, rect, from),
            ViewCommand::Back => self.go_back(),
        }
    }

    /// Shows a slide, if it is open and not in view.
    pub(super) fn show(&mut self, slide: SlideId) -> Vec<Job> {
        if self.slide(&slide).is_none() || self.view.shows(&slide) {
            return Vec::new();
        }
        self.view.active = Some(slide);
        self.view.field = None;
        self.embed_plan()
    }

    fn in_view(&mut self, slide: &SlideId, field: Level0Rect) -> Vec<Job> {
        if !self.view.shows(slide) || self.view.field == Some(field) {
            return Vec::new();
        }
        self.view.field = Some(field);
        if self.is_embedding_left() { self.embed_plan() } else { Vec::new() }
    }

    /// Moves the view to a part of a slide.
    pub(super) fn go_to(&mut self, target: ViewTarget) -> Vec<Job> {
        let jobs = self.show(target.slide.clone());
        self.view.destination = Some(target);
        jobs
    }

    fn go_back(&mut self) -> Vec<Job> {
        match self.view.back.pop() {
            Some(target) => {
                if let Some(query) = &mut self.query.current {
                    query.visited = None;
                }
                self.go_to(target)
            }
            None => Vec::new(),
        }
    }

    /// Goes to a tile; `from` is the current view, to return to.
    fn go_to_tile(
        &mut self,
        slide: SlideId,
        rect: Level0Rect,
        from: Option<(SlideId, Level0Rect)>,
    ) -> Vec<Job> {
        if self.slide(&slide).is_none() {
            self.messages.error("That slide is not open; open it to go to its tiles.");
            return Vec::new();
        }
        self.view.remember(from);
        // Shows one tile width of surroundings on each side.
        let (width, height) = (i64::from(rect.width), i64::from(rect.height));
        let field = Level0Rect::new(rect.x - width, rect.y - height, 3 * rect.width, 3 * rect.height);
        self.go_to(ViewTarget { slide, field })
    }

    /// Goes to the match for which a slide was opened, once the slide is open.
    pub(super) fn go_to_awaited(&mut self, info: &SlideInfo) -> Vec<Job> {
        let slide = info.id.clone();
        match self.view.awaited.take_if(|(awaited, _)| info.has_id(awaited)) {
            Some((_, Some(field))) => self.go_to(ViewTarget { slide, field }),
            Some((_, None)) => self.show(slide),
            None => Vec::new(),
        }
    }
}
