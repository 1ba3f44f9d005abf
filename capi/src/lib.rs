//! The C interface of rnnpack. `include/rnnpack.h` is made of the comments here and says all that a caller must know.
//!
//! This is the second of the two crates with unsafe code. What C gives is checked as far as it can be in `lent.rs`,
//! where it becomes references and slices; `status.rs` keeps panics on this side.
#![allow(
    clippy::missing_safety_doc,
    reason = "one contract for all functions stands at the top of the header"
)]

#[cfg(not(panic = "unwind"))]
compile_error!("panics are caught before they reach C, which needs panic = \"unwind\"");

mod forward;
mod isa;
mod layer;
mod lent;
mod onnx;
mod state;
mod status;

pub use forward::*;
pub use isa::*;
pub use layer::*;
pub use onnx::*;
pub use state::*;
pub use status::*;
