//! A safe door to `matrixmultiply`, for products that are not the hot path (feature `gemm`).

use crate::Error;

/// `C ← C + A·Bᵀ` with `a` dense `[m, k]`, `b` dense `[n, k]` and `c` dense `[m, n]`.
///
/// # Errors
/// [`Error::Length`] unless every slice has exactly the elements of its matrix, [`Error::Overflow`] where
/// their number overflows. Nothing was written then.
pub fn sgemm_bt([m, k, n]: [usize; 3], a: &[f32], b: &[f32], c: &mut [f32]) -> Result<(), Error> {
    check("A", a.len(), [m, k])?;
    check("B", b.len(), [n, k])?;
    check("C", c.len(), [m, n])?;
    if c.is_empty() || k == 0 {
        return Ok(());
    }
    // No extent is 0, so k and n are at most the length of a slice, which is at most isize::MAX bytes.
    let (k_stride, n_stride) = (k as isize, n as isize);
    // SAFETY: with these strides row-major A, column-major B and row-major C are exactly the elements of
    // `a`, `b` and `c`, whose lengths were checked above; `c` is borrowed uniquely and its elements do not
    // alias.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.as_ptr(),
            k_stride,
            1,
            b.as_ptr(),
            1,
            k_stride,
            1.0,
            c.as_mut_ptr(),
            n_stride,
            1,
        );
    }
    Ok(())
}

fn check(what: &'static str, got: usize, [rows, columns]: [usize; 2]) -> Result<(), Error> {
    let expected = rows.checked_mul(columns).ok_or(Error::Overflow { what })?;
    if got == expected { Ok(()) } else { Err(Error::Length { what, expected, got }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_the_product_with_b_transposed() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [1.0, 0.0, 2.0, 0.0, 1.0, -1.0];
        let mut c = [10.0, 20.0, 30.0, 40.0];
        sgemm_bt([2, 3, 2], &a, &b, &mut c).unwrap();
        assert_eq!(c, [17.0, 19.0, 46.0, 39.0]);
    }

    #[test]
    fn empty_products_change_nothing_and_wrong_lengths_are_refused() {
        let mut c = [1.0, 2.0];
        sgemm_bt([1, 0, 2], &[], &[], &mut c).unwrap();
        assert_eq!(c, [1.0, 2.0]);
        let e = sgemm_bt([1, 2, 2], &[0.0; 2], &[0.0; 3], &mut c);
        assert_eq!(e, Err(Error::Length { what: "B", expected: 4, got: 3 }));
        let e = sgemm_bt([usize::MAX, 2, 0], &[], &[], &mut []);
        assert_eq!(e, Err(Error::Overflow { what: "A" }));
    }
}
