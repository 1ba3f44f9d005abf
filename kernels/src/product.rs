//! Products: what a tile multiplies and adds, for one type of weights.
//!
//! A product has two parts. [`Packing`] defines how the weights are stored. It needs no instruction set, because
//! weights are also packed for other machines. [`Product`] defines what the registers of an instruction set do with the
//! weights. Tiles, packing and packed bytes are generic over these two traits. [`F32`], [`Bf16`] and [`F16`]
//! implement them.

mod f32;
mod ops;
mod sixteen;
#[cfg(test)]
mod tests;

pub(crate) use f32::F32;
pub(crate) use ops::{Packing, Product};
pub(crate) use sixteen::{Bf16, F16};

use crate::isa::Variant;

impl Variant {
    /// The number of batch rows of the largest register tile, for weights of f32.
    pub fn tile_rows(self) -> usize {
        f32::rows(self.registers())
    }
}
