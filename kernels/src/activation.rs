//! stub
use crate::isa::Isa;
use crate::isa::scalar::Scalar;
#[inline(always)]
pub(crate) fn sigmoid_v<S: Isa>(s: S, x: S::V) -> S::V {
    s.min(s.max(x, s.splat(0.0)), s.splat(1.0))
}
#[inline(always)]
pub(crate) fn tanh_v<S: Isa>(s: S, x: S::V) -> S::V {
    s.min(s.max(x, s.splat(-1.0)), s.splat(1.0))
}
/// s
pub fn sigmoid(x: f32) -> f32 {
    sigmoid_v(Scalar, x)
}
/// t
pub fn tanh(x: f32) -> f32 {
    tanh_v(Scalar, x)
}
