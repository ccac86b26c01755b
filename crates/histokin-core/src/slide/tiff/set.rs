//! OME-TIFFs of several files: channels, focal planes or time points in files of their own, and descriptions in a companion
//! file (`*.companion.ome`) or in one TIFF for all.
//!
//! As in Bio-Formats, files belong together if they lie in one folder under the names that the description states; whichever
//! of them is opened, the same slide is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roxmltree::Document;

use super::super::names;
use super::super::reconnecting::Stamp;
use super::dicom::Arrangement;
use super::directory::{Tiff, tag};
use super::ome::{self, Described, NoImages, Own, Place};
use super::page::{self, Page};
use super::raster::Raster;
use crate::{text, untrusted};

/// Maximum size of a companion file in bytes.
const MOST_XML_BYTES: u64 = 64 << 20;

/// Maximum number of entries of a folder among which a file is looked for.
const MOST_ENTRIES: usize = 10_000;

/// Number of directories that the file may have, where that is not known: more than any has that is read.
const MOST_DIRECTORIES: u64 = 16_384;

/// Ending of the names of companion files, in lower case.
const COMPANION: &str = ".companion.ome";

/// The images of a slide's files, and what OME-XML tells about them.
pub(in crate::slide) struct Images {
    /// The images of the file that was opened.
    pub own: Vec<Page>,
    /// What the description tells; `None` if there is none.
    pub described: Option<Result<Described, NoImages>>,
    /// The images of the other files, by number from 1.
    others: Vec<Vec<Page>>,
    /// How the images are put together, if that is known without any description.
    pub arrangement: Option<Arrangement>,
}

impl Images {
    /// The images of a file without the others of its set.
    pub fn alone(own: Vec<Page>) -> Self {
        let described = description(&own).map(|text| of_file(None, text, own.len() as u64));
        let mut images = Self { own, described, others: Vec::new(), arrangement: None };
        images.choose(|_| None);
        images
    }

    /// The images of files in another format.
    pub fn arranged(pages: Vec<Page>, arrangement: Arrangement) -> Self {
        Self { own: pages, described: None, others: Vec::new(), arrangement: Some(arrangement) }
    }

    /// Returns the image at a place that [`ome::Image::shown`] states.
    pub fn page(&self, place: Place) -> Option<&Page> {
        let pages = match place.file.checked_sub(1) {
            Some(other) => self.others.get(other)?,
            None => &self.own,
        };
        pages.get(place.directory as usize)
    }

    /// Chooses the plane that is shown of each channel. `pages` returns the images of another file by its name, or `None` if it
    /// is not there; it is asked once for each name.
    fn choose(&mut self, mut pages: impl FnMut(&str) -> Option<Vec<Page>>) {
        let Some(Ok(Described { images, files, .. })) = &mut self.described else { return };
        // Number of each named file among those that were read, and its number of images.
        let mut known: BTreeMap<usize, Option<(usize, u64)>> = BTreeMap::new();
        for image in images {
            let mut missing: BTreeSet<usize> = BTreeSet::new();
            for planes in &image.planes {
                let mut shown = None;
                for (rank, place) in planes {
                    let found = match place.file.checked_sub(1) {
                        None => Some((0, self.own.len() as u64)),
                        Some(named) => *known.entry(named).or_insert_with(|| {
                            let pages = pages(files.get(named)?)?;
                            let count = pages.len() as u64;
                            self.others.push(pages);
                            Some((self.others.len(), count))
                        }),
                    };
                    match found {
                        Some((file, count)) if place.directory < count => {
                            image.has_others_shown |= *rank > 0;
                            shown = Some(Place { file, directory: place.directory });
                            break;
                        }
                        None if *rank == 0 => _ = missing.insert(place.file - 1),
                        _ => {}
                    }
                }
                image.shown.push(shown);
            }
            image.missing = missing.into_iter().filter_map(|named| files.get(named).cloned()).collect();
        }
    }
}

/// A file of a slide, and the directories in it.
pub(super) struct SetFile {
    pub stored: Stored,
    pub tiff: Tiff<BufReader<File>>,
}

/// A file of a slide, as it was when it was opened.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub path: PathBuf,
    pub stamp: Stamp,
}

impl SetFile {
    /// Opens a file; also returns the offset of its first directory. `None` if it is not a TIFF file.
    ///
    /// # Errors
    /// A message, when it cannot be opened.
    pub fn open(path: &Path) -> Result<Option<(Self, u64)>, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let stamp = Stamp::of(&file.metadata().map_err(|error| error.to_string())?);
        // A file in another format is not an error here.
        let Ok((tiff, first)) = Tiff::begin(BufReader::new(file)) else { return Ok(None) };
        Ok(Some((Self { stored: Stored { path: path.to_owned(), stamp }, tiff }, first)))
    }
}

/// The files of a slide, each opened when it is first read. They are opened for each read of a region: an archive has more
/// slides than a process may have open files, and a file that was replaced in the meantime must not be read with the old
/// offsets.
pub(super) struct Handles {
    stored: Arc<[Stored]>,
    open: Vec<Option<File>>,
}

impl Handles {
    /// `stored` are the files by their numbers.
    pub fn new(stored: Arc<[Stored]>) -> Self {
        let open = stored.iter().map(|_| None).collect();
        Self { stored, open }
    }

    /// Returns the file in which an image is stored.
    ///
    /// # Errors
    /// A message, when it cannot be opened, or was replaced.
    pub fn of(&mut self, raster: &Raster) -> Result<&mut File, String> {
        let number = raster.file;
        let (Some(stored), Some(open)) = (self.stored.get(number), self.open.get_mut(number)) else {
            return Err("one of its files is missing".to_owned());
        };
        let named = |reason: String| match number {
            0 => reason,
            _ => format!("{}: {reason}", stored.path.display()),
        };
        if open.is_none() {
            let file = File::open(&stored.path).map_err(|error| named(error.to_string()))?;
            let metadata = file.metadata().map_err(|error| named(error.to_string()))?;
            if Stamp::of(&metadata) != stored.stamp {
                return Err(named("the file was replaced after it was opened".to_owned()));
            }
            *open = Some(file);
        }
        open.as_mut().ok_or_else(|| named("it cannot be opened".to_owned()))
    }
}

/// Finds the description of the images `own` of the file at `path`, and the other files in which its slide is stored. The
/// pages of other files bear their numbers.
pub(super) fn with_others(path: &Path, own: Vec<Page>) -> (Images, Vec<SetFile>) {
    let described = description(&own).map(|text| of_file(Some(path), text, own.len() as u64));
    let mut images = Images { own, described, others: Vec::new(), arrangement: None };
    let mut files: Vec<SetFile> = Vec::new();
    images.choose(|name| {
        let (mut file, first) = SetFile::open(&beside(path, name)?).ok()??;
        let (mut pages, _) = page::readable_pages(&mut file.tiff, first).ok()?;
        files.push(file);
        pages.iter_mut().for_each(|page| page.set_file(files.len()));
        Some(pages)
    });
    (images, files)
}

/// The text of the first image, if it is OME-XML.
fn description(pages: &[Page]) -> Option<&str> {
    pages.first()?.description.as_deref().filter(|text| ome::is_ome(text))
}

/// Reads the description of the file at `path`, which has `directories` directories, from its own text or from the file that
/// the text names.
fn of_file(path: Option<&Path>, text: &str, directories: u64) -> Result<Described, NoImages> {
    let document = ome::parsed(text).map_err(|error| {
        NoImages::Undescribed(format!("its OME-XML cannot be read ({error}), so that channels are not known"))
    })?;
    let name = path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let own = Own { name: name.as_deref(), uuid: ome::own_uuid(&document), is_certain: true };
    let Some(companion) = ome::companion(&document) else { return ome::images(&document, own, directories) };
    let named = companion.unwrap_or("unnamed");
    let candidates = path.map(|path| companions(path, companion)).unwrap_or_default();
    for candidate in &candidates {
        let Some(text) = xml_of(candidate) else { continue };
        // Others may describe another slide.
        let is_named =
            companion.is_some_and(|name| beside(path.unwrap_or(candidate), name).as_ref() == Some(candidate));
        let own = Own { is_certain: is_named, ..own };
        let described = ome::parsed(&text).map(|document| ome::images(&document, own, directories));
        if let Ok(Ok(described)) = described {
            return Ok(described);
        }
    }
    let is_there = path.is_some_and(|path| companion.and_then(|name| beside(path, name)).is_some());
    Err(NoImages::Undescribed(match is_there {
        true => format!(
            "its OME-XML is in another file ({named}), which does not describe it or cannot be read: only what this file \
             contains is shown"
        ),
        false => format!(
            "its OME-XML is in another file ({named}), which is not beside it: only what this file contains is shown; put \
             that file into its folder"
        ),
    }))
}

/// Returns the files that may describe the file at `path`: the one of this name, then the other companion files beside it, as
/// after renaming.
fn companions(path: &Path, name: Option<&str>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = name.and_then(|name| beside(path, name)).into_iter().collect();
    let mut others: Vec<PathBuf> = entries(folder(path)).filter(|entry| is_companion(entry)).collect();
    others.sort();
    others.retain(|other| !found.contains(other));
    found.extend(others);
    found
}

/// Whether a file is a companion file by its name.
pub(in crate::slide) fn is_companion(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().to_lowercase().ends_with(COMPANION))
}

/// Returns the OME-XML of a companion file, or of a TIFF that describes others.
fn xml_of(path: &Path) -> Option<String> {
    if let Ok(Some((mut file, first))) = SetFile::open(path) {
        return first_text(&mut file.tiff, first);
    }
    let bytes = untrusted::read(path, MOST_XML_BYTES).ok()?;
    Some(text::decode(&bytes).ok()?.text.into_owned())
}

/// Reads the description of the first image.
fn first_text<R: Read + std::io::Seek>(tiff: &mut Tiff<R>, first: u64) -> Option<String> {
    let directory = tiff.directory(first).ok()?;
    tiff.text(directory.find(tag::IMAGE_DESCRIPTION)?)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().take(MOST_ENTRIES).flatten().map(|entry| entry.path())
}

/// Returns the file of this name beside `path`, also if capital letters or the Unicode form differ; `None` if there is none.
/// Only files of the same folder count, whatever folder the name has.
fn beside(path: &Path, name: &str) -> Option<PathBuf> {
    let name = name.rsplit(['/', '\\']).next().filter(|name| !matches!(*name, "" | "." | ".."))?;
    let exact = path.with_file_name(name);
    if exact.is_file() {
        return Some(exact);
    }
    let plain = names::plain(name);
    let is_named = |entry: &PathBuf| {
        entry.file_name().is_some_and(|other| names::plain(&other.to_string_lossy()) == plain)
    };
    entries(folder(path))
        .find(is_named)
        .map(|entry| path.with_file_name(entry.file_name().unwrap_or_default()))
}

/// Returns the file that represents the OME-TIFF of several files to which `path` belongs: the first one that its description
/// names, if it is there. `None` for all other files.
pub(in crate::slide) fn first_file(path: &Path) -> Option<PathBuf> {
    let own = untrusted::open(path).ok()?;
    let (mut tiff, first) = Tiff::begin(BufReader::new(own)).ok()?;
    let text = first_text(&mut tiff, first).filter(|text| ome::is_ome(text))?;
    // Most OME-TIFFs name no file, or only themselves.
    let is_set = text.contains("BinaryOnly") || text.matches("FileName").nth(1).is_some();
    let described = is_set.then(|| of_file(Some(path), &text, MOST_DIRECTORIES).ok()).flatten()?;
    first_of(path, &described)
}

/// Returns the first file of a slide, if the slide is in several.
fn first_of(path: &Path, described: &Described) -> Option<PathBuf> {
    let first = described.first_file.as_deref().filter(|_| !described.files.is_empty())?;
    beside(path, first)
}

/// Returns the other files of the OME-TIFF at `path`, besides itself: those that its description names and the companion file.
pub(in crate::slide) fn other_files(path: &Path) -> Vec<PathBuf> {
    let read = || -> Option<Vec<PathBuf>> {
        let (mut tiff, first) = Tiff::begin(BufReader::new(untrusted::open(path).ok()?)).ok()?;
        let text = first_text(&mut tiff, first).filter(|text| ome::is_ome(text))?;
        let companion =
            ome::parsed(&text).ok().and_then(|document| Some(ome::companion(&document)??.to_owned()));
        let described = of_file(Some(path), &text, MOST_DIRECTORIES).ok();
        let names = companion.into_iter().chain(described.into_iter().flat_map(|described| described.files));
        Some(names.filter_map(|name| beside(path, &name)).collect())
    };
    read().unwrap_or_default()
}

/// Returns the first file of the OME-TIFF that a companion file describes; `None` if it is not there.
pub(in crate::slide) fn file_of_companion(path: &Path) -> Option<PathBuf> {
    let text = xml_of(path)?;
    let document: Document = ome::parsed(&text).ok()?;
    let files = ome::file_names(&document);
    files.iter().filter_map(|name| beside(path, name)).find(|file| !is_companion(file))
}
