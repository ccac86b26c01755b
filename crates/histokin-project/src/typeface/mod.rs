//! The program's typeface as embedded in a PDF: its regular weight, without the tables of the variable font. Letters that it
//! lacks, such as Chinese ones in names of slides, are drawn with the fonts of the system.

mod outlines;
mod system;

use std::cell::RefCell;
use std::collections::BTreeMap;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap};
use pdf_writer::{Filter, Name, Pdf, Rect, Ref, Str};
use ttf_parser::{Face, GlyphId};

const FONT: &[u8] = include_bytes!("../../../../assets/fonts/IBMPlexSans.ttf");
const NAME: Name<'static> = Name(b"IBMPlexSans");

/// The tables required to draw glyphs (OpenType 1.9, "Required tables"; PDF 1.7, 9.9).
const DRAWING_TABLES: [&[u8; 4]; 9] =
    [b"cvt ", b"fpgm", b"glyf", b"head", b"hhea", b"hmtx", b"loca", b"maxp", b"prep"];

/// Character collection of the encoding Identity-H: two bytes per glyph.
const IDENTITY: SystemInfo<'static> =
    SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };

use outlines::Outlines;

/// The program's typeface.
pub struct Typeface {
    face: Face<'static>,
    /// The letters of other fonts that were asked for.
    others: RefCell<Outlines>,
}

/// A part of a line in one font.
#[derive(Debug, PartialEq)]
pub struct Run {
    /// Number of the font: 0 for the typeface itself, then those for letters that it lacks.
    pub font: usize,
    /// The codes of its letters.
    pub codes: Vec<u8>,
}

/// Returns the name of a font in the resources of a page, by its number.
pub fn resource_name(font: usize) -> String {
    format!("F{font}")
}

impl Typeface {
    /// Parses the program's font.
    ///
    /// # Errors
    /// When the font is damaged.
    pub fn new() -> Result<Self, String> {
        let face = Face::parse(FONT, 0).map_err(|error| error.to_string())?;
        Ok(Self { face, others: RefCell::new(Outlines::new(None)) })
    }

    /// Returns the glyph of a letter that the typeface has.
    fn own_glyph(&self, c: char) -> Option<GlyphId> {
        // Lines have no breaks, and most fonts no glyphs for what is not to be seen.
        let c = if c.is_control() { ' ' } else { c };
        self.face.glyph_index(c).filter(|glyph| glyph.0 > 0)
    }

    /// Returns the glyph of a letter, which is a box if the typeface lacks it.
    fn glyph(&self, c: char) -> GlyphId {
        self.own_glyph(c).unwrap_or_default()
    }

    /// Returns the width of a letter in thousandths of the size.
    fn width(&self, c: char) -> f32 {
        match self.own_glyph(c) {
            Some(glyph) => self.advance(glyph),
            None => {
                self.others.borrow_mut().of(c).map_or_else(|| self.advance(GlyphId(0)), |other| other.advance)
            }
        }
    }

    /// Returns the advance width of a glyph in thousandths of the size.
    fn advance(&self, glyph: GlyphId) -> f32 {
        self.scaled(f32::from(self.face.glyph_hor_advance(glyph).unwrap_or(0)))
    }

    /// Converts font units to thousandths of the size.
    fn scaled(&self, units: f32) -> f32 {
        units * 1000.0 / f32::from(self.face.units_per_em())
    }

    /// Returns the width of a text in points.
    pub fn width_of(&self, text: &str, size: f32) -> f32 {
        text.chars().map(|c| self.width(c)).sum::<f32>() * size / 1000.0
    }

    /// Truncates a text to `width` points, with an ellipsis if anything is cut off.
    pub fn cut(&self, text: &str, size: f32, width: f32) -> String {
        if self.width_of(text, size) <= width {
            return text.to_owned();
        }
        let mut kept = text.to_owned();
        while kept.pop().is_some() && self.width_of(&format!("{kept}…"), size) > width {}
        kept + "…"
    }

    /// Returns the codes of a text's letters, in the fonts that have them.
    pub fn runs(&self, text: &str) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for c in text.chars() {
            let other = match self.own_glyph(c) {
                Some(_) => None,
                None => self.others.borrow_mut().of(c),
            };
            let (font, codes) = match other {
                Some(other) => (other.font + 1, vec![other.code]),
                None => (0, self.glyph(c).0.to_be_bytes().to_vec()),
            };
            match runs.last_mut() {
                Some(run) if run.font == font => run.codes.extend(codes),
                _ => runs.push(Run { font, codes }),
            }
        }
        runs
    }

    /// Number of fonts that the texts so far need.
    pub fn fonts(&self) -> usize {
        1 + self.others.borrow().fonts()
    }

    /// Writes the fonts as `ids`, of which there are as many as [`Self::fonts`], with character maps so that text can be searched
    /// and copied. `used` are the characters of the document; `next` returns free references.
    pub fn write(
        &self,
        pdf: &mut Pdf,
        ids: &[Ref],
        used: impl Iterator<Item = char>,
        next: &mut dyn FnMut() -> Ref,
    ) {
        let Some((id, others)) = ids.split_first() else { return };
        self.others.borrow().write(pdf, others, next);
        let (cid, descriptor, file, cmap) = (next(), next(), next(), next());
        // A letter that no font has is a box.
        let mut glyphs = BTreeMap::from([(0, char::REPLACEMENT_CHARACTER)]);
        let own = used.filter(|c| !c.is_control()).filter_map(|c| Some((self.own_glyph(c)?.0, c)));
        glyphs.extend(own);
        pdf.type0_font(*id)
            .base_font(NAME)
            .encoding_predefined(Name(b"Identity-H"))
            .descendant_font(cid)
            .to_unicode(cmap);
        let mut font = pdf.cid_font(cid);
        font.subtype(CidFontType::Type2).base_font(NAME).system_info(IDENTITY).font_descriptor(descriptor);
        font.cid_to_gid_map_predefined(Name(b"Identity"));
        let mut widths = font.widths();
        for glyph in glyphs.keys() {
            widths.consecutive(*glyph, [self.advance(GlyphId(*glyph))]);
        }
        drop(widths);
        drop(font);
        let bounds = self.face.global_bounding_box();
        let at = |units: i16| self.scaled(units.into());
        pdf.font_descriptor(descriptor)
            .name(NAME)
            .flags(FontFlags::NON_SYMBOLIC)
            .bbox(Rect::new(at(bounds.x_min), at(bounds.y_min), at(bounds.x_max), at(bounds.y_max)))
            .italic_angle(0.0)
            .ascent(at(self.face.ascender()))
            .descent(at(self.face.descender()))
            .cap_height(at(self.face.capital_height().unwrap_or(0)))
            .stem_v(90.0)
            .font_file2(file);
        let bytes = without_other_tables(FONT).unwrap_or_else(|| FONT.to_vec());
        let packed = packed(&bytes);
        pdf.stream(file, &packed).filter(Filter::FlateDecode).pair(Name(b"Length1"), bytes.len() as i32);
        let mut meanings = UnicodeCmap::new(Name(b"Meanings"), IDENTITY);
        glyphs.iter().for_each(|(glyph, c)| meanings.pair(*glyph, *c));
        pdf.stream(cmap, meanings.finish().as_slice());
    }
}

/// Compresses the bytes of a stream for [`Filter::FlateDecode`].
pub fn packed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing into memory cannot fail.
    _ = packed.write_all(bytes);
    packed.finish().unwrap_or_default()
}

/// Returns a TrueType file reduced to its [`DRAWING_TABLES`]; `None` if it is malformed.
fn without_other_tables(font: &[u8]) -> Option<Vec<u8>> {
    let number = |at: usize| Some(u32::from_be_bytes(font.get(at..at + 4)?.try_into().ok()?) as usize);
    let count = u16::from_be_bytes(font.get(4..6)?.try_into().ok()?);
    let mut kept = Vec::new();
    for entry in (0..usize::from(count)).map(|index| 12 + 16 * index) {
        let tag: [u8; 4] = font.get(entry..entry + 4)?.try_into().ok()?;
        if DRAWING_TABLES.contains(&&tag) {
            let (checksum, start, length) = (number(entry + 4)?, number(entry + 8)?, number(entry + 12)?);
            kept.push((tag, checksum as u32, font.get(start..start + length)?));
        }
    }
    let tables = kept.len() as u16;
    let log = tables.checked_ilog2()? as u16;
    let mut file = font.get(..4)?.to_vec();
    for value in [tables, 16 << log, log, 16 * tables - (16 << log)] {
        file.extend(value.to_be_bytes());
    }
    let mut start = 12 + 16 * kept.len();
    for (tag, checksum, table) in &kept {
        file.extend(tag);
        [*checksum, start as u32, table.len() as u32]
            .iter()
            .for_each(|value| file.extend(value.to_be_bytes()));
        start += table.len().next_multiple_of(4);
    }
    for (_, _, table) in &kept {
        file.extend_from_slice(table);
        file.resize(file.len().next_multiple_of(4), 0);
    }
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::system::SystemFonts;
    use super::*;
    use histokin_core::number_format::NumberStyle;

    #[test]
    fn the_font_in_a_pdf_draws_the_same_glyphs_and_is_smaller() {
        let file = without_other_tables(FONT).unwrap();
        assert!(file.len() < FONT.len() / 2);
        let raw = ttf_parser::RawFace::parse(&file, 0).unwrap();
        let glyf = |face: &ttf_parser::RawFace<'_>| {
            face.table(ttf_parser::Tag::from_bytes(b"glyf")).map(<[u8]>::to_vec)
        };
        assert_eq!(glyf(&raw), glyf(&ttf_parser::RawFace::parse(FONT, 0).unwrap()));
        assert!(raw.table(ttf_parser::Tag::from_bytes(b"gvar")).is_none());
    }

    #[test]
    fn wider_text_takes_more_room() {
        let typeface = Typeface::new().unwrap();
        assert!(typeface.width_of("WW", 9.0) > typeface.width_of("ii", 9.0));
        let cut = typeface.cut("a longer slide.tif", 9.0, 40.0);
        assert!(cut.ends_with('…') && typeface.width_of(&cut, 9.0) <= 40.0, "{cut}");
        assert_eq!(typeface.cut("a slide.tif", 9.0, 100.0), "a slide.tif");
        for style in NumberStyle::ALL {
            assert!(typeface.own_glyph(style.separator()).is_some(), "{style:?}");
        }
    }

    /// A folder with the program's own font reduced to its first letters, in which other letters have their glyphs: what is
    /// needed of a system's font.
    fn typeface_with(folder: &std::path::Path) -> Typeface {
        let fonts = SystemFonts::of(&[folder.to_owned()]);
        Typeface { others: RefCell::new(Outlines::new(Some(fonts))), ..Typeface::new().unwrap() }
    }

    /// The program's font, whose map of characters gives the glyph of `A` to `語` and to no other.
    fn font_of_one_letter() -> Vec<u8> {
        let mut file = without_other_tables(FONT).unwrap();
        let glyph = Face::parse(FONT, 0).unwrap().glyph_index('A').unwrap().0;
        // Format 12: one group from the letter to itself (OpenType 1.9, cmap).
        let mut cmap: Vec<u8> = [0_u16, 1, 3, 10].iter().flat_map(|number| number.to_be_bytes()).collect();
        cmap.extend(12_u32.to_be_bytes());
        cmap.extend([0, 12, 0, 0]);
        let letter = u32::from('語');
        for number in [28, 0, 1, letter, letter, u32::from(glyph)] {
            cmap.extend(number.to_be_bytes());
        }
        // One more entry in the directory, behind which everything moves by its length.
        let count = u16::from_be_bytes([file[4], file[5]]);
        let directory_end = 12 + 16 * usize::from(count);
        for entry in 0..usize::from(count) {
            let at = 12 + 16 * entry + 8;
            let offset = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) + 16;
            file[at..at + 4].copy_from_slice(&offset.to_be_bytes());
        }
        let start = (file.len() + 16) as u32;
        let entry =
            [&b"cmap"[..], &[0; 4], &start.to_be_bytes(), &(cmap.len() as u32).to_be_bytes()].concat();
        // `cmap` comes first in the order of tags.
        file.splice(12..12, entry);
        file[4..6].copy_from_slice(&(count + 1).to_be_bytes());
        assert_eq!(start as usize, file.len(), "{directory_end}");
        file.extend(cmap);
        file
    }

    #[test]
    fn letters_that_the_typeface_lacks_are_those_of_the_systems_fonts() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("truetype")).unwrap();
        std::fs::write(folder.path().join("truetype/a.ttf"), "no font").unwrap();
        std::fs::write(folder.path().join("truetype/cjk.ttf"), font_of_one_letter()).unwrap();
        let typeface = typeface_with(folder.path());
        let runs = typeface.runs("aЯΩ 語語あ");
        assert_eq!(runs.iter().map(|run| run.font).collect::<Vec<_>>(), [0, 1, 0]);
        assert_eq!(runs[1].codes, [0, 0]);
        assert!(!runs[0].codes.as_chunks::<2>().0.contains(&[0, 0]), "Cyrillic and Greek are its own");
        assert_eq!(runs[2].codes, [0, 0], "a box");
        assert_eq!(typeface.width_of("語", 10.0), typeface.width_of("A", 10.0));
        let mut pdf = Pdf::new();
        let mut last = 2;
        let mut next = || {
            last += 1;
            Ref::new(last)
        };
        typeface.write(&mut pdf, &[Ref::new(1), Ref::new(2)], "aЯΩ 語語あ".chars(), &mut next);
        let bytes = pdf.finish();
        let has = |part: &str| bytes.windows(part.len()).any(|window| window == part.as_bytes());
        assert!(has("/Subtype /Type3") && has("<00> <8A9E>"), "the letter can be copied");
    }
}
