//! `rnnpack perf`: tracks speed and compares programs.

pub mod compare;
pub mod console;
pub mod ledger;
pub mod machine;
mod pair;
mod places;
pub mod program;
pub mod record;
pub mod report;
mod samples;
mod stats;
mod suite;
pub mod worker;

use crate::outcome::Outcome;
use anyhow::Result;
use clap::Subcommand;
pub use places::Places;
pub use suite::names;

/// Track speed: record it, compare two programs, write a report
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Record(record::Args),
    Compare(compare::Args),
    Report(report::Args),
    #[command(hide = true)]
    Worker(worker::Args),
}

/// Runs the subcommand in the arguments.
///
/// # Errors
/// The errors of the subcommand.
pub fn perf(args: &Args, places: &Places, json: bool) -> Result<Outcome> {
    match &args.command {
        Command::Record(args) => record::record(args, places, json),
        Command::Compare(args) => compare::compare(args, places, &program::Program::at, json),
        Command::Report(args) => report::report(args, places, json),
        Command::Worker(args) => worker::work(args, 1.0).map(|()| Outcome::Done),
    }
}
