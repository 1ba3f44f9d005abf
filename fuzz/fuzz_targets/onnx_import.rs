//! Arbitrary bytes as an ONNX file: every node is packed or refused, and what is packed has the sizes that it says.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(nodes) = rnnpack::onnx::recurrent_nodes(bytes) else { return };
    for node in &nodes {
        match node.pack() {
            Err(e) => assert!(!e.to_string().is_empty()),
            Ok(layer) => {
                let shape = layer.shape();
                assert!(shape.hidden > 0);
                // Weights come out of the file. Operators on them may repeat what it holds, within this budget.
                let floats = 4 * shape.output() * (shape.input + shape.hidden);
                assert!(
                    4 * floats <= 16 * bytes.len() + (1 << 16),
                    "{floats} weights of {} bytes",
                    bytes.len()
                );
                let mut state = layer.new_state(1).unwrap();
                let mut y = vec![0.0; shape.output()];
                let x = vec![0.5; shape.input];
                layer.step(&x, &mut state, &mut y, &mut rnnpack::Scratch::new()).unwrap();
                assert!(y.iter().all(|y| y.abs() <= 1.0));
            }
        }
    }
});
