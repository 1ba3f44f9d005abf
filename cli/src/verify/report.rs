//! The report of `verify`, as text and as JSON.

use super::Comparison;
use super::verdict::Verdict;
use crate::compare::Difference;
use crate::report::{Table, count, difference, magnitude};
use rnnpack_onnx::Shown;
use serde_json::{Value, json};

pub(super) struct Report {
    pub(super) model: String,
    pub(super) steps: usize,
    pub(super) generated: Vec<String>,
    pub(super) carried: Vec<(String, String)>,
    /// The number of the model's recurrent nodes. rnnpack computes them.
    pub(super) layers: usize,
    /// The operators that all sides compute in the same way.
    pub(super) not_judged: Vec<String>,
    pub(super) comparisons: Vec<Comparison>,
}

impl Report {
    pub(super) fn verdict(&self) -> Verdict {
        Verdict::of(&self.comparisons)
    }

    fn verdict_text(&self) -> String {
        match self.verdict() {
            Verdict::Pass => "PASS".to_owned(),
            Verdict::Fail => format!("FAIL: {}", self.reason()),
            Verdict::NothingCompared if self.layers == 0 => {
                let reason = "the model has no recurrent node, so rnnpack computes none of it; \
                              recorded outputs judge it (--recorded FILE.npz)";
                format!("NOTHING COMPARED: {reason}")
            }
            Verdict::NothingCompared => "NOTHING COMPARED".to_owned(),
        }
    }

    /// Why the verdict is a failure.
    fn reason(&self) -> &'static str {
        let fails =
            |with: &str| self.comparisons.iter().any(|c| c.with == with && c.excuse.is_none() && c.fails());
        match (fails("f64") || fails("recorded"), fails("tract")) {
            (false, true) => {
                "tract's own operators differ, although f64 agrees; recorded outputs of another runtime decide \
                 who is right (--recorded FILE.npz)"
            }
            _ => "an output above is not ok",
        }
    }

    pub(super) fn text(&self) -> String {
        let (nodes, steps) = (count(self.layers, "recurrent node"), count(self.steps, "step"));
        let mut out = format!("{}: {nodes}, {steps}\n", self.model);
        for line in &self.generated {
            out += &format!("generated: {line}\n");
        }
        for (input, output) in &self.carried {
            out += &format!("handed on: {} to {}\n", Shown(output), Shown(input));
        }
        out += &format!("\n{}\n", self.table().render());
        for Comparison { with, result, excuse, allowance } in &self.comparisons {
            if let Err(reason) = result {
                out += &format!("not compared with {with}: {reason}\n");
            }
            if let Some(reason) = excuse {
                out += &format!("the difference from {with} does not count: {reason}\n");
            }
            if let Some(reason) = allowance {
                out += &format!("allowed against {with}: {reason}\n");
            }
        }
        if !self.not_judged.is_empty() && self.layers > 0 {
            out += &format!(
                "not judged, because all sides compute them in the same way: {} (judge them with --recorded FILE.npz)\n",
                self.not_judged.join(", ")
            );
        }
        out + &self.verdict_text() + "\n"
    }

    fn table(&self) -> Table {
        let decides =
            self.comparisons.iter().flat_map(|c| c.result.iter().flatten()).any(|d| d.decisions.is_some());
        let allowed = if decides { "same decisions" } else { "allowed" };
        let headings = ["against", "output", "largest difference", "scale", "relative", allowed, ""];
        let mut table = Table::new(&headings, &[false, false, true, true, true, true, false]);
        for Comparison { with, result, .. } in &self.comparisons {
            for d in result.iter().flatten() {
                table.row(vec![
                    with.to_string(),
                    Shown(&d.output).to_string(),
                    difference(d.largest),
                    magnitude(d.scale),
                    difference(d.relative()),
                    d.decisions.map_or_else(|| difference(d.allowed), |d| format!("{} of {}", d.same, d.of)),
                    d.text(),
                ]);
            }
        }
        table
    }

    pub(super) fn json(&self) -> Value {
        let carried = |(input, output): &(String, String)| json!({ "input": input, "output": output });
        let comparison = |c: &Comparison| {
            let differences: Option<Value> =
                c.result.as_ref().ok().map(|d| d.iter().map(Difference::json).collect());
            json!({
                "against": c.with,
                "outputs": differences,
                "not_compared": c.result.as_ref().err(),
                "does_not_count": c.excuse,
                "allowance": c.allowance,
            })
        };
        json!({
            "model": self.model,
            "verdict": match self.verdict() {
                Verdict::Pass => "pass",
                Verdict::Fail => "fail",
                Verdict::NothingCompared => "nothing_compared",
            },
            "recurrent_nodes": self.layers,
            "steps": self.steps,
            "generated": self.generated,
            "handed_on": self.carried.iter().map(carried).collect::<Value>(),
            "not_judged": self.not_judged,
            "comparisons": self.comparisons.iter().map(comparison).collect::<Value>(),
        })
    }
}
