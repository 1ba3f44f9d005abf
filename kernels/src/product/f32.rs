//! Weights, factors and sums of f32: one multiply-add for every k.

use super::ops::{Product, ScalesAt};
use crate::isa::Isa;

/// The product of f32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct F32;

/// The number of rows M of the largest tile, with 4 vectors per row. Its 4·M accumulators, the M broadcasts of one k and one
/// vector of weights must fit into the registers. A broadcast takes `factors` of them, and a vector of weights `weights`:
/// `4·M + factors·M + weights ≤ registers`. For f32, 32 registers hold 6 rows, 16 hold 3. M is at most 6: more accumulators
/// would hide no more latency, and batches would split less evenly.
pub(crate) const fn rows(registers: usize, factors: usize, weights: usize) -> usize {
    let most = (registers - weights) / (4 + factors);
    if most < 6 { most } else { 6 }
}

impl<S: Isa> Product<S> for F32 {
    type Weight = f32;
    type Factor = f32;
    type Sum = f32;
    type Weights = S::V;
    type Factors = S::V;
    type Sums = S::V;
    const GROUP: usize = 1;
    const ROWS: usize = rows(S::REGISTERS, 1, 1);

    #[inline(always)]
    unsafe fn load<const PART: usize>(s: S, p: *const f32) -> S::V {
        // SAFETY: the caller promises LANES readable f32.
        unsafe { s.load(p) }
    }
    #[inline(always)]
    unsafe fn broadcast(s: S, p: *const f32) -> S::V {
        // SAFETY: the caller promises a readable f32.
        s.splat(unsafe { *p })
    }
    #[inline(always)]
    unsafe fn multiply_accumulate(s: S, factors: S::V, weights: S::V, sums: S::V) -> S::V {
        s.mul_add(factors, weights, sums)
    }
    #[inline(always)]
    unsafe fn start(s: S, from: *const f32) -> S::V {
        // SAFETY: the caller promises LANES readable f32.
        unsafe { s.load(from) }
    }
    #[inline(always)]
    unsafe fn finish(_: S, sums: S::V, _: *const f32, _: ScalesAt<f32>) -> S::V {
        sums
    }
}
