//! The device on which an encoder computes, as the user chooses it.

use std::str::FromStr;

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

/// Returns the number of threads to compute with: one processor is left for the window and a quarter for decoding.
pub(super) fn computing_threads(processors: usize) -> usize {
    processors.saturating_sub(1 + processors / 4).max(1)
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
    fn encoding_leaves_processors_to_others() {
        assert_eq!([1, 2, 4, 8, 16].map(computing_threads), [1, 1, 2, 5, 11]);
    }
}
