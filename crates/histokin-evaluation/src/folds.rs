//! Folds of patients: what is fitted without labels is judged on patients whose tiles it was not fitted to
//! (cross-validation; Stone 1974, "Cross-validatory choice and assessment of statistical predictions").

use std::collections::{BTreeMap, BTreeSet};

use histokin_core::number_format::counted;

use super::retrieval::{self, QueryOutcome, Retrieval, RetrievalSettings};
use super::sample::{EncoderDescriptors, Sample};
use super::{Class, EvaluationError, Exclude, Tiles};

/// Number of answers of which precision is measured, so that there have to be as many tiles of other patients.
const FEWEST_ANSWERS: usize = 5;

/// The patients of a sample with labelled tiles, divided into folds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds {
    /// Fold of each slide; `None` for slides of patients without labelled tiles.
    of_slide: Vec<Option<usize>>,
    count: usize,
    patients: usize,
}

/// The reason why labels cannot tell which of several encoders is better on patients left out of their fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The labelled tiles are of one patient.
    #[error(
        "the labelled tiles are of one patient only ({patient}), so nothing can be judged on patients left out of the fit; \
         label tissue of a second patient, and name patients in a column `patient` of the labels or with --patients"
    )]
    OnePatient {
        /// Name of the patient, or of the slide.
        patient: String,
    },
    /// The labelled tiles are of one class.
    #[error(
        "all labelled tiles are of class {class:?}, so every match is correct; label tiles of a second class"
    )]
    OneClass {
        /// Name of the class.
        class: String,
    },
    /// Each class was labelled on one patient only.
    #[error(
        "each class is labelled on one patient only, so no query has a correct match on another patient; label at least \
         one of these classes on a second patient: {classes}"
    )]
    NoSharedClass {
        /// Names of the classes, separated by commas.
        classes: String,
    },
    /// Some patients have too few labelled tiles of others to be matched with.
    #[error(
        "of all patients but {patient} {} labelled, fewer than the {FEWEST_ANSWERS} matches of a query that are judged; \
         label more tissue of other patients",
        tiles_are(*found)
    )]
    TooFewTiles {
        /// Name of the patient, or of the slide.
        patient: String,
        /// Number of labelled tiles of all other patients.
        found: usize,
    },
}

fn tiles_are(count: usize) -> String {
    format!("{} {}", counted(count as u64, "tile"), if count == 1 { "is" } else { "are" })
}

impl Folds {
    /// Divides the patients with labelled tiles into at most `most` folds with about as many labelled tiles each.
    ///
    /// # Errors
    /// [`FoldError`] if the labels cannot tell how well tissue is found across patients.
    pub fn of(sample: &Sample, most: usize) -> Result<Self, FoldError> {
        let tiles = &sample.tiles;
        let labelled: Vec<(u32, Class)> = tiles
            .patients
            .iter()
            .zip(&tiles.classes)
            .filter_map(|(patient, class)| Some((*patient, (*class)?)))
            .collect();
        check(sample, &labelled)?;
        let mut of_patient: BTreeMap<u32, usize> = BTreeMap::new();
        labelled.iter().for_each(|(patient, _)| *of_patient.entry(*patient).or_default() += 1);
        let count = most.clamp(2, of_patient.len());
        let mut order: Vec<(usize, u32)> =
            of_patient.iter().map(|(patient, tiles)| (*tiles, *patient)).collect();
        order.sort_by_key(|(tiles, patient)| (std::cmp::Reverse(*tiles), *patient));
        let mut sizes = vec![0; count];
        let mut folds: BTreeMap<u32, usize> = BTreeMap::new();
        for (tiles, patient) in order {
            // The first of the smallest.
            let fold = (0..count).min_by_key(|fold| sizes[*fold]).unwrap_or(0);
            sizes[fold] += tiles;
            folds.insert(patient, fold);
        }
        let of_slide =
            sample.patients_of_slides().iter().map(|patient| folds.get(patient).copied()).collect();
        Ok(Self { of_slide, count, patients: of_patient.len() })
    }

    /// Returns the number of folds, at least 2.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the number of patients with labelled tiles.
    pub fn patients(&self) -> usize {
        self.patients
    }

    /// Returns the fold in which the slide's patient is judged, so that what judges it must not know the slide; `None` if
    /// the patient has no labelled tiles.
    pub fn of_slide(&self, slide: usize) -> Option<usize> {
        self.of_slide[slide]
    }

    /// Answers the queries of the patients in `fold`, from tiles of all other patients, with descriptors that know nothing
    /// of these patients.
    ///
    /// # Errors
    /// [`EvaluationError`] if the descriptors are not those of the sample's tiles.
    pub fn ask(
        &self,
        fold: usize,
        sample: &Sample,
        descriptors: &EncoderDescriptors,
    ) -> Result<Vec<QueryOutcome>, EvaluationError> {
        let is_asked = |row: u32| self.of_slide(sample.tiles.slides[row as usize] as usize) == Some(fold);
        retrieval::ask_some(descriptors.descriptors()?, &sample.tiles, &settings(), is_asked)
    }

    /// Gathers the queries of all folds.
    pub fn gathered(&self, queries: Vec<QueryOutcome>, tiles: &Tiles) -> Retrieval {
        Retrieval::of(queries, tiles, &settings(), Vec::new())
    }
}

/// Returns the settings of a report: matches of other patients, among labelled tiles.
fn settings() -> RetrievalSettings {
    RetrievalSettings { exclude: Exclude::Patient, ..RetrievalSettings::default() }
}

/// Checks that the labelled tiles, by patient and class, can tell how well tissue is found across patients.
fn check(sample: &Sample, labelled: &[(u32, Class)]) -> Result<(), FoldError> {
    let name = |patient: u32| sample.patient_name(patient).to_owned();
    let class_name = |class: Class| sample.classes[usize::from(class.0)].clone();
    let patients: BTreeSet<u32> = labelled.iter().map(|(patient, _)| *patient).collect();
    if let (Some(only), true) = (patients.first(), patients.len() == 1) {
        return Err(FoldError::OnePatient { patient: name(*only) });
    }
    let mut of_class: BTreeMap<Class, BTreeSet<u32>> = BTreeMap::new();
    labelled.iter().for_each(|(patient, class)| _ = of_class.entry(*class).or_default().insert(*patient));
    if let (Some(only), true) = (of_class.keys().next(), of_class.len() == 1) {
        return Err(FoldError::OneClass { class: class_name(*only) });
    }
    if of_class.values().all(|patients| patients.len() == 1) {
        let classes: Vec<String> = of_class.keys().map(|class| class_name(*class)).collect();
        return Err(FoldError::NoSharedClass { classes: classes.join(", ") });
    }
    for patient in patients {
        let found = labelled.iter().filter(|(other, _)| *other != patient).count();
        if found < FEWEST_ANSWERS {
            return Err(FoldError::TooFewTiles { patient: name(patient), found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes;
    use crate::intervals::Resampling;
    use crate::retrieval::Measure;
    use crate::sample::{SampleSlide, SlideFeatures};

    /// A slide for each patient, with tiles of the given classes.
    fn sample(patients: &[&str], classes: &[&[Option<u16>]]) -> Sample {
        let slide = |patient: &&str| SampleSlide {
            id: String::new(),
            name: format!("slide of {patient}"),
            also: Vec::new(),
            patient: Some((*patient).to_owned()),
            mpp: None,
        };
        let tiles = classes.iter().map(|classes| SlideFeatures {
            centers_um: (0..classes.len()).map(|tile| [tile as f64, 0.0]).collect(),
            ..SlideFeatures::default()
        });
        let mut sample = Sample::of_tiles(patients.iter().map(slide).collect(), &tiles.collect::<Vec<_>>());
        sample.classes = vec!["tumour".to_owned(), "stroma".to_owned()];
        sample.tiles.classes = classes.concat().into_iter().map(|class| class.map(Class)).collect();
        sample
    }

    const BOTH: &[Option<u16>] = &[Some(0), Some(0), Some(0), Some(1), Some(1), None];

    #[test]
    fn slides_of_a_patient_are_in_one_fold_and_folds_have_as_many_labelled_tiles() {
        let patients = ["a", "b", "a", "c", "d", "e", "f"];
        let none: &[Option<u16>] = &[None, None];
        let found = Folds::of(&sample(&patients, &[BOTH, BOTH, BOTH, BOTH, BOTH, none, BOTH]), 3).unwrap();
        assert_eq!((found.count(), found.patients()), (3, 5));
        let folds: Vec<Option<usize>> = (0..7).map(|slide| found.of_slide(slide)).collect();
        assert_eq!(folds, [Some(0), Some(1), Some(0), Some(2), Some(1), None, Some(2)]);
        let two = Folds::of(&sample(&["a", "b"], &[BOTH, BOTH]), 5).unwrap();
        assert_eq!(two.count(), 2, "no more folds than patients");
    }

    #[test]
    fn labels_that_tell_nothing_across_patients_are_refused_with_what_is_missing() {
        let refused = |patients: &[&str], classes: &[&[Option<u16>]]| {
            Folds::of(&sample(patients, classes), 5).unwrap_err().to_string()
        };
        let first: &[Option<u16>] = &[Some(0); 6];
        let second: &[Option<u16>] = &[Some(1); 6];
        let one = refused(&["a", "a"], &[BOTH, BOTH]);
        assert!(one.contains("one patient only (a)") && one.contains("--patients"), "{one}");
        assert!(refused(&["a", "b"], &[first, first]).contains("class \"tumour\""));
        let apart = refused(&["a", "b"], &[first, second]);
        assert!(apart.contains("tumour, stroma"), "{apart}");
        let few = refused(&["a", "b"], &[BOTH, &[Some(0), Some(1)]]);
        assert!(few.contains("all patients but a 2 tiles are labelled"), "{few}");
    }

    #[test]
    fn a_fold_asks_its_patients_only_and_all_together_ask_what_one_would() {
        let sample = sample(&["a", "b", "c"], &[BOTH, BOTH, BOTH]);
        let folds = Folds::of(&sample, 3).unwrap();
        // The fifth tile of each slide is in the midst of the other class.
        let values: Vec<f32> = (0..3)
            .flat_map(|slide| [0.0, 0.1, 0.2, 9.0, 0.05, 5.0].map(|at| at + slide as f32 * 1e-3))
            .collect();
        let descriptors = EncoderDescriptors { id: String::new(), name: String::new(), width: 1, values };
        let mut queries = Vec::new();
        for fold in 0..3 {
            let asked = folds.ask(fold, &sample, &descriptors).unwrap();
            assert!(asked.iter().all(|query| query.tile / 6 == fold as u32 && query.answers.len() == 10));
            queries.extend(asked);
        }
        let gathered = folds.gathered(queries, &sample.tiles);
        let whole = retrieval::ask(descriptors.descriptors().unwrap(), &sample.tiles, &settings()).unwrap();
        let precision = |retrieval: &Retrieval| {
            let of = classes::of(retrieval, &sample.tiles, &Resampling::default()).unwrap();
            of.figure(Measure::P5)
        };
        assert_eq!(precision(&gathered), precision(&whole));
    }
}
