//! The functions that `core` lacks: the standard library's or, without `std`, those of the crate `libm`.

/// `a * b + c`, rounded once: the same bits from either.
#[inline(always)]
pub(crate) fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    #[cfg(feature = "std")]
    return a.mul_add(b, c);
    #[cfg(not(feature = "std"))]
    libm::fmaf(a, b, c)
}

/// `e^x`, to an ulp or so. For f64 layers and the reference alone, as [`tanh`] is: its last bit is the platform's.
pub(crate) fn exp(x: f64) -> f64 {
    #[cfg(feature = "std")]
    return x.exp();
    #[cfg(not(feature = "std"))]
    libm::exp(x)
}

/// The hyperbolic tangent, to an ulp or so.
pub(crate) fn tanh(x: f64) -> f64 {
    #[cfg(feature = "std")]
    return x.tanh();
    #[cfg(not(feature = "std"))]
    libm::tanh(x)
}
