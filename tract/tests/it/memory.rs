//! Tests the memory that loading a model takes: a file is decoded once, and weights are kept once.

use allocation_counter::{AllocationInfo, measure};
use rnnpack_dev::onnx::{Dim, FLOAT, Graph, node, tensor, untyped, value};
use rnnpack_tract::Model;

/// An LSTM with I = H = `hidden`. Its weights are nearly all of the file.
fn lstm(hidden: usize) -> Vec<u8> {
    let weights = vec![0.01; 4 * hidden * hidden];
    Graph {
        nodes: vec![node("LSTM", "lstm", &["X", "W", "R"], &["Y"], &[])],
        stored: ["W", "R"].map(|name| tensor(name, &[1, 4 * hidden, hidden], &weights)).into(),
        inputs: vec![value("X", FLOAT, &[Dim::N(4), Dim::N(1), Dim::N(hidden)])],
        outputs: vec![untyped("Y")],
    }
    .model(17)
}

/// The bytes that loading allocates in total, at most at once, and still holds, each divided by the size of the file.
fn loading(file: &[u8]) -> (Option<Model>, [f64; 3]) {
    let mut model = None;
    let AllocationInfo { bytes_total, bytes_max, bytes_current, .. } =
        measure(|| model = Some(Model::load(file).unwrap()));
    let all = [bytes_total as f64, bytes_max as f64, bytes_current as f64];
    (model, all.map(|bytes| bytes / file.len() as f64))
}

#[test]
fn a_loaded_model_holds_its_weights_once() {
    let file = lstm(512);
    let (model, [_, _, kept]) = loading(&file);
    println!("{kept:.2} bytes are kept per byte of the file");
    assert!((0.9..1.2).contains(&kept), "{kept:.2}");
    assert_eq!(model.unwrap().recurrent_nodes()[0].weight_bytes, 2 * 4 * 4 * 512 * 512);
}

#[test]
fn a_file_is_decoded_once() {
    let file = lstm(512);
    let (_, [total, most, _]) = loading(&file);
    println!("{total:.2} bytes are allocated per byte of the file, {most:.2} at once");
    // A second decoding would allocate one more byte per byte.
    assert!(total < 6.5 && most < 3.0, "{total:.2} {most:.2}");
}
