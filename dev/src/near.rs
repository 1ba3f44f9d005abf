//! Bounds on the distance of two computations of a layer that add the same terms in different orders.
//!
//! A running error analysis derives them.
//!
//! The generic reference runs over [`Near`]: the value of the f64 reference, and a bound. The bound holds for the
//! distance to any other computation that rounds to `BITS` bits, whatever the order of its additions.
//!
//! **Sums.** A sum has n leaves: a bias and K = n - 1 products. It is some tree of additions. A leaf goes through one
//! rounding of its product and at most K roundings of additions. So a computed sum is within `γ·M` of the exact one.
//! `M` is the sum of the leaves' magnitudes, and `γ = n·u / (1 - n·u)` (Higham, *Accuracy and Stability of Numerical
//! Algorithms*, section 4.2). This holds on both sides, with u = 2⁻⁵³ and with u = 2⁻ᴮᴵᵀˢ. Together the distance is
//! `n·U·M`, where `U` is the sum of both u. The distances of the factors add `C` to the result, and also to the
//! magnitudes. So the distance of a sum is `C + n·U·(M + C)`.
//!
//! **Every other operation** rounds once on each side, in addition to the distance of its operands. An activation is
//! the same function on both sides, at two places whose distance is `e`. Its distance is the variation of the
//! function within `e`, plus the errors of its value on both sides.
//!
//! So a step adds about `2·(K + 9)·u` of the magnitude of its sums to the distance that the step before left. That
//! distance is carried on by the factors of R and the slopes of the activations. If these contract, T steps give T
//! times the distance of one step; if not, the distance grows as a power. The bound follows the values of the case.

use crate::variation::variation;
use rnnpack::reference::Real;
use rnnpack::{Activation, Scale};

/// The unit roundoff of f64.
const U64: f64 = f64::EPSILON / 2.0;
/// The error of the standard library's activations on both sides together, relative to the largest intermediate
/// value. exp, tanh, exp_m1 and ln_1p are accurate to 2 ulp (4 u) wherever std has been measured, with
/// up to four roundings around them. The same amount is added for the differences that the analysis takes.
const ACTIVATION: f64 = 32.0 * U64;
/// A factor that covers the difference of γ and n·u, and the roundings of the analysis itself.
const SLACK: f64 = 1.0 + 1e-6;

/// A value, and the largest distance of another computation of `BITS` bits from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near<const BITS: u32> {
    /// The value in f64.
    pub value: f64,
    /// The distance that comes from the distances of the operands.
    carried: f64,
    /// For a sum, the magnitudes of its leaves.
    magnitude: f64,
    /// For a sum, the number of its leaves; 0 for a value that is rounded already.
    leaves: f64,
}

impl<const BITS: u32> Near<BITS> {
    /// The sum of the unit roundoffs of both sides.
    const U: f64 = U64 + 1.0 / (1u64 << BITS) as f64;
    /// The error of both sides together if a result is subnormal.
    const TINY: f64 = if BITS == 53 { f64::from_bits(2) } else { f32::from_bits(1) as f64 };

    /// The largest magnitude that the analysis accepts: far from overflow on both sides.
    const RANGE: f64 = if BITS == 53 { 1e100 } else { 1e30 };

    /// A bound on the distance. It is infinite if a value came near overflow, since then the analysis says nothing.
    pub fn error(self) -> f64 {
        let roundings = self.leaves * Self::U * (self.magnitude + self.carried);
        let error = (self.carried + roundings + self.leaves * Self::TINY) * SLACK;
        if self.magnitude + error <= Self::RANGE { error } else { f64::INFINITY }
    }

    fn exact(value: f64) -> Self {
        Self::apart(value, 0.0)
    }

    fn apart(value: f64, carried: f64) -> Self {
        Near { value, carried, magnitude: value.abs(), leaves: 0.0 }
    }

    /// The result of one operation. The distances of its operands contribute `carried`.
    fn rounded(value: f64, carried: f64) -> Self {
        Self::apart(value, (carried + (value.abs() + carried) * Self::U + Self::TINY) * SLACK)
    }

    /// The distance of a product that comes from the distances of its factors.
    fn carried_by_product(self, a: Self) -> f64 {
        self.value.abs() * a.error() + (a.value.abs() + a.error()) * self.error()
    }
}

impl<const BITS: u32> From<f32> for Near<BITS> {
    fn from(x: f32) -> Self {
        Self::exact(x.into())
    }
}

impl<const BITS: u32> From<f64> for Near<BITS> {
    fn from(x: f64) -> Self {
        Self::exact(x)
    }
}

impl<const BITS: u32> Real for Near<BITS> {
    const ZERO: Self = Near { value: 0.0, carried: 0.0, magnitude: 0.0, leaves: 0.0 };

    fn from_f32(x: f32) -> Self {
        x.into()
    }

    /// Adds one more leaf to the sum `b`.
    fn fused_mul_add(self, a: Self, b: Self) -> Self {
        Near {
            value: self.value.fused_mul_add(a.value, b.value),
            carried: b.carried + self.carried_by_product(a),
            magnitude: b.magnitude + (self.value * a.value).abs(),
            leaves: b.leaves.max(1.0) + 1.0,
        }
    }

    fn plus(self, a: Self) -> Self {
        Self::rounded(self.value + a.value, self.error() + a.error())
    }

    fn minus(self, a: Self) -> Self {
        Self::rounded(self.value - a.value, self.error() + a.error())
    }

    fn times(self, a: Self) -> Self {
        Self::rounded(self.value * a.value, self.carried_by_product(a))
    }

    fn clipped(self, limit: f32) -> Self {
        Self::apart(self.value.clipped(limit), self.error())
    }

    fn activated(self, activation: Activation) -> Self {
        let value = self.value.activated(activation);
        let apart = self.error();
        let carried = if apart.is_finite() { variation(activation, self.value, apart) } else { apart };
        let largest = match activation {
            Activation::Affine { alpha, beta } | Activation::HardSigmoid { alpha, beta } => {
                (f64::from(alpha) * self.value).abs() + f64::from(beta).abs()
            }
            _ => value.abs(),
        };
        let own = (largest + carried) * (Self::U + ACTIVATION) + Self::TINY;
        Self::apart(value, (carried + own) * SLACK)
    }

    fn to_bf16(self) -> Self {
        self // as of int8 weights, below
    }

    type Row = Vec<Self>;

    fn row(elements: &[Self]) -> Vec<Self> {
        elements.to_vec()
    }

    /// These layers take the values of int8 weights, and do not round their factors to integers.
    fn add_integers(start: Self, row: &Vec<Self>, scale: Scale, integers: impl Iterator<Item = i32>) -> Self {
        let weights = integers.map(|integer| Self::from(scale.weight(integer)));
        row.iter().zip(weights).fold(start, |sum, (&x, weight)| x.fused_mul_add(weight, sum))
    }
}
