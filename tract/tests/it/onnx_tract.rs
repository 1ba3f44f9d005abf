//! Tests programs that use tract directly, with `rnnpack_tract::register`.

use rnnpack_dev::onnx::conformance::cases;
use rnnpack_dev::onnx::recorded::{Values, difference, recording, relative};
use rnnpack_dev::onnx::{
    Dim, FLOAT, Graph, Numbers, attr_f, attr_s, fixture, native, node, tensor, untyped, value,
};
use rnnpack_onnx::{Error as OnnxError, Tensor};
use rnnpack_tract::register;
use std::sync::Arc;
use tract_onnx::prelude::{
    Framework, InferenceModel, InferenceModelExt, IntoRunnable, TValue, TractResult, TypedRunnableModel,
};

type Runnable = Arc<TypedRunnableModel>;

/// A user's tract. Models that it loads have their recurrent nodes on our kernels.
fn onnx() -> tract_onnx::Onnx {
    let mut onnx = tract_onnx::onnx();
    register(&mut onnx);
    onnx
}

fn parsed(bytes: &[u8]) -> TractResult<InferenceModel> {
    onnx().model_for_read(&mut &*bytes)
}

/// The model as tract runs it, first not optimized, then optimized.
fn both(model: InferenceModel) -> TractResult<[Runnable; 2]> {
    Ok([model.clone().into_typed()?.into_runnable()?, model.into_optimized()?.into_runnable()?])
}

fn to_tract(t: &Tensor) -> TValue {
    let f32s = t.as_slice::<f32>().map(|v| tract_onnx::prelude::Tensor::from_shape(t.dims(), v));
    let i32s = || t.as_slice::<i32>().map(|v| tract_onnx::prelude::Tensor::from_shape(t.dims(), v));
    f32s.or_else(i32s).unwrap().unwrap().into()
}

fn run(model: &Runnable, inputs: &[&Tensor]) -> Vec<Tensor> {
    let inputs = inputs.iter().map(|t| to_tract(t)).collect();
    let outputs = model.run(inputs).unwrap();
    let tensor = |v: &TValue| {
        Tensor::new(v.shape(), v.to_plain_array_view::<f32>().unwrap().iter().copied().collect()).unwrap()
    };
    outputs.iter().map(tensor).collect()
}

#[test]
fn all_conformance_cases_are_computed_in_the_callers_tract() {
    let cases = cases("");
    assert_eq!(cases.len(), 18);
    for case in &cases {
        let inputs: Vec<&Tensor> = case.inputs.iter().map(|(_, t)| t).collect();
        for model in both(parsed(&case.model).unwrap()).unwrap() {
            let found = run(&model, &inputs);
            assert_eq!(found.len(), case.outputs.len(), "{}", case.name);
            for (found, (name, expected)) in found.iter().zip(&case.outputs) {
                let worst = difference(found, expected).unwrap().largest;
                assert!(worst <= 1e-6, "{} {name}: {worst:e}", case.name);
            }
        }
    }
}

/// An LSTM of stored weights between other nodes, in a direction that tract itself ignores.
fn reverse() -> Vec<u8> {
    let mut n = Numbers(1);
    let graph = Graph {
        nodes: vec![
            node("Neg", "before", &["A"], &["X"], &[]),
            node("LSTM", "", &["X", "W", "R"], &["Y"], &[attr_s("direction", "reverse")]),
            node("Neg", "after", &["Y"], &["Z"], &[]),
        ],
        stored: vec![tensor("W", &[1, 8, 3], &n.floats(24)), tensor("R", &[1, 8, 2], &n.floats(16))],
        inputs: vec![value("A", FLOAT, &[Dim::Name("T"), Dim::N(5), Dim::N(3)])],
        outputs: vec![untyped("Z")],
    };
    graph.model(14)
}

#[test]
fn stored_weights_are_packed_and_give_the_layers_bits() {
    for model in both(parsed(&reverse()).unwrap()).unwrap() {
        let names: Vec<String> = model.model().nodes().iter().map(|n| n.op.name().to_string()).collect();
        assert!(names.contains(&"LSTM".to_string()), "{names:?}");
        for time in [1, 4] {
            let a = Numbers(2).floats(time * 15);
            let x = Tensor::new(&[time, 5, 3], a.iter().map(|v| -v).collect()).unwrap();
            let [y, ..] = native::run(&reverse(), &[("X", &x)]).unwrap();
            let z = &run(&model, &[&Tensor::new(&[time, 5, 3], a).unwrap()])[0];
            let negated: Vec<f32> = y.as_slice::<f32>().unwrap().iter().map(|v| -v).collect();
            assert_eq!(z.as_slice::<f32>(), Some(&negated[..]));
        }
    }
}

#[test]
fn silero_vad_gives_the_recorded_answers_in_the_callers_tract() {
    let recording = recording("silero_vad/silero_vad_16k_sequence.seq.npz");
    let model = onnx().model_for_path(fixture("silero_vad/silero_vad_16k_sequence.onnx")).unwrap();
    for model in both(model).unwrap() {
        for (inputs, outputs) in &recording.steps {
            let input = |name: &str| &inputs[name];
            let found = run(&model, &["input", "h", "c"].map(input));
            let names = ["speech_probs", "hn", "cn"];
            assert_eq!(found.len(), names.len());
            let expected = |values: &Values, name: &str| values[name].clone();
            for (found, name) in found.iter().zip(names) {
                let expected = expected(outputs, name);
                let worst = relative(found, &expected).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert!(worst <= 5e-6, "{name}: {worst:e}");
            }
        }
    }
}

#[test]
fn refused_nodes_are_errors_with_the_reason_among_their_causes() {
    let refusal = |bytes: &[u8]| {
        let error = parsed(bytes).and_then(both).map(drop).unwrap_err();
        error
            .chain()
            .find_map(|cause| cause.downcast_ref::<OnnxError>())
            .cloned()
            .unwrap_or_else(|| panic!("{error:#}"))
    };
    let mut n = Numbers(1);
    let mut graph = Graph {
        stored: vec![tensor("W", &[1, 8, 3], &n.floats(24)), tensor("R", &[1, 8, 2], &n.floats(16))],
        inputs: vec![value("X", FLOAT, &[Dim::N(1), Dim::N(1), Dim::N(3)])],
        outputs: vec![untyped("Y")],
        ..Graph::default()
    };
    // A node without a name gets the name that tract gives it.
    graph.nodes = vec![node("LSTM", "", &["X", "W", "R"], &["Y"], &[attr_f("clip", -1.0)])];
    let refused = refusal(&graph.model(14));
    let OnnxError::Attribute { node: name, attribute, .. } = &refused else { panic!("{refused}") };
    assert_eq!((name.as_str(), attribute.as_str()), ("Y", "clip"));
    graph.nodes = vec![node("LSTM", "lstm", &["X", "W", "R"], &["Y"], &[])];
    let OnnxError::Opset { .. } = refusal(&graph.model(29)) else { panic!("operator set 29") };
    graph.stored[1] = tensor("R", &[1, 8, 2], &[f32::NAN; 16]);
    let refused = refusal(&graph.model(14));
    assert!(refused.to_string().contains("lstm"), "{refused}");
}
