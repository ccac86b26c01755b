//! Descriptors: what an encoder says of each tissue tile of a slide, kept one file per slide and recipe.

mod encoder_id;
mod journal;
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

/// Widest descriptor that is believed; the widest published networks give a few thousand numbers.
pub const MOST_NUMBERS: usize = 1 << 20;

/// All that decides a descriptor besides the slide: descriptors of different recipes are never compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    pub encoder_id: EncoderId,
    /// Name of the encoder for people.
    pub encoder_name: String,
    pub tiles: TileSettings,
    pub stain: StainSetting,
}

impl Recipe {
    /// Twelve characters that stand for this recipe in file names.
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

/// What a descriptor file says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DescriptorHeader {
    pub slide_id: SlideId,
    pub recipe: Recipe,
    /// Numbers in a descriptor.
    pub width: usize,
    /// Width of a tile in level-0 pixels.
    pub tile_level0: u32,
    /// Height of a tile in level-0 pixels where it is another than the width, for a slide whose pixels are not square;
    /// see [`Self::tile_height_level0`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tile_level0_y: Option<u32>,
    /// Columns and rows of the tile grid, whose origin is the slide's top-left corner.
    pub grid: [u32; 2],
    /// Resolution at which the tiles were read, µm per pixel.
    pub effective_mpp: f64,
    /// Tiles of the grid that are tissue.
    pub tiles_tissue: u32,
    /// Which settings selected these tiles of the grid; nothing for the usual ones. It decides no descriptor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<String>,
    pub program_version: String,
}

impl DescriptorHeader {
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

    /// The grid that these descriptors were made on.
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

    /// Height of a tile in level-0 pixels.
    pub fn tile_height_level0(&self) -> u32 {
        self.tile_level0_y.unwrap_or(self.tile_level0)
    }

    /// Area of a tile in square level-0 pixels.
    pub fn tile_area_px2(&self) -> f64 {
        f64::from(self.tile_level0) * f64::from(self.tile_height_level0())
    }

    /// The middle of the tile whose top-left corner lies at `corner`.
    pub fn tile_center(&self, corner: Level0Point) -> Level0Point {
        Level0Point::new(
            corner.x + f64::from(self.tile_level0) / 2.0,
            corner.y + f64::from(self.tile_height_level0()) / 2.0,
        )
    }

    /// Pixel size of the slide, as the tiles were laid: exact to the rounding of a tile's edges to whole pixels.
    pub fn level0_mpp(&self) -> MicronsPerPixel {
        let tile_um = f64::from(self.recipe.tiles.tile_px) * self.effective_mpp;
        MicronsPerPixel {
            x: tile_um / f64::from(self.tile_level0),
            y: tile_um / f64::from(self.tile_height_level0()),
        }
    }

    /// What no run of this program writes, and whoever believes it is led astray by.
    pub fn problem(&self) -> Option<&'static str> {
        let level0_mpp = self.level0_mpp().x;
        // A slide smaller than one tile has a grid of none.
        let lacks_grid = self.grid.contains(&0) && self.tiles_tissue > 0;
        if !self.slide_id.is_plain() {
            Some("its slide has no possible identity")
        } else if self.width == 0 || self.width > MOST_NUMBERS {
            Some("its descriptors have no possible width")
        } else if self.tile_level0 == 0
            || self.tile_height_level0() == 0
            || lacks_grid
            || !self.recipe.tiles.is_plausible()
        {
            Some("its tiles have no possible size")
        } else if !(self.effective_mpp.is_finite() && level0_mpp.is_finite() && level0_mpp > 0.0) {
            Some("its pixels have no possible size")
        } else {
            None
        }
    }

    /// Whether a tile whose top-left corner is `corner` (level-0 pixels) begins within the grid.
    pub fn covers(&self, corner: [i64; 2]) -> bool {
        let edges = [self.tile_level0, self.tile_height_level0()];
        let along = |axis: usize| i64::from(self.grid[axis]).saturating_mul(i64::from(edges[axis]));
        (0..2).all(|axis| (0..along(axis)).contains(&corner[axis]))
    }

    /// Whether two headers describe the same tiles of the same work, whatever version of the program did it.
    pub fn same_work(&self, other: &Self) -> bool {
        let blank = |header: &Self| Self { program_version: String::new(), ..header.clone() };
        blank(self) == blank(other)
    }

    /// Whether a tile has the same descriptor in both, whichever tiles were selected.
    pub fn same_descriptors(&self, other: &Self) -> bool {
        let blank = |header: &Self| Self { tiles_tissue: 0, selection: None, ..header.clone() };
        blank(self).same_work(&blank(other))
    }
}

/// Row of a tile in its [`DescriptorSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row(pub u32);

/// The descriptors of one slide, ordered by tile. Immutable; what is still being embedded is published as
/// a growing series of such sets.
pub struct DescriptorSet {
    pub header: DescriptorHeader,
    /// Top-left corner of each tile in level-0 pixels; `len() × 2`.
    coords: Vec<[i64; 2]>,
    features: Features,
    /// Tiles that could not be read.
    pub tiles_failed: u32,
    /// What its file says of its content; nothing while it is not in one.
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
    /// Build a set from tiles in any order and their descriptors (`tiles.len() × width`).
    pub fn from_rows(header: DescriptorHeader, rows: &[(TileIndex, &[f32])], tiles_failed: u32) -> Self {
        let mut order: Vec<&(TileIndex, &[f32])> = rows.iter().collect();
        order.sort_by_key(|(tile, _)| *tile);
        let grid = header.tile_grid();
        let coords = order.iter().map(|(tile, _)| grid.rect(*tile)).map(|rect| [rect.x, rect.y]).collect();
        let features = order.iter().flat_map(|(_, values)| values.iter().copied()).collect();
        Self { header, coords, features: Features::Owned(features), tiles_failed, checksum: None }
    }

    /// Build a set from top-left corners in level-0 pixels, in any order, and their descriptors
    /// (`corners.len() × width`). Tiles need not lie on a grid; of several at one place the first counts.
    pub fn from_places(header: DescriptorHeader, corners: &[[i64; 2]], values: &[f32]) -> Self {
        let mut order: Vec<usize> = (0..corners.len()).collect();
        order.sort_by_key(|place| (corners[*place][1], corners[*place][0]));
        order.dedup_by_key(|place| corners[*place]);
        let width = header.width;
        let row = |place: &usize| &values[place * width..(place + 1) * width];
        let features = order.iter().flat_map(row).copied().collect();
        let coords: Vec<[i64; 2]> = order.iter().map(|place| corners[*place]).collect();
        let header = DescriptorHeader { tiles_tissue: coords.len() as u32, ..header };
        Self { header, coords, features: Features::Owned(features), tiles_failed: 0, checksum: None }
    }

    /// Why a file of this set would be taken for damaged when it is opened. The one rule for what may be written and
    /// for what is believed.
    pub fn problem(&self) -> Option<&'static str> {
        self.header.problem().or_else(|| content_problem(&self.header, &self.coords, self.features()))
    }

    /// SHA-256 of coordinates and features, as the file of this set has it; `None` for one that was never
    /// read from a file.
    pub fn checksum(&self) -> Option<&str> {
        self.checksum.as_deref()
    }

    /// The same, computed where no file has told it.
    pub fn content_checksum(&self) -> String {
        match &self.checksum {
            Some(known) => known.clone(),
            None => {
                store::checksum(bytemuck::cast_slice(&self.coords), bytemuck::cast_slice(self.features()))
            }
        }
    }

    /// Whether every tissue tile of the slide has been dealt with.
    pub fn is_complete(&self) -> bool {
        self.len() as u64 + u64::from(self.tiles_failed) >= u64::from(self.header.tiles_tissue)
    }

    /// Number of tiles.
    pub fn len(&self) -> usize {
        self.coords.len()
    }

    pub fn is_empty(&self) -> bool {
        self.coords.is_empty()
    }

    /// Numbers in a descriptor.
    pub fn width(&self) -> usize {
        self.header.width
    }

    /// All descriptors, one after the other: `len() × width()`.
    pub fn features(&self) -> &[f32] {
        self.features.as_slice()
    }

    /// Top-left corners, in level-0 pixels.
    pub fn coords(&self) -> &[[i64; 2]] {
        &self.coords
    }

    /// The descriptor of one tile.
    pub fn descriptor(&self, row: Row) -> &[f32] {
        let start = row.0 as usize * self.width();
        &self.features()[start..start + self.width()]
    }

    /// Level-0 pixels that the tile covers.
    pub fn rect(&self, row: Row) -> Level0Rect {
        let [x, y] = self.coords[row.0 as usize];
        Level0Rect::new(x, y, self.header.tile_level0, self.header.tile_height_level0())
    }

    /// The embedded tile under a level-0 position; of several that overlap there the one whose centre is
    /// nearest.
    pub fn row_at(&self, point: Level0Point) -> Option<Row> {
        let (width, height) =
            (i64::from(self.header.tile_level0), i64::from(self.header.tile_height_level0()));
        let (x, y) = (point.x.floor() as i64, point.y.floor() as i64);
        // Rows are ordered by y, then by x: those whose tile reaches this height stand together.
        let first = self.coords.partition_point(|corner| corner[1] <= y - height);
        let last = self.coords.partition_point(|corner| corner[1] <= y);
        let under = (first..last).filter(|row| {
            let left = self.coords[*row][0];
            left <= x && x < left + width
        });
        let middle = |row: &usize| {
            let [left, top] = self.coords[*row];
            // Tiles are square in µm: distances are compared in units of their edges.
            let across = (2 * (x - left) - width) as f64 * height as f64;
            let down = (2 * (y - top) - height) as f64 * width as f64;
            across * across + down * down
        };
        under.min_by(|a, b| middle(a).total_cmp(&middle(b))).map(|row| Row(row as u32))
    }
}

/// What of coordinates and features does not fit the header of their file.
fn content_problem(header: &DescriptorHeader, coords: &[[i64; 2]], features: &[f32]) -> Option<&'static str> {
    if coords.len().checked_mul(header.width) != Some(features.len()) {
        Some("its descriptors do not belong to its tiles")
    } else if !coords.iter().all(|corner| header.covers(*corner)) {
        Some("a tile of it lies beside the slide")
    } else if features.par_iter().any(|value| !value.is_finite()) {
        Some("it holds numbers that are not finite")
    } else {
        None
    }
}

/// What can go wrong with stored descriptors. Every message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "{}: damaged descriptor file ({reason}); it was set aside as {}, embed the slide again",
        path.display(), aside.display()
    )]
    Damaged { path: PathBuf, reason: String, aside: PathBuf },
    #[error(
        "{}: damaged descriptor file ({reason}); it was left as it is, since the project is open for reading only",
        path.display()
    )]
    LeftDamaged { path: PathBuf, reason: String },
    #[error("the descriptor of a tile holds NaN or an infinity; it was not stored")]
    NotFinite,
    #[error("{}: these descriptors cannot be stored: {reason}", path.display())]
    Unstorable { path: PathBuf, reason: &'static str },
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
