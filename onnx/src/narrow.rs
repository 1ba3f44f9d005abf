//! Rewrites a model so that its recurrent nodes store W and R in narrower types.

mod edit;
mod forms;
mod unused;
mod wire;
mod write;

use crate::error::Error;
use crate::model::decode;
use crate::names::UniqueNames;
use crate::node::{NodeDescription, RecurrentNode};
use crate::operator::RecurrentOp;
use crate::proto::{self, Graph, Node};
use crate::shadow::take_names;
use crate::tensor::DType;
use crate::walk::nodes_of;
use prost::Message;
use rnnpack::WeightType;

/// What the new weights may take: this many bytes, and this many for each byte of the model. Nodes that share weights get
/// copies of their own, so a small model with many nodes could grow without a bound.
const MAX_NEW: (usize, usize) = (16 << 20, 8);

/// Rewrites the bytes of a model: each recurrent node stores W and R in the type that `choose` returns for it.
///
/// | type | what the file has in the place of W and R |
/// |---|---|
/// | [`WeightType::F32`] | what it had |
/// | [`WeightType::Bf16`], [`WeightType::F16`] | rounded weights behind a `Cast` to f32, which any runtime computes in f32 |
/// | [`WeightType::I8`], LSTM | the node becomes `com.microsoft.DynamicQuantizeLSTM`, with one scale for each row of a gate |
/// | [`WeightType::I8`], GRU and RNN | integers behind `DequantizeLinear`, with one scale for each row of a gate. The standard computes this in f32 |
///
/// The weights are those that a layer with [`RecurrentNode::with_type`] stores. All other bytes of the model stay as they
/// are, but what only computed the old weights is left out. A node whose type the file has already, in any of these forms,
/// stays as it is: so the new model comes back unchanged. The same model and choices give the same bytes.
///
/// # Errors
/// - The errors of [`decode`] and of [`File::parse`](crate::File::parse).
/// - The error of [`RecurrentNode::weights`] for the first node whose weights are not known or do not fit into the type.
/// - [`Error::Node`]: the table has not the type, the operator set of the model cannot say it, the node is of another narrow
///   type, the integers of the directions of an LSTM have different zero points, or nodes share their weights so often that
///   the new model would be much larger.
/// - [`Error::Function`]: a function of the model has a recurrent node.
/// - [`Error::Malformed`]: the model's graph is stored in several parts.
pub fn narrow(model: &[u8], choose: impl Fn(&NodeDescription) -> WeightType) -> Result<Vec<u8>, Error> {
    let message = proto::message(model)?;
    let found = nodes_of(&decode(model)?, &[])?;
    let graph = message.graph()?;
    let mut raw = Vec::new();
    recurrent(graph, &mut raw);
    let mut names = UniqueNames::default();
    take_names(graph, &mut names);
    let (mut edits, mut released, mut quantized) = (Vec::new(), Vec::new(), false);
    let mut left = model.len().saturating_mul(MAX_NEW.1).saturating_add(MAX_NEW.0);
    for (i, node) in found.iter().enumerate() {
        let weights = choose(node);
        if is_stored_as(node, weights) {
            edits.push(None);
            continue;
        }
        refuse_functions(&message)?;
        let raw = raw.get(i).ok_or_else(|| refused(node, "it is not found in the bytes of the model"))?;
        let edit = forms::edit(raw, node, weights, &mut names)?;
        let bytes: usize = edit.before.iter().map(Node::encoded_len).sum();
        left = left.checked_sub(bytes).ok_or_else(|| refused(node, "the new model would be much larger"))?;
        released.extend(raw.input.get(1..3).unwrap_or_default().iter().map(String::as_str));
        quantized |= edit.operator.is_some();
        edits.push(Some(edit));
    }
    if edits.iter().all(Option::is_none) {
        return Ok(model.to_vec());
    }
    let unused = unused::unused(graph, &released);
    let import =
        quantized && message.opset_import.iter().all(|import| import.domain != edit::QUANTIZED.domain());
    write::model(model, &edits, &unused, import)
}

/// Whether the file stores the weights of a node in this type already. An LSTM whose integers are behind
/// `DequantizeLinear` still becomes a `DynamicQuantizeLSTM`. The weights of a node that is refused are of no type.
fn is_stored_as(node: &RecurrentNode, weights: WeightType) -> bool {
    let is = |dtype| node.dtype == Some(dtype) || node.matrix_dtype == Some(dtype);
    match weights {
        WeightType::F32 => true,
        _ if node.refusal().is_some() && !node.awaits_weights() => false,
        WeightType::Bf16 => is(DType::BF16),
        WeightType::F16 => is(DType::F16),
        WeightType::I8 => {
            node.op.is_quantized() || node.op != RecurrentOp::Lstm && (is(DType::I8) || is(DType::U8))
        }
        _ => false,
    }
}

/// Appends the recurrent nodes of `graph` to `to`, in the order of [`nodes_of`].
fn recurrent<'m>(graph: &'m Graph, to: &mut Vec<&'m Node>) {
    to.extend(graph.node.iter().filter(|node| RecurrentOp::from_type(&node.op_type).is_some()));
    graph.node.iter().flat_map(Node::graphs).for_each(|inner| recurrent(inner, to));
}

/// Refuses functions with recurrent nodes: a file has such a node once for all calls.
fn refuse_functions(model: &proto::Model) -> Result<(), Error> {
    for function in &model.functions {
        let body = Graph { node: function.node.clone(), ..Graph::default() };
        let mut found = Vec::new();
        recurrent(&body, &mut found);
        if let Some(node) = found.first() {
            let reason = format!("it has a recurrent node ({}), which is not rewritten", node.op_type);
            return Err(Error::Function { function: function.name.clone(), reason });
        }
    }
    Ok(())
}

fn refused(node: &RecurrentNode, reason: &str) -> Error {
    Error::Node { node: node.name.clone(), op: node.op.to_string(), reason: reason.to_string() }
}
