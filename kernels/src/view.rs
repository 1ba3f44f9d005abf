//! Strided views of the tensors that a recurrent layer reads and writes.
//!
//! A tensor is a set of *rows* of `width` consecutive elements (f32 or f64), one for every (time step, direction, batch row).
//! ONNX's layouts 0 and 1, PyTorch's concatenated directions and slices of larger tensors are all such views.

use crate::{Element, Error};
use core::marker::PhantomData;

/// The extents of a tensor `[T, D, B, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// Time steps T.
    pub time: usize,
    /// Directions D; 1 for a layer's input.
    pub directions: usize,
    /// Batch rows B.
    pub batch: usize,
    /// Consecutive elements of a row: I for a layer's input, H for its output.
    pub width: usize,
}

/// Distances, in elements, between neighbours along each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strides {
    /// From one time step to the next.
    pub time: usize,
    /// From one direction to the next.
    pub direction: usize,
    /// From one batch row to the next.
    pub batch: usize,
}

/// Which of time and batch is the outer axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// ONNX `layout = 0`: X is `[T, B, I]`, Y is `[T, D, B, H]`.
    TimeMajor,
    /// ONNX `layout = 1`: X is `[B, T, I]`, Y is `[B, T, D, H]`.
    BatchMajor,
}

impl Dims {
    /// `T · D · B · width`, unless it overflows.
    pub fn checked_len(self) -> Option<usize> {
        self.time.checked_mul(self.directions)?.checked_mul(self.batch)?.checked_mul(self.width)
    }

    /// Whether there are no elements.
    fn is_empty(self) -> bool {
        [self.time, self.directions, self.batch, self.width].contains(&0)
    }

    /// The strides of a dense tensor.
    ///
    /// # Errors
    /// [`Error::Overflow`] where the product of the extents overflows.
    pub fn dense(self, layout: Layout) -> Result<Strides, Error> {
        self.checked_len().ok_or(Error::Overflow { what: "tensor" })?;
        // No product below overflows where the whole does not, except beside an extent of 0, where strides are moot.
        let w = self.width;
        Ok(match layout {
            Layout::TimeMajor => Strides {
                time: self.directions.saturating_mul(self.batch).saturating_mul(w),
                direction: self.batch.saturating_mul(w),
                batch: w,
            },
            Layout::BatchMajor => Strides {
                time: self.directions.saturating_mul(w),
                direction: w,
                batch: self.time.saturating_mul(self.directions).saturating_mul(w),
            },
        })
    }

    /// The strides of a dense tensor whose directions stand side by side in a row, as PyTorch's and Keras' outputs have
    /// them: `[T, B, D·width]`, or `[B, T, D·width]` batch-major, which is the memory of `[B, T, D, width]`.
    ///
    /// # Errors
    /// [`Error::Overflow`] where the product of the extents overflows.
    pub fn concatenated(self, layout: Layout) -> Result<Strides, Error> {
        let row = Dims { directions: 1, width: self.directions.saturating_mul(self.width), ..self };
        self.checked_len().ok_or(Error::Overflow { what: "tensor" })?;
        Ok(Strides { direction: self.width, ..row.dense(layout)? })
    }
}

impl Strides {
    /// One past the last element that `dims`, which are not empty, reach; `None` on overflow.
    fn reach(self, dims: Dims) -> Option<usize> {
        self.axes(dims)
            .iter()
            .try_fold(dims.width, |sum, &(extent, stride)| sum.checked_add((extent - 1).checked_mul(stride)?))
    }

    /// Whether no two rows share an element: sorted by stride, every axis steps over all that lies within it.
    fn rows_are_disjoint(self, dims: Dims) -> bool {
        if dims.is_empty() {
            return true;
        }
        let mut axes = self.axes(dims);
        axes.sort_by_key(|&(_, stride)| stride);
        let mut span = dims.width;
        axes.iter().filter(|&&(extent, _)| extent > 1).all(|&(extent, stride)| {
            let clear = stride >= span;
            span = span.saturating_add((extent - 1).saturating_mul(stride));
            clear
        })
    }

    fn axes(self, dims: Dims) -> [(usize, usize); 3] {
        [(dims.time, self.time), (dims.directions, self.direction), (dims.batch, self.batch)]
    }

    #[inline(always)]
    fn at(self, t: usize, d: usize, b: usize) -> usize {
        t * self.time + d * self.direction + b * self.batch
    }
}

/// The strides to use: those given, or zeros for a tensor without elements, whose strides mean nothing.
fn check_reach(len: usize, dims: Dims, strides: Strides) -> Result<Strides, Error> {
    if dims.is_empty() {
        return Ok(Strides { time: 0, direction: 0, batch: 0 });
    }
    let needed = strides.reach(dims).ok_or(Error::Overflow { what: "tensor" })?;
    if needed > len {
        return Err(Error::Length { what: "tensor data", expected: needed, got: len });
    }
    Ok(strides)
}

fn check_dense(len: usize, dims: Dims) -> Result<(), Error> {
    let expected = dims.checked_len().ok_or(Error::Overflow { what: "tensor" })?;
    if expected != len {
        return Err(Error::Length { what: "tensor data", expected, got: len });
    }
    Ok(())
}

/// A tensor `[T, D, B, width]` to read.
///
/// ```
/// use rnnpack_kernels::{Dims, Strides, View};
///
/// // Windows of 4 samples, each 2 after the one before, without a copy.
/// let samples = [0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
/// let dims = Dims { time: 3, directions: 1, batch: 1, width: 4 };
/// let windows = View::strided(&samples, dims, Strides { time: 2, direction: 0, batch: 0 })?;
/// assert_eq!(windows.row(1, 0, 0), [2.0, 3.0, 4.0, 5.0]);
/// # Ok::<(), rnnpack_kernels::Error>(())
/// ```
///
/// # Invariant
/// Every row lies within `data`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, F = f32> {
    data: &'a [F],
    dims: Dims,
    strides: Strides,
}

impl<'a, F: Element> View<'a, F> {
    /// A dense tensor: `[T, D, B, width]` or, batch-major, `[B, T, D, width]`.
    ///
    /// # Errors
    /// [`Error::Length`] unless `data` holds exactly the product of the extents, [`Error::Overflow`] where that
    /// product overflows.
    pub fn new(data: &'a [F], dims: Dims, layout: Layout) -> Result<View<'a, F>, Error> {
        check_dense(data.len(), dims)?;
        View::strided(data, dims, dims.dense(layout)?)
    }

    /// A tensor with given strides that starts at `data[0]`. Rows may overlap.
    ///
    /// # Errors
    /// [`Error::Length`] where a row would end beyond `data`, [`Error::Overflow`] where its end overflows.
    pub fn strided(data: &'a [F], dims: Dims, strides: Strides) -> Result<View<'a, F>, Error> {
        let strides = check_reach(data.len(), dims, strides)?;
        Ok(View { data, dims, strides })
    }

    /// The extents.
    pub fn dims(&self) -> Dims {
        self.dims
    }

    /// The `width` elements of one row.
    ///
    /// # Panics
    /// Where an index is not below its extent.
    pub fn row(&self, t: usize, d: usize, b: usize) -> &'a [F] {
        assert!(t < self.dims.time && d < self.dims.directions && b < self.dims.batch, "row out of range");
        if self.dims.width == 0 { &[] } else { &self.data[self.strides.at(t, d, b)..][..self.dims.width] }
    }

    /// The batch rows `start..end` of the tensor.
    ///
    /// # Panics
    /// Unless `start <= end <= batch`.
    pub fn batch_rows(&self, start: usize, end: usize) -> View<'a, F> {
        assert!(start <= end && end <= self.dims.batch, "batch rows out of range");
        let dims = Dims { batch: end - start, ..self.dims };
        let skip = start.saturating_mul(self.strides.batch).min(self.data.len());
        View { data: &self.data[skip..], dims, strides: self.strides }
    }

    /// Where row (t, 0, b) starts in `as_ptr`.
    #[inline(always)]
    pub(crate) fn offset(&self, t: usize, b: usize) -> usize {
        self.strides.at(t, 0, b)
    }

    pub(crate) fn as_ptr(&self) -> *const F {
        self.data.as_ptr()
    }
}

/// A tensor `[T, D, B, width]` to write; no two of its rows overlap, so it can be split between threads.
///
/// # Invariant
/// Every row lies within the memory that the view was made over, which is borrowed uniquely for `'a`; no two
/// rows share an element; the views that came out of one by splitting own disjoint sets of rows.
#[derive(Debug)]
pub struct ViewMut<'a, F = f32> {
    start: *mut F,
    dims: Dims,
    strides: Strides,
    borrow: PhantomData<&'a mut [F]>,
}

// SAFETY: a `ViewMut` is a unique borrow of its rows of plain numbers, like `&mut [F]`.
unsafe impl<F: Element> Send for ViewMut<'_, F> {}
// SAFETY: as above; no public method reaches an element through `&ViewMut`, and the kernels write through one only
// while they own the view.
unsafe impl<F: Element> Sync for ViewMut<'_, F> {}

impl<'a, F: Element> ViewMut<'a, F> {
    /// A dense tensor: `[T, D, B, width]` or, batch-major, `[B, T, D, width]`.
    ///
    /// # Errors
    /// [`Error::Length`] unless `data` holds exactly the product of the extents, [`Error::Overflow`] where that
    /// product overflows.
    pub fn new(data: &'a mut [F], dims: Dims, layout: Layout) -> Result<ViewMut<'a, F>, Error> {
        check_dense(data.len(), dims)?;
        ViewMut::strided(data, dims, dims.dense(layout)?)
    }

    /// A tensor with given strides that starts at `data[0]`.
    ///
    /// # Errors
    /// [`Error::Overlap`] where rows would share elements, or where neither of two axes steps over all that lies along the
    /// other (their rows interleave: even if none meet, such a tensor is not taken), [`Error::Length`] where a row would end
    /// beyond `data`, [`Error::Overflow`] where its end overflows.
    pub fn strided(data: &'a mut [F], dims: Dims, strides: Strides) -> Result<ViewMut<'a, F>, Error> {
        // SAFETY: all of `data` is borrowed uniquely for `'a`.
        unsafe { ViewMut::from_raw(data.as_mut_ptr(), data.len(), dims, strides) }
    }

    /// As [`ViewMut::strided`], over `len` elements at `start`, of which only those of the rows are touched: what lies
    /// between rows may belong to others. The kernels write rows and never read them, so they may be uninitialized.
    ///
    /// # Errors
    /// Those of [`ViewMut::strided`].
    ///
    /// # Safety
    /// `start` must be aligned, and for `'a` every row that lies within `len` elements of it must be valid for writes
    /// and be accessed through this view alone.
    pub unsafe fn from_raw(
        start: *mut F,
        len: usize,
        dims: Dims,
        strides: Strides,
    ) -> Result<ViewMut<'a, F>, Error> {
        let strides = check_reach(len, dims, strides)?;
        if !strides.rows_are_disjoint(dims) {
            return Err(Error::Overlap);
        }
        Ok(ViewMut { start, dims, strides, borrow: PhantomData })
    }

    /// The extents.
    pub fn dims(&self) -> Dims {
        self.dims
    }

    /// The same tensor for a shorter time.
    pub fn reborrow(&mut self) -> ViewMut<'_, F> {
        ViewMut { borrow: PhantomData, ..*self }
    }

    /// The `width` elements of one row.
    ///
    /// # Panics
    /// Where an index is not below its extent.
    pub fn row_mut(&mut self, t: usize, d: usize, b: usize) -> &mut [F] {
        assert!(t < self.dims.time && d < self.dims.directions && b < self.dims.batch, "row out of range");
        if self.dims.width == 0 {
            return &mut [];
        }
        // SAFETY: the row lies within the borrowed memory and belongs to this view alone (invariant), and the
        // result borrows `self`.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(self.strides.at(t, d, b)), self.dims.width) }
    }

    /// The tensor of one direction, `[T, 1, B, width]`.
    ///
    /// # Panics
    /// Unless `d < directions`.
    pub fn direction(self, d: usize) -> ViewMut<'a, F> {
        assert!(d < self.dims.directions, "direction out of range");
        let dims = Dims { directions: 1, ..self.dims };
        self.part(d, self.strides.direction, dims)
    }

    /// Splits the batch: rows `0..mid` and rows `mid..B`.
    ///
    /// # Panics
    /// Unless `mid <= batch`.
    pub fn split_batch(self, mid: usize) -> (ViewMut<'a, F>, ViewMut<'a, F>) {
        assert!(mid <= self.dims.batch, "batch split out of range");
        let low = Dims { batch: mid, ..self.dims };
        let high = Dims { batch: self.dims.batch - mid, ..self.dims };
        let low_view = ViewMut { start: self.start, dims: low, strides: self.strides, borrow: PhantomData };
        (low_view, self.part(mid, self.strides.batch, high))
    }

    /// The part of extents `dims` that starts `index` steps of `stride` in. Callers give `self` up.
    fn part(&self, index: usize, stride: usize, dims: Dims) -> ViewMut<'a, F> {
        let skip = if dims.is_empty() { 0 } else { index * stride };
        // SAFETY: where the part has rows, its first row starts there, within the borrowed memory (invariant).
        ViewMut { start: unsafe { self.start.add(skip) }, dims, strides: self.strides, borrow: PhantomData }
    }

    /// Pointer to row (t, 0, b); valid for `width` writes where the indices are below their extents.
    #[inline(always)]
    pub(crate) fn row_ptr(&self, t: usize, b: usize) -> *mut F {
        self.start.wrapping_add(self.strides.at(t, 0, b))
    }
}
