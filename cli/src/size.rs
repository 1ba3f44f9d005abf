//! `rnnpack size`: what a layer costs at each hidden size and type of weights.

use crate::bench::layer_data::{LayerData, LayerShape};
use crate::bench::{LayerArgs, LayerSpec};
use crate::outcome::Outcome;
use crate::report::{self, Table, bytes, micros};
use crate::seconds::parse_seconds;
use crate::timing::{Side, Times, interleave};
use anyhow::{Context, Result, bail};
use rnnpack::{Layer, Planner, Sequence, Stream, WeightType};
use serde_json::{Value, json};

const AFTER_HELP: &str = "\
Answers which hidden size one can afford. For each hidden size it packs layers with random weights in f32, bf16 and \
int8 and times calls of T steps of B rows on one thread. `time` is the fastest call, and `packed` the bytes \
of the packed weights. With --every, `streams` is how many batch rows one core serves if each needs such a call \
every MS milliseconds: B times the whole number of calls that fit. It leaves no time for anything else.

The types of one hidden size take turns, so that they meet the same machine. What a layer costs in a program \
also depends on what else fills the caches between its calls.

Examples:
  rnnpack size --input 128
  rnnpack size --input 80 --time 1 --batch 1 --every 10
  rnnpack size --input 256 --time 50 --batch 16 --op gru --linear-before-reset
  rnnpack size --input 40 --hidden 128,160,192 --isa avx2 --json";

/// The hidden sizes of the table, if none are given.
const HIDDEN: &str = "32,64,96,128,192,256,384,512,768,1024";
/// The types of weights to compare. f16 has the bytes of bf16.
const TYPES: [WeightType; 3] = [WeightType::F32, WeightType::Bf16, WeightType::I8];

/// Show what a layer costs at each hidden size: time, bytes and streams per core, in f32, bf16 and int8
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Input size I
    #[arg(long, value_name = "I", value_parser = parse_extent)]
    input: usize,
    /// Steps T of a call
    #[arg(long, value_name = "T", default_value = "1", value_parser = parse_extent)]
    time: usize,
    /// Batch rows B of a call
    #[arg(long, value_name = "B", default_value = "1", value_parser = parse_extent)]
    batch: usize,
    /// Hidden sizes H
    #[arg(long, value_name = "H", value_delimiter = ',', default_value = HIDDEN, value_parser = parse_extent)]
    hidden: Vec<usize>,
    /// Count the streams that one core serves if each has a call every MS milliseconds
    #[arg(long, value_name = "MS", value_parser = parse_every)]
    every: Option<f64>,
    #[command(flatten)]
    layer: LayerArgs,
    /// How long to time all layers together, in seconds
    #[arg(long, value_name = "S", default_value_t = 5.0, value_parser = parse_seconds)]
    seconds: f64,
    /// Seed for the random weights and inputs
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

fn parse_extent(s: &str) -> Result<usize> {
    s.trim().parse().ok().filter(|&n| n > 0).context("give whole numbers of at least 1")
}

fn parse_every(s: &str) -> Result<f64> {
    match s.parse::<f64>() {
        Ok(ms) if ms > 0.0 && ms <= 1e9 => Ok(ms),
        _ => bail!("give a number of milliseconds above 0, at most 1e9"),
    }
}

/// What a layer costs.
struct Cost {
    weights: WeightType,
    packed: usize,
    times: Times,
    /// The batch rows that one core serves, with `--every`.
    streams: Option<u64>,
}

pub(crate) fn size(args: &Args, json: bool) -> Result<Outcome> {
    let planner = match &args.layer.isa {
        Some(name) => Planner::for_isa(name)?,
        None => Planner::from_env()?,
    };
    let spec = args.layer.spec()?;
    let bar = report::progress(1000);
    let mut rows = Vec::new();
    for (i, &hidden) in args.hidden.iter().enumerate() {
        let progress = |done, what| {
            report::show(&bar, (i as f64 + done) / args.hidden.len() as f64, what);
        };
        let costs = costs(args, &planner, spec, hidden, &progress);
        rows.push((hidden, costs.with_context(|| format!("cannot time H = {hidden}"))?));
    }
    bar.finish_and_clear();
    let about = |planner: &Planner| {
        json!({
            "isa": planner.widest().name(), "op": spec.cell.op(), "input": args.input, "time": args.time,
            "batch": args.batch, "every_ms": args.every,
            "sizes": rows.iter().map(|(hidden, costs)| row_json(*hidden, costs)).collect::<Value>(),
        })
    };
    report::emit(json, || about(&planner), || text(args, &planner, spec, &rows))?;
    Ok(Outcome::Done)
}

/// Times the layers of one hidden size.
fn costs(
    args: &Args,
    planner: &Planner,
    spec: LayerSpec,
    hidden: usize,
    progress: &dyn Fn(f64, &'static str),
) -> Result<Vec<Cost>> {
    let &Args { time, batch, input, .. } = args;
    let data = LayerData::random(LayerShape { time, batch, input, hidden }, spec, args.seed)?;
    let pack = |weights| -> Result<Layer> {
        let weights = data.weights()?.with_type(weights)?;
        Ok(Layer::with_plan(&weights, planner.plan(weights.cell(), weights.shape()))?)
    };
    let layers = TYPES.into_iter().map(pack).collect::<Result<Vec<Layer>>>()?;
    let side = |(weights, layer): (&WeightType, &Layer)| -> Result<Side<'_>> {
        let mut stream = Stream::new(layer.clone(), batch)?;
        let mut y = vec![0.0; data.y_len];
        let x = &data.x;
        Ok(Side::new(weights.name(), move || {
            stream.reset();
            Ok(stream.run(Sequence::dense(x, &mut y))?)
        }))
    };
    let mut sides = TYPES.iter().zip(&layers).map(side).collect::<Result<Vec<_>>>()?;
    interleave(&mut sides, None, args.seconds / args.hidden.len() as f64, progress)?;
    let cost = |((weights, layer), side): ((WeightType, &Layer), &Side<'_>)| {
        let times = side.times();
        // At least one call that takes no measurable time fits.
        let calls = args.every.map(|ms| (ms / 1e3 / times.min.max(1e-9)) as u64);
        let streams = calls.map(|calls| calls.saturating_mul(batch as u64));
        Cost { weights, packed: layer.packed_bytes(), times, streams }
    };
    Ok(TYPES.into_iter().zip(&layers).zip(&sides).map(cost).collect())
}

fn row_json(hidden: usize, costs: &[Cost]) -> Value {
    let cost = |cost: &Cost| {
        let mut json = cost.times.json(cost.weights.name());
        json["packed_bytes"] = json!(cost.packed);
        json["streams"] = json!(cost.streams);
        json
    };
    json!({ "hidden": hidden, "weights": costs.iter().map(cost).collect::<Value>() })
}

fn text(args: &Args, planner: &Planner, spec: LayerSpec, rows: &[(usize, Vec<Cost>)]) -> String {
    const HEADINGS: [&str; 10] = [
        "H",
        "f32 µs",
        "bf16 µs",
        "int8 µs",
        "f32 packed",
        "bf16 packed",
        "int8 packed",
        "f32 streams",
        "bf16 streams",
        "int8 streams",
    ];
    let columns = if args.every.is_some() { HEADINGS.len() } else { 1 + 2 * TYPES.len() };
    let mut table = Table::new(&HEADINGS[..columns], &[true; HEADINGS.len()]);
    for (hidden, costs) in rows {
        let mut cells = vec![hidden.to_string()];
        cells.extend(costs.iter().map(|cost| micros(cost.times.min)));
        cells.extend(costs.iter().map(|cost| bytes(cost.packed)));
        cells.extend(costs.iter().filter_map(|cost| cost.streams).map(|streams| streams.to_string()));
        table.row(cells);
    }
    let (op, isa) = (spec.cell.op(), planner.widest().name());
    let &Args { time, batch, input, .. } = args;
    let every = args.every.map(|ms| format!(", one call every {ms} ms for each stream"));
    let every = every.unwrap_or_default();
    format!("{op}, T = {time}, B = {batch}, I = {input}, one thread, {isa}{every}\n\n{}", table.render())
}
