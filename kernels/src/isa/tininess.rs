//! When a result counts as tiny, and becomes zero if subnormals are flushed: the rule in plain arithmetic.
//!
//! [`environment`](crate::environment) states the rule.

use crate::element::Element;

/// `x`, or zero with its sign if `x` is subnormal.
#[inline]
pub(crate) fn flush(x: f32) -> f32 {
    x.flushed()
}

/// When a result counts as tiny.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tininess {
    /// Before it is rounded, as on AArch64.
    BeforeRounding,
    /// After it is rounded as if exponents had no lower limit, as on x86.
    AfterRounding,
}

impl Tininess {
    /// The rule of this machine.
    pub(crate) const HERE: Tininess =
        if cfg!(target_arch = "aarch64") { Tininess::BeforeRounding } else { Tininess::AfterRounding };

    /// The smallest magnitude of an exact result that is not tiny.
    fn limit(self) -> f64 {
        match self {
            Tininess::BeforeRounding => SMALLEST,
            Tininess::AfterRounding => SMALLEST - SMALLEST * (f32::EPSILON / 4.0) as f64,
        }
    }

    /// `a · b + c`, rounded once; a sum or a product if `b` is 1 or `c` is -0. The operands must not be subnormal.
    pub(crate) fn mul_add(self, rounded: f32, [a, b, c]: [f32; 3]) -> f32 {
        // The product is exact. So is the sum of `high` and `low`: the error of a rounded sum, after Knuth.
        let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
        let high = product + c;
        let rest = high - product;
        let low = (product - (high - rest)) + (c - rest);
        let (magnitude, beyond) = if high < 0.0 { (-high, -low) } else { (high, low) };
        let limit = self.limit();
        if magnitude < limit || magnitude == limit && beyond < 0.0 { 0f32.copysign(rounded) } else { rounded }
    }

    /// `x`, rounded to f32.
    pub(crate) fn narrow(self, x: f64) -> f32 {
        if x.abs() < self.limit() { 0f32.copysign(x as f32) } else { x as f32 }
    }

    /// `a / b`, rounded. The operands must not be subnormal.
    pub(crate) fn div(self, rounded: f32, a: f32, b: f32) -> f32 {
        // The product has at most 25 + 24 bits, so it is exact.
        if f64::from(a).abs() < self.limit() * f64::from(b).abs() { 0f32.copysign(rounded) } else { rounded }
    }
}

/// The smallest normal f32, 2^-126.
const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushing_keeps_normal_numbers_and_signs() {
        let smallest = f32::MIN_POSITIVE;
        for x in [0.0, -0.0, smallest, -smallest, 1.0, f32::INFINITY] {
            assert_eq!(flush(x).to_bits(), x.to_bits());
        }
        let largest = f32::from_bits(0x7f_ffff);
        for (x, zero) in [(1e-45, 0f32), (largest, 0.0), (-1e-45, -0.0), (-largest, -0.0)] {
            assert_eq!(flush(x).to_bits(), zero.to_bits(), "{x:e}");
        }
        assert!(flush(f32::NAN).is_nan());
    }

    #[test]
    fn the_two_rules_differ_between_their_limits_alone() {
        let result = |rule: Tininess, a: f32, b: f32, c: f32| rule.mul_add(a.mul_add(b, c), [a, b, c]);
        let smallest = f32::MIN_POSITIVE;
        // (1 + ε)(1 - ε) · 2^-126 = (1 - ε²) · 2^-126 lies between the limits.
        let (above, below) = (1.0 + f32::EPSILON, (1.0 - f32::EPSILON) * smallest * 4.0);
        assert_eq!(result(Tininess::AfterRounding, above / 4.0, below, 0.0), smallest);
        assert_eq!(result(Tininess::BeforeRounding, above / 4.0, below, 0.0), 0.0);
        for rule in [Tininess::AfterRounding, Tininess::BeforeRounding] {
            // 2^-126 · (1 - ε/2) is representable only without a lower limit of exponents. It is tiny in both.
            let tiny = result(rule, 1.0 - f32::EPSILON / 2.0, -smallest, 0.0);
            assert!(tiny == 0.0 && tiny.is_sign_negative(), "{rule:?}");
            assert_eq!(result(rule, 1.0, smallest, 0.0), smallest, "{rule:?}");
            assert_eq!(result(rule, 3.0, smallest, -smallest), 2.0 * smallest, "{rule:?}");
            assert_eq!(result(rule, 1.5, smallest, -smallest), 0.0, "{rule:?}");
            assert!(result(rule, f32::INFINITY, 0.0, 1.0).is_nan(), "{rule:?}");
        }
    }

    #[test]
    fn a_tie_at_the_limit_rounds_to_the_smallest_normal_number() {
        // (2 - ε/2 …) cannot be written in one product of f32. The quotient 2^-126 / (1 + ε) is just below the limit.
        let (a, b) = (f32::MIN_POSITIVE, 1.0 + f32::EPSILON);
        assert_eq!(Tininess::AfterRounding.div(a / b, a, b), 0.0);
        assert_eq!(Tininess::AfterRounding.div(a, a, 1.0), a);
        // 2^-126 - 2^-151 as an exact sum of a product and a number: the limit itself.
        let (x, y) = (2f32.powi(-75), -(2f32.powi(-76)));
        let rounded = x.mul_add(y, f32::MIN_POSITIVE);
        assert_eq!(Tininess::AfterRounding.mul_add(rounded, [x, y, f32::MIN_POSITIVE]), f32::MIN_POSITIVE);
        assert_eq!(Tininess::BeforeRounding.mul_add(rounded, [x, y, f32::MIN_POSITIVE]), 0.0);
        // Twice as far below, it is tiny in both.
        let y = 2.0 * y;
        let rounded = x.mul_add(y, f32::MIN_POSITIVE);
        assert_eq!(Tininess::AfterRounding.mul_add(rounded, [x, y, f32::MIN_POSITIVE]), 0.0);
    }
}
