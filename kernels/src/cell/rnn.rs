//! The RNN's epilogue.

use super::{Activations, At, Pass, PassShape};
use crate::isa::Isa;

/// `H = f(sum)`
#[derive(Clone, Copy)]
pub(crate) struct Rnn<A>(pub(crate) A);

impl<A: Activations> Pass for Rnn<A> {
    const SHAPE: PassShape = PassShape { gates: &[0], units: 4, apart: false };
    const INLINE: bool = A::INLINE;

    #[inline(always)]
    unsafe fn finish<S: Isa>(self, s: S, [sum, ..]: [S::V; 4], _: At) -> Option<S::V> {
        Some(self.0.candidate(s, sum))
    }
}
