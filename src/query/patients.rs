//! Which slides are of one patient, as their file names tell.

use std::path::Path;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// Which patients' slides may hold matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Patients {
    #[default]
    Any,
    /// The patient of the query's slide.
    Same,
    /// Everyone else.
    Others,
}

/// TCGA barcodes name the patient in their first three parts; elsewhere the part before the first separator does.
pub const USUAL_PATTERN: &str = r"^(TCGA-[^-]+-[^-]+|[^_\s.\-]+)";

/// How file names tell patients apart: the first group of a regular expression, or all that it finds.
#[derive(Debug, Clone)]
pub struct PatientNames(Regex);

impl PatientNames {
    /// # Errors
    /// What is wrong with the pattern.
    pub fn new(pattern: &str) -> Result<Self, regex::Error> {
        Ok(Self(Regex::new(pattern)?))
    }

    /// The patient of a slide's file; nobody where the pattern finds nothing.
    pub fn of(&self, path: &Path) -> Option<String> {
        let name = path.file_stem()?.to_str()?;
        let found = self.0.captures(name)?;
        Some(found.get(1).or_else(|| found.get(0))?.as_str().to_owned())
    }
}

impl Patients {
    /// Whether a slide in `path` may hold matches for a query on the slide in `query`. Where a name tells no
    /// patient, it counts as one of its own.
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
        let names = PatientNames::new(USUAL_PATTERN).unwrap();
        let of = |name: &str| names.of(Path::new(name));
        assert_eq!(of("/a/TCGA-CR-7395-01A-01-TS1.svs").as_deref(), Some("TCGA-CR-7395"));
        assert_eq!(of("PA05_breast_lobular.tif").as_deref(), Some("PA05"));
        assert_eq!(of("_.tif"), None);
        let accept = |patients: Patients, other: &str| {
            patients.accept(&names, Path::new("PA05_a.svs"), Path::new(other))
        };
        assert!(accept(Patients::Same, "PA05_b.svs") && !accept(Patients::Same, "PA06_a.svs"));
        assert!(accept(Patients::Others, "PA06_a.svs") && !accept(Patients::Others, "PA05_b.svs"));
        let own = PatientNames::new(r"case(\d+)").unwrap();
        assert_eq!(own.of(Path::new("x-case12-b.svs")).as_deref(), Some("12"));
        assert!(PatientNames::new("(").is_err());
    }
}
