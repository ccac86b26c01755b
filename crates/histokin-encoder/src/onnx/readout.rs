//! A readout as a computation: scaling, nuclear stain, head, output, and unit length.

use super::graph::{Graph, Setting, Value};
use super::messages::DataType;
use crate::model::ModelFile;
use crate::parameters::{Parameter, Parameters};
use crate::readout::{DARKEST_ONE_IN, FeatureScaling, HeadOutput};

/// Adds the descriptors `[N, D]` of pooled features `[N, F]`. `tiles` is the input, bytes `[N, S, S, 3]`, and `head` the
/// parameters of the head, if there is one.
pub(super) fn descriptors(
    graph: &mut Graph,
    file: &ModelFile,
    pooled: Value,
    tiles: &Value,
    head: Option<Parameters>,
) -> Value {
    let mut features = match file.feature_scaling {
        FeatureScaling::None => pooled,
        FeatureScaling::Hellinger => hellinger(graph, &pooled),
    };
    if file.stain_switch.is_some() {
        let stain = nuclear_stain(graph, tiles);
        features = graph.concatenated(&[features.clone(), stain]).unwrap_or(features);
    }
    let described = match head {
        None => features,
        Some(head) => headed(graph, file, features, head),
    };
    match file.preprocessing.l2_normalise {
        false => described,
        true => unit_length(graph, &described),
    }
}

fn headed(graph: &mut Graph, file: &ModelFile, features: Value, head: Parameters) -> Value {
    let named = |(name, parameter): (String, Parameter)| {
        let outputs = parameter.shape[0];
        (graph.parameter(&name, parameter), outputs)
    };
    // In alphabetical order: head.bias, head.hidden.bias, head.hidden.weight, head.weight.
    let layers: Vec<(String, usize)> = head.into_iter().map(named).collect();
    let answer = match &layers[..] {
        [(bias, _), (hidden_bias, _), (hidden, between), (weight, outputs)] => {
            let first = graph.linear(&features, hidden, Some(hidden_bias), *between);
            let first = graph.alike("Relu", &first, &[], &[]);
            graph.linear(&first, weight, Some(bias), *outputs)
        }
        [(bias, _), (weight, outputs)] => graph.linear(&features, weight, Some(bias), *outputs),
        _ => features,
    };
    let Some(height) = file.stain_switch else { return outputs_of(graph, answer, file.output) };
    let others = answer.shape[0] - 1;
    let switch = graph.narrowed(&answer, others, others + 1);
    let switch = graph.alike("Tanh", &switch, &[], &[]);
    let height = graph.shared_number(height);
    let switch = graph.alike("Mul", &switch, &[&height], &[]);
    let rest = graph.narrowed(&answer, 0, others);
    let rest = outputs_of(graph, rest, file.output);
    graph.concatenated(&[rest, switch.clone()]).unwrap_or(switch)
}

fn outputs_of(graph: &mut Graph, answer: Value, output: HeadOutput) -> Value {
    match output {
        HeadOutput::Linear => answer,
        HeadOutput::Memberships => {
            let logarithms = graph.alike("LogSoftmax", &answer, &[], &[Setting::Integer("axis", 1)]);
            let half = graph.shared_number(0.5);
            let halves = graph.alike("Mul", &logarithms, &[&half], &[]);
            graph.alike("Exp", &halves, &[], &[])
        }
    }
}

fn hellinger(graph: &mut Graph, features: &Value) -> Value {
    let sum = of_row(graph, "ReduceSum", features);
    let shares = divided(graph, features, &sum);
    graph.alike("Sqrt", &shares, &[], &[])
}

/// Scales rows to length 1; a row of zeros stays one.
fn unit_length(graph: &mut Graph, x: &Value) -> Value {
    let length = of_row(graph, "ReduceL2", x);
    divided(graph, x, &length)
}

fn of_row(graph: &mut Graph, operator: &str, x: &Value) -> Value {
    let axis = graph.integers(&[1]);
    graph.step(operator, &[&x.name, &axis], &[Setting::Integer("keepdims", 1)], x.rows, &[1])
}

/// Divides by a number for each row, which is raised to the least that can be divided by.
fn divided(graph: &mut Graph, x: &Value, by: &Value) -> Value {
    let least = graph.shared_number(f32::MIN_POSITIVE);
    let by = graph.alike("Max", by, &[&least], &[]);
    graph.alike("Div", x, &[&by.name], &[])
}

/// Adds the red absorbance that a tenth of the pixels exceed, `[N, 1]`, from every second pixel of every second row of
/// tiles, bytes `[N, S, S, 3]`.
fn nuclear_stain(graph: &mut Graph, tiles: &Value) -> Value {
    let extents = [tiles.shape[0], tiles.shape[1]];
    let half = extents.map(|extent| extent.div_ceil(2));
    let pixels = half[0] * half[1];
    let starts = graph.integers(&[0, 0, 0]);
    let ends = graph.integers(&[extents[0] as i64, extents[1] as i64, 1]);
    let axes = graph.integers(&[1, 2, 3]);
    let steps = graph.integers(&[2, 2, 1]);
    let red = graph.node("Slice", &[&tiles.name, &starts, &ends, &axes, &steps], &[]);
    let to = [Setting::Integer("to", DataType::Float as i64)];
    let red = graph.step("Cast", &[&red], &to, 1, &[half[0], half[1], 1]);
    let red = graph.reshape(&red, 1, &[pixels]);
    let count = pixels / DARKEST_ONE_IN as usize + 1;
    let count_name = graph.integers(&[count as i64]);
    let settings =
        [Setting::Integer("axis", 1), Setting::Integer("largest", 0), Setting::Integer("sorted", 1)];
    let darkest = graph.node_of_many("TopK", &[&red.name, &count_name], &settings, 2).remove(0);
    let darkest = graph.known(darkest, 1, &[count]);
    let red = graph.narrowed(&darkest, count - 1, count);
    // Intensities are 1/256 to 1, so the absorbance of black is finite.
    let [one, part] = [1.0, 1.0 / 256.0].map(|number| graph.shared_number(number));
    let light = graph.alike("Add", &red, &[&one], &[]);
    let light = graph.alike("Mul", &light, &[&part], &[]);
    let logarithm = graph.alike("Log", &light, &[], &[]);
    graph.alike("Neg", &logarithm, &[], &[])
}
