//! The trait of an instruction set: the vector operations that every kernel body uses.

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
    /// Reads `LANES` bf16 from `p` and widens them, exactly. Any alignment is allowed.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` u16.
    unsafe fn load_bf16(self, p: *const u16) -> Self::V;
    /// Reads `LANES` f16, none of them NaN, from `p` and widens them, exactly in every floating-point environment. Any
    /// alignment is allowed.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` u16.
    unsafe fn load_f16(self, p: *const u16) -> Self::V;
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
    /// The lanes' bits shifted left by 23: an integer in the low bits moves to the exponent field.
    fn shl_23(self, a: Self::V) -> Self::V;

    /// One number, exactly. Functions that are computed lane by lane in f64 start with it.
    fn widen(self, x: f32) -> f64 {
        x.into()
    }
    /// One number, rounded to f32. Functions that are computed lane by lane in f64 end with it.
    fn narrow(self, x: f64) -> f32 {
        x as f32
    }
}

/// A choice that depends on an instruction set, and needs none of its instructions: of a function, for one.
pub(crate) trait Choice {
    /// What is chosen.
    type Output;
    /// The choice for an instruction set.
    fn choose<S: Isa>(self) -> Self::Output;
}

/// A computation that is written once, for any [`Isa`]. [`Variant::dispatch`] picks the instance.
pub(crate) trait Kernel {
    /// What the computation returns.
    type Output;
    /// The computation. Implementations are `#[inline(always)]`, so that they are compiled inside [`Isa::vectorize`].
    fn run<S: Isa>(self, s: S) -> Self::Output;
}
