//! Encoders as ONNX models, which other programs run without histokin, and ONNX Runtime runs in it.
//!
//! A model takes `tiles`, bytes `[N, S, S, 3]` (row by row, red, green and blue of each pixel) of square tiles of the
//! encoder's size and spacing, and returns `descriptors`, `[N, D]`. It holds everything between them: normalisation of
//! colours, views at several magnifications, network and readout. Stain normalisation, which depends on the whole
//! slide, is not in it; the model's properties tell whether it is needed.
//!
//! It is made from the description of the network and the numbers in its files, without libtorch.

mod convolutional;
mod file;
mod graph;
mod messages;
mod readout;
#[cfg(test)]
pub(crate) mod tests;
mod transformer;

use prost::Message;

use super::EncoderError;
use super::backbones::BackboneKind;
use super::interpolation::{self, Kernel};
use super::model::{Crops, FurtherNetwork, FurtherWeights, Model, Preprocessing};
use super::weight_files::WeightFiles;
use super::weights::differences;
use convolutional::{Convolutional, Source};
use graph::{Graph, Setting, Value};
use messages::{DataType, Entry, OperatorSet};
use transformer::Transformer;

pub use file::{Exported, export};
pub(crate) use graph::Constant;

/// Version of the format: that of ONNX 1.15.
const FORMAT: i64 = 9;

/// Version of the standard's operators: the first with `Gelu`.
const OPERATORS: i64 = 20;

/// Name of the input.
pub(crate) const INPUT: &str = "tiles";

/// Name of the output.
pub(crate) const OUTPUT: &str = "descriptors";

/// An encoder as a computation for tiles of one size.
pub(crate) struct Computation {
    message: messages::Model,
    /// Constants of the computation, which the message does not hold.
    constants: Vec<Constant>,
}

impl Computation {
    /// Describes the encoder for tiles of this height and width in pixels.
    ///
    /// # Errors
    /// [`EncoderError::TileSize`] if patches do not fill the tiles; [`EncoderError::Mismatch`] if the weights are not
    /// those of the network; [`EncoderError`] if a file is damaged.
    pub fn of(model: &Model, size: [u32; 2]) -> Result<Self, EncoderError> {
        let [height, width] = size.map(|edge| edge as usize);
        let tiles = Value { name: INPUT.to_owned(), rows: 1, shape: vec![height, width, 3] };
        let mut graph = Graph::default();
        let images = normalised(&mut graph, &tiles, &model.file.preprocessing);
        let views = views(&mut graph, &images, model.file.crops.as_ref());
        let mut pooled = match model.file.backbone {
            BackboneKind::Vit(architecture) => {
                let step = architecture.patch_px as u32;
                let seen = model.file.crops.as_ref().map_or(size, |crops| [crops.px; 2]);
                if seen.iter().any(|edge| *edge == 0 || !edge.is_multiple_of(step)) {
                    let name = model.spec.name.clone();
                    return Err(EncoderError::TileSize { name, size: (size[1], size[0]), step });
                }
                let weights = model.vit()?;
                weights.check(architecture)?;
                let source: &Source = &|name| weights.parameter(name);
                let network = Transformer { architecture, source };
                views.iter().map(|view| network.features(&mut graph, view)).collect::<Result<Vec<_>, _>>()?
            }
            kind => {
                check(kind, &model.weights, &model.prefix)?;
                let source: &Source = &|name| model.weights.parameter(&format!("{}{name}", model.prefix));
                let network = Convolutional { kind, scope: "", blocks: &model.file.blocks, source };
                views.iter().map(|view| network.features(&mut graph, view)).collect::<Result<Vec<_>, _>>()?
            }
        };
        for (number, network) in (2..).zip(model.further_networks()) {
            pooled.extend(further_features(&mut graph, model, number, network, &views)?);
        }
        let pooled = graph.concatenated(&pooled).unwrap_or(images);
        let found = readout::descriptors(&mut graph, &model.file, pooled, &tiles, model.head_parameters()?);
        let found = Value { name: graph.node("Identity", &[&found.name], &[]), ..found };
        Ok(Self::finished(graph, &tiles, found, model))
    }

    fn finished(mut graph: Graph, tiles: &Value, found: Value, model: &Model) -> Self {
        let output = Value { name: OUTPUT.to_owned(), ..found };
        if let Some(last) = graph.nodes.last_mut() {
            last.output = vec![OUTPUT.to_owned()];
        }
        let graph_message = messages::Graph {
            node: graph.nodes,
            name: model.spec.name.clone(),
            initializer: Vec::new(),
            input: vec![
                tiles.typed(DataType::Uint8, "tiles: rows of pixels of red, green and blue, 0 to 255"),
            ],
            output: vec![output.typed(DataType::Float, "descriptors, one row a tile")],
            value_info: graph.values,
        };
        let message = messages::Model {
            ir_version: FORMAT,
            producer_name: "histokin".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            doc_string: file::description(model),
            graph: Some(graph_message),
            opset_import: vec![OperatorSet { domain: String::new(), version: OPERATORS }],
            metadata_props: file::properties(model)
                .into_iter()
                .map(|(key, value)| Entry { key: format!("histokin.{key}"), value })
                .collect(),
        };
        Self { message, constants: graph.constants }
    }

    /// Returns the length in bytes of all constants.
    pub fn length(&self) -> usize {
        self.constants.iter().map(Constant::length).sum()
    }

    /// Returns the bytes of a model that holds all constants.
    pub fn whole(self) -> Vec<u8> {
        let Self { mut message, constants } = self;
        if let Some(graph) = &mut message.graph {
            graph.initializer = constants.into_iter().map(|constant| constant.stored()).collect();
        }
        message.encode_to_vec()
    }

    /// Returns the bytes of a model that leaves out the weights, and these. They are said to lie in the file `location`,
    /// one after the other.
    pub fn divided(self, location: &str) -> (Vec<u8>, Vec<Constant>) {
        let Self { mut message, constants } = self;
        let (mut outside, mut offset) = (Vec::new(), 0);
        if let Some(graph) = &mut message.graph {
            for constant in constants {
                if constant.is_weight() {
                    graph.initializer.push(constant.placed(location, offset));
                    offset += constant.length();
                    outside.push(constant);
                } else {
                    graph.initializer.push(constant.stored());
                }
            }
        }
        (message.encode_to_vec(), outside)
    }
}

/// Adds the network's input, (x − mean) / std: `[N, 3, S, S]`.
fn normalised(graph: &mut Graph, tiles: &Value, preprocessing: &Preprocessing) -> Value {
    let Preprocessing { input_mean, input_std, .. } = preprocessing;
    let numbers = graph.step(
        "Cast",
        &[&tiles.name],
        &[Setting::Integer("to", DataType::Float as i64)],
        1,
        &tiles.shape,
    );
    let turned = [Setting::Integers("perm", &[0, 3, 1, 2])];
    let pixels = graph.step("Transpose", &[&numbers.name], &turned, 1, &[3, tiles.shape[0], tiles.shape[1]]);
    let scale = input_std.map(|std| 1.0 / (255.0 * std)).to_vec();
    let shift = [0, 1, 2].map(|channel| -input_mean[channel] / input_std[channel]).to_vec();
    let scale = graph.once("input scale", &[1, 3, 1, 1], || scale);
    let shift = graph.once("input shift", &[1, 3, 1, 1], || shift);
    let scaled = graph.alike("Mul", &pixels, &[&scale], &[]);
    graph.alike("Add", &scaled, &[&shift], &[])
}

/// Adds the features of all views that a further network sees. It is the network of this number, counted from 1, and
/// `views` are the input of the first one.
fn further_features(
    graph: &mut Graph,
    model: &Model,
    number: usize,
    (network, weights): (&FurtherNetwork, &FurtherWeights),
    views: &[Value],
) -> Result<Vec<Value>, EncoderError> {
    let kind = network.backbone;
    check(kind, &weights.files, &weights.prefix)?;
    let scope = &format!("network {number}.");
    let source: &Source = &|name| weights.files.parameter(&format!("{}{name}", weights.prefix));
    let computed = Convolutional { kind, scope, blocks: &network.blocks, source };
    let Preprocessing { input_mean, input_std, .. } = model.file.preprocessing;
    let [factor, summand] = network.renormalisation(input_mean, input_std);
    let factor = graph.once(&format!("{scope}input scale"), &[1, 3, 1, 1], || factor.to_vec());
    let summand = graph.once(&format!("{scope}input shift"), &[1, 3, 1, 1], || summand.to_vec());
    let crops = model.file.crops.as_ref();
    let seen: Vec<&Value> = match (crops, network.seen(crops)) {
        (Some(crops), Some(seen)) => {
            let view = |um: &f64| crops.um_per_px.iter().position(|other| other == um).map(|at| &views[at]);
            seen.iter().filter_map(view).collect()
        }
        _ => views.iter().collect(),
    };
    seen.into_iter()
        .map(|view| {
            let scaled = graph.alike("Mul", view, &[&factor], &[]);
            let input = graph.alike("Add", &scaled, &[&summand], &[]);
            computed.features(graph, &input)
        })
        .collect()
}

/// Adds all views of the images; without views, these are the images themselves.
fn views(graph: &mut Graph, images: &Value, crops: Option<&Crops>) -> Vec<Value> {
    let Some(crops) = crops else { return vec![images.clone()] };
    let of_spacing = |um: &f64| {
        let size = [1, 2].map(|axis| crops.edge(images.shape[axis] as u32, *um) as usize);
        view(graph, images, size, crops)
    };
    crops.um_per_px.iter().map(of_spacing).collect()
}

/// Cuts the centre of this height and width out of images, and scales it to the size that networks see.
fn view(graph: &mut Graph, images: &Value, [height, width]: [usize; 2], crops: &Crops) -> Value {
    let px = crops.px as usize;
    let whole = [images.shape[1], images.shape[2]];
    let mut centre = images.clone();
    if [height, width] != whole {
        let first = [(whole[0] - height) / 2, (whole[1] - width) / 2];
        let starts = graph.integers(&first.map(|first| first as i64));
        let ends = graph.integers(&[(first[0] + height) as i64, (first[1] + width) as i64]);
        let axes = graph.integers(&[2, 3]);
        centre = graph.step("Slice", &[&images.name, &starts, &ends, &axes], &[], 1, &[3, height, width]);
    }
    if [height, width] == [px; 2] {
        return centre;
    }
    let weights = |edge: usize| interpolation::antialiased(edge, px, Kernel::Triangle);
    let rows = graph.once(&format!("rows {height} to {px}"), &[px, height], || weights(height));
    let turned = || {
        let weights = weights(width);
        (0..width * px).map(|index| weights[index % px * width + index / px]).collect()
    };
    let columns = graph.once(&format!("columns {width} to {px}"), &[width, px], turned);
    let across = graph.step("MatMul", &[&centre.name, &columns], &[], 1, &[3, height, px]);
    graph.step("MatMul", &[&rows, &across.name], &[], 1, &[3, px, px])
}

/// Checks that the weights whose names have this prefix are those of a convolutional network.
fn check(kind: BackboneKind, files: &WeightFiles, prefix: &str) -> Result<(), EncoderError> {
    let expected = kind.shapes();
    let found = files
        .shapes()
        .filter_map(|(name, shape)| Some((name.strip_prefix(prefix)?.to_owned(), shape.to_vec())));
    match differences(&expected, &found.collect(), |name| kind.is_beside(name), str::to_owned) {
        Some(differences) => Err(EncoderError::Mismatch { path: files.path().to_owned(), differences }),
        None => Ok(()),
    }
}
