//! The GRU's epilogues.

use super::{Activations, At, Pass, PassShape};
use crate::isa::Isa;

/// `H = z · H₋₁ + (1 - z) · ht`, one product rounded, then one fused multiply-add.
#[inline(always)]
fn blend<S: Isa>(s: S, z: S::V, candidate: S::V, before: S::V) -> S::V {
    s.mul_add(z, before, s.mul(s.sub(s.splat(1.0), z), candidate))
}

/// With `linear_before_reset`: all three gates in one pass, the hidden gate's two sums apart.
#[derive(Clone, Copy)]
pub(crate) struct Gru<A>(pub(crate) A);

impl<A: Activations> Pass for Gru<A> {
    const SHAPE: PassShape = PassShape { gates: &[0, 1, 2], units: 1, apart: true };
    const INLINE: bool = A::INLINE;

    /// `ht = g(r · (Rh·h + Rbh) + (Wh·x + Wbh))`
    #[inline(always)]
    unsafe fn finish<S: Isa>(self, s: S, [z, r, hidden, _]: [S::V; 4], at: At) -> Option<S::V> {
        // SAFETY: the caller's promise.
        let (projected, before) = unsafe { (s.load(at.projected), s.load(at.h)) };
        let reset = self.0.gate(s, r);
        let candidate = self.0.candidate(s, s.mul_add(reset, hidden, projected));
        Some(blend(s, self.0.gate(s, z), candidate, before))
    }
}

/// Without it, the first pass: the gates z and r, and r ⊙ h, which the second pass multiplies with R.
#[derive(Clone, Copy)]
pub(crate) struct Gates<A>(pub(crate) A);

impl<A: Activations> Pass for Gates<A> {
    const SHAPE: PassShape = PassShape { gates: &[0, 1], units: 2, apart: false };
    const INLINE: bool = A::INLINE;

    #[inline(always)]
    unsafe fn finish<S: Isa>(self, s: S, [z, r, ..]: [S::V; 4], at: At) -> Option<S::V> {
        let (update, reset) = (self.0.gate(s, z), self.0.gate(s, r));
        // SAFETY: the caller's promise.
        unsafe {
            s.store(at.aux[0], update);
            s.store(at.aux[1], s.mul(reset, s.load(at.h)));
        }
        None
    }
}

/// Without it, the second pass: the hidden gate, and the new state.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<A>(pub(crate) A);

impl<A: Activations> Pass for Candidate<A> {
    const SHAPE: PassShape = PassShape { gates: &[2], units: 4, apart: false };
    const INLINE: bool = A::INLINE;

    #[inline(always)]
    unsafe fn finish<S: Isa>(self, s: S, [hidden, ..]: [S::V; 4], at: At) -> Option<S::V> {
        // SAFETY: the caller's promise.
        let (update, before) = unsafe { (s.load(at.aux[0]), s.load(at.h)) };
        Some(blend(s, update, self.0.candidate(s, hidden), before))
    }
}
