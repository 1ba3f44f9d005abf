//! What `rnnpack quantize` prints.

use super::choice::Layer;
use super::errors::{Judged, OutputError};
use crate::report::{Table, bytes, difference, number};
use rnnpack::WeightType;
use rnnpack_onnx::{DType, Shown, ShownNames};
use serde_json::{Value, json};

/// A rewritten model, and what is known about it.
pub(super) struct Report {
    /// The bytes of the model before.
    pub(super) before: usize,
    pub(super) model: Vec<u8>,
    pub(super) layers: Vec<Layer>,
    pub(super) outputs: Judged,
}

impl Layer {
    /// The bytes of W and R in the file, before and after, with the scales and zero points of int8.
    fn bytes(&self) -> Option<[usize; 2]> {
        let (input, hidden) = (self.node.input?, self.node.hidden?);
        let rows = self.node.direction?.count() * self.node.op.gates() * hidden;
        let count = rows * (input + hidden);
        let before = count * self.node.dtype.map_or(0, DType::size);
        let scales = match (self.weights, self.node.op) {
            (WeightType::I8, rnnpack_onnx::RecurrentOp::Lstm) => 2 * rows * (4 + 1),
            (WeightType::I8, _) => 2 * rows * 4,
            _ => 0,
        };
        let after = if self.weights == WeightType::F32 { before } else { count * self.weights.bytes() };
        Some([before, after + scales])
    }

    fn json(&self) -> Value {
        let drift = self.drift.map(|drift| {
            json!({
                "largest": number(drift.largest), "rms": number(drift.rms), "scale": number(drift.scale),
                "relative": number(drift.relative()), "first_rms": number(drift.first),
                "last_rms": number(drift.last),
            })
        });
        let [before, after] = self.bytes().map_or([None, None], |bytes| bytes.map(Some));
        json!({
            "node": self.node.name, "op": self.node.op.name(), "hidden": self.node.hidden,
            "weights": self.type_name(), "reason": self.reason, "bytes_before": before, "bytes_after": after,
            "relative_alone": self.alone.map(number), "steps": drift,
        })
    }

    /// The type of the weights in the new file.
    fn type_name(&self) -> String {
        match (self.weights, self.node.dtype) {
            (WeightType::F32, Some(other)) => other.to_string(),
            (weights, _) => weights.name().to_owned(),
        }
    }

    fn row(&self) -> Vec<String> {
        let [before, after] = self.bytes().map_or([String::new(), String::new()], |both| both.map(bytes));
        let mut row = vec![self.node.name.clone(), self.node.op.to_string(), self.type_name(), before, after];
        row.push(self.alone.map(difference).unwrap_or_default());
        let drift = self.drift.map(|d| [d.largest, d.rms, d.relative(), d.first, d.last].map(difference));
        row.extend(drift.into_iter().flatten());
        row
    }
}

impl Report {
    pub(super) fn json(&self, name: &str, output: &str) -> Value {
        let (outputs, reason) = match &self.outputs {
            Judged::Compared { outputs, .. } => {
                (Some(outputs.iter().map(OutputError::json).collect::<Value>()), None)
            }
            Judged::NotRun(reason) => (None, Some(reason)),
        };
        json!({
            "model": name, "output": output, "bytes_before": self.before, "bytes_after": self.model.len(),
            "layers": self.layers.iter().map(Layer::json).collect::<Value>(),
            "outputs": outputs, "not_compared": reason,
        })
    }

    pub(super) fn text(&self, name: &str, output: &str) -> String {
        const HEADINGS: [&str; 11] = [
            "layer", "op", "weights", "before", "after", "alone", "largest", "RMS", "relative", "first",
            "last",
        ];
        const RIGHT: [bool; 11] = [false, false, false, true, true, true, true, true, true, true, true];
        let mut table = Table::new(&HEADINGS, &RIGHT);
        self.layers.iter().for_each(|layer| table.row(layer.row()));
        let [before, after] = [self.before, self.model.len()].map(bytes);
        let mut text = format!("{output}: {after}, {name} has {before}\n\n{}", table.render());
        for layer in &self.layers {
            if let Some(reason) = &layer.reason {
                text += &format!("{} has {}: {reason}\n", Shown(&layer.node.name), layer.type_name());
            }
        }
        text + &self.outputs.text()
    }
}

impl OutputError {
    fn json(&self) -> Value {
        json!({
            "output": self.output, "largest": number(self.largest), "rms": number(self.rms),
            "scale": number(self.scale), "relative": number(self.relative()), "mismatch": self.mismatch,
        })
    }
}

impl Judged {
    fn text(&self) -> String {
        match self {
            Judged::Compared { outputs, generated } => {
                let mut table = Table::new(
                    &["output", "largest", "RMS", "relative", ""],
                    &[false, true, true, true, false],
                );
                for error in outputs {
                    let numbers = [error.largest, error.rms, error.relative()].map(difference);
                    let mut row = vec![error.output.clone()];
                    row.extend(numbers);
                    row.push(error.mismatch.clone().unwrap_or_default());
                    table.row(row);
                }
                let inputs = match generated.is_empty() {
                    true => String::new(),
                    false => format!("generated inputs: {}\n", ShownNames(generated)),
                };
                format!("\n{}{inputs}", table.render())
            }
            Judged::NotRun(reason) => format!("the outputs were not compared: {reason}\n"),
        }
    }
}
