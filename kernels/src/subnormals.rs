//! The choice what a layer does with subnormal numbers.

/// What a layer does with subnormal numbers: those below `2^-126`, the smallest normal f32, which are not zero.
///
/// Many CPUs take a hundred cycles longer for an operation with a subnormal operand or result. Weight decay leaves such
/// weights, and a state that fades away such states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subnormals {
    /// Everything is computed exactly as the standard says.
    #[default]
    Keep,
    /// Subnormal weights are zero, which is decided when they are packed. All else is computed exactly.
    FlushWeights,
    /// Subnormal weights are zero, and every operation of a call takes subnormal operands for zero and returns zero for
    /// a subnormal result. The results have the same bits on every x86 instruction set with fused multiply-adds.
    ///
    /// This needs a CPU with such a mode: x86 with SSE, or AArch64. Elsewhere packing refuses it.
    Flush,
}

impl Subnormals {
    /// All choices, in the order of their declaration.
    pub const ALL: [Subnormals; 3] = [Subnormals::Keep, Subnormals::FlushWeights, Subnormals::Flush];

    /// The name of the choice, as commands and logs show it: `keep`, `flush-weights` or `flush`.
    pub const fn name(self) -> &'static str {
        match self {
            Subnormals::Keep => "keep",
            Subnormals::FlushWeights => "flush-weights",
            Subnormals::Flush => "flush",
        }
    }

    /// Whether subnormal weights are zero.
    pub(crate) fn flushes_weights(self) -> bool {
        self != Subnormals::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_listed_at_its_place_with_a_name_of_its_own() {
        for (place, choice) in Subnormals::ALL.into_iter().enumerate() {
            assert_eq!(choice as usize, place);
            let named = Subnormals::ALL.into_iter().find(|other| other.name() == choice.name());
            assert_eq!(named, Some(choice));
        }
    }
}
