//! Constants: their values, and how the file stores them.

use crate::tensor::{DType, Tensor};
use std::sync::Arc;

/// A constant.
#[derive(Debug, Clone)]
pub(crate) struct Constant {
    pub(crate) tensor: Arc<Tensor>,
    pub(crate) stored: Stored,
}

/// How a file stores the elements of a constant, before operators of the file widen them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Their type; that of the constant, if its parts are stored in several types.
    pub(crate) dtype: DType,
    /// Their bytes, with the scales and zero points that make numbers of integers.
    pub(crate) bytes: usize,
}

impl Constant {
    /// A constant that is stored as it is.
    pub(crate) fn new(tensor: Arc<Tensor>) -> Constant {
        let stored = Stored { dtype: tensor.dtype(), bytes: tensor.data().bytes() };
        Constant { tensor, stored }
    }

    /// What the operator `op` makes of constants by moving, widening or dequantizing elements. A part of a tensor has its
    /// share of the bytes.
    pub(crate) fn made(tensor: Tensor, op: &str, inputs: &[Option<Constant>]) -> Constant {
        // Further inputs say where elements go, or are scales and zero points.
        let elements = if op == "Concat" { inputs } else { &inputs[..inputs.len().min(1)] };
        let read = if op == "DequantizeLinear" { inputs } else { elements };
        let bytes: usize = read.iter().flatten().map(|part| part.stored.bytes).sum();
        let of: usize = elements.iter().flatten().map(|part| part.tensor.data().len()).sum();
        let share = bytes as u128 * tensor.data().len() as u128 / of.max(1) as u128;
        let mut types = elements.iter().flatten().map(|part| part.stored.dtype);
        let first = types.next().filter(|&first| types.all(|other| other == first));
        let dtype = first.unwrap_or(tensor.dtype());
        Constant { tensor: Arc::new(tensor), stored: Stored { dtype, bytes: share as usize } }
    }
}
