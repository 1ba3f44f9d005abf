//! The two traits of a product: how its weights are packed, and what it does in registers.

use crate::isa::Isa;
use core::fmt::Debug;
use wide::bytemuck::Pod;

/// How weights are stored in panels.
///
/// A panel is `[k / GROUP][gate][unit vector][lane][k % GROUP]`: the weights that one multiply-accumulate takes for a
/// vector of units are next to each other. If GROUP does not divide the depth, the last group is filled with zeros.
pub(crate) trait Packing: Copy + 'static {
    /// A weight in memory.
    type Weight: Pod + Debug + Send + Sync;
    /// The number of consecutive k that one multiply-accumulate takes.
    const GROUP: usize;

    /// Converts `x` to the nearest weight.
    fn weight(x: f32) -> Self::Weight;

    /// The number of groups that `depth` values of k take.
    fn groups(depth: usize) -> usize {
        depth.div_ceil(Self::GROUP)
    }
}

/// The products of one type of weights on one instruction set.
///
/// Sums are f32 at their start, and again when the epilogue takes them. In between they have the type in which the
/// instructions add.
pub(crate) trait Product<S: Isa>: Packing {
    /// A factor in memory: an element of a row of x or h.
    type Factor: Pod + Debug + Send + Sync;
    /// The type of the sum in a lane.
    type Sum: Pod + Debug + PartialEq;
    /// `LANES` × GROUP weights in registers, `[lane][k]`.
    type Weights: Copy;
    /// GROUP factors of a row in registers, the same for every lane.
    type Factors: Copy;
    /// `LANES` sums in registers.
    type Sums: Copy;
    /// The number of batch rows of the largest register tile, at most 6.
    const ROWS: usize;
    /// Whether epilogues may be inlined behind the tiles of this product; see
    /// [`Epilogue::INLINE`](crate::epilogue::Epilogue::INLINE).
    const INLINE: bool;

    /// Reads `LANES` · GROUP weights.
    ///
    /// # Safety
    /// `p` must be valid for reading them.
    unsafe fn load(s: S, p: *const Self::Weight) -> Self::Weights;
    /// Reads GROUP factors, for every lane.
    ///
    /// # Safety
    /// `p` must be valid for reading them.
    unsafe fn broadcast(s: S, p: *const Self::Factor) -> Self::Factors;
    /// `sums[lane] + Σ factors[k] · weights[lane][k]` over the group.
    fn multiply_accumulate(
        s: S,
        factors: Self::Factors,
        weights: Self::Weights,
        sums: Self::Sums,
    ) -> Self::Sums;
    /// The start values of chains whose sums are added to the `LANES` f32 at `from`: these f32, or zeros.
    ///
    /// # Safety
    /// `from` must be valid for reading `LANES` f32.
    unsafe fn start(s: S, from: *const f32) -> Self::Sums;
    /// The results of the chains. If they started with zeros, it adds the f32 at `from`.
    ///
    /// # Safety
    /// `from` must be the address that was passed to `start`, and must be valid for reading `LANES` f32.
    unsafe fn finish(s: S, sums: Self::Sums, from: *const f32) -> S::V;
}
