//! What the shapes of a vision transformer do not tell: from the table of known encoders, from the settings that its
//! publisher put beside it, and otherwise assumed.

use std::path::Path;

use super::backbones::BackboneKind;
use super::backbones::vit::VitArchitecture;
use super::config_json::Published;
use super::known::{self, KnownEncoder};
use super::model::{ModelFile, Preprocessing, SelfDescription};
use super::vit_weights::VitWeights;
use super::{Described, EncoderError};
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
    /// Whether the file is exactly one that this encoder was published in.
    pub is_published_file: bool,
    /// Names of known encoders with the same shapes, where several have them.
    pub similar: Vec<&'static str>,
    /// File names of the settings beside it that were used.
    pub settings: Vec<String>,
    /// What was assumed, since nothing told it; each with its value.
    pub assumed: Vec<String>,
}

/// What the weights of a vision transformer do not tell, with what was found or assumed filled in, for a person to correct.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenSettings {
    /// The architecture. Heads, activation and output may be changed; the rest is that of the weights.
    pub architecture: VitArchitecture,
    /// Mean of each colour channel (scale 0 to 1).
    pub mean: [f32; 3],
    /// Standard deviation of each colour channel.
    pub std: [f32; 3],
    /// Edge length of a tile in pixels.
    pub tile_px: u32,
    /// Spacing of tiles, in µm per pixel.
    pub mpp: f64,
    /// Whether some of it was assumed, since nothing told it.
    pub is_assumed: bool,
}

impl OpenSettings {
    /// Returns those of an encoder; `None` unless it is a file of weights as its publisher has it.
    pub fn of(described: &Described) -> Option<Self> {
        let recognised = described.recognised.as_ref()?;
        let BackboneKind::Vit(architecture) = described.file.backbone else { return None };
        let Preprocessing { input_mean, input_std, tile_px, mpp, .. } = described.file.preprocessing;
        let is_assumed = !recognised.assumed.is_empty();
        Some(Self { architecture, mean: input_mean, std: input_std, tile_px, mpp, is_assumed })
    }

    /// Makes them those of the description of the same weights.
    pub fn apply(&self, file: &mut ModelFile) {
        file.backbone = BackboneKind::Vit(self.architecture);
        let settings = &mut file.preprocessing;
        (settings.input_mean, settings.input_std) = (self.mean, self.std);
        (settings.tile_px, settings.mpp) = (self.tile_px, self.mpp);
    }
}

/// Completes what names and shapes tell of the transformer in the file at `path`.
///
/// # Errors
/// [`EncoderError`] if the architecture cannot be read, or the settings beside the file do not fit it.
pub(super) fn complete(path: &Path, weights: &VitWeights) -> Result<RecognisedVit, EncoderError> {
    complete_from(known::known(), path, weights)
}

/// [`complete`], with the known encoders in `table`.
fn complete_from(
    table: &'static [KnownEncoder],
    path: &Path,
    weights: &VitWeights,
) -> Result<RecognisedVit, EncoderError> {
    let mut architecture = weights.architecture()?;
    let layout = weights.found().layout;
    let recognised = known::recognise(table, &architecture, layout, path, || weights.sha256())?;
    let known = recognised.map(|recognised| recognised.encoder);
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
    settle("output", architecture.output.to_string(), output.is_some());
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
    let similar = known::of_same_shape(table, &architecture, layout);
    let is_published_file = recognised.is_some_and(|recognised| recognised.is_exact);
    Ok(RecognisedVit {
        name: known.map_or_else(|| name_of(path), |known| known.name.clone()),
        naming: layout.name(),
        architecture,
        preprocessing,
        known,
        is_published_file,
        similar: if similar.len() > 1 && !is_published_file { similar } else { Vec::new() },
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
    use crate::weight_files::WeightFiles;
    use sha2::{Digest, Sha256};

    #[test]
    fn what_a_file_leaves_open_is_filled_in_and_can_be_corrected() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vit");
        let described = crate::describe(folder.join("timm_plain.safetensors").to_str().unwrap()).unwrap();
        let guess = OpenSettings::of(&described).unwrap();
        assert!(guess.is_assumed);
        assert_eq!((guess.architecture.heads, guess.tile_px, guess.mpp), (1, 32, 0.5));
        let mut file = described.file.clone();
        guess.apply(&mut file);
        assert_eq!(file, described.file, "the guess changes nothing");
        let architecture = VitArchitecture { heads: 4, ..guess.architecture };
        let corrected = OpenSettings { architecture, mean: [0.5; 3], mpp: 0.25, ..guess };
        corrected.apply(&mut file);
        assert_eq!(file.backbone, BackboneKind::Vit(architecture));
        assert_eq!((file.preprocessing.input_mean, file.preprocessing.mpp), ([0.5; 3], 0.25));
        assert_eq!(file.preprocessing.input_std, described.file.preprocessing.input_std);
        let shipped = crate::describe(crate::DEFAULT);
        assert!(shipped.is_ok_and(|shipped| OpenSettings::of(&shipped).is_none()), "nothing is open");
    }

    #[test]
    fn a_file_whose_hash_is_in_the_table_is_recognised_for_certain() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vit");
        let path = folder.join("timm_plain.safetensors");
        let hash = histokin_core::descriptors::hex(&Sha256::digest(std::fs::read(&path).unwrap()));
        let files = WeightFiles::read(&path).unwrap();
        let weights = VitWeights::find(&files).unwrap().unwrap();
        let VitArchitecture { patch_px, width, depth, hidden, grid, layer_scale, .. } =
            weights.architecture().unwrap();
        let complete = |hash: &str| {
            let table = format!(
                "name = \"Made\"\nnames = [\"made\"]\nsha256 = [\"{hash}\"]\nheads = 4\nactivation = \"gelu\"\n\
                 output = \"class\"\nmean = [0, 0, 0]\nstd = [1, 1, 1]\npurpose = \"\"\nsource = \"\"\nlicence = \"\"\n\
                 commercial = \"yes\"\nchecked = \"\"\n[shape]\npatch_px = {patch_px}\nwidth = {width}\ndepth = {depth}\n\
                 hidden = {hidden}\ngrid = {grid}\nlayer_scale = {layer_scale}\n"
            );
            complete_from(vec![toml::from_str(&table).unwrap()].leak(), &path, &weights).unwrap()
        };
        let exact = complete(&hash);
        assert_eq!((exact.name.as_str(), exact.is_published_file), ("Made", true));
        assert_eq!(exact.architecture.heads, 4, "settings are those of the table");
        let other = complete(&"0".repeat(64));
        assert_eq!((other.name.as_str(), other.is_published_file), ("timm_plain", false));
    }

    #[test]
    fn a_file_named_as_all_are_has_the_name_of_its_folder() {
        assert_eq!(name_of(Path::new("a/my-encoder/pytorch_model.bin")), "my-encoder");
        assert_eq!(name_of(Path::new("a/b/model.safetensors.index.json")), "b");
        assert_eq!(name_of(Path::new("a/b/vit_small.pth")), "vit_small");
        assert_eq!(name_of(Path::new("model.safetensors")), "model");
    }
}
