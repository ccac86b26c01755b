//! Features of other programs as descriptors of a project's slides.

use std::path::Path;

use super::{InterchangeError, Places, TileFeatures};
use crate::descriptors::{DescriptorHeader, DescriptorSet, Recipe};
use crate::encoder::ImportedEncoder;
use crate::geometry::MicronsPerPixel;
use crate::slide::SlideInfo;
use crate::tiling::{TileGrid, TileSettings};

/// Features of one slide whose tiles are known in its level-0 pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedFeatures {
    pub features: TileFeatures,
    /// Top-left corners.
    pub corners: Vec<[i64; 2]>,
    /// Edge of a tile.
    pub tile_level0: u32,
    /// µm per level-0 pixel.
    pub mpp: MicronsPerPixel,
}

/// A set that was made of features, and what fell away.
pub struct Imported {
    pub set: DescriptorSet,
    /// Tiles that lay at the place of another.
    pub doubled: usize,
}

/// Find where the tiles of `features` lie on the slide `info`. `edge` is a tile's edge in level-0 pixels where the
/// user states it; else the file tells it, or the smallest step between tiles does.
///
/// # Errors
/// [`InterchangeError::DoesNotFit`] when the slide has no pixel size, or tiles lie outside of it.
pub fn place(
    features: TileFeatures,
    info: &SlideInfo,
    edge: Option<u32>,
    path: &Path,
) -> Result<PlacedFeatures, InterchangeError> {
    let misfit = |reason: String| InterchangeError::DoesNotFit { path: path.to_owned(), reason };
    let mpp = info.require_mpp().map_err(|error| misfit(error.to_string()))?;
    let (corners, tile_level0) = match &features.places {
        Places::Corners { corners, tile_level0, .. } => {
            let edge = edge.or(*tile_level0).or_else(|| spacing(corners));
            (corners.clone(), edge.ok_or_else(|| misfit(UNKNOWN_EDGE.to_owned()))?)
        }
        Places::CentersUm(centers) => {
            let at = |um: f64, mpp: f64| (um / mpp).round() as i64;
            let centers: Vec<[i64; 2]> =
                centers.iter().map(|[x, y]| [at(*x, mpp.x), at(*y, mpp.y)]).collect();
            let edge = edge.or_else(|| spacing(&centers)).ok_or_else(|| misfit(UNKNOWN_EDGE.to_owned()))?;
            let half = i64::from(edge) / 2;
            (centers.iter().map(|[x, y]| [x - half, y - half]).collect(), edge)
        }
    };
    let (width, height, edge) = (i64::from(info.width()), i64::from(info.height()), i64::from(tile_level0));
    // Tiles at the border may reach beyond it, as CLAM's do.
    let is_on =
        |corner: &[i64; 2]| corner[0] > -edge && corner[1] > -edge && corner[0] < width && corner[1] < height;
    if let Some([x, y]) = corners.iter().find(|corner| !is_on(corner)) {
        return Err(misfit(format!(
            "a tile at {x}, {y} lies outside of {} ({width} × {height} px); these are features of another slide",
            info.name()
        )));
    }
    Ok(PlacedFeatures { features, corners, tile_level0, mpp })
}

const UNKNOWN_EDGE: &str = "how large the tiles are cannot be told from the file; give --tile-level0";

/// The smallest step between columns of tiles, which is their edge where they do not overlap.
pub(crate) fn spacing(corners: &[[i64; 2]]) -> Option<u32> {
    let mut columns: Vec<i64> = corners.iter().map(|corner| corner[0]).collect();
    columns.sort_unstable();
    columns.dedup();
    let step = columns.windows(2).map(|pair| pair[1] - pair[0]).min()?;
    u32::try_from(step).ok()
}

/// The encoder that made `placed`, as far as its file tells, under the name that the user gives.
pub fn encoder_of(placed: &PlacedFeatures, name: Option<&str>, path: &Path) -> ImportedEncoder {
    let of_file = || placed.features.encoder.clone().filter(|name| !name.is_empty());
    let of_folder = || {
        let folder = path.parent().and_then(Path::file_name)?;
        Some(folder.to_string_lossy().into_owned())
    };
    let name = name.map(str::to_owned).or_else(of_file).or_else(of_folder);
    let mpp = placed.mpp.mean() * f64::from(placed.tile_level0) / f64::from(placed.tile_px());
    // Slides of one study differ by a few per cent; their tiles were cut for one magnification.
    let usual = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0].into_iter().find(|usual| (mpp / usual - 1.0).abs() < 0.1);
    ImportedEncoder {
        name: name.unwrap_or_else(|| "imported".to_owned()),
        width: placed.features.width,
        tiles: TileSettings {
            tile_px: placed.tile_px(),
            mpp: usual.unwrap_or((mpp * 100.0).round().max(1.0) / 100.0),
        },
    }
}

impl PlacedFeatures {
    /// Edge of a tile in the pixels that the encoder saw; those of level 0 where nothing is known.
    pub fn tile_px(&self) -> u32 {
        self.features.tile_px.unwrap_or(self.tile_level0)
    }

    /// The descriptors of the slide `info` by `recipe`.
    pub fn into_set(self, info: &SlideInfo, recipe: Recipe) -> Imported {
        let tile_px = self.tile_px();
        let grid = TileGrid {
            tile_px,
            tile_level0: self.tile_level0,
            tile_level0_y: self.tile_level0,
            effective_mpp: self.mpp.mean() * f64::from(self.tile_level0) / f64::from(tile_px),
            columns: info.width().div_ceil(self.tile_level0),
            rows: info.height().div_ceil(self.tile_level0),
        };
        let tiles = self.corners.len();
        let header = DescriptorHeader::new(info.id.clone(), recipe, self.features.width, &grid, tiles as u32);
        let set = DescriptorSet::from_places(header, &self.corners, &self.features.values);
        Imported { doubled: tiles - set.len(), set }
    }
}
