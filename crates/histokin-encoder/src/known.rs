//! The table of known vision transformers (`models/known.toml`): what the shapes of their weights do not tell.

use std::path::Path;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::backbones::vit::names::Layout;
use super::backbones::vit::{VitActivation, VitArchitecture, VitOutput};

/// A known encoder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownEncoder {
    /// Its name, as its authors write it.
    pub name: String,
    /// Words that name it in the path of a file, in lower case and separated by spaces.
    names: Vec<String>,
    /// What its weights have in common.
    shape: Signature,
    /// Namings of parameters in which it is published; empty for any.
    #[serde(default)]
    layouts: Vec<Layout>,
    /// Whether shapes and naming alone tell it from other encoders.
    #[serde(default)]
    distinct: bool,
    /// Number of attention heads.
    pub heads: usize,
    /// Activation function of the perceptron.
    pub activation: VitActivation,
    /// What its authors take out.
    pub output: VitOutput,
    /// Whether descriptors are scaled to length 1.
    #[serde(default)]
    pub l2_normalise: bool,
    /// Mean of each colour channel (scale 0 to 1).
    pub mean: [f32; 3],
    /// Standard deviation of each colour channel.
    pub std: [f32; 3],
    /// Edge length of a tile in pixels.
    #[serde(default = "usual_tile_px")]
    pub tile_px: u32,
    /// Spacing of tiles, in µm per pixel.
    #[serde(default = "usual_um_per_px")]
    pub um_per_px: f64,
    /// What it is for, in a sentence.
    pub purpose: String,
    /// Where a user gets the file.
    pub source: String,
    /// Its licence, in a sentence.
    pub licence: String,
    /// Whether commercial use is allowed.
    pub commercial: Commercial,
    /// Public source against which this row was compared.
    pub checked: String,
    /// What could not be compared.
    #[serde(default)]
    pub unconfirmed: Vec<String>,
}

fn usual_tile_px() -> u32 {
    224
}

fn usual_um_per_px() -> f64 {
    0.5
}

/// Whether a licence allows commercial use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Commercial {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Its text or its owner has to be asked.
    Ask,
}

/// What the weights of an encoder have in common, whichever library named them. What is absent may be anything.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    patch_px: usize,
    width: usize,
    depth: usize,
    hidden: usize,
    #[serde(default)]
    gated: bool,
    #[serde(default)]
    registers: usize,
    #[serde(default)]
    layer_scale: bool,
    grid: Option<usize>,
    /// Length of the projection's output; without a projection, `None`.
    projection: Option<usize>,
}

impl Signature {
    fn fits(&self, found: &VitArchitecture) -> bool {
        let own = (self.patch_px, self.width, self.depth, self.hidden, self.gated, self.registers);
        own == (found.patch_px, found.width, found.depth, found.hidden, found.gated, found.registers)
            && self.layer_scale == found.layer_scale
            && self.grid.is_none_or(|grid| grid == found.grid)
            && self.projection == found.projection.map(|projection| projection.outputs)
    }
}

/// Returns all known encoders.
pub fn known() -> &'static [KnownEncoder] {
    #[derive(Deserialize)]
    struct Table {
        encoder: Vec<KnownEncoder>,
    }
    static TABLE: LazyLock<Vec<KnownEncoder>> = LazyLock::new(|| {
        let table: Table = toml::from_str(include_str!("../../../models/known.toml"))
            .expect("a test reads the table that is compiled in");
        table.encoder
    });
    &TABLE
}

/// Returns the known encoder whose weights have this architecture and naming and lie at `path`, if it can be told
/// from others of the same shapes.
pub fn recognise(found: &VitArchitecture, layout: Layout, path: &Path) -> Option<&'static KnownEncoder> {
    let words = words(path);
    let fitting = || {
        known().iter().filter(|known| {
            known.shape.fits(found) && (known.layouts.is_empty() || known.layouts.contains(&layout))
        })
    };
    let named = |known: &KnownEncoder| {
        known.names.iter().any(|name| {
            let name: Vec<&str> = name.split(' ').collect();
            words.windows(name.len()).any(|window| window.iter().eq(&name))
        })
    };
    fitting().find(|known| named(known)).or_else(|| fitting().find(|known| known.distinct))
}

/// Returns the names of the known encoders that have this architecture and naming.
pub fn of_same_shape(found: &VitArchitecture, layout: Layout) -> Vec<&'static str> {
    let fitting = known().iter().filter(|known| {
        known.shape.fits(found) && (known.layouts.is_empty() || known.layouts.contains(&layout))
    });
    fitting.map(|known| known.name.as_str()).collect()
}

/// Returns the words in lower case of a file's name and of the folders right above it: Hugging Face's folders hold
/// the encoder's name three levels above the file.
fn words(path: &Path) -> Vec<String> {
    const LEVELS: usize = 4;
    let parts: Vec<String> =
        path.components().map(|part| part.as_os_str().to_string_lossy().to_lowercase()).collect();
    let nearest = &parts[parts.len().saturating_sub(LEVELS)..];
    let words = nearest.iter().flat_map(|part| part.split(|c: char| !c.is_alphanumeric()));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::vit::Shapes;
    use crate::backbones::vit::names::FoundVit;

    /// Names and shapes of the parameters as the library builds the encoder (`scripts/vit_shapes.py`).
    fn shapes_of(name: &str) -> Option<Shapes> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vit/shapes");
        let text = std::fs::read_to_string(folder.join(format!("{name}.txt"))).ok()?;
        let line = |line: &str| {
            let mut parts = line.split(' ');
            let name = parts.next().unwrap_or_default().to_owned();
            (name, parts.map(|extent| extent.parse().unwrap()).collect())
        };
        Some(text.lines().map(line).collect())
    }

    fn architecture(shapes: &Shapes) -> (VitArchitecture, Layout, Shapes) {
        let found = FoundVit::under("", shapes.keys().map(String::as_str)).unwrap();
        let renamed = found.shapes(|name| shapes.get(name).map(Vec::as_slice)).unwrap();
        (
            VitArchitecture::of_shapes(&renamed, &found.layout.defaults(), &str::to_owned).unwrap(),
            found.layout,
            renamed,
        )
    }

    #[test]
    fn the_parameters_of_known_encoders_are_those_that_the_libraries_give_them() {
        let mut checked = 0;
        for known in known() {
            let Some(shapes) = shapes_of(&known.name) else { continue };
            let (architecture, layout, renamed) = architecture(&shapes);
            assert_eq!(architecture.shapes(), renamed, "{}", known.name);
            let file =
                format!("models--{}/snapshots/0a1b/model.safetensors", known.names[0].replace(' ', "-"));
            let recognised = recognise(&architecture, layout, Path::new(&file)).map(|found| &found.name);
            assert_eq!(recognised, Some(&known.name));
            let guessed = (architecture.heads, architecture.activation);
            assert_eq!(guessed, (known.heads, known.activation), "the guess for {}", known.name);
            checked += 1;
        }
        assert_eq!(checked, 21);
    }

    #[test]
    fn an_encoder_is_recognised_without_its_name_only_where_its_shapes_are_its_own() {
        let by_shape = |name: &str| {
            let (architecture, layout, _) = architecture(&shapes_of(name).unwrap());
            recognise(&architecture, layout, Path::new("downloads/pytorch_model.bin"))
                .map(|found| found.name.as_str())
        };
        assert_eq!(by_shape("UNI2-h"), Some("UNI2-h"));
        assert_eq!(by_shape("Virchow2"), Some("Virchow2"));
        assert_eq!(by_shape("Kaiko ViT-S-16"), None);
        let (small, layout, _) = architecture(&shapes_of("Kaiko ViT-S-16").unwrap());
        assert_eq!(of_same_shape(&small, layout), ["Kaiko ViT-S-16", "Lunit ViT-S-16"]);
        let lunit = recognise(&small, layout, Path::new("dino_vit_small_patch16_ep200.torch")).unwrap();
        assert_eq!(lunit.name, "Lunit ViT-S-16");
    }

    #[test]
    fn names_count_as_whole_words() {
        assert_eq!(
            words(Path::new("/home/me/models/H-optimus-1/model.bin"))[2..],
            ["h", "optimus", "1", "model", "bin"]
        );
        let (large, layout, _) = architecture(&shapes_of("UNI").unwrap());
        let named = |path: &str| recognise(&large, layout, Path::new(path)).is_some();
        assert!(named("MahmoodLab/uni/pytorch_model.bin") && !named("university/pytorch_model.bin"));
    }
}
