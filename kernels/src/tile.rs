//! The register tile: `M` batch rows × `P` panels × `N` vectors (gates of units) of accumulators, and the chain of fused
//! multiply-adds that every one of them is. An LSTM:
//!
//! ```text
//!               panel p, k:  i-vector  o-vector  f-vector  c-vector      4 loads
//! row m, a[k] (broadcast) →  acc[m][i] acc[m][o] acc[m][f] acc[m][c]     4 fused multiply-adds
//! ```

use crate::isa::Isa;

/// The accumulators of a tile, `[row][panel][vector]`.
pub(crate) type Acc<V, const M: usize, const P: usize, const N: usize> = [[[V; N]; P]; M];

/// The weights that are needed next: while the tiles work on a panel they ask for the following one, each for an equal
/// share, so that no tile waits for a far cache level or memory. A tile asks for one address at every k; with two tiles
/// or more that meets every pair of cache lines, and the second line of a pair comes along on today's cores.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    from: *const f32,
    /// f32 from one k to the next; 0 to ask for nothing new.
    stride: usize,
}

impl Ahead {
    pub(crate) const NOTHING: Ahead = Ahead { from: core::ptr::null(), stride: 0 };

    /// What tile `tile` of `tiles` over a panel of `depth` k and `vectors` vectors asks for, if `next` follows that panel.
    #[inline(always)]
    pub(crate) fn new<S: Isa>(
        next: Option<*const f32>,
        vectors: usize,
        [tile, tiles]: [usize; 2],
        depth: usize,
    ) -> Ahead {
        let Some(next) = next else { return Ahead::NOTHING };
        let stride = (vectors * S::LANES).div_ceil(tiles);
        Ahead { from: next.wrapping_add(tile.wrapping_mul(depth).wrapping_mul(stride)), stride }
    }

    /// What the tile after this one asks for, if this one does `depth` k.
    #[inline(always)]
    pub(crate) fn after(self, depth: usize) -> Ahead {
        Ahead { from: self.from.wrapping_add(depth.wrapping_mul(self.stride)), ..self }
    }
}

/// The operands of a tile.
pub(crate) struct Tile<const M: usize, const P: usize> {
    /// Where the sums of each panel start from: N - 1 vectors of row 0, and the last vector, which may stand elsewhere.
    pub(crate) start: [*const f32; P],
    pub(crate) last: [*const f32; P],
    /// f32 from a row's `start`, and from its `last`, to the next row's.
    pub(crate) rows: [usize; 2],
    /// The factors of each row, `depth` of them.
    pub(crate) a: [*const f32; M],
    /// The weights of each panel, `[k][vector][lane]`.
    pub(crate) w: [*const f32; P],
    pub(crate) depth: usize,
    pub(crate) ahead: Ahead,
}

/// `start[m][p][n] + Σ a[m][k] · w[p][k][n]` over ascending k.
///
/// # Safety
/// The addresses must be valid for reading what their fields say.
#[inline(always)]
pub(crate) unsafe fn sums<S: Isa, const M: usize, const P: usize, const N: usize>(
    s: S,
    tile: &Tile<M, P>,
) -> Acc<S::V, M, P, N> {
    let mut acc: Acc<S::V, M, P, N> = [[[s.splat(0.0); N]; P]; M];
    for (m, acc) in acc.iter_mut().enumerate() {
        for (p, acc) in acc.iter_mut().enumerate() {
            for (n, v) in acc.iter_mut().enumerate() {
                let [start, last] = [tile.start[p].wrapping_add(m * tile.rows[0]), tile.last[p]];
                // SAFETY: the caller's promise.
                *v = unsafe {
                    match n + 1 < N {
                        true => s.load(start.wrapping_add(n * S::LANES)),
                        false => s.load(last.wrapping_add(m * tile.rows[1])),
                    }
                };
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe { accumulate(s, acc, tile.a, tile.w, tile.depth, tile.ahead) }
}

/// `acc[m][p][n] += a[m][k] · w[p][k][n]` for ascending `k < depth`, each a fused multiply-add per lane.
///
/// Beside it, tiles of several rows ask for what [`Ahead`] says.
///
/// # Safety
/// `a[m]` must be valid for reading `depth` f32, `w[p]` for `depth · N · LANES`.
#[inline(always)]
unsafe fn accumulate<S: Isa, const M: usize, const P: usize, const N: usize>(
    s: S,
    mut acc: Acc<S::V, M, P, N>,
    a: [*const f32; M],
    w: [*const f32; P],
    depth: usize,
    ahead: Ahead,
) -> Acc<S::V, M, P, N> {
    // Pointers that the compiler knows nothing of: it would compute them from each other at every k. One by one: it moves an
    // array in larger pieces than it was written in, and such a load waits until the tile before is done and stored.
    let a = if M > 1 { a.map(core::hint::black_box) } else { a };
    // Tiles of several rows are bound by the multiply-adds, whose ports the loop's own instructions take slots of:
    // they do four k a turn. One row is bound by its loads.
    let unroll = if M > 1 { 4 } else { 1 };
    let turns = depth / unroll;
    for turn in 0..turns {
        for j in 0..unroll {
            let k = turn * unroll + j;
            if M > 1 {
                s.prefetch(ahead.from.wrapping_add(k * ahead.stride));
            }
            // SAFETY: k < depth.
            acc = unsafe { multiply_add(s, acc, a, w, k) };
        }
    }
    for k in turns * unroll..depth {
        // SAFETY: k < depth.
        acc = unsafe { multiply_add(s, acc, a, w, k) };
    }
    acc
}

/// One k of [`accumulate`].
///
/// # Safety
/// As there, with `k < depth`.
#[inline(always)]
unsafe fn multiply_add<S: Isa, const M: usize, const P: usize, const N: usize>(
    s: S,
    mut acc: Acc<S::V, M, P, N>,
    a: [*const f32; M],
    w: [*const f32; P],
    k: usize,
) -> Acc<S::V, M, P, N> {
    // Rows outside, weights inside: MR broadcasts and one weight vector fit beside the accumulators of 16 registers.
    let mut x = [s.splat(0.0); M];
    for (x, &a) in x.iter_mut().zip(&a) {
        // SAFETY: within what the caller promises for a[m].
        *x = s.splat(unsafe { *a.add(k) });
    }
    for (p, &w) in w.iter().enumerate() {
        for n in 0..N {
            // SAFETY: within what the caller promises for w[p].
            let w = unsafe { s.load(w.add((k * N + n) * S::LANES)) };
            for (acc, &x) in acc.iter_mut().zip(&x) {
                acc[p][n] = s.mul_add(x, w, acc[p][n]);
            }
        }
    }
    acc
}

/// Tiles of one size that follow each other.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Rows of a tile.
    pub(crate) rows: usize,
    pub(crate) tiles: usize,
    /// The first row of the first tile.
    pub(crate) first: usize,
    /// Tiles before the first.
    pub(crate) before: usize,
}

/// Splits `rows` evenly into tiles of at most `max` rows, which makes two runs at most: 7 rows of at most 6 are 4 + 3.
#[inline(always)]
pub(crate) fn runs(rows: usize, max: usize) -> impl Iterator<Item = Run> {
    let count = rows.div_ceil(max);
    let (size, larger) = (rows / count.max(1), rows % count.max(1));
    let large = Run { rows: size + 1, tiles: larger, first: 0, before: 0 };
    let small = Run { rows: size, tiles: count - larger, first: larger * (size + 1), before: larger };
    [large, small].into_iter().filter(|run| run.tiles > 0)
}

/// The tiles of all runs: (first row, rows).
#[inline(always)]
pub(crate) fn tiles(rows: usize, max: usize) -> impl Iterator<Item = (usize, usize)> {
    runs(rows, max).flat_map(|run| (0..run.tiles).map(move |tile| (run.first + tile * run.rows, run.rows)))
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
                for run in runs(rows, max) {
                    let before: Vec<_> = tiles(rows, max).take(run.before).collect();
                    assert_eq!(run.first, before.iter().map(|&(_, size)| size).sum());
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
