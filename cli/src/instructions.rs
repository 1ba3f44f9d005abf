//! The instructions that a layer runs with, as reports name them.

use rnnpack::{Variant, WeightType};

/// The instruction set, and how many f32 it computes at once. The rows of a tile depend on the type of weights too.
pub(crate) fn instructions(variant: Variant) -> String {
    format!("{variant} ({} lanes)", variant.lanes())
}

/// A type of weights, f64 if `None`, with what adds the products: `int8 (vnni)`.
pub(crate) fn weights_text(weights: Option<WeightType>, dots: Option<&str>) -> String {
    let name = weights.map_or("f64", WeightType::name);
    dots.map_or_else(|| name.to_owned(), |dots| format!("{name} ({dots})"))
}
