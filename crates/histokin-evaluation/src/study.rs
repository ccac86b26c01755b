//! Evaluation of a project as shown in the window: its encoder is compared with every other encoder that has
//! embedded the same slides, using the project's labels.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use serde_json::Value;

use super::comparison::{Comparison, ComparisonError, ComparisonSettings, compare};
use super::gather::{self, GatherError};
use super::labels::{self, LabelError, Labels};
use super::map::MapStore;
use super::report::{self, Map, Pictures, SHOWN_ANSWERS, extremes};
use super::sample::{Candidate, Sample, SampleError, SampleSlide};
use super::stain_change::{self, StainSettings};
use histokin_core::annotation::AnnotationError;
use histokin_core::geometry::Level0Rect;
use histokin_core::index::Snapshot;
use histokin_core::query::{self, Query, QueryError};
use histokin_core::slide::{SlideId, names};
use histokin_encoder::{self as encoder, DeviceChoice, Encoder, EncoderError, EncoderSpec};
use histokin_project::pipeline::{
    EmbedControl, EmbedError, EmbedProgress, EmbedRequest, EmbedSettings, HsvHistogram, TileSelection,
    embed_slide,
};
use histokin_project::project::Project;

/// An evaluation with everything needed to display it.
pub struct Study {
    /// Tiles on which the encoders were compared.
    pub sample: Sample,
    /// Results of the encoders.
    pub comparison: Comparison,
    /// The results as JSON.
    pub document: Value,
    /// Maps of the first encoder: UMAP, then principal components.
    pub maps: Vec<Map>,
    /// Images of the best and worst queries and their answers, by tile row.
    pub pictures: HashMap<u32, RgbImage>,
}

/// An error of an evaluation.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// The descriptors cannot be collected.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// The sample cannot be prepared.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The labels cannot be read.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// The encoders cannot be compared, or the evaluation was stopped.
    #[error(transparent)]
    Comparison(#[from] ComparisonError),
    /// An encoder cannot be loaded.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// The annotations that select the tiles of a slide cannot be read.
    #[error(transparent)]
    Annotations(#[from] AnnotationError),
    /// The colour histograms of a slide cannot be computed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
}

/// Share of the work that is done once the slides are embedded with the colour histogram.
const BASELINE_DONE: f64 = 0.15;
/// Share of the work that is done once the measures are taken.
const MEASURED: f64 = 0.6;
/// Share of the work that is done once the stain changes are measured; the map takes the rest.
const STAIN_DONE: f64 = 0.8;

/// Number of tiles that are embedded again under stain changes; small, because the user waits for the result.
const STAIN_TILES: usize = 48;

/// Receives the share (0 to 1) that is done and the current step, and returns whether to continue.
type Progress<'a> = &'a mut dyn FnMut(f64, &str) -> bool;

/// Evaluates the encoder `spec`, which is loaded by the name `which`, on the slides of `project` that it has
/// embedded. It is compared with every other encoder that has embedded all of them, and with the colour
/// histogram.
///
/// # Errors
/// [`StudyError`] when nothing can be measured; [`ComparisonError::Stopped`] when `progress` returns false.
pub fn of_project(
    project: &Project,
    spec: &EncoderSpec,
    which: &str,
    settings: &ComparisonSettings,
    progress: Progress<'_>,
) -> Result<Study, StudyError> {
    progress(0.0, "reading descriptors");
    let slides = gather::slides_of(project)?;
    let own = gather::of_project(project, spec, &slides)?;
    let is_embedded: Vec<bool> = own.slides.iter().map(|features| !features.centers_um.is_empty()).collect();
    let kept = |all: Vec<SampleSlide>| -> Vec<SampleSlide> {
        all.into_iter().zip(&is_embedded).filter(|(_, is)| **is).map(|(slide, _)| slide).collect()
    };
    let slides = kept(slides);
    let mut candidates = vec![gather::of_project(project, spec, &slides)?];
    let mut names = vec![which.to_owned()];
    for (other, name) in project.encoders().into_iter().filter(|(other, _)| other.id != spec.id) {
        let candidate = gather::of_project(project, &other, &slides)?;
        if candidate.slides.iter().all(|features| !features.centers_um.is_empty()) {
            candidates.push(candidate);
            names.push(name);
        }
    }
    if !spec.id.is_imported() {
        candidates.push(baseline(project, &slides, progress)?);
    }
    let (mut sample, encoders) = Sample::gather(slides, candidates)?;
    let mut target = Vec::new();
    if let Some(labels) = labels_of(project)? {
        sample.label(&labels, labels::COVERAGE, true)?;
        target = sample.target_if_any(&settings.class, settings.retrieval.exclude)?;
    }
    let mut comparison = compare(&sample, &encoders, &target, settings, &mut |share, doing| {
        progress(BASELINE_DONE + (MEASURED - BASELINE_DONE) * share, doing)
    })?;
    let changes = StainSettings {
        tiles: STAIN_TILES,
        exclude: settings.retrieval.exclude,
        seed: settings.retrieval.seed,
    };
    let step = (STAIN_DONE - MEASURED) / names.len() as f64;
    for (index, name) in names.iter().enumerate() {
        // An encoder that cannot be loaded has no stain robustness.
        let Ok(mut encoder) = encoder::load(name, DeviceChoice::Auto) else { continue };
        let at = MEASURED + step * index as f64;
        let doing = format!("{}: stain changes", encoders[index].name);
        let mut progress = |share: f64| progress(at + step * share, &doing);
        let (recipe, resampling) = (project.recipe(encoder.spec()), settings.resampling);
        let (one, encoder) = (&encoders[index], encoder.as_mut());
        match stain_change::measure(
            project,
            &sample,
            one,
            encoder,
            &recipe,
            &changes,
            &resampling,
            &mut progress,
        ) {
            Ok(stain) => comparison.encoders[index].stain = stain,
            Err(error) => comparison.notes.push(format!("Stain robustness of {name} not measured: {error}.")),
        }
    }
    let umap = report::map_of(Some(&MapStore::of_project(project)), &encoders, &comparison, &mut |share| {
        progress(STAIN_DONE + (1.0 - STAIN_DONE) * share, "laying out the map")
    });
    let maps = umap.into_iter().chain(report::pca_of(&encoders, &comparison)).collect();
    if !progress(1.0, "reading images") {
        return Err(ComparisonError::Stopped.into());
    }
    let document = report::json::document(&sample, &comparison);
    let pictures = pictures_of(project, &sample, &comparison);
    Ok(Study { sample, comparison, document, maps, pictures })
}

/// Returns the descriptors of the colour histogram. They are stored when slides are embedded; slides without
/// them, which earlier versions embedded, are read once.
fn baseline(
    project: &Project,
    slides: &[SampleSlide],
    progress: Progress<'_>,
) -> Result<Candidate, StudyError> {
    let mut histogram = HsvHistogram::new(project.settings().tiles);
    let spec = histogram.spec().clone();
    let (recipe, store) = (project.recipe(&spec), project.descriptors());
    let control = EmbedControl::default();
    for (index, slide) in slides.iter().enumerate() {
        let entry = project.find_slide(&slide.id).map_err(GatherError::Project)?;
        let source = project.open_slide(entry).map_err(GatherError::Slide)?;
        let selection = TileSelection::of_slide(project, &entry.id)?;
        let doing = format!("colours of {}", slide.name);
        let at = |share: f64| BASELINE_DONE * (index as f64 + share) / slides.len() as f64;
        let mut update = |event: EmbedProgress| {
            let share = match event {
                EmbedProgress::FindingTissue { .. } => 0.0,
                EmbedProgress::Started { done, total, .. } | EmbedProgress::Tiles { done, total, .. } => {
                    f64::from(done) / f64::from(total.max(1))
                }
                _ => return,
            };
            if !progress(at(share), &doing) {
                control.stop();
            }
        };
        let request = EmbedRequest {
            slide: source.as_ref(),
            selection: &selection,
            tissue: None,
            recipe: &recipe,
            store: &store,
            settings: EmbedSettings::default(),
        };
        embed_slide(&request, &mut histogram, &control, &mut update)?;
        if control.is_stopped() {
            return Err(ComparisonError::Stopped.into());
        }
    }
    Ok(gather::of_project(project, &spec, slides)?)
}

/// Reads the images of the best and worst queries and their answers.
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

/// Returns the labels of a project: the annotations of its slides that have a class, and the files in its
/// folder `labels`; `None` if there are neither.
///
/// # Errors
/// [`LabelError`] with the file that cannot be read.
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
        labels.join(labels::read_labels(&folder, &|stem| names::among(stem, &infos).cloned())?);
    }
    Ok((!labels.slides.is_empty()).then_some(labels))
}

impl Study {
    /// Writes the report to a new folder in the project's folder `reports` and returns its path. With
    /// `pseudonymise`, patients' names are replaced by codes.
    ///
    /// # Errors
    /// When the report cannot be written.
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
    /// Returns the distance of each tile of the sample to what `query` compares tiles with; NaN for a
    /// tile that is not in `index`.
    ///
    /// # Errors
    /// When an example is not in the index.
    pub fn distances(&self, index: &Snapshot, query: &Query) -> Result<Arc<[f32]>, QueryError> {
        let of_sets = query::distances(index, query)?;
        let ids: Vec<SlideId> = self.sample.slides.iter().map(|slide| SlideId(slide.id.clone())).collect();
        let sets: Vec<Option<usize>> =
            ids.iter().map(|slide| index.set_index(slide).map(|set| set as usize)).collect();
        let of_tile = |(rect, slide): (&Level0Rect, &u32)| {
            let set = sets[*slide as usize]?;
            let row = index.sets()[set].coords().binary_search_by_key(&(rect.y, rect.x), |[x, y]| (*y, *x));
            of_sets[set].get(row.ok()?).copied()
        };
        let tiles = self.sample.rects.iter().zip(&self.sample.tiles.slides);
        Ok(tiles.map(|tile| of_tile(tile).unwrap_or(f32::NAN)).collect())
    }

    /// Returns the row of the tile at `rect` on a slide.
    pub fn tile_at(&self, slide: &SlideId, rect: &Level0Rect) -> Option<u32> {
        let index = self.sample.slides.iter().position(|known| known.id == slide.0)? as u32;
        // Tiles are ordered by slide, then by y, then by x.
        let slides = &self.sample.tiles.slides;
        let first = slides.partition_point(|other| *other < index);
        let last = slides.partition_point(|other| *other <= index);
        let rects = self.sample.rects.get(first..last)?;
        let found = rects.binary_search_by_key(&(rect.y, rect.x), |known| (known.y, known.x)).ok()?;
        Some((first + found) as u32)
    }
}

/// Returns the first of `report-1`, `report-2`, … that does not exist.
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
