//! Packed weights: the panels that the register tiles stream through.
//!
//! A *panel* is what one tile needs of W or R: a vector of hidden units for each gate of a pass, and where a pass has few
//! gates, several vectors of units. W and R are stored as `[panel][k][gate][unit vector][lane]`, the bias as
//! `[panel][gate][unit vector][lane]`; the hidden size is padded with zeros to whole panels. An LSTM, 16 lanes, H = 20:
//!
//! ```text
//! panel 0, k = 0 │ i₀ … i₁₅ │ o₀ … o₁₅ │ f₀ … f₁₅ │ c₀ … c₁₅ │   4 cache lines
//!          k = 1 │ i₀ … i₁₅ │ …
//!          ⋮
//! panel 1, k = 0 │ i₁₆ … i₁₉ 0 … 0 │ o₁₆ …
//! ```
//!
//! An RNN has one gate, so its panel takes four vectors of units: `h₀ … h₁₅ │ h₁₆ … h₃₁ │ h₃₂ … h₄₇ │ h₄₈ … h₆₃`.

use crate::aligned::{AlignedBuf, Floats};
use crate::cell::PassShape;
use crate::isa::Variant;
use crate::{Cell, Error, Weights};
use alloc::vec::Vec;

/// Vectors of weights that a step reads for every k: what a row of a batch costs on `variant`.
pub fn weight_vectors(cell: &Cell, variant: Variant, hidden: usize) -> usize {
    let vectors = |pass: &PassShape| pass.panels(variant.lanes(), hidden).saturating_mul(pass.vectors());
    cell.passes().iter().map(vectors).sum()
}

/// The weights of one direction, packed for one variant.
///
/// # Invariant
/// `panels` are packed for the lanes of `variant`.
pub struct Packed {
    variant: Variant,
    panels: Panels,
}

/// The weights of one direction, packed for a number of lanes.
///
/// # Invariant
/// `passes` are those of the cell, `row` covers the panels of each, and `constants` holds three rows.
pub(crate) struct Panels {
    cell: Cell,
    peepholes: bool,
    input: usize,
    hidden: usize,
    row: usize,
    passes: Vec<PackedPass>,
    constants: Floats,
}

/// The weights of one pass.
///
/// # Invariant
/// With P panels of V vectors of L lanes, `w`, `r` and `bias` hold `P·V·L` f32 for each of I, H and 1 k.
pub(crate) struct PackedPass {
    pub(crate) shape: PassShape,
    pub(crate) panels: usize,
    pub(crate) w: Floats,
    pub(crate) r: Floats,
    pub(crate) bias: Floats,
}

impl Packed {
    /// Packs the weights for `variant`.
    ///
    /// # Errors
    /// [`Error::Overflow`] and [`Error::Memory`] where the packed weights do not fit into memory.
    pub fn new(variant: Variant, weights: &Weights<'_>) -> Result<Packed, Error> {
        Ok(Packed { variant, panels: Panels::new(variant.lanes(), weights)? })
    }

    /// Panels that are packed for the lanes of `variant`.
    pub(crate) fn from_panels(variant: Variant, panels: Panels) -> Packed {
        Packed { variant, panels }
    }

    /// The variant that the weights are packed for.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// What a step computes.
    pub fn cell(&self) -> &Cell {
        &self.panels.cell
    }

    /// Whether an LSTM has peepholes.
    pub fn has_peepholes(&self) -> bool {
        self.panels.peepholes
    }

    /// Input size I.
    pub fn input(&self) -> usize {
        self.panels.input
    }

    /// Hidden size H.
    pub fn hidden(&self) -> usize {
        self.panels.hidden
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        self.panels.sections().map(size_of_val).sum()
    }

    pub(crate) fn panels(&self) -> &Panels {
        &self.panels
    }

    /// f32 of a row of h, padded to whole panels of every pass.
    pub(crate) fn row(&self) -> usize {
        self.panels.row
    }

    pub(crate) fn passes(&self) -> &[PackedPass] {
        &self.panels.passes
    }

    /// Three rows: an LSTM's peepholes of i, o and f; or, first, the bias of the sum that stands apart.
    pub(crate) fn constants(&self) -> &[f32] {
        &self.panels.constants
    }
}

/// The gate whose recurrent sum stands apart from its projection.
fn apart(cell: &Cell) -> Option<usize> {
    cell.passes().iter().find(|pass| pass.apart).and_then(|pass| pass.gates.last().copied())
}

impl Panels {
    /// Packs the weights for `lanes`.
    ///
    /// # Errors
    /// As [`Packed::new`].
    pub(crate) fn new(lanes: usize, weights: &Weights<'_>) -> Result<Panels, Error> {
        let (cell, hidden) = (*weights.cell(), weights.hidden());
        let zeroed =
            |what, floats| AlignedBuf::zeroed(floats).map(Floats::from).ok_or(Error::Memory { what, floats });
        let peepholes = weights.peepholes(0).is_some();
        let mut panels = Panels::over(zeroed, cell, peepholes, lanes, [weights.input(), hidden])?;
        panels.passes.iter_mut().for_each(|pass| pass.fill(lanes, weights));
        let (row, constants) = (panels.row, panels.constants.owned());
        for unit in 0..hidden {
            if let Some(peepholes) = weights.peepholes(unit) {
                (0..3).for_each(|gate| constants[gate * row + unit] = peepholes[gate]);
            } else if let Some(gate) = apart(&cell) {
                constants[unit] = weights.rb(gate, unit);
            }
        }
        Ok(panels)
    }

    /// Panels over sections that `section` gives, in the order of [`Panels::sections`], for a name and a number of f32.
    ///
    /// # Errors
    /// [`Error::Overflow`] where a section is too large, and those of `section`.
    pub(crate) fn over(
        mut section: impl FnMut(&'static str, usize) -> Result<Floats, Error>,
        cell: Cell,
        peepholes: bool,
        lanes: usize,
        [input, hidden]: [usize; 2],
    ) -> Result<Panels, Error> {
        let mut of = |what, rows: usize, columns| {
            section(what, rows.checked_mul(columns).ok_or(Error::Overflow { what })?)
        };
        let pass = |&shape: &PassShape| {
            let panels = shape.panels(lanes, hidden);
            let k = panels.checked_mul(lanes * shape.vectors());
            let k = k.ok_or(Error::Overflow { what: "packed weights" })?;
            let (w, r) = (of("packed W", k, input)?, of("packed R", k, hidden)?);
            Ok(PackedPass { shape, panels, w, r, bias: of("packed bias", k, 1)? })
        };
        let passes: Vec<PackedPass> = cell.passes().iter().map(pass).collect::<Result<_, Error>>()?;
        let padded = |pass: &PackedPass| pass.panels.saturating_mul(pass.shape.units).saturating_mul(lanes);
        let row = passes.iter().map(padded).max().unwrap_or(0);
        Ok(Panels { cell, peepholes, input, hidden, row, passes, constants: of("packed constants", row, 3)? })
    }

    /// All that is stored: W, R and the bias of each pass, and the constants.
    pub(crate) fn sections(&self) -> impl Iterator<Item = &[f32]> {
        let of_passes = self.passes.iter().flat_map(|pass| [&pass.w, &pass.r, &pass.bias]);
        of_passes.chain([&self.constants]).map(|section| &**section)
    }

    pub(crate) fn cell(&self) -> &Cell {
        &self.cell
    }

    pub(crate) fn has_peepholes(&self) -> bool {
        self.peepholes
    }

    /// I and H.
    pub(crate) fn sizes(&self) -> [usize; 2] {
        [self.input, self.hidden]
    }
}

impl PackedPass {
    /// Puts the weights of the pass's gates in their places.
    fn fill(&mut self, lanes: usize, weights: &Weights<'_>) {
        let shape = self.shape;
        for unit in 0..weights.hidden() {
            for (at, &gate) in shape.gates.iter().enumerate() {
                let place = Place { shape, lanes, unit, gate: at };
                place.scatter(self.w.owned(), weights.w_row(gate, unit));
                place.scatter(self.r.owned(), weights.r_row(gate, unit));
                let apart = shape.apart && at + 1 == shape.gates.len();
                let rb = if apart { 0.0 } else { weights.rb(gate, unit) };
                place.scatter(self.bias.owned(), &[weights.wb(gate, unit) + rb]);
            }
        }
    }
}

/// A gate of a hidden unit, in a pass.
struct Place {
    shape: PassShape,
    lanes: usize,
    unit: usize,
    gate: usize,
}

impl Place {
    /// Where element k stands in a matrix with `depth` columns.
    fn index(&self, depth: usize, k: usize) -> usize {
        let (vector, lane) = (self.unit / self.lanes, self.unit % self.lanes);
        let (panel, at) = (vector / self.shape.units, vector % self.shape.units);
        ((panel * depth + k) * self.shape.vectors() + self.gate * self.shape.units + at) * self.lanes + lane
    }

    fn scatter(&self, packed: &mut [f32], row: &[f32]) {
        let Some(column) = packed.get_mut(self.index(row.len(), 0)..) else { return };
        for (to, &value) in column.iter_mut().step_by(self.shape.vectors() * self.lanes).zip(row) {
            *to = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, GateOrder, Tensors};

    #[test]
    fn every_weight_stands_once_in_its_panel_and_padding_is_zero() {
        let (input, hidden) = (3, 18);
        for cell in [Cell::lstm(), Cell::gru(false), Cell::gru(true), Cell::rnn(Activation::Tanh)] {
            let count = cell.gates() * hidden * input;
            let w: Vec<f32> = (1..=count).map(|x| x as f32).collect();
            let r = vec![0.5; cell.gates() * hidden * hidden];
            let tensors = Tensors { w: &w, r: &r, wb: None, rb: None, p: None };
            let weights = Weights::new(cell, [input, hidden], GateOrder::Onnx, tensors).unwrap();
            for variant in Variant::available() {
                let packed = Packed::new(variant, &weights).unwrap();
                let all = packed.passes().iter().flat_map(|pass| pass.w.iter().copied());
                assert_eq!(
                    all.clone().count(),
                    weight_vectors(&cell, variant, hidden) * variant.lanes() * input
                );
                let mut seen: Vec<f32> = all.filter(|&x| x != 0.0).collect();
                seen.sort_by(f32::total_cmp);
                assert_eq!(seen, w, "{variant}");
            }
        }
    }

    #[test]
    fn a_panel_holds_the_gates_of_a_vector_of_units_for_every_k() {
        let (input, hidden) = (3, 18);
        let w: Vec<f32> = (1..=4 * hidden * input).map(|x| x as f32).collect();
        let r = vec![0.5; 4 * hidden * hidden];
        let tensors = Tensors { w: &w, r: &r, wb: None, rb: None, p: None };
        let weights = Weights::new(Cell::lstm(), [input, hidden], GateOrder::Onnx, tensors).unwrap();
        for variant in Variant::available() {
            let packed = Packed::new(variant, &weights).unwrap();
            let lanes = variant.lanes();
            let (panel, lane) = (17 / lanes, 17 % lanes);
            // Gate 2 (forget), unit 17, k = 1.
            let at = ((panel * input + 1) * 4 + 2) * lanes + lane;
            assert_eq!(packed.passes()[0].w[at], w[(2 * hidden + 17) * input + 1]);
        }
    }
}
