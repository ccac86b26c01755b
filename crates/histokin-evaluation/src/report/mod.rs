//! The report on a comparison: an HTML page, a PDF, CSV tables and a JSON document.
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
use super::sample::{EncoderDescriptors, Sample};
use histokin_core::durable;

use content::Content;

pub use gallery::{Pictures, SHOWN_ANSWERS, extremes};

/// A map of the descriptors of one encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Method by which the map was computed.
    pub kind: MapKind,
    /// Name of the encoder.
    pub encoder: String,
    /// One point per tile of the sample.
    pub points: Vec<[f32; 2]>,
}

/// Maximum number of tiles that are laid out by UMAP for the report; more would take too long.
const MAPPED: usize = 5000;

/// Returns the UMAP of the first encoder, cached in `store` if one is given. `progress` receives the share (0
/// to 1) that is done and returns whether to continue; the result is `None` if it returned false.
pub fn map_of(
    store: Option<&MapStore>,
    encoders: &[EncoderDescriptors],
    comparison: &Comparison,
    progress: &mut dyn FnMut(f64) -> bool,
) -> Option<Map> {
    let first = encoders.first()?;
    let settings = map::UmapSettings {
        laid_out: MAPPED,
        seed: comparison.settings.retrieval.seed,
        ..map::UmapSettings::default()
    };
    let descriptors = first.descriptors().ok()?;
    let points = match store {
        Some(store) => store.umap(&first.id, descriptors, &settings, progress)?,
        None => map::umap(descriptors, &settings, progress)?,
    };
    Some(Map { kind: MapKind::Umap, encoder: first.name.clone(), points })
}

/// Returns the map of the first encoder by principal components.
pub fn pca_of(encoders: &[EncoderDescriptors], comparison: &Comparison) -> Option<Map> {
    let first = encoders.first()?;
    let points = map::pca(first.descriptors().ok()?, comparison.settings.retrieval.seed);
    Some(Map { kind: MapKind::Pca, encoder: first.name.clone(), points })
}

/// Writes `report.html`, `report.pdf`, `report.json` and the tables `across_patients.csv`, `feedback.csv`,
/// `encoders.csv`, `paired.csv`, `classes.csv`, `queries.csv` to `folder`, which is created if necessary. All
/// content is composed before the first file is written, and each file is written durably: complete or not at all.
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
