//! Describes what a cell computes, as text and as JSON.

use rnnpack::{Cell, GruCell, LstmCell};
use serde_json::{Value, json};

/// The activations, and the options that differ from ONNX's defaults: `Sigmoid, Tanh, Tanh; clip 3; input_forget`.
pub(crate) fn text(cell: &Cell) -> String {
    let activations: Vec<String> = cell.activations().iter().map(ToString::to_string).collect();
    let clip = cell.clip().map(|clip| format!("clip {clip}"));
    let flag = flag(cell).and_then(|(name, set)| set.then(|| name.to_owned()));
    let parts = [Some(activations.join(", ")), clip, flag];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

pub(crate) fn json(cell: &Cell) -> Value {
    let activations: Vec<String> = cell.activations().iter().map(ToString::to_string).collect();
    let mut value = json!({ "activations": activations, "clip": cell.clip() });
    if let Some((name, set)) = flag(cell) {
        value[name] = json!(set);
    }
    value
}

/// The operator's attribute that is a flag, if it has one, with its value.
fn flag(cell: &Cell) -> Option<(&'static str, bool)> {
    match *cell {
        Cell::Lstm(LstmCell { input_forget, .. }) => Some(("input_forget", input_forget)),
        Cell::Gru(GruCell { linear_before_reset, .. }) => Some(("linear_before_reset", linear_before_reset)),
        Cell::Rnn(_) => None,
    }
}
