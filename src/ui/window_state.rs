//! The window's state between starts: panels, theme, views, recent paths.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use super::panes::Layout;
use super::settings::Settings;
use super::slide_view::Orientation;
use crate::durable;
use crate::geometry::Level0Rect;
use crate::slide::SlideId;
use crate::workers::job_queue::JobQueue;

/// Maximum number of recent paths.
const MOST_RECENT: usize = 20;

/// Maximum number of slides whose view is stored.
const MOST_VIEWS: usize = 500;

/// The stored state, a TOML file in the user's own data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowState {
    /// Whether the slide list was open.
    pub slides_open: bool,
    /// Whether the match list was open.
    pub matches_open: bool,
    /// Whether highlighted matches and annotations were shown.
    #[serde(alias = "marks_shown")]
    pub highlights_shown: bool,
    /// Whether annotations were shown, if overlays were.
    pub annotations_shown: bool,
    /// Whether annotated areas were filled.
    pub annotations_filled: bool,
    /// Whether the grid was shown.
    pub grid_shown: bool,
    /// Whether the cross-hair was shown.
    pub crosshair_shown: bool,
    /// Whether the annotation list was open.
    pub annotations_open: bool,
    /// Whether areas outside the tissue mask were shaded.
    pub tissue_shown: bool,
    /// Whether the view history was shown on the overview.
    #[serde(alias = "trail_shown")]
    pub view_history_shown: bool,
    /// Whether pixels are interpolated beyond 1:1.
    pub smooth: bool,
    /// Upper left corner of the heat map's legend relative to that of the canvas, in points, if it was moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legend: Option<[f32; 2]>,
    /// Whether the training panel was docked.
    pub training_docked: bool,
    /// Whether the light theme was on.
    pub light_theme: bool,
    /// Scale of text and controls; 1 is the system's own size.
    pub text_scale: f32,
    /// The last open project.
    #[serde(with = "crate::paths::whole_option", skip_serializing_if = "Option::is_none")]
    pub project: Option<PathBuf>,
    /// Folder of the last saved picture.
    #[serde(with = "crate::paths::whole_option", skip_serializing_if = "Option::is_none")]
    pub picture_folder: Option<PathBuf>,
    /// Recently opened slides, folders and projects, newest first.
    #[serde(with = "crate::paths::whole_list")]
    pub recent: Vec<PathBuf>,
    /// Division of the canvas, and the slides that it showed.
    pub layout: Layout,
    /// The user's settings.
    pub settings: Settings,
    /// The last view of each slide, newest first.
    #[serde(rename = "view")]
    views: Vec<View>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct View {
    slide: SlideId,
    field: Level0Rect,
    #[serde(default, alias = "stance", skip_serializing_if = "Orientation::is_upright")]
    orientation: Orientation,
}

impl Default for WindowState {
    fn default() -> Self {
        Self {
            slides_open: true,
            matches_open: true,
            highlights_shown: true,
            annotations_shown: true,
            annotations_filled: true,
            grid_shown: false,
            crosshair_shown: false,
            annotations_open: false,
            tissue_shown: false,
            view_history_shown: true,
            smooth: false,
            legend: None,
            training_docked: false,
            light_theme: false,
            text_scale: 1.0,
            project: None,
            picture_folder: None,
            recent: Vec::new(),
            layout: Layout::default(),
            settings: Settings::default(),
            views: Vec::new(),
        }
    }
}

impl WindowState {
    /// Loads the state from `file`, or the default if the file is missing or invalid. That is no error: the
    /// window then opens as for the first time. An invalid file is set aside, since it holds the user's settings.
    pub fn load(file: &Path) -> Self {
        let text = std::fs::read(file).unwrap_or_else(|error| {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(file = %file.display(), %error, "the window's state file cannot be read");
            }
            Vec::new()
        });
        let mut state: Self = toml::from_slice(&text).unwrap_or_else(|error| {
            match durable::set_aside(file) {
                Ok(aside) => tracing::warn!(
                    file = %file.display(), aside = %aside.display(), %error,
                    "the window's state file cannot be parsed and was set aside"
                ),
                Err(aside) => tracing::warn!(
                    file = %file.display(), %aside, %error,
                    "the window's state file can be neither parsed nor set aside"
                ),
            }
            Self::default()
        });
        if !(0.5..=3.0).contains(&state.text_scale) {
            state.text_scale = 1.0;
        }
        state.settings = state.settings.in_range();
        state
    }

    /// Puts `path` first in the list of recent paths.
    pub fn opened(&mut self, path: &Path) {
        self.recent.retain(|known| known != path);
        self.recent.insert(0, path.to_owned());
        self.recent.truncate(MOST_RECENT);
    }

    /// Stores the view of `slide`, its rotation and mirroring.
    pub fn looked_at(&mut self, slide: &SlideId, field: Level0Rect, orientation: Orientation) {
        self.views.retain(|view| view.slide != *slide);
        self.views.insert(0, View { slide: slide.clone(), field, orientation });
        self.views.truncate(MOST_VIEWS);
    }

    /// Returns the stored view of `slide`, its rotation and mirroring.
    pub fn view_of(&self, slide: &SlideId) -> Option<(Level0Rect, Orientation)> {
        self.views.iter().find(|view| view.slide == *slide).map(|view| (view.field, view.orientation))
    }
}

/// The file of the state, written on its own thread. Dropping it waits for the last write.
pub struct StateFile {
    job_queue: Arc<JobQueue<WindowState>>,
    thread: Option<JoinHandle<()>>,
}

impl StateFile {
    /// Starts writing to `file`; its folder is created if needed.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(file: PathBuf) -> std::io::Result<Self> {
        let job_queue: Arc<JobQueue<WindowState>> = Arc::default();
        let to_write = job_queue.clone();
        let thread = std::thread::Builder::new().name("window-state_file".into()).spawn(move || {
            while let Some(state) = to_write.take_until_empty() {
                if let Err(error) = write(&file, &state) {
                    tracing::warn!(file = %file.display(), %error, "the window's state could not be saved");
                }
            }
        })?;
        Ok(Self { job_queue, thread: Some(thread) })
    }

    /// Queues the state to be written, in place of a state that still waits.
    pub fn save(&self, state: WindowState) {
        self.job_queue.replace(state);
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        self.job_queue.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the window-state_file thread had panicked");
        }
    }
}

fn write(file: &Path, state: &WindowState) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(durable::write(file, toml::to_string_pretty(state)?.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::panes::Split;

    #[test]
    fn what_was_kept_comes_back_and_nonsense_is_a_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/window.toml");
        let mut state = WindowState { text_scale: 1.25, slides_open: false, ..WindowState::default() };
        for number in 0..30 {
            state.opened(Path::new(&format!("slide-{number}.svs")));
        }
        state.opened(Path::new("slide-20.svs"));
        assert_eq!(state.recent.len(), MOST_RECENT);
        assert_eq!(state.recent[0], Path::new("slide-20.svs"));
        let slide = SlideId("a".to_owned());
        state.looked_at(&slide, Level0Rect::new(-5, 0, 10, 20), Orientation::default());
        let turned = Orientation { rotation: 0.5, flip_horizontal: true, flip_vertical: false };
        state.looked_at(&slide, Level0Rect::new(1, 2, 30, 40), turned);
        let upright = SlideId("b".to_owned());
        state.looked_at(&upright, Level0Rect::new(3, 4, 50, 60), Orientation::default());
        state.layout = Layout {
            split: Split::ALL[2],
            linked: true,
            active: 1,
            slides: vec![Some(slide.clone()), None, Some(upright.clone()), None],
        };
        let state_file = StateFile::start(file.clone()).unwrap();
        state_file.save(state.clone());
        drop(state_file);
        let again = WindowState::load(&file);
        assert_eq!(again, state);
        assert_eq!(again.view_of(&slide), Some((Level0Rect::new(1, 2, 30, 40), turned)));
        assert_eq!(again.view_of(&upright), Some((Level0Rect::new(3, 4, 50, 60), Orientation::default())));

        let before = "[[view]]\nslide = \"a\"\nfield = { x = 1, y = 2, width = 3, height = 4 }
";
        std::fs::write(&file, before).unwrap();
        let old = WindowState::load(&file).view_of(&slide);
        assert_eq!(
            old,
            Some((Level0Rect::new(1, 2, 3, 4), Orientation::default())),
            "as stored by versions without rotation"
        );
        let turned_before = "[[view]]\nslide = \"a\"\nfield = { x = 1, y = 2, width = 3, height = 4 }\n\
                             stance = { rotation = 0.5, flip_horizontal = true, flip_vertical = false }\n";
        std::fs::write(&file, turned_before).unwrap();
        assert_eq!(WindowState::load(&file).view_of(&slide), Some((Level0Rect::new(1, 2, 3, 4), turned)));

        for (number, odd) in [&b"slides_open = 7"[..], b"\xff"].into_iter().enumerate() {
            std::fs::write(&file, odd).unwrap();
            assert_eq!(WindowState::load(&file), WindowState::default());
            let aside = file.with_file_name(format!("window.toml.damaged-{}", number + 1));
            assert_eq!(std::fs::read(aside).unwrap(), odd, "nothing writes over the user's settings");
        }
        assert!(!file.exists());
    }
}
