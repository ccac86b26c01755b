//! Parquet: one table of tiles with their descriptors, for pandas, Polars, DuckDB and Arrow.

use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::InterchangeError;
use histokin_core::descriptors::{DescriptorSet, Row};
use histokin_core::durable;

/// A descriptor is a list of floats, as Arrow writes them; the place is that of the tile's corner in level-0
/// pixels.
const SCHEMA: &str = "message tiles {
    REQUIRED BYTE_ARRAY slide (UTF8);
    REQUIRED INT64 x;
    REQUIRED INT64 y;
    REQUIRED INT32 width;
    REQUIRED INT32 height;
    REQUIRED group descriptor (LIST) { REPEATED group list { REQUIRED FLOAT element; } }
}";

/// Tiles in a row group: readers take one at a time.
const GROUP: usize = 16_384;

/// Write the descriptors of one slide, called `name`, with all that their recipe says as metadata of the file.
///
/// # Errors
/// [`InterchangeError`]; a file that was there before stays as it was.
pub fn write_parquet(path: &Path, set: &DescriptorSet, name: &str) -> Result<(), InterchangeError> {
    let bytes = table(set, name)
        .map_err(|error| InterchangeError::Unwritable { path: path.to_owned(), reason: error.to_string() })?;
    durable::write(path, &bytes).map_err(|source| InterchangeError::Io { path: path.to_owned(), source })
}

fn table(set: &DescriptorSet, name: &str) -> Result<Vec<u8>, ParquetError> {
    let recipe = &set.header.recipe;
    let entry = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(vec![
            entry("encoder_id", recipe.encoder_id.0.clone()),
            entry("encoder_name", recipe.encoder_name.clone()),
            entry("tile_px", recipe.tiles.tile_px.to_string()),
            entry("mpp", set.header.effective_mpp.to_string()),
        ]))
        .build();
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    for first in (0..set.len()).step_by(GROUP) {
        let rows: Vec<Row> = (first..(first + GROUP).min(set.len())).map(|row| Row(row as u32)).collect();
        let mut group = writer.next_row_group()?;
        write_group(&mut group, set, name, &rows)?;
        group.close()?;
    }
    writer.into_inner()
}

fn write_group<W: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    set: &DescriptorSet,
    name: &str,
    rows: &[Row],
) -> Result<(), ParquetError> {
    let rects: Vec<_> = rows.iter().map(|row| set.rect(*row)).collect();
    macro_rules! column {
        ($kind:ty, $values:expr, $definition:expr, $repetition:expr) => {
            if let Some(mut column) = group.next_column()? {
                column.typed::<$kind>().write_batch($values, $definition, $repetition)?;
                column.close()?;
            }
        };
    }
    let names = vec![ByteArray::from(name); rows.len()];
    column!(ByteArrayType, &names, None, None);
    column!(Int64Type, &rects.iter().map(|rect| rect.x).collect::<Vec<_>>(), None, None);
    column!(Int64Type, &rects.iter().map(|rect| rect.y).collect::<Vec<_>>(), None, None);
    column!(Int32Type, &rects.iter().map(|rect| rect.width as i32).collect::<Vec<_>>(), None, None);
    column!(Int32Type, &rects.iter().map(|rect| rect.height as i32).collect::<Vec<_>>(), None, None);
    let values: Vec<f32> = rows.iter().flat_map(|row| set.descriptor(*row)).copied().collect();
    // Every number is there (1), and all but the first of a list go on with it (1).
    let definition = vec![1_i16; values.len()];
    let repetition: Vec<i16> =
        (0..values.len()).map(|place| i16::from(place % set.width().max(1) != 0)).collect();
    column!(FloatType, &values, Some(&definition), Some(&repetition));
    Ok(())
}
