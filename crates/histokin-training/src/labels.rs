//! What is known of the validation slides' tiles, to see while learning whether like tissue is found.

use std::path::{Path, PathBuf};

use super::TrainingError;
use super::slides::TrainingSlide;
use histokin_core::annotation::AnnotationStore;
use histokin_core::slide::SlideInfo;
use histokin_evaluation::labels::{self, COVERAGE, LabelError, Labels};
use histokin_project::project::{ANNOTATIONS_FOLDER, LABELS_FOLDER, Project};

/// Give the tiles of `slides` their classes: from the file or folder `which`, or, where that is empty, from what the
/// `project` keeps of labels and annotations. Answers how many tiles have one.
///
/// # Errors
/// [`TrainingError::Labels`] when a file cannot be understood, or labels that were asked for are of other slides.
pub fn apply(project: &Path, which: &str, slides: &mut [TrainingSlide]) -> Result<usize, TrainingError> {
    let infos: Vec<SlideInfo> = slides.iter().map(|slide| slide.source.info().clone()).collect();
    let find = |stem: &str| infos.iter().find(|info| names(info).iter().any(|name| name == stem)).cloned();
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
        let names = names(info);
        let mut drawn = labels::SlideLabels::default();
        for (_, of_name) in found.slides.iter().filter(|(name, _)| names.contains(name)) {
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
            reason: format!("labels no tile of the validation slides ({})", known.join(", ")),
        });
    }
    Ok(labelled)
}

/// What files may call a slide.
fn names(info: &SlideInfo) -> Vec<String> {
    let stem = info.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    vec![info.id.0.clone(), info.name(), stem]
}
