//! The report: what was measured, as a page and a PDF for people, tables, and a document for machines.
//!
//! ```text
//! sample + comparison → content → page (HTML), PDF
//!                     → tables (CSV), document (JSON)
//! ```

mod content;
mod drawing;
mod gallery;
mod html;
pub mod json;
mod pdf;
mod plots;
mod tables;
pub mod text;

use std::io;
use std::path::Path;

use serde_json::Value;

use super::comparison::Comparison;
use super::map::{self, MapKind, MapStore};
use super::sample::{Described, Sample};
use histokin_core::durable;

use content::Content;

pub use gallery::{Pictures, SHOWN_ANSWERS, extremes};

/// Descriptors of one encoder on a plane.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    pub kind: MapKind,
    /// Name of the encoder.
    pub encoder: String,
    /// One point a tile of the sample.
    pub points: Vec<[f32; 2]>,
}

/// Tiles of which a map for the report is laid out by UMAP; more would make it wait.
const MAPPED: usize = 5000;

/// The map of the first encoder, kept in or read from `store` where there is one; none when `tell`, which hears the
/// share that is done, says to stop.
pub fn map_of(
    store: Option<&MapStore>,
    described: &[Described],
    comparison: &Comparison,
    tell: &mut dyn FnMut(f64) -> bool,
) -> Option<Map> {
    let first = described.first()?;
    let settings = map::UmapSettings {
        laid_out: MAPPED,
        seed: comparison.settings.retrieval.seed,
        ..map::UmapSettings::default()
    };
    let descriptors = first.descriptors().ok()?;
    let points = match store {
        Some(store) => store.umap(&first.id, descriptors, &settings, tell)?,
        None => map::umap(descriptors, &settings, tell)?,
    };
    Some(Map { kind: MapKind::Umap, encoder: first.name.clone(), points })
}

/// The first encoder's descriptors along the two directions of their largest variance.
pub fn pca_of(described: &[Described], comparison: &Comparison) -> Option<Map> {
    let first = described.first()?;
    let points = map::pca(first.descriptors().ok()?, comparison.settings.retrieval.seed);
    Some(Map { kind: MapKind::Pca, encoder: first.name.clone(), points })
}

/// Write `report.html`, `report.pdf`, `report.json` and the tables `encoders.csv`, `paired.csv`, `classes.csv`,
/// `queries.csv` into `folder`, which is made when it is not there. Everything is composed before the first
/// file is written, and each file appears whole or not at all.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    folder: &Path,
    sample: &Sample,
    comparison: &Comparison,
    document: &Value,
    map: Option<&Map>,
    pictures: Option<&Pictures>,
) -> io::Result<()> {
    let content = Content::of(sample, comparison, map, pictures);
    let page = html::page(&content);
    let pdf = pdf::document(&content).map_err(io::Error::other)?;
    let json = serde_json::to_vec_pretty(document)?;
    let tables = tables::all(sample, comparison)?;
    std::fs::create_dir_all(folder)?;
    for (name, bytes) in &tables {
        durable::write(&folder.join(name), bytes)?;
    }
    durable::write(&folder.join("report.json"), &json)?;
    durable::write(&folder.join("report.pdf"), &pdf)?;
    durable::write(&folder.join("report.html"), page.as_bytes())
}
