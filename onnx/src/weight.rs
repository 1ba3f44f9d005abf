//! A tensor that is a weight of a recurrent node.

use crate::constant::{Constant, Stored};
use crate::tensor::{DType, Tensor, TensorData};
use rnnpack::WeightType;
use std::sync::Arc;

/// The inputs that are weights, each with its index among the inputs of a node.
pub(crate) const INPUTS: [(&str, usize); 8] = [
    ("W", 1),
    ("R", 2),
    ("B", 3),
    ("P", 7),
    ("W_scale", 8),
    ("W_zero_point", 9),
    ("R_scale", 10),
    ("R_zero_point", 11),
];

/// The narrow types whose weights a layer widens in registers. A layer whose weights are numbers of such a type has the
/// same bits with it as with f32, and half of the bytes.
pub(crate) const NARROW: [(WeightType, DType); 2] =
    [(WeightType::Bf16, DType::BF16), (WeightType::F16, DType::F16)];

/// The tensor of one of [`INPUTS`].
#[derive(Debug, Clone)]
pub(crate) struct Weight {
    /// The element type of the node's input.
    dtype: DType,
    /// How the file stores it, before a `Cast` or a `DequantizeLinear`.
    pub(crate) stored: Stored,
    /// The numbers. f16 and bf16 are widened to f32; other types are as stored.
    pub(crate) values: Arc<Tensor>,
    /// The index and the value of the first NaN or infinity.
    pub(crate) not_finite: Option<(usize, f64)>,
    /// How many of the values are subnormal.
    subnormal: usize,
    /// For each of [`NARROW`], whether all values are numbers of this type.
    pub(crate) fits: [bool; NARROW.len()],
}

impl Weight {
    pub(crate) fn new(Constant { tensor, stored }: Constant) -> Weight {
        let dtype = tensor.dtype();
        let values = match dtype {
            DType::F16 | DType::BF16 => tensor.to_f32().map_or(tensor, Arc::new),
            _ => tensor,
        };
        let (not_finite, subnormal) = match values.data() {
            TensorData::F32(v) => (first_not_finite(v.iter().map(|&x| x.into())), subnormal(v)),
            TensorData::F64(v) => (first_not_finite(v.iter().copied()), subnormal(v)),
            _ => (None, 0),
        };
        let fits = NARROW.map(|(narrow, _)| values.as_slice::<f32>().is_some_and(|v| is_exact(v, narrow)));
        Weight { dtype, stored, values, not_finite, subnormal, fits }
    }

    /// The bytes of the widened copy, 0 if there is none. They come on top of the tensor that this was built from.
    pub(crate) fn widened_bytes(&self) -> usize {
        if self.values.dtype() == self.dtype { 0 } else { self.values.bytes() }
    }

    /// The type in which the file stores all elements. `None` if parts are stored in several types.
    pub(crate) fn stored_type(&self) -> Option<DType> {
        // The type of such parts is that of the tensor, which is wider than some of them.
        let parts = self.stored.dtype == self.dtype
            && self.stored.bytes < self.values.data().len().saturating_mul(self.dtype.size());
        (!parts).then_some(self.stored.dtype)
    }

    /// How many elements are subnormal in the type in which the layer computes.
    pub(crate) fn subnormal(&self) -> usize {
        self.subnormal
    }

    /// The numbers. f16 and bf16 are widened to f32; other types are as stored.
    pub(crate) fn tensor(&self) -> &Tensor {
        &self.values
    }

    pub(crate) fn dims(&self) -> &[usize] {
        self.values.dims()
    }

    /// The element type of the node's input.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }
}

fn first_not_finite(values: impl Iterator<Item = f64>) -> Option<(usize, f64)> {
    values.enumerate().find(|(_, x)| !x.is_finite())
}

pub(crate) fn subnormal<F: rnnpack::Element>(values: &[F]) -> usize {
    values.iter().filter(|x| x.is_subnormal()).count()
}

/// Whether all values are numbers of the type `narrow`.
fn is_exact(values: &[f32], narrow: WeightType) -> bool {
    values.iter().all(|&x| narrow.rounded(x).to_bits() == x.to_bits())
}
