//! What the comparisons say together.

use super::Comparison;
use crate::compare::{Difference, Finding};
use rnnpack_onnx::DType;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    Pass,
    Fail,
    NothingCompared,
}

impl Verdict {
    /// The verdict of all comparisons that count.
    pub(super) fn of(comparisons: &[Comparison]) -> Verdict {
        let counted = comparisons.iter().filter(|c| c.excuse.is_none());
        let findings: Vec<Finding> =
            counted.filter_map(|c| c.result.as_ref().ok()).flatten().map(Difference::finding).collect();
        let bad = |finding: &Finding| !matches!(finding, Finding::Agrees | Finding::Empty);
        match findings.as_slice() {
            all if all.iter().any(bad) => Verdict::Fail,
            all if all.contains(&Finding::Agrees) => Verdict::Pass,
            _ => Verdict::NothingCompared,
        }
    }
}

impl Comparison {
    /// Whether something was compared here, and nothing failed.
    fn agrees(&self) -> bool {
        Verdict::of(std::slice::from_ref(self)) == Verdict::Pass
    }

    pub(super) fn fails(&self) -> bool {
        Verdict::of(std::slice::from_ref(self)) == Verdict::Fail
    }
}

/// Excuses a difference from tract if only tract's own operator can be its reason. `half` is the type of a recurrent
/// node in half precision.
///
/// f64 shares the reading of the node's attributes with rnnpack, so on its own it does not overrule tract.
pub(super) fn excuse(comparisons: &mut [Comparison], half: Option<DType>) {
    let agrees = |with: &str| comparisons.iter().any(|c| c.with == with && c.agrees());
    let reason = match (agrees("f64"), half, agrees("recorded")) {
        (true, Some(half), _) => format!(
            "tract's own operator computes the layer in {half} and rounds every sum; rnnpack agrees with f64"
        ),
        (true, None, true) => {
            "rnnpack agrees with f64 and with the recorded outputs; only tract's own operator is off"
                .to_owned()
        }
        _ => return,
    };
    if let Some(tract) = comparisons.iter_mut().find(|c| c.with == "tract" && c.fails()) {
        tract.excuse = Some(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::compare;
    use crate::tensors::Tensors;
    use rnnpack_onnx::Tensor;

    /// A comparison of a 1 with `theirs`.
    fn against(with: &'static str, theirs: f32) -> Comparison {
        let step = |x: f32| [Tensors::from([("y".to_owned(), Tensor::scalar(x))])];
        Comparison { with, result: Ok(compare(&step(1.0), &step(theirs), 1e-4)), excuse: None }
    }

    /// The verdict after excuses, and whether tract was excused.
    fn judged(mut all: Vec<Comparison>, half: Option<DType>) -> (Verdict, bool) {
        excuse(&mut all, half);
        (Verdict::of(&all), all.iter().any(|c| c.excuse.is_some()))
    }

    #[test]
    fn a_difference_from_tract_alone_is_excused_by_half_precision_or_by_recorded_outputs() {
        use Verdict::{Fail, Pass};
        let half = Some(DType::F16);
        for (f64, tract, recorded, half, expected) in [
            (1.0, 1.0, None, None, (Pass, false)),
            (1.0, 1.1, None, None, (Fail, false)),
            (1.0, 1.1, None, half, (Pass, true)),
            (1.0, 1.0, None, half, (Pass, false)),
            (1.1, 1.1, None, half, (Fail, false)),
            (1.0, 1.1, Some(1.0), None, (Pass, true)),
            (1.0, 1.1, Some(1.1), None, (Fail, false)),
            (1.0, 1.1, Some(1.1), half, (Fail, true)),
            (1.1, 1.1, Some(1.0), None, (Fail, false)),
            (1.0, f32::NAN, None, None, (Fail, false)),
        ] {
            let mut all = vec![against("f64", f64), against("tract", tract)];
            all.extend(recorded.map(|y| against("recorded", y)));
            assert_eq!(judged(all, half), expected, "{f64} {tract} {recorded:?} {half:?}");
        }
    }

    #[test]
    fn nothing_passes_where_nothing_was_compared() {
        let left_out = |with| Comparison { with, result: Err("a reason".to_owned()), excuse: None };
        assert_eq!(Verdict::of(&[left_out("f64"), left_out("tract")]), Verdict::NothingCompared);
        assert_eq!(
            judged(vec![left_out("f64"), against("tract", 1.1)], Some(DType::F16)),
            (Verdict::Fail, false)
        );
        let empty = [Tensors::from([("y".to_owned(), Tensor::new(&[0], Vec::<f32>::new()).unwrap())])];
        let empty = Comparison { with: "f64", result: Ok(compare(&empty, &empty, 1e-4)), excuse: None };
        assert_eq!(Verdict::of(&[empty]), Verdict::NothingCompared);
        let nan = against("f64", f32::NAN);
        assert_eq!(Verdict::of(&[nan]), Verdict::Fail);
    }
}
