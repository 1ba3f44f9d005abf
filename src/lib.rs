//! Recurrent layers on CPUs: as fast as the hardware allows, and the same bits every time.
//!
//! A [`Layer`] is an LSTM, GRU or RNN with every option of the ONNX standard. Its weights are packed once for this
//! machine. It runs over whole sequences or step by step. An f32 result has the same bits in every case: for a row
//! alone or in any batch, on any number of threads, in any chunks of time, and on every instruction set with fused
//! multiply-adds.
//!
//! ```
//! use rnnpack::{LayerWeights, Sequence, Threads};
//!
//! # fn main() -> Result<(), rnnpack::Error> {
//! # let (w, r, b) = (vec![0.1; 4 * 5 * 3], vec![-0.1; 4 * 5 * 5], vec![0.0; 8 * 5]);
//! // ONNX's tensors: W [D, 4·H, I], R [D, 4·H, H], B [D, 8·H]. Packed once, shared by any number of streams and threads.
//! let lstm = LayerWeights::lstm(3, 5).w(&w).r(&r).b(&b).pack()?;
//!
//! // A stream, or a batch of them, owns its state. No call allocates after the first of its size.
//! let batch = 2;
//! let mut s = lstm.stream(batch)?;
//!
//! // One step: x [B, I], h [B, H].
//! let (x, mut h) = ([1.0; 2 * 3], [0.0; 2 * 5]);
//! s.step(&x, &mut h)?;
//!
//! // Many: x [T, B, I], y [T, D, B, H]; T follows from x.
//! let (x, mut y) = (vec![1.0; 7 * 2 * 3], vec![0.0; 7 * 2 * 5]);
//! s.forward(&x, &mut y)?;
//!
//! // Sequences of different lengths, batch-major, on several threads.
//! let l = [7, 4];
//! s.run(Sequence::dense(&x, &mut y).lens(&l).batch_major().threads(Threads::Pool))?;
//! # Ok(())
//! # }
//! ```
//!
//! | to | see |
//! |---|---|
//! | put weights together | [`LayerWeights::lstm`], [`gru`](LayerWeights::gru), [`rnn`](LayerWeights::rnn), [`of`](LayerWeights::of) |
//! | take weights from PyTorch | [`Stack::pytorch`], [`LayerWeights::pytorch`] |
//! | run a stream, step by step or in chunks | [`Layer::stream`], [`Stream`] |
//! | say more about a call: lengths, layouts, strides, threads | [`Sequence`], [`Threads`] |
//! | begin, copy and reorder streams of a batch | [`State::reset_row`], [`State::copy_row`], [`State::gather`] |
//! | keep state and scratch yourself | [`Layer::forward`], [`Layer::step`] |
//! | put layers on top of each other | [`Stack`] |
//! | take subnormal numbers for zero, which can be many times faster | [`Subnormals`] |
//! | stop a long call | [`Sequence::stop`] |
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
//! # Debug builds and small builds
//!
//! Kernels that are not optimised are some 250 times slower, and 3 to 4 times slower with `opt-level = "s"`. These lines in
//! the `Cargo.toml` of the program (of its workspace, if it has one) keep them at full speed:
//!
//! ```toml
//! [profile.dev.package.rnnpack-kernels] # debug builds, tests
//! opt-level = 3
//! debug-assertions = false
//! overflow-checks = false
//! [profile.dev.package.rnnpack]
//! opt-level = 3
//!
//! [profile.release.package.rnnpack-kernels] # for a release with opt-level = "s" or "z"
//! opt-level = 3
//! ```
//!
//! # Never silently wrong
//!
//! A call either computes what the ONNX standard says, or returns an [`Error`] that names the dimension, node,
//! attribute or tensor. No input makes a call panic, or read or write out of bounds: all unsafe code is in
//! `rnnpack-kernels`, behind functions that check sizes.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod builder;
mod error;
mod layer;
mod network;
mod plan;
mod pytorch;
mod rows;
mod saved;
mod scratch;
mod sequence;
mod shape;
mod stack;
mod stack_state;
mod state;
mod stream;
#[cfg(feature = "f64")]
mod unfused;
mod weights;

pub use builder::LayerBuilder;
pub use error::{Error, PyTorchError};
pub use layer::Layer;
pub use network::{Network, NetworkState};
pub use plan::{ISA_VARIABLE, Plan, Planner};
pub use pytorch::PyTorchTensors;
pub use rnnpack_kernels::Error as KernelError;
pub use rnnpack_kernels::{Activation, Cell, GruCell, LstmCell, RnnCell};
pub use rnnpack_kernels::{
    Dims, Direction, Dots, Element, GateOrder, Layout, Scale, Strides, Subnormals, Target, Variant, View,
    ViewMut, WeightType,
};
pub use rnnpack_kernels::{activation, bytes, compare, probe, reference};
pub use scratch::Scratch;
pub use sequence::{Sequence, Threads};
pub use shape::Shape;
pub use stack::Stack;
pub use stack_state::{StackScratch, StackState};
pub use state::State;
pub use stream::{Stream, StreamWith};
#[cfg(feature = "f64")]
pub use unfused::{LayerF64, Number, ScratchF64, UnfusedLayer, UnfusedScratch};
pub use weights::{LayerScales, LayerTensors, LayerWeights};

/// The code of the README, compiled and run as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
