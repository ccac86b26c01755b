//! Assignment of slides to patients, by a list of slides or by their file names.

use std::collections::BTreeMap;
use std::path::Path;

use regex::Regex;
use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString};

use crate::table::Table;

/// Restriction of the search by patient.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, EnumIter, EnumMessage, EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Patients {
    /// No restriction.
    #[default]
    Any,
    /// Only the patient of the query's slide.
    Same,
    /// All patients except that of the query's slide.
    Others,
}

/// Default pattern for the patient in a file name: the first three parts of a TCGA barcode, or else the part
/// before the first separator.
pub const DEFAULT_PATTERN: &str = r"^(TCGA-[^-]+-[^-]+|[^_\s.\-]+)";

/// Determines the patient of a slide: from a list or, for slides not on it, from the file name by the first
/// group of a regular expression (the whole match if it has no group).
#[derive(Debug, Clone)]
pub struct PatientNames {
    pattern: Regex,
    /// Patients by file name or stem.
    listed: BTreeMap<String, String>,
}

impl PatientNames {
    /// Creates the assignment by a regular expression on the stem of file names, with an empty list.
    ///
    /// # Errors
    /// When the pattern is not a valid regular expression.
    pub fn new(pattern: &str) -> Result<Self, regex::Error> {
        Ok(Self { pattern: Regex::new(pattern)?, listed: BTreeMap::new() })
    }

    /// Creates the assignment by [`DEFAULT_PATTERN`].
    pub fn usual() -> Self {
        Self::new(DEFAULT_PATTERN).expect("a test compiles this pattern")
    }

    /// Adds a list of pairs (file name or stem, patient), which takes precedence over the pattern.
    pub fn with_list(self, list: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { listed: list.into_iter().collect(), ..self }
    }

    /// Returns the patient of a slide's file; `None` if neither list nor pattern gives one.
    pub fn of(&self, path: &Path) -> Option<String> {
        let stem = path.file_stem()?.to_str()?;
        let listed = path.file_name().and_then(|name| self.listed.get(name.to_str()?));
        if let Some(patient) = listed.or_else(|| self.listed.get(stem)) {
            return Some(patient.clone());
        }
        let found = self.pattern.captures(stem)?;
        Some(found.get(1).or_else(|| found.get(0))?.as_str().to_owned())
    }
}

/// Reads slides and their patients from a [`Table`] with the columns `slide` or `file`, and `patient`. Returns each name
/// once.
///
/// # Errors
/// A message that names the file, when it cannot be read, lacks a column, or gives two patients for one name.
pub fn read_patients(path: &Path) -> Result<Vec<(String, String)>, String> {
    let wrong = |reason: String| format!("{}: {reason}", path.display());
    let Table { mut reader, .. } = Table::open(path).map_err(|error| wrong(error.to_string()))?;
    let header = reader.headers().map_err(|error| wrong(error.to_string()))?.clone();
    let column = |name: &str| header.iter().position(|column| column.eq_ignore_ascii_case(name));
    let patient = column("patient").ok_or_else(|| wrong("there is no column named patient".to_owned()))?;
    let names: Vec<usize> = ["file", "slide"].into_iter().filter_map(column).collect();
    if names.is_empty() {
        return Err(wrong("there is no column named slide or file".to_owned()));
    }
    let mut patients: BTreeMap<String, String> = BTreeMap::new();
    for row in reader.records() {
        let row = row.map_err(|error| wrong(error.to_string()))?;
        let text = |column: usize| row.get(column).unwrap_or_default();
        if text(patient).is_empty() {
            continue;
        }
        for name in names.iter().map(|column| text(*column)).filter(|name| !name.is_empty()) {
            // A list may give files with their paths.
            let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
            let known = patients.entry(name.to_owned()).or_insert_with(|| text(patient).to_owned());
            if known != text(patient) {
                return Err(wrong(format!(
                    "line {}: {name} is of patient {} here, but of {known} before; give slides of different patients \
                     different file names",
                    row.position().map_or(0, csv::Position::line),
                    text(patient)
                )));
            }
        }
    }
    Ok(patients.into_iter().collect())
}

impl Patients {
    /// Returns whether the slide at `path` may contain matches for a query on the slide at `query`. A slide
    /// without a known patient counts as a patient of its own.
    pub fn accept(self, names: &PatientNames, query: &Path, path: &Path) -> bool {
        let same = || match (names.of(query), names.of(path)) {
            (Some(a), Some(b)) => a == b,
            _ => query == path,
        };
        match self {
            Self::Any => true,
            Self::Same => same(),
            Self::Others => !same(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_tell_patients_apart() {
        let names = PatientNames::new(DEFAULT_PATTERN).unwrap();
        let of = |name: &str| names.of(Path::new(name));
        assert_eq!(of("/a/TCGA-CR-7395-01A-01-TS1.svs").as_deref(), Some("TCGA-CR-7395"));
        assert_eq!(of("PA05_breast_lobular.tif").as_deref(), Some("PA05"));
        assert_eq!(of("_.tif"), None);
        let accept = |patients: Patients, other: &str| {
            patients.accept(&names, Path::new("PA05_a.svs"), Path::new(other))
        };
        assert!(accept(Patients::Same, "PA05_b.svs") && !accept(Patients::Same, "PA06_a.svs"));
        assert!(accept(Patients::Others, "PA06_a.svs") && !accept(Patients::Others, "PA05_b.svs"));
        let list = [("PA05_a".to_owned(), "P1".to_owned()), ("PA06_a.svs".to_owned(), "P1".to_owned())];
        let listed = PatientNames::usual().with_list(list);
        assert!(Patients::Same.accept(&listed, Path::new("x/PA05_a.svs"), Path::new("y/PA06_a.svs")));
        assert_eq!(listed.of(Path::new("PA07_b.svs")).as_deref(), Some("PA07"), "not on the list");
        let own = PatientNames::new(r"case(\d+)").unwrap();
        assert_eq!(own.of(Path::new("x-case12-b.svs")).as_deref(), Some("12"));
        assert!(PatientNames::new("(").is_err());
    }

    #[test]
    fn a_list_of_slides_names_patients() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slides.csv");
        std::fs::write(&path, "slide,file,patient\nPA01,a/PA01.tif,P 1\nPA02,,P2\nPA03,PA03.tif,\n").unwrap();
        let pair = |slide: &str, patient: &str| (slide.to_owned(), patient.to_owned());
        let wanted = [pair("PA01", "P 1"), pair("PA01.tif", "P 1"), pair("PA02", "P2")];
        assert_eq!(read_patients(&path).unwrap(), wanted);
        std::fs::write(&path, "Slide;Patient\r\nPA01;P 1\r\n").unwrap();
        assert_eq!(read_patients(&path).unwrap(), [pair("PA01", "P 1")]);
        std::fs::write(&path, "file,patient\na/s.svs,P1\nb/t.svs,P1\nb/s.svs,P2\n").unwrap();
        let error = read_patients(&path).unwrap_err();
        assert!(error.contains("line 4: s.svs is of patient P2 here, but of P1 before"), "{error}");
        std::fs::write(&path, "slide,organ\na,lung\n").unwrap();
        let error = read_patients(&path).unwrap_err();
        assert!(error.contains("slides.csv") && error.contains("patient"), "{error}");
    }
}
