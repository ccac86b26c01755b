//! Assignment of slides to patients, from a table or from slide names.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use super::LabelError;
use histokin_core::query::{PatientTableError, read_patient_table};

/// Patients by the names of their slides, from a table.
#[derive(Debug, Clone, Default)]
pub struct PatientsByName {
    /// Patient of each name.
    pub patients: BTreeMap<String, String>,
    /// Sentence for the reader, if the encoding of the table had to be guessed.
    pub note: Option<String>,
}

/// How the patient of a slide is found.
#[derive(Debug, Clone)]
pub enum Patients {
    /// A table of slides and patients.
    Table(PatientsByName),
    /// The first group of a regular expression applied to the slide's names, or the whole match without a
    /// group.
    Pattern(regex::Regex),
}

impl Patients {
    /// Reads a table of slides and patients ([`read_patient_table`]). Rows without a patient are passed over.
    ///
    /// # Errors
    /// [`LabelError`] with the line that cannot be read, or that contradicts an earlier one.
    pub fn read(path: &Path) -> Result<Self, LabelError> {
        let at = |line: u64, reason: String| LabelError::Line { path: path.to_owned(), line, reason };
        let table = read_patient_table(path).map_err(|error| match error {
            PatientTableError::Io(source) => LabelError::of_io(path, source),
            PatientTableError::Line(error) => at(error.line, error.reason),
        })?;
        let mut patients: BTreeMap<String, String> = BTreeMap::new();
        for row in table.rows {
            for slide in row.names {
                let known = patients.entry(slide.clone()).or_insert_with(|| row.patient.clone());
                if *known != row.patient {
                    let reason =
                        format!("slide {slide} is of patient {} here, but of {known} before", row.patient);
                    return Err(at(row.line, reason));
                }
            }
        }
        Ok(Self::Table(PatientsByName { patients, note: table.note }))
    }

    /// Returns the patient of a slide by any of its `names` (ID, file name and stem).
    pub fn of(&self, names: &[&str]) -> Option<String> {
        match self {
            Self::Table(table) => names.iter().find_map(|name| table.patients.get(*name)).cloned(),
            Self::Pattern(pattern) => names.iter().find_map(|name| {
                let found = pattern.captures(name)?;
                found.get(1).or(found.get(0)).map(|part| part.as_str().to_owned())
            }),
        }
    }
}

impl FromStr for Patients {
    type Err = String;

    /// Parses the path of a CSV file, or a regular expression.
    fn from_str(text: &str) -> Result<Self, String> {
        let path = Path::new(text);
        if path.is_file() {
            return Self::read(path).map_err(|error| error.to_string());
        }
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
            return Err(format!("{text}: there is no such file"));
        }
        regex::Regex::new(text).map(Self::Pattern).map_err(|error| {
            format!("{text:?} is neither a CSV file nor a pattern such as 'patient_(\\d+)': {error}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_patients() {
        let camelyon17: Patients = r"patient_\d+".parse().unwrap();
        assert_eq!(camelyon17.of(&["patient_010_node_4"]).as_deref(), Some("patient_010"));
        let tcga: Patients = r"^(TCGA-..-....)-".parse().unwrap();
        assert_eq!(tcga.of(&["TCGA-CR-7395-01A-01-TS1"]).as_deref(), Some("TCGA-CR-7395"));
        assert_eq!(tcga.of(&["other"]), None);
        assert!("no such.csv".parse::<Patients>().unwrap_err().contains("no such file"));
        assert!("(".parse::<Patients>().unwrap_err().contains("pattern"));
    }

    #[test]
    fn tables_tell_patients_by_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("patients.csv");
        std::fs::write(&path, "patient,slide\nP1,a.svs\nP2,b\n").unwrap();
        let patients = Patients::read(&path).unwrap();
        assert_eq!(patients.of(&["id", "a.svs", "a"]).as_deref(), Some("P1"));
        assert_eq!(patients.of(&["id", "b.svs", "b"]).as_deref(), Some("P2"));
        std::fs::write(&path, "Slide;Patient\r\na.svs;P1\r\nb;\r\nc;\r\n").unwrap();
        let patients = Patients::read(&path).unwrap();
        assert_eq!((patients.of(&["a.svs"]).as_deref(), patients.of(&["b"])), (Some("P1"), None));
        std::fs::write(&path, b"case_id,slide_id,label\nM\xfcller,a,tumor\n").unwrap();
        let patients = Patients::read(&path).unwrap();
        assert_eq!(patients.of(&["a"]).as_deref(), Some("Müller"));
        assert!(matches!(patients, Patients::Table(PatientsByName { note: Some(_), .. })), "{patients:?}");
        std::fs::write(&path, "slide,patient\na,P1\na,P1\na,P2\n").unwrap();
        let wrong = Patients::read(&path).unwrap_err().to_string();
        assert!(wrong.contains("line 4") && wrong.contains("P2") && wrong.contains("P1"), "{wrong}");
        std::fs::write(&path, "a,b\n").unwrap();
        assert!(Patients::read(&path).unwrap_err().to_string().contains("line 1"));
    }
}
