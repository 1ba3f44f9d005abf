//! AMX: products of up to 16 rows of a batch by tile registers, for weights of int8 and for pairs of bf16.
//!
//! A panel of 16 lanes is what the instructions want: 16 groups of k of a vector of units are a tile of 16 rows of 64 bytes,
//! which are `64 · vectors` bytes apart. So these products need no other packing than those of AVX-512.
//!
//! ```text
//! tile registers   0–3 sums of up to 16 rows, for each vector    4 factors    5 weights    6, 7 the same for the last groups
//! ```
//!
//! The tiles are configured once for each pass of a step and each projection, and released at its end, so that no other code
//! finds them in use.

mod instructions;

use super::{Products, project, store_tile};
use crate::epilogue::PassShape;
use crate::isa::{Avx512, Dot, Isa};
use crate::operands::{Operands, Span, Step, tile_sums};
use crate::product::{Bf16Dot, I8, Product, ScalesAt};
use crate::tile::{Heights, Prefetch, Tile};
use crate::weight_type::WeightType;
use core::mem::MaybeUninit;
use core::ops::Range;
use instructions::{FEWEST, ROWS, Sums, TileOperands, configure, end, found, multiply};

type Ints = I8<<Avx512 as Isa>::Vnni>;
type Pairs = Bf16Dot<<Avx512 as Isa>::Bf16>;

/// A product by tiles: what its sums are, and the product for few rows.
trait Tiled: Product<Avx512> {
    /// Whether the tiles hold int8, or else bf16.
    const INT8: bool;

    /// The results of sums that started with zeros.
    ///
    /// # Safety
    /// As [`Product::finish`]; `sums` must be valid for reading 64 bytes.
    unsafe fn sum(
        s: Avx512,
        sums: *const u8,
        from: *const f32,
        scales: ScalesAt<Self::Factor>,
    ) -> <Avx512 as Isa>::V;
}

impl Tiled for Ints {
    const INT8: bool = true;

    #[inline(always)]
    unsafe fn sum(s: Avx512, sums: *const u8, from: *const f32, scales: ScalesAt<u8>) -> <Avx512 as Isa>::V {
        // SAFETY: the caller's promise.
        unsafe { Ints::finish(s, s.load_i32(sums.cast()), from, scales) }
    }
}

impl Tiled for Pairs {
    const INT8: bool = false;

    #[inline(always)]
    unsafe fn sum(s: Avx512, sums: *const u8, from: *const f32, _: ScalesAt<u16>) -> <Avx512 as Isa>::V {
        // SAFETY: the caller's promise.
        unsafe { s.add(s.load(from), s.load(sums.cast())) }
    }
}

/// Whether [`Products::by_tiles`] may be used with int8 weights.
pub(crate) fn has_int8() -> bool {
    found()[0] && <<Avx512 as Isa>::Vnni as Dot<Avx512>>::detect()
}

/// Whether [`Products::by_tiles`] may be used with pairs of bf16.
pub(crate) fn has_bf16() -> bool {
    found()[1] && <<Avx512 as Isa>::Bf16 as Dot<Avx512>>::detect()
}

impl Products {
    /// The products by tiles, for [`WeightType::I8`] or else [`WeightType::Bf16Dot`].
    pub(crate) fn by_tiles(weights: WeightType) -> Products {
        match weights {
            WeightType::I8 => Products::tiled::<Ints>(weights),
            _ => Products::tiled::<Pairs>(weights),
        }
    }

    fn tiled<P: Tiled>(weights: WeightType) -> Products {
        assert!(tile_sums(weights) >= ROWS * 4 * Avx512::LANES);
        Products {
            project: project_by_tiles::<P>,
            tile: tile::<P>,
            around: Some((begin::<P>, end)),
            rows: ROWS,
            dots: Some("amx"),
            ..Products::of::<Avx512, P>(weights)
        }
    }
}

/// Configures the tiles for the rows of a step, if they are used. Returns whether it did.
///
/// # Safety
/// As [`configure`].
unsafe fn begin<P: Tiled>(rows: usize, depth: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { configure(rows, P::groups(depth)) }
}

/// Stores the results of row `row` of the sums at `to`, `[vector][lane]`. The tile has the starts and the scales.
///
/// # Safety
/// The addresses of the tile must be valid for one row of N vectors, `to` for writing it, and the row of the sums for reading.
#[inline(always)]
unsafe fn finish<P: Tiled, const N: usize>(
    s: Avx512,
    sums: *const Sums,
    row: usize,
    tile: &Tile<P::Weight, P::Factor, 1, 1>,
    to: *mut f32,
) {
    for n in 0..N {
        let weights = tile.scales[0].wrapping_add(n * Avx512::LANES);
        let scales = ScalesAt { row: tile.a[0], weights, sums: N * Avx512::LANES };
        let from = tile.start::<Avx512, N>(0, 0, n);
        let sum = sums.cast::<u8>().wrapping_add((n * ROWS + row) * 64);
        // SAFETY: the caller's promise.
        unsafe { s.store(to.add(n * Avx512::LANES), P::sum(s, sum, from, scales)) }
    }
}

/// [`store_tile`], by tiles.
///
/// # Safety
/// As there; the tiles must be configured by [`begin`] for the rows of the step.
unsafe fn tile<P: Tiled>(
    o: &Operands<'_>,
    shape: PassShape,
    (span, step): (Span, Step),
    prefetch: Prefetch,
    to: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match shape.vectors() {
            _ if span.rows < FEWEST => store_tile::<Avx512, P>(o, shape, (span, step), prefetch, to),
            3 => tile_of::<P, 3>(o, shape, (span, step), to),
            _ => tile_of::<P, 4>(o, shape, (span, step), to),
        }
    }
}

/// [`tile`], for N vectors and enough rows.
///
/// # Safety
/// As there.
unsafe fn tile_of<P: Tiled, const N: usize>(
    o: &Operands<'_>,
    shape: PassShape,
    (span, step): (Span, Step),
    to: *mut f32,
) {
    // The tiles are configured for the highest tile of the step, which is one row more at most. The row before is computed
    // again then, and its sums are not used.
    let before = Heights::new(step.rows, ROWS).of(0) - span.rows;
    let row = o.factor_row;
    let operands = TileOperands {
        a: o.factors[step.index % 2].wrapping_add((span.row - before) * row),
        row,
        b: o.r_panel::<Avx512, P>(shape, span.panel),
        width: 64 * N,
        groups: P::groups(o.recurrent),
    };
    let mut sums = MaybeUninit::uninit();
    // SAFETY: the factors have these rows, since `span` is not the first tile if it is lower; the caller's promise.
    let s = unsafe {
        multiply::<N>(P::INT8, operands, sums.as_mut_ptr());
        Avx512::assume()
    };
    s.vectorize(
        #[inline(always)]
        || {
            for m in 0..span.rows {
                let of_row = Span { row: span.row + m, rows: 1, ..span };
                let row = o.recurrent_row(step, of_row.row).0.cast();
                let tile = o
                    .recurrence::<Avx512, P>(shape, of_row, step, Prefetch::NOTHING)
                    .tile::<_, P, 1, 1, N>([row]);
                // SAFETY: the caller's promise.
                unsafe { finish::<P, N>(s, sums.as_ptr(), before + m, &tile, to.add(m * N * Avx512::LANES)) }
            }
        },
    )
}

/// [`project`], by tiles.
///
/// # Safety
/// As there. The CPU must have AMX, and the system must have permitted it.
unsafe fn project_by_tiles<P: Tiled>(o: &Operands<'_>, shape: PassShape, pairs: usize, panels: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe {
        if pairs < FEWEST {
            return project::<Avx512, P>(o, shape, pairs, panels);
        }
        configure(pairs, P::groups(o.input));
        for panel in panels {
            match shape.vectors() {
                3 => project_panel::<P, 3>(o, shape, pairs, panel),
                _ => project_panel::<P, 4>(o, shape, pairs, panel),
            }
        }
        end();
    }
}

/// Projects all pairs in a panel of N vectors.
///
/// # Safety
/// As [`project_by_tiles`], with configured tiles.
unsafe fn project_panel<P: Tiled, const N: usize>(
    o: &Operands<'_>,
    shape: PassShape,
    pairs: usize,
    panel: usize,
) {
    let heights = Heights::new(pairs, ROWS);
    // Rows of converted factors follow each other.
    let row = o.x[1].0.addr() - o.x[0].0.addr();
    let mut first = 0;
    for index in 0..heights.count {
        let height = heights.of(index);
        let before = heights.of(0) - height;
        let a = o.x[first - before].0.cast();
        let (b, groups) = (o.w_panel::<Avx512, P>(shape, panel), P::groups(o.input));
        let mut sums = MaybeUninit::uninit();
        // SAFETY: as in `tile_of`.
        let s = unsafe {
            multiply::<N>(P::INT8, TileOperands { a, row, b, width: 64 * N, groups }, sums.as_mut_ptr());
            Avx512::assume()
        };
        s.vectorize(
            #[inline(always)]
            || {
                let addresses = o.projection::<Avx512, P>(shape, panel, Prefetch::NOTHING);
                for m in 0..height {
                    let tile = addresses.tile::<_, P, 1, 1, N>([o.x[first + m].0.cast()]);
                    let to = o.parked::<Avx512>(shape, panel, first + m);
                    // SAFETY: the place of each pair holds N vectors.
                    unsafe { finish::<P, N>(s, sums.as_ptr(), before + m, &tile, to) }
                }
            },
        );
        first += height;
    }
}

// One row takes two panels, which these tiles leave to vectors.
const _: () = assert!(FEWEST > 1);

#[cfg(test)]
mod emulator;
#[cfg(test)]
mod tests;
