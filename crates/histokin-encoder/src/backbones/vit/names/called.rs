//! The name in a file of a parameter that timm names otherwise, for messages about the file.

use super::{FoundVit, translate};

/// Names of parameters outside the blocks, in each naming.
const OUTSIDE_BLOCKS: [&str; 27] = [
    "cls_token",
    "pos_embed",
    "reg_token",
    "register_tokens",
    "patch_embed.proj.bias",
    "norm.weight",
    "norm.bias",
    "norm_pre.weight",
    "norm_pre.bias",
    "embeddings.cls_token",
    "embeddings.position_embeddings",
    "embeddings.register_tokens",
    "embeddings.patch_embeddings.projection.bias",
    "layernorm.weight",
    "layernorm.bias",
    "embeddings.class_embedding",
    "embeddings.position_embedding.weight",
    "pre_layrnorm.weight",
    "pre_layrnorm.bias",
    "post_layernorm.weight",
    "post_layernorm.bias",
    "class_embedding",
    "positional_embedding",
    "ln_pre.weight",
    "ln_pre.bias",
    "ln_post.weight",
    "ln_post.bias",
];

impl FoundVit {
    /// Returns how the file calls the parameter of this name in timm: its tensors or, if it is missing, as it calls
    /// that of another block, or as its library does.
    pub fn called(&self, name: &str) -> String {
        let joined = |names: Vec<String>| names.join(" + ");
        if let Some(sources) = self.sources.get(name) {
            return joined(sources.iter().map(|(_, source)| source.clone()).collect());
        }
        if let Some(sources) = self.of_other_block(name) {
            return joined(sources);
        }
        let mut outside = OUTSIDE_BLOCKS.iter().map(|own| format!("{}{own}", self.prefix));
        let is_it = |own: &String| {
            translate::translate(self.layout, &self.prefix, own).is_some_and(|(target, _)| target == name)
        };
        outside.rfind(is_it).unwrap_or_else(|| name.to_owned())
    }

    /// Returns the tensors of the same parameter in another block, with the block's number exchanged.
    fn of_other_block(&self, name: &str) -> Option<Vec<String>> {
        let (number, layer) = name.strip_prefix("blocks.")?.split_once('.')?;
        self.sources.iter().find_map(|(other, sources)| {
            let (other, same) = other.strip_prefix("blocks.")?.split_once('.')?;
            let renumber = |source: &str| {
                let mut parts: Vec<&str> = source.split('.').collect();
                let place = parts.iter().rposition(|part| *part == other)?;
                parts[place] = number;
                Some(parts.join("."))
            };
            (same == layer).then(|| sources.iter().map(|(_, source)| renumber(source)).collect())?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_called_as_the_file_calls_them() {
        let block = |number: usize, layer: &str| format!("vit.encoder.layer.{number}.{layer}");
        let mut names = vec!["vit.embeddings.patch_embeddings.projection.weight".to_owned()];
        for part in ["query", "key", "value"] {
            names.push(block(0, &format!("attention.attention.{part}.weight")));
        }
        names.extend([block(0, "output.dense.bias"), block(11, "layernorm_before.weight")]);
        let found = FoundVit::under("vit.", names.iter().map(String::as_str)).unwrap();
        assert_eq!(found.called("blocks.0.mlp.fc2.bias"), "vit.encoder.layer.0.output.dense.bias");
        assert_eq!(found.called("blocks.7.mlp.fc2.bias"), "vit.encoder.layer.7.output.dense.bias");
        assert_eq!(found.called("blocks.2.norm1.weight"), "vit.encoder.layer.2.layernorm_before.weight");
        assert_eq!(found.called("norm.weight"), "vit.layernorm.weight");
        assert_eq!(found.called("cls_token"), "vit.embeddings.cls_token");
        let query = found.called("blocks.3.attn.qkv.weight");
        assert!(query.starts_with("vit.encoder.layer.3.attention.attention.query.weight + "), "{query}");
        assert_eq!(found.called("blocks.3.ls1.gamma"), "blocks.3.ls1.gamma", "nowhere in the file");
    }
}
