//! Differences between two sets of outputs.

use crate::report::number;
use crate::tensors::Tensors;
use rnnpack::onnx::{Tensor, TensorData};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How far one output is from what it should be, over all steps.
pub(crate) struct Difference {
    pub(crate) output: String,
    /// Largest absolute difference; infinite where shapes, types or the places of NaN differ.
    pub(crate) largest: f64,
    /// Largest finite magnitude of what it should be.
    pub(crate) scale: f64,
    /// What `largest` may be: the bound times the scale, and 0 for integers and booleans.
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
        let mut float = true;
        if ours.len() != expected.len() {
            worst.largest = f64::INFINITY;
        }
        for (ours, expected) in ours.iter().zip(expected) {
            let (Some(a), Some(b)) = (ours.get(name), expected.get(name)) else {
                worst.largest = f64::INFINITY;
                continue;
            };
            float &= is_float(b);
            worst.largest = worst.largest.max(largest(a, b));
            worst.scale = numbers(b).map(f64::abs).filter(|x| x.is_finite()).fold(worst.scale, f64::max);
        }
        worst.allowed = if float { bound * worst.scale } else { 0.0 };
        worst
    };
    names.into_iter().map(one).collect()
}

fn is_float(tensor: &Tensor) -> bool {
    matches!(tensor.data(), TensorData::F32(_) | TensorData::F64(_))
}

fn largest(a: &Tensor, b: &Tensor) -> f64 {
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
    fn integers_must_be_equal() {
        let step = |x: i64| [Tensors::from([("n".to_owned(), Tensor::scalar(x))])];
        assert!(compare(&step(7), &step(7), 1e-3)[0].passes());
        assert!(!compare(&step(1_000_001), &step(1_000_000), 1e-3)[0].passes());
    }
}
