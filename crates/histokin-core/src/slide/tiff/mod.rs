//! TIFF and BigTIFF files read without OpenSlide: generic pyramids, OME-TIFF, QPTIFF and pictures in strips, of all
//! common compressions and kinds of samples.
//!
//! `directory` reads tags, `page` what a directory says of its image, `layout` (with `ome` and `qptiff`) which images
//! are the levels and channels of the slide; `raster` finds and decodes tiles and strips with `codec` and `jpeg`,
//! `samples` unpacks their numbers, `colours` and `channels` make RGBA of them. Nothing that a file says is believed:
//! counts, offsets and unpacked sizes are bounded before memory is taken.

mod channels;
mod codec;
mod colours;
pub(super) mod directory;
#[cfg(fuzzing)]
pub(crate) mod fuzzed;
pub(super) mod jpeg;
pub(super) mod layout;
#[cfg(test)]
pub(super) mod made;
mod ome;
pub(super) mod page;
mod qptiff;
pub(super) mod raster;
mod samples;
mod source;
mod survey;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::reconnecting::Stamp;
use directory::Tiff;
use page::Page;

pub(super) use source::TiffSource;

/// Why a TIFF file is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is of a kind that this program does not read.
    Unsupported(String),
    /// It contradicts itself, or parts of it are missing.
    Damaged(String),
}

impl Refusal {
    /// The reason, and what to do.
    pub fn text(&self) -> String {
        match self {
            Self::Unsupported(reason) => {
                format!(
                    "{reason}; convert it, with: vips tiffsave IN OUT.tif --tile --pyramid --compression jpeg"
                )
            }
            Self::Damaged(reason) => reason.clone(),
        }
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Damaged(reason)
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self::Damaged(reason.to_owned())
    }
}

/// The directories of a TIFF file.
pub(super) struct TiffFile {
    pub stamp: Stamp,
    tiff: Tiff<BufReader<File>>,
    /// A handle of its own for pixels.
    file: File,
    pages: Vec<Page>,
}

impl TiffFile {
    /// Read the directories of the file at `path`; `None` if it is no TIFF.
    ///
    /// # Errors
    /// In words, when its directories are damaged.
    pub fn read(path: &Path) -> Result<Option<Self>, String> {
        let open = || File::open(path).map_err(|error| error.to_string());
        let file = open()?;
        let stamp = Stamp::of(&file.metadata().map_err(|error| error.to_string())?);
        // Not a TIFF at all is no error here.
        let Ok((mut tiff, first)) = Tiff::begin(BufReader::new(open()?)) else { return Ok(None) };
        let pages = page::pages(&mut tiff, first)?;
        Ok(Some(Self { stamp, tiff, file, pages }))
    }

    /// Whether OpenSlide reads the file as it is meant: `width` × `height` of each level as OpenSlide has them.
    ///
    /// OpenSlide's reader of generic TIFF knows neither SubIFDs nor OME-XML nor Orientation, and fails at missing
    /// tiles. All else it reads, and plain JPEG tiles as quickly as can be.
    pub fn suits_openslide(&self, levels: &[(u32, u32)]) -> bool {
        let Ok(layout) = layout::layout(&self.pages) else { return !self.has_own_layout() };
        let sizes = layout.levels.iter().map(|planes| planes[0].page.size());
        let is_same = sizes.eq(levels.iter().map(|(width, height)| (u64::from(*width), u64::from(*height))));
        let main = layout.levels[0][0].page;
        let is_jpeg = main.compression == 7 && main.samples == 3 && main.bits == [8, 8, 8];
        layout.kind == layout::Kind::Plain
            && is_same
            && is_jpeg
            && main.orientation == 1
            && layout.notes.is_empty()
    }

    /// Orientation of the slide's image.
    pub fn orientation(&self) -> u64 {
        match layout::layout(&self.pages) {
            Ok(layout) => layout.levels[0][0].page.orientation,
            Err(_) => self.pages.first().map_or(1, |page| page.orientation),
        }
    }

    /// Whether another program's layout says how the file is to be read.
    pub fn has_own_layout(&self) -> bool {
        let description = self.pages.first().and_then(|page| page.description.as_deref());
        description.is_some_and(|text| ome::is_ome(text) || qptiff::is_qptiff(text))
    }

    /// Whether a scanner's format says how the file is to be read, which OpenSlide alone knows.
    pub fn is_scanners(&self) -> bool {
        let Some(first) = self.pages.first() else { return false };
        let described = first.description.as_deref().is_some_and(|text| {
            text.starts_with("Aperio") || text.contains("<scn") || text.contains("<DataObject ObjectType=")
        });
        let written = first
            .software
            .as_deref()
            .is_some_and(|text| ["Philips", "MedScan"].iter().any(|name| text.starts_with(name)));
        let made = first.texts.iter().any(|(name, text)| *name == "Make" && text.contains("Hamamatsu"));
        described || written || made
    }

    /// Compression of the first image, by TIFF's number.
    pub fn compression(&self) -> u64 {
        self.pages.first().map_or(1, |page| page.compression)
    }

    /// Whether some tiles of the slide's levels are missing.
    pub fn misses_tiles(&mut self) -> bool {
        let pages = std::mem::take(&mut self.pages);
        let is_missing = |raster: &raster::Raster| (0..raster.chunks()).any(|chunk| raster.is_missing(chunk));
        let mut left = raster::most_chunks(self.tiff.size);
        let misses = layout::layout(&pages).is_ok_and(|layout| {
            layout.levels.iter().any(|planes| {
                raster::Raster::of(planes[0].page, &mut self.tiff, &mut left)
                    .is_ok_and(|raster| is_missing(&raster))
            })
        });
        self.pages = pages;
        misses
    }
}
