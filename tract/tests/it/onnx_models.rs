//! Tests real models on tract with their recurrent nodes on our kernels, against recorded outputs.

use rnnpack::compare::{Difference, difference};
use rnnpack_dev::onnx::fixture;
use rnnpack_dev::onnx::recorded::{self, Recording, recording};
use rnnpack_onnx::Tensor;
use rnnpack_tract::{Kernels, Loader};
use std::collections::BTreeMap;

/// The allowed difference. The outputs were recorded with another runtime, whose f32 sums have another order.
const TOLERANCE: f64 = 5e-6;
/// The allowed difference for `w_g2p_en`. The f64 reference itself differs by 5.5e-6 from the recording.
const TOLERANCE_OF_G2P: f64 = 1e-5;

/// The largest difference of each output from the recorded one. It is relative to the largest recorded value of that
/// output if that is above 1.
type Worst = BTreeMap<String, f64>;

/// Runs every step of a recording, with the carried values from the step before.
fn replay(loader: &Loader, model: &str, recording: &Recording, carried: &[(&str, &str)]) -> Worst {
    let model = loader.load_path(fixture(model)).unwrap();
    let mut stream = model.stream(carried).unwrap();
    let mut all = BTreeMap::<String, Difference>::new();
    for (step, (inputs, outputs)) in recording.steps.iter().enumerate() {
        let wanted = |name: &str| model.inputs().iter().any(|i| i.name == name);
        let given = |name: &str| step == 0 || carried.iter().all(|(input, _)| *input != name);
        let feeds: Vec<(&str, &Tensor)> =
            inputs.iter().map(|(n, t)| (n.as_str(), t)).filter(|(n, _)| wanted(n) && given(n)).collect();
        let results = stream.run(&feeds).unwrap();
        assert_eq!(results.len(), outputs.len());
        for (name, value) in results {
            let found = recorded::difference(&value, &outputs[&name]);
            let found = found.unwrap_or_else(|e| panic!("step {step}, {name}: {e}"));
            let entry = all.entry(name).or_insert(Difference::NONE);
            *entry = entry.max(found);
        }
    }
    all.into_iter().map(|(name, found)| (name, found.relative(1.0))).collect()
}

/// Replays a recording with our kernels and with the f64 reference.
fn check(name: &str, loader: &Loader, [model, file]: [&str; 2], steps: usize, carried: &[(&str, &str)]) {
    let recording = recording(file);
    assert_eq!(recording.steps.len(), steps, "{file}");
    for kernels in [Kernels::Reference64, Kernels::Rnnpack] {
        let worst = replay(&loader.clone().kernels(kernels), model, &recording, carried);
        println!("{name} ({kernels:?}): {steps} steps, largest differences {worst:?}");
        let allowed = if name == "w_g2p_en" { TOLERANCE_OF_G2P } else { TOLERANCE };
        assert!(worst.values().all(|&w| w <= allowed), "{name} ({kernels:?}): {worst:?}");
    }
}

/// A loader for Silero. Its nested branches depend on the sample rate and on the shape of the input.
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
    // The same stream as for silero_vad, with the same recorded outputs.
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

#[test]
fn gtcrn() {
    let files = ["gtcrn/gtcrn_simple.onnx", "gtcrn/gtcrn_simple.stream.npz"];
    let carried = &[
        ("conv_cache", "conv_cache_out"),
        ("tra_cache", "tra_cache_out"),
        ("inter_cache", "inter_cache_out"),
    ];
    check("gtcrn", &Loader::new(), files, 8, carried);
}

#[test]
fn arabic_name_romanizer_encoder() {
    let files = ["arabic_name_romanizer/encoder.onnx", "arabic_name_romanizer/encoder.io.npz"];
    check("arabic_name_romanizer", &Loader::new(), files, 1, &[]);
}

#[test]
fn recurrent_stacks_of_trained_weights() {
    for name in ["w_g2p_en", "w_g2pm", "w_nh3pred"] {
        let files = ["onnx", "io.npz"].map(|end| format!("{name}/recurrent_stack.{end}"));
        check(name, &Loader::new(), files.each_ref().map(String::as_str), 1, &[]);
    }
}

/// The speech probabilities of a stream of chunks. `model` is a graph that carries its state.
fn silero_stream(model: &str, chunks: &[&[f32]]) -> Vec<f32> {
    let model = silero(16_000, 1).load_path(fixture(model)).unwrap();
    let mut stream = model.stream(STATE).unwrap();
    let state = Tensor::new(&[2, 1, 128], vec![0f32; 256]).unwrap();
    let mut first = Some(&state);
    let probability = |chunk: &&[f32]| {
        let input = Tensor::new(&[1, 576], chunk.to_vec()).unwrap();
        let feeds: Vec<(&str, &Tensor)> =
            [("input", &input)].into_iter().chain(first.take().map(|state| ("state", state))).collect();
        let results: BTreeMap<String, Tensor> = stream.run(&feeds).unwrap().into_iter().collect();
        results["output"].as_slice::<f32>().unwrap()[0]
    };
    chunks.iter().map(probability).collect()
}

/// Three graphs of one network: LSTM nodes in nested `If`s, in one `If`, and one node over the whole sequence.
#[test]
fn the_three_graphs_of_silero_vad_agree_on_the_same_audio() {
    let recording = recording("silero_vad/silero_vad_16k_sequence.seq.npz");
    let (inputs, _) = &recording.steps[0];
    let chunks: Vec<&[f32]> = inputs["input"].as_slice::<f32>().unwrap().chunks(576).collect();
    assert_eq!(chunks.len(), 414);
    let model = Loader::new().load_path(fixture("silero_vad/silero_vad_16k_sequence.onnx")).unwrap();
    let feeds: Vec<(&str, &Tensor)> = inputs.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let results: BTreeMap<String, Tensor> = model.run(&feeds).unwrap().into_iter().collect();
    let sequence = results["speech_probs"].as_slice::<f32>().unwrap();
    for name in ["silero_vad/silero_vad.onnx", "silero_vad/silero_vad_16k_op15.onnx"] {
        let stream = silero_stream(name, &chunks);
        let worst = difference(&stream, sequence).unwrap_or_else(|e| panic!("{name}: {e}")).largest;
        println!("{name}: largest difference from the graph of a sequence {worst:e}");
        assert!(worst <= 1e-6, "{name}: {worst:e}");
    }
}
