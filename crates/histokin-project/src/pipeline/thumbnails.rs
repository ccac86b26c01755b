//! Thumbnails of a project's slides, kept in its folder `thumbnails`, so that the list shows them at once after a
//! restart. The folder may be deleted at any time.

use std::fs;
use std::io::{Cursor, ErrorKind};
use std::path::{Path, PathBuf};

use image::{ImageFormat, RgbaImage};

use super::picture;
use histokin_core::slide::channel::display_id;
use histokin_core::slide::{SlideError, SlideSource};
use histokin_core::{durable, untrusted};

/// How thumbnails are made. To be raised whenever a slide gets another thumbnail than before: those of earlier versions
/// are not read any more, and removed when new ones are stored.
const VERSION: u32 = 2;

/// Largest file in bytes that is read.
const LARGEST: u64 = 4 << 20;

/// The thumbnails of a project.
#[derive(Debug, Clone, PartialEq)]
pub struct ThumbnailCache {
    folder: PathBuf,
    /// Longer side of the thumbnails in pixels.
    edge: u32,
    is_writable: bool,
}

impl ThumbnailCache {
    /// Creates the cache of thumbnails with a longer side of `edge` pixels in `folder`. Nothing is written if the cache
    /// `is_writable` only by others.
    pub fn new(folder: PathBuf, edge: u32, is_writable: bool) -> Self {
        Self { folder, edge, is_writable }
    }

    /// Returns the stored thumbnail of a slide, if it is intact and has the size that it would have if it was made now.
    pub fn get(&self, slide: &dyn SlideSource) -> Option<RgbaImage> {
        let bytes = untrusted::read(&self.path(slide), LARGEST).ok()?;
        let size = picture::thumbnail_size(slide.info(), self.edge);
        let mut reader = image::ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
        let mut limits = image::Limits::default();
        (limits.max_image_width, limits.max_image_height) = (Some(size.0), Some(size.1));
        reader.limits(limits);
        let thumbnail = reader.decode().ok()?.into_rgba8();
        (thumbnail.dimensions() == size).then_some(thumbnail)
    }

    /// Makes the thumbnail of a slide and stores it. A thumbnail that cannot be stored is made again the next time.
    ///
    /// # Errors
    /// When the slide cannot be read.
    pub fn make(&self, slide: &dyn SlideSource) -> Result<RgbaImage, SlideError> {
        let thumbnail = picture::thumbnail(slide, self.edge)?;
        if self.is_writable {
            let path = self.path(slide);
            let mut bytes = Vec::new();
            let encoded = thumbnail.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png);
            let written = encoded.map_err(std::io::Error::other).and_then(|()| {
                fs::create_dir_all(&self.folder)?;
                durable::write(&path, &bytes)
            });
            match written {
                Ok(()) => {
                    (1..VERSION)
                        .for_each(|version| remove(&self.folder.join(file_name(slide, None, version))));
                    self.remove_others(slide, &path);
                }
                Err(error) => tracing::debug!("{}: a thumbnail was not stored: {error}", path.display()),
            }
        }
        Ok(thumbnail)
    }

    /// Removes the thumbnails of a slide with its channels shown in other ways than in the one at `kept` and by default;
    /// every change that a user makes would leave one.
    fn remove_others(&self, slide: &dyn SlideSource, kept: &Path) {
        if display_id(&slide.info().channels).is_none() {
            return;
        }
        let prefix = format!("{}-", slide.info().id);
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_other = path != kept && entry.file_name().to_string_lossy().starts_with(&prefix);
            if is_other {
                remove(&path);
            }
        }
    }

    fn path(&self, slide: &dyn SlideSource) -> PathBuf {
        let display = display_id(&slide.info().channels);
        self.folder.join(file_name(slide, display.as_deref(), VERSION))
    }
}

/// Returns the name of a thumbnail of `slide` with its channels shown as `display`, or by default.
fn file_name(slide: &dyn SlideSource, display: Option<&str>, version: u32) -> String {
    let display = display.map(|id| format!("-{id}")).unwrap_or_default();
    // The names of the first version did not tell it.
    let version = if version == 1 { String::new() } else { format!(".v{version}") };
    format!("{}{display}{version}.png", slide.info().id)
}

/// Removes a file that is not read any more, if it is there.
fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::debug!("{}: a former thumbnail was not removed: {error}", path.display());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use histokin_core::slide::channel::{ChannelDisplay, SlideChannel};
    use histokin_core::slide::test_slide::TestSlide;

    #[test]
    fn a_thumbnail_is_read_again_until_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let slide = TestSlide::new(640, 480);
        let cache = ThumbnailCache::new(folder.path().join("thumbnails"), 64, true);
        assert!(cache.get(&slide).is_none());
        let made = cache.make(&slide).unwrap();
        assert_eq!(made.dimensions(), (64, 48));
        assert!(cache.get(&slide).unwrap() == made);
        // One of another size is of another time.
        assert!(ThumbnailCache { edge: 32, ..cache.clone() }.get(&slide).is_none());
        let path = cache.path(&slide);
        let sound = fs::read(&path).unwrap();
        fs::write(&path, &sound[..sound.len() / 2]).unwrap();
        assert!(cache.get(&slide).is_none());
        fs::write(&path, "no picture").unwrap();
        assert!(cache.get(&slide).is_none());
    }

    #[test]
    fn thumbnails_of_earlier_versions_are_made_again_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let slide = TestSlide::new(640, 480);
        let cache = ThumbnailCache::new(folder.path().to_owned(), 64, true);
        let made = cache.make(&slide).unwrap();
        for version in 1..VERSION {
            let former = folder.path().join(file_name(&slide, None, version));
            fs::rename(cache.path(&slide), &former).unwrap();
            assert!(cache.get(&slide).is_none(), "version {version}");
            assert!(cache.make(&slide).unwrap() == made);
            assert!(!former.exists() && cache.get(&slide).is_some());
        }
    }

    #[test]
    fn of_channels_only_the_last_way_to_show_them_is_kept_beside_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ThumbnailCache::new(folder.path().to_owned(), 64, true);
        let automatic =
            ChannelDisplay { name: "DAPI".into(), colour: [0, 0, 255], visible: true, window: [0.0, 900.0] };
        let with_window = |high: f32| {
            let shown = ChannelDisplay { window: [0.0, high], ..automatic.clone() };
            let channel = SlideChannel { shown, automatic: automatic.clone(), values: [0.0, 1000.0] };
            TestSlide::new(64, 48).with_channels(vec![channel])
        };
        let other = TestSlide::new(64, 49);
        cache.make(&other).unwrap();
        let [default, first, last] = [900.0, 800.0, 700.0].map(with_window);
        for slide in [&default, &first, &last] {
            cache.make(slide).unwrap();
        }
        assert!(cache.get(&first).is_none());
        assert!([&default, &last, &other].into_iter().all(|slide| cache.get(slide).is_some()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn nothing_is_written_to_a_project_that_is_open_for_reading_only() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ThumbnailCache::new(folder.path().join("thumbnails"), 64, false);
        cache.make(&TestSlide::new(64, 48)).unwrap();
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    }
}
