use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use prost::Message;
use safetensors::tensor::{Dtype, TensorView};

pub(crate) use super::file::write;
use super::messages::{DataLocation, DataType, Extent, Graph, Model as Written, Tensor, Value};
use super::*;
use crate::backbones::vit::{VitActivation, VitOutput};
use crate::model::{FurtherNetwork, ModelFile, SelfDescription};
use crate::weights::Array;

/// Writes random weights of a network to `folder`, with a description, and returns the file's path.
pub(crate) fn random_network(folder: &Path, kind: BackboneKind) -> PathBuf {
    random_network_of(folder, kind, 0)
}

/// Writes random weights as [`random_network`], others for each `seed`.
pub(crate) fn random_network_of(folder: &Path, kind: BackboneKind, seed: u32) -> PathBuf {
    let number = if seed == 0 { String::new() } else { format!(" {seed}") };
    let path = folder.join(format!("{kind}{number}.safetensors"));
    let mut state = seed + 1;
    // Numbers from −1 to 1 by a linear congruential generator.
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / f32::from(1_u16 << 12) / 2048.0 - 1.0
    };
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = kind
        .shapes()
        .into_iter()
        .map(|(name, shape)| {
            let inputs = shape.iter().skip(1).product::<usize>().max(1) as f32;
            let number = |random: f32| match (shape.len(), name.rsplit('.').next()) {
                (4, _) => random * (6.0 / inputs).sqrt(),
                (_, Some("weight" | "running_var")) => 1.0 + 0.4 * random,
                _ => 0.2 * random,
            };
            let count = shape.iter().product();
            let bytes = (0..count).flat_map(|_| number(random()).to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    let description = SelfDescription::plain(kind.to_string(), kind);
    std::fs::write(&path, safetensors::serialize(views, Some(description.to_header())).unwrap()).unwrap();
    path
}

/// A small vision transformer, as a library saved it (`scripts/vit_reference.py`), with the settings that its shapes do
/// not tell.
pub(crate) fn small_transformers() -> Vec<(String, Model, Vec<u32>)> {
    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        file: String,
        sizes: Vec<u32>,
        settings: Settings,
    }
    #[derive(serde::Deserialize)]
    struct Settings {
        heads: usize,
        activation: Option<VitActivation>,
        output: Option<VitOutput>,
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vit");
    let cases = std::fs::read_to_string(folder.join("cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&cases).unwrap();
    let of = |Case { name, file, sizes, settings }: Case| {
        let mut file = Model::read_single(&folder.join(file)).unwrap().file;
        if let BackboneKind::Vit(architecture) = &mut file.backbone {
            architecture.heads = settings.heads;
            architecture.activation = settings.activation.unwrap_or(architecture.activation);
            architecture.output = settings.output.unwrap_or(architecture.output);
        }
        let model = Model::assemble(&folder, file).unwrap();
        (name, model, sizes)
    };
    cases.into_iter().map(of).collect()
}

fn decoded(model: &Model, size: u32) -> Written {
    Written::decode(&Computation::of(model, [size; 2]).unwrap().whole()[..]).unwrap()
}

fn shape_of(value: &Value) -> Vec<String> {
    let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    let extent = |extent: &Extent| match extent {
        Extent::Fixed(extent) => extent.to_string(),
        Extent::Named(name) => name.clone(),
    };
    tensor.shape.as_ref().unwrap().dim.iter().map(|dim| extent(dim.value.as_ref().unwrap())).collect()
}

fn bytes_of(tensor: &Tensor) -> usize {
    let size = if tensor.data_type == i32::from(DataType::Float) { 4 } else { 8 };
    tensor.dims.iter().product::<i64>() as usize * size
}

/// Checks that every value is made once and before it is used, that every constant is used and whole, and that shapes
/// agree with the constants that they meet.
fn check_graph(graph: &Graph) {
    let constants: HashMap<&str, &Tensor> =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    assert_eq!(constants.len(), graph.initializer.len(), "constants of one name");
    let shapes: BTreeMap<&str, Vec<String>> = graph
        .value_info
        .iter()
        .chain(&graph.input)
        .chain(&graph.output)
        .map(|value| (value.name.as_str(), shape_of(value)))
        .collect();
    let mut made: BTreeSet<&str> = BTreeSet::from([INPUT]);
    let mut used = BTreeSet::new();
    for node in &graph.node {
        for input in &node.input {
            assert!(
                made.contains(input.as_str()) || constants.contains_key(input.as_str()),
                "{} takes {input}, which is not made yet",
                node.name
            );
            used.insert(input.as_str());
        }
        for output in &node.output {
            assert!(made.insert(output), "{output} is made twice");
        }
        let (Some(x), Some(y)) = (shapes.get(node.input[0].as_str()), shapes.get(node.output[0].as_str()))
        else {
            continue;
        };
        let dims = |index: usize| -> Option<&Vec<i64>> {
            Some(&constants.get(node.input.get(index)?.as_str())?.dims)
        };
        match node.op_type.as_str() {
            "Gemm" => {
                let weight = dims(1).unwrap();
                assert_eq!((&x[1], &y[1]), (&weight[1].to_string(), &weight[0].to_string()), "{}", node.name);
                assert!(dims(2).is_none_or(|bias| bias[..] == weight[..1]), "{}", node.name);
            }
            "Conv" => {
                let weight = dims(1).unwrap();
                let groups = node.attribute.iter().find(|attribute| attribute.name == "group");
                let groups = groups.and_then(|groups| groups.i).unwrap_or(1);
                assert_eq!((&x[1], &y[1]), (&(weight[1] * groups).to_string(), &weight[0].to_string()));
            }
            "LayerNormalization" => {
                assert_eq!((x.last(), x), (Some(&dims(1).unwrap()[0].to_string()), y), "{}", node.name);
            }
            _ => {}
        }
    }
    assert!(made.contains(OUTPUT));
    assert_eq!(used.iter().filter(|name| constants.contains_key(*name)).count(), constants.len(), "unused");
    for tensor in &graph.initializer {
        assert_eq!(tensor.raw_data.as_ref().unwrap().len(), bytes_of(tensor), "{}", tensor.name);
    }
}

fn count(graph: &Graph, operator: &str) -> usize {
    graph.node.iter().filter(|node| node.op_type == operator).count()
}

#[test]
fn convolutional_networks_are_whole_graphs() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, convolutions) in [
        (BackboneKind::Tiny, 4),
        (BackboneKind::Resnet18, 20),
        (BackboneKind::MobilenetV2, 52),
        (BackboneKind::EfficientnetLite0, 49),
        (BackboneKind::EfficientnetLite1, 64),
        (BackboneKind::EfficientnetLite2, 64),
    ] {
        let model = Model::read_single(&random_network(folder.path(), kind)).unwrap();
        let written = decoded(&model, 96);
        let graph = written.graph.as_ref().unwrap();
        check_graph(graph);
        assert_eq!(count(graph, "Conv"), convolutions, "{kind}");
        assert_eq!(shape_of(&graph.input[0]), ["tiles", "96", "96", "3"]);
        assert_eq!(shape_of(&graph.output[0]), ["tiles".to_owned(), kind.feature_width().to_string()]);
    }
}

#[test]
fn several_networks_are_one_graph() {
    let folder = tempfile::tempdir().unwrap();
    let first = random_network(folder.path(), BackboneKind::Tiny);
    let other = FurtherNetwork {
        backbone: BackboneKind::Tiny,
        weights: random_network_of(folder.path(), BackboneKind::Tiny, 1),
        blocks: vec![0, 2],
        um_per_px: vec![1.0],
        input_mean: [0.5; 3],
        input_std: [0.25; 3],
    };
    let third = FurtherNetwork { um_per_px: Vec::new(), blocks: Vec::new(), ..other.clone() };
    let mut file = Model::read_single(&first).unwrap().file;
    let alone = Model::assemble(folder.path(), file.clone()).unwrap().spec.id;
    file.preprocessing = Preprocessing { tile_px: 64, mpp: 1.0, ..file.preprocessing };
    file.crops = Some(Crops { px: 32, um_per_px: vec![2.0, 1.0] });
    file.further_networks = vec![other.clone(), third];
    let model = Model::assemble(folder.path(), file.clone()).unwrap();
    let written = decoded(&model, 64);
    let graph = written.graph.as_ref().unwrap();
    check_graph(graph);
    // Two views of the first, one of the second up to its third block, two of the third.
    assert_eq!(count(graph, "Conv"), 2 * 4 + 3 + 2 * 4);
    assert_eq!(shape_of(&graph.output[0])[1], (2 * 64 + 16 + 48 + 2 * 64).to_string());
    assert_eq!(model.spec.width, 2 * 64 + 16 + 48 + 2 * 64);

    // Everything about a further network counts for the identity.
    let id = |further: Vec<FurtherNetwork>| {
        let file = ModelFile { further_networks: further, ..file.clone() };
        Model::assemble(folder.path(), file).unwrap().spec.id
    };
    let ids = [
        alone,
        id(Vec::new()),
        id(vec![other.clone()]),
        id(vec![FurtherNetwork { blocks: vec![0], ..other.clone() }]),
        id(vec![FurtherNetwork { um_per_px: vec![2.0], ..other.clone() }]),
        id(vec![FurtherNetwork { input_mean: [0.4; 3], ..other.clone() }]),
        id(vec![FurtherNetwork { input_std: [0.5; 3], ..other.clone() }]),
        id(vec![FurtherNetwork { weights: first, ..other.clone() }]),
    ];
    let different: BTreeSet<&str> = ids.iter().map(|id| id.0.as_str()).collect();
    assert_eq!(different.len(), ids.len());
}

#[test]
fn transformers_are_whole_graphs_at_every_size() {
    for (name, model, sizes) in small_transformers() {
        let BackboneKind::Vit(architecture) = model.file.backbone else { panic!("{name} is none") };
        for size in sizes {
            let written = decoded(&model, size);
            let graph = written.graph.as_ref().unwrap();
            check_graph(graph);
            assert_eq!(count(graph, "Softmax"), architecture.depth, "{name}");
            let outputs = architecture.outputs().to_string();
            assert_eq!(shape_of(&graph.output[0]), ["tiles", outputs.as_str()], "{name}");
        }
        let step = architecture.patch_px as u32;
        let refused = Computation::of(&model, [step + 1, step]).err();
        assert!(matches!(refused, Some(EncoderError::TileSize { .. })), "{name}");
    }
}

#[test]
fn a_model_says_what_it_is_and_what_it_is_not() {
    for which in [crate::DEFAULT, crate::FIRST_DEFAULT] {
        let model = Model::find(which).unwrap();
        let written = decoded(&model, 224);
        assert_eq!((written.ir_version, written.opset_import[0].version), (9, 20));
        let property = |key: &str| {
            let found = written.metadata_props.iter().find(|entry| entry.key == format!("histokin.{key}"));
            found.map(|entry| entry.value.as_str())
        };
        assert_eq!(property("encoder_id"), Some(model.spec.id.0.as_str()));
        assert_eq!((property("tile_px"), property("um_per_px")), (Some("224"), Some("1")));
        let is_lab = model.spec.stain.is_lab();
        assert_eq!(property("stain_normalisation"), Some(if is_lab { "lab" } else { "none" }));
        assert_eq!(property("stain_reference_lab_mean").is_some(), is_lab);
        assert_eq!(written.doc_string.contains("not part of the model"), is_lab);
        let graph = written.graph.as_ref().unwrap();
        check_graph(graph);
        assert_eq!(shape_of(&graph.output[0]), ["tiles", "128"]);
        // The network ends with the last block whose features count.
        assert!(graph.initializer.iter().all(|tensor| !tensor.name.starts_with("features.17")));
    }
}

#[test]
fn large_weights_lie_beside_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::read_single(&random_network(folder.path(), BackboneKind::Tiny)).unwrap();
    let path = folder.path().join("tiny.onnx");
    let inside = write(&model, &path, usize::MAX).unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert_eq!((inside.files, inside.bytes), (vec![path.clone()], whole.len() as u64));
    let whole = Written::decode(&whole[..]).unwrap().graph.unwrap().initializer;

    let beside = write(&model, &path, 1000).unwrap();
    let data = std::fs::read(&beside.files[1]).unwrap();
    assert_eq!(beside.files[1], folder.path().join("tiny.onnx.data"));
    let declared = Written::decode(&std::fs::read(&path).unwrap()[..]).unwrap().graph.unwrap().initializer;
    assert_eq!(declared.len(), whole.len());
    let is_outside = |tensor: &Tensor| tensor.data_location == Some(DataLocation::External.into());
    assert_eq!(declared.iter().filter(|tensor| is_outside(tensor)).count(), 4, "the kernels");
    for (declared, whole) in declared.iter().zip(&whole) {
        if !is_outside(declared) {
            assert_eq!(declared, whole);
            continue;
        }
        let entry = |key: &str| &declared.external_data.iter().find(|entry| entry.key == key).unwrap().value;
        let [offset, length] = ["offset", "length"].map(|key| entry(key).parse::<usize>().unwrap());
        assert_eq!((entry("location").as_str(), length), ("tiny.onnx.data", bytes_of(whole)));
        assert_eq!(Some(&data[offset..offset + length]), whole.raw_data.as_deref(), "{}", whole.name);
    }
}

#[test]
fn a_head_with_a_bias_of_another_length_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let network = random_network(folder.path(), BackboneKind::Tiny);
    let head = folder.path().join("head.safetensors");
    let (weight, bias) = (vec![0.5_f32; 9 * 64], vec![0.5_f32; 8]);
    for shape in [vec![8], vec![2, 4]] {
        let arrays = vec![
            Array { name: "head.weight", shape: vec![9, 64], values: &weight },
            Array { name: "head.bias", shape: shape.clone(), values: &bias },
        ];
        crate::weights::write(&head, arrays).unwrap();
        let file = ModelFile { head: Some(head.clone()), ..Model::read_single(&network).unwrap().file };
        let model = Model::assemble(folder.path(), file).unwrap();
        let refused = Computation::of(&model, [96; 2]).err().unwrap().to_string();
        assert!(refused.contains(&format!("head.bias is {shape:?}, not [9]")), "{refused}");
    }
}

#[test]
fn weights_of_another_network_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = random_network(folder.path(), BackboneKind::Tiny);
    let mut model = Model::read_single(&path).unwrap();
    model.file.backbone = BackboneKind::Resnet18;
    let refused = Computation::of(&model, [96; 2]).err().unwrap().to_string();
    assert!(refused.contains("missing: bn1.bias"), "{refused}");
    let module = folder.path().join("module.pt");
    std::fs::write(&module, "no module").unwrap();
    let refused =
        export(module.to_str().unwrap(), &folder.path().join("module.onnx")).unwrap_err().to_string();
    assert!(refused.contains("TorchScript"), "{refused}");
}
