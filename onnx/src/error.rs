//! The error type: why a model is refused.

use crate::brief::{Line, Name, Shown, ShownNames};
use std::fmt;
use std::sync::Arc;

/// Why an ONNX model, one of its nodes, or a value given to it is refused.
///
/// Every variant names what it is about. `reason` is a sentence fragment for people.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not an ONNX model: they are truncated, not protobuf, nested too deeply, or have no graph.
    Malformed {
        /// What is wrong with the bytes.
        reason: String,
    },
    /// The operator set is missing or declared twice, or it is a version in which the operator is not known.
    Opset {
        /// The node or model that needs the operator set.
        subject: String,
        /// The version, if the model declares one.
        version: Option<i64>,
        /// What is wrong with the operator set.
        reason: String,
    },
    /// The name of a value, node or graph breaks the rules of ONNX.
    Name {
        /// The graph that contains the name.
        graph: String,
        /// The name.
        name: String,
        /// What is wrong with the name.
        reason: String,
    },
    /// A whole node is refused.
    Node {
        /// The node.
        node: String,
        /// Its operator. The domain is included if it is not the standard one.
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
        /// The input, by its name in the ONNX standard (`W`, `initial_h`).
        input: String,
        /// Why it is refused, with the dimension or with the operator that produces the input.
        reason: String,
    },
    /// A tensor stored in the file is refused.
    Tensor {
        /// The tensor.
        tensor: String,
        /// Why it is refused.
        reason: String,
    },
    /// A function of the model is refused.
    Function {
        /// The function.
        function: String,
        /// Why it is refused.
        reason: String,
    },
    /// The layer was read correctly, but the kernels refuse it when it is packed or when it runs.
    Layer {
        /// The node.
        node: String,
        /// The error of the layer.
        source: Arc<rnnpack::Error>,
    },
    /// A value given to a whole model (a feed, a binding, a declared shape) does not fit it.
    Value {
        /// The model's input or output.
        name: String,
        /// What does not fit.
        reason: String,
    },
    /// The file has no recurrent node with the requested name.
    NoNode {
        /// The requested name.
        node: String,
        /// The names of the file's recurrent nodes.
        known: Vec<String>,
    },
    /// The model's file cannot be read.
    File {
        /// The path.
        path: String,
        /// The error message of the operating system.
        reason: String,
    },
}

impl fmt::Display for Error {
    /// One line. Names are [`Shown`], and the whole is a [`Line`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self {
            Self::Malformed { reason } => return write!(f, "not an ONNX model: {}", Line(reason)),
            Self::Opset { subject, version, reason } => {
                let version = version.map_or(String::new(), |v| format!(" {v}"));
                return write!(f, "{}: operator set{version}: {}", Line(subject), Line(reason));
            }
            Self::Layer { node, source } => return write!(f, "node {}: {source}", Name(node)),
            Self::NoNode { node, known } => {
                let known = ShownNames(known);
                return write!(f, "node {}: the recurrent nodes of the file are {known}", Name(node));
            }
            Self::Name { graph, name, reason } => {
                write!(f, "graph {}: name {}", Name(graph), Name(name))?;
                reason
            }
            Self::Node { node, op, reason } => {
                write!(f, "node {} ({})", Name(node), Shown(op))?;
                reason
            }
            Self::Attribute { node, attribute, reason } => {
                write!(f, "node {}: attribute {}", Name(node), Name(attribute))?;
                reason
            }
            Self::Input { node, input, reason } => {
                write!(f, "node {}: input {}", Name(node), Name(input))?;
                reason
            }
            Self::Tensor { tensor, reason } => {
                write!(f, "tensor {}", Name(tensor))?;
                reason
            }
            Self::Function { function, reason } => {
                write!(f, "function {}", Name(function))?;
                reason
            }
            Self::Value { name, reason } => {
                write!(f, "value {}", Name(name))?;
                reason
            }
            Self::File { path, reason } => {
                write!(f, "file `{}`", Line(path))?;
                reason
            }
        };
        write!(f, ": {}", Line(reason))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Display already printed the layer's error.
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

    /// The error of a layer, together with the node that the layer was built from.
    pub fn of_layer(node: &str, error: rnnpack::Error) -> Error {
        Error::Layer { node: node.to_string(), source: Arc::new(error) }
    }
}
