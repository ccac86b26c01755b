//! Encoders against what Python torch and ONNX Runtime answer (`scripts/encoder_reference.py` and
//! `scripts/lite_reference.py` wrote the fixtures), and the models that ship.

use std::path::{Path, PathBuf};

use histokin::cli::fit_model::{self, FitModelArgs, StainArg};
use histokin::encoder::backbones::BackboneKind;
use histokin::encoder::engine::Engine;
use histokin::encoder::model::{ModelFile, Preprocessing};
use histokin::encoder::trainable::{Depth, HeadKind, NetworkPlan, Start, TrainableNetwork};
use histokin::encoder::{self, DeviceChoice, EncoderError};
use histokin::project::Project;
use histokin::stain::{SlideStain, StainSetting, StainType};
use histokin::tiling::TileSettings;
use image::RgbImage;
use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor, nn};

use crate::support;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures/encoder").join(name)
}

fn expected(file: &str, name: &str) -> Vec<f32> {
    let bytes = std::fs::read(fixture(file)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let words = tensors.tensor(name).unwrap().data().as_chunks::<4>().0;
    words.iter().map(|word| f32::from_le_bytes(*word)).collect()
}

/// The picture by integer formula that the reference was made from.
fn pattern(edge: u32) -> RgbImage {
    RgbImage::from_fn(edge, edge, |x, y| {
        let channel = |value: u32| (value % 256) as u8;
        image::Rgb([channel(x * x + 3 * y), channel(5 * x + y * y), channel(x * y + 7 * x)])
    })
}

fn tissue() -> RgbImage {
    image::open(fixture("tissue_224.png")).unwrap().into_rgb8()
}

/// Weights by formula from each parameter's name and index, as in the reference.
fn formula_weights(kind: BackboneKind, path: &Path) {
    let store = nn::VarStore::new(Device::Cpu);
    kind.build(&store.root()).unwrap();
    let tensors: Vec<(String, Tensor)> = store
        .variables()
        .into_iter()
        .map(|(name, variable)| {
            let seed = name.bytes().fold(0_i64, |seed, byte| (seed * 31 + i64::from(byte)) % 65521);
            let unit = |index: i64| ((index * 7919 + seed * 104_729) % 65521) as f64 / 65521.0;
            let shape = variable.size();
            let of_unit: Box<dyn Fn(f64) -> f64> = if shape.len() == 1 {
                if name.ends_with("weight") || name.ends_with("running_var") {
                    Box::new(|unit| 0.75 + 0.5 * unit)
                } else {
                    Box::new(|unit| 0.2 * (unit - 0.5))
                }
            } else {
                let per_output: i64 = shape[1..].iter().product();
                Box::new(move |unit| (unit - 0.5) * (24.0 / per_output as f64).sqrt())
            };
            let values: Vec<f64> = (0..variable.numel() as i64).map(|index| of_unit(unit(index))).collect();
            (name, Tensor::from_slice(&values).to_kind(Kind::Float).reshape(shape))
        })
        .collect();
    Tensor::write_safetensors(&tensors, path).unwrap();
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0_f32, |scale, value| scale.max(value.abs()));
    let pairs = found.iter().zip(expected);
    let difference = pairs.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
    println!("{what}: largest difference {difference:e} of {scale}");
    assert!(scale > 0.0 && difference <= 1e-4 * scale, "{what}: {difference} of {scale}");
}

#[test]
fn backbones_answer_what_other_programs_answer() {
    let folder = tempfile::tempdir().unwrap();
    for kind in BackboneKind::PUBLISHED {
        let answers = match kind {
            BackboneKind::EfficientnetLite1 | BackboneKind::EfficientnetLite2 => "lite.safetensors",
            _ => "features.safetensors",
        };
        let weights = match kind {
            BackboneKind::MobilenetV2
            | BackboneKind::EfficientnetLite0
            | BackboneKind::EfficientnetLite1
            | BackboneKind::EfficientnetLite2 => root().join(format!("models/weights/{kind}.safetensors")),
            _ => {
                let path = folder.path().join(format!("{kind}.safetensors"));
                formula_weights(kind, &path);
                path
            }
        };
        let (input_mean, input_std) = kind.input_statistics();
        let file = ModelFile {
            preprocessing: Preprocessing { input_mean, input_std, ..Preprocessing::default() },
            ..ModelFile::of_backbone(kind.name(), kind, weights)
        };
        let mut encoder =
            encoder::load_embedded(file, folder.path(), DeviceChoice::Cpu, Engine::Torch).unwrap();
        let found = encoder.encode(&[pattern(224), tissue()]).unwrap();
        assert_close(&found.values, &expected(answers, kind.name()), kind.name());
    }
}

#[test]
fn the_default_model_is_whole_and_known_without_being_loaded() {
    let spec = encoder::spec(encoder::DEFAULT).unwrap();
    assert_eq!((spec.width, spec.tiles.tile_px, spec.tiles.mpp), (128, 224, 1.0));
    let mut encoder = encoder::load(encoder::DEFAULT, DeviceChoice::Cpu).unwrap();
    assert_eq!(encoder.spec().id, spec.id);
    assert!(encoder.device().starts_with("CPU"), "{}", encoder.device());
    assert_eq!(spec.stain, StainSetting::None);
    let summary = encoder::available().into_iter().find(|model| model.name == encoder::DEFAULT).unwrap();
    assert_eq!(summary.problem, None);
    assert!(summary.folder.join("card.md").is_file());

    // A new project has it, and the slides' own colours with it; an encoder of normalised tiles is given those.
    let project = tempfile::tempdir().unwrap();
    let mut project = Project::open_or_create(project.path()).unwrap();
    assert_eq!(project.encoder_name(), encoder::DEFAULT);
    assert_eq!(project.recipe(&spec).stain, StainSetting::None);
    let former = encoder::spec(encoder::FIRST_DEFAULT).unwrap();
    assert_eq!(project.recipe(&former).stain, StainSetting::Lab);
    // The reference is one of H&E: with a slide of another stain, all slides keep their own colours.
    let slide = histokin::slide::open(&support::asset("slides/CMU-1-Small-Region.svs"), None).unwrap();
    project.add_or_update(slide.info());
    for kind in StainType::ALL {
        project.set_stain(&slide.info().id, Some(SlideStain::usual(kind)));
        let is_he = kind == StainType::HaematoxylinEosin;
        assert_eq!(project.recipe(&former).stain.is_lab(), is_he, "{kind:?}");
    }
    project.set_stain(&slide.info().id, None);
    assert_eq!(project.recipe(&former).stain, StainSetting::Lab);

    // What stands beside a tile in a batch does not matter, and mirrored tissue is nearer than a pattern.
    let mirrored = image::imageops::flip_horizontal(&tissue());
    let batch = encoder.encode(&[pattern(224), tissue(), mirrored]).unwrap();
    let rows: Vec<&[f32]> = batch.rows().collect();
    let alone = encoder.encode(&[tissue()]).unwrap();
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
    assert!(distance(&alone.values, rows[1]) < 1e-4 * distance(rows[0], rows[1]));
    assert!(distance(rows[1], rows[2]) < 0.5 * distance(rows[0], rows[1]));
}

/// The tiny TorchScript module in a folder of its own, with settings beside it.
fn tiny_module(settings: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.pt");
    std::fs::copy(fixture("tiny.pt"), &path).unwrap();
    encoder::trust::allow_for_now(&path).unwrap();
    if !settings.is_empty() {
        std::fs::write(folder.path().join("tiny.pt.toml"), settings).unwrap();
    }
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn torchscript_modules_bring_their_own_size_normalisation_and_width() {
    let settings = "tile_px = 64\nmpp = 0.5\ninput_mean = [0.5, 0.5, 0.5]\ninput_std = [0.25, 0.25, 0.25]\n";
    let (_folder, path) = tiny_module(settings);
    let mut encoder = encoder::load(&path, DeviceChoice::Cpu).unwrap();
    let spec = encoder.spec().clone();
    assert_eq!((spec.name.as_str(), spec.width, spec.tiles.tile_px, spec.tiles.mpp), ("tiny", 5, 64, 0.5));
    assert_eq!(encoder.device(), "CPU", "libtorch alone runs them");
    let found = encoder.encode(&[pattern(64)]).unwrap();
    assert_close(&found.values, &expected("tiny.safetensors", "tiny"), "tiny");

    assert_eq!(encoder::spec(&path).unwrap().id, spec.id);
    let (_folder, plain) = tiny_module("");
    let plain = encoder::spec(&plain).unwrap();
    assert_eq!((plain.width, plain.tiles.tile_px), (5, 224));
    assert_ne!(plain.id, spec.id);
}

#[test]
fn files_that_are_no_encoder_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, b"neither a module nor weights").unwrap();
        encoder::trust::allow_for_now(&path).unwrap();
        let error = encoder::load(path.to_str().unwrap(), DeviceChoice::Cpu).err().unwrap();
        assert!(error.to_string().contains(name), "{error}");
        error
    };
    let error = refusal("broken.pt");
    assert!(matches!(error, EncoderError::NotTorchScript { .. }));
    assert_eq!(error.to_string().lines().count(), 1, "no backtrace of libtorch's: {error}");
    assert!(matches!(refusal("weights.pth"), EncoderError::Unpickled { .. }));
    assert!(matches!(refusal("weights.txt"), EncoderError::NotAModel { .. }));

    let (_folder, path) = tiny_module("tile_pixels = 64\n");
    let text = encoder::load(&path, DeviceChoice::Cpu).err().unwrap().to_string();
    assert!(text.contains("tiny.pt.toml") && text.contains("tile_pixels"), "{text}");
}

#[test]
fn a_model_is_fitted_from_slides_and_then_loads_by_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let weights = root().join("models/weights/mobilenet_v2.safetensors");
    let args = FitModelArgs {
        backbone: Some(BackboneKind::MobilenetV2),
        within_um: 500.0,
        stain: Some(StainArg::Lab),
        tiles_per_slide: 12,
        ..support::fit_model_args(folder.path(), &weights)
    };
    let made = fit_model::run(&args).unwrap();
    assert_eq!((&made["width"], &made["features"]), (&8.into(), &1280.into()));
    let tiles = made["tiles"].as_u64().unwrap();
    assert!((9..=12).contains(&tiles), "{made}");
    assert!(made["explained_variance"].as_f64().unwrap() > 0.5, "{made}");

    let fitted = folder.path().join("fitted");
    let card = std::fs::read_to_string(fitted.join("card.md")).unwrap();
    assert!(card.contains("CMU-1-Small-Region.svs"), "{card}");
    let mut encoder = encoder::load(fitted.to_str().unwrap(), DeviceChoice::Cpu).unwrap();
    assert_eq!(made["encoder_id"], encoder.spec().id.to_string());
    assert_eq!(encoder.encode(&[tissue()]).unwrap().values.len(), 8);

    // Prototypes from blocks in the middle: memberships, of length 1.
    let args = FitModelArgs {
        name: "prototypes".into(),
        blocks: vec![13, 16],
        prototypes: true,
        components: 6,
        ..args.clone()
    };
    let made = fit_model::run(&args).unwrap();
    assert_eq!((&made["width"], &made["features"]), (&8.into(), &(96 + 160).into()));
    let path = folder.path().join("prototypes").to_str().unwrap().to_owned();
    let mut encoder = encoder::load(&path, DeviceChoice::Cpu).unwrap();
    let found = encoder.encode(&[tissue()]).unwrap().values;
    assert!(found.iter().all(|root| (0.0..=1.0).contains(root)));
    assert!((found.iter().map(|root| root * root).sum::<f32>() - 1.0).abs() < 1e-5);

    // Learning goes on from them, with the same blocks, head and output …
    let plan = NetworkPlan {
        backbone: BackboneKind::MobilenetV2,
        start: Start::From(path),
        head: HeadKind::Init,
        width: 8,
        depth: Depth::Last(1),
        batch_statistics: false,
        l2_normalise: false,
        tiles: TileSettings::default(),
        seed: 0,
        device: DeviceChoice::Cpu,
    };
    let network = TrainableNetwork::new(&plan).unwrap();
    // … of which block 16 is the last, not the network's block 18.
    assert!(
        network.learning().keys().all(|name| name.starts_with("features.16.") || name.starts_with("head."))
    );
    assert_eq!(network.learning().len(), 2 + 3 * 3);
    let images = network.images(&[tissue(), tissue()]).unwrap();
    network.forward(&images).unwrap().select(1, 0).sum(Kind::Float).backward();
    let slopes = network.learning();
    assert!(slopes.values().all(|learned| bool::try_from(learned.grad().isfinite().all()).unwrap()));
    assert!(slopes["features.16.conv.2.weight"].grad().abs().max().double_value(&[]) > 0.0);
    let close = |values: &[f32]| values.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-4);
    let trained = folder.path().join("trained.safetensors");
    network.write(&trained, "trained").unwrap();
    let mut again = encoder::load(trained.to_str().unwrap(), DeviceChoice::Cpu).unwrap();
    assert!(close(&again.encode(&[tissue()]).unwrap().values));
    // A head of another width is a new one, which knows no prototypes.
    let wider = TrainableNetwork::new(&NetworkPlan { width: 9, ..plan.clone() }).unwrap();
    let values = wider.encoder().unwrap().encode(&[tissue()]).unwrap().values;
    assert!(values.len() == 9 && values.iter().any(|value| *value < 0.0), "{values:?}");

    // The stain switch of the first default stands behind the memberships; it learns and is kept, as they do.
    let path = encoder::FIRST_DEFAULT.to_owned();
    let mut encoder = encoder::load(&path, DeviceChoice::Cpu).unwrap();
    let [dense, white] = [[70, 50, 130], [250, 248, 250]]
        .map(|colour| image::RgbImage::from_pixel(224, 224, image::Rgb(colour)));
    let batch = encoder.encode(&[dense.clone(), white.clone()]).unwrap();
    let rows: Vec<&[f32]> = batch.rows().collect();
    assert!((rows[0][..127].iter().map(|root| root * root).sum::<f32>() - 1.0).abs() < 1e-5);
    assert!((rows[0][127] - 0.7).abs() < 0.01 && (rows[1][127] + 0.7).abs() < 0.01, "{rows:?}");
    let plan = NetworkPlan { start: Start::From(path), width: 128, ..plan };
    let network = TrainableNetwork::new(&plan).unwrap();
    let images = network.images(&[tissue(), dense.clone()]).unwrap();
    let described = network.forward(&images).unwrap();
    (described.select(1, 0) + described.select(1, 127)).sum(Kind::Float).backward();
    let slope = network.learning()["head.weight"].grad();
    assert!(bool::try_from(slope.isfinite().all()).unwrap() && slope.abs().max().double_value(&[]) > 0.0);
    let trained_switch = folder.path().join("switch.safetensors");
    network.write(&trained_switch, "trained").unwrap();
    let mut again = encoder::load(trained_switch.to_str().unwrap(), DeviceChoice::Cpu).unwrap();
    let values = again.encode(&[dense, white]).unwrap().values;
    assert!(values.iter().zip(&batch.values).all(|(a, b)| (a - b).abs() < 1e-4), "{values:?}");
    let switched = FitModelArgs { name: "switched".into(), stain_switch: true, ..args.clone() };
    assert!(fit_model::run(&switched).unwrap_err().to_string().contains("--stain-switch"));

    // Whitened within neighbourhoods, from tiles in their own colours: of length 1, and the same each time.
    let whitened = FitModelArgs {
        name: "whitened".into(),
        prototypes: false,
        neighbourhoods: true,
        stain: Some(StainArg::None),
        ..args.clone()
    };
    let made = fit_model::run(&whitened).unwrap();
    assert_eq!(made["encoder_id"], fit_model::run(&whitened).unwrap()["encoder_id"]);
    let path = folder.path().join("whitened").to_str().unwrap().to_owned();
    let mut encoder = encoder::load(&path, DeviceChoice::Cpu).unwrap();
    assert_eq!(encoder.spec().stain, StainSetting::None);
    let values = encoder.encode(&[tissue()]).unwrap().values;
    assert!((values.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5, "{values:?}");
    assert!(values.iter().any(|value| *value < 0.0), "{values:?}");
    let alone = FitModelArgs { within_um: 100.0, ..whitened };
    assert!(fit_model::run(&alone).unwrap_err().to_string().contains("nearer to each other than 100 µm"));

    // The trained network's weights without its head make a model of their own, whole by itself.
    let whole =
        FitModelArgs { name: "whole".into(), weights: vec![trained], copy_weights: true, ..args.clone() };
    fit_model::run(&whole).unwrap();
    let whole = folder.path().join("whole");
    assert!(whole.join("backbone.safetensors").metadata().unwrap().len() < 8_000_000);
    let mut halved = encoder::load(whole.to_str().unwrap(), DeviceChoice::Cpu).unwrap();
    let values = halved.encode(&[tissue()]).unwrap().values;
    assert!(values.iter().zip(&found).all(|(a, b)| (a - b).abs() < 0.05), "{values:?} {found:?}");

    let descending = FitModelArgs { name: "descending".into(), blocks: vec![16, 13], ..args.clone() };
    assert!(fit_model::run(&descending).unwrap_err().to_string().contains("0 to 18"));
    assert!(fit_model::run(&FitModelArgs { name: "../out".into(), ..args }).is_err());
}
