//! Heat maps as files that other programs open: a picture of one pixel a tile with its place on the slide, and a
//! pyramid in the slide's true size.

use std::io::Cursor;
use std::path::Path;

use image::{GrayAlphaImage, ImageFormat, LumaA};

use super::{HeatRequest, SimilarityMap, similarity_maps};
use histokin_core::durable;
use histokin_core::slide::SlideId;
use histokin_project::interchange::{GridValues, InterchangeError, write_map_tiff};

/// The files of one slide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenMap {
    pub slide: SlideId,
    /// Names within the folder.
    pub picture: String,
    pub pyramid: String,
    /// Width and height of a pixel of the picture, in level-0 pixels.
    pub tile_level0: [u32; 2],
}

/// Compare, and write into `folder`, which is made, for each slide of the request: `NAME.png`, one pixel a tile, bright
/// where it is alike and transparent where nothing is embedded; `NAME.pgw`, the world file that places it in level-0
/// pixels; `NAME.tif`, the same as a pyramid that slide viewers open in its true size. Likeness ends at the distance
/// `scale`; `name` tells what a slide is called.
///
/// # Errors
/// [`InterchangeError`] with the file that could not be written.
pub fn write_maps(
    request: &HeatRequest,
    scale: f32,
    name: impl Fn(&SlideId) -> String,
    folder: &Path,
) -> Result<Vec<WrittenMap>, InterchangeError> {
    std::fs::create_dir_all(folder)
        .map_err(|source| InterchangeError::Io { path: folder.to_owned(), source })?;
    let mut written: Vec<WrittenMap> = Vec::new();
    for (map, set) in similarity_maps(request, scale).maps.into_iter().zip(request.sets()) {
        let mut stem = name(&map.slide);
        // Files of two folders may have the same name.
        if written.iter().any(|other| other.picture == format!("{stem}.png")) {
            stem = format!("{stem}-{}", map.slide.short());
        }
        let (picture, pyramid) = (format!("{stem}.png"), format!("{stem}.tif"));
        write_picture(&folder.join(&picture), &map)?;
        // Of tiles that were imported for a slide whose pixels are not square, both edges count.
        let (mpp, [width, height]) = (set.header.level0_mpp(), map.tile_level0.map(f64::from));
        let tile_um = (mpp.x * width * mpp.y * height).sqrt();
        let values = GridValues { grid: map.grid, values: &map.similarity, tile_um };
        write_map_tiff(&folder.join(&pyramid), values)?;
        written.push(WrittenMap { slide: map.slide, picture, pyramid, tile_level0: map.tile_level0 });
    }
    Ok(written)
}

/// A picture, one pixel a tile, and its world file (six lines: size and turn of a pixel, centre of the first one).
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
