//! Removes stored tensors that nothing uses. tract's time grows with the square of their number.

use std::collections::HashSet;
use tract_onnx::pb::GraphProto;

/// Removes the stored tensors of `graph` and of the graphs inside it that are no input of a node, no output and no
/// default of an input.
pub(crate) fn remove_unused(graph: &mut GraphProto) {
    let mut used = HashSet::new();
    collect(graph, &mut used);
    remove(graph, &used);
}

fn collect(graph: &GraphProto, used: &mut HashSet<String>) {
    used.extend(graph.input.iter().chain(&graph.output).map(|info| info.name.clone()));
    for node in &graph.node {
        used.extend(node.input.iter().cloned());
        let inner = node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs));
        inner.for_each(|graph| collect(graph, used));
    }
}

fn remove(graph: &mut GraphProto, used: &HashSet<String>) {
    graph.initializer.retain(|stored| used.contains(&stored.name));
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    attributes.flat_map(|a| a.g.iter_mut().chain(&mut a.graphs)).for_each(|inner| remove(inner, used));
}
