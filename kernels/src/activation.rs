//! Sigmoid and hyperbolic tangent in f32, with an error of at most 2 ULP for all finite arguments.
//!
//! Both are short sequences of `Isa` operations without branches, so all variants that fuse multiply-adds return the
//! same bits. Both are quotients, with one division each. `docs/fit_activations.py` prints the coefficients. `cargo run
//! --release -p rnnpack-kernels --example exhaustive_activations` measures the bounds over every f32.
//!
//! # Range reduction
//!
//! With `b = tanh(r/2)` an exponential is `e^r = (1 + b) / (1 - b)`. `b` is odd in `r`, so three coefficients suffice;
//! a polynomial for `e^r` needs seven. Both functions divide anyway, so the denominator costs nothing.
//!
//! To find the nearest integer `n` to `x / ln2`, the code adds `MAGIC = 1.5 * 2^23 + offset`. Floats of that size are
//! integers, so the sum `m` is `MAGIC + n`, rounded to nearest even. The low 9 bits of `m` are `offset + n`. Shifted
//! left by 23, they are the exponent field of `s = 2^(offset + n - 127)`. No integer conversion is needed.
//!
//! # Sigmoid
//!
//! ```text
//! σ(x) = 1 / (1 + e^-x)      -x = n·ln2 + r,  |r| ≤ ln2/2      b = tanh(r/2) ≈ r·(S0 + S1·r² + S2·r⁴)
//!      = (1 - b) / ((1 - b) + 2^n·(1 + b))
//! ```
//!
//! - `n·ln2` is subtracted in two parts. The first part is exact (15 bits times at most 8), even if multiply-adds are
//!   not fused.
//! - Numerator and denominator have the factor `2^-52`. `n` is at most 150; the result is then the smallest subnormal,
//!   and `2^(n-52)` is finite, far below the largest f32. All values before the division are normal, so subnormal
//!   results are rounded only once, by the division.
//! - Both also have the factor 1.6875, which is part of the coefficients. `1 + b` and `1 - b` are in 0.83..1.17. The
//!   factor moves them to 1.40..1.98, near the upper end of a binade, where half a unit in the last place is relatively
//!   small. Because `1 + b` is below 2, `2 - (1 + b)` is exact.
//! - The clamps: at -104 (n = 150) and below, σ is less than half of the smallest subnormal and becomes 0. At 18 and
//!   above, σ is 1 to within 2^-25 and becomes 1.
//!
//! The worst-case error, in units of 2^-24 relative to the result: `1 + b` 1.2 (it counts in both terms), denominator
//! 1.0, `r` and inner coefficients 0.3, fit 0.13. The quotient adds at most 0.5 ULP. Measured: 2.50 before the
//! division, 2.37 ULP after it.
//!
//! # Tanh
//!
//! ```text
//! tanh(x) = (E - 1) / (E + 1),  E = e^2x      x = n·ln2/2 + r,  |r| ≤ ln2/4
//!         b = tanh(r) ≈ r·(1 + T0·r² + T1·r⁴)
//!         = ((s - 1) + (s + 1)·b) / ((s + 1) + (s - 1)·b),  s = 2^n
//! ```
//!
//! - This is the addition formula for `tanh(n·ln2/2 + r)`. With `n = 0` it is `2·b / 2`: small arguments keep their
//!   relative precision, and subnormal arguments are returned unchanged.
//! - `s ± 1` is exact up to `n = 24`. Because `|b| < 1`, the numerator never exceeds the denominator. Rounding is
//!   monotonic, so no result exceeds 1.
//! - `b` is a product, and `s - 1` is computed as `-(1 - s)`, which is `-0` at `s = 1`. So a zero argument keeps its
//!   sign. Compilers turn the negation into the signs of the two multiply-adds.
//! - The clamps: at 9 (n = 26), `s + 1` and `s - 1` round to `s`, and the result is 1. The exact result is
//!   `1 - 0.51·2^-24`.
//!
//! The worst-case error, in units of 2^-24 relative to the result: numerator 1, denominator 1, `b` 1.5 and its fit 1.2
//! (the last two only where the others are smaller). The quotient adds at most 0.5 ULP. Measured: 2.74 before the
//! division (at 0.173), 2.50 ULP after it (at 4.5, in the saturation, where 1 + 1 + 0.5 is the limit).
//!
//! # Special values
//!
//! `min` and `max` return their second operand if either is NaN. The argument is always the second operand, so NaN
//! stays NaN.

mod function;

pub use function::Activation;
pub(crate) use function::activation_v;

use crate::isa::Isa;
use crate::isa::scalar::Scalar;

/// The largest distance of [`sigmoid`] from the correctly rounded result, in f32 steps, over all finite arguments.
pub const SIGMOID_MAX_ULP: u32 = 2;
/// The largest distance of [`tanh`] from the correctly rounded result, in f32 steps, over all finite arguments.
pub const TANH_MAX_ULP: u32 = 2;
/// The same for both functions on a variant that does not fuse multiply-adds: `portable` on a target without them.
pub const UNFUSED_MAX_ULP: u32 = 4;

// docs/fit_activations.py prints the following numbers. The decimals are the shortest that read back as these bits.
// LOG2_E and LN_2 are constants of the standard library.
const LOG2_E: f32 = core::f32::consts::LOG2_E; // 1.442695   0x3fb8aa3b
const LN2_HI: f32 = 0.69314575; // 0x3f317200
const LN2_LO: f32 = 1.4286068e-6; // 0x35bfbe8e
const HALF_LN2: f32 = core::f32::consts::LN_2 / 2.0; // 0.3465736   0x3eb17218
const S0: f32 = 0.8437499; // 0x3f57fffe
const S1: f32 = -0.07030366; // 0xbd8ffb5e
const S2: f32 = 0.006883752; // 0x3be19119
const T0: f32 = -0.33330867; // 0xbeaaa76f
const T1: f32 = 0.13094401; // 0x3e061630

/// The factor of `1 ± b` in [`sigmoid`]; part of S0, S1 and S2.
const SIGMOID_SCALE: f32 = 1.6875;
/// 2^-52, the factor of numerator and denominator of [`sigmoid`].
const SIGMOID_TINY: f32 = f32::from_bits((127 - 52) << 23);
/// At and below this argument, [`sigmoid`] is 0. At and above [`SIGMOID_HIGH`] it is 1.
const SIGMOID_LOW: f32 = -104.0;
const SIGMOID_HIGH: f32 = 18.0;
/// At and above this argument, [`tanh`] is 1.
const TANH_HIGH: f32 = 9.0;
/// 1.5 * 2^23. Between 2^23 and 2^24 the floats are exactly the integers.
const MAGIC: f32 = 12582912.0;
/// `MAGIC`, with the exponent field of 2^-52 in the low bits.
const SIGMOID_MAGIC: f32 = MAGIC + (127 - 52) as f32;
/// `MAGIC`, with the exponent field of 1 in the low bits.
const TANH_MAGIC: f32 = MAGIC + 127.0;

/// [`sigmoid`] of every lane.
#[inline(always)]
pub(crate) fn sigmoid_v<S: Isa>(s: S, x: S::V) -> S::V {
    let x = s.max(s.splat(SIGMOID_LOW), s.min(s.splat(SIGMOID_HIGH), x));
    let m = s.mul_add(x, s.splat(-LOG2_E), s.splat(SIGMOID_MAGIC));
    let n = s.sub(m, s.splat(SIGMOID_MAGIC));
    // This r is the negative of the r above. b is odd, so the negated coefficients restore the sign.
    let r = s.mul_add(n, s.splat(LN2_LO), s.mul_add(n, s.splat(LN2_HI), x));
    let r2 = s.mul(r, r);
    let b_over_r = s.mul_add(s.mul_add(r2, s.splat(-S2), s.splat(-S1)), r2, s.splat(-S0));
    let one_plus_b = s.mul_add(r, b_over_r, s.splat(SIGMOID_SCALE));
    let num = s.mul_add(one_plus_b, s.splat(-SIGMOID_TINY), s.splat(2.0 * SIGMOID_SCALE * SIGMOID_TINY));
    s.div(num, s.mul_add(s.shl_23(m), one_plus_b, num))
}

/// [`tanh`] of every lane.
#[inline(always)]
pub(crate) fn tanh_v<S: Isa>(s: S, x: S::V) -> S::V {
    let x = s.max(s.splat(-TANH_HIGH), s.min(s.splat(TANH_HIGH), x));
    let m = s.mul_add(x, s.splat(2.0 * LOG2_E), s.splat(TANH_MAGIC));
    let n = s.sub(m, s.splat(TANH_MAGIC));
    let r = s.mul_add(n, s.splat(-HALF_LN2), x);
    let r2 = s.mul(r, r);
    let b_over_r = s.mul_add(s.mul_add(r2, s.splat(T1), s.splat(T0)), r2, s.splat(1.0));
    let b = s.mul(r, b_over_r);
    let exp = s.shl_23(m);
    let exp_plus_1 = s.add(exp, s.splat(1.0));
    let exp_minus_1 = s.mul(s.sub(s.splat(1.0), exp), s.splat(-1.0));
    s.div(s.mul_add(exp_plus_1, b, exp_minus_1), s.mul_add(exp_minus_1, b, exp_plus_1))
}

/// `1 / (1 + e^-x)`, at most [`SIGMOID_MAX_ULP`] from the correctly rounded result. It is the kernels' formula on one
/// lane.
///
/// The result is 0 at -∞, 0.5 at ±0, 1 at +∞, NaN for NaN, and never outside `[0, 1]`.
pub fn sigmoid(x: f32) -> f32 {
    sigmoid_v(Scalar, x)
}

/// The hyperbolic tangent, at most [`TANH_MAX_ULP`] from the correctly rounded result. It is the kernels' formula on
/// one lane.
///
/// The result is ±1 at ±∞, ±0 at ±0, NaN for NaN, and never outside `[-1, 1]`.
pub fn tanh(x: f32) -> f32 {
    tanh_v(Scalar, x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Maps floats to integers, so that neighbouring floats become neighbouring integers.
    fn order(x: f32) -> i32 {
        let bits = x.to_bits() as i32;
        if bits < 0 { !(bits & i32::MAX) } else { bits }
    }

    fn steps(got: f32, exact: f64) -> u32 {
        order(got).abs_diff(order(exact as f32))
    }

    fn exact_sigmoid(x: f32) -> f64 {
        1.0 / (1.0 + (-f64::from(x)).exp())
    }

    /// Every 1009th f32, from both zeros to both NaNs.
    fn sample() -> impl Iterator<Item = f32> {
        (0..=u32::MAX).step_by(1009).map(f32::from_bits)
    }

    /// All f32 of `[from, to]`, both positive.
    fn floats(from: f32, to: f32) -> impl Iterator<Item = f32> {
        (from.to_bits()..=to.to_bits()).map(f32::from_bits)
    }

    /// The smallest subnormal, others up to the largest one, and the smallest normal number.
    fn tiny() -> impl Iterator<Item = f32> {
        (1..f32::MIN_POSITIVE.to_bits()).step_by(99_991).chain([0x7f_ffff, 0x80_0000]).map(f32::from_bits)
    }

    #[test]
    fn sigmoid_stays_within_its_bound_on_a_dense_sample() {
        for x in sample().filter(|x| x.is_finite()) {
            let got = sigmoid(x);
            assert!((0.0..=1.0).contains(&got), "sigmoid({x:e}) = {got:e}");
            assert!(steps(got, exact_sigmoid(x)) <= SIGMOID_MAX_ULP, "sigmoid({x:e}) = {got:e}");
        }
    }

    #[test]
    fn tanh_stays_within_its_bound_on_a_dense_sample() {
        for x in sample().filter(|x| x.is_finite()) {
            let got = tanh(x);
            assert!((-1.0..=1.0).contains(&got), "tanh({x:e}) = {got:e}");
            assert!(steps(got, f64::from(x).tanh()) <= TANH_MAX_ULP, "tanh({x:e}) = {got:e}");
        }
    }

    #[test]
    fn sigmoid_of_zero_and_of_subnormals_is_a_half() {
        for x in tiny().chain([0.0]) {
            assert_eq!((sigmoid(x), sigmoid(-x)), (0.5, 0.5), "{x:e}");
        }
    }

    #[test]
    fn tanh_returns_zeros_and_subnormals_with_their_sign() {
        for x in tiny().chain([0.0]).flat_map(|x| [x, -x]) {
            assert_eq!(tanh(x).to_bits(), x.to_bits(), "{x:e}");
        }
    }

    #[test]
    fn nan_gives_nan() {
        for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(u32::MAX)] {
            assert!(sigmoid(nan).is_nan());
            assert!(tanh(nan).is_nan());
        }
    }

    #[test]
    fn infinite_and_huge_arguments_saturate() {
        for x in [f32::INFINITY, f32::MAX, 1e10, 105.0] {
            assert_eq!((sigmoid(x), sigmoid(-x).to_bits()), (1.0, 0), "{x:e}");
            assert_eq!((tanh(x), tanh(-x)), (1.0, -1.0), "{x:e}");
        }
    }

    #[test]
    fn sigmoid_falls_through_the_subnormals_to_zero() {
        assert_eq!(sigmoid(-103.9).to_bits(), 1);
        assert_eq!(sigmoid(-104.0).to_bits(), 0);
        assert!(floats(86.0, 105.0).step_by(7).map(|x| sigmoid(-x)).is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn sigmoid_rises_to_one_without_a_step_back() {
        assert!(floats(14.0, 19.0).step_by(7).map(sigmoid).is_sorted());
        assert_eq!(sigmoid(17.4), 1.0);
    }

    #[test]
    fn tanh_rises_to_one_without_a_step_back() {
        assert!(floats(8.5, 10.0).step_by(7).map(tanh).is_sorted());
        assert!(floats(8.5, 10.0).step_by(7).map(|x| -tanh(-x)).is_sorted());
        assert_eq!(tanh(9.0), 1.0);
    }
}
