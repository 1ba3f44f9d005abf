//! Real models on tract with their LSTM nodes on our kernels, against recorded answers.
#![cfg(feature = "tract")]

mod onnx_support;

use onnx_support::fixture;
use onnx_support::recorded::{Recording, difference, recording};
use rnnpack::onnx::{Kernels, Loader, Tensor};
use std::collections::BTreeMap;

/// What the answers may differ by; they were recorded with another runtime, whose f32 sums have another
/// order.
const TOLERANCE: f32 = 5e-6;

/// The largest difference of each output from the recorded one, relative to the largest recorded value of
/// that output where that is above 1.
type Worst = BTreeMap<String, f32>;

/// Runs every step of a recording, handing on what is carried.
fn replay(loader: &Loader, model: &str, recording: &Recording, carried: &[(&str, &str)]) -> Worst {
    let model = loader.load_path(fixture(model)).unwrap();
    let mut stream = model.stream(carried).unwrap();
    let mut worst = Worst::new();
    let mut scale = Worst::new();
    for (step, (inputs, outputs)) in recording.steps.iter().enumerate() {
        let wanted = |name: &str| model.inputs().iter().any(|i| i.name == name);
        let given = |name: &str| step == 0 || carried.iter().all(|(input, _)| *input != name);
        let feeds: Vec<(&str, &Tensor)> =
            inputs.iter().map(|(n, t)| (n.as_str(), t)).filter(|(n, _)| wanted(n) && given(n)).collect();
        let results = stream.run(&feeds).unwrap();
        assert_eq!(results.len(), outputs.len());
        for (name, value) in results {
            let expected = &outputs[&name];
            let largest = expected.as_slice::<f32>().unwrap().iter().fold(1f32, |m, v| m.max(v.abs()));
            let entry = scale.entry(name.clone()).or_insert(1.0);
            *entry = entry.max(largest);
            let entry = worst.entry(name).or_insert(0.0);
            *entry = entry.max(difference(&value, expected));
        }
    }
    worst.iter_mut().for_each(|(name, worst)| *worst /= scale[name]);
    worst
}

/// Replays a recording with our kernels and with the f64 reference.
fn check(name: &str, loader: &Loader, [model, file]: [&str; 2], steps: usize, carried: &[(&str, &str)]) {
    let recording = recording(file);
    assert_eq!(recording.steps.len(), steps, "{file}");
    for kernels in [Kernels::Reference64, Kernels::Rnnpack] {
        let worst = replay(&loader.clone().kernels(kernels), model, &recording, carried);
        println!("{name} ({kernels:?}): {steps} steps, largest differences {worst:?}");
        assert!(worst.values().all(|&w| w <= TOLERANCE), "{name} ({kernels:?}): {worst:?}");
    }
}

/// Silero's nested branches depend on the rate and on the shape of the input.
fn silero(rate: i64, batch: usize) -> Loader {
    let samples = if rate == 16_000 { 576 } else { 288 };
    Loader::new().bind("sr", Tensor::scalar(rate)).shape("input", &[batch, samples])
}

const STATE: &[(&str, &str)] = &[("state", "stateN")];

#[test]
fn silero_vad_at_16_khz() {
    let files = ["silero_vad/silero_vad.onnx", "silero_vad/silero_vad.16k.npz"];
    check("silero_vad 16 kHz", &silero(16_000, 1), files, 40, STATE);
}

#[test]
fn silero_vad_at_8_khz() {
    let files = ["silero_vad/silero_vad.onnx", "silero_vad/silero_vad.8k.npz"];
    check("silero_vad 8 kHz", &silero(8_000, 1), files, 40, STATE);
}

#[test]
fn silero_vad_in_a_batch() {
    let files = ["silero_vad/silero_vad.onnx", "silero_vad/silero_vad.16k_batch4.npz"];
    check("silero_vad batch 4", &silero(16_000, 4), files, 40, STATE);
    check("silero_vad batch 4, 2 threads", &silero(16_000, 4).threads(2), files, 40, STATE);
}

#[test]
fn silero_vad_16k_op15() {
    // The same stream as that of silero_vad, with the same recorded answers.
    let files = ["silero_vad/silero_vad_16k_op15.onnx", "silero_vad/silero_vad.16k.npz"];
    check("silero_vad_16k_op15", &silero(16_000, 1), files, 40, STATE);
}

#[test]
fn silero_vad_16k_sequence() {
    let files = ["silero_vad/silero_vad_16k_sequence.onnx", "silero_vad/silero_vad_16k_sequence.seq.npz"];
    check("silero_vad_16k_sequence", &Loader::new(), files, 2, &[]);
}

#[test]
fn dtln_model_1() {
    let files = ["dtln/model_1.onnx", "dtln/model_1.stream.npz"];
    let carried = &[("input_3", "tf_op_layer_stack_2")];
    check("dtln model_1", &Loader::new(), files, 40, carried);
}
