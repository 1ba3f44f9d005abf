//! The recurrent operators in a program's own tract.

use crate::recurrent_node;
use rnnpack_onnx::RecurrentOp;

/// For programs that use tract themselves: models that `onnx` loads from here on have their `LSTM`, `GRU` and `RNN`
/// nodes on this crate's kernels, on the calling thread. All other operators stay tract's.
///
/// The program's own `tract-onnx` must be the version that this crate is built with. A model that `onnx` loads is
/// tract's like any other: typed, optimized, run and streamed as before. A node that this crate refuses is an error of
/// tract's with a [`rnnpack_onnx::Error`] among its causes.
///
/// [`Model`](crate::Model) does more: it also runs `Loop`, takes over `If`, `Scan` and comparisons, checks the extents
/// of products, knows bfloat16, and checks a file before tract sees it.
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
