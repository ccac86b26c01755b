//! Conversion of other programs' descriptors to descriptor sets of a project.

use std::path::Path;

use super::{InterchangeError, TileFeatures, TilePositions, most_frequent_step};
use histokin_core::descriptors::{DescriptorHeader, DescriptorSet, Recipe};
use histokin_core::geometry::MicronsPerPixel;
use histokin_core::slide::SlideInfo;
use histokin_core::tiling::{TileGrid, TileSettings};
use histokin_encoder::ImportedEncoder;

/// Descriptors of one slide with tile positions in level-0 pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedFeatures {
    /// Descriptors as read from the file.
    pub features: TileFeatures,
    /// Top-left corner of each tile, in level-0 pixels.
    pub corners: Vec<[i64; 2]>,
    /// Edge of a tile, in level-0 pixels.
    pub tile_level0: u32,
    /// µm per level-0 pixel.
    pub mpp: MicronsPerPixel,
    /// Messages for the user about the file, one sentence each.
    pub notes: Vec<String>,
}

/// A descriptor set made from imported descriptors, with the numbers of tiles that were left out.
pub struct Imported {
    /// The descriptors.
    pub set: DescriptorSet,
    /// Number of tiles at the position of another tile.
    pub doubled: usize,
    /// Number of tiles that begin left of or above the slide, for which no descriptor can be stored.
    pub beside: usize,
    /// Number of tiles whose descriptor or position is NaN or infinite.
    pub not_finite: usize,
}

/// Determines the positions of the tiles of `features` on the slide `info`. `edge` is a tile's edge in
/// level-0 pixels as given by the user; without it, the file's statement or the most frequent step between
/// tiles is used.
///
/// # Errors
/// [`InterchangeError::DoesNotFit`] when the slide has no pixel size, the file contradicts itself or the
/// slide, or tiles lie outside the slide.
pub fn place(
    features: TileFeatures,
    info: &SlideInfo,
    edge: Option<u32>,
    path: &Path,
) -> Result<PlacedFeatures, InterchangeError> {
    let misfit = |reason: String| InterchangeError::DoesNotFit { path: path.to_owned(), reason };
    let mpp = info.require_mpp().map_err(|error| misfit(error.to_string()))?;
    let stated = match edge {
        Some(_) => edge,
        None => features.stated.tile_level0(Some(info), Some(mpp)).map_err(misfit)?,
    };
    let mut notes = Vec::new();
    let mut or_step = |positions: &[[i64; 2]]| -> Result<u32, InterchangeError> {
        let step = most_frequent_step(positions);
        match (stated, step) {
            (Some(stated), Some(step)) if edge.is_none() => features
                .stated
                .overlap_problem(stated, step)
                .map_or(Ok(stated), |problem| Err(misfit(problem))),
            (Some(stated), _) => Ok(stated),
            (None, Some(step)) => {
                notes.push(format!(
                    "the file does not state the size of a tile; it is taken to be the most frequent step between \
                     tiles, {step} level-0 px (give --tile-level0 where tiles overlap or have gaps)"
                ));
                Ok(step)
            }
            (None, None) => Err(misfit(UNKNOWN_EDGE.to_owned())),
        }
    };
    let (corners, tile_level0) = match &features.positions {
        TilePositions::Corners(corners) => (corners.clone(), or_step(corners)?),
        TilePositions::CornersUm(corners) => {
            // STAMP uses the pixel size along x for both axes (`get_slide_mpp_`).
            let corners = in_pixels(corners, [mpp.x(); 2]);
            let edge = or_step(&corners)?;
            (corners, edge)
        }
        TilePositions::CentersUm(centers) => {
            let centers = in_pixels(centers, [mpp.x(), mpp.y()]);
            let edge = or_step(&centers)?;
            let half = i64::from(edge) / 2;
            (centers.iter().map(|[x, y]| [x - half, y - half]).collect(), edge)
        }
    };
    notes.extend(features.stated.size_problem([info.width(), info.height()], tile_level0).map_err(misfit)?);
    let (width, height, edge) = (i64::from(info.width()), i64::from(info.height()), i64::from(tile_level0));
    // Tiles at the border may extend beyond it, as CLAM's do.
    let is_on =
        |corner: &[i64; 2]| corner[0] > -edge && corner[1] > -edge && corner[0] < width && corner[1] < height;
    if let Some([x, y]) = corners.iter().find(|corner| !is_on(corner)) {
        let outside = corners.iter().filter(|corner| !is_on(corner)).count();
        return Err(misfit(format!(
            "{outside} of {} tiles, one of them at {x}, {y}, lie outside {} ({width} × {height} px); these are \
             features of another slide, or their coordinates are not level-0 pixels",
            corners.len(),
            info.name()
        )));
    }
    Ok(PlacedFeatures { features, corners, tile_level0, mpp, notes })
}

const UNKNOWN_EDGE: &str = "the file does not show how large the tiles are (expected attribute patch_size_level0, \
                            patch_size or tile_size_um, or a grid of tiles); give --tile-level0";

fn in_pixels(positions: &[[f64; 2]], [x_um, y_um]: [f64; 2]) -> Vec<[i64; 2]> {
    positions.iter().map(|[x, y]| [(x / x_um).round() as i64, (y / y_um).round() as i64]).collect()
}

/// Returns the encoder of `placed`. Its name is `name`, or else the file's statement, or else the name of the
/// file's folder.
pub fn encoder_of(placed: &PlacedFeatures, name: Option<&str>, path: &Path) -> ImportedEncoder {
    let of_file = || placed.features.stated.encoder.clone().filter(|name| !name.is_empty());
    let of_folder = || {
        let folder = path.parent().and_then(Path::file_name)?;
        Some(folder.to_string_lossy().into_owned())
    };
    let name = name.map(str::to_owned).or_else(of_file).or_else(of_folder);
    let mpp = placed.mpp.mean() * f64::from(placed.tile_level0) / f64::from(placed.tile_px());
    // Slides of one study differ by a few per cent, but their tiles were made for one magnification.
    let nominal = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0];
    let nominal = nominal.into_iter().find(|nominal| (mpp / nominal - 1.0).abs() < 0.1);
    ImportedEncoder {
        name: name.unwrap_or_else(|| "imported".to_owned()),
        width: placed.features.width,
        tiles: TileSettings {
            tile_px: placed.tile_px(),
            mpp: nominal.unwrap_or((mpp * 100.0).round().max(1.0) / 100.0),
        },
    }
}

impl PlacedFeatures {
    /// Returns the edge of a tile in the pixels that the encoder saw; in level-0 pixels if the file does not
    /// state it.
    pub fn tile_px(&self) -> u32 {
        self.features.stated.tile_px().unwrap_or(self.tile_level0)
    }

    /// Converts to a descriptor set of the slide `info` with `recipe`; tiles that it cannot represent are
    /// counted.
    ///
    /// # Errors
    /// [`InterchangeError::DoesNotFit`] when the set would be invalid.
    pub fn into_set(
        self,
        info: &SlideInfo,
        recipe: Recipe,
        path: &Path,
    ) -> Result<Imported, InterchangeError> {
        let misfit = |reason: String| InterchangeError::DoesNotFit { path: path.to_owned(), reason };
        let tile_px = self.tile_px();
        let grid = TileGrid {
            tile_px,
            tile_level0: self.tile_level0,
            tile_level0_y: self.tile_level0,
            effective_mpp: self.mpp.mean() * f64::from(self.tile_level0) / f64::from(tile_px.max(1)),
            columns: info.width().div_ceil(self.tile_level0.max(1)),
            rows: info.height().div_ceil(self.tile_level0.max(1)),
        };
        let width = self.features.width;
        let header = DescriptorHeader::new(info.id.clone(), recipe, width, &grid, self.corners.len() as u32);
        if let Some(problem) = header.problem() {
            return Err(misfit(format!(
                "{problem} (tiles of {} level-0 px, seen as {tile_px} px, with {width} numbers each)",
                self.tile_level0
            )));
        }
        let TileFeatures { values, left_out, .. } = self.features;
        let (corners, kept): (Vec<[i64; 2]>, Vec<&[f32]>) = self
            .corners
            .iter()
            .zip(values.chunks_exact(width))
            .filter(|(corner, _)| header.covers(**corner))
            .unzip();
        let beside = self.corners.len() - corners.len();
        if corners.is_empty() && beside > 0 {
            return Err(misfit("all of its tiles begin left of the slide or above it".to_owned()));
        }
        let set = DescriptorSet::from_places(header, &corners, &kept.concat());
        if let Some(problem) = set.problem() {
            return Err(misfit(problem.to_owned()));
        }
        let doubled = corners.len() - set.len();
        Ok(Imported { set, doubled, beside, not_finite: left_out.not_finite + left_out.no_position })
    }
}
