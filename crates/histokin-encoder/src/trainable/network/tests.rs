//! Tests of networks in training.

use super::*;
use crate::engine::Engine;

fn plan(depth: Depth) -> NetworkPlan {
    NetworkPlan {
        backbone: BackboneKind::Tiny,
        start: Start::Random,
        head: HeadKind::Init,
        width: 8,
        depth,
        batch_statistics: true,
        l2_normalise: false,
        tiles: TileSettings { tile_px: 32, mpp: 2.0 },
        seed: 3,
        device: DeviceChoice::Cpu,
    }
}

fn tiles() -> Vec<RgbImage> {
    (0..4)
        .map(|seed| RgbImage::from_fn(32, 32, |x, y| image::Rgb([(x * 7) as u8, (y * seed * 5) as u8, 90])))
        .collect()
}

#[test]
fn only_what_is_not_frozen_learns() {
    let count = |depth| TrainableNetwork::new(&plan(depth)).unwrap().learning().len();
    // For each of four blocks a kernel and the batch-norm's scale and shift; weight and bias of the head.
    assert_eq!([Depth::Head, Depth::Last(1), Depth::All].map(count), [2, 5, 14]);
    let network = TrainableNetwork::new(&plan(Depth::Last(1))).unwrap();
    let images = network.images(&tiles()).unwrap();
    network.forward(&images).unwrap().square().sum(Kind::Float).backward();
    for (name, variable) in network.variables() {
        let learns = name.starts_with("head.") || (name.starts_with("tiny.3") && !name.contains("running"));
        assert_eq!(variable.grad().defined(), learns, "{name}");
    }
}

#[test]
fn one_seed_gives_one_network() {
    let weights = |seed| {
        let network = TrainableNetwork::new(&NetworkPlan { seed, ..plan(Depth::All) }).unwrap();
        network.variables()["tiny.2.conv.weight"].copy()
    };
    assert_eq!(weights(5), weights(5));
    assert_ne!(weights(5), weights(6));
}

#[test]
fn a_written_network_is_an_encoder_and_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.safetensors");
    let network = TrainableNetwork::new(&plan(Depth::All)).unwrap();
    let id = network.write(&path, "mine").unwrap();
    let which = path.to_str().unwrap();
    let mut loaded = crate::load_in(which, DeviceChoice::Cpu, Engine::Torch).unwrap();
    let spec = loaded.spec().clone();
    assert_eq!((spec.id, spec.name.as_str(), spec.width), (id.clone(), "mine", 8));
    assert_eq!((spec.tiles.tile_px, spec.tiles.mpp), (32, 2.0));
    assert_eq!(crate::spec(which).unwrap().id, id);
    let expected = network.encoder().unwrap().encode(&tiles()).unwrap();
    assert_eq!(loaded.encode(&tiles()).unwrap().values, expected.values);

    let again = TrainableNetwork::new(&NetworkPlan {
        start: Start::From(which.to_owned()),
        seed: 99,
        ..plan(Depth::Head)
    });
    assert_eq!(again.unwrap().variables()["head.weight"], network.variables()["head.weight"]);
    let wider = NetworkPlan { start: Start::From(which.to_owned()), width: 9, ..plan(Depth::Head) };
    assert!(TrainableNetwork::new(&wider).is_ok());
    let other = NetworkPlan { backbone: BackboneKind::Resnet18, ..wider };
    let text = TrainableNetwork::new(&other).err().unwrap().to_string();
    assert!(text.contains("Tiny") && text.contains("ResNet-18"), "{text}");
}

#[test]
fn heads_of_every_kind_are_written_read_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    for head in [HeadKind::Linear, HeadKind::TwoLayers, HeadKind::Prototypes] {
        let path = folder.path().join(format!("{head:?}.safetensors"));
        let plan = NetworkPlan { head, batch_statistics: false, ..plan(Depth::Head) };
        let network = TrainableNetwork::new(&plan).unwrap();
        let parameters = network.learning().len();
        assert_eq!(parameters, if head == HeadKind::TwoLayers { 4 } else { 2 }, "{head:?}");
        // Features that were computed before give the same descriptors.
        let images = network.images(&tiles()).unwrap();
        let pooled = network.pooled(&images).unwrap();
        let apart =
            network.forward_pooled(pooled.shallow_clone()).unwrap() - network.forward(&images).unwrap();
        assert!(apart.abs().max().double_value(&[]) < 1e-5, "{head:?}");
        network.write(&path, "mine").unwrap();
        let which = path.to_str().unwrap();
        let used = crate::load(which, DeviceChoice::Cpu).unwrap().encode(&tiles()).unwrap().values;
        let described = network.described(&pooled).unwrap().values;
        assert!(described.iter().zip(&used).all(|(a, b)| (a - b).abs() < 1e-4), "{head:?}");
        for kind in [HeadKind::Init, head] {
            let start = Start::From(which.to_owned());
            let again = NetworkPlan { head: kind, start, seed: 99, ..plan.clone() };
            let again = TrainableNetwork::new(&again).unwrap();
            assert_eq!(
                again.variables()["head.weight"],
                network.variables()["head.weight"],
                "{head:?} {kind:?}"
            );
            assert!(!again.needs_prototypes());
        }
    }
    let which = folder.path().join("TwoLayers.safetensors").to_str().unwrap().to_owned();
    let other = NetworkPlan { head: HeadKind::Prototypes, start: Start::From(which), ..plan(Depth::Head) };
    assert!(TrainableNetwork::new(&other).unwrap().needs_prototypes());
}

#[test]
fn learning_features_without_batch_statistics_are_those_of_use() {
    let network =
        TrainableNetwork::new(&NetworkPlan { batch_statistics: false, ..plan(Depth::All) }).unwrap();
    let learning = network.forward(&network.images(&tiles()).unwrap()).unwrap();
    let learning = Vec::<f32>::try_from(learning.detach().flatten(0, 1)).unwrap();
    let used = network.encoder().unwrap().encode(&tiles()).unwrap().values;
    assert!(!used.is_empty() && learning.len() == used.len());
    assert!(learning.iter().zip(&used).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn weights_that_nobody_ships_say_where_they_come_from() {
    let plan = NetworkPlan { backbone: BackboneKind::Resnet34, start: Start::ImageNet, ..plan(Depth::All) };
    let text = TrainableNetwork::new(&plan).err().unwrap().to_string();
    assert!(text.contains("resnet34") && text.contains("--init"), "{text}");
}

#[test]
fn a_model_of_several_networks_is_used_but_not_trained() {
    let folder = tempfile::tempdir().unwrap();
    let weights = crate::onnx::tests::random_network(folder.path(), BackboneKind::Tiny);
    let name = weights.file_name().unwrap().to_str().unwrap();
    let text = format!(
        "name = \"two\"\nbackbone = \"tiny\"\nweights = \"{name}\"\n[[further_networks]]\nbackbone = \"tiny\"\n\
         weights = \"{name}\"\ninput_mean = [0.4, 0.4, 0.4]\ninput_std = [0.5, 0.5, 0.5]\n"
    );
    std::fs::write(folder.path().join(crate::model::MODEL_FILE), text).unwrap();
    let which = folder.path().to_str().unwrap().to_owned();
    let mut encoder = crate::load_in(&which, DeviceChoice::Cpu, Engine::Torch).unwrap();
    assert_eq!(encoder.spec().width, 128);
    let found = encoder.encode(&tiles()).unwrap();
    // The same network with the same weights, but other colours.
    let row = found.rows().next().unwrap();
    assert_eq!(row.len(), 128);
    assert_ne!(row[..64], row[64..]);
    let refused = TrainableNetwork::new(&NetworkPlan { start: Start::From(which), ..plan(Depth::All) });
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("two is made of 2 networks") && refused.contains(name), "{refused}");
}

/// A vision transformer of two blocks of 32 numbers, with random weights, as a library saved it.
fn vit() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vit");
    folder.join("hugging_face_vit.safetensors")
}

fn vit_plan(depth: Depth, from: &Path) -> NetworkPlan {
    let which = from.to_str().unwrap().to_owned();
    let file = crate::describe(&which).unwrap().file;
    NetworkPlan {
        backbone: file.backbone,
        start: Start::From(which),
        tiles: TileSettings { tile_px: 64, mpp: 0.5 },
        batch_statistics: false,
        ..plan(depth)
    }
}

fn vit_tiles() -> Vec<RgbImage> {
    (0..4)
        .map(|seed| {
            RgbImage::from_fn(64, 64, |x, y| image::Rgb([(x * (seed + 3)) as u8, (y * seed * 5) as u8, 90]))
        })
        .collect()
}

/// Pulls the descriptors of the first two tiles together and those of the others apart; returns the losses.
fn learn(network: &TrainableNetwork, steps: usize) -> Vec<f64> {
    let images = network.images(&vit_tiles()).unwrap();
    let step = |_: usize| {
        let found = network.forward(&images).unwrap();
        let apart = |a: i64, b: i64| -> Tensor {
            (found.select(0, a) - found.select(0, b)).square().mean(Kind::Float)
        };
        let [near, far, farther]: [Tensor; 3] = [apart(0, 1), apart(2, 3) - 1.0, apart(0, 2) - 1.0];
        let loss: Tensor = near + far.square() + farther.square();
        loss.backward();
        let _no_grad = tch::no_grad_guard();
        for mut parameter in network.learning().into_values() {
            let mut gradient = parameter.grad();
            // By its sign: the same for features of any size.
            let _ = parameter.f_sub_(&(gradient.sign() * 2e-3)).unwrap();
            let _ = gradient.zero_();
        }
        loss.double_value(&[])
    };
    (0..steps).map(step).collect()
}

fn values(network: &TrainableNetwork) -> Vec<f32> {
    let found = network.forward(&network.images(&vit_tiles()).unwrap()).unwrap();
    Vec::try_from(found.detach().flatten(0, 1)).unwrap()
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
}

#[test]
fn every_depth_of_a_transformer_learns_and_is_loaded_as_it_was_trained() {
    let folder = tempfile::tempdir().unwrap();
    let mut sizes = Vec::new();
    for depth in [Depth::Head, Depth::Lora(4), Depth::Last(1), Depth::All] {
        let network = TrainableNetwork::new(&vit_plan(depth, &vit())).unwrap();
        let losses = learn(&network, 20);
        assert!(losses[19] < 0.9 * losses[0], "{depth}: {losses:?}");
        let path = folder.path().join(format!("{depth}.safetensors"));
        network.write(&path, "trained").unwrap();
        let mut loaded = crate::load(path.to_str().unwrap(), DeviceChoice::Cpu).unwrap();
        let found = loaded.encode(&vit_tiles()).unwrap().values;
        assert!(close(&found, &values(&network)), "{depth}");
        let merged = network.encoder().unwrap().encode(&vit_tiles()).unwrap().values;
        assert!(close(&merged, &values(&network)), "{depth}: a copy of the network");
        sizes.push(std::fs::metadata(&path).unwrap().len());
    }
    assert!(sizes.is_sorted_by(|a, b| a < b), "the less is trained, the less is written: {sizes:?}");
}

#[test]
fn adapters_change_nothing_before_they_are_trained_and_little_of_the_network_then() {
    let plain = TrainableNetwork::new(&vit_plan(Depth::Head, &vit())).unwrap();
    let adapted = TrainableNetwork::new(&vit_plan(Depth::Lora(4), &vit())).unwrap();
    // Both blocks have adapters of two layers of two matrices each; weight and bias of the head.
    assert_eq!(adapted.learning().len(), 2 * 2 * 2 + 2);
    let head = plain.variables();
    let _no_grad = tch::no_grad_guard();
    for name in ["head.weight", "head.bias"] {
        adapted.variables().remove(name).unwrap().f_copy_(&head[name]).unwrap();
    }
    assert_eq!(values(&adapted), values(&plain));
    let convolutional = TrainableNetwork::new(&plan(Depth::Lora(4))).err().unwrap();
    assert!(matches!(convolutional, EncoderError::NotAdaptable { .. }), "{convolutional}");
}

#[test]
fn a_checkpoint_of_adapters_holds_these_alone_and_continues() {
    let network = TrainableNetwork::new(&vit_plan(Depth::Lora(4), &vit())).unwrap();
    learn(&network, 3);
    let kept: Tensors = network.state().iter().map(|(name, tensor)| (name.clone(), tensor.copy())).collect();
    assert!(kept.keys().all(|name| name.starts_with("head.") || name.contains(".lora_")), "{kept:?}");
    let again = TrainableNetwork::new(&vit_plan(Depth::Lora(4), &vit())).unwrap();
    assert_ne!(values(&again), values(&network));
    again.restore(&kept, Path::new("last.safetensors")).unwrap();
    assert_eq!(values(&again), values(&network));
}

#[test]
fn training_goes_on_from_a_trained_transformer_and_needs_the_weights_below_it() {
    let folder = tempfile::tempdir().unwrap();
    let [base, first, second] =
        ["base", "first", "second"].map(|name| folder.path().join(format!("{name}.safetensors")));
    std::fs::copy(vit(), &base).unwrap();
    let network = TrainableNetwork::new(&vit_plan(Depth::Lora(4), &base)).unwrap();
    learn(&network, 3);
    network.write(&first, "first").unwrap();
    // A second training merges the first into the weights and writes them all.
    let further = TrainableNetwork::new(&vit_plan(Depth::Lora(4), &first)).unwrap();
    assert!(close(&values(&further), &values(&network)));
    learn(&further, 3);
    further.write(&second, "second").unwrap();
    let load = |path: &Path| crate::load(path.to_str().unwrap(), DeviceChoice::Cpu);
    assert!(close(&load(&second).unwrap().encode(&vit_tiles()).unwrap().values, &values(&further)));

    let mut bytes = std::fs::read(&base).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&base, bytes).unwrap();
    let changed = load(&first).err().unwrap().to_string();
    assert!(changed.contains("first.safetensors") && changed.contains("has changed since"), "{changed}");
    std::fs::remove_file(&base).unwrap();
    let lost = load(&first).err().unwrap().to_string();
    assert!(lost.contains("base.safetensors") && lost.contains("no longer there"), "{lost}");
    assert!(load(&second).is_ok());
}
