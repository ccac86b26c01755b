//! The table of known vision transformers (`models/known.toml`): what the shapes of their weights do not tell.

use std::path::Path;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::EncoderError;
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
    /// SHA-256 of its published files, each whole in one file, as hexadecimal digits.
    #[serde(default)]
    sha256: Vec<String>,
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

#[derive(Deserialize)]
struct Table {
    encoder: Vec<KnownEncoder>,
}

/// Returns all known encoders.
pub fn known() -> &'static [KnownEncoder] {
    static TABLE: LazyLock<Vec<KnownEncoder>> = LazyLock::new(|| {
        let table: Table = toml::from_str(include_str!("../../../models/known.toml"))
            .expect("a test reads the table that is compiled in");
        table.encoder
    });
    &TABLE
}

/// An encoder that was recognised.
#[derive(Debug, Clone, Copy)]
pub struct Recognised {
    /// The encoder.
    pub encoder: &'static KnownEncoder,
    /// Whether the file is exactly a published one; otherwise shapes, naming and the path tell what it is.
    pub is_exact: bool,
}

/// Returns the encoder of `table` whose weights have this architecture and naming and lie at `path`, if it can be told
/// from others of the same shapes. `digest` computes the SHA-256 of the file and returns `None` of weights in several
/// files; it is called only if there are files of these shapes to compare with.
///
/// # Errors
/// Any error of `digest`.
pub fn recognise(
    table: &'static [KnownEncoder],
    found: &VitArchitecture,
    layout: Layout,
    path: &Path,
    digest: impl FnOnce() -> Result<Option<String>, EncoderError>,
) -> Result<Option<Recognised>, EncoderError> {
    let fitting = || fitting(table, found, layout);
    if fitting().any(|known| !known.sha256.is_empty())
        && let Some(digest) = digest()?
        && let Some(encoder) = fitting()
            .find(|known| known.sha256.iter().any(|published| published.eq_ignore_ascii_case(&digest)))
    {
        return Ok(Some(Recognised { encoder, is_exact: true }));
    }
    let words = words(path);
    let named = |known: &KnownEncoder| {
        known.names.iter().any(|name| {
            let name: Vec<&str> = name.split(' ').collect();
            words.windows(name.len()).any(|window| window.iter().eq(&name))
        })
    };
    let encoder = fitting().find(|known| named(known)).or_else(|| fitting().find(|known| known.distinct));
    Ok(encoder.map(|encoder| Recognised { encoder, is_exact: false }))
}

/// Returns the names of the encoders of `table` that have this architecture and naming.
pub fn of_same_shape(
    table: &'static [KnownEncoder],
    found: &VitArchitecture,
    layout: Layout,
) -> Vec<&'static str> {
    fitting(table, found, layout).map(|known| known.name.as_str()).collect()
}

fn fitting<'a>(
    table: &'static [KnownEncoder],
    found: &'a VitArchitecture,
    layout: Layout,
) -> impl Iterator<Item = &'static KnownEncoder> + 'a {
    table.iter().filter(move |known| {
        known.shape.fits(found) && (known.layouts.is_empty() || known.layouts.contains(&layout))
    })
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

    /// The encoder of the table of these shapes at this path, without its hash.
    fn by_path(found: &VitArchitecture, layout: Layout, path: &str) -> Option<&'static KnownEncoder> {
        let recognised = recognise(known(), found, layout, Path::new(path), || Ok(None)).unwrap();
        recognised.map(|recognised| recognised.encoder)
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
            let recognised = by_path(&architecture, layout, &file).map(|found| &found.name);
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
            by_path(&architecture, layout, "downloads/pytorch_model.bin").map(|found| found.name.as_str())
        };
        assert_eq!(by_shape("UNI2-h"), Some("UNI2-h"));
        assert_eq!(by_shape("Virchow2"), Some("Virchow2"));
        assert_eq!(by_shape("Kaiko ViT-S-16"), None);
        let (small, layout, _) = architecture(&shapes_of("Kaiko ViT-S-16").unwrap());
        assert_eq!(of_same_shape(known(), &small, layout), ["Kaiko ViT-S-16", "Lunit ViT-S-16"]);
        let lunit = by_path(&small, layout, "dino_vit_small_patch16_ep200.torch").unwrap();
        assert_eq!(lunit.name, "Lunit ViT-S-16");
    }

    #[test]
    fn names_count_as_whole_words() {
        assert_eq!(
            words(Path::new("/home/me/models/H-optimus-1/model.bin"))[2..],
            ["h", "optimus", "1", "model", "bin"]
        );
        let (large, layout, _) = architecture(&shapes_of("UNI").unwrap());
        let named = |path: &str| by_path(&large, layout, path).is_some();
        assert!(named("MahmoodLab/uni/pytorch_model.bin") && !named("university/pytorch_model.bin"));
    }
    #[test]
    fn a_published_file_is_told_by_its_hash_and_others_of_its_shapes_as_before() {
        let digits = |digit: &str| digit.repeat(64);
        let row = |name: &str, words: &str, sha256: &str| {
            format!(
                "[[encoder]]\nname = \"{name}\"\nnames = [\"{words}\"]\n{sha256}\nheads = 6\nactivation = \"gelu\"\n\
                 shape = {{ patch_px = 16, width = 384, depth = 12, hidden = 1536, grid = 14 }}\noutput = \"class\"\n\
                 mean = [0, 0, 0]\nstd = [1, 1, 1]\npurpose = \"\"\nsource = \"\"\nlicence = \"\"\ncommercial = \"yes\"\n\
                 checked = \"\"\n"
            )
        };
        let with_hash = row("A", "first", &format!("sha256 = [\"{}\", \"{}\"]", digits("B"), digits("a")));
        let table =
            |rows: &str| -> &'static [KnownEncoder] { toml::from_str::<Table>(rows).unwrap().encoder.leak() };
        let (small, layout, _) = architecture(&shapes_of("Kaiko ViT-S-16").unwrap());
        let found = |table, path: &str, digest: &str| {
            let digest = || Ok(Some(digest.to_owned()));
            let found = recognise(table, &small, layout, Path::new(path), digest).unwrap();
            found.map(|found| (found.encoder.name.as_str(), found.is_exact))
        };
        let both = table(&(with_hash + &row("B", "second", "")));
        // Whatever the path says.
        assert_eq!(found(both, "second/model.bin", &digits("b")), Some(("A", true)));
        assert_eq!(found(both, "model.bin", &digits("A")), Some(("A", true)));
        assert_eq!(found(both, "first/model.bin", &digits("c")), Some(("A", false)));
        assert_eq!(found(both, "second/model.bin", &digits("c")), Some(("B", false)));
        assert_eq!(found(both, "model.bin", &digits("c")), None);
        // Nothing to compare with: a file of several GB is not read.
        let without = table(&row("B", "second", ""));
        let unread = || panic!("the file is read");
        let found = recognise(without, &small, layout, Path::new("second/model.bin"), unread).unwrap();
        assert!(found.is_some_and(|found| !found.is_exact));
    }

    #[test]
    fn hashes_in_the_table_are_of_64_digits() {
        for known in known() {
            let is_hash =
                |text: &String| text.len() == 64 && text.chars().all(|digit| digit.is_ascii_hexdigit());
            assert!(known.sha256.iter().all(is_hash), "{}: {:?}", known.name, known.sha256);
        }
    }
}
