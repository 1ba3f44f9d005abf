//! AVX-512 Foundation: 16 lanes, 32 registers.

use super::ops::Isa;
use core::arch::x86_64::*;

/// Proof that the CPU has AVX-512 F and what that implies. Only [`Isa::detect`] makes it.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

#[target_feature(enable = "avx512f")]
fn vectorize<R>(f: impl FnOnce() -> R) -> R {
    f()
}

// SAFETY: the field is private and `detect` is the only constructor; loads and stores are of one 16-lane vector.
unsafe impl Isa for Avx512 {
    type V = __m512;
    const NAME: &'static str = "avx512";
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    const FUSED: bool = true;

    fn detect() -> Option<Self> {
        // Compilers assume AVX2, FMA and F16C if there is AVX-512 F, but a hypervisor may hide them.
        has_features!("avx512f", "avx2", "fma", "f16c").then_some(Avx512(()))
    }
    unsafe fn assume() -> Self {
        Avx512(())
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: `self` proves that the CPU has AVX-512 F.
        unsafe { vectorize(f) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m512 {
        // SAFETY: the caller promises 16 readable f32; `self` proves the ISA.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m512) {
        // SAFETY: the caller promises 16 writable f32; `self` proves the ISA.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> __m512 {
        // SAFETY: the caller promises 16 readable u16; `self` proves the ISA.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> __m512 {
        // SAFETY: the caller promises 16 readable u16; `self` proves the ISA.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }
    #[inline(always)]
    fn prefetch(self, p: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn shl_23(self, a: __m512) -> __m512 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(a))) }
    }
}
