//! Visits the graphs of a model: the main graph first, then the graphs inside its nodes.

use crate::describe::describe;
use crate::error::Error;
use crate::fold::Folder;
use crate::names::UniqueNames;
use crate::node::RecurrentNode;
use crate::operator::RecurrentOp;
use crate::path::Path;
use crate::proto;
use crate::scope::Scope;
use crate::spec::Reader;
use crate::tensor::Tensor;
use prost::Message;
use std::collections::HashSet;

/// The recurrent nodes of a model that [`decode`](crate::decode) returned. Those of the main graph come first; those of the graphs inside nodes follow.
/// `bindings` are values for inputs of the main graph.
///
/// Memory stays within a fixed multiple of the bytes of the model and the bindings.
///
/// # Errors
/// As [`File::parse`](crate::File::parse), and [`Error::Value`] if a binding is for no input, or if an input is bound
/// twice.
pub fn nodes_of(model: &proto::Model, bindings: &[(&str, &Tensor)]) -> Result<Vec<RecurrentNode>, Error> {
    let graph = model.graph()?;
    check_bindings(graph, bindings)?;
    let opset = standard_opset(model)?;
    let mut folder = Folder::new(opset, model.encoded_len(), bindings);
    let mut names = UniqueNames::default();
    let mut found = Vec::new();
    walk(graph, Path::main(), None, &mut |scope| {
        for node in &scope.graph.node {
            if let Some(op) = RecurrentOp::from_type(&node.op_type) {
                let name = match node.name.as_str() {
                    "" => names.unique(&format!("{op}_{}", found.len())),
                    name => names.unique(name),
                };
                found.push(describe(&Reader { node, name: &name, op, opset }, scope, &mut folder));
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// Checks that every binding is for another input of the main graph.
fn check_bindings(graph: &proto::Graph, bindings: &[(&str, &Tensor)]) -> Result<(), Error> {
    let inputs: HashSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
    let mut bound = HashSet::new();
    for &(name, _) in bindings {
        let reason = match inputs.contains(name) {
            true if bound.insert(name) => continue,
            true => "it is bound twice",
            false => "it is bound, but is no input of the model",
        };
        return Err(Error::Value { name: name.to_string(), reason: reason.to_string() });
    }
    Ok(())
}

/// Calls `visit` with the scope of `graph`, then with the scopes of the graphs inside it.
pub(crate) fn walk(
    graph: &proto::Graph,
    path: Path,
    parent: Option<&Scope<'_>>,
    visit: &mut dyn FnMut(&Scope<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let scope = Scope::new(graph, path, parent)?;
    visit(&scope)?;
    for (i, node) in graph.node.iter().enumerate() {
        for attribute in &node.attribute {
            for (g, inner) in attribute.g.as_deref().into_iter().chain(&attribute.graphs).enumerate() {
                let path = scope.path.inside((node, i), (attribute, g));
                walk(inner, path, Some(&scope), visit)?;
            }
        }
    }
    Ok(())
}

/// The version of the standard operator set.
fn standard_opset(model: &proto::Model) -> Result<i64, Error> {
    let standard = model.opset_import.iter().find(|o| matches!(o.domain.as_str(), "" | "ai.onnx"));
    standard.map(|o| o.version).ok_or_else(|| Error::Opset {
        subject: "the model".into(),
        version: None,
        reason: "the standard one is not declared".into(),
    })
}
