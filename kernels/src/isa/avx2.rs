//! AVX2 with FMA and F16C, which every CPU with AVX2 and FMA has: 8 lanes, 16 registers.

use super::ops::{Dot, Isa, WidenedBf16};
use core::arch::x86_64::*;

/// Proof that the CPU has AVX2, FMA and F16C. Only [`Isa::detect`] makes it.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

#[target_feature(enable = "avx2,fma,f16c")]
fn vectorize<R>(f: impl FnOnce() -> R) -> R {
    f()
}

// SAFETY: the field is private and `detect` is the only constructor; loads and stores are of one 8-lane vector.
unsafe impl Isa for Avx2 {
    type V = __m256;
    type I = __m256i;
    type Widened = Widened;
    type Vnni = Vnni;
    type Bf16 = WidenedBf16;
    const HAS_VNNI: bool = true;
    const NAME: &'static str = "avx2";
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    const FUSED: bool = true;

    fn detect() -> Option<Self> {
        has_features!("avx2", "fma", "f16c").then_some(Avx2(()))
    }
    unsafe fn assume() -> Self {
        Avx2(())
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: `self` proves that the CPU has AVX2, FMA and F16C.
        unsafe { vectorize(f) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m256 {
        // SAFETY: the caller promises 8 readable f32; `self` proves the ISA.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m256) {
        // SAFETY: the caller promises 8 writable f32; `self` proves the ISA.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> __m256 {
        // SAFETY: the caller promises 8 readable u16; `self` proves the ISA.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn load_pairs(self, p: *const u16) -> [__m256; 2] {
        // SAFETY: the caller promises 16 readable u16; `self` proves the ISA.
        unsafe {
            let both = _mm256_loadu_si256(p.cast());
            let high = _mm256_and_si256(both, _mm256_set1_epi32(!0xffff));
            [_mm256_castsi256_ps(_mm256_slli_epi32::<16>(both)), _mm256_castsi256_ps(high)]
        }
    }
    #[inline(always)]
    fn prefetch(self, p: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn least(self, a: __m256) -> f32 {
        // SAFETY: `self` proves the ISA.
        unsafe {
            let a = _mm_min_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_min_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_min_ss(a, _mm_movehdup_ps(a)))
        }
    }
    #[inline(always)]
    fn largest(self, a: __m256) -> f32 {
        // SAFETY: `self` proves the ISA.
        unsafe {
            let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)))
        }
    }
    #[inline(always)]
    fn shl_23(self, a: __m256) -> __m256 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(a))) }
    }
    #[inline(always)]
    unsafe fn store_low_bytes(self, p: *mut u8, v: __m256) {
        // SAFETY: the caller promises 8 writable bytes; `self` proves the ISA.
        unsafe {
            // The low byte of each lane, to the low 4 bytes of each half.
            let low = _mm256_set1_epi32(0x0c08_0400);
            let halves = _mm256_shuffle_epi8(_mm256_castps_si256(v), low);
            let (a, b) = (_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
            _mm_storel_epi64(p.cast(), _mm_unpacklo_epi32(a, b));
        }
    }
    #[inline(always)]
    unsafe fn load_i32(self, p: *const i32) -> __m256i {
        // SAFETY: the caller promises 8 readable i32; `self` proves the ISA.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m256i {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm256_set1_epi32(x) }
    }
    #[inline(always)]
    fn sub_i32(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm256_sub_epi32(a, b) }
    }
    #[inline(always)]
    fn mul_i32(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm256_mullo_epi32(a, b) }
    }
    #[inline(always)]
    fn to_f32(self, a: __m256i) -> __m256 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm256_cvtepi32_ps(a) }
    }
}

/// Dot products by multiply-adds of 16-bit integers, which cannot overflow: even and odd bytes apart. (The instruction
/// for bytes, `vpmaddubsw`, saturates.)
#[derive(Clone, Copy)]
pub(crate) struct Widened;

// SAFETY: the methods touch one vector of weights and 4 factors.
unsafe impl Dot<Avx2> for Widened {
    type Weight = i8;
    type Factor = u8;
    type Sums = __m256i;
    /// Even and odd k as i16, `[lane][k / 2]`.
    type Weights = [__m256i; 2];
    type Factors = [__m256i; 2];
    const NAME: &'static str = "widened";
    const REGISTERS: usize = 2;

    #[inline(always)]
    unsafe fn load(_: Avx2, p: *const i8) -> [__m256i; 2] {
        // SAFETY: the caller promises 32 readable i8; the token proves the ISA.
        unsafe {
            let both = _mm256_loadu_si256(p.cast());
            [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(both)), _mm256_srai_epi16::<8>(both)]
        }
    }
    #[inline(always)]
    unsafe fn broadcast(_: Avx2, p: *const u8) -> [__m256i; 2] {
        // SAFETY: the caller promises 4 readable u8; the token proves the ISA.
        unsafe {
            let both = _mm256_set1_epi32(p.cast::<i32>().read_unaligned());
            let even = _mm256_set1_epi16(0xff);
            [_mm256_and_si256(both, even), _mm256_srli_epi16::<8>(both)]
        }
    }
    #[inline(always)]
    unsafe fn dot(_: Avx2, sums: __m256i, a: [__m256i; 2], w: [__m256i; 2]) -> __m256i {
        // SAFETY: the token proves the ISA.
        unsafe {
            let even = _mm256_add_epi32(sums, _mm256_madd_epi16(a[0], w[0]));
            _mm256_add_epi32(even, _mm256_madd_epi16(a[1], w[1]))
        }
    }
}

/// Dot products by `vpdpbusd`.
#[derive(Clone, Copy)]
pub(crate) struct Vnni;

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn vectorize_vnni<R>(f: impl FnOnce() -> R) -> R {
    f()
}

// SAFETY: the methods touch one vector of weights and 4 factors.
unsafe impl Dot<Avx2> for Vnni {
    type Weight = i8;
    type Factor = u8;
    type Sums = __m256i;
    type Weights = __m256i;
    type Factors = __m256i;
    const NAME: &'static str = "vnni";
    const REGISTERS: usize = 1;

    fn detect() -> bool {
        has_features!("avxvnni")
    }
    #[inline(always)]
    unsafe fn vectorize<R>(_: Avx2, f: impl FnOnce() -> R) -> R {
        // SAFETY: the token proves the ISA, and the caller promises VNNI.
        unsafe { vectorize_vnni(f) }
    }
    #[inline(always)]
    unsafe fn load(_: Avx2, p: *const i8) -> __m256i {
        // SAFETY: the caller promises 32 readable i8; the token proves the ISA.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn broadcast(_: Avx2, p: *const u8) -> __m256i {
        // SAFETY: the caller promises 4 readable u8; the token proves the ISA.
        unsafe { _mm256_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(_: Avx2, sums: __m256i, a: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the token proves the ISA, and the caller promises VNNI.
        unsafe { _mm256_dpbusd_avx_epi32(sums, a, w) }
    }
}
