//! The error type: why a whole model is refused, and how tract fails.

use rnnpack_onnx::{Line, Shown};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tract_onnx::prelude::TractResult;

/// Why a whole model cannot be loaded or run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// A file, one of its nodes, or a value given to the model is refused.
    Onnx(rnnpack_onnx::Error),
    /// The model has operators that cannot run. These are all of them.
    Unsupported {
        /// The operators.
        operators: Vec<Unsupported>,
    },
    /// tract cannot load or run the model.
    Tract {
        /// What failed: `load` or `run`.
        stage: &'static str,
        /// The error message of tract.
        reason: String,
    },
    /// tract panicked. The panic was caught, and the call has no result.
    Panic {
        /// What failed: `load` or `run`.
        stage: &'static str,
        /// The panic's message.
        reason: String,
    },
}

/// An operator of a model that cannot run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsupported {
    /// Its domain. Empty means the standard one.
    pub domain: String,
    /// The operator.
    pub op: String,
    /// The number of its nodes, in all graphs of the model.
    pub count: usize,
    /// Why it cannot run, and what helps.
    pub reason: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unsupported { domain, op, count, reason } = self;
        let dot = if domain.is_empty() { "" } else { "." };
        let nodes = if *count == 1 { "node" } else { "nodes" };
        write!(f, "{}{dot}{} ({count} {nodes}): {reason}", Shown(domain), Shown(op))
    }
}

impl fmt::Display for Error {
    /// One line: what tract says is a [`Line`]. Of the operators that cannot run, it lists the first 20.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 20;
        match self {
            Self::Onnx(e) => e.fmt(f),
            Self::Unsupported { operators } => {
                let first: Vec<String> = operators.iter().take(MOST).map(ToString::to_string).collect();
                write!(f, "these operators cannot run: {}", first.join("; "))?;
                match operators.len().saturating_sub(MOST) {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
            Self::Tract { stage, reason } => write!(f, "tract could not {stage} the model: {}", Line(reason)),
            Self::Panic { stage, reason } => {
                write!(f, "tract panicked, asked to {stage} the model: {}", Line(reason))
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Display already printed the message of the refusal.
            Self::Onnx(e) => e.source(),
            _ => None,
        }
    }
}

impl From<rnnpack_onnx::Error> for Error {
    fn from(e: rnnpack_onnx::Error) -> Error {
        Error::Onnx(e)
    }
}

impl Error {
    /// Runs `body`. If tract fails or panics in it, returns an error.
    pub(crate) fn caught<T>(stage: &'static str, body: impl FnOnce() -> TractResult<T>) -> Result<T, Error> {
        // This is safe after a panic: `body` changes nothing that it borrows, and all else is dropped.
        match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                Err(match error.chain().find_map(|e| e.downcast_ref::<rnnpack_onnx::Error>()) {
                    Some(refusal) => refusal.clone().into(),
                    None => Error::Tract { stage, reason: format!("{error:#}") },
                })
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                Err(Error::Panic { stage, reason: text.to_string() })
            }
        }
    }
}

/// The error for a value that is given to a model or that the model declares.
pub(crate) fn value_error(name: &str, reason: impl Into<String>) -> rnnpack_onnx::Error {
    rnnpack_onnx::Error::Value { name: name.to_string(), reason: reason.into() }
}
