//! The products of a pass, for all cells: the projection of rows of x, and a tile of R·h whose sums are stored.
//!
//! Each takes a range of panels. Two threads that take disjoint ranges of a pass write disjoint units.

#[cfg(all(target_arch = "x86_64", target_os = "linux", feature = "std"))]
mod amx;
mod functions;
mod table;

pub(crate) use functions::Products;
pub(crate) use table::has_tiles;

use crate::epilogue::PassShape;
use crate::factors::quantize;
use crate::isa::Isa;
use crate::operands::{Operands, PANEL_SUMS, Span, Step, width};
use crate::product::Product;
use crate::tile::{Heights, Prefetch, Strip, Vectors, each, sums};
use crate::weight_type::any_f32_to_bf16;
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

pub(crate) use with_tile;

/// The number of panels of a tile. With one row, two panels keep 6 or 8 independent chains in flight.
pub(crate) fn panels_at_once(rows: usize) -> usize {
    if rows == 1 { 2 } else { 1 }
}

/// Computes gates ← bias + W·x for the first `pairs` (step, row) pairs, in the given panels. It is a function of its own,
/// and takes the shape as a value, so that all passes share its code.
///
/// # Safety
/// - The operands must be of a pass with this shape and this product. The CPU must have the ISA and the product.
/// - `x` must hold addresses for `pairs` rows, and the gate buffer must have room for as many pairs.
/// - The panels must be below `o.panels`, and nothing else may use their part of the gate buffer.
#[inline(never)]
unsafe fn project<S: Isa, P: Product<S>>(
    o: &Operands<'_>,
    shape: PassShape,
    pairs: usize,
    panels: Range<usize>,
) {
    // SAFETY: the caller promises the ISA.
    let s = unsafe { S::assume() };
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
unsafe fn project_one<S: Isa, P: Product<S>>(o: &Operands<'_>, shape: PassShape) {
    // SAFETY: the caller promises the ISA and the product.
    let s = unsafe { S::assume() };
    // SAFETY: as above.
    unsafe {
        P::vectorize(
            s,
            #[inline(always)]
            || project_all::<S, P>(s, o, shape),
        )
    }
}

/// The panels of [`project_one`].
///
/// # Safety
/// As [`project`].
#[inline(always)]
unsafe fn project_all<S: Isa, P: Product<S>>(s: S, o: &Operands<'_>, shape: PassShape) {
    let strip = Strip { rows: 1, tiles: 1, first: 0, before: 0 };
    let mut panel = 0;
    while panel < o.panels {
        let count = panels_at_once(1).min(o.panels - panel);
        // SAFETY: there is one pair; the panels are below `o.panels`; N are the vectors of the pass.
        unsafe {
            match (shape.vectors(), count) {
                (3, 2) => project_tiles::<S, P, 1, 2, 3>(s, o, shape, strip, panel, Prefetch::NOTHING),
                (3, _) => project_tiles::<S, P, 1, 1, 3>(s, o, shape, strip, panel, Prefetch::NOTHING),
                (4, 2) => project_tiles::<S, P, 1, 2, 4>(s, o, shape, strip, panel, Prefetch::NOTHING),
                (4, _) => project_tiles::<S, P, 1, 1, 4>(s, o, shape, strip, panel, Prefetch::NOTHING),
                _ => unreachable!("another number of vectors needs an arm of its own"),
            }
        }
        panel += count;
    }
}

/// Projects the tiles of a strip in a function that is compiled for the ISA.
///
/// # Safety
/// As [`project_tiles`].
unsafe fn project_strip<S: Isa, P: Product<S>, const M: usize, const Q: usize, const N: usize>(
    s: S,
    o: &Operands<'_>,
    shape: PassShape,
    strip: Strip,
    panel: usize,
    prefetch: Prefetch,
) {
    // SAFETY: the caller's promise.
    unsafe {
        P::vectorize(
            s,
            #[inline(always)]
            move || project_tiles::<S, P, M, Q, N>(s, o, shape, strip, panel, prefetch),
        )
    }
}

/// Projects the tiles of a strip, over the panels from `panel` on. The sums of a pair follow those of the pair before.
///
/// # Safety
/// `o.x` must hold an address for each row of the tiles. The places of the pairs in the gate buffer must be valid for
/// writing, in each panel. N must be the vectors of the shape.
#[inline(always)]
unsafe fn project_tiles<S: Isa, P: Product<S>, const M: usize, const Q: usize, const N: usize>(
    s: S,
    o: &Operands<'_>,
    shape: PassShape,
    strip: Strip,
    panel: usize,
    prefetch: Prefetch,
) {
    let mut tile = o.projection::<S, P, M, Q>(shape, panel, prefetch);
    let mut to = o.parked::<S>(shape, panel, strip.first);
    let panel = o.pairs * N * S::LANES;
    for rows in o.x[strip.first..][..strip.tiles * M].chunks_exact(M) {
        tile.a = each(rows[0].0.cast(), |m| rows[m].0.cast());
        // SAFETY: the caller's promise.
        unsafe { store(s, sums::<S, P, M, Q, N>(s, &tile), to, panel) }
        tile.prefetch = tile.prefetch.after(tile.depth[0]);
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
/// As [`Recurrence::run`](crate::driver::Recurrence::run), for the rows and panels of `span` and a pass of this shape. The
/// CPU must have the ISA and the product.
#[inline(never)]
unsafe fn store_tile<S: Isa, P: Product<S>>(
    o: &Operands<'_>,
    shape: PassShape,
    (span, step): (Span, Step),
    prefetch: Prefetch,
    to: *mut f32,
) {
    const { assert!(P::ROWS * 4 * S::LANES <= PANEL_SUMS, "the sums of a tile need more room") };
    // SAFETY: the caller's promise, here and below.
    let s = unsafe { S::assume() };
    with_tile!(S, P, shape, span.rows, span.panels, |M, Q, N| {
        // SAFETY: as above.
        unsafe {
            P::vectorize(
                s,
                #[inline(always)]
                || {
                    let tile = o.recurrence::<S, P, M, Q>(shape, span, step, prefetch);
                    store(s, sums::<S, P, M, Q, N>(s, &tile), to, PANEL_SUMS)
                },
            )
        }
    })
}

/// [`quantize`], as a function of its own.
///
/// # Safety
/// As there. The CPU must have the ISA.
unsafe fn quantize_row<S: Isa>(from: *const f32, count: usize, to: *mut u8, zero_point: i32) {
    // SAFETY: the caller's promise.
    let s = unsafe { S::assume() };
    s.vectorize(
        #[inline(always)]
        // SAFETY: as above.
        || unsafe { quantize(s, from, count, to, zero_point) },
    )
}

/// Rounds a row of `count` f32 to bf16, and an odd count up to whole pairs.
///
/// # Safety
/// `from` must be valid for reading `count` f32. `to` must be valid for writing as many u16, and aligned for them; for one
/// more if the count is odd. The CPU must have the ISA.
unsafe fn round_row<S: Isa>(from: *const f32, count: usize, to: *mut u8, _: i32) {
    // SAFETY: the caller's promise.
    let (s, row) = unsafe { (S::assume(), core::slice::from_raw_parts(from, count)) };
    // SAFETY: as above.
    let to = unsafe { core::slice::from_raw_parts_mut(to.cast::<u16>(), count.next_multiple_of(2)) };
    s.vectorize(
        #[inline(always)]
        || {
            for (to, &x) in to.iter_mut().zip(row) {
                *to = any_f32_to_bf16(x);
            }
            to[count..].fill(0);
        },
    )
}
