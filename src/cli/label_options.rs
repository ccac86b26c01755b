//! Options of `evaluate` and `fit-model` that say what labels mean for tiles and patients.

use clap::Args;

use crate::evaluation::labels::{self, Patients};
use crate::evaluation::sample::{Sample, SampleError};

/// How labels are assigned to tiles, and slides to patients.
#[derive(Debug, Clone, Args)]
pub struct LabelOptions {
    /// Share of a tile that a class must cover to label the tile: above 0, at most 1.
    #[arg(long, value_name = "SHARE", default_value_t = labels::COVERAGE, value_parser = parse_coverage)]
    pub coverage: f64,
    /// Ignore labels of slides that are not available.
    #[arg(long)]
    pub some_slides: bool,
    /// Patients of the slides: a table with the columns slide and patient, or a regular expression for slide
    /// names, such as 'patient_\d+'.
    // Named as in `query`, whose --patients says which patients are searched. It had that name here before.
    #[arg(
        long = "patient-list",
        visible_alias = "patient-pattern",
        alias = "patients",
        value_name = "CSV or REGEX"
    )]
    pub patients: Option<Patients>,
}

impl Default for LabelOptions {
    fn default() -> Self {
        Self { coverage: labels::COVERAGE, some_slides: false, patients: None }
    }
}

impl LabelOptions {
    /// Assigns classes and patients to the tiles of `sample`.
    ///
    /// # Errors
    /// [`SampleError`] when labels are of unknown slides, no tile takes a class, or a slide has no patient.
    pub fn apply(&self, sample: &mut Sample, labels: Option<&labels::Labels>) -> Result<(), SampleError> {
        if let Some(labels) = labels {
            sample.label(labels, self.coverage, self.some_slides)?;
        }
        self.patients.as_ref().map_or(Ok(()), |patients| sample.set_patients(patients))
    }
}

fn parse_coverage(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if share > 0.0 && share <= 1.0 {
        Ok(share)
    } else {
        Err("give a share above 0 and up to 1, such as 0.5".to_owned())
    }
}
