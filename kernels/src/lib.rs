//! The kernels of `rnnpack`: packed panels, register tiles and fused cells for recurrent layers on CPUs.
//!
//! All unsafe code of the project is in this crate, behind doors that check sizes. Most programs want the crate
//! `rnnpack`, which adds layers, directions, states, planning, threads and ONNX.
//!
//! Without the feature `std` (it is a default one) the crate needs `alloc` alone: for small devices, whose instruction set
//! is fixed when the program is compiled. Results have the same bits.
#![cfg_attr(not(any(feature = "std", test)), no_std)]

extern crate alloc;

pub mod activation;
mod aligned;
pub mod blocking;
pub mod bytes;
mod cell;
mod direction;
mod error;
#[cfg(feature = "gemm")]
pub mod gemm;
mod isa;
mod math;
mod pack;
#[cfg(feature = "std")]
pub mod probe;
pub mod reference;
mod sequence;
mod tile;
mod view;
mod weights;

pub use activation::Activation;
pub use cell::{Cell, GruCell, LstmCell, RnnCell};
pub use direction::Direction;
pub use error::Error;
pub use isa::{Target, Variant};
pub use pack::{Packed, weight_vectors};
pub use sequence::{Call, Scratch, check, check_output, forward, zero_padding};
pub use view::{Dims, Layout, Strides, View, ViewMut};
pub use weights::{Element, GateOrder, Tensors, Weights};
