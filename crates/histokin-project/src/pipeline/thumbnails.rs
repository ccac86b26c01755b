//! Thumbnails of a project's slides, kept in its folder `thumbnails`, so that the list shows them at once after a
//! restart. The folder may be deleted at any time.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use image::{ImageFormat, RgbaImage};

use super::picture;
use histokin_core::slide::channel::display_id;
use histokin_core::slide::{SlideError, SlideSource};
use histokin_core::{durable, untrusted};

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
            if let Err(error) = written {
                tracing::debug!("{}: a thumbnail was not stored: {error}", path.display());
            }
        }
        Ok(thumbnail)
    }

    fn path(&self, slide: &dyn SlideSource) -> PathBuf {
        let display = display_id(&slide.info().channels).map(|id| format!("-{id}")).unwrap_or_default();
        self.folder.join(format!("{}{display}.png", slide.info().id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn nothing_is_written_to_a_project_that_is_open_for_reading_only() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ThumbnailCache::new(folder.path().join("thumbnails"), 64, false);
        cache.make(&TestSlide::new(64, 48)).unwrap();
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    }
}
