//! Encoders supplied by the user as TorchScript modules (`torch.jit.save`).

use std::path::Path;

use tch::{CModule, IValue, Kind, TchError, Tensor};

use super::compute::Compute;
use super::model::{self, Preprocessing};
use super::module_output::{ModuleOutput, NOT_A_ROW_A_TILE};
use super::network::{Network, NetworkEncoder};
use super::weights::MOST_BYTES;
use super::{EncoderError, EncoderSpec, first_line, trust};
use histokin_core::descriptors::MOST_NUMBERS;
use histokin_core::untrusted;

/// A module that computes descriptors `[N, width]` of images `[N, 3, H, W]`.
struct Script {
    module: CModule,
    output: ModuleOutput,
}

impl Network for Script {
    fn forward(&self, images: &Tensor) -> Result<Tensor, TchError> {
        // Traced modules may contain `view` calls that require the contiguous layout.
        let images = images.f_contiguous()?;
        let tiles = images.size()[0];
        self.output.of(self.module.forward_is(&[IValue::Tensor(images)])?, tiles)
    }
}

/// Loads the module at `path` with the settings in `<path>.toml`, if this file exists.
pub(super) fn load(
    path: &Path,
    compute: Compute,
) -> Result<NetworkEncoder<impl Network + use<>>, EncoderError> {
    let unusable = |reason: String| EncoderError::TorchScript { path: path.to_owned(), reason };
    // Modules run in the precision in which they were saved.
    let compute = Compute { kind: Kind::Float, ..compute };
    let (preprocessing, output) = model::sidecar(path)?;
    let bytes = untrusted::read(path, MOST_BYTES)
        .map_err(|error| EncoderError::File { path: path.to_owned(), reason: error.to_string() })?;
    trust::check(path, &bytes)?;
    let _no_grad = tch::no_grad_guard();
    let mut module =
        CModule::load_data_on_device(&mut bytes.as_slice(), compute.device).map_err(|error| {
            EncoderError::NotTorchScript { path: path.to_owned(), reason: first_line(&error) }
        })?;
    module.f_set_eval().map_err(|error| unusable(first_line(&error)))?;
    // The output settings are part of the encoder's identity. Without any, the identity is the same as before
    // these settings were introduced.
    let kind = match output == ModuleOutput::default() {
        true => "torchscript".to_owned(),
        false => {
            let settings = serde_json::to_string(&output).expect("names and numbers become JSON");
            format!("torchscript {settings}")
        }
    };
    let network = Script { module, output };
    let spec = EncoderSpec {
        id: preprocessing.encoder_id(&kind, &[&bytes]),
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        width: width_of(&network, &preprocessing, compute).map_err(unusable)?,
        tiles: preprocessing.tiles(),
        stain: preprocessing.stain,
        stain_reference: preprocessing.stain_reference,
    };
    Ok(NetworkEncoder::new(network, spec, compute, preprocessing))
}

/// Input sizes of published networks, in pixels; tried when a module does not accept the configured size.
const USUAL_SIZES: [u32; 12] = [224, 256, 384, 512, 448, 336, 518, 392, 299, 320, 128, 96];

/// Returns the length of the module's descriptors, found by running it once, or the reason why it cannot be
/// used.
fn width_of(network: &Script, settings: &Preprocessing, compute: Compute) -> Result<usize, String> {
    let edge = settings.tile_px;
    let answer = ask(network, 2, edge, compute).map_err(|error| match takes(&error, network, edge, compute) {
        Some((2, size)) => format!(
            "it does not take tiles of {edge} × {edge} px, but of {size} × {size} px; set tile_px = {size} in the \
             settings beside it (the name of the module and .toml)"
        ),
        Some((_, size)) => format!(
            "it takes one tile of {size} × {size} px at a time; export it with a batch size that may vary"
        ),
        None => reason_of(&error),
    })?;
    let width = answer.size()[1];
    let is_finite = answer.f_isfinite().and_then(|finite| finite.f_all());
    let is_finite = is_finite.and_then(|all| all.f_int64_value(&[])).map_err(|error| first_line(&error))?;
    if is_finite == 0 {
        return Err("it returns NaN or infinite numbers for a test image; export it again, in 32 bits where it runs in \
                    16"
            .to_owned());
    }
    match usize::try_from(width) {
        Ok(width) if (1..=MOST_NUMBERS).contains(&width) => Ok(width),
        _ => Err(format!("it returns {width} numbers per tile; expected 1 to {MOST_NUMBERS}")),
    }
}

/// Runs the module on synthetic tiles with wave patterns, all different.
fn ask(network: &Script, tiles: i64, edge: u32, compute: Compute) -> Result<Tensor, TchError> {
    let edge = i64::from(edge);
    let places = Tensor::f_arange(tiles * 3 * edge * edge, (compute.kind, compute.device))?;
    let waves = places.f_mul_scalar(0.37)?.f_sin()?.f_reshape([tiles, 3, edge, edge])?;
    network.forward(&waves)
}

/// Returns a number of tiles and a usual tile size that the module accepts, after it failed with an internal
/// error for two tiles of size `edge`.
fn takes(error: &TchError, network: &Script, edge: u32, compute: Compute) -> Option<(i64, u32)> {
    // A module with a fixed input size may also return a wrong number of rows.
    if !matches!(error, TchError::Torch(_)) && !error.to_string().contains(NOT_A_ROW_A_TILE) {
        return None;
    }
    let usual = || std::iter::once(edge).chain(USUAL_SIZES);
    let tries = usual().skip(1).map(|size| (2, size)).chain(usual().map(|size| (1, size)));
    tries.into_iter().find(|(tiles, size)| ask(network, *tiles, *size, compute).is_ok())
}

/// Returns the error message of the module or of libtorch without the traceback.
fn reason_of(error: &TchError) -> String {
    if let TchError::Convert(reason) = error {
        return reason.clone();
    }
    let text = error.to_string();
    let said = text.lines().find_map(|line| line.trim().strip_prefix("RuntimeError: "));
    match said {
        Some(said) => said.to_owned(),
        None => first_line(error),
    }
}
