//! A file, its recurrent nodes and their layers.

use crate::error::Error;
use crate::node::RecurrentNode;
use crate::proto;
use crate::tensor::Tensor;
use crate::walk::nodes_of;
use rnnpack::Layer;
use std::path::Path;

/// The recurrent nodes of an ONNX file, with their weights.
///
/// A node that cannot be packed is listed all the same; [`NodeDescription::refusal`](crate::NodeDescription::refusal) says
/// why. Weights may be stored tensors or be computed from those by `Constant`, `Identity`, `Unsqueeze`, `Squeeze`,
/// `Concat`, `Slice`, `Transpose` and `Reshape`; weights that are inputs of the model are given to [`File::parse_with`].
/// Memory stays within a fixed multiple of the bytes given.
#[derive(Debug, Clone)]
pub struct File {
    nodes: Vec<RecurrentNode>,
}

impl File {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be read, and those of [`File::parse`].
    pub fn open(path: impl AsRef<Path>) -> Result<File, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path)
            .map_err(|e| Error::File { path: path.display().to_string(), reason: e.to_string() })?;
        File::parse(&bytes)
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// The bytes are no ONNX model, its operator sets are not declared properly, a name is empty or given twice, or a
    /// model-local function holds a recurrent node.
    pub fn parse(bytes: &[u8]) -> Result<File, Error> {
        File::parse_with(bytes, &[])
    }

    /// [`File::parse`] of a model some of whose inputs have the given values, for files that take the weights of a layer as
    /// inputs.
    ///
    /// # Errors
    /// As [`File::parse`], and [`Error::Value`] for a name that is no input of the model or is bound twice.
    pub fn parse_with(bytes: &[u8], bindings: &[(&str, &Tensor)]) -> Result<File, Error> {
        Ok(File { nodes: nodes_of(&proto::decode(bytes)?, bindings)? })
    }

    /// The recurrent nodes, those of the main graph first, then those of the graphs in its nodes (the branches of an `If`,
    /// the bodies of a `Loop` or a `Scan`).
    pub fn nodes(&self) -> &[RecurrentNode] {
        &self.nodes
    }

    /// The recurrent nodes, to keep.
    pub fn into_nodes(self) -> Vec<RecurrentNode> {
        self.nodes
    }

    /// The recurrent node of this name.
    ///
    /// # Errors
    /// [`Error::NoNode`] where there is none.
    pub fn node(&self, name: &str) -> Result<&RecurrentNode, Error> {
        self.nodes.iter().find(|node| node.name == name).ok_or_else(|| Error::NoNode {
            node: name.to_string(),
            known: self.nodes.iter().map(|node| node.name.clone()).collect(),
        })
    }

    /// The layer of the node of this name, packed for this machine; of a node of f64, see [`RecurrentNode::pack_f64`].
    ///
    /// # Errors
    /// Those of [`File::node`] and [`RecurrentNode::pack`].
    pub fn layer(&self, name: &str) -> Result<Layer, Error> {
        self.node(name)?.pack()
    }
}
