//! Unfused layers over `matrixmultiply`: what a careful program computes without kernels of its own.
//!
//! Benches compare with them, and they check the kernels by a different route; nothing else uses them.

use crate::{UnfusedLayer, UnfusedScratch};

/// An unfused layer of f32.
pub type Unfused = UnfusedLayer<f32>;

/// Working memory of [`Unfused`].
pub type Scratch = UnfusedScratch<f32>;
