//! How far a kernel may be from exact arithmetic: a running error analysis of the operations that it performs.
//!
//! The generic reference is run over pairs (value in f64, bound on the error of the f32 that stands for it). Every
//! operation propagates the bounds of its operands and adds its own rounding; `docs/design.md` derives the rules and
//! what they come to in terms of K = I + H.

use rnnpack::Activation;
use rnnpack::activation;
use rnnpack::reference::Real;

/// Half an ulp of f32, relative to the value: what one rounding costs.
pub(crate) const U: f64 = 1.0 / (1 << 24) as f64;
/// Half of the smallest subnormal: what one rounding costs near zero.
pub(crate) const TINY: f64 = f32::from_bits(1) as f64 / 2.0;
/// Covers the roundings of the analysis itself, done in f64 as the f64 reference does: products of two f32 are exact, and
/// any other rounding is 2⁻²⁹ of one in f32 that is counted.
const SLACK: f64 = 1.0 + 1e-6;

/// A value, and a bound on the error of the f32 in its place. `FUSED`: multiply-adds round once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounded<const FUSED: bool> {
    pub(crate) value: f64,
    pub(crate) error: f64,
}

impl<const FUSED: bool> Bounded<FUSED> {
    /// `value` of operands whose errors add up to `carried`, rounded to f32.
    fn rounded(value: f64, carried: f64) -> Self {
        Bounded { value, error: (carried + (value.abs() + carried) * U + TINY) * SLACK }
    }

    /// What the operands' errors come to in their product.
    fn carried_by_product(self, a: Self) -> f64 {
        self.value.abs() * a.error + (a.value.abs() + a.error) * self.error
    }

    /// Of an activation, which increases: what the ends of the operand's interval allow, and the activation's own error.
    fn increasing(self, exact: impl Fn(f64) -> f64) -> Self {
        let value = exact(self.value);
        let [low, high] = [exact(self.value - self.error), exact(self.value + self.error)];
        let carried = (high - value).max(value - low) + 8.0 * f64::EPSILON * value.abs();
        let own = (value.abs() + carried) * activation_error(FUSED) + ACTIVATION_NEAR_ZERO;
        Bounded { value, error: (carried + own) * SLACK }
    }
}

/// What an activation is off by, relative to its value: half an ulp more than from the correctly rounded result; an ulp
/// is at most 2·U of the value.
pub(crate) fn activation_error(fused: bool) -> f64 {
    let fused_ulp = activation::SIGMOID_MAX_ULP.max(activation::TANH_MAX_ULP);
    let ulp = if fused { fused_ulp } else { activation::UNFUSED_MAX_ULP };
    (f64::from(ulp) + 0.5) * 2.0 * U
}

/// As many of the smallest steps: what an activation is off by where it is subnormal.
pub(crate) const ACTIVATION_NEAR_ZERO: f64 = (activation::UNFUSED_MAX_ULP + 1) as f64 * 2.0 * TINY;

impl<const FUSED: bool> From<f32> for Bounded<FUSED> {
    fn from(x: f32) -> Self {
        Bounded { value: x.into(), error: 0.0 }
    }
}

impl<const FUSED: bool> Real for Bounded<FUSED> {
    const ZERO: Self = Bounded { value: 0.0, error: 0.0 };

    fn from_f32(x: f32) -> Self {
        x.into()
    }

    fn fused_mul_add(self, a: Self, b: Self) -> Self {
        let value = self.value * a.value + b.value;
        match FUSED {
            true => Self::rounded(value, self.carried_by_product(a) + b.error),
            false => Self::rounded(value, self.times(a).error + b.error),
        }
    }

    fn plus(self, a: Self) -> Self {
        Self::rounded(self.value + a.value, self.error + a.error)
    }

    fn times(self, a: Self) -> Self {
        Self::rounded(self.value * a.value, self.carried_by_product(a))
    }

    fn minus(self, a: Self) -> Self {
        Self::rounded(self.value - a.value, self.error + a.error)
    }

    fn clipped(self, limit: f32) -> Self {
        Bounded { value: self.value.clipped(limit), error: self.error }
    }

    fn activated(self, activation: Activation) -> Self {
        self.increasing(|x| activation.eval64(x))
    }
}
