//! A model whose result tells what happens to subnormal numbers.

use super::{
    BFLOAT16, DOUBLE, Dim, FLOAT, FLOAT16, Graph, Msg, attr_f, attr_strings, node, raw, untyped, value,
};
use rnnpack_onnx::{bf16, f16};

/// A model of one RNN node, `rnn`, with I = 1, H = 2, `B` and `R` of zeros and the activation Relu: `Y = relu(w · X)`.
/// A node Neg comes after it, so the output is `-Y`.
#[derive(Clone, Copy, Debug)]
pub struct Faint {
    /// The element type of all tensors.
    pub dtype: i64,
    /// The two elements of W.
    pub w: [f64; 2],
    /// The attribute `clip`.
    pub clip: Option<f32>,
    /// Whether W is an input of the model, in place of a stored tensor.
    pub w_is_given: bool,
}

impl Faint {
    /// A model whose W is stored.
    pub fn new(dtype: i64, w: [f64; 2]) -> Faint {
        Faint { dtype, w, clip: None, w_is_given: false }
    }

    /// The file. X has the dimensions `[T, 1, 1]`.
    pub fn model(&self) -> Vec<u8> {
        let Faint { dtype, w, clip, w_is_given } = *self;
        let stored = |name, dims: &[usize], values: &[f64]| {
            raw(name, dims, dtype, values.iter().flat_map(|&x| element(dtype, x)).collect())
        };
        let relu = Some(attr_strings("activations", &["Relu"]));
        let attributes: Vec<Msg> = relu.into_iter().chain(clip.map(|clip| attr_f("clip", clip))).collect();
        let mut graph = Graph {
            nodes: vec![
                node("RNN", "rnn", &["X", "W", "R", "B"], &["Y"], &attributes),
                node("Neg", "after", &["Y"], &["Z"], &[]),
            ],
            stored: vec![stored("R", &[1, 2, 2], &[0.0; 4]), stored("B", &[1, 4], &[0.0; 4])],
            inputs: vec![value("X", dtype, &[Dim::Name("T"), Dim::N(1), Dim::N(1)])],
            outputs: vec![untyped("Z")],
        };
        match w_is_given {
            true => graph.inputs.push(value("W", dtype, &[1, 2, 1].map(Dim::N))),
            false => graph.stored.push(stored("W", &[1, 2, 1], &w)),
        }
        graph.model(22)
    }
}

/// The bytes of a number in an element type of floats.
pub(super) fn element(dtype: i64, x: f64) -> Vec<u8> {
    match dtype {
        FLOAT => (x as f32).to_le_bytes().to_vec(),
        DOUBLE => x.to_le_bytes().to_vec(),
        FLOAT16 => f16::from_f64(x).to_le_bytes().to_vec(),
        BFLOAT16 => bf16::from_f64(x).to_le_bytes().to_vec(),
        other => panic!("no type of floats: {other}"),
    }
}
