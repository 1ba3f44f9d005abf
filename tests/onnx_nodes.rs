//! Recurrent nodes of files: the list, the packed layers, the conformance cases of the standard.
#![cfg(feature = "onnx")]

mod onnx_support;

use onnx_support::conformance::{Case, cases};
use onnx_support::{Dim, FLOAT, Graph, Numbers, attr_g, attr_i, attr_s, node, read, tensor, untyped, value};
use rnnpack::onnx::{Extent, OnnxError, RecurrentNode, RecurrentOp, recurrent_nodes, recurrent_nodes_with};
use rnnpack::{Dims, Direction, Error, Layout, Scratch, Sequence, View, ViewMut};

fn nodes(path: &str) -> Vec<RecurrentNode> {
    recurrent_nodes(&read(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn silero_vad_has_four_layers_in_nested_branches() {
    let nodes = nodes("silero_vad/silero_vad.onnx");
    assert_eq!(nodes.len(), 4);
    for n in &nodes {
        assert_eq!((n.op, n.opset), (RecurrentOp::Lstm, 16));
        assert_eq!((n.input, n.hidden), (Some(128), Some(128)));
        assert_eq!((n.direction, n.layout), (Some(Direction::Forward), Some(Layout::TimeMajor)));
        assert_eq!(n.inputs, ["X", "W", "R", "B", "initial_h", "initial_c"]);
        assert_eq!(n.outputs, ["Y", "Y_h", "Y_c"]);
        assert_eq!(n.weight_bytes, 4 * (2 * 512 * 128 + 1024));
        assert!(n.graph.starts_with("main/If_0.") && n.graph.matches('/').count() >= 2, "{}", n.graph);
        let lstm = n.pack().unwrap();
        assert_eq!((lstm.shape().input, lstm.shape().hidden), (128, 128));
    }
}

#[test]
fn the_other_real_models_are_listed_and_packed() {
    for (path, shapes) in [
        ("silero_vad/silero_vad_16k_op15.onnx", vec![(128, 128); 2]),
        ("silero_vad/silero_vad_16k_sequence.onnx", vec![(128, 128)]),
        ("dtln/model_1.onnx", vec![(257, 128), (128, 128)]),
    ] {
        let found: Vec<_> = nodes(path).iter().map(|n| n.pack().unwrap().shape()).collect();
        let found: Vec<_> = found.iter().map(|s| (s.input, s.hidden)).collect();
        assert_eq!(found, shapes, "{path}");
    }
    let dtln = nodes("dtln/model_1.onnx");
    assert_eq!((dtln[0].name.as_str(), &*dtln[0].graph), ("lstm_4", "main"));
    assert_eq!(dtln[0].attributes[0].0, "activations");
    assert_eq!(dtln[0].attributes[0].1.to_string(), "[Sigmoid, Tanh, Tanh]");
}

/// Runs a conformance case on a layer packed from its node.
fn run(case: &Case) -> Result<f32, Error> {
    let [weights, _] = case.weights_and_feeds();
    let nodes = recurrent_nodes_with(&case.model, &weights)?;
    assert_eq!(nodes.len(), 1);
    let (node, lstm) = (&nodes[0], nodes[0].pack()?);
    let (Extent::Fixed(time), Extent::Fixed(batch)) = (&node.time, &node.batch) else { panic!("{node:?}") };
    let (shape, layout) = (lstm.shape(), node.layout.unwrap());
    let dims = Dims { time: *time, directions: 1, batch: *batch, width: shape.input };
    let out = Dims { directions: shape.direction.count(), width: shape.hidden, ..dims };
    let mut state = lstm.new_state(*batch)?;
    let mut y = vec![f32::NAN; out.checked_len().unwrap()];
    let x = View::new(case.input("X").unwrap().as_slice().unwrap(), dims, layout)?;
    let sequence = Sequence { x, lens: None, y: Some(ViewMut::new(&mut y, out, layout)?) };
    lstm.forward(sequence, &mut state, &mut Scratch::new())?;
    let mut worst = 0f32;
    for (name, expected) in &case.outputs {
        // One direction: the states of both layouts are the same numbers in the same order.
        let found = match name.as_str() {
            "Y" => &y[..],
            "Y_h" => state.h(),
            _ => state.c(),
        };
        let expected = expected.as_slice::<f32>().unwrap();
        assert_eq!(found.len(), expected.len(), "{}: {name}", case.name);
        worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(worst, f32::max);
    }
    Ok(worst)
}

#[test]
fn conformance_cases_of_lstm() {
    let cases = cases("lstm");
    assert_eq!(cases.len(), 6);
    for case in &cases {
        match run(case) {
            Ok(worst) => {
                println!("{}: {worst:e}", case.name);
                assert!(worst <= 1e-6, "{}: {worst:e}", case.name);
            }
            Err(Error::Onnx(OnnxError::Input { node, input, .. })) if case.name.ends_with("peepholes") => {
                assert_eq!((node.as_str(), input.as_str()), ("LSTM_0", "P"));
            }
            Err(e) => panic!("{}: {e}", case.name),
        }
    }
}

#[test]
fn conformance_cases_of_gru_and_rnn_are_listed_and_refused() {
    let cases: Vec<Case> = cases("").into_iter().filter(|c| !c.name.contains("lstm")).collect();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let [weights, _] = case.weights_and_feeds();
        let nodes = recurrent_nodes_with(&case.model, &weights).unwrap();
        let op = if case.name.contains("gru") { RecurrentOp::Gru } else { RecurrentOp::Rnn };
        assert_eq!((nodes.len(), nodes[0].op), (1, op), "{}", case.name);
        assert_eq!(nodes[0].hidden, case.input("R").map(|r| r.dims()[2]), "{}", case.name);
        assert!(nodes[0].weight_bytes > 0);
        let Err(Error::Onnx(OnnxError::Node { node, op: refused, reason })) = nodes[0].pack() else {
            panic!("{} was packed", case.name)
        };
        assert_eq!((node, refused.as_str()), (format!("{op}_0"), op.name()));
        assert!(reason.contains("only LSTM"), "{reason}");
    }
}

/// A graph with LSTM nodes of the given names, all of the same stored weights.
fn named(names: &[&str]) -> Graph {
    let mut n = Numbers(1);
    let mut graph = Graph {
        stored: vec![tensor("W", &[1, 8, 3], &n.floats(24)), tensor("R", &[1, 8, 2], &n.floats(16))],
        inputs: vec![value("X", FLOAT, &[Dim::Name("T"), Dim::N(5), Dim::N(3)])],
        ..Graph::default()
    };
    for (i, name) in names.iter().enumerate() {
        let y = format!("Y{i}");
        graph.nodes.push(node("LSTM", name, &["X", "W", "R"], &[&y], &[attr_i("hidden_size", 2)]));
        graph.outputs.push(untyped(&y));
    }
    graph
}

#[test]
fn names_are_stable_and_unique() {
    let found = recurrent_nodes(&named(&["", "a", "a", "a#2", "", "LSTM_0"]).model(17)).unwrap();
    let names: Vec<&str> = found.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["LSTM_0", "a", "a#2", "a#2#2", "LSTM_4", "LSTM_0#2"]);
    assert_eq!(found[0].time, Extent::Named("T".into()));
    assert_eq!(found[0].batch, Extent::Fixed(5));
}

#[test]
fn bodies_of_loops_are_walked_and_see_outer_weights() {
    let mut outer = named(&[]);
    let mut body = Graph::default();
    body.nodes.push(node("LSTM", "inner", &["X", "W", "R"], &["Z"], &[attr_s("direction", "forward")]));
    body.outputs.push(untyped("Z"));
    outer.nodes.push(node("Loop", "loop", &["", ""], &["Y"], &[attr_g("body", &body.msg())]));
    outer.outputs.push(untyped("Y"));
    let found = recurrent_nodes(&outer.model(17)).unwrap();
    assert_eq!((found[0].name.as_str(), &*found[0].graph), ("inner", "main/loop.body"));
    found[0].pack().unwrap();
}
