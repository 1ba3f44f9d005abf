//! The sizes that a graph shows: extents that its nodes need.

use crate::operators::graphs;
use rnnpack_onnx::{RecurrentOp, proto};
use std::collections::{BTreeSet, HashMap};

/// The most sizes that are tried, and the largest.
const MOST: (usize, usize) = (16, 65_536);

/// Sizes above 1 that the nodes of the model show: kernels, pads, shapes of Reshape, parts of Split, and the rows of
/// stored factors.
pub(super) fn shown_sizes(graph: &proto::Graph) -> Vec<usize> {
    let constants = constants(graph);
    let mut sizes = Vec::<i64>::new();
    graphs(graph, &mut |g| g.node.iter().for_each(|node| sizes.extend(of_node(node, &constants))));
    let mut seen = BTreeSet::new();
    let sizes = sizes.into_iter().filter_map(|size| usize::try_from(size).ok());
    sizes.filter(|&size| (2..=MOST.1).contains(&size) && seen.insert(size)).take(MOST.0).collect()
}

/// The stored tensors and the values of `Constant` nodes, in all graphs.
pub(super) fn constants(graph: &proto::Graph) -> HashMap<&str, &proto::Tensor> {
    let mut found = HashMap::new();
    graphs(graph, &mut |g| {
        found.extend(g.initializer.iter().map(|t| (t.name.as_str(), t)));
        for node in g.node.iter().filter(|node| node.op_type == "Constant") {
            let value = node.attribute.iter().find(|a| a.name == "value").and_then(|a| a.t.as_deref());
            found.extend(node.output.first().map(String::as_str).zip(value));
        }
    });
    found
}

/// The integers of a stored tensor with at most 16 elements.
pub(super) fn integers(tensor: &proto::Tensor) -> Option<Vec<i64>> {
    const INT32: i32 = 6;
    const INT64: i32 = 7;
    let small = tensor.dims.iter().try_fold(1i64, |n, &d| n.checked_mul(d)).is_some_and(|n| n <= 16);
    let raw = &tensor.raw_data;
    match tensor.data_type {
        INT64 if small && raw.is_empty() => Some(tensor.int64_data.clone()),
        INT64 if small => Some(raw.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect()),
        INT32 if small && raw.is_empty() => Some(tensor.int32_data.iter().map(|&x| x.into()).collect()),
        INT32 if small => Some(raw.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b).into()).collect()),
        _ => None,
    }
}

fn of_node(node: &proto::Node, constants: &HashMap<&str, &proto::Tensor>) -> Vec<i64> {
    let stored = |slot: usize| node.input.get(slot).and_then(|name| constants.get(name.as_str()));
    let values = |slot: usize| stored(slot).and_then(|&t| integers(t)).unwrap_or_default();
    let ints = |name: &str| {
        node.attribute.iter().find(|a| a.name == name).map(|a| a.ints.clone()).unwrap_or_default()
    };
    match node.op_type.as_str() {
        "Conv" | "ConvInteger" | "MaxPool" | "AveragePool" | "LpPool" => {
            // The input's channels, then the kernel.
            let channels = stored(1).and_then(|w| w.dims.get(1)).copied();
            ints("kernel_shape").into_iter().chain(channels).collect()
        }
        "Reshape" | "Expand" => {
            let shape: Vec<i64> = values(1).into_iter().filter(|&size| size > 1).collect();
            let product = shape.iter().try_fold(1i64, |n, &d| n.checked_mul(d));
            shape.into_iter().chain(product).collect()
        }
        // Reflection needs more elements than it adds.
        "Pad" => {
            let pads = if node.input.len() > 1 { values(1) } else { ints("pads") };
            pads.into_iter().map(|pad| pad.saturating_add(1)).collect()
        }
        "Split" => {
            let parts = if node.input.len() > 1 { values(1) } else { ints("split") };
            vec![parts.iter().fold(0, |sum, &part| part.saturating_add(sum))]
        }
        "MatMul" | "MatMulInteger" | "Gemm" => {
            stored(1).map(|w| w.dims.iter().rev().skip(1).take(1).copied().collect()).unwrap_or_default()
        }
        op => {
            let w = RecurrentOp::from_type(op).and_then(|op| stored(1)?.dims.get(op.summed_axis()));
            w.copied().into_iter().collect()
        }
    }
}
