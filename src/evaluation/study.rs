//! A study of a project as the window shows it: its encoder beside every other that has described the same
//! slides, on the labels that the project keeps.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use image::RgbImage;
use serde_json::Value;

use super::comparison::{Comparison, ComparisonError, ComparisonSettings, compare};
use super::floor::HsvHistogram;
use super::gather::{self, GatherError};
use super::labels::{self, LabelError, Labels};
use super::report::{self, Map, Pictures, SHOWN_ANSWERS, extremes};
use super::sample::{Sample, SampleError};
use crate::encoder::{self, EncoderSpec};
use crate::project::Project;

/// What was measured, with all that is needed to look at it.
pub struct Study {
    pub sample: Sample,
    pub comparison: Comparison,
    /// The same for machines.
    pub document: Value,
    pub map: Option<Map>,
    /// Pictures of the queries that went best and worst and of their answers, by row of the tile.
    pub pictures: HashMap<u32, RgbImage>,
}

/// Why there is no study.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    #[error(transparent)]
    Gather(#[from] GatherError),
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error(transparent)]
    Labels(#[from] LabelError),
    #[error(transparent)]
    Comparison(#[from] ComparisonError),
}

/// Share of the work that measuring is; the map takes the rest.
const MEASURED: f64 = 0.7;

/// Measure the encoder `spec` on the slides of `project` that it has described, beside every other encoder
/// that has described all of them. `tell` hears the share (0 to 1) that is done and what is being done, and
/// answers whether to go on.
///
/// # Errors
/// [`StudyError`] when nothing can be measured; [`ComparisonError::Stopped`] when `tell` said so.
pub fn of_project(
    project: &Project,
    spec: &EncoderSpec,
    settings: &ComparisonSettings,
    tell: &mut dyn FnMut(f64, &str) -> bool,
) -> Result<Study, StudyError> {
    tell(0.0, "reading descriptors");
    let mut slides = gather::slides_of(project)?;
    let own = gather::of_project(project, spec, &slides)?;
    let is_described: Vec<bool> = own.slides.iter().map(|features| !features.centers_um.is_empty()).collect();
    let mut candidates = vec![own];
    for other in others(project, spec) {
        let candidate = gather::of_project(project, &other, &slides)?;
        let has_all = candidate
            .slides
            .iter()
            .zip(&is_described)
            .all(|(features, described)| !described || !features.centers_um.is_empty());
        if has_all {
            candidates.push(candidate);
        }
    }
    let mut described = is_described.iter();
    slides.retain(|_| described.next().copied().unwrap_or(false));
    for candidate in &mut candidates {
        let mut described = is_described.iter();
        candidate.slides.retain(|_| described.next().copied().unwrap_or(false));
    }
    let (mut sample, described) = Sample::gather(slides, candidates)?;
    let mut target = Vec::new();
    if let Some(labels) = labels_of(project)? {
        sample.label(&labels, labels::COVERAGE, true)?;
        target = sample.target(&settings.class)?;
    }
    let comparison =
        compare(&sample, &described, &target, settings, &mut |share, doing| tell(MEASURED * share, doing))?;
    let map = report::map_of(&described, &comparison, &mut |share| {
        tell(MEASURED + (1.0 - MEASURED) * share, "laying out the map")
    });
    let document = report::json::document(&sample, &comparison);
    let pictures = pictures_of(project, &sample, &comparison);
    Ok(Study { sample, comparison, document, map, pictures })
}

fn pictures_of(project: &Project, sample: &Sample, comparison: &Comparison) -> HashMap<u32, RgbImage> {
    let source = Pictures::of_project(project);
    let mut pictures = HashMap::new();
    for target in comparison.encoders.iter().filter_map(|one| one.target.as_ref()) {
        for query in extremes(target, sample).into_iter().flatten() {
            let answers = query.answers.iter().take(SHOWN_ANSWERS).map(|answer| answer.tile);
            for tile in std::iter::once(query.tile).chain(answers) {
                if !pictures.contains_key(&tile)
                    && let Some(picture) = source.tile(sample, tile)
                {
                    pictures.insert(tile, picture);
                }
            }
        }
    }
    pictures
}

/// Encoders that may have described the same slides.
fn others(project: &Project, spec: &EncoderSpec) -> Vec<EncoderSpec> {
    let models = encoder::available().into_iter().filter_map(|model| encoder::spec(&model.name).ok());
    models.chain(HsvHistogram::of_project(project).ok()).filter(|other| other.id != spec.id).collect()
}

/// The labels that a project keeps, in its folder `labels`; none where there is no such folder.
///
/// # Errors
/// [`LabelError`] with the file that cannot be understood.
pub fn labels_of(project: &Project) -> Result<Option<Labels>, LabelError> {
    let folder = project.root().join("labels");
    if !folder.is_dir() {
        return Ok(None);
    }
    let infos = gather::infos(project).unwrap_or_default();
    labels::read_labels(&folder, &|stem| infos.get(stem).cloned()).map(Some)
}

impl Study {
    /// Write the report into a new folder below `reports`; the folder is returned.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_report(&self, project: &Project) -> std::io::Result<PathBuf> {
        let reports = project.root().join("reports");
        let folder = free_folder(&reports);
        let pictures = Pictures::of_project(project);
        report::write(
            &folder,
            &self.sample,
            &self.comparison,
            &self.document,
            self.map.as_ref(),
            Some(&pictures),
        )?;
        Ok(folder)
    }
}

/// The first of `report-1`, `report-2`, … that is not there yet.
fn free_folder(reports: &Path) -> PathBuf {
    let mut number = 1;
    loop {
        let folder = reports.join(format!("report-{number}"));
        if !folder.exists() {
            return folder;
        }
        number += 1;
    }
}
