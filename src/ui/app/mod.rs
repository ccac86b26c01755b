//! The window's state and its frame: passes events to the session, draws the session, and turns input into
//! commands.

mod persistence;
mod canvas;
mod changes;
mod chrome;
mod handover;
mod receive;
mod layout;
mod questions;
mod perform;
mod pictures;

use std::path::{Path, PathBuf};

use egui::{Context, Ui};
use handover::WindowWaker;

use canvas::Canvas;
use changes::{Change, Changes};
pub use chrome::{Chrome, Requests, TilePicture};
pub use handover::HandedOver;
use persistence::OpenedPaths;

use super::WindowOptions;
use super::actions::{self, Action, Busy, ViewAction};
use super::export::Exporter;
use super::file_dialog::FileDialog;
use super::focus_ring::FocusRing;
use super::guide::Guide;
use super::panels;
use super::panels::dialogs::Dialog;
use super::panels::report::{MapRenderer, ReportView};
use super::single_instance::Listener;
use super::slide_view::{Appearance, MissingTiles};
use super::start::{self, StartClock};
use super::theme::{self, Palette};
use super::window_state::{StateFile, WindowState};
use crate::encoder::{DeviceChoice, engine};
use crate::geometry::Level0Rect;
use crate::memory::Budget;
use crate::project::Project;
use crate::session::{Command, Job, Session, SlideCommand};
use crate::slide::SlideId;
use crate::workers::Workers;
use crate::workers::similarity_maps::SimilarityMaps;
use crate::workers::tile_loader::LoaderCounts;

/// The window.
pub struct App {
    /// Dropped first: a window that is closing takes no more files, while its workers still save.
    listener: Option<Listener>,
    session: Session,
    workers: Workers,
    window: Window,
    canvas: Canvas,
    chrome: Chrome,
    report: Report,
    files: Files,
    opened: OpenedPaths,
    changes: Changes,
    window_state: WindowState,
    state_file: Option<StateFile>,
    state_file_path: Option<PathBuf>,
}

/// The window itself and its graphics device.
struct Window {
    context: Context,
    /// Wakes this window for the workers.
    waker: WindowWaker,
    start_clock: StartClock,
    /// Graphics card and driver, for display.
    graphics: String,
    focus_ring: FocusRing,
}

/// The report, and what draws its map.
struct Report {
    view: ReportView,
    renderer: MapRenderer,
}

/// The system's file dialog, pictures that are being written, and the guide.
#[derive(Default)]
struct Files {
    dialog: FileDialog,
    exporter: Exporter,
    guide: Guide,
}

impl App {
    /// Creates the window and opens the project's slides and `options.paths`.
    ///
    /// # Errors
    /// If there is no graphics device, or a thread cannot be started.
    pub fn new(
        creation: &eframe::CreationContext<'_>,
        project: Project,
        options: WindowOptions,
    ) -> anyhow::Result<Self> {
        let window_state = options.state_file.as_deref().map(WindowState::load).unwrap_or_default();
        let settings = &window_state.settings;
        let options = WindowOptions {
            device: if options.device == DeviceChoice::Auto { settings.device.0 } else { options.device },
            ..options
        };
        if engine::chosen().is_none()
            && let Err(error) = engine::choose(settings.engine.0)
        {
            tracing::warn!("the engine in the settings file is left out: {error}");
        }
        if let Some(mib) = options.cache_mib.or(settings.cache_mib) {
            Budget::of_process().set_limit((mib as usize) << 20);
        }
        let window_waker = WindowWaker::of(&creation.egui_ctx);
        let begin = HandedOver {
            session: Session::new(project),
            workers: Workers::with_threads(options.device, settings.embedding_threads, window_waker.waker())?,
            listener: listener_at(options.listens_at.as_deref(), &window_waker),
            window_waker,
            appearance: Appearance { smooth: window_state.smooth, ..Appearance::default() },
            chrome: Chrome::new(&window_state, options.device),
            window_state,
        };
        let mut app = Self::with(creation, &options, begin)?;
        let jobs = app.session.start();
        app.issue(jobs);
        // The session's own project is open already.
        let root = app.session.project().root().to_owned();
        let is_own = |path: &PathBuf| std::path::absolute(path).is_ok_and(|path| path == root);
        let paths: Vec<_> = options.paths.into_iter().filter(|path| !is_own(path)).collect();
        if !paths.is_empty() {
            app.command(SlideCommand::Open(paths));
        }
        Ok(app)
    }

    /// Creates a window for an existing session.
    fn with(
        creation: &eframe::CreationContext<'_>,
        options: &WindowOptions,
        handed_over: HandedOver,
    ) -> anyhow::Result<Self> {
        let HandedOver { session, workers, window_waker, window_state, appearance, chrome, listener } =
            handed_over;
        let context = &creation.egui_ctx;
        theme::install(context);
        // The table of actions defines these shortcuts.
        context.options_mut(|options| options.zoom_with_keyboard = false);
        context.set_theme(if window_state.light_theme { egui::Theme::Light } else { egui::Theme::Dark });
        context.set_zoom_factor(window_state.text_scale);
        window_state.settings.apply(context);
        let gpu = creation.wgpu_render_state.as_ref();
        let gpu = gpu.ok_or_else(|| anyhow::anyhow!("no graphics device was found to draw slides with"))?;
        let mut canvas = Canvas::new(context, gpu, appearance, options.state_file.as_deref())?;
        canvas.heat_map.legend.moved = window_state.legend.map(|[x, y]| egui::Vec2::new(x, y));
        // Slides of another project are not waited for.
        if window_state.project.as_deref() == Some(session.project().root()) {
            canvas.panes.restore(&window_state.layout, &canvas.renderer);
        }
        canvas.annotator.set_wand_sensitivity(window_state.settings.wand_sensitivity());
        Ok(Self {
            session,
            workers,
            window: Window {
                context: context.clone(),
                waker: window_waker,
                start_clock: StartClock::default(),
                graphics: start::graphics(gpu),
                focus_ring: FocusRing::default(),
            },
            canvas,
            chrome,
            report: Report { view: ReportView::default(), renderer: MapRenderer::new(gpu) },
            files: Files::default(),
            opened: OpenedPaths::default(),
            changes: Changes::default(),
            window_state,
            state_file: options.state_file.clone().map(StateFile::start).transpose()?,
            state_file_path: options.state_file.clone(),
            listener,
        })
    }

    /// The session, read-only.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The part of the active slide that is in view, in level-0 pixels; may extend beyond the slide.
    pub fn field(&self) -> Option<Level0Rect> {
        self.canvas.panes.view().field()
    }

    /// The same for every pane, row by row.
    pub fn fields(&self) -> Vec<Option<Level0Rect>> {
        self.canvas.panes.fields()
    }

    /// The similarity maps of the slides in view, if the heat map is on.
    pub fn similarity(&self) -> Option<&SimilarityMaps> {
        self.canvas.heat_map.maps().filter(|_| self.canvas.heat_map.is_on)
    }

    /// Whether everything in view has been loaded.
    pub fn is_sharp(&self) -> bool {
        self.canvas.loader.is_idle()
    }

    /// Number of tiles missing in the last frame of the active view.
    pub fn missing_tiles(&self) -> MissingTiles {
        self.canvas.panes.view().missing_tiles()
    }

    /// Rectangle of the overview of the active view, in points.
    pub fn overview_rect(&self) -> egui::Rect {
        self.canvas.panes.view().overview_rect()
    }

    /// Rectangle of the scale bar of the active view and the notes beside it, in points.
    pub fn scale_bar_rect(&self) -> egui::Rect {
        self.canvas.panes.view().scale_bar_rect()
    }

    /// Counters of the tile loader.
    pub fn loader_counts(&self) -> LoaderCounts {
        self.canvas.loader.counts()
    }

    /// Executes a command.
    pub fn command(&mut self, command: impl Into<Command>) {
        let command = command.into();
        self.changes.note(&command);
        if let Command::Slides(SlideCommand::Open(paths)) = &command {
            self.opened.expect(paths);
        }
        let jobs = self.session.handle(command);
        self.issue(jobs);
    }

    /// Whether a judgement is later than the last change to annotations.
    fn undoes_judgement(&self) -> bool {
        self.changes.latest() == Some(Change::Judgement) && self.session.can_undo_judgement()
    }

    /// Gives the workers jobs of the project that is open.
    fn issue(&self, jobs: Vec<Job>) {
        let project = self.session.opened();
        jobs.into_iter().for_each(|job| self.workers.dispatch(&project, job));
    }
}

/// Listens for paths that later starts hand over. Without it every start opens a window of its own, which is no
/// error.
fn listener_at(address: Option<&Path>, waker: &WindowWaker) -> Option<Listener> {
    match Listener::start(address?, waker.waker()) {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::info!(%error, "this window takes no files of later starts");
            None
        }
    }
}

impl eframe::App for App {
    fn logic(&mut self, context: &Context, _frame: &mut eframe::Frame) {
        self.window.start_clock.frame();
        self.confirm_closing(context);
        self.take_handed_over(context);
        self.absorb_events(context);
        self.receive_tiles(context);
        self.dismiss_old_notes(context);
        self.show_opened(context);
        self.restore_views();
        self.canvas.view_histories.take_read();
        self.finish_exports(context);
        self.report_guide();
        self.use_chosen_files(context);
    }

    fn save(&mut self, _storage: &mut dyn eframe::Storage) {
        self.remember();
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        let context = ui.ctx().clone();
        let palette = Palette::current(&context);
        let busy = Busy {
            typing: context.egui_wants_keyboard_input(),
            dialog: self.chrome.dialog.as_ref().map(Dialog::opened_by),
            assigning: self.chrome.dialog.as_ref().is_some_and(Dialog::is_assigning),
        };
        let mut requests = Requests {
            actions: actions::pressed(&context, busy),
            is_comparing: self.canvas.panes.is_comparing(),
            undoes_judgement: self.undoes_judgement(),
            ..Requests::default()
        };
        self.ask_for_permission();
        self.use_pasted_picture(&context);
        self.panels_ui(ui, &palette, &mut requests);
        if self.chrome.training_open && !self.chrome.training.is_docked {
            let panel = &mut self.chrome.training;
            self.chrome.training_open =
                panels::training::training_ui(&context, panel, &self.session, &palette, &mut requests);
        }
        self.hints_ui(&context, &palette, &mut requests);
        let mut dialog = self.chrome.dialog.take();
        if let Some(open) = &mut dialog
            && panels::dialogs::dialog_ui(
                &context,
                open,
                &self.session,
                &mut self.canvas.slides,
                &palette,
                &mut requests,
            )
        {
            dialog = None;
        }
        self.chrome.dialog = dialog;
        let dropped: Vec<_> = context
            .input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect());
        if !dropped.is_empty() {
            requests.command(SlideCommand::Open(dropped));
        }
        if context.input(|input| !input.raw.hovered_files.is_empty()) {
            panels::welcome::drop_hint_ui(&context, &palette);
        }
        self.window.focus_ring.ui(&context, &palette);
        self.execute(&context, requests);
        // Ctrl+C arrives as a copy event; it copies the view while the pointer is over the slide.
        let copies = context.input(|input| input.events.contains(&egui::Event::Copy));
        if copies && self.canvas.hovered.is_some() && self.chrome.dialog.is_none() && !busy.typing {
            self.perform(&context, Action::View(ViewAction::Copy));
        }
    }
}

/// Name of a slide, for lists.
pub fn slide_name(session: &Session, id: &SlideId) -> String {
    if let Some(name) = session.slide_name(id) {
        return name;
    }
    let answer = session.query().and_then(|query| query.answer.as_ref());
    let archived = answer.and_then(|answer| answer.from_archive(id));
    archived.map_or_else(|| id.short().to_owned(), |slide| slide.name.clone())
}
