//! Which dot products of integers a variant has on this CPU.

use crate::isa::{Choice, Dot, Isa, Variant};
use crate::products::has_tiles;
use crate::weight_type::Dots;

/// Whether the CPU has a kind of dot products.
struct Has(Dots);

impl Choice for Has {
    type Output = bool;

    fn choose<S: Isa>(self) -> bool {
        match self.0 {
            Dots::Widened => <S::Widened as Dot<S>>::detect(),
            Dots::Amx => has_tiles::<S>(),
            Dots::Vnni => S::HAS_VNNI && <S::Vnni as Dot<S>>::detect(),
        }
    }
}

impl Variant {
    /// The dot products that the variant has on this CPU, fastest first.
    pub fn dots(self) -> impl Iterator<Item = Dots> {
        [Dots::Amx, Dots::Vnni, Dots::Widened].into_iter().filter(move |&dots| self.choose(Has(dots)))
    }
}
