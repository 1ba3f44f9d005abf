//! The RNN's epilogue.

use crate::epilogue::{Activations, Epilogue, Keep, Lanes, PassShape};
use crate::isa::Isa;

/// `H = f(sum)`
#[derive(Clone, Copy)]
pub(crate) struct Rnn<A>(pub(crate) A);

impl<A: Activations> Epilogue for Rnn<A> {
    const SHAPE: PassShape = PassShape { gates: &[0], units: 4, separate_recurrent_bias: false };
    const STATES: usize = 0;
    const INLINE: bool = A::INLINE;

    #[inline(always)]
    unsafe fn finish<S: Isa, K: Keep>(
        self,
        s: S,
        [sum, ..]: [S::V; 4],
        lanes: Lanes,
        keep: K,
    ) -> Option<S::V> {
        let h = self.0.candidate(s, sum);
        // SAFETY: the caller's promise.
        unsafe { keep.keep(s, 0, lanes.place, h) };
        Some(h)
    }
}
