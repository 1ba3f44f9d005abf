//! The trait of a side that computes a timed layer.

use anyhow::Result;

/// A side of the comparison.
pub(crate) trait Competitor {
    /// Runs the layer over the whole input, from a zero state.
    fn call(&mut self) -> Result<()>;
    /// Y of the last call, dense, `[T, D, B, H]`.
    fn output(&self) -> Result<&[f32]>;
}
