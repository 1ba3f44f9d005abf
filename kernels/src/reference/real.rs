//! The arithmetics of the references.

use crate::activation::{Activation, activation_v};
use crate::factors::{HEADER, RowScale, quantize, row_bytes};
use crate::integers::Scale;
use crate::isa::Isa;
use crate::isa::flushing::Flushing;
use crate::isa::scalar::Scalar;
use crate::math;
use crate::weight_type::{any_f32_to_bf16, bf16_to_f32};
use alloc::vec;
use alloc::vec::Vec;

/// The arithmetic of a reference: f32 with the kernels' activations, or f64 with [`Activation::eval64`].
pub trait Real: Copy + PartialEq + core::fmt::Debug {
    /// 0
    const ZERO: Self;
    /// Exact conversion.
    fn from_f32(x: f32) -> Self;
    /// `self * a + b`. In f32 it is rounded once, as in the kernels.
    fn fused_mul_add(self, a: Self, b: Self) -> Self;
    /// `self + a`
    fn plus(self, a: Self) -> Self;
    /// `self - a`
    fn minus(self, a: Self) -> Self;
    /// `self * a`
    fn times(self, a: Self) -> Self;
    /// `self`, clipped to ± `limit`. NaN stays NaN.
    fn clipped(self, limit: f32) -> Self;
    /// The activation of `self`.
    fn activated(self, activation: Activation) -> Self;
    /// `self`, rounded to a bf16 if the arithmetic rounds at all: a factor of
    /// [`WeightType::Bf16Dot`](crate::WeightType::Bf16Dot).
    fn to_bf16(self) -> Self;

    /// A row of factors of int8 weights.
    type Row;
    /// Makes the row of its elements.
    fn row(elements: &[Self]) -> Self::Row;
    /// `start + Σ row · weights`, where the weights are the integers of a scale.
    fn add_integers(start: Self, row: &Self::Row, scale: Scale, integers: impl Iterator<Item = i32>) -> Self;
}

/// A row of factors as integers, with its scale.
#[derive(Clone, Debug)]
pub struct IntegerRow {
    scale: RowScale,
    integers: Vec<u8>,
}

impl IntegerRow {
    /// Quantizes the elements as the kernels do.
    pub fn new(elements: &[f32]) -> IntegerRow {
        let mut row = vec![0u128; row_bytes(elements.len()).unwrap_or(0) / size_of::<u128>()];
        let start = row.as_mut_ptr().cast::<u8>();
        // SAFETY: the room has a header and the integers, and an alignment for the header.
        unsafe {
            quantize(Scalar, elements.as_ptr(), elements.len(), start.wrapping_add(HEADER), 0);
            let integers = core::slice::from_raw_parts(start.wrapping_add(HEADER), elements.len());
            IntegerRow { scale: start.cast::<RowScale>().read(), integers: integers.to_vec() }
        }
    }

    /// The scale of the row.
    pub fn scale(&self) -> f32 {
        self.scale.scale
    }

    /// The sum of the products with the integers of weights.
    pub fn sum(&self, weights_zero_point: i32, integers: impl Iterator<Item = i32>) -> i32 {
        let factors = self.integers.iter().map(|&factor| i32::from(factor) - self.scale.zero_point);
        factors.zip(integers).fold(0, |sum, (factor, weight)| sum + factor * (weight - weights_zero_point))
    }
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    fn from_f32(x: f32) -> f32 {
        x
    }
    fn fused_mul_add(self, a: f32, b: f32) -> f32 {
        math::mul_add(self, a, b)
    }
    fn plus(self, a: f32) -> f32 {
        self + a
    }
    fn minus(self, a: f32) -> f32 {
        self - a
    }
    fn times(self, a: f32) -> f32 {
        self * a
    }
    fn clipped(self, limit: f32) -> f32 {
        self.clamp(-limit, limit)
    }
    fn activated(self, activation: Activation) -> f32 {
        activation.eval(self)
    }
    fn to_bf16(self) -> f32 {
        bf16_to_f32(any_f32_to_bf16(self))
    }

    type Row = IntegerRow;
    fn row(elements: &[f32]) -> IntegerRow {
        IntegerRow::new(elements)
    }
    fn add_integers(start: f32, row: &IntegerRow, scale: Scale, integers: impl Iterator<Item = i32>) -> f32 {
        let sum = row.sum(scale.zero_point, integers) as f32;
        sum.fused_mul_add(row.scale().times(scale.scale), start)
    }
}

/// An f32 whose operations flush subnormals by the rule of [`Subnormals::Flush`](crate::Subnormals::Flush), in plain
/// arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flushed(pub f32);

impl From<f32> for Flushed {
    fn from(x: f32) -> Flushed {
        Flushed(x)
    }
}

impl Real for Flushed {
    const ZERO: Flushed = Flushed(0.0);
    fn from_f32(x: f32) -> Flushed {
        Flushed(x)
    }
    fn fused_mul_add(self, a: Flushed, b: Flushed) -> Flushed {
        Flushed(Flushing.mul_add(self.0, a.0, b.0))
    }
    fn plus(self, a: Flushed) -> Flushed {
        Flushed(Flushing.add(self.0, a.0))
    }
    fn minus(self, a: Flushed) -> Flushed {
        Flushed(Flushing.sub(self.0, a.0))
    }
    fn times(self, a: Flushed) -> Flushed {
        Flushed(Flushing.mul(self.0, a.0))
    }
    fn clipped(self, limit: f32) -> Flushed {
        Flushed(self.0.clipped(limit))
    }
    fn activated(self, activation: Activation) -> Flushed {
        Flushed(activation_v(Flushing, activation, self.0))
    }
    fn to_bf16(self) -> Flushed {
        Flushed(self.0.to_bf16())
    }

    type Row = IntegerRow;
    fn row(elements: &[Flushed]) -> IntegerRow {
        IntegerRow::new(&elements.iter().map(|element| element.0).collect::<Vec<f32>>())
    }
    fn add_integers(
        start: Flushed,
        row: &IntegerRow,
        scale: Scale,
        integers: impl Iterator<Item = i32>,
    ) -> Flushed {
        let sum = Flushed(row.sum(scale.zero_point, integers) as f32);
        sum.fused_mul_add(Flushed(row.scale()).times(Flushed(scale.scale)), start)
    }
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    fn from_f32(x: f32) -> f64 {
        x.into()
    }
    fn fused_mul_add(self, a: f64, b: f64) -> f64 {
        // One rounding or two makes no difference at this precision, and a fused operation may be a slow library call.
        self * a + b
    }
    fn plus(self, a: f64) -> f64 {
        self + a
    }
    fn minus(self, a: f64) -> f64 {
        self - a
    }
    fn times(self, a: f64) -> f64 {
        self * a
    }
    fn clipped(self, limit: f32) -> f64 {
        self.clamp(-f64::from(limit), limit.into())
    }
    fn activated(self, activation: Activation) -> f64 {
        activation.eval64(self)
    }
    fn to_bf16(self) -> f64 {
        self
    }

    /// The elements themselves: they are not rounded to integers.
    type Row = Vec<f64>;
    fn row(elements: &[f64]) -> Vec<f64> {
        elements.to_vec()
    }
    fn add_integers(start: f64, row: &Vec<f64>, scale: Scale, integers: impl Iterator<Item = i32>) -> f64 {
        let products = row.iter().zip(integers).map(|(x, w)| x * f64::from(w - scale.zero_point));
        start + f64::from(scale.scale) * products.sum::<f64>()
    }
}
