//! `rnnpack verify`: compares a model's outputs with those of others.

use crate::compare::{Difference, compare};
use crate::inputs::{Feeds, GeneratedArgs, GivenArgs, Recorded};
use crate::model::{Loaded, load};
use crate::outcome::Outcome;
use crate::report::{self, Table, count, difference, magnitude, progress};
use crate::tensors::Tensors;
use anyhow::{Context, Result, bail};
use rnnpack_onnx::Shown;
use rnnpack_tract::Kernels;
use serde_json::{Value, json};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
The model runs with its recurrent layers (LSTM, GRU, RNN) on rnnpack. Its outputs are compared with

  f64       the same model, with these layers computed by a naive reference in f64;
  tract     the same model, with tract's own operators; left out, with the reason, if tract
            cannot load or run the model or is known to compute a layer wrongly;
  recorded  the outputs in the archive of --recorded.

The largest absolute difference of each output over all steps counts. It passes up to BOUND times the \
output's largest magnitude. The default of 1e-4 allows differences that are not errors: an f32 sum of some \
thousand terms in another order differs by about 1e-6 of the sum, activations of other libraries differ as \
much, and long streams and the layers around can amplify both tenfold. A wrong gate, direction, state or \
length changes outputs by 1e-2 or more. Outputs in half precision may differ by one step of their type: 1e-3 \
(f16) or 8e-3 (bf16) of that magnitude. Integers and booleans must be equal.

Inputs that are not given are generated: floats uniform in ±1 from --seed, integers 1. A dimension without a \
size gets the size 4. A recorded stream has the keys in/<step>/<name> and out/<step>/<name>. If an input is \
always an output of the step before, it gets our own output of that step.

Exit codes: 0 all comparisons passed, and there was at least one; 1 a comparison failed, or nothing could be \
compared.

Examples:
  rnnpack verify model.onnx
  rnnpack verify model.onnx --dim batch=3 --dim time=50 --seed 7
  rnnpack verify model.onnx --input x=x.npy --bound 1e-5
  rnnpack verify vad.onnx --recorded vad.16k.npz --json";

/// Compare a model's outputs with tract's, with an f64 reference and with recorded ones
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The ONNX model
    model: PathBuf,
    #[command(flatten)]
    given: GivenArgs,
    /// Recorded inputs and outputs of consecutive calls
    #[arg(long, value_name = "FILE.npz", conflicts_with_all = ["input", "dim", "seed"])]
    recorded: Option<PathBuf>,
    #[command(flatten)]
    generated: GeneratedArgs,
    /// Largest difference that passes, relative to the largest magnitude of the output
    #[arg(long, default_value_t = 1e-4, value_parser = parse_bound)]
    bound: f64,
}

fn parse_bound(s: &str) -> Result<f64> {
    match s.parse::<f64>() {
        Ok(x) if x >= 0.0 && x.is_finite() => Ok(x),
        _ => bail!("give a number of at least 0, such as 1e-5"),
    }
}

/// A comparison of our outputs with others: the differences, or why there are none.
struct Comparison {
    with: &'static str,
    result: Result<Vec<Difference>, String>,
}

struct Report {
    model: String,
    steps: usize,
    generated: Vec<String>,
    carried: Vec<(String, String)>,
    /// The number of the model's recurrent nodes. rnnpack computes them.
    layers: usize,
    comparisons: Vec<Comparison>,
}

pub(crate) fn verify(args: &Args, json: bool) -> Result<Outcome> {
    let model = args.model.display().to_string();
    let bytes = crate::model::read(&args.model)?;
    let recorded = args.recorded.as_deref().map(Recorded::read).transpose()?;
    let report = report(args, model.clone(), &bytes, recorded.as_ref());
    let report = report.with_context(|| format!("cannot verify {model}"))?;
    report::emit(json, || report.json(), || report.text())?;
    Ok(if report.verdict() == Verdict::Pass { Outcome::Done } else { Outcome::Failed })
}

fn report(args: &Args, model: String, bytes: &[u8], recorded: Option<&Recorded>) -> Result<Report> {
    let feeds = match recorded {
        Some(recorded) => Feeds::recorded(bytes, &args.given, recorded)?,
        None => Feeds::generated(bytes, &args.given, &args.generated)?,
    };
    let carried = recorded.map(Recorded::carried).unwrap_or_default();
    let bar = progress(3);
    bar.set_message("rnnpack");
    let run = |kernels| -> Result<(Loaded, Vec<Tensors>)> {
        let loaded = load(bytes, &feeds, kernels, 1)?;
        let outputs = loaded.run(&feeds, &carried)?;
        Ok((loaded, outputs))
    };
    let (loaded, ours) = run(Kernels::Rnnpack).map_err(|e| feeds.explain(e))?;
    let layers = loaded.model.recurrent_nodes().len();
    let mut comparisons = Vec::new();
    for (with, kernels) in [("f64", Kernels::Reference64), ("tract", Kernels::Tract)] {
        bar.inc(1);
        bar.set_message(with);
        let result = match layers {
            0 => Err("without a recurrent node both are tract".to_owned()),
            _ => run(kernels)
                .map(|(_, theirs)| compare(&ours, &theirs, args.bound))
                .map_err(|e| report::error(&e)),
        };
        comparisons.push(Comparison { with, result });
    }
    if let Some(recorded) = recorded {
        let result = Ok(compare(&ours, &recorded.outputs, args.bound));
        comparisons.push(Comparison { with: "recorded", result });
    }
    bar.finish_and_clear();
    let Feeds { steps, generated, .. } = feeds;
    Ok(Report { model, steps: steps.len(), generated, carried, layers, comparisons })
}

#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Pass,
    Fail,
    NothingCompared,
}

impl Report {
    fn verdict(&self) -> Verdict {
        let compared = self.comparisons.iter().filter_map(|c| c.result.as_ref().ok()).flatten();
        let passed: Vec<bool> = compared.map(Difference::passes).collect();
        match (self.layers, passed.as_slice()) {
            (0, _) | (_, []) => Verdict::NothingCompared,
            (_, passed) if passed.iter().all(|&p| p) => Verdict::Pass,
            _ => Verdict::Fail,
        }
    }

    fn verdict_text(&self) -> String {
        match self.verdict() {
            Verdict::Pass => "PASS".to_owned(),
            Verdict::Fail => "FAIL: differences exceed the bound".to_owned(),
            Verdict::NothingCompared if self.layers == 0 => {
                "NOTHING COMPARED: the model has no recurrent node, so rnnpack computes none of it".to_owned()
            }
            Verdict::NothingCompared => "NOTHING COMPARED".to_owned(),
        }
    }

    fn text(&self) -> String {
        let (nodes, steps) = (count(self.layers, "recurrent node"), count(self.steps, "step"));
        let mut out = format!("{}: {nodes}, {steps}\n", self.model);
        for line in &self.generated {
            out += &format!("generated: {line}\n");
        }
        for (input, output) in &self.carried {
            out += &format!("handed on: {} to {}\n", Shown(output), Shown(input));
        }
        let headings = ["against", "output", "largest difference", "scale", "relative", "allowed", ""];
        let mut table = Table::new(&headings, &[false, false, true, true, true, true, false]);
        for Comparison { with, result } in &self.comparisons {
            for d in result.iter().flatten() {
                let numbers = [
                    difference(d.largest),
                    magnitude(d.scale),
                    difference(d.relative()),
                    difference(d.allowed),
                ];
                let verdict = match &d.mismatch {
                    Some(why) => format!("DISAGREES: {why}"),
                    None if d.passes() => "ok".to_owned(),
                    None => "EXCEEDED".to_owned(),
                };
                let mut row = vec![with.to_string(), Shown(&d.output).to_string()];
                row.extend(numbers);
                row.push(verdict);
                table.row(row);
            }
        }
        out += &format!("\n{}\n", table.render());
        for Comparison { with, result } in &self.comparisons {
            if let Err(reason) = result {
                out += &format!("not compared with {with}: {reason}\n");
            }
        }
        out + &self.verdict_text() + "\n"
    }

    fn json(&self) -> Value {
        let carried = |(input, output): &(String, String)| json!({ "input": input, "output": output });
        let comparison = |c: &Comparison| {
            let differences: Option<Value> =
                c.result.as_ref().ok().map(|d| d.iter().map(Difference::json).collect());
            json!({ "against": c.with, "outputs": differences, "not_compared": c.result.as_ref().err() })
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
            "comparisons": self.comparisons.iter().map(comparison).collect::<Value>(),
        })
    }
}
