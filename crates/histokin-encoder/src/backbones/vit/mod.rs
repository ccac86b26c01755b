//! Vision transformers (Dosovitskiy et al. 2021, "An image is worth 16x16 words"; Oquab et al. 2024, "DINOv2"),
//! whose architecture is read from the weights.
//!
//! Parameters are named as in timm; [`names`] translates other libraries' names.

pub mod adapter;
mod architecture;
#[cfg(feature = "torch")]
mod block;
pub mod names;
#[cfg(feature = "torch")]
mod network;
mod parameters;
mod positions;

pub use architecture::{
    LayoutDefaults, Positions, Projection, Shapes, VitActivation, VitArchitecture, VitOutput,
};
#[cfg(feature = "torch")]
pub use network::VisionTransformer;
pub use positions::Resampling;
