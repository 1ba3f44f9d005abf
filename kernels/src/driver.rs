//! The loops over the panels and tiles of a pass: the recurrent product with its epilogues.

use crate::epilogue::{Epilogue, Keep};
use crate::isa::Isa;
use crate::operands::{Operands, PANEL_SUMS, Share, Span, Step, width};
use crate::product::{F32, Product};
use crate::products::{Products, panels_at_once, with_tile};
use crate::tile::{Heights, Prefetch, Tile, Vectors, each, sums};

/// The recurrent product of a pass at a step, with its epilogues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recurrence<'a, E, K> {
    pub(crate) epilogue: E,
    pub(crate) keep: K,
    pub(crate) operands: &'a Operands<'a>,
    pub(crate) products: &'a Products,
    pub(crate) step: Step,
}

impl<E: Epilogue, K: Keep> Recurrence<'_, E, K> {
    /// Computes the panels of `share` for all rows of the step, from their factors. With `INLINE`, the product is that of
    /// f32, and the epilogues are compiled behind its tiles if the cell allows it.
    ///
    /// # Safety
    /// - The operands must be of a pass with this epilogue and these products.
    /// - The rows of the step must be rows of the block that run at this step. Their gates must be the pairs from
    ///   `step.base` on. Their [factors](Operands::make_factors) must be made.
    /// - The share's panels must be below the operands' `panels`, and nothing else may compute them or use the share's
    ///   memory.
    /// - `keep` must have room for the rows at this step.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Isa, const INLINE: bool>(&self, s: S, share: Share) {
        const {
            let shape = E::SHAPE;
            assert!(!shape.separate_recurrent_bias || shape.units == 1, "one vector of units has constants");
        };
        let (o, rows, panels) = (self.operands, self.step.rows, share.panels);
        let heights = Heights::new(rows, if INLINE { <F32 as Product<S>>::ROWS } else { self.products.rows });
        let (depth, width) = self.panel::<S, INLINE>();
        let group = panels_at_once(rows);
        let groups = panels.len().div_ceil(group);
        // Backward on odd steps: so the panels that are still in cache from the previous step come first.
        let order = |i: usize| if self.step.index.is_multiple_of(2) { i } else { groups - 1 - i };
        let mut end = None;
        if let (false, Some((begin, then))) = (INLINE, self.products.around) {
            // SAFETY: the products are of this CPU.
            end = unsafe { begin(rows, o.recurrent) }.then_some(then);
        }
        for i in 0..groups {
            let panel = panels.start + group * order(i);
            let count = group.min(panels.end - panel);
            let next = (rows > 1 && i + 1 < groups)
                .then(|| o.r.wrapping_add((panels.start + order(i + 1)) * depth * width));
            let mut row = 0;
            for tile in 0..heights.count {
                let height = heights.of(tile);
                let prefetch = Prefetch::new(next, width, [tile, heights.count], depth);
                let span = Span { row, rows: height, panel, panels: count };
                // SAFETY: the tile's rows are rows of the step, and its panels are in the share. N are the pass's
                // vectors.
                unsafe { self.tile::<S, INLINE>(s, span, prefetch, share.sums) }
                row += height;
            }
        }
        if let Some(end) = end {
            // SAFETY: as above.
            unsafe { end() }
        }
    }

    /// The number of groups of k of a panel of R, and the bytes of a group.
    #[inline(always)]
    fn panel<S: Isa, const INLINE: bool>(&self) -> (usize, usize) {
        if INLINE {
            return (self.operands.recurrent, width::<S, F32>(E::SHAPE));
        }
        let weights = self.products.weights;
        let group = E::SHAPE.vectors() * S::LANES * weights.group() * weights.bytes();
        (self.operands.recurrent.div_ceil(weights.group()), group)
    }

    /// Computes a tile of R·h and its epilogues.
    ///
    /// # Safety
    /// As [`Recurrence::run`], for the rows and panels of `span`.
    #[inline(always)]
    unsafe fn tile<S: Isa, const INLINE: bool>(&self, s: S, span: Span, prefetch: Prefetch, to: *mut f32) {
        let (o, step) = (self.operands, self.step);
        // SAFETY: the caller's promise; N are the vectors of the pass.
        unsafe {
            if E::INLINE && INLINE {
                with_tile!(S, F32, E::SHAPE, span.rows, span.panels, |M, Q, N| {
                    let rows = each(
                        #[inline(always)]
                        |m| o.recurrent_row(step, span.row + m).0,
                    );
                    let addresses = o.recurrence::<S, F32>(E::SHAPE, span, step, prefetch);
                    let tile = addresses.tile::<S, F32, M, Q, N>(rows);
                    self.finish_inline::<S, M, Q, N>(s, span, &tile)
                })
            } else {
                (self.products.tile)(o, E::SHAPE, (span, step), prefetch, to);
                self.finish_stored(s, span, to);
            }
        }
    }

    /// Computes the sums of a tile, then its epilogues inline.
    ///
    /// # Safety
    /// As [`Recurrence::run`]. Also, `tile` must be the result of [`Operands::recurrence`] for the span, and N the
    /// pass's vectors.
    #[inline(always)]
    unsafe fn finish_inline<S: Isa, const M: usize, const Q: usize, const N: usize>(
        &self,
        s: S,
        span: Span,
        tile: &Tile<f32, f32, M, Q>,
    ) {
        // SAFETY: the caller's promise.
        let sums: Vectors<S::V, M, Q, N> = unsafe { sums::<S, F32, M, Q, N>(s, tile) };
        for (m, sums) in sums.iter().enumerate() {
            for (q, sums) in sums.iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { self.finish(s, [span.row + m, span.panel + q], |n| sums[n]) }
            }
        }
    }

    /// Computes the epilogues of a tile whose sums were stored.
    ///
    /// # Safety
    /// As [`Recurrence::run`]. Also, `from` must hold the sums as [`Recurrence::tile`] stores them.
    #[inline(always)]
    unsafe fn finish_stored<S: Isa>(&self, s: S, span: Span, from: *const f32) {
        for q in 0..span.panels {
            for m in 0..span.rows {
                let sums = from.wrapping_add(q * PANEL_SUMS + m * E::SHAPE.vectors() * S::LANES);
                // SAFETY: the caller's promise.
                unsafe { self.finish(s, [span.row + m, span.panel + q], |n| s.load(sums.add(n * S::LANES))) }
            }
        }
    }

    /// Computes the epilogue of one row and panel from its sums. It reads the states and writes what the pass computes.
    /// The last pass also writes the next h and y.
    ///
    /// # Safety
    /// As [`Recurrence::run`], for this row and panel.
    #[inline(always)]
    unsafe fn finish<S: Isa>(&self, s: S, [row, panel]: [usize; 2], sum: impl Fn(usize) -> S::V + Copy) {
        let (o, units) = (self.operands, E::SHAPE.units);
        for u in 0..units {
            let lanes = o.lanes::<S, E>(self.step, [row, panel], u);
            let unit = lanes.place.unit;
            let zero = s.splat(0.0);
            let gates = each(
                #[inline(always)]
                |g| if g < E::SHAPE.gates.len() { sum(g * units + u) } else { zero },
            );
            // SAFETY: rows of states hold whole panels, and so do those of constants, which are three with peepholes. All
            // vectors of the pass are parked for this pair.
            let Some(h) = (unsafe { self.epilogue.finish(s, gates, lanes, self.keep) }) else { continue };
            // SAFETY: as above. The row is running, so its y is valid for `recurrent` f32: `left` of them from this
            // unit on.
            unsafe {
                let next = o.h[(self.step.index + 1) % 2].add(row * o.h_row + unit);
                s.store(next, h);
                let Some(y) = o.y else { continue };
                let to = y.y(self.step.index, row).wrapping_add(unit);
                let left = o.recurrent.saturating_sub(unit);
                if left >= S::LANES {
                    s.store(to, h);
                } else {
                    // The last panel is padded, but the rows of y are not.
                    core::ptr::copy_nonoverlapping(next, to, left);
                }
            }
        }
    }
}
