//! Products: what a tile multiplies and adds, for one type of weights.
//!
//! [`Product`] defines what the registers of an instruction set do with packed weights. Tiles are generic over it. [`F32`],
//! [`Bf16`], [`F16`], [`I8`] and [`Bf16Dot`] implement it.

mod bf16_dot;
mod f32;
mod int8;
mod ops;
mod sixteen;
#[cfg(test)]
mod tests;

pub(crate) use bf16_dot::Bf16Dot;
pub(crate) use f32::F32;
pub(crate) use int8::I8;
pub(crate) use ops::{Product, ScalesAt};
pub(crate) use sixteen::{Bf16, F16};

use crate::isa::Variant;

impl Variant {
    /// The number of batch rows of the largest register tile, for weights of f32.
    pub fn tile_rows(self) -> usize {
        f32::rows(self.registers(), 1, 1)
    }
}
