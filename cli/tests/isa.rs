//! Tests that a forced instruction set holds for all that our kernels compute, beside the layers too.

mod support;

use ndarray_npy::{read_npy, write_npy};
use rnnpack_dev::onnx::{Dim, FLOAT, Graph, node, untyped, value};
use support::{folder, rnnpack_isa};

#[test]
fn operators_beside_the_layers_take_the_forced_instruction_set() {
    let folder = folder("isa");
    let graph = Graph {
        nodes: vec![node("Sigmoid", "alone", &["X"], &["Z"], &[])],
        inputs: vec![value("X", FLOAT, &[Dim::N(64)])],
        outputs: vec![untyped("Z")],
        ..Graph::default()
    };
    let path = folder.join("sigmoid.onnx").display().to_string();
    std::fs::write(&path, graph.model(22)).unwrap();
    let x: Vec<f32> = (0..64).map(|i| i as f32 * 0.37 - 11.0).collect();
    let file = folder.join("x.npy");
    write_npy(&file, &ndarray::Array1::from(x.clone())).unwrap();
    let input = format!("X={}", file.display());
    for variant in rnnpack::Variant::available() {
        let out = folder.join(variant.name());
        let args = ["run", &path, "--input", &input, "--output", &out.display().to_string()];
        assert_eq!(rnnpack_isa(&args, Some(variant.name())).code, Some(0), "{variant}");
        let z: ndarray::ArrayD<f32> = read_npy(out.join("Z.npy")).unwrap();
        let mut right = x.clone();
        rnnpack::Activation::Sigmoid.eval_slice(variant, &mut right);
        assert!(z.iter().zip(&right).all(|(z, r)| z.to_bits() == r.to_bits()), "{variant}");
    }
    let args = ["run", &path, "--input", &input, "--output", &folder.join("none").display().to_string()];
    rnnpack_isa(&args, Some("sse9")).refused("instruction set \"sse9\" is not available here");
}
