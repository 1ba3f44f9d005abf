//! Two workers that take turns on one case.

use super::program::Program;
use super::stats::{Launch, Turn};
use super::suite::Case;
use crate::tensors::Random;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The number of turns of each program at the start of a launch that are not counted.
const WARM: usize = 1;

/// A running worker.
struct Worker {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    fn start(program: &Program, case: Case) -> Result<Worker> {
        let mut command = Command::new(&program.path);
        command.args(["perf", "worker", &case.name()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Only the parent handles Ctrl-C. It ends its workers itself.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", program.path.display()))?;
        let (Some(asks), Some(out)) = (child.stdin.take(), child.stdout.take()) else { bail!("no pipes") };
        let mut worker = Worker { child, asks, answers: BufReader::new(out) };
        match worker.answer()?.as_str() {
            "ready" => Ok(worker),
            _ => bail!("its worker does not speak to this program"),
        }
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            let status = self.child.wait()?;
            bail!("its worker ended early, with {status}");
        }
        Ok(line.trim().to_owned())
    }

    fn turn(&mut self) -> Result<Turn> {
        self.asks.write_all(b"turn\n").and_then(|()| self.asks.flush()).context("its worker ended early")?;
        let answer = self.answer()?;
        let numbers: Vec<f64> = answer.split(' ').filter_map(|n| n.parse().ok()).collect();
        match numbers[..] {
            [_, min, median] if min > 0.0 && median >= min => Ok(Turn { min, median }),
            _ => bail!("its worker answered {answer:?}"),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The workers of the base and of the new program, and the names of the programs.
pub(crate) struct Pair([Worker; 2], [String; 2]);

impl Pair {
    /// Starts both, in random order.
    pub(crate) fn start([base, new]: [&Program; 2], case: Case, random: &mut Random) -> Result<Pair> {
        let start = |program: &Program| Worker::start(program, case).with_context(|| program.name.clone());
        let workers = if random.below(2) == 0 {
            let base = start(base)?;
            [base, start(new)?]
        } else {
            let new = start(new)?;
            [start(base)?, new]
        };
        Ok(Pair(workers, [base.name.clone(), new.name.clone()]))
    }

    /// Runs pairs of turns. The order within each pair is random.
    pub(crate) fn launch(&mut self, turns: u16, random: &mut Random) -> Result<Launch> {
        let mut launch = Launch::new();
        for turn in 0..WARM + usize::from(turns) {
            let first = random.below(2);
            let one = self.turn(first)?;
            let other = self.turn(1 - first)?;
            if turn >= WARM {
                launch.push(if first == 0 { [one, other] } else { [other, one] });
            }
        }
        Ok(launch)
    }

    fn turn(&mut self, side: usize) -> Result<Turn> {
        self.0[side].turn().with_context(|| self.1[side].clone())
    }
}
