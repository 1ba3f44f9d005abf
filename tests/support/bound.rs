//! How far a kernel may be from exact arithmetic: a running error analysis of the operations that it performs.
//!
//! The generic reference is run over pairs (value in f64, bound on the error of the f32 that stands for it). Every
//! operation propagates the bounds of its operands and adds its own rounding; `docs/design.md` derives the rules and
//! what they come to in terms of K = I + H.

use rnnpack::activation;
use rnnpack::reference::Real;

/// Half an ulp of f32, relative to the value: what one rounding costs.
pub(crate) const U: f64 = 1.0 / (1 << 24) as f64;
/// Half of the smallest subnormal: what one rounding costs near zero.
pub(crate) const TINY: f64 = f32::from_bits(1) as f64 / 2.0;
/// Covers the roundings of the analysis itself: done in f64, each is 2⁻²⁹ of an f32 rounding that is counted.
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

    /// Of an increasing function, computed exactly: what the ends of the operand's interval allow.
    fn increasing(self, f: impl Fn(f64) -> f64) -> Self {
        let value = f(self.value);
        let [low, high] = [f(self.value - self.error), f(self.value + self.error)];
        Bounded { value, error: (high - value).max(value - low) + 8.0 * f64::EPSILON * value.abs() }
    }

    /// With the error of an activation: so many ulp of the value, or an absolute one near zero.
    fn activated(self, ulp: f64, near_zero: f64) -> Self {
        // An ulp is at most 2·U of the value.
        let own = (self.value.abs() + self.error) * 2.0 * U * ulp + near_zero;
        Bounded { value: self.value, error: (self.error + own) * SLACK }
    }
}

/// Ulp between the sigmoid and the exact value: half an ulp more than from the correctly rounded one. Multiply-adds that
/// round twice stay within it too, which a test samples.
pub(crate) const SIGMOID_ULP: f64 = activation::SIGMOID_MAX_ULP as f64 + 0.5;
/// What the sigmoid may be off by where it is subnormal: as many of the smallest steps.
pub(crate) const SIGMOID_NEAR_ZERO: f64 = 10.0 * TINY;
/// Ulp between `σ(x) · tanh(y)` and the exact value.
pub(crate) const PRODUCT_ULP: f64 = activation::SIGMOID_TIMES_TANH_MAX_ULP as f64 + 0.5;
/// What `σ(x) · tanh(y)` may be off by where y is too small for the bound in ulp: 2⁻⁹⁹.
pub(crate) const PRODUCT_NEAR_ZERO: f64 = U * U * U * U / 8.0;

impl<const FUSED: bool> Real for Bounded<FUSED> {
    const ZERO: Self = Bounded { value: 0.0, error: 0.0 };

    fn from_f32(x: f32) -> Self {
        Bounded { value: x.into(), error: 0.0 }
    }

    fn fused_mul_add(self, a: Self, b: Self) -> Self {
        let value = self.value.mul_add(a.value, b.value);
        match FUSED {
            true => Self::rounded(value, self.carried_by_product(a) + b.error),
            false => {
                let product = Self::rounded(self.value * a.value, self.carried_by_product(a));
                Self::rounded(value, product.error + b.error)
            }
        }
    }

    fn plus(self, a: Self) -> Self {
        Self::rounded(self.value + a.value, self.error + a.error)
    }

    fn sigmoid(self) -> Self {
        self.increasing(Real::sigmoid).activated(SIGMOID_ULP, SIGMOID_NEAR_ZERO)
    }

    fn sigmoid_times_tanh(self, a: Self) -> Self {
        let (sigmoid, tanh) = (self.increasing(Real::sigmoid), a.increasing(f64::tanh));
        let product = Bounded {
            value: self.value.sigmoid_times_tanh(a.value),
            error: sigmoid.carried_by_product(tanh),
        };
        product.activated(PRODUCT_ULP, PRODUCT_NEAR_ZERO)
    }
}
