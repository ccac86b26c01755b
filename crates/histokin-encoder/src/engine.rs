//! The engines in which networks run: libtorch, and ONNX Runtime.
//!
//! Both compute the same descriptors, but for rounding: they differ by less than 1e-4 of their length, which tests check
//! for the networks that ship. An encoder's identity therefore does not depend on the engine, as little as on the
//! device: what one engine has embedded is searched and continued with the other.

use std::path::Path;
use std::sync::OnceLock;

use strum::{EnumIter, EnumMessage, EnumString, IntoEnumIterator};

#[cfg(feature = "torch")]
use super::compute::Compute;
use super::model::Model;
use super::{DeviceChoice, Encoder, EncoderError};

/// What runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, EnumMessage, EnumString, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Engine {
    /// libtorch.
    Torch,
    /// ONNX Runtime, on the CPU.
    OnnxRuntime,
}

/// The engine that was chosen for this run of the program.
static CHOSEN: OnceLock<Engine> = OnceLock::new();

/// Chooses the engine for this run of the program. The first choice stands: later ones change nothing.
///
/// # Errors
/// [`EncoderError::Engine`] if this build does not have it.
pub fn choose(engine: Engine) -> Result<(), EncoderError> {
    if !engine.is_built() {
        return Err(missing(engine));
    }
    let _ = CHOSEN.set(engine);
    Ok(())
}

/// Returns the error for an engine that this build does not have.
fn missing(engine: Engine) -> EncoderError {
    let others: Vec<String> = Engine::built().map(|engine| engine.to_string()).collect();
    let reason = format!("this build of histokin has {} only", others.join(" and "));
    EncoderError::Engine { engine, reason }
}

/// Returns the engine that was chosen for this run of the program, if one was.
pub fn chosen() -> Option<Engine> {
    CHOSEN.get().copied()
}

impl Engine {
    /// Returns whether this build has the engine; its library may be missing.
    pub fn is_built(self) -> bool {
        match self {
            Self::Torch => cfg!(feature = "torch"),
            Self::OnnxRuntime => cfg!(feature = "ort"),
        }
    }

    /// Returns the engines of this build.
    pub fn built() -> impl Iterator<Item = Self> {
        Self::iter().filter(|engine| engine.is_built())
    }

    /// Returns the engine that was chosen, otherwise libtorch where the build has it.
    pub fn current() -> Self {
        chosen().or_else(|| Self::built().next()).unwrap_or(Self::Torch)
    }
}

/// Returns the display name of the device that `choice` selects on this computer for the chosen engine: `CPU` or
/// `NVIDIA … (cuda:0)`. Loads the engine.
///
/// # Errors
/// [`EncoderError::Device`] if a CUDA device is requested and cannot be used; [`EncoderError::Engine`] if the engine's
/// library is missing.
pub fn device_name(choice: DeviceChoice) -> Result<String, EncoderError> {
    match Engine::current() {
        #[cfg(feature = "torch")]
        Engine::Torch => super::trainable::device_name(choice),
        #[cfg(feature = "ort")]
        Engine::OnnxRuntime => super::onnx_runtime::device_name(choice),
        #[cfg(not(all(feature = "torch", feature = "ort")))]
        other => Err(missing(other)),
    }
}

/// Builds a model's network in an engine.
///
/// # Errors
/// [`EncoderError`] if the engine or the device cannot be used, or the weights are damaged or of another network.
pub(super) fn load_model(
    model: Model,
    device: DeviceChoice,
    engine: Engine,
) -> Result<Box<dyn Encoder>, EncoderError> {
    match engine {
        #[cfg(feature = "torch")]
        Engine::Torch => super::network::load_model(model, device),
        #[cfg(feature = "ort")]
        Engine::OnnxRuntime => super::onnx_runtime::load_model(model, device),
        #[cfg(not(all(feature = "torch", feature = "ort")))]
        other => Err(missing(other)),
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
    fn an_engine_of_this_build_runs_and_another_is_refused() {
        assert!(Engine::current().is_built());
        assert_eq!(Engine::current(), Engine::built().next().unwrap());
        for engine in Engine::iter() {
            assert_eq!(engine.to_string().parse(), Ok(engine));
            if !engine.is_built() {
                assert!(choose(engine).unwrap_err().to_string().contains(&engine.to_string()));
            }
        }
    }

    #[cfg(feature = "torch")]
    #[test]
    fn the_cpu_is_always_there() {
        assert_eq!(device_name(DeviceChoice::Cpu).unwrap(), "CPU");
        assert!(device_name(DeviceChoice::Cuda(4096)).is_err());
    }
}
