//! `rnnpack perf`: keeps track of speed, compares revisions, and counts instructions.

mod compare;
mod counts;
mod criterion;
mod ledger;
mod machine;
mod pair;
mod programs;
mod record;
mod report;
mod samples;
mod stats;
mod suite;
mod worker;

use crate::Outcome;
use crate::report::count;
use anyhow::Result;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;

/// Where the ledger is, from the root of the repository.
const LEDGER: &str = "benches/ledger/ledger.jsonl";

/// Keep track of speed: record, compare revisions, count instructions, report
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Record(record::Args),
    Compare(compare::Args),
    Counts(counts::Args),
    Report(report::Args),
    #[command(hide = true)]
    Worker(worker::Args),
}

pub(crate) fn perf(args: &Args, json: bool) -> Result<Outcome> {
    match &args.command {
        Command::Record(args) => record::record(args, json),
        Command::Compare(args) => compare::compare(args, json),
        Command::Counts(args) => counts::counts(args, json),
        Command::Report(args) => report::report(args, json),
        Command::Worker(args) => worker::work(args).map(|()| Outcome::Done),
    }
}

/// A bar over cases on standard error, with the time left; nothing where that is no terminal.
fn progress(cases: u64) -> ProgressBar {
    let bar = ProgressBar::new(cases);
    if let Ok(style) = ProgressStyle::with_template("{msg:36} [{bar:30}] {pos}/{len}, {eta} left") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(500));
    bar
}

fn warn_if_busy() {
    if let Some(cores) = machine::busy_cores().filter(|&cores| cores > machine::BUSY) {
        eprintln!("warning: other programs keep {cores:.1} cores busy; results will be noisy");
    }
}

/// Names the lines of a ledger that are no records.
fn report_damage(path: &Path, damaged: &[ledger::Damaged]) {
    for ledger::Damaged { line, reason } in damaged {
        eprintln!("warning: {}, line {line} is skipped: {reason}", path.display());
    }
    if !damaged.is_empty() {
        eprintln!(
            "warning: {} of {} skipped; nothing was removed",
            count(damaged.len(), "line"),
            path.display()
        );
    }
}
