//! Files of annotations, whatever their format and packing.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::json::RawJson;
use super::{AnnotationSet, asap, geojson};
use crate::geometry::Level0Point;
use crate::slide::SlideInfo;
use crate::{durable, intake};

/// The most that a file may hold, in bytes.
pub(super) const MOST_BYTES: u64 = 2 << 30;

/// Member of a GeoJSON collection that tells where its coordinates count from, in level-0 pixels.
const ORIGIN_MEMBER: &str = "coordinateOrigin";

/// A format that other programs read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// QuPath's GeoJSON.
    GeoJson,
    /// The XML of ASAP, in which the Camelyon challenges' annotations are.
    Asap,
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
        }
    }
}

/// What a file held.
#[derive(Debug, Clone, PartialEq)]
pub struct AnnotationFile {
    pub format: Format,
    /// In level-0 pixels, as far as the file tells; see [`AnnotationFile::place_on`].
    pub set: AnnotationSet,
    /// What the reader of the file should know, as sentences.
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
            Format::Asap => None,
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

/// Read a file of annotations: GeoJSON (a collection, an array, a feature or a geometry) or ASAP XML, plain
/// or packed (`.gz`, `.zip`). The content decides, not the name.
///
/// # Errors
/// [`AnnotationError::Io`], or [`AnnotationError::Malformed`] with line and reason; never half a file.
pub fn read_file(path: &Path) -> Result<AnnotationFile, AnnotationError> {
    let bytes = intake::read(path, MOST_BYTES)
        .map_err(|source| AnnotationError::Io { path: path.to_owned(), source })?;
    read_bytes(&bytes, path)
}

/// Like [`read_file`], from memory. `path` is for messages.
pub fn read_bytes(bytes: &[u8], path: &Path) -> Result<AnnotationFile, AnnotationError> {
    read_packed(bytes).map_err(|FormatError { line, reason }| AnnotationError::Malformed {
        path: path.to_owned(),
        line,
        reason,
    })
}

fn read_packed(bytes: &[u8]) -> Result<AnnotationFile, FormatError> {
    let mut left = intake::most_unpacked(bytes.len() as u64);
    match bytes {
        [0x1f, 0x8b, ..] => read_text(&unpacked(flate2::read::MultiGzDecoder::new(bytes), &mut left)?),
        [b'P', b'K', 3, 4, ..] => read_zip(bytes, &mut left),
        _ => read_text(bytes),
    }
}

fn unpacked(packed: impl Read, left: &mut u64) -> Result<Vec<u8>, FormatError> {
    intake::unpack(packed, left)
        .map_err(|error| FormatError::nowhere(format!("it cannot be unpacked ({error})")))
}

fn read_zip(bytes: &[u8], left: &mut u64) -> Result<AnnotationFile, FormatError> {
    let damaged =
        |error: zip::result::ZipError| FormatError::nowhere(format!("it cannot be unpacked ({error})"));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let mut whole: Option<AnnotationFile> = None;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(damaged)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let ending = Path::new(&name).extension().map(|ending| ending.to_string_lossy().to_lowercase());
        if !entry.is_file() || !matches!(ending.as_deref(), Some("json" | "geojson" | "xml")) {
            continue;
        }
        let part =
            unpacked(entry, left).and_then(|bytes| read_text(&bytes)).map_err(|error| error.within(&name))?;
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => whole.append(part),
        }
    }
    whole.ok_or_else(|| FormatError::nowhere("it holds no .geojson, .json or .xml file"))
}

impl AnnotationFile {
    fn append(&mut self, other: Self) {
        other.set.iter().for_each(|annotation| self.set.push(annotation.as_ref().clone()));
        self.set.declare_groups(other.set.groups);
        self.notes.extend(other.notes);
    }
}

fn read_text(bytes: &[u8]) -> Result<AnnotationFile, FormatError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        FormatError::at_offset(&before, before.len(), "it is no text in UTF-8")
    })?;
    match text.trim_start().chars().next() {
        Some('{' | '[') => {
            let mut set = geojson::read(text)?;
            let origin = take_origin(&mut set);
            Ok(AnnotationFile { format: Format::GeoJson, set, notes: Vec::new(), origin })
        }
        Some('<') => {
            let (set, notes) = asap::read(text)?;
            Ok(AnnotationFile { format: Format::Asap, set, notes, origin: None })
        }
        Some(_) => Err(FormatError::at(1, "it is neither GeoJSON nor XML")),
        None => Err(FormatError::at(1, "it is empty")),
    }
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
    let Some(origin) = origin else { return geojson::write(set) };
    let mut moved = set.clone();
    moved.translate(-origin.x, -origin.y);
    if let Ok(stated) = serde_json::value::to_raw_value(&(origin.x, origin.y)) {
        moved.members.push((ORIGIN_MEMBER.to_owned(), RawJson::from(stated.as_ref())));
    }
    geojson::write(&moved)
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
        Format::Asap => write_asap(set),
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
