//! Models of one node whose weights are integers of 8 bits.

use super::{Dim, FLOAT, Graph, Msg, Numbers, attr_i, attr_s, node, raw, tensor, untyped, value};

/// u8.
pub const UINT8: i64 = 2;
/// i8.
pub const INT8: i64 = 3;

/// A model of one `DynamicQuantizeLSTM` node, `lstm`, with everything that a test may want to change in it. The outputs
/// are Y and Y_h; X has the dimensions `[T, B, I]`.
#[derive(Clone)]
pub struct QuantizedNode {
    /// I and H.
    pub sizes: [usize; 2],
    /// The domain of the node.
    pub domain: &'static str,
    /// The inputs of the node.
    pub inputs: Vec<&'static str>,
    /// The attributes of the node.
    pub attributes: Vec<Msg>,
    /// The stored tensors by name.
    pub stored: Vec<(&'static str, Msg)>,
}

/// Integers of 8 bits, stored as `dtype`.
pub fn integers(name: &str, dims: &[usize], dtype: i64, data: &[i16]) -> Msg {
    raw(name, dims, dtype, data.iter().map(|&v| v as u8).collect())
}

impl QuantizedNode {
    /// A node with random integers of type `dtype`. Each direction has a scale, or each column if `of_columns`.
    pub fn new(sizes: [usize; 2], direction: &str, dtype: i64, of_columns: bool) -> QuantizedNode {
        let [input, hidden] = sizes;
        let (directions, columns) = (if direction == "bidirectional" { 2 } else { 1 }, 4 * hidden);
        let mut numbers = Numbers(5);
        let scales = if of_columns { vec![directions, columns] } else { vec![directions] };
        let (count, least, zero_point) = match (dtype, of_columns) {
            (INT8, true) => (directions * columns, -128, 0),
            (INT8, false) => (directions, -128, -3),
            _ => (scales.iter().product(), 0, 131),
        };
        let mut stored = Vec::new();
        for (name, scale, zero, rows) in
            [("W", "W_scale", "W_zero_point", input), ("R", "R_scale", "R_zero_point", hidden)]
        {
            let mut number = |_| numbers.below(256) as i16 + least;
            let data: Vec<i16> = (0..directions * rows * columns).map(&mut number).collect();
            stored.push((name, integers(name, &[directions, rows, columns], dtype, &data)));
            let steps: Vec<f32> = (0..count).map(|i| (1.0 + i as f32 / count as f32) / 300.0).collect();
            stored.push((scale, tensor(scale, &scales, &steps)));
            stored.push((zero, integers(zero, &scales, dtype, &vec![zero_point; count])));
        }
        let inputs =
            ["X", "W", "R", "", "", "", "", "", "W_scale", "W_zero_point", "R_scale", "R_zero_point"];
        let attributes = vec![attr_i("hidden_size", hidden as i64), attr_s("direction", direction)];
        QuantizedNode { sizes, domain: "com.microsoft", inputs: inputs.to_vec(), attributes, stored }
    }

    /// Replaces a stored tensor.
    pub fn stored(mut self, name: &str, tensor: Msg) -> QuantizedNode {
        self.stored.iter_mut().filter(|(of, _)| *of == name).for_each(|(_, t)| *t = tensor.clone());
        self
    }

    /// Replaces an input of the node.
    pub fn input(mut self, index: usize, name: &'static str) -> QuantizedNode {
        self.inputs[index] = name;
        self
    }

    /// The node. Its results are `y` and `y_h`.
    pub fn node(&self, name: &str, x: &str, [y, y_h]: [&str; 2]) -> Msg {
        let inputs: Vec<&str> = [x].into_iter().chain(self.inputs[1..].iter().copied()).collect();
        node("DynamicQuantizeLSTM", name, &inputs, &[y, y_h], &self.attributes).text(7, self.domain)
    }

    /// The graph of the model.
    pub fn graph(&self) -> Graph {
        let x = value("X", FLOAT, &[Dim::Name("T"), Dim::Name("B"), Dim::N(self.sizes[0])]);
        Graph {
            nodes: vec![self.node("lstm", self.inputs[0], ["Y", "Y_h"])],
            stored: self.stored.iter().map(|(_, t)| t.clone()).collect(),
            inputs: vec![x],
            outputs: vec![untyped("Y"), untyped("Y_h")],
        }
    }

    /// The bytes of the model's file.
    pub fn bytes(&self) -> Vec<u8> {
        self.graph().model(17)
    }
}

/// A model of one node `it` with W and R of [2, G·H, I] and [2, G·H, H] behind `DequantizeLinear`, I = 5 and H = 3, and
/// the integers of both without their zero points. A scale is of everything, or of each row of the gates.
pub fn dequantized(op: &str, gates: usize, of_rows: bool) -> (Vec<u8>, [Vec<i16>; 2]) {
    let mut numbers = Numbers(3);
    let (rows, mut stored, mut nodes) = (gates * 3, Vec::new(), Vec::new());
    let all = [("W", 5), ("R", 3)].map(|(name, columns)| {
        let data: Vec<i16> = (0..2 * rows * columns).map(|_| numbers.below(256) as i16).collect();
        let count = if of_rows { rows } else { 1 };
        let [integer, scale, zero] = ["i", "s", "z"].map(|part| format!("{name}_{part}"));
        stored.push(integers(&integer, &[2, rows, columns], UINT8, &data));
        let dims = if of_rows { &[count][..] } else { &[] };
        let scales: Vec<f32> = (0..count).map(|i| (1.0 + i as f32 * 0.37) / 300.0).collect();
        stored.push(tensor(&scale, dims, &scales));
        stored.push(integers(&zero, dims, UINT8, &vec![128; count]));
        nodes.push(node("DequantizeLinear", "", &[&integer, &scale, &zero], &[name], &[attr_i("axis", 1)]));
        data.into_iter().map(|v| v - 128).collect()
    });
    nodes.push(node(op, "it", &["X", "W", "R"], &["Y"], &[attr_s("direction", "bidirectional")]));
    let inputs = vec![value("X", FLOAT, &[Dim::Name("T"), Dim::Name("B"), Dim::N(5)])];
    (Graph { nodes, stored, inputs, outputs: vec![untyped("Y")] }.model(17), all)
}

/// The input that is wrong, the model, and a part of the error message.
pub type Refused = (&'static str, QuantizedNode, &'static str);

/// Models that are refused for a weight, a scale or a zero point. I is 3, and H is 2.
pub fn refused_weights() -> Vec<Refused> {
    let of = |dtype, of_columns| QuantizedNode::new([3, 2], "forward", dtype, of_columns);
    let node = || of(INT8, false);
    let scale = |value: f32| node().stored("W_scale", tensor("W_scale", &[1], &[value]));
    let zeros =
        |dtype, name, data: [i16; 8]| of(dtype, true).stored(name, integers(name, &[1, 8], dtype, &data));
    let w = |dims: &[usize]| integers("W", dims, INT8, &vec![1; dims.iter().product()]);
    vec![
        ("W_scale", node().input(8, ""), "missing"),
        ("W_zero_point", node().input(9, ""), "missing"),
        ("R_scale", node().input(10, ""), "missing"),
        ("R_zero_point", node().input(11, ""), "missing"),
        ("W", node().input(1, ""), "missing"),
        ("W_scale", scale(f32::NAN), "element 0 is NaN"),
        ("W_scale", scale(f32::INFINITY), "element 0 is inf"),
        ("W_scale", scale(0.0), "element 0 is 0, which is no scale"),
        ("W_scale", scale(-0.5), "element 0 is -0.5, which is no scale"),
        ("W", scale(3e38), "is infinite"),
        ("W_scale", node().stored("W_scale", tensor("W_scale", &[], &[0.5])), "not 1 or 2"),
        ("W_scale", node().stored("W_scale", tensor("W_scale", &[2], &[0.5; 2])), "[2], not [1, 8]"),
        ("R_scale", node().stored("R_scale", tensor("R_scale", &[1, 2], &[0.5; 2])), "[1, 2], not [1, 8]"),
        (
            "W_zero_point",
            node().stored("W_zero_point", integers("W_zero_point", &[1], UINT8, &[0])),
            "it is u8, but W is i8",
        ),
        ("R_zero_point", node().stored("R_zero_point", tensor("R_zero_point", &[1], &[0.0])), "it is f32"),
        ("R", node().stored("R", integers("R", &[1, 2, 8], UINT8, &[1; 16])), "it is u8, but W is i8"),
        (
            "W_zero_point",
            zeros(INT8, "W_zero_point", [0, 0, 0, 1, 0, 0, 0, 0]),
            "element 3 is another: those of columns must be 0",
        ),
        (
            "R_zero_point",
            zeros(UINT8, "R_zero_point", [7, 7, 7, 7, 7, 7, 7, 8]),
            "element 7 is another: those of columns must be equal",
        ),
        ("W", node().stored("W", w(&[1, 8, 3])), "[1, 8, 3], not [1, 8, 8]"),
        ("W", node().stored("W", w(&[2, 3, 8])), "[2, 3, 8], not [1, 3, 8]"),
        ("W", node().stored("W", w(&[3, 8])), "[3, 8], not 3"),
        (
            "W",
            node().stored("W", tensor("W", &[1, 3, 8], &[0.5; 24])),
            "it is f32, where DynamicQuantizeLSTM of operator set 17 has i8, u8",
        ),
        ("R", node().stored("R", integers("R", &[1, 2, 6], INT8, &[1; 12])), "[1, 2, 6], not [1, 2, 8]"),
        ("B", node().input(3, "W_scale"), "its dimensions are [1], not 2"),
    ]
}
