//! Models of one node that have a mistake.

use super::{
    Dim, FLOAT, Graph, Msg, attr, attr_f, attr_floats, attr_i, attr_s, attr_strings, node, tensor,
    tensor_i64, untyped, value,
};

/// The hidden size.
pub const H: usize = 2;
/// The input size.
pub const I: usize = 3;

/// A model of one LSTM node, `lstm`, and everything that a test may want to change in it.
pub struct One {
    /// The operator of the node.
    pub op: &'static str,
    /// The attributes of the node.
    pub attrs: Vec<Msg>,
    /// The inputs of the node.
    pub inputs: Vec<&'static str>,
    /// The outputs of the node.
    pub outputs: Vec<&'static str>,
    /// W, R and B.
    pub stored: Vec<Msg>,
    /// The nodes before it.
    pub nodes: Vec<Msg>,
    /// The operator set of the model.
    pub opset: i64,
}

/// The model without a change.
pub fn one() -> One {
    One {
        op: "LSTM",
        attrs: vec![attr_i("hidden_size", H as i64)],
        inputs: vec!["X", "W", "R", "B"],
        outputs: vec!["Y"],
        stored: vec![
            tensor("W", &[1, 4 * H, I], &[0.5; 4 * H * I]),
            tensor("R", &[1, 4 * H, H], &[0.5; 4 * H * H]),
            tensor("B", &[1, 8 * H], &[0.5; 8 * H]),
        ],
        nodes: vec![],
        opset: 17,
    }
}

/// The same model with another operator.
pub fn of(op: &'static str, gates: usize) -> One {
    let weights = [[1, gates * H, I].to_vec(), [1, gates * H, H].to_vec(), [1, 2 * gates * H].to_vec()];
    let stored = ["W", "R", "B"].into_iter().zip(weights);
    let stored = stored.map(|(name, dims)| tensor(name, &dims, &vec![0.5; dims.iter().product()])).collect();
    One { op, stored, ..one() }
}

impl One {
    /// Sets one attribute in place of all others.
    pub fn attr(self, attr: Msg) -> One {
        One { attrs: vec![attr], ..self }
    }

    /// Sets the operator set.
    pub fn opset(self, opset: i64) -> One {
        One { opset, ..self }
    }

    /// Sets the inputs of the node.
    pub fn inputs(self, inputs: &[&'static str]) -> One {
        One { inputs: inputs.to_vec(), ..self }
    }

    /// Replaces tensor number `i` of W, R and B.
    pub fn stored(mut self, i: usize, t: Msg) -> One {
        self.stored[i] = t;
        self
    }

    /// Makes W the output of a node.
    pub fn computed(mut self, op: &str, inputs: &[&str], attrs: &[Msg]) -> One {
        self.stored[0] = tensor("raw_W", &[4 * H, I], &[0.5; 4 * H * I]);
        self.nodes.push(node(op, "maker", inputs, &["W"], attrs));
        self
    }

    /// The graph of the model.
    pub fn graph(&self) -> Graph {
        let lstm = node(self.op, "lstm", &self.inputs, &self.outputs, &self.attrs);
        Graph {
            nodes: self.nodes.iter().cloned().chain([lstm]).collect(),
            stored: self.stored.clone(),
            inputs: vec![value("X", FLOAT, &[Dim::Name("T"), Dim::Name("B"), Dim::N(I)])],
            outputs: vec![untyped("Y")],
        }
    }

    /// The bytes of the model's file.
    pub fn bytes(&self) -> Vec<u8> {
        self.graph().model(self.opset)
    }
}

/// The input or attribute of the node that is wrong, the model, and a part of the error message.
pub type Refused = (&'static str, One, &'static str);

/// Models with attributes that are refused.
pub fn refused_attributes() -> Vec<Refused> {
    let non_utf8 = attr("direction", 3).bytes(4, &[0xff, 0xfe]);
    let of_function = attr("clip", 1).text(21, "outer_clip");
    let twice = One { attrs: vec![attr_i("hidden_size", 2); 2], ..one() };
    vec![
        ("clip", one().attr(attr_f("clip", 0.0)), "0 is no threshold"),
        ("clip", one().attr(attr_f("clip", -1.5)), "-1.5 is no threshold"),
        ("clip", one().attr(attr_f("clip", f32::INFINITY)), "inf is no threshold"),
        ("clip", one().attr(attr_f("clip", f32::NAN)), "NaN is no threshold"),
        ("clip", one().attr(of_function), "refers to `outer_clip`"),
        ("input_forget", one().attr(attr_i("input_forget", 2)), "2 is neither 0 nor 1"),
        ("activations", one().attr(attr_strings("activations", &["Sigmoid", "Swish", "Tanh"])), "`Swish`"),
        ("activations", one().attr(attr_strings("activations", &["Sigmoid", "Tanh"])), "are 2, not 3"),
        ("activations", one().attr(attr_strings("activations", &["Sigmoid"; 6])), "are 6, not 3"),
        ("activations", one().attr(attr_strings("activations", &[])), "are 0, not 3"),
        ("activation_alpha", one().attr(attr_floats("activation_alpha", &[0.5])), "[0.5] is left over"),
        (
            "activation_beta",
            one().attr(attr_floats("activation_beta", &[0.5, 2.0])),
            "[0.5, 2.0] is left over",
        ),
        (
            "activation_alpha",
            one().attr(attr_floats("activation_alpha", &[f32::NAN])),
            "NaN is no finite number",
        ),
        ("direction", one().attr(attr_s("direction", "sideways")), "`sideways`"),
        ("direction", one().attr(non_utf8), "not UTF-8"),
        ("layout", one().attr(attr_i("layout", 2)), "2 is no layout"),
        ("hidden_size", one().attr(attr_i("hidden_size", 5)), "5, but R has 2"),
        ("hidden_size", one().attr(attr_i("hidden_size", 0)), "0 is no size"),
        ("hidden_size", one().attr(attr_i("hidden_size", -1)), "-1 is no size"),
        ("hidden_size", one().attr(attr_f("hidden_size", 2.0)), "FLOAT"),
        ("hidden_size", one().attr(attr_i("hidden_size", 2).int(20, 7)), "INTS"),
        ("linear_before_reset", one().attr(attr_i("linear_before_reset", 1)), "not an attribute"),
        ("output_sequence", one().attr(attr_i("output_sequence", 1)), "not an attribute"),
        ("colour", one().attr(attr_i("colour", 1)), "not an attribute"),
        ("hidden_size", twice, "given twice"),
        ("layout", one().attr(attr_i("layout", 0)).opset(13), "not an attribute"),
    ]
}

/// Models with inputs that are refused: their dimensions or element types do not agree, or a number is not finite.
pub fn refused_inputs() -> Vec<Refused> {
    let mut data = [0.5; 24];
    data[7] = f32::NAN;
    let half = w(|m| dims(m, &[1, 8, 3]).int(2, 10).bytes(9, &[0; 48]));
    vec![
        ("P", one().inputs(&["X", "W", "R", "B", "", "", "", "B"]), "[1, 16], not [1, 6]"),
        ("W", one().inputs(&["X", "", "R"]), "missing"),
        ("R", one().inputs(&["X", "W"]), "missing"),
        ("W", one().stored(0, tensor("W", &[1, 4 * H + 1, I], &[0.5; 27])), "[1, 9, 3], not [1, 8, 3]"),
        ("W", one().stored(0, tensor("W", &[2, 4 * H, I], &[0.5; 48])), "[2, 8, 3], not [1, 8, 3]"),
        ("W", one().stored(0, tensor("W", &[4 * H, I], &[0.5; 24])), "[8, 3], not 3"),
        ("R", one().stored(1, tensor("R", &[1, 3 * H, H], &[0.5; 12])), "[1, 6, 2], not [1, 8, 2]"),
        ("B", one().stored(2, tensor("B", &[1, 4 * H], &[0.5; 8])), "[1, 8], not [1, 16]"),
        ("B", one().stored(2, tensor("B", &[8 * H], &[0.5; 16])), "not 2"),
        (
            "W",
            one().stored(0, tensor_i64("W", &[1, 8, 3], &[1; 24])),
            "i64, where LSTM of operator set 17 has f32, f64, f16",
        ),
        ("R", one().stored(0, half), "it is f32, but W is f16"),
        ("W", one().stored(0, tensor("W", &[1, 8, 3], &data)), "element 7 is NaN"),
    ]
}

/// Broken stored W, and a part of the error message for each.
pub fn broken_weights() -> Vec<(Msg, &'static str)> {
    let floats = |n: usize| vec![0u8; 4 * n];
    vec![
        (w(|m| dims(m, &[1, 8, 3]).int(2, 1).bytes(9, &floats(23))), "92 bytes of raw data"),
        (w(|m| dims(m, &[1, 8, 3]).int(2, 1).bytes(9, &[0; 97])), "97 bytes of raw data"),
        (w(|m| dims(m, &[1, 8, 3]).int(2, 1)), "0 bytes of raw data"),
        (w(|m| dims(m, &[1, -8, 3]).int(2, 1)), "dimension -8"),
        (w(|m| dims(m, &[1 << 40, 1 << 40]).int(2, 1)), "overflows"),
        (w(|m| dims(m, &[i64::MAX, 0, 3]).int(2, 1)), "overflows"),
        (w(|m| dims(m, &[1 << 38]).int(2, 1)), "0 bytes of raw data"),
        (w(|m| dims(m, &[1, 8, 3]).int(2, 1).int(14, 1)), "external file"),
        (w(|m| dims(m, &[1, 8, 3]).int(2, 1).msg(13, &Msg::default())), "external file"),
        (w(|m| dims(m, &[1, 8, 3]).int(2, 77).bytes(9, &floats(24))), "unknown element type 77"),
        (w(|m| dims(m, &[1]).int(2, 1).int(7, 5)), "another element type"),
        (w(|m| dims(m, &[1]).int(2, 1).float(4, 5.0).bytes(9, &floats(1))), "two fields"),
        (w(|m| dims(m, &[2]).int(2, 1).float(4, 5.0)), "1 values"),
    ]
}

/// A stored W with the given change.
fn w(change: impl FnOnce(Msg) -> Msg) -> Msg {
    change(Msg::default().text(8, "W"))
}

fn dims(m: Msg, dims: &[i64]) -> Msg {
    dims.iter().fold(m, |m, &d| m.int(1, d))
}
