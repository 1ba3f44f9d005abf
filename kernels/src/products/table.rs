//! The choice of the functions of a product.

#[cfg(all(target_arch = "x86_64", target_os = "linux", feature = "std"))]
use super::amx;
use super::functions::Products;
use crate::isa::{Choice, Dot, Isa, Variant, WidenedBf16};
use crate::product::{Bf16, Bf16Dot, F16, F32, I8};
use crate::weight_type::{Dots, WeightType};

impl Products {
    /// The functions for a type of weights on a variant. Weights of int8 and pairs of bf16 use no faster dot
    /// products than these.
    pub(crate) fn new(variant: Variant, weights: WeightType, dots: Dots) -> Products {
        variant.choose(OfWeights { weights, dots })
    }
}

struct OfWeights {
    weights: WeightType,
    dots: Dots,
}

impl Choice for OfWeights {
    type Output = Products;

    fn choose<S: Isa>(self) -> Products {
        let OfWeights { weights, dots } = self;
        if let (Dots::Amx, Some(products)) = (dots, by_tiles::<S>(weights)) {
            return products;
        }
        match (weights, dots) {
            (WeightType::F32, _) => Products::of::<S, F32>(weights),
            (WeightType::Bf16, _) => Products::of::<S, Bf16>(weights),
            (WeightType::F16, _) => Products::of::<S, F16>(weights),
            (WeightType::Bf16Dot, _) if <S::Bf16 as Dot<S>>::detect() => {
                Products::of::<S, Bf16Dot<S::Bf16>>(weights)
            }
            (WeightType::Bf16Dot, _) => Products::of::<S, Bf16Dot<WidenedBf16>>(weights),
            (WeightType::I8, Dots::Vnni | Dots::Amx) if <S::Vnni as Dot<S>>::detect() => {
                Products::of::<S, I8<S::Vnni>>(weights)
            }
            (WeightType::I8, _) => Products::of::<S, I8<S::Widened>>(weights),
        }
    }
}

/// Whether a variant has tiles for int8 weights on this CPU.
pub(crate) fn has_tiles<S: Isa>() -> bool {
    by_tiles::<S>(WeightType::I8).is_some()
}

/// The products by tiles, if a variant has them on this CPU for this type of weights.
fn by_tiles<S: Isa>(weights: WeightType) -> Option<Products> {
    #[cfg(all(target_arch = "x86_64", target_os = "linux", feature = "std"))]
    {
        if S::NAME != crate::isa::Avx512::NAME {
            return None;
        }
        // Asking for tiles has an effect on the process, so other types of weights do not ask.
        let found = match weights {
            WeightType::I8 => amx::has_int8(),
            WeightType::Bf16Dot => amx::has_bf16(),
            WeightType::F32 | WeightType::Bf16 | WeightType::F16 => false,
        };
        found.then(|| Products::by_tiles(weights))
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux", feature = "std")))]
    {
        let _ = weights;
        None
    }
}
