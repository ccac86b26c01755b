//! NPY, numpy's own format of one array, with a table of the tiles beside it.

use std::path::Path;

use super::InterchangeError;
use histokin_core::descriptors::{DescriptorSet, Row};
use histokin_core::durable;

/// Write `<name>.npy` (f32, tiles × width) and `<name>.csv` (`slide,x,y,width,height`, level-0 pixels, in the
/// same order) into `folder`.
///
/// # Errors
/// [`InterchangeError::Io`]; files that were there before stay as they were.
pub fn write_npy(folder: &Path, set: &DescriptorSet, name: &str) -> Result<(), InterchangeError> {
    let write = |path: &Path, bytes: &[u8]| {
        durable::write(path, bytes).map_err(|source| InterchangeError::Io { path: path.to_owned(), source })
    };
    write(&folder.join(format!("{name}.npy")), &array(set.features(), set.width()))?;
    let mut table = csv::Writer::from_writer(Vec::new());
    let unwritable = |error: csv::Error| InterchangeError::Unwritable {
        path: folder.join(format!("{name}.csv")),
        reason: error.to_string(),
    };
    table.write_record(["slide", "x", "y", "width", "height"]).map_err(unwritable)?;
    for row in (0..set.len() as u32).map(Row) {
        let rect = set.rect(row);
        let numbers =
            [rect.x, rect.y, rect.width.into(), rect.height.into()].map(|number| number.to_string());
        table
            .write_record(std::iter::once(name).chain(numbers.iter().map(String::as_str)))
            .map_err(unwritable)?;
    }
    let table = table.into_inner().map_err(|error| unwritable(csv::Error::from(error.into_error())))?;
    write(&folder.join(format!("{name}.csv")), &table)
}

/// Format 1.0: magic, version, length of the header, header padded so that the numbers begin at a multiple
/// of 64 bytes (numpy.lib.format).
fn array(values: &[f32], width: usize) -> Vec<u8> {
    let rows = values.len() / width.max(1);
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let before = 10 + header.len() + 1;
    header.extend(std::iter::repeat_n(' ', before.next_multiple_of(64) - before));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_as_numpy_writes_it() {
        let bytes = array(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3);
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + length) % 64, 0);
        assert!(std::str::from_utf8(&bytes[10..10 + length]).unwrap().contains("'shape': (2, 3)"));
        assert_eq!(bytes[10 + length..], [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0].map(f32::to_le_bytes).concat());
    }
}
