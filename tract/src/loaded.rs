//! What a model is made of once it is loaded.

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
    /// No operator keeps values from one call to the next, so that a state can be used again.
    pub(crate) reusable: bool,
}
