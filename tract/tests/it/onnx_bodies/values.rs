//! Tests values that are carried from one iteration to the next.

use super::{assert_refused, carrying, floats, outputs};
use rnnpack_dev::onnx::{BOOL, Dim, FLOAT, Graph, INT64, attr_g, attr_i, node, tensor_i64, untyped, value};
use rnnpack_onnx::{DType, Tensor};
use rnnpack_tract::Model;

#[test]
fn a_carried_value_may_grow() {
    for dims in [&[Dim::N(1)][..], &[Dim::Name("N")]] {
        let grow = |g: &mut Graph| {
            g.nodes.push(node("Concat", "", &["v_in", "v"], &["v_out"], &[attr_i("axis", 0)]));
        };
        let model = Model::load(&carrying(FLOAT, dims, grow, &["going", "v_out"], 11)).unwrap();
        let v = Tensor::new(&[1], vec![2f32]).unwrap();
        for _ in 0..2 {
            assert_eq!(floats(&model.run(&[("v", &v)]).unwrap()[0].1), [2.0; 5]);
        }
    }
    // A node after the loop sees the final extent.
    let mut inner = Graph { inputs: outputs(&["i", "going", "v_in"]), ..Graph::default() };
    inner.nodes.push(node("Concat", "", &["v_in", "v_in"], &["v_out"], &[attr_i("axis", 0)]));
    inner.outputs = outputs(&["going", "v_out"]);
    let mut main = Graph { inputs: vec![value("v", FLOAT, &[Dim::N(1)])], ..Graph::default() };
    main.inputs.push(value("M", INT64, &[]));
    main.nodes.push(node("Loop", "", &["M", "", "v"], &["last"], &[attr_g("body", &inner.msg())]));
    main.nodes.push(node("Shape", "", &["last"], &["size"], &[]));
    main.nodes.push(node("Concat", "", &["last", "last"], &["twice"], &[attr_i("axis", 0)]));
    main.outputs = outputs(&["size", "twice"]);
    let model = Model::load(&main.model(13)).unwrap();
    for m in [0i64, 3, 5] {
        let (v, m_) = (Tensor::new(&[1], vec![2f32]).unwrap(), Tensor::scalar(m));
        let found = model.run(&[("v", &v), ("M", &m_)]).unwrap();
        assert_eq!(found[0].1, Tensor::new(&[1], vec![1i64 << m]).unwrap());
        assert_eq!(found[1].1.dims(), [2 << m]);
    }
}

#[test]
fn integers_booleans_and_the_number_of_the_iteration_are_carried() {
    let sum = |g: &mut Graph| g.nodes.push(node("Add", "", &["v_in", "i"], &["v_out"], &[]));
    let add = node("Identity", "", &["i"], &["number"], &[]);
    let both = |g: &mut Graph| {
        sum(g);
        g.nodes.push(add.clone());
    };
    for opset in [1, 11, 13, 16, 19, 21] {
        let bytes = carrying(INT64, &[], both, &["going", "v_out", "number"], opset);
        let found = Model::load(&bytes).unwrap().run(&[("v", &Tensor::scalar(10i64))]).unwrap();
        assert_eq!(found[0].1, Tensor::scalar(16i64), "{opset}");
        assert_eq!(found[1].1.as_slice::<i64>().unwrap(), [0, 1, 2, 3]);
    }
    let not = |g: &mut Graph| g.nodes.push(node("Not", "", &["v_in"], &["v_out"], &[]));
    let bytes = carrying(BOOL, &[], not, &["going", "v_out"], 11);
    assert_eq!(
        Model::load(&bytes).unwrap().run(&[("v", &Tensor::scalar(true))]).unwrap()[0].1,
        Tensor::scalar(true)
    );
    // The body declares the iteration number with one dimension.
    let ranked = |g: &mut Graph| {
        g.inputs[0] = value("i", INT64, &[Dim::N(1)]);
        both(g);
    };
    let bytes = carrying(INT64, &[Dim::N(1)], ranked, &["going", "v_out", "number"], 11);
    let v = Tensor::new(&[1], vec![10i64]).unwrap();
    let found = Model::load(&bytes).unwrap().run(&[("v", &v)]).unwrap();
    assert_eq!((found[0].1.dims(), found[1].1.dims()), (&[1][..], &[4, 1][..]));
}

#[test]
fn dimensions_are_carried_as_integers() {
    // The shape of a dynamic input, doubled four times.
    let double = |g: &mut Graph| g.nodes.push(node("Add", "", &["v_in", "v_in"], &["v_out"], &[]));
    let mut inner = Graph { inputs: outputs(&["i", "going", "v_in"]), ..Graph::default() };
    double(&mut inner);
    inner.nodes.push(node("Shape", "", &["X"], &["dims"], &[]));
    inner.outputs = outputs(&["going", "v_out", "dims"]);
    let mut main =
        Graph { inputs: vec![value("X", FLOAT, &[Dim::Name("A"), Dim::Name("B")])], ..Graph::default() };
    main.stored.push(tensor_i64("four", &[1], &[4]));
    main.nodes.push(node("Shape", "", &["X"], &["v"], &[]));
    main.nodes.push(node("Loop", "", &["four", "", "v"], &["last", "all"], &[attr_g("body", &inner.msg())]));
    main.outputs = outputs(&["last", "all"]);
    let model = Model::load(&main.model(13)).unwrap();
    assert!(model.outputs().iter().all(|o| o.dtype == DType::I64));
    for [a, b] in [[2, 3], [5, 1]] {
        let x = Tensor::new(&[a, b], vec![0f32; a * b]).unwrap();
        let found = model.run(&[("X", &x)]).unwrap();
        assert_eq!(found[0].1.as_slice::<i64>().unwrap(), [16 * a as i64, 16 * b as i64]);
        assert_eq!(found[1].1.as_slice::<i64>().unwrap(), [a as i64, b as i64].repeat(4));
    }
}

#[test]
fn a_body_may_hand_on_values_of_the_graph_around_it() {
    let none = |_: &mut Graph| {};
    let bytes = carrying(FLOAT, &[Dim::N(2)], none, &["going", "v_in", "v"], 13);
    let v = Tensor::new(&[2], vec![1f32, 2.0]).unwrap();
    let found = Model::load(&bytes).unwrap().run(&[("v", &v)]).unwrap();
    assert_eq!(found[0].1, v);
    assert_eq!(floats(&found[1].1), [1.0, 2.0].repeat(4));
    // A branch may do this too.
    let mut branch = Graph { outputs: outputs(&["v"]), ..Graph::default() };
    let taken = branch.msg();
    branch.nodes.push(node("Neg", "", &["v"], &["minus"], &[]));
    branch.outputs = outputs(&["minus"]);
    let attrs = [attr_g("then_branch", &taken), attr_g("else_branch", &branch.msg())];
    let main = Graph {
        inputs: vec![value("v", FLOAT, &[Dim::N(2)]), value("cond", BOOL, &[])],
        nodes: vec![node("If", "", &["cond"], &["out"], &attrs)],
        outputs: outputs(&["out"]),
        ..Graph::default()
    };
    let found = Model::load(&main.model(13)).unwrap().run(&[("v", &v), ("cond", &Tensor::scalar(true))]);
    assert_eq!(found.unwrap()[0].1, v);
}

#[test]
fn extents_that_change_one_after_the_other_are_followed() {
    // A shift register: v0 grows, and each next value becomes the one before it.
    let register = |count: usize| {
        let name = |kind: &str, k: usize| format!("{kind}{k}");
        let mut body =
            Graph { inputs: outputs(&["i", "going"]), outputs: outputs(&["going"]), ..Graph::default() };
        let mut inputs = vec!["three".to_string(), String::new()];
        for k in 0..count {
            body.inputs.push(untyped(&name("v", k)));
            body.outputs.push(untyped(&name("w", k)));
            let from = name("v", k.saturating_sub(1));
            let (op, attrs) = if k == 0 { ("Concat", vec![attr_i("axis", 0)]) } else { ("Identity", vec![]) };
            let from = if k == 0 { vec![&from[..]; 2] } else { vec![&from[..]] };
            body.nodes.push(node(op, "", &from, &[&name("w", k)], &attrs));
            inputs.push("v".into());
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let names: Vec<String> = (0..count).map(|k| name("last", k)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let main = Graph {
            inputs: vec![value("v", FLOAT, &[Dim::N(1)])],
            stored: vec![tensor_i64("three", &[], &[3])],
            nodes: vec![node("Loop", "loop", &inputs, &names, &[attr_g("body", &body.msg())])],
            outputs: outputs(&names),
        };
        main.model(13)
    };
    let v = Tensor::new(&[1], vec![1f32]).unwrap();
    let found = Model::load(&register(4)).unwrap().run(&[("v", &v)]).unwrap();
    let lengths: Vec<usize> = found.iter().map(|(_, t)| t.dims()[0]).collect();
    assert_eq!(lengths, [8, 4, 2, 1]);
    assert_refused(&register(20), "loop", None, "too many iterations");
}
