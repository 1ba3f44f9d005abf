//! Weights of 16 bits, widened to f32 in registers; factors and sums of f32.

use super::f32::F32;
use super::ops::{Product, ScalesAt};
use crate::isa::Isa;

/// The product of bf16 weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bf16;

/// The product of f16 weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct F16;

/// Implements the product of a type of 16 bits, by its widening load. All else is the product of f32.
macro_rules! sixteen {
    ($product:ident, $load:ident) => {
        impl<S: Isa> Product<S> for $product {
            type Weight = u16;
            type Factor = f32;
            type Sum = f32;
            type Weights = S::V;
            type Factors = S::V;
            type Sums = S::V;
            const GROUP: usize = 1;
            const ROWS: usize = <F32 as Product<S>>::ROWS;

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
            unsafe fn multiply_accumulate(s: S, factors: S::V, weights: S::V, sums: S::V) -> S::V {
                // SAFETY: every CPU has the product of f32.
                unsafe { <F32 as Product<S>>::multiply_accumulate(s, factors, weights, sums) }
            }
            #[inline(always)]
            unsafe fn start(s: S, from: *const f32) -> S::V {
                // SAFETY: the caller's promise.
                unsafe { <F32 as Product<S>>::start(s, from) }
            }
            #[inline(always)]
            unsafe fn finish(_: S, sums: S::V, _: *const f32, _: ScalesAt<f32>) -> S::V {
                sums
            }
        }
    };
}

sixteen!(Bf16, load_bf16);
sixteen!(F16, load_f16);
