//! What becomes of one recurrent node.

use crate::operator::RecurrentOp;
use crate::proto::{Attribute, Node};

/// ONNX Runtime's LSTM of int8 weights.
pub(super) const QUANTIZED: RecurrentOp = RecurrentOp::DynamicQuantizeLstm;

/// The new form of a recurrent node. Everything of the node that is not named here stays.
pub(super) struct Edit {
    /// The nodes that make its new inputs.
    pub(super) before: Vec<Node>,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    /// The new operator.
    pub(super) operator: Option<RecurrentOp>,
    /// The names of the attributes that it loses.
    pub(super) dropped: &'static [&'static str],
    /// New attributes.
    pub(super) added: Vec<Attribute>,
    /// The nodes that make its old outputs of the new ones.
    pub(super) after: Vec<Node>,
}
