//! Reading and writing of annotation files in all supported formats, plain or compressed.

use std::collections::HashMap;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::geojson::Purpose;
use super::json::RawJson;
use super::watch::{Part, Watch};
use super::{
    AnnotationSet, Detections, Edit, Omissions, asap, count_detections, counts_table, geojson, identity, xml,
};
use crate::geometry::Level0Point;
use crate::slide::SlideInfo;
use crate::{durable, text, untrusted};

/// Maximum size of an annotation file, in bytes.
pub(super) const MOST_BYTES: u64 = 2 << 30;

/// The supported formats, for error messages.
pub(super) const READ_KINDS: &str =
    "supported are GeoJSON as written by QuPath, and the XML of ASAP, Camelyon and Aperio ImageScope";

/// First member of a project's own file: how often a journal has been folded into it.
const GENERATION_MEMBER: &str = "histokinGeneration";

/// Member of a GeoJSON collection that states the origin of its coordinates, in level-0 pixels.
pub(super) const ORIGIN_MEMBER: &str = "coordinateOrigin";

/// A file format of annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// QuPath's GeoJSON.
    GeoJson,
    /// The XML of ASAP, also used for the annotations of the Camelyon challenges.
    Asap,
    /// The XML of Aperio ImageScope; read only.
    ImageScope,
}

impl Format {
    /// Returns the format for writing a file with this name.
    ///
    /// # Errors
    /// [`AnnotationError::Ending`] if its extension is not `.geojson`, `.json`, one of these with `.gz`, or
    /// `.xml`.
    pub fn of_name(path: &Path) -> Result<Self, AnnotationError> {
        let inner = if is_packed(path) { path.with_extension("") } else { path.to_owned() };
        let ending = inner.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("geojson" | "json") => Ok(Self::GeoJson),
            Some("xml") if !is_packed(path) => Ok(Self::Asap),
            _ => Err(AnnotationError::Ending { path: path.to_owned() }),
        }
    }

    /// Returns the name of the format, for display.
    pub fn name(self) -> &'static str {
        match self {
            Self::GeoJson => "QuPath GeoJSON",
            Self::Asap => "ASAP XML",
            Self::ImageScope => "Aperio ImageScope XML",
        }
    }

    /// Returns the level-0 position on a slide of the origin of a file's coordinates: the one that it states or, since
    /// QuPath's coordinates start there, the corner of the scanned area ([`bounds_origin`]). `None` for that of level 0.
    fn origin_on(self, info: &SlideInfo, stated: Option<Level0Point>) -> Option<Level0Point> {
        let usual = || match self {
            Self::GeoJson => bounds_origin(info),
            Self::Asap | Self::ImageScope => None,
        };
        stated.or_else(usual).filter(|origin| *origin != Level0Point::default())
    }
}

/// Returns whether a file with this name is compressed by gzip.
fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"))
}

/// The content of an annotation file.
#[derive(Debug, Clone, PartialEq)]
pub struct AnnotationFile {
    /// Format in which it was written.
    pub format: Format,
    /// The annotations, in the coordinates of the file; see [`AnnotationFile::place_on`].
    pub set: AnnotationSet,
    /// Objects that could not be read; all others are in the set.
    pub left_out: Omissions,
    /// Parts of objects that could not be read; the rest of these objects is in the set.
    pub parts_left_out: Omissions,
    /// Sentences for the user, including those about omissions.
    pub notes: Vec<String>,
    /// Whether it is not UTF-8, and its encoding had to be guessed.
    pub is_encoding_guessed: bool,
    /// Origin of the coordinates as stated in the file, in level-0 pixels.
    origin: Option<Level0Point>,
    /// For a project's own file, how often a journal has been folded into it.
    pub(super) generation: u64,
}

impl AnnotationFile {
    /// Converts the annotations to level-0 pixels of a slide. The origin of QuPath's coordinates is the
    /// corner of the scanned area ([`bounds_origin`]), that of ASAP's is the corner of level 0; `origin`
    /// overrides both.
    pub fn place_on(&mut self, info: &SlideInfo, origin: Option<Level0Point>) {
        if let Some(origin) = self.format.origin_on(info, origin.or(self.origin)) {
            self.set.translate(origin.x, origin.y);
            self.notes.push(format!(
                "Moved by {}, {} px: QuPath's coordinates start at the corner of the scanned area.",
                origin.x, origin.y
            ));
        }
        self.notes.extend(self.doubts(info));
    }

    /// Returns the edit that adds its annotations to a set. Annotations that are already in the set,
    /// according to their UUID, their ID in the file or their text, are replaced. The rule for IDs other than
    /// UUIDs is in `docs/guide/annotation-files.md`.
    pub fn edit_for(&mut self, set: &AnnotationSet) -> Edit {
        let others = self.set.recognise(set);
        if others > 0 {
            let note = format!(
                "IDs in use for other annotations, from a file with another name: {others}; both are kept."
            );
            // It may be added to a set once more, after that has changed.
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        if !self.set.detections().is_empty() {
            return Edit::Import(Box::new(set.with_file(&self.set)));
        }
        Edit::Add(self.set.iter().map(Arc::unwrap_or_clone).collect())
    }

    /// Applies the rule of Camelyon16: cuts annotations of group `_2` out of the tumours in which they lie.
    /// Does nothing if the file has no such group.
    pub fn cut_camelyon16_holes(&mut self) {
        let cut = asap::cut_camelyon16_holes(&mut self.set);
        if cut > 0 {
            self.notes.push(format!("Areas of group _2 cut out of tumours (Camelyon16): {cut}."));
        }
    }
}

impl Part {
    /// Returns the detections where [`AnnotationFile::place_on`] puts them without another origin; `None` if they take too
    /// much memory there.
    pub fn placed_on(self, info: &SlideInfo) -> Option<Arc<Detections>> {
        match Format::GeoJson.origin_on(info, self.origin) {
            Some(origin) => self.detections.moved(origin.x, origin.y).map(Arc::new),
            None => Some(self.detections),
        }
    }
}

/// Returns the level-0 position of the origin of QuPath's coordinates on a slide: the corner of the scanned
/// area, if this is stated and not the corner of level 0 (`openslide.bounds-x`, `openslide.bounds-y`).
pub fn bounds_origin(info: &SlideInfo) -> Option<Level0Point> {
    let number = |axis: &str| info.properties.get(&format!("openslide.bounds-{axis}"))?.trim().parse().ok();
    let origin = Level0Point::new(number("x")?, number("y")?);
    (origin != Level0Point::default() && is_believable(origin)).then_some(origin)
}

/// Returns an origin of coordinates that a file states as x and y, unless it is on no slide.
pub(super) fn stated_origin((x, y): (f64, f64)) -> Option<Level0Point> {
    Some(Level0Point::new(x, y)).filter(|origin| is_believable(*origin))
}

/// Error when reading or writing an annotation file. Every message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AnnotationError {
    /// The file cannot be read or written.
    #[error("{}: {source}{}", path.display(), durable::hint(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The file is damaged or has another format.
    #[error("{}: cannot be read as annotations{}: {reason}", path.display(), at_line(*line))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line of the error, from 1, if known.
        line: Option<usize>,
        /// Cause, for the user.
        reason: String,
    },
    /// Reading or writing was stopped by the user.
    #[error("{}: stopped before it was finished", path.display())]
    Stopped {
        /// The file.
        path: PathBuf,
    },
    /// The extension of a file to write is not that of a supported format.
    #[error("{}: name a .geojson file (for QuPath), a .geojson.gz, an .xml file (for ASAP) or a .csv file (for counts)", path.display())]
    Ending {
        /// The file.
        path: PathBuf,
    },
}

fn at_line(line: Option<usize>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}

/// Why a text cannot be read as annotations.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FormatError {
    /// Line, from 1, if known.
    pub line: Option<usize>,
    /// Cause, for the user.
    pub reason: String,
}

impl FormatError {
    /// Makes an error at a line, from 1.
    pub fn at(line: usize, reason: impl Into<String>) -> Self {
        Self { line: Some(line), reason: reason.into() }
    }

    /// Makes an error at a byte offset of the text.
    pub fn at_offset(text: &str, offset: usize, reason: impl Into<String>) -> Self {
        let before = &text.as_bytes()[..offset.min(text.len())];
        Self::at(1 + before.iter().filter(|byte| **byte == b'\n').count(), reason)
    }

    fn nowhere(reason: impl Into<String>) -> Self {
        Self { line: None, reason: reason.into() }
    }

    /// Adds the part of the file in which the error occurred.
    pub fn within(self, part: impl AsRef<str>) -> Self {
        Self { reason: format!("{}: {}", part.as_ref(), self.reason), ..self }
    }
}

/// The content of a document.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The annotations.
    pub set: AnnotationSet,
    /// Objects that could not be read.
    pub left_out: Omissions,
    /// Parts of objects that could not be read.
    pub parts: Omissions,
    /// Sentences for the user.
    pub notes: Vec<String>,
}

/// Reads an annotation file: GeoJSON (a collection, an array, a feature, one feature per line, or a
/// geometry), the XML of ASAP or that of Aperio ImageScope, plain or compressed (`.gz`, `.zip`). The format
/// is determined by the content, not by the name. Objects that cannot be read are left out and counted.
///
/// # Errors
/// [`AnnotationError::Io`] if the file cannot be read; [`AnnotationError::Malformed`] if it has another
/// format, is damaged, or none of its objects can be read.
pub fn read_file(path: &Path) -> Result<AnnotationFile, AnnotationError> {
    read_file_watched(path, &|_| true)
}

/// Reads a file like [`read_file`]. Calls `go_on` again and again with the share of a GeoJSON file that has
/// been read, from 0 to 1; reading stops once it returns false.
///
/// # Errors
/// As for [`read_file`], and [`AnnotationError::Stopped`].
pub fn read_file_watched(
    path: &Path,
    go_on: &(dyn Fn(f32) -> bool + Sync),
) -> Result<AnnotationFile, AnnotationError> {
    read_file_for(path, &Watch::new(go_on))
}

/// Reads a file like [`read_file_watched`], and passes detections in compact form to `part` while further ones are read, in
/// the order of the file. They are part of the content, and must be forgotten if reading fails or is stopped.
///
/// # Errors
/// As for [`read_file_watched`].
pub fn read_file_in_parts(
    path: &Path,
    go_on: &(dyn Fn(f32) -> bool + Sync),
    part: &(dyn Fn(Part) + Sync),
) -> Result<AnnotationFile, AnnotationError> {
    read_file_for(path, &Watch::new(go_on).with_parts(part))
}

fn read_file_for(path: &Path, watch: &Watch<'_>) -> Result<AnnotationFile, AnnotationError> {
    let bytes = untrusted::read_while(path, MOST_BYTES, &|| watch.go_on(0.0));
    if watch.has_stopped() {
        return Err(AnnotationError::Stopped { path: path.to_owned() });
    }
    let bytes = bytes.map_err(|source| AnnotationError::Io { path: path.to_owned(), source })?;
    read_watched(bytes, path, watch)
}

/// Reads annotations from memory, like [`read_file`]. `path` is used in messages, and its file name for IDs
/// that are unique within a file.
///
/// # Errors
/// [`AnnotationError::Malformed`] as for [`read_file`].
pub fn read_bytes(bytes: &[u8], path: &Path) -> Result<AnnotationFile, AnnotationError> {
    read_watched(bytes, path, &Watch::none())
}

/// Reads annotations from memory, which is given back before the last step if it is owned.
pub(super) fn read_watched(
    bytes: impl AsRef<[u8]>,
    path: &Path,
    watch: &Watch<'_>,
) -> Result<AnnotationFile, AnnotationError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let read = read_packed(bytes, &name, watch);
    if watch.has_stopped() {
        return Err(AnnotationError::Stopped { path: path.to_owned() });
    }
    read.map_err(|FormatError { line, reason }| AnnotationError::Malformed {
        path: path.to_owned(),
        line,
        reason,
    })
}

fn read_packed(
    bytes: impl AsRef<[u8]>,
    name: &str,
    watch: &Watch<'_>,
) -> Result<AnnotationFile, FormatError> {
    let packed = bytes.as_ref();
    let mut left = untrusted::max_unpacked(packed.len() as u64);
    match packed {
        [0x1f, 0x8b, ..] => {
            let name = name.strip_suffix(".gz").unwrap_or(name);
            let text = unpacked(flate2::read::MultiGzDecoder::new(packed), &mut left)?;
            drop(bytes);
            read_text(text, name, watch)
        }
        [b'P', b'K', 3, 4, ..] => read_zip(packed, &mut left, watch),
        _ => read_text(bytes, name, watch),
    }
}

fn unpacked(packed: impl io::Read, left: &mut u64) -> Result<Vec<u8>, FormatError> {
    untrusted::unpack(packed, left)
        .map_err(|error| FormatError::nowhere(format!("it cannot be unpacked ({error})")))
}

fn read_zip(bytes: &[u8], left: &mut u64, watch: &Watch<'_>) -> Result<AnnotationFile, FormatError> {
    let damaged =
        |error: zip::result::ZipError| FormatError::nowhere(format!("it cannot be unpacked ({error})"));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let (mut whole, mut unread): (Option<AnnotationFile>, Option<FormatError>) = (None, None);
    let mut notes = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(damaged)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let path = Path::new(&name);
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // macOS adds metadata files with this prefix to archives.
        let is_metadata = file.starts_with("._");
        if !entry.is_file() || is_metadata || !matches!(ending.as_deref(), Some("json" | "geojson" | "xml")) {
            continue;
        }
        let bytes = unpacked(entry, left).map_err(|error| error.within(&name))?;
        match (read_text(bytes, &file, watch).map_err(|error| error.within(&name)), &mut whole) {
            (Ok(part), None) => whole = Some(part),
            (Ok(part), Some(whole)) => whole.append(part, &file),
            (Err(error), _) => {
                let at = at_line(error.line);
                notes.push(format!("A file in the archive was left out{at}: {}.", error.reason));
                unread.get_or_insert(error);
            }
        }
    }
    match (whole, unread) {
        (Some(mut whole), _) => {
            whole.notes.extend(notes);
            Ok(whole)
        }
        (None, Some(error)) => Err(error),
        (None, None) => Err(FormatError::nowhere("it holds no .geojson, .json or .xml file")),
    }
}

impl AnnotationFile {
    fn append(&mut self, other: Self, source: &str) {
        let indices: HashMap<Uuid, usize> = other.set.iter().map(|one| one.id).zip(0..).collect();
        let annotations = other.set.iter().map(|one| {
            let parent = one.parent.and_then(|parent| indices.get(&parent).copied());
            (Arc::unwrap_or_clone(one), parent)
        });
        identity::insert_with_ids(annotations.collect(), source, &mut self.set);
        self.set.take_over(&other.set);
        self.left_out.append(other.left_out);
        self.parts_left_out.append(other.parts_left_out);
        self.notes.extend(other.notes);
    }
}

fn read_text(bytes: impl AsRef<[u8]>, name: &str, watch: &Watch<'_>) -> Result<AnnotationFile, FormatError> {
    let decoded = text::decode(bytes.as_ref()).map_err(|error| FormatError::at(1, error.to_string()))?;
    let (is_encoding_guessed, note, text) = (decoded.is_guessed, decoded.note(), decoded.text);
    let (mut origin, mut generation) = (None, 0);
    let first = text.trim_start().chars().next();
    let (format, read) = match first {
        // A record separator (RFC 8142) may precede each feature, and a comment a document that was edited.
        Some('{' | '[' | '\u{1e}' | '/') => {
            let gathered = geojson::gather(&text, name, watch)?;
            if watch.has_stopped() {
                return Err(FormatError::nowhere("reading was stopped"));
            }
            // The text of a large file and what is made of it last need not be in memory at the same time.
            drop(text);
            drop(bytes);
            let mut read = gathered.finish();
            let stated: Option<(f64, f64)> = take_member(&mut read.set, ORIGIN_MEMBER);
            origin = stated.and_then(stated_origin);
            if let (Some((x, y)), None) = (stated, origin) {
                read.notes.push(format!(
                    "Its origin of coordinates, {x:?}, {y:?} px, is on no slide and was ignored."
                ));
            }
            generation = take_member(&mut read.set, GENERATION_MEMBER).unwrap_or_default();
            (Format::GeoJson, read)
        }
        Some('<') => xml::read(&text, name)?,
        Some(_) => return Err(FormatError::at(1, format!("it is {}; {READ_KINDS}", other_kind(&text)))),
        None => return Err(FormatError::at(1, "it is empty")),
    };
    let Read { set, left_out, parts, mut notes } = read;
    notes.extend(note);
    notes.extend(left_out.sentence("object was left out", "objects were left out"));
    notes.extend(parts.sentence("part of an object was left out", "parts of objects were left out"));
    Ok(AnnotationFile {
        format,
        set,
        left_out,
        parts_left_out: parts,
        notes,
        is_encoding_guessed,
        origin,
        generation,
    })
}

/// Returns what a text is that is neither GeoJSON nor XML.
fn other_kind(text: &str) -> &'static str {
    let kinds = [
        (
            "version https://git-lfs",
            "a Git LFS pointer in the file's place: fetch the file with “git lfs pull”",
        ),
        ("SQLite format 3", "an SQLite database, as TIAToolbox and SlideRunner write it"),
        ("PAR1", "a Parquet table"),
        ("Iout", "an ImageJ ROI: export the annotations from QuPath as GeoJSON instead"),
        ("%PDF", "a PDF document"),
    ];
    if let Some((_, kind)) = kinds.iter().find(|(start, _)| text.starts_with(start)) {
        return kind;
    }
    let mut lines = text.lines();
    let fields = |line: &str| ['\t', ';', ','].map(|separator| line.matches(separator).count());
    let is_table = lines.next().zip(lines.next()).is_some_and(|(first, second)| {
        let pairs = fields(first).into_iter().zip(fields(second));
        pairs.clone().any(|(first, second)| first > 0 && second >= first)
    });
    if is_table { "a table" } else { "neither GeoJSON nor XML" }
}

/// Removes a member of a collection and returns its value.
fn take_member<T: DeserializeOwned>(set: &mut AnnotationSet, name: &str) -> Option<T> {
    let index = set.members.iter().position(|(key, _)| key == name)?;
    serde_json::from_str(set.members.remove(index).1.get()).ok()
}

/// Returns the set as GeoJSON that QuPath can open. `origin` is the level-0 position of the origin of the
/// coordinates: [`bounds_origin`] for QuPath, `None` for all other programs.
pub fn write_geojson(set: &AnnotationSet, origin: Option<Level0Point>) -> String {
    let mut bytes = Vec::new();
    // Writing to memory cannot fail.
    _ = write_exchange(set, origin, &Watch::none(), &mut bytes);
    String::from_utf8(bytes).unwrap_or_default()
}

/// Writes the set as [`write_geojson`] does, piece by piece.
fn write_exchange(
    set: &AnnotationSet,
    origin: Option<Level0Point>,
    watch: &Watch<'_>,
    out: &mut impl io::Write,
) -> io::Result<()> {
    let Some(origin) = origin else { return geojson::write(set, Purpose::Exchange, watch, out) };
    let mut moved = set.clone();
    moved.translate(-origin.x, -origin.y);
    if let Ok(stated) = serde_json::value::to_raw_value(&(origin.x, origin.y)) {
        moved.members.push((ORIGIN_MEMBER.to_owned(), RawJson::from(stated.as_ref())));
    }
    geojson::write(&moved, Purpose::Exchange, watch, out)
}

/// Writes the set as stored in a project: GeoJSON in level-0 pixels that states the identity of every
/// annotation, and its generation if that is not 0.
pub(super) fn write_for_store(
    set: &AnnotationSet,
    generation: u64,
    watch: &Watch<'_>,
    out: &mut impl io::Write,
) -> io::Result<()> {
    if generation == 0 {
        return geojson::write(set, Purpose::Store, watch, out);
    }
    let mut stating = set.clone();
    let stated = serde_json::value::to_raw_value(&generation)?;
    stating.members.insert(0, (GENERATION_MEMBER.to_owned(), RawJson::from(stated.as_ref())));
    geojson::write(&stating, Purpose::Store, watch, out)
}

/// Returns the set as XML that ASAP can open, and sentences on what this format cannot store.
pub fn write_asap(set: &AnnotationSet) -> (String, Vec<String>) {
    asap::write(set)
}

/// Writes the annotations of a slide durably, in the format given by the file's extension; for `.csv`, the
/// counts of detections. Returns sentences on what was left out or moved.
///
/// # Errors
/// [`AnnotationError::Ending`] for other extensions, [`AnnotationError::Io`] if the file cannot be written.
pub fn write_file(
    path: &Path,
    set: &AnnotationSet,
    info: &SlideInfo,
) -> Result<Vec<String>, AnnotationError> {
    write_file_watched(path, set, info, &|_| true)
}

/// Writes a file like [`write_file`]. Calls `go_on` again and again with the share of a GeoJSON file that has been written,
/// from 0 to 1; once it returns false, writing stops, and what was at `path` before stays there.
///
/// # Errors
/// As for [`write_file`], and [`AnnotationError::Stopped`].
pub fn write_file_watched(
    path: &Path,
    set: &AnnotationSet,
    info: &SlideInfo,
    go_on: &(dyn Fn(f32) -> bool + Sync),
) -> Result<Vec<String>, AnnotationError> {
    let watch = Watch::new(go_on);
    let io = |source| match watch.has_stopped() {
        true => AnnotationError::Stopped { path: path.to_owned() },
        false => AnnotationError::Io { path: path.to_owned(), source },
    };
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
        let size_px = (f64::from(info.width()), f64::from(info.height()));
        let table = counts_table(&count_detections(set, size_px, info.mpp));
        let table = table.map_err(|error| io(io::Error::other(error)))?;
        durable::write(path, table.as_bytes()).map_err(io)?;
        return Ok(vec!["The file holds their numbers by class and annotation.".to_owned()]);
    }
    match Format::of_name(path)? {
        Format::GeoJson => {
            let origin = bounds_origin(info);
            let note = origin.map(|origin| {
                format!(
                    "Coordinates start at {}, {} px, the corner of the scanned area, as in QuPath.",
                    origin.x, origin.y
                )
            });
            let written = durable::write_with(path, |file| match is_packed(path) {
                true => {
                    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
                    write_exchange(set, origin, &watch, &mut packed)?;
                    packed.finish().map(drop)
                }
                false => write_exchange(set, origin, &watch, file),
            });
            written.map_err(io)?;
            Ok(note.into_iter().collect())
        }
        Format::Asap | Format::ImageScope => {
            let (text, notes) = write_asap(set);
            durable::write(path, text.as_bytes()).map_err(io)?;
            Ok(notes)
        }
    }
}

/// Returns whether a position is plausible. Slides have less than a million pixels along a side; far beyond,
/// drawings and measurements have no meaning, and numeric precision is lost.
pub(super) fn is_believable(point: Level0Point) -> bool {
    const FARTHEST: f64 = 1e9;
    point.x.abs() <= FARTHEST && point.y.abs() <= FARTHEST
}

/// Derives an ID from a text (RFC 9562, version 8: SHA-256).
pub(super) fn id_from_text(text: &str) -> Uuid {
    let hash = Sha256::digest(text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
