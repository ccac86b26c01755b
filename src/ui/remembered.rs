//! What the window remembers from one start to the next: panels, theme, where the view was, what was opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use super::panes::Layout;
use super::slide_view::Stance;
use crate::durable;
use crate::geometry::Level0Rect;
use crate::slide::SlideId;
use crate::workers::job_queue::JobQueue;

/// Paths in the list of what was opened recently.
const MOST_RECENT: usize = 20;

/// Slides of which the view is remembered.
const MOST_VIEWS: usize = 500;

/// What is kept, as a TOML file of the user's own data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remembered {
    pub slides_open: bool,
    pub matches_open: bool,
    pub marks_shown: bool,
    pub annotations_open: bool,
    pub tissue_shown: bool,
    #[serde(alias = "trail_shown")]
    pub view_history_shown: bool,
    /// Pixels are blended into each other beyond 1:1.
    pub smooth: bool,
    pub light_theme: bool,
    /// Size of text and controls; 1 is the system's own.
    pub text_scale: f32,
    /// The project that was open last.
    #[serde(with = "crate::paths::whole_option", skip_serializing_if = "Option::is_none")]
    pub project: Option<PathBuf>,
    /// Where a picture was saved last.
    #[serde(with = "crate::paths::whole_option", skip_serializing_if = "Option::is_none")]
    pub picture_folder: Option<PathBuf>,
    /// Slides, folders and projects, the newest first.
    #[serde(with = "crate::paths::whole_list")]
    pub recent: Vec<PathBuf>,
    /// How the canvas was divided, and which slides it showed.
    pub layout: Layout,
    /// The part of each slide that was in view last, the newest first.
    #[serde(rename = "view")]
    views: Vec<View>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct View {
    slide: SlideId,
    field: Level0Rect,
    #[serde(default, skip_serializing_if = "Stance::is_upright")]
    stance: Stance,
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            slides_open: true,
            matches_open: true,
            marks_shown: true,
            annotations_open: false,
            tissue_shown: false,
            view_history_shown: true,
            smooth: false,
            light_theme: false,
            text_scale: 1.0,
            project: None,
            picture_folder: None,
            recent: Vec::new(),
            layout: Layout::default(),
            views: Vec::new(),
        }
    }
}

impl Remembered {
    /// What `file` holds; the beginning where there is none or it cannot be understood. Nothing in it is
    /// worth an error: the window opens as it does for the first time.
    pub fn load(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let mut remembered: Self = toml::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(file = %file.display(), %error, "what the window remembers cannot be understood");
            Self::default()
        });
        if !(0.5..=3.0).contains(&remembered.text_scale) {
            remembered.text_scale = 1.0;
        }
        remembered
    }

    /// Put `path` first among what was opened recently.
    pub fn opened(&mut self, path: &Path) {
        self.recent.retain(|known| known != path);
        self.recent.insert(0, path.to_owned());
        self.recent.truncate(MOST_RECENT);
    }

    /// Keep where the view of `slide` is, and how it stands there.
    pub fn looked_at(&mut self, slide: &SlideId, field: Level0Rect, stance: Stance) {
        self.views.retain(|view| view.slide != *slide);
        self.views.insert(0, View { slide: slide.clone(), field, stance });
        self.views.truncate(MOST_VIEWS);
    }

    /// Where the view of `slide` was, and how it stood there.
    pub fn view_of(&self, slide: &SlideId) -> Option<(Level0Rect, Stance)> {
        self.views.iter().find(|view| view.slide == *slide).map(|view| (view.field, view.stance))
    }
}

/// Writes what is to be remembered, on a thread of its own. Dropping it waits for the last writing.
pub struct Keeper {
    job_queue: Arc<JobQueue<Remembered>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Keep everything in `file`; its folder is made if need be.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(file: PathBuf) -> std::io::Result<Self> {
        let job_queue: Arc<JobQueue<Remembered>> = Arc::default();
        let to_write = job_queue.clone();
        let thread = std::thread::Builder::new().name("window-keeper".into()).spawn(move || {
            while let Some(remembered) = to_write.take_to_the_end() {
                if let Err(error) = write(&file, &remembered) {
                    tracing::warn!(file = %file.display(), %error, "the window's state could not be kept");
                }
            }
        })?;
        Ok(Self { job_queue, thread: Some(thread) })
    }

    pub fn keep(&self, remembered: Remembered) {
        self.job_queue.replace(remembered);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.job_queue.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the window-keeper thread had panicked");
        }
    }
}

fn write(file: &Path, remembered: &Remembered) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(durable::write(file, toml::to_string_pretty(remembered)?.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::panes::Split;

    #[test]
    fn what_was_kept_comes_back_and_nonsense_is_a_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/window.toml");
        let mut remembered = Remembered { text_scale: 1.25, slides_open: false, ..Remembered::default() };
        for number in 0..30 {
            remembered.opened(Path::new(&format!("slide-{number}.svs")));
        }
        remembered.opened(Path::new("slide-20.svs"));
        assert_eq!(remembered.recent.len(), MOST_RECENT);
        assert_eq!(remembered.recent[0], Path::new("slide-20.svs"));
        let slide = SlideId("a".to_owned());
        remembered.looked_at(&slide, Level0Rect::new(-5, 0, 10, 20), Stance::default());
        let turned = Stance { rotation: 0.5, flip_horizontal: true, flip_vertical: false };
        remembered.looked_at(&slide, Level0Rect::new(1, 2, 30, 40), turned);
        let upright = SlideId("b".to_owned());
        remembered.looked_at(&upright, Level0Rect::new(3, 4, 50, 60), Stance::default());
        remembered.layout = Layout {
            split: Split::ALL[2],
            linked: true,
            active: 1,
            slides: vec![Some(slide.clone()), None, Some(upright.clone()), None],
        };
        let keeper = Keeper::start(file.clone()).unwrap();
        keeper.keep(remembered.clone());
        drop(keeper);
        let again = Remembered::load(&file);
        assert_eq!(again, remembered);
        assert_eq!(again.view_of(&slide), Some((Level0Rect::new(1, 2, 30, 40), turned)));
        assert_eq!(again.view_of(&upright), Some((Level0Rect::new(3, 4, 50, 60), Stance::default())));

        let before = "[[view]]\nslide = \"a\"\nfield = { x = 1, y = 2, width = 3, height = 4 }\n";
        std::fs::write(&file, before).unwrap();
        let old = Remembered::load(&file).view_of(&slide);
        assert_eq!(
            old,
            Some((Level0Rect::new(1, 2, 3, 4), Stance::default())),
            "as it was kept without turns"
        );

        std::fs::write(&file, "slides_open = 7").unwrap();
        assert_eq!(Remembered::load(&file), Remembered::default());
    }
}
