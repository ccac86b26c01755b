//! The view as a picture: into a file or onto the clipboard, drawn off the screen by a thread of its own.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use image::RgbImage;
use uuid::Uuid;

use super::slide_view::camera::Camera;
use super::slide_view::{
    MarkSet, OffscreenAnnotations, OffscreenPicture, OffscreenRenderer, ScaleBar, Shading,
};
use crate::annotation::AnnotationSet;
use crate::crash;
use crate::pipeline::write_picture;
use crate::slide::colour_profile::ProfileTable;
use crate::slide::pyramid::DisplayPyramid;

/// Longest side of a picture, in pixels.
pub const LARGEST_PX: u32 = 16_384;

/// Where a picture goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Destination {
    File(PathBuf),
    Clipboard,
}

/// The part of a slide that a picture shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PictureArea {
    /// Its middle, turn and mirrors, and the zoom at which it is seen on the screen.
    pub camera: Camera,
    /// Level-0 pixels across and down, along the axes of the picture.
    pub span: (f64, f64),
}

/// Annotations as they are when the picture is asked for.
pub struct ExportedAnnotations {
    pub set: Arc<AnnotationSet>,
    pub hidden: Arc<HashSet<Uuid>>,
    /// Pixels of the picture to a point.
    pub pixels_per_point: f32,
}

/// A picture to be drawn.
pub struct Export {
    pub pyramid: Arc<DisplayPyramid>,
    pub area: PictureArea,
    /// Extent of the picture in pixels.
    pub size: (u32, u32),
    pub shading: Shading,
    pub profile: Option<Arc<ProfileTable>>,
    pub marks: Vec<MarkSet>,
    pub annotations: Option<ExportedAnnotations>,
    pub scale_bar: Option<ScaleBar>,
    pub destination: Destination,
}

/// What became of an [`Export`].
pub enum Exported {
    Saved(PathBuf),
    ToCopy(RgbImage),
    Failed(String),
}

/// Draws pictures, each in a thread of its own, and hands over what became of them.
pub struct Exporter {
    results: Receiver<Exported>,
    to_window: Sender<Exported>,
}

impl Default for Exporter {
    fn default() -> Self {
        let (to_window, results) = crossbeam_channel::bounded(16);
        Self { results, to_window }
    }
}

impl Exporter {
    /// Begin to draw `export`; `wake` is called when it is done.
    ///
    /// # Errors
    /// When the system gives no further thread.
    pub fn start(
        &self,
        painter: impl FnOnce() -> OffscreenRenderer + Send + 'static,
        export: Export,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> std::io::Result<()> {
        let to_window = self.to_window.clone();
        std::thread::Builder::new().name("picture-export".to_owned()).spawn(move || {
            let drawn = crash::catch("Drawing the view", || run(&mut painter(), export));
            let drawn = drawn.unwrap_or_else(|crash| {
                tracing::error!("{}", crash.report);
                Err(crash.summary)
            });
            let outcome = drawn.unwrap_or_else(Exported::Failed);
            // The window may have gone meanwhile.
            let _ = to_window.send(outcome);
            wake();
        })?;
        Ok(())
    }

    /// What has become of exports since the last call.
    pub fn take_finished(&self) -> Vec<Exported> {
        self.results.try_iter().collect()
    }
}

fn run(painter: &mut OffscreenRenderer, export: Export) -> Result<Exported, String> {
    let still = OffscreenPicture {
        pyramid: &export.pyramid,
        camera: export.area.camera,
        span: export.area.span,
        size: export.size,
        shading: export.shading,
        profile: export.profile.as_deref(),
        marks: &export.marks,
        annotations: export.annotations.as_ref().map(|annotations| OffscreenAnnotations {
            set: &annotations.set,
            hidden: &annotations.hidden,
            pixels_per_point: annotations.pixels_per_point,
        }),
    };
    let mut picture = painter.draw(&still).map_err(|error| format!("the view was not drawn: {error}"))?;
    if let Some(bar) = &export.scale_bar {
        let zoom = f64::from(export.size.0) / export.area.span.0;
        painter.stamp(bar, zoom, &mut picture).map_err(|error| format!("the view was not drawn: {error}"))?;
    }
    match export.destination {
        Destination::Clipboard => Ok(Exported::ToCopy(picture)),
        Destination::File(path) => {
            write_picture(&picture, &path)
                .map_err(|error| format!("{}: the picture was not saved: {error}", path.display()))?;
            Ok(Exported::Saved(path))
        }
    }
}

/// Why a picture cannot be saved as `path`, before it is drawn.
pub fn objection(path: &Path) -> Option<String> {
    let shutdown = path.extension().map(|shutdown| shutdown.to_string_lossy().to_lowercase());
    if !matches!(shutdown.as_deref(), Some("png" | "jpg" | "jpeg" | "tif" | "tiff")) {
        return Some("End the name in .png, .jpg or .tif".to_owned());
    }
    // Whether the folder is there shows when the picture is written: its drive must not keep the window waiting.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.is_none().then(|| "Give a whole path".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_picture_format_or_folder_are_refused() {
        let folder = std::env::temp_dir();
        assert_eq!(objection(&folder.join("view.png")), None);
        assert_eq!(objection(&folder.join("view.JPG")), None);
        assert!(objection(&folder.join("view")).is_some_and(|reason| reason.contains(".png")));
        assert!(objection(Path::new("view.png")).is_some());
    }
}
