//! Tests that unsupported loops and scans are refused by name.

use super::{assert_refused, carrying, floats, onnx_error, outputs};
use rnnpack_dev::onnx::{
    Dim, FLOAT, Graph, INT64, Msg, attr_g, attr_i, attr_ints, node, tensor, tensor_i64, value,
};
use rnnpack_onnx::{Error as OnnxError, Tensor};
use rnnpack_tract::Error;
use rnnpack_tract::Model;
use std::time::{Duration, Instant};

#[test]
fn loops_that_do_not_fit_are_refused_by_name() {
    let cast = |g: &mut Graph| g.nodes.push(node("Cast", "", &["v_in"], &["v_out"], &[attr_i("to", 7)]));
    let bytes = carrying(FLOAT, &[Dim::N(1)], cast, &["going", "v_out"], 13);
    assert_refused(
        &bytes,
        "loop",
        Some("v_initial[0]"),
        "`v_out` enters an iteration with the element type F32",
    );
    let flat = |g: &mut Graph| g.nodes.push(node("Flatten", "", &["v_in"], &["v_out"], &[]));
    let bytes = carrying(FLOAT, &[Dim::N(1)], flat, &["going", "v_out"], 13);
    assert_refused(&bytes, "loop", Some("v_initial[0]"), "dimensions, 1 and leaves it with 2");
    let none = |_: &mut Graph| {};
    let bytes = carrying(FLOAT, &[Dim::N(1)], |g| drop(g.inputs.pop()), &["going", "v"], 13);
    assert_refused(&bytes, "loop", None, "its body has 2 inputs, where the node asks for 3");
    let bytes = carrying(FLOAT, &[Dim::N(1)], none, &["going"], 13);
    assert_refused(&bytes, "loop", None, "its body has 1 outputs, where 1 values are carried");
    let stored = |g: &mut Graph| g.stored.push(tensor("v_in", &[1], &[0.]));
    let bytes = carrying(FLOAT, &[Dim::N(1)], stored, &["going", "v_in"], 13);
    assert_refused(&bytes, "loop", None, "stored value");
    let bytes = carrying(FLOAT, &[Dim::N(1)], none, &["going", "v_in"], 99);
    assert!(matches!(onnx_error(Model::load(&bytes), "99"), OnnxError::Opset { version: Some(99), .. }));
}

#[test]
fn counts_and_conditions_of_other_types_are_refused() {
    for (name, inputs) in [("M", ["x", "", "x"]), ("cond", ["", "x", "x"])] {
        let body = Graph {
            inputs: outputs(&["i", "going", "v_in"]),
            outputs: outputs(&["going", "v_in"]),
            ..Graph::default()
        };
        let main = Graph {
            inputs: vec![value("x", FLOAT, &[])],
            nodes: vec![node("Loop", "loop", &inputs, &["last"], &[attr_g("body", &body.msg())])],
            outputs: outputs(&["last"]),
            ..Graph::default()
        };
        assert_refused(&main.model(13), "loop", Some(name), "not one");
    }
}

#[test]
fn attributes_of_loops_and_scans_are_checked() {
    let base = |op: &str, attrs: &[Msg]| {
        let mut body =
            Graph { inputs: outputs(&["h_in", "x_t"]), outputs: outputs(&["sum", "y"]), ..Graph::default() };
        body.nodes.push(node("Add", "", &["h_in", "x_t"], &["sum"], &[]));
        body.nodes.push(node("Neg", "", &["sum"], &["y"], &[]));
        let attrs = [&[attr_g("body", &body.msg())], attrs].concat();
        let main = Graph {
            inputs: vec![value("h", FLOAT, &[Dim::N(2)]), value("x", FLOAT, &[Dim::Name("T"), Dim::N(2)])],
            nodes: vec![node(op, "it", &["h", "x"], &["last", "all"], &attrs)],
            outputs: outputs(&["last", "all"]),
            ..Graph::default()
        };
        main.model(17)
    };
    let one = attr_i("num_scan_inputs", 1);
    Model::load(&base("Scan", std::slice::from_ref(&one))).unwrap();
    for (name, op, attrs) in [
        ("num_scan_inputs", "Scan", vec![]),
        ("num_scan_inputs", "Scan", vec![attr_i("num_scan_inputs", 3)]),
        ("num_scan_inputs", "Scan", vec![attr_i("num_scan_inputs", -1)]),
        ("num_scan_inputs", "Scan", vec![attr_ints("num_scan_inputs", &[1])]),
        ("num_scan_inputs", "Scan", vec![one.clone(), one.clone()]),
        ("directions", "Scan", vec![one.clone(), attr_ints("directions", &[0])]),
        ("scan_input_axes", "Scan", vec![one.clone(), attr_ints("scan_input_axes", &[0, 0])]),
        ("scan_input_directions", "Scan", vec![one.clone(), attr_ints("scan_input_directions", &[2])]),
        ("scan_output_directions", "Scan", vec![one.clone(), attr_ints("scan_output_directions", &[])]),
        ("num_scan_inputs", "Loop", vec![one.clone()]),
    ] {
        match onnx_error(Model::load(&base(op, &attrs)), name) {
            OnnxError::Attribute { node, attribute, .. } => {
                assert_eq!((node.as_str(), attribute.as_str()), ("it", name));
            }
            e => panic!("{name}: {e}"),
        }
    }
    let axes = |name: &str, axis| [one.clone(), attr_ints(name, &[axis])];
    for axis in [2, -3, i64::MAX, i64::MIN] {
        assert_refused(&base("Scan", &axes("scan_input_axes", axis)), "it", Some("scan_input[0]"), "no axis");
        assert_refused(&base("Scan", &axes("scan_output_axes", axis)), "it", None, "no axis");
    }
}

#[test]
fn scanned_inputs_of_different_lengths_are_refused() {
    let body = Graph {
        inputs: outputs(&["a_t", "b_t"]),
        nodes: vec![node("Add", "", &["a_t", "b_t"], &["sum"], &[])],
        outputs: outputs(&["sum"]),
        ..Graph::default()
    };
    let attrs = [attr_g("body", &body.msg()), attr_i("num_scan_inputs", 2)];
    let main = Graph {
        inputs: ["a", "b"].map(|n| value(n, FLOAT, &[Dim::Name(n)])).to_vec(),
        nodes: vec![node("Scan", "scan", &["a", "b"], &["c"], &attrs)],
        outputs: outputs(&["c"]),
        ..Graph::default()
    };
    let model = Model::load(&main.model(17)).unwrap();
    let of = |n: usize| Tensor::new(&[n], vec![1f32; n]).unwrap();
    assert_eq!(floats(&model.run(&[("a", &of(3)), ("b", &of(3))]).unwrap()[0].1), [2.0; 3]);
    match onnx_error(model.run(&[("a", &of(3)), ("b", &of(2))]), "lengths") {
        OnnxError::Input { node, input, reason } => {
            assert_eq!((node.as_str(), input.as_str()), ("scan", "scan_input[1]"));
            assert!(reason.contains("it has 2 slices, where scan_input[0] has 3"), "{reason}");
        }
        e => panic!("{e}"),
    }
}

#[test]
fn elements_that_do_not_stack_are_refused() {
    // The carried value grows, and is also collected.
    let grow = |g: &mut Graph| {
        g.nodes.push(node("Concat", "", &["v_in", "v_in"], &["v_out"], &[attr_i("axis", 0)]));
        g.nodes.push(node("Neg", "", &["v_out"], &["minus"], &[]));
    };
    let model = Model::load(&carrying(FLOAT, &[Dim::N(1)], grow, &["going", "v_out", "minus"], 13)).unwrap();
    match onnx_error(model.run(&[("v", &Tensor::new(&[1], vec![2f32]).unwrap())]), "stack") {
        OnnxError::Node { node, reason, .. } => {
            assert_eq!(node, "loop");
            assert!(reason.contains("`minus` has dimensions [4] in iteration 1, [2] before"), "{reason}");
        }
        e => panic!("{e}"),
    }
}

#[test]
fn no_iteration_is_refused_where_only_one_would_tell_the_dimensions() {
    let mut body = Graph { inputs: outputs(&["i", "going", "v_in"]), ..Graph::default() };
    body.nodes.push(node("Concat", "", &["v_in", "v_in"], &["v_out"], &[attr_i("axis", 0)]));
    body.nodes.push(node("Neg", "", &["v_in"], &["minus"], &[]));
    body.outputs = outputs(&["going", "v_out", "minus"]);
    let main = Graph {
        inputs: vec![value("v", FLOAT, &[Dim::N(1)]), value("M", INT64, &[])],
        nodes: vec![node("Loop", "loop", &["M", "", "v"], &["last", "all"], &[attr_g("body", &body.msg())])],
        outputs: outputs(&["last", "all"]),
        ..Graph::default()
    };
    let model = Model::load(&main.model(13)).unwrap();
    let v = Tensor::new(&[1], vec![2f32]).unwrap();
    let found = model.run(&[("v", &v), ("M", &Tensor::scalar(1i64))]).unwrap();
    assert_eq!(floats(&found[1].1), [-2.0]);
    match onnx_error(model.run(&[("v", &v), ("M", &Tensor::scalar(0i64))]), "no iteration") {
        OnnxError::Node { node, reason, .. } => {
            assert_eq!(node, "loop");
            assert!(reason.contains("`minus`"), "{reason}");
        }
        e => panic!("{e}"),
    }
}

#[test]
fn sequences_are_refused_by_name() {
    let sequence = |name: &str| {
        let elements = Msg::default().msg(1, &Msg::default().int(1, FLOAT));
        let t = Msg::default().msg(4, &Msg::default().msg(1, &elements));
        Msg::default().text(1, name).msg(2, &t)
    };
    let inner = |g: &mut Graph| g.inputs[2] = sequence("v_in");
    for (name, bytes) in [
        ("v_in", carrying(FLOAT, &[Dim::N(1)], inner, &["going", "v_in"], 13)),
        ("s", {
            let nodes = vec![node("Identity", "", &["s"], &["t"], &[])];
            Graph { inputs: vec![sequence("s")], nodes, outputs: outputs(&["t"]), ..Graph::default() }
                .model(16)
        }),
    ] {
        match onnx_error(Model::load(&bytes), name) {
            OnnxError::Value { name: n, reason } => {
                assert_eq!(n, name);
                assert!(reason.contains("sequence"), "{reason}");
            }
            e => panic!("{e}"),
        }
    }
}

/// Nested loops with two iterations each. The value that they carry changes its extent in every iteration.
fn tower(depth: usize) -> Vec<u8> {
    let mut body: Option<Graph> = None;
    for d in 0..depth {
        let [i, g, v, w] = ["i", "g", "v", "w"].map(|n| format!("{n}{d}"));
        let mut outer = Graph { inputs: outputs(&[&i, &g, &v]), ..Graph::default() };
        let mut from = v.clone();
        if let Some(body) = body.take() {
            from = format!("x{d}");
            let inputs = ["two", "", &v];
            outer.nodes.push(node("Loop", "", &inputs, &[&from], &[attr_g("body", &body.msg())]));
        }
        outer.nodes.push(node("Concat", "", &[&from, "v"], &[&w], &[attr_i("axis", 0)]));
        outer.outputs = outputs(&[&g, &w]);
        body = Some(outer);
    }
    let body = attr_g("body", &body.unwrap().msg());
    let main = Graph {
        inputs: vec![value("v", FLOAT, &[Dim::N(1)])],
        stored: vec![tensor_i64("two", &[], &[2])],
        nodes: vec![node("Loop", "", &["two", "", "v"], &["last"], &[body])],
        outputs: outputs(&["last"]),
    };
    main.model(13)
}

#[test]
fn loops_are_nested_to_a_bounded_depth() {
    for depth in 1..=30 {
        let start = Instant::now();
        let load = Model::load(&tower(depth));
        assert!(start.elapsed() < Duration::from_secs(5), "{depth}: {:?}", start.elapsed());
        let Err(e) = load else { continue };
        assert!(depth > 4, "{depth}: {e}");
        match e {
            Error::Onnx(OnnxError::Node { op, reason, .. }) => {
                assert!(op == "Loop" && reason.contains("inside 4 other loops"), "{reason}");
            }
            // The parser has its own limit for nested messages.
            Error::Onnx(OnnxError::Malformed { .. }) => assert!(depth > 20, "{depth}"),
            e => panic!("{depth}: {e}"),
        }
    }
    let v = Tensor::new(&[1], vec![1f32]).unwrap();
    let found = Model::load(&tower(1)).unwrap().run(&[("v", &v)]).unwrap();
    assert_eq!(found[0].1.dims(), [3]);
    let found = Model::load(&tower(2)).unwrap().run(&[("v", &v)]).unwrap();
    assert_eq!(found[0].1.dims(), [7]);
}
