//! The window. Draws the session, turns user input into commands, and owns the canvas.

mod actions;
mod relaunch;
mod app;
mod diagnostics;
mod shutdown;
mod export;
mod file_dialog;
mod focus_ring;
mod graphics;
mod guide;
mod heat_map;
mod locale;
mod panels;
mod panes;
mod region_tool;
mod settings;
mod shipped;
mod single_instance;
mod window_state;
mod short_names;
mod shown_slides;
mod slide_view;
mod start;
mod theme;
mod view_histories;
mod window;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::encoder::DeviceChoice;
use crate::project::Project;

pub use app::App;
pub use heat_map::GraphicsCard;
use settings::Settings;
pub use shutdown::ShutdownRequest;
pub use slide_view::camera::Camera;
pub use slide_view::{
    Appearance, Colouring, MissingTiles, OffscreenError, OffscreenPicture, OffscreenRenderer,
};
pub use window::{Handover, Window};
use window_state::WindowState;

/// Options of the window.
#[derive(Debug, Clone, Default)]
pub struct WindowOptions {
    /// Slides, folders of slides, or a project folder.
    pub paths: Vec<PathBuf>,
    /// Project folder, created if missing. `None`: a folder in the user's own data.
    pub project: Option<PathBuf>,
    /// Device on which the encoder runs; [`DeviceChoice::Auto`]: the one in the settings.
    pub device: DeviceChoice,
    /// Memory for caches in MiB; `None`: as in the settings.
    pub cache_mib: Option<u32>,
    /// File that keeps the window's state between starts. `None`: the default file in [`run`], otherwise
    /// none.
    pub state_file: Option<PathBuf>,
    /// Whether to draw with OpenGL instead of Vulkan.
    pub safe_gpu: bool,
    /// Whether to open a window even if one is open that could show the paths.
    pub new_window: bool,
    /// Socket on which the window listens for paths that later starts hand over. `None`: the default in
    /// [`run`], otherwise none.
    pub listens_at: Option<PathBuf>,
}

/// Hands the paths to a window that is open already, unless the options ask for a window of their own or say what
/// an open one cannot take: a project, the device, the memory, the driver. Returns whether there was one.
pub fn hand_over(options: &WindowOptions) -> bool {
    let WindowOptions { project, device, cache_mib, safe_gpu, new_window, .. } = options;
    if *new_window || *safe_gpu || project.is_some() || cache_mib.is_some() || *device != DeviceChoice::Auto {
        return false;
    }
    single_instance::address().is_some_and(|address| single_instance::hand_over(&address, &options.paths))
}

/// Opens the window and returns when it is closed.
///
/// # Errors
/// If the project cannot be opened, or if there is no display or no graphics driver; the message says what to
/// do.
pub fn run(options: WindowOptions) -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    if std::env::var_os("DISPLAY").is_none() && std::env::var_os("WAYLAND_DISPLAY").is_none() {
        anyhow::bail!(
            "there is no display: neither DISPLAY nor WAYLAND_DISPLAY is set. Start histokin from a desktop \
             session, or without one under `xvfb-run`; the subcommands (`histokin --help`) need no display"
        );
    }
    let listens_at = options.listens_at.or_else(single_instance::address);
    let state_file = options.state_file.or_else(state_file);
    let options = WindowOptions { state_file, listens_at, ..options };
    let shutdown = ShutdownRequest::default();
    // Otherwise a terminated program would leave the project as after a crash.
    if let Err(error) = shutdown.listen() {
        tracing::warn!("signals that end the program are not handled: {error}");
    }
    locale::note_number_style();
    let project = open_project(&options)?;
    project.store_computed_levels();
    start::draw(project, &options, shutdown)
}

/// Returns the name and shortcuts of every action, in the order of the help sheet.
pub fn actions() -> impl Iterator<Item = (&'static str, &'static [egui::KeyboardShortcut])> {
    actions::table().map(|entry| (entry.name, entry.shortcuts))
}

/// The default file that keeps the window's state and the settings; `None` without a home folder.
fn state_file() -> Option<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "histokin")?;
    Some(folders.data_dir().join("window.toml"))
}

/// The folder of the project that opens when none is named: `chosen`, or one in the user's own data.
fn default_project(chosen: Option<&Path>) -> Option<PathBuf> {
    let own = || Some(directories::ProjectDirs::from("", "", "histokin")?.data_dir().join("my-slides"));
    chosen.map(Path::to_owned).or_else(own)
}

/// Opens the project in `root`, or makes one with the tiles of the settings.
fn open_or_create(root: &Path, settings: &Settings) -> anyhow::Result<Project> {
    let is_new = !Project::is_project(root);
    let mut project = Project::open_or_create(root)?;
    if is_new && project.settings().tiles != settings.tiles {
        project.settings_mut().tiles = settings.tiles;
        project.save()?;
    }
    Ok(project.claim()?)
}

/// Opens the project that was named, or else the first one among the paths, the last open one, or the user's
/// own.
fn open_project(options: &WindowOptions) -> anyhow::Result<Project> {
    let state = options.state_file.as_deref().map(WindowState::load).unwrap_or_default();
    if let Some(root) = &options.project {
        return open_or_create(root, &state.settings);
    }
    if let Some(root) = options.paths.iter().find(|path| Project::is_project(path)) {
        return Ok(Project::open(root)?.claim()?);
    }
    if let Some(root) = state.project.filter(|root| Project::is_project(root)) {
        match Project::open(&root).and_then(Project::claim) {
            Ok(project) => return Ok(project),
            Err(error) => tracing::warn!(%error, "the previous project cannot be opened"),
        }
    }
    let root = default_project(state.settings.project_folder.as_deref())
        .context("your home folder is unknown; name a project folder with --project")?;
    open_or_create(&root, &state.settings)
}

/// Returns a function that wakes the window from any thread.
fn waker(context: &egui::Context) -> Arc<dyn Fn() + Send + Sync> {
    let context = context.clone();
    Arc::new(move || context.request_repaint())
}
