//! Tensors anywhere in memory.

use crate::SENTINEL;
use rnnpack::{Dims, Strides};

/// A tensor that is spread out in memory: its axes are nested in any order, with gaps after every row and every group
/// of rows.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Axes from the innermost to the outermost: 0 time, 1 direction, 2 batch.
    pub nesting: [usize; 3],
    /// The number of unused f32 after a row, and after each group of the two inner axes.
    pub gaps: [usize; 3],
}

impl Placement {
    /// The strides of a tensor of these dimensions.
    pub fn strides(&self, dims: Dims) -> Strides {
        let extents = [dims.time, dims.directions, dims.batch];
        let mut strides = [0; 3];
        let mut span = dims.width;
        for (&axis, gap) in self.nesting.iter().zip(self.gaps) {
            strides[axis] = span + gap;
            span = strides[axis] * extents[axis];
        }
        Strides { time: strides[0], direction: strides[1], batch: strides[2] }
    }

    /// The start of each row of a dense `[T, D, B, width]` tensor, in its order.
    pub fn offsets(&self, dims: Dims) -> Vec<usize> {
        let strides = self.strides(dims);
        let mut offsets = vec![];
        for t in 0..dims.time {
            for d in 0..dims.directions {
                for b in 0..dims.batch {
                    offsets.push(t * strides.time + d * strides.direction + b * strides.batch);
                }
            }
        }
        offsets
    }

    /// Places the rows of a dense tensor. All other elements are NaN, so that a read of them shows in the result.
    pub fn scatter(&self, dense: &[f32], dims: Dims) -> Vec<f32> {
        let offsets = self.offsets(dims);
        let len = offsets.iter().max().map_or(0, |last| last + dims.width) + 3;
        let mut data = vec![SENTINEL; len];
        for (i, &at) in offsets.iter().enumerate() {
            data[at..][..dims.width].copy_from_slice(&dense[i * dims.width..][..dims.width]);
        }
        data
    }

    /// Collects the rows into a dense tensor. Returns an error if any other element was written.
    pub fn gather(&self, data: &[f32], dims: Dims) -> Result<Vec<f32>, String> {
        let mut untouched = vec![true; data.len()];
        let mut dense = vec![];
        for at in self.offsets(dims) {
            dense.extend_from_slice(&data[at..][..dims.width]);
            untouched[at..][..dims.width].fill(false);
        }
        match (0..data.len()).find(|&i| untouched[i] && data[i].to_bits() != SENTINEL.to_bits()) {
            Some(i) => Err(format!("element {i}, outside of every row, was written")),
            None => Ok(dense),
        }
    }
}
