//! Prepares a model's protobuf for tract: checks it, binds inputs, declares shapes, makes names unique.

use crate::error::value_error;
use rnnpack_onnx::{
    Error as OnnxError, NodeDescription, RecurrentOp, Tensor, UniqueNames, dtype_name, proto,
};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as DimValue;

/// The longest name or expression of a dimension in bytes, and the most parentheses in it. tract parses expressions
/// recursively and tries alternatives. Its time is exponential in their depth.
const MAX_DIM_PARAM: (usize, usize) = (128, 8);

/// How deeply `Loop` and `Scan` nodes may be nested.
const MAX_NESTED_LOOPS: usize = 4;

/// The most inputs of a model. tract's time to load it grows with the square of their number.
const MAX_INPUTS: usize = 1024;

/// Refuses what tract cannot handle: a `perm` that is not a permutation, values that are not tensors, and expressions
/// of dimensions, numbers of inputs and nested loops that would take too long.
pub(crate) fn screen(graph: &proto::Graph) -> Result<(), OnnxError> {
    let stored: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let mut inputs = graph.input.iter().filter(|input| !stored.contains(input.name.as_str()));
    if let Some(input) = inputs.nth(MAX_INPUTS) {
        return Err(value_error(&input.name, format!("the model has more than {MAX_INPUTS} inputs")));
    }
    check_graph(graph, 0)
}

/// Checks a graph inside `around` loops. The number of nested loops is bounded, because each level analyses the next
/// several times.
fn check_graph(graph: &proto::Graph, around: usize) -> Result<(), OnnxError> {
    let mut infos = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
    infos.try_for_each(|info| check_tensor(info).and_then(|()| check_dims(info)))?;
    for node in &graph.node {
        check_permutation(node)?;
        let inside = around + usize::from(matches!(node.op_type.as_str(), "Loop" | "Scan"));
        if inside > MAX_NESTED_LOOPS {
            let reason = format!("it is inside {MAX_NESTED_LOOPS} other loops, the most that are computed");
            return Err(OnnxError::Node { node: node.name.clone(), op: node.op_type.clone(), reason });
        }
        for attribute in &node.attribute {
            let graphs = attribute.g.as_deref().into_iter().chain(&attribute.graphs);
            graphs.into_iter().try_for_each(|g| check_graph(g, inside))?;
        }
    }
    Ok(())
}

/// Checks the `perm` of a `Transpose`. If it is not a permutation, tract does not terminate.
fn check_permutation(node: &proto::Node) -> Result<(), OnnxError> {
    let perm = node.attribute.iter().find(|a| node.op_type == "Transpose" && a.name == "perm");
    let Some(perm) = perm.map(|a| &a.ints) else { return Ok(()) };
    let mut seen = vec![false; perm.len()];
    for &axis in perm {
        let seen = usize::try_from(axis).ok().and_then(|a| seen.get_mut(a));
        if seen.is_none_or(|seen| std::mem::replace(seen, true)) {
            let (node, attribute) = (node.name.clone(), "perm".to_string());
            let reason = format!("it is no permutation of {} axes", perm.len());
            return Err(OnnxError::Attribute { node, attribute, reason });
        }
    }
    Ok(())
}

fn check_tensor(info: &proto::ValueInfo) -> Result<(), OnnxError> {
    let Some(t) = &info.r#type else { return Ok(()) };
    let other = [
        ("a sequence", &t.sequence_type),
        ("a map", &t.map_type),
        ("a sparse tensor", &t.sparse_tensor_type),
        ("an optional value", &t.optional_type),
    ];
    match other.iter().find(|(_, present)| present.is_some()) {
        Some((what, _)) => Err(value_error(&info.name, format!("it is {what}; only tensors are computed"))),
        None => Ok(()),
    }
}

fn check_dims(info: &proto::ValueInfo) -> Result<(), OnnxError> {
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    for dim in tensor.and_then(|t| t.shape.as_ref()).into_iter().flat_map(|s| &s.dim) {
        let Some(proto::DimensionValue::Param(p)) = &dim.value else { continue };
        if p.len() > MAX_DIM_PARAM.0 || p.matches('(').count() > MAX_DIM_PARAM.1 {
            return Err(value_error(&info.name, "the expression of a dimension is too long"));
        }
    }
    Ok(())
}

/// Turns bound inputs into stored tensors. They replace default values.
pub(crate) fn bind(graph: &mut proto::Graph, bindings: &[(String, Tensor)]) -> Result<(), OnnxError> {
    let mut inputs: HashMap<&str, &proto::ValueInfo> =
        graph.input.iter().map(|i| (i.name.as_str(), i)).collect();
    for (name, tensor) in bindings {
        let input = inputs.remove(name.as_str());
        let input = input.ok_or_else(|| value_error(name, "it is bound, but is no input of the model"))?;
        check_binding(input, tensor)?;
    }
    let bound: HashSet<&str> = bindings.iter().map(|(name, _)| name.as_str()).collect();
    graph.input.retain(|input| !bound.contains(input.name.as_str()));
    graph.initializer.retain(|default| !bound.contains(default.name.as_str()));
    graph.initializer.extend(bindings.iter().map(|(name, tensor)| tensor.to_proto(name)));
    Ok(())
}

fn check_binding(input: &proto::ValueInfo, tensor: &Tensor) -> Result<(), OnnxError> {
    let Some(declared) = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else { return Ok(()) };
    if declared.elem_type != tensor.dtype().number() {
        let expected = dtype_name(declared.elem_type);
        return Err(value_error(
            &input.name,
            format!("it is bound to {}, but is {expected}", tensor.dtype()),
        ));
    }
    let Some(shape) = &declared.shape else { return Ok(()) };
    let fits = |(dim, &size): (&proto::Dimension, &usize)| match &dim.value {
        Some(proto::DimensionValue::Value(d)) => *d < 0 || usize::try_from(*d) == Ok(size),
        _ => true,
    };
    if shape.dim.len() != tensor.dims().len() || !shape.dim.iter().zip(tensor.dims()).all(fits) {
        let reason =
            format!("it is bound to dimensions {:?}, which are not the declared ones", tensor.dims());
        return Err(value_error(&input.name, reason));
    }
    Ok(())
}

/// Declares the given shapes of inputs. If a dimension has a name, its size is declared wherever the name is used.
/// Gives a name to every input dimension that has neither a size nor a name.
pub(crate) fn declare_shapes(
    graph: &mut pb::GraphProto,
    shapes: &[(String, Vec<usize>)],
) -> Result<(), OnnxError> {
    let mut sizes: HashMap<String, usize> = HashMap::new();
    let mut seen = HashSet::new();
    let inputs: HashMap<String, usize> =
        graph.input.iter().enumerate().map(|(i, input)| (input.name.clone(), i)).collect();
    for (name, dims) in shapes {
        let input = inputs.get(name).map(|&i| &mut graph.input[i]);
        let input = input.ok_or_else(|| value_error(name, "it has a shape, but is no input of the model"))?;
        if !seen.insert(name) {
            return Err(value_error(name, "its shape is given twice"));
        }
        declare_shape(input, dims, &mut sizes)?;
    }
    for (i, input) in graph.input.iter_mut().enumerate() {
        let shape = tensor_type_mut(input).and_then(|t| t.shape.as_mut());
        for (d, dim) in shape.into_iter().flat_map(|s| &mut s.dim).enumerate() {
            let unknown = match &dim.value {
                None => true,
                Some(DimValue::DimValue(v)) => *v < 0,
                Some(DimValue::DimParam(p)) => p.is_empty(),
            };
            if unknown {
                dim.value = Some(DimValue::DimParam(format!("input_{i}_dim_{d}")));
            }
        }
    }
    if !sizes.is_empty() {
        substitute(graph, &sizes);
    }
    Ok(())
}

fn declare_shape(
    input: &mut pb::ValueInfoProto,
    dims: &[usize],
    sizes: &mut HashMap<String, usize>,
) -> Result<(), OnnxError> {
    let name = input.name.clone();
    let Some(declared) = tensor_type_mut(input) else {
        return Err(value_error(&name, "it is no tensor"));
    };
    let shape = declared.shape.get_or_insert_with(|| pb::TensorShapeProto {
        dim: vec![pb::tensor_shape_proto::Dimension::default(); dims.len()],
    });
    if shape.dim.len() != dims.len() {
        return Err(value_error(&name, format!("it has {} dimensions, not {}", shape.dim.len(), dims.len())));
    }
    for (i, (dim, &size)) in shape.dim.iter_mut().zip(dims).enumerate() {
        let new = i64::try_from(size).map_err(|_| value_error(&name, format!("dimension {i} overflows")))?;
        match &dim.value {
            Some(DimValue::DimValue(old)) if *old >= 0 && *old != new => {
                return Err(value_error(&name, format!("dimension {i} is {old}, not {size}")));
            }
            Some(DimValue::DimParam(p)) if is_identifier(p) => {
                let known = *sizes.entry(p.clone()).or_insert(size);
                if known != size {
                    return Err(value_error(&name, format!("dimension {i} (`{p}`) is {known} and {size}")));
                }
            }
            _ => {}
        }
        dim.value = Some(DimValue::DimValue(new));
    }
    Ok(())
}

fn is_identifier(param: &str) -> bool {
    !param.is_empty() && param.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Writes the sizes of named dimensions in `graph` and the graphs inside it. Removes expressions of names, so that
/// tract computes their values itself.
fn substitute(graph: &mut pb::GraphProto, sizes: &HashMap<String, usize>) {
    for info in graph.input.iter_mut().chain(&mut graph.output) {
        let shape = tensor_type_mut(info).and_then(|t| t.shape.as_mut());
        for dim in shape.into_iter().flat_map(|s| &mut s.dim) {
            if let Some(DimValue::DimParam(p)) = &dim.value {
                match sizes.get(p) {
                    Some(&size) => dim.value = Some(DimValue::DimValue(size as i64)),
                    None if !is_identifier(p) => dim.value = None,
                    None => {}
                }
            }
        }
    }
    inner_graphs(graph).for_each(|g| substitute(g, sizes));
}

/// Gives every node of the model a unique name, which tract needs. Recurrent nodes get the names of the list.
pub(crate) fn name_nodes(graph: &mut pb::GraphProto, nodes: &[NodeDescription]) {
    let mut taken = UniqueNames::default();
    nodes.iter().for_each(|n| taken.take(n.name.clone()));
    let mut recurrent = nodes.iter();
    name_graph(graph, &mut taken, &mut recurrent);
}

fn name_graph(
    graph: &mut pb::GraphProto,
    taken: &mut UniqueNames,
    recurrent: &mut std::slice::Iter<'_, NodeDescription>,
) {
    for node in &mut graph.node {
        if RecurrentOp::from_type(&node.op_type).is_some() {
            node.name = recurrent.next().map_or_else(String::new, |n| n.name.clone());
            continue;
        }
        node.name = taken.unique(if node.name.is_empty() { &node.op_type } else { &node.name });
    }
    inner_graphs(graph).for_each(|g| name_graph(g, taken, recurrent));
}

/// Changes the graphs inside nodes so that tract can read them: every input has a type (files leave it out in `If`,
/// `Loop` and `Scan`), and every output is a value of the graph itself.
pub(crate) fn close_bodies(graph: &mut pb::GraphProto) {
    let mut names = UniqueNames::default();
    collect_names(graph, &mut names);
    for inner in inner_graphs(graph) {
        close_body(inner, &mut names);
    }
}

fn close_body(graph: &mut pb::GraphProto, names: &mut UniqueNames) {
    for input in graph.input.iter_mut().filter(|i| tensor_type(i).is_none()) {
        let unknown = pb::type_proto::Tensor { elem_type: 1, shape: None };
        let value = Some(pb::type_proto::Value::TensorType(unknown));
        input.r#type = Some(pb::TypeProto { value, ..Default::default() });
    }
    let own: HashSet<&str> = own_values(graph).collect();
    let foreign: Vec<usize> =
        (0..graph.output.len()).filter(|&i| !own.contains(graph.output[i].name.as_str())).collect();
    for i in foreign {
        let from = graph.output[i].name.clone();
        let to = names.unique(&from);
        graph.output[i].name.clone_from(&to);
        let (op_type, name) = ("Identity".into(), to.clone());
        let (input, output) = (vec![from], vec![to]);
        graph.node.push(pb::NodeProto { op_type, name, input, output, ..Default::default() });
    }
    for inner in inner_graphs(graph) {
        close_body(inner, names);
    }
}

/// The graph's own values: its inputs, its stored tensors and the outputs of its nodes.
fn own_values(graph: &pb::GraphProto) -> impl Iterator<Item = &str> {
    let inputs = graph.input.iter().map(|i| i.name.as_str());
    let stored = graph.initializer.iter().map(|t| t.name.as_str());
    inputs.chain(stored).chain(graph.node.iter().flat_map(|n| &n.output).map(String::as_str))
}

/// Collects the names of the values and nodes of `graph` and of the graphs inside it.
pub(crate) fn collect_names(graph: &pb::GraphProto, names: &mut UniqueNames) {
    own_values(graph).for_each(|name| names.take(name.to_string()));
    graph.node.iter().for_each(|n| names.take(n.name.clone()));
    for attribute in graph.node.iter().flat_map(|n| &n.attribute) {
        attribute.g.iter().chain(&attribute.graphs).for_each(|g| collect_names(g, names));
    }
}

fn inner_graphs(graph: &mut pb::GraphProto) -> impl Iterator<Item = &mut pb::GraphProto> {
    let attributes = graph.node.iter_mut().flat_map(|n| &mut n.attribute);
    attributes.flat_map(|a| a.g.iter_mut().chain(&mut a.graphs))
}

fn tensor_type(info: &pb::ValueInfoProto) -> Option<&pb::type_proto::Tensor> {
    let Some(pb::type_proto::Value::TensorType(t)) = &info.r#type.as_ref()?.value else { return None };
    Some(t)
}

fn tensor_type_mut(info: &mut pb::ValueInfoProto) -> Option<&mut pb::type_proto::Tensor> {
    let Some(pb::type_proto::Value::TensorType(t)) = &mut info.r#type.as_mut()?.value else { return None };
    Some(t)
}
