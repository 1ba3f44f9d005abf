//! The addresses that the tiles of one pass of a step work on.

use crate::epilogue::{Epilogue, Lanes, PassShape, Place};
use crate::isa::Isa;
use crate::product::Product;
use crate::rows::{Factors, Rows};
use crate::tile::{Prefetch, Tile, each};
use core::ops::Range;
use core::ptr::null;

/// The number of f32 of the room for the sums of a tile. It has two halves, one for each panel. A half holds 6 rows × 4
/// vectors × 16 lanes.
pub(crate) const TILE_SUMS: usize = 2 * 6 * 4 * 16;

/// The operands of a pass of a step, over weights W and factors F.
///
/// # Invariant
/// - `w`, `r` and `bias` hold `panels` panels of the pass, packed for the running ISA and the product.
/// - `constants` holds three rows of `row` f32.
/// - `x` holds addresses of rows of `input` factors.
/// - `factors` of a step hold a row of `recurrent` factors for every row of the block. Rows are `factor_row` factors
///   apart. They are not written while the pass runs.
/// - Both buffers of `h` hold whole panels of f32 for every row of the block. Rows are `h_row` f32 apart.
/// - As many of `states` as the cell has hold whole panels of f32 for every row of the block. Rows are `row` f32 apart.
/// - `gates` has room for `pairs` (step, row) pairs in each panel.
/// - `y` is for the rows of the block, of `recurrent` f32 each; see [`Rows`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operands<'a, W, F> {
    pub(crate) w: *const W,
    pub(crate) r: *const W,
    pub(crate) bias: *const f32,
    pub(crate) constants: *const f32,
    pub(crate) x: &'a [Factors<F>],
    /// The factors that are multiplied with R, at even steps and at odd ones: h, or r ⊙ h.
    pub(crate) factors: [*const F; 2],
    pub(crate) factor_row: usize,
    /// The two buffers of h. An even step reads the first and writes the second, an odd step the other way round.
    pub(crate) h: [*mut f32; 2],
    pub(crate) h_row: usize,
    pub(crate) states: [*mut f32; 2],
    pub(crate) row: usize,
    pub(crate) gates: *mut f32,
    pub(crate) pairs: usize,
    /// I
    pub(crate) input: usize,
    /// P, the width of a row of h.
    pub(crate) recurrent: usize,
    pub(crate) panels: usize,
    /// The rows whose y is written, if y is wanted. It is a reference, since a copy at every step is slow: the copy loads
    /// bytes that were just stored in other sizes, and must wait for these stores.
    pub(crate) y: Option<&'a Rows<'a>>,
}

/// The part of a pass that one thread computes: some panels, with memory for their sums.
#[derive(Debug)]
pub(crate) struct Share {
    /// The panels to compute.
    pub(crate) panels: Range<usize>,
    /// Room for [`TILE_SUMS`] f32, which no other thread uses.
    pub(crate) sums: *mut f32,
}

/// One step of the running rows of a block, which are the first rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) index: usize,
    pub(crate) rows: usize,
    /// The first (step, row) pair of this step in the gate buffer.
    pub(crate) base: usize,
}

/// The rows and panels of a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) row: usize,
    pub(crate) rows: usize,
    pub(crate) panel: usize,
    pub(crate) panels: usize,
}

impl<W, F> Operands<'_, W, F> {
    /// W of a panel.
    #[inline(always)]
    pub(crate) fn w_panel<S: Isa, P: Product<S, Weight = W, Factor = F>>(
        &self,
        shape: PassShape,
        panel: usize,
    ) -> *const W {
        self.w.wrapping_add(panel * P::groups(self.input) * width::<S, P>(shape))
    }

    /// R of a panel.
    #[inline(always)]
    pub(crate) fn r_panel<S: Isa, P: Product<S, Weight = W, Factor = F>>(
        &self,
        shape: PassShape,
        panel: usize,
    ) -> *const W {
        self.r.wrapping_add(panel * P::groups(self.recurrent) * width::<S, P>(shape))
    }

    /// The address where a pair's sums are parked: `gates[panel][pair][vector][lane]`.
    #[inline(always)]
    pub(crate) fn parked<S: Isa>(&self, shape: PassShape, panel: usize, pair: usize) -> *mut f32 {
        self.gates.wrapping_add((panel * self.pairs + pair) * shape.vectors() * S::LANES)
    }

    /// A tile of bias + W·x over the panels from `panel` on. The caller fills in the rows of x for each tile.
    #[inline(always)]
    pub(crate) fn projection<
        S: Isa,
        P: Product<S, Weight = W, Factor = F>,
        const M: usize,
        const Q: usize,
    >(
        &self,
        shape: PassShape,
        panel: usize,
        prefetch: Prefetch<W>,
    ) -> Tile<W, F, M, Q> {
        let vectors = shape.vectors();
        let bias = |q| self.bias.wrapping_add((panel + q) * vectors * S::LANES);
        Tile {
            starts: each(null(), bias),
            lasts: each(null(), |q| bias(q).wrapping_add((vectors - 1) * S::LANES)),
            rows: [0, 0],
            a: [null(); M],
            w: each(null(), |q| self.w_panel::<S, P>(shape, panel + q)),
            depth: P::groups(self.input),
            prefetch,
        }
    }

    /// A tile of parked sums + R·h.
    #[inline(always)]
    pub(crate) fn recurrence<
        S: Isa,
        P: Product<S, Weight = W, Factor = F>,
        const M: usize,
        const Q: usize,
    >(
        &self,
        shape: PassShape,
        span: Span,
        step: Step,
        prefetch: Prefetch<W>,
    ) -> Tile<W, F, M, Q> {
        let row = shape.vectors() * S::LANES;
        let factors = self.factors[step.index % 2];
        let parked = |q| self.parked::<S>(shape, span.panel + q, step.base + span.row).cast_const();
        let last = |q| match shape.separate_recurrent_bias {
            true => self.constants.wrapping_add((span.panel + q) * S::LANES),
            false => parked(q).wrapping_add(row - S::LANES),
        };
        Tile {
            starts: each(null(), parked),
            lasts: each(null(), last),
            rows: [row, if shape.separate_recurrent_bias { 0 } else { row }],
            a: each(null(), |m| factors.wrapping_add((span.row + m) * self.factor_row)),
            w: each(null(), |q| self.r_panel::<S, P>(shape, span.panel + q)),
            depth: P::groups(self.recurrent),
            prefetch,
        }
    }

    /// The addresses where the epilogue finds the values of a vector of units.
    #[inline(always)]
    pub(crate) fn lanes<S: Isa, E: Epilogue>(
        &self,
        step: Step,
        [row, panel]: [usize; 2],
        vector: usize,
    ) -> Lanes {
        let units = E::SHAPE.units;
        let unit = (panel * units + vector) * S::LANES;
        let state = row * self.row + unit;
        let parked = self.parked::<S>(E::SHAPE, panel, step.base + row);
        Lanes {
            h: self.h[step.index % 2].wrapping_add(row * self.h_row + unit),
            states: [self.states[0].wrapping_add(state), self.states[1].wrapping_add(state)],
            projected: parked.wrapping_add((E::SHAPE.vectors() - units + vector) * S::LANES),
            constants: self.constants.wrapping_add(unit),
            row: self.row,
            place: Place { step: step.index, row, unit },
        }
    }
}

/// The number of weights of a group of k in a panel.
#[inline(always)]
pub(crate) fn width<S: Isa, P: Product<S>>(shape: PassShape) -> usize {
    shape.vectors() * S::LANES * P::GROUP
}
