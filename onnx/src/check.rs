//! Checks a whole model for runtimes that assume that it is complete and in order.

use crate::error::Error;
use crate::path::Path;
use crate::proto::{Graph, Model};
use crate::stored::check_stored;
use crate::walk::walk;
use std::collections::HashSet;

/// Checks a model beyond its recurrent nodes:
///
/// - every stored tensor is in the file and has exactly the data for its dimensions;
/// - every name belongs to only one value, and that value is produced before it is used.
///
/// # Errors
/// [`Error::Malformed`] if the model has no graph, [`Error::Tensor`] and [`Error::Name`].
pub fn check_model(model: &Model) -> Result<(), Error> {
    let graph = model.graph()?;
    walk(graph, Path::main(), None, &mut |scope| check_tensors(scope.graph))?;
    check_order(graph, &mut HashSet::new())
}

/// Checks the tensors of a graph and those in the attributes of its nodes.
fn check_tensors(graph: &Graph) -> Result<(), Error> {
    let held = graph.node.iter().flat_map(|n| &n.attribute);
    let held = held.flat_map(|a| a.t.as_deref().into_iter().chain(&a.tensors));
    for t in graph.initializer.iter().chain(held) {
        check_stored(t).map_err(|reason| Error::Tensor { tensor: t.name.clone(), reason })?;
    }
    Ok(())
}

/// Checks that every value of `graph` is produced before it is used. `known` has the values of the graphs around it.
fn check_order<'m>(graph: &'m Graph, known: &mut HashSet<&'m str>) -> Result<(), Error> {
    let stored = graph.initializer.iter().map(|t| t.name.as_str());
    let mut made: Vec<&str> = stored.chain(graph.input.iter().map(|i| i.name.as_str())).collect();
    known.extend(&made);
    let check = |known: &HashSet<&str>, name: &str| match known.contains(name) {
        true => Ok(()),
        false => Err(Error::Name {
            graph: graph.name.clone(),
            name: name.to_string(),
            reason: "it is used before a value of this name exists".to_string(),
        }),
    };
    for node in &graph.node {
        node.input.iter().filter(|i| !i.is_empty()).try_for_each(|i| check(known, i))?;
        for attribute in &node.attribute {
            let graphs = attribute.g.as_deref().into_iter().chain(&attribute.graphs);
            graphs.into_iter().try_for_each(|g| check_order(g, known))?;
        }
        let outputs = node.output.iter().map(String::as_str).filter(|o| !o.is_empty());
        made.extend(outputs.clone());
        known.extend(outputs);
    }
    graph.output.iter().try_for_each(|o| check(known, &o.name))?;
    for name in made {
        known.remove(name);
    }
    Ok(())
}
