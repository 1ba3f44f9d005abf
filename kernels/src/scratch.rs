//! The working memory of a call, and its layout.

use crate::aligned::{AlignedBuf, LINE};
use crate::blocking::Blocking;
use crate::error::Error;
use crate::memory::reserve;
use crate::operands::tile_sums;
use crate::pack::WeightPanels;
use crate::ragged::Ragged;
use crate::rows::{Factors, RowAddresses};
use alloc::vec::Vec;

const WHAT: &str = "scratch";

/// Working memory of [`forward`](crate::forward). It grows to the size of the largest call, and is reused without
/// further allocation.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Divided by [`ScratchLayout`].
    pub(crate) floats: AlignedBuf,
    /// The rows of the call, longest sequence first.
    pub(crate) ragged: Ragged,
    /// Their addresses, in the same order; more may follow.
    pub(crate) addresses: Vec<RowAddresses>,
    /// The rows of x of the current steps, `[step][row]`.
    pub(crate) x: Vec<Factors>,
}

/// The layout of the f32 of a block: two buffers of h, the other states, the sums of a tile, the gates of each pass; then, if
/// factors are not f32, the rows of x and of h as these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScratchLayout {
    /// The number of f32 of a padded row of h.
    pub(crate) h_row: usize,
    /// The number of f32 of one buffer of h.
    pub(crate) h: usize,
    /// The number of f32 of a padded row of another state.
    pub(crate) row: usize,
    /// The number of f32 of another state.
    pub(crate) state: usize,
    /// The number of states in addition to the two buffers of h.
    pub(crate) states: usize,
    /// The number of f32 of the sums of a tile.
    pub(crate) sums_room: usize,
    /// The number of (step, row) pairs of a panel in the gate buffer.
    pub(crate) pairs: usize,
    /// The start of the rows of factors, on a cache line.
    pub(crate) factors: usize,
    /// The number of bytes of a row of x as factors; 0 if these are f32.
    pub(crate) x_bytes: usize,
    /// The number of bytes of a row of h as factors; 0 if these are f32.
    pub(crate) h_bytes: usize,
    /// The number of f32 of everything.
    pub(crate) total: usize,
}

impl ScratchLayout {
    /// The layout for blocks of these extents.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the size overflows.
    #[inline(always)]
    pub(crate) fn new(panels: &WeightPanels, blocking: Blocking) -> Result<ScratchLayout, Error> {
        let (h_row, row, states) = (panels.h_row(), panels.row(), panels.states());
        let sizes = || {
            let pairs = blocking.rows.checked_mul(blocking.steps)?;
            let gates = pairs.checked_mul(panels.gates())?;
            let states_of_rows = blocking.rows.checked_mul(panels.states_of_row())?;
            let [x_bytes, h_bytes] = panels.factor_rows()?;
            let bytes = pairs.checked_mul(x_bytes)?.checked_add(blocking.rows.checked_mul(h_bytes)?)?;
            let sums = tile_sums(panels.description().weights);
            let floats = states_of_rows.checked_add(sums)?.checked_add(gates)?;
            let factors = floats.checked_next_multiple_of(LINE)?;
            let total = factors.checked_add(bytes / size_of::<f32>())?;
            // A row of h has at least as many elements as one of another state. So these are parts of `states_of_rows`.
            let (h, state) = (blocking.rows.wrapping_mul(h_row), blocking.rows.wrapping_mul(row));
            Some(ScratchLayout {
                h_row,
                h,
                row,
                state,
                states,
                sums_room: sums,
                pairs,
                factors,
                x_bytes,
                h_bytes,
                total,
            })
        };
        sizes().ok_or(Error::Overflow { what: WHAT })
    }

    /// The start of state `index`, not counting h.
    pub(crate) fn state(&self, index: usize) -> usize {
        2 * self.h + index * self.state
    }

    /// The start of the sums of a tile.
    pub(crate) fn sums(&self) -> usize {
        self.state(self.states)
    }

    /// The start of the gates of the first pass.
    pub(crate) fn gates(&self) -> usize {
        self.sums() + self.sums_room
    }
}

impl Scratch {
    /// An empty scratch. The first call allocates its memory.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// See [`PackedWeights::scratch_bytes`](crate::PackedWeights::scratch_bytes).
    pub(crate) fn bytes(
        panels: &WeightPanels,
        blocking: Blocking,
        time: usize,
        batch: usize,
    ) -> Result<usize, Error> {
        let layout = ScratchLayout::new(panels, blocking.within(time, batch))?;
        let sizes = [
            AlignedBuf::<f32>::bytes(layout.total),
            Ragged::bytes(batch),
            batch.checked_mul(size_of::<RowAddresses>()),
            layout.pairs.checked_mul(size_of::<Factors>()),
        ];
        let sum = sizes.into_iter().try_fold(0usize, |sum, size| sum.checked_add(size?));
        sum.ok_or(Error::Overflow { what: WHAT })
    }

    /// Makes room for a call of `batch` rows, and sorts the rows. A call overwrites what an earlier call left before it
    /// reads it.
    ///
    /// # Errors
    /// [`Error::Memory`] if the memory cannot be allocated.
    pub(crate) fn prepare(
        &mut self,
        time: usize,
        batch: usize,
        lens: Option<&[i32]>,
        layout: &ScratchLayout,
    ) -> Result<(), Error> {
        let enough = self.floats.len() >= layout.total && self.x.len() >= layout.pairs;
        if enough && self.addresses.len() >= batch && self.ragged.is_uniform(time, batch, lens) {
            return Ok(()); // as the call before
        }
        let memory = |floats| Error::Memory { what: WHAT, floats };
        self.floats.resize(layout.total).ok_or(memory(layout.total))?;
        self.ragged.sort(time, batch, lens)?;
        let more = batch.saturating_sub(self.addresses.len());
        reserve(&mut self.addresses, more).ok_or_else(|| memory(batch))?;
        self.addresses.resize(self.addresses.len() + more, RowAddresses::NULL);
        let more = layout.pairs.saturating_sub(self.x.len());
        reserve(&mut self.x, more).ok_or_else(|| memory(layout.pairs))?;
        self.x.resize(self.x.len() + more, Factors(core::ptr::null()));
        Ok(())
    }
}
