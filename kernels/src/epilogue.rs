//! Epilogues: they turn the sums of a tile into states, for one row and one vector of hidden units at a time.
//!
//! A step is one or two *passes* over the hidden units. A pass computes some gates of all units on register tiles. Its
//! epilogue processes the sums of a tile before the next tile starts.

mod activations;

pub(crate) use activations::{Activations, Any, Standard};

use crate::isa::Isa;

/// How a pass lays out its panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PassShape {
    /// The gates that the pass computes, with ONNX's numbers.
    pub(crate) gates: &'static [usize],
    /// The number of vectors of hidden units in a panel. It is chosen so that a tile has enough independent chains.
    pub(crate) units: usize,
    /// Whether the last gate's recurrent sum starts from its bias of R. The epilogue then adds the gate's projection.
    pub(crate) separate_recurrent_bias: bool,
}

impl PassShape {
    /// The number of accumulators of a row and panel, `[gate][unit vector]`.
    pub(crate) const fn vectors(self) -> usize {
        self.gates.len() * self.units
    }

    /// The number of panels of `hidden` units.
    pub(crate) fn panels(self, lanes: usize, hidden: usize) -> usize {
        hidden.div_ceil(self.units * lanes)
    }
}

/// The end of a pass: the computation that follows the sums of a tile.
pub(crate) trait Epilogue: Copy {
    /// The panels of the pass.
    const SHAPE: PassShape;
    /// The number of buffers of [`Lanes::states`] that the pass reads or writes, counted from the first. The second
    /// pass of a cell multiplies the second buffer with R.
    const STATES: usize;
    /// Whether the epilogue is compiled behind each tile's loop and takes the sums as values. Otherwise it is compiled
    /// once, and the sums of a tile go through the level 1 cache to it: 1 to 3% slower at H = 256, and 20 times less
    /// code.
    const INLINE: bool;

    /// Computes the pass from the sums of its gates, in the order of the shape; the rest of `sums` is padding. The last
    /// pass of a step returns the new hidden state, other passes `None`. Hands every activated gate to `keep`.
    ///
    /// # Safety
    /// Each address of `lanes` must be valid for a vector; of `states`, only the first [`Epilogue::STATES`]; of `constants`,
    /// only with peepholes, and then three rows. `keep` must have room for the place of `lanes`.
    unsafe fn finish<S: Isa, K: Keep>(self, s: S, sums: [S::V; 4], lanes: Lanes, keep: K) -> Option<S::V>;
}

/// The addresses of the values of one row and one vector of hidden units.
#[derive(Clone, Copy)]
pub(crate) struct Lanes {
    /// The previous hidden state.
    pub(crate) h: *const f32,
    /// The cell's states in addition to h: an LSTM's c; a GRU's z and r ⊙ h between its passes.
    pub(crate) states: [*mut f32; 2],
    /// The projected input of the pass's last gate.
    pub(crate) projected: *const f32,
    /// With peepholes, the first of three rows of packed constants: those of i, o and f. Without them, nothing is read here.
    pub(crate) constants: *const f32,
    /// The number of f32 from one row of constants to the next.
    pub(crate) row: usize,
    /// The step, row and units of the values.
    pub(crate) place: Place,
}

/// A vector of hidden units of one row at one step.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "sinks read it, and `Discard` is the only one outside of tests")
)]
pub(crate) struct Place {
    /// The step, counted from 0 in the order in which the row is read.
    pub(crate) step: usize,
    /// The row of the block.
    pub(crate) row: usize,
    /// The first unit of the vector.
    pub(crate) unit: usize,
}

/// A sink that takes the activated gates of a cell. Training needs them.
pub(crate) trait Keep: Copy {
    /// Takes one gate, with ONNX's number, of a vector of units.
    ///
    /// # Safety
    /// The sink must have room for the gate at this place.
    unsafe fn keep<S: Isa>(self, s: S, gate: usize, place: Place, values: S::V);
}

/// Keeps nothing.
#[derive(Clone, Copy)]
pub(crate) struct Discard;

impl Keep for Discard {
    #[inline(always)]
    unsafe fn keep<S: Isa>(self, _: S, _: usize, _: Place, _: S::V) {}
}
