//! A computation in the making: nodes are added one after the other, and the shapes of their outputs are followed.

use super::messages::{self, Entry};
use super::messages::{Attribute, AttributeType, DataType, Dimension, Extent, Node, Shape, TensorType, Type};
use crate::parameters::Parameter;

/// Name of the dimension that counts tiles.
pub(super) const BATCH: &str = "tiles";

/// A value of the computation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    /// Its name.
    pub name: String,
    /// Number of rows for each tile: the first dimension is the number of tiles times this.
    pub rows: usize,
    /// Extents of the other dimensions.
    pub shape: Vec<usize>,
}

/// A constant tensor.
#[derive(Debug, Clone)]
pub(crate) struct Constant {
    /// Its name.
    pub name: String,
    /// Extent along each dimension.
    pub shape: Vec<usize>,
    /// Its numbers in row-major order.
    pub numbers: Numbers,
}

/// The numbers of a constant.
#[derive(Debug, Clone)]
pub(crate) enum Numbers {
    /// Floating-point numbers.
    Floats(Vec<f32>),
    /// Whole numbers.
    Integers(Vec<i64>),
}

/// Nodes and constants.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    pub constants: Vec<Constant>,
    pub values: Vec<messages::Value>,
}

/// A setting of an operator.
pub(super) enum Setting<'a> {
    Number(&'a str, f32),
    Integer(&'a str, i64),
    Integers(&'a str, &'a [i64]),
    Text(&'a str, &'a str),
}

impl Setting<'_> {
    fn attribute(&self) -> Attribute {
        let (name, kind) = match self {
            Self::Number(name, _) => (name, AttributeType::Float),
            Self::Integer(name, _) => (name, AttributeType::Int),
            Self::Integers(name, _) => (name, AttributeType::Ints),
            Self::Text(name, _) => (name, AttributeType::String),
        };
        let empty = Attribute { name: (*name).to_owned(), r#type: kind.into(), ..Attribute::default() };
        match self {
            Self::Number(_, number) => Attribute { f: Some(*number), ..empty },
            Self::Integer(_, number) => Attribute { i: Some(*number), ..empty },
            Self::Integers(_, numbers) => Attribute { ints: numbers.to_vec(), ..empty },
            Self::Text(_, text) => Attribute { s: Some(text.as_bytes().to_vec()), ..empty },
        }
    }
}

impl Graph {
    /// Adds a node with one output and returns the output's name.
    pub fn node(&mut self, operator: &str, inputs: &[&str], settings: &[Setting]) -> String {
        self.node_of_many(operator, inputs, settings, 1).remove(0)
    }

    /// Adds a node and returns the names of its outputs.
    pub fn node_of_many(
        &mut self,
        operator: &str,
        inputs: &[&str],
        settings: &[Setting],
        outputs: usize,
    ) -> Vec<String> {
        let name = format!("{operator}_{}", self.nodes.len());
        let output = match outputs {
            1 => vec![name.clone()],
            _ => (0..outputs).map(|index| format!("{name}_{index}")).collect(),
        };
        self.nodes.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: output.clone(),
            name,
            op_type: operator.to_owned(),
            attribute: settings.iter().map(Setting::attribute).collect(),
        });
        output
    }

    /// Adds a node whose output has `rows` rows for each tile and the other dimensions `shape`.
    pub fn step(
        &mut self,
        operator: &str,
        inputs: &[&str],
        settings: &[Setting],
        rows: usize,
        shape: &[usize],
    ) -> Value {
        let name = self.node(operator, inputs, settings);
        self.known(name, rows, shape)
    }

    /// Adds a node whose output has the shape of `x`, its first input.
    pub fn alike(&mut self, operator: &str, x: &Value, others: &[&str], settings: &[Setting]) -> Value {
        let inputs: Vec<&str> = std::iter::once(x.name.as_str()).chain(others.iter().copied()).collect();
        self.step(operator, &inputs, settings, x.rows, &x.shape)
    }

    /// Records the shape of a value.
    pub fn known(&mut self, name: String, rows: usize, shape: &[usize]) -> Value {
        let value = Value { name, rows, shape: shape.to_vec() };
        self.values.push(value.typed(DataType::Float, ""));
        value
    }

    /// Adds numbers under a name of their own, such as that of a parameter.
    pub fn parameter(&mut self, name: &str, Parameter { shape, values }: Parameter) -> String {
        self.constants.push(Constant { name: name.to_owned(), shape, numbers: Numbers::Floats(values) });
        name.to_owned()
    }

    /// Adds numbers under a name of their own unless they are there, and returns the name.
    pub fn once(&mut self, name: &str, shape: &[usize], values: impl FnOnce() -> Vec<f32>) -> String {
        match self.constants.iter().any(|constant| constant.name == name) {
            true => name.to_owned(),
            false => self.parameter(name, Parameter { shape: shape.to_vec(), values: values() }),
        }
    }

    /// Returns the name of a constant of one number.
    pub fn shared_number(&mut self, number: f32) -> String {
        self.once(&format!("number {number:e}"), &[], || vec![number])
    }

    /// Adds a list of whole numbers, and returns its name.
    pub fn integers(&mut self, values: &[i64]) -> String {
        let name = format!("constant_{}", self.constants.len());
        let (shape, numbers) = (vec![values.len()], Numbers::Integers(values.to_vec()));
        self.constants.push(Constant { name: name.clone(), shape, numbers });
        name
    }

    /// Adds one whole number, not a list, and returns its name.
    pub fn integer(&mut self, value: i64) -> String {
        let name = format!("constant_{}", self.constants.len());
        let numbers = Numbers::Integers(vec![value]);
        self.constants.push(Constant { name: name.clone(), shape: Vec::new(), numbers });
        name
    }

    /// Gives `x` another shape: `rows` rows for each tile, of the other dimensions `shape`.
    pub fn reshape(&mut self, x: &Value, rows: usize, shape: &[usize]) -> Value {
        let target: Vec<i64> = std::iter::once(-1).chain(shape.iter().map(|&extent| extent as i64)).collect();
        let target = self.integers(&target);
        self.step("Reshape", &[&x.name, &target], &[], rows, shape)
    }

    /// Applies a matrix `[outputs, inputs]` and a bias to each row of `x`, `[…, inputs]`.
    pub fn linear(&mut self, x: &Value, weight: &str, bias: Option<&str>, outputs: usize) -> Value {
        let inputs: Vec<&str> = [x.name.as_str(), weight].into_iter().chain(bias).collect();
        self.step("Gemm", &inputs, &[Setting::Integer("transB", 1)], x.rows, &[outputs])
    }

    /// Concatenates values along their second dimension.
    pub fn concatenated(&mut self, values: &[Value]) -> Option<Value> {
        let (first, others) = values.split_first()?;
        if others.is_empty() {
            return Some(first.clone());
        }
        let names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
        let mut shape = first.shape.clone();
        shape[0] = values.iter().map(|value| value.shape[0]).sum();
        Some(self.step("Concat", &names, &[Setting::Integer("axis", 1)], first.rows, &shape))
    }

    /// Takes `from..to` of the second dimension of `x`.
    pub fn narrowed(&mut self, x: &Value, from: usize, to: usize) -> Value {
        let mut shape = x.shape.clone();
        shape[0] = to - from;
        let [from, to, axis] = [from as i64, to as i64, 1].map(|number| self.integers(&[number]));
        self.step("Slice", &[&x.name, &from, &to, &axis], &[], x.rows, &shape)
    }

    /// Takes the mean over dimensions of `x`, counted with the first one; they vanish.
    pub fn mean(&mut self, x: &Value, axes: &[i64]) -> Value {
        let kept = (1..).zip(&x.shape).filter(|(axis, _)| !axes.contains(axis)).map(|(_, extent)| *extent);
        let shape: Vec<usize> = kept.collect();
        let axes = self.integers(axes);
        self.step("ReduceMean", &[&x.name, &axes], &[Setting::Integer("keepdims", 0)], x.rows, &shape)
    }
}

impl Value {
    /// Returns the value's name and type.
    pub fn typed(&self, numbers: DataType, doc_string: &str) -> messages::Value {
        let first = match self.rows {
            1 => BATCH.to_owned(),
            rows => format!("{BATCH}*{rows}"),
        };
        let others = self.shape.iter().map(|&extent| Extent::Fixed(extent as i64));
        let dim = std::iter::once(Extent::Named(first)).chain(others);
        let shape = Shape { dim: dim.map(|extent| Dimension { value: Some(extent) }).collect() };
        let tensor = TensorType { elem_type: numbers.into(), shape: Some(shape) };
        messages::Value {
            name: self.name.clone(),
            r#type: Some(Type { tensor_type: Some(tensor) }),
            doc_string: doc_string.to_owned(),
        }
    }
}

impl Constant {
    /// Largest number of numbers of a constant that stays in the model: axes, shapes and factors, which have to be known
    /// before weights are read.
    const MOST_INSIDE: usize = 256;

    /// Returns whether the numbers may lie outside the model.
    pub fn is_weight(&self) -> bool {
        match &self.numbers {
            Numbers::Floats(numbers) => numbers.len() > Self::MOST_INSIDE,
            Numbers::Integers(_) => false,
        }
    }

    /// Returns the length of the numbers in bytes.
    pub fn length(&self) -> usize {
        match &self.numbers {
            Numbers::Floats(numbers) => size_of_val(&numbers[..]),
            Numbers::Integers(numbers) => size_of_val(&numbers[..]),
        }
    }

    /// Returns the numbers' bytes, little-endian as on every processor that the program is built for.
    pub fn bytes(&self) -> &[u8] {
        const { assert!(cfg!(target_endian = "little")) };
        match &self.numbers {
            Numbers::Floats(numbers) => bytemuck::cast_slice(numbers),
            Numbers::Integers(numbers) => bytemuck::cast_slice(numbers),
        }
    }

    /// Returns the tensor without its numbers.
    pub fn declared(&self) -> messages::Tensor {
        let data_type = match self.numbers {
            Numbers::Floats(_) => DataType::Float,
            Numbers::Integers(_) => DataType::Int64,
        };
        messages::Tensor {
            dims: self.shape.iter().map(|&extent| extent as i64).collect(),
            data_type: data_type.into(),
            name: self.name.clone(),
            raw_data: None,
            external_data: Vec::new(),
            data_location: None,
        }
    }

    /// Returns the tensor with its numbers.
    pub fn stored(&self) -> messages::Tensor {
        messages::Tensor { raw_data: Some(self.bytes().to_vec()), ..self.declared() }
    }

    /// Returns the tensor with the place of its numbers in the file `location`.
    pub fn placed(&self, location: &str, offset: usize) -> messages::Tensor {
        let entry = |key: &str, value: String| Entry { key: key.to_owned(), value };
        messages::Tensor {
            external_data: vec![
                entry("location", location.to_owned()),
                entry("offset", offset.to_string()),
                entry("length", self.length().to_string()),
            ],
            data_location: Some(messages::DataLocation::External.into()),
            ..self.declared()
        }
    }
}
