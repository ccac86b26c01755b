//! Labels of the validation slides' tiles, for measuring retrieval during training.

use std::path::{Path, PathBuf};

use super::TrainingError;
use super::slides::TrainingSlide;
use histokin_core::annotation::AnnotationStore;
use histokin_core::slide::SlideInfo;
use histokin_core::slide::names::{self, Fit};
use histokin_evaluation::labels::{self, COVERAGE, LabelError, Labels};
use histokin_project::project::{ANNOTATIONS_FOLDER, LABELS_FOLDER, Project};

/// Sets the class of each tile of `slides` from the file or folder `which`, or, if that is empty, from the
/// labels and annotations of `project`. Returns the number of tiles that have a class.
///
/// # Errors
/// Returns [`TrainingError::Labels`] if a file cannot be read, and [`TrainingError::File`] if the given
/// labels are for other slides.
pub fn apply(project: &Path, which: &str, slides: &mut [TrainingSlide]) -> Result<usize, TrainingError> {
    let infos: Vec<SlideInfo> = slides.iter().map(|slide| slide.source.info().clone()).collect();
    let find = |stem: &str| {
        let fits = infos.iter().filter_map(|info| Some((fit(stem, info)?, info)));
        fits.min_by_key(|(fit, _)| *fit).map(|(_, info)| info.clone())
    };
    let folder = project.join(LABELS_FOLDER);
    let mut found = match which {
        "" if folder.is_dir() => labels::read_labels(&folder, &find)?,
        "" => Labels::default(),
        path => labels::read_labels(Path::new(path), &find)?,
    };
    if which.is_empty() {
        let annotations = match Project::open(project) {
            Ok(project) => project.annotations(),
            Err(_) => AnnotationStore::new(project.join(ANNOTATIONS_FOLDER)),
        };
        for info in &infos {
            let loaded = annotations.load(&info.id).map_err(LabelError::from)?;
            if let Some(reason) = loaded.trouble {
                return Err(TrainingError::File { path: annotations.path(&info.id), reason });
            }
            let drawn = labels::of_annotations(&loaded.set);
            found.slides.entry(info.id.0.clone()).or_default().join(drawn);
        }
    }
    let mut labelled = 0;
    for (slide, info) in slides.iter_mut().zip(&infos) {
        let mut drawn = labels::SlideLabels::default();
        for (_, of_name) in found.slides.iter().filter(|(name, _)| fit(name, info).is_some()) {
            drawn.join(of_name.clone());
        }
        let (classes, counts) = drawn.classes_of(&slide.tiles, COVERAGE);
        slide.classes = classes.into_iter().map(|class| class.map(str::to_owned)).collect();
        labelled += counts.labelled;
    }
    if labelled == 0 && !which.is_empty() && !slides.is_empty() {
        let known: Vec<String> = infos.iter().map(SlideInfo::name).collect();
        return Err(TrainingError::File {
            path: PathBuf::from(which),
            reason: format!("has no labels for the validation slides ({})", known.join(", ")),
        });
    }
    Ok(labelled)
}

/// Returns how well a name in a file of labels fits a slide; `None` if it does not.
fn fit(name: &str, info: &SlideInfo) -> Option<Fit> {
    let stem = info.path.file_stem().unwrap_or_default().to_string_lossy();
    names::fit(name, &[&info.id.0, &info.name(), &stem]).filter(|fit| !fit.is_by_file_alone)
}
