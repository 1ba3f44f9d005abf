//! The operators of a model, in all its graphs.

use rnnpack_onnx::{RecurrentOp, Shown, proto};
use std::collections::BTreeMap;

/// Calls `visit` with every graph: the main graph first, then those inside nodes.
pub(crate) fn graphs<'m>(graph: &'m proto::Graph, visit: &mut dyn FnMut(&'m proto::Graph)) {
    visit(graph);
    for attribute in graph.node.iter().flat_map(|node| &node.attribute) {
        attribute.g.as_deref().into_iter().chain(&attribute.graphs).for_each(|g| graphs(g, visit));
    }
}

/// The operators besides the recurrent ones that compute something, each with its number of nodes, as `Conv (3)`.
pub(crate) fn others(model: &proto::Model) -> Vec<String> {
    let mut counts = BTreeMap::<&str, usize>::new();
    if let Some(graph) = &model.graph {
        graphs(graph, &mut |g| {
            for node in &g.node {
                let op = node.op_type.as_str();
                if RecurrentOp::from_type(op).is_none() && op != "Constant" {
                    *counts.entry(op).or_default() += 1;
                }
            }
        });
    }
    let text = |(op, n): (&str, usize)| match n {
        1 => Shown(op).to_string(),
        n => format!("{} ({n})", Shown(op)),
    };
    counts.into_iter().map(text).collect()
}
