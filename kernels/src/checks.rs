//! What the kernels and the references ask of a call, and the rows of Y that no step reaches.

use crate::cell::Cell;
use crate::element::Element;
use crate::error::Error;
use crate::sizes::Sizes;
use crate::view::{Dims, View, ViewMut};

/// What the kernels ask of Y.
///
/// # Errors
/// [`Error::Extent`] names the first extent that is not as expected.
pub fn check_output<F: Element>(y: &ViewMut<'_, F>, expected: Dims) -> Result<(), Error> {
    expect_extents(["Y time", "Y directions", "Y batch", "Y width"], expected, y.dims())
}

/// What the kernels and the references ask of the input, its lengths and the state (`state`: elements of h and of c,
/// which has none where the cell has no cell state).
///
/// # Errors
/// [`Error::Extent`], [`Error::Length`] and [`Error::SequenceLength`] name what does not fit, [`Error::Overflow`] a
/// state that no memory holds.
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

/// Whether all extents are as expected.
fn expect_extents(names: [&'static str; 4], expected: Dims, got: Dims) -> Result<(), Error> {
    let list = |d: Dims| [d.time, d.directions, d.batch, d.width];
    for ((what, expected), got) in names.into_iter().zip(list(expected)).zip(list(got)) {
        if expected != got {
            return Err(Error::Extent { what, expected, got });
        }
    }
    Ok(())
}

/// Zeroes the rows of Y `[T, 1, B, H]` at and beyond the lengths, as [`check_inputs`] takes them.
///
/// # Panics
/// For more lengths than batch rows.
pub fn zero_padding<F: Element>(y: &mut ViewMut<'_, F>, lens: &[i32]) {
    for (b, &len) in lens.iter().enumerate() {
        for t in len as usize..y.dims().time {
            y.row_mut(t, 0, b).fill(F::default());
        }
    }
}
