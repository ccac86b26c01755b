//! Small pictures of tiles, for those who cannot reach the slide.

use std::sync::Arc;

use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;

use super::PushProgress;
use histokin_core::descriptors::{DescriptorSet, Row};
use histokin_core::slide::SlideSource;
use histokin_core::tiling::read_tile;
use histokin_project::project::{Project, SlideEntry};

/// Side of a tile's picture, in pixels.
pub const THUMBNAIL_PX: u32 = 64;

/// JPEG quality, 1 to 100: some 2 kB a tile.
const QUALITY: u8 = 75;

/// The slide that pictures are read from.
pub(super) struct Source(Arc<dyn SlideSource>);

impl Source {
    /// # Errors
    /// Why the slide cannot be read; its tiles go without pictures.
    pub fn new(project: &Project, entry: &SlideEntry) -> Result<Self, String> {
        let opened = project.open_slide(entry);
        opened.map(Self).map_err(|error| format!("{error}; its tiles are pushed without pictures"))
    }

    /// A JPEG for each tile; an empty one where the pixels cannot be read.
    pub fn read(&self, set: &DescriptorSet, tell: &mut dyn FnMut(PushProgress<'_>)) -> Vec<Vec<u8>> {
        let one = |row: u32| {
            let picture = read_tile(self.0.as_ref(), &set.rect(Row(row)), THUMBNAIL_PX).ok()?;
            let mut jpeg = Vec::new();
            JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&picture).ok()?;
            Some(jpeg)
        };
        let pictures: Vec<Option<Vec<u8>>> = (0..set.len() as u32).into_par_iter().map(one).collect();
        let failed = pictures.iter().filter(|picture| picture.is_none()).count();
        if failed > 0 {
            let name = self.0.info().name();
            tell(PushProgress::Notice(format!(
                "{name}: {failed} tiles could not be read and have no picture"
            )));
        }
        pictures.into_iter().map(Option::unwrap_or_default).collect()
    }
}
