//! What `rnnpack quantize` prints.

use super::choice::Layer;
use super::errors::{Judged, OutputError};
use super::written::Written;
use crate::report::{Table, bytes, difference, number};
use rnnpack_onnx::{Shown, ShownNames};
use serde_json::{Value, json};

/// A rewritten model, and what is known about it.
pub(super) struct Report {
    /// The bytes of the model before.
    pub(super) before: usize,
    pub(super) model: Vec<u8>,
    pub(super) layers: Vec<(Layer, Written)>,
    pub(super) outputs: Judged,
}

/// A layer before and after.
struct Both<'r>(&'r Layer, &'r Written);

impl Both<'_> {
    /// The bytes of W and R in the file, before and after, with the scales and zero points of int8.
    fn bytes(&self) -> [usize; 2] {
        [&self.0.node, &self.1.node].map(|node| node.matrix_bytes)
    }

    fn json(&self) -> Value {
        let Both(Layer { node, reason, alone, .. }, written) = *self;
        let drift = written.drift.map(|drift| {
            json!({
                "largest": number(drift.largest), "rms": number(drift.rms), "scale": number(drift.scale),
                "relative": number(drift.relative()), "first_rms": number(drift.first),
                "last_rms": number(drift.last),
            })
        });
        let [before, after] = self.bytes();
        json!({
            "node": node.name, "op": node.op.name(), "hidden": node.hidden,
            "weights": written.type_name(), "reason": reason, "bytes_before": before, "bytes_after": after,
            "rounded_weights": written.rounded.map(|[rounded, _]| rounded), "computed_in": written.arithmetic(),
            "relative_alone": alone.map(number), "steps": drift,
        })
    }

    fn row(&self) -> Vec<String> {
        let Both(Layer { node, alone, .. }, written) = *self;
        let [before, after] = self.bytes().map(bytes);
        let mut row = vec![node.name.clone(), node.op.to_string(), written.type_name(), before, after];
        row.push(written.rounded.map_or_else(String::new, |[rounded, of]| format!("{rounded} of {of}")));
        row.push(written.arithmetic().unwrap_or_default().to_owned());
        row.push(alone.map(difference).unwrap_or_default());
        let drift = written.drift.map(|d| [d.largest, d.rms, d.relative(), d.first, d.last].map(difference));
        row.extend(drift.into_iter().flatten());
        row
    }
}

impl Report {
    fn layers(&self) -> impl Iterator<Item = Both<'_>> {
        self.layers.iter().map(|(layer, written)| Both(layer, written))
    }

    pub(super) fn json(&self, name: &str, output: &str) -> Value {
        let (outputs, reason) = match &self.outputs {
            Judged::Compared { outputs, .. } => {
                (Some(outputs.iter().map(OutputError::json).collect::<Value>()), None)
            }
            Judged::NotRun(reason) => (None, Some(reason)),
        };
        json!({
            "model": name, "output": output, "bytes_before": self.before, "bytes_after": self.model.len(),
            "layers": self.layers().map(|layer| layer.json()).collect::<Value>(),
            "outputs": outputs, "not_compared": reason,
        })
    }

    pub(super) fn text(&self, name: &str, output: &str) -> String {
        const HEADINGS: [&str; 13] = [
            "layer",
            "op",
            "weights",
            "before",
            "after",
            "rounded",
            "computed in",
            "alone",
            "largest",
            "RMS",
            "relative",
            "first",
            "last",
        ];
        // All but the names are numbers.
        const RIGHT: [bool; 13] = {
            let mut right = [true; 13];
            (right[0], right[1], right[2], right[6]) = (false, false, false, false);
            right
        };
        let mut table = Table::new(&HEADINGS, &RIGHT);
        self.layers().for_each(|layer| table.row(layer.row()));
        let [before, after] = [self.before, self.model.len()].map(bytes);
        let mut text = format!("{output}: {after}, {name} has {before}\n\n{}", table.render());
        for (layer, written) in &self.layers {
            if let Some(reason) = &layer.reason {
                text += &format!("{} has {}: {reason}\n", Shown(&layer.node.name), written.type_name());
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
