//! Converts a decoded model into tract's messages, without copying it, and a recurrent node back.
//!
//! What a file declares about values other than the inputs of a graph and the outputs of the model is left out. tract
//! would believe it, but tools that change a model leave old types and shapes behind. tract infers them itself.

use rnnpack_onnx::proto;
use tract_onnx::pb;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto;

/// The parts of the model that tract reads.
pub(crate) fn model(m: proto::Model) -> pb::ModelProto {
    let opset = |o: proto::OpsetId| pb::OperatorSetIdProto { domain: o.domain, version: o.version };
    pb::ModelProto {
        opset_import: m.opset_import.into_iter().map(opset).collect(),
        graph: m.graph.map(graph),
        ..Default::default()
    }
}

fn graph(g: proto::Graph) -> pb::GraphProto {
    pb::GraphProto {
        node: g.node.into_iter().map(node).collect(),
        name: g.name,
        initializer: g.initializer.into_iter().map(tensor).collect(),
        input: g.input.into_iter().map(info).collect(),
        output: g.output.into_iter().map(info).collect(),
        ..Default::default()
    }
}

/// A graph inside a node. Its outputs have only names. The declared shapes of its inputs are kept: they say whether the
/// number of an iteration is a scalar.
fn inner(mut g: proto::Graph) -> pb::GraphProto {
    g.output.iter_mut().for_each(|info| info.r#type = None);
    graph(g)
}

fn node(n: proto::Node) -> pb::NodeProto {
    pb::NodeProto {
        input: n.input,
        output: n.output,
        name: n.name,
        op_type: n.op_type,
        domain: n.domain,
        attribute: n.attribute.into_iter().map(attribute).collect(),
        ..Default::default()
    }
}

fn attribute(a: proto::Attribute) -> pb::AttributeProto {
    pb::AttributeProto {
        name: a.name,
        ref_attr_name: a.ref_attr_name,
        r#type: a.kind,
        f: a.f,
        i: a.i,
        s: a.s,
        t: a.t.map(|t| tensor(*t)),
        g: a.g.map(|g| inner(*g)),
        floats: a.floats,
        ints: a.ints,
        strings: a.strings,
        tensors: a.tensors.into_iter().map(tensor).collect(),
        graphs: a.graphs.into_iter().map(inner).collect(),
        ..Default::default()
    }
}

fn tensor(t: proto::Tensor) -> pb::TensorProto {
    pb::TensorProto {
        dims: t.dims,
        data_type: t.data_type,
        float_data: t.float_data,
        int32_data: t.int32_data,
        string_data: t.string_data,
        int64_data: t.int64_data,
        name: t.name,
        raw_data: t.raw_data,
        double_data: t.double_data,
        uint64_data: t.uint64_data,
        ..Default::default()
    }
}

/// A value's name, and its type if it is a tensor. tract reads no other types.
fn info(info: proto::ValueInfo) -> pb::ValueInfoProto {
    let tensor = info.r#type.and_then(|t| t.tensor_type);
    let tensor = tensor.map(|t| type_proto::Tensor { elem_type: t.elem_type, shape: t.shape.map(shape) });
    let value = |t| pb::TypeProto { value: Some(type_proto::Value::TensorType(t)), ..Default::default() };
    pb::ValueInfoProto { name: info.name, r#type: tensor.map(value), ..Default::default() }
}

fn shape(shape: proto::Shape) -> pb::TensorShapeProto {
    let value = |value| match value {
        proto::DimensionValue::Value(v) => dimension::Value::DimValue(v),
        proto::DimensionValue::Param(p) => dimension::Value::DimParam(p),
    };
    let dim = |d: proto::Dimension| Dimension { value: d.value.map(value), ..Default::default() };
    pb::TensorShapeProto { dim: shape.dim.into_iter().map(dim).collect() }
}

/// Converts a recurrent node of tract's into the form that the importer reads. Its attributes have no tensors and no
/// graphs.
pub(crate) fn recurrent(n: &pb::NodeProto) -> proto::Node {
    let attribute = |a: &pb::AttributeProto| proto::Attribute {
        name: a.name.clone(),
        ref_attr_name: a.ref_attr_name.clone(),
        kind: a.r#type,
        f: a.f,
        i: a.i,
        s: a.s.clone(),
        floats: a.floats.clone(),
        ints: a.ints.clone(),
        strings: a.strings.clone(),
        ..Default::default()
    };
    proto::Node {
        input: n.input.clone(),
        output: n.output.clone(),
        name: n.name.clone(),
        op_type: n.op_type.clone(),
        domain: n.domain.clone(),
        attribute: n.attribute.iter().map(attribute).collect(),
        ..Default::default()
    }
}
