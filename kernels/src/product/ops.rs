//! The trait of a product: what it does in registers.

use crate::isa::Isa;
use core::fmt::Debug;
use wide::bytemuck::Pod;

/// The products of one type of weights on one instruction set.
///
/// A panel is `[k / GROUP][gate][unit vector][lane][k % GROUP]`: the weights that one multiply-accumulate takes for a
/// vector of units are next to each other. If GROUP does not divide the depth, the last group is filled with zeros.
///
/// Sums are f32 at their start, and again when the epilogue takes them. In between they have the type in which the
/// instructions add.
///
/// A product may need more instructions than its instruction set has. Then its methods may be called only on a CPU that has
/// these.
pub(crate) trait Product<S: Isa>: Copy + 'static {
    /// A weight in memory.
    type Weight: Pod + Debug;
    /// A factor in memory: an element of a row of x or h.
    type Factor: Pod + Debug;
    /// The type of the sum in a lane.
    type Sum: Pod + Debug + PartialEq;
    /// `LANES` × GROUP weights in registers, `[lane][k]`.
    type Weights: Copy;
    /// GROUP factors of a row in registers, the same for every lane.
    type Factors: Copy;
    /// `LANES` sums in registers.
    type Sums: Copy;
    /// The number of consecutive k that one multiply-accumulate takes; see
    /// [`WeightType::group`](crate::weight_type::WeightType::group).
    const GROUP: usize;
    /// What adds the products, if the CPU may have several instructions for that.
    const DOTS: Option<&'static str> = None;
    /// The number of batch rows of the largest register tile, at most 6.
    const ROWS: usize;

    /// Calls `f` inside a function that is compiled for the instructions of this product.
    ///
    /// # Safety
    /// The CPU must have them.
    #[inline(always)]
    unsafe fn vectorize<R>(s: S, f: impl FnOnce() -> R) -> R {
        s.vectorize(f)
    }

    /// Reads `LANES` · GROUP weights.
    ///
    /// # Safety
    /// `p` must be valid for reading them. The CPU must have the product's instructions.
    unsafe fn load(s: S, p: *const Self::Weight) -> Self::Weights;
    /// Reads GROUP factors, for every lane.
    ///
    /// # Safety
    /// As [`Product::load`].
    unsafe fn broadcast(s: S, p: *const Self::Factor) -> Self::Factors;
    /// `sums[lane] + Σ factors[k] · weights[lane][k]` over the group.
    ///
    /// # Safety
    /// The CPU must have the product's instructions.
    unsafe fn multiply_accumulate(
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
    /// `from` must be the address that was passed to `start`, and must be valid for reading `LANES` f32. `scales` must be
    /// those of the row and the vector of weights.
    unsafe fn finish(s: S, sums: Self::Sums, from: *const f32, scales: ScalesAt<Self::Factor>) -> S::V;

    /// The number of groups that `depth` values of k take.
    fn groups(depth: usize) -> usize {
        depth.div_ceil(Self::GROUP)
    }
}

/// Where the scales of integers are. Products of other numbers do not read them.
#[derive(Debug)]
pub(crate) struct ScalesAt<F> {
    /// The factors of a row. Their scale stands before them.
    pub(crate) row: *const F,
    /// The scales of a vector of weights, `LANES` f32.
    pub(crate) weights: *const f32,
    /// The number of f32 from these to the sums of the weights.
    pub(crate) sums: usize,
}
