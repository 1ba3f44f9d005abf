//! Says which input of the model to change when a node fails.

use crate::inputs::Feeds;
use crate::operators::graphs;
use anyhow::{Error, anyhow};
use rnnpack_onnx::{DType, Error as OnnxError, Extent, Shown, Tensor, proto};
use rnnpack_tract::Error as ModelError;
use std::collections::{BTreeSet, HashMap};

/// Adds advice to an error of the model: the inputs that reach the node that failed, and values that must be known at
/// load.
pub(crate) fn advise(model: &[u8], feeds: &Feeds, error: Error) -> Error {
    let (node, is_if) = match error.downcast_ref::<ModelError>() {
        Some(ModelError::Onnx(OnnxError::Node { node, op, .. })) => (node.clone(), op == "If"),
        Some(ModelError::Onnx(OnnxError::Input { node, .. })) => (node.clone(), false),
        _ => return error,
    };
    let text = error.to_string();
    let of_dimensions = ["dimension", "axis"].iter().any(|word| text.contains(word));
    let Ok(model) = rnnpack_onnx::decode(model) else { return error };
    let Some(graph) = &model.graph else { return error };
    let mut lines = Vec::new();
    if is_if {
        lines.extend(to_bind(feeds));
    }
    let reached = ancestors(graph, &node);
    let inputs = graph.input.iter().filter(|info| of_dimensions && reached.contains(info.name.as_str()));
    lines.extend(inputs.filter_map(|info| {
        let value = feeds.steps.first()?.get(&info.name)?;
        open_dimensions(info).map(|open| {
            let (name, dtype, dims) = (Shown(&info.name), value.dtype(), value.dims());
            format!("change the input `{name}`, which is {dtype} {dims:?}: {open}")
        })
    }));
    match lines.is_empty() {
        true => error,
        false => anyhow!("{error}; {}", lines.join("; ")),
    }
}

/// How to bind the whole numbers that are given as inputs.
fn to_bind(feeds: &Feeds) -> Vec<String> {
    let floats = [DType::F32, DType::F64, DType::F16, DType::BF16];
    let bind = |(name, value): (&String, &Tensor)| {
        let whole = !floats.contains(&value.dtype());
        let text = match value.data() {
            rnnpack_onnx::TensorData::I64(v) if v.len() == 1 => v[0].to_string(),
            rnnpack_onnx::TensorData::I32(v) if v.len() == 1 => v[0].to_string(),
            rnnpack_onnx::TensorData::Bool(v) if v.len() == 1 => v[0].to_string(),
            _ => "FILE.npy".to_owned(),
        };
        whole.then(|| format!("make `{0}` known at load: --bind {0}={text} instead of --input", Shown(name)))
    };
    feeds.steps.first().into_iter().flatten().filter_map(bind).collect()
}

/// The dimensions of an input that the model leaves open, in words. `None` if all are fixed.
fn open_dimensions(info: &proto::ValueInfo) -> Option<String> {
    let shape = info.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
    let open = |(axis, dim): (usize, &proto::Dimension)| match Extent::from(dim) {
        Extent::Fixed(_) => None,
        Extent::Named(name) => Some(format!("{axis} ({})", Shown(&name))),
        Extent::Unknown => Some(axis.to_string()),
    };
    let open: Vec<String> = shape.dim.iter().enumerate().filter_map(open).collect();
    match open.as_slice() {
        [] => None,
        [one] => Some(format!("the model leaves its dimension {one} open")),
        several => Some(format!("the model leaves its dimensions {} open", several.join(" and "))),
    }
}

/// The names of all values on which the first input of the node called `name` depends. If several nodes have the name,
/// those of all.
fn ancestors<'m>(graph: &'m proto::Graph, name: &str) -> BTreeSet<&'m str> {
    // The index of the node that makes a value, and what each node needs.
    let mut makers = HashMap::<&str, usize>::new();
    let mut needs = Vec::<Vec<&str>>::new();
    let mut open = Vec::new();
    graphs(graph, &mut |g| {
        for node in &g.node {
            let inner = node.attribute.iter().flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs));
            let outputs = inner.flat_map(|g| &g.output).map(|output| output.name.as_str());
            makers.extend(node.output.iter().map(|output| (output.as_str(), needs.len())));
            needs.push(node.input.iter().map(String::as_str).chain(outputs).collect());
            if node.name == name {
                open.extend(node.input.first().map(String::as_str));
            }
        }
    });
    let mut found = BTreeSet::new();
    while let Some(value) = open.pop() {
        if found.insert(value) {
            // Each node once: another output of it needs the same.
            let needs = makers.get(value).map(|&node| std::mem::take(&mut needs[node]));
            open.extend(needs.into_iter().flatten());
        }
    }
    found
}
