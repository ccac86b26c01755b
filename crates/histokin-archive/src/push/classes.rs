//! Annotation classes of tiles.

use std::collections::BTreeMap;

use super::PushProgress;
use crate::error::During;
use crate::{Archive, ArchiveError};
use histokin_core::annotation::{AnnotationClass, AnnotationSet};
use histokin_core::descriptors::DescriptorSet;
use histokin_core::geometry::Level0Point;
use histokin_project::project::Project;

/// Returns for each tile the archive's number of its class in the project; empty if no tile has one.
pub(super) fn of_project(
    archive: &mut Archive,
    project: &Project,
    set: &DescriptorSet,
    report: &mut dyn FnMut(PushProgress<'_>),
) -> Result<Vec<Option<i16>>, ArchiveError> {
    let loaded = project.annotations().load(&set.header.slide_id)?;
    if let Some(trouble) = loaded.trouble {
        report(PushProgress::Notice(trouble));
    }
    let classes = classes_of(set, &loaded.set);
    if classes.iter().all(Option::is_none) {
        return Ok(Vec::new());
    }
    let named: BTreeMap<&str, &AnnotationClass> =
        classes.iter().flatten().map(|class| (class.name.as_str(), class)).collect();
    let numbers = numbers(archive, &named)?;
    Ok(classes.iter().map(|class| numbers.get(&class.as_ref()?.name).copied()).collect())
}

/// Returns for each tile the class of the annotation that contains its centre; of several, the one drawn on
/// top.
pub fn classes_of(set: &DescriptorSet, annotations: &AnnotationSet) -> Vec<Option<AnnotationClass>> {
    let mut classes = vec![None; set.len()];
    let (width, height) = (f64::from(set.header.tile_level0), f64::from(set.header.tile_height_level0()));
    let [columns, rows] = set.header.grid.map(f64::from);
    for annotation in annotations.iter() {
        let (Some(class), Some(bounds)) = (&annotation.class, annotation.bounds()) else { continue };
        let polygons = annotation.shape().polygons();
        // Only grid cells that the annotation's bounds overlap.
        let cells = |from: f64, to: f64, edge: f64, most: f64| {
            let first = (from / edge).floor().clamp(0.0, most) as u32;
            first..((to / edge).floor() + 1.0).clamp(0.0, most) as u32
        };
        for row in cells(bounds.min.y, bounds.max.y, height, rows) {
            for column in cells(bounds.min.x, bounds.max.x, width, columns) {
                let center =
                    Level0Point::new((f64::from(column) + 0.5) * width, (f64::from(row) + 0.5) * height);
                if let Some(tile) = set.row_at(center)
                    && polygons.iter().any(|polygon| polygon.contains(center))
                {
                    classes[tile.0 as usize] = Some(class.clone());
                }
            }
        }
    }
    classes
}

/// Returns the archive's numbers of these classes by name; missing classes are added.
fn numbers(
    archive: &mut Archive,
    named: &BTreeMap<&str, &AnnotationClass>,
) -> Result<BTreeMap<String, i16>, ArchiveError> {
    let (url, doing) = (archive.url().clone(), "adding classes");
    for (name, class) in named {
        let [red, green, blue] = class.color.map(i32::from);
        let color = red << 16 | green << 8 | blue;
        let sql = "INSERT INTO histokin.classes (name, color) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        archive.client.execute(sql, &[name, &color]).during(&url, doing)?;
    }
    let names: Vec<&str> = named.keys().copied().collect();
    let sql = "SELECT name, class FROM histokin.classes WHERE name = ANY($1)";
    let rows = archive.client.query(sql, &[&names]).during(&url, doing)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
