//! Tests that weights that are inputs are packed again only when they change.

use super::*;
use crate::repeat_op::RepeatMemory;
use crate::{Loader, Model, Stream};
use prost::Message;
use rnnpack_onnx as onnx;
use tract_onnx::pb;

/// W, R and B of an LSTM with I = 3 and H = 2.
const WEIGHTS: [(&str, &[usize]); 3] = [("W", &[1, 8, 3]), ("R", &[1, 8, 2]), ("B", &[1, 16])];

fn node(op: &str, inputs: &[&str], outputs: &[&str], graph: Option<pb::GraphProto>) -> pb::NodeProto {
    let names = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
    let body = |g| {
        let r#type = pb::attribute_proto::AttributeType::Graph as i32;
        pb::AttributeProto { name: "body".into(), r#type, g: Some(g), ..Default::default() }
    };
    let attribute = graph.map(body).into_iter().collect();
    let op_type = op.to_string();
    pb::NodeProto { op_type, input: names(inputs), output: names(outputs), attribute, ..Default::default() }
}

fn info(name: &str, dims: Option<&[usize]>) -> pb::ValueInfoProto {
    let dim = |&d: &usize| pb::tensor_shape_proto::Dimension {
        value: Some(pb::tensor_shape_proto::dimension::Value::DimValue(d as i64)),
        ..Default::default()
    };
    let of = |dims: &[usize]| {
        let shape = Some(pb::TensorShapeProto { dim: dims.iter().map(dim).collect() });
        let value = pb::type_proto::Value::TensorType(pb::type_proto::Tensor { elem_type: 1, shape });
        pb::TypeProto { value: Some(value), ..Default::default() }
    };
    pb::ValueInfoProto { name: name.into(), r#type: dims.map(of), ..Default::default() }
}

/// An LSTM whose weights are inputs, in the main graph or in a loop of five iterations.
fn model(in_loop: bool) -> Model {
    let lstm = |y: &str| node("LSTM", &["X", "W", "R", "B"], &[y], None);
    let mut graph = pb::GraphProto { name: "main".into(), ..Default::default() };
    graph.input = WEIGHTS.iter().map(|(name, dims)| info(name, Some(dims))).collect();
    graph.input.push(info("X", Some(&[2, 1, 3])));
    graph.output = vec![info("Y", None)];
    if in_loop {
        let mut body = pb::GraphProto { name: "body".into(), ..Default::default() };
        body.input = vec![info("i", None), info("going", None)];
        body.output = vec![info("going", None), info("y", None)];
        body.node = vec![lstm("y")];
        let five = pb::TensorProto { data_type: 7, int64_data: vec![5], ..Default::default() };
        graph.initializer = vec![pb::TensorProto { name: "five".into(), ..five }];
        graph.node = vec![node("Loop", &["five", ""], &["Y"], Some(body))];
    } else {
        graph.node = vec![lstm("Y")];
    }
    let opset = pb::OperatorSetIdProto { version: 17, ..Default::default() };
    let model = pb::ModelProto { graph: Some(graph), opset_import: vec![opset], ..Default::default() };
    Loader::new().load(&model.encode_to_vec()).unwrap()
}

/// The packed layer of a stream's LSTM.
fn packed(stream: &Stream) -> Option<Arc<NodeLayer>> {
    fn found(state: &TypedSimpleState) -> Option<Arc<NodeLayer>> {
        let kept = state.op_states.iter().flatten().filter_map(|state| state.downcast_ref::<Kept>());
        kept.map(Kept::memory).find_map(|memory| match memory.downcast_ref::<LayerMemory>() {
            Some(memory) => memory.packed.as_ref().map(|p| p.layer.clone()),
            None => found(memory.downcast_ref::<RepeatMemory>()?.body()?),
        })
    }
    found(stream.state.as_ref()?)
}

fn weights(change: Option<usize>) -> [onnx::Tensor; 3] {
    std::array::from_fn(|i| {
        let mut values = vec![0.25f32; WEIGHTS[i].1.iter().product()];
        if change == Some(i) {
            values[3] = 0.0;
        }
        onnx::Tensor::new(WEIGHTS[i].1, values).unwrap()
    })
}

#[test]
fn weights_are_packed_again_only_when_they_change() {
    for in_loop in [false, true] {
        let model = model(in_loop);
        let mut stream = model.stream(&[]).unwrap();
        // All layers are kept, so that no two have the same address.
        let mut packings: Vec<Arc<NodeLayer>> = vec![];
        let mut call = |weights: &[onnx::Tensor; 3], x: f32| {
            let x = onnx::Tensor::new(&[2, 1, 3], vec![x; 6]).unwrap();
            let named = WEIGHTS.iter().map(|(name, _)| *name).zip(weights);
            let feeds: Vec<_> = named.chain([("X", &x)]).collect();
            let found = stream.run(&feeds).unwrap();
            assert_eq!(found, model.run(&feeds).unwrap(), "as a stream that packs them afresh");
            let layer = packed(&stream).unwrap();
            if packings.last().is_none_or(|last| !Arc::ptr_eq(last, &layer)) {
                packings.push(layer);
            }
            packings.len()
        };
        let same = weights(None);
        assert_eq!(call(&same, 0.5), 1);
        assert_eq!(call(&same, -0.5), 1, "the same tensors");
        assert_eq!(call(&weights(None), 0.5), 1, "other tensors of the same contents");
        for (i, count) in [(0, 2), (1, 3), (2, 4)] {
            assert_eq!(call(&weights(Some(i)), 0.5), count, "{} changed", WEIGHTS[i].0);
        }
        let mut minus = weights(Some(2));
        let zero = |v: &f32| if *v == 0.0 { -0.0 } else { *v };
        let values = minus[2].as_slice::<f32>().unwrap().iter().map(zero).collect();
        minus[2] = onnx::Tensor::new(WEIGHTS[2].1, values).unwrap();
        assert_eq!(call(&minus, 0.5), 5, "the sign of a zero is a change");
        assert_eq!(call(&same, 0.5), 6, "back to the first");
        assert_eq!(call(&same, 0.25), 6);
    }
}

#[test]
fn weights_that_are_refused_do_not_stay() {
    let model = model(false);
    let mut stream = model.stream(&[]).unwrap();
    let x = onnx::Tensor::new(&[2, 1, 3], vec![0.5f32; 6]).unwrap();
    let mut run = |weights: &[onnx::Tensor; 3]| {
        let named = WEIGHTS.iter().map(|(name, _)| *name).zip(weights);
        stream.run(&named.chain([("X", &x)]).collect::<Vec<_>>())
    };
    let first = run(&weights(None)).unwrap();
    let mut bad = weights(None);
    bad[1] = onnx::Tensor::new(WEIGHTS[1].1, vec![f32::NAN; 16]).unwrap();
    run(&bad).unwrap_err();
    assert_eq!(run(&weights(None)).unwrap(), first);
}
