//! Parameter names of the libraries in which vision transformers are published, translated to timm's.

mod called;
mod translate;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::architecture::{LayoutDefaults, Shapes, VitActivation};
use super::positions::Resampling;

/// A library's way of naming the parameters of a vision transformer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// timm (`VisionTransformer`).
    Timm,
    /// facebookresearch/dinov2: as timm, with `mask_token`, `register_tokens`, `w12` and chunks of blocks.
    Dinov2,
    /// transformers (`ViTModel`).
    HuggingFaceVit,
    /// transformers (`Dinov2Model`, `Dinov2WithRegistersModel`).
    HuggingFaceDinov2,
    /// transformers (`CLIPVisionModel`).
    HuggingFaceClip,
    /// open_clip and OpenAI's CLIP (`visual`).
    OpenClip,
}

/// The patch embedding in each naming; what precedes it in a parameter's name is a prefix of all of them.
const ANCHORS: [&str; 4] = [
    "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.weight",
    "embeddings.patch_embedding.weight",
    "conv1.weight",
];

impl Layout {
    /// Returns how a person calls the naming.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timm => "timm",
            Self::Dinov2 => "DINOv2",
            Self::HuggingFaceVit => "Hugging Face ViT",
            Self::HuggingFaceDinov2 => "Hugging Face DINOv2",
            Self::HuggingFaceClip => "Hugging Face CLIP",
            Self::OpenClip => "open_clip",
        }
    }

    /// Returns what networks of this library have unless their settings say otherwise.
    pub fn defaults(self) -> LayoutDefaults {
        let (activation, norm_epsilon, resampling) = match self {
            Self::Timm => (VitActivation::Gelu, 1e-6, Resampling::BicubicAntialias),
            Self::Dinov2 => (VitActivation::Gelu, 1e-6, Resampling::BicubicOffset),
            Self::HuggingFaceVit => (VitActivation::Gelu, 1e-12, Resampling::Bicubic),
            Self::HuggingFaceDinov2 => (VitActivation::Gelu, 1e-6, Resampling::Bicubic),
            Self::HuggingFaceClip => (VitActivation::QuickGelu, 1e-5, Resampling::Bicubic),
            Self::OpenClip => (VitActivation::Gelu, 1e-5, Resampling::BicubicAntialias),
        };
        LayoutDefaults { activation, norm_epsilon, resampling, with_registers: Resampling::BicubicAntialias }
    }
}

/// The part of a parameter that a tensor of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All of it.
    Whole,
    /// All of it, with rows and columns exchanged.
    Transposed,
    /// Some of its rows: the piece of this number, counted from 0, of this many equal ones.
    Piece(usize, usize),
}

impl Part {
    const QUERIES: Self = Self::Piece(0, 3);
    const KEYS: Self = Self::Piece(1, 3);
    const VALUES: Self = Self::Piece(2, 3);
    /// The rows of a gated perceptron's first layer that are activated.
    const GATE: Self = Self::Piece(0, 2);
    /// The rows of a gated perceptron's first layer that the gate multiplies.
    const GATED: Self = Self::Piece(1, 2);
}

/// A vision transformer found in a file: where each parameter comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundVit {
    /// Naming of the parameters.
    pub layout: Layout,
    /// Prefix of the parameters' names; empty, or ends in a dot.
    pub prefix: String,
    /// Tensors of the file that make up each parameter, by the parameter's name in timm.
    pub sources: BTreeMap<String, Vec<(Part, String)>>,
}

/// Returns the prefixes under which there is a vision transformer among `names`, in no order.
pub fn prefixes<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<&'a str> {
    let has = |wanted: &dyn Fn(&str) -> bool| names.clone().any(wanted);
    let mut found = Vec::new();
    for name in names.clone() {
        let Some((prefix, anchor)) =
            ANCHORS.iter().find_map(|anchor| Some((name.strip_suffix(anchor)?, *anchor)))
        else {
            continue;
        };
        if !(prefix.is_empty() || prefix.ends_with('.')) {
            continue;
        }
        let under = |rest: &str| {
            let wanted = format!("{prefix}{rest}");
            has(&|name| name.starts_with(&wanted))
        };
        // Other networks have a first convolution, or a patch embedding, of the same name.
        let is_vit = match anchor {
            "conv1.weight" => under("transformer.resblocks."),
            "patch_embed.proj.weight" => !under("layers.") && !under("stages."),
            _ => true,
        };
        if is_vit {
            found.push(prefix);
        }
    }
    found
}

impl FoundVit {
    /// Finds where the parameters of the vision transformer under `prefix` come from.
    pub fn under<'a>(prefix: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<Self> {
        let layout = translate::layout(prefix, names.clone())?;
        let mut sources: BTreeMap<String, Vec<(Part, String)>> = BTreeMap::new();
        for name in names {
            if let Some((target, part)) = translate::translate(layout, prefix, name) {
                sources.entry(target).or_default().push((part, name.to_owned()));
            }
        }
        sources.values_mut().for_each(|parts| parts.sort());
        Some(Self { layout, prefix: prefix.to_owned(), sources })
    }

    /// Returns the shapes of the parameters, made of those of the file's tensors.
    ///
    /// # Errors
    /// A message with the parameter of which a part is missing or does not fit.
    pub fn shapes<'a>(&self, of_file: impl Fn(&str) -> Option<&'a [usize]>) -> Result<Shapes, String> {
        self.sources
            .iter()
            .map(|(target, parts)| Ok((target.clone(), shape(target, parts, &of_file)?)))
            .collect()
    }
}

/// Returns the shape of the parameter `target`, made of `parts`.
fn shape<'a>(
    target: &str,
    parts: &[(Part, String)],
    of_file: &impl Fn(&str) -> Option<&'a [usize]>,
) -> Result<Vec<usize>, String> {
    let of = |name: &str| of_file(name).ok_or_else(|| format!("{name} is missing"));
    match parts {
        [(Part::Whole, name)] => match (target, of(name)?) {
            // Some libraries leave dimensions of length 1 out.
            ("cls_token", [width]) => Ok(vec![1, 1, *width]),
            ("pos_embed" | "reg_token", [count, width]) => Ok(vec![1, *count, *width]),
            ("cls_token" | "pos_embed" | "reg_token", shape) if !matches!(shape, [1, _, _]) => {
                Err(format!("{name} is {shape:?}; expected [1, tokens, width]"))
            }
            (_, shape) => Ok(shape.to_vec()),
        },
        [(Part::Transposed, name)] => Ok(of(name)?.iter().rev().copied().collect()),
        [(Part::Piece(0, count), first), others @ ..] if parts.len() == *count => {
            let (rows, rest) = of(first)?.split_first().ok_or_else(|| format!("{first} is one number"))?;
            for (_, other) in others {
                if of(other)? != of(first)? {
                    return Err(format!("{first} and {other} differ in shape"));
                }
            }
            Ok(std::iter::once(count * rows).chain(rest.iter().copied()).collect())
        }
        [(Part::Piece(_, count), name), ..] if parts.len() < *count => {
            Err(format!("of {count} parts of {target} only {} are there, such as {name}", parts.len()))
        }
        _ => {
            let names: Vec<&str> = parts.iter().map(|(_, name)| name.as_str()).collect();
            Err(format!("{} are one and the same parameter", names.join(" and ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_embedding_tells_the_prefix_and_other_networks_have_none() {
        let of = |names: &[&str]| {
            prefixes(names.iter().copied()).iter().map(|p| (*p).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(of(&["teacher.backbone.patch_embed.proj.weight", "queue"]), ["teacher.backbone."]);
        assert_eq!(of(&["vit.embeddings.patch_embeddings.projection.weight"]), ["vit."]);
        let clip =
            ["visual.conv1.weight", "visual.transformer.resblocks.0.ln_1.weight", "token_embedding.weight"];
        assert_eq!(of(&clip), ["visual."]);
        assert!(of(&["conv1.weight", "layer1.0.conv1.weight"]).is_empty(), "a ResNet");
        assert!(of(&["patch_embed.proj.weight", "layers.0.blocks.0.attn.qkv.weight"]).is_empty(), "a Swin");
        assert!(of(&["xpatch_embed.proj.weight"]).is_empty());
    }

    #[test]
    fn queries_keys_and_values_have_to_be_complete() {
        let found = |names: &[&str]| {
            let names: Vec<String> = names
                .iter()
                .map(|name| format!("encoder.layer.0.attention.attention.{name}.weight"))
                .collect();
            let all =
                names.iter().map(String::as_str).chain(["embeddings.patch_embeddings.projection.weight"]);
            let found = FoundVit::under("", all).unwrap();
            found.shapes(|_| Some(&[8, 8])).map(|shapes| shapes["blocks.0.attn.qkv.weight"].clone())
        };
        assert_eq!(found(&["query", "key", "value"]), Ok(vec![24, 8]));
        assert!(
            found(&["query", "value"]).unwrap_err().contains("of 3 parts of blocks.0.attn.qkv.weight only 2")
        );
    }
}
