//! Files of annotations, whatever their format and packing.

use std::collections::HashMap;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::geojson::Purpose;
use super::json::RawJson;
use super::{AnnotationSet, Edit, Omissions, asap, geojson, identity, text, xml};
use crate::geometry::Level0Point;
use crate::slide::SlideInfo;
use crate::{durable, untrusted};

/// The most that a file may hold, in bytes.
pub(super) const MOST_BYTES: u64 = 2 << 30;

/// What can be read, for messages that refuse something else.
pub(super) const READ_KINDS: &str =
    "read are GeoJSON as QuPath writes it, the XML of ASAP and Camelyon, and that of Aperio ImageScope";

/// Member of a GeoJSON collection that tells where its coordinates count from, in level-0 pixels.
const ORIGIN_MEMBER: &str = "coordinateOrigin";

/// A format that other programs read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// QuPath's GeoJSON.
    GeoJson,
    /// The XML of ASAP, in which the Camelyon challenges' annotations are.
    Asap,
    /// The XML of Aperio ImageScope; it is read, and never written.
    ImageScope,
}

impl Format {
    /// The format that a file of this name is written in.
    ///
    /// # Errors
    /// When its ending is neither `.geojson`, `.json` nor `.xml`.
    pub fn of_name(path: &Path) -> Result<Self, AnnotationError> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("geojson" | "json") => Ok(Self::GeoJson),
            Some("xml") => Ok(Self::Asap),
            _ => Err(AnnotationError::Ending { path: path.to_owned() }),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::GeoJson => "QuPath GeoJSON",
            Self::Asap => "ASAP XML",
            Self::ImageScope => "Aperio ImageScope XML",
        }
    }
}

/// What a file held.
#[derive(Debug, Clone, PartialEq)]
pub struct AnnotationFile {
    pub format: Format,
    /// In level-0 pixels, as far as the file tells; see [`AnnotationFile::place_on`].
    pub set: AnnotationSet,
    /// Objects of the file that could not be understood; all others are in the set.
    pub left_out: Omissions,
    /// Parts of objects that could not be understood; the rest of these objects is in the set.
    pub parts_left_out: Omissions,
    /// What the reader of the file should know, as sentences; what was left out is among it.
    pub notes: Vec<String>,
    /// Where the file says that its coordinates count from.
    origin: Option<Level0Point>,
}

impl AnnotationFile {
    /// Move the annotations to where they belong on a slide. QuPath counts from the corner of the scanned
    /// part ([`bounds_origin`]), ASAP from that of level 0; `origin` says where else the file counts from.
    pub fn place_on(&mut self, info: &SlideInfo, origin: Option<Level0Point>) {
        let usual = match self.format {
            Format::GeoJson => bounds_origin(info),
            Format::Asap | Format::ImageScope => None,
        };
        let Some(origin) = origin.or(self.origin).or(usual) else { return };
        self.set.translate(origin.x, origin.y);
        if origin != Level0Point::default() {
            self.notes.push(format!(
                "Moved by {}, {} px: QuPath counts from the corner of the scanned part.",
                origin.x, origin.y
            ));
        }
    }

    /// The edit that brings its annotations into a set. Annotations that are there already, by their UUID, their
    /// file's id or their text, are replaced; see the rule for ids that are no UUIDs in `docs/annotations.md`.
    pub fn edit_for(&mut self, set: &AnnotationSet) -> Edit {
        let others = self.set.recognise(set);
        if others > 0 {
            self.notes.push(format!(
                "{others} of its ids are in use for other annotations, which came from a file of another name; both \
                 are kept."
            ));
        }
        Edit::Add(self.set.iter().map(|one| one.as_ref().clone()).collect())
    }

    /// Of annotations drawn by Camelyon16's rule, those of group `_2` are cut out of the tumours in which
    /// they lie. Files that have no such group stay as they are.
    pub fn cut_camelyon16_holes(&mut self) {
        let cut = asap::cut_camelyon16_holes(&mut self.set);
        if cut > 0 {
            self.notes.push(format!("{cut} areas of group _2 were cut out of tumours (Camelyon16)."));
        }
    }
}

/// The level-0 position from which QuPath counts coordinates on a slide: the corner of its scanned part,
/// where that is not the corner of level 0 (`openslide.bounds-x`, `openslide.bounds-y`).
pub fn bounds_origin(info: &SlideInfo) -> Option<Level0Point> {
    let number = |axis: &str| info.properties.get(&format!("openslide.bounds-{axis}"))?.trim().parse().ok();
    let origin = Level0Point::new(number("x")?, number("y")?);
    (origin != Level0Point::default()).then_some(origin)
}

/// What can go wrong with a file of annotations. Every message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AnnotationError {
    #[error("{}: {source}{}", path.display(), durable::hint(source))]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: cannot be read as annotations{}: {reason}", path.display(), at_line(*line))]
    Malformed { path: PathBuf, line: Option<usize>, reason: String },
    #[error("{}: name a .geojson file (for QuPath) or an .xml file (for ASAP)", path.display())]
    Ending { path: PathBuf },
}

fn at_line(line: Option<usize>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}

/// Why a text is no annotations.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FormatError {
    /// Counted from 1.
    pub line: Option<usize>,
    pub reason: String,
}

impl FormatError {
    pub fn at(line: usize, reason: impl Into<String>) -> Self {
        Self { line: Some(line), reason: reason.into() }
    }

    /// At a byte of the text.
    pub fn at_offset(text: &str, offset: usize, reason: impl Into<String>) -> Self {
        let before = &text.as_bytes()[..offset.min(text.len())];
        Self::at(1 + before.iter().filter(|byte| **byte == b'\n').count(), reason)
    }

    fn nowhere(reason: impl Into<String>) -> Self {
        Self { line: None, reason: reason.into() }
    }

    /// Tell the part in which it happened.
    pub fn within(self, part: impl AsRef<str>) -> Self {
        Self { reason: format!("{}: {}", part.as_ref(), self.reason), ..self }
    }
}

/// What a document held.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub set: AnnotationSet,
    /// Objects that were not read.
    pub left_out: Omissions,
    /// Parts that objects were read without.
    pub parts: Omissions,
    pub notes: Vec<String>,
}

/// Read a file of annotations: GeoJSON (collections, arrays, features, one a line as well, or a geometry), the
/// XML of ASAP or that of Aperio ImageScope, plain or packed (`.gz`, `.zip`). The content decides, not the name.
/// Objects that cannot be understood are left out and counted.
///
/// # Errors
/// [`AnnotationError::Io`], or [`AnnotationError::Malformed`] with line and reason when it is of another kind or
/// damaged, or when nothing in it can be understood.
pub fn read_file(path: &Path) -> Result<AnnotationFile, AnnotationError> {
    let bytes = untrusted::read(path, MOST_BYTES)
        .map_err(|source| AnnotationError::Io { path: path.to_owned(), source })?;
    read_bytes(&bytes, path)
}

/// Like [`read_file`], from memory. `path` is for messages, and its name for ids that are unique within a file.
pub fn read_bytes(bytes: &[u8], path: &Path) -> Result<AnnotationFile, AnnotationError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    read_packed(bytes, &name).map_err(|FormatError { line, reason }| AnnotationError::Malformed {
        path: path.to_owned(),
        line,
        reason,
    })
}

fn read_packed(bytes: &[u8], name: &str) -> Result<AnnotationFile, FormatError> {
    let mut left = untrusted::most_unpacked(bytes.len() as u64);
    match bytes {
        [0x1f, 0x8b, ..] => {
            let name = name.strip_suffix(".gz").unwrap_or(name);
            read_text(&unpacked(flate2::read::MultiGzDecoder::new(bytes), &mut left)?, name)
        }
        [b'P', b'K', 3, 4, ..] => read_zip(bytes, &mut left),
        _ => read_text(bytes, name),
    }
}

fn unpacked(packed: impl io::Read, left: &mut u64) -> Result<Vec<u8>, FormatError> {
    untrusted::unpack(packed, left)
        .map_err(|error| FormatError::nowhere(format!("it cannot be unpacked ({error})")))
}

fn read_zip(bytes: &[u8], left: &mut u64) -> Result<AnnotationFile, FormatError> {
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
        // macOS packs what it knows of files beside them.
        let is_shadow = file.starts_with("._");
        if !entry.is_file() || is_shadow || !matches!(ending.as_deref(), Some("json" | "geojson" | "xml")) {
            continue;
        }
        let bytes = unpacked(entry, left).map_err(|error| error.within(&name))?;
        match (read_text(&bytes, &file).map_err(|error| error.within(&name)), &mut whole) {
            (Ok(part), None) => whole = Some(part),
            (Ok(part), Some(whole)) => whole.append(part, &file),
            (Err(error), _) => {
                let at = at_line(error.line);
                notes.push(format!("A file in it was left out{at}: {}.", error.reason));
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
        let places: HashMap<Uuid, usize> = other.set.iter().map(|one| one.id).zip(0..).collect();
        let annotations = other.set.iter().map(|one| {
            let parent = one.parent.and_then(|parent| places.get(&parent).copied());
            (one.as_ref().clone(), parent)
        });
        identity::settle(annotations.collect(), source, &mut self.set);
        self.set.take_over(&other.set);
        self.left_out.append(other.left_out);
        self.parts_left_out.append(other.parts_left_out);
        self.notes.extend(other.notes);
    }
}

fn read_text(bytes: &[u8], name: &str) -> Result<AnnotationFile, FormatError> {
    let (text, note) = text::decode(bytes)?;
    let mut origin = None;
    let (format, read) = match text.trim_start().chars().next() {
        // A record separator (RFC 8142) may stand before each feature.
        Some('{' | '[' | '\u{1e}') => {
            let mut read = geojson::read(&text, name)?;
            origin = take_origin(&mut read.set);
            (Format::GeoJson, read)
        }
        Some('<') => xml::read(&text, name)?,
        Some(_) => return Err(FormatError::at(1, format!("it is neither GeoJSON nor XML; {READ_KINDS}"))),
        None => return Err(FormatError::at(1, "it is empty")),
    };
    let Read { set, left_out, parts, mut notes } = read;
    notes.extend(note);
    notes.extend(left_out.sentence("object was left out", "objects were left out"));
    notes.extend(parts.sentence("part of an object was left out", "parts of objects were left out"));
    Ok(AnnotationFile { format, set, left_out, parts_left_out: parts, notes, origin })
}

fn take_origin(set: &mut AnnotationSet) -> Option<Level0Point> {
    let place = set.members.iter().position(|(key, _)| key == ORIGIN_MEMBER)?;
    let (_, origin) = set.members.remove(place);
    let (x, y) = serde_json::from_str(origin.get()).ok()?;
    Some(Level0Point::new(x, y))
}

/// The set as GeoJSON that QuPath opens. `origin` is the level-0 position from which coordinates are to
/// count: [`bounds_origin`] for QuPath, none for everybody else.
pub fn write_geojson(set: &AnnotationSet, origin: Option<Level0Point>) -> String {
    let Some(origin) = origin else { return geojson::write(set, Purpose::Exchange) };
    let mut moved = set.clone();
    moved.translate(-origin.x, -origin.y);
    if let Ok(stated) = serde_json::value::to_raw_value(&(origin.x, origin.y)) {
        moved.members.push((ORIGIN_MEMBER.to_owned(), RawJson::from(stated.as_ref())));
    }
    geojson::write(&moved, Purpose::Exchange)
}

/// The set as the project keeps it: GeoJSON in level-0 pixels in which every annotation has its own identity.
pub(super) fn write_for_store(set: &AnnotationSet) -> String {
    geojson::write(set, Purpose::Store)
}

/// The set as XML that ASAP opens, and sentences on what this format cannot hold.
pub fn write_asap(set: &AnnotationSet) -> (String, Vec<String>) {
    asap::write(set)
}

/// Write annotations of a slide in the format that the name of the file tells, durably. Sentences on what
/// was left out or moved come back.
///
/// # Errors
/// [`AnnotationError::Ending`] for other names, [`AnnotationError::Io`] when it cannot be written.
pub fn write_file(
    path: &Path,
    set: &AnnotationSet,
    info: &SlideInfo,
) -> Result<Vec<String>, AnnotationError> {
    let (text, notes) = match Format::of_name(path)? {
        Format::GeoJson => {
            let origin = bounds_origin(info);
            let note = origin.map(|origin| {
                format!(
                    "Coordinates count from {}, {} px, the corner of the scanned part, as QuPath's do.",
                    origin.x, origin.y
                )
            });
            (write_geojson(set, origin), note.into_iter().collect())
        }
        Format::Asap | Format::ImageScope => write_asap(set),
    };
    let io = |source| AnnotationError::Io { path: path.to_owned(), source };
    durable::write(path, text.as_bytes()).map_err(io)?;
    Ok(notes)
}

/// Whether an annotation may lie here. Slides have less than a million pixels along a side; far beyond, what is
/// drawn and measured loses its meaning, and then its numbers.
pub(super) fn is_believable(point: Level0Point) -> bool {
    const FARTHEST: f64 = 1e9;
    point.x.abs() <= FARTHEST && point.y.abs() <= FARTHEST
}

/// An id that is the same for the same text (RFC 9562, version 8: SHA-256).
pub(super) fn id_from_text(text: &str) -> Uuid {
    let hash = Sha256::digest(text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
