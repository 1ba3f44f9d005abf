//! Which dot products of integers a variant has on this CPU.

use super::ops::{Choice, Dot, Isa};
use super::variant::Variant;
use crate::weight_type::Dots;

/// Whether the CPU has a kind of dot products.
struct Has(Dots);

impl Choice for Has {
    type Output = bool;

    fn choose<S: Isa>(self) -> bool {
        match self.0 {
            Dots::Widened => <S::Widened as Dot<S>>::detect(),
            Dots::Vnni => S::HAS_VNNI && <S::Vnni as Dot<S>>::detect(),
        }
    }
}

impl Variant {
    /// The dot products that the variant has on this CPU, fastest first.
    pub fn dots(self) -> impl Iterator<Item = Dots> {
        [Dots::Vnni, Dots::Widened].into_iter().filter(move |&dots| self.choose(Has(dots)))
    }
}
