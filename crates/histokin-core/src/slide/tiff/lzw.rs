//! Decoding of LZW as in TIFF 6.0, section 13, whose codes begin with their highest bit.
//!
//! A tile is decoded into one piece of memory, so each string of the table is somewhere in the output already and is
//! copied from there. This takes half the time of a decoder for streams of unknown length, such as weezl, which has to
//! keep the strings itself.

use super::super::scratch;

/// Clears the table; smaller codes stand for single bytes.
const CLEAR: usize = 256;

/// Ends the stream.
const END: usize = 257;

/// The first code of a string of several bytes.
const FIRST: usize = 258;

/// Number of bits of the longest codes.
const MAX_BITS: u32 = 12;

/// Number of bytes that are copied at once; most strings are shorter.
const BLOCK: usize = 16;

/// A string, as its position in the output.
#[derive(Clone, Copy, Default)]
struct Span {
    start: u32,
    length: u32,
}

/// Decodes the bytes of `out`, at most 1 GiB, or fewer if the stream ends early; ignores the rest of the stream. Returns how
/// many were decoded.
///
/// # Errors
/// A message, when the stream has a code without a string.
pub(super) fn unpack(bytes: &[u8], out: &mut [u8]) -> Result<usize, String> {
    // The strings of a single byte lie behind the output, so that they need no distinction, which would often be
    // predicted wrongly. A block that begins with one of them must not leave the memory.
    scratch::with(out.len() + CLEAR + BLOCK, |memory| {
        let written = decode(bytes, memory, out.len())?;
        out[..written].copy_from_slice(&memory[..written]);
        Ok(written)
    })
}

/// Decodes up to `length` bytes to the beginning of `out`, which has [`CLEAR`] and [`BLOCK`] bytes more.
fn decode(bytes: &[u8], out: &mut [u8], length: usize) -> Result<usize, String> {
    let mut strings = [Span::default(); 1 << MAX_BITS];
    for (byte, string) in strings[..CLEAR].iter_mut().enumerate() {
        out[length + byte] = byte as u8;
        *string = Span { start: (length + byte) as u32, length: 1 };
    }
    let mut codes = Codes { bytes, buffer: 0, count: 0 };
    let (mut bits, mut next) = (9, FIRST);
    let mut previous = None::<Span>;
    let mut written = 0;
    while written < length {
        let Some(code) = codes.next(bits) else { break };
        if code == CLEAR {
            (bits, next, previous) = (9, FIRST, None);
            continue;
        }
        if code == END {
            break;
        }
        // The new string is the previous one and the first byte of this one, which follows it in the output.
        if let Some(Span { start, length }) = previous
            && next < strings.len()
        {
            strings[next] = Span { start, length: length + 1 };
            next += 1;
            // One code earlier than necessary, as the first programs that wrote TIFF files did.
            if next + 1 == 1 << bits && bits < MAX_BITS {
                bits += 1;
            }
        }
        if code >= next {
            return Err("its LZW has a code without a string".to_owned());
        }
        let (from, count) = (strings[code].start as usize, strings[code].length as usize);
        let end = written + count;
        if count <= BLOCK && written + BLOCK <= length {
            // Bytes beyond the string are overwritten later.
            out.copy_within(from..from + BLOCK, written);
        } else if end <= length {
            out.copy_within(from..from + count, written);
        } else {
            out.copy_within(from..from + length - written, written);
            written = length;
            break;
        }
        // The last byte of the newest string may be the first byte that was copied.
        out[end - 1] = out[from + count - 1];
        previous = Some(Span { start: written as u32, length: count as u32 });
        written = end;
    }
    Ok(written)
}

/// Codes of changing lengths, highest bit first.
struct Codes<'a> {
    bytes: &'a [u8],
    buffer: u64,
    count: u32,
}

impl Codes<'_> {
    /// The next code of `bits` bits; `None` at the end.
    fn next(&mut self, bits: u32) -> Option<usize> {
        if self.count < bits {
            if let Some((four, rest)) = self.bytes.split_first_chunk::<4>() {
                self.buffer = self.buffer << 32 | u64::from(u32::from_be_bytes(*four));
                (self.count, self.bytes) = (self.count + 32, rest);
            }
            while self.count < bits {
                let (byte, rest) = self.bytes.split_first()?;
                self.buffer = self.buffer << 8 | u64::from(*byte);
                (self.count, self.bytes) = (self.count + 8, rest);
            }
        }
        self.count -= bits;
        Some((self.buffer >> self.count) as usize & ((1 << bits) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weezl::BitOrder;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(bytes).unwrap()
    }

    /// As [`unpack`], by weezl; `None` unless `length` bytes are decoded.
    fn by_weezl(bytes: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut decoder = weezl::decode::Configuration::with_tiff_size_switch(BitOrder::Msb, 8)
            .with_yield_on_full_buffer(true)
            .build();
        let mut out = vec![0; length];
        let (mut read, mut written) = (0, 0);
        while written < length {
            let step = decoder.decode_bytes(&bytes[read..], &mut out[written..]);
            (read, written) = (read + step.consumed_in, written + step.consumed_out);
            if step.status.is_err() || step.consumed_in + step.consumed_out == 0 {
                break;
            }
        }
        (written == length).then_some(out)
    }

    fn by_us(bytes: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut out = vec![0; length];
        unpack(bytes, &mut out).ok().filter(|written| *written == length).map(|_| out)
    }

    #[test]
    fn the_longest_strings_and_full_tables_are_decoded() {
        let noise: Vec<u8> =
            (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for bytes in [vec![7; 300_000], noise] {
            assert!(by_us(&packed(&bytes), bytes.len()).as_ref() == Some(&bytes));
        }
    }

    proptest! {
        #[test]
        fn whatever_was_packed_is_unpacked(
            bytes in prop::collection::vec(0_u8..4, 0..20_000),
            cut in any::<prop::sample::Index>(),
        ) {
            let stream = packed(&bytes);
            prop_assert_eq!(by_us(&stream, bytes.len()), Some(bytes.clone()));
            // An output that is full ends the decoding, at any length.
            let length = cut.index(bytes.len() + 1);
            prop_assert_eq!(by_us(&stream, length), Some(bytes[..length].to_vec()));
            prop_assert_eq!(by_us(&stream, bytes.len() + 1), None);
        }

        #[test]
        fn damaged_streams_are_decoded_as_by_weezl(
            bytes in prop::collection::vec(0_u8..8, 1..8_000),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let mut stream = packed(&bytes);
            for (position, byte) in changes {
                let at = position.index(stream.len());
                stream[at] = byte;
            }
            prop_assert_eq!(by_us(&stream, bytes.len()), by_weezl(&stream, bytes.len()));
        }

        #[test]
        fn bytes_that_are_no_stream_are_decoded_as_by_weezl(
            bytes in prop::collection::vec(any::<u8>(), 0..4_000),
            length in 0_usize..10_000,
        ) {
            prop_assert_eq!(by_us(&bytes, length), by_weezl(&bytes, length));
        }
    }
}
