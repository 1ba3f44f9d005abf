//! The GRU's epilogues.

use crate::epilogue::{Activations, Epilogue, Keep, Lanes, PassShape};
use crate::isa::Isa;

/// The gates, with ONNX's numbers.
const UPDATE: usize = 0;
const RESET: usize = 1;
const HIDDEN: usize = 2;

/// `H = z · H₋₁ + (1 - z) · ht`: one rounded product, then one fused multiply-add.
#[inline(always)]
fn blend<S: Isa>(s: S, z: S::V, candidate: S::V, before: S::V) -> S::V {
    s.mul_add(z, before, s.mul(s.sub(s.splat(1.0), z), candidate))
}

/// The only pass with `linear_before_reset`: all three gates. The two sums of the hidden gate are separate.
#[derive(Clone, Copy)]
pub(crate) struct Gru<A>(pub(crate) A);

impl<A: Activations> Epilogue for Gru<A> {
    const SHAPE: PassShape =
        PassShape { gates: &[UPDATE, RESET, HIDDEN], units: 1, separate_recurrent_bias: true };
    const STATES: usize = 0;
    const INLINE: bool = A::INLINE;

    /// `ht = g(r · (Rh·h + Rbh) + (Wh·x + Wbh))`
    #[inline(always)]
    unsafe fn finish<S: Isa, K: Keep>(
        self,
        s: S,
        [z, r, hidden, _]: [S::V; 4],
        lanes: Lanes,
        keep: K,
    ) -> Option<S::V> {
        // SAFETY: the caller's promise.
        let (projected, before) = unsafe { (s.load(lanes.projected), s.load(lanes.h)) };
        let reset = self.0.gate(s, r);
        let candidate = self.0.candidate(s, s.mul_add(reset, hidden, projected));
        let update = self.0.gate(s, z);
        // SAFETY: the caller's promise.
        unsafe {
            keep.keep(s, UPDATE, lanes.place, update);
            keep.keep(s, RESET, lanes.place, reset);
            keep.keep(s, HIDDEN, lanes.place, candidate);
        }
        Some(blend(s, update, candidate, before))
    }
}

/// The first pass without `linear_before_reset`: the gates z and r, and r ⊙ h, which the second pass multiplies with R.
#[derive(Clone, Copy)]
pub(crate) struct Gates<A>(pub(crate) A);

impl<A: Activations> Epilogue for Gates<A> {
    const SHAPE: PassShape = PassShape { gates: &[UPDATE, RESET], units: 2, separate_recurrent_bias: false };
    const STATES: usize = 2;
    const INLINE: bool = A::INLINE;

    #[inline(always)]
    unsafe fn finish<S: Isa, K: Keep>(
        self,
        s: S,
        [z, r, ..]: [S::V; 4],
        lanes: Lanes,
        keep: K,
    ) -> Option<S::V> {
        let (update, reset) = (self.0.gate(s, z), self.0.gate(s, r));
        // SAFETY: the caller's promise.
        unsafe {
            s.store(lanes.states[0], update);
            s.store(lanes.states[1], s.mul(reset, s.load(lanes.h)));
            keep.keep(s, UPDATE, lanes.place, update);
            keep.keep(s, RESET, lanes.place, reset);
        }
        None
    }
}

/// The second pass without `linear_before_reset`: the hidden gate and the new state.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<A>(pub(crate) A);

impl<A: Activations> Epilogue for Candidate<A> {
    const SHAPE: PassShape = PassShape { gates: &[HIDDEN], units: 4, separate_recurrent_bias: false };
    const STATES: usize = 2;
    const INLINE: bool = A::INLINE;

    #[inline(always)]
    unsafe fn finish<S: Isa, K: Keep>(
        self,
        s: S,
        [hidden, ..]: [S::V; 4],
        lanes: Lanes,
        keep: K,
    ) -> Option<S::V> {
        // SAFETY: the caller's promise.
        let (update, before) = unsafe { (s.load(lanes.states[0]), s.load(lanes.h)) };
        let candidate = self.0.candidate(s, hidden);
        // SAFETY: the caller's promise.
        unsafe { keep.keep(s, HIDDEN, lanes.place, candidate) };
        Some(blend(s, update, candidate, before))
    }
}
