//! Thumbnails of tiles as the window shows them, for users who cannot reach the slide file.

use std::sync::Arc;

use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;

use super::PushProgress;
use histokin_core::descriptors::{DescriptorSet, Row};
use histokin_core::slide::SlideSource;
use histokin_core::tiling::read_tile_as_shown;
use histokin_project::project::{Project, SlideEntry};

/// Side of a thumbnail in pixels.
pub const THUMBNAIL_PX: u32 = 64;

/// JPEG quality, 1 to 100; 75 gives about 2 kB per tile.
const QUALITY: u8 = 75;

/// The slide that thumbnails are read from.
pub(super) struct Source(Arc<dyn SlideSource>);

impl Source {
    /// Opens the slide.
    ///
    /// # Errors
    /// A message when the slide cannot be opened; its tiles are then pushed without thumbnails.
    pub fn new(project: &Project, entry: &SlideEntry) -> Result<Self, String> {
        let opened = project.open_slide_as_shown(entry);
        opened.map(Self).map_err(|error| format!("{error}; its tiles are pushed without thumbnails"))
    }

    /// Returns a JPEG for each tile, empty for a tile that cannot be read.
    pub fn read(&self, set: &DescriptorSet, report: &mut dyn FnMut(PushProgress<'_>)) -> Vec<Vec<u8>> {
        let one = |row: u32| {
            let image = read_tile_as_shown(self.0.as_ref(), &set.rect(Row(row)), THUMBNAIL_PX).ok()?;
            let mut jpeg = Vec::new();
            JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&image).ok()?;
            Some(jpeg)
        };
        let thumbnails: Vec<Option<Vec<u8>>> = (0..set.len() as u32).into_par_iter().map(one).collect();
        let failed = thumbnails.iter().filter(|thumbnail| thumbnail.is_none()).count();
        if failed > 0 {
            let name = self.0.info().name();
            let tiles = if failed == 1 { "tile" } else { "tiles" };
            report(PushProgress::Notice(format!(
                "{name}: no thumbnail of {failed} {tiles} that could not be read"
            )));
        }
        thumbnails.into_iter().map(Option::unwrap_or_default).collect()
    }
}
