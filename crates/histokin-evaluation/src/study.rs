//! A study of a project as the window shows it: its encoder beside every other that has described the same
//! slides, on the labels that the project keeps.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use serde_json::Value;

use super::baseline::HsvHistogram;
use super::comparison::{Comparison, ComparisonError, ComparisonSettings, compare};
use super::gather::{self, GatherError};
use super::labels::{self, LabelError, Labels};
use super::map::MapStore;
use super::report::{self, Map, Pictures, SHOWN_ANSWERS, extremes};
use super::sample::{Candidate, Sample, SampleError, SampleSlide};
use super::stain_change::{self, StainSettings};
use histokin_core::geometry::Level0Rect;
use histokin_core::index::Snapshot;
use histokin_core::query::{self, Example, QueryError};
use histokin_core::slide::SlideId;
use histokin_encoder::{self as encoder, DeviceChoice, EncoderSpec};
use histokin_project::pipeline::{EmbedControl, EmbedError, EmbedProgress, EmbedSettings, embed_slide};
use histokin_project::project::Project;

/// What was measured, with all that is needed to look at it.
pub struct Study {
    pub sample: Sample,
    pub comparison: Comparison,
    /// The same for machines.
    pub document: Value,
    /// Of the first encoder: by UMAP, and by principal components.
    pub maps: Vec<Map>,
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
    #[error(transparent)]
    Embed(#[from] EmbedError),
}

/// Share of the work that is done when the colour histogram has described the slides, when the measures are
/// taken, and when the stain has been changed; the map takes the rest.
const BASELINE_DONE: f64 = 0.15;
const MEASURED: f64 = 0.6;
const STAIN_DONE: f64 = 0.8;

/// Tiles that are described anew under changes of the stain: a person waits for them.
const STAIN_TILES: usize = 48;

/// Hears the share (0 to 1) that is done and what is being done, and answers whether to go on.
type Tell<'a> = &'a mut dyn FnMut(f64, &str) -> bool;

/// Measure the encoder `spec`, which `which` names, on the slides of `project` that it has described, beside every
/// other encoder that has described all of them and the histogram of their colours, which does so now.
///
/// # Errors
/// [`StudyError`] when nothing can be measured; [`ComparisonError::Stopped`] when `tell` said so.
pub fn of_project(
    project: &Project,
    spec: &EncoderSpec,
    which: &str,
    settings: &ComparisonSettings,
    tell: Tell<'_>,
) -> Result<Study, StudyError> {
    tell(0.0, "reading descriptors");
    let slides = gather::slides_of(project)?;
    let own = gather::of_project(project, spec, &slides)?;
    let is_described: Vec<bool> = own.slides.iter().map(|features| !features.centers_um.is_empty()).collect();
    let kept = |all: Vec<SampleSlide>| -> Vec<SampleSlide> {
        all.into_iter().zip(&is_described).filter(|(_, is)| **is).map(|(slide, _)| slide).collect()
    };
    let slides = kept(slides);
    let mut candidates = vec![gather::of_project(project, spec, &slides)?];
    let mut names = vec![which.to_owned()];
    for (other, name) in others(project, spec) {
        let candidate = gather::of_project(project, &other, &slides)?;
        if candidate.slides.iter().all(|features| !features.centers_um.is_empty()) {
            candidates.push(candidate);
            names.push(name);
        }
    }
    if !spec.id.is_imported()
        && let Some(baseline) = baseline(project, &slides, tell)?
    {
        candidates.push(baseline);
    }
    let (mut sample, described) = Sample::gather(slides, candidates)?;
    let mut target = Vec::new();
    if let Some(labels) = labels_of(project)? {
        sample.label(&labels, labels::COVERAGE, true)?;
        target = sample.target(&settings.class)?;
    }
    let mut comparison = compare(&sample, &described, &target, settings, &mut |share, doing| {
        tell(BASELINE_DONE + (MEASURED - BASELINE_DONE) * share, doing)
    })?;
    let changes = StainSettings {
        tiles: STAIN_TILES,
        exclude: settings.retrieval.exclude,
        seed: settings.retrieval.seed,
    };
    let step = (STAIN_DONE - MEASURED) / names.len() as f64;
    for (place, name) in names.iter().enumerate() {
        // One that cannot be loaded is measured without this.
        let Ok(mut encoder) = encoder::load(name, DeviceChoice::Auto) else { continue };
        let at = MEASURED + step * place as f64;
        let told = format!("{}: changes of the stain", described[place].name);
        let mut tell = |share: f64| tell(at + step * share, &told);
        let (recipe, resampling) = (project.recipe(encoder.spec()), settings.resampling);
        let (one, encoder) = (&described[place], encoder.as_mut());
        match stain_change::measure(project, &sample, one, encoder, &recipe, &changes, &resampling, &mut tell)
        {
            Ok(stain) => comparison.encoders[place].stain = stain,
            Err(error) => comparison.notes.push(format!("No stain robustness of {name}: {error}.")),
        }
    }
    let umap = report::map_of(Some(&MapStore::of_project(project)), &described, &comparison, &mut |share| {
        tell(STAIN_DONE + (1.0 - STAIN_DONE) * share, "laying out the map")
    });
    let maps = umap.into_iter().chain(report::pca_of(&described, &comparison)).collect();
    if !tell(1.0, "reading pictures") {
        return Err(ComparisonError::Stopped.into());
    }
    let document = report::json::document(&sample, &comparison);
    let pictures = pictures_of(project, &sample, &comparison);
    Ok(Study { sample, comparison, document, maps, pictures })
}

/// What the histogram of their colours says of the slides; none where it cannot be had.
fn baseline(
    project: &Project,
    slides: &[SampleSlide],
    tell: Tell<'_>,
) -> Result<Option<Candidate>, StudyError> {
    let Ok(spec) = HsvHistogram::of_project(project) else { return Ok(None) };
    let mut histogram = HsvHistogram::new(spec.tiles, spec.stain_reference);
    let recipe = project.recipe(&spec);
    let control = EmbedControl::default();
    for (place, slide) in slides.iter().enumerate() {
        let Ok(entry) = project.find_slide(&slide.id) else { continue };
        let source = project.open_slide(entry).map_err(GatherError::Slide)?;
        let (store, settings) = (project.descriptors(), EmbedSettings::default());
        let doing = format!("colours of {}", slide.name);
        let at = |share: f64| BASELINE_DONE * (place as f64 + share) / slides.len() as f64;
        let mut told = |progress: EmbedProgress| {
            let (EmbedProgress::Started { done, total, .. } | EmbedProgress::Tiles { done, total, .. }) =
                progress
            else {
                return;
            };
            if !tell(at(f64::from(done) / f64::from(total.max(1))), &doing) {
                control.stop();
            }
        };
        embed_slide(source.as_ref(), None, &mut histogram, &recipe, &store, settings, &control, &mut told)?;
        if control.is_stopped() {
            return Err(ComparisonError::Stopped.into());
        }
    }
    Ok(Some(gather::of_project(project, &spec, slides)?))
}

/// Encoders that may have described the same slides: those that ship, and the project's own; each with the name by
/// which it is loaded.
fn others(project: &Project, spec: &EncoderSpec) -> Vec<(EncoderSpec, String)> {
    let files = std::fs::read_dir(project.root().join("models")).into_iter().flatten().flatten();
    let mut own: Vec<String> = files.map(|file| file.path().to_string_lossy().into_owned()).collect();
    own.sort();
    let names = encoder::available().into_iter().map(|model| model.name).chain(own);
    let mut found: Vec<(EncoderSpec, String)> = Vec::new();
    for name in names {
        // What is no model, and what lacks its weights, has described nothing.
        if let Ok(other) = encoder::spec(&name)
            && other.id != spec.id
            && found.iter().all(|(known, _)| known.id != other.id)
        {
            found.push((other, name));
        }
    }
    found
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

/// The labels that a project keeps: the annotations drawn on its slides that have a class, and what lies in its
/// folder `labels`; none where there is neither.
///
/// # Errors
/// [`LabelError`] with the file that cannot be understood.
pub fn labels_of(project: &Project) -> Result<Option<Labels>, LabelError> {
    let mut labels = Labels::default();
    for slide in project.slides() {
        let loaded = project.annotations().load(&slide.id)?;
        if let Some(reason) = loaded.trouble {
            return Err(LabelError::File { path: project.annotations().path(&slide.id), reason });
        }
        let drawn = labels::of_annotations(&loaded.set);
        if !drawn.areas.is_empty() {
            labels.join(Labels { slides: [(slide.id.0.clone(), drawn)].into(), ..Labels::default() });
        }
    }
    let folder = project.root().join("labels");
    if folder.is_dir() {
        let infos = gather::infos(project);
        labels.join(labels::read_labels(&folder, &|stem| infos.get(stem).cloned())?);
    }
    Ok((!labels.slides.is_empty()).then_some(labels))
}

impl Study {
    /// Write the report into a new folder below `reports`, with codes in place of patients' names where that is
    /// asked for; the folder is returned.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_report(&self, project: &Project, pseudonymise: bool) -> std::io::Result<PathBuf> {
        let folder = free_folder(&project.root().join("reports"));
        let pictures = Pictures::of_project(project);
        let (mut sample, mut comparison) = (self.sample.clone(), self.comparison.clone());
        if pseudonymise {
            let names = sample.pseudonymise();
            comparison.notes.iter_mut().for_each(|note| *note = names.apply(note));
        }
        let document = report::json::document(&sample, &comparison);
        report::write(&folder, &sample, &comparison, &document, self.maps.first(), Some(&pictures))?;
        Ok(folder)
    }
}

impl Study {
    /// How far each tile of the sample is from the nearest of the examples `positives`; NaN where it is not in `index`.
    ///
    /// # Errors
    /// When an example is not in the index.
    pub fn distances(&self, index: &Snapshot, positives: &[Example]) -> Result<Arc<[f32]>, QueryError> {
        let of_sets = query::distances(index, positives)?;
        let ids: Vec<SlideId> = self.sample.slides.iter().map(|slide| SlideId(slide.id.clone())).collect();
        let sets: Vec<Option<usize>> =
            ids.iter().map(|slide| index.place(slide).map(|place| place as usize)).collect();
        let of_tile = |(rect, slide): (&Level0Rect, &u32)| {
            let place = sets[*slide as usize]?;
            let row = index.sets()[place].coords().binary_search_by_key(&(rect.y, rect.x), |[x, y]| (*y, *x));
            of_sets[place].get(row.ok()?).copied()
        };
        let tiles = self.sample.rects.iter().zip(&self.sample.tiles.slides);
        Ok(tiles.map(|tile| of_tile(tile).unwrap_or(f32::NAN)).collect())
    }

    /// The row of the tile at `rect` of a slide.
    pub fn tile_at(&self, slide: &SlideId, rect: &Level0Rect) -> Option<u32> {
        let place = self.sample.slides.iter().position(|known| known.id == slide.0)? as u32;
        // Tiles stand slide by slide, and on each by y, then by x.
        let slides = &self.sample.tiles.slides;
        let first = slides.partition_point(|other| *other < place);
        let last = slides.partition_point(|other| *other <= place);
        let rects = self.sample.rects.get(first..last)?;
        let found = rects.binary_search_by_key(&(rect.y, rect.x), |known| (known.y, known.x)).ok()?;
        Some((first + found) as u32)
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
