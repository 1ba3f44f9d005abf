//! The numbers of an unfused layer.

use rnnpack_kernels::gemm::GemmElement;

/// The numbers that an unfused layer computes with: f32 or f64. Cell functions are computed in f64 and then rounded.
/// No other type implements this trait.
pub trait Number: GemmElement + Into<f64> {
    /// The number nearest to `x`.
    fn rounded(x: f64) -> Self;
}

impl Number for f32 {
    fn rounded(x: f64) -> f32 {
        x as f32
    }
}

impl Number for f64 {
    fn rounded(x: f64) -> f64 {
        x
    }
}
