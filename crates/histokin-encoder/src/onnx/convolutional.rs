//! A convolutional network as a computation.

use super::graph::{Graph, Setting, Value};
use crate::EncoderError;
use crate::backbones::BackboneKind;
use crate::backbones::description::{Activation, BlockDescription, Unit};
use crate::parameters::Parameter;

/// Source of parameters by name.
pub(super) type Source<'a> = dyn Fn(&str) -> Result<Parameter, EncoderError> + 'a;

/// A convolutional network whose parameters are taken from a source. Parameters become constants of the computation
/// once, however many views of a tile the network sees.
pub(super) struct Convolutional<'a> {
    pub kind: BackboneKind,
    /// Prefix of the names of its constants, which differs from those of other networks of the computation.
    pub scope: &'a str,
    /// Blocks whose pooled outputs are the features; empty for the last block.
    pub blocks: &'a [usize],
    pub source: &'a Source<'a>,
}

impl Convolutional<'_> {
    /// Adds the features `[N, F]` of images, `[N, 3, H, W]`.
    ///
    /// # Errors
    /// Any error of the source.
    pub fn features(&self, graph: &mut Graph, images: &Value) -> Result<Value, EncoderError> {
        let all = self.kind.blocks();
        let used = self.blocks.last().map_or(all.len(), |last| last + 1);
        let mut x = images.clone();
        let mut pooled = Vec::new();
        for (index, block) in all.iter().enumerate().take(used) {
            x = self.block(graph, &x, block)?;
            if self.blocks.contains(&index) || index + 1 == used {
                pooled.push(graph.mean(&x, &[2, 3]));
            }
        }
        Ok(graph.concatenated(&pooled).unwrap_or(x))
    }

    fn block(&self, graph: &mut Graph, x: &Value, block: &BlockDescription) -> Result<Value, EncoderError> {
        match block {
            BlockDescription::MaxPool => {
                let half = |extent: usize| extent.div_ceil(2);
                let settings = [
                    Setting::Integers("kernel_shape", &[3, 3]),
                    Setting::Integers("strides", &[2, 2]),
                    Setting::Integers("pads", &[1, 1, 1, 1]),
                ];
                let shape = [x.shape[0], half(x.shape[1]), half(x.shape[2])];
                Ok(graph.step("MaxPool", &[&x.name], &settings, x.rows, &shape))
            }
            BlockDescription::Chain(units) => self.chain(graph, x, units),
            BlockDescription::Residual { body, shortcut, activation } => {
                let y = self.chain(graph, x, body)?;
                let beside = match shortcut {
                    Some(unit) => self.unit(graph, x, unit)?,
                    None => x.clone(),
                };
                let sum = graph.alike("Add", &y, &[&beside.name], &[]);
                Ok(activated(graph, sum, *activation))
            }
        }
    }

    fn chain(&self, graph: &mut Graph, x: &Value, units: &[Unit]) -> Result<Value, EncoderError> {
        units.iter().try_fold(x.clone(), |x, unit| self.unit(graph, &x, unit))
    }

    fn unit(&self, graph: &mut Graph, x: &Value, unit: &Unit) -> Result<Value, EncoderError> {
        let geometry = unit.geometry;
        let [weight, bias] = self.folded(graph, unit)?;
        let (kernel, stride) = (geometry.kernel, geometry.stride);
        let around =
            [x.shape[1], x.shape[2]].map(|extent| unit.family.padding.around(extent as i64, geometry));
        let [(top, bottom), (left, right)] = around;
        let out = |extent: usize, (before, after): (i64, i64)| {
            ((extent as i64 + before + after - kernel) / stride + 1).max(0) as usize
        };
        let settings = [
            Setting::Integers("kernel_shape", &[kernel, kernel]),
            Setting::Integers("strides", &[stride, stride]),
            Setting::Integers("pads", &[top, left, bottom, right]),
            Setting::Integer("group", geometry.groups),
        ];
        let shape = [geometry.outputs as usize, out(x.shape[1], around[0]), out(x.shape[2], around[1])];
        let y = graph.step("Conv", &[&x.name, &weight, &bias], &settings, x.rows, &shape);
        Ok(activated(graph, y, unit.activation))
    }

    /// Returns the names of kernels and bias with the batch-norm, a scale and shift per channel, folded into them.
    fn folded(&self, graph: &mut Graph, unit: &Unit) -> Result<[String; 2], EncoderError> {
        let names = ["weight", "bias"].map(|part| format!("{}{}.{part}", self.scope, unit.conv));
        if graph.constants.iter().any(|constant| constant.name == names[0]) {
            return Ok(names);
        }
        let read = |name: &str| (self.source)(&format!("{}.{name}", unit.norm));
        let [scale, shift, mean, variance] =
            [read("weight")?, read("bias")?, read("running_mean")?, read("running_var")?];
        let mut weight = (self.source)(&format!("{}.weight", unit.conv))?;
        let of_channel = (weight.values.len() / scale.values.len().max(1)).max(1);
        let mut biases = Vec::with_capacity(scale.values.len());
        for (channel, kernels) in weight.values.chunks_exact_mut(of_channel).enumerate() {
            let root = (f64::from(variance.values[channel]) + unit.family.norm_epsilon).sqrt();
            let factor = f64::from(scale.values[channel]) / root;
            kernels.iter_mut().for_each(|number| *number = (f64::from(*number) * factor) as f32);
            biases.push((f64::from(shift.values[channel]) - f64::from(mean.values[channel]) * factor) as f32);
        }
        let bias = Parameter { shape: vec![biases.len()], values: biases };
        Ok([graph.parameter(&names[0], weight), graph.parameter(&names[1], bias)])
    }
}

fn activated(graph: &mut Graph, x: Value, activation: Activation) -> Value {
    match activation {
        Activation::None => x,
        Activation::Relu => graph.alike("Relu", &x, &[], &[]),
        Activation::Relu6 => {
            let [least, most] = [0.0, 6.0].map(|bound| graph.shared_number(bound));
            graph.alike("Clip", &x, &[&least, &most], &[])
        }
    }
}
