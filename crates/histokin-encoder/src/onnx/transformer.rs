//! A vision transformer as a computation.
//!
//! Tokens of all tiles are the rows of one matrix, so that layers are products of matrices with a bias. LayerScale's
//! factors are multiplied into the layers before them, and the attention's scale into the queries.

use super::convolutional::Source;
use super::graph::{Graph, Setting, Value};
use crate::EncoderError;
use crate::backbones::vit::{VitActivation, VitArchitecture, VitOutput};
use crate::parameters::Parameter;

/// A vision transformer whose parameters, named as in timm, are taken from a source. Parameters become constants of the
/// computation once, however many views of a tile the network sees.
pub(super) struct Transformer<'a> {
    pub architecture: VitArchitecture,
    pub source: &'a Source<'a>,
}

impl Transformer<'_> {
    /// Adds the features `[N, F]` of images, `[N, 3, H, W]`, whose edges are multiples of the patch.
    ///
    /// # Errors
    /// Any error of the source.
    pub fn features(&self, graph: &mut Graph, images: &Value) -> Result<Value, EncoderError> {
        let VitArchitecture { depth, .. } = self.architecture;
        let patches = [1, 2].map(|axis| images.shape[axis] / self.architecture.patch_px);
        let tokens = patches[0] * patches[1] + self.architecture.prefix_tokens();
        let mut x = self.embedded(graph, images, patches)?;
        if self.architecture.pre_norm {
            x = self.norm(graph, &x, "norm_pre")?;
        }
        for number in 0..depth {
            let path = format!("blocks.{number}");
            let normed = self.norm(graph, &x, &format!("{path}.norm1"))?;
            let change = self.attention(graph, &normed, &path, tokens)?;
            x = graph.alike("Add", &x, &[&change.name], &[]);
            let normed = self.norm(graph, &x, &format!("{path}.norm2"))?;
            let change = self.perceptron(graph, &normed, &path)?;
            x = graph.alike("Add", &x, &[&change.name], &[]);
        }
        self.taken_out(graph, &x, tokens)
    }

    /// Adds the tokens, `[N · tokens, W]`.
    fn embedded(
        &self,
        graph: &mut Graph,
        images: &Value,
        [rows, columns]: [usize; 2],
    ) -> Result<Value, EncoderError> {
        let VitArchitecture { width, patch_px, grid, patch_bias, resampling, .. } = self.architecture;
        let patch = patch_px as i64;
        let weight = self.constant(graph, "patch_embed.proj.weight")?;
        let bias = patch_bias.then(|| self.constant(graph, "patch_embed.proj.bias")).transpose()?;
        let inputs: Vec<&str> = [images.name.as_str(), &weight].into_iter().chain(bias.as_deref()).collect();
        let settings = [
            Setting::Integers("kernel_shape", &[patch, patch]),
            Setting::Integers("strides", &[patch, patch]),
        ];
        let x = graph.step("Conv", &inputs, &settings, 1, &[width, rows, columns]);
        let all = rows * columns;
        let x = graph.reshape(&x, 1, &[width, all]);
        let turned = [Setting::Integers("perm", &[0, 2, 1])];
        let patches = graph.step("Transpose", &[&x.name], &turned, 1, &[all, width]);

        let learned = (self.source)("pos_embed")?.values;
        let (of_prefix, of_patches) = learned.split_at(self.architecture.prefix_positions() * width);
        let positions = || resampling.adapted(of_patches, grid, [rows, columns]);
        let positions = graph.once(&format!("pos_embed {rows} × {columns}"), &[1, all, width], positions);
        let patches = graph.alike("Add", &patches, &[&positions], &[]);
        let count = self.architecture.prefix_tokens();
        let tokens = match self.prefix(of_prefix)? {
            prefix if prefix.is_empty() => patches,
            prefix => {
                let prefix = graph.once("cls_token + reg_token", &[1, count, width], || prefix);
                let tiles = [Setting::Integer("start", 0), Setting::Integer("end", 1)];
                let tiles = graph.node("Shape", &[&images.name], &tiles);
                let others = graph.integers(&[count as i64, width as i64]);
                let shape = graph.node("Concat", &[&tiles, &others], &[Setting::Integer("axis", 0)]);
                let prefix = graph.step("Expand", &[&prefix, &shape], &[], 1, &[count, width]);
                graph.concatenated(&[prefix, patches.clone()]).unwrap_or(patches)
            }
        };
        Ok(graph.reshape(&tokens, all + count, &[width]))
    }

    /// Returns class token and registers, those with a learned position with theirs added.
    fn prefix(&self, positions: &[f32]) -> Result<Vec<f32>, EncoderError> {
        let mut tokens = Vec::new();
        if self.architecture.class_token {
            tokens.extend((self.source)("cls_token")?.values);
        }
        if self.architecture.registers > 0 {
            tokens.extend((self.source)("reg_token")?.values);
        }
        tokens.iter_mut().zip(positions).for_each(|(token, position)| *token += position);
        Ok(tokens)
    }

    fn attention(
        &self,
        graph: &mut Graph,
        x: &Value,
        path: &str,
        tokens: usize,
    ) -> Result<Value, EncoderError> {
        let VitArchitecture { width, heads, qkv_bias, .. } = self.architecture;
        let of_head = width / heads;
        let scale = (1.0 / (of_head as f64).sqrt()) as f32;
        let scaled =
            |parameter: Parameter| with_factors(parameter, |row| if row < width { scale } else { 1.0 });
        let name = format!("{path}.attn.qkv");
        let weight = self.changed(graph, &format!("{name}.weight"), &scaled)?;
        let bias = qkv_bias.then(|| self.changed(graph, &format!("{name}.bias"), &scaled)).transpose()?;
        let qkv = graph.linear(x, &weight, bias.as_deref(), 3 * width);
        let qkv = graph.reshape(&qkv, 1, &[tokens, 3 * width]);
        let parts = graph.node_of_many(
            "Split",
            &[&qkv.name],
            &[Setting::Integer("axis", 2), Setting::Integer("num_outputs", 3)],
            3,
        );
        let by_head = |graph: &mut Graph, part: &str, order: &[i64], shape: &[usize]| {
            let part = graph.known(part.to_owned(), 1, &[tokens, width]);
            let part = graph.reshape(&part, 1, &[tokens, heads, of_head]);
            graph.step("Transpose", &[&part.name], &[Setting::Integers("perm", order)], 1, shape)
        };
        let queries = by_head(graph, &parts[0], &[0, 2, 1, 3], &[heads, tokens, of_head]);
        let keys = by_head(graph, &parts[1], &[0, 2, 3, 1], &[heads, of_head, tokens]);
        let values = by_head(graph, &parts[2], &[0, 2, 1, 3], &[heads, tokens, of_head]);
        let likeness = graph.step("MatMul", &[&queries.name, &keys.name], &[], 1, &[heads, tokens, tokens]);
        let shares = graph.alike("Softmax", &likeness, &[], &[Setting::Integer("axis", -1)]);
        let found = graph.step("MatMul", &[&shares.name, &values.name], &[], 1, &[heads, tokens, of_head]);
        let back = [Setting::Integers("perm", &[0, 2, 1, 3])];
        let found = graph.step("Transpose", &[&found.name], &back, 1, &[tokens, heads, of_head]);
        let found = graph.reshape(&found, tokens, &[width]);
        self.scaled_linear(graph, &found, &format!("{path}.attn.proj"), &format!("{path}.ls1.gamma"))
    }

    fn perceptron(&self, graph: &mut Graph, x: &Value, path: &str) -> Result<Value, EncoderError> {
        let VitArchitecture { hidden, gated, activation, .. } = self.architecture;
        let first = if gated { 2 * hidden } else { hidden };
        let y = self.linear(graph, x, &format!("{path}.mlp.fc1"), first, true)?;
        let y = match gated {
            false => activated(graph, &y, activation),
            true => {
                let halves = graph.node_of_many(
                    "Split",
                    &[&y.name],
                    &[Setting::Integer("axis", 1), Setting::Integer("num_outputs", 2)],
                    2,
                );
                let [gate, gated] = [0, 1].map(|half| graph.known(halves[half].clone(), y.rows, &[hidden]));
                let gate = activated(graph, &gate, activation);
                graph.alike("Mul", &gate, &[&gated.name], &[])
            }
        };
        self.scaled_linear(graph, &y, &format!("{path}.mlp.fc2"), &format!("{path}.ls2.gamma"))
    }

    /// Pools the tokens after the last block: `[N, F]`.
    fn taken_out(&self, graph: &mut Graph, x: &Value, tokens: usize) -> Result<Value, EncoderError> {
        let VitArchitecture { width, output, final_norm, pooled_norm, projection, .. } = self.architecture;
        let normed = |graph: &mut Graph, x: Value, name: &str, is_there: bool| match is_there {
            true => self.norm(graph, &x, name),
            false => Ok(x),
        };
        let class = |graph: &mut Graph, x: &Value| {
            let x = graph.reshape(x, 1, &[tokens, width]);
            let first = graph.integer(0);
            let class = [Setting::Integer("axis", 1)];
            let class = graph.step("Gather", &[&x.name, &first], &class, 1, &[width]);
            normed(graph, class, "norm", final_norm)
        };
        let mean = |graph: &mut Graph, x: &Value| {
            let x = normed(graph, x.clone(), "norm", final_norm)?;
            let x = graph.reshape(&x, 1, &[tokens, width]);
            let patches = graph.narrowed(&x, self.architecture.prefix_tokens(), tokens);
            Ok::<_, EncoderError>(graph.mean(&patches, &[1]))
        };
        match output {
            VitOutput::Class => {
                let class = class(graph, x)?;
                normed(graph, class, "fc_norm", pooled_norm)
            }
            VitOutput::Mean => {
                let mean = mean(graph, x)?;
                normed(graph, mean, "fc_norm", pooled_norm)
            }
            VitOutput::ClassAndMean => {
                let both = [class(graph, x)?, mean(graph, x)?];
                Ok(graph.concatenated(&both).unwrap_or_else(|| x.clone()))
            }
            VitOutput::Projection => {
                let class = class(graph, x)?;
                let mut y = normed(graph, class, "fc_norm", pooled_norm)?;
                let bias = projection.is_some_and(|projection| projection.bias);
                for (index, [outputs, _]) in self.architecture.projection_layers().into_iter().enumerate() {
                    if index > 0 {
                        y = activated(graph, &y, VitActivation::Gelu);
                    }
                    y = self.linear(graph, &y, &format!("projection.{index}"), outputs, bias)?;
                }
                Ok(y)
            }
        }
    }

    fn norm(&self, graph: &mut Graph, x: &Value, name: &str) -> Result<Value, EncoderError> {
        let weight = self.constant(graph, &format!("{name}.weight"))?;
        let bias = self.constant(graph, &format!("{name}.bias"))?;
        let epsilon = self.architecture.norm_epsilon as f32;
        let settings = [Setting::Integer("axis", -1), Setting::Number("epsilon", epsilon)];
        Ok(graph.alike("LayerNormalization", x, &[&weight, &bias], &settings))
    }

    fn linear(
        &self,
        graph: &mut Graph,
        x: &Value,
        name: &str,
        outputs: usize,
        bias: bool,
    ) -> Result<Value, EncoderError> {
        let weight = self.constant(graph, &format!("{name}.weight"))?;
        let bias = bias.then(|| self.constant(graph, &format!("{name}.bias"))).transpose()?;
        Ok(graph.linear(x, &weight, bias.as_deref(), outputs))
    }

    /// Adds a layer back to the width of a token, with LayerScale's factors in it where there are any.
    fn scaled_linear(
        &self,
        graph: &mut Graph,
        x: &Value,
        name: &str,
        factors: &str,
    ) -> Result<Value, EncoderError> {
        let factors = match self.architecture.layer_scale {
            true => (self.source)(factors)?.values,
            false => vec![1.0; self.architecture.width],
        };
        let scaled = |parameter: Parameter| with_factors(parameter, |row| factors[row]);
        let weight = self.changed(graph, &format!("{name}.weight"), &scaled)?;
        let bias = self.changed(graph, &format!("{name}.bias"), &scaled)?;
        Ok(graph.linear(x, &weight, Some(&bias), self.architecture.width))
    }

    fn constant(&self, graph: &mut Graph, name: &str) -> Result<String, EncoderError> {
        self.changed(graph, name, &|parameter| parameter)
    }

    /// Adds what `change` makes of a parameter, unless it is there.
    fn changed(
        &self,
        graph: &mut Graph,
        name: &str,
        change: &dyn Fn(Parameter) -> Parameter,
    ) -> Result<String, EncoderError> {
        match graph.constants.iter().any(|constant| constant.name == name) {
            true => Ok(name.to_owned()),
            false => Ok(graph.parameter(name, change((self.source)(name)?))),
        }
    }
}

/// Returns the parameter with each row of its first dimension multiplied by a factor.
fn with_factors(mut parameter: Parameter, factor: impl Fn(usize) -> f32) -> Parameter {
    let rows = parameter.shape.first().copied().unwrap_or(1).max(1);
    let length = (parameter.values.len() / rows).max(1);
    for (row, values) in parameter.values.chunks_exact_mut(length).enumerate() {
        let factor = factor(row);
        values.iter_mut().for_each(|value| *value *= factor);
    }
    parameter
}

fn activated(graph: &mut Graph, x: &Value, activation: VitActivation) -> Value {
    let sigmoid = |graph: &mut Graph, of: &Value| {
        let gate = graph.alike("Sigmoid", of, &[], &[]);
        graph.alike("Mul", x, &[&gate.name], &[])
    };
    match activation {
        VitActivation::Gelu => graph.alike("Gelu", x, &[], &[Setting::Text("approximate", "none")]),
        VitActivation::GeluTanh => graph.alike("Gelu", x, &[], &[Setting::Text("approximate", "tanh")]),
        VitActivation::QuickGelu => {
            let factor = graph.shared_number(1.702);
            let scaled = graph.alike("Mul", x, &[&factor], &[]);
            sigmoid(graph, &scaled)
        }
        VitActivation::Silu => sigmoid(graph, x),
        VitActivation::Relu => graph.alike("Relu", x, &[], &[]),
    }
}
