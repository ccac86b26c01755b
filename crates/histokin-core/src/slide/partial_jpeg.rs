//! Parts of a JPEG, decoded with libjpeg-turbo's partial decompression, for which there is no safe binding.
//!
//! What comes before a part's last row has to be read bit by bit, but only the blocks of the part itself become pixels,
//! and nothing below it is read.

use std::ffi::CStr;

use turbojpeg::raw;

use super::one_line;

/// Maximum memory in bytes for the coefficients of a progressive JPEG, whose parts are spread over the file,
/// so that libjpeg-turbo holds all coefficients in memory.
pub(super) const MAX_COEFFICIENT_BYTES: u64 = 1 << 30;

/// What is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Pixels at full resolution. Columns begin at a multiple of the width of the coded units.
    Region { x: u32, y: u32, width: u32, height: u32 },
    /// All of it at 1/8 of its width and height, rounded up.
    Eighth,
}

/// What a JPEG states about its picture.
pub(super) struct Header {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Whether it can be decoded to red, green and blue.
    pub has_rgb: bool,
    /// Whether parts of it can be decoded: 8 bits, not lossless, with a common subsampling.
    pub has_parts: bool,
    /// Bytes of coefficients held in memory at once; 0 for a picture that is decoded row by row.
    pub coefficients: u64,
}

/// Why a part was not decoded, or is not certain to be right.
pub(super) struct Failure {
    /// All pixels were written, but some may be wrong.
    pub is_warning: bool,
    /// libjpeg-turbo's reason, for display.
    pub message: String,
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self { is_warning: false, message: message.to_owned() }
    }
}

/// A decoder of parts. It can be used for one stream after another.
pub(super) struct PartialDecoder {
    handle: raw::tjhandle,
}

impl Drop for PartialDecoder {
    #[expect(unsafe_code, reason = "libjpeg-turbo's partial decompression has no safe binding")]
    fn drop(&mut self) {
        // SAFETY: the handle was returned by `tj3Init` and is not used afterwards.
        unsafe { raw::tj3Destroy(self.handle) }
    }
}

#[expect(unsafe_code, reason = "libjpeg-turbo's partial decompression has no safe binding")]
impl PartialDecoder {
    /// Makes a decoder.
    ///
    /// # Errors
    /// A message, when there is not enough memory.
    pub fn new() -> Result<Self, String> {
        // SAFETY: all values are allowed; a handle that is not null is valid until it is destroyed.
        let handle = unsafe { raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS as i32) };
        if handle.is_null() {
            return Err("there is not enough memory for a JPEG decoder".to_owned());
        }
        let decoder = Self { handle };
        let memory = (MAX_COEFFICIENT_BYTES >> 20) as i32 + 64;
        // SAFETY: the handle is valid.
        let status = unsafe { raw::tj3Set(handle, raw::TJPARAM_TJPARAM_MAXMEMORY as i32, memory) };
        if status == 0 { Ok(decoder) } else { Err(decoder.message()) }
    }

    /// Reads the header of `stream`.
    ///
    /// # Errors
    /// A message, when it is damaged.
    pub fn header(&mut self, stream: &[u8]) -> Result<Header, String> {
        // SAFETY: the handle is valid, and `stream` is readable up to its length.
        let status = unsafe { raw::tj3DecompressHeader(self.handle, stream.as_ptr(), stream.len() as _) };
        if status != 0 {
            return Err(self.message());
        }
        let number = |parameter| u32::try_from(self.get(parameter)).unwrap_or(0);
        let (width, height) =
            (number(raw::TJPARAM_TJPARAM_JPEGWIDTH), number(raw::TJPARAM_TJPARAM_JPEGHEIGHT));
        let colours = self.get(raw::TJPARAM_TJPARAM_COLORSPACE);
        let has_rgb = colours != raw::TJCS_TJCS_CMYK as i32 && colours != raw::TJCS_TJCS_YCCK as i32;
        let has_parts = self.get(raw::TJPARAM_TJPARAM_PRECISION) == 8
            && self.get(raw::TJPARAM_TJPARAM_LOSSLESS) != 1
            && self.get(raw::TJPARAM_TJPARAM_SUBSAMP) >= 0;
        // At most three components at full resolution, with 2 bytes per coefficient.
        let pixels = u64::from(width) * u64::from(height);
        let is_spread = self.get(raw::TJPARAM_TJPARAM_PROGRESSIVE) == 1;
        let components: u64 = if colours == raw::TJCS_TJCS_GRAY as i32 { 1 } else { 3 };
        let coefficients = if is_spread { pixels * 2 * components } else { 0 };
        Ok(Header { width, height, has_rgb, has_parts, coefficients })
    }

    fn get(&self, parameter: raw::TJPARAM) -> i32 {
        // SAFETY: the handle is valid; for unknown parameters, -1 is returned.
        unsafe { raw::tj3Get(self.handle, parameter as i32) }
    }

    /// Decodes a part of `stream` into RGBA rows that begin `pitch` bytes apart.
    ///
    /// # Errors
    /// [`Failure`] when the part is not within the picture, `pixels` is too short for it, or the stream is damaged.
    pub fn decode(
        &mut self,
        stream: &[u8],
        part: Part,
        pixels: &mut [u8],
        pitch: usize,
    ) -> Result<(), Failure> {
        let header = self.header(stream).map_err(|message| Failure { is_warning: false, message })?;
        let (scale, width, height, region) = match part {
            Part::Region { x, y, width, height } => {
                let is_within = |start: u32, length: u32, whole: u32| {
                    length > 0 && u64::from(start) + u64::from(length) <= u64::from(whole)
                };
                if !is_within(x, width, header.width) || !is_within(y, height, header.height) {
                    return Err("the part is outside the image".into());
                }
                // The sides of a JPEG have 16 bits.
                let [x, y, w, h] = [x, y, width, height].map(|side| side as i32);
                (1, width, height, raw::tjregion { x, y, w, h })
            }
            Part::Eighth => {
                let whole = raw::tjregion { x: 0, y: 0, w: 0, h: 0 };
                (8, header.width.div_ceil(8), header.height.div_ceil(8), whole)
            }
        };
        let row = width as usize * 4;
        let needed =
            (height as usize).checked_sub(1).and_then(|rows| rows.checked_mul(pitch)?.checked_add(row));
        let Ok(pitch) = i32::try_from(pitch) else { return Err("it is too wide".into()) };
        if (pitch as usize) < row || needed.is_none_or(|needed| needed > pixels.len()) {
            return Err("the memory for its pixels has a different size".into());
        }
        // SAFETY: the handle is valid, and the header of this stream was read. The region was checked against the size
        // in the header; `pixels` has `pitch` bytes for each row but the last and as many rows as are written. The stream
        // is readable up to its length.
        let status = unsafe {
            let scaled = raw::tj3SetScalingFactor(self.handle, raw::tjscalingfactor { num: 1, denom: scale });
            let cropped = raw::tj3SetCroppingRegion(self.handle, region);
            if scaled != 0 || cropped != 0 {
                return Err(Failure { is_warning: false, message: self.message() });
            }
            raw::tj3Decompress8(
                self.handle,
                stream.as_ptr(),
                stream.len() as _,
                pixels.as_mut_ptr(),
                pitch,
                raw::TJPF_TJPF_RGBA,
            )
        };
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the handle is valid.
        let is_warning = unsafe { raw::tj3GetErrorCode(self.handle) } == raw::TJERR_TJERR_WARNING as i32;
        Err(Failure { is_warning, message: self.message() })
    }

    fn message(&self) -> String {
        // SAFETY: the handle is valid, and the text is valid until the next call on the handle.
        let text = unsafe { raw::tj3GetErrorStr(self.handle) };
        if text.is_null() {
            return "its JPEG cannot be decoded".to_owned();
        }
        // SAFETY: a text that is not null is terminated by a zero byte.
        one_line(&unsafe { CStr::from_ptr(text) }.to_string_lossy())
    }
}
