//! How much memory training a vision transformer takes, estimated before it starts.

use super::Depth;
use crate::backbones::vit::VitArchitecture;

/// Bytes of a number.
const FLOAT: usize = 4;

/// Memory that a training takes, in bytes. What libtorch itself and reading slides take comes on top, some 0.3 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainingMemory {
    /// All weights.
    pub weights: usize,
    /// Gradients of the trained parameters, and the two moments that AdamW keeps of each.
    pub trained: usize,
    /// What is kept of the forward pass of a batch for the backward pass.
    pub activations: usize,
}

impl TrainingMemory {
    /// Estimates the memory for training `architecture` to `depth`, with batches of `tiles` tiles of `edge` px.
    ///
    /// Of each block through which a gradient flows these numbers are kept for each token, where `W` is its width and
    /// `H` the perceptron's (twice that with a gate): `W` each of both norms' inputs and outputs, `3 W` of queries,
    /// keys and values, `2 W` of the attention's output before and after it is reordered, `2 W` of what LayerScale
    /// multiplies,
    /// `H` before the activation and, of perceptrons that are trained, `H` after it. The backward pass takes a third
    /// more at a time, as measured of ViT-S/14 on a CPU (head, lora-8, last-2 and all, within a tenth).
    pub fn of(architecture: &VitArchitecture, depth: Depth, tiles: usize, edge: usize) -> Self {
        let VitArchitecture { width, depth: blocks, hidden, gated, .. } = *architecture;
        let first = if gated { 2 * hidden } else { hidden };
        let of_block = 4 * width * width + width * (first + hidden) + 9 * width + first;
        let all = blocks * of_block + 3 * width * architecture.patch_px.pow(2);
        let (trained, flowing, trains_perceptrons) = match depth {
            Depth::Head => (0, 0, false),
            Depth::Last(count) => (count.min(blocks) * of_block, count.min(blocks), true),
            // `qkv` is 3 W × W and `proj` W × W.
            Depth::Lora(rank) => (blocks * rank * 6 * width, blocks, false),
            Depth::All => (all, blocks, true),
        };
        let tokens = (edge / architecture.patch_px).pow(2) + 1 + architecture.registers;
        let scales = if architecture.layer_scale { 2 } else { 0 };
        let after = if trains_perceptrons || gated { hidden } else { 0 };
        let of_token = (9 + scales) * width + first + after;
        // A block that is only passed through forwards still needs its own results for a moment.
        let passing = if flowing < blocks { 4 * width + first } else { 0 };
        Self {
            weights: all * FLOAT,
            trained: 3 * trained * FLOAT,
            activations: tiles * tokens * (flowing * of_token + passing) * FLOAT * 4 / 3,
        }
    }

    /// Returns all of it.
    pub fn total(&self) -> usize {
        self.weights + self.trained + self.activations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_needed_the_less_is_trained() {
        let base = VitArchitecture::base();
        let of = |depth| TrainingMemory::of(&base, depth, 32, 224);
        // 85.8 million parameters.
        let weights = of(Depth::All).weights as f64 / 4e6;
        assert!((weights - 85.6).abs() < 0.5, "{weights}");
        let totals: Vec<usize> =
            [Depth::All, Depth::Last(6), Depth::Last(2), Depth::Head].map(|depth| of(depth).total()).into();
        assert!(totals.is_sorted_by(|a, b| a > b), "{totals:?}");
        let adapters = of(Depth::Lora(8));
        assert!(adapters.trained * 100 < of(Depth::All).trained);
        assert!(adapters.activations < of(Depth::All).activations);
        let half = TrainingMemory::of(&base, Depth::All, 16, 224);
        assert!((2 * half.activations).abs_diff(of(Depth::All).activations) < 2);
    }
}
