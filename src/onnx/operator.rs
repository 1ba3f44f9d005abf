//! The recurrent operators of the standard, and which of their forms are refused.

use super::OnnxError;
use super::attribute::{Attributes, BadAttribute, bad};
use super::proto;
use super::tensor::{DType, Tensor};
use crate::{Direction, Layout, Shape};
use std::fmt;

/// The first and the last version of the standard operator set whose recurrent operators are known here.
pub(crate) const OPSETS: std::ops::RangeInclusive<i64> = 1..=28;

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
    pub(crate) fn from_type(op_type: &str) -> Option<Self> {
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
    fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
            Self::Rnn => 1,
        }
    }

    /// The activations of one direction unless `activations` is given.
    fn activations(self) -> &'static [&'static str] {
        match self {
            Self::Lstm => &["Sigmoid", "Tanh", "Tanh"],
            Self::Gru => &["Sigmoid", "Tanh"],
            Self::Rnn => &["Tanh"],
        }
    }

    pub(crate) fn inputs(self) -> &'static [&'static str] {
        const NAMES: [&str; 8] = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"];
        if self == Self::Lstm { &NAMES } else { &NAMES[..6] }
    }

    pub(crate) fn outputs(self) -> &'static [&'static str] {
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
pub(crate) struct Settings {
    pub(crate) direction: Direction,
    pub(crate) layout: Layout,
    pub(crate) hidden: Option<usize>,
}

/// A recurrent node, and all that its refusals depend on.
pub(crate) struct Reader<'n> {
    pub(crate) node: &'n proto::Node,
    pub(crate) name: &'n str,
    pub(crate) op: RecurrentOp,
    pub(crate) opset: i64,
}

impl<'n> Reader<'n> {
    /// Checks the operator's version and arity, and reads its attributes.
    pub(crate) fn settings(&self) -> Result<(Settings, Attributes<'n>), OnnxError> {
        self.check_operator()?;
        let read = || -> Result<_, BadAttribute> {
            let attributes = Attributes::read(self.node, &self.op.attributes(self.opset))?;
            Ok((shape_settings(&attributes)?, attributes))
        };
        read().map_err(|e| self.bad_attribute(e))
    }

    fn check_operator(&self) -> Result<(), OnnxError> {
        let node = self.node;
        if !matches!(node.domain.as_str(), "" | "ai.onnx") {
            return Err(self.refuse("it is not of the standard operator set"));
        }
        if !OPSETS.contains(&self.opset) {
            let reason = format!("{} is known in {} to {}", self.op, OPSETS.start(), OPSETS.end());
            let subject = format!("node `{}`", self.name);
            return Err(OnnxError::Opset { subject, version: Some(self.opset), reason });
        }
        if node.input.len() > self.op.inputs().len() || node.output.len() > self.op.outputs().len() {
            let (i, o) = (node.input.len(), node.output.len());
            return Err(self.refuse(&format!("it has {i} inputs and {o} outputs, more than there are")));
        }
        match self.op.inputs()[..3].iter().enumerate().find(|&(i, _)| self.input(i).is_none()) {
            Some((_, missing)) => Err(self.bad_input(missing, "it is missing")),
            None => Ok(()),
        }
    }

    /// The name of the value at input `index`, when the input is present.
    pub(crate) fn input(&self, index: usize) -> Option<&'n str> {
        self.node.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn has_input(&self, name: &str) -> bool {
        self.op.inputs().iter().position(|&i| i == name).is_some_and(|i| self.input(i).is_some())
    }

    /// Refuses what an LSTM may ask for and these kernels do not compute.
    pub(crate) fn check_computed(
        &self,
        settings: &Settings,
        attributes: &Attributes<'_>,
    ) -> Result<(), OnnxError> {
        if self.op != RecurrentOp::Lstm {
            return Err(self.refuse("only LSTM is computed"));
        }
        only_defaults(self.op, settings, attributes).map_err(|e| self.bad_attribute(e))?;
        if self.has_input("P") {
            return Err(self.bad_input("P", "peepholes are not computed"));
        }
        Ok(())
    }

    /// Refuses what tract's own operators are known to compute wrongly without saying so.
    pub(crate) fn check_right_on_tract(
        &self,
        settings: &Settings,
        attributes: &Attributes<'_>,
    ) -> Result<(), OnnxError> {
        let wrong = "tract's own operator ignores it and would be wrong";
        if settings.direction == Direction::Reverse {
            return Err(self.bad_attribute(BadAttribute {
                attribute: "direction".into(),
                reason: format!("`reverse`: {wrong}"),
            }));
        }
        only_defaults(self.op, settings, attributes).map_err(|mut e| {
            e.reason = format!("{}; {wrong}", e.reason);
            self.bad_attribute(e)
        })?;
        match self.has_input("sequence_lens") {
            true => Err(self.bad_input("sequence_lens", "tract's own operator does not read it")),
            false => Ok(()),
        }
    }

    /// Compares the dimensions of `W`, `R` and `B` with each other and with the attributes.
    pub(crate) fn check_shapes(
        &self,
        settings: &Settings,
        [w, r, b]: [Option<&Tensor>; 3],
    ) -> Result<Shape, OnnxError> {
        let named = [("W", w), ("R", r), ("B", b)];
        for (input, t) in named {
            let Some(t) = t else { continue };
            let rank = if input == "B" { 2 } else { 3 };
            if t.dtype() != DType::F32 {
                return Err(self.bad_input(input, &format!("it is {}, not f32", t.dtype())));
            }
            if t.dims().len() != rank {
                return Err(self.bad_input(input, &format!("its dimensions are {:?}, not {rank}", t.dims())));
            }
        }
        let dim = |t: Option<&Tensor>, i: usize| t.map_or(0, |t| t.dims()[i]);
        let (input, hidden) = (dim(w, 2), dim(r, 2));
        if settings.hidden.is_some_and(|h| h != hidden) {
            let attribute = format!("{}, but R has {hidden}", settings.hidden.unwrap_or_default());
            return Err(
                self.bad_attribute(BadAttribute { attribute: "hidden_size".into(), reason: attribute })
            );
        }
        let d = settings.direction.count();
        let rows = hidden.saturating_mul(self.op.gates());
        let expected = [vec![d, rows, input], vec![d, rows, hidden], vec![d, rows.saturating_mul(2)]];
        for ((input, t), expected) in named.into_iter().zip(expected) {
            if let Some(t) = t.filter(|t| t.dims() != expected) {
                let reason = format!("its dimensions are {:?}, not {expected:?}", t.dims());
                return Err(self.bad_input(input, &reason));
            }
        }
        Ok(Shape { input, hidden, direction: settings.direction })
    }

    pub(crate) fn bad_input(&self, input: &str, reason: &str) -> OnnxError {
        let (input, reason) = (input.to_string(), reason.to_string());
        OnnxError::Input { node: self.name.to_string(), input, reason }
    }

    fn bad_attribute(&self, e: BadAttribute) -> OnnxError {
        OnnxError::Attribute { node: self.name.to_string(), attribute: e.attribute, reason: e.reason }
    }

    fn refuse(&self, reason: &str) -> OnnxError {
        let op = match self.node.domain.as_str() {
            "" => self.node.op_type.clone(),
            domain => format!("{domain}.{}", self.node.op_type),
        };
        OnnxError::Node { node: self.name.to_string(), op, reason: reason.to_string() }
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

/// Refuses every attribute that changes the arithmetic of `op`, unless its value is the default.
fn only_defaults(
    op: RecurrentOp,
    settings: &Settings,
    attributes: &Attributes<'_>,
) -> Result<(), BadAttribute> {
    if let Some(given) = attributes.texts("activations")? {
        let expected = op.activations().repeat(settings.direction.count());
        let same = |(a, b): (&&str, &&str)| a.eq_ignore_ascii_case(b);
        if given.len() != expected.len() || !given.iter().zip(&expected).all(same) {
            return bad("activations", format!("{given:?}, where only {expected:?} is computed"));
        }
    }
    for name in ["activation_alpha", "activation_beta"] {
        if attributes.floats(name)?.is_some_and(|values| !values.is_empty()) {
            return bad(name, "no activation that is computed takes one");
        }
    }
    if let Some(clip) = attributes.float("clip")? {
        return bad("clip", format!("{clip}: clipping is not computed"));
    }
    if let Some(coupled @ (..=-1 | 1..)) = attributes.int("input_forget")? {
        return bad("input_forget", format!("{coupled}: coupled gates are not computed"));
    }
    if attributes.has("output_sequence") {
        return bad("output_sequence", "the operator of operator sets 1 to 6 is computed only without it");
    }
    match attributes.int("linear_before_reset")? {
        None | Some(0 | 1) => Ok(()),
        Some(other) => bad("linear_before_reset", format!("{other} is neither 0 nor 1")),
    }
}
