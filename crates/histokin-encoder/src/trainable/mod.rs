//! Training of encoders: what is trained of a network, and the network that is trained.

mod depth;
mod memory;
#[cfg(feature = "torch")]
mod network;
mod plan;

pub use depth::Depth;
pub use memory::TrainingMemory;
#[cfg(feature = "torch")]
pub use network::{TrainableNetwork, device_name};
pub use plan::{HeadKind, NetworkPlan, Start};
