//! What a model is refused for.

use crate::brief::List;
use std::fmt;
use std::sync::Arc;

/// Why an ONNX model, one of its nodes or a value given to it is refused.
///
/// Every variant names the thing it is about; `reason` is a sentence fragment for people.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no ONNX model: truncated, not protobuf, nested too deeply, or without a graph.
    Malformed {
        /// What is wrong with the bytes.
        reason: String,
    },
    /// The operator set is missing, declared twice, or one in which the operator is not known.
    Opset {
        /// What needs it: a node, or the model.
        subject: String,
        /// The version that the model declares, if it does.
        version: Option<i64>,
        /// What is wrong with it.
        reason: String,
    },
    /// A value, node or graph name breaks the rules of ONNX.
    Name {
        /// The graph that holds it.
        graph: String,
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A whole node is refused.
    Node {
        /// The node.
        node: String,
        /// Its operator, with the domain when that is not the standard one.
        op: String,
        /// Why it is refused.
        reason: String,
    },
    /// An attribute of a node is refused.
    Attribute {
        /// The node.
        node: String,
        /// The attribute.
        attribute: String,
        /// Why it is refused.
        reason: String,
    },
    /// An input of a node is refused.
    Input {
        /// The node.
        node: String,
        /// The input as the ONNX standard calls it (`W`, `initial_h`).
        input: String,
        /// Why it is refused, with the dimension or the producing operator.
        reason: String,
    },
    /// A tensor stored in the file is refused.
    Tensor {
        /// The tensor.
        tensor: String,
        /// Why it is refused.
        reason: String,
    },
    /// A layer that was read correctly is refused by the kernels, at packing or while it runs.
    Layer {
        /// The node.
        node: String,
        /// What the layer said.
        source: Arc<rnnpack::Error>,
    },
    /// A value given to a whole model (a feed, a binding, a declared shape) does not fit it.
    Value {
        /// The model's input or output.
        name: String,
        /// What does not fit.
        reason: String,
    },
    /// A file has no recurrent node of a name that is asked for.
    NoNode {
        /// The name.
        node: String,
        /// The names of the recurrent nodes that there are.
        known: Vec<String>,
    },
    /// The file of a model cannot be read.
    File {
        /// The path.
        path: String,
        /// What the system said.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { reason } => write!(f, "not an ONNX model: {reason}"),
            Self::Opset { subject, version: Some(v), reason } => {
                write!(f, "{subject}: operator set {v}: {reason}")
            }
            Self::Opset { subject, version: None, reason } => write!(f, "{subject}: operator set: {reason}"),
            Self::Name { graph, name, reason } => write!(f, "graph `{graph}`: name `{name}`: {reason}"),
            Self::Node { node, op, reason } => write!(f, "node `{node}` ({op}): {reason}"),
            Self::Attribute { node, attribute, reason } => {
                write!(f, "node `{node}`: attribute `{attribute}`: {reason}")
            }
            Self::Input { node, input, reason } => write!(f, "node `{node}`: input `{input}`: {reason}"),
            Self::Tensor { tensor, reason } => write!(f, "tensor `{tensor}`: {reason}"),
            Self::Layer { node, source } => write!(f, "node `{node}`: {source}"),
            Self::Value { name, reason } => write!(f, "value `{name}`: {reason}"),
            Self::NoNode { node, known } => {
                write!(f, "node `{node}`: the recurrent nodes of the file are {}", List(known))
            }
            Self::File { path, reason } => write!(f, "file `{path}`: {reason}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Display printed the layer's own words.
            Self::Layer { source, .. } => source.source(),
            _ => None,
        }
    }
}

impl Error {
    pub(crate) fn bad_input(node: &str, input: &str, reason: &str) -> Error {
        Error::Input { node: node.to_string(), input: input.to_string(), reason: reason.to_string() }
    }

    pub(crate) fn bad_attribute(node: &str, attribute: &str, reason: &str) -> Error {
        Error::Attribute {
            node: node.to_string(),
            attribute: attribute.to_string(),
            reason: reason.to_string(),
        }
    }

    /// What a layer says, with the node that it was made of.
    pub fn of_layer(node: &str, error: rnnpack::Error) -> Error {
        Error::Layer { node: node.to_string(), source: Arc::new(error) }
    }
}
