//! Fuzzes the importer with arbitrary bytes: it packs or refuses every node, a packed layer has the right sizes,
//! and a rewritten model has the same nodes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnnpack::{Activation, Cell, Shape, WeightType};
use rnnpack_onnx::{DType, RecurrentNode};

/// Checks the size of a layer, whose weights have `$bytes_each` bytes each, and runs one step.
macro_rules! step {
    ($layer:expr, $node:expr, $bytes_each:expr, $file:expr) => {
        let layer = $layer;
        check_size(layer.shape(), layer.cell(), $bytes_each, $file);
        let (shape, mut state) = (layer.shape(), layer.new_state(1).unwrap());
        let (x, mut y) = (vec![0.5; shape.input], vec![0.0; shape.output()]);
        layer.step(&x, &mut state, &mut y, &mut Default::default()).unwrap();
        assert!(!bounded($node) || y.iter().all(|y| y.abs() <= 1.0));
    };
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = rnnpack_onnx::File::parse(bytes) else { return };
    for node in file.nodes() {
        if let Some(e) = node.refusal() {
            assert!(!e.to_string().is_empty());
            assert!(node.pack().is_err() && node.pack_f64().is_err());
        } else if node.dtype == Some(DType::F64) {
            step!(node.pack_f64().unwrap(), node, 8, bytes);
        } else {
            step!(node.pack().unwrap(), node, 4, bytes);
        }
    }
    for weights in WeightType::ALL {
        let Ok(written) = rnnpack_onnx::narrow(bytes, |_| weights) else { continue };
        // A smaller model may be refused because its functions grow too much for it.
        if let Ok(read) = rnnpack_onnx::File::parse(&written) {
            assert_eq!(read.nodes().len(), file.nodes().len());
        }
    }
});

/// Checks that the weights are not larger than the file allows. Operators may repeat what the file holds, within a
/// budget, and W and R may be the same tensor.
fn check_size(shape: Shape, cell: &Cell, bytes_each: usize, file: &[u8]) {
    assert!(shape.hidden > 0);
    let numbers = cell.gates() * shape.output() * (shape.input + shape.hidden);
    assert!(
        bytes_each * numbers <= 2 * (16 * file.len() + (1 << 16)),
        "{numbers} weights of {} bytes",
        file.len()
    );
}

/// Whether no output of the node's cells exceeds ±1. This holds for the default activations.
fn bounded(node: &RecurrentNode) -> bool {
    let defaults = [Cell::lstm(), Cell::gru(false), Cell::rnn(Activation::Tanh)];
    let default =
        |cell: &Cell| defaults.iter().any(|d| d.op() == cell.op() && d.activations() == cell.activations());
    node.cells.iter().all(default)
}
