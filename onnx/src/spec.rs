//! What a recurrent node computes: reads and checks its operator and its attributes.

use crate::attribute::{Attributes, BadAttribute, bad};
use crate::brief::Name;
use crate::cells;
use crate::error::Error;
use crate::operator::{OPSETS, RecurrentOp};
use crate::proto;
use rnnpack::{Cell, Direction, Layout};

/// What a recurrent node computes, without its weights. A runtime that knows the weights only when the node runs reads
/// this first and packs later: see [`NodeWeights`](crate::NodeWeights).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NodeSpec {
    /// The node's name.
    pub name: String,
    /// Its operator.
    pub op: RecurrentOp,
    /// The version of the standard operator set that the node belongs to.
    pub opset: i64,
    /// Its direction.
    pub direction: Direction,
    /// The layout of X, Y and the states.
    pub layout: Layout,
    /// The attribute `hidden_size`, if it is present.
    pub hidden: Option<usize>,
    /// What a step of each direction computes.
    pub cells: Vec<Cell>,
}

impl NodeSpec {
    /// Reads a node of operator set `opset`. Errors call it `name`.
    ///
    /// # Errors
    /// [`Error::Node`], [`Error::Opset`], [`Error::Attribute`] or [`Error::Input`] for anything that the standard does
    /// not have.
    pub fn read(node: &proto::Node, name: &str, op: RecurrentOp, opset: i64) -> Result<NodeSpec, Error> {
        let reader = Reader { node, name, op, opset };
        let (settings, attributes) = reader.settings()?;
        reader.spec(&settings, &attributes)
    }

    /// The dimensions of the weights, in the order of [`NodeWeights::INPUTS`](crate::NodeWeights::INPUTS), as far as they
    /// follow from I and H. A scale or a zero point may have the first one alone.
    pub fn weight_dims(&self, input: Option<usize>, hidden: Option<usize>) -> [Vec<Option<usize>>; 8] {
        let rows = |factor: usize| hidden.map(|h| h.saturating_mul(factor));
        let (directions, gates) = (Some(self.direction.count()), self.op.gates());
        let matrix = |columns| match self.op.summed_axis() {
            1 => vec![directions, columns, rows(gates)],
            _ => vec![directions, rows(gates), columns],
        };
        let vector = |factor| vec![directions, rows(factor)];
        let [w, r] = [matrix(input), matrix(hidden)];
        let [b, p] = [vector(2 * gates), vector(3)];
        [w, r, b, p, vector(gates), vector(gates), vector(gates), vector(gates)]
    }

    /// The error that refuses an input of this node. `input` is its name in the standard.
    pub fn bad_input(&self, input: &str, reason: &str) -> Error {
        Error::bad_input(&self.name, input, reason)
    }

    /// The error that refuses an attribute of this node.
    pub fn bad_attribute(&self, attribute: &str, reason: &str) -> Error {
        Error::bad_attribute(&self.name, attribute, reason)
    }
}

/// The attributes that determine the shapes of a recurrent node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShapeAttributes {
    pub(crate) direction: Direction,
    pub(crate) layout: Layout,
    pub(crate) hidden: Option<usize>,
}

/// A recurrent node, and what its error messages need.
pub(crate) struct Reader<'n> {
    pub(crate) node: &'n proto::Node,
    pub(crate) name: &'n str,
    pub(crate) op: RecurrentOp,
    pub(crate) opset: i64,
}

impl<'n> Reader<'n> {
    /// Checks the operator's version and its numbers of inputs and outputs, and reads direction, layout and hidden
    /// size.
    pub(crate) fn settings(&self) -> Result<(ShapeAttributes, Attributes<'n>), Error> {
        self.check_operator()?;
        let read = || -> Result<_, BadAttribute> {
            let attributes = Attributes::read(self.node, &self.op.attributes(self.opset))?;
            self.check_output_sequence(&attributes)?;
            Ok((shape_settings(&attributes)?, attributes))
        };
        read().map_err(|e| self.bad_attribute(&e.attribute, &e.reason))
    }

    /// Reads what a step of each direction computes.
    pub(crate) fn spec(
        &self,
        settings: &ShapeAttributes,
        attributes: &Attributes<'n>,
    ) -> Result<NodeSpec, Error> {
        let &ShapeAttributes { direction, layout, hidden } = settings;
        let cells = cells::read(self.op, direction.count(), attributes)
            .map_err(|e| self.bad_attribute(&e.attribute, &e.reason))?;
        let (name, op, opset) = (self.name.to_string(), self.op, self.opset);
        Ok(NodeSpec { name, op, opset, direction, layout, hidden, cells })
    }

    fn check_operator(&self) -> Result<(), Error> {
        let node = self.node;
        let domain = if node.domain == "ai.onnx" { "" } else { node.domain.as_str() };
        match self.op.domain() {
            known if known == domain => {}
            "" => return Err(self.refuse("it is not of the standard operator set")),
            known => return Err(self.refuse(&format!("it is not of the domain {known}"))),
        }
        if !OPSETS.contains(&self.opset) {
            let reason = format!("{} is known in {} to {}", self.op, OPSETS.start(), OPSETS.end());
            let subject = format!("node {}", Name(self.name));
            return Err(Error::Opset { subject, version: Some(self.opset), reason });
        }
        for (what, found, known) in [
            ("inputs", node.input.len(), self.op.inputs().len()),
            ("outputs", node.output.len(), self.op.outputs().len()),
        ] {
            if found > known {
                let reason = format!("it has {found} {what}, but {} has at most {known}", self.op);
                return Err(self.refuse(&reason));
            }
        }
        if self.op == RecurrentOp::Gru && self.opset < 3 && !self.has_output("Y_h") {
            return Err(self.refuse("it has no output `Y_h`, which is optional from operator set 3 only"));
        }
        let mut required = self.op.inputs().iter().enumerate().filter(|&(i, _)| self.op.requires(i));
        match required.find(|&(i, _)| self.input(i).is_none()) {
            Some((_, missing)) => Err(self.bad_input(missing, "it is missing")),
            None => Ok(()),
        }
    }

    /// Checks `output_sequence`, an attribute of operator sets 1 to 6: if it is 1, the output `Y` must be present.
    fn check_output_sequence(&self, attributes: &Attributes<'_>) -> Result<(), BadAttribute> {
        match attributes.flag("output_sequence")? && !self.has_output("Y") {
            true => bad("output_sequence", "1, but the node has no output `Y`"),
            false => Ok(()),
        }
    }

    /// The name of the value at input `index`, if the input is present.
    pub(crate) fn input(&self, index: usize) -> Option<&'n str> {
        self.node.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn has_output(&self, name: &str) -> bool {
        let index = self.op.outputs().iter().position(|&o| o == name);
        index.and_then(|i| self.node.output.get(i)).is_some_and(|o| !o.is_empty())
    }

    pub(crate) fn bad_input(&self, input: &str, reason: &str) -> Error {
        Error::bad_input(self.name, input, reason)
    }

    fn bad_attribute(&self, attribute: &str, reason: &str) -> Error {
        Error::bad_attribute(self.name, attribute, reason)
    }

    fn refuse(&self, reason: &str) -> Error {
        let op = match self.node.domain.as_str() {
            "" => self.node.op_type.clone(),
            domain => format!("{domain}.{}", self.node.op_type),
        };
        Error::Node { node: self.name.to_string(), op, reason: reason.to_string() }
    }
}

/// Reads the attributes that all recurrent operators have.
fn shape_settings(attributes: &Attributes<'_>) -> Result<ShapeAttributes, BadAttribute> {
    let direction = match attributes.text("direction")? {
        None | Some("forward") => Direction::Forward,
        Some("reverse") => Direction::Reverse,
        Some("bidirectional") => Direction::Bidirectional,
        Some(other) => return bad("direction", format!("{} is no direction", Name(other))),
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
    Ok(ShapeAttributes { direction, layout, hidden })
}
