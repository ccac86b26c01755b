//! Collecting descriptors for evaluation, from a project or from imported files.

use std::collections::HashMap;
use std::path::Path;

use super::sample::{Candidate, SampleSlide, SlideFeatures, longer_names};
use histokin_core::descriptors::{DescriptorError, Row};
use histokin_core::geometry::{Level0Rect, MicronsPerPixel};
use histokin_core::slide::{SlideError, SlideInfo};
use histokin_encoder::EncoderSpec;
use histokin_project::interchange::{self, InterchangeError, TileFeatures, TilePositions};
use histokin_project::project::{Project, ProjectError, SlideEntry};

/// Slides, and the descriptors of each encoder.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    /// Slides that are evaluated.
    pub slides: Vec<SampleSlide>,
    /// Encoders, each with one entry per slide.
    pub candidates: Vec<Candidate>,
}

/// An error while collecting descriptors.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// A slide cannot be opened or has no pixel size.
    #[error(transparent)]
    Slide(#[from] SlideError),
    /// The project has no such slide.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// The project's descriptors cannot be read.
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    /// A file of imported descriptors cannot be read.
    #[error(transparent)]
    Interchange(#[from] InterchangeError),
    /// A file is named after a slide that is not in the project.
    #[error("{path}: there is no slide {name:?} in the project; name descriptor files after their slides")]
    NoSlide {
        /// Path of the file or folder.
        path: String,
        /// Stem of the file name.
        name: String,
    },
    /// A file is named after several slides.
    #[error("{path}: several slides are named {name:?}; rename them, so that it is clear which one is meant")]
    SharedName {
        /// Path of the file.
        path: String,
        /// Stem of the file name.
        name: String,
    },
    /// Files of one encoder have descriptors of different widths.
    #[error(
        "{path}: its descriptors have {found} numbers, those of earlier files {expected}; give files of one encoder"
    )]
    Width {
        /// Path of the file or folder.
        path: String,
        /// Width in this file.
        found: usize,
        /// Width in the files before.
        expected: usize,
    },
    /// Positions are in pixels, but the pixel size is unknown.
    #[error("{path}: tile positions are in pixels, but the pixel size is unknown; give --slide-mpp")]
    NoPixelSize {
        /// Path of the file or folder.
        path: String,
    },
    /// A file has no tiles.
    #[error("{path}: it has no tiles")]
    NoTiles {
        /// Path of the file.
        path: String,
    },
    /// The files lack some of the slides.
    #[error("{path} has no descriptors of slides {slides}; encoders are compared on the same slides")]
    MissingSlides {
        /// Path of the file or folder.
        path: String,
        /// Names of the slides, separated by commas.
        slides: String,
    },
    /// Several files cannot be used.
    #[error("{} problems with the descriptors:{}", .0.len(), lines(.0))]
    Several(Vec<GatherError>),
}

impl GatherError {
    /// Returns all errors as one, so that they can be mended together.
    ///
    /// # Errors
    /// If there is any.
    pub fn all(errors: Vec<Self>) -> Result<(), Self> {
        let each = |error| match error {
            Self::Several(errors) => errors,
            error => vec![error],
        };
        let mut errors: Vec<Self> = errors.into_iter().flat_map(each).collect();
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }
}

fn lines(errors: &[GatherError]) -> String {
    errors.iter().map(|error| format!("\n  {error}")).collect()
}

/// Returns the slides of a project. Each is opened to read its pixel size.
///
/// # Errors
/// [`GatherError::Slide`] for a slide that cannot be opened or has no pixel size.
pub fn slides_of(project: &Project) -> Result<Vec<SampleSlide>, GatherError> {
    project.slides().iter().map(|entry| sample_slide(project, entry)).collect()
}

/// Returns the slides of a project that can be opened and have a pixel size, and the errors of the others.
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
        also: longer_names(&path),
        patient: None,
        mpp: Some(source.info().require_mpp()?),
    })
}

/// Returns the information on every slide that can be opened, by each of its names: file stem, file name, ID. Of slides
/// with the same name, one is returned; [`Sample::label`](super::sample::Sample::label) refuses labels for such a name.
pub fn infos(project: &Project) -> HashMap<String, SlideInfo> {
    let mut infos = HashMap::new();
    for entry in project.slides() {
        let Ok(source) = project.open_slide(entry) else { continue };
        let path = project.slide_path(entry);
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for name in [stem(&path), file, entry.id.0.clone()] {
            infos.insert(name, source.info().clone());
        }
    }
    infos
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns an encoder's descriptors of the slides of a project; a slide that is not embedded has none.
///
/// # Errors
/// [`GatherError`] for damaged files, or slides that are not in the project.
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

/// Returns the centre of a tile in µm.
fn center_um(rect: &Level0Rect, mpp: MicronsPerPixel) -> [f64; 2] {
    let center = rect.center();
    [center.x * mpp.x(), center.y * mpp.y()]
}

/// Adds the descriptors in a file or folder as another encoder. Files are matched to slides by their stems.
/// With `known_slides`, the slides must be among those collected so far; otherwise the first encoder may add
/// new ones.
///
/// # Errors
/// [`GatherError`] with all files that cannot be used.
pub fn add_features(
    gathered: &mut Gathered,
    path: &Path,
    slide_mpp: Option<MicronsPerPixel>,
    known_slides: bool,
) -> Result<(), GatherError> {
    let may_add = !known_slides && gathered.slides.is_empty();
    let mut candidate: Option<Candidate> = None;
    let mut errors = Vec::new();
    let mut found = vec![false; gathered.slides.len()];
    for file in interchange::feature_files(path)? {
        let features = interchange::read_features(&file).map_err(GatherError::from);
        let name = stem(&file);
        let slides = gathered.slides.iter().enumerate();
        let named: Vec<usize> =
            slides.filter(|(_, slide)| slide.name == name).map(|(index, _)| index).collect();
        let index = match named[..] {
            [index] => index,
            [_, _, ..] => {
                errors.push(GatherError::SharedName { path: file.display().to_string(), name });
                continue;
            }
            [] if !may_add => {
                let no_slide = |_| GatherError::NoSlide { path: file.display().to_string(), name };
                errors.push(features.map_or_else(|error| error, no_slide));
                continue;
            }
            [] => {
                let mpp = slide_mpp;
                let slide = SampleSlide { id: String::new(), name, also: Vec::new(), patient: None, mpp };
                gathered.slides.push(slide);
                found.push(false);
                gathered.slides.len() - 1
            }
        };
        found[index] = true;
        let mpp = gathered.slides[index].mpp.or(slide_mpp);
        let added =
            features.and_then(|features| add_file(&mut candidate, features, (path, &file), (index, mpp)));
        errors.extend(added.err());
    }
    let missing: Vec<&str> = gathered
        .slides
        .iter()
        .zip(found)
        .filter(|(_, is_found)| !is_found)
        .map(|(slide, _)| slide.name.as_str())
        .collect();
    if !missing.is_empty() && candidate.is_some() {
        let (path, slides) = (path.display().to_string(), missing.join(", "));
        errors.push(GatherError::MissingSlides { path, slides });
    }
    GatherError::all(errors)?;
    gathered.candidates.extend(candidate);
    Ok(())
}

/// Adds the descriptors of the slide `index` from `file`, which belongs to the encoder at `path`.
fn add_file(
    candidate: &mut Option<Candidate>,
    features: TileFeatures,
    (path, file): (&Path, &Path),
    (index, mpp): (usize, Option<MicronsPerPixel>),
) -> Result<(), GatherError> {
    let shown = file.display().to_string();
    let own = candidate.get_or_insert_with(|| Candidate {
        id: format!("file:{}", stem(path)),
        name: features.stated.encoder.clone().unwrap_or_else(|| stem(path)),
        width: features.width,
        slides: Vec::new(),
    });
    if own.width != features.width {
        return Err(GatherError::Width { path: shown, found: features.width, expected: own.width });
    }
    let placed = placed(features, mpp, &shown)?;
    if placed.centers_um.is_empty() {
        return Err(GatherError::NoTiles { path: shown });
    }
    own.slides.resize(own.slides.len().max(index + 1), SlideFeatures::default());
    own.slides[index] = placed;
    Ok(())
}

/// Returns the tiles with centres in µm, and their rectangles if these are known.
fn placed(
    features: TileFeatures,
    mpp: Option<MicronsPerPixel>,
    path: &str,
) -> Result<SlideFeatures, GatherError> {
    let wrong = |reason: String| InterchangeError::Malformed { path: path.into(), reason };
    let of_file = features.stated.level0_mpp().and_then(|um| MicronsPerPixel::square(um).ok());
    let mpp = mpp.or(of_file);
    let edge = features.stated.tile_level0(None, mpp).map_err(wrong)?;
    let no_pixel_size = || GatherError::NoPixelSize { path: path.to_owned() };
    let (rects, centers_um) = match features.positions {
        TilePositions::CentersUm(centers) => (Vec::new(), centers),
        TilePositions::CornersUm(corners) => {
            let mpp = mpp.ok_or_else(no_pixel_size)?;
            let half = f64::from(edge.unwrap_or(0)) / 2.0;
            let center = |[x, y]: [f64; 2]| [x + half * mpp.x(), y + half * mpp.y()];
            (Vec::new(), corners.into_iter().map(center).collect())
        }
        TilePositions::Corners(corners) => {
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
