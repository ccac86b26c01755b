//! Taking a slide out of the archive, with all that was ever pushed of it.

use super::error::During;
use super::push::{drop_patients_without_slides, lock};
use super::{Archive, ArchiveError};
use histokin_core::slide::SlideId;

/// Remove a slide, in one transaction; how many tiles it had.
///
/// # Errors
/// When the archive fails; then the slide is still there, whole.
pub fn remove(archive: &mut Archive, slide: &SlideId) -> Result<u64, ArchiveError> {
    let (url, doing) = (archive.url().clone(), "removing a slide");
    let mut work = archive.client.transaction().during(&url, doing)?;
    lock(&mut work, slide, &url)?;
    let sql = "SELECT slide FROM histokin.slides WHERE slide_id = $1";
    let Some(row) = work.query_opt(sql, &[&slide.0]).during(&url, doing)? else {
        return Err(ArchiveError::NoSuchSlide { url, name: slide.0.clone() });
    };
    let number: i32 = row.get(0);
    let mut tiles = 0;
    for table in ["tiles_vector", "tiles_halfvec"] {
        let sql = format!("DELETE FROM histokin.{table} WHERE slide = $1");
        tiles += work.execute(&sql, &[&number]).during(&url, doing)?;
    }
    for table in ["thumbnails", "descriptions", "slides"] {
        let sql = format!("DELETE FROM histokin.{table} WHERE slide = $1");
        work.execute(&sql, &[&number]).during(&url, doing)?;
    }
    drop_patients_without_slides(&mut work, &url)?;
    work.commit().during(&url, doing)?;
    Ok(tiles)
}
