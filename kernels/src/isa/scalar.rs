//! One lane, for the naive references and the scalar activations. It defines every operation in plain Rust.

use super::ops::{Dot, Isa, WidenedBf16};
use crate::math;
use crate::weight_type::{bf16_to_f32, f16_to_f32};

/// Plain Rust, for any CPU. A multiply-add rounds once everywhere; if necessary it is a library call.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

// SAFETY: plain Rust runs everywhere; loads and stores are of one f32.
unsafe impl Isa for Scalar {
    type V = f32;
    type I = i32;
    type Widened = Plain;
    type Vnni = Plain;
    type Bf16 = WidenedBf16;
    const NAME: &'static str = "scalar";
    const LANES: usize = 1;
    const REGISTERS: usize = 16;
    const FUSED: bool = true;

    fn detect() -> Option<Self> {
        Some(Scalar)
    }
    unsafe fn assume() -> Self {
        Scalar
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> f32 {
        // SAFETY: the caller promises one readable f32, which may be unaligned.
        unsafe { p.read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: f32) {
        // SAFETY: the caller promises one writable f32, which may be unaligned.
        unsafe { p.write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> f32 {
        // SAFETY: the caller promises one readable u16, which may be unaligned.
        f16_to_f32(unsafe { p.read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_pairs(self, p: *const u16) -> [f32; 2] {
        // SAFETY: the caller promises 2 readable u16, which may be unaligned.
        unsafe { p.cast::<[u16; 2]>().read_unaligned() }.map(bf16_to_f32)
    }
    #[inline(always)]
    fn prefetch(self, _: *const u8) {}
    #[inline(always)]
    fn splat(self, x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn add(self, a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32, b: f32) -> f32 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        math::mul_add(a, b, c)
    }
    #[inline(always)]
    fn min(self, a: f32, b: f32) -> f32 {
        if a < b { a } else { b }
    }
    #[inline(always)]
    fn max(self, a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
    #[inline(always)]
    fn least(self, a: f32) -> f32 {
        a
    }
    #[inline(always)]
    fn largest(self, a: f32) -> f32 {
        a
    }
    #[inline(always)]
    fn shl_23(self, a: f32) -> f32 {
        f32::from_bits(a.to_bits() << 23)
    }
    #[inline(always)]
    unsafe fn store_low_bytes(self, p: *mut u8, v: f32) {
        // SAFETY: the caller promises one writable byte.
        unsafe { p.write(v.to_bits() as u8) }
    }
    #[inline(always)]
    unsafe fn load_i32(self, p: *const i32) -> i32 {
        // SAFETY: the caller promises one readable i32, which may be unaligned.
        unsafe { p.read_unaligned() }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> i32 {
        x
    }
    #[inline(always)]
    fn sub_i32(self, a: i32, b: i32) -> i32 {
        a.wrapping_sub(b)
    }
    #[inline(always)]
    fn mul_i32(self, a: i32, b: i32) -> i32 {
        a.wrapping_mul(b)
    }
    #[inline(always)]
    fn to_f32(self, a: i32) -> f32 {
        a as f32
    }
}

/// Dot products in plain Rust, of one lane.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

// SAFETY: the methods touch 4 weights and 4 factors.
unsafe impl<S: Isa<I = i32>> Dot<S> for Plain {
    type Weight = i8;
    type Factor = u8;
    type Sums = i32;
    type Weights = [i8; 4];
    type Factors = [u8; 4];
    const NAME: &'static str = "plain";
    const REGISTERS: usize = 1;

    unsafe fn load(_: S, p: *const i8) -> [i8; 4] {
        // SAFETY: the caller promises 4 readable i8.
        unsafe { p.cast::<[i8; 4]>().read() }
    }
    unsafe fn broadcast(_: S, p: *const u8) -> [u8; 4] {
        // SAFETY: the caller promises 4 readable u8.
        unsafe { p.cast::<[u8; 4]>().read() }
    }
    unsafe fn dot(_: S, sums: i32, a: [u8; 4], w: [i8; 4]) -> i32 {
        a.into_iter().zip(w).fold(sums, |sum, (a, w)| sum.wrapping_add(i32::from(a) * i32::from(w)))
    }
}
