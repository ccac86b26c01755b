//! Describing tiles on the spot, to ask for what is not embedded.

use image::RgbImage;

use super::embed::normaliser;
use super::{EmbedError, TileSelection};
use histokin_core::descriptors::Recipe;
use histokin_core::geometry::{Level0Rect, Stretch};
use histokin_core::slide::SlideSource;
use histokin_core::tiling::{TileGrid, read_tile};
use histokin_core::tissue::{ColouredTissue, TissueMask};
use histokin_encoder::Encoder;

/// Tiles that the encoder is given at once.
const BATCH: usize = 16;

/// The descriptors of `rects` of a slide, as embedding the slide by `recipe` would make them, in order. `tissue` is
/// the tissue whose colours the slide is normalised by, where that is not to be found on the slide itself.
///
/// # Errors
/// When a tile cannot be read, or the encoder fails.
pub fn embed_tiles(
    slide: &dyn SlideSource,
    tissue: Option<&ColouredTissue>,
    rects: &[Level0Rect],
    encoder: &mut dyn Encoder,
    recipe: &Recipe,
) -> Result<Vec<Vec<f32>>, EmbedError> {
    let normaliser = normaliser(slide, tissue, recipe.stain, encoder.spec().stain_reference)?;
    let mut descriptors = Vec::with_capacity(rects.len());
    for part in rects.chunks(BATCH) {
        let read = |rect: &Level0Rect| {
            let mut tile = read_tile(slide, rect, recipe.tiles.tile_px)?;
            if let Some(normaliser) = &normaliser {
                normaliser.apply(&mut tile);
            }
            Ok::<RgbImage, EmbedError>(tile)
        };
        let tiles: Vec<RgbImage> = part.iter().map(read).collect::<Result<_, _>>()?;
        let encoded = encoder
            .encode(&tiles)
            .map_err(|source| EmbedError::Encoder { path: slide.info().path.clone(), source })?;
        descriptors.extend(encoded.rows().map(<[f32]>::to_vec));
    }
    Ok(descriptors)
}

/// The descriptors that stand for a picture: of its tissue tiles, where it is calibrated and holds any, else of
/// the largest square in its middle, as one tile.
///
/// # Errors
/// As [`embed_tiles`].
pub fn embed_picture(
    picture: &dyn SlideSource,
    encoder: &mut dyn Encoder,
    recipe: &Recipe,
) -> Result<Vec<Vec<f32>>, EmbedError> {
    let info = picture.info();
    let tissue = TissueMask::of(picture)?;
    let mut rects: Vec<Level0Rect> = match TileGrid::new(info, recipe.tiles) {
        Ok(grid) => {
            TileSelection::default().tiles(&tissue, &grid).iter().map(|tile| grid.rect(*tile)).collect()
        }
        Err(_) => Vec::new(),
    };
    if rects.is_empty() {
        // The square is one of µm, where those are known.
        let stretch = Stretch::of(info.mpp);
        let (across, down) = stretch.extent((info.width().into(), info.height().into()));
        let edge =
            |stretch: f64, whole: u32| ((across.min(down) / stretch).round() as u32).clamp(1, whole.max(1));
        let (width, height) = (edge(stretch.x, info.width()), edge(stretch.y, info.height()));
        let (left, top) = ((info.width() - width) / 2, (info.height() - height) / 2);
        rects.push(Level0Rect::new(left.into(), top.into(), width, height));
    }
    embed_tiles(picture, None, &rects, encoder, recipe)
}
