//! The register tile: `M` batch rows × `Q` panels × `N` vectors (gates of units) of accumulators, and the chain of fused
//! multiply-adds that every one of them is. An LSTM in f32:
//!
//! ```text
//!               panel q, k:  i-vector  o-vector  f-vector  c-vector      4 loads
//! row m, a[k] (broadcast) →  acc[m][i] acc[m][o] acc[m][f] acc[m][c]     4 fused multiply-adds
//! ```
//!
//! What a load, a broadcast and a multiply-add are is the [`Product`]'s; a k is a group of them where it takes several.

use crate::isa::Isa;
use crate::product::Product;

/// Vectors of a tile, `[row][panel][vector]`.
pub(crate) type Vectors<V, const M: usize, const Q: usize, const N: usize> = [[[V; N]; Q]; M];

/// The weights that are needed next: while the tiles work on a panel they ask for the following one, each for an equal
/// share, so that no tile waits for a far cache level or memory. A tile asks for one address at every k; with two tiles
/// or more that meets every pair of cache lines, and the second line of a pair comes along on today's cores.
#[derive(Debug)]
pub(crate) struct Prefetch<W> {
    from: *const W,
    /// Weights from one k to the next; 0 to ask for nothing new.
    stride: usize,
}

impl<W> Clone for Prefetch<W> {
    #[inline(always)]
    fn clone(&self) -> Prefetch<W> {
        *self
    }
}

impl<W> Copy for Prefetch<W> {}

impl<W> Prefetch<W> {
    pub(crate) const NOTHING: Prefetch<W> = Prefetch { from: core::ptr::null(), stride: 0 };

    /// What tile `tile` of `tiles` over a panel of `depth` k, each of `width` weights, asks for, if `next` follows that
    /// panel.
    #[inline(always)]
    pub(crate) fn new(
        next: Option<*const W>,
        width: usize,
        [tile, tiles]: [usize; 2],
        depth: usize,
    ) -> Prefetch<W> {
        let Some(next) = next else { return Prefetch::NOTHING };
        let stride = width.div_ceil(tiles);
        Prefetch { from: next.wrapping_add(tile.wrapping_mul(depth).wrapping_mul(stride)), stride }
    }

    /// What the tile after this one asks for, if this one does `depth` k.
    #[inline(always)]
    pub(crate) fn after(self, depth: usize) -> Prefetch<W> {
        Prefetch { from: self.from.wrapping_add(depth.wrapping_mul(self.stride)), ..self }
    }
}

/// The operands of a tile over weights W and factors F.
pub(crate) struct Tile<W, F, const M: usize, const Q: usize> {
    /// Where the sums of each panel start from: N - 1 vectors of row 0, and the last vector, which may stand elsewhere.
    pub(crate) starts: [*const f32; Q],
    pub(crate) lasts: [*const f32; Q],
    /// f32 from a row's `starts`, and from its `lasts`, to the next row's.
    pub(crate) rows: [usize; 2],
    /// The factors of each row, `depth` groups of them.
    pub(crate) a: [*const F; M],
    /// The weights of each panel, `[k][vector][lane]`, and within a lane those of the group.
    pub(crate) w: [*const W; Q],
    /// Groups of k.
    pub(crate) depth: usize,
    pub(crate) prefetch: Prefetch<W>,
}

impl<W, F, const M: usize, const Q: usize> Tile<W, F, M, Q> {
    /// Where vector `n` of N of a row and panel starts from.
    #[inline(always)]
    fn start<S: Isa, const N: usize>(&self, m: usize, q: usize, n: usize) -> *const f32 {
        match n + 1 < N {
            true => self.starts[q].wrapping_add(m * self.rows[0] + n * S::LANES),
            false => self.lasts[q].wrapping_add(m * self.rows[1]),
        }
    }
}

/// `start[m][q][n] + Σ a[m][k] · w[q][k][n]` over ascending k.
///
/// # Safety
/// The addresses must be valid for reading what their fields say.
#[inline(always)]
pub(crate) unsafe fn sums<S: Isa, P: Product<S>, const M: usize, const Q: usize, const N: usize>(
    s: S,
    tile: &Tile<P::Weight, P::Factor, M, Q>,
) -> Vectors<S::V, M, Q, N> {
    // A register holds a sum of every lane: the tile's rows are derived from that.
    const { assert!(size_of::<P::Sums>() == S::LANES * size_of::<P::Sum>()) };
    // SAFETY: the caller's promise, here and below.
    let first = unsafe { P::start(s, tile.lasts[0]) };
    let mut acc: Vectors<P::Sums, M, Q, N> = [[[first; N]; Q]; M];
    for (m, acc) in acc.iter_mut().enumerate() {
        for (q, acc) in acc.iter_mut().enumerate() {
            for (n, v) in acc.iter_mut().enumerate() {
                // SAFETY: as above.
                *v = unsafe { P::start(s, tile.start::<S, N>(m, q, n)) };
            }
        }
    }
    // SAFETY: as above.
    let acc = unsafe { accumulate::<S, P, M, Q, N>(s, acc, tile) };
    let mut sums: Vectors<S::V, M, Q, N> = [[[s.splat(0.0); N]; Q]; M];
    for (m, sums) in sums.iter_mut().enumerate() {
        for (q, sums) in sums.iter_mut().enumerate() {
            for (n, v) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                *v = unsafe { P::finish(s, acc[m][q][n], tile.start::<S, N>(m, q, n)) };
            }
        }
    }
    sums
}

/// `acc[m][q][n] += a[m][k] · w[q][k][n]` for ascending k, each a multiply-accumulate per lane.
///
/// Beside it, tiles of several rows ask for what [`Prefetch`] says.
///
/// # Safety
/// As [`sums`].
#[inline(always)]
unsafe fn accumulate<S: Isa, P: Product<S>, const M: usize, const Q: usize, const N: usize>(
    s: S,
    mut acc: Vectors<P::Sums, M, Q, N>,
    &Tile { a, w, depth, prefetch, .. }: &Tile<P::Weight, P::Factor, M, Q>,
) -> Vectors<P::Sums, M, Q, N> {
    // Pointers that the compiler knows nothing of: it would compute them from each other at every k. One by one: it moves an
    // array in larger pieces than it was written in, and such a load waits until the tile before is done and stored.
    let a = if M > 1 { each(a[0], |m| core::hint::black_box(a[m])) } else { a };
    // Tiles of several rows are bound by the multiply-adds, whose ports the loop's own instructions take slots of:
    // they do four k a turn. One row is bound by its loads.
    let unroll = if M > 1 { 4 } else { 1 };
    let turns = depth / unroll;
    for turn in 0..turns {
        for j in 0..unroll {
            let k = turn * unroll + j;
            if M > 1 {
                s.prefetch(prefetch.from.wrapping_add(k * prefetch.stride).cast());
            }
            // SAFETY: k < depth.
            acc = unsafe { multiply_accumulate::<S, P, M, Q, N>(s, acc, a, w, k) };
        }
    }
    for k in turns * unroll..depth {
        // SAFETY: k < depth.
        acc = unsafe { multiply_accumulate::<S, P, M, Q, N>(s, acc, a, w, k) };
    }
    acc
}

/// One k of [`accumulate`].
///
/// # Safety
/// As there, with `k < depth`.
#[inline(always)]
unsafe fn multiply_accumulate<S: Isa, P: Product<S>, const M: usize, const Q: usize, const N: usize>(
    s: S,
    mut acc: Vectors<P::Sums, M, Q, N>,
    a: [*const P::Factor; M],
    w: [*const P::Weight; Q],
    k: usize,
) -> Vectors<P::Sums, M, Q, N> {
    // Rows outside, weights inside: the broadcasts of all rows and one weight vector fit beside the accumulators.
    // SAFETY: within what the caller promises for each row.
    let mut factors = [unsafe { P::broadcast(s, a[0].add(k * P::GROUP)) }; M];
    for m in 1..M {
        // SAFETY: as above.
        factors[m] = unsafe { P::broadcast(s, a[m].add(k * P::GROUP)) };
    }
    for (q, &w) in w.iter().enumerate() {
        for n in 0..N {
            // SAFETY: within what the caller promises for w[q].
            let w = unsafe { P::load(s, w.add((k * N + n) * S::LANES * P::GROUP)) };
            for (acc, &a) in acc.iter_mut().zip(&factors) {
                acc[q][n] = P::multiply_accumulate(s, a, w, acc[q][n]);
            }
        }
    }
    acc
}

/// An array of what `of` returns for each index; `fill` is any value. It is `core::array::from_fn` for tiles: those have
/// hundreds of such arrays, and from_fn would be compiled as four functions for each.
#[inline(always)]
pub(crate) fn each<T: Copy, const N: usize>(fill: T, of: impl Fn(usize) -> T) -> [T; N] {
    let mut all = [fill; N];
    let mut i = 0;
    while i < N {
        all[i] = of(i);
        i += 1;
    }
    all
}

/// Tiles of one height that follow each other.
#[derive(Clone, Copy)]
pub(crate) struct Strip {
    /// Rows of a tile.
    pub(crate) rows: usize,
    pub(crate) tiles: usize,
    /// The first row of the first tile.
    pub(crate) first: usize,
    /// Tiles before the first.
    pub(crate) before: usize,
}

/// Splits `rows` evenly into tiles of at most `max` rows, which makes two strips at most: 7 rows of at most 6 are 4 + 3.
#[inline(always)]
pub(crate) fn strips(rows: usize, max: usize) -> impl Iterator<Item = Strip> {
    let count = rows.div_ceil(max);
    let (size, larger) = (rows / count.max(1), rows % count.max(1));
    let large = Strip { rows: size + 1, tiles: larger, first: 0, before: 0 };
    let small = Strip { rows: size, tiles: count - larger, first: larger * (size + 1), before: larger };
    [large, small].into_iter().filter(|strip| strip.tiles > 0)
}

/// The tiles of all strips: (first row, rows).
#[inline(always)]
pub(crate) fn tiles(rows: usize, max: usize) -> impl Iterator<Item = (usize, usize)> {
    strips(rows, max)
        .flat_map(|strip| (0..strip.tiles).map(move |tile| (strip.first + tile * strip.rows, strip.rows)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_split_evenly_and_completely() {
        for max in 1..=6 {
            for rows in 0..50 {
                let mut sizes = vec![];
                let mut next = 0;
                for strip in strips(rows, max) {
                    let before: Vec<_> = tiles(rows, max).take(strip.before).collect();
                    assert_eq!(strip.first, before.iter().map(|&(_, size)| size).sum());
                }
                for (first, size) in tiles(rows, max) {
                    assert_eq!(first, next);
                    next += size;
                    sizes.push(size);
                }
                assert_eq!(next, rows);
                assert!(sizes.iter().all(|&s| (1..=max).contains(&s)));
                let spread = sizes.iter().max().unwrap_or(&0) - sizes.iter().min().unwrap_or(&0);
                assert!(spread <= 1, "{rows} rows of at most {max}: {sizes:?}");
            }
        }
    }
}
