//! Cache blocking: how many batch rows and time steps the loops take at a time.

use crate::cell::Cell;
use crate::isa::Variant;
use crate::passes::Constants;

/// The cache sizes from which the blocking is derived, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caches {
    /// Level 2, as the CPU reports it.
    pub l2: usize,
}

impl Caches {
    /// The sizes to assume if detection finds nothing: small enough for any core of the last decade.
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

/// The limits of the blocking of a layer: all that does not depend on the extents of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most batch rows of a block.
    rows: usize,
    /// The (step, row) pairs whose gates take a quarter of L2.
    pairs: usize,
    /// The rows of four full tiles.
    tiles: usize,
}

impl Limits {
    /// The limits for a layer of hidden size `hidden`. [`Blocking::new`] explains them.
    pub fn new(cell: &Cell, variant: Variant, caches: Caches, hidden: usize) -> Limits {
        let f32s = caches.l2 / size_of::<f32>();
        let lanes = variant.lanes();
        let padded = hidden.max(1).div_ceil(lanes).saturating_mul(lanes);
        let tiles = 4 * variant.tile_rows();
        let states = Constants::of(cell, false).states;
        let rows_in_l2 = f32s / 2 / padded.saturating_mul(cell.gates() + 2 + states);
        Limits { rows: rows_in_l2.max(tiles), pairs: f32s / 4 / padded.saturating_mul(cell.gates()), tiles }
    }

    /// The extents for `time` steps of `batch` rows.
    #[inline]
    pub fn blocking(self, time: usize, batch: usize) -> Blocking {
        // A division takes longer than all else here.
        let rows = match batch {
            0 | 1 => 1,
            batch if batch <= self.rows => batch,
            batch => batch.div_ceil(batch.div_ceil(self.rows)),
        };
        let steps = match time {
            0 | 1 => 1,
            time => (self.pairs / rows).max(self.tiles.div_ceil(rows)).min(time),
        };
        Blocking { rows, steps }
    }
}

impl Blocking {
    /// The extents for a layer of hidden size `hidden` over `time` steps of `batch` rows.
    ///
    /// * `rows`: each row needs the gate buffer of one step, h twice and the cell's other states. For an LSTM this is
    ///   `(4 + 2 + 1) · H` f32. All rows together take at most half of L2. But the limit is at least four full tiles of
    ///   rows, so that each pass over R serves enough rows. Blocks are made equal, because a small last block would
    ///   still cost a whole pass over R.
    /// * `steps`: the gate buffer of all projected steps takes at most a quarter of L2. But `rows · steps` is at least
    ///   four full tiles: with one row, the steps are the projection's only source of rows.
    pub fn new(cell: &Cell, variant: Variant, caches: Caches, [hidden, time, batch]: [usize; 3]) -> Blocking {
        Limits::new(cell, variant, caches, hidden).blocking(time, batch)
    }

    /// The loop extents, limited to at least 1 and at most the extents of a call.
    pub(crate) fn within(self, time: usize, batch: usize) -> Blocking {
        Blocking { rows: self.rows.clamp(1, batch.max(1)), steps: self.steps.clamp(1, time.max(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_cache_is_one_that_every_core_has() {
        assert!((128 << 10..=1 << 20).contains(&Caches::UNKNOWN.l2));
    }
}
