//! Low-rank adapters (Hu et al. 2022, "LoRA: low-rank adaptation of large language models"): a layer's matrix `W`
//! becomes
//! `W + U D` with `D`, `[rank, inputs]`, and `U`, `[outputs, rank]`. Only these are trained; `U` starts at zero, so
//! that the network starts as it was. There is no factor: the learning rate has its place.

#[cfg(feature = "torch")]
pub use layer::{Adapter, merged};

/// End of the name of `D`, after the layer's.
pub const DOWN: &str = ".lora_down";

/// End of the name of `U`, after the layer's.
pub const UP: &str = ".lora_up";

#[cfg(feature = "torch")]
mod layer {
    use tch::{TchError, Tensor};

    /// An adapter of one layer.
    #[derive(Debug)]
    pub struct Adapter {
        /// `[rank, inputs]`.
        pub down: Tensor,
        /// `[outputs, rank]`.
        pub up: Tensor,
    }

    impl Adapter {
        /// Computes what the adapter adds to the layer's output for `x`, `[…, inputs]`.
        ///
        /// # Errors
        /// An error of libtorch, such as lack of memory.
        pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
            x.f_linear(&self.down, None::<Tensor>)?.f_linear(&self.up, None::<Tensor>)
        }

        pub(crate) fn shallow_clone(&self) -> Self {
            Self { down: self.down.shallow_clone(), up: self.up.shallow_clone() }
        }
    }

    /// Returns the matrix of a layer with its adapter added.
    ///
    /// # Errors
    /// An error of libtorch, such as shapes that do not fit.
    pub fn merged(weight: &Tensor, down: &Tensor, up: &Tensor) -> Result<Tensor, TchError> {
        weight.f_add(&up.f_matmul(down)?)
    }
}
