//! Weights of 16 bits, widened to f32 in registers; factors and sums of f32.

use super::f32::{F32, rows};
use super::ops::{Product, ScalesAt};
use crate::isa::Isa;

/// The product of bf16 weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bf16;

/// The product of f16 weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct F16;

/// Implements the product of a type of 16 bits, by its widening load of a group. All else is the product of f32.
macro_rules! sixteen {
    ($product:ident, $group:literal, |$s:ident, $p:ident| $load:expr) => {
        impl<S: Isa> Product<S> for $product {
            type Weight = u16;
            type Factor = f32;
            type Sum = f32;
            type Weights = S::V;
            type Factors = S::V;
            type Sums = S::V;
            const GROUP: usize = $group;
            const PARTS: usize = $group;
            // A vector of weights is narrow before it is wide; the second part of a pair needs a mask.
            const ROWS: usize = rows(S::REGISTERS, 1, 2);

            #[inline(always)]
            unsafe fn load<const PART: usize>($s: S, $p: *const u16) -> S::V {
                // SAFETY: the caller promises LANES groups.
                let group: [S::V; $group] = unsafe { $load };
                group[PART]
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

// A pair of bf16 becomes two f32 by a shift and a mask, one instruction each. Widening half a vector takes two for each.
sixteen!(Bf16, 2, |s, p| s.load_pairs(p));
sixteen!(F16, 1, |s, p| [s.load_f16(p)]);
