//! `rnnpack quantize`: writes a model whose recurrent layers have narrower weights, and what that costs in accuracy.

mod choice;
mod drift;
mod errors;
mod report;
mod written;

use crate::inputs::{GeneratedArgs, GivenArgs, Recorded};
use crate::outcome::Outcome;
use anyhow::{Context, Result, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use rnnpack::WeightType;
use rnnpack_onnx::File;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Writes MODEL with the weights W and R of its LSTM, GRU and RNN nodes in the type of --weights. Everything else of \
the file stays as it is. So do nodes whose weights are narrow already and would have no fewer bytes: those of f16 do \
not become bf16, nor those of int8 either, but those of 16 bits become int8.

  bf16, f16   rounded weights behind a Cast to f32; every runtime computes with them in f32
  int8, LSTM  the node becomes com.microsoft.DynamicQuantizeLSTM, which ONNX Runtime runs too
  int8, GRU and RNN  integers behind DequantizeLinear, which every runtime computes in f32; with --weights int8, \
run and verify keep the integers and quantize x and h

int8 has one scale for each row of a gate. Weights of W and R that are integers of 8 bits times a scale of \
their row stay exactly as they are, in all nodes where both are; else both are rounded. A layer that cannot \
have the type stays as it is, and the reason is shown; if none can, nothing is written. What a file cannot \
say, rnnpack pack --weights still packs for a program of its own.

The report lists for each layer the bytes of W and R in the file; how many weights were `rounded`; the \
arithmetic in which run and verify compute the layer of the written file if no --weights is given, and in \
which all errors here are measured; `alone`: the largest relative error of the model's outputs if only this \
layer is narrow; and the error of the layer's own Y over 10000 steps of generated input, with the state \
carried: the largest, the RMS, and the RMS of the first and the last 1000 steps, which shows a drift. These \
errors and those of the outputs are against the same model with its own weights. The relative error is the \
largest difference divided by the largest magnitude. The outputs are those for the given inputs or for all \
calls of the recorded stream; inputs that are not given are generated as for verify.

With --budget, the written model's outputs have at most this relative error for these inputs: the layers with the \
largest error alone become bf16 (f16 in a file whose operator set has no bf16), then f32, until it is so. A layer whose \
weights are narrower than f32 in the file becomes that again.

Examples:
  rnnpack quantize model.onnx --weights int8 --output small.onnx
  rnnpack quantize model.onnx --weights int8 --budget 0.02 --input x=x.npy --output small.onnx
  rnnpack quantize vad.onnx --weights int8 --recorded stream.npz --output small.onnx
  rnnpack quantize model.onnx --weights bf16 --output small.onnx --json";

/// Write a model with narrower recurrent weights, and report bytes and errors
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The ONNX model
    model: PathBuf,
    /// Type of the weights W and R
    #[arg(long, value_name = "TYPE", value_parser = narrow_types())]
    weights: WeightType,
    /// File for the new model
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Keep layers wider until the relative error of every output is at most E
    #[arg(long, value_name = "E", value_parser = parse_budget)]
    budget: Option<f64>,
    /// Take the inputs of a recorded stream, as verify does
    #[arg(long, value_name = "FILE.npz")]
    recorded: Option<PathBuf>,
    #[command(flatten)]
    given: GivenArgs,
    #[command(flatten)]
    generated: GeneratedArgs,
}

/// The types that a file can have.
const TYPES: [WeightType; 3] = [WeightType::Bf16, WeightType::F16, WeightType::I8];

/// The parser for the names of [`TYPES`].
fn narrow_types() -> impl TypedValueParser<Value = WeightType> {
    PossibleValuesParser::new(TYPES.map(WeightType::name))
        .try_map(|name| WeightType::by_name(&name).ok_or("no such type"))
}

fn parse_budget(s: &str) -> Result<f64> {
    match s.parse::<f64>() {
        Ok(x) if x >= 0.0 && x.is_finite() => Ok(x),
        _ => bail!("give a number of at least 0, such as 0.01"),
    }
}

pub(crate) fn quantize(args: &Args, json: bool) -> Result<Outcome> {
    let name = args.model.display().to_string();
    let bytes = crate::model::read(&args.model)?;
    let write = || -> Result<report::Report> {
        let file = File::parse(&bytes)?;
        // One thread with a stack that tract's analysis needs.
        crate::model::with_threads(1, || convert(args, &bytes, &file))?
    };
    let report = write().with_context(|| format!("cannot quantize {name}"))?;
    crate::output::write(&args.output, &report.model)?;
    let output = args.output.display().to_string();
    crate::report::emit(json, || report.json(&name, &output), || report.text(&name, &output))?;
    Ok(Outcome::Done)
}

/// Chooses the types, rewrites the model and measures its errors.
fn convert(args: &Args, bytes: &[u8], file: &File) -> Result<report::Report> {
    let mut layers = choice::possible(bytes, file, args.weights)?;
    let judge = match &args.recorded {
        Some(path) => errors::Judge::recorded(bytes, &args.given, &Recorded::read(path)?)?,
        None => errors::Judge::new(bytes, &args.given, &args.generated)?,
    };
    choice::measure_alone(bytes, &mut layers, &judge)?;
    let outputs = choice::within(bytes, &mut layers, &judge, args.budget)?;
    let model = choice::model(bytes, &layers)?;
    let written = File::parse(&model)?;
    let layers = layers.into_iter().zip(written.nodes()).map(|(layer, node)| {
        let written = written::Written::new(&layer, node, args.generated.seed)?;
        Ok((layer, written))
    });
    let layers = layers.collect::<Result<_>>()?;
    Ok(report::Report { before: bytes.len(), model, layers, outputs })
}
