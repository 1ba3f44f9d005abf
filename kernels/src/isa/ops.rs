//! The trait of an instruction set: the vector operations that every kernel body uses.

use crate::weight_type::bf16_to_f32;

/// Vector operations of one instruction set, over `LANES` f32 lanes.
///
/// Every operation is exact or correctly rounded (round to nearest, ties to even) per lane. So a body that uses this
/// trait returns the same bits on every implementation whose [`Isa::FUSED`] is true. NaN payloads are not specified.
///
/// # Safety
///
/// An implementor promises two things. A value of the type exists only if the CPU has the instructions that its methods
/// use. `load` and `store` touch exactly `LANES` consecutive f32.
pub(crate) unsafe trait Isa: Copy + Send + Sync + 'static {
    /// A vector of `LANES` f32.
    type V: Copy;
    /// A vector of `LANES` i32.
    type I: Copy;
    /// Dot products of integers that every CPU with this instruction set has.
    type Widened: Dot<Self, Weight = i8, Factor = u8, Sums = Self::I>;
    /// Dot products of integers by instructions for them. Not every CPU with this instruction set has these.
    type Vnni: Dot<Self, Weight = i8, Factor = u8, Sums = Self::I>;
    /// Dot products of bf16 by instructions for them, if the instruction set has any.
    type Bf16: Dot<Self, Weight = u16, Factor = u16, Sums = Self::V>;
    /// Whether [`Isa::Vnni`] is another type than [`Isa::Widened`].
    const HAS_VNNI: bool = false;
    /// The name that the override variable, reports and tests use.
    const NAME: &'static str;
    /// The number of f32 lanes in a vector; a power of two.
    const LANES: usize;
    /// The number of vector registers, from which the height of a tile is derived.
    const REGISTERS: usize;
    /// Whether `mul_add` rounds once.
    const FUSED: bool;

    /// Returns the token if the running CPU (and operating system) has the instructions, or if the compilation target
    /// promises them.
    fn detect() -> Option<Self>;
    /// The token, without a look at the CPU, which takes longer than the step of a small layer can spare.
    ///
    /// # Safety
    /// [`Isa::detect`] must have returned the token before in this process.
    unsafe fn assume() -> Self;
    /// Calls `f` inside a function that is compiled for this ISA. Code that is inlined into it uses its instructions.
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;

    /// Reads `LANES` f32 from `p`. Any alignment is allowed.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` f32.
    unsafe fn load(self, p: *const f32) -> Self::V;
    /// Writes `LANES` f32 to `p`. Any alignment is allowed.
    ///
    /// # Safety
    /// `p` must be valid for writing `LANES` f32.
    unsafe fn store(self, p: *mut f32, v: Self::V);
    /// Reads `LANES` finite f16 from `p` and widens them, exactly in every floating-point environment. Any
    /// alignment is allowed.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` u16.
    unsafe fn load_f16(self, p: *const u16) -> Self::V;
    /// Reads `LANES` pairs of bf16 from `p` and widens them, exactly: the first of each pair, and the second. Any alignment
    /// is allowed.
    ///
    /// # Safety
    /// `p` must be valid for reading 2 · `LANES` u16.
    unsafe fn load_pairs(self, p: *const u16) -> [Self::V; 2];
    /// Prefetches the cache line at `p` into L2. Any address is allowed.
    fn prefetch(self, p: *const u8);
    /// `[x; LANES]`
    fn splat(self, x: f32) -> Self::V;
    /// `a + b`
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once if `FUSED`.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `if a < b { a } else { b }`: if either operand is NaN, the result is `b`.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `if a > b { a } else { b }`: if either operand is NaN, the result is `b`.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smallest lane. None may be NaN; of two zeros it may be either.
    fn least(self, a: Self::V) -> f32;
    /// The largest lane. None may be NaN; of two zeros it may be either.
    fn largest(self, a: Self::V) -> f32;
    /// The lanes' bits shifted left by 23: an integer in the low bits moves to the exponent field.
    fn shl_23(self, a: Self::V) -> Self::V;
    /// Writes the lowest 8 of each lane's bits: `LANES` bytes.
    ///
    /// # Safety
    /// `p` must be valid for writing `LANES` bytes.
    unsafe fn store_low_bytes(self, p: *mut u8, v: Self::V);

    /// Reads `LANES` i32 from `p`. Any alignment is allowed.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` i32.
    unsafe fn load_i32(self, p: *const i32) -> Self::I;
    /// `[x; LANES]`
    fn splat_i32(self, x: i32) -> Self::I;
    /// `a - b`, modulo 2^32
    fn sub_i32(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a * b`, modulo 2^32
    fn mul_i32(self, a: Self::I, b: Self::I) -> Self::I;
    /// The nearest f32, ties to even.
    fn to_f32(self, a: Self::I) -> Self::V;

    /// One number, exactly. Functions that are computed lane by lane in f64 start with it.
    fn widen(self, x: f32) -> f64 {
        x.into()
    }
    /// One number, rounded to f32. Functions that are computed lane by lane in f64 end with it.
    fn narrow(self, x: f64) -> f32 {
        x as f32
    }
}

/// Dot products of a few factors with as many weights, for every lane: of 4 u8 with 4 i8, added to i32, which all
/// implementations do exactly; or of 2 bf16 with 2 bf16, added to f32. A group is as many weights of a lane.
///
/// # Safety
/// `load` and `broadcast` touch exactly what they say.
pub(crate) unsafe trait Dot<S: Isa>: Copy + Send + Sync + 'static {
    /// A weight in memory.
    type Weight;
    /// A factor in memory.
    type Factor;
    /// A group of weights for every lane, `[lane][k]`.
    type Weights: Copy;
    /// A group of factors, the same for every lane.
    type Factors: Copy;
    /// `LANES` sums.
    type Sums: Copy;
    /// What adds the products, for people.
    const NAME: &'static str;
    /// The number of registers of weights, and of factors.
    const REGISTERS: usize;

    /// Whether the CPU, or the compilation target, has the instructions.
    fn detect() -> bool {
        true
    }
    /// As [`Isa::vectorize`], with these instructions too.
    ///
    /// # Safety
    /// [`Dot::detect`] must have returned true in this process.
    #[inline(always)]
    unsafe fn vectorize<R>(s: S, f: impl FnOnce() -> R) -> R {
        s.vectorize(f)
    }
    /// Reads a group of weights for every lane. Any alignment is allowed.
    ///
    /// # Safety
    /// `p` must be valid for reading them, and [`Dot::detect`] must have returned true.
    unsafe fn load(s: S, p: *const Self::Weight) -> Self::Weights;
    /// Reads a group of factors. Any alignment is allowed.
    ///
    /// # Safety
    /// As [`Dot::load`].
    unsafe fn broadcast(s: S, p: *const Self::Factor) -> Self::Factors;
    /// `sums[lane] + Σ factors[k] · weights[lane][k]`; of integers, modulo 2^32.
    ///
    /// # Safety
    /// [`Dot::detect`] must have returned true.
    unsafe fn dot(s: S, sums: Self::Sums, factors: Self::Factors, weights: Self::Weights) -> Self::Sums;
}

/// Dot products of bf16 by two multiply-adds of f32.
#[derive(Clone, Copy)]
pub(crate) struct WidenedBf16;

// SAFETY: the methods touch LANES pairs of weights and 2 factors.
unsafe impl<S: Isa> Dot<S> for WidenedBf16 {
    type Weight = u16;
    type Factor = u16;
    type Sums = S::V;
    type Weights = [S::V; 2];
    type Factors = [S::V; 2];
    const NAME: &'static str = "widened";
    const REGISTERS: usize = 2;

    #[inline(always)]
    unsafe fn load(s: S, p: *const u16) -> [S::V; 2] {
        // SAFETY: the caller's promise.
        unsafe { s.load_pairs(p) }
    }
    #[inline(always)]
    unsafe fn broadcast(s: S, p: *const u16) -> [S::V; 2] {
        // SAFETY: the caller promises 2 readable u16.
        let pair = unsafe { [p.read_unaligned(), p.add(1).read_unaligned()] };
        pair.map(|x| s.splat(bf16_to_f32(x)))
    }
    #[inline(always)]
    unsafe fn dot(s: S, sums: S::V, [a, b]: [S::V; 2], [v, w]: [S::V; 2]) -> S::V {
        s.mul_add(b, w, s.mul_add(a, v, sums))
    }
}

/// A choice that depends on an instruction set, and needs none of its instructions: of a function, for one.
pub(crate) trait Choice {
    /// What is chosen.
    type Output;
    /// The choice for an instruction set.
    fn choose<S: Isa>(self) -> Self::Output;
}

/// A computation that is written once, for any [`Isa`]. `Variant::dispatch` picks the instance.
pub(crate) trait Kernel {
    /// What the computation returns.
    type Output;
    /// The computation. Implementations are `#[inline(always)]`, so that they are compiled inside [`Isa::vectorize`].
    fn run<S: Isa>(self, s: S) -> Self::Output;
}
