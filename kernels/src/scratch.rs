//! The working memory of a call, and how it is divided.

use crate::aligned::AlignedBuf;
use crate::blocking::Blocking;
use crate::error::Error;
use crate::operands::TILE_SUMS;
use crate::pack::PackedWeights;
use crate::ragged::Ragged;
use crate::rows::{Factors, RowAddresses};
use alloc::vec::Vec;

const WHAT: &str = "scratch";

/// Working memory of [`forward`](crate::forward); grows to the largest call and is reused without further allocation.
#[derive(Debug, Default)]
pub struct Scratch {
    /// As [`ScratchLayout`] divides it.
    pub(crate) floats: AlignedBuf,
    /// The rows of the call, longest sequence first.
    pub(crate) ragged: Ragged,
    /// Their addresses, in the same order.
    pub(crate) addresses: Vec<RowAddresses>,
    /// The rows of x of the current steps, `[step][row]`.
    pub(crate) x: Vec<Factors<f32>>,
}

/// How the f32 of a block are divided: two of h, the other states, the sums of a tile, the gates of each pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScratchLayout {
    /// f32 of a padded row of h.
    pub(crate) h_row: usize,
    /// f32 of one h.
    pub(crate) h: usize,
    /// f32 of a padded row of another state.
    pub(crate) row: usize,
    /// f32 of another state.
    pub(crate) state: usize,
    /// States beside the two of h.
    pub(crate) states: usize,
    /// (step, row) pairs of a panel in the gate buffer.
    pub(crate) pairs: usize,
    /// f32 of everything.
    pub(crate) total: usize,
}

impl ScratchLayout {
    /// The division for blocks of these extents.
    ///
    /// # Errors
    /// [`Error::Overflow`] where no memory is so large.
    pub(crate) fn new(packed: &PackedWeights, blocking: Blocking) -> Result<ScratchLayout, Error> {
        let panels = packed.panels();
        let (h_row, row, states) = (panels.h_row(), panels.row(), panels.states());
        let sizes = || {
            let pairs = blocking.rows.checked_mul(blocking.steps)?;
            let (h, state) = (blocking.rows.checked_mul(h_row)?, blocking.rows.checked_mul(row)?);
            // The bias of a pass has as many elements as the gates of a pair.
            let gates = pairs.checked_mul(panels.passes().iter().map(|pass| pass.bias.len()).sum())?;
            let floats = h.checked_mul(2)?.checked_add(state.checked_mul(states)?)?;
            let total = floats.checked_add(TILE_SUMS)?.checked_add(gates)?;
            Some(ScratchLayout { h_row, h, row, state, states, pairs, total })
        };
        sizes().ok_or(Error::Overflow { what: WHAT })
    }

    /// Where state `index` beside h starts.
    pub(crate) fn state(&self, index: usize) -> usize {
        2 * self.h + index * self.state
    }

    /// Where the sums of a tile start.
    pub(crate) fn sums(&self) -> usize {
        self.state(self.states)
    }

    /// Where the gates of the first pass start.
    pub(crate) fn gates(&self) -> usize {
        self.sums() + TILE_SUMS
    }
}

impl Scratch {
    /// Empty; memory comes with the first call.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Bytes that an empty scratch allocates in a call of `time` steps and `batch` rows.
    ///
    /// # Errors
    /// [`Error::Overflow`] where no memory is so large.
    pub fn bytes(
        packed: &PackedWeights,
        blocking: Blocking,
        time: usize,
        batch: usize,
    ) -> Result<usize, Error> {
        let layout = ScratchLayout::new(packed, blocking.within(time, batch))?;
        let sizes = [
            AlignedBuf::<f32>::bytes(layout.total),
            Ragged::bytes(batch),
            batch.checked_mul(size_of::<RowAddresses>()),
            layout.pairs.checked_mul(size_of::<Factors<f32>>()),
        ];
        let sum = sizes.into_iter().try_fold(0usize, |sum, size| sum.checked_add(size?));
        sum.ok_or(Error::Overflow { what: WHAT })
    }

    /// Makes room for a call of so many rows, and sorts them. What an earlier call left is overwritten before it is read.
    ///
    /// # Errors
    /// [`Error::Memory`] where the memory cannot be had.
    pub(crate) fn prepare(
        &mut self,
        time: usize,
        batch: usize,
        lens: Option<&[i32]>,
        layout: ScratchLayout,
    ) -> Result<(), Error> {
        let memory = |floats| Error::Memory { what: WHAT, floats };
        self.floats.resize(layout.total).ok_or(memory(layout.total))?;
        self.ragged.sort(time, batch, lens)?;
        self.addresses.clear();
        self.addresses.try_reserve_exact(batch).map_err(|_| memory(batch))?;
        let more = layout.pairs.saturating_sub(self.x.len());
        self.x.try_reserve_exact(more).map_err(|_| memory(layout.pairs))?;
        self.x.resize(self.x.len() + more, Factors(core::ptr::null()));
        Ok(())
    }
}
