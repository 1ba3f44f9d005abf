//! The checks of a call, for the kernels and the references, and zeros for the rows of Y that no step reaches.

use crate::cell::Cell;
use crate::element::Element;
use crate::error::Error;
use crate::sizes::Sizes;
use crate::view::{Dims, View, ViewMut};

/// Checks the extents of Y.
///
/// # Errors
/// [`Error::Extent`] names the first extent that is not as expected.
pub fn check_output<F: Element>(y: &ViewMut<'_, F>, expected: Dims) -> Result<(), Error> {
    expect_extents(["Y time", "Y directions", "Y batch", "Y width"], expected, y.dims())
}

/// Checks the input, its lengths and the state. `state` is the number of elements of h and of c. If the cell has no
/// cell state, c must have none.
///
/// # Errors
/// * [`Error::Extent`] names an extent of the input that is not as expected.
/// * [`Error::Length`] names a buffer (h, c or `sequence_lens`) with the wrong number of elements.
/// * [`Error::SequenceLength`] names the first length that is negative or exceeds T.
/// * [`Error::Overflow`] if the size of the state overflows.
pub fn check_inputs<F: Element>(
    cell: &Cell,
    sizes: Sizes,
    x: View<'_, F>,
    lens: Option<&[i32]>,
    state: [usize; 2],
) -> Result<(), Error> {
    let Dims { time, batch, .. } = x.dims();
    let expected = Dims { time, directions: 1, batch, width: sizes.input };
    expect_extents(["X time", "X directions", "X batch", "X input size"], expected, x.dims())?;
    let elements = |width| batch.checked_mul(width).ok_or(Error::Overflow { what: "state" });
    let h = elements(sizes.recurrent)?;
    let c = if cell.has_cell_state() { elements(sizes.hidden)? } else { 0 };
    for ((what, expected), got) in [("h", h), ("c", c)].into_iter().zip(state) {
        if got != expected {
            return Err(Error::Length { what, expected, got });
        }
    }
    let Some(lens) = lens else { return Ok(()) };
    if lens.len() != batch {
        return Err(Error::Length { what: "sequence_lens", expected: batch, got: lens.len() });
    }
    match lens.iter().position(|&len| usize::try_from(len).map_or(true, |len| len > time)) {
        Some(row) => Err(Error::SequenceLength { row, len: lens[row], time }),
        None => Ok(()),
    }
}

/// Checks that all extents are as expected.
fn expect_extents(names: [&'static str; 4], expected: Dims, got: Dims) -> Result<(), Error> {
    let list = |d: Dims| [d.time, d.directions, d.batch, d.width];
    for ((what, expected), got) in names.into_iter().zip(list(expected)).zip(list(got)) {
        if expected != got {
            return Err(Error::Extent { what, expected, got });
        }
    }
    Ok(())
}

/// Zeroes the rows of Y `[T, 1, B, H]` at and beyond the lengths. The lengths must pass [`check_inputs`].
///
/// # Panics
/// If there are more lengths than batch rows.
pub fn zero_padding<F: Element>(y: &mut ViewMut<'_, F>, lens: &[i32]) {
    for (b, &len) in lens.iter().enumerate() {
        for t in len as usize..y.dims().time {
            y.row_mut(t, 0, b).fill(F::default());
        }
    }
}
