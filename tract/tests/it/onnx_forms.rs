//! Tests models that are written in other forms than one graph with dense data: each computes what the plain model does.

use rnnpack_dev::onnx::one::{H, I, One, one};
use rnnpack_dev::onnx::{
    BFLOAT16, Dim, FLOAT, FLOAT16, Function, Graph, INT32, INT64, Msg, Numbers, attr_g, attr_i, attr_ref,
    attr_s, call, external, model, node, raw, sparse, tensor, tensor_bool, tensor_i64, untyped, value,
};
use rnnpack_onnx::{Tensor, f16};
use rnnpack_tract::{DType, Loader, Model, TensorData};

/// The model of one LSTM with weights that can be told apart.
fn plain() -> One {
    let mut n = Numbers(5);
    One {
        stored: vec![
            tensor("W", &[1, 4 * H, I], &n.floats(4 * H * I)),
            tensor("R", &[1, 4 * H, H], &n.floats(4 * H * H)),
            tensor("B", &[1, 8 * H], &n.floats(8 * H)),
        ],
        ..one()
    }
}

fn x() -> Tensor {
    Tensor::new(&[4, 2, I], Numbers(7).floats(8 * I)).unwrap()
}

/// The outputs of a model for `X`.
fn run(model: &Model) -> Vec<(String, Tensor)> {
    model.run(&[("X", &x())]).unwrap()
}

fn load(bytes: &[u8]) -> Model {
    Model::load(bytes).unwrap_or_else(|e| panic!("{e}"))
}

/// The Y of the plain model.
fn expected() -> Tensor {
    run(&load(&plain().bytes())).remove(0).1
}

#[test]
fn weights_in_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut n = Numbers(5);
    let data: Vec<u8> = (0..4 * H * I).flat_map(|_| n.floats(1)[0].to_le_bytes()).collect();
    std::fs::write(folder.path().join("model.onnx.data"), [&[0; 64][..], &data].concat()).unwrap();
    let place = [("location", "model.onnx.data"), ("offset", "64"), ("length", "96")];
    let bytes = plain().stored(0, external("W", &[1, 4 * H, I], 1, &place)).bytes();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(run(&Loader::new().load_path(&path).unwrap())[0].1, expected());
    let e = Model::load(&bytes).unwrap_err().to_string();
    assert!(e.starts_with("tensor `W`: ") && e.contains("load the model by its path"), "{e}");
}

#[test]
fn a_layer_in_a_function_that_a_function_calls() {
    let lstm = node("LSTM", "lstm", &["x", "w", "r", "b"], &["y"], &[attr_ref("direction", 3, "side")]);
    let mut layer = Function::new("layer", &["x", "w", "r", "b"], &["y"], &[lstm]);
    layer.defaults = vec![attr_s("side", "sideways")];
    let inner = call("layer", "layer", &["x", "W", "r", "b"], &["t"], &[attr_s("side", "forward")]);
    let cast = node("Identity", "", &["t"], &["y"], &[]);
    let outer = Function::new("outer", &["x", "W", "r", "b"], &["y"], &[inner, cast]);
    let graph =
        Graph { nodes: vec![call("outer", "net", &["X", "W", "R", "B"], &["Y"], &[])], ..plain().graph() };
    let bytes = outer.add_to(layer.add_to(graph.model(17), 17), 17);
    let model = load(&bytes);
    assert_eq!(run(&model)[0].1, expected());
    assert_eq!(model.recurrent_nodes()[0].name, "net/layer/lstm");
}

#[test]
fn sparse_weights_and_both_imports() {
    let mut dense = vec![0f32; 4 * H * I];
    (dense[1], dense[20]) = (0.75, -0.5);
    let w = sparse(&tensor("W", &[2], &[0.75, -0.5]), &tensor_i64("", &[2], &[1, 20]), &[1, 8, 3]);
    let mut graph = plain().graph();
    graph.stored.remove(0);
    let bytes =
        Msg(model(&graph.msg().msg(15, &w), 17)).msg(8, &Msg::default().text(1, "ai.onnx").int(2, 17));
    let dense = load(&plain().stored(0, tensor("W", &[1, 4 * H, I], &dense)).bytes());
    assert_eq!(run(&load(&bytes.0)), run(&dense));
}

#[test]
fn a_body_whose_input_hides_an_outer_value() {
    // The body doubles its own `h`; the outer `h` is added after the loop.
    let body = Graph {
        nodes: vec![node("Add", "", &["h", "h"], &["s"], &[]), node("Identity", "", &["c"], &["c_out"], &[])],
        inputs: ["i", "c", "h"].map(untyped).to_vec(),
        outputs: ["c_out", "s"].map(untyped).to_vec(),
        ..Graph::default()
    };
    let graph = Graph {
        nodes: vec![
            node("Relu", "", &["X"], &["h"], &[]),
            node("Loop", "", &["M", "", "h"], &["s"], &[attr_g("body", &body.msg())]),
            node("Add", "", &["s", "h"], &["Y"], &[]),
        ],
        stored: vec![tensor_i64("M", &[], &[3])],
        inputs: vec![value("X", FLOAT, &[Dim::N(2)])],
        outputs: vec![untyped("Y")],
    };
    // Without a condition, the body's must be true.
    let mut graph = graph;
    graph.stored.push(tensor_bool("yes", &[], &[true]));
    graph.nodes[1] = node("Loop", "", &["M", "yes", "h"], &["s"], &[attr_g("body", &body.msg())]);
    let x = Tensor::new(&[2], vec![1f32, -1.0]).unwrap();
    let found = load(&graph.model(17)).run(&[("X", &x)]).unwrap();
    assert_eq!(found[0].1, Tensor::new(&[2], vec![9f32, 0.0]).unwrap());
}

#[test]
fn declared_types_and_shapes_of_inner_values_are_not_believed() {
    let wrong = [
        value("Y", INT64, &[Dim::N(9)]),
        value("Z", FLOAT16, &[Dim::N(1), Dim::N(1), Dim::N(1), Dim::N(7)]),
        value("Z", FLOAT, &[]),
    ];
    for info in wrong {
        let mut graph = plain().graph();
        graph.nodes.push(node("Relu", "", &["Y"], &["Z"], &[]));
        graph.outputs = vec![untyped("Z")];
        let relu = run(&load(&graph.model(17)));
        assert_eq!(run(&load(&model(&graph.msg().msg(13, &info), 17))), relu);
    }
    // The declared type of X of the layer is that from before a conversion to half precision.
    let half = |name, dims: &[usize]| raw(name, dims, FLOAT16, vec![0; 2 * dims.iter().product::<usize>()]);
    let mut graph = plain().inputs(&["x", "W", "R"]).graph();
    graph.stored = vec![half("W", &[1, 4 * H, I]), half("R", &[1, 4 * H, H])];
    graph.nodes.insert(0, node("Cast", "", &["X"], &["x"], &[attr_i("to", FLOAT16)]));
    let stale = value("x", FLOAT, &[Dim::N(1), Dim::N(1), Dim::N(I)]);
    let found = run(&load(&model(&graph.msg().msg(13, &stale), 17)));
    assert_eq!(found[0].1.dtype(), DType::F16);
    // A branch declares other types and shapes for its output.
    let branch = |dims: &[Dim]| Graph {
        nodes: vec![node("Neg", "", &["X"], &["v"], &[])],
        outputs: vec![value("v", INT64, dims)],
        ..Graph::default()
    };
    let branches =
        [attr_g("then_branch", &branch(&[Dim::N(7)]).msg()), attr_g("else_branch", &branch(&[]).msg())];
    let graph = Graph {
        nodes: vec![node("If", "", &["yes"], &["Y"], &branches)],
        inputs: vec![value("X", FLOAT, &[Dim::N(4), Dim::N(2), Dim::N(I)]), value("yes", 9, &[])],
        outputs: vec![untyped("Y")],
        ..Graph::default()
    };
    let found = load(&graph.model(17)).run(&[("X", &x()), ("yes", &Tensor::scalar(true))]).unwrap();
    assert_eq!(found[0].1.dims(), [4, 2, I]);
}

#[test]
fn inputs_stored_tensors_and_repeated_values_are_outputs() {
    let mut graph = plain().graph();
    graph.stored.push(tensor_i64("n", &[2], &[3, 4]));
    graph.inputs.push(value("n", INT64, &[Dim::N(2)]));
    graph.outputs = ["X", "Y", "n", "Y", "X", "B"].map(untyped).to_vec();
    let found = run(&load(&graph.model(17)));
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["X", "Y", "n", "Y", "X", "B"]);
    assert_eq!((&found[0].1, &found[4].1), (&x(), &x()));
    assert_eq!((&found[1].1, &found[3].1), (&expected(), &expected()));
    assert_eq!(found[2].1.as_slice::<i64>().unwrap(), [3, 4]);
    assert_eq!(found[5].1.dims(), [1, 8 * H]);
    // Only inputs, of several types, without a node.
    let types = [FLOAT, FLOAT16, BFLOAT16, INT64];
    let names = ["a", "b", "c", "d"];
    let inputs = types.iter().zip(names).map(|(&t, name)| value(name, t, &[Dim::Name("N")])).collect();
    let graph = Graph { inputs, outputs: names.map(untyped).to_vec(), ..Graph::default() };
    let model = load(&graph.model(22));
    let wide = Tensor::new(&[3], vec![1f32, -0.0, f32::NAN]).unwrap();
    let values = [wide.clone(), wide.round_to(DType::F16).unwrap(), wide.round_to(DType::BF16).unwrap()];
    let integers = Tensor::new(&[3], vec![i64::MIN, 0, i64::MAX]).unwrap();
    let feeds: Vec<_> = names.into_iter().zip(values.iter().chain([&integers])).collect();
    for ((name, found), (_, given)) in model.run(&feeds).unwrap().iter().zip(&feeds) {
        assert_eq!(found.to_proto("").raw_data, given.to_proto("").raw_data, "{name}");
    }
}

#[test]
fn an_input_with_a_default_is_optional_and_may_be_bound() {
    let mut graph = plain().inputs(&["X", "W", "R", "B", "", "h"]).graph();
    graph.stored.push(tensor("h", &[1, 2, H], &[0.0; 2 * H]));
    graph.inputs.push(value("h", FLOAT, &[Dim::N(1), Dim::N(2), Dim::N(H)]));
    let bytes = graph.model(17);
    let model = load(&bytes);
    assert_eq!(model.inputs().len(), 1);
    assert_eq!(run(&model)[0].1, expected());
    let given = Tensor::new(&[1, 2, H], Numbers(9).floats(2 * H)).unwrap();
    let bound = run(&Loader::new().bind("h", given.clone()).load(&bytes).unwrap());
    // The same model without the default.
    let mut open = graph;
    open.stored.pop();
    let found = load(&open.model(17)).run(&[("X", &x()), ("h", &given)]).unwrap();
    assert_eq!(bound[0].1, found[0].1);
    assert_ne!(bound[0].1, expected());
    let e = Loader::new().bind("h", Tensor::scalar(1f32)).load(&bytes).unwrap_err().to_string();
    assert!(e.starts_with("value `h`: it is bound to dimensions []"), "{e}");
}

#[test]
fn a_bound_weight_replaces_its_default() {
    let mut graph = plain().graph();
    graph.inputs.push(value("W", FLOAT, &[Dim::N(1), Dim::N(4 * H), Dim::N(I)]));
    let w = Tensor::new(&[1, 4 * H, I], Numbers(11).floats(4 * H * I)).unwrap();
    let found = run(&Loader::new().bind("W", w.clone()).load(&graph.model(17)).unwrap());
    let w = tensor("W", &[1, 4 * H, I], w.as_slice().unwrap());
    assert_eq!(found, run(&load(&plain().stored(0, w).bytes())));
}

#[test]
fn every_element_type_is_given_and_returned() {
    let values = [
        TensorData::I8(vec![i8::MIN, 0, i8::MAX]),
        TensorData::U8(vec![0, 1, u8::MAX]),
        TensorData::I16(vec![i16::MIN, 0, i16::MAX]),
        TensorData::U16(vec![0, 1, u16::MAX]),
        TensorData::I32(vec![i32::MIN, 0, i32::MAX]),
        TensorData::U32(vec![0, 1, u32::MAX]),
        TensorData::I64(vec![i64::MIN, 0, i64::MAX]),
        TensorData::U64(vec![0, 1, u64::MAX]),
        TensorData::Bool(vec![true, false, true]),
        TensorData::F64(vec![f64::MIN, 0.0, f64::INFINITY]),
        TensorData::F16(vec![f16::NEG_INFINITY, f16::MAX, f16::ZERO]),
    ];
    for data in values {
        let number = data.dtype().number().into();
        let given = Tensor::from_data(vec![3], data).unwrap();
        let stored = given.to_proto("s").raw_data;
        let graph = Graph {
            nodes: vec![node("Concat", "", &["x", "s"], &["y"], &[attr_i("axis", 0)])],
            stored: vec![raw("s", &[3], number, stored.clone())],
            inputs: vec![value("x", number, &[Dim::Name("N")])],
            outputs: vec![value("y", number, &[Dim::N(6)])],
        };
        let found = load(&graph.model(17)).run(&[("x", &given)]).unwrap();
        assert_eq!((found[0].1.dtype(), found[0].1.dims()), (given.dtype(), &[6][..]));
        assert_eq!(found[0].1.to_proto("").raw_data, [stored.clone(), stored].concat(), "{}", given.dtype());
    }
}

#[test]
fn lengths_in_a_wrong_type_are_still_refused_by_name() {
    let mut graph = plain().inputs(&["X", "W", "R", "B", "lens"]).graph();
    graph.inputs.push(value("lens", INT64, &[Dim::Name("B")]));
    let e = Model::load(&graph.model(17)).unwrap_err().to_string();
    assert_eq!(e, "node `lstm`: input `sequence_lens`: it is INT64, not INT32");
    graph.inputs.pop();
    graph.inputs.push(value("l", INT64, &[Dim::Name("B")]));
    graph.nodes.insert(0, node("Identity", "", &["l"], &["lens"], &[]));
    let stale = value("lens", INT32, &[]);
    let e = Model::load(&model(&graph.msg().msg(13, &stale), 17)).unwrap_err().to_string();
    assert!(e.contains("sequence_lens") && e.contains("i32"), "{e}");
}
