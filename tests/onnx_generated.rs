//! Generated models of one LSTM node on tract, against the same layer called directly: equal bit for bit.
#![cfg(feature = "tract")]

mod onnx_support;

use onnx_support::conformance::cases;
use onnx_support::recorded::difference;
use onnx_support::{
    BOOL, Dim, FLOAT, Graph, INT32, Msg, Numbers, attr_g, attr_i, attr_ints, attr_s, attr_t, node, tensor,
    tensor_bool, tensor_i64, untyped, value,
};
use rnnpack::onnx::{Kernels, Loader, Model, OnnxError, Tensor, recurrent_nodes};
use rnnpack::{
    Dims, Direction, Error, GateOrder, Layer, LayerWeights, Layout, Scratch, Sequence, Shape, View, ViewMut,
};

/// Where the weights of a generated node come from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Stored,
    Constant,
    Computed,
}

/// Where a generated node stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Main,
    /// In the taken branch of an `If` with a constant condition, the other branch being wrong for its input.
    Taken,
    /// In two nested `If`s.
    Nested,
    /// In an `If` whose condition is an input.
    Choice,
}

/// The W, R and B of a generated node.
#[derive(Clone)]
struct Values([Vec<f32>; 3]);

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("_")
    }
}

/// A generated model.
#[derive(Clone, Debug)]
struct Case {
    direction: Direction,
    layout: Layout,
    shape: [usize; 2],
    bias: bool,
    lens: bool,
    initial: [bool; 2],
    outputs: [bool; 3],
    source: Source,
    place: Place,
    fixed: Option<[usize; 2]>,
    opset: i64,
    weights: Values,
}

impl Case {
    fn random(n: &mut Numbers) -> Case {
        let pick = |n: &mut Numbers| n.below(2) == 1;
        let direction = [Direction::Forward, Direction::Reverse, Direction::Bidirectional][n.below(3)];
        let (i, h, d) = (1 + n.below(9), 1 + n.below(19), direction.count());
        let opset = [7, 11, 13, 14, 17][n.below(5)];
        let layout = if opset >= 14 && pick(n) { Layout::BatchMajor } else { Layout::TimeMajor };
        let outputs = 1 + n.below(7);
        Case {
            direction,
            layout,
            shape: [i, h],
            bias: pick(n),
            lens: pick(n),
            initial: [pick(n), pick(n)],
            outputs: [outputs & 1 > 0, outputs & 2 > 0, outputs & 4 > 0],
            source: [Source::Stored, Source::Constant, Source::Computed][n.below(3)],
            place: [Place::Main, Place::Taken, Place::Nested, Place::Choice][n.below(4)],
            fixed: pick(n).then(|| [1 + n.below(5), 1 + n.below(4)]),
            opset,
            weights: Values([n.floats(d * 4 * h * i), n.floats(d * 4 * h * h), n.floats(d * 8 * h)]),
        }
    }

    fn lstm_shape(&self) -> Shape {
        Shape { input: self.shape[0], hidden: self.shape[1], direction: self.direction }
    }

    fn lstm(&self) -> Layer {
        let [w, r, b] = &self.weights.0;
        let b = self.bias.then_some(&b[..]);
        Layer::new(&LayerWeights::new(self.lstm_shape(), GateOrder::Onnx, w, r, b).unwrap()).unwrap()
    }

    fn state_dims(&self, batch: usize) -> [usize; 3] {
        let (d, h) = (self.direction.count(), self.shape[1]);
        if self.layout == Layout::TimeMajor { [d, batch, h] } else { [batch, d, h] }
    }

    fn x_dims(&self, [time, batch]: [usize; 2]) -> [usize; 3] {
        let i = self.shape[0];
        if self.layout == Layout::TimeMajor { [time, batch, i] } else { [batch, time, i] }
    }

    /// Puts a constant into `graph`, by the way of `self.source`.
    fn constant(&self, graph: &mut Graph, name: &str, dims: &[usize], data: &[f32]) {
        match self.source {
            Source::Stored => graph.stored.push(tensor(name, dims, data)),
            Source::Constant => {
                let t = attr_t("value", &tensor("", dims, data));
                graph.nodes.push(node("Constant", "", &[], &[name], &[t]));
            }
            Source::Computed => self.computed(graph, name, dims, data),
        }
    }

    /// Stores the last dimension twice over, rows and columns exchanged, and gets the tensor back with
    /// `Slice`, `Transpose`, `Unsqueeze`, `Concat`, `Squeeze` and `Reshape`.
    fn computed(&self, graph: &mut Graph, name: &str, dims: &[usize], data: &[f32]) {
        let at = |part: &str| format!("{name}_{part}");
        let columns = *dims.last().unwrap();
        let rows = data.len() / columns;
        let flipped: Vec<f32> =
            (0..2 * data.len()).map(|i| data[i % rows * columns + i / rows % columns]).collect();
        graph.stored.push(tensor(&at("flipped"), &[2 * columns, rows], &flipped));
        let ints = |graph: &mut Graph, part: &str, v: &[i64]| {
            graph.stored.push(tensor_i64(&at(part), &[v.len()], v))
        };
        let n = columns as i64;
        if self.opset >= 10 {
            ints(graph, "start", &[n]);
            ints(graph, "end", &[i64::MAX]);
            ints(graph, "axis", &[0]);
            let inputs = [at("flipped"), at("start"), at("end"), at("axis")];
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            graph.nodes.push(node("Slice", "", &inputs, &[&at("half")], &[]));
        } else {
            let attrs = [attr_ints("starts", &[n]), attr_ints("ends", &[2 * n]), attr_ints("axes", &[0])];
            graph.nodes.push(node("Slice", "", &[&at("flipped")], &[&at("half")], &attrs));
        }
        graph.nodes.push(node(
            "Transpose",
            "",
            &[&at("half")],
            &[&at("straight")],
            &[attr_ints("perm", &[1, 0])],
        ));
        let with_axes = |graph: &mut Graph, op: &str, from: &str, to: &str, axes: &[i64]| {
            if self.opset >= 13 {
                graph.stored.push(tensor_i64(&at(&format!("{to}_axes")), &[axes.len()], axes));
                let axes = at(&format!("{to}_axes"));
                graph.nodes.push(node(op, "", &[&at(from), &axes], &[&at(to)], &[]));
            } else {
                graph.nodes.push(node(op, "", &[&at(from)], &[&at(to)], &[attr_ints("axes", axes)]));
            }
        };
        with_axes(graph, "Unsqueeze", "straight", "wide", &[0]);
        let halves = rows.div_ceil(2) as i64;
        let split = |graph: &mut Graph, part: &str, from: i64, to: i64| {
            if self.opset >= 10 {
                ints(graph, &format!("{part}_start"), &[from]);
                ints(graph, &format!("{part}_end"), &[to]);
                ints(graph, &format!("{part}_axis"), &[1]);
                let names = [
                    at("wide"),
                    at(&format!("{part}_start")),
                    at(&format!("{part}_end")),
                    at(&format!("{part}_axis")),
                ];
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                graph.nodes.push(node("Slice", "", &names, &[&at(part)], &[]));
            } else {
                let attrs = [attr_ints("starts", &[from]), attr_ints("ends", &[to]), attr_ints("axes", &[1])];
                graph.nodes.push(node("Slice", "", &[&at("wide")], &[&at(part)], &attrs));
            }
        };
        split(graph, "low", 0, halves);
        split(graph, "high", halves, rows as i64);
        graph.nodes.push(node(
            "Concat",
            "",
            &[&at("low"), &at("high")],
            &[&at("joined")],
            &[attr_i("axis", 1)],
        ));
        with_axes(graph, "Squeeze", "joined", "flat", &[0]);
        let dims: Vec<i64> = dims.iter().map(|&d| d as i64).collect();
        ints(graph, "shape", &dims);
        graph.nodes.push(node("Reshape", "", &[&at("flat"), &at("shape")], &[name], &[]));
    }

    /// The node with its weights, in `graph`; `sign` is applied to W.
    fn add_node(&self, graph: &mut Graph, prefix: &str, sign: f32) {
        let at = |part: &str| format!("{prefix}{part}");
        let ([i, h], d) = (self.shape, self.direction.count());
        let [w, r, b] = &self.weights.0;
        let w: Vec<f32> = w.iter().map(|v| sign * v).collect();
        self.constant(graph, &at("W"), &[d, 4 * h, i], &w);
        self.constant(graph, &at("R"), &[d, 4 * h, h], r);
        let mut inputs = vec!["X".to_string(), at("W"), at("R")];
        if self.bias {
            self.constant(graph, &at("B"), &[d, 8 * h], b);
        }
        inputs.push(if self.bias { at("B") } else { String::new() });
        for (name, present) in [("lens", self.lens), ("h0", self.initial[0]), ("c0", self.initial[1])] {
            inputs.push(if present { name.to_string() } else { String::new() });
        }
        while inputs.last().is_some_and(String::is_empty) {
            inputs.pop();
        }
        let mut attrs =
            vec![attr_i("hidden_size", h as i64), attr_s("direction", &self.direction.to_string())];
        if self.layout == Layout::BatchMajor {
            attrs.push(attr_i("layout", 1));
        }
        let names = ["Y", "Y_h", "Y_c"].into_iter().zip(self.outputs);
        let outputs: Vec<String> = names.map(|(n, p)| if p { at(n) } else { String::new() }).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
        graph.nodes.push(node("LSTM", "", &inputs, &outputs, &attrs));
        graph.outputs = self.output_names().iter().map(|n| untyped(&at(n))).collect();
    }

    fn output_names(&self) -> Vec<&'static str> {
        ["Y", "Y_h", "Y_c"].into_iter().zip(self.outputs).filter(|(_, p)| *p).map(|(n, _)| n).collect()
    }

    fn body(&self, prefix: &str, sign: f32) -> Msg {
        let mut graph = Graph::default();
        self.add_node(&mut graph, prefix, sign);
        graph.msg()
    }

    /// A branch that fails in tract's analysis: a layer that does not fit X.
    fn wrong_body(&self) -> Msg {
        let wrong = Case { shape: [self.shape[0] + 1, 1], outputs: self.outputs, ..self.clone() };
        let d = self.direction.count();
        let weights = [vec![0.; d * 4 * wrong.shape[0]], vec![0.; d * 4], vec![0.; d * 8]];
        Case { weights: Values(weights), ..wrong }.body("wrong_", 1.)
    }

    fn model(&self) -> Vec<u8> {
        let mut graph = Graph::default();
        let [t, b] = match self.fixed {
            Some([t, b]) => [Dim::N(t), Dim::N(b)],
            None => [Dim::Name("T"), Dim::Name("B")],
        };
        let swap = |a: Dim, b: Dim| if self.layout == Layout::TimeMajor { [a, b] } else { [b, a] };
        let x = [&swap(t, b)[..], &[Dim::N(self.shape[0])]].concat();
        graph.inputs.push(value("X", FLOAT, &x));
        if self.lens {
            graph.inputs.push(value("lens", INT32, &[b]));
        }
        let state = [&swap(Dim::N(self.direction.count()), b)[..], &[Dim::N(self.shape[1])]].concat();
        for (name, _) in ["h0", "c0"].into_iter().zip(self.initial).filter(|(_, p)| *p) {
            graph.inputs.push(value(name, FLOAT, &state));
        }
        let outputs = self.output_names();
        let branches = |a: Msg, b: Msg| [attr_g("then_branch", &a), attr_g("else_branch", &b)];
        match self.place {
            Place::Main => self.add_node(&mut graph, "", 1.),
            Place::Taken => {
                graph.stored.push(tensor_bool("no", &[], &[false]));
                let attrs = branches(self.wrong_body(), self.body("in_", 1.));
                graph.nodes.push(node("If", "", &["no"], &outputs, &attrs));
            }
            Place::Nested => {
                graph.stored.push(tensor_bool("yes", &[1], &[true]));
                let inner = branches(self.body("in_", 1.), self.wrong_body());
                let names: Vec<String> = outputs.iter().map(|o| format!("mid_{o}")).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let mut middle = Graph::default();
                middle.nodes.push(node("If", "same", &["yes"], &names, &inner));
                middle.outputs = names.iter().map(|n| untyped(n)).collect();
                let attrs = branches(middle.msg(), self.body("other_", 1.));
                graph.nodes.push(node("If", "same", &["yes"], &outputs, &attrs));
            }
            Place::Choice => {
                graph.inputs.push(value("cond", BOOL, &[]));
                let attrs = branches(self.body("a_", 1.), self.body("b_", -1.));
                graph.nodes.push(node("If", "", &["cond"], &outputs, &attrs));
            }
        }
        graph.outputs = outputs.iter().map(|n| untyped(n)).collect();
        graph.model(self.opset)
    }

    /// Inputs of a call.
    fn feeds(&self, [time, batch]: [usize; 2], n: &mut Numbers) -> Vec<(&'static str, Tensor)> {
        let floats =
            |n: &mut Numbers, dims: [usize; 3]| Tensor::new(&dims, n.floats(dims.iter().product())).unwrap();
        let mut feeds = vec![("X", floats(n, self.x_dims([time, batch])))];
        if self.lens {
            let lens: Vec<i32> = (0..batch).map(|_| n.below(time + 1) as i32).collect();
            feeds.push(("lens", Tensor::new(&[batch], lens).unwrap()));
        }
        for (name, _) in ["h0", "c0"].into_iter().zip(self.initial).filter(|(_, p)| *p) {
            feeds.push((name, floats(n, self.state_dims(batch))));
        }
        if self.place == Place::Choice {
            feeds.push(("cond", Tensor::scalar(n.below(2) == 1)));
        }
        feeds
    }

    /// The outputs by the direct way.
    fn direct(&self, [time, batch]: [usize; 2], feeds: &[(&'static str, Tensor)]) -> Vec<Vec<f32>> {
        let get = |name: &str| feeds.iter().find(|(n, _)| *n == name).map(|(_, t)| t);
        let mut case = self.clone();
        if get("cond").is_some_and(|c| c.as_slice::<bool>() == Some(&[false])) {
            case.weights.0[0].iter_mut().for_each(|w| *w = -*w);
        }
        let lstm = case.lstm();
        let (d, [i, h]) = (self.direction.count(), self.shape);
        let dims = Dims { time, directions: 1, batch, width: i };
        let out = Dims { directions: d, width: h, ..dims };
        let mut state = lstm.new_state(batch).unwrap();
        let swap = |v: &[f32]| -> Vec<f32> {
            let row = |d_: usize, b: usize| &v[(b * d + d_) * h..][..h];
            let rows = (0..d).flat_map(|d_| (0..batch).map(move |b| (d_, b)));
            if self.layout == Layout::TimeMajor {
                v.to_vec()
            } else {
                rows.flat_map(|(d_, b)| row(d_, b)).copied().collect()
            }
        };
        if let Some(t) = get("h0") {
            state.h_mut().copy_from_slice(&swap(t.as_slice().unwrap()));
        }
        if let Some(t) = get("c0") {
            state.c_mut().copy_from_slice(&swap(t.as_slice().unwrap()));
        }
        let mut y = vec![f32::NAN; out.checked_len().unwrap()];
        let sequence = Sequence {
            x: View::new(get("X").unwrap().as_slice().unwrap(), dims, self.layout).unwrap(),
            lens: get("lens").map(|l| l.as_slice().unwrap()),
            y: Some(ViewMut::new(&mut y, out, self.layout).unwrap()),
        };
        lstm.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
        let back = |v: &[f32]| -> Vec<f32> {
            let rows = (0..batch).flat_map(|b| (0..d).map(move |d_| &v[(d_ * batch + b) * h..][..h]));
            if self.layout == Layout::TimeMajor { v.to_vec() } else { rows.flatten().copied().collect() }
        };
        let all = [y, back(state.h()), back(state.c())];
        all.into_iter().zip(self.outputs).filter(|(_, p)| *p).map(|(v, _)| v).collect()
    }
}

fn run(model: &Model, feeds: &[(&'static str, Tensor)]) -> Result<Vec<(String, Tensor)>, Error> {
    let feeds: Vec<(&str, &Tensor)> = feeds.iter().map(|(n, t)| (*n, t)).collect();
    model.run(&feeds)
}

#[test]
fn generated_models_equal_the_direct_calls() {
    let mut n = Numbers(7);
    let mut on_tract = 0;
    for round in 0..400 {
        let case = Case::random(&mut n);
        let bytes = case.model();
        let model =
            Loader::new().threads(1 + round % 3).load(&bytes).unwrap_or_else(|e| panic!("{case:?}: {e}"));
        let wide = Loader::new().kernels(Kernels::Reference64).load(&bytes).unwrap();
        let theirs = Loader::new().kernels(Kernels::Tract).load(&bytes);
        recurrent_nodes(&bytes).unwrap().iter().for_each(|node| drop(node.pack().unwrap()));
        for _ in 0..2 {
            let size = case.fixed.unwrap_or([n.below(6), n.below(5)]);
            let feeds = case.feeds(size, &mut n);
            let expected = case.direct(size, &feeds);
            let found = run(&model, &feeds).unwrap_or_else(|e| panic!("{case:?}: {e}"));
            assert_eq!(found.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), case.output_names());
            for ((name, value), expected) in found.iter().zip(&expected) {
                let same = value
                    .as_slice::<f32>()
                    .unwrap()
                    .iter()
                    .zip(expected)
                    .all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same && value.data().len() == expected.len(), "{name} of {case:?}, {size:?}");
            }
            for ((name, value), (_, ours)) in run(&wide, &feeds).unwrap().iter().zip(&found) {
                assert!(difference(value, ours) < 1e-5, "{name} of {case:?}, {size:?} in f64");
            }
            if size.contains(&0) {
                // tract's own operator gives outputs of another shape.
                continue;
            }
            let Ok(Ok(theirs)) = theirs.as_ref().map(|m| run(m, &feeds)) else { continue };
            on_tract += 1;
            for ((name, value), (_, ours)) in theirs.iter().zip(&found) {
                assert!(
                    difference(value, ours) < 1e-5,
                    "{name} of {case:?}, {size:?} on tract's own operator"
                );
            }
        }
    }
    println!("{on_tract} of 800 calls were compared with tract's own operator");
    assert!(on_tract >= 50, "{on_tract}");
}

#[test]
fn conformance_cases_of_lstm() {
    let cases = cases("lstm");
    assert_eq!(cases.len(), 6);
    for case in &cases {
        let [weights, feeds] = case.weights_and_feeds();
        let bound = |kernels| {
            let loader = Loader::new().kernels(kernels);
            weights.iter().fold(loader, |l, (n, t)| l.bind(n, Tensor::clone(t))).load(&case.model)
        };
        for kernels in [Kernels::Rnnpack, Kernels::Reference64] {
            let model = match bound(kernels) {
                Ok(model) => model,
                Err(Error::Onnx(OnnxError::Input { node, input, .. }))
                    if case.name.ends_with("peepholes") =>
                {
                    assert_eq!((node.as_str(), input.as_str()), ("LSTM_0", "P"));
                    continue;
                }
                Err(e) => panic!("{}: {e}", case.name),
            };
            for ((name, value), (expected_name, expected)) in
                model.run(&feeds).unwrap().iter().zip(&case.outputs)
            {
                assert_eq!(name, expected_name);
                let worst = difference(value, expected);
                println!("{} {name} ({kernels:?}): {worst:e}", case.name);
                assert!(worst <= 1e-6, "{} {name}: {worst:e}", case.name);
            }
        }
        if case.name.ends_with("reverse") {
            let Err(Error::Onnx(OnnxError::Attribute { attribute, .. })) = bound(Kernels::Tract) else {
                panic!()
            };
            assert_eq!(attribute, "direction");
        }
    }
}

#[test]
fn conformance_cases_of_gru_and_rnn_run_where_tract_is_right() {
    let (mut right, mut refused) = (0, 0);
    for case in cases("").iter().filter(|c| !c.name.contains("lstm")) {
        let [weights, feeds] = case.weights_and_feeds();
        let loader = weights.iter().fold(Loader::new(), |l, (n, t)| l.bind(n, Tensor::clone(t)));
        match loader.load(&case.model) {
            Ok(model) => {
                right += 1;
                for ((_, value), (name, expected)) in model.run(&feeds).unwrap().iter().zip(&case.outputs) {
                    assert!(difference(value, expected) <= 1e-6, "{} {name}", case.name);
                }
            }
            Err(Error::Onnx(OnnxError::Attribute { attribute, .. })) => {
                refused += 1;
                assert!(case.name.ends_with("reverse") && attribute == "direction", "{}", case.name);
            }
            Err(Error::Onnx(OnnxError::Input { input, .. })) => {
                refused += 1;
                assert!(case.name.ends_with("seq_length") && input == "sequence_lens", "{}", case.name);
            }
            Err(e) => panic!("{}: {e}", case.name),
        }
    }
    println!("{right} cases of GRU and RNN run, {refused} are refused by name");
    assert_eq!(right + refused, 12);
}
