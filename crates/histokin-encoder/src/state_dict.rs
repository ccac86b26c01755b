//! Recognition of a network by the parameter names in a weights file, with any prefix.
//!
//! Training programs add a prefix to a network's parameter names: `module.` (several devices), `model.` or
//! `net.` (Lightning), `backbone.` or `encoder.` (a network with separate heads), `student.` and `teacher.`
//! (DINO), `encoder_q.` and `encoder_k.` (MoCo), and combinations of these. The prefix is found by matching
//! the names to those of known networks.

use std::collections::HashMap;
use std::path::Path;

use super::EncoderError;
use super::backbones::BackboneKind;
use super::backbones::vit::{self, names::FoundVit};
use super::weight_files::WeightFiles;

/// A network whose parameters a file contains.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FoundNetwork {
    /// Architecture of the network.
    pub kind: BackboneKind,
    /// Prefix of the network's parameter names; empty, or ends in a dot.
    pub prefix: String,
}

/// Parts of a prefix that mark a network as the less preferred of two: DINO's evaluation uses the teacher,
/// MoCo's `encoder_q`, BYOL's the online network; a running mean is less preferred than the network that it
/// averages.
const LESS_PREFERRED: [&str; 12] = [
    "student",
    "encoder_k",
    "encoder_momentum",
    "momentum_encoder",
    "target_network",
    "target_encoder",
    "model_ema",
    "state_dict_ema",
    "ema",
    "ema_model",
    "ema_state_dict",
    "swa_model",
];

/// Finds the network whose parameters are among those named, each with its shape. Returns `None` if there is no known
/// network.
///
/// # Errors
/// A message with the prefixes, if there are several networks of which none is preferred.
pub(super) fn find_network<'a>(
    parameters: impl Iterator<Item = (&'a str, &'a [usize])> + Clone,
) -> Result<Option<FoundNetwork>, String> {
    let prefixes = parameters
        .clone()
        .flat_map(|(name, _)| {
            BackboneKind::ANCHORS.iter().filter_map(move |anchor| name.strip_suffix(anchor))
        })
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        .collect();
    let Some(prefix) = preferred(prefixes)? else { return Ok(None) };
    let own: HashMap<&str, &[usize]> =
        parameters.filter_map(|(name, shape)| Some((name.strip_prefix(prefix)?, shape))).collect();
    let kind = BackboneKind::recognise(|name| own.get(name).copied());
    Ok(kind.map(|kind| FoundNetwork { kind, prefix: prefix.to_owned() }))
}

/// Finds the vision transformer whose parameters are among `names`. Returns `None` if there is none.
///
/// # Errors
/// As [`find_network`].
pub(super) fn find_vit<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Result<Option<FoundVit>, String> {
    let prefix = preferred(vit::names::prefixes(names.clone()))?;
    Ok(prefix.and_then(|prefix| FoundVit::under(prefix, names)))
}

/// Returns whether the parameters of a known network, or of several, are among those named.
pub(super) fn holds_network<'a>(parameters: impl Iterator<Item = (&'a str, &'a [usize])> + Clone) -> bool {
    let names = parameters.clone().map(|(name, _)| name);
    !matches!((find_network(parameters), find_vit(names)), (Ok(None), Ok(None)))
}

/// Returns the preferred one of the prefixes of several networks, if there are any.
///
/// # Errors
/// A message with two prefixes of which none is preferred.
fn preferred(mut prefixes: Vec<&str>) -> Result<Option<&str>, String> {
    let rank = |prefix: &&str| {
        let is_second = prefix.split('.').any(|part| LESS_PREFERRED.contains(&part));
        (!prefix.is_empty(), is_second)
    };
    prefixes.sort_by_key(|prefix| (rank(prefix), prefix.len(), *prefix));
    prefixes.dedup();
    let Some(prefix) = prefixes.first().copied() else { return Ok(None) };
    if let Some(other) = prefixes.get(1).filter(|other| rank(other) == rank(&prefix)) {
        return Err(format!(
            "it holds several networks, named {prefix:?} and {other:?}, of which none is preferred; keep one of them \
             in the file"
        ));
    }
    Ok(Some(prefix))
}

/// Returns the prefix of the network's parameter names in `files`; empty if they contain no known network.
///
/// # Errors
/// [`EncoderError::Mismatch`] if there are several networks.
pub(super) fn prefix_in_files(files: &WeightFiles) -> Result<String, EncoderError> {
    let found = find_network(files.shapes())
        .map_err(|differences| EncoderError::Mismatch { path: files.path().to_owned(), differences })?;
    Ok(found.map(|found| found.prefix).unwrap_or_default())
}

/// Returns the kind of an unsupported network, recognised by its parameter names.
fn foreign_kind<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<&'static str> {
    let has = |part: &str| names.clone().any(|name| name.contains(part));
    let kinds: [(&str, &[&str]); 13] = [
        ("a Swin transformer", &["relative_position_bias_table"]),
        ("a masked autoencoder's decoder, without its encoder", &["decoder_blocks.0."]),
        ("a text model", &["embeddings.word_embeddings."]),
        ("a text model", &["token_embedding.weight"]),
        ("a language model", &["embed_tokens.weight"]),
        ("a language model", &["wte.weight"]),
        ("a vision transformer without its patch embedding", &["blocks.0.attn.qkv."]),
        ("a transformer without a patch embedding", &["encoder.layer.0.attention."]),
        ("a vision transformer (ViT, as torchvision names it)", &["encoder_layer_0.self_attention."]),
        ("a ConvNeXt", &["stages.0.blocks.0.conv_dw."]),
        ("a DenseNet", &["denseblock1.denselayer1."]),
        ("an EfficientNet", &["blocks.0.0.conv_dw."]),
        ("a ResNet of another depth or kind", &["layer1.0.conv1.weight"]),
    ];
    kinds.iter().find(|(_, parts)| parts.iter().all(|part| has(part))).map(|(kind, _)| *kind)
}

/// Returns the networks whose weights can be used, as a list for display.
fn known_networks() -> String {
    let convolutional = BackboneKind::PUBLISHED.map(BackboneKind::shown_name).join(", ");
    format!(
        "{convolutional} as torchvision names them, and of vision transformers as timm, transformers, DINOv2 and open_clip \
         name them"
    )
}

impl FoundNetwork {
    /// Finds the network in the file at `path`, whose parameter names and shapes are given.
    ///
    /// # Errors
    /// [`EncoderError::UnknownNetwork`] with the kind of network if it is unsupported, or
    /// [`EncoderError::Mismatch`] if there are several networks.
    pub fn in_file<'a>(
        path: &Path,
        parameters: impl Iterator<Item = (&'a str, &'a [usize])> + Clone,
    ) -> Result<Self, EncoderError> {
        let found = find_network(parameters.clone())
            .map_err(|differences| EncoderError::Mismatch { path: path.to_owned(), differences })?;
        found.ok_or_else(|| EncoderError::UnknownNetwork {
            path: path.to_owned(),
            kind: foreign_kind(parameters.map(|(name, _)| name))
                .unwrap_or("a network that histokin does not know"),
            known: known_networks(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Result<Option<String>, String> {
        let parameters = names.iter().map(|name| (*name, &[] as &[usize]));
        Ok(find_network(parameters)?.map(|found| format!("{}{}", found.prefix, found.kind)))
    }

    #[test]
    fn whatever_makes_the_names_match_is_the_prefix() {
        let anchor = "layer1.0.conv1.weight";
        for prefix in [
            "",
            "module.",
            "backbone.",
            "model.",
            "encoder.",
            "module.encoder_q.",
            "teacher.backbone.",
            "state_dict.model.module.encoder.",
            "anything.at.all.",
        ] {
            let name = format!("{prefix}{anchor}");
            let names = [name.as_str(), "projector.0.weight", "fc.weight", "queue"];
            assert_eq!(found(&names), Ok(Some(format!("{prefix}resnet18"))), "{prefix}");
        }
        assert_eq!(found(&["xlayer1.0.conv1.weight", "fc.weight"]), Ok(None));
        assert_eq!(found(&["model.features.18.0.weight"]), Ok(Some("model.mobilenet_v2".into())));
    }

    #[test]
    fn every_published_network_is_recognised_by_its_names_and_shapes() {
        for kind in BackboneKind::PUBLISHED {
            let shapes = kind.shapes();
            let parameters = shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()));
            let found = find_network(parameters).unwrap();
            assert_eq!(found, Some(FoundNetwork { kind, prefix: String::new() }), "{kind}");
        }
    }

    #[test]
    fn one_of_two_networks_is_preferred() {
        let pair = |a: &str, b: &str| {
            let names = [a, b].map(|prefix| format!("{prefix}layer1.0.conv1.weight"));
            found(&[&names[0], &names[1]])
        };
        let preferred = |prefix: &str| Ok(Some(format!("{prefix}resnet18")));
        assert_eq!(pair("student.backbone.", "teacher.backbone."), preferred("teacher.backbone."));
        assert_eq!(pair("module.encoder_q.", "module.encoder_k."), preferred("module.encoder_q."));
        assert_eq!(pair("model_ema.", "model."), preferred("model."));
        assert_eq!(pair("ema.module.", "model.module."), preferred("model.module."));
        assert_eq!(pair("backbone.", ""), preferred(""));
        let text = pair("left.", "right.").unwrap_err();
        assert!(text.contains("\"left.\"") && text.contains("\"right.\""), "{text}");
    }

    #[test]
    fn other_networks_are_called_by_their_kind() {
        let kind = |names: &[&str]| foreign_kind(names.iter().copied()).unwrap_or("unknown").to_owned();
        assert!(kind(&["cls_token", "blocks.0.attn.qkv.weight"]).contains("without its patch embedding"));
        let bert = ["embeddings.word_embeddings.weight", "encoder.layer.0.attention.self.query.weight"];
        assert_eq!(kind(&bert), "a text model");
        assert_eq!(kind(&["model.embed_tokens.weight", "model.norm.weight"]), "a language model");
        assert!(kind(&["decoder_blocks.0.attn.qkv.weight"]).contains("decoder"));
        let swin =
            ["layers.0.blocks.0.attn.qkv.weight", "layers.0.blocks.0.attn.relative_position_bias_table"];
        assert!(kind(&swin).contains("Swin"));
        assert_eq!(kind(&["weight"]), "unknown");
    }
}
