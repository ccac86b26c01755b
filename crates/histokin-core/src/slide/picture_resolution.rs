//! Reads the resolution that plain pictures (JPEG, PNG, WebP, BMP, TIFF) state in their headers.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use exif::{In, Tag, Value};
use image::{ImageDecoder, ImageFormat};
use tiff::decoder::ifd::Value as TiffValue;
use tiff::tags::Tag as TiffTag;

use super::calibration::{self, Stated, UM_PER_CM, UM_PER_INCH};

/// Largest JFIF density, which has 16 bits: writers store it where the true value is larger.
const MAX_JFIF_DENSITY: u16 = u16::MAX;

/// Returns all pixel sizes stated in the file's header, most trusted first, and the power of the objective if
/// it is stated. Damaged fields are skipped.
pub(super) fn stated(
    path: &Path,
    format: ImageFormat,
    decoder: Option<&mut dyn ImageDecoder>,
) -> (Vec<Stated>, Option<f64>) {
    let from_header = match format {
        ImageFormat::Tiff => return tiff(path).unwrap_or_default(),
        ImageFormat::Png => png(path),
        ImageFormat::Bmp => head(path, 46).and_then(|head| bmp(&head)),
        ImageFormat::Jpeg => head(path, MAX_HEAD_BYTES).and_then(|head| jfif(&head)),
        _ => None,
    };
    let exif = decoder.and_then(|decoder| decoder.exif_metadata().ok().flatten()).and_then(exif_resolution);
    (from_header.into_iter().chain(exif).collect(), None)
}

/// Bytes of a JPEG that are searched for the JFIF segment. By its specification it comes first, but some
/// writers put the EXIF segment before it.
const MAX_HEAD_BYTES: u64 = 1 << 17;

/// Reads the first bytes of a file, at most `limit`.
fn head(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Reads PNG's pHYs chunk: pixels per metre.
fn png(path: &Path) -> Option<Stated> {
    let reader = png::Decoder::new(BufReader::new(File::open(path).ok()?)).read_info().ok()?;
    let stated = reader.info().pixel_dims.filter(|stated| stated.unit == png::Unit::Meter)?;
    Some(Stated::resolution((stated.xppu.into(), stated.yppu.into()), 1e6))
}

/// Reads a BMP's information header (40 bytes or more, from byte 14 of the file): pixels per metre.
fn bmp(head: &[u8]) -> Option<Stated> {
    let number = |at: usize| Some(i32::from_le_bytes(*head.get(at..)?.first_chunk()?));
    if !head.starts_with(b"BM") || number(14)? < 40 {
        return None;
    }
    Some(Stated::resolution((number(38)?.into(), number(42)?.into()), 1e6))
}

/// Reads unit and density of a JPEG's JFIF segment. Unit 1 is inch, 2 centimetre; 0 states an aspect ratio
/// only.
fn jfif(stream: &[u8]) -> Option<Stated> {
    let mut rest = stream.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let [0xff, marker @ (0xe0..=0xef | 0xfe), high, low, ..] = *rest else { return None };
        let length = usize::from(u16::from_be_bytes([high, low])) + 2;
        let segment = rest.get(4..length)?;
        if marker == 0xe0
            && let [b'J', b'F', b'I', b'F', 0, _, _, unit, x1, x0, y1, y0, ..] = *segment
        {
            let (x, y) = (u16::from_be_bytes([x1, x0]), u16::from_be_bytes([y1, y0]));
            let um_per_unit = match unit {
                1 => UM_PER_INCH,
                2 => UM_PER_CM,
                _ => return None,
            };
            let is_clipped = x == MAX_JFIF_DENSITY || y == MAX_JFIF_DENSITY;
            return (!is_clipped).then(|| Stated::resolution((x.into(), y.into()), um_per_unit));
        }
        rest = rest.get(length..)?;
    }
}

/// Reads EXIF's XResolution, YResolution and ResolutionUnit from bytes that begin with its TIFF header.
fn exif_resolution(bytes: Vec<u8>) -> Option<Stated> {
    let exif = exif::Reader::new().read_raw(bytes).ok()?;
    let number = |tag: Tag| match &exif.get_field(tag, In::PRIMARY)?.value {
        Value::Rational(values) => values.first().map(|value| f64::from(value.num) / f64::from(value.denom)),
        _ => None,
    };
    let unit = exif.get_field(Tag::ResolutionUnit, In::PRIMARY)?.value.get_uint(0)?;
    Stated::tiff_resolution((number(Tag::XResolution)?, number(Tag::YResolution)?), u16::try_from(unit).ok())
}

fn tiff(path: &Path) -> Option<(Vec<Stated>, Option<f64>)> {
    let mut decoder = tiff::decoder::Decoder::new(BufReader::new(File::open(path).ok()?)).ok()?;
    let description = decoder.get_tag_ascii_string(TiffTag::ImageDescription).ok();
    let unit = decoder.get_tag_u32(TiffTag::ResolutionUnit).ok().and_then(|unit| u16::try_from(unit).ok());
    let mut per_unit = |tag| match decoder.get_tag(tag).ok()? {
        TiffValue::Rational(numerator, denominator) => Some(f64::from(numerator) / f64::from(denominator)),
        TiffValue::Float(value) => Some(value.into()),
        TiffValue::Double(value) => Some(value),
        _ => None,
    };
    let both = per_unit(TiffTag::XResolution).zip(per_unit(TiffTag::YResolution));
    Some(calibration::tiff(description.as_deref(), both, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn um(stated: Option<Stated>) -> Option<f64> {
        stated.map(|stated| (stated.um() * 1e6).round() / 1e6)
    }

    fn jpeg_with(segments: &[&[u8]]) -> Vec<u8> {
        let mut stream = vec![0xff, 0xd8];
        segments.iter().for_each(|segment| stream.extend_from_slice(segment));
        stream.extend_from_slice(&[0xff, 0xdb, 0, 4, 0, 0]);
        stream
    }

    fn jfif_segment(unit: u8, dots: u16) -> Vec<u8> {
        let [high, low] = dots.to_be_bytes();
        [&[0xff, 0xe0, 0, 16][..], b"JFIF\0\x01\x02", &[unit, high, low, high, low, 0, 0]].concat()
    }

    #[test]
    fn jfif_states_dots_per_inch_and_per_centimetre() {
        let exif: &[u8] = &[0xff, 0xe1, 0, 8, b'E', b'x', b'i', b'f', 0, 0];
        assert_eq!(um(jfif(&jpeg_with(&[&jfif_segment(1, 25_400)]))), Some(1.0));
        assert_eq!(um(jfif(&jpeg_with(&[exif, &jfif_segment(2, 20_000)]))), Some(0.5));
        for none in [jfif_segment(0, 1), jfif_segment(1, u16::MAX), jfif_segment(7, 300)] {
            assert_eq!(um(jfif(&jpeg_with(&[&none]))), None, "{none:?}");
        }
        let whole = jpeg_with(&[exif, &jfif_segment(2, 20_000)]);
        for cut in 0..whole.len() - 6 {
            let found = jfif(&whole[..cut]);
            assert!(found.is_none() || cut >= 28, "cut to {cut}: {found:?}");
        }
    }

    #[test]
    fn bmp_states_pixels_per_metre() {
        let mut head = [0; 54];
        head[..2].copy_from_slice(b"BM");
        head[14] = 40;
        head[38..42].copy_from_slice(&2_000_000_i32.to_le_bytes());
        head[42..46].copy_from_slice(&2_000_000_i32.to_le_bytes());
        assert_eq!(um(bmp(&head)), Some(0.5));
        assert_eq!(bmp(&head[..44]), None);
        // The oldest header version has no such fields.
        head[14] = 12;
        assert_eq!(bmp(&head), None);
    }

    #[test]
    fn exif_states_pixels_per_unit() {
        // A big-endian TIFF header, one directory of three tags, followed by two rationals.
        let tag = |tag: u16, kind: u16, value: u32| {
            let value = if kind == 3 { value << 16 } else { value };
            [&tag.to_be_bytes()[..], &kind.to_be_bytes(), &1_u32.to_be_bytes(), &value.to_be_bytes()].concat()
        };
        let rational = |n: u32, d: u32| [n.to_be_bytes(), d.to_be_bytes()].concat();
        let file = |unit: u32, n: u32, d: u32| {
            let tags = [tag(282, 5, 50), tag(283, 5, 58), tag(296, 3, unit)].concat();
            [b"MM\0\x2a\0\0\0\x08\0\x03", &tags[..], &[0; 4], &rational(n, d), &rational(n, d)].concat()
        };
        assert_eq!(um(exif_resolution(file(2, 50_800, 1))), Some(0.5));
        assert_eq!(um(exif_resolution(file(3, 80_000, 2))), Some(0.25));
        assert_eq!(um(exif_resolution(file(1, 72, 1))), None);
        // A zero denominator gives an invalid value, which is rejected later.
        let zero = exif_resolution(file(2, 7, 0)).expect("a value is returned");
        assert_eq!(zero.size.x, 0.0);
        assert_eq!(um(exif_resolution(b"no EXIF".to_vec())), None);
    }
}
