//! Descriptors of the tissue tiles of slides, stored in one file per slide and recipe.

mod encoder_id;
mod journal;
#[cfg(any(test, feature = "test-support"))]
pub mod made;
mod store;

use std::path::PathBuf;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::geometry::{Level0Point, Level0Rect, MicronsPerPixel};
use crate::slide::SlideId;
use crate::stain::StainSetting;
use crate::tiling::{TileGrid, TileIndex, TileSettings};
use crate::tissue::TISSUE_VERSION;

pub use encoder_id::EncoderId;
pub use journal::{Journal, JournalRecord};
pub use store::DescriptorStore;

/// Maximum plausible width of a descriptor; the widest published networks give a few thousand numbers.
pub const MOST_NUMBERS: usize = 1 << 20;

/// Everything that decides a descriptor besides the slide. Descriptors of different recipes are never
/// compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Identity of the encoder.
    pub encoder_id: EncoderId,
    /// Display name of the encoder.
    pub encoder_name: String,
    /// Size and spacing of tiles.
    pub tiles: TileSettings,
    /// Stain normalisation of tiles.
    pub stain: StainSetting,
}

impl Recipe {
    /// Returns twelve characters that identify this recipe in file names.
    pub fn short_id(&self) -> String {
        let text = format!(
            "{}|{}|{}|{}|{TISSUE_VERSION}",
            self.encoder_id.0,
            self.tiles.tile_px,
            self.tiles.mpp,
            self.stain.identity()
        );
        hex(&Sha256::digest(text))[..12].to_owned()
    }
}

/// Header of a descriptor file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DescriptorHeader {
    /// Slide that the descriptors belong to.
    pub slide_id: SlideId,
    /// Recipe of the descriptors.
    pub recipe: Recipe,
    /// Number of values in a descriptor.
    pub width: usize,
    /// Width of a tile in level-0 pixels.
    pub tile_level0: u32,
    /// Height of a tile in level-0 pixels if it differs from the width, for slides whose pixels are not
    /// square; see [`Self::tile_height_level0`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tile_level0_y: Option<u32>,
    /// Columns and rows of the tile grid, whose origin is the slide's top-left corner.
    pub grid: [u32; 2],
    /// Spacing at which the tiles were read, in µm per pixel.
    pub effective_mpp: f64,
    /// Number of tiles of the grid that are tissue.
    pub tiles_tissue: u32,
    /// Identifies the settings that selected these tiles of the grid; `None` for the defaults. Descriptors do
    /// not depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<String>,
    /// Version of the program that computed the descriptors.
    pub program_version: String,
}

impl DescriptorHeader {
    /// Creates the header for `tiles_tissue` tiles of `grid`, with descriptors of `width` numbers.
    pub fn new(slide_id: SlideId, recipe: Recipe, width: usize, grid: &TileGrid, tiles_tissue: u32) -> Self {
        Self {
            slide_id,
            recipe,
            width,
            tile_level0: grid.tile_level0,
            tile_level0_y: (grid.tile_level0_y != grid.tile_level0).then_some(grid.tile_level0_y),
            grid: [grid.columns, grid.rows],
            effective_mpp: grid.effective_mpp,
            tiles_tissue,
            selection: None,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Returns the tile grid of these descriptors.
    pub fn tile_grid(&self) -> TileGrid {
        TileGrid {
            tile_px: self.recipe.tiles.tile_px,
            tile_level0: self.tile_level0,
            tile_level0_y: self.tile_height_level0(),
            effective_mpp: self.effective_mpp,
            columns: self.grid[0],
            rows: self.grid[1],
        }
    }

    /// Returns the height of a tile in level-0 pixels.
    pub fn tile_height_level0(&self) -> u32 {
        self.tile_level0_y.unwrap_or(self.tile_level0)
    }

    /// Returns the area of a tile in square level-0 pixels.
    pub fn tile_area_px2(&self) -> f64 {
        f64::from(self.tile_level0) * f64::from(self.tile_height_level0())
    }

    /// Returns the centre of the tile whose top-left corner is `corner`.
    pub fn tile_center(&self, corner: Level0Point) -> Level0Point {
        Level0Point::new(
            corner.x + f64::from(self.tile_level0) / 2.0,
            corner.y + f64::from(self.tile_height_level0()) / 2.0,
        )
    }

    /// Returns the size of a level-0 pixel, derived from the tile size: exact except that the edges of a tile
    /// are rounded to whole pixels.
    pub fn level0_mpp(&self) -> MicronsPerPixel {
        let [x, y] = self.level0_um();
        MicronsPerPixel::nearest(x, y)
    }

    /// Returns the edges of a level-0 pixel in µm; may be impossible in a damaged header.
    fn level0_um(&self) -> [f64; 2] {
        let tile_um = f64::from(self.recipe.tiles.tile_px) * self.effective_mpp;
        [self.tile_level0, self.tile_height_level0()].map(|edge| tile_um / f64::from(edge))
    }

    /// Returns the reason why the header is invalid, if it is: values that this program never writes and that
    /// would lead to wrong results.
    pub fn problem(&self) -> Option<&'static str> {
        let [x, y] = self.level0_um();
        // The grid of a slide smaller than one tile is empty.
        let lacks_grid = self.grid.contains(&0) && self.tiles_tissue > 0;
        if !self.slide_id.is_plain() {
            Some("its slide ID is invalid")
        } else if self.width == 0 || self.width > MOST_NUMBERS {
            Some("the width of its descriptors is invalid")
        } else if self.tile_level0 == 0
            || self.tile_height_level0() == 0
            || lacks_grid
            || !self.recipe.tiles.is_plausible()
        {
            Some("the size of its tiles is invalid")
        } else if MicronsPerPixel::new(x, y).is_err() {
            Some("the size of its pixels is invalid")
        } else {
            None
        }
    }

    /// Returns whether the top-left corner of a tile (level-0 pixels) lies within the grid.
    pub fn covers(&self, corner: [i64; 2]) -> bool {
        let edges = [self.tile_level0, self.tile_height_level0()];
        let along = |axis: usize| i64::from(self.grid[axis]).saturating_mul(i64::from(edges[axis]));
        (0..2).all(|axis| (0..along(axis)).contains(&corner[axis]))
    }

    /// Returns whether two headers are equal apart from the program version.
    pub fn same_work(&self, other: &Self) -> bool {
        let blank = |header: &Self| Self { program_version: String::new(), ..header.clone() };
        blank(self) == blank(other)
    }

    /// Returns whether a tile has the same descriptor under both headers, even if different tiles were
    /// selected.
    pub fn same_descriptors(&self, other: &Self) -> bool {
        let blank = |header: &Self| Self { tiles_tissue: 0, selection: None, ..header.clone() };
        blank(self).same_work(&blank(other))
    }
}

/// Row of a tile in its [`DescriptorSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row(pub u32);

/// The descriptors of one slide, ordered by tile. Immutable; during embedding a new, larger set is published
/// at intervals.
pub struct DescriptorSet {
    /// Slide, recipe and tile grid of the descriptors.
    pub header: DescriptorHeader,
    /// Top-left corner of each tile in level-0 pixels; `len() × 2`.
    coords: Vec<[i64; 2]>,
    features: Features,
    /// Number of tiles that could not be read.
    pub tiles_failed: u32,
    /// SHA-256 as stated by the set's file; `None` if it was not read from a file.
    checksum: Option<String>,
}

/// `len() × width` numbers, in memory or mapped from the file.
enum Features {
    Owned(Vec<f32>),
    Mapped { map: memmap2::Mmap, start: usize, end: usize },
}

impl Features {
    fn as_slice(&self) -> &[f32] {
        match self {
            Features::Owned(values) => values,
            Features::Mapped { map, start, end } => bytemuck::cast_slice(&map[*start..*end]),
        }
    }
}

impl DescriptorSet {
    /// Builds a set from tiles, in any order, with their descriptors of `header.width` numbers each.
    pub fn from_rows(header: DescriptorHeader, rows: &[(TileIndex, &[f32])], tiles_failed: u32) -> Self {
        let mut order: Vec<&(TileIndex, &[f32])> = rows.iter().collect();
        order.sort_by_key(|(tile, _)| *tile);
        let grid = header.tile_grid();
        let coords = order.iter().map(|(tile, _)| grid.rect(*tile)).map(|rect| [rect.x, rect.y]).collect();
        let features = order.iter().flat_map(|(_, values)| values.iter().copied()).collect();
        Self { header, coords, features: Features::Owned(features), tiles_failed, checksum: None }
    }

    /// Builds a set from top-left corners in level-0 pixels, in any order, and their descriptors
    /// (`corners.len() × width`). Tiles do not have to lie on a grid; of several with the same corner only
    /// the first is kept.
    pub fn from_places(header: DescriptorHeader, corners: &[[i64; 2]], values: &[f32]) -> Self {
        let mut order: Vec<usize> = (0..corners.len()).collect();
        order.sort_by_key(|index| (corners[*index][1], corners[*index][0]));
        order.dedup_by_key(|index| corners[*index]);
        let width = header.width;
        let row = |index: &usize| &values[index * width..(index + 1) * width];
        let features = order.iter().flat_map(row).copied().collect();
        let coords: Vec<[i64; 2]> = order.iter().map(|index| corners[*index]).collect();
        let header = DescriptorHeader { tiles_tissue: coords.len() as u32, ..header };
        Self { header, coords, features: Features::Owned(features), tiles_failed: 0, checksum: None }
    }

    /// Returns the reason why a file of this set would be rejected as damaged, if it would. Writing and
    /// reading use the same check.
    pub fn problem(&self) -> Option<&'static str> {
        self.header.problem().or_else(|| content_problem(&self.header, &self.coords, self.features()))
    }

    /// Returns the SHA-256 of coordinates and features as stated by the set's file; `None` if the set was not
    /// read from a file.
    pub fn checksum(&self) -> Option<&str> {
        self.checksum.as_deref()
    }

    /// Returns the SHA-256 of coordinates and features, computed if no file states it.
    pub fn content_checksum(&self) -> String {
        match &self.checksum {
            Some(known) => known.clone(),
            None => {
                store::checksum(bytemuck::cast_slice(&self.coords), bytemuck::cast_slice(self.features()))
            }
        }
    }

    /// Returns whether every tissue tile of the slide has been embedded or has failed.
    pub fn is_complete(&self) -> bool {
        self.len() as u64 + u64::from(self.tiles_failed) >= u64::from(self.header.tiles_tissue)
    }

    /// Returns the number of tiles.
    pub fn len(&self) -> usize {
        self.coords.len()
    }

    /// Returns whether the set has no tiles.
    pub fn is_empty(&self) -> bool {
        self.coords.is_empty()
    }

    /// Returns the number of values in a descriptor.
    pub fn width(&self) -> usize {
        self.header.width
    }

    /// Returns all descriptors as one slice, `len() × width()`.
    pub fn features(&self) -> &[f32] {
        self.features.as_slice()
    }

    /// Returns the top-left corners of all tiles, in level-0 pixels.
    pub fn coords(&self) -> &[[i64; 2]] {
        &self.coords
    }

    /// Returns the descriptor of one tile.
    pub fn descriptor(&self, row: Row) -> &[f32] {
        let start = row.0 as usize * self.width();
        &self.features()[start..start + self.width()]
    }

    /// Returns the rectangle of a tile in level-0 pixels.
    pub fn rect(&self, row: Row) -> Level0Rect {
        let [x, y] = self.coords[row.0 as usize];
        Level0Rect::new(x, y, self.header.tile_level0, self.header.tile_height_level0())
    }

    /// Returns the embedded tile under a level-0 position; of several overlapping tiles the one with the
    /// nearest centre.
    pub fn row_at(&self, point: Level0Point) -> Option<Row> {
        let (width, height) =
            (i64::from(self.header.tile_level0), i64::from(self.header.tile_height_level0()));
        let (x, y) = (point.x.floor() as i64, point.y.floor() as i64);
        // Rows are ordered by y, then by x, so the rows whose tiles cover this y are consecutive.
        let first = self.coords.partition_point(|corner| corner[1] <= y.saturating_sub(height));
        let last = self.coords.partition_point(|corner| corner[1] <= y);
        let under = (first..last).filter(|row| {
            let left = self.coords[*row][0];
            left <= x && x < left + width
        });
        let to_center = |row: &usize| {
            let [left, top] = self.coords[*row];
            // Tiles are square in µm, so distances are compared in units of their edges.
            let across = (2 * (x - left) - width) as f64 * height as f64;
            let down = (2 * (y - top) - height) as f64 * width as f64;
            across * across + down * down
        };
        under.min_by(|a, b| to_center(a).total_cmp(&to_center(b))).map(|row| Row(row as u32))
    }
}

/// Returns the reason why coordinates and features contradict the header of their file, if they do.
fn content_problem(header: &DescriptorHeader, coords: &[[i64; 2]], features: &[f32]) -> Option<&'static str> {
    if coords.len().checked_mul(header.width) != Some(features.len()) {
        Some("it has more or fewer descriptors than tiles")
    } else if !coords.iter().all(|corner| header.covers(*corner)) {
        Some("one of its tiles lies outside the slide")
    } else if features.par_iter().any(|value| !value.is_finite()) {
        Some("it contains NaN or an infinity")
    } else {
        None
    }
}

/// Error of reading or writing descriptors. Messages name the file and, if there is one, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder that the operation failed on.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A file is damaged; it was renamed and kept.
    #[error(
        "{}: damaged descriptor file ({reason}); it was set aside as {}, embed the slide again",
        path.display(), aside.display()
    )]
    Damaged {
        /// Original path of the file.
        path: PathBuf,
        /// Description of the damage.
        reason: String,
        /// Path of the file after renaming.
        aside: PathBuf,
    },
    /// A file is damaged, and was left unchanged because the project is read-only.
    #[error(
        "{}: damaged descriptor file ({reason}); it was left unchanged, because the project is read-only",
        path.display()
    )]
    LeftDamaged {
        /// Path of the file.
        path: PathBuf,
        /// Description of the damage.
        reason: String,
    },
    /// A descriptor has the wrong width or contains NaN or an infinity.
    #[error("the descriptor of a tile contains NaN or an infinity; it was not stored")]
    NotFinite,
    /// A set is invalid, so its file could not be read back.
    #[error("{}: these descriptors cannot be stored: {reason}", path.display())]
    Unstorable {
        /// Path that the set would have been written to.
        path: PathBuf,
        /// Description of the problem, as [`DescriptorSet::problem`] returns it.
        reason: &'static str,
    },
}

/// Returns `bytes` as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
