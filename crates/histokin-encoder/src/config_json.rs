//! Settings that publishers put beside a vision transformer: `config.json` of transformers or timm,
//! `preprocessor_config.json`, and `open_clip_config.json`.

use std::path::Path;

use serde_json::Value;

use super::backbones::vit::{VitActivation, VitOutput};
use histokin_core::untrusted;

/// Maximum size of a settings file, in bytes.
const LARGEST: u64 = 1 << 20;

/// What the settings beside a file say.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Published {
    /// Number of attention heads.
    pub heads: Option<usize>,
    /// Activation function of the perceptron.
    pub activation: Option<VitActivation>,
    /// Number added to the variance when tokens are normalised.
    pub norm_epsilon: Option<f64>,
    /// What is taken out.
    pub output: Option<VitOutput>,
    /// Mean and standard deviation of each colour channel.
    pub statistics: Option<([f32; 3], [f32; 3])>,
    /// Names of the files that said something.
    pub files: Vec<String>,
}

impl Published {
    /// Reads the settings beside the weights at `path`. What is missing, damaged or not understood is left out:
    /// the weights can be used without.
    pub fn beside(path: &Path) -> Self {
        let mut all = Self::default();
        for (name, of) in [
            ("config.json", Self::of_config as fn(&Value) -> Self),
            ("preprocessor_config.json", Self::of_preprocessor),
            ("open_clip_config.json", Self::of_open_clip),
        ] {
            let Ok(text) = untrusted::read_text(&path.with_file_name(name), LARGEST) else { continue };
            match serde_json::from_str(&text) {
                Ok(value) => all.add(name, of(&value)),
                Err(error) => tracing::warn!("{name} beside {}: {error}", path.display()),
            }
        }
        all
    }

    fn add(&mut self, name: &str, other: Self) {
        if other == Self::default() {
            return;
        }
        self.heads = self.heads.or(other.heads);
        self.activation = self.activation.or(other.activation);
        self.norm_epsilon = self.norm_epsilon.or(other.norm_epsilon);
        self.output = self.output.or(other.output);
        self.statistics = self.statistics.or(other.statistics);
        self.files.push(name.to_owned());
    }

    /// Reads `config.json`, of transformers or of timm.
    fn of_config(config: &Value) -> Self {
        let arguments = &config["model_args"];
        // In models of pictures and text, the settings of the part that sees are apart.
        let seeing = match &config["vision_config"] {
            Value::Object(_) => &config["vision_config"],
            _ => config,
        };
        let first = |keys: &[&Value]| keys.iter().find_map(|value| value.as_u64());
        let statistics = &config["pretrained_cfg"];
        Self {
            heads: first(&[&seeing["num_attention_heads"], &arguments["num_heads"]])
                .map(|heads| heads as usize),
            activation: seeing["hidden_act"]
                .as_str()
                .or(arguments["act_layer"].as_str())
                .and_then(activation),
            norm_epsilon: seeing["layer_norm_eps"].as_f64(),
            output: match config["global_pool"].as_str() {
                Some("token") => Some(VitOutput::Class),
                Some("avg") => Some(VitOutput::Mean),
                _ => None,
            },
            statistics: statistics_of(&statistics["mean"], &statistics["std"]),
            files: Vec::new(),
        }
    }

    fn of_preprocessor(config: &Value) -> Self {
        Self { statistics: statistics_of(&config["image_mean"], &config["image_std"]), ..Self::default() }
    }

    fn of_open_clip(config: &Value) -> Self {
        let model = &config["model_cfg"];
        let is_quick = model["quick_gelu"].as_bool();
        let vision = &model["vision_cfg"];
        let heads =
            |width: u64| Some(width.checked_div(vision["head_width"].as_u64().unwrap_or(64))? as usize);
        Self {
            heads: vision["width"].as_u64().and_then(heads),
            activation: is_quick.filter(|quick| *quick).map(|_| VitActivation::QuickGelu),
            statistics: statistics_of(&config["preprocess_cfg"]["mean"], &config["preprocess_cfg"]["std"]),
            ..Self::default()
        }
    }
}

/// Returns the activation that transformers or timm call by this name.
fn activation(name: &str) -> Option<VitActivation> {
    Some(match name {
        "gelu" => VitActivation::Gelu,
        "gelu_tanh" | "gelu_new" | "gelu_pytorch_tanh" => VitActivation::GeluTanh,
        "quick_gelu" => VitActivation::QuickGelu,
        "silu" | "swish" => VitActivation::Silu,
        "relu" => VitActivation::Relu,
        _ => return None,
    })
}

/// Returns mean and standard deviation if both are three plausible numbers.
fn statistics_of(mean: &Value, std: &Value) -> Option<([f32; 3], [f32; 3])> {
    let three = |value: &Value| -> Option<[f32; 3]> {
        let numbers: Vec<f32> =
            value.as_array()?.iter().map(|n| Some(n.as_f64()? as f32)).collect::<Option<_>>()?;
        numbers.try_into().ok()
    };
    let (mean, std) = (three(mean)?, three(std)?);
    let is_plausible =
        mean.iter().all(|mean| mean.is_finite()) && std.iter().all(|std| std.is_finite() && *std > 0.0);
    is_plausible.then_some((mean, std))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_of_each_library_are_understood() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("model.safetensors");
        assert_eq!(Published::beside(&weights), Published::default());
        let write =
            |name: &str, value: Value| std::fs::write(folder.path().join(name), value.to_string()).unwrap();
        write(
            "config.json",
            json!({ "num_attention_heads": 6, "hidden_act": "silu", "layer_norm_eps": 1e-12 }),
        );
        write(
            "preprocessor_config.json",
            json!({ "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.25] }),
        );
        let found = Published::beside(&weights);
        assert_eq!((found.heads, found.activation), (Some(6), Some(VitActivation::Silu)));
        assert_eq!(found.norm_epsilon, Some(1e-12));
        assert_eq!(found.statistics, Some(([0.5; 3], [0.5, 0.5, 0.25])));
        assert_eq!(found.files, ["config.json", "preprocessor_config.json"]);

        let timm = json!({
            "architecture": "vit_giant_patch14_224", "global_pool": "token", "model_args": { "num_heads": 24 },
            "pretrained_cfg": { "mean": [0.7, 0.6, 0.7], "std": [0.2, 0.2, 0.2] },
        });
        let found = Published::of_config(&timm);
        assert_eq!((found.heads, found.output), (Some(24), Some(VitOutput::Class)));
        assert_eq!(found.statistics, Some(([0.7, 0.6, 0.7], [0.2; 3])));

        let clip = json!({ "vision_config": { "num_attention_heads": 12, "hidden_act": "quick_gelu" }, "hidden_act": "gelu" });
        assert_eq!(Published::of_config(&clip).activation, Some(VitActivation::QuickGelu));
        let open_clip = json!({ "model_cfg": { "quick_gelu": true, "vision_cfg": { "width": 768 } } });
        let found = Published::of_open_clip(&open_clip);
        assert_eq!((found.heads, found.activation), (Some(12), Some(VitActivation::QuickGelu)));
    }

    #[test]
    fn what_cannot_be_meant_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("model.safetensors");
        std::fs::write(folder.path().join("config.json"), "{").unwrap();
        assert_eq!(Published::beside(&weights), Published::default());
        assert_eq!(statistics_of(&json!([0.5, 0.5]), &json!([1, 1])), None);
        assert_eq!(statistics_of(&json!([0, 0, 0]), &json!([0, 0, 0])), None);
    }
}
