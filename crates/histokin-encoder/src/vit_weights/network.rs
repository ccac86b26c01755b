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
    use crate::backbones::BackboneKind;
    use crate::model::Model;
    use crate::onnx::tests::small_transformers;
    use crate::weight_files::WeightFiles;
    use std::path::Path;
    use tch::{Device, Kind};

    /// The image by integer formula that the reference was made from.
    fn image(edge: i64) -> Tensor {
        let axis = Tensor::arange(edge, (Kind::Int64, Device::Cpu));
        let (y, x) = (axis.reshape([edge, 1]), axis.reshape([1, edge]));
        let channels = [&x * &x + 3 * &y, 5 * &x + &y * &y, &x * &y + 7 * &x];
        (Tensor::stack(&channels, 0).remainder(256).to_kind(Kind::Float).unsqueeze(0) / 255 - 0.5) / 0.25
    }

    /// Returns the largest difference of an answer, relative to the largest number of the reference, and the
    /// cosine to it, over all sizes of images.
    fn compared(name: &str, model: &Model, sizes: &[u32], kind: Kind) -> (f64, f64) {
        let _no_grad = tch::no_grad_guard();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vit");
        let answers = WeightFiles::read(&folder.join("answers.safetensors")).unwrap();
        let BackboneKind::Vit(architecture) = model.file.backbone else { panic!("{name} is none") };
        let compute = Compute { kind, ..Compute::CPU };
        let network = model.vit().unwrap().network(architecture, compute).unwrap();
        let of_size = |size: &u32| {
            let expected = answers.tensor(&format!("{name} {size}")).unwrap();
            let image = image(i64::from(*size)).to_kind(kind);
            let found = network.features(&image, 0).unwrap().select(0, 0).to_kind(Kind::Float);
            assert_eq!(found.size(), expected.size(), "{name}");
            let difference = (&found - &expected).abs().max().double_value(&[]);
            let scale = expected.abs().max().double_value(&[]);
            (difference / scale, Tensor::cosine_similarity(&found, &expected, 0, 1e-12).double_value(&[]))
        };
        sizes.iter().map(of_size).fold((0.0, 1.0), |all, one| (all.0.max(one.0), all.1.min(one.1)))
    }

    #[test]
    fn transformers_answer_as_the_libraries_they_come_from() {
        for (name, model, sizes) in small_transformers() {
            let (difference, _) = compared(&name, &model, &sizes, Kind::Float);
            println!("{name}: largest relative difference {difference:.1e}");
            assert!(difference <= 1e-5, "{name}: {difference:e}");
        }
    }

    #[test]
    fn sixteen_bits_answer_nearly_the_same() {
        for (name, model, sizes) in small_transformers() {
            let (_, cosine) = compared(&name, &model, &sizes, Kind::BFloat16);
            println!("{name}: least cosine {cosine:.6}");
            assert!(cosine >= 0.9999, "{name}: {cosine}");
        }
    }
}
