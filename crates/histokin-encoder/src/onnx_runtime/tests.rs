//! Descriptors of both engines.

use image::Rgb;

use super::*;
use crate::EncoderError;

/// Returns whether there is an ONNX Runtime to test with; otherwise says that the test skips.
fn is_here() -> bool {
    let is_here = is_there();
    if !is_here {
        println!("skipped: there is no ONNX Runtime; `make setup` fetches it");
    }
    is_here
}

#[test]
fn other_devices_than_the_cpu_are_refused() {
    if !is_here() {
        return;
    }
    let refused = crate::load_in(crate::DEFAULT, DeviceChoice::Cuda(0), crate::engine::Engine::OnnxRuntime);
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("cuda:0") && refused.contains("--engine torch"), "{refused}");
}

#[test]
fn tiles_that_cannot_be_encoded_are_refused_and_none_are_fine() {
    if !is_here() {
        return;
    }
    let (_, model, _) = crate::onnx::tests::small_transformers().remove(0);
    let mut encoder = load_model(model, DeviceChoice::Cpu).unwrap();
    assert!(encoder.encode(&[]).unwrap().values.is_empty());
    let edge = encoder.spec().tiles.tile_px;
    let mixed = [RgbImage::new(edge, edge), RgbImage::new(edge, 2 * edge)];
    assert!(matches!(encoder.encode(&mixed), Err(EncoderError::UnequalTiles { .. })));
    let odd = [RgbImage::new(edge + 1, edge)];
    assert!(matches!(encoder.encode(&odd), Err(EncoderError::TileSize { .. })));
    assert_eq!(encoder.encode(&mixed[..1]).unwrap().rows().len(), 1, "it goes on");
}

#[test]
fn parameters_are_the_same_from_memory_and_from_a_file_of_which_nothing_is_left() {
    if !is_here() {
        return;
    }
    let (_, model, _) = crate::onnx::tests::small_transformers().remove(0);
    let edge = model.spec.tiles.tile_px;
    let environment = library::environment().unwrap();
    let answer = |most_in_memory: usize| {
        let (message, constants) = Computation::of(&model, [edge; 2]).unwrap().divided(parameters::FILE_NAME);
        let parameters = Parameters::within(constants, most_in_memory);
        let folder = match &parameters {
            Parameters::Memory(_) => None,
            Parameters::File(folder) => Some(folder.path().to_owned()),
        };
        let mut session = build(environment, &message, &parameters).unwrap();
        drop(parameters);
        assert!(folder.as_ref().is_none_or(|folder| !folder.exists()), "{folder:?}");
        let bytes = formula_tile(edge).into_raw();
        let input = Tensor::from_array((vec![1, i64::from(edge), i64::from(edge), 3], bytes)).unwrap();
        let outputs = session.run(ort::inputs![INPUT => input]).unwrap();
        (folder.is_some(), outputs[OUTPUT].try_extract_tensor::<f32>().unwrap().1.to_vec())
    };
    let ((is_file, from_file), (_, from_memory)) = (answer(0), answer(usize::MAX));
    assert_eq!(is_file, !cfg!(windows));
    assert_eq!(from_file, from_memory);
}

#[test]
fn a_model_with_its_weights_beside_it_answers_like_one_that_holds_them() {
    if !is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let weights = crate::onnx::tests::random_network(folder.path(), crate::backbones::BackboneKind::Tiny);
    let model = || Model::read_single(&weights).unwrap();
    let tiles = [formula_tile(224), formula_tile(224)];
    let bytes: Vec<u8> = tiles.iter().flat_map(|tile| tile.as_raw()).copied().collect();
    let expected = load_model(model(), DeviceChoice::Cpu).unwrap().encode(&tiles).unwrap().values;
    for (name, most_inside) in [("inside.onnx", usize::MAX), ("beside.onnx", 1000)] {
        let path = folder.path().join(name);
        crate::onnx::tests::write(&model(), &path, most_inside).unwrap();
        let environment = library::environment().unwrap();
        let mut session = Session::builder(environment).unwrap().commit_from_file(&path).unwrap();
        let input = Tensor::from_array((vec![2, 224, 224, 3], bytes.clone())).unwrap();
        let outputs = session.run(ort::inputs![INPUT => input]).unwrap();
        let (_, found) = outputs[OUTPUT].try_extract_tensor::<f32>().unwrap();
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
        assert_eq!(found.len(), expected.len());
    }
}

/// The tile by integer formula that the libraries were asked about (`scripts/vit_reference.py`).
fn formula_tile(edge: u32) -> RgbImage {
    let colour = |x: u32, y: u32| [x * x + 3 * y, 5 * x + y * y, x * y + 7 * x];
    RgbImage::from_fn(edge, edge, |x, y| Rgb(colour(x, y).map(|value| (value % 256) as u8)))
}

#[test]
fn transformers_answer_as_the_libraries_they_come_from() {
    if !is_here() {
        return;
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vit");
    let answers = crate::weight_files::WeightFiles::read(&folder.join("answers.safetensors")).unwrap();
    for (name, mut model, sizes) in crate::onnx::tests::small_transformers() {
        let preprocessing = &mut model.file.preprocessing;
        (preprocessing.input_mean, preprocessing.input_std) = ([0.5; 3], [0.25; 3]);
        preprocessing.l2_normalise = false;
        let mut encoder = load_model(model, DeviceChoice::Cpu).unwrap();
        for size in sizes {
            let found = encoder.encode(&[formula_tile(size)]).unwrap().values;
            let expected = answers.parameter(&format!("{name} {size}")).unwrap().values;
            assert_eq!(found.len(), expected.len(), "{name}");
            let largest = |values: &mut dyn Iterator<Item = f32>| values.map(f32::abs).fold(0.0, f32::max);
            let difference = largest(&mut found.iter().zip(&expected).map(|(a, b)| a - b))
                / largest(&mut expected.iter().copied());
            println!("{name} {size}: largest relative difference {difference:.1e}");
            assert!(difference <= 1e-5, "{name} {size}: {difference:e}");
        }
    }
}

#[cfg(feature = "torch")]
mod compared {
    use super::*;
    use crate::DEFAULT;
    use crate::backbones::BackboneKind;
    use crate::model::{Crops, FurtherNetwork, ModelFile, Preprocessing};
    use crate::network;
    use crate::onnx::tests::{random_network, random_network_of, small_transformers};
    use crate::readout::HeadOutput;
    use crate::weights::{self, Array};

    /// Tiles that look different from each other.
    fn tiles(width: u32, height: u32) -> Vec<RgbImage> {
        let tile = |seed: u32| {
            RgbImage::from_fn(width, height, |x, y| {
                let wave = |a: u32, b: u32| ((x * a + y * b + seed * 31) % 256) as u8;
                Rgb([wave(3, seed + 1) / 2 + 90, wave(seed + 2, 5), wave(x * seed, 2) / 2 + 80])
            })
        };
        (1..4).map(tile).collect()
    }

    /// Embeds tiles with both engines. Returns the largest length of a difference relative to the descriptor's length,
    /// and the least cosine.
    fn compared(model: impl Fn() -> Model, tiles: &[RgbImage]) -> (f32, f32) {
        let mut ours = load_model(model(), DeviceChoice::Cpu).unwrap();
        let found = ours.encode(tiles).unwrap();
        let mut theirs = network::load_model(model(), DeviceChoice::Cpu).unwrap();
        let expected = theirs.encode(tiles).unwrap();
        assert_eq!(found.values.len(), expected.values.len());
        let (mut difference, mut cosine) = (0.0_f32, 1.0_f32);
        for (found, expected) in found.rows().zip(expected.rows()) {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let apart: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
            let length = dot(expected, expected).sqrt();
            assert!(length > 1e-3, "a descriptor of nothing");
            difference = difference.max(dot(&apart, &apart).sqrt() / length);
            cosine = cosine.min(dot(found, expected) / (length * dot(found, found).sqrt()));
        }
        (difference, cosine)
    }

    fn check(name: &str, model: impl Fn() -> Model, tiles: &[RgbImage]) {
        let (difference, cosine) = compared(model, tiles);
        println!("{name}: difference {difference:.1e}, cosine {cosine:.7}");
        assert!(difference <= 1e-4 && cosine >= 0.999, "{name}: {difference:e}, {cosine}");
    }

    #[test]
    fn encoders_that_ship_answer_as_in_libtorch() {
        if !is_here() {
            return;
        }
        for summary in crate::available().iter().filter(|model| !model.is_own()) {
            let model = || Model::find(&summary.name).unwrap();
            check(&summary.name, model, &tiles(224, 224));
            // Of slides that are coarser than the tiles.
            check(&summary.name, model, &tiles(111, 96));
        }
    }

    #[test]
    fn convolutional_networks_answer_as_in_libtorch() {
        if !is_here() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        for kind in BackboneKind::PUBLISHED.into_iter().chain([BackboneKind::Tiny]) {
            let path = random_network(folder.path(), kind);
            check(kind.name(), || Model::read_single(&path).unwrap(), &tiles(64, 97));
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn transformers_answer_as_in_libtorch() {
        if !is_here() {
            return;
        }
        for (number, (name, model, sizes)) in small_transformers().into_iter().enumerate() {
            let BackboneKind::Vit(architecture) = model.file.backbone else { panic!("{name} is none") };
            let other = (2 * architecture.patch_px as u32, 3 * architecture.patch_px as u32);
            for (width, height) in sizes.into_iter().map(|size| (size, size)).chain([other]) {
                let model = || small_transformers().remove(number).1;
                check(&format!("{name} {width} × {height}"), model, &tiles(width, height));
            }
        }
    }

    #[test]
    fn every_readout_answers_as_in_libtorch() {
        if !is_here() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let weights = random_network(folder.path(), BackboneKind::Tiny);
        let crops = Crops { px: 32, um_per_px: vec![2.0, 1.0] };
        // Both have parameters of the same names.
        let others = [(vec![1, 2], vec![1.0]), (vec![3], vec![])];
        let further_networks = others.map(|(blocks, um_per_px)| FurtherNetwork {
            backbone: BackboneKind::Tiny,
            weights: random_network_of(folder.path(), BackboneKind::Tiny, blocks.len() as u32),
            blocks,
            um_per_px,
            input_mean: [0.498; 3],
            input_std: [0.502; 3],
        });
        let further_networks = further_networks.to_vec();
        let beside = further_networks[1..].to_vec();
        let plain = ModelFile {
            weights,
            preprocessing: Preprocessing { tile_px: 64, mpp: 1.0, ..Preprocessing::default() },
            ..Model::find(DEFAULT).unwrap().file
        };
        let plain = ModelFile {
            name: "plain".into(),
            backbone: BackboneKind::Tiny,
            blocks: Vec::new(),
            head: None,
            ..plain
        };
        let head = |inputs: usize, hidden: Option<usize>| {
            let path = folder.path().join(format!("head {inputs} {hidden:?}.safetensors"));
            let values =
                |count: usize| (0..count).map(|n| (n as f32 * 0.7).sin() * 0.1).collect::<Vec<f32>>();
            let width = hidden.unwrap_or(inputs);
            let (first, last) = (values(width * inputs), values(9 * width));
            let (shift, bias) = (values(width), values(9));
            let mut arrays = vec![
                Array { name: "head.weight", shape: vec![9, width], values: &last },
                Array { name: "head.bias", shape: vec![9], values: &bias },
            ];
            if hidden.is_some() {
                arrays.push(Array { name: "head.hidden.weight", shape: vec![width, inputs], values: &first });
                arrays.push(Array { name: "head.hidden.bias", shape: vec![width], values: &shift });
            }
            weights::write(&path, arrays).unwrap();
            Some(path)
        };
        let hellinger = crate::readout::FeatureScaling::Hellinger;
        let unit = Preprocessing { l2_normalise: true, ..plain.preprocessing.clone() };
        let cases = [
            ("pooled features", plain.clone()),
            ("shares", ModelFile { feature_scaling: hellinger, ..plain.clone() }),
            ("two layers", ModelFile { head: head(64, Some(20)), hidden: Some(20), ..plain.clone() }),
            ("unit length", ModelFile { head: head(64, None), preprocessing: unit, ..plain.clone() }),
            ("blocks", ModelFile { head: head(80, None), blocks: vec![1, 2], ..plain.clone() }),
            (
                "memberships and stain switch",
                ModelFile {
                    head: head(65, None),
                    output: HeadOutput::Memberships,
                    stain_switch: Some(0.7),
                    ..plain.clone()
                },
            ),
            ("views", ModelFile { head: head(128, None), crops: Some(crops.clone()), ..plain.clone() }),
            ("two networks", ModelFile { further_networks: beside, ..plain.clone() }),
            (
                "three networks and two views",
                ModelFile {
                    head: head(128 + 80 + 128, None),
                    crops: Some(crops),
                    further_networks,
                    ..plain.clone()
                },
            ),
        ];
        for (name, file) in cases {
            let model = || Model::assemble(folder.path(), file.clone()).unwrap();
            check(name, model, &tiles(64, 64));
            check(name, model, &tiles(50, 41));
        }
    }
}
