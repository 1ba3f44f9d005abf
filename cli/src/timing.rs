//! Times sides that take turns, and computes the statistics of their calls.

use crate::limits::Limits;
use crate::median::median;
use anyhow::Result;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The length of a turn, in which a side times as many calls as fit, and at least one.
const TURN: Duration = Duration::from_millis(1);
/// The least number of turns of every side, however long they take.
const MIN_TURNS: usize = 3;

/// Something to time.
pub struct Side<'a> {
    /// Its name.
    pub name: &'static str,
    call: Box<dyn FnMut() -> Result<()> + 'a>,
    /// The seconds of every timed call.
    samples: Vec<f64>,
    /// The seconds of the median call of each round.
    rounds: Vec<f64>,
}

/// The timed calls of a side.
#[derive(Clone, Debug)]
pub struct Times {
    /// How many calls were timed.
    pub calls: usize,
    /// The seconds of the fastest call.
    pub min: f64,
    /// The seconds of the median call.
    pub median: f64,
    /// The seconds of the median call of each round.
    pub rounds: Vec<f64>,
}

impl std::fmt::Debug for Side<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Side")
            .field("name", &self.name)
            .field("calls", &self.samples.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Side<'a> {
    /// A side that times this call.
    pub fn new(name: &'static str, call: impl FnMut() -> Result<()> + 'a) -> Side<'a> {
        Side { name, call: Box::new(call), samples: Vec::new(), rounds: Vec::new() }
    }

    /// Makes one call that is not timed, then times calls for about a millisecond.
    ///
    /// # Errors
    /// The error of the call.
    pub fn turn(&mut self) -> Result<()> {
        (self.call)()?;
        let (start, first) = (Instant::now(), self.samples.len());
        loop {
            let before = Instant::now();
            (self.call)()?;
            self.samples.push(before.elapsed().as_secs_f64());
            if start.elapsed() >= TURN {
                self.rounds.push(median(self.samples[first..].to_vec()));
                return Ok(());
            }
        }
    }

    /// The times of its calls.
    pub fn times(&self) -> Times {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let min = sorted.first().copied().unwrap_or(f64::NAN);
        let rounds = self.rounds.clone();
        Times { calls: sorted.len(), min, median: median(sorted), rounds }
    }
}

impl Times {
    /// The name, the number of calls, and the fastest and the median call in microseconds.
    pub fn json(&self, name: &str) -> Value {
        json!({ "name": name, "calls": self.calls, "min_us": self.min * 1e6, "median_us": self.median * 1e6 })
    }
}

/// Lets the sides take turns for `seconds`. If `limits` are given, they are probed before each round. Calls `progress`
/// with the share that is done and the name of the side.
///
/// # Errors
/// The error of a side's call.
pub fn interleave(
    sides: &mut [Side<'_>],
    mut limits: Option<&mut Limits>,
    seconds: f64,
    progress: &dyn Fn(f64, &'static str),
) -> Result<()> {
    let start = Instant::now();
    for turn in 0.. {
        let done = start.elapsed().as_secs_f64() / seconds;
        if turn >= MIN_TURNS && done >= 1.0 {
            break;
        }
        if let Some(limits) = limits.as_deref_mut() {
            limits.probe();
        }
        for side in &mut *sides {
            progress(done.min(1.0), side.name);
            side.turn()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_the_fastest_and_the_median_call() {
        let mut side = Side::new("side", || Ok(()));
        side.samples = vec![3.0, 1.0, 2.0, 9.0, 4.0];
        let times = side.times();
        assert_eq!((times.calls, times.min, times.median), (5, 1.0, 3.0));
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn every_side_gets_its_turns_and_an_error_ends_the_run() {
        let mut calls = 0;
        let mut sides = [
            Side::new("a", || Ok(())),
            Side::new("b", || {
                calls += 1;
                Ok(())
            }),
        ];
        interleave(&mut sides, None, 1e-9, &|_, _| ()).unwrap();
        assert!(sides.iter().all(|s| s.samples.len() >= MIN_TURNS));
        drop(sides);
        assert!(calls >= 2 * MIN_TURNS);
        let mut sides = [Side::new("bad", || anyhow::bail!("no"))];
        assert_eq!(interleave(&mut sides, None, 1e-9, &|_, _| ()).unwrap_err().to_string(), "no");
    }
}
