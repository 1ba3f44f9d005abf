//! The only list of instruction sets. Detection, the override variable, dispatch, tests and benches read it.

use super::ops::{Choice, Isa, Kernel};
use core::fmt;

macro_rules! variants {
    ($( $(#[$attr:meta])* $id:ident => $token:ty, )*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        enum Id { $( $(#[$attr])* $id, )* }

        impl Variant {
            /// The variants that this CPU runs, widest first. The last one, `portable`, runs everywhere. Without the
            /// feature `std` nothing is detected: the result is the variants that the compilation target promises.
            pub fn available() -> impl Iterator<Item = Variant> {
                [ $( $(#[$attr])* <$token>::detect().map(|_| Variant(Id::$id)), )* ].into_iter().flatten()
            }

            /// The names of all variants that were compiled in, widest first, whether this CPU has them or not.
            pub const COMPILED: &'static [&'static str] = &[ $( $(#[$attr])* <$token>::NAME, )* ];

            const TARGETS: &'static [Target] =
                &[ $( $(#[$attr])* Target { name: <$token>::NAME, lanes: <$token>::LANES }, )* ];

            /// The name, as used in the override variable.
            pub fn name(self) -> &'static str {
                match self.0 { $( $(#[$attr])* Id::$id => <$token>::NAME, )* }
            }

            /// The number of f32 lanes of a vector. A vector of a panel holds as many hidden units.
            pub fn lanes(self) -> usize {
                match self.0 { $( $(#[$attr])* Id::$id => <$token>::LANES, )* }
            }

            /// The number of vector registers.
            pub(crate) fn registers(self) -> usize {
                match self.0 { $( $(#[$attr])* Id::$id => <$token>::REGISTERS, )* }
            }

            /// Whether a multiply-add is fused, with one rounding. All fused variants return equal bits.
            pub fn is_fused(self) -> bool {
                match self.0 { $( $(#[$attr])* Id::$id => <$token>::FUSED, )* }
            }

            /// The choice for this variant.
            pub(crate) fn choose<C: Choice>(self, choice: C) -> C::Output {
                match self.0 { $( $(#[$attr])* Id::$id => choice.choose::<$token>(), )* }
            }

            #[inline(never)]
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
    Avx512 => super::avx512::Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2 => super::avx2::Avx2,
    Portable => super::portable::Portable,
}

/// An instruction set that the running CPU has. It selects the instance of the kernels.
///
/// A value exists only if detection found the instruction set, so it can be passed on without further checks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Variant(Id);

impl Variant {
    /// The variant with this name, in upper or lower case, if it was compiled in and this CPU has it.
    pub fn by_name(name: &str) -> Option<Variant> {
        Variant::available().find(|v| v.name().eq_ignore_ascii_case(name))
    }

    /// The target for which weights must be packed to run on this variant.
    pub fn target(self) -> Target {
        Target { name: self.name(), lanes: self.lanes() }
    }
}

/// An instruction set that was compiled in, whether this CPU has it or not. Weights can be packed for any of them,
/// because packing only moves data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    name: &'static str,
    lanes: usize,
}

impl Target {
    /// The target with this name, one of [`Variant::COMPILED`], in upper or lower case.
    pub fn by_name(name: &str) -> Option<Target> {
        Variant::TARGETS.iter().copied().find(|target| target.name.eq_ignore_ascii_case(name))
    }

    /// The name of its variant.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The number of f32 lanes of a vector.
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
