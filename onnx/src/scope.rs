//! Finds the value that a name means, in a graph and in the graphs around it.

use crate::error::Error;
use crate::path::Path;
use crate::proto;
use std::collections::HashMap;

/// Where a value comes from.
#[derive(Clone, Copy)]
pub(crate) enum Origin<'m> {
    /// An input of the graph.
    Input,
    /// A tensor stored with the graph.
    Initializer(&'m proto::Tensor),
    /// Output number `1` of a node.
    Node(&'m proto::Node, usize),
}

/// The values of one graph, with access to those of the graphs around it.
pub(crate) struct Scope<'m> {
    pub(crate) graph: &'m proto::Graph,
    pub(crate) parent: Option<&'m Scope<'m>>,
    /// Where the graph is in the model.
    pub(crate) path: Path,
    origins: HashMap<&'m str, Origin<'m>>,
    types: HashMap<&'m str, &'m proto::TensorType>,
}

impl<'m> Scope<'m> {
    /// Indexes `graph`. Refuses what ONNX forbids: empty names, names given twice, and names that a graph around it
    /// has.
    pub(crate) fn new(
        graph: &'m proto::Graph,
        path: Path,
        parent: Option<&'m Scope<'m>>,
    ) -> Result<Self, Error> {
        let types = graph.input.iter().chain(&graph.value_info).chain(&graph.output).filter_map(tensor_type);
        let mut scope = Scope { graph, parent, path, origins: HashMap::new(), types: types.collect() };
        for t in &graph.initializer {
            scope.define(&t.name, Origin::Initializer(t))?;
        }
        let mut inputs = std::collections::HashSet::new();
        for input in &graph.input {
            if !inputs.insert(input.name.as_str()) {
                return Err(scope.bad_name(&input.name, "two inputs of the graph have it"));
            }
            // An initializer may have the name of an input. Then it is the input's default value.
            if !scope.origins.contains_key(input.name.as_str()) {
                scope.define(&input.name, Origin::Input)?;
            }
        }
        for node in &graph.node {
            for (slot, output) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                scope.define(output, Origin::Node(node, slot))?;
            }
        }
        Ok(scope)
    }

    fn define(&mut self, name: &'m str, origin: Origin<'m>) -> Result<(), Error> {
        if name.is_empty() {
            return Err(self.bad_name(name, "an input or a stored tensor has an empty name"));
        }
        if self.origins.insert(name, origin).is_some() {
            return Err(self.bad_name(name, "two values of the graph have it"));
        }
        if self.parent.is_some_and(|p| p.find(name).is_some()) {
            return Err(self.bad_name(name, "a graph around this one has a value of the same name"));
        }
        Ok(())
    }

    pub(crate) fn bad_name(&self, name: &str, reason: &str) -> Error {
        Error::Name {
            graph: self.path.text().to_string(),
            name: name.to_string(),
            reason: reason.to_string(),
        }
    }

    /// The scope that defines `name` as seen from this scope, and the origin of the value there.
    pub(crate) fn find(&self, name: &str) -> Option<(&Scope<'m>, Origin<'m>)> {
        let mut scope = self;
        loop {
            match scope.origins.get(name) {
                Some(&origin) => return Some((scope, origin)),
                None => scope = scope.parent?,
            }
        }
    }

    /// The type that the file declares for `name`: as an input, as an output or in the list of value types.
    pub(crate) fn declared(&self, name: &str) -> Option<&'m proto::TensorType> {
        let mut scope = self;
        loop {
            match scope.types.get(name) {
                Some(t) => return Some(t),
                None => scope = scope.parent?,
            }
        }
    }

    /// The element type that the file declares for `name`, as a number of `TensorProto.DataType`.
    pub(crate) fn declared_type(&self, name: &str) -> Option<i32> {
        self.declared(name).map(|t| t.elem_type).filter(|&number| number != 0)
    }

    /// The element type of `name` if it is an input of the main graph or stored, as a number of `TensorProto.DataType`.
    pub(crate) fn given_type(&self, name: &str) -> Option<i32> {
        match self.find(name)? {
            (_, Origin::Initializer(t)) => Some(t.data_type),
            (scope, Origin::Input) if scope.parent.is_none() => scope.declared_type(name),
            _ => None,
        }
    }
}

fn tensor_type(info: &proto::ValueInfo) -> Option<(&str, &proto::TensorType)> {
    Some((&info.name, info.r#type.as_ref()?.tensor_type.as_ref()?))
}
