//! Vision transformers with random weights.

#![allow(dead_code, reason = "each benchmark uses a part of this module")]

use std::path::Path;

use histokin::encoder::backbones::Backbone;
use histokin::encoder::backbones::vit::{
    Positions, Resampling, VisionTransformer, VitActivation, VitArchitecture, VitOutput,
};
use tch::{Device, Kind, TchError, Tensor};

/// What published vision transformers for images of 224 px differ in.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Edge of a patch in pixels.
    pub patch_px: usize,
    /// Length of a token.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Whether blocks scale what they add.
    pub layer_scale: bool,
}

/// Makes a network with random weights.
pub fn network(shape: Shape, kind: Kind, device: Device) -> Backbone {
    let random = |_: &str, shape: &[usize]| -> Result<Tensor, TchError> {
        let shape: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
        Tensor::f_randn(shape, (Kind::Float, device))?.f_mul_scalar(0.02)?.f_to_kind(kind)
    };
    VisionTransformer::new(architecture(shape), random).expect("memory for one network").into()
}

/// Returns the architecture of a network.
pub fn architecture(Shape { patch_px, width, depth, layer_scale }: Shape) -> VitArchitecture {
    VitArchitecture {
        patch_px,
        width,
        depth,
        hidden: 4 * width,
        gated: false,
        grid: 224 / patch_px,
        positions: Positions::ClassAndPatches,
        class_token: true,
        registers: 0,
        layer_scale,
        patch_bias: true,
        qkv_bias: true,
        pre_norm: false,
        final_norm: true,
        pooled_norm: false,
        projection: None,
        heads: width / 64,
        activation: VitActivation::Gelu,
        norm_epsilon: 1e-6,
        resampling: Resampling::BicubicAntialias,
        output: VitOutput::Class,
    }
}

/// Writes random weights of a network, named as in timm, to a safetensors file.
pub fn write(shape: Shape, path: &Path) {
    let random = |shape: &[usize]| {
        let shape: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
        Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.02
    };
    let parameters = architecture(shape).shapes();
    let tensors: Vec<(String, Tensor)> =
        parameters.into_iter().map(|(name, shape)| (name, random(&shape))).collect();
    Tensor::write_safetensors(&tensors, path).expect("room for one network");
}
