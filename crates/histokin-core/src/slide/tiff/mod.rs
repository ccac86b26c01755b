//! Reading of TIFF and BigTIFF files without OpenSlide: generic pyramids, OME-TIFF, QPTIFF and images in
//! strips, with all common compressions and sample types.
//!
//! `directory` reads tags; `dicom` describes the tiles of DICOM slides as those of a TIFF; `page` extracts the description of an image from a directory; `set` finds the files of an OME-TIFF
//! that has several; `layout` (with `ome` and `qptiff`) determines which images are the levels and channels of the slide; `raster` finds and decodes
//! tiles and strips with `codec` and `jpeg`; `samples` unpacks their values; `colours` (with `opaque`) and
//! `channels` convert these to RGBA. File contents are untrusted: counts, offsets and unpacked sizes are checked before memory
//! is allocated.

mod channels;
mod codec;
mod colours;
pub(super) mod dicom;
pub(super) mod directory;
#[cfg(feature = "test-support")]
pub(crate) mod fuzzed;
pub(super) mod jpeg;
pub(super) mod layout;
mod lzw;
#[cfg(test)]
pub(super) mod made;
mod ome;
mod opaque;
pub(super) mod page;
mod qptiff;
pub(super) mod raster;
mod resemblance;
mod rows;
mod samples;
pub(super) mod set;
mod source;
mod survey;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use directory::Tiff;
use page::Page;
use raster::Raster;
use set::{Handles, Images, SetFile, Stored};

pub(super) use source::TiffSource;

/// Why a TIFF file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is of a kind that this program does not support.
    Unsupported(String),
    /// It is inconsistent or incomplete.
    Damaged(String),
}

impl Refusal {
    /// Returns the reason, and what to do about it.
    pub fn text(&self) -> String {
        match self {
            Self::Unsupported(reason) => {
                format!(
                    "{reason}; convert it with: vips tiffsave IN OUT.tif --tile --pyramid --compression jpeg"
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

/// The directories of a TIFF file, and of the files beside it in which its slide is stored, too.
pub(super) struct TiffFile {
    /// The files by their numbers ([`Page::file`]); the first is the one that was opened.
    files: Vec<SetFile>,
    /// The same for reading pixels.
    handles: Handles,
    images: Images,
    /// The first image of each level, once its list of tiles has been read: such a list may have many megabytes.
    rasters: Vec<Option<Raster>>,
    /// Why the list of images ends before its end, for display.
    damage: Option<String>,
}

/// How the pixels of a slide are stored in ways that OpenSlide does not expect.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peculiarities {
    /// Some tiles of a level are missing.
    pub misses_tiles: bool,
    /// The JPEG streams of a level state other colours than the tags, which OpenSlide believes.
    pub has_other_colours: bool,
    /// The JPEG streams of a level lack what lies outside the image, which OpenSlide refuses.
    pub has_cut_tiles: bool,
}

impl TiffFile {
    /// Reads the directories of the file at `path`; `None` if it is not a TIFF file.
    ///
    /// # Errors
    /// A message, when its directories are damaged.
    pub fn read(path: &Path) -> Result<Option<Self>, String> {
        let Some((mut file, first)) = SetFile::open(path)? else { return Ok(None) };
        let (pages, damage) = page::readable_pages(&mut file.tiff, first)?;
        let (images, others) = set::with_others(path, pages);
        let files: Vec<SetFile> = std::iter::once(file).chain(others).collect();
        let handles = Handles::new(stored(&files));
        Ok(Some(Self { files, handles, images, rasters: Vec::new(), damage }))
    }

    /// A slide of files in another format.
    fn of_images(files: Vec<SetFile>, images: Images) -> Self {
        let handles = Handles::new(stored(&files));
        Self { files, handles, images, rasters: Vec::new(), damage: None }
    }

    /// The files that hold the slide's pixels.
    fn stored(&self) -> Arc<[Stored]> {
        stored(&self.files)
    }

    /// Size of all files in bytes.
    fn size(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.tiff.size))
    }

    /// Whether numbers in the file that was opened begin with their highest byte.
    fn is_big_endian(&self) -> bool {
        self.files[0].tiff.is_big_endian
    }

    /// The file in which an image of this slide is stored.
    fn tiff_of(&mut self, page: &Page) -> &mut Tiff<BufReader<File>> {
        &mut self.files[page.file].tiff
    }

    /// Returns the images, which are then no longer kept here.
    fn take_images(&mut self) -> Images {
        std::mem::replace(&mut self.images, Images::alone(Vec::new()))
    }

    /// Whether OpenSlide reads the file as intended; `levels` are the sizes (width, height) of OpenSlide's
    /// levels.
    ///
    /// OpenSlide's reader of generic TIFF supports neither SubIFDs nor OME-XML nor Orientation, and fails on
    /// missing tiles. It reads everything else, and plain JPEG tiles can be read as fast as possible through
    /// it.
    pub fn suits_openslide(&self, levels: &[(u32, u32)]) -> bool {
        let Ok(layout) = layout::layout(&self.images) else { return !self.has_own_layout() };
        let is_same = layout.sizes().into_iter().eq(levels.iter().map(|size| (size.0.into(), size.1.into())));
        let main = layout.levels[0][0].page;
        // OpenSlide takes the resolution of the first image for that of the slide.
        let is_first = self.images.own.first().is_some_and(|first| std::ptr::eq(first, main));
        let is_jpeg = main.compression == 7 && main.samples == 3 && main.bits == [8, 8, 8];
        layout.kind == layout::Kind::Plain
            && is_same
            && is_first
            && is_jpeg
            && main.orientation == 1
            && layout.notes.is_empty()
    }

    /// Value of the Orientation tag of the slide's image.
    pub fn orientation(&self) -> u64 {
        match layout::layout(&self.images) {
            Ok(layout) => layout.levels[0][0].page.orientation,
            Err(_) => self.images.own.first().map_or(1, |page| page.orientation),
        }
    }

    /// Whether the file follows the OME-TIFF or QPTIFF layout.
    pub fn has_own_layout(&self) -> bool {
        let description = self.images.own.first().and_then(|page| page.description.as_deref());
        description.is_some_and(|text| ome::is_ome(text) || qptiff::is_qptiff(text))
    }

    /// Whether the file is in a scanner format, whose layout only OpenSlide supports.
    pub fn is_scanners(&self) -> bool {
        let Some(first) = self.images.own.first() else { return false };
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

    /// Whether OpenSlide reads the pixels as they are meant where this program cannot: it takes those of more than 8 bits for
    /// black, and gives CIELAB another white.
    pub fn is_readable_by_openslide(&self) -> bool {
        self.images.own.first().is_none_or(|page| {
            page.bits.iter().all(|bits| *bits == 8) && !matches!(page.photometric, Some(8..=10))
        })
    }

    /// Value of the Compression tag of the first image.
    pub fn compression(&self) -> u64 {
        self.images.own.first().map_or(1, |page| page.compression)
    }

    /// How the pixels of the slide's levels are stored in ways that OpenSlide does not expect.
    pub fn peculiarities(&mut self) -> Peculiarities {
        let images = self.take_images();
        let mut found = Peculiarities::default();
        let mut left = raster::most_chunks(self.size());
        self.rasters.clear();
        for planes in layout::layout(&images).iter().flat_map(|layout| &layout.levels) {
            let page = planes[0].page;
            let Ok(raster) = Raster::of(page, self.tiff_of(page), &mut left) else {
                self.rasters.push(None);
                continue;
            };
            let tiles = raster.grid.tiles();
            found.misses_tiles |= (0..tiles).any(|chunk| raster.is_missing(chunk));
            if let Some(jpegs) = raster.jpegs() {
                let tagged = match page.photometric {
                    Some(6) => jpeg::Components::YCbCr,
                    _ => jpeg::Components::Rgb,
                };
                found.has_other_colours |= page.samples == 3 && jpegs.components() != tagged;
                let size = (raster.grid.tile_width, raster.grid.tile_height);
                let last = raster.head(self.tiff_of(page), tiles - 1);
                found.has_cut_tiles |= raster.is_tiled && last.is_some_and(|head| head.size != size);
            }
            self.rasters.push(Some(raster));
        }
        self.images = images;
        found
    }
}

fn stored(files: &[SetFile]) -> Arc<[Stored]> {
    files.iter().map(|file| file.stored.clone()).collect()
}
