//! Weights and modules of other trainers: whatever wraps a state dict, whatever a module answers, and the identities of
//! encoders and recipes, by which descriptors that are stored are found again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use histokin::descriptors::Recipe;
use histokin::encoder::backbones::BackboneKind;
use histokin::encoder::{self, DeviceChoice, EncoderError};
use histokin::stain::StainSetting;
use image::RgbImage;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Tensor, nn};

fn pattern() -> RgbImage {
    RgbImage::from_fn(64, 64, |x, y| image::Rgb([(4 * x) as u8, (3 * y) as u8, (x * y % 256) as u8]))
}

/// Parameters of the smallest network by name, drawn by `seed`.
fn parameters(seed: i64) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    tch::manual_seed(seed);
    let store = nn::VarStore::new(Device::Cpu);
    BackboneKind::Tiny.build(&store.root()).unwrap();
    let read = |(name, tensor): (String, Tensor)| {
        let shape = tensor.size().iter().map(|extent| *extent as usize).collect();
        (name, (shape, Vec::<f32>::try_from(tensor.flatten(0, -1)).unwrap()))
    };
    store.variables().into_iter().map(read).collect()
}

/// A safetensors file of networks under prefixes, with `others` as further vectors of two numbers.
fn write(path: &Path, networks: &[(&str, i64)], others: &[&str]) {
    let mut all: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (prefix, seed) in networks {
        for (name, (shape, values)) in parameters(*seed) {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            all.insert(format!("{prefix}{name}"), (shape, bytes));
        }
    }
    all.extend(others.iter().map(|name| ((*name).to_owned(), (vec![2], vec![0; 8]))));
    let mut views: Vec<(String, TensorView)> = all
        .iter()
        .map(|(name, (shape, bytes))| {
            (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        })
        .collect();
    // Numbers of a type that no network has.
    views.push(("mask".to_owned(), TensorView::new(Dtype::BOOL, vec![3], &[0, 1, 1]).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn descriptor(path: &Path) -> Vec<f32> {
    let mut encoder = encoder::load(path.to_str().unwrap(), DeviceChoice::Cpu).unwrap();
    encoder.encode(&[pattern()]).unwrap().values
}

fn refusal(path: &Path) -> EncoderError {
    encoder::load(path.to_str().unwrap(), DeviceChoice::Cpu).err().unwrap()
}

#[test]
fn whatever_wraps_a_state_dict_its_descriptors_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("plain.safetensors"), &[("", 1)], &[]);
    let plain = descriptor(&path("plain.safetensors"));
    let others =
        ["fc.weight", "projector.0.weight", "head.weight", "queue", "module.encoder_q.predictor.weight"];
    for prefix in
        ["", "module.", "backbone.", "model.", "encoder.", "module.encoder_q.", "state_dict.net.backbone."]
    {
        // A head of the network itself would be its readout.
        let others: Vec<&str> =
            others.into_iter().filter(|name| !(prefix.is_empty() && name.starts_with("head"))).collect();
        write(&path("wrapped.safetensors"), &[(prefix, 1)], &others);
        assert_eq!(descriptor(&path("wrapped.safetensors")), plain, "{prefix}");
    }
    let pairs =
        [("teacher.backbone.", "student.backbone."), ("encoder_q.", "encoder_k."), ("model.", "model_ema.")];
    for (preferred, other) in pairs {
        write(&path("two.safetensors"), &[(preferred, 1), (other, 2)], &[]);
        assert_eq!(descriptor(&path("two.safetensors")), plain, "{preferred}");
        write(&path("two.safetensors"), &[(preferred, 2), (other, 1)], &[]);
        assert_ne!(descriptor(&path("two.safetensors")), plain, "{preferred}");
    }
    write(&path("two.safetensors"), &[("left.", 1), ("right.", 2)], &[]);
    let text = refusal(&path("two.safetensors")).to_string();
    assert!(text.contains("left.") && text.contains("right."), "{text}");
}

#[test]
fn networks_that_do_not_run_here_are_refused_by_their_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swin.safetensors");
    let names = ["patch_embed.proj.weight", "layers.0.blocks.0.attn.relative_position_bias_table"];
    write(&path, &[], &names);
    let text = refusal(&path).to_string();
    for part in ["Swin", "ResNet-50", "torch.jit.save", "histokin import"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

fn module(folder: &Path, settings: &str) -> PathBuf {
    let path = folder.join("tiny.pt");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoder/tiny.pt");
    std::fs::copy(fixture, &path).unwrap();
    std::fs::write(folder.join("tiny.pt.toml"), settings).unwrap();
    encoder::trust::allow_for_now(&path).unwrap();
    path
}

#[test]
fn settings_beside_a_module_have_to_fit_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let id = |settings: &str| {
        let path = module(folder.path(), settings);
        encoder::spec(path.to_str().unwrap()).map(|spec| spec.id)
    };
    assert!(id("tile_px = 64\n").is_ok());
    for (settings, part) in [
        ("output = \"cls\"\n", "does not apply"),
        ("key = \"cls\"\n", "one tensor"),
        ("index = 0\n", "one tensor"),
        ("output = \"pooled\"\n", "tiny.pt.toml"),
    ] {
        let text = id(settings).unwrap_err().to_string();
        assert!(text.contains(part) && text.contains("tiny.pt"), "{settings}: {text}");
    }
}

/// Descriptors are found by these; they may never change for an encoder that stays the same.
#[test]
fn identities_of_encoders_and_recipes_stay_what_they_are() {
    let known = [
        (
            "imagenet-mobilenet-v2",
            "fe283d7d868db3f54b97d43056715d875cbff4b0cb6ad27f83e4ec6fc7d2e91a",
            ["ad71380b26bd", "45f7da22e658"],
        ),
        (
            "tissue-and-nuclei",
            "e16b8076e4c74029b6294360df70c679bf5a7d5397c5aca25e9f2db0a273b559",
            ["a993734d96ba", "eaf45cba6994"],
        ),
        (
            "tissue-neighbours",
            "7cfe8572596ebf6c63baab890679a12ab7012cab4f898a1942e7e9d457a2e303",
            ["356b57386811", "f313dc0e9e03"],
        ),
        (
            "tissue-prototypes",
            "c97b84f9def57dd2fa458f303a02740da10ee15bd0d68668e2bb2c583a7f2cab",
            ["41cbfbc2b2e3", "f86e31c87494"],
        ),
        (
            "tissue-whitened",
            "6b9a99754dbd54e6df4a76439d24766b4f11bf47bc7c8e908775fc2476db9cca",
            ["fed090721f99", "1721a1e49b56"],
        ),
    ];
    // Of an encoder that does not ship any more only the identity is left.
    let error = encoder::load("tissue-neighbours", DeviceChoice::Cpu).err().unwrap().to_string();
    assert!(error.contains(encoder::DEFAULT), "{error}");
    for (name, id, recipes) in known {
        let spec = encoder::spec(name).unwrap();
        assert_eq!(spec.id.0, id, "{name}");
        for (stain, recipe) in [StainSetting::Lab, StainSetting::None].into_iter().zip(recipes) {
            let of = Recipe {
                encoder_id: spec.id.clone(),
                encoder_name: name.to_owned(),
                tiles: spec.tiles,
                stain,
            };
            assert_eq!(of.short_id(), recipe, "{name}");
        }
    }
}
