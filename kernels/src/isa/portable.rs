//! 4 lanes, with the crate `wide`: SSE2, NEON, wasm SIMD or plain Rust, chosen when the program is compiled.

use super::ops::{Dot, Isa, WidenedBf16};
use super::scalar::Scalar;
use crate::weight_type::bf16_to_f32;
use wide::bytemuck::cast;
use wide::{f32x4, i16x8, i32x4};

/// Needs only what the compilation target promises.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

// SAFETY: `wide` only uses what the compilation target promises; loads and stores are of 4 f32.
unsafe impl Isa for Portable {
    type V = f32x4;
    type I = i32x4;
    type Widened = Widened;
    type Vnni = Widened;
    type Bf16 = WidenedBf16;
    const NAME: &'static str = "portable";
    const LANES: usize = 4;
    const REGISTERS: usize = if cfg!(target_arch = "aarch64") { 32 } else { 16 };
    // The targets on which `wide` fuses `mul_add`.
    const FUSED: bool = cfg!(any(
        all(target_feature = "sse2", target_feature = "fma"),
        all(target_feature = "neon", target_arch = "aarch64"),
    ));

    fn detect() -> Option<Self> {
        Some(Portable)
    }
    unsafe fn assume() -> Self {
        Portable
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> f32x4 {
        // SAFETY: the caller promises 4 readable f32.
        f32x4::new(unsafe { p.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: f32x4) {
        // SAFETY: the caller promises 4 writable f32.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(v.to_array()) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> f32x4 {
        // SAFETY: the caller promises 4 readable u16.
        let narrow = unsafe { p.cast::<[u16; 4]>().read_unaligned() };
        let bits = i32x4::new(narrow.map(i32::from));
        let magnitude = bits & i32x4::splat(0x7fff);
        // As `f16_to_f32`, without its branches: a magnitude below 2^10 is an integer times 2^-24.
        let normal: f32x4 = cast((magnitude << 13) + i32x4::splat((127 - 15) << 23));
        let subnormal = magnitude.round_float() * f32x4::splat(f32::from_bits((127 - 24) << 23));
        let small = magnitude.simd_lt(i32x4::splat(0x400));
        let wide = cast::<_, f32x4>(small).bitselect(subnormal, normal);
        let sign: f32x4 = cast((bits & i32x4::splat(0x8000)) << 16);
        wide | sign
    }
    #[inline(always)]
    unsafe fn load_pairs(self, p: *const u16) -> [f32x4; 2] {
        // SAFETY: the caller promises 8 readable u16.
        let pairs = unsafe { p.cast::<[[u16; 2]; 4]>().read_unaligned() };
        [0, 1].map(|k| f32x4::new(pairs.map(|pair| bf16_to_f32(pair[k]))))
    }
    #[inline(always)]
    fn prefetch(self, _: *const u8) {}
    #[inline(always)]
    fn splat(self, x: f32) -> f32x4 {
        f32x4::splat(x)
    }
    #[inline(always)]
    fn add(self, a: f32x4, b: f32x4) -> f32x4 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32x4, b: f32x4) -> f32x4 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32x4, b: f32x4) -> f32x4 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32x4, b: f32x4) -> f32x4 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f32x4, b: f32x4, c: f32x4) -> f32x4 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn min(self, a: f32x4, b: f32x4) -> f32x4 {
        a.simd_lt(b).bitselect(a, b)
    }
    #[inline(always)]
    fn max(self, a: f32x4, b: f32x4) -> f32x4 {
        a.simd_gt(b).bitselect(a, b)
    }
    #[inline(always)]
    fn least(self, a: f32x4) -> f32 {
        let [a, b, c, d] = a.to_array();
        Scalar.min(Scalar.min(a, b), Scalar.min(c, d))
    }
    #[inline(always)]
    fn largest(self, a: f32x4) -> f32 {
        let [a, b, c, d] = a.to_array();
        Scalar.max(Scalar.max(a, b), Scalar.max(c, d))
    }
    #[inline(always)]
    fn shl_23(self, a: f32x4) -> f32x4 {
        cast(cast::<_, i32x4>(a) << 23)
    }
    #[inline(always)]
    unsafe fn store_low_bytes(self, p: *mut u8, v: f32x4) {
        // SAFETY: the caller promises 4 writable bytes.
        unsafe { p.cast::<[u8; 4]>().write(v.to_array().map(|x| x.to_bits() as u8)) }
    }
    #[inline(always)]
    unsafe fn load_i32(self, p: *const i32) -> i32x4 {
        // SAFETY: the caller promises 4 readable i32.
        i32x4::new(unsafe { p.cast::<[i32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> i32x4 {
        i32x4::splat(x)
    }
    #[inline(always)]
    fn sub_i32(self, a: i32x4, b: i32x4) -> i32x4 {
        a - b
    }
    #[inline(always)]
    fn mul_i32(self, a: i32x4, b: i32x4) -> i32x4 {
        a * b
    }
    #[inline(always)]
    fn to_f32(self, a: i32x4) -> f32x4 {
        a.round_float()
    }
}

/// Dot products by multiply-adds of 16-bit integers, which cannot overflow: even and odd bytes apart.
#[derive(Clone, Copy)]
pub(crate) struct Widened;

// SAFETY: the methods touch one vector of weights and 4 factors.
unsafe impl Dot<Portable> for Widened {
    type Weight = i8;
    type Factor = u8;
    type Sums = i32x4;
    /// Even and odd k as i16, `[lane][k / 2]`.
    type Weights = [i16x8; 2];
    type Factors = [i16x8; 2];
    const NAME: &'static str = "widened";
    const REGISTERS: usize = 2;

    #[inline(always)]
    unsafe fn load(_: Portable, p: *const i8) -> [i16x8; 2] {
        // SAFETY: the caller promises 16 readable i8.
        let both: i16x8 = i16x8::new(unsafe { p.cast::<[i16; 8]>().read_unaligned() });
        order([(both << 8) >> 8, both >> 8])
    }
    #[inline(always)]
    unsafe fn broadcast(_: Portable, p: *const u8) -> [i16x8; 2] {
        // SAFETY: the caller promises 4 readable u8.
        let four = unsafe { p.cast::<[u8; 4]>().read() }.map(i16::from);
        let [a, b, c, d] = four;
        [i16x8::new([a, c, a, c, a, c, a, c]), i16x8::new([b, d, b, d, b, d, b, d])]
    }
    #[inline(always)]
    unsafe fn dot(_: Portable, sums: i32x4, a: [i16x8; 2], w: [i16x8; 2]) -> i32x4 {
        sums + a[0].dot(w[0]) + a[1].dot(w[1])
    }
}

/// Even and odd bytes in memory. On a big-endian machine the low byte of an i16 is the odd one.
#[inline(always)]
fn order([low, high]: [i16x8; 2]) -> [i16x8; 2] {
    if cfg!(target_endian = "big") { [high, low] } else { [low, high] }
}
