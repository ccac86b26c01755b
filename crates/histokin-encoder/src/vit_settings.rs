//! What the shapes of a vision transformer do not tell: from the table of known encoders, from the settings that its
//! publisher put beside it, and otherwise assumed.

use std::path::Path;

use super::EncoderError;
use super::backbones::BackboneKind;
use super::backbones::vit::VitArchitecture;
use super::config_json::Published;
use super::known::{self, KnownEncoder};
use super::model::{Preprocessing, SelfDescription};
use super::vit_weights::VitWeights;
use histokin_core::stain::StainSetting;

/// A vision transformer as recognised in a file.
#[derive(Debug, Clone)]
pub struct RecognisedVit {
    /// Name of the encoder if it is known, otherwise of its file or folder.
    pub name: String,
    /// How its library names parameters.
    pub naming: &'static str,
    /// The architecture, completed by `known`, by the publisher's settings, and by defaults.
    pub architecture: VitArchitecture,
    /// Processing of tiles and descriptors.
    pub preprocessing: Preprocessing,
    /// The known encoder that it is, if it can be told.
    pub known: Option<&'static KnownEncoder>,
    /// Names of known encoders with the same shapes, where several have them.
    pub similar: Vec<&'static str>,
    /// File names of the settings beside it that were used.
    pub settings: Vec<String>,
    /// What was assumed, since nothing told it; each with its value.
    pub assumed: Vec<String>,
}

/// Completes what names and shapes tell of the transformer in the file at `path`.
///
/// # Errors
/// [`EncoderError`] if the architecture cannot be read, or the settings beside the file do not fit it.
pub(super) fn complete(path: &Path, weights: &VitWeights) -> Result<RecognisedVit, EncoderError> {
    let mut architecture = weights.architecture()?;
    let layout = weights.found().layout;
    let known = known::recognise(&architecture, layout, path);
    let published = Published::beside(path);
    let mut assumed = Vec::new();
    let mut settle = |what: &str, value: String, is_told: bool| {
        if !is_told {
            assumed.push(format!("{what}: {value}"));
        }
    };

    let heads = published.heads.or(known.map(|known| known.heads));
    architecture.heads = heads.unwrap_or(architecture.heads);
    settle("attention heads", architecture.heads.to_string(), heads.is_some());
    let activation = published.activation.or(known.map(|known| known.activation));
    // Of a gate every library's activation is the SiLU, whatever its settings call the activation elsewhere.
    if let Some(activation) = activation.filter(|_| !architecture.gated) {
        architecture.activation = activation;
    }
    settle("activation", architecture.activation.to_string(), activation.is_some() || architecture.gated);
    architecture.norm_epsilon = published.norm_epsilon.unwrap_or(architecture.norm_epsilon);
    let output =
        known.map(|known| known.output).or(published.output.filter(|_| architecture.projection.is_none()));
    architecture.output = output.unwrap_or(architecture.output);
    settle("what is taken out", architecture.output.to_string(), output.is_some());
    let statistics = published.statistics.or(known.map(|known| (known.mean, known.std)));
    let (input_mean, input_std) =
        statistics.unwrap_or_else(|| BackboneKind::Vit(architecture).input_statistics());
    settle("mean and standard deviation of colours", "ImageNet's".into(), statistics.is_some());
    let tile_px = known.map_or_else(|| usual_tile_px(&architecture), |known| known.tile_px);
    let mpp = known.map_or(0.5, |known| known.um_per_px);
    settle("tiles", format!("{tile_px} px at {mpp} µm/px"), known.is_some());

    let preprocessing = Preprocessing {
        tile_px,
        mpp,
        input_mean,
        input_std,
        l2_normalise: known.is_some_and(|known| known.l2_normalise),
        stain: StainSetting::None,
        ..Preprocessing::default()
    };
    architecture.check().map_err(|reason| EncoderError::File { path: path.to_owned(), reason })?;
    let similar = known::of_same_shape(&architecture, layout);
    Ok(RecognisedVit {
        name: known.map_or_else(|| name_of(path), |known| known.name.clone()),
        naming: layout.name(),
        architecture,
        preprocessing,
        known,
        similar: if similar.len() > 1 { similar } else { Vec::new() },
        settings: published.files,
        assumed,
    })
}

impl RecognisedVit {
    /// Returns the description of an encoder without a head.
    pub(super) fn description(&self) -> SelfDescription {
        let plain = SelfDescription::plain(self.name.clone(), BackboneKind::Vit(self.architecture));
        SelfDescription { preprocessing: self.preprocessing.clone(), ..plain }
    }
}

/// Returns the size at which a transformer was trained, at most 224 px: those trained on larger pictures are used
/// at 224 px as well, and quickest.
fn usual_tile_px(architecture: &VitArchitecture) -> u32 {
    let VitArchitecture { patch_px, grid, .. } = *architecture;
    let patches = grid.min((224 / patch_px).max(1));
    (patches * patch_px) as u32
}

/// Returns the name of a file without its ending, or of its folder where files are commonly named alike.
fn name_of(path: &Path) -> String {
    const COMMON: [&str; 6] =
        ["model", "pytorch_model", "open_clip_model", "open_clip_pytorch_model", "weights", "checkpoint"];
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = file.split('.').next().unwrap_or_default();
    let stem = stem.split("-00001-of-").next().unwrap_or_default();
    let folder = path.parent().and_then(Path::file_name).filter(|_| COMMON.contains(&stem));
    folder.map_or_else(|| stem.to_owned(), |folder| folder.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_named_as_all_are_has_the_name_of_its_folder() {
        assert_eq!(name_of(Path::new("a/my-encoder/pytorch_model.bin")), "my-encoder");
        assert_eq!(name_of(Path::new("a/b/model.safetensors.index.json")), "b");
        assert_eq!(name_of(Path::new("a/b/vit_small.pth")), "vit_small");
        assert_eq!(name_of(Path::new("model.safetensors")), "model");
    }
}
