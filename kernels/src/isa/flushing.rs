//! One lane that flushes subnormals, in plain arithmetic: what [`Subnormals::Flush`] means for every operation.
//!
//! [`Subnormals::Flush`]: crate::subnormals::Subnormals::Flush

use super::ops::{Isa, WidenedBf16};
use super::scalar::{Plain, Scalar};
use super::tininess::{Tininess, flush};

/// [`Scalar`] with subnormal operands taken for zero, and zero in place of tiny results.
#[derive(Clone, Copy)]
pub(crate) struct Flushing;

/// The rule of this machine.
const RULE: Tininess = Tininess::HERE;

// SAFETY: plain Rust runs everywhere; loads and stores are of one f32.
unsafe impl Isa for Flushing {
    type V = f32;
    type I = i32;
    type Widened = Plain;
    type Vnni = Plain;
    type Bf16 = WidenedBf16;
    const NAME: &'static str = "flushing";
    const LANES: usize = 1;
    const REGISTERS: usize = Scalar::REGISTERS;
    const FUSED: bool = true;

    fn detect() -> Option<Self> {
        Some(Flushing)
    }
    unsafe fn assume() -> Self {
        Flushing
    }
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
    unsafe fn load(self, p: *const f32) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { Scalar.load(p) }
    }
    unsafe fn store(self, p: *mut f32, v: f32) {
        // SAFETY: the caller's promise.
        unsafe { Scalar.store(p, v) }
    }
    unsafe fn load_f16(self, p: *const u16) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { Scalar.load_f16(p) }
    }
    unsafe fn load_pairs(self, p: *const u16) -> [f32; 2] {
        // SAFETY: the caller's promise.
        unsafe { Scalar.load_pairs(p) }
    }
    fn prefetch(self, _: *const u8) {}
    fn splat(self, x: f32) -> f32 {
        x
    }
    fn add(self, a: f32, b: f32) -> f32 {
        let [a, b] = [a, b].map(flush);
        RULE.mul_add(a + b, [a, 1.0, b])
    }
    fn sub(self, a: f32, b: f32) -> f32 {
        let [a, b] = [a, b].map(flush);
        RULE.mul_add(a - b, [a, 1.0, -b])
    }
    fn mul(self, a: f32, b: f32) -> f32 {
        let [a, b] = [a, b].map(flush);
        RULE.mul_add(a * b, [a, b, -0.0])
    }
    fn div(self, a: f32, b: f32) -> f32 {
        let [a, b] = [a, b].map(flush);
        RULE.div(a / b, a, b)
    }
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        let [a, b, c] = [a, b, c].map(flush);
        RULE.mul_add(Scalar.mul_add(a, b, c), [a, b, c])
    }
    fn min(self, a: f32, b: f32) -> f32 {
        Scalar.min(flush(a), flush(b))
    }
    fn least(self, a: f32) -> f32 {
        a
    }
    fn largest(self, a: f32) -> f32 {
        a
    }
    fn max(self, a: f32, b: f32) -> f32 {
        Scalar.max(flush(a), flush(b))
    }
    fn shl_23(self, a: f32) -> f32 {
        Scalar.shl_23(a)
    }
    unsafe fn store_low_bytes(self, p: *mut u8, v: f32) {
        // SAFETY: the caller's promise.
        unsafe { Scalar.store_low_bytes(p, v) }
    }
    unsafe fn load_i32(self, p: *const i32) -> i32 {
        // SAFETY: the caller's promise.
        unsafe { Scalar.load_i32(p) }
    }
    fn splat_i32(self, x: i32) -> i32 {
        x
    }
    fn sub_i32(self, a: i32, b: i32) -> i32 {
        Scalar.sub_i32(a, b)
    }
    fn mul_i32(self, a: i32, b: i32) -> i32 {
        Scalar.mul_i32(a, b)
    }
    fn to_f32(self, a: i32) -> f32 {
        Scalar.to_f32(a)
    }
    fn widen(self, x: f32) -> f64 {
        flush(x).into()
    }
    fn narrow(self, x: f64) -> f32 {
        RULE.narrow(x)
    }
}
