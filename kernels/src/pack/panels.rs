//! The panels of one direction, for a product and a number of lanes.

use crate::aligned::{AlignedBuf, Section};
use crate::cell::Cell;
use crate::epilogue::PassShape;
use crate::error::Error;
use crate::passes::Constants;
use crate::product::{F32, Packing};
use crate::sizes::Sizes;
use crate::subnormals::Subnormals;
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
}

impl<P: Packing> fmt::Debug for WeightPanels<P> {
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
        }
    }
}

/// The weights of one direction, packed for a product and a number of lanes.
///
/// # Invariant
/// `passes` and `states` are those of the cell, `row` covers the panels of each pass, `gates` is the sum of the lengths of
/// their biases, and `constants` holds three rows.
pub(crate) struct WeightPanels<P: Packing> {
    description: Description,
    states: usize,
    row: usize,
    gates: usize,
    passes: Vec<PassPanels<P>>,
    constants: Section,
}

/// The weights of one pass.
///
/// # Invariant
/// Let there be Q panels of V vectors of L lanes. `bias` holds `Q·V·L` f32. `w` holds `Q·V·L` groups of weights for
/// each group of the I values of k, `r` for each group of the P values of k.
pub(crate) struct PassPanels<P: Packing> {
    pub(crate) shape: PassShape,
    pub(crate) panels: usize,
    pub(crate) w: Section<P::Weight>,
    pub(crate) r: Section<P::Weight>,
    pub(crate) bias: Section,
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

/// The gate whose recurrent sum starts from its own bias.
fn separate_gate(shapes: &[PassShape]) -> Option<usize> {
    shapes.iter().find(|pass| pass.separate_recurrent_bias).and_then(|pass| pass.gates.last().copied())
}

impl<P: Packing> WeightPanels<P> {
    /// Packs the weights for `lanes`.
    ///
    /// # Errors
    /// [`Error::Overflow`] and [`Error::Memory`] if the packed weights do not fit into memory.
    pub(crate) fn new(lanes: usize, weights: &Weights<'_>) -> Result<WeightPanels<P>, Error> {
        let description = Description::of(lanes, weights);
        let Description { cell, peepholes, sizes, .. } = description;
        let mut panels = WeightPanels::<P>::over(&mut Zeroed, description)?;
        panels.passes.iter_mut().for_each(|pass| pass.fill(lanes, weights));
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
    ) -> Result<WeightPanels<P>, Error> {
        let Description { cell, peepholes, sizes, lanes, .. } = description;
        let Constants { shapes, states } = Constants::of(&cell, peepholes);
        let mut pass = |&shape: &PassShape| PassPanels::over(sections, shape, lanes, sizes);
        let passes: Vec<PassPanels<P>> = shapes.iter().map(&mut pass).collect::<Result<_, _>>()?;
        let padded =
            |pass: &PassPanels<P>| pass.panels.saturating_mul(pass.shape.units).saturating_mul(lanes);
        let row = passes.iter().map(padded).max().unwrap_or(0);
        let what = "packed constants";
        let constants = sections.next(what, row.checked_mul(3).ok_or(Error::Overflow { what })?)?;
        // The gates of one pair have as many elements as the bias of the pass. These are in memory, so the sum does not
        // overflow.
        let gates = passes.iter().map(|pass| pass.bias.len()).sum();
        Ok(WeightPanels { description, states, row, gates, passes, constants })
    }

    /// The bytes of all sections: W, R and the bias of each pass, then the constants.
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

    /// The number of f32 of all states of a batch row: h twice, and the other states. Packed constants of three such rows
    /// are in memory, so it does not overflow.
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

    pub(crate) fn passes(&self) -> &[PassPanels<P>] {
        &self.passes
    }

    /// Three rows. For an LSTM they are the peepholes of i, o and f. If a pass has a separate recurrent bias, it is the
    /// first row.
    pub(crate) fn constants(&self) -> &[f32] {
        &self.constants
    }
}

impl<P: Packing> PassPanels<P> {
    fn over(
        sections: &mut impl Sections,
        shape: PassShape,
        lanes: usize,
        sizes: Sizes,
    ) -> Result<PassPanels<P>, Error> {
        let panels = shape.panels(lanes, sizes.hidden);
        let vectors = panels.checked_mul(lanes * shape.vectors());
        let vectors = vectors.ok_or(Error::Overflow { what: "packed weights" })?;
        let matrix = |what, depth: usize| {
            let weights = P::groups(depth).checked_mul(P::GROUP).and_then(|k| k.checked_mul(vectors));
            weights.ok_or(Error::Overflow { what })
        };
        let (w, r, bias) = ("packed W", "packed R", "packed bias");
        Ok(PassPanels {
            shape,
            panels,
            w: sections.next(w, matrix(w, sizes.input)?)?,
            r: sections.next(r, matrix(r, sizes.recurrent)?)?,
            bias: sections.next(bias, vectors)?,
        })
    }

    /// The bytes of W, R and the bias.
    fn sections(&self) -> [&[u8]; 3] {
        [cast_slice(&self.w), cast_slice(&self.r), cast_slice(&self.bias)]
    }

    /// Copies the weights of the pass's gates to their places.
    fn fill(&mut self, lanes: usize, weights: &Weights<'_>) {
        let shape = self.shape;
        for unit in 0..weights.hidden() {
            for (index, &gate) in shape.gates.iter().enumerate() {
                let column = Column { shape, lanes, unit, gate: index };
                column.scatter::<P>(self.w.owned(), weights.w_row(gate, unit), weights);
                column.scatter::<P>(self.r.owned(), weights.r_row(gate, unit), weights);
                let separate = shape.separate_recurrent_bias && index + 1 == shape.gates.len();
                // A sum with -0 is the other number, also if that is -0.
                let rb = if separate { -0.0 } else { weights.rb(gate, unit) };
                let bias = column.start::<F32>(1);
                self.bias.owned()[bias] = weights.wb(gate, unit) + rb;
            }
        }
    }
}

/// The place of the weights of one gate of a hidden unit: one lane of a panel.
struct Column {
    shape: PassShape,
    lanes: usize,
    unit: usize,
    /// The gate's index among the gates of the pass.
    gate: usize,
}

impl Column {
    /// The index of the first element in a matrix with `depth` columns.
    fn start<P: Packing>(&self, depth: usize) -> usize {
        let (vector, lane) = (self.unit / self.lanes, self.unit % self.lanes);
        let (panel, unit) = (vector / self.shape.units, vector % self.shape.units);
        let groups = panel * P::groups(depth);
        let vector = groups * self.shape.vectors() + self.gate * self.shape.units + unit;
        (vector * self.lanes + lane) * P::GROUP
    }

    fn scatter<P: Packing>(&self, packed: &mut [P::Weight], row: &[f32], weights: &Weights<'_>) {
        let Some(column) = packed.get_mut(self.start::<P>(row.len())..) else { return };
        let groups = column.chunks_mut(self.shape.vectors() * self.lanes * P::GROUP);
        for (to, from) in groups.zip(row.chunks(P::GROUP)) {
            for (to, &weight) in to.iter_mut().zip(from) {
                *to = P::weight(weights.taken(weight));
            }
        }
    }
}
