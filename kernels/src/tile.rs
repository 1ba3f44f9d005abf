//! The register tile: `M` batch rows × `P` panels × 4 gates of accumulators, and the chain of fused
//! multiply-adds that every one of them is.
//!
//! ```text
//!               panel p, k:  i-vector  o-vector  f-vector  c-vector      4 loads
//! row m, a[k] (broadcast) →  acc[m][i] acc[m][o] acc[m][f] acc[m][c]     4 fused multiply-adds
//! ```

use crate::aligned::LINE;
use crate::isa::Isa;
use crate::weights::GATES;

/// The accumulators of a tile, `[row][panel][gate]`.
pub(crate) type Acc<V, const M: usize, const P: usize> = [[[V; GATES]; P]; M];

/// The weights that are needed next: while a panel is in use, its first tiles ask for the next one, so that no tile
/// waits for a far cache level or memory. The lines are spread over as many tiles as there are, up to one line per k
/// and tile: far caches deliver a line in about the time of half a k.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    from: *const f32,
    /// f32 from one k's lines to the next; 0 to ask for nothing new.
    step: usize,
    /// f32 between the two lines of a k; 0 to ask for one.
    second: usize,
}

impl Ahead {
    pub(crate) const NOTHING: Ahead = Ahead { from: std::ptr::null(), step: 0, second: 0 };

    /// What tile `tile` of `tiles` over a panel of `depth` k asks for, if `next` follows that panel.
    #[inline(always)]
    pub(crate) fn new<S: Isa>(next: Option<*const f32>, tile: usize, tiles: usize, depth: usize) -> Ahead {
        // Lines of a k, and how many of them each of the first tiles takes.
        let lines = (GATES * S::LANES / LINE).max(1);
        let [one, two] = match lines.saturating_sub(tiles) {
            more if more >= tiles => [0, tiles],
            more => [lines.min(tiles) - more, more],
        };
        let Some(next) = next.filter(|_| tile < one + two) else { return Ahead::NOTHING };
        let before = if tile < two { 2 * tile } else { two + tile };
        let each = if tile < two { 2 } else { 1 };
        Ahead { from: next.wrapping_add(before * depth * LINE), step: each * LINE, second: (each - 1) * LINE }
    }
}

/// `acc[m][p][g] += a[m][k] · w[p][k][g]` for ascending `k < depth`, each a fused multiply-add per lane.
///
/// Beside it, tiles of several rows ask for what [`Ahead`] says.
///
/// # Safety
/// `a[m]` must be valid for reading `depth` f32, `w[p]` for `depth · 4 · LANES`.
#[inline(always)]
pub(crate) unsafe fn accumulate<S: Isa, const M: usize, const P: usize>(
    s: S,
    mut acc: Acc<S::V, M, P>,
    a: [*const f32; M],
    w: [*const f32; P],
    depth: usize,
    ahead: Ahead,
) -> Acc<S::V, M, P> {
    for k in 0..depth {
        if M > 1 {
            let line = ahead.from.wrapping_add(k * ahead.step);
            s.prefetch(line);
            s.prefetch(line.wrapping_add(ahead.second));
        }
        for p in 0..P {
            let mut vectors = [s.splat(0.0); GATES];
            for (g, v) in vectors.iter_mut().enumerate() {
                // SAFETY: k < depth, so the four vectors lie within what the caller promises for w[p].
                *v = unsafe { s.load(w[p].add((k * GATES + g) * S::LANES)) };
            }
            for m in 0..M {
                // SAFETY: k < depth, within what the caller promises for a[m].
                let x = s.splat(unsafe { *a[m].add(k) });
                for g in 0..GATES {
                    acc[m][p][g] = s.mul_add(x, vectors[g], acc[m][p][g]);
                }
            }
        }
    }
    acc
}

/// Splits `rows` evenly into tiles of at most `max` rows: 7 rows of at most 6 are 4 + 3. Gives (first row, rows).
#[inline(always)]
pub(crate) fn tiles(rows: usize, max: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = rows.div_ceil(max);
    let (size, larger) = (rows / count.max(1), rows % count.max(1));
    (0..count).map(move |t| (t * size + t.min(larger), size + usize::from(t < larger)))
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
