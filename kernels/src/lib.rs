//! The kernels of `rnnpack`: packed panels, register tiles and fused cells for recurrent layers on CPUs.
//!
//! All unsafe code of the project is in this crate, behind doors that check sizes, but for the C interface's. Most
//! programs want the crate `rnnpack`, which adds layers, directions, states, planning, threads and ONNX.

pub mod activation;
mod aligned;
pub mod blocking;
mod cell;
mod error;
#[cfg(feature = "gemm")]
pub mod gemm;
mod isa;
mod pack;
pub mod probe;
pub mod reference;
mod sequence;
mod tile;
mod view;
mod weights;

pub use activation::Activation;
pub use cell::{Cell, GruCell, LstmCell, RnnCell};
pub use error::Error;
pub use isa::Variant;
pub use pack::{Packed, weight_vectors};
pub use sequence::{Call, Scratch, check, check_output, forward, zero_padding};
pub use view::{Dims, Layout, Strides, View, ViewMut};
pub use weights::{Element, GateOrder, Tensors, Weights};
