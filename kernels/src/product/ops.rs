//! The two traits of a product: how its weights are packed, and what it does in registers.

use crate::isa::Isa;
use core::fmt::Debug;
use wide::bytemuck::Pod;

/// How weights are stored in panels.
///
/// A panel is `[k / GROUP][gate][unit vector][lane][k % GROUP]`: what one multiply-accumulate takes of a vector of units
/// stands together. Where GROUP does not divide the depth, the last group is filled with zeros.
pub(crate) trait Packing: Copy + 'static {
    /// A weight in memory.
    type Weight: Pod + Debug + Send + Sync;
    /// Consecutive k that one multiply-accumulate takes.
    const GROUP: usize;

    /// The weight nearest to `x`.
    fn weight(x: f32) -> Self::Weight;

    /// Groups of k that `depth` of them take.
    fn groups(depth: usize) -> usize {
        depth.div_ceil(Self::GROUP)
    }
}

/// The products of one type of weights on one instruction set.
///
/// Sums are f32 at both ends, where they start and where the epilogue takes them; between them they are what the
/// instructions add up in.
pub(crate) trait Product<S: Isa>: Packing {
    /// A factor in memory: an element of a row of x or h.
    type Factor: Pod + Debug + Send + Sync;
    /// What a lane adds up in.
    type Sum: Pod + Debug + PartialEq;
    /// `LANES` × GROUP weights in registers, `[lane][k]`.
    type Weights: Copy;
    /// GROUP factors of a row in registers, the same for every lane.
    type Factors: Copy;
    /// `LANES` sums in registers.
    type Sums: Copy;
    /// Batch rows of the largest register tile, at most 6.
    const ROWS: usize;

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
    /// What chains start with that are to be added to the `LANES` f32 at `from`: these, or zeros.
    ///
    /// # Safety
    /// `from` must be valid for reading `LANES` f32.
    unsafe fn start(s: S, from: *const f32) -> Self::Sums;
    /// What the chains come to, together with the f32 at `from` where they started with zeros.
    ///
    /// # Safety
    /// `from` must be what they started with.
    unsafe fn finish(s: S, sums: Self::Sums, from: *const f32) -> S::V;
}
