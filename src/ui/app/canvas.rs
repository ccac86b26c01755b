//! The canvas: its panes, the slide in each, and what the user does in them.

use std::collections::HashSet;
use std::path::Path;

use eframe::egui_wgpu::RenderState;
use egui::{Context, Pos2, Rect, Ui, UiBuilder};

use super::{App, Requests};
use crate::geometry::{Level0Point, Level0Rect};
use crate::memory::Budget;
use crate::query::{Example, Judgement, Region};
use crate::session::{
    Colours, Command, MarkedTissue, Profile, QueryCommand, QueryState, SlideCommand, ViewCommand,
};
use crate::slide::SlideId;
use crate::ui::heat_map::HeatMap;
use crate::ui::panels;
use crate::ui::panels::canvas_menu::CanvasMenu;
use crate::ui::panes::{Panes, Split};
use crate::ui::region_tool::{RegionTool, RegionUse};
use crate::ui::settings::{FindSimilar, Trackpad};
use crate::ui::shown_slides::ShownSlides;
use crate::ui::slide_view::{
    AnnotationScene, Annotator, Appearance, CanvasOutcome, Colouring, Guides, InputSettings, Scene,
    SlideRenderer, Tool,
};
use crate::ui::theme::Palette;
use crate::ui::view_histories::ViewHistories;
use crate::ui::waker;
use crate::workers::tile_loader::TileLoader;

/// The canvas: its panes and slides, what draws them, and the tools in use.
pub(super) struct Canvas {
    pub(super) loader: TileLoader,
    pub(super) renderer: SlideRenderer,
    pub(super) panes: Panes,
    pub(super) slides: ShownSlides,
    pub(super) appearance: Appearance,
    pub(super) heat_map: HeatMap,
    pub(super) region_tool: RegionTool,
    pub(super) annotator: Annotator,
    pub(super) view_histories: ViewHistories,
    pub(super) menu: CanvasMenu,
    /// Slide and level-0 position under the pointer in the last frame.
    pub(super) hovered: Option<(SlideId, Level0Point)>,
    /// Slides whose last view has been restored, or that were shown already.
    pub(super) restored: HashSet<SlideId>,
}

impl Canvas {
    /// Creates an empty canvas. View histories are kept beside `state_file`.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub(super) fn new(
        context: &Context,
        gpu: &RenderState,
        appearance: Appearance,
        state_file: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let renderer = SlideRenderer::new(gpu);
        // One core is left for the UI. At least two threads, so that one slow tile does not block the others.
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let view_histories = state_file.and_then(|file| Some(file.parent()?.join("trails")));
        Ok(Self {
            loader: TileLoader::start((cores - 1).max(2), Budget::of_process().clone(), waker(context))?,
            panes: Panes::new(&renderer),
            renderer,
            slides: ShownSlides::default(),
            appearance,
            heat_map: HeatMap::start(waker(context), gpu)?,
            region_tool: RegionTool::default(),
            annotator: Annotator::new(gpu, waker(context))?,
            view_histories: ViewHistories::start(view_histories, waker(context))?,
            menu: CanvasMenu::default(),
            hovered: None,
            restored: HashSet::new(),
        })
    }
}

impl App {
    /// Shows the panes, or the welcome page if no slide is open.
    pub(super) fn canvas_ui(&mut self, ui: &mut Ui, palette: &Palette, requests: &mut Requests) {
        if self.session.slides().is_empty() {
            panels::welcome::welcome_ui(ui, &self.window_state.recent, palette, requests);
            return;
        }
        self.canvas.hovered = None;
        self.chrome.heat_shown = self.canvas.heat_map.is_on;
        self.chrome.region_drawn = self.canvas.region_tool.shape.is_some();
        let canvas = ui.available_rect_before_wrap();
        let modifiers = ui.input(|input| input.modifiers);
        self.canvas.menu.begin_frame(ui.input(|input| input.pointer.any_pressed()));
        let split = self.canvas.panes.split();
        for (index, rect) in split.rects(canvas).into_iter().enumerate() {
            let builder = UiBuilder::new().max_rect(rect).id_salt(("pane", index));
            let outcome = ui.scope_builder(builder, |ui| self.pane_ui(ui, index, palette, requests)).inner;
            if split != Split::ONE {
                let slide = self.canvas.panes.pane(index).slide.as_ref();
                let is_active = self.canvas.panes.is_active(index);
                panels::pane::pane_ui(ui, rect, &self.session, slide, is_active, palette);
            }
            if self.canvas.panes.lead(index) {
                ui.ctx().request_repaint();
            }
            self.handle_pane(index, modifiers, outcome, requests);
            if self.canvas.panes.is_active(index) {
                self.draw_region(ui, rect, index, palette, requests);
            }
        }
        self.canvas.annotator.keep_canvases(|key| self.canvas.panes.has_view(key));
        let in_view: Vec<SlideId> = self.canvas.panes.slides().cloned().collect();
        let under = self.canvas.hovered.as_ref().map(|(slide, at)| (slide, *at));
        self.canvas.heat_map.follow(ui.ctx(), &self.session, under, &in_view.iter().collect::<Vec<_>>());
    }

    /// Shows one canvas with its slide.
    fn pane_ui(
        &mut self,
        ui: &mut Ui,
        index: usize,
        palette: &Palette,
        requests: &mut Requests,
    ) -> CanvasOutcome {
        let slide = self.canvas.panes.pane(index).slide.clone();
        let Some(state) = slide.and_then(|id| self.session.slide(&id)) else {
            let awaits = self.canvas.panes.pane(index).awaits();
            return CanvasOutcome {
                pressed: panels::pane::empty_ui(ui, awaits, palette),
                ..Default::default()
            };
        };
        let id = state.id().clone();
        let info = state.source.info();
        let (mpp, objective_power) = (info.mpp, info.objective_power);
        let tissue = if self.chrome.tissue_shown {
            self.canvas.slides.tissue(&self.session, ui.ctx(), &id)
        } else {
            None
        };
        let Some(shown) = self.canvas.slides.get(&id) else { return CanvasOutcome::default() };
        let query = self.session.query();
        let visited = query.and_then(|query| query.answer.as_ref()?.matches.get(query.visited?));
        let normaliser = match self.canvas.appearance.colouring {
            Colouring::Normalised => self.session.normaliser(&id),
            _ => None,
        };
        let profile = if self.canvas.appearance.wants_profile() { shown.profile() } else { None };
        if self.canvas.appearance.wants_profile() && matches!(state.profile, Profile::Unknown) {
            requests.command(SlideCommand::ReadProfile(id.clone()));
        }
        if self.canvas.appearance.colouring == Colouring::Normalised && state.colours == Colours::Unknown {
            requests.command(SlideCommand::MeasureColours(id.clone()));
        }
        let stain = self.session.stain(&id);
        let note = self.canvas.appearance.note(profile.is_some(), &stain);
        let view_history = self.canvas.view_histories.get_mut(&id).filter(|_| self.chrome.view_history_shown);
        let view_history = view_history.map(|view_history| {
            view_history.prepare(ui.ctx(), palette.accent);
            &*view_history
        });
        let heat = self.canvas.heat_map.of(&id);
        let pairs = match self.chrome.training_open {
            true => self.chrome.training.pairs_on(&self.session, &id, palette),
            false => Vec::new(),
        };
        let matches = query.and_then(|query| query.answer.as_ref()).filter(|_| self.chrome.highlights_shown);
        let matches = matches.map(|answer| answer.matches.as_slice()).unwrap_or_default();
        let on_slide = matches.iter().filter(|found| found.slide == id);
        let ranks: Vec<_> = on_slide.map(|found| (found.rect, found.rank)).collect();
        let scene = Scene {
            pyramid: &shown.pyramid,
            ranks: &ranks,
            marks: if self.chrome.highlights_shown { shown.marks.as_slice() } else { &[] },
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
                pyramid: &shown.pyramid,
                shown: self.chrome.highlights_shown && self.chrome.annotations_shown,
                filled: self.chrome.annotations_filled,
            }),
            shading: self.canvas.appearance.shading(normaliser.as_ref(), &stain),
            profile,
            view_history,
            guides: Guides {
                grid: self.chrome.grid_shown,
                grid_um: self.window_state.settings.grid_um,
                crosshair: self.chrome.crosshair_shown,
            },
            is_dark: info.is_fluorescence(),
            note: note.as_deref(),
        };
        let view = &mut self.canvas.panes.pane_mut(index).view;
        view.drawing = self.canvas.region_tool.shape.is_some();
        view.input = InputSettings {
            reports_double_clicks: self.window_state.settings.find_similar == FindSimilar::DoubleClick,
            trackpad_zooms: self.window_state.settings.trackpad == Trackpad::Zoom,
        };
        let outcome = view.ui(
            ui,
            &scene,
            &mut self.canvas.annotator,
            &mut self.canvas.renderer,
            &self.canvas.loader,
            palette,
        );
        let commands = self.canvas.annotator.take_commands();
        commands.into_iter().for_each(|command| requests.command(command));
        outcome
    }

    /// Draws the legend of the heat map over `canvas`; returns the rectangle that it covers.
    pub(super) fn legend_ui(
        &mut self,
        ui: &Ui,
        canvas: Rect,
        corner: Pos2,
        palette: &Palette,
    ) -> Option<Rect> {
        let scale = ui.ctx().pixels_per_point();
        let Canvas { panes, heat_map, .. } = &mut self.canvas;
        let rects = panes.split().rects(canvas);
        let is_tissue = |at: Pos2| -> bool {
            let Some(index) = rects.iter().position(|rect| rect.contains(at)) else { return false };
            let pane = panes.pane(index);
            let Some(state) = pane.slide.as_ref().and_then(|slide| self.session.slide(slide)) else {
                return false;
            };
            let on_slide = pane.view.level0_at(at, rects[index], scale);
            let tile = Level0Rect::new(on_slide.x as i64, on_slide.y as i64, 1, 1);
            match &state.tissue {
                Some(tissue) => tissue.has_tissue(&tile),
                None => state.source.info().extent().contains(on_slide),
            }
        };
        let tissue_under = |area: Rect| -> f64 {
            const STEPS: u32 = 8;
            let share = |step: u32| (step as f32 + 0.5) / STEPS as f32;
            let points = (0..STEPS * STEPS).map(|index| (share(index % STEPS), share(index / STEPS)));
            let points = points.map(|(x, y)| area.lerp_inside(egui::Vec2::new(x, y)));
            points.filter(|at| is_tissue(*at)).count() as f64 / f64::from(STEPS * STEPS)
        };
        heat_map.legend_ui(ui, (canvas, corner), tissue_under, palette)
    }

    /// Handles the user's input in one pane.
    fn handle_pane(
        &mut self,
        index: usize,
        modifiers: egui::Modifiers,
        outcome: CanvasOutcome,
        requests: &mut Requests,
    ) {
        let slide = self.canvas.panes.pane(index).slide.clone();
        if outcome.pressed && self.canvas.panes.press(index) {
            requests.commands.extend(slide.clone().map(|slide| Command::View(ViewCommand::Show(slide))));
        }
        let Some(slide) = slide else { return };
        if let Some(at) = outcome.hovered {
            self.canvas.hovered = Some((slide.clone(), at));
        }
        // A click that activates another pane or closes a menu does nothing else.
        let is_spent = self.canvas.panes.was_just_activated() || self.canvas.menu.takes_click();
        if let Some(point) = outcome.clicked.filter(|_| !is_spent) {
            self.clicked(modifiers, slide.clone(), point);
        }
        if let Some(point) = outcome.double_clicked {
            self.query_at(slide.clone(), point);
        }
        // A tool that draws keeps the right button for itself.
        let is_pointing = matches!(self.canvas.annotator.tool(), Tool::Hand | Tool::Select);
        if let Some(response) = outcome.response
            && is_pointing
            && self.canvas.region_tool.shape.is_none()
        {
            let at = (&slide, outcome.hovered);
            if let Some(point) = self.canvas.menu.ui(&response, at, &self.session, requests) {
                self.query_at(slide.clone(), point);
            }
        }
        if let Some(field) = self.canvas.panes.pane_mut(index).view.settled_field() {
            self.window_state.looked_at(&slide, field, self.canvas.panes.pane(index).view.orientation());
            self.note_view(index, &slide);
            requests.command(ViewCommand::InView { slide, field });
        }
    }

    /// Lets the user draw a region in the active pane if the region tool is selected.
    fn draw_region(&mut self, ui: &Ui, rect: Rect, index: usize, palette: &Palette, requests: &mut Requests) {
        let pane = self.canvas.panes.pane(index);
        let Some(slide) = pane.slide.clone() else { return };
        let scale = ui.ctx().pixels_per_point();
        let on_slide = |at| pane.view.level0_at(at, rect, scale);
        let Some(corners) = self.canvas.region_tool.ui(ui, rect, on_slide, palette) else { return };
        match self.canvas.region_tool.purpose {
            RegionUse::Search => {
                self.chrome.matches_open = true;
                let region = Region::Outline(corners);
                let modifiers = ui.input(|input| input.modifiers);
                // As for a click on a tile.
                let judgement = match (modifiers.shift, modifiers.command) {
                    (_, true) => Some(Judgement::Different),
                    (true, _) => Some(Judgement::Same),
                    _ => None,
                };
                requests.command(match judgement {
                    Some(judgement) => {
                        QueryCommand::Mark { tissue: MarkedTissue::Region { slide, region }, judgement }
                    }
                    None => QueryCommand::Region { slide, region },
                });
            }
            RegionUse::Picture => self.offer_region(&corners),
        }
    }

    /// Adds the view of a pane to the view history of its slide.
    fn note_view(&mut self, index: usize, slide: &SlideId) {
        let Some(state) = self.session.slide(slide) else { return };
        let info = state.source.info();
        let extent = (f64::from(info.width()), f64::from(info.height()));
        let view_history = self.canvas.view_histories.of(slide, &info.former_ids, extent);
        self.canvas.panes.pane(index).view.note_view(view_history);
        self.canvas.view_histories.note_change(slide);
    }
}
