//! The trait of a product: what it does in registers.

use crate::isa::Isa;
use core::fmt::Debug;
use wide::bytemuck::Pod;

/// The products of one type of weights on one instruction set.
///
/// A panel is `[k / GROUP][gate][unit vector][lane][k % GROUP]`: the weights that one multiply-accumulate takes for a
/// vector of units are next to each other. If GROUP does not divide the depth, the last group is filled with zeros. They are
/// multiplied if the group has one part, and factors have zeros there too.
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
    /// The weights of a part of a group in registers, for `LANES` units.
    type Weights: Copy;
    /// The factors of a part of a group in registers, the same for every lane.
    type Factors: Copy;
    /// `LANES` sums in registers.
    type Sums: Copy;
    /// The number of consecutive k that are next to each other in a panel; see
    /// [`WeightType::group`](crate::weight_type::WeightType::group).
    const GROUP: usize;
    /// The number of multiply-accumulates that take a group, one after the other: 1, or one for each k.
    const PARTS: usize = 1;
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

    /// Reads `LANES` groups of weights, and returns a part of each.
    ///
    /// # Safety
    /// `p` must be valid for reading them, and PART below PARTS. The CPU must have the product's instructions.
    unsafe fn load<const PART: usize>(s: S, p: *const Self::Weight) -> Self::Weights;
    /// Reads the factors of a part, for every lane.
    ///
    /// # Safety
    /// As [`Product::load`].
    unsafe fn broadcast(s: S, p: *const Self::Factor) -> Self::Factors;
    /// `sums[lane] + Σ factors[k] · weights[lane][k]` over the part.
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
    /// The number of groups whose parts are all multiplied, and the number of parts of the group behind them.
    fn parts(depth: usize) -> [usize; 2] {
        const { assert!(Self::PARTS == 1 || Self::PARTS == Self::GROUP, "a part takes a group or one k") };
        match Self::PARTS {
            1 => [Self::groups(depth), 0],
            _ => [depth / Self::GROUP, depth % Self::GROUP],
        }
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
