//! A level stored as JPEG tiles, and the file that it is in.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use turbojpeg::ScalingFactor;

use super::super::dicom::frames::Frames;
use super::super::reconnecting::Stamp;
use super::super::tiff::jpeg::{TileJpegs, TilePart};
use super::super::tiff::raster::Raster;
use super::super::tile_grid::TileGrid;
use crate::untrusted;

/// A level and the decoder of its tiles.
pub(super) struct RawLevel {
    pub file: Arc<TileFile>,
    pub tiles: Tiles,
    pub jpegs: TileJpegs,
}

/// Where the tiles of a level are stored.
pub(super) enum Tiles {
    Tiff(Arc<Raster>),
    Dicom(Arc<Frames>),
}

impl RawLevel {
    /// The grid of the tiles.
    pub fn grid(&self) -> TileGrid {
        match &self.tiles {
            Tiles::Tiff(image) => image.grid,
            Tiles::Dicom(frames) => frames.grid,
        }
    }

    /// Width and height of a tile, including what extends beyond the level.
    pub fn tile_size(&self) -> (u32, u32) {
        (self.grid().tile_width, self.grid().tile_height)
    }

    /// Number of bytes of a tile.
    pub fn stored_bytes(&self, tile: usize) -> u64 {
        match &self.tiles {
            Tiles::Tiff(image) => image.stored_bytes(tile),
            Tiles::Dicom(frames) => frames.stored_bytes(tile),
        }
    }

    /// Decodes a whole tile, including what extends beyond the level, into RGBA rows that begin `pitch` bytes apart.
    ///
    /// # Errors
    /// A message, when it cannot be read or is damaged.
    pub fn decode(
        &self,
        file: &mut File,
        tile: usize,
        scale: ScalingFactor,
        pixels: &mut [u8],
        pitch: usize,
    ) -> Result<(), String> {
        self.jpegs.decode(&self.stream(file, tile)?, self.tile_size(), scale, pixels, pitch)
    }

    /// Decodes a part of a tile into RGBA rows that begin `pitch` bytes apart.
    ///
    /// # Errors
    /// As [`TileJpegs::decode_part`], or when it cannot be read.
    pub fn decode_part(
        &self,
        file: &mut File,
        tile: usize,
        part: TilePart,
        pixels: &mut [u8],
        pitch: usize,
    ) -> Result<(), String> {
        self.jpegs.decode_part(&self.stream(file, tile)?, self.tile_size(), part, pixels, pitch)
    }

    /// Reads the JPEG stream of a tile.
    fn stream(&self, file: &mut File, tile: usize) -> Result<Vec<u8>, String> {
        match &self.tiles {
            Tiles::Tiff(image) => image.stream(file, tile),
            Tiles::Dicom(frames) => frames.stream(file, tile),
        }
    }
}

/// A file with tiles. It is reopened for each read: an archive has more slides than a process may have open files, and
/// a file that was replaced in the meantime must not be read with the old offsets.
pub(super) struct TileFile {
    path: PathBuf,
    stamp: Stamp,
}

impl TileFile {
    /// Opens a file for the first time.
    ///
    /// # Errors
    /// A message, when it cannot be read.
    pub fn open(path: &Path) -> Result<(Arc<Self>, File), String> {
        let file = untrusted::open(path).map_err(|error| error.to_string())?;
        let stamp = Stamp::of(&file.metadata().map_err(|error| error.to_string())?);
        Ok((Arc::new(Self { path: path.to_owned(), stamp }), file))
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.stamp.size
    }

    /// Opens it again.
    ///
    /// # Errors
    /// A message, when it cannot be read, or is another file than before.
    pub fn reopen(&self) -> Result<File, String> {
        let file = File::open(&self.path).map_err(|error| error.to_string())?;
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        if Stamp::of(&metadata) != self.stamp {
            return Err("the file was replaced after it was opened".to_owned());
        }
        Ok(file)
    }
}
