//! `rnnpack verify`: compares a model's outputs with those of others.

mod report;
mod verdict;

use crate::advice::advise;
use crate::compare::{Difference, Rule, compare};
use crate::fit;
use crate::half::{STEPS, coarsest_step};
use crate::inputs::{Feeds, GeneratedArgs, GivenArgs, Recorded};
use crate::layer_options::{Arithmetic, LayerOptions};
use crate::model::{Computed, Loaded, load};
use crate::operators;
use crate::outcome::Outcome;
use crate::report::{emit, error, progress};
use crate::tensors::Tensors;
use anyhow::{Context, Result, bail};
use report::Report;
use rnnpack_onnx::DType;
use rnnpack_tract::Kernels;
use std::path::PathBuf;
use verdict::{Verdict, excuse};

const AFTER_HELP: &str = "\
The model runs with its recurrent layers (LSTM, GRU, RNN, DynamicQuantizeLSTM) on rnnpack. Its outputs are compared with

  f64       the same model, with these layers computed by a naive reference in f64;
  tract     the same model, with tract's own operators; left out, with the reason, if tract
            cannot load or run the model or is known to compute a layer wrongly;
  recorded  the outputs in the archive of --recorded.

f64 and tract compute every other operator in the same way as rnnpack does, so they judge the recurrent \
layers alone. The report names the operators that are not judged. Recorded outputs judge the whole model, as \
far as the recorded inputs reach: branches that are not taken are not judged.

The largest absolute difference of each output over all steps counts. It passes up to BOUND times the \
output's largest magnitude. The default of 1e-4 allows differences that are not errors: an f32 sum of some \
thousand terms in another order differs by about 1e-6 of the sum, activations of other libraries differ as \
much, and long streams and the layers around can amplify both tenfold. A wrong gate, direction, state or \
length changes outputs by 1e-2 or more. Integers and booleans must be equal. NaN and infinities must stand in \
the same places, and an output with no finite element does not pass.

With --subnormals, rnnpack flushes, and the others compute exactly: what flushing changes must pass too. \
Likewise with --weights: rnnpack rounds the weights W and R to that type, and the others do not. Layers of \
int8 also round x and h to integers of 8 bits, and f64 does not. So for models with DynamicQuantizeLSTM give \
a larger BOUND or --decisions. With --as-onnxruntime, f64 and tract are left out, and recorded outputs may \
differ by half an integer of 8 bits, 2e-3 of the largest magnitude. That is an allowance, not a bound that \
was derived: the activation functions of ONNX Runtime differ in the last places, so a number between two \
integers may become the other one, and what this does to later steps and layers depends on their weights. \
The report says where the allowance was used.

With --decisions AXIS, for models that classify, an output passes if the largest element of each line along the axis \
stands where that of the other side stands; the first of equal ones counts. The table shows how many of these decisions \
are the same, and the largest difference, which may be any. Each integer or boolean is a decision by itself. An output \
that has no such axis, or one element along it, does not pass.

If the model computes in half precision, every operator rounds. Then outputs may differ by 2 steps of that \
type from f64 and by 8 steps from the others; a step is 1e-3 (f16) or 8e-3 (bf16) of the largest magnitude. \
tract's own operators round every sum of a layer in half precision.

A larger difference from tract does not count if f64 agrees, and the recorded outputs too if they are given: \
then only tract's own operator is off. The report says so. A NaN on one side always counts.

Inputs that are not given are generated from --seed, and the report says how: floats uniform in ±1; sequence \
lengths that differ and go up to T; indices within the table that they read; the value that the graph compares \
a number with. Dimensions without a size get sizes with which the model runs. A recorded stream has the keys \
in/<step>/<name> and out/<step>/<name>. If an input is always an output of the step before, it gets our own \
output of that step.

Exit codes: 0 all comparisons passed, and something was compared; 1 a comparison failed, or nothing could be \
compared.

Examples:
  rnnpack verify model.onnx
  rnnpack verify model.onnx --dim batch=3 --dim time=50 --seed 7
  rnnpack verify model.onnx --input x=x.npy --bound 1e-5
  rnnpack verify tagger.onnx --weights bf16 --decisions -1
  rnnpack verify tagger.int8.onnx --recorded tagger.npz --as-onnxruntime
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
    /// Largest difference that passes, relative to the largest magnitude of the output; the default is 1e-4, or more for a
    /// model that rounds
    #[arg(long, value_parser = parse_bound)]
    bound: Option<f64>,
    /// Compare decisions in place of differences: where the largest element along this axis stands; -1 is the last axis
    #[arg(long, value_name = "AXIS", allow_negative_numbers = true, conflicts_with = "bound")]
    decisions: Option<i64>,
    #[command(flatten)]
    layers: LayerOptions,
    #[command(flatten)]
    arithmetic: Arithmetic,
}

/// The bound on relative differences, if none is given.
const BOUND: f64 = 1e-4;

/// How far outputs in ONNX Runtime's arithmetic may be from its own: half of the distance of two integers of 8 bits,
/// relative to their range. It is an allowance: no bound of the outputs follows from the arithmetic.
///
/// What follows is this. The activation functions of both sides differ in the last places. So a number of h, or of the next
/// layer's x, that is nearly between two integers may become the other one. That changes a product of its row by the scale of
/// the row times the weight: so the argument of a gate by at most `sx * max|w|`, where `sx` is the range of the row / 255, and
/// the new h by at most 1.7 times that: 1/4 by o and by i, 0.12 by f, 1 by g. But the next step multiplies this change with
/// R, and later layers with their W. They can make it larger or turn further numbers, and how much depends on the weights, on
/// T and on how many numbers are between integers.
///
/// Half an integer is the largest error that the quantization itself makes in a number of one sign. The largest difference
/// that was found is 1.5e-3 (docs/onnx.md). A wrong gate, direction, scale or zero point changes more than 1e-2.
const HALF_AN_INTEGER: f64 = 0.5 / 255.0;

impl Args {
    /// The rule. Without a bound of the user, outputs of a model that rounds may be `rounding` off.
    fn rule(&self, rounding: f64) -> Rule {
        let bound = self.bound.unwrap_or(BOUND.max(rounding));
        self.decisions.map_or(Rule::Bound(bound), Rule::Decisions)
    }

    /// Whether the user said what passes.
    fn has_rule(&self) -> bool {
        self.bound.is_some() || self.decisions.is_some()
    }
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
    /// Why it does not count for the verdict, although it did not pass.
    excuse: Option<String>,
    /// Why its outputs may differ by more than a derived bound.
    allowance: Option<&'static str>,
}

/// Says what [`HALF_AN_INTEGER`] is.
const ALLOWANCE: &str = "half an integer of 8 bits is allowed for numbers that ONNX Runtime's activation functions round to \
                         the next integer; this is an allowance, not a derived bound (--bound)";

impl Comparison {
    fn new(with: &'static str, result: Result<Vec<Difference>, String>) -> Comparison {
        Comparison { with, result, excuse: None, allowance: None }
    }
}

pub(crate) fn verify(args: &Args, json: bool) -> Result<Outcome> {
    let model = args.model.display().to_string();
    let bytes = crate::model::read(&args.model)?;
    let recorded = args.recorded.as_deref().map(Recorded::read).transpose()?;
    let report = judge(args, model.clone(), &bytes, recorded.as_ref());
    let report = report.with_context(|| format!("cannot verify {model}"))?;
    emit(json, || report.json(), || report.text())?;
    Ok(if report.verdict() == Verdict::Pass { Outcome::Done } else { Outcome::Failed })
}

/// Our own run: the inputs, the loaded model and its outputs.
fn ours(args: &Args, bytes: &[u8], recorded: Option<&Recorded>) -> Result<(Feeds, Loaded, Vec<Tensors>)> {
    let computed = Computed { kernels: args.arithmetic.kernels(), ..Computed::ours(1, args.layers) };
    match recorded {
        Some(recorded) => {
            let feeds = Feeds::recorded(bytes, &args.given, recorded)?;
            let run = || -> Result<_> {
                let loaded = load(bytes, &feeds, computed)?;
                let outputs = loaded.run(&feeds, &recorded.carried())?;
                Ok((loaded, outputs))
            };
            let (loaded, outputs) = run().map_err(|e| advise(bytes, &feeds, e))?;
            Ok((feeds, loaded, outputs))
        }
        None => fit::generated(bytes, &args.given, &args.generated, computed),
    }
}

fn judge(args: &Args, model: String, bytes: &[u8], recorded: Option<&Recorded>) -> Result<Report> {
    let carried = recorded.map(Recorded::carried).unwrap_or_default();
    let bar = progress(3);
    bar.set_message("rnnpack");
    let (feeds, loaded, ours) = ours(args, bytes, recorded)?;
    let nodes = loaded.model.recurrent_nodes();
    let proto = rnnpack_onnx::decode(bytes)?;
    let step = coarsest_step(&proto);
    let quantized = args.arithmetic.as_onnxruntime && nodes.iter().any(|node| node.op.is_quantized());
    let mut comparisons = Vec::new();
    for (with, kernels, steps) in [("f64", Kernels::Reference64, 2.0), ("tract", Kernels::Tract, STEPS)] {
        bar.inc(1);
        bar.set_message(with);
        let run = || load(bytes, &feeds, Computed::by(kernels))?.run(&feeds, &carried);
        let result = match nodes {
            [] => Err("without a recurrent node both are tract".to_owned()),
            _ if quantized => Err("it does not quantize x and h as ONNX Runtime does".to_owned()),
            _ => run().map(|theirs| compare(&ours, &theirs, args.rule(steps * step))).map_err(|e| error(&e)),
        };
        comparisons.push(Comparison::new(with, result));
    }
    if let Some(recorded) = recorded {
        let rounding = if quantized { HALF_AN_INTEGER.max(STEPS * step) } else { STEPS * step };
        let result = Ok(compare(&ours, &recorded.outputs, args.rule(rounding)));
        let allowance = (quantized && !args.has_rule()).then_some(ALLOWANCE);
        comparisons.push(Comparison { allowance, ..Comparison::new("recorded", result) });
    }
    bar.finish_and_clear();
    let half = nodes.iter().find_map(|n| n.dtype.filter(|t| matches!(t, DType::F16 | DType::BF16)));
    excuse(&mut comparisons, half);
    let layers = nodes.len();
    let not_judged = if recorded.is_some() { Vec::new() } else { operators::others(&proto) };
    let Feeds { steps, generated, .. } = feeds;
    Ok(Report { model, steps: steps.len(), generated, carried, layers, not_judged, comparisons })
}
