//! Panels: the form of packed weights that the register tiles stream through.
//!
//! A *panel* is the part of W or R that one tile needs: a vector of hidden units for each gate of a pass. If a pass has
//! few gates, a panel has several vectors of units for each gate. W and R are stored as `[panel][k][gate][unit
//! vector][lane]`, the bias as `[panel][gate][unit vector][lane]`. The hidden size is padded with zeros to whole
//! panels. A product that takes several k at once stores them next to each other, see
//! [`Product`](crate::product::Product). An LSTM in f32, 16 lanes, H = 20:
//!
//! ```text
//! panel 0, k = 0 │ i₀ … i₁₅ │ o₀ … o₁₅ │ f₀ … f₁₅ │ c₀ … c₁₅ │   4 cache lines
//!          k = 1 │ i₀ … i₁₅ │ …
//!          ⋮
//! panel 1, k = 0 │ i₁₆ … i₁₉ 0 … 0 │ o₁₆ …
//! ```
//!
//! An RNN has one gate, so its panel takes four vectors of units: `h₀ … h₁₅ │ h₁₆ … h₃₁ │ h₃₂ … h₄₇ │ h₄₈ … h₆₃`.

mod column;
mod panels;
#[cfg(test)]
mod tests;

pub(crate) use panels::{Description, Sections, WeightPanels};

use crate::cell::Cell;
use crate::epilogue::PassShape;
use crate::isa::Variant;
use crate::passes::Constants;

/// The number of weight vectors that a step reads for every k. It is the cost of a batch row on `variant`.
pub fn weight_vectors(cell: &Cell, variant: Variant, hidden: usize) -> usize {
    let vectors = |pass: &PassShape| pass.panels(variant.lanes(), hidden).saturating_mul(pass.vectors());
    Constants::of(cell, false).shapes.iter().map(vectors).sum()
}
