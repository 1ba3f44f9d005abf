//! The loops over the panels and tiles of a pass: projection, and recurrent product with its epilogues.
//!
//! Each takes a range of panels. Two threads that take disjoint ranges of a pass write disjoint units.

use crate::epilogue::{Epilogue, Keep, PassShape};
use crate::isa::Isa;
use crate::operands::{Operands, Share, Span, Step, TILE_SUMS, width};
use crate::product::Product;
use crate::tile::{Heights, Prefetch, Strip, Tile, Vectors, each, sums};
use core::ops::Range;

/// Evaluates a call of a tile function with the rows M, the panels Q and the pass's vectors N as constants. M is at
/// most the product's `ROWS`, which the registers of the ISA limit. Only a tile of one row takes two panels.
macro_rules! with_tile {
    ($s:ident, $product:ident, $shape:expr, $rows:expr, $panels:expr, |$m:ident, $q:ident, $n:ident| $call:expr) => {
        match $shape.vectors() {
            3 => with_tile!(@ $s, $product, $rows, $panels, $m, $q, $n = 3, $call),
            4 => with_tile!(@ $s, $product, $rows, $panels, $m, $q, $n = 4, $call),
            _ => unreachable!("another number of vectors needs an arm of its own"),
        }
    };
    (@ $s:ident, $product:ident, $rows:expr, $panels:expr, $m:ident, $q:ident, $n:ident = $vectors:literal, $call:expr) => {
        match ($rows, $panels) {
            (1, 2) => with_tile!(@ $m = 1, $q = 2, $n = $vectors, $call),
            (1, _) => with_tile!(@ $m = 1, $q = 1, $n = $vectors, $call),
            (2, _) if <$product as Product<$s>>::ROWS >= 2 => with_tile!(@ $m = 2, $q = 1, $n = $vectors, $call),
            (3, _) if <$product as Product<$s>>::ROWS >= 3 => with_tile!(@ $m = 3, $q = 1, $n = $vectors, $call),
            (4, _) if <$product as Product<$s>>::ROWS >= 4 => with_tile!(@ $m = 4, $q = 1, $n = $vectors, $call),
            (5, _) if <$product as Product<$s>>::ROWS >= 5 => with_tile!(@ $m = 5, $q = 1, $n = $vectors, $call),
            (6, _) if <$product as Product<$s>>::ROWS >= 6 => with_tile!(@ $m = 6, $q = 1, $n = $vectors, $call),
            _ => {
                const { assert!(<$product as Product<$s>>::ROWS <= 6, "a larger tile needs an arm of its own") };
                unreachable!("tiles have at most ROWS rows")
            }
        }
    };
    (@ $m:ident = $rows:literal, $q:ident = $panels:literal, $n:ident = $vectors:literal, $call:expr) => {{
        const $m: usize = $rows;
        const $q: usize = $panels;
        const $n: usize = $vectors;
        $call
    }};
}

/// The number of panels of a tile. With one row, two panels keep 6 or 8 independent chains in flight.
fn panels_at_once(rows: usize) -> usize {
    if rows == 1 { 2 } else { 1 }
}

/// Computes gates ← bias + W·x for the first `pairs` (step, row) pairs, in the given panels. It is a function of its own,
/// and takes the shape as a value, so that all passes share its code.
///
/// # Safety
/// - The operands must be of a pass with this shape, and the CPU must have the ISA.
/// - `x` must hold addresses for `pairs` rows, and the gate buffer must have room for as many pairs.
/// - The panels must be below `o.panels`, and nothing else may use their part of the gate buffer.
#[inline(never)]
pub(crate) unsafe fn project<S: Isa, P: Product<S>>(
    s: S,
    o: &Operands<'_, P::Weight, P::Factor>,
    shape: PassShape,
    pairs: usize,
    panels: Range<usize>,
) {
    let group = panels_at_once(pairs);
    let heights = Heights::new(pairs, P::ROWS);
    let width = width::<S, P>(shape);
    for panel in panels.clone().step_by(group) {
        let count = group.min(panels.end - panel);
        let next = (pairs > 1 && panel + 1 < panels.end).then(|| o.w_panel::<S, P>(shape, panel + 1));
        for index in heights.strips() {
            let strip = heights.strip(index);
            let tiles = [strip.before, heights.count];
            let prefetch = Prefetch::new(next, width, tiles, P::groups(o.input));
            // SAFETY: the tiles' rows are below `pairs`, the panels below `panels`; N are the vectors of the pass.
            unsafe {
                with_tile!(S, P, shape, strip.rows, count, |M, Q, N| {
                    project_strip::<S, P, M, Q, N>(s, o, shape, strip, panel, prefetch)
                })
            }
        }
    }
}

/// [`project`] for one pair and all panels: the shortest way, for the step of a small layer. All passes share its code.
///
/// # Safety
/// As [`project`].
#[inline(never)]
pub(crate) unsafe fn project_one<S: Isa, P: Product<S>>(
    s: S,
    o: &Operands<'_, P::Weight, P::Factor>,
    shape: PassShape,
) {
    s.vectorize(
        #[inline(always)]
        || {
            let strip = Strip { rows: 1, tiles: 1, first: 0, before: 0 };
            let mut panel = 0;
            while panel < o.panels {
                let count = panels_at_once(1).min(o.panels - panel);
                // SAFETY: there is one pair; the panels are below `o.panels`; N are the vectors of the pass.
                unsafe {
                    match (shape.vectors(), count) {
                        (3, 2) => {
                            project_tiles::<S, P, 1, 2, 3>(s, o, shape, strip, panel, Prefetch::NOTHING)
                        }
                        (3, _) => {
                            project_tiles::<S, P, 1, 1, 3>(s, o, shape, strip, panel, Prefetch::NOTHING)
                        }
                        (4, 2) => {
                            project_tiles::<S, P, 1, 2, 4>(s, o, shape, strip, panel, Prefetch::NOTHING)
                        }
                        (4, _) => {
                            project_tiles::<S, P, 1, 1, 4>(s, o, shape, strip, panel, Prefetch::NOTHING)
                        }
                        _ => unreachable!("another number of vectors needs an arm of its own"),
                    }
                }
                panel += count;
            }
        },
    )
}

/// Projects the tiles of a strip in a function that is compiled for the ISA.
///
/// # Safety
/// As [`project_tiles`].
unsafe fn project_strip<S: Isa, P: Product<S>, const M: usize, const Q: usize, const N: usize>(
    s: S,
    o: &Operands<'_, P::Weight, P::Factor>,
    shape: PassShape,
    strip: Strip,
    panel: usize,
    prefetch: Prefetch<P::Weight>,
) {
    s.vectorize(
        #[inline(always)]
        // SAFETY: the caller's promise.
        move || unsafe { project_tiles::<S, P, M, Q, N>(s, o, shape, strip, panel, prefetch) },
    )
}

/// Projects the tiles of a strip, over the panels from `panel` on. The sums of a pair follow those of the pair before.
///
/// # Safety
/// `o.x` must hold an address for each row of the tiles. The places of the pairs in the gate buffer must be valid for
/// writing, in each panel. N must be the vectors of the shape.
#[inline(always)]
unsafe fn project_tiles<S: Isa, P: Product<S>, const M: usize, const Q: usize, const N: usize>(
    s: S,
    o: &Operands<'_, P::Weight, P::Factor>,
    shape: PassShape,
    strip: Strip,
    panel: usize,
    prefetch: Prefetch<P::Weight>,
) {
    let mut tile = o.projection::<S, P, M, Q>(shape, panel, prefetch);
    let mut to = o.parked::<S>(shape, panel, strip.first);
    let panel = o.pairs * N * S::LANES;
    for rows in o.x[strip.first..][..strip.tiles * M].chunks_exact(M) {
        tile.a = each(rows[0].0, |m| rows[m].0);
        // SAFETY: the caller's promise.
        unsafe { store(s, sums::<S, P, M, Q, N>(s, &tile), to, panel) }
        tile.prefetch = tile.prefetch.after(tile.depth);
        to = to.wrapping_add(M * N * S::LANES);
    }
}

/// Stores the sums of a tile at `to`. Rows follow each other. The second panel starts `panel` f32 after the first.
///
/// # Safety
/// `to` must be valid for writing them.
#[inline(always)]
unsafe fn store<S: Isa, const M: usize, const Q: usize, const N: usize>(
    s: S,
    sums: Vectors<S::V, M, Q, N>,
    to: *mut f32,
    panel: usize,
) {
    for (m, sums) in sums.iter().enumerate() {
        for (q, sums) in sums.iter().enumerate() {
            for (n, &v) in sums.iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { s.store(to.wrapping_add(q * panel + (m * N + n) * S::LANES), v) }
            }
        }
    }
}

/// Computes a tile of R·h, and stores its sums at `to`, those of a second panel in the second half. It is a function of
/// its own, and takes the shape as a value, so that all passes share its code.
///
/// # Safety
/// As [`Recurrence::run`], for the rows and panels of `span` and a pass of this shape.
#[inline(never)]
unsafe fn store_tile<S: Isa, P: Product<S>>(
    s: S,
    o: &Operands<'_, P::Weight, P::Factor>,
    shape: PassShape,
    (span, step): (Span, Step),
    prefetch: Prefetch<P::Weight>,
    to: *mut f32,
) {
    with_tile!(S, P, shape, span.rows, span.panels, |M, Q, N| s.vectorize(
        #[inline(always)]
        || {
            let tile = o.recurrence::<S, P, M, Q>(shape, span, step, prefetch);
            // SAFETY: the caller's promise.
            unsafe { store(s, sums::<S, P, M, Q, N>(s, &tile), to, TILE_SUMS / 2) }
        },
    ))
}

/// The recurrent product of a pass at a step, with its epilogues.
#[derive(Debug)]
pub(crate) struct Recurrence<'a, E, K, W, F> {
    pub(crate) epilogue: E,
    pub(crate) keep: K,
    pub(crate) operands: &'a Operands<'a, W, F>,
    pub(crate) step: Step,
}

impl<E: Epilogue, K: Keep, W: Copy, F: Copy> Recurrence<'_, E, K, W, F> {
    /// Computes the panels of `share` for all rows of the step.
    ///
    /// # Safety
    /// - The operands must be of a pass with this epilogue.
    /// - The rows of the step must be rows of the block that run at this step. Their gates must be the pairs from
    ///   `step.base` on.
    /// - The share's panels must be below the operands' `panels`, and nothing else may compute them or use the share's
    ///   memory.
    /// - `keep` must have room for the rows at this step.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Isa, P: Product<S, Weight = W, Factor = F>>(&self, s: S, share: Share) {
        const { assert!(2 * P::ROWS * 4 * S::LANES <= TILE_SUMS, "the sums of a tile need more room") };
        const {
            let shape = E::SHAPE;
            assert!(!shape.separate_recurrent_bias || shape.units == 1, "one vector of units has constants");
        };
        let (o, rows, panels) = (self.operands, self.step.rows, share.panels);
        let heights = Heights::new(rows, P::ROWS);
        let group = panels_at_once(rows);
        let groups = panels.len().div_ceil(group);
        // Backward on odd steps: so the panels that are still in cache from the previous step come first.
        let order = |i: usize| if self.step.index.is_multiple_of(2) { i } else { groups - 1 - i };
        for i in 0..groups {
            let panel = panels.start + group * order(i);
            let count = group.min(panels.end - panel);
            let next = (rows > 1 && i + 1 < groups)
                .then(|| o.r_panel::<S, P>(E::SHAPE, panels.start + order(i + 1)));
            let mut row = 0;
            for tile in 0..heights.count {
                let height = heights.of(tile);
                let tiles = [tile, heights.count];
                let prefetch = Prefetch::new(next, width::<S, P>(E::SHAPE), tiles, P::groups(o.recurrent));
                let span = Span { row, rows: height, panel, panels: count };
                // SAFETY: the tile's rows are rows of the step, and its panels are in the share. N are the pass's
                // vectors.
                unsafe { self.tile::<S, P>(s, span, prefetch, share.sums) }
                row += height;
            }
        }
    }

    /// Computes a tile of R·h and its epilogues.
    ///
    /// # Safety
    /// As [`Recurrence::run`], for the rows and panels of `span`.
    #[inline(always)]
    unsafe fn tile<S: Isa, P: Product<S, Weight = W, Factor = F>>(
        &self,
        s: S,
        span: Span,
        prefetch: Prefetch<W>,
        to: *mut f32,
    ) {
        let (o, step) = (self.operands, self.step);
        // SAFETY: the caller's promise; N are the vectors of the pass.
        unsafe {
            if E::INLINE && P::INLINE {
                with_tile!(S, P, E::SHAPE, span.rows, span.panels, |M, Q, N| {
                    let tile = o.recurrence::<S, P, M, Q>(E::SHAPE, span, step, prefetch);
                    self.finish_inline::<S, P, M, Q, N>(s, span, &tile)
                })
            } else {
                store_tile::<S, P>(s, o, E::SHAPE, (span, step), prefetch, to);
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
    unsafe fn finish_inline<
        S: Isa,
        P: Product<S, Weight = W, Factor = F>,
        const M: usize,
        const Q: usize,
        const N: usize,
    >(
        &self,
        s: S,
        span: Span,
        tile: &Tile<W, F, M, Q>,
    ) {
        // SAFETY: the caller's promise.
        let sums: Vectors<S::V, M, Q, N> = unsafe { sums::<S, P, M, Q, N>(s, tile) };
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
                let sums = from.wrapping_add(q * (TILE_SUMS / 2) + m * E::SHAPE.vectors() * S::LANES);
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
    unsafe fn finish<S: Isa>(&self, s: S, [row, panel]: [usize; 2], sum: impl Fn(usize) -> S::V) {
        let (o, units) = (self.operands, E::SHAPE.units);
        for u in 0..units {
            let lanes = o.lanes::<S, E>(self.step, [row, panel], u);
            let unit = lanes.place.unit;
            let zero = s.splat(0.0);
            let gates = each(zero, |g| if g < E::SHAPE.gates.len() { sum(g * units + u) } else { zero });
            // SAFETY: rows of states and constants hold whole panels, and all vectors of the pass are parked for this
            // pair.
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
