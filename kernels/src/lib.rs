//! The kernels of `rnnpack`: packed panels, register tiles and fused cells for recurrent layers on CPUs.
//!
//! Most programs want the crate `rnnpack`, which adds layers, directions, states, planning, threads and ONNX.
//!
//! This crate contains all unsafe code of the project, except that of the C interface. The public functions check sizes
//! before they reach it.
//!
//! [`PackedWeights`] holds the weights of one direction for one instruction set, a [`Variant`]. [`forward`] runs them
//! over a sequence. [`mod@reference`] defines the correct result: it performs the same operations in the same order, in
//! plain loops. On variants with fused multiply-adds the results are equal bit for bit.
//!
//! ```
//! use rnnpack_kernels::blocking::{Blocking, Caches};
//! use rnnpack_kernels::{Call, Cell, Dims, GateOrder, Layout, PackedWeights, Scratch, Tensors, Variant, View};
//! use rnnpack_kernels::{Weights, forward, reference};
//!
//! # fn main() -> Result<(), rnnpack_kernels::Error> {
//! let (input, hidden, time, batch) = (3, 20, 4, 2);
//! let (w, r) = (vec![0.1; 4 * hidden * input], vec![-0.1; 4 * hidden * hidden]);
//! let tensors = Tensors { w: &w, r: &r, wb: None, rb: None, p: None };
//! let weights = Weights::new(Cell::lstm(), [input, hidden], GateOrder::Onnx, tensors)?;
//! let x: Vec<f32> = (0..time * batch * input).map(|i| i as f32 / 10.0).collect();
//! let x = View::new(&x, Dims { time, directions: 1, batch, width: input }, Layout::TimeMajor)?;
//!
//! let (mut right, mut right_c) = (vec![0f32; batch * hidden], vec![0f32; batch * hidden]);
//! reference::forward(&weights, x, None, false, &mut right, &mut right_c)?;
//!
//! for variant in Variant::available() {
//!     let (mut h, mut c) = (vec![0.0; batch * hidden], vec![0.0; batch * hidden]);
//!     let blocking = Blocking::new(weights.cell(), variant, Caches::UNKNOWN, [hidden, time, batch]);
//!     let call = Call { x, y: None, lens: None, reverse: false, h: &mut h, c: &mut c, blocking, stop: None };
//!     forward(&PackedWeights::new(variant, &weights)?, call, &mut Scratch::new())?;
//!     assert!(h == right || !variant.is_fused());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The feature `gemm` adds a safe interface to matrixmultiply, for products that are not the hot path.
//!
//! The feature `std` is a default feature. Without it the crate needs only `alloc`. This is for small devices: the
//! instruction set is then fixed when the program is compiled. Results have the same bits.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

pub mod activation;
mod aligned;
mod block;
pub mod blocking;
pub mod bytes;
mod call;
mod cell;
mod checks;
pub mod compare;
mod direction;
mod dots;
mod driver;
mod element;
pub mod environment;
mod epilogue;
mod error;
mod factors;
#[cfg(feature = "gemm")]
pub mod gemm;
mod integers;
mod isa;
mod math;
pub mod memory;
mod operands;
mod pack;
mod packed;
mod passes;
#[cfg(feature = "std")]
pub mod probe;
mod product;
mod products;
mod ragged;
pub mod reference;
mod rows;
mod scratch;
mod sizes;
mod steps;
mod stop;
mod subnormals;
mod tile;
mod view;
mod weight_type;
mod weights;

pub use activation::Activation;
pub use call::{Call, OneStep, forward, step};
pub use cell::{Cell, GruCell, LstmCell, RnnCell};
pub use checks::{check_inputs, check_output, zero_padding};
pub use direction::Direction;
pub use element::Element;
pub use error::Error;
pub use integers::{Scale, Scales};
pub use isa::{Target, Variant};
pub use pack::weight_vectors;
pub use packed::PackedWeights;
pub use ragged::{Ragged, RaggedRows};
pub use scratch::Scratch;
pub use sizes::Sizes;
pub use stop::Stop;
pub use subnormals::Subnormals;
pub use view::{Dims, Layout, Strides, View, ViewMut};
pub use weight_type::{Dots, WeightType};
pub use weights::{GateOrder, Tensors, Weights};
