//! Registers the recurrent operators in a program's own tract.

use crate::recurrent_node::{Builder, build};
use rnnpack::{Subnormals, WeightType};
use rnnpack_onnx::RecurrentOp;

/// For programs that use tract directly. In models that `onnx` loads after this call, the `LSTM`, `GRU`, `RNN` and
/// `DynamicQuantizeLSTM` nodes run on this crate's kernels, on the calling thread. All other operators remain tract's.
///
/// The program's own `tract-onnx` must be the version that this crate is built with. The loaded model is an ordinary
/// tract model: type, optimize, run and stream it as usual. If this crate refuses a node, tract returns an error with a
/// [`rnnpack_onnx::Error`] among its causes.
///
/// [`Model`](crate::Model) does more: it also runs `Loop`, replaces `If`, `Scan` and comparisons, checks the extents of
/// products, supports bfloat16, and checks a file before tract sees it.
///
/// ```no_run
/// use tract_onnx::prelude::*;
/// # fn main() -> TractResult<()> {
/// let mut onnx = tract_onnx::onnx();
/// rnnpack_tract::register(&mut onnx); // the only new line
/// let model = onnx.model_for_path("model.onnx")?.into_optimized()?.into_runnable()?;
/// # Ok(())
/// # }
/// ```
pub fn register(onnx: &mut tract_onnx::Onnx) {
    register_with(onnx, Subnormals::Keep, None);
}

/// [`register`], with a choice of what all these layers do with subnormal numbers, and of the type in which they store W
/// and R. Without a type, they store them as [`rnnpack_onnx::RecurrentNode::with_type`] says. A node for which the choices
/// cannot be kept is refused.
pub fn register_with(onnx: &mut tract_onnx::Onnx, subnormals: Subnormals, weight_type: Option<WeightType>) {
    let of_type = |weight_type| WeightType::ALL.iter().position(|&other| other == weight_type);
    let index = weight_type.and_then(of_type).map_or(0, |index| 1 + index);
    for op in RecurrentOp::ALL {
        onnx.op_register.insert(op.name(), BUILDERS[subnormals as usize][index]);
    }
}

/// The builders of one choice of [`Subnormals`]: without a type of weights, and with each.
type OfTypes = [Builder; 1 + WeightType::ALL.len()];

/// A builder for each choice. Builders are plain functions, so they cannot capture the choice.
const BUILDERS: [OfTypes; Subnormals::ALL.len()] = [builders::<0>(), builders::<1>(), builders::<2>()];

const fn builders<const SUBNORMALS: usize>() -> OfTypes {
    [
        build::<SUBNORMALS, 0>,
        build::<SUBNORMALS, 1>,
        build::<SUBNORMALS, 2>,
        build::<SUBNORMALS, 3>,
        build::<SUBNORMALS, 4>,
        build::<SUBNORMALS, 5>,
    ]
}
