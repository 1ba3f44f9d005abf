//! `rnnpack perf record`: times the suite and the machine's limits, and appends the results to the ledger.

use super::ledger::{Claimed, Entry, Measured, Origin, Record};
use super::places::Places;
use super::suite::{self, Case, What, Work};
use super::{console, machine};
use crate::limits::Limits;
use crate::median::median;
use crate::outcome::Outcome;
use crate::report::{self, Table, micros};
use crate::timing::{Side, Times, interleave};
use anyhow::{Context, Result, bail};
use rnnpack::Variant;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Time the suite and append the results to the ledger
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The ledger; created if there is none; the default is ./rnnpack-perf.jsonl
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Time only cases with this text in their name; may be repeated
    #[arg(long, value_name = "TEXT")]
    case: Vec<String>,
    /// How long each case is timed, in seconds
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = crate::seconds::parse_seconds)]
    seconds: f64,
    /// Only list the cases
    #[arg(long)]
    list: bool,
}

/// Times the suite, or lists its cases.
///
/// # Errors
/// If a case cannot be timed, the ledger cannot be written, or the user pressed Ctrl-C.
pub fn record(args: &Args, places: &Places, json: bool) -> Result<Outcome> {
    let cases = suite::selected(&args.case)?;
    if args.list {
        let names: Vec<String> = cases.iter().map(Case::name).collect();
        report::emit(json, || json!({ "cases": names }), || names.join("\n") + "\n")?;
        return Ok(Outcome::Done);
    }
    let cases = suite::present(cases)?;
    let isa = machine::isa()?;
    let ledger = args.ledger.clone().unwrap_or_else(|| places.ledger.into());
    // Claimed before it is read: two programs must not resume the same run.
    let claimed = Claimed::new(&ledger)?;
    let (records, damaged) = claimed.read()?;
    console::report_damage(&ledger, &damaged);
    console::warn_if_busy();
    machine::catch_interrupts()?;
    let origin = machine::origin(isa, &ledger, places);
    let run =
        Recording::start(Method { ledger: claimed, seconds: args.seconds, isa }, origin, &records, &cases)?;
    let measured = run.measure(&cases)?;
    let complete = run.done.len() + measured.len() == cases.len();
    report::emit(json, || run.json(&measured, complete), || run.text(&measured))?;
    if !complete {
        bail!("interrupted: the ledger keeps the measurements; run the same command again to continue");
    }
    Ok(Outcome::Done)
}

/// How the cases of a run are measured.
struct Method {
    ledger: Claimed,
    seconds: f64,
    isa: Variant,
}

/// A new or a resumed run.
struct Recording {
    method: Method,
    origin: Origin,
    resumed: bool,
    /// The cases that an interrupted run has measured already.
    done: BTreeSet<String>,
}

impl Recording {
    /// Resumes the last interrupted run of this revision and machine. If there is none, starts a new run and measures
    /// its limits.
    fn start(method: Method, origin: Origin, records: &[Record], cases: &[Case]) -> Result<Recording> {
        let seconds = method.seconds;
        let cases: Vec<String> = cases.iter().map(Case::name).collect();
        if let Some((origin, done)) = interrupted(records, &origin, seconds, &cases) {
            return Ok(Recording { method, origin, resumed: true, done });
        }
        let (peak_flops, bandwidth) = machine::limits(method.isa);
        method.ledger.append(&origin, Entry::Limits { seconds, cases, peak_flops, bandwidth })?;
        Ok(Recording { method, origin, resumed: false, done: BTreeSet::new() })
    }

    /// Measures the remaining cases. Each result goes into the ledger at once.
    fn measure(&self, cases: &[Case]) -> Result<Vec<Measured>> {
        let left: Vec<&Case> = cases.iter().filter(|case| !self.done.contains(&case.name())).collect();
        let bar = console::progress(left.len() as u64);
        let mut measured = Vec::new();
        for case in left {
            if machine::interrupted() {
                bar.finish_and_clear();
                return Ok(measured);
            }
            bar.set_message(case.name());
            let result = self.time(case)?;
            self.method.ledger.append(&self.origin, Entry::Case(result.clone()))?;
            measured.push(result);
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.method.ledger.append(&self.origin, Entry::End)?;
        Ok(measured)
    }

    fn time(&self, case: &Case) -> Result<Measured> {
        let mut prepared = case.prepare()?;
        let mut limits = Limits::new(self.method.isa, prepared.work.map_or(1 << 20, |work| work.r_packed));
        let mut side = [Side::new("", &mut prepared.call)];
        let timed = interleave(&mut side, Some(&mut limits), self.method.seconds, &|_, _| ());
        timed.with_context(|| format!("cannot time {}", case.name()))?;
        let times = side[0].times();
        let shape = match case.what {
            What::Layer { shape, .. } => Some(shape),
            What::Model { .. } => None,
        };
        Ok(Measured {
            name: case.name(),
            threads: case.threads,
            shape,
            calls: times.calls as u64,
            min_ns: times.min * 1e9,
            median_ns: times.median * 1e9,
            flops: prepared.work.map(|work| work.flops),
            bytes: prepared.work.map(|work| work.bytes),
            limit_percent: prepared.work.map(|work| 100.0 * reached(case, work, &limits, &times)),
        })
    }

    fn text(&self, measured: &[Measured]) -> String {
        let mut table = Table::new(&["case", "min µs", "median µs", "limit"], &[false, true, true, true]);
        for m in measured {
            let limit = m.limit_percent.map_or(String::new(), |percent| format!("{percent:.0}%"));
            table.row(vec![m.name.clone(), micros(m.min_ns / 1e9), micros(m.median_ns / 1e9), limit]);
        }
        let Origin { cpu, isa, .. } = &self.origin;
        let commit = self.origin.revision();
        let resumed = if self.resumed { ", going on where it was interrupted" } else { "" };
        format!("{}\n{commit} on {cpu}, {isa}{resumed}\n", table.render())
    }

    fn json(&self, measured: &[Measured], complete: bool) -> serde_json::Value {
        json!({ "origin": self.origin, "resumed": self.resumed, "complete": complete, "cases": measured })
    }
}

/// The last run with the same plan (cases and seconds), revision, processor and instruction set, and the names of its
/// measured cases. `None` if that run has an end. Also `None` if files differ from the revision or if there is no
/// revision: then it is not known whether the source is the same.
fn interrupted(
    records: &[Record],
    now: &Origin,
    seconds: f64,
    cases: &[String],
) -> Option<(Origin, BTreeSet<String>)> {
    now.commit.as_ref().filter(|commit| !commit.ends_with('+'))?;
    let same = |r: &&Record| {
        let of = |o: &Origin| (o.commit.clone(), o.cpu.clone(), o.isa.clone());
        let plan =
            matches!(&r.entry, Entry::Limits { seconds: s, cases: c, .. } if *s == seconds && c == cases);
        plan && of(&r.origin) == of(now)
    };
    let last = records.iter().filter(same).max_by_key(|r| (&r.origin.date, &r.origin.run))?;
    let lines = || records.iter().filter(|r| r.origin.run == last.origin.run);
    if lines().any(|r| r.entry == Entry::End) {
        return None;
    }
    let name = |r: &Record| match &r.entry {
        Entry::Case(measured) => Some(measured.name.clone()),
        _ => None,
    };
    Some((last.origin.clone(), lines().filter_map(name).collect()))
}

/// The share of its limit that a case reached: the median over rounds. Each round is compared with its own probe.
fn reached(case: &Case, work: Work, limits: &Limits, times: &Times) -> f64 {
    let What::Layer { shape: [_, batch, ..], numbers, .. } = case.what else { return f64::NAN };
    // A vector holds half as many f64 as f32.
    let lanes = if numbers == suite::Numbers::Double { 0.5 } else { 1.0 };
    let share = |((&peak, &bandwidth), &seconds): ((&f64, &f64), &f64)| {
        let peak = peak * lanes * f64::from(case.threads);
        let least = match batch {
            1 => work.r_bytes / bandwidth + work.projection_flops / peak,
            _ => work.flops / peak,
        };
        least / seconds
    };
    median(limits.peaks.iter().zip(&limits.bandwidths).zip(&times.rounds).map(share).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::ledger::VERSION;

    fn line(run: &str, commit: &str, entry: Entry) -> Record {
        let text = |s: &str| s.to_owned();
        let (cpu, isa) = (text("cpu"), text("avx2"));
        let origin = Origin { run: text(run), date: text(run), commit: Some(text(commit)), cpu, isa };
        Record { v: VERSION, origin, entry }
    }

    fn limits() -> Entry {
        let cases = ["a", "b"].map(str::to_owned).into();
        Entry::Limits { seconds: 1.0, cases, peak_flops: 1.0, bandwidth: Vec::new() }
    }

    fn case(name: &str) -> Entry {
        Entry::Case(Measured {
            name: name.to_owned(),
            threads: 1,
            shape: None,
            calls: 1,
            min_ns: 1.0,
            median_ns: 1.0,
            flops: None,
            bytes: None,
            limit_percent: None,
        })
    }

    #[test]
    fn only_the_last_run_of_the_same_plan_clean_revision_and_machine_goes_on() {
        let names = ["a", "b"].map(str::to_owned);
        let now = |commit: &str| line("9", commit, Entry::End).origin;
        let find = |records: &[Record], commit: &str| interrupted(records, &now(commit), 1.0, &names);
        let unfinished = [line("1", "abc", limits()), line("1", "abc", case("a"))];
        let (origin, done) = find(&unfinished, "abc").unwrap();
        assert_eq!((origin.run.as_str(), done), ("1", BTreeSet::from(["a".to_owned()])));
        assert!(interrupted(&unfinished, &now("abc"), 2.0, &names).is_none());
        assert!(interrupted(&unfinished, &now("abc"), 1.0, &names[..1]).is_none());
        assert!(find(&unfinished, "def").is_none());

        let with = |more: &[Record]| [&unfinished[..], more].concat();
        assert!(find(&with(&[line("1", "abc", Entry::End)]), "abc").is_none());
        assert!(find(&with(&[line("2", "abc", limits()), line("2", "abc", Entry::End)]), "abc").is_none());
        // A later run of another revision or machine does not prevent resuming.
        assert!(find(&with(&[line("2", "def", limits())]), "abc").is_some());
        assert!(find(&[line("1", "abc+", limits())], "abc+").is_none());
        let mut nowhere = unfinished.clone();
        nowhere.iter_mut().for_each(|record| record.origin.commit = None);
        assert!(interrupted(&nowhere, &nowhere[0].origin, 1.0, &names).is_none());
    }
}
