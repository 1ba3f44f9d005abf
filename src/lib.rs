//! Recurrent layers on CPUs: as fast as the hardware allows, and the same bits every time.
//!
//! A [`Layer`] is an LSTM, GRU or RNN with all that the ONNX standard says about them, packed once for this machine. It
//! runs over sequences or step by step, and its f32 results have the same bits alone or in any batch, on any number of
//! threads, in any chunks of time, and on every instruction set with fused multiply-adds.
//!
//! ```
//! use rnnpack::{Cell, Direction, GateOrder, Layer, LayerTensors, LayerWeights, Scratch, Shape};
//!
//! # fn main() -> Result<(), rnnpack::Error> {
//! // ONNX's tensors: W [D, 4·H, I], R [D, 4·H, H], B [D, 8·H].
//! let shape = Shape { input: 3, hidden: 5, direction: Direction::Forward };
//! let (w, r, b) = (vec![0.1; 4 * 5 * 3], vec![-0.1; 4 * 5 * 5], vec![0.0; 8 * 5]);
//! let tensors = LayerTensors { w: &w, r: &r, b: Some(&b), p: None };
//! let lstm = Layer::new(&LayerWeights::new(Cell::lstm(), shape, GateOrder::Onnx, tensors)?)?;
//!
//! // A stream, one step at a time; no step allocates after the first.
//! let (mut state, mut scratch) = (lstm.new_state(1)?, Scratch::new());
//! let mut h = [0.0; 5];
//! for x in [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]] {
//!     lstm.step(&x, &mut state, &mut h, &mut scratch)?;
//! }
//! assert_eq!(state.h(), h);
//! # Ok(())
//! # }
//! ```
//!
//! | to | see |
//! |---|---|
//! | run a sequence, or one step of a stream | [`Layer::forward`], [`Layer::step`] |
//! | share the rows of a batch out over threads | `Layer::forward_parallel` (feature `rayon`) |
//! | put layers on top of each other | [`Stack`] |
//! | take weights from PyTorch | [`LayerWeights::pytorch`] |
//! | compute in f64 | `LayerF64` (feature `f64`) |
//! | take the layers of an ONNX file | the crate `rnnpack-onnx` |
//! | run a whole ONNX model, or put the layers of your own tract program on these kernels | the crate `rnnpack-tract` |
//! | force an instruction set | [`ISA_VARIABLE`], [`Planner::for_isa`] |
//!
//! # Features
//!
//! | feature | what it adds | costs |
//! |---|---|---|
//! | `rayon` (default) | the batch path on several threads | rayon |
//! | `f64` | layers of doubles, and unfused layers to compare with | matrixmultiply |
//!
//! # Never silently wrong
//!
//! What is not computed as the ONNX standard says is refused with an [`Error`] that names the dimension, node, attribute or
//! tensor. No input makes a call panic, or read or write out of bounds: all unsafe code is in `rnnpack-kernels`, behind
//! functions that check sizes.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "rayon")]
mod batch;
mod error;
mod layer;
mod plan;
mod shape;
mod stack;
mod state;
#[cfg(feature = "f64")]
mod unfused;
mod weights;

pub use error::Error;
pub use layer::{Layer, Sequence};
pub use plan::{ISA_VARIABLE, Plan, Planner};
pub use rnnpack_kernels::Error as KernelError;
pub use rnnpack_kernels::{Activation, Cell, GruCell, LstmCell, RnnCell};
pub use rnnpack_kernels::{
    Dims, Direction, Element, GateOrder, Layout, Strides, Target, Variant, View, ViewMut,
};
pub use rnnpack_kernels::{activation, bytes, compare, probe, reference};
pub use shape::Shape;
pub use stack::{Stack, StackScratch, StackState};
pub use state::{Scratch, State};
#[cfg(feature = "f64")]
pub use unfused::{LayerF64, Number, ScratchF64, UnfusedLayer, UnfusedScratch};
pub use weights::{LayerTensors, LayerWeights, PyTorchTensors};

/// The code of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
