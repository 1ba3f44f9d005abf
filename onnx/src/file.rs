//! An ONNX file, its recurrent nodes and their layers.

use crate::error::Error;
use crate::model;
use crate::node::RecurrentNode;
use crate::tensor::Tensor;
use crate::walk::nodes_of;
use rnnpack::Layer;
use std::path::Path;

/// The recurrent nodes of an ONNX file, with their weights.
///
/// A node that cannot be packed is listed too; [`NodeDescription::refusal`](crate::NodeDescription::refusal) says why
/// it cannot. Weights may be stored tensors. They may also be computed from stored tensors by `Constant`, `Identity`,
/// `Unsqueeze`, `Squeeze`, `Concat`, `Slice`, `Transpose`, `Reshape`, `DequantizeLinear` and `Cast` to a wider type. If weights are inputs of the model,
/// [`File::parse_with`] takes their values. Memory stays within a fixed multiple of the bytes given.
#[derive(Debug, Clone)]
pub struct File {
    nodes: Vec<RecurrentNode>,
}

impl File {
    /// Reads the file at `path`. Data that the model keeps in other files is read from files below its own folder.
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be read, [`Error::Tensor`] if data in another file cannot be read, and the
    /// errors of [`File::parse`].
    pub fn open(path: impl AsRef<Path>) -> Result<File, Error> {
        Ok(File { nodes: nodes_of(&model::open(path.as_ref())?, &[])? })
    }

    /// Reads a file that is already in memory. A node whose weights are in other files is refused.
    ///
    /// # Errors
    /// - The errors of [`decode`](crate::decode).
    /// - [`Error::Opset`]: the standard operator set is not declared.
    /// - [`Error::Name`]: a name is empty or used twice.
    pub fn parse(bytes: &[u8]) -> Result<File, Error> {
        File::parse_with(bytes, &[])
    }

    /// Like [`File::parse`], but gives values to some inputs of the model: `bindings` has their names and values. Use
    /// it for files that take the weights of a layer as inputs.
    ///
    /// # Errors
    /// As [`File::parse`], and [`Error::Value`] for a name that is not an input of the model or is bound twice.
    pub fn parse_with(bytes: &[u8], bindings: &[(&str, &Tensor)]) -> Result<File, Error> {
        Ok(File { nodes: nodes_of(&model::decode(bytes)?, bindings)? })
    }

    /// The recurrent nodes. Those of the main graph come first. Those of the graphs inside nodes follow: the branches
    /// of an `If`, the bodies of a `Loop` or a `Scan`.
    pub fn nodes(&self) -> &[RecurrentNode] {
        &self.nodes
    }

    /// Returns the recurrent nodes by value.
    pub fn into_nodes(self) -> Vec<RecurrentNode> {
        self.nodes
    }

    /// The recurrent node with this name.
    ///
    /// # Errors
    /// [`Error::NoNode`] if the file has no such node.
    pub fn node(&self, name: &str) -> Result<&RecurrentNode, Error> {
        self.nodes.iter().find(|node| node.name == name).ok_or_else(|| Error::NoNode {
            node: name.to_string(),
            known: self.nodes.iter().map(|node| node.name.clone()).collect(),
        })
    }

    /// Packs the layer of the node with this name for this machine. For a node of f64, use [`RecurrentNode::pack_f64`].
    ///
    /// # Errors
    /// The errors of [`File::node`] and of [`RecurrentNode::pack`].
    pub fn layer(&self, name: &str) -> Result<Layer, Error> {
        self.node(name)?.pack()
    }
}
