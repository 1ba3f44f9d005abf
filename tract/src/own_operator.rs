//! Known cases that tract's own recurrent operators compute wrongly without an error.

use rnnpack::{Cell, Direction, LstmCell};
use rnnpack_onnx::{Error, NodeDescription, RecurrentOp};

/// Refuses a node that tract's own operator would compute wrongly. The error names what the operator ignores.
pub(crate) fn check_right(node: &NodeDescription) -> Result<(), Error> {
    let wrong = |attribute: &str, value: String| {
        let reason = format!("{value}: tract's own operator ignores it and would be wrong");
        Err(Error::Attribute { node: node.name.clone(), attribute: attribute.to_string(), reason })
    };
    if node.op.is_quantized() {
        let (node, op) = (node.name.clone(), node.op.to_string());
        return Err(Error::Node { node, op, reason: "tract has no operator of its own for it".to_string() });
    }
    if node.direction == Some(Direction::Reverse) {
        return wrong("direction", "`reverse`".to_string());
    }
    if let Some((attribute, value)) = not_default(node.op, &node.cells) {
        return wrong(attribute, value);
    }
    match node.inputs.contains(&"sequence_lens") {
        true => {
            let (input, reason) =
                ("sequence_lens".to_string(), "tract's own operator does not read it".to_string());
            Err(Error::Input { node: node.name.clone(), input, reason })
        }
        false => Ok(()),
    }
}

/// The first option of `cells` that differs from the default of `op`, with its value.
fn not_default(op: RecurrentOp, cells: &[Cell]) -> Option<(&'static str, String)> {
    for cell in cells {
        let activations = cell.activations().iter();
        if let Some((other, _)) = activations.zip(op.activations()).find(|(a, name)| a.name() != **name) {
            return Some(("activations", other.to_string()));
        }
        if let Some(clip) = cell.clip() {
            return Some(("clip", clip.to_string()));
        }
        if let Cell::Lstm(LstmCell { input_forget: true, .. }) = cell {
            return Some(("input_forget", "1".to_string()));
        }
    }
    None
}
