//! Instruction counts, for machines whose times are not reliable.
//!
//! Valgrind's callgrind counts the instructions of fixed cases, function by function, for the instruction sets that
//! it knows. A committed baseline holds the expected counts.

mod profile;

use crate::revisions::rustc;
use anyhow::{Context, Result, bail};
use profile::Profile;
use rnnpack::ISA_VARIABLE;
use rnnpack_cli::outcome::Outcome;
use rnnpack_cli::perf::console;
use rnnpack_cli::report::{self, Table};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The cases that are counted: every cell, one row and a batch. They are short, since callgrind takes about fifty
/// times as long as the processor. There is no case of doubles: their exponentials come from the system's library,
/// and so does their count.
const CASES: [&str; 6] = [
    "step/lstm/1,1,128,128/f32/1",
    "step/gru/1,1,128,128/f32/1",
    "step/rnn/1,1,128,128/f32/1",
    "sequence/lstm/300,1,20,20/f32/1",
    "batch/lstm/200,8,40,32/f32/1",
    "batch/lstm/10,16,256,256/f32/1",
];

/// Without AVX-512, which valgrind does not have.
const ISAS: [&str; 2] = ["avx2", "portable"];

/// The number of calls that are counted. One call that is not counted runs before them.
const CALLS: u32 = 2;

/// The largest growth of a case, or of one of its functions, as a part of the case's instructions.
const BOUND: f64 = 0.01;

/// The baseline lists a function only if it has at least this part of a case's instructions.
const LISTED: f64 = 0.002;

const AFTER_HELP: &str = "\
Needs valgrind. The baseline holds for the compiler that it was made with: with another one the counts are printed and \
compared with nothing, which the output says.

Exit codes: 0 nothing grew by more than 1% of its case, 1 something did, 2 it could not be done.

Renew the baseline, and commit it with the reason:
  cargo run --release -p rnnpack-perf-dev -- counts --renew";

/// Count instructions and compare them with the committed baseline
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The baseline
    #[arg(long, value_name = "FILE", default_value = "benches/ledger/instructions.json")]
    baseline: PathBuf,
    /// Write the counts to the baseline
    #[arg(long)]
    renew: bool,
    /// Only cases with this in their name; may be repeated
    #[arg(long, value_name = "TEXT", conflicts_with = "renew")]
    case: Vec<String>,
}

/// The committed counts.
#[derive(Serialize, Deserialize)]
struct Baseline {
    /// The output of `rustc --version`.
    compiler: String,
    /// By instruction set and case, such as `avx2/step/lstm/1,1,128,128/f32/1`.
    counts: BTreeMap<String, Profile>,
}

pub(crate) fn counts(args: &Args, json: bool) -> Result<Outcome> {
    let compiler = rustc("--version")?;
    let mut counted = BTreeMap::new();
    if let Some(word) = args.case.iter().find(|w| !CASES.iter().any(|name| name.contains(w.as_str()))) {
        bail!("--case {word} matches none of the counted cases: {}", CASES.join(", "));
    }
    let wanted = |name: &&str| args.case.is_empty() || args.case.iter().any(|w| name.contains(w.as_str()));
    let cases: Vec<&str> = CASES.into_iter().filter(wanted).collect();
    let bar = console::progress((cases.len() * ISAS.len()) as u64);
    for isa in ISAS {
        for name in &cases {
            bar.set_message((*name).to_owned());
            counted.insert(format!("{isa}/{name}"), count(name, isa)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    if args.renew {
        let counts = counted.into_iter().map(|(name, profile)| (name, profile.listed(LISTED))).collect();
        write(&args.baseline, &Baseline { compiler, counts })?;
        report::emit(
            json,
            || json!({ "renewed": args.baseline }),
            || format!("wrote {}\n", args.baseline.display()),
        )?;
        return Ok(Outcome::Done);
    }
    let baseline = read(&args.baseline)?;
    let report = Report::new(&counted, &baseline, &compiler)?;
    report::emit(json, || report.json(), || report.text())?;
    Ok(if report.grown.is_empty() { Outcome::Done } else { Outcome::Failed })
}

/// Runs a case under callgrind.
fn count(case: &str, isa: &str) -> Result<Profile> {
    let out = tempfile::NamedTempFile::new()?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet", "--toggle-collect=*counted_calls*"]);
    valgrind.arg(format!("--callgrind-out-file={}", out.path().display()));
    valgrind.arg(std::env::current_exe()?).args(["perf", "worker", case, "--calls", &CALLS.to_string()]);
    valgrind.env(ISA_VARIABLE, isa).stdin(Stdio::null());
    let run = valgrind.output().context("cannot run valgrind; install it")?;
    if !run.status.success() {
        bail!("valgrind of {}: {}", case, String::from_utf8_lossy(&run.stderr).trim());
    }
    let text = std::fs::read_to_string(out.path())?;
    let profile = Profile::parse(&text).with_context(|| format!("callgrind's output of {}", case))?;
    if profile.total == 0 {
        bail!("callgrind found none of the calls of {}", case);
    }
    Ok(profile)
}

fn read(path: &Path) -> Result<Baseline> {
    let bytes = std::fs::read(path).map_err(anyhow::Error::from);
    let baseline = bytes.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    baseline.with_context(|| format!("cannot read {}: make it with --renew", path.display()))
}

fn write(path: &Path, baseline: &Baseline) -> Result<()> {
    let text = serde_json::to_string_pretty(baseline)? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The growth that was found, or the reason why nothing can be compared.
struct Report<'a> {
    counted: &'a BTreeMap<String, Profile>,
    baseline: &'a Baseline,
    /// The compiler, if it is not the baseline's.
    other_compiler: Option<&'a str>,
    /// The cases that grew beyond the bound, each with the function that grew most.
    grown: Vec<(&'a str, Growth)>,
}

/// The growth of a function.
#[derive(Debug, PartialEq)]
struct Growth {
    function: String,
    before: u64,
    after: u64,
}

impl<'a> Report<'a> {
    fn new(
        counted: &'a BTreeMap<String, Profile>,
        baseline: &'a Baseline,
        compiler: &'a str,
    ) -> Result<Report<'a>> {
        let other_compiler = (baseline.compiler != compiler).then_some(compiler);
        let mut grown = Vec::new();
        for (name, profile) in counted.iter().filter(|_| other_compiler.is_none()) {
            let before = baseline.counts.get(name);
            let before =
                before.with_context(|| format!("the baseline has no {name}: renew it with --renew"))?;
            grown.extend(growth(before, profile).map(|growth| (name.as_str(), growth)));
        }
        Ok(Report { counted, baseline, other_compiler, grown })
    }

    fn text(&self) -> String {
        let mut table =
            Table::new(&["case", "baseline", "instructions", "change"], &[false, true, true, true]);
        for (name, profile) in self.counted {
            let before = self.baseline.counts.get(name).map(|b| b.total);
            let change = before.map_or(String::new(), |b| percent(b, profile.total));
            let before = before.map_or(String::new(), |b| b.to_string());
            table.row(vec![name.clone(), before, profile.total.to_string(), change]);
        }
        let mut out = table.render();
        if let Some(compiler) = self.other_compiler {
            let theirs = &self.baseline.compiler;
            out += &format!("\nNOT COMPARED: the baseline is of {theirs}, this is {compiler}; see --renew\n");
        }
        for (name, Growth { function, before, after }) in &self.grown {
            let change = percent(*before, *after);
            out += &format!("\nGREW: {name}\n  {function}: {before} -> {after} ({change})\n");
        }
        out
    }

    fn json(&self) -> serde_json::Value {
        let grown = |(name, g): &(&str, Growth)| json!({ "case": name, "function": g.function, "before": g.before, "after": g.after });
        json!({
            "compared": self.other_compiler.is_none(),
            "counts": self.counted.iter().map(|(name, p)| json!({ "case": name, "instructions": p.total }))
                .collect::<serde_json::Value>(),
            "grown": self.grown.iter().map(grown).collect::<serde_json::Value>(),
        })
    }
}

fn percent(before: u64, after: u64) -> String {
    format!("{:+.2}%", 100.0 * (after as f64 / before.max(1) as f64 - 1.0))
}

/// The function that grew most, if it or the whole case grew by more than the bound.
fn growth(before: &Profile, after: &Profile) -> Option<Growth> {
    let allowed = before.total as f64 * BOUND;
    let of = |profile: &Profile, name: &str| profile.functions.get(name).copied().unwrap_or(0);
    let grew = |(name, &after): (&String, &u64)| (after.saturating_sub(of(before, name)), name.clone());
    let (most, function) = after.functions.iter().map(grew).max()?;
    let whole = after.total.saturating_sub(before.total);
    let beyond = |n: u64| n as f64 > allowed;
    (beyond(whole) || beyond(most)).then(|| Growth {
        before: of(before, &function),
        after: of(after, &function),
        function,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(functions: &[(&str, u64)]) -> Profile {
        let functions: BTreeMap<String, u64> = functions.iter().map(|&(f, n)| (f.to_owned(), n)).collect();
        Profile { total: functions.values().sum(), functions }
    }

    #[test]
    fn two_percent_more_are_found_and_their_function_is_named() {
        let before = profile(&[("tile", 90_000), ("epilogue", 10_000)]);
        let after = profile(&[("tile", 90_000), ("epilogue", 12_000)]);
        let expected = Growth { function: "epilogue".into(), before: 10_000, after: 12_000 };
        assert_eq!(growth(&before, &after), Some(expected));
        assert_eq!(growth(&before, &profile(&[("tile", 90_400), ("epilogue", 10_400)])), None);
        assert_eq!(growth(&before, &profile(&[("tile", 80_000), ("epilogue", 10_000)])), None);
    }

    #[test]
    fn growth_that_another_function_hides_is_found() {
        let before = profile(&[("tile", 90_000), ("epilogue", 10_000)]);
        let after = profile(&[("tile", 85_000), ("epilogue", 10_000), ("copy", 5_000)]);
        assert_eq!(growth(&before, &after).unwrap().function, "copy");
    }

    #[test]
    fn another_compiler_is_compared_with_nothing_and_the_report_says_so() {
        let counted = BTreeMap::from([("avx2/a".to_owned(), profile(&[("f", 2000)]))]);
        let counts = BTreeMap::from([("avx2/a".to_owned(), profile(&[("f", 1000)]))]);
        let baseline = Baseline { compiler: "rustc 1".into(), counts };
        let same = Report::new(&counted, &baseline, "rustc 1").unwrap();
        assert_eq!(same.grown.len(), 1);
        assert!(same.text().contains("GREW: avx2/a\n  f: 1000 -> 2000 (+100.00%)"), "{}", same.text());
        let other = Report::new(&counted, &baseline, "rustc 2").unwrap();
        assert!(other.grown.is_empty() && other.text().contains("NOT COMPARED"), "{}", other.text());
        let missing = BTreeMap::from([("avx2/b".to_owned(), profile(&[("f", 1)]))]);
        assert!(Report::new(&missing, &baseline, "rustc 1").is_err());
    }

    #[test]
    fn the_counted_cases_are_in_the_suite() {
        assert!(CASES.iter().all(|name| rnnpack_cli::perf::names().contains(&(*name).to_owned())));
    }
}
