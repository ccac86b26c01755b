//! The Camelyon16 data set as distributed: its slides, annotations and reference file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::labels::{LabelError, Labels, SlideLabels, read_annotations};

/// Slides of a Camelyon16 folder that are evaluated, and their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Camelyon {
    /// The test slides if there are any, as in the paper; otherwise the training slides.
    pub slides: Vec<PathBuf>,
    /// Labels of the slides, by file stem in lower case.
    pub labels: Labels,
}

/// Class of tissue without tumour.
pub const NORMAL: &str = "normal";

/// The test slide whose tumour is only partly outlined (README of the data set): tissue outside its outlines
/// is unknown, not normal.
const PARTLY_ANNOTATED: [&str; 1] = ["test_114"];

/// Finds slides (`test_001.tif`, `normal_001.tif`, `tumor_001.tif`), annotations (`….xml`) and
/// `reference.csv` in `folder` and its subfolders. Returns `None` if there is no such slide.
///
/// Tissue outside the outlined tumour is normal. Slides without an annotation that are not listed as normal
/// get no labels.
///
/// # Errors
/// [`LabelError`] with the file that cannot be read.
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
                    .push(format!("{name}: neither annotated nor listed as normal; left unlabelled."));
                continue;
            }
        };
        own.elsewhere = (!PARTLY_ANNOTATED.contains(&name.as_str())).then(|| NORMAL.to_owned());
        labels.slides.insert(name, own);
    }
    Ok(Some(Camelyon { slides, labels }))
}

/// Maximum depth of subfolders that are searched; more than the data set has.
const DEEPEST: usize = 4;

/// Adds all files below `folder` to `found`.
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

/// Returns whether a file name is that of a Camelyon16 slide; masks are named `tumor_001_mask.tif`.
fn is_slide(path: &Path) -> bool {
    let name = stem(path);
    ending(path) == "tif"
        && ["test_", "normal_", "tumor_"].iter().any(|kind| {
            name.strip_prefix(kind)
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        })
}

/// Reads whether each test slide is `tumor` or `normal`, by its name in lower case. Rows are such as
/// `test_001,Tumor,IDC,Macro`; a header is optional.
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
            return Err(at(line, "a row must have a slide and its kind, such as test_001,Tumor".to_owned()));
        };
        let kind = kind.to_lowercase();
        let slide = slide.to_lowercase();
        match kind.as_str() {
            "tumor" | "normal" => _ = kinds.insert(slide.trim_end_matches(".tif").to_owned(), kind),
            // A header.
            _ if line == 1 => {}
            _ => return Err(at(line, format!("the kind is {kind:?}; it must be Tumor or Normal"))),
        }
    }
    Ok(kinds)
}
