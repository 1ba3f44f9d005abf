//! The decisions of a model: where the largest element along an axis of an output stands.

use rnnpack_onnx::{Tensor, TensorData};

/// How many decisions are the same, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decisions {
    pub(crate) same: usize,
    pub(crate) of: usize,
}

impl Decisions {
    /// Compares two tensors of the same dimensions, both of floats or both of the same other type. A line of elements
    /// along `axis` is one decision: the index of its largest element, or the first of several. A negative axis counts
    /// from the last. A line that has no number is none. Each integer and each boolean is a decision by itself.
    ///
    /// # Errors
    /// If the tensors have no such axis, or only one element along it.
    pub(crate) fn new(ours: &Tensor, expected: &Tensor, axis: i64) -> Result<Decisions, String> {
        let (Some(a), Some(b)) = (floats(ours), floats(expected)) else {
            return Ok(of_others(ours, expected));
        };
        let dims = expected.dims();
        let index = if axis < 0 { axis + dims.len() as i64 } else { axis };
        let index = usize::try_from(index).ok().filter(|&index| index < dims.len());
        let index = index.ok_or_else(|| format!("it has {} dimensions, so no axis {axis}", dims.len()))?;
        let (count, inner) = (dims[index], dims[index + 1..].iter().product::<usize>());
        if count == 1 {
            return Err(format!("its axis {axis} has one element, so nothing is decided"));
        }
        let starts = (0..a.len()).filter(|i| i / inner % count == 0);
        let line = |of: &[f64], start| argmax((0..count).map(|i| of[start + i * inner]));
        let decided = starts.filter_map(|start| Some(line(&a, start) == Some(line(&b, start)?)));
        Ok(decided.fold(Decisions::default(), Decisions::with))
    }

    fn with(self, same: bool) -> Decisions {
        Decisions { same: self.same + usize::from(same), of: self.of + 1 }
    }

    pub(crate) fn plus(self, other: Decisions) -> Decisions {
        Decisions { same: self.same + other.same, of: self.of + other.of }
    }
}

/// The elements of a tensor of floats.
fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    match tensor.data() {
        TensorData::F64(v) => Some(v.clone()),
        _ => Some(tensor.to_f32()?.as_slice::<f32>()?.iter().map(|&x| x.into()).collect()),
    }
}

/// The first index of the largest number. `None` if there is no number.
fn argmax(values: impl Iterator<Item = f64>) -> Option<usize> {
    let larger = |best: Option<(usize, f64)>, (i, x): (usize, f64)| match best {
        Some((_, most)) if x <= most || x.is_nan() => best,
        None if x.is_nan() => None,
        _ => Some((i, x)),
    };
    values.enumerate().fold(None, larger).map(|(i, _)| i)
}

/// The decisions of tensors that are not of floats.
fn of_others(ours: &Tensor, expected: &Tensor) -> Decisions {
    fn count<T: PartialEq>(a: &[T], b: &[T]) -> Decisions {
        a.iter().zip(b).map(|(a, b)| a == b).fold(Decisions::default(), Decisions::with)
    }
    macro_rules! of {
        ($($variant:ident),*) => {
            match (ours.data(), expected.data()) {
                $((TensorData::$variant(a), TensorData::$variant(b)) => count(a, b),)*
                _ => Decisions { same: 0, of: expected.data().len() },
            }
        };
    }
    of!(U8, I8, U16, I16, I32, I64, Bool, U32, U64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(dims: &[usize], ours: &[f32], expected: &[f32], axis: i64) -> Result<Decisions, String> {
        let tensor = |v: &[f32]| Tensor::new(dims, v.to_vec()).unwrap();
        Decisions::new(&tensor(ours), &tensor(expected), axis)
    }

    #[test]
    fn a_decision_is_the_first_largest_element_along_the_axis() {
        let (ours, expected) = ([1.0, 2.0, 3.0, 6.0, 5.0, 4.0], [1.0, 2.5, 2.0, 7.0, 7.0, 0.0]);
        // Rows: the largest are 2 and 0, expected 1 and 0.
        for axis in [1, -1] {
            assert_eq!(compared(&[2, 3], &ours, &expected, axis), Ok(Decisions { same: 1, of: 2 }));
        }
        // Columns: the largest are 1, 1, 1, expected 1, 1, 0.
        for axis in [0, -2] {
            assert_eq!(compared(&[2, 3], &ours, &expected, axis), Ok(Decisions { same: 2, of: 3 }));
        }
        assert_eq!(compared(&[1, 3, 2], &ours, &ours, 1), Ok(Decisions { same: 2, of: 2 }));
        assert_eq!(compared(&[0, 3], &[], &[], 1), Ok(Decisions { same: 0, of: 0 }));
        assert_eq!(compared(&[3, 0], &[], &[], 1), Ok(Decisions { same: 0, of: 0 }));
        assert_eq!(compared(&[2, 0], &[], &[], 0), Ok(Decisions { same: 0, of: 0 }));
    }

    #[test]
    fn a_line_without_a_number_is_no_decision() {
        let (nan, low) = (f32::NAN, f32::NEG_INFINITY);
        assert_eq!(compared(&[2, 2], &[nan, nan, 1.0, nan], &[nan, nan, 1.0, nan], 1).unwrap().of, 1);
        assert_eq!(compared(&[1, 2], &[low, low], &[low, low], 1), Ok(Decisions { same: 1, of: 1 }));
        assert_eq!(compared(&[1, 2], &[nan, nan], &[1.0, 2.0], 1), Ok(Decisions { same: 0, of: 1 }));
    }

    #[test]
    fn an_axis_that_decides_nothing_is_refused() {
        let refused = |dims: &[usize], axis| compared(dims, &[1.0], &[1.0], axis).unwrap_err();
        assert_eq!(refused(&[1], 1), "it has 1 dimensions, so no axis 1");
        assert_eq!(refused(&[1, 1], -3), "it has 2 dimensions, so no axis -3");
        assert_eq!(refused(&[], 0), "it has 0 dimensions, so no axis 0");
        assert_eq!(refused(&[1, 1], -1), "its axis -1 has one element, so nothing is decided");
    }

    #[test]
    fn integers_are_decisions_and_half_precision_is_compared_with_f32() {
        let of = |v: Vec<i64>| Tensor::new(&[3], v).unwrap();
        let found = Decisions::new(&of(vec![1, 2, 3]), &of(vec![1, 5, 3]), 7);
        assert_eq!(found, Ok(Decisions { same: 2, of: 3 }));
        let wide = Tensor::new(&[1, 2], vec![0.25f32, 0.5]).unwrap();
        let half = wide.round_to(rnnpack_onnx::DType::F16).unwrap();
        assert_eq!(Decisions::new(&half, &wide, 1), Ok(Decisions { same: 1, of: 1 }));
    }
}
