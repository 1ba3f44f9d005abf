//! Visits the graphs of a model: the main graph first, then the graphs inside its nodes.

use crate::describe::describe;
use crate::error::Error;
use crate::fold::Folder;
use crate::node::RecurrentNode;
use crate::operator::RecurrentOp;
use crate::proto;
use crate::scope::Scope;
use crate::spec::Reader;
use crate::tensor::Tensor;
use prost::Message;
use std::collections::{HashMap, HashSet};

/// The recurrent nodes of a decoded model. Those of the main graph come first; those of the graphs inside nodes follow.
/// `bindings` are values for inputs of the main graph.
///
/// Memory stays within a fixed multiple of the bytes of the model and the bindings.
///
/// # Errors
/// As [`File::parse`](crate::File::parse), and [`Error::Value`] if a binding is for no input, or if an input is bound
/// twice.
pub fn nodes_of(model: &proto::Model, bindings: &[(&str, &Tensor)]) -> Result<Vec<RecurrentNode>, Error> {
    let graph = model.graph()?;
    for (i, &(name, _)) in bindings.iter().enumerate() {
        let reason = match graph.input.iter().any(|input| input.name == name) {
            true if bindings[..i].iter().all(|&(other, _)| other != name) => continue,
            true => "it is bound twice",
            false => "it is bound, but is no input of the model",
        };
        return Err(Error::Value { name: name.to_string(), reason: reason.to_string() });
    }
    let opset = standard_opset(model)?;
    refuse_in_functions(model)?;
    let mut folder = Folder::new(opset, model.encoded_len(), bindings);
    let mut names = Names::default();
    let mut found = Vec::new();
    walk(graph, "main".to_string(), None, &mut |scope| {
        for node in &scope.graph.node {
            if let Some(op) = RecurrentOp::from_type(&node.op_type) {
                let name = match node.name.as_str() {
                    "" => format!("{op}_{}", found.len()),
                    name => name.to_string(),
                };
                let name = names.unique(name);
                found.push(describe(&Reader { node, name: &name, op, opset }, scope, &mut folder));
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// Calls `visit` with the scope of `graph`, then with the scopes of the graphs inside it.
pub(crate) fn walk(
    graph: &proto::Graph,
    path: String,
    parent: Option<&Scope<'_>>,
    visit: &mut dyn FnMut(&Scope<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let scope = Scope::new(graph, path, parent)?;
    visit(&scope)?;
    for (i, node) in graph.node.iter().enumerate() {
        for attribute in &node.attribute {
            for (g, inner) in attribute.g.as_deref().into_iter().chain(&attribute.graphs).enumerate() {
                let name =
                    if node.name.is_empty() { format!("{}_{i}", node.op_type) } else { node.name.clone() };
                let number = if g == 0 { String::new() } else { format!("[{g}]") };
                let path = format!("{}/{name}.{}{number}", scope.path, attribute.name);
                walk(inner, path, Some(&scope), visit)?;
            }
        }
    }
    Ok(())
}

/// The version of the standard operator set. The model must declare it exactly once.
fn standard_opset(model: &proto::Model) -> Result<i64, Error> {
    let refuse = |version, reason: &str| {
        Err(Error::Opset { subject: "the model".into(), version, reason: reason.into() })
    };
    let standard = |o: &&proto::OpsetId| matches!(o.domain.as_str(), "" | "ai.onnx");
    let mut versions = model.opset_import.iter().filter(standard).map(|o| o.version);
    match (versions.next(), versions.next()) {
        (Some(version), None) => Ok(version),
        (Some(_), Some(second)) => refuse(Some(second), "the standard operator set is declared twice"),
        (None, _) => refuse(None, "the standard one is not declared"),
    }
}

/// Refuses recurrent nodes in the bodies of model-local functions. They are not expanded here.
fn refuse_in_functions(model: &proto::Model) -> Result<(), Error> {
    fn recurrent(nodes: &[proto::Node]) -> Option<&proto::Node> {
        nodes.iter().find_map(|node| {
            if RecurrentOp::from_type(&node.op_type).is_some() {
                return Some(node);
            }
            let graphs = |a: &'_ proto::Attribute| a.g.is_some() || !a.graphs.is_empty();
            let inner = node.attribute.iter().filter(|a| graphs(a));
            inner.flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs)).find_map(|g| recurrent(&g.node))
        })
    }
    for function in &model.functions {
        if let Some(node) = recurrent(&function.node) {
            let reason =
                format!("it is in the model-local function `{}`, which is not expanded", function.name);
            return Err(Error::Node { node: node.name.clone(), op: node.op_type.clone(), reason });
        }
    }
    Ok(())
}

/// Makes names unique.
#[derive(Default)]
struct Names {
    taken: HashSet<String>,
    /// For each name that was used more than once, the last number appended to it.
    numbers: HashMap<String, usize>,
}

impl Names {
    /// `base`, with a number appended if the name is taken.
    fn unique(&mut self, base: String) -> String {
        if self.taken.insert(base.clone()) {
            return base;
        }
        let number = self.numbers.entry(base.clone()).or_insert(1);
        loop {
            *number += 1;
            let unique = format!("{base}#{number}");
            if self.taken.insert(unique.clone()) {
                return unique;
            }
        }
    }
}
