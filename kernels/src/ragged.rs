//! Ragged batches: sequences of different lengths that go through their steps together.

use crate::error::Error;
use crate::memory::reserve;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

/// The rows of a batch, longest sequence first. So the rows that run at a step are the first ones. It keeps its memory
/// from call to call.
///
/// ```
/// use rnnpack_kernels::Ragged;
///
/// let mut ragged = Ragged::new();
/// ragged.sort(4, 3, Some(&[2, 0, 4]))?; // T = 4, B = 3
/// let rows = ragged.rows();
/// assert_eq!((rows.order(), rows.lens()), (&[2, 0, 1][..], &[4, 2, 0][..]));
/// assert_eq!([0, 1, 2, 3].map(|step| rows.running(step)), [2, 2, 1, 1]);
/// assert_eq!((rows.time(false, 1, 0), rows.time(true, 1, 0)), (1, 2)); // row 0 of the order at its step 1
/// # Ok::<(), rnnpack_kernels::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Ragged {
    order: Vec<usize>,
    lens: Vec<usize>,
    /// The length of all rows, if the rows were sorted without lengths.
    uniform: Option<usize>,
}

/// Consecutive rows of a [`Ragged`].
///
/// # Invariant
/// `order` holds rows of the batch, each at most once. `lens` holds their lengths: at most T, in descending order.
#[derive(Clone, Copy, Debug)]
pub struct RaggedRows<'a> {
    order: &'a [usize],
    lens: &'a [usize],
}

impl Ragged {
    /// No rows.
    pub fn new() -> Ragged {
        Ragged::default()
    }

    /// The bytes that an empty one allocates for `batch` rows; `None` if the number overflows.
    pub(crate) fn bytes(batch: usize) -> Option<usize> {
        batch.checked_mul(2 * size_of::<usize>())
    }

    /// Takes the rows `0..batch` and sorts them by length. `lens` gives the number of steps of each row. A row without
    /// a length has `time` steps. A length outside `0..=time` counts as the nearest value inside. Rows of equal length
    /// keep their order.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is no memory for the rows.
    pub fn sort(&mut self, time: usize, batch: usize, lens: Option<&[i32]>) -> Result<(), Error> {
        if self.is_uniform(time, batch, lens) {
            return Ok(());
        }
        self.uniform = None;
        let memory = || Error::Memory { what: "scratch", floats: batch };
        for list in [&mut self.order, &mut self.lens] {
            list.clear();
            reserve(list, batch).ok_or_else(memory)?;
        }
        self.order.extend(0..batch);
        let Some(lens) = lens else {
            self.lens.resize(batch, time);
            self.uniform = Some(time);
            return Ok(());
        };
        let len = |row: usize| lens.get(row).map_or(time, |&len| usize::try_from(len).unwrap_or(0).min(time));
        self.order.sort_unstable_by_key(|&row| (Reverse(len(row)), row));
        self.lens.extend(self.order.iter().map(|&row| len(row)));
        Ok(())
    }

    /// Whether these rows are sorted already, since the rows before were the same and had no lengths either.
    #[inline]
    pub(crate) fn is_uniform(&self, time: usize, batch: usize, lens: Option<&[i32]>) -> bool {
        lens.is_none() && self.uniform == Some(time) && self.order.len() == batch
    }

    /// All rows.
    pub fn rows(&self) -> RaggedRows<'_> {
        RaggedRows { order: &self.order, lens: &self.lens }
    }
}

impl<'a> RaggedRows<'a> {
    /// The rows `range` of these rows.
    ///
    /// # Panics
    /// If the range is not within `0..len()`.
    #[inline(always)]
    pub fn range(self, range: Range<usize>) -> RaggedRows<'a> {
        RaggedRows { order: &self.order[range.clone()], lens: &self.lens[range] }
    }

    /// The number of rows.
    pub fn len(self) -> usize {
        self.order.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(self) -> bool {
        self.order.is_empty()
    }

    /// For each row, its index in the batch.
    pub fn order(self) -> &'a [usize] {
        self.order
    }

    /// The number of steps of each row, in descending order.
    pub fn lens(self) -> &'a [usize] {
        self.lens
    }

    /// The number of steps of the longest row, or 0 if there are no rows.
    pub fn steps(self) -> usize {
        self.lens.first().copied().unwrap_or(0)
    }

    /// The number of rows that are longer than `step`. They are the first rows.
    #[inline(always)]
    pub fn running(self, step: usize) -> usize {
        match self.lens.last() {
            // All of them, without a search: the usual case.
            Some(&shortest) if shortest > step => self.lens.len(),
            _ => self.lens.partition_point(|&len| len > step),
        }
    }

    /// The time step that row `i` reads at `step`. The row must be running at `step`. Forward, it is `step` itself. In
    /// reverse, the sequence is read from its own last step to its first.
    ///
    /// # Panics
    /// With `reverse`, if there is no row `i`.
    #[inline(always)]
    pub fn time(self, reverse: bool, step: usize, i: usize) -> usize {
        if reverse { self.lens[i].saturating_sub(step + 1) } else { step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn sorted(time: usize, batch: usize, lens: Option<&[i32]>) -> Ragged {
        let mut ragged = Ragged::new();
        ragged.sort(time, batch, lens).unwrap();
        ragged
    }

    #[test]
    fn rows_without_lengths_keep_their_order_and_run_to_the_end() {
        let ragged = sorted(3, 4, None);
        let rows = ragged.rows();
        assert_eq!((rows.order(), rows.lens()), (&[0, 1, 2, 3][..], &[3; 4][..]));
        assert_eq!((rows.running(2), rows.running(3)), (4, 0));
        let none = sorted(3, 0, None);
        assert!(none.rows().is_empty() && none.rows().steps() == 0 && none.rows().running(0) == 0);
    }

    #[test]
    fn lengths_outside_of_the_time_count_as_the_nearest_within() {
        let ragged = sorted(5, 4, Some(&[-3, 9, 2]));
        assert_eq!((ragged.rows().order(), ragged.rows().lens()), (&[1, 3, 2, 0][..], &[5, 5, 2, 0][..]));
    }

    #[test]
    fn sorting_again_takes_no_more_memory() {
        let mut ragged = sorted(7, 100, None);
        let before = (ragged.order.as_ptr(), ragged.lens.as_ptr());
        ragged.sort(7, 3, Some(&[1, 7, 2])).unwrap();
        ragged.sort(2, 100, None).unwrap();
        assert_eq!((ragged.order.as_ptr(), ragged.lens.as_ptr()), before);
    }

    proptest! {
        #[test]
        fn every_row_reads_each_of_its_times_once_and_runs_with_the_longer_ones(
            time in 0usize..9,
            lens in vec(0i32..9, 0..12),
            reverse: bool,
        ) {
            let lens: Vec<i32> = lens.into_iter().map(|len| len.min(time as i32)).collect();
            let ragged = sorted(time, lens.len(), Some(&lens));
            let rows = ragged.rows();
            let mut read = vec![vec![]; lens.len()];
            for step in 0..time {
                prop_assert_eq!(rows.running(step), lens.iter().filter(|&&len| len as usize > step).count());
                for i in 0..rows.running(step) {
                    read[rows.order()[i]].push(rows.time(reverse, step, i));
                }
            }
            for (read, &len) in read.iter_mut().zip(&lens) {
                if reverse {
                    read.reverse();
                }
                prop_assert!(read.iter().copied().eq(0..len as usize));
            }
        }

        #[test]
        fn rows_of_one_length_keep_their_order(lens in vec(0i32..4, 0..20)) {
            let ragged = sorted(4, lens.len(), Some(&lens));
            let rows = ragged.rows();
            let keys = rows.lens().iter().zip(rows.order()).map(|(&len, &row)| (Reverse(len), row));
            prop_assert!(keys.is_sorted());
            prop_assert_eq!(rows.range(0..rows.len() / 2).order(), &rows.order()[..rows.len() / 2]);
        }
    }
}
