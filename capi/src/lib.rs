//! The C interface of rnnpack, and the comments that `include/rnnpack.h` is generated from.
//!
//! The header says everything that a caller must know.
//!
//! This is one of the two crates with unsafe code; the other is `rnnpack-kernels`. `lent.rs` checks what C passes as
//! far as possible and turns it into references and slices. `status.rs` stops panics before they reach C.
#![allow(
    clippy::missing_safety_doc,
    reason = "one contract for all functions stands at the top of the header"
)]

#[cfg(not(panic = "unwind"))]
compile_error!("panics are caught before they reach C, which needs panic = \"unwind\"");

mod bytes;
mod forward;
mod isa;
mod layer;
mod lent;
mod lock;
mod onnx;
mod pack;
mod parts;
mod rows;
mod scratch;
mod stack;
mod state;
mod status;
mod step;

pub use bytes::*;
pub use forward::*;
pub use isa::*;
pub use layer::*;
pub use onnx::*;
pub use pack::*;
pub use rows::*;
pub use scratch::*;
pub use stack::*;
pub use state::*;
pub use status::*;
pub use step::*;
