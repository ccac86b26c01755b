//! The window's state and its frame: events into the session, the session onto the screen, the user's
//! wishes into commands.

mod annotating;
mod asking;
mod between_starts;
mod canvas;
mod chrome;
mod handover;
mod incoming;
mod layout;
mod close_guard;
mod perform;
mod pictures;

use std::collections::HashSet;
use std::path::PathBuf;

use egui::{Context, Ui};
use handover::WindowWaker;

pub use chrome::{Asked, Chrome};
pub use handover::HandedOver;

use super::actions::{self, Action, Busy};
use super::export::Exporter;
use super::file_dialog::FileDialog;
use super::heat_map::HeatMap;
use super::panels;
use super::panels::annotations::AnnotationsPanel;
use super::panels::dialogs::Dialog;
use super::panels::report::{MapRenderer, ReportView};
use super::panes::Panes;
use super::region_tool::RegionTool;
use super::remembered::{Keeper, Remembered};
use super::shown_slides::ShownSlides;
use super::slide_view::{Annotator, Appearance, Lacks, SlideRenderer};
use super::start::{self, StartClock};
use super::theme::{self, Palette};
use super::view_histories::ViewHistories;
use super::{WindowOptions, waker};
use crate::geometry::{Level0Point, Level0Rect};
use crate::memory::Budget;
use crate::project::Project;
use crate::session::{Command, Session};
use crate::slide::SlideId;
use crate::workers::Workers;
use crate::workers::heat::SimilarityMaps;
use crate::workers::tile_loader::{LoaderCounts, TileLoader};

/// The window.
pub struct App {
    session: Session,
    workers: Workers,
    /// Wakes this window for the workers.
    window_waker: WindowWaker,
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
    /// What draws the window, for people.
    graphics: String,
    /// Where the reader has looked.
    view_histories: ViewHistories,
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
    /// A slide that the user has just opened, to be shown.
    to_show: Option<SlideId>,
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
        let remembered = options.state_file.as_deref().map(Remembered::load).unwrap_or_default();
        let window_waker = WindowWaker::of(&creation.egui_ctx);
        let begin = HandedOver {
            session: Session::new(project),
            workers: Workers::start(options.device, window_waker.waker())?,
            window_waker,
            appearance: Appearance { smooth: remembered.smooth, ..Appearance::default() },
            chrome: Chrome::new(&remembered, options.device),
            remembered,
        };
        let mut app = Self::with(creation, &options, begin)?;
        app.session.start().into_iter().for_each(|job| app.workers.dispatch(job));
        // The session's own project needs no second opening.
        let root = app.session.project().root().to_owned();
        let is_own = |path: &PathBuf| std::path::absolute(path).is_ok_and(|path| path == root);
        let paths: Vec<_> = options.paths.into_iter().filter(|path| !is_own(path)).collect();
        if !paths.is_empty() {
            app.command(Command::Open(paths));
        }
        Ok(app)
    }

    /// A window around what there is already.
    fn with(
        creation: &eframe::CreationContext<'_>,
        options: &WindowOptions,
        handed_over: HandedOver,
    ) -> anyhow::Result<Self> {
        let HandedOver { session, workers, window_waker, remembered, appearance, chrome } = handed_over;
        let context = &creation.egui_ctx;
        theme::install(context);
        // The table of actions has it.
        context.options_mut(|options| options.zoom_with_keyboard = false);
        let view_history_folder =
            options.state_file.as_deref().and_then(|file| Some(file.parent()?.join("trails")));
        let keeper = options.state_file.clone().map(Keeper::start).transpose()?;
        context.set_theme(if remembered.light_theme { egui::Theme::Light } else { egui::Theme::Dark });
        context.set_zoom_factor(remembered.text_scale);
        let gpu = creation.wgpu_render_state.as_ref();
        let gpu = gpu.ok_or_else(|| anyhow::anyhow!("no graphics device was found to draw slides with"))?;
        let renderer = SlideRenderer::new(gpu);
        let mut panes = Panes::new(&renderer);
        // What another project showed is not waited for.
        if remembered.project.as_deref() == Some(session.project().root()) {
            panes.come_back_to(&remembered.layout, &renderer);
        }
        let annotator = Annotator::new(gpu, waker(context));
        // A core stays with the screen; two threads are the least, so that one slow tile blocks nothing.
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let loader = TileLoader::start((cores - 1).max(2), Budget::of_process().clone(), waker(context))?;
        Ok(Self {
            session,
            workers,
            window_waker,
            loader,
            start_clock: StartClock::default(),
            renderer,
            panes,
            slides: ShownSlides::default(),
            appearance,
            heat_map: HeatMap::start(waker(context), gpu)?,
            region_tool: RegionTool::default(),
            annotator,
            annotation_panel: AnnotationsPanel::default(),
            report: ReportView::default(),
            map_renderer: MapRenderer::new(gpu),
            graphics: start::graphics(gpu),
            view_histories: ViewHistories::start(view_history_folder, waker(context))?,
            exporter: Exporter::default(),
            file_dialog: FileDialog::default(),
            chrome,
            hovered: None,
            context: context.clone(),
            remembered,
            keeper,
            opening: Vec::new(),
            restored: HashSet::new(),
            to_show: None,
        })
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
    pub fn similarity(&self) -> Option<&SimilarityMaps> {
        self.heat_map.maps().filter(|_| self.heat_map.is_on)
    }

    /// Whether all that is in view has been loaded.
    pub fn is_sharp(&self) -> bool {
        self.loader.is_idle()
    }

    /// What the last frame of the view at work lacked of being sharp.
    pub fn lacks(&self) -> Lacks {
        self.panes.view().lacks()
    }

    /// Where the overview of the view at work lies, in points.
    pub fn overview_rect(&self) -> egui::Rect {
        self.panes.view().overview_rect()
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
}

impl eframe::App for App {
    fn logic(&mut self, context: &Context, _frame: &mut eframe::Frame) {
        self.start_clock.frame();
        self.hold_back_closing(context);
        self.absorb_events(context);
        self.take_over_tiles(context);
        self.dismiss_old_notes(context);
        self.show_what_has_opened(context);
        self.restore_views();
        self.view_histories.take_read();
        self.finish_exports(context);
        self.take_over_choice(context);
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
        };
        let mut asked = Asked {
            actions: actions::pressed(&context, busy),
            commands: Vec::new(),
            saves: Vec::new(),
            is_comparing: self.panes.is_comparing(),
        };
        self.take_over_paste(&context);
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
        self.carry_out(&context, asked);
        // Ctrl+C arrives as a wish to copy, which belongs to the slide while the pointer is over it.
        let copies = context.input(|input| input.events.contains(&egui::Event::Copy));
        if copies && self.hovered.is_some() && self.chrome.dialog.is_none() && !busy.typing {
            self.perform(&context, Action::CopyView);
        }
    }
}

/// Name of a slide for lists.
pub fn slide_name(session: &Session, id: &SlideId) -> String {
    if let Some(slide) = session.slide(id) {
        return slide.source.info().name();
    }
    let answer = session.query().and_then(|query| query.answer.as_ref());
    let archived = answer.and_then(|answer| answer.from_archive(id));
    archived.map_or_else(|| id.short().to_owned(), |slide| slide.name.clone())
}
