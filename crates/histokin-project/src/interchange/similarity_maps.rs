//! Similarity maps as files for other programs: an image with one pixel per tile and its position on the
//! slide, and a pyramid in the slide's true size.

use std::io::Cursor;
use std::path::Path;

use image::{GrayAlphaImage, ImageFormat, LumaA};

use super::{GridValues, InterchangeError, write_map_tiff};
use histokin_core::durable;
use histokin_core::paths::FileStems;
use histokin_core::query::similarity_map::{MapRequest, SimilarityMap};
use histokin_core::slide::SlideId;

/// The files written for one slide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenMap {
    /// The slide.
    pub slide: SlideId,
    /// Name of the image within the folder.
    pub picture: String,
    /// Name of the pyramid within the folder.
    pub pyramid: String,
    /// Width and height of a pixel of the image, in level-0 pixels.
    pub tile_level0: [u32; 2],
}

/// Compares, and writes three files for each slide of the request to `folder`, which is created: `NAME.png`,
/// one pixel per tile, bright where similar and transparent where no tile is embedded; `NAME.pgw`, the world
/// file that gives its position in level-0 pixels; and `NAME.tif`, the same as a pyramid that slide viewers
/// open in its true size. Similarity is lowest at the distance `scale`; `name` gives the name of a slide.
///
/// # Errors
/// Returns [`InterchangeError`] with the file that could not be written.
pub fn write_maps(
    request: &MapRequest,
    scale: f32,
    name: impl Fn(&SlideId) -> String,
    folder: &Path,
) -> Result<Vec<WrittenMap>, InterchangeError> {
    std::fs::create_dir_all(folder)
        .map_err(|source| InterchangeError::Io { path: folder.to_owned(), source })?;
    let (mut written, mut stems) = (Vec::new(), FileStems::default());
    for (map, set) in request.maps(scale).into_iter().zip(request.sets()) {
        // Files in two folders may have the same name.
        let stem = stems.next(&name(&map.slide), map.slide.short());
        let (picture, pyramid) = (format!("{stem}.png"), format!("{stem}.tif"));
        write_picture(&folder.join(&picture), &map)?;
        // Tiles imported for a slide with non-square pixels: use the geometric mean of both edges.
        let (mpp, [width, height]) = (set.header.level0_mpp(), map.tile_level0.map(f64::from));
        let tile_um = (mpp.x() * width * mpp.y() * height).sqrt();
        let values = GridValues { grid: map.grid, values: &map.similarity, tile_um };
        write_map_tiff(&folder.join(&pyramid), values)?;
        written.push(WrittenMap { slide: map.slide, picture, pyramid, tile_level0: map.tile_level0 });
    }
    Ok(written)
}

/// Writes an image with one pixel per tile and its world file (six lines: size and rotation of a pixel,
/// centre of the first one).
fn write_picture(path: &Path, map: &SimilarityMap) -> Result<(), InterchangeError> {
    let [columns, rows] = map.grid.map(|count| count as u32);
    let picture = GrayAlphaImage::from_fn(columns, rows, |x, y| {
        let similarity = map.similarity[(y * columns + x) as usize];
        LumaA([similarity, if similarity == 0 { 0 } else { 255 }])
    });
    let mut png = Cursor::new(Vec::new());
    picture
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|error| InterchangeError::Unwritable { path: path.to_owned(), reason: error.to_string() })?;
    let [width, height] = map.tile_level0.map(f64::from);
    let world = format!("{width}\n0\n0\n{height}\n{}\n{}\n", width / 2.0, height / 2.0);
    for (path, bytes) in
        [(path.to_owned(), png.get_ref().as_slice()), (path.with_extension("pgw"), world.as_bytes())]
    {
        durable::write(&path, bytes).map_err(|source| InterchangeError::Io { path, source })?;
    }
    Ok(())
}
