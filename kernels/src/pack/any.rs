//! Panels of any type of weights.

use super::panels::{Description, PassPanels, WeightPanels};
use crate::environment;
use crate::epilogue::PassShape;
use crate::error::Error;
use crate::product::{Bf16, F16, F32, Packing};
use crate::subnormals::Subnormals;
use crate::weight_type::WeightType;
use crate::weights::Weights;
use alloc::boxed::Box;

/// Packed panels, by the type of their weights.
#[derive(Debug)]
pub(crate) enum Panels {
    F32(WeightPanels<F32>),
    Bf16(WeightPanels<Bf16>),
    F16(WeightPanels<F16>),
}

/// A product whose weights are packed.
pub(crate) trait Stored: Packing {
    /// The panels, if they are of this type.
    fn of(panels: &Panels) -> Option<&WeightPanels<Self>>;
}

macro_rules! stored {
    ($($product:ident),*) => { $(
        impl Stored for $product {
            fn of(panels: &Panels) -> Option<&WeightPanels<$product>> {
                match panels {
                    Panels::$product(panels) => Some(panels),
                    _ => None,
                }
            }
        }

        impl From<WeightPanels<$product>> for Panels {
            fn from(panels: WeightPanels<$product>) -> Panels {
                Panels::$product(panels)
            }
        }
    )* };
}

stored!(F32, Bf16, F16);

/// Evaluates an expression over the panels, whatever their type is.
macro_rules! each {
    ($panels:expr, $name:ident => $value:expr) => {
        match $panels {
            Panels::F32($name) => $value,
            Panels::Bf16($name) => $value,
            Panels::F16($name) => $value,
        }
    };
}

impl Panels {
    /// Packs the weights for `lanes`, in the type that the weights name.
    ///
    /// # Errors
    /// As [`WeightPanels::new`].
    pub(crate) fn new(lanes: usize, weights: &Weights<'_>) -> Result<Panels, Error> {
        // A sum of two biases is rounded.
        environment::within(Subnormals::Keep, || {
            Ok(match weights.weight_type() {
                WeightType::F32 => WeightPanels::<F32>::new(lanes, weights)?.into(),
                WeightType::Bf16 => WeightPanels::<Bf16>::new(lanes, weights)?.into(),
                WeightType::F16 => WeightPanels::<F16>::new(lanes, weights)?.into(),
            })
        })
    }

    pub(crate) fn description(&self) -> &Description {
        each!(self, panels => panels.description())
    }

    /// See [`WeightPanels::states`].
    pub(crate) fn states(&self) -> usize {
        each!(self, panels => panels.states())
    }

    /// See [`WeightPanels::row`].
    pub(crate) fn row(&self) -> usize {
        each!(self, panels => panels.row())
    }

    /// See [`WeightPanels::h_row`].
    pub(crate) fn h_row(&self) -> usize {
        each!(self, panels => panels.h_row())
    }

    /// See [`WeightPanels::states_of_row`].
    pub(crate) fn states_of_row(&self) -> usize {
        each!(self, panels => panels.states_of_row())
    }

    /// See [`WeightPanels::gates`].
    pub(crate) fn gates(&self) -> usize {
        each!(self, panels => panels.gates())
    }

    /// See [`WeightPanels::sections`].
    pub(crate) fn sections(&self) -> Box<dyn Iterator<Item = &[u8]> + '_> {
        each!(self, panels => Box::new(panels.sections()))
    }

    /// Whether the panels are those of passes of these shapes.
    pub(crate) fn have(&self, shapes: &[PassShape]) -> bool {
        each!(self, panels => panels.passes().iter().map(|pass: &PassPanels<_>| &pass.shape).eq(shapes))
    }

    pub(crate) fn weight_type(&self) -> WeightType {
        match self {
            Panels::F32(_) => WeightType::F32,
            Panels::Bf16(_) => WeightType::Bf16,
            Panels::F16(_) => WeightType::F16,
        }
    }
}
