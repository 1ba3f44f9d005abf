//! The naive references: what a layer computes, as plainly as it can be said.
//!
//! One body serves two precisions. In `f32` it performs the same operations in the same order as the kernels, so
//! that results must be equal bit for bit; in `f64` it judges accuracy.
//!
//! The cell is ONNX's LSTM (Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000), gates `iofc`:
//!
//! ```text
//! it = σ(Wi·x + Ri·h + bi)    ot = σ(Wo·x + Ro·h + bo)    ft = σ(Wf·x + Rf·h + bf)
//! ct = tanh(Wc·x + Rc·h + bc)     Ct = ft ⊙ Ct₋₁ + it ⊙ ct     Ht = ot ⊙ tanh(Ct)        b = Wb + Rb
//! ```

use crate::activation;
use crate::view::{Dims, View};
use crate::{Error, weights::Weights};

/// The arithmetic of a reference: f32 with this crate's activations, or f64 with the standard library's.
pub trait Real: Copy + PartialEq + std::fmt::Debug {
    /// 0
    const ZERO: Self;
    /// Exact conversion.
    fn from_f32(x: f32) -> Self;
    /// `self * a + b`; in f32 rounded once, as the kernels do.
    fn fused_mul_add(self, a: Self, b: Self) -> Self;
    /// `self + a`
    fn plus(self, a: Self) -> Self;
    /// `self * a`
    fn times(self, a: Self) -> Self;
    /// `1 / (1 + e^-self)`
    fn sigmoid(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    fn from_f32(x: f32) -> f32 {
        x
    }
    fn fused_mul_add(self, a: f32, b: f32) -> f32 {
        self.mul_add(a, b)
    }
    fn plus(self, a: f32) -> f32 {
        self + a
    }
    fn times(self, a: f32) -> f32 {
        self * a
    }
    fn sigmoid(self) -> f32 {
        activation::sigmoid(self)
    }
    fn tanh(self) -> f32 {
        activation::tanh(self)
    }
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    fn from_f32(x: f32) -> f64 {
        x.into()
    }
    fn fused_mul_add(self, a: f64, b: f64) -> f64 {
        // One rounding or two makes no difference at this precision; a fused one may be a slow library call.
        self * a + b
    }
    fn plus(self, a: f64) -> f64 {
        self + a
    }
    fn times(self, a: f64) -> f64 {
        self * a
    }
    fn sigmoid(self) -> f64 {
        1.0 / (1.0 + (-self).exp())
    }
    fn tanh(self) -> f64 {
        f64::tanh(self)
    }
}

/// Runs one direction over `x` `[T, 1, B, I]` and returns Y, dense `[T, B, H]`.
///
/// `h` and `c` are `[B, H]`: the initial state before, the final one after. Rows of Y at and beyond a sequence's
/// length are zero. `reverse` reads every sequence from its own last step to its first.
///
/// # Errors
/// As [`crate::lstm_forward`]; [`Error::Overflow`] and [`Error::Memory`] where Y does not fit into memory.
pub fn lstm<F: Real>(
    weights: &Weights<'_>,
    x: View<'_>,
    lens: Option<&[i32]>,
    reverse: bool,
    h: &mut [F],
    c: &mut [F],
) -> Result<Vec<F>, Error> {
    let Dims { time, batch, .. } = x.dims();
    let hidden = weights.hidden();
    crate::sequence::check(weights.input(), hidden, x, lens, h.len(), c.len())?;
    let what = "Y of the reference";
    let floats = time.checked_mul(batch).and_then(|rows| rows.checked_mul(hidden));
    let floats = floats.ok_or(Error::Overflow { what })?;
    let mut y = Vec::new();
    y.try_reserve_exact(floats).map_err(|_| Error::Memory { what, floats })?;
    y.resize(floats, F::ZERO);
    for b in 0..batch {
        let len = lens.map_or(time, |l| l[b] as usize);
        let (h, c) = (&mut h[b * hidden..][..hidden], &mut c[b * hidden..][..hidden]);
        for s in 0..len {
            let t = if reverse { len - 1 - s } else { s };
            step(weights, x.row(t, 0, b), h, c);
            y[(t * batch + b) * hidden..][..hidden].copy_from_slice(h);
        }
    }
    Ok(y)
}

fn step<F: Real>(weights: &Weights<'_>, x: &[f32], h: &mut [F], c: &mut [F]) {
    let before = h.to_vec();
    for unit in 0..h.len() {
        let [i, o, f, g] = [0, 1, 2, 3].map(|gate| pre_activation(weights, gate, unit, x, &before));
        c[unit] = f.sigmoid().fused_mul_add(c[unit], i.sigmoid().times(g.tanh()));
        h[unit] = o.sigmoid().times(c[unit].tanh());
    }
}

/// One chain of fused multiply-adds: bias, then x in ascending k, then h in ascending k.
fn pre_activation<F: Real>(weights: &Weights<'_>, gate: usize, unit: usize, x: &[f32], h: &[F]) -> F {
    let (w, r) = (weights.w_row(gate, unit), weights.r_row(gate, unit));
    let bias = match weights.bias(gate, unit) {
        Some((wb, rb)) => F::from_f32(wb).plus(F::from_f32(rb)),
        None => F::ZERO,
    };
    let sum = w.iter().zip(x).fold(bias, |sum, (&w, &x)| F::from_f32(x).fused_mul_add(F::from_f32(w), sum));
    r.iter().zip(h).fold(sum, |sum, (&r, &h)| h.fused_mul_add(F::from_f32(r), sum))
}
