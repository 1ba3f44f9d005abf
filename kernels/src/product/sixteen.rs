//! Weights of 16 bits, widened to f32 in registers; factors and sums of f32.

use super::f32::F32;
use super::ops::{Packing, Product};
use crate::isa::Isa;
use crate::weight_type::{f32_to_bf16, f32_to_f16};

/// The product of bf16 weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bf16;

/// The product of f16 weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct F16;

/// Implements both traits for a type of 16 bits, by its conversion from f32 and its widening load. All else is the product of
/// f32.
macro_rules! sixteen {
    ($product:ident, $convert:ident, $load:ident) => {
        impl Packing for $product {
            type Weight = u16;
            const GROUP: usize = 1;

            fn weight(x: f32) -> u16 {
                $convert(x)
            }
        }

        impl<S: Isa> Product<S> for $product {
            type Factor = f32;
            type Sum = f32;
            type Weights = S::V;
            type Factors = S::V;
            type Sums = S::V;
            const ROWS: usize = <F32 as Product<S>>::ROWS;
            // Three products would have three times the code of the inlined epilogues.
            const INLINE: bool = false;

            #[inline(always)]
            unsafe fn load(s: S, p: *const u16) -> S::V {
                // SAFETY: the caller promises LANES readable u16.
                unsafe { s.$load(p) }
            }
            #[inline(always)]
            unsafe fn broadcast(s: S, p: *const f32) -> S::V {
                // SAFETY: the caller's promise.
                unsafe { <F32 as Product<S>>::broadcast(s, p) }
            }
            #[inline(always)]
            fn multiply_accumulate(s: S, factors: S::V, weights: S::V, sums: S::V) -> S::V {
                <F32 as Product<S>>::multiply_accumulate(s, factors, weights, sums)
            }
            #[inline(always)]
            unsafe fn start(s: S, from: *const f32) -> S::V {
                // SAFETY: the caller's promise.
                unsafe { <F32 as Product<S>>::start(s, from) }
            }
            #[inline(always)]
            unsafe fn finish(s: S, sums: S::V, from: *const f32) -> S::V {
                // SAFETY: the caller's promise.
                unsafe { <F32 as Product<S>>::finish(s, sums, from) }
            }
        }
    };
}

sixteen!(Bf16, f32_to_bf16, load_bf16);
sixteen!(F16, f32_to_f16, load_f16);
