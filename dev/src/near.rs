//! How far two computations of a layer may be apart that add the same terms in different orders: a running analysis.
//!
//! The generic reference is run over [`Near`]: the value that the f64 reference has, and a bound on the distance of any
//! other computation that rounds to `BITS` bits, in whatever order it adds.
//!
//! **Sums.** A sum of n leaves, a bias and K = n - 1 products, is some tree of additions. A leaf goes through one
//! rounding of its product and at most K of additions, so a computed sum is within `γ·M` of the exact one, where `M` is
//! the sum of the leaves' magnitudes and `γ = n·u / (1 - n·u)` (Higham, *Accuracy and Stability of Numerical
//! Algorithms*, section 4.2). This holds on both sides, of u = 2⁻⁵³ and of u = 2⁻ᴮᴵᵀˢ: together `n·U·M` with the sum `U` of
//! both. What the factors are apart adds up to `C`, and to the magnitudes: a sum is off by `C + n·U·(M + C)`.
//!
//! **Everything else** is one operation of one rounding on each side, beside what its operands are apart. Activations
//! are the same function on both sides, at places `e` apart: what the function varies by within `e`, and what its value is
//! off by on both sides.
//!
//! So a step adds about `2·(K + 9)·u` of the magnitude of its sums to what the step before left, which goes on with the
//! factors of R and the slopes of the activations: T steps come to T times that where those contract, and to a power
//! where they do not. The bound follows the values that are there.

use crate::variation::variation;
use rnnpack::Activation;
use rnnpack::reference::Real;

/// The unit roundoff of f64.
const U64: f64 = f64::EPSILON / 2.0;
/// What the standard library's activations are off by on both sides together, relative to the largest intermediate
/// value: exp, tanh, exp_m1 and ln_1p are good to 2 ulp (4 u) wherever std has been measured, with up to four roundings
/// around them, and as much again where the analysis takes differences of them.
const ACTIVATION: f64 = 32.0 * U64;
/// Covers the difference of γ and n·u, and the roundings of the analysis itself.
const SLACK: f64 = 1.0 + 1e-6;

/// A value, and what another computation of `BITS` bits may be off from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near<const BITS: u32> {
    /// The value in f64.
    pub value: f64,
    /// What operands that are apart come to.
    carried: f64,
    /// Of a sum, the magnitudes of its leaves.
    magnitude: f64,
    /// Of a sum, the number of its leaves; 0 of what is rounded already.
    leaves: f64,
}

impl<const BITS: u32> Near<BITS> {
    /// The unit roundoffs of both sides.
    const U: f64 = U64 + 1.0 / (1u64 << BITS) as f64;
    /// What both sides lose where a result is subnormal.
    const TINY: f64 = if BITS == 53 { f64::from_bits(2) } else { f32::from_bits(1) as f64 };

    /// What a magnitude may come to: far from overflow on both sides.
    const RANGE: f64 = if BITS == 53 { 1e100 } else { 1e30 };

    /// A bound on the distance; not finite where the analysis makes no statement, since something came near overflow.
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

    /// The result of one operation, of operands whose distances come to `carried`.
    fn rounded(value: f64, carried: f64) -> Self {
        Self::apart(value, (carried + (value.abs() + carried) * Self::U + Self::TINY) * SLACK)
    }

    /// What the factors' distances come to in their product.
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

    /// One more leaf of the sum `b`.
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
}
