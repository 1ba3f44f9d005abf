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
use crate::operands::{Addresses, Operands, PANEL_SUMS, Span, Step, width};
use crate::product::Product;
use crate::rows::Factors;
use crate::tile::{Heights, Prefetch, Strip, count, each, sums};
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
pub(crate) const fn panels_at_once(rows: usize) -> usize {
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
    let heights = Heights::new(pairs, P::ROWS);
    let tiles = |panel, strip: Strip, prefetch| Tiles {
        first: o.projection::<S, P>(shape, panel, prefetch),
        a: o.x.as_ptr().wrapping_add(strip.first),
        count: strip.tiles,
        across: false,
        to: o.parked::<S>(shape, panel, strip.first),
        panel: o.pairs * shape.vectors() * S::LANES,
    };
    if pairs == 1 {
        const AT_ONCE: usize = panels_at_once(1);
        let (full, rest) = (panels.len() / AT_ONCE, panels.len() % AT_ONCE);
        // All tiles of one size in one call: the shortest way, for the step of a small layer.
        let beside =
            |panel, count| Tiles { count, across: true, ..tiles(panel, heights.strip(1), Prefetch::NOTHING) };
        // SAFETY: there is one pair, and the panels are those of the caller.
        unsafe {
            if full > 0 {
                store_tiles::<S, P>(&beside(panels.start, full), shape, [1, AT_ONCE]);
            }
            if rest > 0 {
                store_tiles::<S, P>(&beside(panels.end - rest, rest), shape, [1, 1]);
            }
        }
        return;
    }
    let width = width::<S, P>(shape);
    for panel in panels.clone() {
        let next = (panel + 1 < panels.end).then(|| o.w_panel::<S, P>(shape, panel + 1));
        for index in heights.strips() {
            let strip = heights.strip(index);
            let prefetch = Prefetch::new(next, width, [strip.before, heights.count], P::groups(o.input));
            // SAFETY: the rows of the tiles are below `pairs`, the panel is one of the caller's.
            unsafe { store_tiles::<S, P>(&tiles(panel, strip, prefetch), shape, [strip.rows, 1]) }
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
    // The rows of the tile; the addresses behind them are not used.
    let rows: [Factors; 6] = each(|m| o.recurrent_row(step, span.row + m));
    let first = o.recurrence::<S, P>(shape, span, step, prefetch);
    let tiles = Tiles { first, a: rows.as_ptr(), count: 1, across: false, to, panel: PANEL_SUMS };
    // SAFETY: the caller's promise.
    unsafe { store_tiles::<S, P>(&tiles, shape, [span.rows, span.panels]) }
}

/// Tiles of equal size, whose sums are stored: each below the one before, or, if they have one row, beside it.
struct Tiles {
    /// The addresses of the first tile.
    first: Addresses,
    /// The rows of factors of all tiles, or the one row of tiles beside each other.
    a: *const Factors,
    count: usize,
    /// Whether the tiles are beside each other.
    across: bool,
    /// Where the sums are stored. Rows follow each other.
    to: *mut f32,
    /// The number of f32 from the sums of one panel to those of the next.
    panel: usize,
}

/// Computes tiles of so many rows and panels, and stores their sums. Projections and products of a step share its code.
///
/// # Safety
/// The addresses of the tiles must be valid for reading what their types' comments say, and `to` for writing the sums. The CPU
/// must have the ISA and the product.
#[inline(never)]
unsafe fn store_tiles<S: Isa, P: Product<S>>(tiles: &Tiles, shape: PassShape, [rows, panels]: [usize; 2]) {
    // SAFETY: the caller's promise, here and below.
    let s = unsafe { S::assume() };
    with_tile!(S, P, shape, rows, panels, |M, Q, N| {
        // SAFETY: as above.
        unsafe {
            P::vectorize(
                s,
                #[inline(always)]
                || store_each::<S, P, M, Q, N>(s, tiles),
            )
        }
    })
}

/// [`store_tiles`] of M rows and Q panels of N vectors.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn store_each<S: Isa, P: Product<S>, const M: usize, const Q: usize, const N: usize>(
    s: S,
    tiles: &Tiles,
) {
    let &Tiles { first: mut addresses, mut a, across, mut to, panel, .. } = tiles;
    for _ in 0..tiles.count {
        // SAFETY: the caller's promise, here and below.
        let rows = each(
            #[inline(always)]
            |m| unsafe { (*a.add(m)).0.cast() },
        );
        // SAFETY: as above.
        let sums = unsafe { sums::<S, P, M, Q, N>(s, &addresses.tile::<S, P, M, Q, N>(rows)) };
        count!(
            m < M,
            count!(
                q < Q,
                count!(n < N, {
                    // SAFETY: as above.
                    unsafe { s.store(to.wrapping_add(q * panel + (m * N + n) * S::LANES), sums[m][q][n]) };
                })
            )
        );
        if M == 1 && across {
            addresses = addresses.panels_later::<S, P, N>(Q);
            to = to.wrapping_add(Q * panel);
        } else {
            addresses.prefetch = addresses.prefetch.after(P::groups(addresses.depth));
            a = a.wrapping_add(M);
            to = to.wrapping_add(M * N * S::LANES);
        }
    }
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
