//! Translation of one parameter's name.

use super::{Layout, Part};

/// Returns the naming of the vision transformer under `prefix`, if there is one.
pub fn layout<'a>(prefix: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<Layout> {
    let own = names.filter_map(|name| name.strip_prefix(prefix));
    let has = |test: &dyn Fn(&str) -> bool| own.clone().any(test);
    if has(&|name| name == "patch_embed.proj.weight") {
        let of_dinov2 = |name: &str| {
            name == "mask_token"
                || name == "register_tokens"
                || name.contains(".mlp.w12.")
                || is_chunked(name)
        };
        return Some(if has(&of_dinov2) { Layout::Dinov2 } else { Layout::Timm });
    }
    if has(&|name| name == "embeddings.patch_embeddings.projection.weight") {
        let is_dinov2 = has(&|name| name.ends_with(".norm1.weight"));
        return Some(if is_dinov2 { Layout::HuggingFaceDinov2 } else { Layout::HuggingFaceVit });
    }
    if has(&|name| name == "embeddings.patch_embedding.weight") {
        return Some(Layout::HuggingFaceClip);
    }
    has(&|name| name == "conv1.weight").then_some(Layout::OpenClip)
}

/// Returns whether the name is of a block in a chunk of blocks, `blocks.0.11.…`.
fn is_chunked(name: &str) -> bool {
    let mut parts = name.split('.');
    let is_number = |part: Option<&str>| part.is_some_and(|part| part.parse::<usize>().is_ok());
    parts.next() == Some("blocks") && is_number(parts.next()) && is_number(parts.next())
}

/// Returns timm's name of a parameter, and which part of it the tensor `name` is; `None` if it is outside the
/// vision transformer under `prefix`.
pub fn translate(layout: Layout, prefix: &str, name: &str) -> Option<(String, Part)> {
    if let Some(found) = projection(layout, prefix, name) {
        return Some((found.0.to_owned(), found.1));
    }
    let own = name.strip_prefix(prefix)?;
    match layout {
        Layout::Timm | Layout::Dinov2 => timm(own).map(whole),
        Layout::HuggingFaceVit | Layout::HuggingFaceDinov2 => hugging_face(own),
        Layout::HuggingFaceClip => hugging_face_clip(own),
        Layout::OpenClip => open_clip(own),
    }
}

fn whole(target: impl Into<String>) -> (String, Part) {
    (target.into(), Part::Whole)
}

/// Translates the projection of the class token, which lies beside the transformer in several libraries.
fn projection(layout: Layout, prefix: &str, name: &str) -> Option<(&'static str, Part)> {
    match layout {
        // `proj` is multiplied from the right.
        Layout::OpenClip => {
            (name.strip_prefix(prefix)? == "proj").then_some(("projection.0.weight", Part::Transposed))
        }
        Layout::HuggingFaceClip => {
            let outside = prefix.strip_suffix("vision_model.")?;
            let is_projection = name.strip_prefix(outside)? == "visual_projection.weight";
            is_projection.then_some(("projection.0.weight", Part::Whole))
        }
        Layout::Timm => {
            // open_clip with a transformer of timm (`visual.trunk`, `visual.head`); KEEP (`visual`, `visual_head`).
            let found = match (prefix.strip_suffix("trunk."), prefix.strip_suffix("visual.")) {
                (Some(outside), _) => match name.strip_prefix(outside)?.strip_prefix("head.")? {
                    "proj.weight" | "mlp.fc1.weight" => "projection.0.weight",
                    "proj.bias" | "mlp.fc1.bias" => "projection.0.bias",
                    "mlp.fc2.weight" => "projection.1.weight",
                    "mlp.fc2.bias" => "projection.1.bias",
                    _ => return None,
                },
                (None, Some(outside)) => match name.strip_prefix(outside)?.strip_prefix("visual_head.")? {
                    "0.weight" => "projection.0.weight",
                    "0.bias" => "projection.0.bias",
                    "2.weight" => "projection.1.weight",
                    "2.bias" => "projection.1.bias",
                    _ => return None,
                },
                // histokin's own names, in files that training writes.
                (None, None) => match name.strip_prefix(prefix)? {
                    "projection.0.weight" => "projection.0.weight",
                    "projection.0.bias" => "projection.0.bias",
                    "projection.1.weight" => "projection.1.weight",
                    "projection.1.bias" => "projection.1.bias",
                    _ => return None,
                },
            };
            Some((found, Part::Whole))
        }
        _ => None,
    }
}

/// Translates timm's and DINOv2's names. Unknown parameters of a block keep their name, so that they are reported.
fn timm(name: &str) -> Option<String> {
    const OUTSIDE_BLOCKS: [&str; 6] =
        ["cls_token", "pos_embed", "reg_token", "patch_embed.", "norm.", "norm_pre."];
    if name == "register_tokens" {
        return Some("reg_token".into());
    }
    if OUTSIDE_BLOCKS.iter().any(|own| name.starts_with(own)) || name.starts_with("fc_norm.") {
        return Some(name.to_owned());
    }
    let rest = name.strip_prefix("blocks.")?;
    // The number within a chunk counts all blocks.
    let rest = if is_chunked(name) { rest.split_once('.')?.1 } else { rest };
    let (number, rest) = rest.split_once('.')?;
    let rest = rest.replace("mlp.w12.", "mlp.fc1.").replace("mlp.w3.", "mlp.fc2.");
    Some(format!("blocks.{number}.{rest}"))
}

/// Translates the names of transformers' ViT and DINOv2, of its versions to 4 and from 5 on.
fn hugging_face(name: &str) -> Option<(String, Part)> {
    match name {
        "embeddings.cls_token" => return Some(whole("cls_token")),
        "embeddings.position_embeddings" => return Some(whole("pos_embed")),
        "embeddings.register_tokens" => return Some(whole("reg_token")),
        _ => {}
    }
    if let Some(kind) = name.strip_prefix("embeddings.patch_embeddings.projection.") {
        return Some(whole(format!("patch_embed.proj.{kind}")));
    }
    if let Some(kind) = name.strip_prefix("layernorm.") {
        return Some(whole(format!("norm.{kind}")));
    }
    let rest = ["encoder.layer.", "encoder.layers.", "layers.", "layer."]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))?;
    let (number, rest) = rest.split_once('.')?;
    let (layer, kind) = rest.rsplit_once('.')?;
    let (target, part) = match layer {
        "attention.attention.query" | "attention.q_proj" => ("attn.qkv", Part::QUERIES),
        "attention.attention.key" | "attention.k_proj" => ("attn.qkv", Part::KEYS),
        "attention.attention.value" | "attention.v_proj" => ("attn.qkv", Part::VALUES),
        "attention.output.dense" | "attention.o_proj" => ("attn.proj", Part::Whole),
        "intermediate.dense" | "mlp.weights_in" => ("mlp.fc1", Part::Whole),
        "mlp.gate_proj" => ("mlp.fc1", Part::GATE),
        "mlp.up_proj" => ("mlp.fc1", Part::GATED),
        "output.dense" | "mlp.weights_out" | "mlp.down_proj" => ("mlp.fc2", Part::Whole),
        "layernorm_before" => ("norm1", Part::Whole),
        "layernorm_after" => ("norm2", Part::Whole),
        "layer_scale1" => return Some(whole(format!("blocks.{number}.ls1.gamma"))),
        "layer_scale2" => return Some(whole(format!("blocks.{number}.ls2.gamma"))),
        other => (other, Part::Whole),
    };
    Some((format!("blocks.{number}.{target}.{kind}"), part))
}

/// Translates the names of transformers' CLIP, below `vision_model`.
fn hugging_face_clip(name: &str) -> Option<(String, Part)> {
    match name {
        "embeddings.class_embedding" => return Some(whole("cls_token")),
        "embeddings.position_embedding.weight" => return Some(whole("pos_embed")),
        _ => {}
    }
    let outside = [
        ("embeddings.patch_embedding.", "patch_embed.proj."),
        ("pre_layrnorm.", "norm_pre."),
        ("post_layernorm.", "norm."),
    ];
    if let Some((kind, target)) = outside.iter().find_map(|(from, to)| Some((name.strip_prefix(from)?, to))) {
        return Some(whole(format!("{target}{kind}")));
    }
    let (number, rest) = name.strip_prefix("encoder.layers.")?.split_once('.')?;
    let (layer, kind) = rest.rsplit_once('.')?;
    let (target, part) = match layer {
        "self_attn.q_proj" => ("attn.qkv", Part::QUERIES),
        "self_attn.k_proj" => ("attn.qkv", Part::KEYS),
        "self_attn.v_proj" => ("attn.qkv", Part::VALUES),
        "self_attn.out_proj" => ("attn.proj", Part::Whole),
        "layer_norm1" => ("norm1", Part::Whole),
        "layer_norm2" => ("norm2", Part::Whole),
        other => (other, Part::Whole),
    };
    Some((format!("blocks.{number}.{target}.{kind}"), part))
}

/// Translates the names of open_clip's towers, below `visual`.
fn open_clip(name: &str) -> Option<(String, Part)> {
    let outside = [
        ("class_embedding", "cls_token"),
        ("positional_embedding", "pos_embed"),
        ("conv1.", "patch_embed.proj."),
        ("ln_pre.", "norm_pre."),
        ("ln_post.", "norm."),
    ];
    if let Some((kind, target)) = outside.iter().find_map(|(from, to)| Some((name.strip_prefix(from)?, to))) {
        return Some(whole(format!("{target}{kind}")));
    }
    let (number, rest) = name.strip_prefix("transformer.resblocks.")?.split_once('.')?;
    let target = match rest {
        "attn.in_proj_weight" => "attn.qkv.weight".to_owned(),
        "attn.in_proj_bias" => "attn.qkv.bias".to_owned(),
        "ls_1.gamma" => "ls1.gamma".to_owned(),
        "ls_2.gamma" => "ls2.gamma".to_owned(),
        other => {
            let (layer, kind) = other.rsplit_once('.')?;
            let layer = match layer {
                "attn.out_proj" => "attn.proj",
                "mlp.c_fc" => "mlp.fc1",
                "mlp.c_proj" => "mlp.fc2",
                "ln_1" => "norm1",
                "ln_2" => "norm2",
                other => other,
            };
            format!("{layer}.{kind}")
        }
    };
    Some(whole(format!("blocks.{number}.{target}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_each_library_lead_to_timm_s() {
        let of = |layout, prefix, name: &str| {
            translate(layout, prefix, name).unwrap_or((String::new(), Part::Whole))
        };
        let whole = |target: &str| (target.to_owned(), Part::Whole);
        let timm = |name| of(Layout::Timm, "", name);
        assert_eq!(timm("blocks.11.attn.qkv.bias"), whole("blocks.11.attn.qkv.bias"));
        assert_eq!(timm("head.weight"), whole(""));
        assert_eq!(timm("blocks.0.attn.q_norm.weight"), whole("blocks.0.attn.q_norm.weight"));
        let dinov2 = |name| of(Layout::Dinov2, "teacher.", name);
        assert_eq!(dinov2("teacher.blocks.3.39.mlp.w12.weight"), whole("blocks.39.mlp.fc1.weight"));
        assert_eq!(dinov2("teacher.blocks.7.ls2.gamma"), whole("blocks.7.ls2.gamma"));
        assert_eq!(dinov2("teacher.mask_token"), whole(""));
        assert_eq!(dinov2("student.cls_token"), whole(""));
        let face = |name| of(Layout::HuggingFaceDinov2, "", name);
        assert_eq!(face("encoder.layer.2.layer_scale1.lambda1"), whole("blocks.2.ls1.gamma"));
        assert_eq!(face("layers.2.attention.k_proj.bias"), ("blocks.2.attn.qkv.bias".into(), Part::KEYS));
        assert_eq!(face("encoder.layer.2.mlp.up_proj.bias"), ("blocks.2.mlp.fc1.bias".into(), Part::GATED));
        assert_eq!(face("pooler.dense.weight"), whole(""));
        let clip = |name| of(Layout::OpenClip, "visual.", name);
        assert_eq!(clip("visual.transformer.resblocks.5.mlp.c_proj.bias"), whole("blocks.5.mlp.fc2.bias"));
        assert_eq!(clip("visual.proj"), ("projection.0.weight".into(), Part::Transposed));
        assert_eq!(clip("transformer.resblocks.5.mlp.c_proj.bias"), whole(""));
        let keep = |name| of(Layout::Timm, "visual.", name);
        assert_eq!(keep("visual_head.2.weight"), whole("projection.1.weight"));
        assert_eq!(keep("text.embeddings.word_embeddings.weight"), whole(""));
        let trunk = |name| of(Layout::Timm, "visual.trunk.", name);
        assert_eq!(trunk("visual.head.proj.weight"), whole("projection.0.weight"));
    }
}
