//! PDF pages of captioned pictures.

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use pdf_writer::types::TextRenderingMode;
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, Str};

use crate::typeface::{Typeface, packed, resource_name};

/// A4 portrait, in points of 1/72 inch.
const PAGE: (f32, f32) = (595.0, 842.0);
const MARGIN: f32 = 36.0;
const COLUMNS: usize = 5;
const GAP: f32 = 10.0;
/// Height of the caption below a picture.
const CAPTION: f32 = 24.0;
/// Height of title and subtitle.
const TITLE: f32 = 40.0;
/// JPEG quality (1 to 100) at which tissue shows no artefacts.
const JPEG_QUALITY: u8 = 92;
/// Width of the outline that makes letters bold, as a fraction of the size.
const BOLD_OUTLINE: f32 = 0.035;

/// Weight and size in points of a text.
#[derive(Clone, Copy)]
enum Font {
    Plain(f32),
    Bold(f32),
}

/// A picture with its caption.
pub struct Captioned {
    /// The pixels; drawn as a square.
    pub picture: RgbImage,
    /// Lines below the picture; too long ones are shortened.
    pub lines: [String; 2],
    /// Colour (sRGB) of a frame to highlight the picture, if any.
    pub frame: Option<[u8; 3]>,
}

/// Returns a PDF with the pictures row by row, on as many pages as needed, each with title and subtitle.
///
/// # Errors
/// A message, when a picture cannot be encoded, or the font that comes with the program is damaged.
pub fn pages(title: &str, subtitle: &str, pictures: &[Captioned]) -> Result<Vec<u8>, String> {
    let typeface = Typeface::new()?;
    let side = (PAGE.0 - 2.0 * MARGIN - GAP * (COLUMNS - 1) as f32) / COLUMNS as f32;
    let step = side + CAPTION + GAP;
    let rows = ((PAGE.1 - 2.0 * MARGIN - TITLE + GAP) / step) as usize;
    let mut numbers = (1..).map(Ref::new);
    let mut number = || numbers.next().expect("there are more numbers than objects");
    let mut pdf = Pdf::new();
    let (catalog, tree) = (number(), number());
    pdf.catalog(catalog).pages(tree);
    // All lines are laid out first, so that the fonts are known that they need.
    let lines = |captioned: &Captioned| {
        [
            typeface.cut(&captioned.lines[0], 8.0, side - 8.0 * BOLD_OUTLINE),
            typeface.cut(&captioned.lines[1], 7.0, side),
        ]
    };
    let captions: Vec<[String; 2]> = pictures.iter().map(lines).collect();
    let texts = || captions.iter().flatten().map(String::as_str).chain([title, subtitle]);
    texts().for_each(|text| _ = typeface.runs(text));
    let fonts: Vec<(String, Ref)> =
        (0..typeface.fonts()).map(|font| (resource_name(font), number())).collect();
    let mut parts: Vec<&[Captioned]> = pictures.chunks(rows * COLUMNS).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let mut kids = Vec::new();
    let mut captions = captions.iter();
    for part in parts {
        let mut content = Content::new();
        text(&mut content, &typeface, Font::Bold(14.0), (MARGIN, PAGE.1 - MARGIN - 12.0), title);
        text(&mut content, &typeface, Font::Plain(8.5), (MARGIN, PAGE.1 - MARGIN - 26.0), subtitle);
        let mut named: Vec<(String, Ref)> = Vec::new();
        for (index, captioned) in part.iter().enumerate() {
            let left = MARGIN + (index % COLUMNS) as f32 * (side + GAP);
            let bottom = PAGE.1 - MARGIN - TITLE - (index / COLUMNS) as f32 * step - side;
            let (name, object) = (format!("P{index}"), number());
            embed(&mut pdf, object, &captioned.picture)?;
            content.save_state().transform([side, 0.0, 0.0, side, left, bottom]);
            content.x_object(Name(name.as_bytes())).restore_state();
            named.push((name, object));
            if let Some(frame) = captioned.frame {
                let [r, g, b] = frame.map(|channel| f32::from(channel) / 255.0);
                content.set_stroke_rgb(r, g, b).set_line_width(2.5).rect(left, bottom, side, side).stroke();
            }
            let fonts = [(Font::Bold(8.0), 10.0), (Font::Plain(7.0), 19.0)];
            for (line, (font, below)) in captions.next().into_iter().flatten().zip(fonts) {
                text(&mut content, &typeface, font, (left, bottom - below), line);
            }
        }
        let (page, drawn) = (number(), number());
        pdf.stream(drawn, &packed(content.finish().as_slice())).filter(Filter::FlateDecode);
        let mut writer = pdf.page(page);
        writer.media_box(Rect::new(0.0, 0.0, PAGE.0, PAGE.1)).parent(tree).contents(drawn);
        let mut resources = writer.resources();
        resources.fonts().pairs(fonts.iter().map(|(name, font)| (Name(name.as_bytes()), *font)));
        let pictures = named.iter().map(|(name, object)| (Name(name.as_bytes()), *object));
        resources.x_objects().pairs(pictures);
        resources.finish();
        writer.finish();
        kids.push(page);
    }
    let count = kids.len() as i32;
    pdf.pages(tree).kids(kids).count(count);
    let ids: Vec<Ref> = fonts.iter().map(|(_, font)| *font).collect();
    typeface.write(&mut pdf, &ids, texts().flat_map(str::chars), &mut number);
    Ok(pdf.finish())
}

fn embed(pdf: &mut Pdf, object: Ref, picture: &RgbImage) -> Result<(), String> {
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY)
        .encode_image(picture)
        .map_err(|error| error.to_string())?;
    let mut embedded = pdf.image_xobject(object, &jpeg);
    embedded.filter(Filter::DctDecode);
    embedded.width(picture.width() as i32).height(picture.height() as i32);
    embedded.color_space().device_rgb();
    embedded.bits_per_component(8);
    Ok(())
}

/// Writes a line of text starting at a position.
fn text(content: &mut Content, typeface: &Typeface, font: Font, (x, y): (f32, f32), line: &str) {
    let (size, mode) = match font {
        Font::Plain(size) => (size, TextRenderingMode::Fill),
        Font::Bold(size) => (size, TextRenderingMode::FillStroke),
    };
    content.set_stroke_gray(0.0).set_line_width(size * BOLD_OUTLINE);
    content.begin_text().set_text_rendering_mode(mode).next_line(x, y);
    for run in typeface.runs(line) {
        content.set_font(Name(resource_name(run.font).as_bytes()), size).show(Str(&run.codes));
    }
    content.end_text();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_go_on_as_many_pages_as_they_take() {
        let picture = |_| Captioned {
            picture: RgbImage::new(16, 16),
            lines: ["1 · 0.123 µm".to_owned(), "a slide with a very long name indeed.tif".to_owned()],
            frame: Some([230, 120, 30]),
        };
        let pictures: Vec<Captioned> = (0..40).map(picture).collect();
        let bytes = pages("Similar tissue", "k = 40", &pictures).unwrap();
        let find = |what: &[u8]| bytes.windows(what.len()).filter(|part| *part == what).count();
        assert_eq!((find(b"/Type /Page\n"), find(b"/Subtype /Image")), (2, 40));
        assert_eq!(find(b"/DCTDecode"), 40);
        assert!(bytes.starts_with(b"%PDF-") && bytes.ends_with(b"%%EOF"));
        assert!(pages("Nothing", "", &[]).unwrap().len() > 300, "one page, empty");
    }
}
