//! Camelyon16 as it is distributed: where its slides, annotations and reference lie, and what they say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::labels::{LabelError, Labels, SlideLabels, read_annotations};

/// The slides of a Camelyon16 folder that are evaluated, and their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Camelyon {
    /// The test slides where there are any, as in the paper; otherwise those for training.
    pub slides: Vec<PathBuf>,
    pub labels: Labels,
}

/// Class of tissue that is free of tumour.
pub const NORMAL: &str = "normal";

/// The one test slide whose tumour is not outlined wholly (README of the data set): what lies outside the
/// outlines there is unknown, not normal.
const PARTLY_ANNOTATED: [&str; 1] = ["test_114"];

/// Find slides (`test_001.tif`, `normal_001.tif`, `tumor_001.tif`), annotations (`….xml`) and `reference.csv`
/// in `folder`, at whatever depth they lie. None when there is no such slide.
///
/// Tissue outside the outlined tumour is normal; slides that neither have an annotation nor are said to be
/// normal are left out of the labels.
///
/// # Errors
/// [`LabelError`] with the file that cannot be understood.
pub fn find(folder: &Path) -> Result<Option<Camelyon>, LabelError> {
    let mut files = Vec::new();
    search(folder, 0, &mut files);
    files.sort();
    let slides: Vec<PathBuf> = files.iter().filter(|path| is_slide(path)).cloned().collect();
    let (test, training): (Vec<PathBuf>, Vec<PathBuf>) =
        slides.into_iter().partition(|path| stem(path).starts_with("test_"));
    let slides = if test.is_empty() { training } else { test };
    if slides.is_empty() {
        return Ok(None);
    }
    let annotations: BTreeMap<String, &PathBuf> =
        files.iter().filter(|path| ending(path) == "xml").map(|path| (stem(path), path)).collect();
    let reference =
        match files.iter().find(|path| path.file_name().is_some_and(|name| name == "reference.csv")) {
            Some(path) => read_reference(path)?,
            None => BTreeMap::new(),
        };
    let mut labels = Labels::default();
    for slide in &slides {
        let name = stem(slide);
        let is_normal =
            name.starts_with("normal_") || reference.get(&name).is_some_and(|kind| kind == "normal");
        let mut own = match annotations.get(&name) {
            Some(path) => {
                let (own, notes) = read_annotations(path, None)?;
                labels.notes.extend(notes);
                own
            }
            None if is_normal => SlideLabels::default(),
            None => {
                labels
                    .notes
                    .push(format!("{name}: neither annotated nor said to be normal; left unlabelled."));
                continue;
            }
        };
        own.elsewhere = (!PARTLY_ANNOTATED.contains(&name.as_str())).then(|| NORMAL.to_owned());
        labels.slides.insert(name, own);
    }
    Ok(Some(Camelyon { slides, labels }))
}

/// Deeper than the data set is laid out.
const DEEPEST: usize = 4;

fn search(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if !path.is_dir() {
            found.push(path);
        } else if depth < DEEPEST {
            search(&path, depth + 1, found);
        }
    }
}

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Whether a file is named as Camelyon16's slides are; masks are named `tumor_001_mask.tif`.
fn is_slide(path: &Path) -> bool {
    let name = stem(path);
    ending(path) == "tif"
        && ["test_", "normal_", "tumor_"].iter().any(|kind| {
            name.strip_prefix(kind)
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        })
}

/// The kind of each test slide, in lower case: rows such as `test_001,Tumor,IDC,Macro`, without a header.
fn read_reference(path: &Path) -> Result<BTreeMap<String, String>, LabelError> {
    let at = |line: u64, reason: String| LabelError::Line { path: path.to_owned(), line, reason };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| at(1, error.to_string()))?;
    let mut kinds = BTreeMap::new();
    for row in reader.records() {
        let row =
            row.map_err(|error| at(error.position().map_or(1, csv::Position::line), error.to_string()))?;
        let line = row.position().map_or(0, csv::Position::line);
        let (Some(slide), Some(kind)) = (row.get(0), row.get(1)) else {
            return Err(at(line, "a row names a slide and its kind, such as test_001,Tumor".to_owned()));
        };
        let kind = kind.to_lowercase();
        let slide = slide.to_lowercase();
        match kind.as_str() {
            "tumor" | "normal" => _ = kinds.insert(slide.trim_end_matches(".tif").to_owned(), kind),
            // A first line of names.
            _ if line == 1 => {}
            _ => return Err(at(line, format!("the kind is {kind:?}; Tumor or Normal is known"))),
        }
    }
    Ok(kinds)
}
