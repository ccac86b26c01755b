//! Decoding of tiled JPEGs without OpenSlide's compositing, which takes several times as long as the decoding
//! itself.
//!
//! The bytes of a tile, completed with the tables that all tiles share, are decoded with libjpeg-turbo
//! directly into the requested region. OpenSlide still provides the metadata, and reads whatever cannot be
//! read directly. A slide is read directly only after [`prove`] has found its level 0 to be bit-identical to
//! OpenSlide's pixels.
//!
//! The levels of a TIFF slide are images of one file, those of a DICOM slide are files of one folder: `find` finds them,
//! `level` has their tiles decoded, and `read` composes regions of these. Where reads are scattered, no more
//! than is shown of a tile is decoded; where they are adjacent (`recent`), tiles are decoded whole and
//! cached.

mod find;
mod level;
mod prove;
mod read;
mod recent;
#[cfg(test)]
mod tests;

use image::RgbaImage;

use super::openslide::OpenSlideSource;
use super::reduced::read_in_parts;
use super::{Reader, SlideError, SlideInfo, SlideSource};
use crate::geometry::LevelRect;

pub(super) use prove::prove;
use read::RawLevels;

/// A slide with some levels that are read without OpenSlide.
pub(super) struct RawTileSource {
    info: SlideInfo,
    openslide: OpenSlideSource,
    levels: RawLevels,
}

impl RawTileSource {
    /// `levels` are those of the slide that [`prove`] has found.
    pub(super) fn new(openslide: OpenSlideSource, levels: RawLevels) -> Self {
        let info = SlideInfo { reader: Reader::RawTiles, ..openslide.info().clone() };
        Self { info, openslide, levels }
    }
}

impl SlideSource for RawTileSource {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    /// Returns the level's own pixels at any position, unlike OpenSlide, which interpolates if a level's
    /// downsample is not an integer. Falls back to OpenSlide.
    fn read(&self, region: &LevelRect) -> Result<RgbaImage, SlideError> {
        self.levels.read(region).or_else(|reason| {
            tracing::debug!(path = %self.info.path.display(), ?region, reason, "read through OpenSlide");
            self.openslide.read(region)
        })
    }

    /// Whole tiles are decoded at 1/8 by libjpeg-turbo, in a fraction of the time.
    fn read_reduced(&self, region: &LevelRect, factor: u32) -> Result<RgbaImage, SlideError> {
        self.levels.read_reduced(region, factor).or_else(|reason| {
            tracing::debug!(path = %self.info.path.display(), ?region, reason, "read at full scale");
            read_in_parts(&|part| self.read(part), region, factor)
        })
    }

    fn associated(&self, name: &str) -> Result<RgbaImage, SlideError> {
        self.openslide.associated(name)
    }

    fn icc_profile(&self) -> Result<Option<Vec<u8>>, SlideError> {
        self.openslide.icc_profile()
    }
}
