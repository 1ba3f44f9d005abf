//! The speed tracking of rnnpack's developers, run from the root of the repository.
//!
//! It does what `rnnpack perf` does, with this repository's ledger. It also takes revisions in place of programs,
//! counts instructions, and imports the results of `cargo bench`.
#![forbid(unsafe_code)]

mod counts;
mod criterion;
mod planted;
mod revisions;

use anyhow::Result;
use clap::{Parser, Subcommand};
use rnnpack_cli::outcome::{Outcome, exit_code};
use rnnpack_cli::perf::{self, Places, compare, record, report, worker};
use std::process::ExitCode;

/// The files of this repository.
const PLACES: Places = Places {
    ledger: "benches/ledger/ledger.jsonl",
    page: "target/perf/report.html",
    peers: Some("benches/peers/results"),
    samples: "target/perf",
    results: &["benches/peers/results"],
};

const AFTER_HELP: &str = "\
Run it from the root of the repository. BASE and NEW of `compare` may also be revisions, which are checked out below \
target/perf and built. The ledger is benches/ledger/ledger.jsonl, the page target/perf/report.html.";

/// Track the speed of rnnpack itself
#[derive(Parser)]
#[command(after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    Record(record::Args),
    Criterion(criterion::Args),
    Compare(compare::Args),
    Counts(counts::Args),
    Report(report::Args),
    /// A program under test in a comparison
    #[command(hide = true)]
    Perf {
        #[command(subcommand)]
        command: UnderTest,
    },
}

/// The subcommands that a comparison runs in a program under test.
#[derive(Subcommand)]
enum UnderTest {
    Record(record::Args),
    Worker(worker::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    exit_code(run(&cli.command, cli.json))
}

fn run(command: &Command, json: bool) -> Result<Outcome> {
    match command {
        Command::Record(args) | Command::Perf { command: UnderTest::Record(args) } => {
            record::record(args, &PLACES, json)
        }
        Command::Criterion(args) => criterion::import(args, json),
        Command::Compare(args) => {
            let folder = args.folder(&PLACES);
            compare::compare(args, &PLACES, &|name| revisions::find(name, &folder), json)
        }
        Command::Counts(args) => counts::counts(args, json),
        Command::Report(args) => perf::report::report(args, &PLACES, json),
        Command::Perf { command: UnderTest::Worker(args) } => {
            worker::work(args, planted::factor(&args.case)?).map(|()| Outcome::Done)
        }
    }
}
