//! Packed weights: the panels of one direction, with the function that runs them.

use crate::blocking::Blocking;
use crate::cell::Cell;
use crate::environment;
use crate::epilogue::Discard;
use crate::error::Error;
use crate::isa::Variant;
use crate::pack::{Description, WeightPanels};
use crate::product::F32;
use crate::scratch::Scratch;
use crate::sizes::Sizes;
use crate::steps::{Run, run_for};
use crate::subnormals::Subnormals;
use crate::weights::Weights;
use core::fmt;

/// The weights of one direction, packed for one variant.
///
/// # Invariant
/// `panels` are packed for the lanes of `variant`. `run` is for `variant` and the cell of `panels`.
pub struct PackedWeights {
    variant: Variant,
    run: Run<Discard>,
    panels: WeightPanels<F32>,
}

impl PackedWeights {
    /// Packs the weights for `variant`.
    ///
    /// # Errors
    /// [`Error::Overflow`] and [`Error::Memory`] if the packed weights do not fit into memory.
    pub fn new(variant: Variant, weights: &Weights<'_>) -> Result<PackedWeights, Error> {
        let panels = environment::within(Subnormals::Keep, || WeightPanels::new(variant.lanes(), weights))?;
        Ok(PackedWeights::from_panels(variant, panels))
    }

    /// Takes panels, which must be packed for the lanes of `variant`.
    pub(crate) fn from_panels(variant: Variant, panels: WeightPanels<F32>) -> PackedWeights {
        let Description { cell, peepholes, .. } = panels.description();
        PackedWeights { variant, run: run_for(variant, cell, *peepholes), panels }
    }

    /// The function that runs a block of these weights.
    pub(crate) fn run(&self) -> Run<Discard> {
        self.run
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

    pub(crate) fn panels(&self) -> &WeightPanels<F32> {
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
            .field("subnormals", &self.subnormals())
            .finish_non_exhaustive()
    }
}
