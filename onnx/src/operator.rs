//! The recurrent operators of the standard: their names, inputs, outputs, attributes and element types.

use crate::tensor::DType;
use std::fmt;

/// The versions of the standard operator set whose recurrent operators this crate knows.
pub const OPSETS: std::ops::RangeInclusive<i64> = 1..=28;

/// A recurrent operator of ONNX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecurrentOp {
    /// `LSTM`.
    Lstm,
    /// `GRU`.
    Gru,
    /// `RNN`.
    Rnn,
}

impl RecurrentOp {
    /// The operator with this name in the ONNX standard, if it is a recurrent one.
    pub fn from_type(op_type: &str) -> Option<Self> {
        [Self::Lstm, Self::Gru, Self::Rnn].into_iter().find(|op| op.name() == op_type)
    }

    /// The name in the ONNX standard.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lstm => "LSTM",
            Self::Gru => "GRU",
            Self::Rnn => "RNN",
        }
    }

    /// The number of gates. Each gate has H rows of `W` and of `R`.
    pub fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
            Self::Rnn => 1,
        }
    }

    /// The activations of one direction if the attribute `activations` is absent.
    pub fn activations(self) -> &'static [&'static str] {
        match self {
            Self::Lstm => &["Sigmoid", "Tanh", "Tanh"],
            Self::Gru => &["Sigmoid", "Tanh"],
            Self::Rnn => &["Tanh"],
        }
    }

    /// The element types that the operator has in operator set `opset`.
    pub fn dtypes(opset: i64) -> &'static [DType] {
        const DTYPES: [DType; 4] = [DType::F32, DType::F64, DType::F16, DType::BF16];
        if opset < 22 { &DTYPES[..3] } else { &DTYPES }
    }

    /// The names of the inputs in the ONNX standard, in its order.
    pub fn inputs(self) -> &'static [&'static str] {
        const NAMES: [&str; 8] = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"];
        if self == Self::Lstm { &NAMES } else { &NAMES[..6] }
    }

    /// The names of the outputs in the ONNX standard, in its order.
    pub fn outputs(self) -> &'static [&'static str] {
        const NAMES: [&str; 3] = ["Y", "Y_h", "Y_c"];
        if self == Self::Lstm { &NAMES } else { &NAMES[..2] }
    }

    /// The attributes that the operator has in operator set `opset`.
    pub(crate) fn attributes(self, opset: i64) -> Vec<&'static str> {
        let mut known = vec!["activation_alpha", "activation_beta", "activations", "clip", "direction"];
        known.push("hidden_size");
        match self {
            Self::Lstm => known.push("input_forget"),
            Self::Gru if opset >= 3 => known.push("linear_before_reset"),
            _ => {}
        }
        match opset {
            ..7 => known.push("output_sequence"),
            14.. => known.push("layout"),
            _ => {}
        }
        known
    }
}

impl fmt::Display for RecurrentOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
