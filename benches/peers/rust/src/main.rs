//! Times recurrent layers on rnnpack and on the Rust runtimes that compute them: tract, rten and candle.
//!
//! All have the same weights and input, and their results are compared before anything is timed. They take turns call
//! by call, with the method of `rnnpack bench`.

mod layer;
mod sides;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use layer::{Layer, Op, Sizes, largest_difference};
use rnnpack_cli::limits::Limits;
use rnnpack_cli::median::median;
use rnnpack_cli::report::{self, Table, micros};
use rnnpack_cli::timing::{Side, Times, interleave};
use std::process::Command;

/// The shapes that the limits and the peers of other runtimes use.
const SHAPES: [[usize; 4]; 16] = [
    [100, 1, 64, 64],
    [100, 1, 128, 128],
    [100, 1, 256, 256],
    [100, 1, 512, 512],
    [50, 1, 1024, 1024],
    [1, 1, 128, 128],
    [1, 1, 256, 256],
    [1, 1, 512, 512],
    [50, 4, 256, 256],
    [50, 16, 256, 256],
    [50, 64, 256, 256],
    [25, 16, 1024, 1024],
    [25, 128, 256, 256],
    [50, 32, 256, 256],
    [200, 8, 40, 32],
    [300, 1, 20, 20],
];

/// The largest allowed difference from rnnpack's result, and of rnnpack's from the f64 reference, for outputs in ±1.
/// As in `rnnpack bench`, differences of about 1e-6 from activations and sums pass, and a wrong gate or state does
/// not.
const BOUND: f64 = 1e-4;

/// Time LSTM and GRU layers on rnnpack, tract, rten and candle
///
/// `ratio` is a side's fastest call over rnnpack's. `peak` is a side's share of the multiply-add peak of its threads,
/// and `limit`, at batch 1, of the time that R's bytes and the input's projection take at least on one thread.
#[derive(Parser)]
struct Args {
    /// The operator, LSTM and GRU without it; a GRU has linear_before_reset 1
    #[arg(long)]
    op: Option<Op>,
    /// Steps, batch rows, input size and hidden size; may be repeated
    #[arg(long = "shape", value_name = "T,B,I,H", value_parser = parse_shape)]
    shapes: Vec<Sizes>,
    /// How many threads each runtime may use
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2], value_name = "N,…",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Vec<u16>,
    /// How long to time one shape, all sides together
    #[arg(long, value_name = "S", default_value_t = 4.0)]
    seconds: f64,
    /// Print comma-separated values
    #[arg(long)]
    csv: bool,
    /// Measure with this number of threads, in this process
    #[arg(long, hide = true)]
    measure: Option<u16>,
}

fn parse_shape(s: &str) -> Result<Sizes> {
    let extents: Option<Vec<usize>> =
        s.split(',').map(|s| s.trim().parse().ok().filter(|&n: &usize| n > 0)).collect();
    match extents.as_deref() {
        Some(&[time, batch, input, hidden]) => Ok(Sizes { time, batch, input, hidden }),
        _ => bail!("give four whole numbers of at least 1, such as 100,1,256,256 for T=100, B=1, I=H=256"),
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.seconds > 0.0, "give a number of seconds above 0");
    match args.measure {
        Some(threads) => measure(&args, threads.into()),
        None => {
            if args.csv {
                println!(
                    "op,T,B,I,H,threads,side,calls,min_us,median_us,ratio,peak_share,limit_share,difference,left_out"
                );
            }
            args.threads.iter().try_for_each(|&threads| spawn(threads))
        }
    }
}

/// Measures in a separate process, since candle and rayon read their number of threads when they start.
fn spawn(threads: u16) -> Result<()> {
    let threads = threads.to_string();
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).args(["--measure", &threads]);
    for variable in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS", "RTEN_NUM_THREADS"] {
        command.env(variable, &threads);
    }
    ensure!(command.status()?.success(), "the measurement with {threads} threads failed");
    Ok(())
}

fn measure(args: &Args, threads: usize) -> Result<()> {
    let all = SHAPES.map(|[time, batch, input, hidden]| Sizes { time, batch, input, hidden });
    let shapes = if args.shapes.is_empty() { &all[..] } else { &args.shapes };
    let ops = args.op.map_or(vec![Op::Lstm, Op::Gru], |op| vec![op]);
    for op in ops {
        for &sizes in shapes {
            let layer = Layer::random(op, sizes);
            let report = compete(&layer, threads, args.seconds)?;
            print!("{}", if args.csv { report.csv() } else { report.text() });
        }
    }
    Ok(())
}

/// The result of one side.
struct Row {
    name: &'static str,
    /// The largest difference from rnnpack's result (for rnnpack: from the reference), or the reason why the side is
    /// left out.
    verdict: Result<f64, String>,
    times: Option<Times>,
}

struct Report<'a> {
    layer: &'a Layer,
    threads: usize,
    limits: Limits,
    rows: Vec<Row>,
}

/// Compares the sides' results, then times those that agree.
fn compete(layer: &Layer, threads: usize, seconds: f64) -> Result<Report<'_>> {
    let (mut sides, mut rows) = (Vec::new(), Vec::new());
    let mut ours: Option<Vec<f32>> = None;
    for (name, new) in sides::SIDES {
        let checked = new(layer, threads).and_then(|mut side| {
            side.call()?;
            let y = side.output()?;
            let difference = match &ours {
                Some(ours) => largest_difference(ours, &y)?,
                None => layer.error(&y)?,
            };
            ensure!(difference <= BOUND, "it disagrees by {difference:.1e}");
            Ok((side, y, difference))
        });
        let verdict = match checked {
            Ok((side, y, difference)) => {
                ours.get_or_insert(y);
                sides.push((name, side));
                Ok(difference)
            }
            Err(e) if ours.is_none() => return Err(e.context("rnnpack against the f64 reference")),
            Err(e) => Err(report::error(&e)),
        };
        rows.push(Row { name, verdict, times: None });
    }
    let weights = layer.weights()?;
    let plan = *rnnpack::Layer::new(&weights)?.plan();
    let mut limits = Limits::new(
        plan.variant,
        plan.recurrent_bytes(weights.cell(), layer.sizes.hidden, weights.weight_type()),
    );
    let mut timed: Vec<Side<'_>> =
        sides.iter_mut().map(|(name, side)| Side::new(name, || side.call())).collect();
    interleave(&mut timed, Some(&mut limits), seconds, &|_, _| ())?;
    for side in &timed {
        let row = rows.iter_mut().find(|row| row.name == side.name).context("a side without a row")?;
        row.times = Some(side.times());
    }
    drop(timed);
    Ok(Report { layer, threads, limits, rows })
}

impl Report<'_> {
    /// The shares of the peak and of the batch-1 limit. They are medians over the rounds, each with the limits of its
    /// round.
    fn shares(&self, times: &Times) -> [f64; 2] {
        let rounds = || self.limits.peaks.iter().zip(&self.limits.bandwidths).zip(&times.rounds);
        let flops = self.layer.flops() / self.threads as f64;
        let peak = rounds().map(|((peak, _), t)| flops / t / peak).collect();
        let limit = rounds().map(|((&peak, &read), t)| self.layer.limit(peak, read) / t).collect();
        [median(peak), median(limit)]
    }

    /// Whether the batch-1 limit applies: it is a limit of one thread.
    fn is_limited(&self) -> bool {
        self.layer.sizes.batch == 1 && self.threads == 1
    }

    fn ratio(&self, times: &Times) -> f64 {
        self.rows[0].times.as_ref().map_or(f64::NAN, |ours| times.min / ours.min)
    }

    fn text(&self) -> String {
        let Sizes { time, batch, input, hidden } = self.layer.sizes;
        let op = self.layer.op.cell().op();
        let mut out = format!("{op} T={time} B={batch} I={input} H={hidden}, threads: {}\n", self.threads);
        let headings = ["side", "calls", "min µs", "median µs", "ratio", "peak", "limit", "difference"];
        let mut table = Table::new(&headings, &[false, true, true, true, true, true, true, true]);
        for row in &self.rows {
            let (Ok(difference), Some(times)) = (&row.verdict, &row.times) else { continue };
            let [peak, limit] = self.shares(times).map(|share| format!("{:.1}%", 100.0 * share));
            let limit = if self.is_limited() { limit } else { String::new() };
            let [min, median] = [times.min, times.median].map(micros);
            let (ratio, difference) = (format!("{:.2}", self.ratio(times)), report::difference(*difference));
            let calls = times.calls.to_string();
            table.row(vec![row.name.to_string(), calls, min, median, ratio, peak, limit, difference]);
        }
        out += &table.render();
        for row in &self.rows {
            if let Err(reason) = &row.verdict {
                out += &format!("{} is left out: {reason}\n", row.name);
            }
        }
        let [peak, read] = self.limits.medians();
        out + &format!("one thread: {:.1} GFLOP/s, {:.1} GB/s reading R\n\n", peak / 1e9, read / 1e9)
    }

    fn csv(&self) -> String {
        let Sizes { time, batch, input, hidden } = self.layer.sizes;
        let op = self.layer.op.cell().op();
        let mut out = String::new();
        for row in &self.rows {
            let start = format!("{op},{time},{batch},{input},{hidden},{},{}", self.threads, row.name);
            out += &match (&row.verdict, &row.times) {
                (Ok(difference), Some(times)) => {
                    let [peak, limit] = self.shares(times);
                    let limit = if self.is_limited() { format!("{limit:.4}") } else { String::new() };
                    let Times { calls, min, median, .. } = times;
                    let [min, median] = [min, median].map(|seconds| seconds * 1e6);
                    let ratio = self.ratio(times);
                    format!(
                        "{start},{calls},{min:.3},{median:.3},{ratio:.4},{peak:.4},{limit},{difference:.1e},\n"
                    )
                }
                (Err(reason), _) => format!("{start},,,,,,,,\"{}\"\n", reason.replace('"', "'")),
                (Ok(_), None) => format!("{start},,,,,,,,\"not timed\"\n"),
            };
        }
        out
    }
}
