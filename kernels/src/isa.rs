//! Instruction sets: one trait, one list, one place that dispatches.
//!
//! [`Isa`] is the small set of vector operations that every kernel body is written over. An ISA is a
//! zero-sized token that only detection can make, so holding one proves that its instructions exist.
//! [`Variant`] is the one list: detection, the override variable, dispatch, tests and benches all read it.

/// Whether the CPU has all of these features: as it says itself or, without `std`, as the compilation target promises.
#[cfg(target_arch = "x86_64")]
macro_rules! has_features {
    ($($feature:tt),+) => {{
        #[cfg(feature = "std")]
        let found = $(std::is_x86_feature_detected!($feature))&&+;
        #[cfg(not(feature = "std"))]
        let found = cfg!(all($(target_feature = $feature),+));
        found
    }};
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
pub(crate) mod scalar;

use core::fmt;

/// Vector operations of one instruction set, over `LANES` f32 lanes.
///
/// Every operation is exact or correctly rounded (round to nearest, ties to even) per lane, so that a body
/// written over this trait gives the same bits on every implementation whose [`Isa::FUSED`] is true.
/// NaN payloads are not specified.
///
/// # Safety
///
/// An implementor promises that a value of the type exists only where the CPU has the instructions that its
/// methods use, and that `load` and `store` touch exactly `LANES` consecutive f32.
pub(crate) unsafe trait Isa: Copy + Send + Sync + 'static {
    /// A vector of `LANES` f32.
    type V: Copy;
    /// The name that the override variable, reports and tests use.
    const NAME: &'static str;
    /// f32 lanes in a vector; a power of two.
    const LANES: usize;
    /// Batch rows of the largest register tile, at most 6: `MR * 4` accumulators, `MR` broadcasts and a weight vector
    /// must fit into the register file.
    const MR: usize;
    /// `mul_add` rounds once.
    const FUSED: bool;

    /// The token, where the running CPU (and operating system) has the instructions, or the compilation target promises
    /// them.
    fn detect() -> Option<Self>;
    /// Calls `f` inside a function that is compiled for this ISA; what is inlined into it uses its instructions.
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;

    /// Reads `LANES` f32 from `p`, any alignment.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` f32.
    unsafe fn load(self, p: *const f32) -> Self::V;
    /// Writes `LANES` f32 to `p`, any alignment.
    ///
    /// # Safety
    /// `p` must be valid for writing `LANES` f32.
    unsafe fn store(self, p: *mut f32, v: Self::V);
    /// Asks for the cache line at `p`, into L2; any address is allowed.
    fn prefetch(self, p: *const f32);
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
    /// `a * b + c`, rounded once where `FUSED`.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `if a < b { a } else { b }`: a NaN in either operand gives `b`.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `if a > b { a } else { b }`: a NaN in either operand gives `b`.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The lanes' bits shifted left by 23: an integer in the low bits moves to the exponent field.
    fn shl_23(self, a: Self::V) -> Self::V;
}

/// A computation written once over [`Isa`]; [`Variant::dispatch`] picks the instance.
pub(crate) trait Kernel {
    /// What the computation returns.
    type Output;
    /// The body. Implementations are `#[inline(always)]`, so that they are compiled inside [`Isa::vectorize`].
    fn run<S: Isa>(self, s: S) -> Self::Output;
}

macro_rules! variants {
    ($( $(#[$attr:meta])* $id:ident => $token:ty, )*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        enum Id { $( $(#[$attr])* $id, )* }

        impl Variant {
            /// The variants that this CPU runs, widest first. The last, `portable`, runs everywhere. Without the feature
            /// `std` nothing is detected: they are those that the compilation target promises.
            pub fn available() -> impl Iterator<Item = Variant> {
                [ $( $(#[$attr])* <$token>::detect().map(|_| Variant(Id::$id)), )* ].into_iter().flatten()
            }

            /// The names of all variants that were compiled in, widest first, whether this CPU has them or not.
            pub const COMPILED: &'static [&'static str] = &[ $( $(#[$attr])* <$token>::NAME, )* ];

            const TARGETS: &'static [Target] =
                &[ $( $(#[$attr])* Target { name: <$token>::NAME, lanes: <$token>::LANES }, )* ];

            /// The name, as the override variable takes it.
            pub fn name(self) -> &'static str {
                match self.0 { $( $(#[$attr])* Id::$id => <$token>::NAME, )* }
            }

            /// f32 lanes of a vector: hidden units of one panel.
            pub fn lanes(self) -> usize {
                match self.0 { $( $(#[$attr])* Id::$id => <$token>::LANES, )* }
            }

            /// Batch rows of the largest register tile.
            pub fn tile_rows(self) -> usize {
                match self.0 { $( $(#[$attr])* Id::$id => <$token>::MR, )* }
            }

            /// Whether products are fused into sums with one rounding: such variants give equal bits.
            pub fn is_fused(self) -> bool {
                match self.0 { $( $(#[$attr])* Id::$id => <$token>::FUSED, )* }
            }

            pub(crate) fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
                match self.0 { $( $(#[$attr])* Id::$id => {
                    let s = <$token>::detect().expect("a Variant exists only where it was detected");
                    s.vectorize(#[inline(always)] || kernel.run(s))
                } )* }
            }
        }
    };
}

variants! {
    #[cfg(target_arch = "x86_64")]
    Avx512 => avx512::Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2 => avx2::Avx2,
    Portable => portable::Portable,
}

/// An instruction set that the running CPU has: the kernels' instance to use.
///
/// A value exists only where detection found it, so it can be passed on without further checks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Variant(Id);

impl Variant {
    /// The variant with this name, if it was compiled in and this CPU has it.
    pub fn by_name(name: &str) -> Option<Variant> {
        Variant::available().find(|v| v.name() == name)
    }

    /// What weights are packed for, to run on this variant.
    pub fn target(self) -> Target {
        Target { name: self.name(), lanes: self.lanes() }
    }
}

/// An instruction set that was compiled in, whether this CPU has it or not: what weights can be packed for, since packing
/// is movement of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    name: &'static str,
    lanes: usize,
}

impl Target {
    /// The target with this name, one of [`Variant::COMPILED`].
    pub fn by_name(name: &str) -> Option<Target> {
        Variant::TARGETS.iter().copied().find(|target| target.name == name)
    }

    /// The name of its variant.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// f32 lanes of a vector.
    pub fn lanes(self) -> usize {
        self.lanes
    }
}

impl fmt::Debug for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
