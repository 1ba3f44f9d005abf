//! The addresses that the tiles of one pass of a step work on.

use crate::epilogue::{Epilogue, Lanes, PassShape, Place};
use crate::isa::Isa;
use crate::product::Product;
use crate::rows::{Factors, Rows};
use crate::tile::{Prefetch, Tile, each};
use crate::weight_type::WeightType;
use core::ops::Range;

/// The number of f32 from the sums of the first panel of a tile to those of the second: 6 rows × 4 vectors × 16 lanes.
pub(crate) const PANEL_SUMS: usize = 6 * 4 * 16;

/// The number of f32 of the room for the sums of a tile: two panels, or 16 rows × 4 vectors × 16 lanes for weights that tiles
/// of AMX multiply.
pub(crate) const fn tile_sums(weights: WeightType) -> usize {
    match weights {
        WeightType::I8 | WeightType::Bf16Dot => 16 * 4 * 16,
        WeightType::F32 | WeightType::Bf16 | WeightType::F16 => 2 * PANEL_SUMS,
    }
}

/// Converts a row to factors of a product, see [`crate::factors`]: `count` f32 from an address, the address of the factors,
/// and the zero point of the weights.
pub(crate) type Convert = unsafe fn(*const f32, usize, *mut u8, i32);

/// The operands of a pass of a step, for one product.
///
/// # Invariant
/// - `w`, `r`, `bias` and `scales` hold `panels` panels of the pass, packed for the running ISA and the product.
/// - `constants` holds rows of `row` f32: three if the cell has peepholes, one if the pass has a separate recurrent bias.
/// - `x` holds addresses of rows of `input` factors of the product.
/// - `sources` of a step hold a row of `recurrent` f32 for every row of the block. Rows are `source_row` f32 apart. They
///   are not written while the pass runs.
/// - `factors` of a step have room for the same rows as factors of the product, `factor_row` bytes apart. If these are f32,
///   they are the sources.
/// - Both buffers of `h` hold whole panels of f32 for every row of the block. Rows are `h_row` f32 apart.
/// - As many of `states` as the cell has hold whole panels of f32 for every row of the block. Rows are `row` f32 apart.
/// - `gates` has room for `pairs` (step, row) pairs in each panel.
/// - `y` is for the rows of the block, of `recurrent` f32 each; see [`Rows`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operands<'a> {
    pub(crate) w: *const u8,
    pub(crate) r: *const u8,
    /// The scales of W and of R; see [`ScalesAt`](crate::product::ScalesAt).
    pub(crate) scales: [*const f32; 2],
    pub(crate) bias: *const f32,
    pub(crate) constants: *const f32,
    pub(crate) x: &'a [Factors],
    /// What is multiplied with R, at even steps and at odd ones: h, or r ⊙ h.
    pub(crate) sources: [*const f32; 2],
    pub(crate) source_row: usize,
    pub(crate) factors: [*mut u8; 2],
    pub(crate) factor_row: usize,
    /// If the factors are not f32: what makes them of the sources, and the zero point of R.
    pub(crate) convert: Option<(Convert, i32)>,
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
    /// Room for [`tile_sums`] f32, which no other thread uses.
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

/// The addresses of start values of sums.
#[derive(Clone, Copy, Debug)]
struct Starts {
    /// Those of the first row and panel.
    first: *const f32,
    /// The number of f32 from one row to the next.
    row: usize,
    /// The number of f32 from one panel to the next.
    panel: usize,
}

/// The addresses of a tile before its rows and panels are constants, without those of its rows of factors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// All vectors but the last.
    starts: Starts,
    /// The last vector, which may be in another place.
    lasts: Starts,
    w: *const u8,
    scales: *const f32,
    /// The number of values of k.
    pub(crate) depth: usize,
    pub(crate) prefetch: Prefetch,
}

impl Addresses {
    /// The tile of M rows of factors and Q panels of N vectors.
    #[inline(always)]
    pub(crate) fn tile<S: Isa, P: Product<S>, const M: usize, const Q: usize, const N: usize>(
        &self,
        a: [*const P::Factor; M],
    ) -> Tile<P::Weight, P::Factor, M, Q> {
        let at = |q| self.panels_later::<S, P, N>(q);
        Tile {
            starts: each(
                #[inline(always)]
                |q| at(q).starts.first,
            ),
            lasts: each(
                #[inline(always)]
                |q| at(q).lasts.first,
            ),
            rows: [self.starts.row, self.lasts.row],
            a,
            w: each(
                #[inline(always)]
                |q| at(q).w.cast(),
            ),
            scales: each(
                #[inline(always)]
                |q| at(q).scales,
            ),
            depth: self.depth,
            prefetch: self.prefetch,
        }
    }

    /// The addresses `panels` panels of N vectors later.
    #[inline(always)]
    pub(crate) fn panels_later<S: Isa, P: Product<S>, const N: usize>(self, panels: usize) -> Addresses {
        let Addresses { mut starts, mut lasts, depth, .. } = self;
        starts.first = starts.first.wrapping_add(panels * starts.panel);
        lasts.first = lasts.first.wrapping_add(panels * lasts.panel);
        let width = N * S::LANES * P::GROUP * size_of::<P::Weight>();
        Addresses {
            starts,
            lasts,
            w: self.w.wrapping_add(panels * P::groups(depth) * width),
            scales: self.scales.wrapping_add(panels * 2 * N * S::LANES),
            ..self
        }
    }
}

impl Operands<'_> {
    /// W of a panel.
    #[inline(always)]
    pub(crate) fn w_panel<S: Isa, P: Product<S>>(&self, shape: PassShape, panel: usize) -> *const u8 {
        self.w.wrapping_add(panel * P::groups(self.input) * width::<S, P>(shape))
    }

    /// R of a panel.
    #[inline(always)]
    pub(crate) fn r_panel<S: Isa, P: Product<S>>(&self, shape: PassShape, panel: usize) -> *const u8 {
        self.r.wrapping_add(panel * P::groups(self.recurrent) * width::<S, P>(shape))
    }

    /// The address where a pair's sums are parked: `gates[panel][pair][vector][lane]`.
    #[inline(always)]
    pub(crate) fn parked<S: Isa>(&self, shape: PassShape, panel: usize, pair: usize) -> *mut f32 {
        self.gates.wrapping_add((panel * self.pairs + pair) * shape.vectors() * S::LANES)
    }

    /// The scales of a panel of W (0) or R (1), and as many sums.
    #[inline(always)]
    fn scales<S: Isa>(&self, matrix: usize, shape: PassShape, panel: usize) -> *const f32 {
        self.scales[matrix].wrapping_add(panel * 2 * shape.vectors() * S::LANES)
    }

    /// Makes the factors of a step, if they are not the sources themselves.
    ///
    /// # Safety
    /// The rows of the step must be rows of the block that run at this step. Nothing else may use the factors.
    #[inline(always)]
    pub(crate) unsafe fn make_factors(&self, step: Step) {
        let Some((convert, zero_point)) = self.convert else { return };
        let side = step.index % 2;
        for row in 0..step.rows {
            let from = self.sources[side].wrapping_add(row * self.source_row);
            let to = self.factors[side].wrapping_add(row * self.factor_row);
            // SAFETY: the sources and the factors have such rows (invariant).
            unsafe { convert(from, self.recurrent, to, zero_point) }
        }
    }

    /// The addresses of tiles of bias + W·x from a panel on.
    #[inline(always)]
    pub(crate) fn projection<S: Isa, P: Product<S>>(
        &self,
        shape: PassShape,
        panel: usize,
        prefetch: Prefetch,
    ) -> Addresses {
        let row = shape.vectors() * S::LANES;
        let starts = Starts { first: self.bias.wrapping_add(panel * row), row: 0, panel: row };
        Addresses {
            starts,
            lasts: Starts { first: starts.first.wrapping_add(row - S::LANES), ..starts },
            w: self.w_panel::<S, P>(shape, panel),
            scales: self.scales::<S>(0, shape, panel),
            depth: self.input,
            prefetch,
        }
    }

    /// The addresses of a tile of parked sums + R·h.
    #[inline(always)]
    pub(crate) fn recurrence<S: Isa, P: Product<S>>(
        &self,
        shape: PassShape,
        span: Span,
        step: Step,
        prefetch: Prefetch,
    ) -> Addresses {
        let row = shape.vectors() * S::LANES;
        let first = self.parked::<S>(shape, span.panel, step.base + span.row).cast_const();
        let starts = Starts { first, row, panel: self.pairs * row };
        Addresses {
            starts,
            lasts: match shape.separate_recurrent_bias {
                true => {
                    let first = self.constants.wrapping_add(span.panel * S::LANES);
                    Starts { first, row: 0, panel: S::LANES }
                }
                false => Starts { first: first.wrapping_add(row - S::LANES), ..starts },
            },
            w: self.r_panel::<S, P>(shape, span.panel),
            scales: self.scales::<S>(1, shape, span.panel),
            depth: self.recurrent,
            prefetch,
        }
    }

    /// The address of a row of factors of h, or of r ⊙ h.
    #[inline(always)]
    pub(crate) fn recurrent_row(&self, step: Step, row: usize) -> Factors {
        Factors(self.factors[step.index % 2].wrapping_add(row * self.factor_row).cast_const().cast())
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

/// The number of bytes of a group of k in a panel.
#[inline(always)]
pub(crate) fn width<S: Isa, P: Product<S>>(shape: PassShape) -> usize {
    shape.vectors() * S::LANES * P::GROUP * size_of::<P::Weight>()
}
