//! Cache blocking: how many batch rows and time steps the loops take at a time.

use crate::cell::Cell;
use crate::isa::Variant;
use crate::passes::Constants;

/// The cache sizes that the blocking comes from, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caches {
    /// Level 2, as the CPU reports it.
    pub l2: usize,
}

impl Caches {
    /// What to assume where detection finds nothing: small enough for any core of the last decade.
    pub const UNKNOWN: Caches = Caches { l2: 256 << 10 };
}

/// Loop extents for one call. Any values of at least 1 give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocking {
    /// Batch rows whose states stay in cache together while they go through all time steps.
    pub rows: usize,
    /// Time steps whose input projection is computed ahead in one product.
    pub steps: usize,
}

impl Blocking {
    /// The extents for a layer of hidden size `hidden` over `time` steps of `batch` rows.
    ///
    /// * `rows`: per row the gate buffer of one step, h twice and the cell's other states (an LSTM: `(4 + 2 + 1) · H` f32).
    ///   All of it takes at most
    ///   half of L2, and at least a few full tiles, so that each pass over R serves enough rows. Blocks are of equal
    ///   size: a last one of few rows would cost a pass over R all the same.
    /// * `steps`: the gate buffer of all projected steps takes at most a quarter of L2, but a few steps' worth of
    ///   full tiles at least: with one row it is the projection's only source of rows.
    pub fn new(cell: &Cell, variant: Variant, caches: Caches, [hidden, time, batch]: [usize; 3]) -> Blocking {
        let f32s = |bytes: usize| bytes / size_of::<f32>();
        let lanes = variant.lanes();
        let padded = hidden.max(1).div_ceil(lanes).saturating_mul(lanes);
        let tile = variant.tile_rows();
        let states = Constants::of(cell, false).states;

        let rows_in_l2 = f32s(caches.l2) / 2 / padded.saturating_mul(cell.gates() + 2 + states);
        let most = rows_in_l2.max(4 * tile);
        let rows = batch.max(1).div_ceil(batch.max(1).div_ceil(most));
        let steps_in_l2 = f32s(caches.l2) / 4 / padded.saturating_mul(cell.gates()).saturating_mul(rows);
        let steps = steps_in_l2.max((4 * tile).div_ceil(rows)).min(time.max(1));
        Blocking { rows, steps }
    }

    /// Loop extents of at least 1 that are no larger than a call.
    pub(crate) fn within(self, time: usize, batch: usize) -> Blocking {
        Blocking { rows: self.rows.clamp(1, batch.max(1)), steps: self.steps.clamp(1, time.max(1)) }
    }
}
