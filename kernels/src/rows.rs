//! Where the rows of a call are: the caller's memory, row by row.

use crate::ragged::RaggedRows;
use core::ops::Range;

/// Addresses of one row of the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowAddresses {
    /// Its x at time 0.
    pub(crate) x: *const f32,
    /// Its y at time 0; null where y is not wanted.
    pub(crate) y: *mut f32,
    /// Its hidden state.
    pub(crate) h: *mut f32,
    /// Its cell state; null where the cell has none.
    pub(crate) c: *mut f32,
}

// SAFETY: addresses alone are plain data. A list of them is read only in the call that wrote it (see [`Rows`]).
unsafe impl Send for RowAddresses {}
// SAFETY: as above.
unsafe impl Sync for RowAddresses {}

/// The address of a row of x.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Factors<F>(pub(crate) *const F);

// SAFETY: as of [`RowAddresses`].
unsafe impl<F> Send for Factors<F> {}
// SAFETY: as above.
unsafe impl<F> Sync for Factors<F> {}

/// The rows of a call, longest sequence first.
///
/// # Invariant
/// With `len` the length of row `i` in `ragged`, as long as the value exists and for every `t < len`, `addresses[i]` has
/// - an x that is valid for reading I f32 at `x + t · x_time`,
/// - a y that is null, in all rows or in none, or valid for writing P f32 at `y + t · y_time`,
/// - an h that is valid for reading and writing P f32, and a c that is for H f32, or null where the cell has no cell state.
///
/// Nothing else writes an x, or reads or writes a y, h or c; the y, h and c of all rows and times are disjoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) addresses: &'a [RowAddresses],
    pub(crate) ragged: RaggedRows<'a>,
    /// f32 from a time step of x to the next.
    pub(crate) x_time: usize,
    /// Likewise of y.
    pub(crate) y_time: usize,
    /// Every sequence is read from its own last step to its first.
    pub(crate) reverse: bool,
}

impl<'a> Rows<'a> {
    /// The rows `range` of these.
    pub(crate) fn range(self, range: Range<usize>) -> Rows<'a> {
        let addresses = &self.addresses[range.clone()];
        Rows { addresses, ragged: self.ragged.range(range), ..self }
    }

    /// Whether y is wanted.
    pub(crate) fn have_y(self) -> bool {
        self.addresses.first().is_some_and(|row| !row.y.is_null())
    }

    /// The x that row `i`, which must be running, reads at a step.
    #[inline(always)]
    pub(crate) fn x(self, step: usize, i: usize) -> *const f32 {
        self.addresses[i].x.wrapping_add(self.ragged.time(self.reverse, step, i) * self.x_time)
    }

    /// The y that row `i`, which must be running, writes at a step.
    #[inline(always)]
    pub(crate) fn y(self, step: usize, i: usize) -> *mut f32 {
        self.addresses[i].y.wrapping_add(self.ragged.time(self.reverse, step, i) * self.y_time)
    }
}
