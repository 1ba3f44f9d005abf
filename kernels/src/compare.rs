//! Compares results with the expected values: one comparison for tests, benches and programs.

use core::fmt;

/// The difference of two slices of numbers. Every field is finite.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// The largest absolute difference of two elements, or 0 for empty slices.
    pub largest: f64,
    /// The index of the first element with that difference.
    pub index: usize,
    /// The largest finite magnitude of the expected elements, or 0 for empty slices.
    pub scale: f64,
}

impl Difference {
    /// The difference before any element is compared.
    pub const NONE: Difference = Difference { largest: 0.0, index: 0, scale: 0.0 };

    /// The largest difference divided by the scale, or by `floor` if the scale is less than that. 0 if nothing differs.
    pub fn relative(&self, floor: f64) -> f64 {
        if self.largest == 0.0 { 0.0 } else { self.largest / self.scale.max(floor) }
    }

    /// Combines two comparisons: the larger difference and the larger scale.
    #[must_use]
    pub fn max(self, other: Difference) -> Difference {
        let Difference { largest, index, .. } = if other.largest > self.largest { other } else { self };
        Difference { largest, index, scale: self.scale.max(other.scale) }
    }
}

/// Why two slices of numbers do not agree.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Mismatch {
    /// They have different numbers of elements.
    Length {
        /// The number of elements of the result.
        got: usize,
        /// The expected number of elements.
        expected: usize,
    },
    /// One of two elements is NaN or infinite, and the other is not the same. Two NaN count as the same.
    NotFinite {
        /// The index of the element.
        index: usize,
        /// The element of the result.
        got: f64,
        /// The expected element.
        expected: f64,
    },
    /// An element is further from the expected one than its bound allows.
    Outside {
        /// The index of the element.
        index: usize,
        /// The element of the result.
        got: f64,
        /// The expected element.
        expected: f64,
        /// The largest difference that is allowed.
        allowed: f64,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Length { got, expected } => write!(f, "{got} elements, expected {expected}"),
            Mismatch::NotFinite { index, got, expected } => {
                write!(f, "element {index} is {got:e}, expected {expected:e}")
            }
            Mismatch::Outside { index, got, expected, allowed } => {
                write!(f, "element {index} is {got:e}, not within {allowed:e} of {expected:e}")
            }
        }
    }
}

impl core::error::Error for Mismatch {}

/// Compares `got` with `expected` element by element, in f64.
///
/// ```
/// use rnnpack_kernels::compare::difference;
///
/// let d = difference(&[1.0f32, 2.5], &[1.0f64, 2.0])?;
/// assert_eq!((d.largest, d.index, d.scale), (0.5, 1, 2.0));
/// assert!(difference(&[f32::NAN], &[1.0f32]).is_err());
/// assert!(difference(&[1.0f32], &[1.0f32, 1.0]).is_err());
/// # Ok::<(), rnnpack_kernels::compare::Mismatch>(())
/// ```
///
/// # Errors
/// [`Mismatch::Length`] if the numbers of elements differ, [`Mismatch::NotFinite`] if one of two elements is NaN or
/// infinite and the other is not the same.
pub fn difference<A: Copy + Into<f64>, B: Copy + Into<f64>>(
    got: &[A],
    expected: &[B],
) -> Result<Difference, Mismatch> {
    let mut found = Difference::NONE;
    each(got, expected, |index, got, expected, apart| {
        if expected.is_finite() {
            found.scale = found.scale.max(expected.abs());
        }
        if apart > found.largest {
            found = Difference { largest: apart, index, ..found };
        }
        match apart.is_finite() {
            true => Ok(()),
            false => Err(Mismatch::NotFinite { index, got, expected }),
        }
    })?;
    Ok(found)
}

/// Checks that every element of `got` is within its bound of `expected`: element `i` may differ by at most
/// `allowed(i)`. A bound of infinity allows anything, also NaN. A bound of NaN allows nothing.
///
/// # Errors
/// [`Mismatch::Length`] if the numbers of elements differ, [`Mismatch::Outside`] for the first element outside its
/// bound.
pub fn within<A: Copy + Into<f64>, B: Copy + Into<f64>>(
    got: &[A],
    expected: &[B],
    allowed: impl Fn(usize) -> f64,
) -> Result<(), Mismatch> {
    each(got, expected, |index, got, expected, apart| {
        let allowed = allowed(index);
        match allowed == f64::INFINITY || apart <= allowed {
            true => Ok(()),
            false => Err(Mismatch::Outside { index, got, expected, allowed }),
        }
    })
}

/// Calls `visit` with the index, both elements and their difference. The difference is 0 for equal elements and for two
/// NaN. Otherwise, if an element is not finite, the difference is infinite or NaN.
fn each<A: Copy + Into<f64>, B: Copy + Into<f64>>(
    got: &[A],
    expected: &[B],
    mut visit: impl FnMut(usize, f64, f64, f64) -> Result<(), Mismatch>,
) -> Result<(), Mismatch> {
    if got.len() != expected.len() {
        return Err(Mismatch::Length { got: got.len(), expected: expected.len() });
    }
    for (index, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let (got, expected): (f64, f64) = (got.into(), expected.into());
        let same = got == expected || (got.is_nan() && expected.is_nan());
        visit(index, got, expected, if same { 0.0 } else { (got - expected).abs() })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;

    #[test]
    fn the_largest_difference_its_place_and_the_scale_are_found() {
        let d = difference(&[1.0f32, -3.0, 2.0], &[1.0f32, -4.0, 1.5]).unwrap();
        assert_eq!((d.largest, d.index, d.scale), (1.0, 1, 4.0));
        assert_eq!((d.relative(0.0), d.relative(8.0)), (0.25, 0.125));
        assert_eq!(difference::<f32, f32>(&[], &[]), Ok(Difference::NONE));
        assert_eq!(difference(&[0.0f32], &[-0.0f64]).unwrap().relative(0.0), 0.0);
    }

    #[test]
    fn the_first_of_equal_differences_keeps_its_place() {
        let first = Difference { largest: 1.0, index: 3, scale: 2.0 };
        let second = Difference { largest: 1.0, index: 7, scale: 5.0 };
        assert_eq!(first.max(second), Difference { scale: 5.0, ..first });
        assert_eq!(second.max(first).index, 7);
    }

    #[test]
    fn a_difference_from_nothing_but_zeros_is_infinite_relative_to_them() {
        assert_eq!(difference(&[1e-30f32], &[0.0f32]).unwrap().relative(0.0), f64::INFINITY);
    }

    #[test]
    fn nan_and_infinity_agree_with_themselves_alone() {
        for (got, expected) in
            [(NAN, 1.0), (1.0, NAN), (INF, 1.0), (1.0, INF), (INF, -INF), (NAN, INF), (INF, NAN)]
        {
            for at in 0..3 {
                let [mut a, mut b] = [[1.0f32, 2.0, 3.0]; 2];
                (a[at], b[at]) = (got, expected);
                let Err(Mismatch::NotFinite { index, .. }) = difference(&a, &b) else {
                    panic!("{got} passed for {expected}")
                };
                assert_eq!(index, at);
                let Err(Mismatch::Outside { index, .. }) = within(&a, &b, |_| f64::MAX) else {
                    panic!("{got} is within a bound of {expected}")
                };
                assert_eq!(index, at);
            }
        }
        for same in [NAN, INF, -INF] {
            assert_eq!(difference(&[same, 2.0], &[same, 2.0]).unwrap().scale, 2.0);
            assert_eq!(within(&[same], &[same], |_| 0.0), Ok(()));
        }
    }

    #[test]
    fn other_lengths_never_agree() {
        let short = Mismatch::Length { got: 1, expected: 2 };
        assert_eq!(difference(&[1.0f32], &[1.0f32, 1.0]), Err(short));
        assert_eq!(within(&[1.0f32], &[1.0f32, 1.0], |_| f64::INFINITY), Err(short));
        assert_eq!(difference(&[1.0f32], &[] as &[f32]), Err(Mismatch::Length { got: 1, expected: 0 }));
    }

    #[test]
    fn every_element_has_its_own_bound() {
        let allowed = |bounds: [f64; 2]| within(&[1.0f64, 2.0], &[1.0f64, 2.5], move |i| bounds[i]);
        assert_eq!(allowed([0.0, 0.5]), Ok(()));
        assert_eq!(allowed([0.0, f64::INFINITY]), Ok(()));
        let Err(e) = allowed([1.0, 0.49]) else { panic!("0.5 is within 0.49") };
        assert_eq!(e.to_string(), "element 1 is 2e0, not within 4.9e-1 of 2.5e0");
        assert!(within(&[1.0f64], &[1.0f64], |_| f64::NAN).is_err());
    }

    #[test]
    fn two_comparisons_together_have_the_larger_difference_and_scale() {
        let a = difference(&[1.0f32], &[100.0f32]).unwrap();
        let b = difference(&[0.0f32, 1.0], &[0.0f32, 1.5]).unwrap();
        let both = b.max(a);
        assert_eq!((both.largest, both.index, both.scale), (99.0, 0, 100.0));
        assert_eq!(Difference::NONE.max(b), b);
    }
}
