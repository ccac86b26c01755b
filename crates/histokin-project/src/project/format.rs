//! Format versions of `project.toml`, and the migration of older ones.
//!
//! - 1: the first versions. Annotation classes may be absent, and are then the default ones.
//! - 2: classes are always written, so that a project keeps them when the defaults change; the file states
//!   the version of the program that wrote it (`written_by`).

use toml::{Table, Value};

use histokin_core::annotation::AnnotationClass;

/// Format that this program writes.
pub const FORMAT: u32 = 2;

/// Returns the format of a file; `None` if the file does not state it.
pub fn of(table: &Table) -> Option<u32> {
    table.get("format")?.as_integer().and_then(|number| u32::try_from(number).ok())
}

/// Migrates an older file to [`FORMAT`], step by step.
///
/// # Errors
/// When the file's format never existed.
pub fn migrate(table: &mut Table, from: u32) -> Result<(), String> {
    match from {
        1 => {
            if !table.contains_key("class") {
                let classes =
                    Value::try_from(AnnotationClass::defaults()).map_err(|error| error.to_string())?;
                table.insert("class".to_owned(), classes);
            }
        }
        FORMAT.. => {}
        0 => return Err("there is no format 0".to_owned()),
    }
    table.insert("format".to_owned(), Value::from(i64::from(FORMAT.max(from))));
    Ok(())
}
