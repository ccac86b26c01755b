//! Vision transformers from files of weights, in libtorch.

use tch::{TchError, Tensor};

use super::VitWeights;
use crate::EncoderError;
use crate::backbones::vit::{VisionTransformer, VitArchitecture};
use crate::compute::Compute;
use crate::weights::Tensors;

impl VitWeights<'_> {
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

    fn tensor(&self, name: &str) -> Result<Tensor, EncoderError> {
        let parameter = self.parameter(name)?;
        let shape: Vec<i64> = parameter.shape.iter().map(|&extent| extent as i64).collect();
        let tensor = Tensor::f_from_slice(&parameter.values).and_then(|tensor| tensor.f_reshape(&shape));
        tensor.map_err(|error: TchError| EncoderError::torch("reading weights", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::vit::{VitActivation, VitOutput};
    use crate::weight_files::WeightFiles;
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
