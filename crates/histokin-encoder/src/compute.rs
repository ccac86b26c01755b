//! Devices of libtorch: selecting one and naming it.

use std::ffi::{CStr, c_char, c_int};
use std::sync::OnceLock;

#[cfg(unix)]
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use tch::{Cuda, Device, Kind, TchError, Tensor};

use super::batches::is_lack_of_memory;
use super::device::{DeviceChoice, computing_threads};
use super::{EncoderError, first_line};

/// A device that was checked to work, and the number format to compute in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compute {
    /// Device that tensors are allocated on.
    pub device: Device,
    /// Number format of parameters and inputs.
    pub kind: Kind,
}

impl Compute {
    /// The CPU in single precision.
    pub const CPU: Self = Self { device: Device::Cpu, kind: Kind::Float };

    /// Selects the device for `choice` on this computer. Must be called before any other use of libtorch.
    ///
    /// # Errors
    /// [`EncoderError::Device`] if libtorch cannot be loaded or a requested CUDA device cannot be used.
    pub fn choose(choice: DeviceChoice) -> Result<Self, EncoderError> {
        super::torch_library::load()
            .map_err(|reason| EncoderError::Device { device: choice.to_string(), reason })?;
        let cuda = load_cuda();
        share_processors();
        match choice {
            DeviceChoice::Cpu => Ok(Self::CPU),
            DeviceChoice::Auto => match cuda.and_then(|()| try_cuda(0)) {
                Ok(()) => Ok(Self { device: Device::Cuda(0), kind: Kind::Float }),
                Err(reason) => {
                    tracing::debug!("running on the CPU: {reason}");
                    Ok(Self::CPU)
                }
            },
            DeviceChoice::Cuda(index) | DeviceChoice::CudaHalf(index) => {
                cuda.and_then(|()| try_cuda(index))
                    .map_err(|reason| EncoderError::Device { device: choice.to_string(), reason })?;
                let half = matches!(choice, DeviceChoice::CudaHalf(_));
                let kind = if half { Kind::Half } else { Kind::Float };
                Ok(Self { device: Device::Cuda(index), kind })
            }
        }
    }

    /// Returns whether the device is a CUDA device.
    #[cfg(feature = "ort")]
    pub fn is_cuda(self) -> bool {
        matches!(self.device, Device::Cuda(_))
    }

    /// Returns the device's display name.
    pub fn name(&self) -> String {
        let Device::Cuda(index) = self.device else { return "CPU".into() };
        let card = cuda_card_name(index).unwrap_or_else(|| "NVIDIA GPU".into());
        let half = if self.kind == Kind::Half { ", half precision" } else { "" };
        format!("{card} (cuda:{index}{half})")
    }
}

/// Loads libtorch's CUDA library if it is installed. The program is linked against the CPU library only, so
/// one binary runs on computers with and without CUDA.
#[expect(unsafe_code, reason = "a library is loaded, which runs its initialisers")]
fn load_cuda() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    let load = || {
        #[cfg(unix)]
        // SAFETY: libtorch_cuda's initialisers register its kernels with libtorch. Their only precondition is
        // that no tensor operation has started, which `Compute::choose` ensures.
        let opened = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) };
        #[cfg(windows)]
        // SAFETY: as on Unix.
        let opened = unsafe { libloading::Library::new("torch_cuda.dll") };
        match opened {
            Ok(library) => {
                // The kernels stay registered until the process ends, so the library must stay loaded.
                std::mem::forget(library);
                Ok(())
            }
            Err(error) => Err(format!(
                "this installation has libtorch for the CPU only, or its CUDA part does not load ({error}); \
                 set-up with CUDA=1 fetches it"
            )),
        }
    };
    LOADED.get_or_init(load).clone()
}

/// Checks that a tensor can be allocated on the device; returns the reason if not.
fn try_cuda(index: usize) -> Result<(), String> {
    if !Cuda::is_available() {
        return Err("no NVIDIA driver that libtorch can use was found".into());
    }
    let count = Cuda::device_count();
    if index as i64 >= count {
        return Err(format!("there are {count} CUDA devices, numbered from 0"));
    }
    match Tensor::f_zeros([1], (Kind::Float, Device::Cuda(index))) {
        Ok(_) => Ok(()),
        Err(error) => Err(first_line(&error)),
    }
}

/// The library of the CUDA driver.
const DRIVER: &str = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };

/// Returns whether a CUDA driver is installed. Without one there is no CUDA device, and libtorch need not be asked.
#[expect(unsafe_code, reason = "a library is loaded, which runs its initialisers")]
pub(super) fn has_driver() -> bool {
    static IS_THERE: OnceLock<bool> = OnceLock::new();
    // SAFETY: the driver's initialisers have no precondition; libtorch loads it in the same way.
    *IS_THERE.get_or_init(|| unsafe { libloading::Library::new(DRIVER) }.is_ok())
}

/// Returns the GPU's name from the CUDA driver, which is called directly because tch has no function for it.
#[expect(unsafe_code, reason = "the driver is a C library")]
fn cuda_card_name(index: usize) -> Option<String> {
    const SUCCESS: c_int = 0;
    type Init = unsafe extern "C" fn(u32) -> c_int;
    type DeviceGet = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
    type DeviceGetName = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
    let mut text: [c_char; 128] = [0; 128];
    // SAFETY: the three functions have had these signatures since CUDA 2.0. The buffer's length is passed,
    // and the driver terminates the name with a zero within it.
    unsafe {
        let driver = libloading::Library::new(DRIVER).ok()?;
        let init = driver.get::<Init>(b"cuInit\0").ok()?;
        let device_get = driver.get::<DeviceGet>(b"cuDeviceGet\0").ok()?;
        let device_get_name = driver.get::<DeviceGetName>(b"cuDeviceGetName\0").ok()?;
        let mut device: c_int = 0;
        let answered = init(0) == SUCCESS
            && device_get(&mut device, index as c_int) == SUCCESS
            && device_get_name(text.as_mut_ptr(), text.len() as c_int - 1, device) == SUCCESS;
        answered.then(|| CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned())
    }
}

/// Limits libtorch's threads to leave processors for decoding and the window: libtorch's threads wait for
/// each other, so one that is not scheduled delays all. `OMP_NUM_THREADS` takes precedence if set.
fn share_processors() {
    static SHARED: OnceLock<()> = OnceLock::new();
    SHARED.get_or_init(|| {
        if std::env::var_os("OMP_NUM_THREADS").is_none() {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            tch::set_num_threads(computing_threads(processors) as i32);
        }
    });
}

/// Returns whether `error` reports a lack of memory.
pub fn is_out_of_memory(error: &TchError) -> bool {
    is_lack_of_memory(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorchs_own_lack_of_memory_is_recognised() {
        // 2^60 bytes, more than any computer has.
        let error = Tensor::f_zeros([1 << 58], (Kind::Float, Device::Cpu)).unwrap_err();
        assert!(is_out_of_memory(&error), "{error}");
    }
}
