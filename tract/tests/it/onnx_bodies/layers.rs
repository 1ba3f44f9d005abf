//! Tests layers in bodies against the same layer called step by step: they must be equal bit for bit.

use super::{floats, onnx_error, outputs};
use rnnpack::{Cell, Direction, GateOrder, Layer, LayerTensors, LayerWeights, Scratch, Shape};
use rnnpack_dev::onnx::recorded::difference;
use rnnpack_dev::onnx::{
    BOOL, Dim, FLOAT, Graph, INT64, Msg, Numbers, attr_g, attr_i, attr_ints, node, tensor, tensor_bool,
    tensor_i64, untyped, value,
};
use rnnpack_onnx::{Error as OnnxError, Extent, Tensor};
use rnnpack_tract::{Kernels, Loader, Model};

const I: usize = 3;
const H: usize = 5;

/// The weights of layer number `n` of the models.
fn weights(n: u64) -> [Vec<f32>; 3] {
    let mut n = Numbers(100 + n);
    [n.floats(4 * H * I), n.floats(4 * H * H), n.floats(8 * H)]
}

/// Where the weights of the layer come from.
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
            // The values are halved, then doubled, which changes no bit.
            let half: Vec<f32> = data.iter().map(|v| v / 2.0).collect();
            graph.stored.push(tensor(&at(&format!("half_{name}")), &dims, &half));
            let half = at(&format!("half_{name}"));
            graph.nodes.push(node("Add", "", &[&half, &half], &[&at(name)], &[]));
        } else {
            graph.stored.push(tensor(&at(name), &dims, &data));
        }
    }
}

/// Adds one step of layer `n`: it takes `[B, I]` and the states, and returns `y`, `h_out` and `c_out`. `p` is the
/// prefix of its names.
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

/// The inputs of a call: `X [T, B, I]`, and `h0` and `c0`, both `[1, B, H]`.
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

    /// Y `[T, B, H]`, h and c after the steps in `order`. Each step names its layer.
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

/// A graph with the main graph's inputs and outputs.
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

/// The inputs of a loop's body: iteration number, condition, h and c. They have no types, which the standard allows.
fn formal() -> Vec<Msg> {
    ["i", "going", "h_in", "c_in"].map(untyped).to_vec()
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

/// Adds the number of steps as the value `time`.
fn add_time(main: &mut Graph) {
    main.stored.push(tensor_i64("zero", &[], &[0]));
    main.nodes.push(node("Shape", "", &["X"], &["x_dims"], &[]));
    main.nodes.push(node("Gather", "", &["x_dims", "zero"], &["time"], &[]));
}

/// Checks that Y, h and c equal those of the direct call.
fn assert_same(found: &[(String, Tensor)], expected: &[Vec<f32>; 3], what: &str) {
    for ((name, value), expected) in found.iter().zip(expected) {
        assert_eq!(floats(value), expected, "{name}: {what}");
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

/// A loop whose count and condition are inputs of the model. Its body has one step and stops after `stop`.
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
        // The condition becomes false in the last iteration of the count.
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

/// A scan over the steps of X. `x` and `y` are the axis and the direction for X and for Y.
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

/// Moves the first axis of `[T, B, W]` to `axis`.
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

/// A body that uses layer 0 in even iterations and layer 1 in odd ones, with an `If`.
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

/// A loop of `rounds` iterations around a loop or a scan over the steps of X.
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
    // Each iteration runs a sequence of 3 steps. tract's own operator would keep its state between them.
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
            assert_eq!(found.len(), expected.len());
            for ((name, value), expected) in found.iter().zip(&expected) {
                let expected = Tensor::new(value.dims(), expected.clone()).unwrap();
                let found = difference(value, &expected).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert!(found.largest < 1e-5, "{name} with {kernels:?}");
                assert!(kernels != Kernels::Rnnpack || *value == expected, "{name}");
            }
        }
    }
}
