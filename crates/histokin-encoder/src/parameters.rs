//! Parameters of networks as plain numbers, for what runs without libtorch.

use std::collections::BTreeMap;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::tensor::Dtype;

/// Parameters by name.
pub type Parameters = BTreeMap<String, Parameter>;

/// A tensor of a network's parameters: 32-bit numbers in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Extent along each dimension.
    pub shape: Vec<usize>,
    /// As many numbers as the product of `shape`.
    pub values: Vec<f32>,
}

impl Parameter {
    /// Returns the numbers whose little-endian bytes are given, converted to 32 bits.
    ///
    /// # Errors
    /// A message if the numbers are no floating-point numbers, or not as many as `shape` says.
    pub(crate) fn of_bytes(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Result<Self, String> {
        let values: Vec<f32> = match dtype {
            Dtype::F64 => {
                bytes.as_chunks().0.iter().map(|number| f64::from_le_bytes(*number) as f32).collect()
            }
            Dtype::F32 => bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect(),
            Dtype::F16 => {
                let halves: Vec<f16> =
                    bytes.as_chunks().0.iter().map(|number| f16::from_le_bytes(*number)).collect();
                halves.to_f32_vec()
            }
            Dtype::BF16 => {
                let halves: Vec<bf16> =
                    bytes.as_chunks().0.iter().map(|number| bf16::from_le_bytes(*number)).collect();
                halves.to_f32_vec()
            }
            other => return Err(format!("numbers of type {other:?} are not parameters of a network")),
        };
        match values.len() == shape.iter().product::<usize>() {
            true => Ok(Self { shape: shape.to_vec(), values }),
            false => Err(format!("{} numbers are not {shape:?}", values.len())),
        }
    }

    /// Returns the matrix with rows and columns exchanged.
    ///
    /// # Errors
    /// A message if it is no matrix.
    pub(crate) fn transposed(&self) -> Result<Self, String> {
        let [rows, columns] = self.matrix()?;
        let values =
            (0..columns).flat_map(|column| (0..rows).map(move |row| self.values[row * columns + column]));
        Ok(Self { shape: vec![columns, rows], values: values.collect() })
    }

    /// Returns the parts one after the other along the first dimension, as one parameter of the shape `shape`.
    ///
    /// # Errors
    /// A message if they are not as many numbers.
    pub(crate) fn joined(parts: Vec<Self>, shape: &[usize]) -> Result<Self, String> {
        let mut parts = parts.into_iter();
        let mut values = parts.next().map(|part| part.values).unwrap_or_default();
        parts.for_each(|part| values.extend(part.values));
        match values.len() == shape.iter().product::<usize>() {
            true => Ok(Self { shape: shape.to_vec(), values }),
            false => Err(format!("{} numbers are not {shape:?}", values.len())),
        }
    }

    /// Returns the sum of this matrix and the product of `up`, `[rows, rank]`, and `down`, `[rank, columns]`.
    ///
    /// # Errors
    /// A message if the shapes do not fit.
    pub(crate) fn plus_product(mut self, up: &Self, down: &Self) -> Result<Self, String> {
        let ([rows, columns], [up_rows, rank], [down_rank, down_columns]) =
            (self.matrix()?, up.matrix()?, down.matrix()?);
        if (rows, columns, rank) != (up_rows, down_columns, down_rank) {
            return Err(format!("{:?} and {:?} do not multiply to {:?}", up.shape, down.shape, self.shape));
        }
        for (row, of_up) in
            self.values.chunks_exact_mut(columns.max(1)).zip(up.values.chunks_exact(rank.max(1)))
        {
            for (factor, of_down) in of_up.iter().zip(down.values.chunks_exact(columns.max(1))) {
                row.iter_mut().zip(of_down).for_each(|(value, down)| *value += factor * down);
            }
        }
        Ok(self)
    }

    fn matrix(&self) -> Result<[usize; 2], String> {
        <[usize; 2]>::try_from(&self.shape[..]).map_err(|_| format!("{:?} is not a matrix", self.shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(shape: [usize; 2], values: &[f32]) -> Parameter {
        Parameter { shape: shape.to_vec(), values: values.to_vec() }
    }

    #[test]
    fn numbers_of_every_width_are_read() {
        let expected = matrix([1, 2], &[1.5, -2.0]);
        let bytes = |dtype, bytes: Vec<u8>| Parameter::of_bytes(dtype, &[1, 2], &bytes);
        let of = |to: fn(f32) -> Vec<u8>| [1.5, -2.0].into_iter().flat_map(to).collect::<Vec<u8>>();
        assert_eq!(bytes(Dtype::F32, of(|x| x.to_le_bytes().into())), Ok(expected.clone()));
        assert_eq!(bytes(Dtype::F64, of(|x| f64::from(x).to_le_bytes().into())), Ok(expected.clone()));
        assert_eq!(bytes(Dtype::F16, of(|x| f16::from_f32(x).to_le_bytes().into())), Ok(expected.clone()));
        assert_eq!(bytes(Dtype::BF16, of(|x| bf16::from_f32(x).to_le_bytes().into())), Ok(expected));
        assert!(bytes(Dtype::I64, vec![0; 16]).unwrap_err().contains("I64"));
        assert!(bytes(Dtype::F32, vec![0; 4]).is_err());
    }

    #[test]
    fn matrices_are_turned_joined_and_changed() {
        let wide = matrix([2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(wide.transposed().unwrap(), matrix([3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        let joined =
            Parameter::joined(vec![matrix([1, 2], &[1.0, 2.0]), matrix([1, 2], &[3.0, 4.0])], &[2, 2]);
        assert_eq!(joined, Ok(matrix([2, 2], &[1.0, 2.0, 3.0, 4.0])));
        let (up, down) = (matrix([2, 1], &[1.0, 10.0]), matrix([1, 3], &[1.0, 0.0, 2.0]));
        let changed = wide.clone().plus_product(&up, &down).unwrap();
        assert_eq!(changed.values, [2.0, 2.0, 5.0, 14.0, 5.0, 26.0]);
        assert!(wide.plus_product(&down, &up).is_err());
    }
}
