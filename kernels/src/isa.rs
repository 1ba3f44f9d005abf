//! Instruction sets: one trait, one list, one place that dispatches.
//!
//! [`Isa`] is the small set of vector operations that every kernel body uses. An ISA is a zero-sized token that only
//! detection can make, so holding a token proves that its instructions exist. [`Variant`] is the only list of them.

/// Whether the CPU has all of these features. With `std`, the CPU reports them. Without `std`, the compilation target
/// decides.
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
pub(crate) mod flushing;
mod ops;
mod portable;
pub(crate) mod scalar;
#[cfg(test)]
mod tests;
mod tininess;
mod variant;

#[cfg(all(target_arch = "x86_64", target_os = "linux", feature = "std"))]
pub(crate) use avx512::Avx512;
pub(crate) use ops::{Choice, Dot, Isa, Kernel, WidenedBf16};
pub use variant::{Target, Variant};
