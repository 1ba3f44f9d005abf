//! How far a kernel may be from exact arithmetic: a running error analysis of the operations that it performs.
//!
//! The generic reference is run over pairs (value in f64, bound on the error of the f32 that stands for it). Every
//! operation propagates the bounds of its operands and adds its own rounding; `docs/design.md` derives the rules and
//! what they come to in terms of K = I + H.

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
    /// Errors of an activation: at most so many ulp, and an ulp is at most 2·U of the value.
    const ACTIVATION: f64 = if FUSED { 2.0 * FUSED_ULP * U } else { 2.0 * UNFUSED_ULP * U };

    /// `value` of operands whose errors add up to `carried`, rounded to f32.
    fn rounded(value: f64, carried: f64) -> Self {
        Bounded { value, error: (carried + (value.abs() + carried) * U + TINY) * SLACK }
    }

    /// What the operands' errors come to in their product.
    fn carried_by_product(self, a: Self) -> f64 {
        self.value.abs() * a.error + (a.value.abs() + a.error) * self.error
    }

    /// Of an increasing function: what the ends of the operand's interval allow, and the function's own error.
    fn increasing(self, f: impl Fn(f64) -> f64) -> Self {
        let value = f(self.value);
        let [low, high] = [f(self.value - self.error), f(self.value + self.error)];
        let carried = (high - value).max(value - low) + 8.0 * f64::EPSILON * value.abs();
        let own = (value.abs() + carried) * Self::ACTIVATION + 2.0 * UNFUSED_ULP * TINY;
        Bounded { value, error: (carried + own) * SLACK }
    }
}

/// Ulp between an activation and the exact value: 2 from the correctly rounded one, which is half an ulp off.
const FUSED_ULP: f64 = 2.5;
/// The same without fused multiply-adds.
const UNFUSED_ULP: f64 = 4.5;

impl<const FUSED: bool> Real for Bounded<FUSED> {
    const ZERO: Self = Bounded { value: 0.0, error: 0.0 };

    fn from_f32(x: f32) -> Self {
        Bounded { value: x.into(), error: 0.0 }
    }

    fn fused_mul_add(self, a: Self, b: Self) -> Self {
        let value = self.value.mul_add(a.value, b.value);
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

    fn sigmoid(self) -> Self {
        self.increasing(Real::sigmoid)
    }

    fn tanh(self) -> Self {
        self.increasing(Real::tanh)
    }
}
