//! Tables of slides and their patients.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::table::{Row, Table, TableError};

/// Names of a column of slides in tables of this and other programs, in the form of [`Table::column`].
pub const SLIDE_COLUMNS: [&str; 6] = ["slide", "slideid", "slidename", "wsi", "image", "imagename"];

/// Names of a column of slides' files.
pub const FILE_COLUMNS: [&str; 4] = ["file", "filename", "filepath", "path"];

/// Names of a column of patients.
pub const PATIENT_COLUMNS: [&str; 6] =
    ["patient", "patientid", "case", "caseid", "casesubmitterid", "submitterid"];

/// The rows of a table that state a patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientTable {
    /// The rows, in their order.
    pub rows: Vec<PatientRow>,
    /// Sentence for the user, if the encoding of the table had to be guessed.
    pub note: Option<String>,
}

/// A row of a table of patients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientRow {
    /// Names of the slide: its own, and that of its file.
    pub names: Vec<String>,
    /// Its patient.
    pub patient: String,
    /// Line, from 1.
    pub line: u64,
}

/// Why a table of patients cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PatientTableError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A line is invalid.
    #[error("{0}")]
    Line(#[from] TableError),
}

/// Reads slides and their patients from a [`Table`] with one of the [`PATIENT_COLUMNS`] and one of the [`SLIDE_COLUMNS`]
/// or [`FILE_COLUMNS`], or both. Rows without a patient or a slide are passed over, and so are those with a word for a
/// missing patient, such as `NA`: slides without one have no patient in common.
///
/// # Errors
/// Fails if the file cannot be read, lacks a column, or has a row that does not fit its header.
pub fn read_patient_table(path: &Path) -> Result<PatientTable, PatientTableError> {
    let mut table = Table::open(path)?;
    let patient = table.column(&PATIENT_COLUMNS)?;
    let names = [table.column(&FILE_COLUMNS)?, table.column(&SLIDE_COLUMNS)?];
    let names: Vec<usize> = names.into_iter().flatten().collect();
    let Some(patient) = patient.filter(|_| !names.is_empty()) else {
        let reason = format!(
            "the first line must name a column slide or file and a column patient; it names {}",
            table.shown_header()
        );
        return Err(TableError::of_header(reason).into());
    };
    let (mut rows, mut row) = (Vec::new(), Row::default());
    while table.read_row(&mut row)? {
        let names = names.iter().map(|column| row.text(*column)).filter(|name| !name.is_empty());
        let names: Vec<String> = names.map(str::to_owned).collect();
        if !names.is_empty() && !row.value(patient).is_empty() {
            rows.push(PatientRow { names, patient: row.value(patient).to_owned(), line: row.line() });
        }
    }
    Ok(PatientTable { rows, note: table.note })
}

/// Slides and their patients, each name once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientList {
    /// Names of slides or of their files, without folders, with their patients.
    pub patients: Vec<(String, String)>,
    /// Sentence for the user, if the encoding of the table had to be guessed.
    pub note: Option<String>,
}

/// Reads slides and their patients as [`read_patient_table`] does, without the folders of slides.
///
/// # Errors
/// A message that names the file, when it cannot be read, lacks a column, or gives two patients for one name.
pub fn read_patients(path: &Path) -> Result<PatientList, String> {
    let wrong = |reason: String| format!("{}: {reason}", path.display());
    let table = read_patient_table(path).map_err(|error| wrong(error.to_string()))?;
    let mut patients: BTreeMap<String, String> = BTreeMap::new();
    for PatientRow { names, patient, line } in table.rows {
        for name in names {
            // A list may give files with their paths.
            let name = name.rsplit(['/', '\\']).next().unwrap_or(&name);
            let known = patients.entry(name.to_owned()).or_insert_with(|| patient.clone());
            if *known != patient {
                return Err(wrong(format!(
                    "line {line}: {name} is of patient {patient} here, but of {known} before; give slides of different \
                     patients different file names"
                )));
            }
        }
    }
    Ok(PatientList { patients: patients.into_iter().collect(), note: table.note })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: impl AsRef<[u8]>) -> Result<PatientList, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slides.csv");
        std::fs::write(&path, text).unwrap();
        read_patients(&path)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(slide, patient)| ((*slide).to_owned(), (*patient).to_owned())).collect()
    }

    #[test]
    fn a_list_of_slides_names_patients() {
        let list = read("slide,file,patient\nPA01,a/PA01.tif,P 1\nPA02,,P2\nPA03,PA03.tif,\n,,\n").unwrap();
        assert_eq!(list.patients, pairs(&[("PA01", "P 1"), ("PA01.tif", "P 1"), ("PA02", "P2")]));
        assert_eq!(read("Slide;Patient\r\nPA01;P 1\r\n").unwrap().patients, pairs(&[("PA01", "P 1")]));
        assert_eq!(read("slide,patient\na,P1\nb,NA\nc,nan\n").unwrap().patients, pairs(&[("a", "P1")]));
        let error = read("file,patient\na/s.svs,P1\nb/t.svs,P1\nb/s.svs,P2\n").unwrap_err();
        assert!(error.contains("line 4: s.svs is of patient P2 here, but of P1 before"), "{error}");
        let error = read("slide,organ\na,lung\n").unwrap_err();
        assert!(error.contains("slides.csv") && error.contains("patient"), "{error}");
        assert!(error.contains("slide, organ"), "{error}");
    }

    #[test]
    fn tables_of_other_programs_are_read_as_they_are() {
        // CLAM, STAMP, the GDC and QuPath.
        for text in [
            "case_id,slide_id,label\nP1,a,tumor\n",
            "PATIENT,FILENAME\nP1,a\n",
            "case_submitter_id\tFile Name\nP1\ta\n",
            "Image;Case ID\r\na;P1\r\n",
        ] {
            assert_eq!(read(text).unwrap().patients, pairs(&[("a", "P1")]), "{text}");
        }
    }

    #[test]
    fn umlauts_of_a_german_spreadsheet_are_read_and_told() {
        let list = read(b"Slide;Patient\r\nM\xfcller 1.svs;M\xfcller\r\n").unwrap();
        assert_eq!(list.patients, pairs(&[("Müller 1.svs", "Müller")]));
        assert!(list.note.unwrap().contains("Windows-1252"));
    }
}
