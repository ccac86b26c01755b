//! Encoders that the user brings as TorchScript modules (`torch.jit.save`).

use std::path::Path;

use tch::{CModule, IValue, Kind, TchError, Tensor};

use super::device::Compute;
use super::model::{self, Preprocessing};
use super::network::{Network, NetworkEncoder};
use super::weights::MOST_BYTES;
use super::{EncoderError, EncoderSpec, first_line, trust};
use crate::intake;

/// A module from images `[N, 3, H, W]` to descriptors `[N, width]`.
struct Script(CModule);

impl Network for Script {
    fn forward(&self, images: &Tensor) -> Result<Tensor, TchError> {
        // Traced modules may hold `view` calls that only the plain layout allows.
        let images = images.f_contiguous()?;
        match self.0.forward_is(&[IValue::Tensor(images)])? {
            // Some networks keep the pooled map's extent of 1 × 1.
            IValue::Tensor(answer) if answer.dim() > 2 => answer.f_flatten(1, -1),
            IValue::Tensor(answer) => Ok(answer),
            other => Err(TchError::Convert(format!(
                "the module has to answer one tensor [N, numbers], not {}",
                kind_of(&other)
            ))),
        }
    }
}

fn kind_of(value: &IValue) -> &'static str {
    match value {
        IValue::Tuple(_) => "a tuple",
        IValue::GenericDict(_) => "a dictionary",
        IValue::GenericList(_) | IValue::TensorList(_) => "a list",
        _ => "something else",
    }
}

/// Load the module at `path` with the settings in `<path>.toml`, where there is one.
pub(super) fn load(
    path: &Path,
    compute: Compute,
) -> Result<NetworkEncoder<impl Network + use<>>, EncoderError> {
    let unusable =
        |error: TchError| EncoderError::TorchScript { path: path.to_owned(), reason: first_line(&error) };
    // Brought modules run in the precision that they were saved in.
    let compute = Compute { kind: Kind::Float, ..compute };
    let preprocessing = model::sidecar(path)?;
    let bytes = intake::read(path, MOST_BYTES)
        .map_err(|error| EncoderError::File { path: path.to_owned(), reason: error.to_string() })?;
    trust::check(path, &bytes)?;
    let _no_grad = tch::no_grad_guard();
    let mut module = CModule::load_data_on_device(&mut bytes.as_slice(), compute.device).map_err(unusable)?;
    module.f_set_eval().map_err(unusable)?;
    let network = Script(module);
    let spec = EncoderSpec {
        id: preprocessing.encoder_id("torchscript", &[&bytes]),
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        width: width_of(&network, &preprocessing, compute).map_err(unusable)?,
        tiles: preprocessing.tiles(),
        stain_reference: preprocessing.stain_reference,
    };
    Ok(NetworkEncoder::new(network, spec, compute, preprocessing))
}

/// How many numbers the module answers, found by asking it once.
fn width_of(network: &Script, settings: &Preprocessing, compute: Compute) -> Result<usize, TchError> {
    let edge = i64::from(settings.tile_px);
    let blank = Tensor::f_zeros([2, 3, edge, edge], (compute.kind, compute.device))?;
    match network.forward(&blank)?.size()[..] {
        [2, width] if width > 0 => Ok(width as usize),
        ref other => Err(TchError::Shape(format!(
            "for 2 tiles of {edge} × {edge} px the module answers {other:?}, not [2, numbers]"
        ))),
    }
}
