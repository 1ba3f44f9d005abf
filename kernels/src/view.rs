//! Strided views of the tensors that a recurrent layer reads and writes.
//!
//! A tensor is a set of *rows*. Each row has `width` consecutive elements (f32 or f64). There is one row for every
//! (time step, direction, batch row). ONNX's layouts 0 and 1, PyTorch's concatenated directions and slices of larger
//! tensors are all such views.

mod dims;

pub use dims::{Dims, Layout, Strides};

use crate::element::Element;
use crate::error::Error;
use core::marker::PhantomData;

/// The strides to use: the given ones, or zeros if the tensor has no elements, since its strides then mean nothing.
fn reaching_strides(len: usize, dims: Dims, strides: Strides) -> Result<Strides, Error> {
    if dims.is_empty() {
        return Ok(Strides { time: 0, direction: 0, batch: 0 });
    }
    let needed = strides.reach(dims).ok_or(Error::Overflow { what: "tensor" })?;
    if needed > len {
        return Err(Error::Length { what: "tensor data", expected: needed, got: len });
    }
    Ok(strides)
}

fn expect_dense(len: usize, dims: Dims) -> Result<(), Error> {
    let expected = dims.checked_len().ok_or(Error::Overflow { what: "tensor" })?;
    if expected != len {
        return Err(Error::Length { what: "tensor data", expected, got: len });
    }
    Ok(())
}

/// A tensor `[T, D, B, width]` that is read.
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
    /// [`Error::Length`] unless `data` holds exactly the product of the extents, [`Error::Overflow`] if that
    /// product overflows.
    pub fn new(data: &'a [F], dims: Dims, layout: Layout) -> Result<View<'a, F>, Error> {
        expect_dense(data.len(), dims)?;
        View::strided(data, dims, dims.dense(layout)?)
    }

    /// A tensor with given strides that starts at `data[0]`. Rows may overlap.
    ///
    /// # Errors
    /// [`Error::Length`] if a row would end beyond `data`, [`Error::Overflow`] if the end of a row overflows.
    pub fn strided(data: &'a [F], dims: Dims, strides: Strides) -> Result<View<'a, F>, Error> {
        let strides = reaching_strides(data.len(), dims, strides)?;
        Ok(View { data, dims, strides })
    }

    /// The extents.
    pub fn dims(&self) -> Dims {
        self.dims
    }

    /// The `width` elements of one row.
    ///
    /// # Panics
    /// If an index is not below its extent.
    pub fn row(&self, t: usize, d: usize, b: usize) -> &'a [F] {
        assert!(t < self.dims.time && d < self.dims.directions && b < self.dims.batch, "row out of range");
        if self.dims.width == 0 { &[] } else { &self.data[self.strides.offset(t, d, b)..][..self.dims.width] }
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

    /// The address of row (0, 0, b). If such rows exist, it is valid for reading `width` elements. The row of the next
    /// time step is [`View::time_stride`] elements after it.
    #[inline(always)]
    pub(crate) fn first_row(&self, b: usize) -> *const F {
        self.data.as_ptr().wrapping_add(self.strides.offset(0, 0, b))
    }

    pub(crate) fn time_stride(&self) -> usize {
        self.strides.time
    }
}

/// A tensor `[T, D, B, width]` that is written. No two of its rows overlap, so it can be split between threads.
///
/// # Invariant
/// Every row lies within the memory that the view was made over, which is borrowed uniquely for `'a`. No two rows share
/// an element. Views made by splitting a view own disjoint sets of rows.
#[derive(Debug)]
pub struct ViewMut<'a, F = f32> {
    start: *mut F,
    dims: Dims,
    strides: Strides,
    borrow: PhantomData<&'a mut [F]>,
}

// SAFETY: a `ViewMut` is a unique borrow of its rows of plain numbers, like `&mut [F]`.
unsafe impl<F: Element> Send for ViewMut<'_, F> {}
// SAFETY: as above; no method reaches an element through `&ViewMut`.
unsafe impl<F: Element> Sync for ViewMut<'_, F> {}

impl<'a, F: Element> ViewMut<'a, F> {
    /// A dense tensor: `[T, D, B, width]` or, batch-major, `[B, T, D, width]`.
    ///
    /// # Errors
    /// [`Error::Length`] unless `data` holds exactly the product of the extents, [`Error::Overflow`] if that
    /// product overflows.
    pub fn new(data: &'a mut [F], dims: Dims, layout: Layout) -> Result<ViewMut<'a, F>, Error> {
        expect_dense(data.len(), dims)?;
        ViewMut::strided(data, dims, dims.dense(layout)?)
    }

    /// A tensor with given strides that starts at `data[0]`.
    ///
    /// # Errors
    /// * [`Error::Overlap`] if rows share elements or interleave. Two axes interleave if neither has a stride that is
    ///   at least the span of the other. Such a tensor is refused even if no two rows share an element.
    /// * [`Error::Length`] if a row would end beyond `data`.
    /// * [`Error::Overflow`] if the end of a row overflows.
    pub fn strided(data: &'a mut [F], dims: Dims, strides: Strides) -> Result<ViewMut<'a, F>, Error> {
        // SAFETY: all of `data` is borrowed uniquely for `'a`.
        unsafe { ViewMut::from_raw(data.as_mut_ptr(), data.len(), dims, strides) }
    }

    /// As [`ViewMut::strided`], over `len` elements at `start`. Only the elements of the rows are touched, so the
    /// memory between rows may belong to others. The kernels write rows and never read them, so the rows may be
    /// uninitialized.
    ///
    /// # Errors
    /// Those of [`ViewMut::strided`].
    ///
    /// # Safety
    /// `start` must be aligned. For `'a`, every row that lies within `len` elements of `start` must be valid for writes
    /// and be accessed only through this view.
    pub unsafe fn from_raw(
        start: *mut F,
        len: usize,
        dims: Dims,
        strides: Strides,
    ) -> Result<ViewMut<'a, F>, Error> {
        let strides = reaching_strides(len, dims, strides)?;
        if !strides.rows_are_disjoint(dims) {
            return Err(Error::Overlap);
        }
        Ok(ViewMut { start, dims, strides, borrow: PhantomData })
    }

    /// The extents.
    pub fn dims(&self) -> Dims {
        self.dims
    }

    /// The same tensor, borrowed for a shorter lifetime.
    pub fn reborrow(&mut self) -> ViewMut<'_, F> {
        ViewMut { borrow: PhantomData, ..*self }
    }

    /// The `width` elements of one row.
    ///
    /// # Panics
    /// If an index is not below its extent.
    pub fn row_mut(&mut self, t: usize, d: usize, b: usize) -> &mut [F] {
        assert!(t < self.dims.time && d < self.dims.directions && b < self.dims.batch, "row out of range");
        if self.dims.width == 0 {
            return &mut [];
        }
        // SAFETY: the row lies within the borrowed memory and belongs only to this view (invariant), and the
        // result borrows `self`.
        unsafe {
            core::slice::from_raw_parts_mut(self.start.add(self.strides.offset(t, d, b)), self.dims.width)
        }
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

    /// The part with extents `dims` that starts `index * stride` elements after `start`. Callers must not use `self`
    /// afterwards.
    fn part(&self, index: usize, stride: usize, dims: Dims) -> ViewMut<'a, F> {
        let skip = if dims.is_empty() { 0 } else { index * stride };
        // SAFETY: if the part has rows, its first row starts there, within the borrowed memory (invariant).
        ViewMut { start: unsafe { self.start.add(skip) }, dims, strides: self.strides, borrow: PhantomData }
    }

    /// The address of row (0, 0, b). If such rows exist, it is valid for writing `width` elements. The row of the next
    /// time step is [`ViewMut::time_stride`] elements after it.
    #[inline(always)]
    pub(crate) fn first_row(&mut self, b: usize) -> *mut F {
        self.start.wrapping_add(self.strides.offset(0, 0, b))
    }

    pub(crate) fn time_stride(&self) -> usize {
        self.strides.time
    }
}
