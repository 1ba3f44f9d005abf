//! What a graph has: the graphs inside its nodes, its stored tensors, and the names of its values.

use crate::proto::{Graph, Node, SparseTensor, Tensor};

impl Node {
    /// Whether the node is of the standard operator set.
    pub(crate) fn is_standard(&self) -> bool {
        matches!(self.domain.as_str(), "" | "ai.onnx")
    }

    /// The graphs in its attributes.
    pub(crate) fn graphs(&self) -> impl Iterator<Item = &Graph> {
        self.attribute.iter().flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs))
    }

    /// The graphs in its attributes, to change them.
    pub(crate) fn graphs_mut(&mut self) -> impl Iterator<Item = &mut Graph> {
        self.attribute.iter_mut().flat_map(|a| a.g.as_deref_mut().into_iter().chain(&mut a.graphs))
    }
}

impl Graph {
    /// Calls `visit` with every stored tensor of the graph, of its attributes and of the graphs inside it. Sparse
    /// tensors are stored as two tensors each.
    pub(crate) fn try_each_tensor<E>(
        &mut self,
        visit: &mut dyn FnMut(&mut Tensor) -> Result<(), E>,
    ) -> Result<(), E> {
        fn parts(s: &mut SparseTensor) -> impl Iterator<Item = &mut Tensor> {
            s.values.as_deref_mut().into_iter().chain(s.indices.as_deref_mut())
        }
        self.initializer.iter_mut().try_for_each(&mut *visit)?;
        self.sparse_initializer.iter_mut().flat_map(parts).try_for_each(&mut *visit)?;
        for node in &mut self.node {
            for a in &mut node.attribute {
                a.t.as_deref_mut().into_iter().chain(&mut a.tensors).try_for_each(&mut *visit)?;
                a.sparse_tensor.as_deref_mut().into_iter().flat_map(parts).try_for_each(&mut *visit)?;
            }
            node.graphs_mut().try_for_each(|g| g.try_each_tensor(visit))?;
        }
        Ok(())
    }

    /// The names of the values that the graph itself defines: its inputs, its stored tensors and the outputs of its
    /// nodes. A name that is defined twice comes twice.
    pub(crate) fn defined(&self) -> impl Iterator<Item = &str> {
        let inputs = self.input.iter().map(|i| i.name.as_str());
        let stored = self.initializer.iter().map(|t| t.name.as_str());
        let sparse = self.sparse_initializer.iter().filter_map(|s| Some(s.values.as_ref()?.name.as_str()));
        let made = self.node.iter().flat_map(|n| &n.output).map(String::as_str);
        inputs.chain(stored).chain(sparse).chain(made).filter(|name| !name.is_empty())
    }
}
