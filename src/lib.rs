//! Recurrent layers on CPUs: as fast as the hardware allows, and the same bits every time.
#![forbid(unsafe_code)]

#[cfg(feature = "baseline")]
pub mod baseline;
#[cfg(feature = "rayon")]
mod batch;
mod error;
mod layer;
#[cfg(feature = "onnx")]
pub mod onnx;
mod plan;
mod shape;
mod stack;
mod state;
#[cfg(any(feature = "f64", feature = "baseline"))]
mod unfused;
mod weights;

pub use error::Error;
pub use layer::{Layer, Sequence};
pub use plan::{ISA_VARIABLE, Plan, Planner};
pub use rnnpack_kernels::{Activation, Cell, GruCell, LstmCell, RnnCell};
pub use rnnpack_kernels::{
    Dims, Direction, Element, GateOrder, Layout, Strides, Target, Variant, View, ViewMut,
};
pub use rnnpack_kernels::{activation, bytes, probe, reference};
pub use shape::Shape;
pub use stack::{Stack, StackScratch, StackState};
pub use state::{Scratch, State};
#[cfg(feature = "f64")]
pub use unfused::{LayerF64, ScratchF64};
#[cfg(any(feature = "f64", feature = "baseline"))]
pub use unfused::{Number, UnfusedLayer, UnfusedScratch};
pub use weights::{LayerTensors, LayerWeights, PyTorchTensors};

/// The code of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
