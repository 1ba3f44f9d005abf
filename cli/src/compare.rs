//! Differences between two sets of outputs.

use crate::report::number;
use crate::tensors::Tensors;
use rnnpack_onnx::{DType, Tensor, TensorData};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How far one output is from what it should be, over all steps.
pub(crate) struct Difference {
    pub(crate) output: String,
    /// Largest absolute difference; infinite where shapes, types or the places of NaN differ.
    pub(crate) largest: f64,
    /// Largest finite magnitude of what it should be.
    pub(crate) scale: f64,
    /// What `largest` may be: the bound, or a step of the type where that is more, times the scale; 0 for integers and
    /// booleans.
    pub(crate) allowed: f64,
}

impl Difference {
    pub(crate) fn passes(&self) -> bool {
        self.largest <= self.allowed
    }

    /// Largest difference over the scale.
    pub(crate) fn relative(&self) -> f64 {
        if self.largest == 0.0 { 0.0 } else { self.largest / self.scale }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "output": self.output,
            "largest_difference": number(self.largest),
            "scale": self.scale,
            "relative": number(self.relative()),
            "allowed": self.allowed,
            "passes": self.passes(),
        })
    }
}

/// Compares the outputs of each step. An output that one side lacks differs infinitely.
pub(crate) fn compare(ours: &[Tensors], expected: &[Tensors], bound: f64) -> Vec<Difference> {
    let names: BTreeSet<&String> = ours.iter().chain(expected).flat_map(Tensors::keys).collect();
    let one = |name: &String| {
        let mut worst = Difference { output: name.clone(), largest: 0.0, scale: 0.0, allowed: 0.0 };
        let mut step = Some(0.0f64);
        if ours.len() != expected.len() {
            worst.largest = f64::INFINITY;
        }
        for (ours, expected) in ours.iter().zip(expected) {
            let (Some(a), Some(b)) = (ours.get(name), expected.get(name)) else {
                worst.largest = f64::INFINITY;
                continue;
            };
            step = step.zip(step_of(a.dtype())).map(|(a, b)| a.max(b));
            worst.largest = worst.largest.max(largest(a, b));
            worst.scale = numbers(b).map(f64::abs).filter(|x| x.is_finite()).fold(worst.scale, f64::max);
        }
        worst.allowed = step.map_or(0.0, |step| bound.max(step) * worst.scale);
        worst
    };
    names.into_iter().map(one).collect()
}

/// How far neighbouring numbers of half precision are apart at most, relative to them: what rounding makes of the
/// smallest difference. 0 of types that are finer than any bound, none of integers and booleans.
fn step_of(dtype: DType) -> Option<f64> {
    match dtype {
        DType::F32 | DType::F64 => Some(0.0),
        DType::F16 => Some(2f64.powi(-10)),
        DType::BF16 => Some(2f64.powi(-7)),
        _ => None,
    }
}

fn largest(a: &Tensor, b: &Tensor) -> f64 {
    // Recorded answers in half precision are f32: NumPy's archives hold no other.
    let (a, b) = match b.dtype() {
        DType::F32 => (&a.to_f32().unwrap_or_else(|| a.clone()), b),
        _ => (a, b),
    };
    if a.dims() != b.dims() || a.dtype() != b.dtype() {
        return f64::INFINITY;
    }
    let difference = |(a, b): (f64, f64)| match (a - b).abs() {
        _ if a == b || (a.is_nan() && b.is_nan()) => 0.0,
        d if d.is_nan() => f64::INFINITY,
        d => d,
    };
    numbers(a).zip(numbers(b)).map(difference).fold(0.0, f64::max)
}

/// The elements; integers beyond 2^53 are rounded.
fn numbers(tensor: &Tensor) -> Box<dyn Iterator<Item = f64> + '_> {
    match tensor.data() {
        TensorData::F32(v) => Box::new(v.iter().map(|&x| x.into())),
        TensorData::F64(v) => Box::new(v.iter().copied()),
        TensorData::I64(v) => Box::new(v.iter().map(|&x| x as f64)),
        TensorData::I32(v) => Box::new(v.iter().map(|&x| x.into())),
        TensorData::I8(v) => Box::new(v.iter().map(|&x| x.into())),
        TensorData::U8(v) => Box::new(v.iter().map(|&x| x.into())),
        TensorData::Bool(v) => Box::new(v.iter().map(|&x| f64::from(u8::from(x)))),
        TensorData::F16(v) => Box::new(v.iter().map(|&x| x.into())),
        TensorData::BF16(v) => Box::new(v.iter().map(|&x| x.into())),
        _ => Box::new(std::iter::once(f64::NAN)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(values: &[f32]) -> Tensors {
        let tensor = Tensor::new(&[values.len()], values.to_vec()).unwrap();
        Tensors::from([("y".to_owned(), tensor)])
    }

    #[test]
    fn the_scale_is_that_of_all_steps_and_the_bound_relative_to_it() {
        let (ours, expected) = ([step(&[1.0]), step(&[100.5])], [step(&[1.0]), step(&[100.0])]);
        let [d] = compare(&ours, &expected, 0.01).try_into().ok().unwrap();
        assert_eq!((d.largest, d.scale, d.allowed, d.passes()), (0.5, 100.0, 1.0, true));
        assert!(!compare(&ours, &expected, 0.001)[0].passes());
    }

    #[test]
    fn what_cannot_be_compared_never_passes() {
        let cases: [(&[f32], &[f32], bool); 5] = [
            (&[f32::NAN], &[1.0], false),
            (&[f32::NAN], &[f32::NAN], true),
            (&[f32::INFINITY], &[f32::NEG_INFINITY], false),
            (&[1.0, 2.0], &[1.0], false),
            (&[1e-30], &[0.0], false),
        ];
        for (a, b, passes) in cases {
            assert_eq!(compare(&[step(a)], &[step(b)], 1e-3)[0].passes(), passes, "{a:?} {b:?}");
        }
        assert!(!compare(&[step(&[1.0])], &[Tensors::new()], 1e-3)[0].passes());
        assert!(!compare(&[step(&[1.0])], &[step(&[1.0]), step(&[1.0])], 1e-3)[0].passes());
    }

    #[test]
    fn half_precision_may_be_a_step_off_and_is_compared_with_its_numbers_in_f32() {
        let wide = Tensor::new(&[2], vec![1.0f32, 0.5]).unwrap();
        let next = Tensor::new(&[2], vec![1.0f32, 0.5 + 0.001]).unwrap();
        for (dtype, step) in [(DType::F16, 2f64.powi(-10)), (DType::BF16, 2f64.powi(-7))] {
            let of = |t: &Tensor| [Tensors::from([("y".to_owned(), t.round_to(dtype).unwrap())])];
            let same = &compare(&of(&wide), &[Tensors::from([("y".to_owned(), wide.clone())])], 1e-4)[0];
            assert_eq!((same.largest, same.allowed), (0.0, step));
            assert!(compare(&of(&wide), &of(&next), 1e-4)[0].passes());
            assert_eq!(compare(&of(&wide), &of(&next), 1e-1)[0].allowed, 1e-1);
        }
    }

    #[test]
    fn integers_must_be_equal() {
        let step = |x: i64| [Tensors::from([("n".to_owned(), Tensor::scalar(x))])];
        assert!(compare(&step(7), &step(7), 1e-3)[0].passes());
        assert!(!compare(&step(1_000_001), &step(1_000_000), 1e-3)[0].passes());
    }
}
