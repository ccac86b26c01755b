//! Fonts of the system, for letters that the program's typeface lacks.

use std::path::{Path, PathBuf};

use histokin_core::{platform, untrusted};
use ttf_parser::{Face, GlyphId};

/// Largest font file that is read, in bytes; those of Chinese, Japanese and Korean have 20 MiB.
const MOST_FONT_BYTES: u64 = 64 << 20;

/// Maximum number of bytes of all font files that are read to find letters.
const MOST_BYTES: u64 = 256 << 20;

/// Maximum number of entries of font folders that are visited.
const MOST_ENTRIES: usize = 20_000;

/// Maximum number of fonts of a collection.
const MOST_IN_COLLECTION: u32 = 64;

/// Parts of the names of files that have many letters, in lower case, the first to be read first.
const RICH: [&str; 16] = [
    "cjk",
    "droidsansfallback",
    "wqy",
    "msyh",
    "yugoth",
    "msgothic",
    "malgun",
    "pingfang",
    "hiragino",
    "applesdgothic",
    "arial unicode",
    "nirmala",
    "segoeui",
    "noto",
    "dejavusans",
    "unifont",
];

/// Parts of the names of files with other styles, which are read last.
const ODD: [&str; 9] = ["bold", "italic", "oblique", "mono", "serif", "light", "thin", "black", "condensed"];

/// The fonts that have been found, and the files that may hold others.
pub struct SystemFonts {
    waiting: std::vec::IntoIter<PathBuf>,
    bytes_left: u64,
    found: Vec<Font>,
}

/// A font in a file.
struct Font {
    bytes: Vec<u8>,
    /// Its place in a collection.
    index: u32,
}

impl Font {
    fn face(&self) -> Option<Face<'_>> {
        Face::parse(&self.bytes, self.index).ok()
    }
}

impl SystemFonts {
    /// The fonts in the folders of this system.
    pub fn new() -> Self {
        Self::of(&platform::font_folders())
    }

    /// The fonts in and below these folders.
    pub fn of(folders: &[PathBuf]) -> Self {
        let mut files = Vec::new();
        let mut left = MOST_ENTRIES;
        folders.iter().for_each(|folder| list(folder, 0, &mut left, &mut files));
        files.sort_by_cached_key(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            let rich = RICH.iter().position(|part| name.contains(part)).unwrap_or(RICH.len());
            (ODD.iter().any(|part| name.contains(part)), rich, file.clone())
        });
        Self { waiting: files.into_iter(), bytes_left: MOST_BYTES, found: Vec::new() }
    }

    /// Calls `take` with the first font that has a glyph with an outline for the letter; `None` if there is no such font.
    pub fn with<T>(&mut self, letter: char, take: impl Fn(&Face<'_>, GlyphId) -> Option<T>) -> Option<T> {
        let take = |font: &Font| {
            let face = font.face()?;
            take(&face, face.glyph_index(letter)?)
        };
        if let Some(taken) = self.found.iter().find_map(take) {
            return Some(taken);
        }
        while let Some(font) = self.next_with(letter) {
            let taken = take(&font);
            self.found.push(font);
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    /// Reads files up to one with a font that has the letter. Those before it are not looked at again: they lack it, and the
    /// letters of one name are mostly of one script.
    fn next_with(&mut self, letter: char) -> Option<Font> {
        for file in self.waiting.by_ref() {
            let size = std::fs::metadata(&file).map_or(u64::MAX, |metadata| metadata.len());
            if size > self.bytes_left {
                continue;
            }
            let Ok(bytes) = untrusted::read(&file, MOST_FONT_BYTES) else { continue };
            self.bytes_left -= size;
            let count = ttf_parser::fonts_in_collection(&bytes).unwrap_or(1).min(MOST_IN_COLLECTION);
            let has_letter = |index: &u32| {
                Face::parse(&bytes, *index).is_ok_and(|face| {
                    face.tables().os2.is_none_or(|os2| os2.is_outline_embedding_allowed())
                        && face.glyph_index(letter).is_some()
                })
            };
            if let Some(index) = (0..count).find(has_letter) {
                return Some(Font { bytes, index });
            }
        }
        None
    }
}

/// Lists the font files in and below a folder.
fn list(folder: &Path, depth: usize, left: &mut usize, files: &mut Vec<PathBuf>) {
    const DEEPEST: usize = 6;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Some(rest) = left.checked_sub(1) else { return };
        *left = rest;
        let path = entry.path();
        if path.is_dir() {
            if depth < DEEPEST {
                list(&path, depth + 1, left, files);
            }
            continue;
        }
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if ["ttf", "otf", "ttc", "otc"].contains(&ending.as_str()) {
            files.push(path);
        }
    }
}
