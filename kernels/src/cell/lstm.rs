//! The LSTM cell as ONNX has it, default activations (f = σ, g = h = tanh).

use crate::activation::{sigmoid_v, tanh_v};
use crate::isa::Isa;

/// From the pre-activations of the gates `[i, o, f, c]` and the cell state before: the cell state and the hidden
/// state after.
///
/// ```text
/// C = σ(f) · C₋₁ + σ(i) · tanh(c)      one product rounded, then one fused multiply-add
/// H = σ(o) · tanh(C)
/// ```
#[inline(always)]
pub(crate) fn epilogue<S: Isa>(s: S, [i, o, f, g]: [S::V; 4], cell: S::V) -> (S::V, S::V) {
    let input = s.mul(sigmoid_v(s, i), tanh_v(s, g));
    let cell = s.mul_add(sigmoid_v(s, f), cell, input);
    (cell, s.mul(sigmoid_v(s, o), tanh_v(s, cell)))
}
