//! AVX2 with FMA and F16C, which every CPU with AVX2 and FMA has: 8 lanes, 16 registers.

use super::ops::Isa;
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
    unsafe fn load_bf16(self, p: *const u16) -> __m256 {
        // SAFETY: the caller promises 8 readable u16; `self` proves the ISA.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> __m256 {
        // SAFETY: the caller promises 8 readable u16; `self` proves the ISA.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
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
    fn shl_23(self, a: __m256) -> __m256 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(a))) }
    }
}
