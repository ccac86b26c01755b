//! Rows of a JPEG, by libjpeg-turbo's partial decompression, which its safe binding does not offer.

use std::ffi::CStr;
use std::path::Path;

use image::RgbaImage;
use turbojpeg::raw;

use super::super::{SlideInfo, one_line};
use crate::untrusted;

/// Largest file that is read, in bytes.
const LARGEST_FILE: u64 = 2 << 30;

/// Most bytes that libjpeg-turbo may take for a picture whose parts are spread over the file (a progressive one), of
/// which it holds all coefficients in memory.
const MOST_COEFFICIENTS: u64 = 1 << 30;

/// Why parts of this JPEG cannot be decoded.
pub(super) fn obstacle(path: &Path) -> Option<String> {
    let header = read(path).and_then(|stream| Decoder::of(&stream).map(|decoder| decoder.header()));
    match header {
        Err(reason) => Some(reason),
        Ok(header) if !header.has_rgb => Some("its colours are those of a printer (CMYK)".to_owned()),
        Ok(header) if !header.has_parts => Some("its JPEG is of a rare kind".to_owned()),
        Ok(header) if header.coefficients > MOST_COEFFICIENTS => {
            Some("it is a progressive JPEG, which has to be held in memory as a whole".to_owned())
        }
        Ok(_) => None,
    }
}

/// `count` rows from `first` on, both within the picture.
pub(super) fn rows(info: &SlideInfo, first: u32, count: u32) -> Result<RgbaImage, String> {
    let stream = read(&info.path)?;
    let mut decoder = opened(&stream, info)?;
    let mut rows = RgbaImage::new(info.width(), count);
    decoder.decode(Part::Rows { first }, &mut rows)?;
    Ok(rows)
}

/// The whole picture at 1/8 of its width and height, rounded up.
pub(super) fn eighth(info: &SlideInfo) -> Result<RgbaImage, String> {
    let stream = read(&info.path)?;
    let mut decoder = opened(&stream, info)?;
    let mut picture = RgbaImage::new(info.width().div_ceil(8), info.height().div_ceil(8));
    decoder.decode(Part::Eighth, &mut picture)?;
    Ok(picture)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    untrusted::read(path, LARGEST_FILE).map_err(|error| error.to_string())
}

fn opened<'a>(stream: &'a [u8], info: &SlideInfo) -> Result<Decoder<'a>, String> {
    let decoder = Decoder::of(stream)?;
    let header = decoder.header();
    if (header.width, header.height) != (info.width(), info.height()) {
        return Err("the file was replaced since it was opened".to_owned());
    }
    Ok(decoder)
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Rows { first: u32 },
    Eighth,
}

struct Header {
    width: u32,
    height: u32,
    /// Whether it can be decoded to red, green and blue.
    has_rgb: bool,
    /// Whether parts of it can be decoded: 8 bits, not lossless, subsampled in a usual way.
    has_parts: bool,
    /// Bytes of coefficients that are held at once; 0 for a picture that is decoded row by row.
    coefficients: u64,
}

/// A decoder that has read the header of `stream`.
struct Decoder<'a> {
    handle: raw::tjhandle,
    stream: &'a [u8],
}

impl Drop for Decoder<'_> {
    #[expect(unsafe_code, reason = "libjpeg-turbo's partial decompression has no safe binding")]
    fn drop(&mut self) {
        // SAFETY: the handle came from `tj3Init`, and is used no more.
        unsafe { raw::tj3Destroy(self.handle) }
    }
}

#[expect(unsafe_code, reason = "libjpeg-turbo's partial decompression has no safe binding")]
impl<'a> Decoder<'a> {
    fn of(stream: &'a [u8]) -> Result<Self, String> {
        // SAFETY: any value is allowed; a handle that is not null is valid until it is destroyed.
        let handle = unsafe { raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS as i32) };
        if handle.is_null() {
            return Err("no memory for a JPEG decoder".to_owned());
        }
        let decoder = Self { handle, stream };
        // SAFETY: the handle is valid, and the stream is readable to its length.
        let said = unsafe { raw::tj3DecompressHeader(handle, stream.as_ptr(), stream.len() as _) };
        if said == 0 { Ok(decoder) } else { Err(decoder.message()) }
    }

    fn get(&self, parameter: raw::TJPARAM) -> i32 {
        // SAFETY: the handle is valid; unknown parameters are answered with -1.
        unsafe { raw::tj3Get(self.handle, parameter as i32) }
    }

    fn header(&self) -> Header {
        let number = |parameter| u32::try_from(self.get(parameter)).unwrap_or(0);
        let (width, height) =
            (number(raw::TJPARAM_TJPARAM_JPEGWIDTH), number(raw::TJPARAM_TJPARAM_JPEGHEIGHT));
        let colours = self.get(raw::TJPARAM_TJPARAM_COLORSPACE);
        let has_rgb = colours != raw::TJCS_TJCS_CMYK as i32 && colours != raw::TJCS_TJCS_YCCK as i32;
        let has_parts = self.get(raw::TJPARAM_TJPARAM_PRECISION) == 8
            && self.get(raw::TJPARAM_TJPARAM_LOSSLESS) != 1
            && self.get(raw::TJPARAM_TJPARAM_SUBSAMP) >= 0;
        // At most three components at full resolution, 2 bytes a coefficient.
        let pixels = u64::from(width) * u64::from(height);
        let is_spread = self.get(raw::TJPARAM_TJPARAM_PROGRESSIVE) == 1;
        let components: u64 = if colours == raw::TJCS_TJCS_GRAY as i32 { 1 } else { 3 };
        let coefficients = if is_spread { pixels * 2 * components } else { 0 };
        Header { width, height, has_rgb, has_parts, coefficients }
    }

    /// Decode a part into `picture`, whose size says how much.
    fn decode(&mut self, part: Part, picture: &mut RgbaImage) -> Result<(), String> {
        let header = self.header();
        let Ok(pitch) = i32::try_from(u64::from(picture.width()) * 4) else {
            return Err("it is too wide".to_owned());
        };
        let (scale, region) = match part {
            Part::Rows { first } => {
                let inside = u64::from(first) + u64::from(picture.height()) <= u64::from(header.height);
                if !inside || picture.width() != header.width || picture.height() == 0 {
                    return Err("the rows lie outside the picture".to_owned());
                }
                // Heights of JPEGs have 16 bits.
                let (y, h) = (first as i32, picture.height() as i32);
                (1, raw::tjregion { x: 0, y, w: header.width as i32, h })
            }
            Part::Eighth => {
                if picture.dimensions() != (header.width.div_ceil(8), header.height.div_ceil(8)) {
                    return Err("the picture at 1/8 is of another size".to_owned());
                }
                (8, raw::tjregion { x: 0, y: 0, w: 0, h: 0 })
            }
        };
        let memory = (MOST_COEFFICIENTS >> 20) as i32 + 64;
        let pixels = picture.as_flat_samples_mut().samples;
        // SAFETY: the handle is valid and its header was read. The region was compared with the header's size; the
        // picture has `pitch` bytes for each row of it, and as many rows as are written. The stream is readable to its
        // length.
        let said = unsafe {
            let set = raw::tj3Set(self.handle, raw::TJPARAM_TJPARAM_MAXMEMORY as i32, memory);
            let scaled = raw::tj3SetScalingFactor(self.handle, raw::tjscalingfactor { num: 1, denom: scale });
            let cropped = raw::tj3SetCroppingRegion(self.handle, region);
            if set != 0 || scaled != 0 || cropped != 0 {
                return Err(self.message());
            }
            raw::tj3Decompress8(
                self.handle,
                self.stream.as_ptr(),
                self.stream.len() as _,
                pixels.as_mut_ptr(),
                pitch,
                raw::TJPF_TJPF_RGBA,
            )
        };
        if said == 0 {
            return Ok(());
        }
        let message = self.message();
        // SAFETY: the handle is valid.
        let is_warning = unsafe { raw::tj3GetErrorCode(self.handle) } == raw::TJERR_TJERR_WARNING as i32;
        // Bytes that mean nothing between the parts of a file are common; missing ones make grey areas.
        if is_warning && message.contains("xtraneous bytes") { Ok(()) } else { Err(message) }
    }

    fn message(&self) -> String {
        // SAFETY: the handle is valid, and the text lives until the next call on it.
        let text = unsafe { raw::tj3GetErrorStr(self.handle) };
        if text.is_null() {
            return "its JPEG cannot be decoded".to_owned();
        }
        // SAFETY: a text that is not null ends with a zero byte.
        one_line(&unsafe { CStr::from_ptr(text) }.to_string_lossy())
    }
}
