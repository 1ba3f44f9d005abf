//! Reads and checks a node that contains graphs: its operator set, its attributes and its graphs.

use rnnpack_onnx::{Error as OnnxError, OPSETS};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::tract_hir::internal::*;

pub(crate) fn refuse(node: &str, op: &str, reason: impl Into<String>) -> TractError {
    TractError::new(OnnxError::Node { node: node.into(), op: op.into(), reason: reason.into() })
}

/// The error that refuses an input. `input` is its name in the standard.
pub(crate) fn bad_input(node: &str, input: impl Into<String>, reason: impl Into<String>) -> TractError {
    TractError::new(OnnxError::Input { node: node.into(), input: input.into(), reason: reason.into() })
}

/// A node, and the operator that it must be.
pub(crate) struct NodeReader<'n> {
    pub(crate) node: &'n pb::NodeProto,
    pub(crate) op: &'static str,
}

impl<'n> NodeReader<'n> {
    /// Checks that the operator set is `first` or later, and that the names of the attributes are in `known`.
    pub(crate) fn check_node(&self, ctx: &ParsingContext<'_>, first: i64, known: &[&str]) -> TractResult<()> {
        let (node, version) = (self.node, ctx.onnx_operator_set_version);
        if !matches!(node.domain.as_str(), "" | "ai.onnx") {
            return Err(self.refuse("it is not of the standard operator set"));
        }
        if !(first..=*OPSETS.end()).contains(&version) {
            let reason = format!("{} is known in {first} to {}", self.op, OPSETS.end());
            let subject = format!("node `{}`", node.name);
            return Err(TractError::new(OnnxError::Opset { subject, version: Some(version), reason }));
        }
        for (i, a) in node.attribute.iter().enumerate() {
            if !known.contains(&a.name.as_str()) {
                return Err(self.bad_attribute(&a.name, "not an attribute of this operator"));
            }
            if node.attribute[..i].iter().any(|other| other.name == a.name) {
                return Err(self.bad_attribute(&a.name, "given twice"));
            }
        }
        Ok(())
    }

    /// The graph in the attribute `name`.
    pub(crate) fn graph(&self, name: &str) -> TractResult<&'n pb::GraphProto> {
        let graph = self.attribute(name, AttributeType::Graph)?.and_then(|a| a.g.as_ref());
        graph.ok_or_else(|| self.bad_attribute(name, "it is missing"))
    }

    pub(crate) fn attribute(
        &self,
        name: &str,
        kind: AttributeType,
    ) -> TractResult<Option<&'n pb::AttributeProto>> {
        match self.node.attribute.iter().find(|a| a.name == name) {
            Some(a) if a.r#type != kind as i32 => {
                Err(self.bad_attribute(name, format!("its type is not that of the standard, {kind:?}")))
            }
            found => Ok(found),
        }
    }

    pub(crate) fn bad_attribute(&self, attribute: &str, reason: impl Into<String>) -> TractError {
        let (node, attribute) = (self.node.name.clone(), attribute.to_string());
        TractError::new(OnnxError::Attribute { node, attribute, reason: reason.into() })
    }

    pub(crate) fn refuse(&self, reason: impl Into<String>) -> TractError {
        refuse(&self.node.name, self.op, reason)
    }
}
