//! Where candidates come from: the descriptors of a project, or files made elsewhere.

use std::collections::HashMap;
use std::path::Path;

use super::sample::{Candidate, SampleSlide, SlideFeatures};
use histokin_core::descriptors::{DescriptorError, Row};
use histokin_core::geometry::{Level0Rect, MicronsPerPixel};
use histokin_core::slide::{SlideError, SlideInfo};
use histokin_encoder::EncoderSpec;
use histokin_project::interchange::{self, InterchangeError, Places, TileFeatures};
use histokin_project::project::{Project, ProjectError, SlideEntry};

/// Slides and what encoders say of them.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    pub slides: Vec<SampleSlide>,
    /// Each with one entry a slide.
    pub candidates: Vec<Candidate>,
}

/// Why descriptors could not be gathered.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    #[error(transparent)]
    Slide(#[from] SlideError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    #[error(transparent)]
    Interchange(#[from] InterchangeError),
    #[error("{path}: there is no slide {name:?} in the project; name files of descriptors as their slides")]
    NoSlide { path: String, name: String },
    #[error(
        "{path}: the descriptors are {found} numbers wide, those of the files before {expected}; give one encoder's files"
    )]
    Width { path: String, found: usize, expected: usize },
    #[error("{path}: tiles are placed in pixels, but the pixel size is unknown; give --slide-mpp")]
    NoPixelSize { path: String },
    #[error("slides {slides} have no descriptors among {path}; encoders are compared on the same slides")]
    MissingSlides { path: String, slides: String },
}

/// The slides of a project, opened to know their pixel size.
///
/// # Errors
/// [`GatherError::Slide`] for a slide that cannot be opened or has no pixel size.
pub fn slides_of(project: &Project) -> Result<Vec<SampleSlide>, GatherError> {
    project.slides().iter().map(|entry| sample_slide(project, entry)).collect()
}

/// The same, without the slides that cannot be opened or have no pixel size, and what is wrong with each of those.
pub fn usable_slides_of(project: &Project) -> (Vec<SampleSlide>, Vec<GatherError>) {
    let (mut usable, mut problems) = (Vec::new(), Vec::new());
    for entry in project.slides() {
        match sample_slide(project, entry) {
            Ok(slide) => usable.push(slide),
            Err(error) => problems.push(error),
        }
    }
    (usable, problems)
}

fn sample_slide(project: &Project, entry: &SlideEntry) -> Result<SampleSlide, GatherError> {
    let path = project.slide_path(entry);
    let source = project.open_slide(entry)?;
    Ok(SampleSlide {
        id: entry.id.0.clone(),
        name: stem(&path),
        also: path.file_name().map(|name| name.to_string_lossy().into_owned()).into_iter().collect(),
        patient: None,
        mpp: Some(source.info().require_mpp()?),
    })
}

/// What is known of every slide that can be opened, by file stem.
pub fn infos(project: &Project) -> HashMap<String, SlideInfo> {
    let of_entry = |entry: &SlideEntry| {
        let source = project.open_slide(entry).ok()?;
        Some((stem(&project.slide_path(entry)), source.info().clone()))
    };
    project.slides().iter().filter_map(of_entry).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// What an encoder says of the slides of a project; nothing of those that are not embedded with it.
///
/// # Errors
/// [`GatherError`] for damaged files.
pub fn of_project(
    project: &Project,
    spec: &EncoderSpec,
    slides: &[SampleSlide],
) -> Result<Candidate, GatherError> {
    let (store, recipe) = (project.descriptors(), project.recipe(spec));
    let mut candidate =
        Candidate { id: spec.id.0.clone(), name: spec.name.clone(), width: spec.width, slides: Vec::new() };
    for slide in slides {
        let entry = project.find_slide(&slide.id)?;
        let mut features = SlideFeatures::default();
        if let (Some(set), Some(mpp)) = (store.open(&entry.id, &recipe)?, slide.mpp) {
            for row in (0..set.len() as u32).map(Row) {
                let rect = set.rect(row);
                features.centers_um.push(center_um(&rect, mpp));
                features.rects.push(rect);
            }
            features.values = set.features().to_vec();
        }
        candidate.slides.push(features);
    }
    Ok(candidate)
}

fn center_um(rect: &Level0Rect, mpp: MicronsPerPixel) -> [f64; 2] {
    let center = rect.center();
    [center.x * mpp.x, center.y * mpp.y]
}

/// Add the descriptors in a file or folder as one more candidate. Slides are known by the files' stems; with
/// `known_slides` they have to be among those gathered so far, otherwise new ones are added.
///
/// # Errors
/// [`GatherError`] with the file that does not fit.
pub fn add_features(
    gathered: &mut Gathered,
    path: &Path,
    slide_mpp: Option<MicronsPerPixel>,
    known_slides: bool,
) -> Result<(), GatherError> {
    let shown = path.display().to_string();
    let mut candidate: Option<Candidate> = None;
    let is_first = gathered.candidates.is_empty();
    for file in interchange::feature_files(path)? {
        let features = interchange::read_features(&file)?;
        let name = stem(&file);
        let place = match gathered.slides.iter().position(|slide| slide.name == name) {
            Some(place) => place,
            None if known_slides || !is_first => {
                return Err(GatherError::NoSlide { path: file.display().to_string(), name });
            }
            None => {
                gathered.slides.push(SampleSlide {
                    id: String::new(),
                    name,
                    also: Vec::new(),
                    patient: None,
                    mpp: slide_mpp,
                });
                gathered.slides.len() - 1
            }
        };
        let own = candidate.get_or_insert_with(|| Candidate {
            id: format!("file:{}", stem(path)),
            name: features.stated.encoder.clone().unwrap_or_else(|| stem(path)),
            width: features.width,
            slides: Vec::new(),
        });
        if own.width != features.width {
            let path = file.display().to_string();
            return Err(GatherError::Width { path, found: features.width, expected: own.width });
        }
        own.slides.resize(gathered.slides.len(), SlideFeatures::default());
        let mpp = gathered.slides[place].mpp.or(slide_mpp);
        own.slides[place] = placed(features, mpp, &file.display().to_string())?;
    }
    let Some(mut candidate) = candidate else { return Ok(()) };
    candidate.slides.resize(gathered.slides.len(), SlideFeatures::default());
    let missing: Vec<&str> = gathered
        .slides
        .iter()
        .zip(&candidate.slides)
        .filter(|(_, features)| features.centers_um.is_empty())
        .map(|(slide, _)| slide.name.as_str())
        .collect();
    if !missing.is_empty() {
        return Err(GatherError::MissingSlides { path: shown, slides: missing.join(", ") });
    }
    gathered.candidates.push(candidate);
    Ok(())
}

/// The tiles' places in µm, and their rectangles where these are known.
fn placed(
    features: TileFeatures,
    mpp: Option<MicronsPerPixel>,
    path: &str,
) -> Result<SlideFeatures, GatherError> {
    let wrong = |reason: String| InterchangeError::Malformed { path: path.into(), reason };
    let of_file = features.stated.level0_mpp().map(MicronsPerPixel::square);
    let mpp = mpp.or(of_file);
    let edge = features.stated.tile_level0(None, mpp).map_err(wrong)?;
    let no_pixel_size = || GatherError::NoPixelSize { path: path.to_owned() };
    let (rects, centers_um) = match features.places {
        Places::CentersUm(centers) => (Vec::new(), centers),
        Places::CornersUm(corners) => {
            let mpp = mpp.ok_or_else(no_pixel_size)?;
            let half = f64::from(edge.unwrap_or(0)) / 2.0;
            let center = |[x, y]: [f64; 2]| [x + half * mpp.x, y + half * mpp.y];
            (Vec::new(), corners.into_iter().map(center).collect())
        }
        Places::Corners(corners) => {
            let mpp = mpp.ok_or_else(no_pixel_size)?;
            let edge = edge.or_else(|| interchange::most_frequent_step(&corners)).unwrap_or(224);
            let rects: Vec<Level0Rect> =
                corners.iter().map(|[x, y]| Level0Rect::new(*x, *y, edge, edge)).collect();
            let centers = rects.iter().map(|rect| center_um(rect, mpp)).collect();
            (rects, centers)
        }
    };
    Ok(SlideFeatures { rects, centers_um, values: features.values })
}
