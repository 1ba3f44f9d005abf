//! The register tile: `M` batch rows × `Q` panels × `N` vectors (gates of units) of accumulators.
//!
//! Every accumulator is one chain of fused multiply-adds. An LSTM in f32:
//!
//! ```text
//!               panel q, k:  i-vector  o-vector  f-vector  c-vector      4 loads
//! row m, a[k] (broadcast) →  acc[m][i] acc[m][o] acc[m][f] acc[m][c]     4 fused multiply-adds
//! ```
//!
//! The [`Product`] defines the load, the broadcast and the multiply-add. If it takes several k at once, "k" here means
//! a group of them.

use crate::isa::Isa;
use crate::product::{Product, ScalesAt};
use core::mem::MaybeUninit;
use core::ops::Range;

/// Evaluates an expression with `i` = 0, 1, … below a constant. The loops of a tile are all unrolled, and tiles are most of the
/// code of this crate: iterators would be a dozen functions for each of these loops, which the compiler has to inline.
macro_rules! count {
    ($i:ident < $end:ident, $each:expr) => {{
        let mut $i: usize = 0;
        while $i < $end {
            $each;
            $i += 1;
        }
    }};
}

pub(crate) use count;

/// The vectors of a tile, `[row][panel][vector]`.
pub(crate) type Vectors<V, const M: usize, const Q: usize, const N: usize> = [[[V; N]; Q]; M];

/// The weights to prefetch. While the tiles work on a panel, each prefetches an equal share of the next panel, so that
/// no tile waits for a far cache level or memory. A tile asks for one address at every group of k. With two tiles or more,
/// this reaches every pair of cache lines, and current cores load the second line of a pair together with the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefetch {
    from: *const u8,
    /// The number of bytes from one group to the next; 0 to ask for nothing new.
    stride: usize,
}

impl Prefetch {
    pub(crate) const NOTHING: Prefetch = Prefetch { from: core::ptr::null(), stride: 0 };

    /// The share of tile `tile` of `tiles`, if the panel `next` follows. A panel has `depth` groups of `width` bytes each.
    #[inline(always)]
    pub(crate) fn new(
        next: Option<*const u8>,
        width: usize,
        [tile, tiles]: [usize; 2],
        depth: usize,
    ) -> Prefetch {
        let Some(next) = next else { return Prefetch::NOTHING };
        let stride = width.div_ceil(tiles);
        Prefetch { from: next.wrapping_add(tile.wrapping_mul(depth).wrapping_mul(stride)), stride }
    }

    /// The share of the next tile, if this tile does `depth` groups.
    #[inline(always)]
    pub(crate) fn after(self, depth: usize) -> Prefetch {
        Prefetch { from: self.from.wrapping_add(depth.wrapping_mul(self.stride)), ..self }
    }
}

/// The operands of a tile over weights W and factors F.
pub(crate) struct Tile<W, F, const M: usize, const Q: usize> {
    /// The start values of each panel's sums: the first N - 1 vectors of row 0 are at `starts`. The last vector is at
    /// `lasts`, since it may be in another place.
    pub(crate) starts: [*const f32; Q],
    pub(crate) lasts: [*const f32; Q],
    /// The number of f32 from one row to the next, for `starts` and for `lasts`.
    pub(crate) rows: [usize; 2],
    /// The factors of each row.
    pub(crate) a: [*const F; M],
    /// The weights of each panel, `[k][vector][lane]`. A lane holds the weights of a whole group.
    pub(crate) w: [*const W; Q],
    /// The scales of each panel, `[vector][lane]`, and as many sums of weights; see [`ScalesAt`].
    pub(crate) scales: [*const f32; Q],
    /// The number of values of k.
    pub(crate) depth: usize,
    pub(crate) prefetch: Prefetch,
}

impl<W, F, const M: usize, const Q: usize> Tile<W, F, M, Q> {
    /// The address of the start value of vector `n` of N, for a row and panel.
    #[inline(always)]
    pub(crate) fn start<S: Isa, const N: usize>(&self, m: usize, q: usize, n: usize) -> *const f32 {
        match n + 1 < N {
            true => self.starts[q].wrapping_add(m * self.rows[0] + n * S::LANES),
            false => self.lasts[q].wrapping_add(m * self.rows[1]),
        }
    }
}

/// `start[m][q][n] + Σ a[m][k] · w[q][k][n]` over ascending k.
///
/// # Safety
/// The addresses must be valid for reading what the fields' comments say. The CPU must have the product.
#[inline(always)]
pub(crate) unsafe fn sums<S: Isa, P: Product<S>, const M: usize, const Q: usize, const N: usize>(
    s: S,
    tile: &Tile<P::Weight, P::Factor, M, Q>,
) -> Vectors<S::V, M, Q, N> {
    // A register holds one sum for every lane. The rows of a tile are derived from this.
    const { assert!(size_of::<P::Sums>() == S::LANES * size_of::<P::Sum>()) };
    // What is not inlined is not compiled for the instruction set.
    let start = |m, q, n| tile.start::<S, N>(m, q, n);
    let acc = each_vector(
        #[inline(always)]
        // SAFETY: the caller's promise, here and below.
        |m, q, n| unsafe { P::start(s, start(m, q, n)) },
    );
    // SAFETY: as above.
    let acc = unsafe { accumulate::<S, P, M, Q, N>(s, acc, tile) };
    each_vector(
        #[inline(always)]
        |m, q, n| {
            let weights = tile.scales[q].wrapping_add(n * S::LANES);
            let scales = ScalesAt { row: tile.a[m], weights, sums: N * S::LANES };
            // SAFETY: as above.
            unsafe { P::finish(s, acc[m][q][n], start(m, q, n), scales) }
        },
    )
}

/// `acc[m][q][n] += a[m][k] · w[q][k][n]` for ascending k, each a multiply-accumulate per lane.
///
/// Tiles of several rows also prefetch, as [`Prefetch`] describes.
///
/// # Safety
/// As [`sums`].
#[inline(always)]
unsafe fn accumulate<S: Isa, P: Product<S>, const M: usize, const Q: usize, const N: usize>(
    s: S,
    mut acc: Vectors<P::Sums, M, Q, N>,
    &Tile { a, w, depth, prefetch, .. }: &Tile<P::Weight, P::Factor, M, Q>,
) -> Vectors<P::Sums, M, Q, N> {
    // `black_box` hides the pointers from the compiler, which would otherwise compute them from each other at every k.
    // Each pointer goes through it alone: an array would be moved in larger pieces than it was written in, and such a
    // load waits until the previous tile is done and stored.
    let a = if M > 1 { each(|m| core::hint::black_box(a[m])) } else { a };
    // Likewise a second address of the weights, where not all parts of a group fit into the registers beside the accumulators,
    // the broadcasts, a part and its mask: they are then read anew for each part.
    let fit = M * Q * N + M + Q * N + 2 <= S::REGISTERS;
    let again = if P::PARTS > 1 && !fit { each(|q| core::hint::black_box(w[q])) } else { w };
    // Tiles of several rows are limited by the ports of the multiply-adds, and the loop's own instructions take slots
    // of these ports. So they do four k per turn. One row is limited by its loads.
    let unroll = if M > 1 { 4 / P::PARTS } else { 1 };
    let [groups, rest] = P::parts(depth);
    let turns = groups / unroll;
    for turn in 0..turns {
        for j in 0..unroll {
            let k = turn * unroll + j;
            if M > 1 {
                s.prefetch(prefetch.from.wrapping_add(k * prefetch.stride).cast());
            }
            // SAFETY: k < groups.
            acc = unsafe { group::<S, P, M, Q, N>(s, acc, a, [w, again], k) };
        }
    }
    for k in turns * unroll..groups {
        // SAFETY: k < groups.
        acc = unsafe { group::<S, P, M, Q, N>(s, acc, a, [w, again], k) };
    }
    if P::PARTS > 1 && rest > 0 {
        const { assert!(P::PARTS <= 2, "an incomplete group may have more parts") };
        // SAFETY: the group behind the others has this part.
        acc = unsafe { part::<S, P, M, Q, N, 0>(s, acc, a, w, groups) };
    }
    acc
}

/// The parts of a group of [`accumulate`], with the addresses of the weights for the first part and for the second.
///
/// # Safety
/// As there, with `k` below its number of groups.
#[inline(always)]
unsafe fn group<S: Isa, P: Product<S>, const M: usize, const Q: usize, const N: usize>(
    s: S,
    acc: Vectors<P::Sums, M, Q, N>,
    a: [*const P::Factor; M],
    [w, again]: [[*const P::Weight; Q]; 2],
    k: usize,
) -> Vectors<P::Sums, M, Q, N> {
    // SAFETY: the caller's promise, here and below.
    let acc = unsafe { part::<S, P, M, Q, N, 0>(s, acc, a, w, k) };
    match P::PARTS {
        1 => acc,
        // SAFETY: as above.
        _ => unsafe { part::<S, P, M, Q, N, 1>(s, acc, a, again, k) },
    }
}

/// A part of a group of [`accumulate`].
///
/// # Safety
/// As there. The group `k` must have the part.
#[inline(always)]
unsafe fn part<S: Isa, P: Product<S>, const M: usize, const Q: usize, const N: usize, const PART: usize>(
    s: S,
    mut acc: Vectors<P::Sums, M, Q, N>,
    a: [*const P::Factor; M],
    w: [*const P::Weight; Q],
    k: usize,
) -> Vectors<P::Sums, M, Q, N> {
    // All rows are broadcast first, then each weight vector is loaded: the broadcasts and one weight vector fit into
    // the registers next to the accumulators.
    let factors: [P::Factors; M] = each(
        #[inline(always)]
        // SAFETY: within what the caller promises for each row.
        |m| unsafe { P::broadcast(s, a[m].add(k * P::GROUP + PART)) },
    );
    count!(
        q < Q,
        count!(n < N, {
            // SAFETY: within what the caller promises for w[q].
            let w = unsafe { P::load::<PART>(s, w[q].add((k * N + n) * S::LANES * P::GROUP)) };
            count!(m < M, {
                // SAFETY: the CPU has the product.
                acc[m][q][n] = unsafe { P::multiply_accumulate(s, factors[m], w, acc[m][q][n]) };
            });
        })
    );
    acc
}

/// An array of the values that `of` returns for each index. It does the same as `core::array::from_fn`, which would compile
/// to four functions for each of the hundreds of arrays of tiles.
#[inline(always)]
pub(crate) fn each<T: Copy, const N: usize>(of: impl Fn(usize) -> T + Copy) -> [T; N] {
    let mut all = [const { MaybeUninit::uninit() }; N];
    count!(i < N, all[i] = MaybeUninit::new(of(i)));
    // SAFETY: all elements were written; both types have the same layout.
    unsafe { all.as_ptr().cast::<[T; N]>().read() }
}

/// The vectors of a tile, each as `of` returns it for its row, panel and number.
#[inline(always)]
fn each_vector<T: Copy, const M: usize, const Q: usize, const N: usize>(
    of: impl Fn(usize, usize, usize) -> T + Copy,
) -> Vectors<T, M, Q, N> {
    let mut all = [const { [const { [const { MaybeUninit::uninit() }; N] }; Q] }; M];
    count!(
        m < M,
        count!(
            q < Q,
            count!(n < N, {
                all[m][q][n] = MaybeUninit::new(of(m, q, n));
            })
        )
    );
    // SAFETY: all vectors were written; both types have the same layout.
    unsafe { all.as_ptr().cast::<Vectors<T, M, Q, N>>().read() }
}

/// Consecutive tiles of equal height.
#[derive(Clone, Copy)]
pub(crate) struct Strip {
    /// The number of rows of a tile.
    pub(crate) rows: usize,
    pub(crate) tiles: usize,
    /// The first row of the first tile.
    pub(crate) first: usize,
    /// The number of tiles before the first.
    pub(crate) before: usize,
}

/// The heights of the tiles of some rows, as equal as can be: 7 rows in tiles of at most 6 are 4 + 3.
#[derive(Clone, Copy)]
pub(crate) struct Heights {
    /// The number of tiles.
    pub(crate) count: usize,
    /// The height of the smaller tiles.
    size: usize,
    /// The number of tiles that are one row higher. They come first.
    larger: usize,
}

impl Heights {
    /// Splits `rows` into tiles of at most `max` rows.
    #[inline(always)]
    pub(crate) fn new(rows: usize, max: usize) -> Heights {
        let count = rows.div_ceil(max);
        // A division takes as long as the tile of a small layer.
        let (size, larger) = if count <= 1 { (rows, 0) } else { (rows / count, rows % count) };
        Heights { count, size, larger }
    }

    /// The height of a tile.
    #[inline(always)]
    pub(crate) fn of(self, tile: usize) -> usize {
        self.size + usize::from(tile < self.larger)
    }

    /// Strip 0 has the larger tiles, strip 1 the smaller ones.
    #[inline(always)]
    pub(crate) fn strip(self, index: usize) -> Strip {
        let Heights { count, size, larger } = self;
        match index {
            0 => Strip { rows: size + 1, tiles: larger, first: 0, before: 0 },
            _ => Strip { rows: size, tiles: count - larger, first: larger * (size + 1), before: larger },
        }
    }

    /// The strips that have tiles.
    #[inline(always)]
    pub(crate) fn strips(self) -> Range<usize> {
        usize::from(self.larger == 0)..1 + usize::from(self.count > self.larger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_split_evenly_and_completely() {
        for max in 1..=16 {
            for rows in 0..50 {
                let heights = Heights::new(rows, max);
                let mut sizes = vec![];
                let mut next = 0;
                for strip in heights.strips().map(|index| heights.strip(index)) {
                    assert!(strip.tiles > 0);
                    assert_eq!((strip.first, strip.before), (next, sizes.len()));
                    for _ in 0..strip.tiles {
                        assert_eq!(heights.of(sizes.len()), strip.rows);
                        sizes.push(strip.rows);
                        next += strip.rows;
                    }
                }
                assert_eq!(sizes.len(), heights.count);
                assert_eq!(next, rows);
                assert!(sizes.iter().all(|&s| (1..=max).contains(&s)));
                let spread = sizes.iter().max().unwrap_or(&0) - sizes.iter().min().unwrap_or(&0);
                assert!(spread <= 1, "{rows} rows of at most {max}: {sizes:?}");
            }
        }
    }
}
