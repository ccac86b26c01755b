//! The engines in which networks run: libtorch, and ONNX Runtime.
//!
//! Both compute the same descriptors, but for rounding: they differ by less than 1e-4 of their length, which tests check
//! for the networks that ship. An encoder's identity therefore depends neither on the engine nor on the
//! device: what one engine has embedded is searched and continued with the other.
//!
//! # Which engine runs an encoder
//!
//! 1. The one that the user has chosen, by `--engine` or in the settings. It is an error if it cannot be used.
//! 2. Otherwise ([`EngineChoice::Automatic`]) libtorch, if the device is a CUDA device.
//! 3. Otherwise ONNX Runtime, if this build has it, its library can be loaded, and it can run the encoder: on processors
//!    it needs little more than half of libtorch's time.
//! 4. Otherwise libtorch; the log says why.
//!
//! TorchScript modules, training and fitting use libtorch, whatever was chosen: nothing else can.

use std::path::Path;
use std::sync::OnceLock;

use strum::{EnumIter, EnumMessage, EnumString, IntoEnumIterator};

#[cfg(feature = "torch")]
use super::compute::{self, Compute};
use super::model::Model;
#[cfg(feature = "ort")]
use super::onnx_runtime;
use super::{DeviceChoice, Encoder, EncoderError};

/// What runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Engine {
    /// libtorch.
    Torch,
    /// ONNX Runtime, on the CPU.
    OnnxRuntime,
}

/// What the user chooses of the engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, EnumIter, EnumMessage, EnumString, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum EngineChoice {
    /// ONNX Runtime on the CPU where it can run the encoder, otherwise libtorch.
    #[default]
    Automatic,
    /// libtorch.
    Torch,
    /// ONNX Runtime, on the CPU.
    OnnxRuntime,
}

impl From<Engine> for EngineChoice {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Torch => Self::Torch,
            Engine::OnnxRuntime => Self::OnnxRuntime,
        }
    }
}

impl EngineChoice {
    /// Returns the engine that is chosen, `None` if that is left to the program.
    fn engine(self) -> Option<Engine> {
        match self {
            Self::Automatic => None,
            Self::Torch => Some(Engine::Torch),
            Self::OnnxRuntime => Some(Engine::OnnxRuntime),
        }
    }
}

/// What was chosen for this run of the program.
static CHOSEN: OnceLock<EngineChoice> = OnceLock::new();

/// Chooses the engine for this run of the program. The first choice stands: later ones change nothing.
///
/// # Errors
/// [`EncoderError::Engine`] if this build does not have it.
pub fn choose(choice: EngineChoice) -> Result<(), EncoderError> {
    if let Some(engine) = choice.engine().filter(|engine| !engine.is_built()) {
        return Err(missing(engine));
    }
    let _ = CHOSEN.set(choice);
    Ok(())
}

/// Returns the error for an engine that this build does not have.
fn missing(engine: Engine) -> EncoderError {
    let others: Vec<String> = Engine::built().map(|engine| engine.to_string()).collect();
    let reason = format!("this build of histokin has {} only", others.join(" and "));
    EncoderError::Engine { engine, reason }
}

/// Returns what was chosen for this run of the program, if anything was.
pub fn chosen() -> Option<EngineChoice> {
    CHOSEN.get().copied()
}

impl Engine {
    /// Returns whether this build has the engine; its library may be missing.
    fn is_built(self) -> bool {
        match self {
            Self::Torch => cfg!(feature = "torch"),
            Self::OnnxRuntime => cfg!(feature = "ort"),
        }
    }

    /// Returns the engines of this build.
    pub fn built() -> impl Iterator<Item = Self> {
        Self::iter().filter(|engine| engine.is_built())
    }
}

/// Returns the engine that is taken by default on a device, for encoders that both can run; `None` if only libtorch can
/// tell, since there may be a CUDA device. Loads no engine.
pub fn expected(device: DeviceChoice) -> Option<Engine> {
    let mut built = Engine::built();
    if let (Some(only), None) = (built.next(), built.next()) {
        return Some(only);
    }
    match is_cuda(device) {
        Some(true) => Some(Engine::Torch),
        _ if !has_onnx_runtime() => Some(Engine::Torch),
        Some(false) => Some(Engine::OnnxRuntime),
        None => None,
    }
}

/// Returns whether `choice` selects a CUDA device on this computer, `None` if only libtorch can tell, since there is a
/// driver.
fn is_cuda(choice: DeviceChoice) -> Option<bool> {
    match choice {
        DeviceChoice::Cuda(_) | DeviceChoice::CudaHalf(_) => Some(true),
        DeviceChoice::Auto if has_cuda_driver() => None,
        DeviceChoice::Auto | DeviceChoice::Cpu => Some(false),
    }
}

/// Returns whether ONNX Runtime's library is where it is looked for.
fn has_onnx_runtime() -> bool {
    #[cfg(feature = "ort")]
    return onnx_runtime::is_there();
    #[cfg(not(feature = "ort"))]
    false
}

/// Returns whether there is a driver of CUDA devices.
fn has_cuda_driver() -> bool {
    #[cfg(feature = "torch")]
    return compute::has_driver();
    #[cfg(not(feature = "torch"))]
    false
}

/// Builds a model's network in the engine that `choice` leads to, as [the module](self) says.
///
/// # Errors
/// [`EncoderError`] if the engine or the device cannot be used, or the weights are damaged or of another network.
pub(super) fn load_model(
    model: Model,
    device: DeviceChoice,
    choice: EngineChoice,
) -> Result<Box<dyn Encoder>, EncoderError> {
    match choice {
        EngineChoice::Automatic => load_by_default(model, device),
        #[cfg(feature = "torch")]
        EngineChoice::Torch => super::network::load_model(model, device),
        #[cfg(feature = "ort")]
        EngineChoice::OnnxRuntime => onnx_runtime::load_model(model, device),
        #[cfg(not(feature = "torch"))]
        EngineChoice::Torch => Err(missing(Engine::Torch)),
        #[cfg(not(feature = "ort"))]
        EngineChoice::OnnxRuntime => Err(missing(Engine::OnnxRuntime)),
    }
}

#[cfg(all(feature = "torch", feature = "ort"))]
fn load_by_default(model: Model, device: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
    // libtorch is loaded to tell only where there is a driver.
    if is_cuda(device).unwrap_or_else(|| Compute::choose(device).is_ok_and(Compute::is_cuda)) {
        return super::network::load_model(model, device);
    }
    let prepared = onnx_runtime::prepare(&model);
    load_prepared(model, prepared)
}

#[cfg(not(all(feature = "torch", feature = "ort")))]
fn load_by_default(model: Model, device: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
    let only = Engine::built().next().map(EngineChoice::from);
    load_model(model, device, only.expect("a build has an engine, see lib.rs"))
}

/// Takes a network as it was prepared for ONNX Runtime or, if that could not run it, builds it in libtorch on the CPU.
#[cfg(all(feature = "torch", feature = "ort"))]
fn load_prepared(
    model: Model,
    prepared: Result<onnx_runtime::Prepared, EncoderError>,
) -> Result<Box<dyn Encoder>, EncoderError> {
    match prepared {
        Ok(prepared) => Ok(prepared.encoder(model)),
        Err(reason) => {
            tracing::info!("{} runs in libtorch: {reason}", model.spec.name);
            super::network::load_model(model, DeviceChoice::Cpu)
        }
    }
}

/// Loads a TorchScript module.
///
/// # Errors
/// [`EncoderError`] if the module or the device cannot be used.
#[cfg(feature = "torch")]
pub(super) fn load_module(path: &Path, device: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
    Ok(Box::new(super::torchscript::load(path, Compute::choose(device)?)?))
}

/// Refuses to load a TorchScript module: this build has no libtorch.
///
/// # Errors
/// Always [`EncoderError::NeedsTorch`].
#[cfg(not(feature = "torch"))]
pub(super) fn load_module(_: &Path, _: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
    Err(EncoderError::NeedsTorch { what: "running a TorchScript module" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_of_this_build_can_be_chosen_and_another_is_refused() {
        assert!(expected(DeviceChoice::Cpu).is_some_and(Engine::is_built));
        for engine in Engine::iter() {
            let choice = EngineChoice::from(engine);
            assert_eq!(choice.engine(), Some(engine));
            assert_eq!(engine.to_string().parse(), Ok(choice));
            if !engine.is_built() {
                assert!(choose(choice).unwrap_err().to_string().contains(&engine.to_string()));
            }
        }
        assert_eq!("automatic".parse(), Ok(EngineChoice::default()));
    }

    #[cfg(feature = "torch")]
    #[test]
    fn cuda_devices_are_libtorchs_by_default() {
        assert_eq!(expected(DeviceChoice::Cuda(0)), Some(Engine::Torch));
        let refused = crate::load_in(crate::DEFAULT, DeviceChoice::Cuda(4096), EngineChoice::Automatic);
        let refused = refused.err().unwrap().to_string();
        assert!(refused.contains("cuda:4096") && !refused.contains("--engine"), "{refused}");
    }

    #[cfg(all(feature = "torch", feature = "ort"))]
    #[test]
    fn what_onnx_runtime_cannot_run_runs_in_libtorch_by_default() {
        let (_, model, _) = crate::onnx::tests::small_transformers().remove(0);
        let reason =
            EncoderError::OnnxRuntime { doing: "building the network", reason: "no such operator".into() };
        let mut encoder = load_prepared(model, Err(reason)).unwrap();
        assert_eq!(encoder.device(), "CPU");
        let edge = encoder.spec().tiles.tile_px;
        assert_eq!(encoder.encode(&[image::RgbImage::new(edge, edge)]).unwrap().rows().len(), 1);
    }

    #[cfg(all(feature = "torch", feature = "ort"))]
    #[test]
    fn processors_get_onnx_runtime_by_default_where_its_library_is() {
        let encoder = crate::load_in(crate::DEFAULT, DeviceChoice::Cpu, EngineChoice::Automatic).unwrap();
        let (engine, device) = match onnx_runtime::is_there() {
            true => (Engine::OnnxRuntime, "CPU (ONNX Runtime)"),
            false => (Engine::Torch, "CPU"),
        };
        assert_eq!((expected(DeviceChoice::Cpu), encoder.device().as_str()), (Some(engine), device));
    }
}
