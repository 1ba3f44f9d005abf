//! Weights of bf16 in pairs, for factors of bf16: outside of the determinism contract.

use super::f32::rows;
use super::ops::{Product, ScalesAt};
use crate::isa::{Dot, Isa};
use core::marker::PhantomData;

/// The product of pairs of bf16, by the dot products `D`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bf16Dot<D>(PhantomData<D>);

impl<S: Isa, D: Dot<S, Weight = u16, Factor = u16, Sums = S::V>> Product<S> for Bf16Dot<D> {
    type Weight = u16;
    type Factor = u16;
    type Sum = f32;
    type Weights = D::Weights;
    type Factors = D::Factors;
    type Sums = S::V;
    const GROUP: usize = 2;
    const DOTS: Option<&'static str> = Some(D::NAME);
    const ROWS: usize = rows(S::REGISTERS, D::REGISTERS, D::REGISTERS);

    #[inline(always)]
    unsafe fn vectorize<R>(s: S, f: impl FnOnce() -> R) -> R {
        // SAFETY: the caller promises the instructions.
        unsafe { D::vectorize(s, f) }
    }
    #[inline(always)]
    unsafe fn load<const PART: usize>(s: S, p: *const u16) -> D::Weights {
        // SAFETY: the caller's promise.
        unsafe { D::load(s, p) }
    }
    #[inline(always)]
    unsafe fn broadcast(s: S, p: *const u16) -> D::Factors {
        // SAFETY: the caller's promise.
        unsafe { D::broadcast(s, p) }
    }
    #[inline(always)]
    unsafe fn multiply_accumulate(s: S, factors: D::Factors, weights: D::Weights, sums: S::V) -> S::V {
        // SAFETY: the caller promises the instructions.
        unsafe { D::dot(s, sums, factors, weights) }
    }
    #[inline(always)]
    unsafe fn start(s: S, from: *const f32) -> S::V {
        // SAFETY: the caller promises LANES readable f32.
        unsafe { s.load(from) }
    }
    #[inline(always)]
    unsafe fn finish(_: S, sums: S::V, _: *const f32, _: ScalesAt<u16>) -> S::V {
        sums
    }
}
