//! The panels of one direction, for a product and a number of lanes.

use super::column::Column;
use crate::aligned::{AlignedBuf, Section};
use crate::cell::Cell;
use crate::environment;
use crate::epilogue::PassShape;
use crate::error::Error;
use crate::factors::row_bytes;
use crate::passes::Constants;
use crate::sizes::Sizes;
use crate::subnormals::Subnormals;
use crate::weight_type::WeightType;
use crate::weights::Weights;
use alloc::vec::Vec;
use core::fmt;
use wide::bytemuck::{Pod, cast_slice};

/// What the weights of one direction are for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Description {
    pub(crate) cell: Cell,
    /// Whether an LSTM has peepholes.
    pub(crate) peepholes: bool,
    pub(crate) sizes: Sizes,
    /// The number of lanes of a vector.
    pub(crate) lanes: usize,
    pub(crate) subnormals: Subnormals,
    /// The number of weights that were subnormal and became zero.
    pub(crate) flushed: u64,
    /// The type of W and R.
    pub(crate) weights: WeightType,
    /// The zero points of W and R, if these are integers.
    pub(crate) zero_points: [i32; 2],
}

impl fmt::Debug for WeightPanels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeightPanels").field("description", &self.description).finish_non_exhaustive()
    }
}

impl Description {
    fn of(lanes: usize, weights: &Weights<'_>) -> Description {
        let subnormals = weights.subnormals();
        Description {
            cell: *weights.cell(),
            peepholes: weights.peepholes(0).is_some(),
            sizes: weights.sizes(),
            lanes,
            subnormals,
            flushed: if subnormals.flushes_weights() { weights.subnormal_weights() as u64 } else { 0 },
            weights: weights.weight_type(),
            zero_points: weights.zero_points(),
        }
    }
}

/// The weights of one direction, packed for a number of lanes.
///
/// # Invariant
/// `passes` and `states` are those of the cell, `row` covers the panels of each pass, `gates` is the sum of the lengths of
/// their biases, and `constants` holds as many rows as [`constant_rows`].
pub(crate) struct WeightPanels {
    description: Description,
    states: usize,
    row: usize,
    gates: usize,
    passes: Vec<PassPanels>,
    constants: Section,
}

/// The weights of one pass.
///
/// # Invariant
/// Let there be Q panels of V vectors of L lanes. `bias` holds `Q·V·L` f32. `w` holds the bytes of `Q·V·L` groups of weights
/// for each group of the I values of k, `r` for each group of the P values of k. If the weights are integers, the scales hold
/// `2·Q·V·L` f32.
pub(crate) struct PassPanels {
    pub(crate) shape: PassShape,
    pub(crate) panels: usize,
    pub(crate) w: Section<u8>,
    pub(crate) r: Section<u8>,
    pub(crate) bias: Section,
    /// For each panel the scales `[gate][unit vector][lane]`, and then the sums of the integers of each row of W, as i32.
    pub(crate) w_scales: Section,
    /// The same for R.
    pub(crate) r_scales: Section,
}

/// A source of the sections of packed weights.
pub(crate) trait Sections {
    /// Returns the next section, with `len` elements. Sections come in the order of [`WeightPanels::sections`].
    ///
    /// # Errors
    /// If the source cannot provide the section.
    fn next<E: Pod + Send + Sync>(&mut self, what: &'static str, len: usize) -> Result<Section<E>, Error>;
}

/// Allocates sections of zeros, to be filled.
struct Zeroed;

impl Sections for Zeroed {
    fn next<E: Pod + Send + Sync>(&mut self, what: &'static str, len: usize) -> Result<Section<E>, Error> {
        AlignedBuf::zeroed(len).map(Section::from).ok_or(Error::Memory { what, floats: len })
    }
}

/// The number of rows of constants that the epilogues and tiles of a cell read; see [`WeightPanels::constants`].
fn constant_rows(peepholes: bool, shapes: &[PassShape]) -> usize {
    match separate_gate(shapes) {
        _ if peepholes => 3,
        separate => usize::from(separate.is_some()),
    }
}

/// The gate whose recurrent sum starts from its own bias.
fn separate_gate(shapes: &[PassShape]) -> Option<usize> {
    shapes.iter().find(|pass| pass.separate_recurrent_bias).and_then(|pass| pass.gates.last().copied())
}

impl WeightPanels {
    /// Packs the weights for `lanes`.
    ///
    /// # Errors
    /// [`Error::Overflow`] and [`Error::Memory`] if the packed weights do not fit into memory.
    pub(crate) fn new(lanes: usize, weights: &Weights<'_>) -> Result<WeightPanels, Error> {
        let description = Description::of(lanes, weights);
        let Description { cell, peepholes, sizes, .. } = description;
        let mut panels = WeightPanels::over(&mut Zeroed, description)?;
        // A sum of two biases is rounded, and so are integers.
        environment::within(Subnormals::Keep, || {
            panels.passes.iter_mut().for_each(|pass| pass.fill(lanes, weights));
        });
        let separate = separate_gate(Constants::of(&cell, peepholes).shapes);
        let (row, constants) = (panels.row, panels.constants.owned());
        for unit in 0..sizes.hidden {
            if let Some(peepholes) = weights.peepholes(unit) {
                (0..3).for_each(|gate| constants[gate * row + unit] = peepholes[gate]);
            } else if let Some(gate) = separate {
                constants[unit] = weights.rb(gate, unit);
            }
        }
        Ok(panels)
    }

    /// Panels over given sections.
    ///
    /// # Errors
    /// [`Error::Overflow`] if a section is too large, and the errors of `sections`.
    pub(crate) fn over(
        sections: &mut impl Sections,
        description: Description,
    ) -> Result<WeightPanels, Error> {
        let Description { cell, peepholes, lanes, .. } = description;
        let Constants { shapes, states } = Constants::of(&cell, peepholes);
        let mut passes = Vec::with_capacity(shapes.len());
        for &shape in shapes {
            passes.push(PassPanels::over(sections, shape, &description)?);
        }
        let padded = |pass: &PassPanels| pass.panels.saturating_mul(pass.shape.units).saturating_mul(lanes);
        let row = passes.iter().map(padded).max().unwrap_or(0);
        let what = "packed constants";
        let rows = constant_rows(peepholes, shapes);
        let constants = sections.next(what, row.checked_mul(rows).ok_or(Error::Overflow { what })?)?;
        // The gates of one pair have as many elements as the bias of the pass. These are in memory, so the sum does not
        // overflow.
        let gates = passes.iter().map(|pass| pass.bias.len()).sum();
        Ok(WeightPanels { description, states, row, gates, passes, constants })
    }

    /// The bytes of all sections: W, R, the bias and the scales of each pass, then the constants.
    pub(crate) fn sections(&self) -> impl Iterator<Item = &[u8]> {
        self.passes.iter().flat_map(PassPanels::sections).chain([cast_slice(&self.constants)])
    }

    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    /// The number of state buffers in addition to the two of h; see [`Passes::STATES`](crate::passes::Passes::STATES).
    pub(crate) fn states(&self) -> usize {
        self.states
    }

    /// The number of f32 of a row of c, padded to whole panels of every pass.
    pub(crate) fn row(&self) -> usize {
        self.row
    }

    /// The number of f32 of all states of a batch row: h twice, and at most two other states. A bias of as many f32 as one of
    /// them is in memory, so it does not overflow.
    pub(crate) fn states_of_row(&self) -> usize {
        2 * self.h_row() + self.states * self.row
    }

    /// The number of f32 of the gates of one (step, row) pair, in all passes.
    pub(crate) fn gates(&self) -> usize {
        self.gates
    }

    /// The number of f32 of a row of h, padded in the same way.
    pub(crate) fn h_row(&self) -> usize {
        self.row.max(self.description.sizes.recurrent)
    }

    /// The numbers of bytes of a row of x and of a row of h as factors; 0 if these are f32. `None` if one overflows.
    pub(crate) fn factor_rows(&self) -> Option<[usize; 2]> {
        let Description { sizes, weights, .. } = self.description;
        let bytes = match weights {
            WeightType::F32 | WeightType::Bf16 | WeightType::F16 => return Some([0, 0]),
            WeightType::I8 => 1,
            WeightType::Bf16Dot => 2,
        };
        let row =
            |count: usize| row_bytes(count.checked_next_multiple_of(weights.group())?.checked_mul(bytes)?);
        Some([row(sizes.input)?, row(sizes.recurrent)?])
    }

    pub(crate) fn passes(&self) -> &[PassPanels] {
        &self.passes
    }

    /// For an LSTM with peepholes three rows, those of i, o and f. If a pass has a separate recurrent bias, that is the only
    /// row. Other cells have none.
    pub(crate) fn constants(&self) -> &[f32] {
        &self.constants
    }
}

impl PassPanels {
    fn over(
        sections: &mut impl Sections,
        shape: PassShape,
        description: &Description,
    ) -> Result<PassPanels, Error> {
        let &Description { sizes, lanes, weights, .. } = description;
        let panels = shape.panels(lanes, sizes.hidden);
        let vectors = panels.checked_mul(lanes * shape.vectors());
        let vectors = vectors.ok_or(Error::Overflow { what: "packed weights" })?;
        let matrix = |what, depth: usize| {
            let padded = depth.checked_next_multiple_of(weights.group());
            let bytes = padded.and_then(|k| k.checked_mul(weights.bytes())?.checked_mul(vectors));
            bytes.ok_or(Error::Overflow { what })
        };
        let (w, r, bias, scales) = ("packed W", "packed R", "packed bias", "packed scales");
        // Less than the bytes of W and R and the bias, so it does not overflow if they are in memory.
        let of_scales = if weights == WeightType::I8 { vectors.saturating_mul(2) } else { 0 };
        Ok(PassPanels {
            shape,
            panels,
            w: sections.next(w, matrix(w, sizes.input)?)?,
            r: sections.next(r, matrix(r, sizes.recurrent)?)?,
            bias: sections.next(bias, vectors)?,
            w_scales: sections.next(scales, of_scales)?,
            r_scales: sections.next(scales, of_scales)?,
        })
    }

    /// The bytes of W, R, the bias and the scales.
    fn sections(&self) -> [&[u8]; 5] {
        let [bias, w_scales, r_scales] = [&self.bias, &self.w_scales, &self.r_scales].map(|s| cast_slice(s));
        [&self.w, &self.r, bias, w_scales, r_scales]
    }

    /// Copies the weights of the pass's gates to their places.
    fn fill(&mut self, lanes: usize, weights: &Weights<'_>) {
        let shape = self.shape;
        for unit in 0..weights.hidden() {
            for (index, &gate) in shape.gates.iter().enumerate() {
                let column = Column { shape, lanes, unit, gate: index };
                let (w, r) = (weights.w_row(gate, unit), weights.r_row(gate, unit));
                let (of_w, of_r) = (|| weights.w_scale(gate, unit), || weights.r_scale(gate, unit));
                column.store(self.w.owned(), self.w_scales.owned(), w, of_w, weights);
                column.store(self.r.owned(), self.r_scales.owned(), r, of_r, weights);
                let separate = shape.separate_recurrent_bias && index + 1 == shape.gates.len();
                // A sum with -0 is the other number, also if that is -0.
                let rb = if separate { -0.0 } else { weights.rb(gate, unit) };
                self.bias.owned()[column.place(1)] = weights.wb(gate, unit) + rb;
            }
        }
    }
}
