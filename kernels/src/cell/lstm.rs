//! The LSTM's epilogues.

use super::{Activations, At, Pass, PassShape};
use crate::isa::Isa;

/// All four gates.
#[derive(Clone, Copy)]
pub(crate) struct Lstm<A> {
    pub(crate) activations: A,
    pub(crate) peepholes: bool,
}

impl<A: Activations> Pass for Lstm<A> {
    const SHAPE: PassShape = PassShape { gates: &[0, 1, 2, 3], units: 1, apart: false };
    const INLINE: bool = A::INLINE;

    /// ```text
    /// C = f(f + Pf·C₋₁) · C₋₁ + f(i + Pi·C₋₁) · g(c)     one product rounded, then one fused multiply-add
    /// H = f(o + Po·C) · h(C)
    /// ```
    #[inline(always)]
    unsafe fn finish<S: Isa>(self, s: S, [i, o, f, g]: [S::V; 4], at: At) -> Option<S::V> {
        // SAFETY: the caller's promise.
        let before = unsafe { s.load(at.aux[0]) };
        let input = self.activations.gate(s, self.peep(s, 0, i, before, at));
        let forget = self.activations.gate(s, self.peep(s, 2, f, before, at));
        Some(self.emit(s, [input, forget, o, g], before, at))
    }
}

impl<A: Activations> Lstm<A> {
    /// The sum of a gate, and its peephole.
    #[inline(always)]
    fn peep<S: Isa>(self, s: S, gate: usize, sum: S::V, cell: S::V, at: At) -> S::V {
        if !self.peepholes {
            return sum;
        }
        // SAFETY: the caller of `finish` promises the constants.
        s.mul_add(unsafe { s.load(at.constants.add(gate * at.row)) }, cell, sum)
    }

    /// From the activated gates i and f and the sums of o and c: writes the cell state, gives the hidden state.
    #[inline(always)]
    fn emit<S: Isa>(self, s: S, [input, forget, o, g]: [S::V; 4], before: S::V, at: At) -> S::V {
        let cell = s.mul_add(forget, before, s.mul(input, self.activations.candidate(s, g)));
        // SAFETY: the caller of `finish` promises the buffer.
        unsafe { s.store(at.aux[0], cell) };
        let output = self.activations.gate(s, self.peep(s, 1, o, cell, at));
        s.mul(output, self.activations.output(s, cell))
    }
}

/// `input_forget`: the forget gate is what the input gate leaves, and is not computed.
#[derive(Clone, Copy)]
pub(crate) struct CoupledLstm<A>(pub(crate) Lstm<A>);

impl<A: Activations> Pass for CoupledLstm<A> {
    const SHAPE: PassShape = PassShape { gates: &[0, 1, 3], units: 1, apart: false };
    const INLINE: bool = A::INLINE;

    #[inline(always)]
    unsafe fn finish<S: Isa>(self, s: S, [i, o, g, _]: [S::V; 4], at: At) -> Option<S::V> {
        // SAFETY: the caller's promise.
        let before = unsafe { s.load(at.aux[0]) };
        let input = self.0.activations.gate(s, self.0.peep(s, 0, i, before, at));
        Some(self.0.emit(s, [input, s.sub(s.splat(1.0), input), o, g], before, at))
    }
}
