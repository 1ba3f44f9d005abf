//! The recurrent operators: their names, inputs, outputs, attributes and element types.

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
    /// `DynamicQuantizeLSTM` of ONNX Runtime: an LSTM of f32 whose W and R are stored as integers of 8 bits.
    DynamicQuantizeLstm,
}

impl RecurrentOp {
    /// Every operator.
    pub const ALL: [RecurrentOp; 4] = [Self::Lstm, Self::Gru, Self::Rnn, Self::DynamicQuantizeLstm];

    /// The recurrent operator with this name, in whatever domain. A node of another domain than
    /// [`RecurrentOp::domain`] is refused.
    pub fn from_type(op_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.name() == op_type)
    }

    /// The name in ONNX.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lstm => "LSTM",
            Self::Gru => "GRU",
            Self::Rnn => "RNN",
            Self::DynamicQuantizeLstm => "DynamicQuantizeLSTM",
        }
    }

    /// The domain: that of ONNX Runtime, or `""`, the standard one.
    pub fn domain(self) -> &'static str {
        if self.is_quantized() { "com.microsoft" } else { "" }
    }

    /// The operator of the standard that computes the same with weights of floating point: itself, or `LSTM`.
    pub fn standard(self) -> RecurrentOp {
        if self.is_quantized() { Self::Lstm } else { self }
    }

    /// Whether the operator stores W and R as integers, each with its columns in the place of LSTM's rows.
    pub fn is_quantized(self) -> bool {
        self == Self::DynamicQuantizeLstm
    }

    /// The number of gates. Each gate has H rows of `W` and of `R`.
    pub fn gates(self) -> usize {
        match self {
            Self::Lstm | Self::DynamicQuantizeLstm => 4,
            Self::Gru => 3,
            Self::Rnn => 1,
        }
    }

    /// The activations of one direction if the attribute `activations` is absent.
    pub fn activations(self) -> &'static [&'static str] {
        match self {
            Self::Lstm | Self::DynamicQuantizeLstm => &["Sigmoid", "Tanh", "Tanh"],
            Self::Gru => &["Sigmoid", "Tanh"],
            Self::Rnn => &["Tanh"],
        }
    }

    /// The element types that X and the outputs have in operator set `opset`.
    pub fn dtypes(self, opset: i64) -> &'static [DType] {
        const DTYPES: [DType; 4] = [DType::F32, DType::F64, DType::F16, DType::BF16];
        match self {
            Self::DynamicQuantizeLstm => &DTYPES[..1],
            _ if opset < 22 => &DTYPES[..3],
            _ => &DTYPES,
        }
    }

    /// The names of the inputs in ONNX, in its order.
    pub fn inputs(self) -> &'static [&'static str] {
        const NAMES: [&str; 12] = [
            "X",
            "W",
            "R",
            "B",
            "sequence_lens",
            "initial_h",
            "initial_c",
            "P",
            "W_scale",
            "W_zero_point",
            "R_scale",
            "R_zero_point",
        ];
        match self {
            Self::Lstm => &NAMES[..8],
            Self::Gru | Self::Rnn => &NAMES[..6],
            Self::DynamicQuantizeLstm => &NAMES,
        }
    }

    /// The element types that an input may have in a node whose X has `dtype`. All integers of weights have one type.
    pub fn input_types(self, input: &str, dtype: DType) -> Vec<DType> {
        match input {
            "sequence_lens" => vec![DType::I32],
            "W" | "R" | "W_zero_point" | "R_zero_point" if self.is_quantized() => vec![DType::I8, DType::U8],
            _ => vec![dtype],
        }
    }

    /// The axis of W that has I elements, and of R that has H. Axis 0 is the direction; the rows of the gates are on the
    /// remaining one.
    pub fn summed_axis(self) -> usize {
        if self.is_quantized() { 1 } else { 2 }
    }

    /// Whether a node must have the input with this index among [`RecurrentOp::inputs`].
    pub(crate) fn requires(self, index: usize) -> bool {
        index < 3 || (8..self.inputs().len()).contains(&index)
    }

    /// The names of the outputs in ONNX, in its order.
    pub fn outputs(self) -> &'static [&'static str] {
        const NAMES: [&str; 3] = ["Y", "Y_h", "Y_c"];
        if self.standard() == Self::Lstm { &NAMES } else { &NAMES[..2] }
    }

    /// The attributes that the operator has in operator set `opset`.
    pub(crate) fn attributes(self, opset: i64) -> Vec<&'static str> {
        let mut known = vec!["activation_alpha", "activation_beta", "activations", "clip", "direction"];
        known.push("hidden_size");
        match self {
            Self::Lstm | Self::DynamicQuantizeLstm => known.push("input_forget"),
            Self::Gru if opset >= 3 => known.push("linear_before_reset"),
            _ => {}
        }
        match opset {
            _ if self.is_quantized() => {}
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
