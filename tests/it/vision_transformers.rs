//! Vision transformers as encoders: a file is chosen, embeds tiles of its size, and is refused with its reason where
//! it cannot be used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use histokin::cli::fit_model::{self, FitModelArgs};
use histokin::encoder::{self, DeviceChoice, EncoderError};
use histokin::stain::StainSetting;
use image::RgbImage;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

use crate::support::{asset, fit_model_args, text};

/// A small transformer of random weights, as a library saved it (`scripts/vit_reference.py`).
fn small(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/histokin-encoder/tests/fixtures/vit");
    folder.join(name)
}

fn tile(edge: u32) -> RgbImage {
    RgbImage::from_fn(edge, edge, |x, y| image::Rgb([(4 * x) as u8, (3 * y) as u8, (x * y % 256) as u8]))
}

fn histokin(arguments: &[&str], data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_histokin"));
    command.args(arguments).env("XDG_DATA_HOME", data);
    command
}

fn json(arguments: &[&str], data: &Path) -> Value {
    let output = histokin(arguments, data).assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).expect("standard output is one JSON document")
}

type Parameters = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

fn parameters(path: &Path) -> Parameters {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let copied =
        |(name, view): (&str, TensorView)| (name.to_owned(), (view.shape().to_vec(), view.data().to_vec()));
    file.iter().map(copied).collect()
}

fn save(parameters: &Parameters, path: &Path) {
    let views = parameters
        .iter()
        .map(|(name, (shape, bytes))| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn refusal(path: &Path) -> String {
    encoder::load(text(path), DeviceChoice::Cpu).err().expect("it is refused").to_string()
}

#[test]
fn a_chosen_file_embeds_tiles_of_its_size_at_full_width() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    let (slide, weights) = (asset("slides/CMU-1-Small-Region.svs"), small("hugging_face_vit.safetensors"));
    let arguments =
        ["embed", text(&project), text(&slide), "--encoder", text(&weights), "--device", "cpu", "--json"];
    let embedded = json(&arguments, folder.path());
    let done = &embedded["slides"][0];
    assert_eq!(done["tiles_failed"], 0);
    // 2220 × 2967 px at 0.499 µm/px in tiles of 64 px at 0.5 µm/px.
    assert!(done["tiles_grid"].as_u64().unwrap() > 1500, "{done}");
    let bytes = std::fs::read(project.join(done["descriptors"].as_str().unwrap())).unwrap();
    let wide = SafeTensors::deserialize(&bytes).unwrap();
    assert!(wide.iter().any(|(_, view)| view.shape().get(1) == Some(&32)), "descriptors of 32 numbers");
}

#[test]
fn every_form_of_one_network_is_one_encoder() {
    let describe = |name: &str| {
        let mut encoder = encoder::load(text(&small(name)), DeviceChoice::Cpu).unwrap();
        encoder.encode(&[tile(64)]).unwrap().values
    };
    // The parts are named as transformers names parameters in memory, the file as it saves them.
    assert_eq!(describe("parts.safetensors.index.json"), describe("hugging_face_vit.safetensors"));
    assert_eq!(describe("parts-00002-of-00002.safetensors"), describe("hugging_face_vit.safetensors"));
}

#[test]
fn settings_beside_a_file_count_and_change_its_identity() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my-encoder").join("model.safetensors");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::copy(small("hugging_face_vit.safetensors"), &path).unwrap();
    let plain = encoder::spec(text(&path)).unwrap();
    assert_eq!((plain.name.as_str(), plain.width, plain.stain), ("my-encoder", 32, StainSetting::None));
    assert_eq!((plain.tiles.tile_px, plain.tiles.mpp), (64, 0.5));
    std::fs::write(path.with_file_name("config.json"), r#"{"num_attention_heads": 4}"#).unwrap();
    let with_heads = encoder::spec(text(&path)).unwrap();
    assert_ne!(with_heads.id, plain.id);
    // The folder stands for the file in it.
    assert_eq!(encoder::spec(text(path.parent().unwrap())).unwrap().id, with_heads.id);
    std::fs::write(path.with_file_name("config.json"), r#"{"num_attention_heads": 5}"#).unwrap();
    let refused = refusal(&path);
    assert!(refused.contains("model.safetensors") && refused.contains("5 heads"), "{refused}");
}

#[test]
fn tiles_that_patches_do_not_fill_are_refused_with_a_size_that_fits() {
    let mut encoder = encoder::load(text(&small("hugging_face_vit.safetensors")), DeviceChoice::Cpu).unwrap();
    let refused = encoder.encode(&[tile(70)]).unwrap_err();
    assert!(matches!(refused, EncoderError::TileSize { step: 16, .. }), "{refused}");
    assert!(refused.to_string().contains("64 px"), "{refused}");
    assert_eq!(encoder.encode(&[tile(96)]).unwrap().width, 32);
}

#[test]
fn what_is_no_whole_vision_transformer_is_refused_in_one_line_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.safetensors");
    let refused = |parameters: &Parameters| {
        save(parameters, &path);
        let text = refusal(&path);
        assert!(text.contains("wrong.safetensors"), "{text}");
        text
    };
    let one = |name: &str| Parameters::from([(name.to_owned(), (vec![2], vec![0; 8]))]);
    assert!(refused(&one("embeddings.word_embeddings.weight")).contains("a text model"));
    assert!(refused(&one("decoder_blocks.0.attn.qkv.weight")).contains("decoder"));

    let whole = parameters(&small("timm_plain.safetensors"));
    let without = |part: &str| -> Parameters {
        whole
            .iter()
            .filter(|(name, _)| !name.contains(part))
            .map(|(name, kept)| (name.clone(), kept.clone()))
            .collect()
    };
    assert!(refused(&without("blocks.")).contains("no block"));
    assert!(refused(&without("blocks.0.")).contains("block 0 of 2 is missing"));
    assert!(refused(&without("blocks.1.mlp.fc2.")).contains("2 missing: blocks.1.mlp.fc2.bias"));
    assert!(refused(&without("patch_embed")).contains("without its patch embedding"));
    assert!(refused(&without("pos_embed")).contains("positions are missing"));
    let mut more = whole.clone();
    more.insert("blocks.0.attn.q_norm.weight".into(), (vec![8], vec![0; 32]));
    assert!(refused(&more).contains("superfluous: blocks.0.attn.q_norm.weight"));
    let mut grey = whole.clone();
    grey.insert("patch_embed.proj.weight".into(), (vec![32, 1, 8, 8], vec![0; 32 * 64 * 4]));
    assert!(refused(&grey).contains("three colours"));

    let mut projected = parameters(&small("keep.safetensors"));
    projected.insert("visual_head.2.weight".into(), (vec![12, 11], vec![0; 12 * 11 * 4]));
    assert!(refused(&projected).contains("visual_head.2.weight is [12, 11], not [12, 12]"));
}

#[test]
fn a_readout_is_fitted_on_a_transformer_and_loads_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let args = fit_args(folder.path(), &small("hugging_face_vit.safetensors"));
    let made = fit_model::run(&args).unwrap();
    assert_eq!((&made["width"], &made["features"]), (&8.into(), &32.into()));
    let fitted = folder.path().join("fitted");
    let mut encoder = encoder::load(text(&fitted), DeviceChoice::Cpu).unwrap();
    let spec = encoder.spec().clone();
    assert_eq!((spec.tiles.tile_px, spec.tiles.mpp, spec.stain), (64, 0.5, StainSetting::None));
    let values = encoder.encode(&[tile(64)]).unwrap().values;
    assert!((values.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5, "{values:?}");
    let copied = FitModelArgs { copy_weights: true, ..args };
    assert!(fit_model::run(&copied).unwrap_err().to_string().contains("--copy-weights"));
}

#[test]
fn a_readout_that_knows_views_is_fitted_on_the_same_tiles_and_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let args = fit_args(folder.path(), &small("hugging_face_vit.safetensors"));
    let fit = |views: u32, name: &str| {
        let made = fit_model::run(&FitModelArgs { name: name.into(), views, ..args.clone() }).unwrap();
        assert_eq!(made["views"], views);
        made
    };
    let [none, one, three, again] = [fit(0, "none"), fit(1, "one"), fit(3, "three"), fit(3, "again")];
    assert_eq!(three["slides"], none["slides"], "views do not change which tiles are chosen");
    let ids = [&none, &one, &three].map(|made| made["encoder_id"].as_str().unwrap());
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    assert_eq!(three["encoder_id"], again["encoder_id"], "views are the same each time");
    let card = |name: &str| std::fs::read_to_string(folder.path().join(name).join("card.md")).unwrap();
    assert!(card("three").contains("3 varied views of it"), "{}", card("three"));
    assert!(card("none").contains("half-whitened") && !card("none").contains("varied"), "{}", card("none"));
    let mut encoder = encoder::load(text(&folder.path().join("three")), DeviceChoice::Cpu).unwrap();
    let values = encoder.encode(&[tile(64)]).unwrap().values;
    assert!((values.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5, "{values:?}");
}

/// Options for a readout of 8 numbers, `fitted` in the folder `models`.
fn fit_args(models: &Path, weights: &Path) -> FitModelArgs {
    FitModelArgs { neighbourhoods: true, ..fit_model_args(models, weights) }
}

#[test]
fn an_added_encoder_has_a_name_until_it_is_removed() {
    let data = tempfile::tempdir().unwrap();
    let weights = small("timm_plain.safetensors");
    let add =
        ["encoders", "add", text(&weights), "--name", "mine", "--heads", "4", "--mpp", "0.25", "--json"];
    let added = json(&add, data.path());
    assert_eq!(
        (&added["name"], &added["tile_px"], &added["mpp"]),
        (&"mine".into(), &32.into(), &0.25.into())
    );
    assert_eq!(added["architecture"]["heads"], 4);
    let again = histokin(&add, data.path()).assert().failure().get_output().stderr.clone();
    assert!(String::from_utf8(again).unwrap().contains("there is an encoder of this name"));

    let listed = json(&["encoders", "list", "--json"], data.path());
    let of =
        |name: &str| listed.as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap().clone();
    assert_eq!(of("mine")["origin"], "added by you");
    assert_eq!(of(encoder::DEFAULT)["default"], true);
    assert!(of(encoder::DEFAULT)["licence"].as_str().unwrap().starts_with("MIT"), "{listed}");
    let shown = json(&["encoders", "show", "mine", "--json"], data.path());
    assert_eq!((&shown["width"], &shown["architecture"]["heads"]), (&32.into(), &4.into()));

    let id = shown["encoder_id"].clone();
    histokin(&["encoders", "rename", "mine", encoder::DEFAULT], data.path()).assert().failure();
    assert_eq!(json(&["encoders", "rename", "mine", "ours", "--json"], data.path())["to"], "ours");
    histokin(&["encoders", "show", "mine"], data.path()).assert().failure();
    let renamed = json(&["encoders", "show", "ours", "--json"], data.path());
    assert_eq!((&renamed["name"], &renamed["encoder_id"]), (&"ours".into(), &id), "what it embedded stays");
    json(&["encoders", "rename", "ours", "mine", "--json"], data.path());

    assert_eq!(json(&["encoders", "remove", "mine", "--json"], data.path())["removed"], "mine");
    assert!(weights.is_file(), "the weights stay");
    histokin(&["encoders", "show", "mine"], data.path()).assert().failure();
    histokin(&["encoders", "remove", encoder::DEFAULT], data.path()).assert().failure();
}

#[test]
fn several_views_of_a_tile_are_embedded_together() {
    let folder = tempfile::tempdir().unwrap();
    let weights = small("hugging_face_vit.safetensors");
    let args = FitModelArgs { crops: vec![1.0, 0.5], ..fit_args(folder.path(), &weights) };
    let made = fit_model::run(&args).unwrap();
    assert_eq!((&made["width"], &made["features"]), (&8.into(), &64.into()));
    let path = folder.path().join("fitted");
    let plain = FitModelArgs { name: "plain".into(), ..fit_args(folder.path(), &weights) };
    fit_model::run(&plain).unwrap();
    // A readout fitted on it sees the same views.
    let again = FitModelArgs { name: "again".into(), ..fit_args(folder.path(), &path) };
    assert_eq!(fit_model::run(&again).unwrap()["features"], 64);
    let spec = encoder::spec(text(&path)).unwrap();
    // Views of 64 px: of 64 µm at 1.0 µm/px, and of 32 µm at 0.5.
    assert_eq!((spec.tiles.tile_px, spec.tiles.mpp), (128, 0.5));

    // The centre and the surroundings both count, and the surroundings of a plain encoder's tile do not exist.
    let mut encoder = encoder::load(text(&path), DeviceChoice::Cpu).unwrap();
    let patched = |at: u32| {
        RgbImage::from_fn(128, 128, |x, y| match (at..at + 24).contains(&x) && (at..at + 24).contains(&y) {
            true => image::Rgb([90, 20, 120]),
            false => image::Rgb([230, 180, 210]),
        })
    };
    let rows = encoder.encode(&[patched(200), patched(4), patched(52)]).unwrap();
    let rows: Vec<&[f32]> = rows.rows().collect();
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
    assert!(distance(rows[0], rows[1]) > 1e-4, "a change of the surroundings");
    assert!(distance(rows[0], rows[2]) > 1e-4, "a change of the centre");

    // It embeds slides with these tiles, and other views are another encoder.
    let project = folder.path().join("project");
    let slide = asset("slides/CMU-1-Small-Region.svs");
    let embed =
        ["embed", text(&project), text(&slide), "--encoder", text(&path), "--device", "cpu", "--json"];
    let embedded = json(&embed, folder.path());
    assert_eq!(embedded["slides"][0]["tiles_failed"], 0);
    assert_eq!(embedded["encoder_id"], spec.id.to_string());
    let described = std::fs::read_to_string(path.join("model.toml")).unwrap();
    assert!(described.contains("um_per_px = [1.0, 0.5]"), "{described}");
    std::fs::write(path.join("model.toml"), described.replace("[1.0, 0.5]", "[0.5, 1.0]")).unwrap();
    assert_ne!(encoder::spec(text(&path)).unwrap().id, spec.id);
    std::fs::write(path.join("model.toml"), described.replace("[1.0, 0.5]", "[2.0, 0.5]")).unwrap();
    assert!(refusal(&path).contains("256 px at 0.5"), "{}", refusal(&path));
}

#[test]
fn settings_that_cannot_work_are_refused_and_add_nothing() {
    let data = tempfile::tempdir().unwrap();
    let weights = small("timm_plain.safetensors");
    for (setting, words) in [
        ("--heads=0", "0 heads"),
        ("--heads=3", "3 heads"),
        ("--tile-px=4000000000", "8 to 4096"),
        ("--tile-px=33", "patches of 8 px"),
        ("--mpp=-1", "mpp is -1"),
        ("--std=0,1,1", "standard deviation"),
    ] {
        let add = ["encoders", "add", text(&weights), "--name", "wrong", setting];
        let refused = histokin(&add, data.path()).assert().failure().get_output().stderr.clone();
        let refused = String::from_utf8(refused).unwrap();
        assert!(
            refused.contains("timm_plain.safetensors") && refused.contains(words),
            "{setting}: {refused}"
        );
    }
    let listed = json(&["encoders", "list", "--json"], data.path());
    assert!(listed.as_array().unwrap().iter().all(|entry| entry["name"] != "wrong"), "{listed}");
}

#[test]
fn what_is_assumed_of_an_unknown_file_is_said() {
    let data = tempfile::tempdir().unwrap();
    let shown = json(&["encoders", "show", text(&small("timm_plain.safetensors")), "--json"], data.path());
    assert_eq!((&shown["naming"], &shown["known_as"]), (&"timm".into(), &Value::Null));
    let assumed = shown["assumed"].to_string();
    for part in ["attention heads: 1", "activation: gelu", "class", "ImageNet", "32 px at 0.5"] {
        assert!(assumed.contains(part), "{part} in {assumed}");
    }
}
