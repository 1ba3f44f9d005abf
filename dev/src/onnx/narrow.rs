//! A model whose weights are numbers of a narrow type, stored in it or in another.

use super::faint::element;
use super::{Dim, Graph, Msg, Numbers, attr_i, attr_ints, node, raw, untyped, value};
use rnnpack_onnx::f16;

/// A model of one LSTM node, `lstm`, with W, R and no B.
#[derive(Clone, Copy, Debug)]
pub struct Narrow {
    /// I and H.
    pub sizes: [usize; 2],
    /// Makes a weight of a number in ±0.5.
    pub weight: fn(f32) -> f32,
    /// The element type of the stored tensors.
    pub stored: i64,
    /// The element type of the node. If it is another one, a Transpose and a Cast are between.
    pub node: i64,
}

impl Narrow {
    /// A model with I = 5 and H = 7, whose weights have no more bits than f16.
    pub fn f16(stored: i64, node: i64) -> Narrow {
        Narrow { sizes: [5, 7], weight: |x| f16::from_f32(x).to_f32(), stored, node }
    }

    /// The file. X has the dimensions `[T, 1, I]`, the only output is Y.
    pub fn model(&self) -> Vec<u8> {
        let Narrow { sizes: [input, hidden], weight, stored: from, node: to } = *self;
        let mut numbers = Numbers(11);
        let (mut stored, mut nodes) = (Vec::new(), Vec::<Msg>::new());
        for (name, columns) in [("W", input), ("R", hidden)] {
            let mut one = || weight(numbers.below(1 << 24) as f32 / (1 << 24) as f32 - 0.5);
            let data = (0..4 * hidden * columns).flat_map(|_| element(from, one().into())).collect();
            if from == to {
                stored.push(raw(name, &[1, 4 * hidden, columns], from, data));
                continue;
            }
            let [flat, moved] = [format!("{name}_stored"), format!("{name}_moved")];
            stored.push(raw(&flat, &[4 * hidden, columns, 1], from, data));
            nodes.push(node("Transpose", "", &[&flat], &[&moved], &[attr_ints("perm", &[2, 0, 1])]));
            nodes.push(node("Cast", "", &[&moved], &[name], &[attr_i("to", to)]));
        }
        nodes.push(node("LSTM", "lstm", &["X", "W", "R"], &["Y"], &[]));
        let inputs = vec![value("X", to, &[Dim::Name("T"), Dim::N(1), Dim::N(input)])];
        Graph { nodes, stored, inputs, outputs: vec![untyped("Y")] }.model(22)
    }
}
