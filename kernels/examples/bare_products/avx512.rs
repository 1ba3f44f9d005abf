//! The product R·h of one row without anything around it, in AVX-512 for each type of weights.

use rnnpack_kernels::WeightType;
use std::arch::x86_64::*;
use std::hint::black_box;
use std::time::Instant;

/// Vectors of sums: two panels of the four gates.
const CHAINS: usize = 8;
/// f32 in a vector: the units of a panel.
const LANES: usize = 16;
/// How often a turn repeats what it times, for µs that a clock can tell.
const STEPS: usize = 8;

pub(crate) fn detect() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx512bf16")
}

/// R of a layer: pairs of panels, each `[k / group][8 vectors]`.
pub(crate) struct Bare {
    weights: WeightType,
    r: Vec<__m512i>,
    h: Vec<u32>,
    /// Vectors of memory that all chains read in a turn: 8, or 4 for f16, which is widened by halves of a vector.
    turn: usize,
    /// The turns of a pair of panels.
    depth: usize,
    pairs: usize,
}

impl Bare {
    pub(crate) fn new(weights: WeightType, hidden: usize) -> Bare {
        let bytes = if weights == WeightType::F32 {
            4
        } else if weights == WeightType::I8 {
            1
        } else {
            2
        };
        let group = weights.group();
        let turn = CHAINS * LANES * bytes * group / 64;
        let (depth, pairs) = (hidden / group, hidden / LANES / 2);
        // SAFETY: no instruction beyond AVX-512 F; `detect` was asked.
        let zero = unsafe { _mm512_setzero_si512() };
        Bare { weights, r: vec![zero; turn * depth * pairs], h: vec![0; hidden], turn, depth, pairs }
    }

    pub(crate) fn bytes(&mut self) -> f64 {
        timed(|backward| {
            let len = self.turn * self.depth;
            for pair in order(self.pairs, backward) {
                // SAFETY: `detect` was asked.
                unsafe { read(&self.r[pair * len..][..len]) }
            }
        })
    }

    pub(crate) fn product(&mut self) -> f64 {
        timed(|backward| {
            for pair in order(self.pairs, backward) {
                self.pair(pair, 0..self.depth);
            }
        })
    }

    /// The product of the weights that fit into half of L1, over and over.
    pub(crate) fn slots(&mut self) -> f64 {
        let chunk = (16 * 1024 / 64 / self.turn).min(self.depth);
        timed(|_| {
            for _ in 0..self.pairs {
                for _ in 0..self.depth / chunk {
                    self.pair(0, 0..chunk);
                }
            }
        })
    }

    fn pair(&self, pair: usize, depth: std::ops::Range<usize>) {
        let r = &self.r[self.turn * self.depth * pair..][..self.turn * depth.len()];
        // bf16 takes two elements of h for each turn, the others a whole group as one.
        let each = if self.weights == WeightType::Bf16 { 2 } else { 1 };
        let h = &self.h[depth.start * each..depth.end * each];
        // SAFETY: `detect` was asked, and R has a turn for each of h.
        unsafe {
            match self.weights {
                WeightType::F32 => f32s(r, h),
                WeightType::Bf16 => bf16s(r, h),
                WeightType::F16 => f16s(r, h),
                WeightType::I8 => i8s(r, h),
                _ => bf16_pairs(r, h),
            }
        }
    }
}

fn order(pairs: usize, backward: bool) -> impl Iterator<Item = usize> {
    (0..pairs).map(move |i| if backward { pairs - 1 - i } else { i })
}

/// The µs of one step.
fn timed(mut step: impl FnMut(bool)) -> f64 {
    step(true);
    let start = Instant::now();
    for n in 0..STEPS {
        step(n % 2 == 1);
    }
    start.elapsed().as_secs_f64() * 1e6 / STEPS as f64
}

/// Defines a function that multiplies a pair of panels by h. It takes the elements of a vector in memory, the sums at the start,
/// and the multiply-accumulate of the vector at an address.
macro_rules! product {
    ($name:ident, $feature:literal, $zero:expr, |$p:ident, $chain:ident, $h:ident, $sum:ident| $body:expr) => {
        /// # Safety
        /// The CPU must have the features. `r` must have the weights of all chains for each of `h`.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl", enable = $feature)]
        unsafe fn $name(r: &[__m512i], h: &[u32]) {
            let mut sums = [$zero; CHAINS];
            let mut p: *const u8 = r.as_ptr().cast();
            for $h in h {
                let $p = p;
                for $chain in 0..CHAINS {
                    let $sum = sums[$chain];
                    // SAFETY: the caller's promise.
                    sums[$chain] = unsafe { $body };
                }
                p = p.wrapping_add(r.len() / h.len() * 64);
            }
            black_box(sums);
        }
    };
}

product!(f32s, "avx512f", _mm512_setzero_ps(), |p, chain, h, sum| {
    _mm512_fmadd_ps(_mm512_set1_ps(f32::from_bits(*h)), _mm512_loadu_ps(p.cast::<f32>().add(16 * chain)), sum)
});
/// Weights in pairs, h apart: two multiply-adds for each vector of pairs. h has two elements for each.
///
/// # Safety
/// As the products of [`product`], with the weights of all chains for each pair of `h`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn bf16s(r: &[__m512i], h: &[u32]) {
    let mut sums = [_mm512_setzero_ps(); CHAINS];
    let high = _mm512_set1_epi32(0xffff_0000u32.cast_signed());
    for (vectors, h) in r.chunks_exact(CHAINS).zip(h.chunks_exact(2)) {
        let factors = [_mm512_set1_ps(f32::from_bits(h[0])), _mm512_set1_ps(f32::from_bits(h[1]))];
        for (sum, &v) in sums.iter_mut().zip(vectors) {
            *sum = _mm512_fmadd_ps(factors[0], _mm512_castsi512_ps(_mm512_slli_epi32::<16>(v)), *sum);
        }
        for (sum, &v) in sums.iter_mut().zip(vectors) {
            *sum = _mm512_fmadd_ps(factors[1], _mm512_castsi512_ps(_mm512_and_si512(v, high)), *sum);
        }
    }
    black_box(sums);
}
product!(f16s, "avx512f", _mm512_setzero_ps(), |p, chain, h, sum| {
    let weights = _mm512_cvtph_ps(_mm256_loadu_si256(p.cast::<__m256i>().add(chain)));
    _mm512_fmadd_ps(_mm512_set1_ps(f32::from_bits(*h)), weights, sum)
});
product!(i8s, "avx512vnni", _mm512_setzero_si512(), |p, chain, h, sum| {
    let factors = _mm512_set1_epi32(i32::from_ne_bytes(h.to_ne_bytes()));
    _mm512_dpbusd_epi32(sum, factors, _mm512_loadu_si512(p.cast::<__m512i>().add(chain)))
});
product!(bf16_pairs, "avx512bf16", _mm512_setzero_ps(), |p, chain, h, sum| {
    let factors = _mm512_castsi512_ps(_mm512_set1_epi32(i32::from_ne_bytes(h.to_ne_bytes())));
    let weights = _mm512_loadu_ps(p.cast::<f32>().add(16 * chain));
    let [a, w] = [factors, weights].map(|v| std::mem::transmute::<__m512, __m512bh>(v));
    _mm512_dpbf16_ps(sum, a, w)
});

/// Reads vectors, and adds them so that nothing is left out.
///
/// # Safety
/// The CPU must have AVX-512 F.
#[target_feature(enable = "avx512f")]
unsafe fn read(r: &[__m512i]) {
    let mut sums = [_mm512_setzero_si512(); CHAINS];
    for vectors in r.chunks_exact(CHAINS) {
        for (sum, &v) in sums.iter_mut().zip(vectors) {
            *sum = _mm512_or_si512(*sum, v);
        }
    }
    black_box(sums);
}
