//! The canvas: its panes, the slide in each, and what the user does in them.

use egui::{Rect, Ui, UiBuilder};

use super::{App, Asked, slide_name};
use crate::query::{Example, Region};
use crate::session::{Colours, Command, Profile, QueryState};
use crate::slide::SlideId;
use crate::ui::panels;
use crate::ui::panes::Split;
use crate::ui::region_tool::RegionUse;
use crate::ui::slide_view::{AnnotationScene, CanvasOutcome, Colouring, Scene};
use crate::ui::theme::Palette;

impl App {
    pub(super) fn canvas_ui(&mut self, ui: &mut Ui, palette: &Palette, asked: &mut Asked) {
        if self.session.slides().is_empty() {
            panels::welcome::welcome_ui(ui, &self.remembered.recent, palette, asked);
            return;
        }
        self.hovered = None;
        self.chrome.heat_shown = self.heat_map.is_on;
        self.chrome.region_drawn = self.region_tool.shape.is_some();
        let canvas = ui.available_rect_before_wrap();
        let modifiers = ui.input(|input| input.modifiers);
        let split = self.panes.split();
        for (place, rect) in split.rects(canvas).into_iter().enumerate() {
            let builder = UiBuilder::new().max_rect(rect).id_salt(("pane", place));
            let outcome = ui.scope_builder(builder, |ui| self.pane_ui(ui, place, palette, asked)).inner;
            if split != Split::ONE {
                let name = self.panes.pane(place).slide.as_ref().map(|id| slide_name(&self.session, id));
                panels::pane::pane_ui(ui, rect, name.as_deref(), self.panes.is_active(place), palette);
            }
            if self.panes.lead(place) {
                ui.ctx().request_repaint();
            }
            self.handle_pane(place, modifiers, outcome, asked);
            if self.panes.is_active(place) {
                self.draw_region(ui, rect, place, palette, asked);
            }
        }
        self.annotator.keep_canvases(|key| self.panes.has_view(key));
        let in_view: Vec<SlideId> = self.panes.slides().cloned().collect();
        let under = self.hovered.as_ref().map(|(slide, at)| (slide, *at));
        self.heat_map.follow(ui.ctx(), &self.session, under, &in_view.iter().collect::<Vec<_>>());
    }

    /// One canvas with its slide.
    fn pane_ui(&mut self, ui: &mut Ui, place: usize, palette: &Palette, asked: &mut Asked) -> CanvasOutcome {
        let slide = self.panes.pane(place).slide.clone();
        let Some(state) = slide.and_then(|id| self.session.slide(&id)) else {
            let awaits = self.panes.pane(place).awaits();
            return CanvasOutcome {
                pressed: panels::pane::empty_ui(ui, awaits, palette),
                ..Default::default()
            };
        };
        let id = state.id().clone();
        let info = state.source.info();
        let (mpp, objective_power) = (info.mpp, info.objective_power);
        let tissue =
            if self.chrome.tissue_shown { self.slides.tissue(&self.session, ui.ctx(), &id) } else { None };
        let Some(shown) = self.slides.get(&id) else { return CanvasOutcome::default() };
        let query = self.session.query();
        let visited = query.and_then(|query| query.answer.as_ref()?.matches.get(query.visited?));
        let normaliser = match self.appearance.colouring {
            Colouring::Normalised => self.session.normaliser(&id),
            _ => None,
        };
        let profile = if self.appearance.wants_profile() { shown.profile() } else { None };
        if self.appearance.wants_profile() && matches!(state.profile, Profile::Unknown) {
            asked.command(Command::ReadProfile(id.clone()));
        }
        if self.appearance.colouring == Colouring::Normalised && state.colours == Colours::Unknown {
            asked.command(Command::MeasureColours(id.clone()));
        }
        let note = self.appearance.note(profile.is_some());
        let view_history = self.view_histories.get_mut(&id).filter(|_| self.chrome.view_history_shown);
        let view_history = view_history.map(|view_history| {
            view_history.prepare(ui.ctx(), palette.accent);
            &*view_history
        });
        let heat = self.heat_map.of(&id);
        let pairs = match self.chrome.training_open {
            true => self.chrome.training.pairs_on(&self.session, &id, palette),
            false => Vec::new(),
        };
        let scene = Scene {
            pyramid: &shown.pyramid,
            marks: if self.chrome.marks_shown { shown.marks.as_slice() } else { &[] },
            tissue: tissue.as_ref().map(|(texture, span)| (texture, *span)),
            heat: heat.map(|(heat, opacity)| (&heat.texture, heat.span, opacity)),
            query: query
                .filter(|query| !matches!(query.positives[0].example, Example::Region { .. }))
                .and_then(QueryState::target)
                .filter(|target| target.slide == id)
                .map(|target| target.rect),
            visited: visited.filter(|found| found.slide == id).map(|found| found.rect),
            pairs: &pairs,
            mpp,
            objective_power,
            annotations: self.session.annotations(&id).map(|annotations| AnnotationScene {
                slide: &id,
                annotations,
                class: self.session.annotation_class(),
                mpp,
                shown: self.chrome.marks_shown,
            }),
            shading: self.appearance.shading(normaliser.as_ref()),
            profile,
            view_history,
            note: note.as_deref(),
        };
        let view = &mut self.panes.pane_mut(place).view;
        view.drawing = self.region_tool.shape.is_some();
        let outcome = view.ui(ui, &scene, &mut self.annotator, &mut self.renderer, &self.loader, palette);
        let wishes = self.annotator.take_wishes();
        wishes.into_iter().for_each(|wish| asked.command(Command::Annotate(wish)));
        outcome
    }

    /// What the user did in one pane.
    fn handle_pane(
        &mut self,
        place: usize,
        modifiers: egui::Modifiers,
        outcome: CanvasOutcome,
        asked: &mut Asked,
    ) {
        let slide = self.panes.pane(place).slide.clone();
        if outcome.pressed && self.panes.press(place) {
            asked.commands.extend(slide.clone().map(Command::Show));
        }
        let Some(slide) = slide else { return };
        if let Some(at) = outcome.hovered {
            self.hovered = Some((slide.clone(), at));
        }
        // A click that has brought another pane to work asks for nothing else.
        if let Some(point) = outcome.clicked.filter(|_| !self.panes.was_just_activated()) {
            self.clicked(modifiers, slide.clone(), point);
        }
        if let Some(field) = self.panes.pane_mut(place).view.settled_field() {
            self.remembered.looked_at(&slide, field, self.panes.pane(place).view.stance());
            self.note_view(place, &slide);
            asked.command(Command::LookAt { slide, field });
        }
    }

    /// Let the user draw a region on the pane at work, if that was asked for.
    fn draw_region(&mut self, ui: &Ui, rect: Rect, place: usize, palette: &Palette, asked: &mut Asked) {
        let pane = self.panes.pane(place);
        let Some(slide) = pane.slide.clone() else { return };
        let scale = ui.ctx().pixels_per_point();
        let on_slide = |at| pane.view.level0_at(at, rect, scale);
        let Some(corners) = self.region_tool.ui(ui, rect, on_slide, palette) else { return };
        match self.region_tool.purpose {
            RegionUse::Question => {
                self.chrome.matches_open = true;
                asked.command(Command::QueryRegion { slide, region: Region::Outline(corners) });
            }
            RegionUse::Picture => self.offer_region(&corners),
        }
    }

    /// Note what a pane shows on the trail of its slide.
    fn note_view(&mut self, place: usize, slide: &SlideId) {
        let Some(state) = self.session.slide(slide) else { return };
        let info = state.source.info();
        let extent = (f64::from(info.width()), f64::from(info.height()));
        let view_history = self.view_histories.of(slide, &info.former_ids, extent);
        self.panes.pane(place).view.note_view(view_history);
        self.view_histories.note_change(slide);
    }
}
