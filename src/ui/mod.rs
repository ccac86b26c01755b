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
mod heat_map;
mod panels;
mod panes;
mod region_tool;
mod window_state;
mod short_names;
mod shown_slides;
mod slide_view;
mod start;
mod theme;
mod view_histories;
mod window;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use crate::encoder::DeviceChoice;
use crate::project::Project;

pub use app::App;
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
    /// Device on which the encoder runs.
    pub device: DeviceChoice,
    /// File that keeps the window's state between starts. `None`: the default file in [`run`], otherwise
    /// none.
    pub state_file: Option<PathBuf>,
    /// Whether to draw with OpenGL instead of Vulkan.
    pub safe_gpu: bool,
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
    let folders = directories::ProjectDirs::from("", "", "histokin");
    let state_file = options.state_file.or_else(|| Some(folders?.data_dir().join("window.toml")));
    let options = WindowOptions { state_file, ..options };
    let shutdown = ShutdownRequest::default();
    // Otherwise a terminated program would leave the project as after a crash.
    if let Err(error) = shutdown.listen() {
        tracing::warn!("signals that end the program are not handled: {error}");
    }
    let project = open_project(&options)?;
    project.store_computed_levels();
    start::draw(project, &options, shutdown)
}

/// Returns the name and shortcuts of every action, in the order of the help sheet.
pub fn actions() -> impl Iterator<Item = (&'static str, &'static [egui::KeyboardShortcut])> {
    actions::table().map(|entry| (entry.name, entry.shortcuts))
}

/// Opens the project that was named, or else the first one among the paths, the last open one, or the user's
/// own.
fn open_project(options: &WindowOptions) -> anyhow::Result<Project> {
    if let Some(root) = &options.project {
        return Ok(Project::open_or_create(root)?.claim()?);
    }
    if let Some(root) = options.paths.iter().find(|path| Project::is_project(path)) {
        return Ok(Project::open(root)?.claim()?);
    }
    let last = options.state_file.as_deref().and_then(|file| WindowState::load(file).project);
    if let Some(root) = last.filter(|root| Project::is_project(root)) {
        match Project::open(&root).and_then(Project::claim) {
            Ok(project) => return Ok(project),
            Err(error) => tracing::warn!(%error, "the previous project cannot be opened"),
        }
    }
    let folders = directories::ProjectDirs::from("", "", "histokin")
        .context("your home folder is unknown; name a project folder with --project")?;
    Ok(Project::open_or_create(&folders.data_dir().join("my-slides"))?.claim()?)
}

/// Returns a function that wakes the window from any thread.
fn waker(context: &egui::Context) -> Arc<dyn Fn() + Send + Sync> {
    let context = context.clone();
    Arc::new(move || context.request_repaint())
}
