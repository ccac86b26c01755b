//! The engines in which networks run: libtorch, and ONNX Runtime.
//!
//! Both compute the same descriptors, but for rounding: they differ by less than 1e-4 of their length, which tests check
//! for the networks that ship. An encoder's identity therefore does not depend on the engine, as little as on the
//! device: what one engine has embedded is searched and continued with the other.

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use strum::{EnumIter, EnumMessage, EnumString, IntoEnumIterator};

use super::model::Model;
use super::{DeviceChoice, Encoder, EncoderError};

/// What runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, EnumMessage, EnumString, strum::Display)]
#[strum(serialize_all = "lowercase")]
#[repr(u8)]
pub enum Engine {
    /// libtorch.
    Torch = 1,
    /// ONNX Runtime, on the CPU.
    OnnxRuntime = 2,
}

/// The engine that was chosen for this run of the program; 0 if none was.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

/// Chooses the engine for this run of the program.
///
/// # Errors
/// [`EncoderError::Engine`] if this build does not have it.
pub fn choose(engine: Engine) -> Result<(), EncoderError> {
    if !engine.is_built() {
        let others: Vec<String> = Engine::built().map(|engine| engine.to_string()).collect();
        let reason = format!("this build of histokin has {} only", others.join(" and "));
        return Err(EncoderError::Engine { engine, reason });
    }
    CHOSEN.store(engine as u8, Ordering::Relaxed);
    Ok(())
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
        let chosen = CHOSEN.load(Ordering::Relaxed);
        let chosen = Self::iter().find(|engine| *engine as u8 == chosen);
        chosen.or_else(|| Self::built().next()).unwrap_or(Self::Torch)
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
        Engine::Torch => torch::device_name(choice),
        Engine::OnnxRuntime => onnx_runtime::device_name(choice),
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
        Engine::Torch => torch::load_model(model, device),
        Engine::OnnxRuntime => onnx_runtime::load_model(model, device),
    }
}

/// Loads a TorchScript module.
///
/// # Errors
/// [`EncoderError::NeedsTorch`] if this build has no libtorch; [`EncoderError`] if the module or the device cannot be
/// used.
pub(super) fn load_module(path: &Path, device: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
    torch::load_module(path, device)
}

#[cfg(feature = "torch")]
mod torch {
    use super::{DeviceChoice, Encoder, EncoderError, Model, Path};
    use crate::compute::Compute;
    use crate::network::{Branch, NetworkEncoder};
    use crate::torchscript;

    pub(super) fn device_name(choice: DeviceChoice) -> Result<String, EncoderError> {
        Ok(Compute::choose(choice)?.name())
    }

    pub(super) fn load_model(model: Model, device: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
        let compute = Compute::choose(device)?;
        let branch = Branch::load(&model, compute)?;
        Ok(Box::new(NetworkEncoder::new(branch, model.spec, compute, model.file.preprocessing)))
    }

    pub(super) fn load_module(path: &Path, device: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
        Ok(Box::new(torchscript::load(path, Compute::choose(device)?)?))
    }
}

#[cfg(not(feature = "torch"))]
mod torch {
    use super::{DeviceChoice, Encoder, EncoderError, Engine, Model, Path};

    fn missing() -> EncoderError {
        let reason = "this build of histokin does not have it".to_owned();
        EncoderError::Engine { engine: Engine::Torch, reason }
    }

    pub(super) fn device_name(_: DeviceChoice) -> Result<String, EncoderError> {
        Err(missing())
    }

    pub(super) fn load_model(_: Model, _: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
        Err(missing())
    }

    pub(super) fn load_module(_: &Path, _: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
        Err(EncoderError::NeedsTorch { what: "running a TorchScript module" })
    }
}

#[cfg(feature = "ort")]
use super::onnx_runtime;

#[cfg(not(feature = "ort"))]
mod onnx_runtime {
    use super::{DeviceChoice, Encoder, EncoderError, Engine, Model};

    fn missing() -> EncoderError {
        let reason = "this build of histokin does not have it".to_owned();
        EncoderError::Engine { engine: Engine::OnnxRuntime, reason }
    }

    pub(super) fn device_name(_: DeviceChoice) -> Result<String, EncoderError> {
        Err(missing())
    }

    pub(super) fn load_model(_: Model, _: DeviceChoice) -> Result<Box<dyn Encoder>, EncoderError> {
        Err(missing())
    }
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
