//! Shared parts of the workspace's tests and benches: made-up layers and calls, references with error bounds, models.

pub mod bound;
mod case;
pub mod environment;
pub mod example;
pub mod forms;
pub mod near;
pub mod numbers;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod options;
pub mod placement;
pub mod variation;

pub use case::*;
