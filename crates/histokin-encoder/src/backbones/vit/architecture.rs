//! Everything that decides what a vision transformer computes besides its weights.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::positions::Resampling;

/// Shapes of tensors by name.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// Architecture of a vision transformer. The fields up to `projection` are read from the shapes of the weights;
/// the others are not visible there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitArchitecture {
    /// Edge length of a patch, in pixels.
    pub patch_px: usize,
    /// Length of a token.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of values between the two layers of a block's perceptron (after the gate, if there is one).
    pub hidden: usize,
    /// Whether the perceptron is gated: half of the first layer's outputs, activated, times the other half.
    pub gated: bool,
    /// Number of patches along each edge of the image for which positions were learned.
    pub grid: usize,
    /// Tokens that have a learned position.
    pub positions: Positions,
    /// Whether there is a class token.
    pub class_token: bool,
    /// Number of register tokens.
    #[serde(default)]
    pub registers: usize,
    /// Whether the output of attention and perceptron is scaled by learned factors (LayerScale).
    pub layer_scale: bool,
    /// Whether the patch embedding adds a bias.
    #[serde(default = "yes")]
    pub patch_bias: bool,
    /// Whether queries, keys and values have a bias.
    #[serde(default = "yes")]
    pub qkv_bias: bool,
    /// Whether tokens are normalised before the first block.
    #[serde(default)]
    pub pre_norm: bool,
    /// Whether tokens are normalised after the last block.
    #[serde(default = "yes")]
    pub final_norm: bool,
    /// Whether the pooled output is normalised.
    #[serde(default)]
    pub pooled_norm: bool,
    /// Projection of the class token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projection: Option<Projection>,
    /// Number of attention heads.
    pub heads: usize,
    /// Activation function of the perceptron.
    pub activation: VitActivation,
    /// Number added to the variance when tokens are normalised.
    pub norm_epsilon: f64,
    /// How positions are adapted to images of another size.
    pub resampling: Resampling,
    /// What is taken out as the descriptor.
    pub output: VitOutput,
}

fn yes() -> bool {
    true
}

/// Tokens with a learned position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positions {
    /// The patches only.
    Patches,
    /// Class token and patches.
    ClassAndPatches,
    /// Class token, registers and patches.
    All,
}

/// Projection of the class token to another space, as in networks trained with captions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projection {
    /// Number of values between two layers with a GELU; `None` for one layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// Length of the output.
    pub outputs: usize,
    /// Whether the layers have a bias.
    pub bias: bool,
}

/// Activation function of the perceptron.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::EnumString, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum VitActivation {
    /// GELU (Hendrycks and Gimpel 2016), exact.
    Gelu,
    /// GELU, approximated by a tanh.
    GeluTanh,
    /// GELU, approximated by `x · sigmoid(1.702 x)` (OpenAI's CLIP).
    QuickGelu,
    /// SiLU, `x · sigmoid(x)`.
    Silu,
    /// ReLU.
    Relu,
}

/// What is taken out of the last block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::EnumString, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum VitOutput {
    /// The class token.
    Class,
    /// The class token, followed by the mean of the patch tokens.
    ClassAndMean,
    /// The mean of the patch tokens.
    Mean,
    /// The projection of the class token.
    Projection,
}

impl VitArchitecture {
    /// Returns the name by which people know it, such as ViT-S/14: its size (Dosovitskiy et al. 2021, Touvron et al. 2021,
    /// Zhai et al. 2022, Oquab et al. 2023) and the edge length of its patches. Of other sizes, it tells width and depth.
    pub(crate) fn shown_name(&self) -> String {
        let size = match (self.width, self.depth) {
            (192, 12) => "Ti",
            (384, 12) => "S",
            (768, 12) => "B",
            (1024, 24) => "L",
            (1280, 32) => "H",
            (1408 | 1536, 40) => "g",
            (1664, 48) => "G",
            _ => return self.in_words(),
        };
        format!("ViT-{size}/{}", self.patch_px)
    }

    /// Returns its size in words.
    pub fn in_words(&self) -> String {
        let Self { patch_px, width, depth, .. } = self;
        format!("vision transformer of {depth} blocks of {width} numbers, patches of {patch_px} px")
    }

    /// Returns the length of a descriptor.
    pub fn outputs(&self) -> usize {
        match (self.output, self.projection) {
            (VitOutput::Class | VitOutput::Mean, _) | (VitOutput::Projection, None) => self.width,
            (VitOutput::ClassAndMean, _) => 2 * self.width,
            (VitOutput::Projection, Some(projection)) => projection.outputs,
        }
    }

    /// Returns the number of tokens before the patch tokens.
    pub(crate) fn prefix_tokens(&self) -> usize {
        usize::from(self.class_token) + self.registers
    }

    /// Returns the number of learned positions before those of the patches.
    pub(crate) fn prefix_positions(&self) -> usize {
        match self.positions {
            Positions::Patches => 0,
            Positions::ClassAndPatches => usize::from(self.class_token),
            Positions::All => self.prefix_tokens(),
        }
    }

    /// Checks that the fields fit each other.
    ///
    /// # Errors
    /// A message with the field and what was expected.
    pub fn check(&self) -> Result<(), String> {
        let Self { width, heads, .. } = *self;
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(format!("{heads} heads do not divide tokens of {width} numbers"));
        }
        if [self.patch_px, width, self.depth, self.hidden, self.grid].contains(&0) {
            return Err("patch_px, width, depth, hidden and grid have to be above 0".into());
        }
        if !(self.norm_epsilon.is_finite() && self.norm_epsilon > 0.0) {
            return Err(format!("norm_epsilon is {}; it has to be above 0", self.norm_epsilon));
        }
        match self.output {
            VitOutput::Class | VitOutput::ClassAndMean | VitOutput::Projection if !self.class_token => {
                Err(format!("output is {}, but there is no class token; set output = \"mean\"", self.output))
            }
            VitOutput::Projection if self.projection.is_none() => {
                Err("output is projection, but there is none in the file; set output = \"class\"".into())
            }
            _ => Ok(()),
        }
    }

    /// Reads the architecture from the shapes of parameters named as in timm, with defaults for what shapes do
    /// not tell: heads of 64 numbers (80 in tokens of 1,280, as ViT-H has), and the class token taken out, or
    /// the projection where there is one. `called` tells how the file calls a parameter.
    ///
    /// # Errors
    /// A message with the parameter that is missing or has an unexpected shape.
    pub fn of_shapes(
        shapes: &Shapes,
        defaults: &LayoutDefaults,
        called: &dyn Fn(&str) -> String,
    ) -> Result<Self, String> {
        let has = |name: &str| shapes.contains_key(name);
        let matrix = |name: &str| match shapes.get(name).map(Vec::as_slice) {
            Some(&[rows, columns]) => Ok([rows, columns]),
            Some(shape) => Err(format!("{} is {shape:?}; expected a matrix", called(name))),
            None => Err(format!("{} is missing", called(name))),
        };
        let (width, patch_px) = match shapes.get("patch_embed.proj.weight").map(Vec::as_slice) {
            Some(&[width, 3, height, patch]) if height == patch => (width, patch),
            Some(shape) => {
                return Err(format!(
                    "the patch embedding is {shape:?}; expected [width, 3, patch, patch] for images of three colours"
                ));
            }
            None => return Err("the patch embedding is missing".into()),
        };
        let depth = depth(shapes)?;
        let [first, _] = matrix("blocks.0.mlp.fc1.weight")?;
        let [_, hidden] = matrix("blocks.0.mlp.fc2.weight")?;
        let gated = first == 2 * hidden;
        let class_token = has("cls_token");
        let registers = shapes.get("reg_token").map_or(0, |shape| shape[1]);
        let positions = shapes.get("pos_embed").ok_or("the learned positions are missing")?[1];
        let (positions, grid) = positions_of(positions, class_token, registers)?;
        let projection = projection(&matrix, &has)?;
        let final_norm = has("norm.weight");
        let pooled_norm = has("fc_norm.weight");
        let output = match projection {
            Some(_) => VitOutput::Projection,
            None if !class_token || pooled_norm && !final_norm => VitOutput::Mean,
            None => VitOutput::Class,
        };
        let found = Self {
            patch_px,
            width,
            depth,
            hidden,
            gated,
            grid,
            positions,
            class_token,
            registers,
            layer_scale: has("blocks.0.ls1.gamma"),
            patch_bias: has("patch_embed.proj.bias"),
            qkv_bias: has("blocks.0.attn.qkv.bias"),
            pre_norm: has("norm_pre.weight"),
            final_norm,
            pooled_norm,
            projection,
            heads: if width == 1280 { 16 } else { width.div_ceil(64) },
            activation: if gated { VitActivation::Silu } else { defaults.activation },
            norm_epsilon: defaults.norm_epsilon,
            resampling: if registers > 0 { defaults.with_registers } else { defaults.resampling },
            output,
        };
        Ok(found)
    }
}

/// What a naming of parameters says about the library that a network was made with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayoutDefaults {
    /// Activation of perceptrons without a gate.
    pub activation: VitActivation,
    /// Number added to the variance when tokens are normalised.
    pub norm_epsilon: f64,
    /// How positions are adapted to images of another size.
    pub resampling: Resampling,
    /// The same, of networks with registers.
    pub with_registers: Resampling,
}

/// Returns the number of blocks, all of which have to be there.
fn depth(shapes: &Shapes) -> Result<usize, String> {
    let numbers =
        shapes.keys().filter_map(|name| name.strip_prefix("blocks.")?.split('.').next()?.parse::<u32>().ok());
    let Some(last) = numbers.max() else {
        return Err(
            "it has a patch embedding but no block; expected the blocks of a vision transformer".into()
        );
    };
    let last = last as usize;
    match (0..last).find(|index| !shapes.contains_key(&format!("blocks.{index}.attn.qkv.weight"))) {
        Some(lost) => Err(format!("block {lost} of {} is missing; expected all of them", last + 1)),
        None => Ok(last + 1),
    }
}

/// Returns which tokens have one of `count` positions, and how many patches lie along an edge.
fn positions_of(count: usize, class_token: bool, registers: usize) -> Result<(Positions, usize), String> {
    let class = usize::from(class_token);
    [(Positions::Patches, 0), (Positions::ClassAndPatches, class), (Positions::All, class + registers)]
        .into_iter()
        .find_map(|(positions, others)| {
            let patches = count.checked_sub(others)?;
            let edge = patches.isqrt();
            (edge > 0 && edge * edge == patches).then_some((positions, edge))
        })
        .ok_or_else(|| format!("there are {count} learned positions; expected those of a square of patches"))
}

fn projection(
    matrix: &impl Fn(&str) -> Result<[usize; 2], String>,
    has: &impl Fn(&str) -> bool,
) -> Result<Option<Projection>, String> {
    if !has("projection.0.weight") {
        return Ok(None);
    }
    let [first, _] = matrix("projection.0.weight")?;
    let bias = has("projection.0.bias");
    Ok(Some(match has("projection.1.weight") {
        true => Projection { hidden: Some(first), outputs: matrix("projection.1.weight")?[0], bias },
        false => Projection { hidden: None, outputs: first, bias },
    }))
}

#[cfg(test)]
impl VitArchitecture {
    /// Returns the architecture of ViT-B/16, which tests change.
    pub(crate) fn base() -> Self {
        Self {
            patch_px: 16,
            width: 768,
            depth: 12,
            hidden: 3072,
            gated: false,
            grid: 14,
            positions: Positions::ClassAndPatches,
            class_token: true,
            registers: 0,
            layer_scale: false,
            patch_bias: true,
            qkv_bias: true,
            pre_norm: false,
            final_norm: true,
            pooled_norm: false,
            projection: None,
            heads: 12,
            activation: VitActivation::Gelu,
            norm_epsilon: 1e-6,
            resampling: Resampling::BicubicAntialias,
            output: VitOutput::Class,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_tell_which_tokens_have_one() {
        assert_eq!(positions_of(196, true, 0), Ok((Positions::Patches, 14)));
        assert_eq!(positions_of(197, true, 0), Ok((Positions::ClassAndPatches, 14)));
        assert_eq!(positions_of(1370, true, 4), Ok((Positions::ClassAndPatches, 37)));
        assert_eq!(positions_of(261, true, 4), Ok((Positions::All, 16)));
        assert_eq!(positions_of(256, true, 8), Ok((Positions::Patches, 16)));
        assert!(positions_of(200, true, 0).unwrap_err().contains("200"));
    }
}
