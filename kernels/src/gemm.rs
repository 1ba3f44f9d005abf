//! A safe interface to `matrixmultiply`, for products that are not the hot path (feature `gemm`).

use crate::element::Element;
use crate::error::Error;

/// The element type of a product: f32 uses `sgemm`, f64 uses `dgemm`.
pub trait GemmElement: Element + sealed::Gemm {}

impl GemmElement for f32 {}
impl GemmElement for f64 {}

mod sealed {
    use matrixmultiply::{dgemm, sgemm};

    /// `matrixmultiply`'s signature: `m, k, n, α, A, its row and column stride, B, …, β, C, …` for `C ← α·A·B + β·C`.
    type Function<F> = unsafe fn(
        usize,
        usize,
        usize,
        F,
        *const F,
        isize,
        isize,
        *const F,
        isize,
        isize,
        F,
        *mut F,
        isize,
        isize,
    );

    /// Implemented only here, so the function is always one of `matrixmultiply`'s.
    pub trait Gemm: Sized + 'static {
        const ONE: Self;
        const FUNCTION: Function<Self>;
    }

    impl Gemm for f32 {
        const ONE: f32 = 1.0;
        const FUNCTION: Function<f32> = sgemm;
    }

    impl Gemm for f64 {
        const ONE: f64 = 1.0;
        const FUNCTION: Function<f64> = dgemm;
    }
}

/// Computes `C ← C + A·Bᵀ`. `a` is dense `[m, k]`, `b` is dense `[n, k]`. `c` is `[m, n]`, and its rows start every
/// `stride` elements of its slice. The order in which terms are added depends on the sizes.
///
/// # Errors
/// * [`Error::Length`] if `a` or `b` does not have exactly the elements of its matrix, or `c` ends before its last row.
/// * [`Error::Overlap`] if rows of `c` overlap.
/// * [`Error::Overflow`] if a size overflows.
///
/// In all these cases nothing was written.
pub fn gemm_bt<F: GemmElement>(
    [m, k, n]: [usize; 3],
    a: &[F],
    b: &[F],
    c: &mut [F],
    stride: usize,
) -> Result<(), Error> {
    for (what, got, [rows, columns]) in [("A", a.len(), [m, k]), ("B", b.len(), [n, k])] {
        let expected = rows.checked_mul(columns).ok_or(Error::Overflow { what })?;
        if got != expected {
            return Err(Error::Length { what, expected, got });
        }
    }
    if m == 0 || n == 0 || k == 0 {
        return Ok(());
    }
    // With one row the stride means nothing.
    let stride = if m == 1 { n } else { stride };
    if stride < n {
        return Err(Error::Overlap);
    }
    let reach = (m - 1).checked_mul(stride).and_then(|start| start.checked_add(n));
    let expected = reach.ok_or(Error::Overflow { what: "C" })?;
    if c.len() < expected {
        return Err(Error::Length { what: "C", expected, got: c.len() });
    }
    // No extent is 0, so k and the stride are at most the length of a slice, which is at most isize::MAX bytes.
    let (k_stride, c_stride) = (k as isize, stride as isize);
    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    // With few rows the transposed product, `Cᵀ ← Cᵀ + B·Aᵀ`, is faster: it packs the large matrix in smaller blocks.
    let (m, n, a, b, [c_row, c_column]) =
        if m < n { (n, m, b, a, [1, c_stride]) } else { (m, n, a, b, [c_stride, 1]) };
    // SAFETY: with these strides the row-major first matrix and the column-major second one are exactly the elements of
    // `a` and `b`. C (row-major, or column-major if transposed) lies within `c`, as checked above. `c` is borrowed
    // uniquely, and its rows do not overlap.
    unsafe { F::FUNCTION(m, k, n, F::ONE, a, k_stride, 1, b, 1, k_stride, F::ONE, c, c_row, c_column) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adds_the_product<F: GemmElement + From<i8>>() {
        let numbers = |v: &[i8]| v.iter().map(|&v| F::from(v)).collect::<Vec<F>>();
        let (a, b) = (numbers(&[1, 2, 3, 4, 5, 6]), numbers(&[1, 0, 2, 0, 1, -1]));
        let mut c = numbers(&[10, 20, 30, 40]);
        gemm_bt([2, 3, 2], &a, &b, &mut c, 2).unwrap();
        assert_eq!(c, numbers(&[17, 19, 46, 39]));
        // With gaps between the rows: the elements in the gaps and after the last row do not change.
        let mut c = numbers(&[10, 20, 1, 30, 40, 2]);
        gemm_bt([2, 3, 2], &a, &b, &mut c, 3).unwrap();
        assert_eq!(c, numbers(&[17, 19, 1, 46, 39, 2]));
    }

    #[test]
    fn few_rows_and_many_give_the_same_sums() {
        let numbers = |count: usize| (0..count).map(|i| (i * 7 % 11) as f64).collect::<Vec<_>>();
        for [m, k, n] in [[1, 5, 9], [3, 40, 50], [50, 40, 3], [70, 300, 20]] {
            let (a, b) = (numbers(m * k), numbers(n * k));
            let mut c = vec![1.0; m * (n + 2)];
            gemm_bt([m, k, n], &a, &b, &mut c, n + 2).unwrap();
            for (i, row) in c.chunks(n + 2).enumerate() {
                let dot = |j: usize| a[i * k..][..k].iter().zip(&b[j * k..]).map(|(a, b)| a * b).sum::<f64>();
                assert!(
                    (0..n).all(|j| row[j] == 1.0 + dot(j)) && row[n..] == [1.0, 1.0],
                    "{m} {k} {n}, row {i}"
                );
            }
        }
    }

    #[test]
    fn adds_the_product_with_b_transposed_in_both_precisions() {
        adds_the_product::<f32>();
        adds_the_product::<f64>();
    }

    #[test]
    fn empty_products_change_nothing() {
        let mut c = [1.0, 2.0];
        gemm_bt::<f64>([1, 0, 2], &[], &[], &mut c, 2).unwrap();
        gemm_bt::<f64>([0, 1, 2], &[], &[1.0, 1.0], &mut c, 0).unwrap();
        assert_eq!(c, [1.0, 2.0]);
    }

    #[test]
    fn one_row_may_have_any_stride() {
        for stride in [0, 1, usize::MAX] {
            let mut c = [1.0f32, 2.0];
            gemm_bt([1, 1, 2], &[3.0], &[1.0, 2.0], &mut c, stride).unwrap();
            assert_eq!(c, [4.0, 8.0]);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_by_matrix() {
        let mut c = [1.0f64, 2.0, 3.0, 4.0];
        let e = gemm_bt([1, 2, 2], &[0.0; 2], &[0.0; 3], &mut c, 2);
        assert_eq!(e, Err(Error::Length { what: "B", expected: 4, got: 3 }));
        let e = gemm_bt([usize::MAX, 2, 0], &[], &[], &mut c, 2);
        assert_eq!(e, Err(Error::Overflow { what: "A" }));
        let e = gemm_bt([2, 1, 2], &[0.0; 2], &[0.0; 2], &mut c, 1);
        assert_eq!(e, Err(Error::Overlap));
        let e = gemm_bt([2, 1, 2], &[0.0; 2], &[0.0; 2], &mut c, 3);
        assert_eq!(e, Err(Error::Length { what: "C", expected: 5, got: 4 }));
        let e = gemm_bt([2, 1, 2], &[0.0; 2], &[0.0; 2], &mut c, usize::MAX);
        assert_eq!(e, Err(Error::Overflow { what: "C" }));
        assert_eq!(c, [1.0, 2.0, 3.0, 4.0]);
    }
}
