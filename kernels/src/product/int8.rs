//! Weights of int8: exact integer sums, which become f32 with the scales of their row and gate.

use super::f32::rows;
use super::ops::{Product, ScalesAt};
use crate::factors::{HEADER, RowScale};
use crate::isa::{Dot, Isa};
use core::marker::PhantomData;

/// The product of int8 weights, by the dot products `D`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct I8<D>(PhantomData<D>);

impl<S: Isa, D: Dot<S, Weight = i8, Factor = u8, Sums = S::I>> Product<S> for I8<D> {
    type Weight = i8;
    type Factor = u8;
    type Sum = i32;
    type Weights = D::Weights;
    type Factors = D::Factors;
    type Sums = S::I;
    const GROUP: usize = 4;
    const DOTS: Option<&'static str> = Some(D::NAME);
    const ROWS: usize = rows(S::REGISTERS, D::REGISTERS, D::REGISTERS);

    #[inline(always)]
    unsafe fn vectorize<R>(s: S, f: impl FnOnce() -> R) -> R {
        // SAFETY: the caller promises the instructions.
        unsafe { D::vectorize(s, f) }
    }
    #[inline(always)]
    unsafe fn load<const PART: usize>(s: S, p: *const i8) -> D::Weights {
        // SAFETY: the caller's promise.
        unsafe { D::load(s, p) }
    }
    #[inline(always)]
    unsafe fn broadcast(s: S, p: *const u8) -> D::Factors {
        // SAFETY: the caller's promise.
        unsafe { D::broadcast(s, p) }
    }
    #[inline(always)]
    unsafe fn multiply_accumulate(s: S, factors: D::Factors, weights: D::Weights, sums: S::I) -> S::I {
        // SAFETY: the caller promises the instructions.
        unsafe { D::dot(s, sums, factors, weights) }
    }
    #[inline(always)]
    unsafe fn start(s: S, _: *const f32) -> S::I {
        s.splat_i32(0)
    }

    /// With integers x and w and their zero points zx and zw: `Σ (x - zx)(w - zw) = Σ x·w - zx·Σ w - zw·Σ (x - zx)`. The
    /// second sum stands with the scales of the weights, the third term is the correction of the row. An i32 holds the
    /// result, so it does not matter if a term alone does not fit.
    #[inline(always)]
    unsafe fn finish(s: S, sums: S::I, from: *const f32, scales: ScalesAt<u8>) -> S::V {
        // SAFETY: a row of factors stands behind its scale.
        let row = unsafe { scales.row.wrapping_sub(HEADER).cast::<RowScale>().read() };
        // SAFETY: the caller promises the scales and, behind them, the sums of the weights.
        let (scale, weights) =
            unsafe { (s.load(scales.weights), s.load_i32(scales.weights.add(scales.sums).cast())) };
        let sums = s.sub_i32(sums, s.mul_i32(s.splat_i32(row.zero_point), weights));
        let sums = s.to_f32(s.sub_i32(sums, s.splat_i32(row.correction)));
        // SAFETY: the caller promises LANES readable f32.
        s.mul_add(sums, s.mul(s.splat(row.scale), scale), unsafe { s.load(from) })
    }
}
