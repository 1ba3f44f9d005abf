//! How a command ends, and its exit code.

use crate::report;
use std::process::ExitCode;

/// How a command ended that was not stopped by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and all comparisons passed.
    Done,
    /// Results differ by more than their bound, or there was nothing to compare.
    Failed,
}

/// The exit code: 0 for done, 1 for failed, 2 for an error. An error is printed to standard error.
pub fn exit_code(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Err(e) => {
            eprintln!("error: {}", report::error(&e));
            ExitCode::from(2)
        }
    }
}
