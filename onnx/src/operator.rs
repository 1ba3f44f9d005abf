//! The recurrent operators of the standard, and which of their forms are refused.

use crate::Error;
use crate::attribute::{Attributes, BadAttribute, bad};
use crate::cells;
use crate::proto;
use crate::tensor::DType;
use rnnpack::{Cell, Direction, Layout};
use std::fmt;

/// The first and the last version of the standard operator set whose recurrent operators are known here.
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

    /// The gates, each H rows of `W` and `R`.
    pub fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
            Self::Rnn => 1,
        }
    }

    /// The activations of one direction unless `activations` is given.
    pub fn activations(self) -> &'static [&'static str] {
        match self {
            Self::Lstm => &["Sigmoid", "Tanh", "Tanh"],
            Self::Gru => &["Sigmoid", "Tanh"],
            Self::Rnn => &["Tanh"],
        }
    }

    /// The element types of the operator in operator set `opset`.
    pub fn dtypes(opset: i64) -> &'static [DType] {
        const DTYPES: [DType; 4] = [DType::F32, DType::F64, DType::F16, DType::BF16];
        if opset < 22 { &DTYPES[..3] } else { &DTYPES }
    }

    pub fn inputs(self) -> &'static [&'static str] {
        const NAMES: [&str; 8] = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"];
        if self == Self::Lstm { &NAMES } else { &NAMES[..6] }
    }

    pub fn outputs(self) -> &'static [&'static str] {
        const NAMES: [&str; 3] = ["Y", "Y_h", "Y_c"];
        if self == Self::Lstm { &NAMES } else { &NAMES[..2] }
    }

    /// The attributes of the operator in operator set `opset`.
    fn attributes(self, opset: i64) -> Vec<&'static str> {
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

/// What the attributes of a recurrent node say about its shape.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub direction: Direction,
    pub layout: Layout,
    pub hidden: Option<usize>,
}

/// A recurrent node, and all that its refusals depend on.
pub struct Reader<'n> {
    pub node: &'n proto::Node,
    pub name: &'n str,
    pub op: RecurrentOp,
    pub opset: i64,
}

impl<'n> Reader<'n> {
    /// Checks the operator's version and arity, and reads the attributes that say which way and how large.
    pub fn settings(&self) -> Result<(Settings, Attributes<'n>), Error> {
        self.check_operator()?;
        let read = || -> Result<_, BadAttribute> {
            let attributes = Attributes::read(self.node, &self.op.attributes(self.opset))?;
            self.check_output_sequence(&attributes)?;
            Ok((shape_settings(&attributes)?, attributes))
        };
        read().map_err(|e| self.bad_attribute(&e.attribute, e.reason))
    }

    /// Reads what a step computes, for each direction.
    pub fn cells(&self, settings: &Settings, attributes: &Attributes<'n>) -> Result<Vec<Cell>, Error> {
        cells::read(self.op, settings.direction.count(), attributes)
            .map_err(|e| self.bad_attribute(&e.attribute, e.reason))
    }

    fn check_operator(&self) -> Result<(), Error> {
        let node = self.node;
        if !matches!(node.domain.as_str(), "" | "ai.onnx") {
            return Err(self.refuse("it is not of the standard operator set"));
        }
        if !OPSETS.contains(&self.opset) {
            let reason = format!("{} is known in {} to {}", self.op, OPSETS.start(), OPSETS.end());
            let subject = format!("node `{}`", self.name);
            return Err(Error::Opset { subject, version: Some(self.opset), reason });
        }
        if node.input.len() > self.op.inputs().len() || node.output.len() > self.op.outputs().len() {
            let (i, o) = (node.input.len(), node.output.len());
            return Err(self.refuse(&format!("it has {i} inputs and {o} outputs, more than there are")));
        }
        if self.op == RecurrentOp::Gru && self.opset < 3 && !self.has_output("Y_h") {
            return Err(self.refuse("it has no output `Y_h`, which is optional from operator set 3 only"));
        }
        match self.op.inputs()[..3].iter().enumerate().find(|&(i, _)| self.input(i).is_none()) {
            Some((_, missing)) => Err(self.bad_input(missing, "it is missing")),
            None => Ok(()),
        }
    }

    /// `output_sequence`, which operator sets 1 to 6 have: with 1, `Y` is an output that must be there.
    fn check_output_sequence(&self, attributes: &Attributes<'_>) -> Result<(), BadAttribute> {
        match attributes.flag("output_sequence")? && !self.has_output("Y") {
            true => bad("output_sequence", "1, but the node has no output `Y`"),
            false => Ok(()),
        }
    }

    /// The name of the value at input `index`, when the input is present.
    pub fn input(&self, index: usize) -> Option<&'n str> {
        self.node.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn has_input(&self, name: &str) -> bool {
        self.op.inputs().iter().position(|&i| i == name).is_some_and(|i| self.input(i).is_some())
    }

    fn has_output(&self, name: &str) -> bool {
        let index = self.op.outputs().iter().position(|&o| o == name);
        index.and_then(|i| self.node.output.get(i)).is_some_and(|o| !o.is_empty())
    }

    /// Refuses what tract's own operators are known to compute wrongly without saying so.
    pub fn check_right_on_tract(&self, settings: &Settings, cells: &[Cell]) -> Result<(), Error> {
        let wrong = "tract's own operator ignores it and would be wrong";
        if settings.direction == Direction::Reverse {
            return Err(self.bad_attribute("direction", format!("`reverse`: {wrong}")));
        }
        if let Some(BadAttribute { attribute, reason }) = cells::not_default(self.op, cells) {
            return Err(self.bad_attribute(&attribute, format!("{reason}: {wrong}")));
        }
        match self.has_input("sequence_lens") {
            true => Err(self.bad_input("sequence_lens", "tract's own operator does not read it")),
            false => Ok(()),
        }
    }

    pub fn bad_input(&self, input: &str, reason: &str) -> Error {
        let (input, reason) = (input.to_string(), reason.to_string());
        Error::Input { node: self.name.to_string(), input, reason }
    }

    pub fn bad_attribute(&self, attribute: &str, reason: String) -> Error {
        Error::Attribute { node: self.name.to_string(), attribute: attribute.to_string(), reason }
    }

    fn refuse(&self, reason: &str) -> Error {
        let op = match self.node.domain.as_str() {
            "" => self.node.op_type.clone(),
            domain => format!("{domain}.{}", self.node.op_type),
        };
        Error::Node { node: self.name.to_string(), op, reason: reason.to_string() }
    }
}

/// Reads the attributes that every recurrent operator has.
fn shape_settings(attributes: &Attributes<'_>) -> Result<Settings, BadAttribute> {
    let direction = match attributes.text("direction")? {
        None | Some("forward") => Direction::Forward,
        Some("reverse") => Direction::Reverse,
        Some("bidirectional") => Direction::Bidirectional,
        Some(other) => return bad("direction", format!("`{other}` is no direction")),
    };
    let layout = match attributes.int("layout")? {
        None | Some(0) => Layout::TimeMajor,
        Some(1) => Layout::BatchMajor,
        Some(other) => return bad("layout", format!("{other} is no layout")),
    };
    let hidden = match attributes.int("hidden_size")? {
        None => None,
        Some(h) => match usize::try_from(h) {
            Ok(h) if h > 0 => Some(h),
            _ => return bad("hidden_size", format!("{h} is no size")),
        },
    };
    Ok(Settings { direction, layout, hidden })
}
