//! Error bounds of a kernel against exact arithmetic: a running error analysis of the operations that it performs.
//!
//! The generic reference runs over pairs: the value in f64, and a bound on the error of the f32 in its place. Every
//! operation propagates the bounds of its operands and adds its own rounding. `docs/design.md` derives the rules and
//! their result in terms of K = I + H. If a value may overflow, nothing is known about the values that are computed
//! from it.

use crate::variation::variation;
use rnnpack::reference::Real;
use rnnpack::{Activation, Scale, activation};

/// Half an ulp of f32, relative to the value: the error of one rounding.
pub const U: f64 = 1.0 / (1 << 24) as f64;
/// Half of the smallest subnormal: the error of one rounding near zero.
pub const TINY: f64 = f32::from_bits(1) as f64 / 2.0;
/// A factor that covers the roundings of the analysis itself. The analysis computes in f64, as the f64 reference
/// does. There the product of two f32 is exact. Any other rounding in f64 is 2⁻²⁹ of a rounding in f32 that is
/// counted.
const SLACK: f64 = 1.0 + 1e-6;
/// The relative error of the standard library's f64 functions, when the analysis takes a difference of two values:
/// exp, tanh, exp_m1 and ln_1p are accurate to 2 ulp, for each of the two values.
const LIBRARY: f64 = 8.0 * f64::EPSILON;

/// The smallest scale of a row of factors of int8 weights.
const SMALLEST_SCALE: f64 = 1.0 / (1u128 << 100) as f64;

/// A value, and a bound on the error of the f32 in its place. The bound is infinite if there is no bound. `FUSED`
/// says that multiply-adds round once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounded<const FUSED: bool> {
    /// The value in f64.
    pub value: f64,
    /// The largest distance of the f32 from the value.
    pub error: f64,
}

impl<const FUSED: bool> Bounded<FUSED> {
    /// `value`, for an f32 that is at most `error` away. The error is infinite if the f32 may overflow.
    fn within(value: f64, error: f64) -> Self {
        let error = error * SLACK;
        let known = value.abs() + error <= f32::MAX.into();
        Bounded { value, error: if known { error } else { f64::INFINITY } }
    }

    /// `value`, rounded to f32. The errors of its operands contribute `carried`.
    fn rounded(value: f64, carried: f64) -> Self {
        Self::within(value, carried + (value.abs() + carried) * U + TINY)
    }

    /// The error of a product that comes from the errors of its operands.
    fn carried_by_product(self, a: Self) -> f64 {
        self.value.abs() * a.error + (a.value.abs() + a.error) * self.error
    }

    /// The error of an activation that comes from the error of its operand.
    fn carried_by(self, activation: Activation) -> f64 {
        if !self.error.is_finite() {
            return f64::INFINITY;
        }
        variation(activation, self.value, self.error) + LIBRARY * activation.eval64(self.value).abs()
    }

    /// `self`, clamped to `low` and `high`. Errors do not reach beyond these limits.
    fn between(self, [low, high]: [f64; 2]) -> Self {
        let end = |x: f64| x.clamp(low, high);
        let value = end(self.value);
        let error = (end(self.value + self.error) - value).max(value - end(self.value - self.error));
        Self::within(value, if self.error.is_finite() { error } else { self.error })
    }
}

/// The relative error of sigmoid and tanh. It is half an ulp more than the error against the correctly rounded
/// result. An ulp is at most 2·U of the value.
pub fn activation_error(fused: bool) -> f64 {
    let fused_ulp = activation::SIGMOID_MAX_ULP.max(activation::TANH_MAX_ULP);
    let ulp = if fused { fused_ulp } else { activation::UNFUSED_MAX_ULP };
    (f64::from(ulp) + 0.5) * 2.0 * U
}

/// The same number of the smallest steps: the error of sigmoid and tanh if their value is subnormal.
const ACTIVATION_NEAR_ZERO: f64 = (activation::UNFUSED_MAX_ULP + 1) as f64 * 2.0 * TINY;

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

    fn minus(self, a: Self) -> Self {
        Self::rounded(self.value - a.value, self.error + a.error)
    }

    fn times(self, a: Self) -> Self {
        Self::rounded(self.value * a.value, self.carried_by_product(a))
    }

    fn clipped(self, limit: f32) -> Self {
        self.between([-f64::from(limit), limit.into()])
    }

    /// As the kernels compute it: some activations by operations of f32, the others in f64, rounded once.
    fn activated(self, activation: Activation) -> Self {
        let (value, carried) = (activation.eval64(self.value), self.carried_by(activation));
        match activation {
            Activation::Sigmoid | Activation::Tanh => {
                let own = (value.abs() + carried) * activation_error(FUSED) + ACTIVATION_NEAR_ZERO;
                Self::within(value, carried + own)
            }
            Activation::Affine { alpha, beta } => Self::from(alpha).fused_mul_add(self, beta.into()),
            Activation::HardSigmoid { alpha, beta } => {
                Self::from(alpha).fused_mul_add(self, beta.into()).between([0.0, 1.0])
            }
            Activation::ScaledTanh { alpha, beta } => {
                Self::from(alpha).times(Self::from(beta).times(self).activated(Activation::Tanh))
            }
            // These activations choose a value, and round nothing.
            Activation::Relu | Activation::ThresholdedRelu { .. } => Self::within(value, carried),
            Activation::LeakyRelu { .. }
            | Activation::Elu { .. }
            | Activation::Softsign
            | Activation::Softplus => Self::rounded(value, carried),
        }
    }

    /// 8 significant bits. A subnormal number may become zero.
    fn to_bf16(self) -> Self {
        let rounding = (self.value.abs() + self.error) / 256.0;
        Self::within(self.value, self.error + rounding + f64::from(f32::MIN_POSITIVE))
    }

    /// The elements, and how far an element may be from its integer times the scale.
    type Row = (Vec<Self>, f64);

    /// The scale is the range of the row / 255, with some roundings; or the row is within 256 of the smallest scales.
    /// Rounding to an integer costs half a scale, and the roundings before it less than 2e-4 of one.
    fn row(elements: &[Self]) -> (Vec<Self>, f64) {
        let low = elements.iter().map(|x| x.value - x.error).fold(0.0, f64::min);
        let high = elements.iter().map(|x| x.value + x.error).fold(0.0, f64::max);
        (elements.to_vec(), (high - low) / 255.0 * 0.5002 + 256.0 * SMALLEST_SCALE)
    }

    /// A weight is exactly an integer times its scale. The sum of integers is exact, and it is rounded to f32, as the product
    /// of the two scales is.
    fn add_integers(
        start: Self,
        (row, apart): &(Vec<Self>, f64),
        scale: Scale,
        integers: impl Iterator<Item = i32>,
    ) -> Self {
        let (mut sum, mut carried, mut largest) = (0.0, 0.0, 0.0);
        for (x, integer) in row.iter().zip(integers) {
            let integer = f64::from(integer - scale.zero_point);
            let weight = f64::from(scale.scale) * integer;
            sum += x.value * integer;
            carried += weight.abs() * (x.error + apart);
            largest += 255.0 * integer.abs();
        }
        let value = f64::from(scale.scale) * sum;
        let roundings = if FUSED { 2.0 } else { 3.0 };
        let own = (value.abs() + carried) * roundings * U * SLACK + (largest + 1.0) * TINY;
        Self::rounded(start.value + value, start.error + carried + own)
    }
}
