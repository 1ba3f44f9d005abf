//! Epilogues: what becomes of the sums of a tile, for one row and one vector of hidden units at a time.
//!
//! A step is one or two *passes* over the hidden units. A pass computes some gates of all units on register tiles, and
//! its epilogue turns the tile's sums into states before the next tile starts.

mod activations;

pub(crate) use activations::{Activations, Any, Standard};

use crate::isa::Isa;

/// How a pass lays out its panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PassShape {
    /// The gates that it computes, as ONNX numbers them.
    pub(crate) gates: &'static [usize],
    /// Vectors of hidden units in a panel: as many as keep enough independent chains in a tile.
    pub(crate) units: usize,
    /// The last gate's recurrent sum starts from its bias of R, and its projection is left to the epilogue.
    pub(crate) separate_recurrent_bias: bool,
}

impl PassShape {
    /// Accumulators of a row and panel, `[gate][unit vector]`.
    pub(crate) const fn vectors(self) -> usize {
        self.gates.len() * self.units
    }

    /// Panels of `hidden` units.
    pub(crate) fn panels(self, lanes: usize, hidden: usize) -> usize {
        hidden.div_ceil(self.units * lanes)
    }
}

/// The end of a pass: what it computes from the sums of a tile.
pub(crate) trait Epilogue: Copy {
    /// The panels of the pass.
    const SHAPE: PassShape;
    /// Buffers of [`Lanes::states`] that it reads or writes, counted from the first; with a second pass, also what that
    /// one multiplies with R.
    const STATES: usize;
    /// The epilogue stands behind each tile's loop, which hands it the sums as values. Else the sums of a tile take a detour
    /// through level 1 to an epilogue that stands once: 1 to 3% slower at H = 256, and 20 times less code.
    const INLINE: bool;

    /// From the sums of the gates (in the order of the shape; the rest is padding) to the hidden state after, where this
    /// pass is the last of the step. Hands every activated gate to `keep`.
    ///
    /// # Safety
    /// The addresses of `lanes` must be valid for a vector each (those of `states` for as many as [`Epilogue::STATES`]),
    /// and its place be one that `keep` has room for.
    unsafe fn finish<S: Isa, K: Keep>(self, s: S, sums: [S::V; 4], lanes: Lanes, keep: K) -> Option<S::V>;
}

/// Where the values of one row and one vector of hidden units are.
#[derive(Clone, Copy)]
pub(crate) struct Lanes {
    /// The hidden state before.
    pub(crate) h: *const f32,
    /// The cell's states beside h: an LSTM's c, a GRU's z and r ⊙ h between its passes.
    pub(crate) states: [*mut f32; 2],
    /// The projected input of the pass's last gate.
    pub(crate) projected: *const f32,
    /// The first row of packed constants: an LSTM's peepholes, in the order of its gates.
    pub(crate) constants: *const f32,
    /// f32 from a row of constants to the next.
    pub(crate) row: usize,
    /// Which values they are.
    pub(crate) place: Place,
}

/// A vector of hidden units of one row at one step.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "sinks read it, and `Discard` is the only one outside of tests")
)]
pub(crate) struct Place {
    /// The step of the row's own sequence, counted from 0.
    pub(crate) step: usize,
    /// The row of the block.
    pub(crate) row: usize,
    /// The first unit of the vector.
    pub(crate) unit: usize,
}

/// Takes the activated gates of a cell, as training needs them.
pub(crate) trait Keep: Copy {
    /// Takes a gate, as ONNX numbers them, of a vector of units.
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
