//! The sizes of a layer.

use rnnpack_kernels::Direction;

/// The sizes of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Input size I, 0 or more.
    pub input: usize,
    /// Hidden size H, 1 or more.
    pub hidden: usize,
    /// Which way the layer reads.
    pub direction: Direction,
}

impl Shape {
    /// Outputs of a step: D · H.
    pub fn output(self) -> usize {
        self.direction.count().saturating_mul(self.hidden)
    }
}
