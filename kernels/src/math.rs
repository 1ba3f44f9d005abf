//! The functions that `core` lacks: those of the standard library or, without `std`, of the crate `libm`.

/// `a * b + c`, rounded once. Both sources return the same bits.
#[inline(always)]
pub(crate) fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    #[cfg(feature = "std")]
    return a.mul_add(b, c);
    #[cfg(not(feature = "std"))]
    libm::fmaf(a, b, c)
}

/// `e^x`, to about one ulp. The last bit depends on the platform, so it is only for f64 layers and the reference. The
/// same holds for [`tanh`].
pub(crate) fn exp(x: f64) -> f64 {
    #[cfg(feature = "std")]
    return x.exp();
    #[cfg(not(feature = "std"))]
    libm::exp(x)
}

/// The hyperbolic tangent, to about one ulp.
pub(crate) fn tanh(x: f64) -> f64 {
    #[cfg(feature = "std")]
    return x.tanh();
    #[cfg(not(feature = "std"))]
    libm::tanh(x)
}
