//! The worker of `compare`: prepares one case, then times it turn by turn when its parent asks.
//!
//! At the start it writes `ready` to standard output. It answers each line of standard input with one line of standard
//! output. For `turn` it answers the number of calls in the turn, then the nanoseconds of its fastest and of its median
//! call. It ends when its input ends.

use super::suite::Case;
use crate::timing::{Side, Times};
use anyhow::{Result, bail};
use std::hint::black_box;
use std::io::{BufRead, Write, stdin, stdout};

/// Time one case, turn by turn (`compare` starts this)
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The name of the case
    pub case: String,
    /// Do not time, but call it this many times, inside a function that an instruction counter can find
    #[arg(long)]
    calls: Option<u32>,
}

/// Times the case. Each call is slowed down to `factor` times its time.
///
/// # Errors
/// If there is no such case, or a call fails.
pub fn work(args: &Args, factor: f64) -> Result<()> {
    let case = Case::by_name(&args.case)?;
    let mut prepared = case.prepare()?;
    match args.calls {
        Some(calls) => counted_calls(&mut *prepared.call, calls),
        None => answer(prepared.call, factor),
    }
}

/// Makes the calls whose instructions are counted. The counter finds this function by its name.
#[inline(never)]
fn counted_calls(call: &mut dyn FnMut() -> Result<()>, calls: u32) -> Result<()> {
    for _ in 0..calls {
        call()?;
    }
    // Prevents a tail call: the counter stops when this function returns.
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
            other => bail!("a worker does not know the request {other:?}"),
        }
    }
    Ok(())
}
