//! Which slide of the sample a name in labels or in a list of patients means.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::{Sample, SampleError, SampleSlide};
use crate::labels::{Labels, Patients, PatientsByName, SlideLabels};
use histokin_core::slide::names::{self, Fit};
use histokin_core::slide::{SlideError, SlideInfo};

impl SampleSlide {
    /// Returns the slide that was opened from a file.
    ///
    /// # Errors
    /// [`SlideError::NotCalibrated`] if its pixel size is unknown.
    pub fn of(info: &SlideInfo) -> Result<Self, SlideError> {
        Ok(Self {
            id: info.id.0.clone(),
            name: info.path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            also: longer_names(&info.path),
            patient: None,
            mpp: Some(info.require_mpp()?),
        })
    }

    /// Returns the labels under any name of the slide, if there are any; other slides may share the name.
    pub fn labels(&self, labels: &Labels) -> Option<SlideLabels> {
        let names = self.names();
        let fits = |name: &str| names::fit(name, &names).is_some_and(|fit| !fit.is_by_file_alone);
        let own = labels.slides.iter().filter(|(name, _)| fits(name));
        own.map(|(_, drawn)| drawn.clone()).reduce(|mut all, drawn| {
            all.join(drawn);
            all
        })
    }

    /// Returns all names that labels may use for the slide, most specific first: other slides may share the last ones.
    fn names(&self) -> Vec<&str> {
        let also = self.also.iter().map(String::as_str);
        let names = std::iter::once(self.id.as_str()).chain(also).chain([self.name.as_str()]);
        names.filter(|name| !name.is_empty()).collect()
    }

    /// Returns a name that tells the slide from others with the same file name, for messages: its path, if known.
    fn place(&self) -> &str {
        self.also.first().unwrap_or(&self.name)
    }
}

/// Returns the names by which labels may tell a slide from others with the same stem: its path, its file name with the
/// folder, and its file name.
pub(crate) fn longer_names(path: &Path) -> Vec<String> {
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    let file = path.file_name().map(Path::new);
    let folder =
        path.parent().and_then(Path::file_name).zip(file).map(|(folder, file)| Path::new(folder).join(file));
    std::iter::once(shown(path)).chain(folder.as_deref().map(shown)).chain(file.map(shown)).collect()
}

/// The index of a slide, and how well a name fits it.
type Fitting = (usize, Fit);

impl Sample {
    /// Returns the index of the slide that labels call `name`, if there is one, and how well the name fits it.
    ///
    /// # Errors
    /// [`SampleError::SharedName`] if there are several.
    fn slide_fitting(&self, name: &str) -> Result<Option<Fitting>, SampleError> {
        let fits: Vec<Option<Fit>> =
            self.slides.iter().map(|slide| names::fit(name, &slide.names())).collect();
        // The name of one slide's file may be that of another one without its extension.
        let Some(best) = fits.iter().flatten().min().copied() else { return Ok(None) };
        let named: Vec<usize> = (0..fits.len()).filter(|index| fits[*index] == Some(best)).collect();
        match named[..] {
            [index] => Ok(Some((index, best))),
            _ => Err(SampleError::SharedName {
                name: name.to_owned(),
                count: named.len(),
                slides: named.iter().map(|index| self.slides[*index].place()).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Returns the index of the slide that each of the `names` means and how well it fits, `None` for those that mean no
    /// slide here. A name with another folder than the slide's means it only if no other name does: otherwise it is of another
    /// slide with the same file name.
    ///
    /// # Errors
    /// [`SampleError::SharedName`] if a name may mean several slides.
    pub(super) fn slides_named<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<BTreeMap<&'a str, Option<Fitting>>, SampleError> {
        let mut found: BTreeMap<&str, Option<Fitting>> = BTreeMap::new();
        let mut names_of: HashMap<usize, usize> = HashMap::new();
        for name in names {
            let fitting = self.slide_fitting(name)?;
            if let Some((index, _)) = fitting {
                *names_of.entry(index).or_default() += 1;
            }
            found.insert(name, fitting);
        }
        let is_certain = |(index, fit): &Fitting| !fit.is_by_file_alone || names_of.get(index) == Some(&1);
        found.values_mut().for_each(|fitting| *fitting = fitting.filter(is_certain));
        Ok(found)
    }

    /// Returns the patients of the slides, as far as `patients` tell them.
    ///
    /// # Errors
    /// [`SampleError::SharedName`] if a table tells one by a name that other slides have, too.
    pub(super) fn patients_told_by(&self, patients: &Patients) -> Result<Vec<Option<String>>, SampleError> {
        let Patients::Table(PatientsByName { patients: table, .. }) = patients else {
            let of = |slide: &SampleSlide| {
                // A pattern is not meant for folders.
                let file = slide.also.last().unwrap_or(&slide.name);
                patients.of(&[slide.name.as_str(), slide.id.as_str(), file.as_str()])
            };
            return Ok(self.slides.iter().map(of).collect());
        };
        let mut by_form: HashMap<String, Vec<&str>> = HashMap::new();
        for name in table.keys() {
            names::forms(name).into_iter().for_each(|form| by_form.entry(form).or_default().push(name));
        }
        (0..self.slides.len())
            .map(|index| -> Result<Option<String>, SampleError> {
                let own = self.slides[index].names();
                let similar = own.iter().filter_map(|name| by_form.get(&names::plain(name))).flatten();
                let mut fitting: Vec<(Fit, &str)> =
                    similar.filter_map(|name| Some((names::fit(name, &own)?, *name))).collect();
                fitting.sort();
                fitting.dedup();
                // Names that fit this slide, but another one better, are that one's.
                let mut meant: Vec<(Fit, &str)> = Vec::new();
                for (fit, name) in fitting {
                    match self.slide_fitting(name) {
                        Ok(Some((slide, _))) if slide == index => meant.push((fit, name)),
                        Err(shared) if meant.is_empty() => return Err(shared),
                        _ => {}
                    }
                }
                let certain = meant.iter().find(|(fit, _)| !fit.is_by_file_alone);
                let only = if meant.len() == 1 { meant.first() } else { None };
                Ok(certain.or(only).and_then(|(_, name)| table.get(*name).cloned()))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        let slide = |id: &str, folder: &str, file: &str| SampleSlide {
            id: id.to_owned(),
            name: file.split('.').next().unwrap_or_default().to_owned(),
            also: vec![format!("/s/{folder}/{file}"), format!("{folder}/{file}"), file.to_owned()],
            patient: None,
            mpp: None,
        };
        let slides = vec![
            slide("1f", "P1", "a.svs"),
            slide("2f", "P2", "a.svs"),
            slide("3f", "P2", "b.svs"),
            slide("4f", "P2", "b.tif"),
        ];
        Sample { slides, ..Sample::default() }
    }

    #[test]
    fn a_name_means_one_slide_or_is_refused() {
        let sample = sample();
        let named = |name: &str| Ok(sample.slide_fitting(name)?.map(|(index, _)| index));
        for (name, index) in [("2f", 1), ("P2/a.svs", 1), ("/s/P1/a.svs", 0), ("b.svs", 2), ("b.tif", 3)] {
            assert_eq!(named(name), Ok(Some(index)), "{name}");
        }
        assert_eq!(named("c"), Ok(None));
        for (name, slides) in [
            ("a", "/s/P1/a.svs, /s/P2/a.svs"),
            ("a.svs", "/s/P1/a.svs, /s/P2/a.svs"),
            ("b", "/s/P2/b.svs, /s/P2/b.tif"),
        ] {
            let error: SampleError = named(name).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(slides) && error.contains(&format!("{name:?}")), "{error}");
        }
    }

    #[test]
    fn names_of_other_systems_mean_a_slide_unless_another_name_does() {
        let sample = sample();
        let named = |names: &[&'static str]| {
            let found = sample.slides_named(names.iter().copied()).unwrap();
            names.iter().map(|name| found[name].map(|(index, _)| index)).collect::<Vec<_>>()
        };
        assert_eq!(named(&["P1\\A.SVS", "D:\\s\\p2\\a.svs", "C:\\x\\b.svs"]), [Some(0), Some(1), Some(2)]);
        // Two other folders, or another folder beside the slide's own.
        assert_eq!(named(&["x/b.svs", "y/b.svs"]), [None, None]);
        assert_eq!(named(&["x/b.svs", "P2/b.svs"]), [None, Some(2)]);
        assert!(sample.slides_named(["x/a.svs"].into_iter()).is_err(), "there are two such files");
    }

    #[test]
    fn patients_are_told_by_names_that_mean_one_slide() {
        let patients = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(slide, patient)| ((*slide).to_owned(), (*patient).to_owned()));
            Patients::Table(PatientsByName { patients: pairs.collect(), note: None })
        };
        let all = [("P1/a.svs", "X"), ("2f", "Y"), ("b.svs", "Z"), ("b.tif", "Z")];
        let mut told = sample();
        told.set_patients(&patients(&all)).unwrap();
        let found: Vec<Option<&str>> = told.slides.iter().map(|slide| slide.patient.as_deref()).collect();
        assert_eq!(found, [Some("X"), Some("Y"), Some("Z"), Some("Z")]);
        let windows = [("D:\\P1\\A.svs", "X"), ("D:\\P2\\A.svs", "Y"), ("E:\\B.svs", "Z"), ("B.TIF", "Z")];
        let mut told = sample();
        told.set_patients(&patients(&windows)).unwrap();
        let found: Vec<Option<&str>> = told.slides.iter().map(|slide| slide.patient.as_deref()).collect();
        assert_eq!(found, [Some("X"), Some("Y"), Some("Z"), Some("Z")]);
        let shared = sample().set_patients(&patients(&[("a", "X"), ("b.svs", "Z"), ("b.tif", "Z")]));
        assert!(matches!(shared, Err(SampleError::SharedName { count: 2, .. })), "{shared:?}");
        let some = sample().set_patients(&patients(&all[..3])).unwrap_err();
        assert_eq!(some, SampleError::NoPatient { slides: "b".to_owned() });
        // Folders do not count for a pattern.
        let pattern: Patients = "^a|^b".parse().unwrap();
        assert_eq!(sample().set_patients(&pattern), Ok(()));
        let folder: Patients = "P1".parse().unwrap();
        assert!(sample().set_patients(&folder).is_err());
    }
}
