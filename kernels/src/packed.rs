//! Packed weights: the panels of one direction, with the function that runs them.

use crate::blocking::Blocking;
use crate::cell::Cell;
use crate::epilogue::Discard;
use crate::error::Error;
use crate::isa::Variant;
use crate::pack::WeightPanels;
use crate::products::Products;
use crate::scratch::Scratch;
use crate::sizes::Sizes;
use crate::steps::{Run, run_for};
use crate::subnormals::Subnormals;
use crate::weight_type::{Dots, WeightType};
use crate::weights::Weights;
use core::fmt;

/// The weights of one direction, packed for one variant.
///
/// # Invariant
/// `panels` are packed for the lanes of `variant`. `run` is for `variant` and the cell of `panels`, `products` for `variant`
/// and the type of weights of `panels`.
pub struct PackedWeights {
    variant: Variant,
    run: Run<Discard>,
    products: Products,
    panels: WeightPanels,
}

impl PackedWeights {
    /// Packs the weights for `variant`.
    ///
    /// # Errors
    /// [`Error::Overflow`] and [`Error::Memory`] if the packed weights do not fit into memory.
    pub fn new(variant: Variant, weights: &Weights<'_>) -> Result<PackedWeights, Error> {
        Ok(PackedWeights::from_panels(variant, WeightPanels::new(variant.lanes(), weights)?))
    }

    /// These weights, with no faster dot products of int8 or bf16 than these. Those of int8 all give the same bits, so this is of
    /// use for tests and benches.
    pub fn with_dots(self, dots: Dots) -> PackedWeights {
        PackedWeights { products: Products::new(self.variant, self.weight_type(), dots), ..self }
    }

    /// These weights with other products, which must be of the variant and the type of weights.
    #[cfg(all(test, target_arch = "x86_64", target_os = "linux", feature = "std"))]
    pub(crate) fn with_products(self, products: Products) -> PackedWeights {
        PackedWeights { products, ..self }
    }

    /// Takes panels, which must be packed for the lanes of `variant`.
    pub(crate) fn from_panels(variant: Variant, panels: WeightPanels) -> PackedWeights {
        let run = run_for(variant, panels.description());
        let products = Products::new(variant, panels.description().weights, Dots::Amx);
        PackedWeights { variant, run, products, panels }
    }

    /// The function that runs a block of these weights.
    pub(crate) fn run(&self) -> Run<Discard> {
        self.run
    }

    pub(crate) fn products(&self) -> &Products {
        &self.products
    }

    /// The variant that the weights are packed for.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// The cell, which defines what a step computes.
    pub fn cell(&self) -> &Cell {
        &self.panels.description().cell
    }

    /// Whether an LSTM has peepholes.
    pub fn has_peepholes(&self) -> bool {
        self.panels.description().peepholes
    }

    /// What a call does with subnormal numbers.
    pub fn subnormals(&self) -> Subnormals {
        self.panels.description().subnormals
    }

    /// The number of weights that were subnormal and became zero when they were packed.
    pub fn flushed_weights(&self) -> u64 {
        self.panels.description().flushed
    }

    /// The type in which W and R are stored.
    pub fn weight_type(&self) -> WeightType {
        self.panels.description().weights
    }

    /// What adds the products on this CPU: `amx`, `vnni` or `widened` for weights of int8; `amx`, `avx512-bf16` or `widened`
    /// for pairs of bf16; `None` for weights of other types.
    pub fn dots(&self) -> Option<&'static str> {
        self.products.dots
    }

    /// The sizes I, H and P.
    pub fn sizes(&self) -> Sizes {
        self.panels.description().sizes
    }

    /// Input size I.
    pub fn input(&self) -> usize {
        self.sizes().input
    }

    /// Hidden size H.
    pub fn hidden(&self) -> usize {
        self.sizes().hidden
    }

    /// The number of bytes that an empty [`Scratch`] allocates in a call of `time` steps and `batch` rows.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the number overflows.
    pub fn scratch_bytes(&self, blocking: Blocking, time: usize, batch: usize) -> Result<usize, Error> {
        Scratch::bytes(&self.panels, blocking, time, batch)
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        self.panels.sections().map(<[u8]>::len).sum()
    }

    pub(crate) fn panels(&self) -> &WeightPanels {
        &self.panels
    }
}

impl fmt::Debug for PackedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedWeights")
            .field("variant", &self.variant)
            .field("cell", self.cell())
            .field("peepholes", &self.has_peepholes())
            .field("sizes", &self.sizes())
            .field("weight_type", &self.weight_type())
            .field("dots", &self.dots())
            .field("subnormals", &self.subnormals())
            .finish_non_exhaustive()
    }
}
