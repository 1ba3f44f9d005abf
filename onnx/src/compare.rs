//! Compares two tensors.

use crate::brief::List;
use crate::tensor::{DType, Tensor, TensorData};
use rnnpack::compare::{Difference, Mismatch, difference};
use std::fmt;

/// Why two tensors do not agree under any tolerance.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TensorMismatch {
    /// The element types differ.
    DType {
        /// The element type of the result.
        got: DType,
        /// The expected element type.
        expected: DType,
    },
    /// The dimensions differ.
    Dims {
        /// The dimensions of the result.
        got: Vec<usize>,
        /// The expected dimensions.
        expected: Vec<usize>,
    },
    /// The elements do not agree.
    Elements(Mismatch),
}

impl fmt::Display for TensorMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DType { got, expected } => write!(f, "it is {got}, expected {expected}"),
            Self::Dims { got, expected } => {
                write!(f, "its dimensions are {}, expected {}", List(got), List(expected))
            }
            Self::Elements(mismatch) => mismatch.fmt(f),
        }
    }
}

impl std::error::Error for TensorMismatch {}

impl Tensor {
    /// How far this tensor is from `expected`. Floats are compared in f64, integers exactly, booleans as 0 and 1.
    ///
    /// ```
    /// use rnnpack_onnx::Tensor;
    /// let (a, b) = (Tensor::scalar(1.5f32), Tensor::scalar(1f32));
    /// assert_eq!(a.difference(&b).unwrap().largest, 0.5);
    /// assert!(a.difference(&Tensor::scalar(1.5f64)).is_err());
    /// assert!(Tensor::scalar(f32::NAN).difference(&b).is_err());
    /// ```
    ///
    /// # Errors
    /// [`TensorMismatch`] if the element types or the dimensions differ, or if an element is NaN or infinite and the
    /// other tensor does not have the same value there.
    pub fn difference(&self, expected: &Tensor) -> Result<Difference, TensorMismatch> {
        if self.dtype() != expected.dtype() {
            return Err(TensorMismatch::DType { got: self.dtype(), expected: expected.dtype() });
        }
        if self.dims() != expected.dims() {
            let (got, expected) = (self.dims().to_vec(), expected.dims().to_vec());
            return Err(TensorMismatch::Dims { got, expected });
        }
        elements(self.data(), expected.data()).map_err(TensorMismatch::Elements)
    }
}

/// The difference of elements of the same type.
fn elements(got: &TensorData, expected: &TensorData) -> Result<Difference, Mismatch> {
    use TensorData::{BF16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    let bits = |v: &[bool]| v.iter().map(|&b| u8::from(b)).collect::<Vec<u8>>();
    match (got, expected) {
        (F32(a), F32(b)) => difference(a, b),
        (F64(a), F64(b)) => difference(a, b),
        (F16(a), F16(b)) => difference(a, b),
        (BF16(a), BF16(b)) => difference(a, b),
        (I32(a), I32(b)) => difference(a, b),
        (I8(a), I8(b)) => difference(a, b),
        (U8(a), U8(b)) => difference(a, b),
        (I16(a), I16(b)) => difference(a, b),
        (U16(a), U16(b)) => difference(a, b),
        (U32(a), U32(b)) => difference(a, b),
        (Bool(a), Bool(b)) => difference(&bits(a), &bits(b)),
        (I64(a), I64(b)) => difference_of_long(a, b),
        (U64(a), U64(b)) => difference_of_long(a, b),
        // The caller has compared the element types.
        _ => Err(Mismatch::Length { got: got.len(), expected: expected.len() }),
    }
}

/// The difference of integers of 64 bits, which f64 may not hold. It takes the exact differences and rounds them to f64.
/// A rounded difference is 0 only if the integers are equal.
fn difference_of_long<T: Copy + Into<i128>>(got: &[T], expected: &[T]) -> Result<Difference, Mismatch> {
    let apart: Vec<f64> = got.iter().zip(expected).map(|(&a, &b)| (a.into() - b.into()) as f64).collect();
    let scale = expected.iter().map(|&x| x.into() as f64).collect::<Vec<f64>>();
    if got.len() != expected.len() {
        return Err(Mismatch::Length { got: got.len(), expected: expected.len() });
    }
    let scale = difference(&scale, &scale)?;
    Ok(difference(&apart, &vec![0.0; apart.len()])?.max(scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<T: crate::Element>(values: &[T]) -> Tensor {
        Tensor::new(&[values.len()], values.to_vec()).unwrap()
    }

    #[test]
    fn nan_infinity_another_length_another_shape_and_another_type_never_agree() {
        let expected = row(&[1f32, 2.0]);
        for (got, why) in [
            (row(&[1.0, f32::NAN]), "element 1 is NaN, expected 2e0"),
            (row(&[f32::NEG_INFINITY, 2.0]), "element 0 is -inf, expected 1e0"),
            (row(&[1f32]), "its dimensions are [1], expected [2]"),
            (Tensor::new(&[2, 1], vec![1f32, 2.0]).unwrap(), "its dimensions are [2, 1], expected [2]"),
            (row(&[1f64, 2.0]), "it is f64, expected f32"),
        ] {
            assert_eq!(got.difference(&expected).unwrap_err().to_string(), why);
            assert!(expected.difference(&got).is_err(), "{why}");
        }
    }

    #[test]
    fn integers_beyond_the_precision_of_f64_are_told_apart() {
        for (a, b, apart) in [
            (i64::MAX, i64::MAX - 1, 1.0),
            (i64::MIN, i64::MAX, 2f64.powi(64)),
            (1 << 53, (1 << 53) + 1, 1.0),
        ] {
            let d = row(&[7, a]).difference(&row(&[7, b])).unwrap();
            assert_eq!((d.largest, d.index, d.scale), (apart, 1, (b as f64).abs()), "{a} {b}");
            assert_eq!(row(&[a]).difference(&row(&[a])).unwrap().largest, 0.0);
        }
    }

    #[test]
    fn every_element_type_is_compared() {
        fn apart<T: crate::Element>(a: T, b: T) -> f64 {
            assert_eq!(row(&[a]).difference(&row(&[a])).unwrap().largest, 0.0);
            row(&[a]).difference(&row(&[b])).unwrap().largest
        }
        use half::{bf16, f16};
        assert_eq!([apart(1f32, 3.0), apart(1f64, 3.0)], [2.0; 2]);
        assert_eq!(apart(f16::from_f32(1.0), f16::from_f32(3.0)), 2.0);
        assert_eq!(apart(bf16::from_f32(1.0), bf16::from_f32(3.0)), 2.0);
        assert_eq!([apart(-1i8, 1), apart(1u8, 3), apart(1i32, -1), apart(-1i64, 1)], [2.0; 4]);
        assert_eq!(
            [apart(-1i16, 1), apart(1u16, 3), apart(1u32, 3), apart(u64::MAX, u64::MAX - 2)],
            [2.0; 4]
        );
        assert_eq!(apart(true, false), 1.0);
    }
}
