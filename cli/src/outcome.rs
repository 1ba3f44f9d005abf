//! How a command ends.

use crate::report;
use std::process::ExitCode;

/// How a command that could finish its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Results differ by more than their bound, or there were none to compare.
    Failed,
}

/// The exit code: 0 done, 1 failed, 2 for an error, which is told on standard error.
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
