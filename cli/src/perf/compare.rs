//! `rnnpack perf compare`: measures two programs in turns and compares them.

use super::pair::Pair;
use super::places::Places;
use super::program::{self, Program};
use super::samples::Samples;
use super::stats::{self, Comparison, Ratio, Verdict};
use super::suite::{self, Case};
use super::{console, machine};
use crate::outcome::Outcome;
use crate::report::{self, Table};
use crate::tensors::Random;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The probability that one run calls equal programs slower or faster, for all cases together.
const ALPHA: f64 = 0.05;

/// If equal programs differ by more than this, the machine is too noisy for small differences.
const NOISY: f64 = 0.03;

const AFTER_HELP: &str = "\
BASE and NEW are paths of programs. Without NEW, the running program is compared with BASE.

For each case both programs start, take turns of about a millisecond in random order, and end: that is a \
launch. The launches of all cases are shuffled, so a drift of the machine affects all cases alike. A ratio \
is new divided by base. There are two: of the fastest calls, and of the median calls of paired turns. Each \
has an interval from a bootstrap over launches, at a joint error of 5% for all cases. A case is slower (or \
faster) if both intervals say so and both ratios differ from 1 by at least 1%. All other cases are unknown.

Cases that only one of the programs has are left out. If the command is interrupted, it keeps its \
measurements, and the same command continues there.

Exit codes: 0 no case is slower, 1 a case is slower, 2 it could not be done.

Examples:
  rnnpack perf compare old/rnnpack
  rnnpack perf compare old/rnnpack new/rnnpack --case batch/
  rnnpack perf compare old/rnnpack new/rnnpack --json";

/// Measure two programs against each other
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The program to compare with
    base: String,
    /// The program to judge; the default is this program
    new: Option<String>,
    /// Measure only cases with this text in their name; may be repeated
    #[arg(long, value_name = "TEXT")]
    case: Vec<String>,
    /// Launches of each case, at least 3
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(3..=1000))]
    launches: u16,
    /// Pairs of turns in each launch, at least 2
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=1000))]
    turns: u16,
    /// Folder for unfinished measurements; the default is the current folder
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl Args {
    /// The folder for unfinished measurements.
    pub fn folder(&self, places: &Places) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| places.samples.into())
    }
}

/// Compares two programs. `find` turns the user's name of a program into the program.
///
/// # Errors
/// If a program cannot be found, started or measured, or the user pressed Ctrl-C.
pub fn compare(
    args: &Args,
    places: &Places,
    find: &dyn Fn(&str) -> Result<Program>,
    json: bool,
) -> Result<Outcome> {
    let cases = suite::selected(&args.case)?;
    let base = find(&args.base)?;
    let new = match &args.new {
        Some(new) => find(new)?,
        None => Program::this()?,
    };
    let cases = suite::present(cases)?;
    let cases = common(cases, [&base, &new])?;
    console::warn_if_busy();
    machine::catch_interrupts()?;
    let ids = [base.id()?, new.id()?];
    // Measurements with other settings belong to another comparison.
    let key = program::id_of(&(&ids, args.turns, machine::isa()?, machine::cpu()));
    let mut samples = Samples::open(&args.folder(places).join(format!("rnnpack-samples-{key}.jsonl")))?;
    let complete = measure(args, [&base, &new], &cases, &mut samples)?;
    if ids != [base.id()?, new.id()?] {
        bail!("a program changed while it was measured: run the command again");
    }
    let report = Report::new(&cases, &samples, [&base, &new], complete);
    report::emit(json, || report.json(), || report.text())?;
    if complete {
        samples.finish(&cases)?;
    }
    let slower = report.of(Verdict::Slower) > 0;
    match (complete, slower) {
        (_, true) => Ok(Outcome::Failed),
        (true, false) => Ok(Outcome::Done),
        (false, false) => bail!("interrupted: run the same command again to continue"),
    }
}

/// The cases that both programs have. A warning names the others.
fn common(cases: Vec<Case>, [base, new]: [&Program; 2]) -> Result<Vec<Case>> {
    let (of_base, of_new) = (base.cases()?, new.cases()?);
    let both = |case: &Case| of_base.contains(&case.name()) && of_new.contains(&case.name());
    let (common, left_out): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(both);
    for case in left_out {
        eprintln!("warning: {} is left out: {} and {} do not both have it", case.name(), base.name, new.name);
    }
    if common.is_empty() {
        bail!("{} and {} have no case in common", base.name, new.name);
    }
    Ok(common)
}

/// Measures the missing launches. Returns false if it was interrupted.
fn measure(args: &Args, programs: [&Program; 2], cases: &[Case], samples: &mut Samples) -> Result<bool> {
    let mut todo: Vec<Case> = Vec::new();
    for case in cases {
        let have = samples.of(*case).len();
        todo.extend(std::iter::repeat_n(*case, usize::from(args.launches).saturating_sub(have)));
    }
    let mut random = Random::new(machine::seed());
    random.shuffle(&mut todo);
    let bar = console::progress(todo.len() as u64);
    for case in todo {
        if machine::interrupted() {
            bar.finish_and_clear();
            return Ok(false);
        }
        bar.set_message(case.name());
        let pair = Pair::start(programs, case, &mut random);
        let launch = pair.and_then(|mut pair| pair.launch(args.turns, &mut random));
        samples.add(case, launch.with_context(|| format!("cannot measure {}", case.name()))?)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(true)
}

/// The results of the measurements.
struct Report<'a> {
    programs: [&'a Program; 2],
    complete: bool,
    /// The comparison of each case. `None` if there are too few launches.
    cases: Vec<(Case, Option<Comparison>)>,
    /// The case with the largest spread of the base against itself, and that spread.
    spread: Option<(String, f64)>,
}

impl<'a> Report<'a> {
    fn new(cases: &[Case], samples: &Samples, programs: [&'a Program; 2], complete: bool) -> Report<'a> {
        let compared = |&case: &Case| (case, Comparison::new(samples.of(case), ALPHA, cases.len()));
        let spread = |&case: &Case| Some((case.name(), stats::own_spread(samples.of(case), ALPHA)?));
        let spread = cases.iter().filter_map(spread).max_by(|a, b| a.1.total_cmp(&b.1));
        Report { programs, complete, cases: cases.iter().map(compared).collect(), spread }
    }

    fn of(&self, verdict: Verdict) -> usize {
        self.cases.iter().filter(|(_, c)| c.as_ref().is_some_and(|c| c.verdict() == verdict)).count()
    }

    fn is_noisy(&self) -> bool {
        self.spread.as_ref().is_some_and(|&(_, spread)| spread > NOISY)
    }

    fn text(&self) -> String {
        let ratio = |r: Ratio| format!("{:.3} [{:.3}, {:.3}]", r.ratio, r.low, r.high);
        let mut table = Table::new(&["case", "fastest", "median", ""], &[false; 4]);
        for (case, comparison) in &self.cases {
            let [min, median, verdict] = match comparison {
                Some(c) => [ratio(c.min), ratio(c.median), word(c.verdict()).to_owned()],
                None => [String::new(), String::new(), "unknown (too few launches)".to_owned()],
            };
            table.row(vec![case.name(), min, median, verdict]);
        }
        let [base, new] = self.programs.map(|program| &program.name);
        let mut out = format!("{new} over {base}, with intervals at a joint error of 5%\n{}", table.render());
        let [slower, faster] = [Verdict::Slower, Verdict::Faster].map(|v| report::count(self.of(v), "case"));
        out += &format!("\n{slower} slower, {faster} faster\n");
        if let Some((case, spread)) = &self.spread {
            out += &format!("the base against itself: ±{:.1}% at most ({case})\n", 100.0 * spread);
        }
        if self.is_noisy() {
            out += "warning: the machine is noisy, and only large differences show; stop what else runs, or add --launches\n";
        }
        if !self.complete {
            out += "interrupted: run the same command again to continue\n";
        }
        out
    }

    fn json(&self) -> Value {
        let ratio = |r: Ratio| json!({ "ratio": r.ratio, "low": r.low, "high": r.high });
        let case = |(case, comparison): &(Case, Option<Comparison>)| match comparison {
            Some(c) => json!({
                "name": case.name(), "verdict": word(c.verdict()), "min": ratio(c.min), "median": ratio(c.median),
            }),
            None => json!({ "name": case.name(), "verdict": "unknown" }),
        };
        json!({
            "base": self.programs[0].name,
            "new": self.programs[1].name,
            "joint_error": ALPHA,
            "complete": self.complete,
            "cases": self.cases.iter().map(case).collect::<Value>(),
            "slower": self.of(Verdict::Slower),
            "faster": self.of(Verdict::Faster),
            "own_spread": self.spread.as_ref().map(|(case, spread)| json!({ "case": case, "spread": spread })),
            "noisy": self.is_noisy(),
        })
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Slower => "slower",
        Verdict::Faster => "faster",
        Verdict::Unknown => "unknown",
    }
}
