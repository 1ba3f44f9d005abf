//! A program under test in `compare`: prepares one case, then times it turn by turn as its parent asks.
//!
//! It answers every line of standard input by one of standard output: `turn` by the calls of the turn and the
//! nanoseconds of its fastest and its median call. It starts with `ready`, and ends with its input.

use super::suite::Case;
use crate::timing::{Side, Times};
use anyhow::{Result, bail};
use std::hint::black_box;
use std::io::{BufRead, Write, stdin, stdout};

/// Time one case, turn by turn (what `compare` starts)
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The case's name
    pub case: String,
    /// Call it this often instead, inside a function that an instruction counter can look for
    #[arg(long)]
    calls: Option<u32>,
}

/// Times the case; a call takes `factor` times as long as it does.
///
/// # Errors
/// Where there is no such case, or a call fails.
pub fn work(args: &Args, factor: f64) -> Result<()> {
    let case = Case::by_name(&args.case)?;
    let mut prepared = case.prepare()?;
    match args.calls {
        Some(calls) => counted_calls(&mut *prepared.call, calls),
        None => answer(prepared.call, factor),
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

fn answer(mut call: Box<dyn FnMut() -> Result<()>>, factor: f64) -> Result<()> {
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
