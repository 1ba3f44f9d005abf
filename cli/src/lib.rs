//! The command `rnnpack`: lists a model's recurrent layers, runs them, verifies the results and measures the speed.
//!
//! The library exists only for the command, and for benches that use its timing. Its interface may change at any time.
#![forbid(unsafe_code)]

mod advice;
mod bench;
mod cell;
mod compare;
mod decisions;
mod fit;
mod half;
mod inputs;
mod inspect;
mod instructions;
pub mod layer_options;
mod limits;
pub mod median;
mod model;
mod npy;
mod npz;
mod operators;
pub mod outcome;
mod output;
mod pack;
pub mod perf;
mod quantize;
pub mod report;
mod run;
mod seconds;
mod size;
mod tensors;
mod terminal;
pub mod timing;
mod verify;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  a verification or a comparison of results failed, or there was nothing to compare
  2  wrong usage or wrong input; nothing was computed, or it was not finished

RNNPACK_ISA forces an instruction set for all commands, like `bench --isa`.";

/// Recurrent layers on CPUs: inspect, run, verify, pack and time ONNX models and single layers
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    Inspect(inspect::Args),
    Run(run::Args),
    Verify(verify::Args),
    Pack(pack::Args),
    Quantize(quantize::Args),
    Bench(bench::Args),
    Size(size::Args),
    Perf(perf::Args),
}

/// Runs the command with the arguments of the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Inspect(args) => inspect::inspect(&args, cli.json),
        Command::Run(args) => run::run(&args, cli.json),
        Command::Verify(args) => verify::verify(&args, cli.json),
        Command::Pack(args) => pack::pack(&args, cli.json),
        Command::Quantize(args) => quantize::quantize(&args, cli.json),
        Command::Bench(args) => bench::bench(&args, cli.json),
        Command::Size(args) => size::size(&args, cli.json),
        Command::Perf(args) => perf::perf(&args, &perf::Places::COMMAND, cli.json),
    };
    outcome::exit_code(result)
}
