//! PDF pages of captioned pictures. Text uses the standard fonts of every PDF reader.

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, Str};

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
/// Mean width of a letter of Helvetica, as a fraction of the font size.
const LETTER: f32 = 0.52;

const PLAIN: Name<'_> = Name(b"F");
const BOLD: Name<'_> = Name(b"B");

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
/// When a picture cannot be encoded.
pub fn pages(title: &str, subtitle: &str, pictures: &[Captioned]) -> Result<Vec<u8>, image::ImageError> {
    let side = (PAGE.0 - 2.0 * MARGIN - GAP * (COLUMNS - 1) as f32) / COLUMNS as f32;
    let step = side + CAPTION + GAP;
    let rows = ((PAGE.1 - 2.0 * MARGIN - TITLE + GAP) / step) as usize;
    let mut numbers = (1..).map(Ref::new);
    let mut number = || numbers.next().expect("there are more numbers than objects");
    let mut pdf = Pdf::new();
    let (catalog, tree, plain, bold) = (number(), number(), number(), number());
    pdf.catalog(catalog).pages(tree);
    for (font, name) in [(plain, Name(b"Helvetica")), (bold, Name(b"Helvetica-Bold"))] {
        pdf.type1_font(font).base_font(name).encoding_predefined(Name(b"WinAnsiEncoding"));
    }
    let mut parts: Vec<&[Captioned]> = pictures.chunks(rows * COLUMNS).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let mut kids = Vec::new();
    for part in parts {
        let mut content = Content::new();
        text(&mut content, (BOLD, 14.0), (MARGIN, PAGE.1 - MARGIN - 12.0), title);
        text(&mut content, (PLAIN, 8.5), (MARGIN, PAGE.1 - MARGIN - 26.0), subtitle);
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
            for (line, font, below) in
                [(&captioned.lines[0], (BOLD, 8.0), 10.0), (&captioned.lines[1], (PLAIN, 7.0), 19.0)]
            {
                let fitting = (side / (font.1 * LETTER)) as usize;
                text(&mut content, font, (left, bottom - below), &shortened(line, fitting));
            }
        }
        let (page, drawn) = (number(), number());
        pdf.stream(drawn, &content.finish());
        let mut writer = pdf.page(page);
        writer.media_box(Rect::new(0.0, 0.0, PAGE.0, PAGE.1)).parent(tree).contents(drawn);
        let mut resources = writer.resources();
        resources.fonts().pair(PLAIN, plain).pair(BOLD, bold);
        let pictures = named.iter().map(|(name, object)| (Name(name.as_bytes()), *object));
        resources.x_objects().pairs(pictures);
        resources.finish();
        writer.finish();
        kids.push(page);
    }
    let count = kids.len() as i32;
    pdf.pages(tree).kids(kids).count(count);
    Ok(pdf.finish())
}

fn embed(pdf: &mut Pdf, object: Ref, picture: &RgbImage) -> Result<(), image::ImageError> {
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).encode_image(picture)?;
    let mut embedded = pdf.image_xobject(object, &jpeg);
    embedded.filter(Filter::DctDecode);
    embedded.width(picture.width() as i32).height(picture.height() as i32);
    embedded.color_space().device_rgb();
    embedded.bits_per_component(8);
    Ok(())
}

/// Shortens text to `most` letters, ending in an ellipsis if it was longer.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Writes a line of text starting at a position.
fn text(content: &mut Content, (font, size): (Name<'_>, f32), (x, y): (f32, f32), line: &str) {
    let letters: Vec<u8> = line.chars().map(windows_1252).collect();
    content.begin_text().set_font(font, size).next_line(x, y).show(Str(&letters)).end_text();
}

/// Encodes a letter for the fonts; unsupported letters become a question mark.
fn windows_1252(letter: char) -> u8 {
    match letter {
        '…' => 0x85,
        '–' => 0x96,
        // What separates thousands.
        '\u{202F}' => 0xA0,
        '\u{2019}' => 0x92,
        ' '..='~' | '\u{A0}'..='\u{FF}' => u32::from(letter) as u8,
        _ => b'?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use histokin_core::number_format::NumberStyle;

    #[test]
    fn captions_fit_below_their_pictures_in_the_letters_of_the_fonts() {
        assert_eq!(shortened("a slide.tif", 11), "a slide.tif");
        assert_eq!(shortened("a longer slide.tif", 9), "a longer…");
        assert_eq!(['a', 'µ', '…', '–', '語'].map(windows_1252), [b'a', 0xB5, 0x85, 0x96, b'?']);
        let separators = NumberStyle::ALL.map(|style| windows_1252(style.separator()));
        assert!(!separators.contains(&b'?'), "{separators:?}");
    }

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
