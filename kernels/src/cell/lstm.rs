//! The LSTM's epilogues.

use crate::epilogue::{Activations, Epilogue, Keep, Lanes, PassShape};
use crate::isa::Isa;

/// The gates, with ONNX's numbers. The peepholes of the first three have the same order.
const INPUT: usize = 0;
const OUTPUT: usize = 1;
const FORGET: usize = 2;
const CELL: usize = 3;

/// The pass that computes all four gates.
#[derive(Clone, Copy)]
pub(crate) struct Lstm<A> {
    pub(crate) activations: A,
    pub(crate) peepholes: bool,
}

impl<A: Activations> Epilogue for Lstm<A> {
    const SHAPE: PassShape =
        PassShape { gates: &[INPUT, OUTPUT, FORGET, CELL], units: 1, separate_recurrent_bias: false };
    const STATES: usize = 1;
    const INLINE: bool = A::INLINE;

    /// ```text
    /// C = f(f + Pf·C₋₁) · C₋₁ + f(i + Pi·C₋₁) · g(c)     one product rounded, then one fused multiply-add
    /// H = f(o + Po·C) · h(C)
    /// ```
    #[inline(always)]
    unsafe fn finish<S: Isa, K: Keep>(
        self,
        s: S,
        [i, o, f, g]: [S::V; 4],
        lanes: Lanes,
        keep: K,
    ) -> Option<S::V> {
        // SAFETY: the caller's promise.
        let before = unsafe { s.load(lanes.states[0]) };
        let input = self.activations.gate(s, self.peep(s, INPUT, i, before, lanes));
        let forget = self.activations.gate(s, self.peep(s, FORGET, f, before, lanes));
        // SAFETY: the caller's promise.
        Some(unsafe { self.emit(s, [input, forget, o, g], before, lanes, keep) })
    }
}

impl<A: Activations> Lstm<A> {
    /// The sum of a gate, plus its peephole term if there are peepholes.
    #[inline(always)]
    fn peep<S: Isa>(self, s: S, gate: usize, sum: S::V, cell: S::V, lanes: Lanes) -> S::V {
        if !self.peepholes {
            return sum;
        }
        // SAFETY: there are peepholes, so the caller of `finish` promises three rows of constants, and i, o and f are 0 to 2.
        s.mul_add(unsafe { s.load(lanes.constants.add(gate * lanes.row)) }, cell, sum)
    }

    /// Writes the new cell state and returns the new hidden state, from the activated gates i and f and the sums of o
    /// and c.
    ///
    /// # Safety
    /// As [`Epilogue::finish`].
    #[inline(always)]
    unsafe fn emit<S: Isa, K: Keep>(
        self,
        s: S,
        [input, forget, o, g]: [S::V; 4],
        before: S::V,
        lanes: Lanes,
        keep: K,
    ) -> S::V {
        let candidate = self.activations.candidate(s, g);
        let cell = s.mul_add(forget, before, s.mul(input, candidate));
        // SAFETY: the caller's promise.
        unsafe { s.store(lanes.states[0], cell) };
        let output = self.activations.gate(s, self.peep(s, OUTPUT, o, cell, lanes));
        // SAFETY: the caller's promise.
        unsafe {
            keep.keep(s, INPUT, lanes.place, input);
            keep.keep(s, OUTPUT, lanes.place, output);
            keep.keep(s, FORGET, lanes.place, forget);
            keep.keep(s, CELL, lanes.place, candidate);
        }
        s.mul(output, self.activations.output(s, cell))
    }
}

/// The pass with `input_forget`: the forget gate is one minus the input gate, and has no sum of its own.
#[derive(Clone, Copy)]
pub(crate) struct CoupledLstm<A>(pub(crate) Lstm<A>);

impl<A: Activations> Epilogue for CoupledLstm<A> {
    const SHAPE: PassShape =
        PassShape { gates: &[INPUT, OUTPUT, CELL], units: 1, separate_recurrent_bias: false };
    const STATES: usize = 1;
    const INLINE: bool = A::INLINE;

    #[inline(always)]
    unsafe fn finish<S: Isa, K: Keep>(
        self,
        s: S,
        [i, o, g, _]: [S::V; 4],
        lanes: Lanes,
        keep: K,
    ) -> Option<S::V> {
        // SAFETY: the caller's promise.
        let before = unsafe { s.load(lanes.states[0]) };
        let input = self.0.activations.gate(s, self.0.peep(s, INPUT, i, before, lanes));
        // SAFETY: the caller's promise.
        Some(unsafe { self.0.emit(s, [input, s.sub(s.splat(1.0), input), o, g], before, lanes, keep) })
    }
}
