//! The parts of a loaded model.

use crate::value::ValueSpec;
use rnnpack_onnx::NodeDescription;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::TypedSimplePlan;

/// A planned model with its inputs and outputs.
pub(crate) struct Loaded {
    pub(crate) plan: Arc<TypedSimplePlan>,
    pub(crate) inputs: Vec<ValueSpec>,
    pub(crate) outputs: Vec<ValueSpec>,
    pub(crate) nodes: Vec<NodeDescription>,
    /// Whether a state can be used again, because no operator keeps values from one call to the next.
    pub(crate) reusable: bool,
}
