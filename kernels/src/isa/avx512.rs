//! AVX-512 F and BW: 16 lanes, 32 registers.

use super::ops::{Dot, Isa};
use core::arch::x86_64::*;

/// Proof that the CPU has AVX-512 F, AVX-512 BW and what these imply. Only [`Isa::detect`] makes it.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

#[target_feature(enable = "avx512f,avx512bw")]
fn vectorize<R>(f: impl FnOnce() -> R) -> R {
    f()
}

// SAFETY: the field is private and `detect` is the only constructor; loads and stores are of one 16-lane vector.
unsafe impl Isa for Avx512 {
    type V = __m512;
    type I = __m512i;
    type Widened = Widened;
    type Vnni = Vnni;
    type Bf16 = Vdpbf16ps;
    const HAS_VNNI: bool = true;
    const NAME: &'static str = "avx512";
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    const FUSED: bool = true;

    fn detect() -> Option<Self> {
        // Compilers assume AVX2, FMA and F16C if there is AVX-512 F, but a hypervisor may hide them.
        has_features!("avx512f", "avx512bw", "avx2", "fma", "f16c").then_some(Avx512(()))
    }
    unsafe fn assume() -> Self {
        Avx512(())
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: `self` proves that the CPU has them.
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
    unsafe fn load_f16(self, p: *const u16) -> __m512 {
        // SAFETY: the caller promises 16 readable u16; `self` proves the ISA.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }
    #[inline(always)]
    unsafe fn load_pairs(self, p: *const u16) -> [__m512; 2] {
        // SAFETY: the caller promises 32 readable u16; `self` proves the ISA.
        unsafe {
            let both = _mm512_loadu_si512(p.cast());
            let high = _mm512_and_si512(both, _mm512_set1_epi32(!0xffff));
            [_mm512_castsi512_ps(_mm512_slli_epi32::<16>(both)), _mm512_castsi512_ps(high)]
        }
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
    fn least(self, a: __m512) -> f32 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_reduce_min_ps(a) }
    }
    #[inline(always)]
    fn largest(self, a: __m512) -> f32 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_reduce_max_ps(a) }
    }
    #[inline(always)]
    fn shl_23(self, a: __m512) -> __m512 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(a))) }
    }
    #[inline(always)]
    unsafe fn store_low_bytes(self, p: *mut u8, v: __m512) {
        // SAFETY: the caller promises 16 writable bytes; `self` proves the ISA.
        unsafe { _mm_storeu_si128(p.cast(), _mm512_cvtepi32_epi8(_mm512_castps_si512(v))) }
    }
    #[inline(always)]
    unsafe fn load_i32(self, p: *const i32) -> __m512i {
        // SAFETY: the caller promises 16 readable i32; `self` proves the ISA.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m512i {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    fn sub_i32(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_sub_epi32(a, b) }
    }
    #[inline(always)]
    fn mul_i32(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_mullo_epi32(a, b) }
    }
    #[inline(always)]
    fn to_f32(self, a: __m512i) -> __m512 {
        // SAFETY: `self` proves the ISA.
        unsafe { _mm512_cvtepi32_ps(a) }
    }
}

/// Dot products by multiply-adds of 16-bit integers, which cannot overflow: even and odd bytes apart. (The instruction
/// for bytes, `vpmaddubsw`, saturates.)
#[derive(Clone, Copy)]
pub(crate) struct Widened;

// SAFETY: the methods touch one vector of weights and 4 factors.
unsafe impl Dot<Avx512> for Widened {
    type Weight = i8;
    type Factor = u8;
    type Sums = __m512i;
    /// Even and odd k as i16, `[lane][k / 2]`.
    type Weights = [__m512i; 2];
    type Factors = [__m512i; 2];
    const NAME: &'static str = "widened";
    const REGISTERS: usize = 2;

    #[inline(always)]
    unsafe fn load(_: Avx512, p: *const i8) -> [__m512i; 2] {
        // SAFETY: the caller promises 64 readable i8; the token proves the ISA.
        unsafe {
            let both = _mm512_loadu_si512(p.cast());
            [_mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(both)), _mm512_srai_epi16::<8>(both)]
        }
    }
    #[inline(always)]
    unsafe fn broadcast(_: Avx512, p: *const u8) -> [__m512i; 2] {
        // SAFETY: the caller promises 4 readable u8; the token proves the ISA.
        unsafe {
            let both = _mm512_set1_epi32(p.cast::<i32>().read_unaligned());
            let even = _mm512_set1_epi16(0xff);
            [_mm512_and_si512(both, even), _mm512_srli_epi16::<8>(both)]
        }
    }
    #[inline(always)]
    unsafe fn dot(_: Avx512, sums: __m512i, a: [__m512i; 2], w: [__m512i; 2]) -> __m512i {
        // SAFETY: the token proves the ISA.
        unsafe {
            let even = _mm512_add_epi32(sums, _mm512_madd_epi16(a[0], w[0]));
            _mm512_add_epi32(even, _mm512_madd_epi16(a[1], w[1]))
        }
    }
}

/// Dot products by `vpdpbusd`.
#[derive(Clone, Copy)]
pub(crate) struct Vnni;

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn vectorize_vnni<R>(f: impl FnOnce() -> R) -> R {
    f()
}

// SAFETY: the methods touch one vector of weights and 4 factors.
unsafe impl Dot<Avx512> for Vnni {
    type Weight = i8;
    type Factor = u8;
    type Sums = __m512i;
    type Weights = __m512i;
    type Factors = __m512i;
    const NAME: &'static str = "vnni";
    const REGISTERS: usize = 1;

    fn detect() -> bool {
        has_features!("avx512vnni")
    }
    #[inline(always)]
    unsafe fn vectorize<R>(_: Avx512, f: impl FnOnce() -> R) -> R {
        // SAFETY: the token proves the ISA, and the caller promises VNNI.
        unsafe { vectorize_vnni(f) }
    }
    #[inline(always)]
    unsafe fn load(_: Avx512, p: *const i8) -> __m512i {
        // SAFETY: the caller promises 64 readable i8; the token proves the ISA.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn broadcast(_: Avx512, p: *const u8) -> __m512i {
        // SAFETY: the caller promises 4 readable u8; the token proves the ISA.
        unsafe { _mm512_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(_: Avx512, sums: __m512i, a: __m512i, w: __m512i) -> __m512i {
        // SAFETY: the token proves the ISA, and the caller promises VNNI.
        unsafe { _mm512_dpbusd_epi32(sums, a, w) }
    }
}

/// Dot products of bf16 by `vdpbf16ps`.
#[derive(Clone, Copy)]
pub(crate) struct Vdpbf16ps;

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn vectorize_bf16<R>(f: impl FnOnce() -> R) -> R {
    f()
}

// SAFETY: the methods touch one vector of weights and 2 factors.
unsafe impl Dot<Avx512> for Vdpbf16ps {
    type Weight = u16;
    type Factor = u16;
    type Sums = __m512;
    type Weights = __m512;
    type Factors = __m512;
    const NAME: &'static str = "avx512-bf16";
    const REGISTERS: usize = 1;

    fn detect() -> bool {
        has_features!("avx512bf16")
    }
    #[inline(always)]
    unsafe fn vectorize<R>(_: Avx512, f: impl FnOnce() -> R) -> R {
        // SAFETY: the token proves the ISA, and the caller promises AVX-512 BF16.
        unsafe { vectorize_bf16(f) }
    }
    #[inline(always)]
    unsafe fn load(s: Avx512, p: *const u16) -> __m512 {
        // SAFETY: the caller promises 32 readable u16.
        unsafe { s.load(p.cast()) }
    }
    #[inline(always)]
    unsafe fn broadcast(s: Avx512, p: *const u16) -> __m512 {
        // SAFETY: the caller promises 2 readable u16.
        s.splat(f32::from_bits(unsafe { p.cast::<u32>().read_unaligned() }))
    }
    #[inline(always)]
    unsafe fn dot(_: Avx512, sums: __m512, a: __m512, w: __m512) -> __m512 {
        // SAFETY: the token proves the ISA, and the caller promises AVX-512 BF16. The bits are those of pairs of bf16.
        unsafe {
            let [a, w] = [a, w].map(|v| core::mem::transmute::<__m512, __m512bh>(v));
            _mm512_dpbf16_ps(sums, a, w)
        }
    }
}
