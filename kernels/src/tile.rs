//! The register tile: `M` batch rows × `P` panels × 4 gates of accumulators, and the chain of fused
//! multiply-adds that every one of them is.
//!
//! ```text
//!               panel p, k:  i-vector  o-vector  f-vector  c-vector      4 loads
//! row m, a[k] (broadcast) →  acc[m][i] acc[m][o] acc[m][f] acc[m][c]     4 fused multiply-adds
//! ```

use crate::isa::Isa;
use crate::weights::GATES;

/// The accumulators of a tile, `[row][panel][gate]`.
pub(crate) type Acc<V, const M: usize, const P: usize> = [[[V; GATES]; P]; M];

/// `acc[m][p][g] += a[m][k] · w[p][k][g]` for ascending `k < depth`, each a fused multiply-add per lane.
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
) -> Acc<S::V, M, P> {
    for k in 0..depth {
        for p in 0..P {
            // SAFETY: k < depth, so the four vectors lie within what the caller promises for w[p].
            let w: [S::V; GATES] =
                std::array::from_fn(|g| unsafe { s.load(w[p].add((k * GATES + g) * S::LANES)) });
            for m in 0..M {
                // SAFETY: k < depth, within what the caller promises for a[m].
                let x = s.splat(unsafe { *a[m].add(k) });
                for g in 0..GATES {
                    acc[m][p][g] = s.mul_add(x, w[g], acc[m][p][g]);
                }
            }
        }
    }
    acc
}

/// Splits `rows` evenly into tiles of at most `max` rows: 7 rows of at most 6 are 4 + 3. Calls `tile(first, rows)`.
#[inline(always)]
pub(crate) fn for_each_tile(rows: usize, max: usize, mut tile: impl FnMut(usize, usize)) {
    let tiles = rows.div_ceil(max);
    let mut first = 0;
    for t in 0..tiles {
        let size = (rows - first).div_ceil(tiles - t);
        tile(first, size);
        first += size;
    }
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
                for_each_tile(rows, max, |first, size| {
                    assert_eq!(first, next);
                    next += size;
                    sizes.push(size);
                });
                assert_eq!(next, rows);
                assert!(sizes.iter().all(|&s| (1..=max).contains(&s)));
                let spread = sizes.iter().max().unwrap_or(&0) - sizes.iter().min().unwrap_or(&0);
                assert!(spread <= 1, "{rows} rows of at most {max}: {sizes:?}");
            }
        }
    }
}
