//! The addresses of the rows of a call, in the caller's memory.

use crate::ragged::RaggedRows;
use core::ops::Range;
use core::ptr;

/// The addresses of one row of the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowAddresses {
    /// Its x at time 0.
    pub(crate) x: *const f32,
    /// Its y at time 0; null if y is not wanted.
    pub(crate) y: *mut f32,
    /// Its hidden state.
    pub(crate) h: *mut f32,
    /// Its cell state; null if the cell has none.
    pub(crate) c: *mut f32,
}

impl RowAddresses {
    /// No row.
    pub(crate) const NULL: RowAddresses =
        RowAddresses { x: ptr::null(), y: ptr::null_mut(), h: ptr::null_mut(), c: ptr::null_mut() };
}

// SAFETY: addresses are plain data until they are used. A list of them is used only in the call that wrote it (see
// [`Rows`]).
unsafe impl Send for RowAddresses {}
// SAFETY: as above.
unsafe impl Sync for RowAddresses {}

/// The address of a row of x: of its f32, or of the integers that they became.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Factors(pub(crate) *const f32);

// SAFETY: as of [`RowAddresses`].
unsafe impl Send for Factors {}
// SAFETY: as above.
unsafe impl Sync for Factors {}

/// The rows of a call, longest sequence first.
///
/// # Invariant
/// The following holds while the value exists, for every row `i` of `addresses` and every `t` below its length in
/// `ragged`:
/// - `x + t · x_time` is valid for reading I f32.
/// - `y` is null in all rows or in none. If it is not null, `y + t · y_time` is valid for writing P f32.
/// - `h` is valid for reading and writing P f32.
/// - `c` is null if the cell has no cell state. Otherwise it is valid for reading and writing H f32.
///
/// Nothing else writes an x, or reads or writes a y, h or c. The y, h and c of all rows and times are disjoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) addresses: &'a [RowAddresses],
    pub(crate) ragged: RaggedRows<'a>,
    /// The number of f32 from one time step of x to the next.
    pub(crate) x_time: usize,
    /// The number of f32 from one time step of y to the next.
    pub(crate) y_time: usize,
    /// Whether every sequence is read from its own last step to its first.
    pub(crate) reverse: bool,
}

impl<'a> Rows<'a> {
    /// The rows `range` of these rows.
    pub(crate) fn range(self, range: Range<usize>) -> Rows<'a> {
        let addresses = &self.addresses[range.clone()];
        Rows { addresses, ragged: self.ragged.range(range), ..self }
    }

    /// Whether y is wanted.
    pub(crate) fn have_y(self) -> bool {
        self.addresses.first().is_some_and(|row| !row.y.is_null())
    }

    /// The address of the y that row `i` writes at `step`. The row must be running at `step`.
    #[inline(always)]
    pub(crate) fn y(self, step: usize, i: usize) -> *mut f32 {
        self.addresses[i].y.wrapping_add(self.ragged.time(self.reverse, step, i) * self.y_time)
    }
}
