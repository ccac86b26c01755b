//! The one place that knows devices: choosing one, naming it, and running a batch on it.

/// Which device the user wants: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first CUDA device where there is one, else the CPU.
    #[default]
    Auto,
    Cpu,
    Cuda(usize),
}

/// Name of the device for people.
pub fn device_name() -> String {
    todo!()
}
