//! Assignment of slides to patients, by a list of slides or by their file names.

use std::collections::HashMap;
use std::path::Path;

use regex::Regex;
use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, EnumString};

use crate::slide::names;

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
    listed: HashMap<String, String>,
    /// The same by each form of the name ([`names::forms`]); `None` where slides of several patients have it.
    by_form: HashMap<String, Option<String>>,
}

impl PatientNames {
    /// Creates the assignment by a regular expression on the stem of file names, with an empty list.
    ///
    /// # Errors
    /// When the pattern is not a valid regular expression.
    pub fn new(pattern: &str) -> Result<Self, regex::Error> {
        Ok(Self { pattern: Regex::new(pattern)?, listed: HashMap::new(), by_form: HashMap::new() })
    }

    /// Creates the assignment by [`DEFAULT_PATTERN`].
    pub fn usual() -> Self {
        Self::new(DEFAULT_PATTERN).expect("a test compiles this pattern")
    }

    /// Adds a list of pairs (file name or stem, patient), which takes precedence over the pattern. A name that is not a
    /// slide's as it stands is compared in its [forms](names::forms).
    pub fn with_list(self, list: impl IntoIterator<Item = (String, String)>) -> Self {
        let listed: HashMap<String, String> = list.into_iter().collect();
        let mut by_form: HashMap<String, Option<String>> = HashMap::new();
        for (name, patient) in &listed {
            for form in names::forms(name) {
                let known = by_form.entry(form).or_insert_with(|| Some(patient.clone()));
                if known.as_ref() != Some(patient) {
                    *known = None;
                }
            }
        }
        Self { listed, by_form, ..self }
    }

    /// Returns the patient of a slide's file; `None` if neither list nor pattern gives one.
    pub fn of(&self, path: &Path) -> Option<String> {
        let stem = path.file_stem()?.to_str()?;
        let own: Vec<&str> = path.file_name()?.to_str().into_iter().chain([stem]).collect();
        let by_form = |name: &&str| self.by_form.get(&names::plain(name))?.as_ref();
        let listed = own.iter().find_map(|name| self.listed.get(*name));
        if let Some(patient) = listed.or_else(|| own.iter().find_map(by_form)) {
            return Some(patient.clone());
        }
        let found = self.pattern.captures(stem)?;
        Some(found.get(1).or_else(|| found.get(0))?.as_str().to_owned())
    }
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
        assert_eq!(
            listed.of(Path::new("pa06_A.ndpi")).as_deref(),
            Some("P1"),
            "the same name in other letters"
        );
        let two = [("a.svs".to_owned(), "P1".to_owned()), ("a.tif".to_owned(), "P2".to_owned())];
        let listed = PatientNames::usual().with_list(two);
        assert_eq!(listed.of(Path::new("A.tif")).as_deref(), Some("P2"));
        assert_eq!(listed.of(Path::new("a.ndpi")).as_deref(), Some("a"), "it may be either");
        let own = PatientNames::new(r"case(\d+)").unwrap();
        assert_eq!(own.of(Path::new("x-case12-b.svs")).as_deref(), Some("12"));
        assert!(PatientNames::new("(").is_err());
    }
}
