//! The versions of `project.toml`, and how those of older programs become those of this one.
//!
//! - 1: what the first versions wrote. Annotation classes may be absent, and then are the usual ones.
//! - 2: classes are always written, so that a project keeps its own when the usual ones change; the file says
//!   which program wrote it (`written_by`).

use toml::{Table, Value};

use histokin_core::annotation::AnnotationClass;

/// The version that this program writes.
pub const FORMAT: u32 = 2;

/// The version of a file; `None` when it does not say.
pub fn of(table: &Table) -> Option<u32> {
    table.get("format")?.as_integer().and_then(|number| u32::try_from(number).ok())
}

/// Bring an older file up to [`FORMAT`], step by step.
///
/// # Errors
/// When the file's version never existed.
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
