//! Compute devices: selecting one, naming it, and fitting a batch into its memory.

use std::ffi::{CStr, c_char, c_int};
use std::ops::Range;
use std::str::FromStr;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use tch::{Cuda, Device, Kind, TchError, Tensor};

use super::{EncoderError, first_line};

/// The device requested by the user: `auto`, `cpu`, `cuda`, `cuda:N`, `cuda-half` or `cuda-half:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first CUDA device if one is available, otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number, counted from 0.
    Cuda(usize),
    /// The CUDA device of this number, in half precision: faster, but descriptors differ in the third digit.
    CudaHalf(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => (kind, Some(index)),
            None => (text, None),
        };
        let number = || match index {
            None => Ok(0),
            Some(digits) => digits.parse().map_err(|_| format!("{digits:?} is not the number of a device")),
        };
        match (kind, index) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("cuda", _) => Ok(Self::Cuda(number()?)),
            ("cuda-half", _) => Ok(Self::CudaHalf(number()?)),
            _ => Err(format!(
                "{text:?} is not a device; use auto, cpu, cuda, cuda:N, cuda-half or cuda-half:N"
            )),
        }
    }
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::CudaHalf(index) => write!(f, "cuda-half:{index}"),
        }
    }
}

/// Returns the display name of the device that `choice` selects on this computer: `CPU` or
/// `NVIDIA … (cuda:0)`. Loads libtorch.
///
/// # Errors
/// [`EncoderError::Device`] if a CUDA device is requested and cannot be used.
pub fn device_name(choice: DeviceChoice) -> Result<String, EncoderError> {
    Ok(Compute::choose(choice)?.name())
}

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
        // SAFETY: libtorch_cuda's initialisers register its kernels with libtorch. Their only precondition is
        // that no tensor operation has started, which `Compute::choose` ensures.
        match unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) } {
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
        let driver = libloading::Library::new("libcuda.so.1").ok()?;
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
            tch::set_num_threads(torch_threads(processors) as i32);
        }
    });
}

/// Returns the number of libtorch threads: one processor is left for the window and a quarter for decoding.
fn torch_threads(processors: usize) -> usize {
    processors.saturating_sub(1 + processors / 4).max(1)
}

/// Processes `count` items in parts of at most `largest`. When the device runs out of memory, the part is
/// halved and retried, and `largest` is reduced for later parts.
///
/// # Errors
/// The first error other than lack of memory, or lack of memory for a single item.
pub(super) fn in_parts(
    count: usize,
    largest: &mut usize,
    mut run: impl FnMut(Range<usize>) -> Result<(), TchError>,
) -> Result<(), TchError> {
    let mut begin = 0;
    while begin < count {
        let part = (count - begin).min(*largest);
        match run(begin..begin + part) {
            Ok(()) => begin += part,
            Err(error) if is_out_of_memory(&error) && part > 1 => {
                *largest = part / 2;
                tracing::warn!("out of memory on the device: going on with batches of {largest}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns whether `error` reports a lack of memory. libtorch has no error code for it, only messages: "CUDA
/// out of memory. Tried to allocate …", and on the CPU "DefaultCPUAllocator: can't allocate memory" or "not
/// enough memory".
pub fn is_out_of_memory(error: &TchError) -> bool {
    let text = error.to_string();
    ["out of memory", "can't allocate memory", "not enough memory"].iter().any(|sign| text.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_read_back_as_written() {
        for choice in
            [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda(0), DeviceChoice::CudaHalf(3)]
        {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for wrong in ["gpu", "cuda:", "cuda:x", "cpu:1", "auto:0", ""] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn out_of_memory_halves_the_batch_and_goes_on() {
        let (mut largest, mut done, mut tried) = (16, Vec::new(), Vec::new());
        in_parts(21, &mut largest, |part| {
            tried.push(part.len());
            if part.len() > 5 {
                return Err(TchError::Torch("CUDA out of memory. Tried to allocate 2.00 GiB".into()));
            }
            done.extend(part);
            Ok(())
        })
        .unwrap();
        assert_eq!(done, (0..21).collect::<Vec<_>>());
        assert_eq!(tried, [16, 8, 4, 4, 4, 4, 4, 1]);
        assert_eq!(largest, 4);
    }

    #[test]
    fn libtorchs_own_lack_of_memory_is_recognised() {
        // 2^60 bytes, more than any computer has.
        let error = Tensor::f_zeros([1 << 58], (Kind::Float, Device::Cpu)).unwrap_err();
        assert!(is_out_of_memory(&error), "{error}");
    }

    #[test]
    fn memory_for_a_single_item_or_another_error_ends_it() {
        let lack = |_: Range<usize>| Err(TchError::Torch("CUDA out of memory".into()));
        assert!(in_parts(8, &mut 8, lack).is_err());
        let mut calls = 0;
        let other = |_: Range<usize>| {
            calls += 1;
            Err(TchError::Torch("size mismatch".into()))
        };
        assert!(in_parts(8, &mut 8, other).is_err());
        assert_eq!(calls, 1);
    }

    #[test]
    fn encoding_leaves_processors_to_others() {
        assert_eq!([1, 2, 4, 8, 16].map(torch_threads), [1, 1, 2, 5, 11]);
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert_eq!(device_name(DeviceChoice::Cpu).unwrap(), "CPU");
        assert!(device_name(DeviceChoice::Cuda(4096)).is_err());
    }
}
