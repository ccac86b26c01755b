//! Exporting the view as a picture, to a file or the clipboard; drawn offscreen on a separate thread.

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
use crate::annotation::{AnnotationSet, DetectionColours};
use crate::crash;
use crate::pipeline::write_picture;
use crate::slide::colour_profile::ProfileTable;
use crate::slide::pyramid::DisplayPyramid;

/// Maximum width and height of a picture, in pixels.
pub const LARGEST_PX: u32 = 16_384;

/// Destination of a picture.
#[derive(Debug, Clone, PartialEq)]
pub enum Destination {
    /// A PNG, JPEG or TIFF file, by extension.
    File(PathBuf),
    /// The clipboard.
    Clipboard,
}

/// The part of a slide that a picture shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PictureArea {
    /// Centre, rotation and mirroring, and the zoom of the view on the screen.
    pub camera: Camera,
    /// Width and height in level-0 pixels, along the axes of the picture.
    pub span: (f64, f64),
}

/// The annotations at the time of the export.
pub struct ExportedAnnotations {
    /// All annotations of the slide.
    pub set: Arc<AnnotationSet>,
    /// IDs of annotations that are not drawn.
    pub hidden: Arc<HashSet<Uuid>>,
    /// How detections in compact form are coloured.
    pub colours: Arc<DetectionColours>,
    /// Whether areas are filled, not only outlined.
    pub filled: bool,
    /// Pixels of the picture per point; sets the line width.
    pub pixels_per_point: f32,
}

/// A picture to export.
pub struct Export {
    /// The slide, as a pyramid of display tiles.
    pub pyramid: Arc<DisplayPyramid>,
    /// The part of the slide.
    pub area: PictureArea,
    /// Width and height of the picture in pixels.
    pub size: (u32, u32),
    /// Colour settings for the shader.
    pub shading: Shading,
    /// The slide's colour profile, if colours are shown through it.
    pub profile: Option<Arc<ProfileTable>>,
    /// Rectangles drawn over the slide.
    pub marks: Vec<MarkSet>,
    /// Annotations drawn over the slide.
    pub annotations: Option<ExportedAnnotations>,
    /// The scale bar, if it is drawn.
    pub scale_bar: Option<ScaleBar>,
    /// Where the picture goes.
    pub destination: Destination,
}

/// Outcome of an [`Export`].
pub enum Exported {
    /// The picture was saved to this file.
    Saved(PathBuf),
    /// The picture is drawn, and is to be copied to the clipboard by the window.
    ToCopy(RgbImage),
    /// The export failed, for this reason.
    Failed(String),
}

/// Draws pictures, each on a separate thread, and returns the outcomes.
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
    /// Starts drawing `export`; `wake` is called when it is done.
    ///
    /// # Errors
    /// If the thread cannot be started.
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
            // The window may have been closed meanwhile.
            let _ = to_window.send(outcome);
            wake();
        })?;
        Ok(())
    }

    /// Returns the outcomes since the last call.
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
            colours: &annotations.colours,
            filled: annotations.filled,
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
                .map_err(|error| format!("{}: the image was not saved: {error}", path.display()))?;
            Ok(Exported::Saved(path))
        }
    }
}

/// Returns the reason if a picture cannot be saved as `path`; checked before it is drawn.
pub fn objection(path: &Path) -> Option<String> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    if !matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg" | "tif" | "tiff")) {
        return Some("The file name must end in .png, .jpg or .tif".to_owned());
    }
    // Whether the folder exists is checked when the picture is written: a slow drive must not block the
    // window.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.is_none().then(|| "Enter a full path".to_owned())
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
