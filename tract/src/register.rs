//! Registers the recurrent operators in a program's own tract.

use crate::recurrent_node::{Builder, build};
use rnnpack::Subnormals;
use rnnpack_onnx::RecurrentOp;

/// For programs that use tract directly. In models that `onnx` loads after this call, the `LSTM`, `GRU` and `RNN` nodes
/// run on this crate's kernels, on the calling thread. All other operators remain tract's.
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
    register_with(onnx, Subnormals::Keep);
}

/// [`register`], with a choice of what all these layers do with subnormal numbers. A node for which the choice cannot be
/// kept is refused.
pub fn register_with(onnx: &mut tract_onnx::Onnx, subnormals: Subnormals) {
    /// A builder for each of [`Subnormals::ALL`]. Builders are plain functions, so they cannot capture the choice.
    const BUILDERS: [Builder; Subnormals::ALL.len()] = [build::<0>, build::<1>, build::<2>];
    for op in [RecurrentOp::Lstm, RecurrentOp::Gru, RecurrentOp::Rnn] {
        onnx.op_register.insert(op.name(), BUILDERS[subnormals as usize]);
    }
}
