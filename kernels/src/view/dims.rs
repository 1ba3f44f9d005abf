//! Extents and strides of tensors.

use crate::error::Error;

/// The extents of a tensor `[T, D, B, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// Time steps T.
    pub time: usize,
    /// Directions D. It is 1 for a layer's input.
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
    /// `T · D · B · width`, or `None` if it overflows.
    pub fn checked_len(self) -> Option<usize> {
        self.time.checked_mul(self.directions)?.checked_mul(self.batch)?.checked_mul(self.width)
    }

    /// Whether there are no elements.
    pub(super) fn is_empty(self) -> bool {
        [self.time, self.directions, self.batch, self.width].contains(&0)
    }

    /// The strides of a dense tensor.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the product of the extents overflows.
    pub fn dense(self, layout: Layout) -> Result<Strides, Error> {
        self.checked_len().ok_or(Error::Overflow { what: "tensor" })?;
        // The whole product does not overflow, so no product below does, unless an extent is 0. Strides then mean
        // nothing.
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

    /// The strides of a dense tensor that holds all directions side by side in one row, like the outputs of PyTorch and
    /// Keras: `[T, B, D·width]`, or batch-major `[B, T, D·width]`, which is the same memory as `[B, T, D, width]`.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the product of the extents overflows.
    pub fn concatenated(self, layout: Layout) -> Result<Strides, Error> {
        let row = Dims { directions: 1, width: self.directions.saturating_mul(self.width), ..self };
        self.checked_len().ok_or(Error::Overflow { what: "tensor" })?;
        Ok(Strides { direction: self.width, ..row.dense(layout)? })
    }
}

impl Strides {
    /// The index after the last element that `dims` reach; `None` on overflow. `dims` must not be empty.
    pub(super) fn reach(self, dims: Dims) -> Option<usize> {
        self.axes(dims)
            .iter()
            .try_fold(dims.width, |sum, &(extent, stride)| sum.checked_add((extent - 1).checked_mul(stride)?))
    }

    /// Whether no two rows share an element. With the axes sorted by stride, the stride of every axis must be at least
    /// the span of a row and of all axes before it.
    pub(super) fn rows_are_disjoint(self, dims: Dims) -> bool {
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
    pub(super) fn offset(self, t: usize, d: usize, b: usize) -> usize {
        t * self.time + d * self.direction + b * self.batch
    }
}
