//! Compares two sets of outputs, each with several named tensors.

use crate::decisions::Decisions;
use crate::report::number;
use crate::tensors::Tensors;
use rnnpack::compare::Difference as Elements;
use rnnpack_onnx::{DType, Tensor, TensorData};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What makes outputs agree.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// The largest difference is at most this, relative to the largest magnitude of the output.
    Bound(f64),
    /// All decisions along this axis are the same.
    Decisions(i64),
}

/// How far one output is from the expected one, over all steps.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) output: String,
    /// The largest absolute difference. Infinite if the tensors cannot be compared; then `mismatch` says why.
    pub(crate) largest: f64,
    /// Why the tensors cannot be compared: shapes, types, the places of NaN and infinity, or a missing output.
    pub(crate) mismatch: Option<String>,
    /// The largest finite magnitude of the expected output.
    pub(crate) scale: f64,
    /// The largest value that `largest` may have: the scale times the bound, or times a step of the type if that is
    /// more. 0 for integers and booleans. Infinite if decisions are compared.
    pub(crate) allowed: f64,
    /// The decisions, if they are compared in place of the difference.
    pub(crate) decisions: Option<Decisions>,
    /// The number of elements of the expected output.
    pub(crate) elements: usize,
    /// How many of them are finite.
    pub(crate) finite: usize,
}

/// What a comparison of one output found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// At least one finite element was compared, and all elements agree.
    Agrees,
    /// The difference is larger than the bound allows, or a decision is another.
    Exceeds,
    /// The tensors cannot be compared.
    Disagrees,
    /// There are elements, but none is finite: a NaN that equals a NaN says nothing.
    NothingFinite,
    /// There is no element.
    Empty,
}

impl Difference {
    pub(crate) fn finding(&self) -> Finding {
        // A bound of infinity would allow everything.
        let within = match self.decisions {
            Some(Decisions { same, of }) => same == of,
            None => self.largest <= self.allowed && self.allowed.is_finite(),
        };
        match self {
            Difference { mismatch: Some(_), .. } => Finding::Disagrees,
            Difference { elements: 0, .. } => Finding::Empty,
            Difference { finite: 0, .. } => Finding::NothingFinite,
            _ if within => Finding::Agrees,
            _ => Finding::Exceeds,
        }
    }

    /// Whether nothing speaks against this output. An empty output passes, but does not count as compared.
    pub(crate) fn passes(&self) -> bool {
        matches!(self.finding(), Finding::Agrees | Finding::Empty)
    }

    /// The finding in words, for the row of a table.
    pub(crate) fn text(&self) -> String {
        match self.finding() {
            Finding::Agrees if self.finite < self.elements => {
                let odd = self.elements - self.finite;
                format!("ok ({odd} of {} elements are NaN or infinite on both sides)", self.elements)
            }
            Finding::Agrees => "ok".to_owned(),
            Finding::Exceeds if self.decisions.is_some() => "DECIDES DIFFERENTLY".to_owned(),
            Finding::Exceeds => "EXCEEDED".to_owned(),
            Finding::Disagrees => format!("DISAGREES: {}", self.mismatch.as_deref().unwrap_or_default()),
            Finding::NothingFinite => {
                format!("NOTHING COMPARED: none of the {} elements is finite", self.elements)
            }
            Finding::Empty => "empty: it has no element".to_owned(),
        }
    }

    /// The largest difference divided by the scale.
    pub(crate) fn relative(&self) -> f64 {
        relative(self.largest, self.scale)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "output": self.output,
            "largest_difference": number(self.largest),
            "mismatch": self.mismatch,
            "scale": self.scale,
            "relative": number(self.relative()),
            "allowed": self.decisions.is_none().then(|| number(self.allowed)),
            "decisions": self.decisions.map(|Decisions { same, of }| json!({ "same": same, "of": of })),
            "elements": self.elements,
            "finite": self.finite,
            "passes": self.passes(),
        })
    }
}

/// A difference divided by the scale of what it is a difference from.
pub(crate) fn relative(largest: f64, scale: f64) -> f64 {
    if largest == 0.0 { 0.0 } else { largest / scale }
}

/// Compares the outputs of each step. If one side lacks an output, the difference is infinite.
pub(crate) fn compare(ours: &[Tensors], expected: &[Tensors], rule: Rule) -> Vec<Difference> {
    let names: BTreeSet<&String> = ours.iter().chain(expected).flat_map(Tensors::keys).collect();
    names.into_iter().map(|name| of_output(name, ours, expected, rule)).collect()
}

/// Compares one output over all steps.
fn of_output(name: &str, ours: &[Tensors], expected: &[Tensors], rule: Rule) -> Difference {
    let mut all = Elements::NONE;
    let (mut elements, mut finite) = (0, 0);
    let mut step = Some(0.0f64);
    let mut decisions = matches!(rule, Rule::Decisions(_)).then(Decisions::default);
    let steps = format!("{} steps, expected {}", ours.len(), expected.len());
    let mut mismatch = (ours.len() != expected.len()).then_some(steps);
    for (i, (ours, expected)) in ours.iter().zip(expected).enumerate() {
        let compared = match (ours.get(name), expected.get(name)) {
            (Some(ours), Some(expected)) => {
                step = step.zip(step_of(ours.dtype())).map(|(a, b)| a.max(b));
                elements += expected.data().len();
                finite += finite_elements(expected);
                of_tensors(ours, expected).and_then(|found| {
                    if let (Rule::Decisions(axis), Some(decisions)) = (rule, &mut decisions) {
                        *decisions = decisions.plus(Decisions::new(ours, expected, axis)?);
                    }
                    Ok(found)
                })
            }
            _ => Err("one side has no such output".to_owned()),
        };
        match compared {
            Ok(found) => all = all.max(found),
            Err(why) => drop(mismatch.get_or_insert(format!("step {i}: {why}"))),
        }
    }
    let allowed = match rule {
        Rule::Bound(bound) => step.map_or(0.0, |step| bound.max(step) * all.scale),
        Rule::Decisions(_) => f64::INFINITY,
    };
    let largest = if mismatch.is_some() { f64::INFINITY } else { all.largest };
    let (output, scale) = (name.to_owned(), all.scale);
    Difference { output, largest, mismatch, scale, allowed, decisions, elements, finite }
}

/// How many elements are neither NaN nor infinite.
pub(crate) fn finite_elements(tensor: &Tensor) -> usize {
    match tensor.data() {
        TensorData::F32(v) => v.iter().filter(|x| x.is_finite()).count(),
        TensorData::F64(v) => v.iter().filter(|x| x.is_finite()).count(),
        TensorData::F16(v) => v.iter().filter(|x| x.is_finite()).count(),
        TensorData::BF16(v) => v.iter().filter(|x| x.is_finite()).count(),
        other => other.len(),
    }
}

/// The largest relative distance between neighbouring numbers of half precision. Rounding turns the smallest difference
/// into this. 0 for types that are finer than any bound, `None` for integers and booleans.
pub(crate) fn step_of(dtype: DType) -> Option<f64> {
    match dtype {
        DType::F32 | DType::F64 => Some(0.0),
        DType::F16 => Some(2f64.powi(-10)),
        DType::BF16 => Some(2f64.powi(-7)),
        _ => None,
    }
}

/// Compares two tensors. Expected outputs in half precision are stored as f32, because NumPy's archives are read only
/// so.
fn of_tensors(ours: &Tensor, expected: &Tensor) -> Result<Elements, String> {
    let wide = (expected.dtype() == DType::F32).then(|| ours.to_f32()).flatten();
    wide.as_ref().unwrap_or(ours).difference(expected).map_err(|e| e.to_string())
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
        let [d] = compare(&ours, &expected, Rule::Bound(0.01)).try_into().ok().unwrap();
        assert_eq!((d.largest, d.scale, d.allowed, d.passes()), (0.5, 100.0, 1.0, true));
        assert!(!compare(&ours, &expected, Rule::Bound(0.001))[0].passes());
    }

    #[test]
    fn what_cannot_be_compared_never_passes() {
        let cases: [(&[f32], &[f32], bool); 9] = [
            (&[f32::NAN, 1.0], &[1.0, 1.0], false),
            (&[1.0, 1.0], &[1.0, f32::NAN], false),
            (&[f32::NAN], &[1.0], false),
            (&[f32::NAN, 1.0], &[f32::NAN, 1.0], true),
            (&[f32::NAN], &[f32::NAN], false),
            (&[f32::INFINITY], &[f32::INFINITY], false),
            (&[f32::INFINITY], &[f32::NEG_INFINITY], false),
            (&[1.0, 2.0], &[1.0], false),
            (&[1e-30], &[0.0], false),
        ];
        for (a, b, passes) in cases {
            assert_eq!(compare(&[step(a)], &[step(b)], Rule::Bound(1e-3))[0].passes(), passes, "{a:?} {b:?}");
        }
        let square = Tensor::new(&[1, 1], vec![1f32]).unwrap();
        let square = Tensors::from([("y".to_owned(), square)]);
        let [d] = compare(&[step(&[1.0])], &[square], Rule::Bound(1e-3)).try_into().ok().unwrap();
        let why = "step 0: its dimensions are [1], expected [1, 1]";
        assert_eq!((d.passes(), d.mismatch.as_deref()), (false, Some(why)));
        assert!(!compare(&[step(&[1.0])], &[Tensors::new()], Rule::Bound(1e-3))[0].passes());
        assert!(!compare(&[step(&[1.0])], &[step(&[1.0]), step(&[1.0])], Rule::Bound(1e-3))[0].passes());
    }

    #[test]
    fn a_bound_that_becomes_infinite_allows_nothing() {
        for (a, b) in [(1.0, 1e30), (1e30, 1e30)] {
            let d = &compare(&[step(&[a])], &[step(&[b])], Rule::Bound(f64::MAX))[0];
            assert_eq!((d.allowed, d.passes()), (f64::INFINITY, false), "{a} {b}");
        }
    }

    #[test]
    fn a_nan_on_one_side_does_not_pass_under_any_bound() {
        let d = &compare(&[step(&[f32::NAN, 1e30])], &[step(&[1.0, 1e30])], Rule::Bound(f64::MAX))[0];
        assert_eq!((d.finding(), d.passes()), (Finding::Disagrees, false));
    }

    #[test]
    fn an_output_without_a_finite_element_says_so() {
        let found = |a: &[f32]| {
            let d = compare(&[step(a)], &[step(a)], Rule::Bound(1e-4)).remove(0);
            (d.finding(), d.text())
        };
        let words = "NOTHING COMPARED: none of the 2 elements is finite";
        assert_eq!(found(&[f32::NAN, f32::INFINITY]), (Finding::NothingFinite, words.to_owned()));
        assert_eq!(found(&[]), (Finding::Empty, "empty: it has no element".to_owned()));
        let words = "ok (1 of 3 elements are NaN or infinite on both sides)";
        assert_eq!(found(&[f32::NAN, 1.0, 2.0]), (Finding::Agrees, words.to_owned()));
    }

    #[test]
    fn half_precision_may_be_a_step_off_and_is_compared_with_its_numbers_in_f32() {
        let wide = Tensor::new(&[2], vec![1.0f32, 0.5]).unwrap();
        let next = Tensor::new(&[2], vec![1.0f32, 0.5 + 0.001]).unwrap();
        for (dtype, step) in [(DType::F16, 2f64.powi(-10)), (DType::BF16, 2f64.powi(-7))] {
            let of = |t: &Tensor| [Tensors::from([("y".to_owned(), t.round_to(dtype).unwrap())])];
            let same =
                &compare(&of(&wide), &[Tensors::from([("y".to_owned(), wide.clone())])], Rule::Bound(1e-4))
                    [0];
            assert_eq!((same.largest, same.allowed), (0.0, step));
            assert!(compare(&of(&wide), &of(&next), Rule::Bound(1e-4))[0].passes());
            assert_eq!(compare(&of(&wide), &of(&next), Rule::Bound(1e-1))[0].allowed, 1e-1);
        }
    }

    #[test]
    fn integers_must_be_equal() {
        let step = |x: i64| [Tensors::from([("n".to_owned(), Tensor::scalar(x))])];
        assert!(compare(&step(7), &step(7), Rule::Bound(1e-3))[0].passes());
        assert!(!compare(&step(1_000_001), &step(1_000_000), Rule::Bound(1e-3))[0].passes());
        assert!(!compare(&step(i64::MAX), &step(i64::MAX - 1), Rule::Bound(1e-3))[0].passes());
    }
}
