//! Names inside a graph that hide names around it. The standard forbids them, but published models have them. The inner
//! value is meant, as in ONNX Runtime.

use crate::names::UniqueNames;
use crate::proto::Graph;
use crate::rename::{Renamed, Renamer};

/// Gives a new name to every value of an inner graph that has the name of a value of a graph around it.
pub(crate) fn rename(graph: &mut Graph) {
    if graph.node.iter().all(|node| node.graphs().next().is_none()) {
        return;
    }
    let mut names = UniqueNames::default();
    take_names(graph, &mut names);
    // Names that no value has stay as they are: they are refused where they are used.
    let _ = Renamer::new(Renamed::Hiding, &mut names, usize::MAX).graph(graph);
}

/// Marks the names of all values of `graph` and of the graphs inside it as taken, and all names that nodes use.
pub(crate) fn take_names(graph: &Graph, names: &mut UniqueNames) {
    graph.defined().for_each(|name| names.take(name.to_string()));
    for node in &graph.node {
        node.input.iter().for_each(|name| names.take(name.clone()));
        node.graphs().for_each(|inner| take_names(inner, names));
    }
    graph.output.iter().for_each(|output| names.take(output.name.clone()));
}
