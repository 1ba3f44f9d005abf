//! Products: what a tile multiplies and adds, for one type of weights.
//!
//! A product is said in two parts. [`Packing`] is how the weights are stored, which needs no instruction set: weights are
//! packed for machines that are not this one. [`Product`] is what the registers of an instruction set do with them. Tiles,
//! packing and packed bytes are written over these two; [`F32`] is their one implementation.

mod f32;
mod ops;
#[cfg(test)]
mod tests;

pub(crate) use f32::F32;
pub(crate) use ops::{Packing, Product};

use crate::isa::Variant;

impl Variant {
    /// Batch rows of the largest register tile over weights of f32.
    pub fn tile_rows(self) -> usize {
        f32::rows(self.registers())
    }
}
