//! Sample values: unpacking them from their bits and undoing the predictor.

use super::page::SampleFormat;

/// Sample values, row by row, interleaved by pixel.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::slide) enum Samples {
    /// Integers of up to 8 bits.
    U8(Vec<u8>),
    /// Integers of 9 to 16 bits.
    U16(Vec<u16>),
    /// All other values.
    F32(Vec<f32>),
}

impl Samples {
    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(samples) => samples.len(),
            Self::U16(samples) => samples.len(),
            Self::F32(samples) => samples.len(),
        }
    }

    /// The sample at `index` as a number.
    pub fn at(&self, index: usize) -> f32 {
        match self {
            Self::U8(samples) => f32::from(samples[index]),
            Self::U16(samples) => f32::from(samples[index]),
            Self::F32(samples) => samples[index],
        }
    }

    /// Returns every `of`-th sample, beginning with `first`.
    pub fn one_of(&self, first: usize, of: usize) -> Self {
        fn every<T: Copy>(samples: &[T], first: usize, of: usize) -> Vec<T> {
            samples.iter().skip(first).step_by(of.max(1)).copied().collect()
        }
        match self {
            Self::U8(samples) => Self::U8(every(samples, first, of)),
            Self::U16(samples) => Self::U16(every(samples, first, of)),
            Self::F32(samples) => Self::F32(every(samples, first, of)),
        }
    }

    /// Interleaves planes of one sample each.
    ///
    /// # Errors
    /// A message, when they differ in type or length.
    pub fn interleaved(planes: Vec<Self>) -> Result<Self, String> {
        fn interleave<T: Copy + Default>(planes: &[&[T]]) -> Option<Vec<T>> {
            let length = planes.first()?.len();
            if planes.iter().any(|plane| plane.len() != length) {
                return None;
            }
            let mut interleaved = vec![T::default(); length * planes.len()];
            for (index, plane) in planes.iter().enumerate() {
                for (to, from) in interleaved.iter_mut().skip(index).step_by(planes.len()).zip(plane.iter()) {
                    *to = *from;
                }
            }
            Some(interleaved)
        }
        let bytes: Option<Vec<&[u8]>> = planes
            .iter()
            .map(|plane| match plane {
                Self::U8(samples) => Some(samples.as_slice()),
                _ => None,
            })
            .collect();
        let words: Option<Vec<&[u16]>> = planes
            .iter()
            .map(|plane| match plane {
                Self::U16(samples) => Some(samples.as_slice()),
                _ => None,
            })
            .collect();
        let floats: Option<Vec<&[f32]>> = planes
            .iter()
            .map(|plane| match plane {
                Self::F32(samples) => Some(samples.as_slice()),
                _ => None,
            })
            .collect();
        let interleaved = (bytes.and_then(|planes| interleave(&planes)).map(Self::U8))
            .or_else(|| words.and_then(|planes| interleave(&planes)).map(Self::U16))
            .or_else(|| floats.and_then(|planes| interleave(&planes)).map(Self::F32));
        interleaved.ok_or_else(|| "its planes differ in type or size".to_owned())
    }
}

/// How samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::slide) struct Packing {
    /// Bits of a sample.
    pub bits: u32,
    /// Type of the values.
    pub format: SampleFormat,
}

impl Packing {
    /// Returns `None` if samples of this kind are not supported.
    pub fn of(bits: u64, format: SampleFormat) -> Option<Self> {
        let is_read = match format {
            SampleFormat::Unsigned => (1..=16).contains(&bits) || bits == 24 || bits == 32,
            SampleFormat::Signed => matches!(bits, 8 | 16 | 32),
            SampleFormat::Float => matches!(bits, 16 | 32 | 64),
            SampleFormat::Other => false,
        };
        is_read.then_some(Self { bits: bits as u32, format })
    }

    /// Number of bytes of a row of `samples` samples; rows begin on whole bytes.
    pub fn row_bytes(self, samples: u64) -> u64 {
        samples.saturating_mul(u64::from(self.bits)).div_ceil(8)
    }

    /// Number of bytes of a sample, stored or unpacked, whichever is larger.
    pub fn unpacked_bytes(self) -> u64 {
        u64::from(self.bits.div_ceil(8).max(self.zeros(1).bytes_each()))
    }

    /// Returns `count` samples of value 0.
    pub fn zeros(self, count: usize) -> Samples {
        match (self.format, self.bits) {
            (SampleFormat::Unsigned, 1..=8) => Samples::U8(vec![0; count]),
            (SampleFormat::Unsigned, 9..=16) => Samples::U16(vec![0; count]),
            _ => Samples::F32(vec![0.0; count]),
        }
    }

    /// Unpacks the values in `raw`, whose rows of `row_bytes` bytes contain `per_row` samples each.
    pub fn samples(self, raw: Vec<u8>, row_bytes: usize, per_row: usize, is_big_endian: bool) -> Samples {
        let whole = |bytes: &[u8]| -> u64 {
            let append = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
            if is_big_endian { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) }
        };
        let floats = |number: &dyn Fn(&[u8]) -> f32| {
            Samples::F32(raw.chunks_exact((self.bits / 8) as usize).map(number).collect())
        };
        let lines = raw.chunks_exact(row_bytes.max(1));
        match (self.format, self.bits) {
            (SampleFormat::Unsigned, 8) => Samples::U8(raw),
            (SampleFormat::Unsigned, 16) => Samples::U16(words(&raw, is_big_endian)),
            (SampleFormat::Unsigned, 1..8) => Samples::U8(
                lines.flat_map(|line| Bits::of(line, self.bits).take(per_row)).map(|n| n as u8).collect(),
            ),
            (SampleFormat::Unsigned, 9..16) => Samples::U16(
                lines.flat_map(|line| Bits::of(line, self.bits).take(per_row)).map(|n| n as u16).collect(),
            ),
            (SampleFormat::Unsigned, _) => floats(&|bytes| whole(bytes) as f32),
            (SampleFormat::Signed, 8) => floats(&|bytes| f32::from(bytes[0].cast_signed())),
            (SampleFormat::Signed, 16) => floats(&|bytes| f32::from((whole(bytes) as u16).cast_signed())),
            (SampleFormat::Signed, _) => floats(&|bytes| (whole(bytes) as u32).cast_signed() as f32),
            (SampleFormat::Float | SampleFormat::Other, 16) => floats(&|bytes| half(whole(bytes) as u16)),
            (SampleFormat::Float | SampleFormat::Other, 64) => {
                floats(&|bytes| f64::from_bits(whole(bytes)) as f32)
            }
            (SampleFormat::Float | SampleFormat::Other, _) => {
                floats(&|bytes| f32::from_bits(whole(bytes) as u32))
            }
        }
    }
}

impl Samples {
    fn bytes_each(&self) -> u32 {
        match self {
            Self::U8(_) => 1,
            Self::U16(_) => 2,
            Self::F32(_) => 4,
        }
    }
}

fn words(raw: &[u8], is_big_endian: bool) -> Vec<u16> {
    let pairs = raw.as_chunks::<2>().0.iter();
    match is_big_endian {
        true => pairs.map(|pair| u16::from_be_bytes(*pair)).collect(),
        false => pairs.map(|pair| u16::from_le_bytes(*pair)).collect(),
    }
}

/// Iterator over numbers of fewer than 16 bits each, highest bit first.
struct Bits<'a> {
    bytes: std::slice::Iter<'a, u8>,
    bits: u32,
    buffer: u32,
    count: u32,
}

impl<'a> Bits<'a> {
    fn of(bytes: &'a [u8], bits: u32) -> Self {
        Self { bytes: bytes.iter(), bits, buffer: 0, count: 0 }
    }
}

impl Iterator for Bits<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        while self.count < self.bits {
            self.buffer = self.buffer << 8 | u32::from(*self.bytes.next()?);
            self.count += 8;
        }
        self.count -= self.bits;
        Some(self.buffer >> self.count & ((1 << self.bits) - 1))
    }
}

/// Converts IEEE 754 binary16 to a number.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    match exponent {
        0 => sign * fraction * 2_f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1.0 + fraction / 1024.0) * 2_f32.powi(exponent - 15),
    }
}

/// Undoes the predictor, which makes rows easier to compress (TIFF 6.0, section 14, and its supplement 3).
///
/// # Errors
/// A message, when the predictor is not supported.
pub(in crate::slide) fn unpredict(
    raw: &mut [u8],
    row_bytes: usize,
    samples: usize,
    predictor: u64,
    packing: Packing,
    is_big_endian: bool,
) -> Result<(), String> {
    let width = (packing.bits / 8) as usize;
    let rows = raw.chunks_exact_mut(row_bytes.max(1));
    match (predictor, packing.bits) {
        (1, _) => {}
        (2, 8) => rows.for_each(|row| match samples {
            1 => sum_bytes::<1>(row),
            3 => sum_bytes::<3>(row),
            4 => sum_bytes::<4>(row),
            _ => (samples..row.len()).for_each(|at| row[at] = row[at].wrapping_add(row[at - samples])),
        }),
        (2, 16 | 32 | 64) => rows.for_each(|row| {
            for at in (samples * width..row.len() / width * width).step_by(width) {
                let read = |row: &[u8], at: usize| {
                    let mut bytes = [0; 8];
                    bytes[..width].copy_from_slice(&row[at..at + width]);
                    if is_big_endian {
                        bytes[..width].reverse()
                    }
                    u64::from_le_bytes(bytes)
                };
                let sum = read(row, at).wrapping_add(read(row, at - samples * width));
                let mut bytes = sum.to_le_bytes();
                if is_big_endian {
                    bytes[..width].reverse()
                }
                row[at..at + width].copy_from_slice(&bytes[..width]);
            }
        }),
        (3, 16 | 32 | 64) if packing.format == SampleFormat::Float => {
            rows.for_each(|row| unpredict_floats(row, samples, width, is_big_endian));
        }
        _ => {
            return Err(format!(
                "its predictor {predictor} for samples of {} bits is not supported",
                packing.bits
            ));
        }
    }
    Ok(())
}

fn sum_bytes<const SAMPLES: usize>(row: &mut [u8]) {
    let mut previous = [0_u8; SAMPLES];
    for pixel in row.as_chunks_mut::<SAMPLES>().0 {
        for (sample, previous) in pixel.iter_mut().zip(&mut previous) {
            *sample = sample.wrapping_add(*previous);
            *previous = *sample;
        }
    }
}

/// Undoes the floating-point predictor: rows hold differences of bytes, with the most significant bytes of
/// all numbers first.
fn unpredict_floats(row: &mut [u8], samples: usize, width: usize, is_big_endian: bool) {
    for at in samples..row.len() {
        row[at] = row[at].wrapping_add(row[at - samples]);
    }
    let bytes = row.to_vec();
    let count = row.len() / width;
    for (index, number) in row.chunks_exact_mut(width).enumerate() {
        for (position, byte) in number.iter_mut().enumerate() {
            let significance = if is_big_endian { position } else { width - 1 - position };
            *byte = bytes[significance * count + index];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bits: u64, raw: &[u8], per_row: usize) -> Samples {
        let packing = Packing::of(bits, SampleFormat::Unsigned).unwrap();
        packing.samples(raw.to_vec(), raw.len(), per_row, false)
    }

    #[test]
    fn numbers_of_any_depth_are_unpacked_highest_bit_first() {
        assert_eq!(packed(1, &[0b1010_0000], 3), Samples::U8(vec![1, 0, 1]));
        assert_eq!(packed(4, &[0x1f, 0x20], 3), Samples::U8(vec![1, 15, 2]));
        assert_eq!(packed(12, &[0x12, 0x3a, 0xbc], 2), Samples::U16(vec![0x123, 0xabc]));
        assert_eq!(packed(16, &[0x34, 0x12], 1), Samples::U16(vec![0x1234]));
    }

    #[test]
    fn halves_are_read() {
        for (bits, number) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x0001, 5.960_464_5e-8)]
        {
            assert_eq!(half(bits), number);
        }
        assert!(half(0x7e00).is_nan() && half(0xfc00) == f32::NEG_INFINITY);
    }

    #[test]
    fn differences_are_summed_in_both_byte_orders() {
        let packing = Packing::of(16, SampleFormat::Unsigned).unwrap();
        let mut little = [0xff, 0x00, 0x02, 0x00];
        unpredict(&mut little, 4, 1, 2, packing, false).unwrap();
        assert_eq!(little, [0xff, 0x00, 0x01, 0x01]);
        let mut big = [0x00, 0xff, 0x00, 0x02];
        unpredict(&mut big, 4, 1, 2, packing, true).unwrap();
        assert_eq!(big, [0x00, 0xff, 0x01, 0x01]);
        assert!(unpredict(&mut big, 4, 1, 7, packing, true).is_err());
    }
}
