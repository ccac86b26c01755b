//! Marks on pages, and writing them to a PDF file (ISO 32000-1, "PDF 1.7"). Only this module uses
//! pdf-writer in this crate.

use pdf_writer::types::TextRenderingMode;
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

use histokin_project::typeface::{Typeface, packed, resource_name};

use super::QUIET;
use super::layout::PAGE;

/// An sRGB colour.
pub type Color = [u8; 3];

/// Weight of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The font's regular weight.
    Regular,
    /// The regular weight with an outline.
    Bold,
}

impl Weight {
    /// Returns the width of the outline that makes letters bold, as a fraction of the text size.
    pub fn outline(self) -> f32 {
        match self {
            Self::Regular => 0.0,
            Self::Bold => 0.035,
        }
    }
}

/// A mark on a page. Lengths are in points; positions are from the page's top-left corner.
#[derive(Debug, Clone)]
pub enum Ink {
    /// A line of text.
    Text {
        /// Left end of the baseline.
        at: [f32; 2],
        size: f32,
        weight: Weight,
        color: Color,
        /// Degrees by which it rises to the right.
        rise: f32,
        text: String,
    },
    /// A polyline.
    Line { points: Vec<[f32; 2]>, width: f32, color: Color, dashed: bool },
    /// A filled polygon.
    Area { points: Vec<[f32; 2]>, color: Color, opacity: f32 },
    /// A filled circle.
    Dot { center: [f32; 2], radius: f32, color: Color, opacity: f32 },
    /// An image.
    Picture {
        at: [f32; 2],
        size: [f32; 2],
        /// Width and height of the image in pixels.
        pixels: [u32; 2],
        jpeg: Vec<u8>,
    },
}

impl Ink {
    /// Returns the mark moved by a distance.
    pub fn moved(mut self, by: [f32; 2]) -> Self {
        let shift = |point: &mut [f32; 2]| {
            point[0] += by[0];
            point[1] += by[1];
        };
        match &mut self {
            Self::Text { at, .. } | Self::Picture { at, .. } => shift(at),
            Self::Line { points, .. } | Self::Area { points, .. } => points.iter_mut().for_each(shift),
            Self::Dot { center, .. } => shift(center),
        }
        self
    }
}

/// Number of steps to which opacities are rounded.
const OPACITIES: u16 = 20;

/// Writes pages as a PDF. The file contains no time and no computer name, so the same report gives the same
/// file.
pub fn write(pages: Vec<Vec<Ink>>, title: &str, typeface: &Typeface) -> Vec<u8> {
    let mut pdf = Pdf::new();
    let mut last = 0;
    let mut next = || {
        last += 1;
        Ref::new(last)
    };
    let (catalog, tree, info) = (next(), next(), next());
    let opacities: Vec<Ref> = (0..=OPACITIES).map(|_| next()).collect();
    for (step, id) in (0_u16..).zip(&opacities) {
        pdf.ext_graphics(*id).non_stroking_alpha(f32::from(step) / f32::from(OPACITIES));
    }
    let count = pages.len();
    // All texts are looked at first, so that the fonts are known that they need.
    for ink in pages.iter().flatten() {
        if let Ink::Text { text, .. } = ink {
            typeface.runs(text);
        }
    }
    let fonts: Vec<(String, Ref)> = (0..typeface.fonts()).map(|font| (resource_name(font), next())).collect();
    let mut text = String::new();
    let mut page_ids = Vec::new();
    for (number, mut inks) in (1..).zip(pages) {
        inks.push(foot(number, count));
        let (id, contents) = (next(), next());
        page_ids.push(id);
        let mut drawn = Drawn { content: Content::new(), pictures: Vec::new(), typeface };
        inks.into_iter().for_each(|ink| {
            if let Ink::Text { text: own, .. } = &ink {
                text += own;
            }
            drawn.draw(ink);
        });
        let pictures: Vec<(String, Ref)> =
            (0..drawn.pictures.len()).map(|index| (format!("P{index}"), next())).collect();
        let mut page = pdf.page(id);
        page.parent(tree).media_box(Rect::new(0.0, 0.0, PAGE[0], PAGE[1])).contents(contents);
        let mut resources = page.resources();
        resources.fonts().pairs(fonts.iter().map(|(name, font)| (Name(name.as_bytes()), *font)));
        let mut states = resources.ext_g_states();
        for (step, id) in opacities.iter().enumerate() {
            states.pair(Name(format!("A{step}").as_bytes()), *id);
        }
        states.finish();
        let mut objects = resources.x_objects();
        pictures.iter().for_each(|(name, id)| _ = objects.pair(Name(name.as_bytes()), *id));
        objects.finish();
        resources.finish();
        page.finish();
        pdf.stream(contents, &packed(drawn.content.finish().as_slice())).filter(Filter::FlateDecode);
        for ((_, id), ([width, height], jpeg)) in pictures.iter().zip(&drawn.pictures) {
            let mut picture = pdf.image_xobject(*id, jpeg);
            picture.width(*width as i32).height(*height as i32).bits_per_component(8);
            picture.color_space().device_rgb();
            picture.filter(Filter::DctDecode);
        }
    }
    pdf.catalog(catalog).pages(tree);
    pdf.pages(tree).count(page_ids.len() as i32).kids(page_ids);
    pdf.document_info(info).title(TextStr(title)).creator(TextStr("histokin"));
    let ids: Vec<Ref> = fonts.iter().map(|(_, font)| *font).collect();
    typeface.write(&mut pdf, &ids, text.chars(), &mut next);
    pdf.finish()
}

/// Returns the footer of a page.
fn foot(number: usize, count: usize) -> Ink {
    let text = format!(
        "histokin {} · for research, not for diagnosis · page {number} of {count}",
        env!("CARGO_PKG_VERSION")
    );
    Ink::Text {
        at: [44.0, PAGE[1] - 30.0],
        size: 6.5,
        weight: Weight::Regular,
        color: QUIET,
        rise: 0.0,
        text,
    }
}

/// The content of one page. The origin of PDF coordinates is the bottom-left corner.
struct Drawn<'a> {
    content: Content,
    /// Size in pixels and JPEG data of each image, by number.
    pictures: Vec<([u32; 2], Vec<u8>)>,
    typeface: &'a Typeface,
}

impl Drawn<'_> {
    fn draw(&mut self, ink: Ink) {
        match ink {
            Ink::Text { at: [x, y], size, weight, color, rise, text } => {
                let (sin, cos) = rise.to_radians().sin_cos();
                self.fill(color, 1.0);
                let content = &mut self.content;
                content.begin_text().set_text_matrix([cos, sin, -sin, cos, x, PAGE[1] - y]);
                if weight == Weight::Bold {
                    let [r, g, b] = color.map(|value| f32::from(value) / 255.0);
                    content.set_stroke_rgb(r, g, b).set_line_width(size * weight.outline());
                    content.set_text_rendering_mode(TextRenderingMode::FillStroke);
                } else {
                    content.set_text_rendering_mode(TextRenderingMode::Fill);
                }
                for run in self.typeface.runs(&text) {
                    content.set_font(Name(resource_name(run.font).as_bytes()), size).show(Str(&run.codes));
                }
                content.end_text();
            }
            Ink::Line { points, width, color, dashed } => {
                let [r, g, b] = color.map(|value| f32::from(value) / 255.0);
                let dash: &[f32] = if dashed { &[3.0, 2.5] } else { &[] };
                self.content
                    .set_stroke_rgb(r, g, b)
                    .set_line_width(width)
                    .set_dash_pattern(dash.iter().copied(), 0.0);
                self.path(&points);
                self.content.stroke();
            }
            Ink::Area { points, color, opacity } => {
                self.fill(color, opacity);
                self.path(&points);
                self.content.close_path().fill_nonzero();
            }
            Ink::Dot { center: [x, y], radius: r, color, opacity } => {
                /// Control point distance of four cubic arcs that approximate a circle: 4/3 · tan(π/8).
                const ARC: f32 = 0.552_284_8;
                let (y, a) = (PAGE[1] - y, ARC * r);
                self.fill(color, opacity);
                self.content
                    .move_to(x + r, y)
                    .cubic_to(x + r, y + a, x + a, y + r, x, y + r)
                    .cubic_to(x - a, y + r, x - r, y + a, x - r, y)
                    .cubic_to(x - r, y - a, x - a, y - r, x, y - r)
                    .cubic_to(x + a, y - r, x + r, y - a, x + r, y)
                    .fill_nonzero();
            }
            Ink::Picture { at: [x, y], size: [width, height], pixels, jpeg } => {
                let name = format!("P{}", self.pictures.len());
                self.pictures.push((pixels, jpeg));
                self.content
                    .save_state()
                    .transform([width, 0.0, 0.0, height, x, PAGE[1] - y - height])
                    .x_object(Name(name.as_bytes()))
                    .restore_state();
            }
        }
    }

    /// Sets the fill colour and opacity.
    fn fill(&mut self, color: Color, opacity: f32) {
        let [r, g, b] = color.map(|value| f32::from(value) / 255.0);
        let step = (opacity.clamp(0.0, 1.0) * f32::from(OPACITIES)).round() as u16;
        self.content.set_parameters(Name(format!("A{step}").as_bytes())).set_fill_rgb(r, g, b);
    }

    /// Starts a path through the points.
    fn path(&mut self, points: &[[f32; 2]]) {
        for (index, [x, y]) in points.iter().enumerate() {
            let y = PAGE[1] - y;
            _ = if index == 0 { self.content.move_to(*x, y) } else { self.content.line_to(*x, y) };
        }
    }
}
