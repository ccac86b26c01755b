//! A vision transformer in files of weights: finding it, reading its architecture, and building it.

#[cfg(feature = "torch")]
mod network;

use super::EncoderError;
use super::backbones::vit::names::{FoundVit, Part};
use super::backbones::vit::{Shapes, VitArchitecture, adapter};
use super::parameters::Parameter;
use super::state_dict::find_vit;
use super::weight_files::WeightFiles;
use super::weights::differences;

/// The vision transformer in files of weights.
pub(super) struct VitWeights<'a> {
    files: &'a WeightFiles,
    /// File of tensors that replace parameters, and of adapters that are added to them.
    changes: Option<&'a WeightFiles>,
    found: FoundVit,
    /// Shapes of the parameters, by their names in timm.
    shapes: Shapes,
}

impl<'a> VitWeights<'a> {
    /// Finds the vision transformer in `files`; `None` if there is none.
    ///
    /// # Errors
    /// [`EncoderError::Mismatch`] if there are several, or parts of its parameters are missing.
    pub fn find(files: &'a WeightFiles) -> Result<Option<Self>, EncoderError> {
        let wrong = |differences| EncoderError::Mismatch { path: files.path().to_owned(), differences };
        let Some(found) = find_vit(files.names()).map_err(wrong)? else { return Ok(None) };
        let shapes = found.shapes(|name| files.shape(name)).map_err(wrong)?;
        Ok(Some(Self { files, changes: None, found, shapes }))
    }

    /// Applies the changes of a file that training has written: tensors in place of parameters of the same name, and
    /// adapters.
    ///
    /// # Errors
    /// [`EncoderError::Mismatch`] if it holds something else.
    pub fn changed_by(self, changes: &'a WeightFiles) -> Result<Self, EncoderError> {
        let is_change = |name: &str| {
            let replaces =
                self.shapes.get(name).is_some_and(|own| changes.shape(name) == Some(own.as_slice()));
            replaces
                || name.starts_with("head.")
                || [adapter::DOWN, adapter::UP].iter().any(|ending| {
                    let adapted = name.strip_suffix(ending);
                    adapted.is_some_and(|layer| self.shapes.contains_key(&format!("{layer}.weight")))
                })
        };
        match changes.names().find(|name| !is_change(name)) {
            Some(other) => Err(EncoderError::Mismatch {
                path: changes.path().to_owned(),
                differences: format!("{} has no {other}", self.files.path().display()),
            }),
            None => Ok(Self { changes: Some(changes), ..self }),
        }
    }

    /// Returns where the parameters come from.
    pub fn found(&self) -> &FoundVit {
        &self.found
    }

    /// Returns the SHA-256 of the file as published; `None` of several parts.
    ///
    /// # Errors
    /// [`EncoderError::File`] if it cannot be read.
    pub fn sha256(&self) -> Result<Option<String>, EncoderError> {
        self.files.sha256()
    }

    /// Returns the architecture, as far as names and shapes tell, completed by defaults.
    ///
    /// # Errors
    /// [`EncoderError::Mismatch`] with what is missing or has an unexpected shape.
    pub fn architecture(&self) -> Result<VitArchitecture, EncoderError> {
        let called = |name: &str| self.found.called(name);
        let read = VitArchitecture::of_shapes(&self.shapes, &self.found.layout.defaults(), &called);
        let architecture = read.map_err(|reason| self.mismatch(reason))?;
        self.check(architecture)?;
        Ok(architecture)
    }

    /// Checks that the parameters are those of the architecture.
    ///
    /// # Errors
    /// [`EncoderError::Mismatch`] with all differences.
    pub fn check(&self, architecture: VitArchitecture) -> Result<(), EncoderError> {
        let expected = architecture.shapes();
        match differences(&expected, &self.shapes, |_| false, |name| self.found.called(name)) {
            Some(differences) => Err(self.mismatch(differences)),
            None => Ok(()),
        }
    }

    fn mismatch(&self, differences: String) -> EncoderError {
        EncoderError::Mismatch {
            path: self.files.path().to_owned(),
            differences: format!(
                "a vision transformer, as {} names it: {differences}",
                self.found.layout.name()
            ),
        }
    }

    /// Reads a parameter by its name in timm, with the changes to it.
    ///
    /// # Errors
    /// [`EncoderError`] if a tensor is damaged.
    pub fn parameter(&self, name: &str) -> Result<Parameter, EncoderError> {
        let Some(changes) = self.changes else { return self.published(name) };
        if changes.shape(name).is_some() {
            return changes.parameter(name);
        }
        let layer = name.strip_suffix(".weight").unwrap_or_default();
        let [down, up] = [adapter::DOWN, adapter::UP].map(|ending| format!("{layer}{ending}"));
        if changes.shape(&down).is_none() {
            return self.published(name);
        }
        let (up, down) = (changes.parameter(&up)?, changes.parameter(&down)?);
        let changed = self.published(name)?.plus_product(&up, &down);
        changed.map_err(|reason| self.mismatch(format!("the adapter of {name}: {reason}")))
    }

    /// Reads a parameter without changes, put together from the tensors of the files.
    fn published(&self, name: &str) -> Result<Parameter, EncoderError> {
        let read = |source: &String| self.files.parameter(source);
        let shape = &self.shapes[name];
        let joined = match &self.found.sources[name][..] {
            [(Part::Transposed, source)] => read(source)?.transposed(),
            parts => {
                let parts = parts.iter().map(|(_, source)| read(source)).collect::<Result<Vec<_>, _>>()?;
                Parameter::joined(parts, shape)
            }
        };
        joined.map_err(|reason| self.mismatch(format!("{name}: {reason}")))
    }
}
