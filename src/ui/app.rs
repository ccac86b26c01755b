//! The window's state and its frame: events into the session, the session onto the screen, the user's
//! wishes into commands.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use egui::{Context, Frame, Panel, Rect, Ui, UiBuilder};

use super::actions::{self, Action};
use super::export::{Destination, Export, Exported, Exporter, LARGEST_PX};
use super::file_dialog::{Choose, FileDialog};
use super::heat_map::HeatMap;
use super::panels::report::{MapRenderer, ReportView};
use super::panels::save_view::{SaveForm, SaveWish};
use super::panels::{
    self, annotation_tools, annotations::AnnotationsPanel, dialogs::Dialog, matches::MatchesPanel,
    training::TrainingPanel,
};
use super::panes::{Panes, Split};
use super::region_tool::RegionTool;
use super::remembered::{Keeper, Remembered};
use super::shown_slides::ShownSlides;
use super::slide_view::{
    AnnotationScene, Annotator, Appearance, CanvasOutcome, Colouring, Framing, Mirror, ScaleBar, Scene,
    SlideRenderer, Trail,
};
use super::start::StartClock;
use super::theme::{self, Palette};
use super::{WindowOptions, waker};
use crate::annotation::Edit;
use crate::geometry::{Level0Point, Level0Rect};
use crate::memory::Budget;
use crate::project::Project;
use crate::query::{Example, Verdict, pair};
use crate::session::{
    Annotate, Colours, Command, Event, Place, Profile, QueryState, Session, Severity, SlideAnnotations,
    SlideState,
};
use crate::slide::SlideId;
use crate::workers::Workers;
use crate::workers::heat::LikenessMaps;
use crate::workers::tile_loader::{LoaderCounts, TileLoader};

/// How long a frame may spend on events before it draws.
const EVENTS_BUDGET: Duration = Duration::from_millis(3);
/// Tiles taken over in one frame.
const TILES_PER_FRAME: usize = 16;
/// Seconds for which a short notice stays.
const NOTICE_SECONDS: f64 = 3.5;
/// Seconds for which a note (not an error) stays.
const NOTE_SECONDS: f64 = 12.0;

/// The window.
pub struct App {
    session: Session,
    workers: Workers,
    loader: TileLoader,
    start_clock: StartClock,
    renderer: SlideRenderer,
    panes: Panes,
    slides: ShownSlides,
    appearance: Appearance,
    heat_map: HeatMap,
    region_tool: RegionTool,
    annotator: Annotator,
    annotation_panel: AnnotationsPanel,
    report: ReportView,
    map_renderer: MapRenderer,
    /// Where the reader has looked since the slides were opened.
    trails: HashMap<SlideId, Trail>,
    exporter: Exporter,
    file_dialog: FileDialog,
    chrome: Chrome,
    /// Slide and level-0 position under the cursor in the frame before.
    hovered: Option<(SlideId, Level0Point)>,
    context: Context,
    remembered: Remembered,
    keeper: Option<Keeper>,
    /// What the user asked to be opened, until some of it is.
    opening: Vec<PathBuf>,
    /// Slides whose view of the last time has been restored, or that were shown already.
    restored: HashSet<SlideId>,
    /// The slide that the canvas showed in the frame before.
    shown_before: Option<SlideId>,
}

/// Which parts of the window are open, and what the user is busy with.
pub struct Chrome {
    pub slides_open: bool,
    pub matches_open: bool,
    pub marks_shown: bool,
    pub annotations_open: bool,
    pub tissue_shown: bool,
    pub appearance_open: bool,
    pub trail_shown: bool,
    pub matches: MatchesPanel,
    pub heat_shown: bool,
    /// Whether the region of a question is being drawn.
    pub region_drawn: bool,
    pub report_open: bool,
    pub dialog: Option<Dialog>,
    pub training: TrainingPanel,
    pub training_open: bool,
    /// A short notice and when it goes.
    notice: Option<(String, f64)>,
    /// When each note (not error) came on the screen; notes go by themselves.
    notes: HashMap<u64, f64>,
}

/// What the user asked for in this frame.
pub struct Asked {
    pub commands: Vec<Command>,
    pub actions: Vec<Action>,
    pub saves: Vec<SaveWish>,
}

impl Asked {
    pub fn command(&mut self, command: Command) {
        self.commands.push(command);
    }

    pub fn action(&mut self, action: Action) {
        self.actions.push(action);
    }
}

impl App {
    /// Set the window up and begin with the project's slides and `options.paths`.
    ///
    /// # Errors
    /// When there is no graphics device, or the system refuses a thread.
    pub fn new(
        creation: &eframe::CreationContext<'_>,
        project: Project,
        options: WindowOptions,
    ) -> anyhow::Result<Self> {
        let context = &creation.egui_ctx;
        theme::install(context);
        // The table of actions has it.
        context.options_mut(|options| options.zoom_with_keyboard = false);
        let remembered = options.state_file.as_deref().map(Remembered::load).unwrap_or_default();
        let keeper = options.state_file.clone().map(Keeper::start).transpose()?;
        context.set_theme(if remembered.light_theme { egui::Theme::Light } else { egui::Theme::Dark });
        context.set_zoom_factor(remembered.text_scale);
        let gpu = creation.wgpu_render_state.as_ref();
        let gpu = gpu.ok_or_else(|| anyhow::anyhow!("no graphics device was found to draw slides with"))?;
        let renderer = SlideRenderer::new(gpu);
        let panes = Panes::new(&renderer);
        let annotator = Annotator::new(gpu, waker(context));
        // A core stays with the screen; two threads are the least, so that one slow tile blocks nothing.
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let loader = TileLoader::start((cores - 1).max(2), Budget::of_process().clone(), waker(context))?;
        let workers = Workers::start(options.device, waker(context))?;
        let mut app = Self {
            session: Session::new(project),
            workers,
            loader,
            start_clock: StartClock::default(),
            renderer,
            panes,
            slides: ShownSlides::default(),
            appearance: Appearance { smooth: remembered.smooth, ..Appearance::default() },
            heat_map: HeatMap::start(waker(context))?,
            region_tool: RegionTool::default(),
            annotator,
            annotation_panel: AnnotationsPanel::default(),
            report: ReportView::default(),
            map_renderer: MapRenderer::new(gpu),
            trails: HashMap::new(),
            exporter: Exporter::default(),
            file_dialog: FileDialog::default(),
            chrome: Chrome {
                slides_open: remembered.slides_open,
                matches_open: remembered.matches_open,
                marks_shown: remembered.marks_shown,
                annotations_open: remembered.annotations_open,
                tissue_shown: remembered.tissue_shown,
                appearance_open: false,
                trail_shown: true,
                matches: MatchesPanel::default(),
                heat_shown: false,
                region_drawn: false,
                report_open: false,
                dialog: None,
                training: TrainingPanel::new(options.device),
                training_open: false,
                notice: None,
                notes: HashMap::new(),
            },
            hovered: None,
            context: context.clone(),
            remembered,
            keeper,
            opening: Vec::new(),
            restored: HashSet::new(),
            shown_before: None,
        };
        app.session.start().into_iter().for_each(|job| app.workers.dispatch(job));
        // The session's own project needs no second opening.
        let root = app.session.project().root().to_owned();
        let is_own = |path: &std::path::PathBuf| std::fs::canonicalize(path).is_ok_and(|path| path == root);
        let paths: Vec<_> = options.paths.into_iter().filter(|path| !is_own(path)).collect();
        if !paths.is_empty() {
            app.command(Command::Open(paths));
        }
        Ok(app)
    }

    /// The session, for looking at.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The part of the active slide that is in view, in level-0 pixels; may reach beyond the slide.
    pub fn field(&self) -> Option<Level0Rect> {
        self.panes.view().field()
    }

    /// The same of every pane, row by row.
    pub fn fields(&self) -> Vec<Option<Level0Rect>> {
        self.panes.fields()
    }

    /// How like the tile under the cursor the slides in view are, as the heat map shows it now.
    pub fn likeness(&self) -> Option<&LikenessMaps> {
        self.heat_map.maps().filter(|_| self.heat_map.is_on)
    }

    /// Whether all that is in view has been loaded.
    pub fn is_sharp(&self) -> bool {
        self.loader.is_idle()
    }

    /// What the threads that load tiles have done so far.
    pub fn loader_counts(&self) -> LoaderCounts {
        self.loader.counts()
    }

    /// Do what the user asks for.
    pub fn command(&mut self, command: Command) {
        if let Command::Open(paths) = &command {
            self.opening.extend(paths.iter().filter_map(|path| std::path::absolute(path).ok()));
        }
        for job in self.session.handle(command) {
            self.workers.dispatch(job);
        }
    }

    /// Paths that were opened before, the newest first.
    pub fn recent(&self) -> &[PathBuf] {
        &self.remembered.recent
    }

    /// What the user opened and could be opened is offered again.
    fn note_opened(&mut self, event: &Event) {
        let path = match event {
            Event::SlideOpened(source) => &source.info().path,
            Event::ProjectOpened(project) => return self.remembered.opened(project.root()),
            _ => return,
        };
        // A folder is offered as such, not by all of its slides.
        if let Some(place) = self.opening.iter().position(|opening| path.starts_with(opening)) {
            let opened = self.opening.swap_remove(place);
            self.remembered.opened(&opened);
        }
    }

    /// A slide that is shown for the first time since the start stands where it was looked at last.
    fn restore_view(&mut self) {
        let active = self.session.active().map(|slide| slide.id().clone());
        if active == self.shown_before {
            return;
        }
        if let Some(id) = &active
            && !self.restored.contains(id)
            && let Some(field) = self.remembered.view_of(id)
        {
            self.panes.view_mut().go_to(field, Framing::Field);
        }
        self.restored.extend(active.clone());
        self.shown_before = active;
    }

    /// Have the window's state kept for the next start.
    pub fn remember(&mut self) {
        let Some(keeper) = &self.keeper else { return };
        self.remembered.slides_open = self.chrome.slides_open;
        self.remembered.matches_open = self.chrome.matches_open;
        self.remembered.marks_shown = self.chrome.marks_shown;
        self.remembered.annotations_open = self.chrome.annotations_open;
        self.remembered.tissue_shown = self.chrome.tissue_shown;
        self.remembered.smooth = self.appearance.smooth;
        self.remembered.light_theme = self.context.theme() == egui::Theme::Light;
        self.remembered.text_scale = self.context.zoom_factor();
        self.remembered.project = Some(self.session.project().root().to_owned());
        keeper.keep(self.remembered.clone());
    }

    fn notice(&mut self, context: &Context, text: impl Into<String>) {
        let until = context.input(|input| input.time) + NOTICE_SECONDS;
        self.chrome.notice = Some((text.into(), until));
        context.request_repaint_after(Duration::from_secs_f64(NOTICE_SECONDS));
    }

    /// Dismiss notes that have been readable long enough.
    fn dismiss_old_notes(&mut self, context: &Context) {
        let now = context.input(|input| input.time);
        let notes = self.session.messages().iter().filter(|message| message.severity == Severity::Note);
        let ids: Vec<u64> = notes.map(|message| message.id).collect();
        self.chrome.notes.retain(|id, _| ids.contains(id));
        for id in ids {
            let since = *self.chrome.notes.entry(id).or_insert(now);
            if now - since > NOTE_SECONDS {
                self.command(Command::DismissMessage(id));
            } else {
                context.request_repaint_after(Duration::from_secs_f64(NOTE_SECONDS - (now - since) + 0.1));
            }
        }
    }

    /// Take over what the workers have found out, as much as the time of a frame allows.
    fn absorb_events(&mut self, context: &Context) {
        let started = Instant::now();
        while let Ok(event) = self.workers.events().try_recv() {
            self.note_opened(&event);
            for job in self.session.absorb(event) {
                self.workers.dispatch(job);
            }
            if started.elapsed() > EVENTS_BUDGET {
                context.request_repaint();
                break;
            }
        }
        self.panes.follow(&self.session);
        if let Some(Place { slide, field }) = self.session.take_destination() {
            let is_tile = self.session.query().is_some_and(|query| {
                let matches = query.answer.iter().flat_map(|answer| &answer.matches);
                let mut examples = query.examples().filter_map(|(_, shown)| shown.place.as_ref());
                examples.any(|place| place.slide == slide && place.rect == field)
                    || matches.into_iter().any(|found| found.slide == slide && found.rect == field)
            });
            self.panes.view_mut().go_to(field, if is_tile { Framing::Tile } else { Framing::Field });
        }
    }

    fn take_over_tiles(&mut self, context: &Context) {
        let loaded = self.loader.take_loaded(TILES_PER_FRAME);
        let more = loaded.len() == TILES_PER_FRAME;
        for tile in loaded {
            // A tile that shows its whole slide stands in for all others, and goes last.
            let lasting = self.slides.is_root(tile.key);
            self.renderer.atlas.add(tile.key, tile.tile, lasting);
        }
        let now = context.input(|input| input.time);
        if self.renderer.atlas.begin_frame(now) || more {
            context.request_repaint();
        }
        let closed = self.slides.follow(&self.session, context, &self.loader, &mut self.renderer);
        closed.into_iter().for_each(|slide| self.panes.forget(slide));
    }

    /// Where the view is now, to come back to.
    fn place(&self) -> Option<(SlideId, Level0Rect)> {
        Some((self.session.active()?.id().clone(), self.panes.view().field()?))
    }

    fn go_to_match(&mut self, rank: usize) {
        let from = self.place();
        self.command(Command::GoToMatch { rank, from });
    }

    fn show_neighbour(&mut self, step: isize) {
        let Some(active) = self.session.active().map(|slide| slide.id().clone()) else { return };
        let slides = self.session.slides();
        let place = slides.iter().position(|slide| *slide.id() == active).unwrap_or(0);
        let next = (place as isize + step).rem_euclid(slides.len() as isize) as usize;
        let id = slides[next].id().clone();
        self.command(Command::Show(id));
    }

    fn query_at(&mut self, slide: SlideId, point: Level0Point) {
        let Some(state) = self.session.slide(&slide) else { return };
        if state.source.info().mpp.is_none() {
            self.chrome.dialog = Some(Dialog::calibrate(slide));
            return;
        }
        self.chrome.matches_open = true;
        self.command(Command::QueryAt { slide, point });
    }

    /// A click asks for what is like the tile; with Shift it adds one to the question, with Ctrl one that
    /// matches are to be less like.
    fn clicked(&mut self, modifiers: egui::Modifiers, slide: SlideId, point: Level0Point) {
        if (modifiers.shift || modifiers.command) && self.session.query().is_some() {
            self.command(Command::AddExample { slide, point, like: !modifiers.command });
        } else {
            self.query_at(slide, point);
        }
    }

    /// Say of the match that was gone to whether it is the same tissue; the same verdict again takes it back.
    fn judge(&mut self, context: &Context, verdict: Verdict) {
        let query = self.session.query();
        let visited = query.and_then(|query| Some((query.answer.as_ref()?, query.visited?)));
        let Some((answer, rank)) = visited else {
            self.notice(context, "Go to a match first (N), then say what it is.");
            return;
        };
        let pair = answer.matches.get(rank).and_then(|found| pair(answer, found));
        let known = pair.and_then(|(query, found)| self.session.book().verdict(&query, &found));
        let verdict = (known != Some(verdict)).then_some(verdict);
        self.command(Command::Judge { rank, verdict });
    }

    /// Do one action of the table.
    fn perform(&mut self, context: &Context, action: Action) {
        match action {
            Action::OpenFiles => self.choose_file(context, Choose::Files),
            Action::OpenFolder => self.choose_file(context, Choose::Folder),
            Action::ChoosePicture => self.choose_file(context, Choose::Picture),
            Action::OpenPath => self.chrome.dialog = Some(Dialog::open_path()),
            Action::OpenRecent => self.chrome.dialog = Some(Dialog::recent(&self.remembered.recent)),
            Action::NextSlide => self.show_neighbour(1),
            Action::PreviousSlide => self.show_neighbour(-1),
            Action::SlideProperties => self.toggle_dialog_for_slide(Dialog::properties),
            Action::Calibrate => self.toggle_dialog_for_slide(Dialog::calibrate),
            Action::Quit => context.send_viewport_cmd(egui::ViewportCommand::Close),
            Action::Fit => self.panes.view_mut().fit(),
            Action::ZoomIn => self.panes.view_mut().zoom_by(2.0),
            Action::ZoomOut => self.panes.view_mut().zoom_by(0.5),
            Action::Power(power) => {
                if !self.panes.view_mut().zoom_to_magnification(power) && self.session.active().is_some() {
                    self.notice(context, "This slide is not calibrated: its magnification is unknown. Press M to state its pixel size.");
                }
            }
            Action::Pixels => self.panes.view_mut().zoom_to_pixels(),
            Action::Look(right, down) => self.panes.view_mut().step(right.into(), down.into()),
            Action::Turn(degrees) => self.panes.view_mut().turn_by(degrees.into()),
            Action::MirrorLeftRight => self.panes.view_mut().mirror(Mirror::LeftRight),
            Action::MirrorTopBottom => self.panes.view_mut().mirror(Mirror::TopBottom),
            Action::Upright => self.panes.view_mut().make_upright(),
            Action::Appearance => self.chrome.appearance_open ^= true,
            Action::NextColouring => self.appearance.colouring = self.appearance.colouring.next(),
            Action::OwnColours => self.appearance.reset(),
            Action::Split(split) => self.panes.divide(split, &self.session, &self.renderer, &self.loader),
            Action::LinkPanes => self.panes.linked = !self.panes.linked && self.panes.split() != Split::ONE,
            Action::Tool(tool) => {
                self.region_tool.put_down();
                self.annotator.take_up(tool);
            }
            Action::ResizeBrush(larger) => self.annotator.resize_brush(if larger { 1.25 } else { 0.8 }),
            Action::Undo => self.annotate(Annotate::Undo),
            Action::Redo => self.annotate(Annotate::Redo),
            Action::DeleteAnnotations => self.delete_annotations(),
            Action::ImportAnnotations => self.choose_file(context, Choose::Annotations),
            Action::ExportAnnotations => {
                let name = self.export_path().file_name().map(|name| name.to_string_lossy().into_owned());
                self.choose_file(context, Choose::SaveAnnotations(name.unwrap_or_default()));
            }
            Action::ExportAnnotationsPath => {
                let typed = self.export_path().display().to_string();
                self.toggle_dialog_for_slide(|slide| Dialog::ExportAnnotations { slide, typed });
            }
            Action::ToggleAnnotations => self.chrome.annotations_open ^= true,
            Action::ToggleTrail => self.chrome.trail_shown ^= true,
            Action::ClearTrail => {
                let in_view: Vec<SlideId> = self.panes.slides().cloned().collect();
                self.trails.retain(|slide, _| !in_view.contains(slide));
            }
            Action::SaveView => {
                if let Some(state) = self.session.active() {
                    let (camera, view) = self.panes.view().seen();
                    let form = SaveForm::new(&state.source.info().name(), view, camera.zoom);
                    self.chrome.dialog = Some(Dialog::SaveView(form));
                }
            }
            Action::CopyView => self.export(context, 1.0, true, Destination::Clipboard),
            Action::FindSimilar => match self.hovered.clone() {
                Some((slide, point)) => self.query_at(slide, point),
                None => self.notice(context, "Move the pointer over the slide, then press S."),
            },
            Action::NextMatch | Action::PreviousMatch => self.step_match(action == Action::NextMatch),
            Action::Back => {
                if !self.annotator.take_back_point() {
                    self.command(Command::Back);
                }
            }
            Action::Judge(verdict) => self.judge(context, verdict),
            Action::UndoJudgement => self.command(Command::UndoJudgement),
            Action::ExportMatches => self.command(Command::ExportMatches),
            Action::ToggleHeatMap => self.heat_map.is_on ^= true,
            Action::SelectRegion(shape) => {
                self.annotator.put_down();
                self.region_tool.toggle(shape);
                if self.region_tool.shape.is_some() {
                    self.notice(context, "Draw around the tissue to look for. Esc puts the tool down.");
                }
            }
            Action::ToggleHistory => self.chrome.matches.history_open ^= true,
            Action::ClearQuery => {
                if self.chrome.dialog.take().is_none()
                    && !self.region_tool.put_down()
                    && !self.annotator.escape()
                    && !self.deselect()
                {
                    self.command(Command::ClearQuery);
                }
            }
            Action::PauseOrResume => {
                let embedding = self.session.embedding();
                let resume = embedding.paused || embedding.cancelled;
                self.command(if resume { Command::ResumeEmbedding } else { Command::PauseEmbedding });
            }
            Action::StopEmbedding => self.command(Command::CancelEmbedding),
            Action::ToggleSlides => self.chrome.slides_open ^= true,
            Action::ToggleMatches => self.chrome.matches_open ^= true,
            Action::ToggleTraining => {
                self.chrome.training_open ^= true;
                self.chrome.training.opened(&self.session);
            }
            Action::ToggleTissue => self.chrome.tissue_shown ^= true,
            Action::ToggleMarks => self.chrome.marks_shown ^= true,
            Action::ToggleReport => self.chrome.report_open ^= true,
            Action::WriteReport => self.command(Command::WriteReport),
            Action::ToggleTheme => {
                let dark = context.theme() == egui::Theme::Dark;
                context.set_theme(if dark { egui::Theme::Light } else { egui::Theme::Dark });
            }
            Action::TextLarger => egui::gui_zoom::zoom_in(context),
            Action::TextSmaller => egui::gui_zoom::zoom_out(context),
            Action::TextUsual => context.set_zoom_factor(1.0),
            Action::Palette => self.chrome.dialog = Some(Dialog::palette()),
            Action::Help => {
                let open = matches!(self.chrome.dialog, Some(Dialog::Help));
                self.chrome.dialog = (!open).then_some(Dialog::Help);
            }
        }
    }

    /// Do something to the annotations of the slide in view.
    fn annotate(&mut self, wish: impl FnOnce(SlideId) -> Annotate) {
        if let Some(slide) = self.session.active().map(|slide| slide.id().clone()) {
            self.command(Command::Annotate(wish(slide)));
        }
    }

    fn selection(&self) -> Option<&SlideAnnotations> {
        let annotations = self.session.annotations(self.session.active()?.id())?;
        (!annotations.selection().is_empty()).then_some(annotations)
    }

    /// Select nothing; `false` when nothing was selected.
    fn deselect(&mut self) -> bool {
        let any = self.selection().is_some();
        if any {
            self.annotate(|slide| Annotate::Select { slide, ids: Vec::new() });
        }
        any
    }

    fn delete_annotations(&mut self) {
        let Some(annotations) = self.selection() else { return };
        let ids: Vec<_> = annotations.selected().filter(|one| !one.locked).map(|one| one.id).collect();
        self.annotate(|slide| Annotate::Edit { slide, edit: Edit::Remove(ids) });
    }

    /// Where annotations are exported to unless the user says otherwise: beside the slide.
    fn export_path(&self) -> PathBuf {
        let path = self.session.active().map(|slide| slide.source.info().path.clone());
        path.unwrap_or_default().with_extension("geojson")
    }

    fn choose_file(&mut self, context: &Context, choose: Choose) {
        if let Err(error) = self.file_dialog.open(choose, waker(context)) {
            self.command(Command::Report(format!("the dialog could not be opened: {error}")));
        }
    }

    fn toggle_dialog_for_slide(&mut self, dialog: impl FnOnce(SlideId) -> Dialog) {
        let id = self.session.active().map(|slide| slide.id().clone());
        self.chrome.dialog = if self.chrome.dialog.is_some() { None } else { id.map(dialog) };
    }

    fn step_match(&mut self, forward: bool) {
        let Some(query) = self.session.query() else { return };
        let count = query.answer.as_ref().map_or(0, |answer| answer.matches.len());
        let next = match (query.visited, forward) {
            (None, _) => 0,
            (Some(rank), true) => rank + 1,
            (Some(rank), false) => rank.saturating_sub(1),
        };
        if next < count {
            self.go_to_match(next);
        }
    }

    fn canvas_ui(&mut self, ui: &mut Ui, palette: &Palette, asked: &mut Asked) {
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
        let in_view: Vec<SlideId> = self.panes.slides().cloned().collect();
        let under = self.hovered.as_ref().map(|(slide, at)| (slide, *at));
        self.heat_map.follow(ui.ctx(), &self.session, under, &in_view.iter().collect::<Vec<_>>());
        self.heat_map.legend_ui(ui, canvas, palette);
    }

    /// Note what a pane shows on the trail of its slide.
    fn leave_trail(&mut self, place: usize, slide: &SlideId) {
        let Some(state) = self.session.slide(slide) else { return };
        let info = state.source.info();
        let extent = (f64::from(info.width()), f64::from(info.height()));
        let trail = self.trails.entry(slide.clone()).or_insert_with(|| Trail::new(extent));
        self.panes.pane(place).view.leave_trail(trail);
    }

    /// The view at work as a picture with `scale` pixels for each of its own.
    fn export(&mut self, context: &Context, scale: f64, scale_bar: bool, destination: Destination) {
        let Some(state) = self.session.active() else { return };
        let Some(shown) = self.slides.get(state.id()) else { return };
        let (camera, view) = self.panes.view().seen();
        let px = |length: f64| (length * scale).round().clamp(1.0, f64::from(LARGEST_PX)) as u32;
        let normaliser = self.session.normaliser(state.id());
        let profile = match &state.profile {
            Profile::Known(table) if self.appearance.wants_profile() => Some(table.clone()),
            _ => None,
        };
        let pixels_per_point = context.pixels_per_point() * scale as f32;
        let export = Export {
            pyramid: shown.pyramid.clone(),
            camera,
            span: (view.0 / camera.zoom, view.1 / camera.zoom),
            size: (px(view.0), px(view.1)),
            shading: self.appearance.shading(normaliser.as_ref()),
            profile,
            marks: shown.marks.iter().filter(|_| self.chrome.marks_shown).cloned().collect(),
            scale_bar: scale_bar.then_some(ScaleBar { mpp: state.source.info().mpp, pixels_per_point }),
            destination,
        };
        if let Err(error) = self.exporter.start(self.renderer.still_painter(), export, waker(context)) {
            self.command(Command::Report(format!(
                "the view was not drawn: the system gives no thread: {error}"
            )));
        }
    }

    /// Take over pictures that are done.
    fn finish_exports(&mut self, context: &Context) {
        for finished in self.exporter.take_finished() {
            match finished {
                Exported::Saved(path) => self.notice(context, format!("Saved {}", path.display())),
                Exported::ToCopy(picture) => {
                    let size = [picture.width() as usize, picture.height() as usize];
                    context.copy_image(egui::ColorImage::from_rgb(size, picture.as_raw()));
                    self.notice(context, "The view is on the clipboard.");
                }
                Exported::Failed(reason) => self.command(Command::Report(reason)),
            }
        }
    }

    /// Let the user draw a region on the pane at work, if that was asked for.
    fn draw_region(&mut self, ui: &Ui, rect: Rect, place: usize, palette: &Palette, asked: &mut Asked) {
        let pane = self.panes.pane(place);
        let Some(slide) = pane.slide.clone() else { return };
        let scale = ui.ctx().pixels_per_point();
        let on_slide = |at| pane.view.level0_at(at, rect, scale);
        if let Some(region) = self.region_tool.ui(ui, rect, on_slide, palette) {
            self.chrome.matches_open = true;
            asked.command(Command::QueryRegion { slide, region });
        }
    }

    /// One canvas with its slide.
    fn pane_ui(&mut self, ui: &mut Ui, place: usize, palette: &Palette, asked: &mut Asked) -> CanvasOutcome {
        let slide = self.panes.pane(place).slide.clone();
        let Some(state) = slide.and_then(|id| self.session.slide(&id)) else {
            return CanvasOutcome { pressed: panels::pane::empty_ui(ui, palette), ..Default::default() };
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
        let trail = self.trails.get_mut(&id).filter(|_| self.chrome.trail_shown);
        let trail = trail.map(|trail| {
            trail.prepare(ui.ctx(), palette.accent);
            &*trail
        });
        let heat = self.heat_map.of(&id);
        let scene = Scene {
            pyramid: &shown.pyramid,
            marks: if self.chrome.marks_shown { shown.marks.as_slice() } else { &[] },
            tissue: tissue.as_ref().map(|(texture, span)| (texture, *span)),
            heat: heat.map(|(heat, opacity)| (&heat.texture, heat.span, opacity)),
            query: query
                .filter(|query| !matches!(query.like[0].example, Example::Region { .. }))
                .and_then(QueryState::target)
                .filter(|target| target.slide == id)
                .map(|target| target.rect),
            visited: visited.filter(|found| found.slide == id).map(|found| found.rect),
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
            trail,
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
            self.remembered.looked_at(&slide, field);
            self.leave_trail(place, &slide);
            asked.command(Command::LookAt { slide, field });
        }
    }

    fn panels_ui(&mut self, ui: &mut Ui, palette: &Palette, asked: &mut Asked) {
        let bar = Frame::new().fill(palette.panel).inner_margin(egui::Margin::symmetric(10, 6));
        Panel::top("tools").frame(bar).show_separator_line(true).show(ui, |ui| {
            panels::tools::tools_ui(ui, &self.session, &self.chrome, &self.panes, palette, asked);
        });
        let bar = Frame::new().fill(palette.panel).inner_margin(egui::Margin::symmetric(12, 4));
        Panel::bottom("status").frame(bar).show(ui, |ui| {
            let active = self.session.active().map(|slide| slide.id());
            let hovered = self.hovered.as_ref().filter(|(slide, _)| Some(slide) == active).map(|(_, at)| *at);
            panels::status::status_ui(ui, &self.session, self.panes.view(), hovered, palette);
        });
        let side = Frame::new().fill(palette.panel);
        let annotations_open = self.chrome.annotations_open && self.session.active().is_some();
        if self.chrome.slides_open || annotations_open {
            Panel::left("slides").frame(side).default_size(280.0).size_range(220.0..=420.0).show(ui, |ui| {
                if !self.chrome.slides_open {
                    self.annotation_panel.ui(ui, &self.session, palette, asked);
                    return;
                }
                if annotations_open {
                    let below = Panel::bottom("annotations").frame(side).resizable(true);
                    below.default_size(360.0).size_range(200.0..=900.0).show(ui, |ui| {
                        self.annotation_panel.ui(ui, &self.session, palette, asked);
                    });
                }
                panels::slides::slides_ui(ui, &self.session, &self.slides, palette, asked);
            });
        }
        if self.session.active().is_some() {
            let strip = Frame::new().fill(palette.panel).inner_margin(egui::Margin::symmetric(4, 8));
            Panel::left("annotation tools").frame(strip).exact_size(annotation_tools::WIDTH).show(ui, |ui| {
                let (tool, open) = (self.annotator.tool(), self.chrome.annotations_open);
                annotation_tools::annotation_tools_ui(ui, &self.session, tool, open, palette, asked);
            });
        }
        if self.chrome.matches_open {
            Panel::right("matches").frame(side).default_size(300.0).size_range(250.0..=460.0).show(
                ui,
                |ui| {
                    panels::matches::matches_ui(
                        ui,
                        &mut self.chrome.matches,
                        &self.session,
                        &mut self.slides,
                        palette,
                        asked,
                    );
                },
            );
        }
        let canvas = Frame::new().fill(palette.canvas);
        egui::CentralPanel::default().frame(canvas).show(ui, |ui| {
            let rect = ui.max_rect();
            if self.chrome.report_open {
                self.hovered = None;
                let (report, renderer) = (&mut self.report, &self.map_renderer);
                panels::report::report_ui(ui, &self.session, report, renderer, palette, asked);
            } else {
                self.canvas_ui(ui, palette, asked);
            }
            if self.chrome.appearance_open {
                let appearance = &mut self.appearance;
                panels::appearance::appearance_ui(ui, rect, appearance, &self.session, palette, asked);
            }
            panels::messages::messages_ui(ui, rect, &self.session, palette, asked);
            let now = ui.input(|input| input.time);
            if let Some((notice, _)) = self.chrome.notice.as_ref().filter(|(_, until)| now < *until) {
                panels::messages::notice_ui(ui, rect, notice, palette);
            }
        });
    }
}

impl eframe::App for App {
    fn logic(&mut self, context: &Context, _frame: &mut eframe::Frame) {
        self.start_clock.frame();
        self.absorb_events(context);
        self.take_over_tiles(context);
        self.dismiss_old_notes(context);
        self.restore_view();
        self.finish_exports(context);
        if let Some((choose, paths)) = self.file_dialog.take_chosen() {
            if choose == Choose::Picture {
                if let (Some(Dialog::SaveView(form)), Some(path)) = (&mut self.chrome.dialog, paths.first()) {
                    form.path = path.display().to_string();
                }
            } else if let (Choose::SaveAnnotations(_), [path]) = (&choose, paths.as_slice()) {
                let path = path.clone();
                self.annotate(|slide| Annotate::Export { slide, path });
            } else if choose == Choose::Annotations && !paths.is_empty() {
                for path in paths {
                    self.annotate(|slide| Annotate::Import { slide, path });
                }
            } else if paths.is_empty() {
                self.notice(
                    context,
                    "Nothing was chosen. Paths can also be typed (Ctrl+P), or files dropped here.",
                );
            } else {
                self.command(Command::Open(paths));
            }
        }
    }

    fn save(&mut self, _storage: &mut dyn eframe::Storage) {
        self.remember();
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        let context = ui.ctx().clone();
        let palette = Palette::current(&context);
        let mut asked =
            Asked { actions: actions::pressed(&context), commands: Vec::new(), saves: Vec::new() };
        self.panels_ui(ui, &palette, &mut asked);
        if self.chrome.training_open {
            let panel = &mut self.chrome.training;
            self.chrome.training_open =
                panels::training::training_ui(&context, panel, &self.session, &palette, &mut asked);
        }
        let mut dialog = self.chrome.dialog.take();
        if let Some(open) = &mut dialog
            && panels::dialogs::dialog_ui(
                &context,
                open,
                &self.session,
                &mut self.slides,
                &palette,
                &mut asked,
            )
        {
            dialog = None;
        }
        self.chrome.dialog = dialog;
        let dropped: Vec<_> = context
            .input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect());
        if !dropped.is_empty() {
            asked.command(Command::Open(dropped));
        }
        if context.input(|input| !input.raw.hovered_files.is_empty()) {
            panels::welcome::drop_hint_ui(&context, &palette);
        }
        for command in asked.commands {
            match command {
                Command::GoToMatch { rank, .. } => self.go_to_match(rank),
                Command::GoToExample { place, .. } => {
                    let from = self.place();
                    self.command(Command::GoToExample { place, from });
                }
                Command::Show(slide) => {
                    self.panes.show(&slide);
                    self.command(Command::Show(slide));
                }
                Command::GoToTile { slide, rect, .. } => {
                    let from = self.place();
                    self.chrome.report_open = false;
                    self.command(Command::GoToTile { slide, rect, from });
                }
                other => self.command(other),
            }
        }
        for action in asked.actions {
            self.perform(&context, action);
        }
        for SaveWish { path, scale, scale_bar } in asked.saves {
            self.export(&context, scale, scale_bar, Destination::File(path));
        }
        // Ctrl+C arrives as a wish to copy, which belongs to the slide while the pointer is over it.
        let copies = context.input(|input| input.events.contains(&egui::Event::Copy));
        if copies && self.hovered.is_some() && self.chrome.dialog.is_none() {
            self.perform(&context, Action::CopyView);
        }
    }
}

/// Name of a slide for lists.
pub fn slide_name(session: &Session, id: &SlideId) -> String {
    session.slide(id).map_or_else(|| id.short().to_owned(), |slide: &SlideState| slide.source.info().name())
}
