//! The program's typeface as a PDF holds it: its usual weight, without the tables that say how to make others.

use std::collections::BTreeMap;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap};
use pdf_writer::{Filter, Name, Pdf, Rect, Ref, Str};
use ttf_parser::{Face, GlyphId};

const FONT: &[u8] = include_bytes!("../../../../../assets/fonts/IBMPlexSans.ttf");
const NAME: Name<'static> = Name(b"IBMPlexSans");

/// The tables that glyphs are drawn from (OpenType 1.9, "Required tables"; PDF 1.7, 9.9).
const DRAWING_TABLES: [&[u8; 4]; 9] =
    [b"cvt ", b"fpgm", b"glyf", b"head", b"hhea", b"hmtx", b"loca", b"maxp", b"prep"];

/// Identity-H: two bytes a glyph.
const IDENTITY: SystemInfo<'static> =
    SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };

/// The typeface.
pub struct Typeface {
    face: Face<'static>,
}

impl Typeface {
    /// # Errors
    /// When the font that comes with the program is damaged.
    pub fn new() -> Result<Self, String> {
        Face::parse(FONT, 0).map(|face| Self { face }).map_err(|error| error.to_string())
    }

    fn glyph(&self, c: char) -> GlyphId {
        self.face.glyph_index(c).unwrap_or_default()
    }

    fn advance(&self, glyph: GlyphId) -> f32 {
        self.scaled(f32::from(self.face.glyph_hor_advance(glyph).unwrap_or(0)))
    }

    /// The font's units in thousandths of the size.
    fn scaled(&self, units: f32) -> f32 {
        units * 1000.0 / f32::from(self.face.units_per_em())
    }

    /// Width of a text in points.
    pub fn width_of(&self, text: &str, size: f32) -> f32 {
        text.chars().map(|c| self.advance(self.glyph(c))).sum::<f32>() * size / 1000.0
    }

    /// The bytes that show a text.
    pub fn encoded(&self, text: &str) -> Vec<u8> {
        text.chars().flat_map(|c| self.glyph(c).0.to_be_bytes()).collect()
    }

    /// Write the font under `id`, with what each of its glyphs means, so that text can be found and copied. `used`
    /// are the characters of the document; `next` gives free references.
    pub fn write(
        &self,
        pdf: &mut Pdf,
        id: Ref,
        used: impl Iterator<Item = char>,
        next: &mut dyn FnMut() -> Ref,
    ) {
        let (cid, descriptor, file, cmap) = (next(), next(), next(), next());
        let glyphs: BTreeMap<u16, char> = used.map(|c| (self.glyph(c).0, c)).collect();
        pdf.type0_font(id)
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

/// A stream's bytes, packed for [`Filter::FlateDecode`].
pub fn packed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing into memory cannot fail.
    _ = packed.write_all(bytes);
    packed.finish().unwrap_or_default()
}

/// A TrueType file with its [`DRAWING_TABLES`] alone; none when it is no such file.
fn without_other_tables(font: &[u8]) -> Option<Vec<u8>> {
    let number = |at: usize| Some(u32::from_be_bytes(font.get(at..at + 4)?.try_into().ok()?) as usize);
    let count = u16::from_be_bytes(font.get(4..6)?.try_into().ok()?);
    let mut kept = Vec::new();
    for entry in (0..usize::from(count)).map(|place| 12 + 16 * place) {
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
    use super::*;

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
        assert_eq!(typeface.encoded("ab").len(), 4);
    }
}
