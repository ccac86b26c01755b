//! A vision transformer in files of weights: finding it, reading its architecture, and building it.

use tch::Tensor;

use super::EncoderError;
use super::backbones::vit::names::{FoundVit, Part};
use super::backbones::vit::{Shapes, VisionTransformer, VitArchitecture, adapter};
use super::device::Compute;
use super::state_dict::find_vit;
use super::weight_files::WeightFiles;
use super::weights::{Tensors, differences};

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

    /// Builds the network on a device, each parameter converted as soon as it is read.
    ///
    /// # Errors
    /// [`EncoderError::Mismatch`] with all differences if the parameters are not those of the architecture;
    /// [`EncoderError`] if a tensor is damaged or does not fit into the device's memory.
    pub fn network(
        &self,
        architecture: VitArchitecture,
        compute: Compute,
    ) -> Result<VisionTransformer, EncoderError> {
        self.check(architecture)?;
        VisionTransformer::new(architecture, |name, _| {
            let tensor = self.tensor(name)?;
            let moved = tensor.f_to_device(compute.device).and_then(|tensor| tensor.f_to_kind(compute.kind));
            moved.map_err(|error| EncoderError::torch("loading weights", &error))
        })
    }

    /// Returns all parameters, by their names in timm.
    ///
    /// # Errors
    /// [`EncoderError`] if a tensor is damaged.
    pub fn tensors(&self) -> Result<Tensors, EncoderError> {
        self.shapes.keys().map(|name| Ok((name.clone(), self.tensor(name)?))).collect()
    }

    /// Checks that the parameters are those of the architecture.
    fn check(&self, architecture: VitArchitecture) -> Result<(), EncoderError> {
        let expected = VisionTransformer::shapes(architecture);
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

    /// Reads a parameter, with the changes to it.
    fn tensor(&self, name: &str) -> Result<Tensor, EncoderError> {
        let Some(changes) = self.changes else { return self.published(name) };
        if changes.shape(name).is_some() {
            return changes.tensor(name);
        }
        let layer = name.strip_suffix(".weight").unwrap_or_default();
        let [down, up] = [adapter::DOWN, adapter::UP].map(|ending| format!("{layer}{ending}"));
        if changes.shape(&down).is_none() {
            return self.published(name);
        }
        adapter::merged(&self.published(name)?, &changes.tensor(&down)?, &changes.tensor(&up)?)
            .map_err(|error| EncoderError::torch("adding adapters", &error))
    }

    /// Reads a parameter without changes, put together from the tensors of the files.
    fn published(&self, name: &str) -> Result<Tensor, EncoderError> {
        let read = |name: &String| self.files.tensor(name);
        let joined = match &self.found.sources[name][..] {
            [(Part::Whole, source)] => Ok(read(source)?),
            [(Part::Transposed, source)] => {
                read(source)?.f_transpose(0, 1).and_then(|turned| turned.f_contiguous())
            }
            parts => {
                let parts = parts.iter().map(|(_, source)| read(source)).collect::<Result<Vec<_>, _>>()?;
                Tensor::f_cat(&parts, 0)
            }
        };
        let shape: Vec<i64> = self.shapes[name].iter().map(|&extent| extent as i64).collect();
        joined
            .and_then(|tensor| tensor.f_reshape(shape))
            .map_err(|error| EncoderError::torch("reading weights", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::vit::{VitActivation, VitOutput};
    use serde::Deserialize;
    use std::path::{Path, PathBuf};
    use tch::{Device, Kind};

    /// A small network of random weights, and the edges of the images that a library was asked about
    /// (`scripts/vit_reference.py`).
    #[derive(Debug, Deserialize)]
    struct Case {
        name: String,
        file: String,
        sizes: Vec<i64>,
        settings: Settings,
    }

    /// What shapes do not tell.
    #[derive(Debug, Deserialize)]
    struct Settings {
        heads: usize,
        activation: Option<VitActivation>,
        output: Option<VitOutput>,
    }

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vit").join(name)
    }

    fn cases() -> Vec<Case> {
        serde_json::from_str(&std::fs::read_to_string(fixture("cases.json")).unwrap()).unwrap()
    }

    /// The image by integer formula that the reference was made from.
    fn image(edge: i64) -> Tensor {
        let axis = Tensor::arange(edge, (Kind::Int64, Device::Cpu));
        let (y, x) = (axis.reshape([edge, 1]), axis.reshape([1, edge]));
        let channels = [&x * &x + 3 * &y, 5 * &x + &y * &y, &x * &y + 7 * &x];
        (Tensor::stack(&channels, 0).remainder(256).to_kind(Kind::Float).unsqueeze(0) / 255 - 0.5) / 0.25
    }

    fn architecture(case: &Case, weights: &VitWeights) -> VitArchitecture {
        let read = weights.architecture().unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let Settings { heads, activation, output } = case.settings;
        VitArchitecture {
            heads,
            activation: activation.unwrap_or(read.activation),
            output: output.unwrap_or(read.output),
            ..read
        }
    }

    /// Returns the largest difference of an answer, relative to the largest number of the reference, and the
    /// cosine to it, over all sizes of images.
    fn compared(case: &Case, kind: Kind) -> (f64, f64) {
        let _no_grad = tch::no_grad_guard();
        let answers = WeightFiles::read(&fixture("answers.safetensors")).unwrap();
        let files = WeightFiles::read(&fixture(&case.file)).unwrap();
        let weights = VitWeights::find(&files).unwrap().expect("there is a vision transformer");
        let compute = Compute { kind, ..Compute::CPU };
        let network = weights.network(architecture(case, &weights), compute).unwrap();
        let of_size = |size: &i64| {
            let expected = answers.tensor(&format!("{} {size}", case.name)).unwrap();
            let found =
                network.features(&image(*size).to_kind(kind), 0).unwrap().select(0, 0).to_kind(Kind::Float);
            assert_eq!(found.size(), expected.size(), "{}", case.name);
            let difference = (&found - &expected).abs().max().double_value(&[]);
            let scale = expected.abs().max().double_value(&[]);
            (difference / scale, Tensor::cosine_similarity(&found, &expected, 0, 1e-12).double_value(&[]))
        };
        case.sizes.iter().map(of_size).fold((0.0, 1.0), |all, one| (all.0.max(one.0), all.1.min(one.1)))
    }

    #[test]
    fn transformers_answer_as_the_libraries_they_come_from() {
        for case in cases() {
            let (difference, _) = compared(&case, Kind::Float);
            println!("{}: largest relative difference {difference:.1e}", case.name);
            assert!(difference <= 1e-5, "{}: {difference:e}", case.name);
        }
    }

    #[test]
    fn sixteen_bits_answer_nearly_the_same() {
        for case in cases() {
            let (_, cosine) = compared(&case, Kind::BFloat16);
            println!("{}: least cosine {cosine:.6}", case.name);
            assert!(cosine >= 0.9999, "{}: {cosine}", case.name);
        }
    }
}
