//! Tests the recurrent nodes of files: the list, the packed layers, and the conformance cases of the standard.

use rnnpack::{Cell, Direction, Layout};
use rnnpack_dev::onnx::conformance::cases;
use rnnpack_dev::onnx::native::run;
use rnnpack_dev::onnx::recorded::{self, relative};
use rnnpack_dev::onnx::{
    Dim, FLOAT, Graph, Numbers, attr_g, attr_i, attr_s, node, read, tensor, untyped, value,
};
use rnnpack_dev::onnx::{recurrent_nodes, recurrent_nodes_with};
use rnnpack_onnx::{DType, Error, Extent, RecurrentNode, RecurrentOp, Tensor};

fn nodes(path: &str) -> Vec<RecurrentNode> {
    recurrent_nodes(&read(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn silero_vad_has_four_layers_in_nested_branches() {
    let nodes = nodes("silero_vad/silero_vad.onnx");
    assert_eq!(nodes.len(), 4);
    for n in &nodes {
        assert_eq!((n.op, n.opset, n.dtype), (RecurrentOp::Lstm, 16, Some(DType::F32)));
        assert_eq!(n.cells, [Cell::lstm()]);
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

/// The largest difference between an output and the recorded one. It is relative to the largest recorded value if that
/// is above 1.
fn worst<'a>(outputs: impl Iterator<Item = (&'a str, &'a Tensor)>, [y, h, c]: &[Tensor; 3]) -> f64 {
    let one = |(name, expected): (&str, &Tensor)| {
        let found = match name {
            "Y" => y,
            "Y_h" => h,
            _ => c,
        };
        assert!(found.as_slice::<f32>().unwrap().iter().all(|v| v.is_finite()), "{name}: {found:?}");
        relative(found, expected).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    // All differences are finite, so `max` drops none.
    outputs.map(one).fold(0.0, f64::max)
}

#[test]
fn all_conformance_cases_are_computed() {
    let cases = cases("");
    assert_eq!(cases.len(), 18);
    for case in &cases {
        let inputs: Vec<(&str, &Tensor)> = case.inputs.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let found = run(&case.model, &inputs).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let worst = worst(case.outputs.iter().map(|(n, t)| (n.as_str(), t)), &found);
        println!("{}: {worst:e}", case.name);
        assert!(worst <= 1e-6, "{}: {worst:e}", case.name);
    }
}

#[test]
fn what_is_not_near_a_recorded_answer_is_an_error() {
    let recorded = Tensor::new(&[3], vec![1f32, 200.0, 3.0]).unwrap();
    for (i, wrong) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().cycle().take(9).enumerate() {
        let mut values = vec![1f32, 200.0, 3.0];
        values[i / 3] = wrong;
        let found = Tensor::new(&[3], values).unwrap();
        assert!(relative(&found, &recorded).is_err(), "{wrong} at {}", i / 3);
        assert!(relative(&recorded, &found).is_err(), "{wrong} was recorded at {}", i / 3);
    }
    for (dims, count) in [(&[2][..], 2), (&[4], 4), (&[1, 3], 3), (&[3, 1], 3), (&[0], 0)] {
        let values: Vec<f32> = [1.0, 200.0, 3.0, 0.0][..count].to_vec();
        assert!(relative(&Tensor::new(dims, values).unwrap(), &recorded).is_err(), "{dims:?}");
    }
    assert!(relative(&Tensor::new(&[3], vec![1f64, 200.0, 3.0]).unwrap(), &recorded).is_err());
    // Integers are compared exactly: these two differ.
    let [a, b] = [1 << 40, (1 << 40) + 1].map(Tensor::scalar::<i64>);
    assert!(relative(&a, &b).is_err() && relative(&a, &a) == Ok(0.0));
    let off = Tensor::new(&[3], vec![1f32, 202.0, 3.0]).unwrap();
    assert_eq!(relative(&off, &recorded), Ok(0.01));
}

#[test]
fn random_nodes_are_as_onnx_runtime_computes_them() {
    let cases = recorded::cases("oracle/cases.npz");
    assert!(cases.len() >= 150, "only {} cases", cases.len());
    let mut largest = 0f64;
    for (name, case) in &cases {
        let inputs: Vec<(&str, &Tensor)> = case.inputs.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let found = run(&case.model, &inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
        let worst = worst(case.outputs.iter().map(|(n, t)| (n.as_str(), t)), &found);
        assert!(worst <= 1e-5, "{name}: {worst:e}");
        largest = largest.max(worst);
    }
    println!("{} cases, largest difference {largest:e}", cases.len());
}

#[test]
fn weights_that_are_inputs_are_named_until_they_are_bound() {
    for case in cases("") {
        let [weights, _] = case.weights_and_feeds();
        for (i, (missing, _)) in weights.iter().enumerate() {
            let bound: Vec<_> = weights.iter().take(i).copied().collect();
            let node = &recurrent_nodes_with(&case.model, &bound).unwrap()[0];
            let Some(Error::Input { input, reason, .. }) = node.refusal() else { panic!("{}", case.name) };
            assert_eq!((input.as_str(), reason.contains("input of the graph")), (*missing, true), "{reason}");
            assert_eq!(node.dtype, Some(DType::F32));
        }
    }
}

/// A graph with LSTM nodes of the given names, which share the same stored weights.
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

#[test]
fn many_nodes_of_one_name_are_named_in_linear_time() {
    let found = recurrent_nodes(&named(&["a"; 30_000]).model(17)).unwrap();
    assert_eq!(found[29_999].name, "a#30000");
}
