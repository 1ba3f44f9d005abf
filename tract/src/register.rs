//! Registers the recurrent operators in a program's own tract.

use crate::recurrent_node;
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
    for op in [RecurrentOp::Lstm, RecurrentOp::Gru, RecurrentOp::Rnn] {
        onnx.op_register.insert(op.name(), recurrent_node::build);
    }
}
