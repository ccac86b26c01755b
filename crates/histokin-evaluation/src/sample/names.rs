//! Which slide of the sample a name in labels or in a list of patients means.

use std::path::Path;

use super::{Sample, SampleError, SampleSlide};
use crate::labels::{Labels, Patients, SlideLabels};
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
        let own = labels.slides.iter().filter(|(name, _)| names.contains(&name.as_str()));
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

impl Sample {
    /// Returns the index of the slide that labels call `name`, if there is one.
    ///
    /// # Errors
    /// [`SampleError::SharedName`] if there are several.
    pub(super) fn slide_named(&self, name: &str) -> Result<Option<usize>, SampleError> {
        let rank = |slide: &SampleSlide| slide.names().iter().position(|one| *one == name);
        // The name of one slide's file may be that of another one without its extension.
        let Some(best) = self.slides.iter().filter_map(rank).min() else { return Ok(None) };
        let named: Vec<usize> =
            (0..self.slides.len()).filter(|index| rank(&self.slides[*index]) == Some(best)).collect();
        match named[..] {
            [index] => Ok(Some(index)),
            _ => Err(SampleError::SharedName {
                name: name.to_owned(),
                count: named.len(),
                slides: named.iter().map(|index| self.slides[*index].place()).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Returns the patient of the slide `index`, if `patients` tell it.
    ///
    /// # Errors
    /// [`SampleError::SharedName`] if a table tells it by a name that other slides have, too.
    pub(super) fn patient_of(
        &self,
        index: usize,
        patients: &Patients,
    ) -> Result<Option<String>, SampleError> {
        let slide = &self.slides[index];
        let Patients::Table(table) = patients else {
            // A pattern is not meant for folders.
            let file = slide.also.last().unwrap_or(&slide.name);
            return Ok(patients.of(&[slide.name.as_str(), slide.id.as_str(), file.as_str()]));
        };
        for name in slide.names() {
            if let Some(patient) = table.get(name)
                && self.slide_named(name)? == Some(index)
            {
                return Ok(Some(patient.clone()));
            }
        }
        Ok(None)
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
        for (name, index) in [("2f", 1), ("P2/a.svs", 1), ("/s/P1/a.svs", 0), ("b.svs", 2), ("b.tif", 3)] {
            assert_eq!(sample.slide_named(name), Ok(Some(index)), "{name}");
        }
        assert_eq!(sample.slide_named("c"), Ok(None));
        for (name, slides) in [
            ("a", "/s/P1/a.svs, /s/P2/a.svs"),
            ("a.svs", "/s/P1/a.svs, /s/P2/a.svs"),
            ("b", "/s/P2/b.svs, /s/P2/b.tif"),
        ] {
            let error = sample.slide_named(name).unwrap_err().to_string();
            assert!(error.contains(slides) && error.contains(&format!("{name:?}")), "{error}");
        }
    }

    #[test]
    fn patients_are_told_by_names_that_mean_one_slide() {
        let patients = |pairs: &[(&str, &str)]| {
            Patients::Table(
                pairs.iter().map(|(slide, patient)| ((*slide).to_owned(), (*patient).to_owned())).collect(),
            )
        };
        let all = [("P1/a.svs", "X"), ("2f", "Y"), ("b.svs", "Z"), ("b.tif", "Z")];
        let mut told = sample();
        told.set_patients(&patients(&all)).unwrap();
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
