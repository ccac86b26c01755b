//! Letters of other fonts as outlines in a PDF.
//!
//! They are written as Type 3 fonts (PDF 1.7, 9.6.5), whose glyphs are paths. That takes a few hundred bytes a letter, where a
//! font of Chinese has 20 MiB, and works for every kind of font. A map of characters lets readers search and copy the text.

use std::collections::BTreeMap;

use pdf_writer::types::UnicodeCmap;
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

use super::system::SystemFonts;
use super::{IDENTITY, packed};

/// Number of letters of one Type 3 font.
const MOST_EACH: usize = 256;

/// Units of the outlines to the size of the text.
const UNITS: f32 = 1000.0;

/// Letters of other fonts, as far as they were asked for.
pub struct Outlines {
    fonts: Option<SystemFonts>,
    /// Number of each letter in `glyphs`; `None` if no font has it.
    numbers: BTreeMap<char, Option<usize>>,
    glyphs: Vec<Glyph>,
}

/// A letter as a path.
struct Glyph {
    letter: char,
    /// Advance width in thousandths of the size.
    advance: f32,
    /// Operators that draw it.
    path: Vec<u8>,
}

/// A letter of a Type 3 font.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlined {
    /// Number of the font.
    pub font: usize,
    /// Code of the letter in the font.
    pub code: u8,
    /// Advance width in thousandths of the size.
    pub advance: f32,
}

impl Outlines {
    /// `fonts` are searched; those of the system if it is `None`.
    pub fn new(fonts: Option<SystemFonts>) -> Self {
        Self { fonts, numbers: BTreeMap::new(), glyphs: Vec::new() }
    }

    /// Returns a letter of the first font that has it.
    pub fn of(&mut self, letter: char) -> Option<Outlined> {
        let number = match self.numbers.get(&letter) {
            Some(known) => (*known)?,
            None => {
                let fonts = self.fonts.get_or_insert_with(SystemFonts::new);
                let glyph = fonts.with(letter, |face, glyph| Glyph::of(letter, face, glyph));
                let number = glyph.map(|glyph| {
                    self.glyphs.push(glyph);
                    self.glyphs.len() - 1
                });
                self.numbers.insert(letter, number);
                number?
            }
        };
        let code = (number % MOST_EACH) as u8;
        Some(Outlined { font: number / MOST_EACH, code, advance: self.glyphs[number].advance })
    }

    /// Number of fonts.
    pub fn fonts(&self) -> usize {
        self.glyphs.len().div_ceil(MOST_EACH)
    }

    /// Writes the fonts as `ids`; `next` returns free references.
    pub fn write(&self, pdf: &mut Pdf, ids: &[Ref], next: &mut dyn FnMut() -> Ref) {
        for (glyphs, id) in self.glyphs.chunks(MOST_EACH).zip(ids) {
            let cmap = next();
            let names: Vec<String> = (0..glyphs.len()).map(|code| format!("g{code}")).collect();
            let procedures: Vec<Ref> = glyphs.iter().map(|_| next()).collect();
            let last = (glyphs.len() - 1) as u8;
            let mut font = pdf.type3_font(*id);
            // A box without an extent lets readers find that of each letter.
            font.bbox(Rect::new(0.0, 0.0, 0.0, 0.0));
            font.matrix([1.0 / UNITS, 0.0, 0.0, 1.0 / UNITS, 0.0, 0.0]);
            let mut listed = font.char_procs();
            for (name, procedure) in names.iter().zip(&procedures) {
                listed.pair(Name(name.as_bytes()), *procedure);
            }
            listed.finish();
            let mut encoding = font.encoding_custom();
            encoding.differences().consecutive(0, names.iter().map(|name| Name(name.as_bytes())));
            encoding.finish();
            font.first_char(0).last_char(last).widths(glyphs.iter().map(|glyph| glyph.advance));
            font.resources();
            font.to_unicode(cmap);
            font.finish();
            for (glyph, procedure) in glyphs.iter().zip(&procedures) {
                pdf.stream(*procedure, &packed(&glyph.path)).filter(Filter::FlateDecode);
            }
            let mut meanings: UnicodeCmap<u8> = UnicodeCmap::new(Name(b"Meanings"), IDENTITY);
            for (code, glyph) in (0..=u8::MAX).zip(glyphs) {
                meanings.pair(code, glyph.letter);
            }
            pdf.stream(cmap, meanings.finish().as_slice());
        }
    }
}

impl Glyph {
    /// `None` if the glyph has no outline, as in fonts of coloured pictures.
    fn of(letter: char, face: &Face<'_>, glyph: GlyphId) -> Option<Self> {
        let scale = UNITS / f32::from(face.units_per_em());
        let mut outline = Outline { content: Content::new(), scale, at: [0.0; 2] };
        let advance = f32::from(face.glyph_hor_advance(glyph)?) * scale;
        let bounds = face.glyph_bounding_box(glyph)?;
        let at = |units: i16| f32::from(units) * scale;
        outline.content.start_shape_glyph(
            advance,
            at(bounds.x_min),
            at(bounds.y_min),
            at(bounds.x_max),
            at(bounds.y_max),
        );
        face.outline_glyph(glyph, &mut outline)?;
        outline.content.fill_nonzero();
        Some(Self { letter, advance, path: outline.content.finish().to_vec() })
    }
}

/// Writes an outline as operators of a PDF.
struct Outline {
    content: Content,
    scale: f32,
    /// The last point, in the units of the result.
    at: [f32; 2],
}

impl Outline {
    fn scaled(&self, x: f32, y: f32) -> [f32; 2] {
        [x * self.scale, y * self.scale]
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.at = self.scaled(x, y);
        self.content.move_to(self.at[0], self.at[1]);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.at = self.scaled(x, y);
        self.content.line_to(self.at[0], self.at[1]);
    }

    /// PDF has cubic curves only; this one equals the quadratic one.
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (from, control, to) = (self.at, self.scaled(x1, y1), self.scaled(x, y));
        let toward = |end: [f32; 2]| [0, 1].map(|axis| end[axis] + 2.0 / 3.0 * (control[axis] - end[axis]));
        let ([ax, ay], [bx, by]) = (toward(from), toward(to));
        self.content.cubic_to(ax, ay, bx, by, to[0], to[1]);
        self.at = to;
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ([ax, ay], [bx, by]) = (self.scaled(x1, y1), self.scaled(x2, y2));
        self.at = self.scaled(x, y);
        self.content.cubic_to(ax, ay, bx, by, self.at[0], self.at[1]);
    }

    fn close(&mut self) {
        self.content.close_path();
    }
}
