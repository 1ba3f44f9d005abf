//! The element type of weights and sequences.

use crate::weight_type::WeightType;

/// The element type of weights and sequences: f32 or f64. The trait is sealed.
pub trait Element:
    sealed::Sealed + Copy + Default + PartialEq + Send + Sync + core::fmt::Debug + 'static
{
    /// Whether the number is neither NaN nor infinite.
    fn is_finite(self) -> bool;
    /// Whether the number is subnormal: below the smallest normal number of its type, and not zero.
    fn is_subnormal(self) -> bool;
    /// The number, or zero with its sign if it is subnormal.
    fn flushed(self) -> Self;
    /// The number, rounded to a type of weights as [`WeightType::rounded`] does. `None` if the type cannot hold it. f64
    /// weights are not stored in other types: they have a result for [`WeightType::F32`] alone, the number itself.
    fn narrowed(self, weights: WeightType) -> Option<Self>;
    /// The number, rounded to f32.
    fn to_f32(self) -> f32;
    /// An f32, exactly.
    fn of_f32(x: f32) -> Self;
}

mod sealed {
    /// Implemented only here.
    pub trait Sealed {}

    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Element for f32 {
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
    fn is_subnormal(self) -> bool {
        f32::is_subnormal(self)
    }
    fn flushed(self) -> f32 {
        if f32::is_subnormal(self) { 0f32.copysign(self) } else { self }
    }
    fn narrowed(self, weights: WeightType) -> Option<f32> {
        Some(weights.rounded(self)).filter(|rounded| rounded.is_finite())
    }
    fn to_f32(self) -> f32 {
        self
    }
    fn of_f32(x: f32) -> f32 {
        x
    }
}

impl Element for f64 {
    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
    fn is_subnormal(self) -> bool {
        f64::is_subnormal(self)
    }
    fn flushed(self) -> f64 {
        if f64::is_subnormal(self) { 0f64.copysign(self) } else { self }
    }
    fn narrowed(self, weights: WeightType) -> Option<f64> {
        (weights == WeightType::F32).then_some(self)
    }
    fn to_f32(self) -> f32 {
        self as f32
    }
    fn of_f32(x: f32) -> f64 {
        x.into()
    }
}
