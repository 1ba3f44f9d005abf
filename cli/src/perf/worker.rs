//! A program under test in `compare`: prepares one case, then times it turn by turn as its parent asks.
//!
//! It answers every line of standard input by one of standard output: `turn` by the calls of the turn and the nanoseconds
//! of its fastest and its median call. It starts with `ready`, and ends with its input.

use super::suite::Case;
use crate::bench::timing::{Side, Times};
use anyhow::{Context, Result, bail};
use std::hint::black_box;
use std::io::{BufRead, Write, stdin, stdout};

/// Time one case, turn by turn (what `compare` and `counts` start)
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The case's name
    case: String,
    /// Call it this often instead, inside a function that an instruction counter can look for
    #[arg(long)]
    calls: Option<u32>,
}

pub(crate) fn work(args: &Args) -> Result<()> {
    let case = Case::by_name(&args.case)?;
    let mut prepared = case.prepare()?;
    match args.calls {
        Some(calls) => counted_calls(&mut *prepared.call, calls),
        None => answer(case, prepared.call),
    }
}

/// The calls whose instructions are counted, by this name.
#[inline(never)]
fn counted_calls(call: &mut dyn FnMut() -> Result<()>, calls: u32) -> Result<()> {
    for _ in 0..calls {
        call()?;
    }
    // Not a tail call: the counter stops where this function returns.
    black_box(calls);
    Ok(())
}

/// What RNNPACK_PLANTED_SLOWDOWN was when this program was compiled: a case's name and how many per cent slower it is to
/// be. It is how `compare` is tested against a slow-down of known size.
const PLANTED: Option<&str> = option_env!("RNNPACK_PLANTED_SLOWDOWN");

/// The factor that the planted slow-down puts on the time of `case`.
fn planted(case: Case) -> Result<f64> {
    let Some(planted) = PLANTED else { return Ok(1.0) };
    let (name, percent) =
        planted.rsplit_once('=').context("RNNPACK_PLANTED_SLOWDOWN was not CASE=PERCENT")?;
    let percent: f64 = percent.parse().context("RNNPACK_PLANTED_SLOWDOWN was not CASE=PERCENT")?;
    Case::by_name(name)?;
    Ok(if case.name() == name { 1.0 + percent / 100.0 } else { 1.0 })
}

fn answer(case: Case, mut call: Box<dyn FnMut() -> Result<()>>) -> Result<()> {
    let factor = planted(case)?;
    let call = move || {
        let start = std::time::Instant::now();
        call()?;
        let end = start.elapsed().mul_f64(factor);
        while factor > 1.0 && start.elapsed() < end {}
        Ok(())
    };
    let mut out = stdout().lock();
    writeln!(out, "ready")?;
    out.flush()?;
    let mut call = call;
    for line in stdin().lock().lines() {
        match line?.as_str() {
            "turn" => {
                let mut side = Side::new("", &mut call);
                side.turn()?;
                let Times { calls, min, median, .. } = side.times();
                writeln!(out, "{calls} {} {}", min * 1e9, median * 1e9)?;
                out.flush()?;
            }
            other => bail!("{other:?} is nothing to ask a worker for"),
        }
    }
    Ok(())
}
