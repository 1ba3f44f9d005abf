//! Layers in the bodies of `Loop` and `Scan`, against the same layer called step by step: equal bit for bit.
#![cfg(feature = "tract")]

mod onnx_support;

use onnx_support::recorded::difference;
use onnx_support::{
    BOOL, Dim, FLOAT, Graph, INT64, Msg, Numbers, attr_g, attr_i, attr_ints, node, tensor, tensor_bool,
    tensor_i64, untyped, value,
};
use rnnpack::onnx::{DType, Extent, Kernels, Loader, Model, OnnxError, Tensor};
use rnnpack::{Cell, Direction, Error, GateOrder, Layer, LayerTensors, LayerWeights, Scratch, Shape};
use std::time::{Duration, Instant};

const I: usize = 3;
const H: usize = 5;

/// Number `n` of the layers that the models hold.
fn weights(n: u64) -> [Vec<f32>; 3] {
    let mut n = Numbers(100 + n);
    [n.floats(4 * H * I), n.floats(4 * H * H), n.floats(8 * H)]
}

/// How the weights come to the layer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// Stored in the main graph.
    Main,
    /// Stored in the body.
    Body,
    /// Computed in the main graph by operators that only tract folds.
    Computed,
}

/// Puts the weights of layer `n` into `graph`.
fn add_weights(graph: &mut Graph, n: u64, computed: bool) {
    let at = |name: &str| format!("{name}{n}");
    for ((name, dims), data) in [("W", vec![1, 4 * H, I]), ("R", vec![1, 4 * H, H]), ("B", vec![1, 8 * H])]
        .into_iter()
        .zip(weights(n))
    {
        if computed {
            // Doubled and halved, which changes no bit.
            let half: Vec<f32> = data.iter().map(|v| v / 2.0).collect();
            graph.stored.push(tensor(&at(&format!("half_{name}")), &dims, &half));
            let half = at(&format!("half_{name}"));
            graph.nodes.push(node("Add", "", &[&half, &half], &[&at(name)], &[]));
        } else {
            graph.stored.push(tensor(&at(name), &dims, &data));
        }
    }
}

/// One step of layer `n`: `[B, I]` and the states to `y`, `h_out` and `c_out`, with `p` before its names.
fn add_step(graph: &mut Graph, n: u64, p: &str, [x, h, c]: [&str; 3]) {
    let at = |name: &str| format!("{p}{name}");
    graph.stored.push(tensor_i64(&at("front"), &[1], &[0]));
    graph.stored.push(tensor_i64(&at("fronts"), &[2], &[0, 1]));
    graph.nodes.push(node("Unsqueeze", "", &[x, &at("front")], &[&at("x_1")], &[]));
    let weights = ["W", "R", "B"].map(|name| format!("{name}{n}"));
    graph.nodes.push(node(
        "LSTM",
        "lstm",
        &[&at("x_1"), &weights[0], &weights[1], &weights[2], "", h, c],
        &[&at("y_1"), &at("h_out"), &at("c_out")],
        &[attr_i("hidden_size", H as i64)],
    ));
    graph.nodes.push(node("Squeeze", "", &[&at("y_1"), &at("fronts")], &[&at("y")], &[]));
}

fn lstm(n: u64) -> Layer {
    let [w, r, b] = weights(n);
    let shape = Shape { input: I, hidden: H, direction: Direction::Forward };
    let tensors = LayerTensors { w: &w, r: &r, b: Some(&b), p: None };
    Layer::new(&LayerWeights::new(Cell::lstm(), shape, GateOrder::Onnx, tensors).unwrap()).unwrap()
}

/// Inputs of a call: `X [T, B, I]`, `h0` and `c0`, both `[1, B, H]`.
struct Call {
    batch: usize,
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
}

impl Call {
    fn new([time, batch]: [usize; 2], n: &mut Numbers) -> Call {
        let floats =
            |n: &mut Numbers, dims: &[usize]| Tensor::new(dims, n.floats(dims.iter().product())).unwrap();
        let (x, h0) = (floats(n, &[time, batch, I]), floats(n, &[1, batch, H]));
        Call { batch, x, h0, c0: floats(n, &[1, batch, H]) }
    }

    fn feeds(&self) -> Vec<(&str, &Tensor)> {
        vec![("X", &self.x), ("h0", &self.h0), ("c0", &self.c0)]
    }

    /// Y `[T, B, H]`, h and c after the steps in `order`, each with the layer that it names.
    fn steps(&self, order: impl Iterator<Item = (usize, u64)>) -> [Vec<f32>; 3] {
        let layers = [lstm(0), lstm(1)];
        let mut state = layers[0].new_state(self.batch).unwrap();
        state.h_mut().copy_from_slice(self.h0.as_slice().unwrap());
        state.c_mut().copy_from_slice(self.c0.as_slice().unwrap());
        let x: &[f32] = self.x.as_slice().unwrap();
        let mut y = vec![];
        for (t, n) in order {
            let mut step = vec![0.0; self.batch * H];
            let x = &x[t * self.batch * I..][..self.batch * I];
            layers[n as usize].step(x, &mut state, &mut step, &mut Scratch::new()).unwrap();
            y.extend(step);
        }
        [y, state.h().to_vec(), state.c().to_vec()]
    }
}

/// The main graph's inputs and outputs.
fn interface(dynamic: bool) -> Graph {
    let [t, b] = if dynamic { [Dim::Name("T"), Dim::Name("B")] } else { [Dim::N(4), Dim::N(2)] };
    let state = |name| value(name, FLOAT, &[Dim::N(1), b, Dim::N(H)]);
    Graph {
        inputs: vec![value("X", FLOAT, &[t, b, Dim::N(I)]), state("h0"), state("c0")],
        outputs: ["Y", "h_n", "c_n"].map(untyped).to_vec(),
        ..Graph::default()
    }
}

const LAST: [&str; 3] = ["h_n", "c_n", "Y"];

/// The inputs of a loop's body, without types, as the standard allows: number, condition, h and c.
fn formal() -> Vec<Msg> {
    ["i", "going", "h_in", "c_in"].map(untyped).to_vec()
}

fn outputs(names: &[&str]) -> Vec<Msg> {
    names.iter().map(|n| untyped(n)).collect()
}

/// A loop over the steps of X.
fn loop_model(source: Source, dynamic: bool) -> Vec<u8> {
    let mut main = interface(dynamic);
    let mut body = Graph { inputs: formal(), ..Graph::default() };
    add_weights(if source == Source::Body { &mut body } else { &mut main }, 0, source == Source::Computed);
    body.nodes.push(node("Gather", "", &["X", "i"], &["x_t"], &[]));
    add_step(&mut body, 0, "", ["x_t", "h_in", "c_in"]);
    body.outputs = outputs(&["going", "h_out", "c_out", "y"]);
    add_time(&mut main);
    main.nodes.push(node("Loop", "loop", &["time", "", "h0", "c0"], &LAST, &[attr_g("body", &body.msg())]));
    main.model(17)
}

/// The number of steps as `time`.
fn add_time(main: &mut Graph) {
    main.stored.push(tensor_i64("zero", &[], &[0]));
    main.nodes.push(node("Shape", "", &["X"], &["x_dims"], &[]));
    main.nodes.push(node("Gather", "", &["x_dims", "zero"], &["time"], &[]));
}

fn floats(t: &Tensor) -> &[f32] {
    t.as_slice().unwrap()
}

/// Compares Y, h and c with what the direct call gives.
fn assert_same(found: &[(String, Tensor)], expected: &[Vec<f32>; 3], what: &str) {
    for ((name, value), expected) in found.iter().zip(expected) {
        assert_eq!(floats(value), expected, "{name}: {what}");
    }
}

fn onnx_error<T>(result: Result<T, Error>, what: &str) -> OnnxError {
    match result {
        Ok(_) => panic!("{what} is not refused"),
        Err(Error::Onnx(e)) => e,
        Err(e) => panic!("{what}: {e}"),
    }
}

#[test]
fn a_layer_in_a_loop_equals_the_direct_calls() {
    let mut n = Numbers(1);
    for source in [Source::Main, Source::Body, Source::Computed] {
        for dynamic in [false, true] {
            let model = Model::load(&loop_model(source, dynamic)).unwrap();
            let dims: Vec<String> = model.outputs()[0].dims.iter().map(Extent::to_string).collect();
            assert_eq!(dims, if dynamic { ["T", "B", "5"] } else { ["4", "2", "5"] }, "{source:?}");
            let mut stream = model.stream(&[]).unwrap();
            for size in if dynamic { vec![[4, 2], [1, 3], [0, 2], [7, 1], [4, 2]] } else { vec![[4, 2]; 3] } {
                let call = Call::new(size, &mut n);
                let found = stream.run(&call.feeds()).unwrap();
                assert_eq!(found[0].1.dims(), [size[0], size[1], H]);
                let expected = call.steps((0..size[0]).map(|t| (t, 0)));
                assert_same(&found, &expected, &format!("{source:?} {size:?}"));
                assert_same(&model.run(&call.feeds()).unwrap(), &expected, "a fresh call");
            }
        }
    }
}

#[test]
fn state_is_carried_from_one_call_to_the_next_only_when_asked_for() {
    let model = Model::load(&loop_model(Source::Main, true)).unwrap();
    let mut n = Numbers(2);
    let call = Call::new([6, 2], &mut n);
    let expected = call.steps((0..6).map(|t| (t, 0)));
    let mut stream = model.stream(&[("h0", "h_n"), ("c0", "c_n")]).unwrap();
    let part = |t: usize| {
        let x = floats(&call.x)[t * 2 * I..][..2 * 2 * I].to_vec();
        Tensor::new(&[2, 2, I], x).unwrap()
    };
    let mut y = vec![];
    for t in [0, 2, 4] {
        let x = part(t);
        let states = [("h0", &call.h0), ("c0", &call.c0)];
        let feeds: Vec<_> = [("X", &x)].into_iter().chain(states.into_iter().filter(|_| t == 0)).collect();
        let found = stream.run(&feeds).unwrap();
        y.extend_from_slice(floats(&found[0].1));
        if t == 4 {
            assert_eq!(floats(&found[1].1), expected[1]);
        }
    }
    assert_eq!(y, expected[0]);
}

/// A loop whose count and condition are inputs of the model; a body of one step that stops after `stop`.
fn counted(trip: Option<i64>, condition: bool, stop: Option<i64>) -> Vec<u8> {
    let mut main = interface(true);
    add_weights(&mut main, 0, false);
    let mut body = Graph { inputs: formal(), ..Graph::default() };
    body.nodes.push(node("Gather", "", &["X", "i"], &["x_t"], &[]));
    add_step(&mut body, 0, "", ["x_t", "h_in", "c_in"]);
    let mut going = "going";
    if let Some(stop) = stop {
        body.stored.push(tensor_i64("stop", &[], &[stop]));
        body.nodes.push(node("Less", "", &["i", "stop"], &["before"], &[]));
        going = "before";
    }
    body.outputs = outputs(&[going, "h_out", "c_out", "y"]);
    main.inputs.extend(trip.map(|_| value("M", INT64, &[])));
    main.inputs.extend(condition.then(|| value("cond", BOOL, &[Dim::N(1)])));
    let inputs = [trip.map_or("", |_| "M"), if condition { "cond" } else { "" }, "h0", "c0"];
    main.nodes.push(node("Loop", "loop", &inputs, &LAST, &[attr_g("body", &body.msg())]));
    main.model(17)
}

#[test]
fn loops_end_by_count_or_condition() {
    let mut n = Numbers(3);
    let call = Call::new([6, 2], &mut n);
    for (trip, condition, stop, steps) in [
        (Some(5), None, None, 5),
        (Some(0), None, None, 0),
        (Some(-3), None, None, 0),
        (Some(5), Some(true), None, 5),
        (Some(5), Some(true), Some(2), 3),
        (Some(i64::MAX), Some(true), Some(4), 5),
        (Some(i64::MAX), Some(false), None, 0),
        (None, Some(true), Some(0), 1),
        (None, Some(false), None, 0),
        // The condition turns false in the last iteration of the count.
        (Some(3), None, Some(2), 3),
    ] {
        let what = format!("{trip:?} {condition:?} {stop:?}");
        let model = Model::load(&counted(trip, condition.is_some(), stop)).unwrap();
        let (m, c) = (Tensor::scalar(trip.unwrap_or(0)), Tensor::new(&[1], vec![condition.unwrap_or(true)]));
        let (mut feeds, c) = (call.feeds(), c.unwrap());
        feeds.extend(trip.map(|_| ("M", &m)));
        feeds.extend(condition.map(|_| ("cond", &c)));
        let found = model.run(&feeds).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(found[0].1.dims(), [steps, 2, H], "{what}");
        assert_same(&found, &call.steps((0..steps).map(|t| (t, 0))), &what);
    }
}

#[test]
fn a_condition_that_the_standard_ignores_and_others_do_not_is_refused() {
    let model = Model::load(&counted(Some(5), false, Some(2))).unwrap();
    let call = Call::new([6, 2], &mut Numbers(4));
    let m = Tensor::scalar(5i64);
    let mut feeds = call.feeds();
    feeds.push(("M", &m));
    match onnx_error(model.run(&feeds), "the condition") {
        OnnxError::Node { node, op, reason } => {
            assert_eq!((node.as_str(), op.as_str()), ("loop", "Loop"));
            assert!(reason.contains("no `cond`") && reason.contains("iteration 2"), "{reason}");
        }
        e => panic!("{e}"),
    }
}

/// A scan over the steps of X with axes and directions: of X, and of Y.
fn scan_model(x: (i64, i64), y: (i64, i64), opset: i64) -> Vec<u8> {
    let mut main = interface(true);
    let axis = x.0.rem_euclid(3) as usize;
    let mut dims = vec![Dim::Name("B"), Dim::N(I)];
    dims.insert(axis, Dim::Name("T"));
    main.inputs[0] = value("X", FLOAT, &dims);
    add_weights(&mut main, 0, false);
    let mut body = Graph { inputs: outputs(&["h_in", "c_in", "x_t"]), ..Graph::default() };
    add_step(&mut body, 0, "", ["x_t", "h_in", "c_in"]);
    body.outputs = outputs(&["h_out", "c_out", "y"]);
    let attrs = [
        attr_g("body", &body.msg()),
        attr_i("num_scan_inputs", 1),
        attr_ints("scan_input_axes", &[x.0]),
        attr_ints("scan_input_directions", &[x.1]),
        attr_ints("scan_output_axes", &[y.0]),
        attr_ints("scan_output_directions", &[y.1]),
    ];
    main.nodes.push(node("Scan", "scan", &["h0", "c0", "X"], &LAST, &attrs));
    main.model(opset)
}

/// `[T, B, W]` with the first axis brought to `axis`.
fn time_to(axis: usize, [t, b, w]: [usize; 3], data: &[f32]) -> Tensor {
    let mut dims = vec![b, w];
    dims.insert(axis, t);
    let at = |i: usize| {
        let (first, second, third) = (i / (dims[1] * dims[2]), i / dims[2] % dims[1], i % dims[2]);
        let [t_, b_, w_] = [[first, second, third], [second, first, third], [third, first, second]][axis];
        data[(t_ * b + b_) * w + w_]
    };
    Tensor::new(&dims, (0..data.len()).map(at).collect()).unwrap()
}

#[test]
fn a_layer_in_a_scan_equals_the_direct_calls() {
    let mut n = Numbers(6);
    for (x_axis, y_axis) in [(0, 0), (1, 1), (2, 2), (-3, -1), (-2, -3)] {
        for (x_back, y_back) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let bytes = scan_model((x_axis, x_back), (y_axis, y_back), 17);
            let model = Model::load(&bytes).unwrap();
            let mut stream = model.stream(&[]).unwrap();
            for [time, batch] in [[4, 2], [1, 3], [0, 2], [7, 1], [1, 1]] {
                let call = Call::new([time, batch], &mut n);
                let x = time_to(x_axis.rem_euclid(3) as usize, [time, batch, I], floats(&call.x));
                let mut feeds = call.feeds();
                feeds[0].1 = &x;
                let found = stream.run(&feeds).unwrap();
                let mut expected =
                    call.steps((0..time).map(|t| (if x_back == 1 { time - 1 - t } else { t }, 0)));
                if y_back == 1 {
                    expected[0] = expected[0].chunks(batch * H).rev().flatten().copied().collect();
                }
                let y = time_to(y_axis.rem_euclid(3) as usize, [time, batch, H], &expected[0]);
                let what = format!("{x_axis} {y_axis} {x_back} {y_back} [{time}, {batch}]");
                assert_eq!(found[0].1, y, "{what}");
                assert_same(&found[1..], &[expected[1].clone(), expected[2].clone(), vec![]], &what);
            }
        }
    }
}

#[test]
fn a_scan_with_a_batch_axis_is_refused() {
    let mut old = scan_model((0, 0), (0, 0), 8);
    for opset in [8, 1] {
        *old.last_mut().unwrap() = opset;
        match onnx_error(Model::load(&old), "operator set 8") {
            OnnxError::Node { node, reason, .. } => {
                assert_eq!(node, "scan");
                assert!(reason.contains("batch axis"), "{reason}");
            }
            e => panic!("{e}"),
        }
    }
}

/// A loop whose step uses layer 0 in even iterations and layer 1 in odd ones, by an `If`.
fn alternating(main: &mut Graph) -> Graph {
    add_weights(main, 0, false);
    add_weights(main, 1, true);
    let mut body = Graph { inputs: formal(), ..Graph::default() };
    body.nodes.push(node("Gather", "", &["X", "i"], &["x_t"], &[]));
    body.stored.push(tensor_i64("two", &[], &[2]));
    body.stored.push(tensor_i64("none", &[], &[0]));
    body.nodes.push(node("Mod", "", &["i", "two"], &["rest"], &[]));
    body.nodes.push(node("Equal", "", &["rest", "none"], &["even"], &[]));
    let branch = |n: u64, p: &str| {
        let mut branch = Graph::default();
        add_step(&mut branch, n, p, ["x_t", "h_in", "c_in"]);
        branch.outputs = ["h_out", "c_out", "y"].iter().map(|o| untyped(&format!("{p}{o}"))).collect();
        branch.msg()
    };
    let attrs = [attr_g("then_branch", &branch(0, "a_")), attr_g("else_branch", &branch(1, "b_"))];
    body.nodes.push(node("If", "if", &["even"], &["h_out", "c_out", "y"], &attrs));
    body.outputs = outputs(&["going", "h_out", "c_out", "y"]);
    body
}

#[test]
fn an_if_in_a_loop_takes_the_branch_of_the_iteration() {
    let mut main = interface(true);
    let body = alternating(&mut main);
    add_time(&mut main);
    main.nodes.push(node("Loop", "loop", &["time", "", "h0", "c0"], &LAST, &[attr_g("body", &body.msg())]));
    let model = Model::load(&main.model(17)).unwrap();
    let mut stream = model.stream(&[]).unwrap();
    let mut n = Numbers(7);
    for size in [[5, 2], [1, 1], [0, 1], [4, 3]] {
        let call = Call::new(size, &mut n);
        let found = stream.run(&call.feeds()).unwrap();
        assert_same(&found, &call.steps((0..size[0]).map(|t| (t, t as u64 % 2))), &format!("{size:?}"));
    }
}

#[test]
fn a_loop_in_an_if_runs_where_the_branch_is_taken() {
    for condition in [None, Some(true), Some(false)] {
        let mut main = interface(true);
        let branch = |n: u64, p: &str, main: &mut Graph| {
            let at = |name: &str| format!("{p}{name}");
            add_weights(main, n, n == 1);
            let names = ["i", "going", "h_in", "c_in"].map(at);
            let mut body = Graph { inputs: names.iter().map(|n| untyped(n)).collect(), ..Graph::default() };
            body.nodes.push(node("Gather", "", &["X", &at("i")], &[&at("x_t")], &[]));
            add_step(&mut body, n, p, [&at("x_t"), &at("h_in"), &at("c_in")]);
            body.outputs = ["going", "h_out", "c_out", "y"].iter().map(|o| untyped(&at(o))).collect();
            let names = LAST.map(|o| format!("{p}last_{o}"));
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let inputs = ["time", "", "h0", "c0"];
            let mut branch = Graph::default();
            branch.nodes.push(node("Loop", "loop", &inputs, &names, &[attr_g("body", &body.msg())]));
            branch.outputs = outputs(&names);
            branch.msg()
        };
        add_time(&mut main);
        let (a, b) = (branch(0, "a_", &mut main), branch(1, "b_", &mut main));
        let attrs = [attr_g("then_branch", &a), attr_g("else_branch", &b)];
        match condition {
            Some(c) => main.stored.push(tensor_bool("cond", &[], &[c])),
            None => main.inputs.push(value("cond", BOOL, &[])),
        }
        main.nodes.push(node("If", "if", &["cond"], &LAST, &attrs));
        let model = Model::load(&main.model(17)).unwrap();
        let mut stream = model.stream(&[]).unwrap();
        let mut n = Numbers(8);
        for (size, choice) in [([5, 2], true), ([1, 1], false), ([3, 2], true), ([0, 1], false)] {
            let (call, c) = (Call::new(size, &mut n), Tensor::scalar(choice));
            let mut feeds = call.feeds();
            feeds.extend(condition.is_none().then_some(("cond", &c)));
            let layer = if condition.unwrap_or(choice) { 0 } else { 1 };
            let found = stream.run(&feeds).unwrap();
            assert_same(
                &found,
                &call.steps((0..size[0]).map(|t| (t, layer))),
                &format!("{condition:?} {size:?}"),
            );
        }
    }
}

/// A loop of `rounds` around a loop or a scan over the steps of X.
fn nested(inner: &str, rounds: i64) -> Vec<u8> {
    let mut main = interface(true);
    add_weights(&mut main, 0, true);
    let inner_names = ["inner_h", "inner_c", "inner_y"];
    let mut step = Graph::default();
    let mut round = Graph { inputs: outputs(&["j", "more", "h_j", "c_j"]), ..Graph::default() };
    if inner == "Loop" {
        step.inputs = formal();
        step.nodes.push(node("Gather", "", &["X", "i"], &["x_t"], &[]));
        add_step(&mut step, 0, "", ["x_t", "h_in", "c_in"]);
        step.outputs = outputs(&["going", "h_out", "c_out", "y"]);
        let inputs = ["time", "", "h_j", "c_j"];
        round.nodes.push(node("Loop", "inner", &inputs, &inner_names, &[attr_g("body", &step.msg())]));
    } else {
        step.inputs = outputs(&["h_in", "c_in", "x_t"]);
        add_step(&mut step, 0, "", ["x_t", "h_in", "c_in"]);
        step.outputs = outputs(&["h_out", "c_out", "y"]);
        let attrs = [attr_g("body", &step.msg()), attr_i("num_scan_inputs", 1)];
        round.nodes.push(node("Scan", "inner", &["h_j", "c_j", "X"], &inner_names, &attrs));
    }
    round.outputs = outputs(&["more", "inner_h", "inner_c", "inner_y"]);
    add_time(&mut main);
    main.stored.push(tensor_i64("rounds", &[], &[rounds]));
    main.nodes.push(node(
        "Loop",
        "loop",
        &["rounds", "", "h0", "c0"],
        &LAST,
        &[attr_g("body", &round.msg())],
    ));
    main.model(17)
}

#[test]
fn loops_and_scans_in_a_loop_start_from_what_they_are_given() {
    let mut n = Numbers(9);
    for inner in ["Loop", "Scan"] {
        let model = Model::load(&nested(inner, 3)).unwrap();
        let mut stream = model.stream(&[]).unwrap();
        for size in [[4, 2], [1, 1], [0, 1], [2, 3]] {
            let call = Call::new(size, &mut n);
            let found = stream.run(&call.feeds()).unwrap();
            assert_eq!(found[0].1.dims(), [3, size[0], size[1], H], "{inner}");
            let steps = (0..3 * size[0]).map(|t| (t % size[0], 0));
            assert_same(&found, &call.steps(steps), &format!("{inner} {size:?}"));
        }
    }
}

#[test]
fn the_f64_reference_and_tracts_own_operator_agree_in_a_loop() {
    // A sequence of 3 steps in each iteration, for which tract's own operator keeps its state.
    let mut main = interface(true);
    add_weights(&mut main, 0, false);
    let mut body = Graph { inputs: formal(), ..Graph::default() };
    let inputs = ["X", "W0", "R0", "B0", "", "h_in", "c_in"];
    let attrs = [attr_i("hidden_size", H as i64)];
    body.nodes.push(node("LSTM", "lstm", &inputs, &["y", "h_out", "c_out"], &attrs));
    body.outputs = outputs(&["going", "h_out", "c_out", "y"]);
    main.stored.push(tensor_i64("rounds", &[], &[4]));
    main.nodes.push(node("Loop", "loop", &["rounds", "", "h0", "c0"], &LAST, &[attr_g("body", &body.msg())]));
    let bytes = main.model(17);
    let call = Call::new([3, 2], &mut Numbers(10));
    let expected = call.steps((0..12).map(|t| (t % 3, 0)));
    for kernels in [Kernels::Rnnpack, Kernels::Reference64, Kernels::Tract] {
        let mut stream = Loader::new().kernels(kernels).load(&bytes).unwrap().stream(&[]).unwrap();
        for _ in 0..2 {
            let found = stream.run(&call.feeds()).unwrap();
            for ((name, value), expected) in found.iter().zip(&expected) {
                let expected = Tensor::new(value.dims(), expected.clone()).unwrap();
                assert!(difference(value, &expected) < 1e-5, "{name} with {kernels:?}");
                assert!(kernels != Kernels::Rnnpack || *value == expected, "{name}");
            }
        }
    }
}

/// A loop of 4 iterations over one carried value `v` of the given kind.
fn carrying(kind: i64, dims: &[Dim], body: impl FnOnce(&mut Graph), outs: &[&str], opset: i64) -> Vec<u8> {
    let mut inner = Graph { inputs: outputs(&["i", "going", "v_in"]), ..Graph::default() };
    body(&mut inner);
    inner.outputs = outputs(outs);
    let names = ["last", "all"];
    let main = Graph {
        inputs: vec![value("v", kind, dims)],
        outputs: outputs(&names[..outs.len() - 1]),
        stored: vec![tensor_i64("four", &[1], &[4])],
        nodes: vec![node(
            "Loop",
            "loop",
            &["four", "", "v"],
            &names[..outs.len() - 1],
            &[attr_g("body", &inner.msg())],
        )],
    };
    main.model(opset)
}

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
    // What follows the loop sees the extent that it ended with.
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
    // A number of the iteration that the body declares with one dimension.
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
    // Shape of a dynamic input, doubled four times.
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
    // So may a branch.
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

/// The refusal of a model that must name `node`, or the input of it.
fn assert_refused(bytes: &[u8], node: &str, input: Option<&str>, words: &str) {
    match (onnx_error(Model::load(bytes), words), input) {
        (OnnxError::Node { node: n, reason, .. }, None) => {
            assert_eq!(n, node, "{reason}");
            assert!(reason.contains(words), "{reason}");
        }
        (OnnxError::Input { node: n, input, reason }, Some(expected)) => {
            assert_eq!((n.as_str(), input.as_str()), (node, expected), "{reason}");
            assert!(reason.contains(words), "{reason}");
        }
        (e, _) => panic!("{words}: {e}"),
    }
}

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
    // The carried value grows, and is collected.
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

/// Loops in loops, each of two iterations; the value that they carry changes its extent in every one.
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
            // The parser has its own bound on messages in messages.
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

#[test]
fn extents_that_change_one_after_the_other_are_followed() {
    // A shift register: v0 grows, and each next value is the one before it.
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
