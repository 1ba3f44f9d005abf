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

    /// Whether it fails by differences of finite numbers alone.
    fn exceeds(&self) -> bool {
        let finding =
            |d: &Difference| matches!(d.finding(), Finding::Agrees | Finding::Empty | Finding::Exceeds);
        self.fails() && self.result.as_ref().is_ok_and(|all| all.iter().all(finding))
    }
}

/// Excuses a difference from tract if tract's own operator is its reason: rnnpack agrees with f64, and with the recorded
/// outputs if there are any. `half` is the type of a recurrent node in half precision. A NaN on one side is never excused.
pub(super) fn excuse(comparisons: &mut [Comparison], half: Option<DType>) {
    let of = |with: &str| comparisons.iter().find(|c| c.with == with);
    let recorded = of("recorded").map(Comparison::agrees);
    if !of("f64").is_some_and(Comparison::agrees) {
        return;
    }
    let reason = match (half, recorded) {
        (Some(half), _) => format!(
            "tract's own operator computes the layer in {half} and rounds every sum; rnnpack agrees with f64"
        ),
        (None, Some(true)) => {
            "rnnpack agrees with f64 and with the recorded outputs; only tract's own operator is off"
                .to_owned()
        }
        (None, None) => {
            "rnnpack agrees with f64; only tract's own operator is off (--recorded would judge both)"
                .to_owned()
        }
        (None, Some(false)) => return,
    };
    if let Some(tract) = comparisons.iter_mut().find(|c| c.with == "tract" && c.exceeds()) {
        tract.excuse = Some(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Rule, compare};
    use crate::tensors::Tensors;
    use rnnpack_onnx::Tensor;

    /// A comparison of a 1 with `theirs`.
    fn against(with: &'static str, theirs: f32) -> Comparison {
        let step = |x: f32| [Tensors::from([("y".to_owned(), Tensor::scalar(x))])];
        Comparison {
            with,
            result: Ok(compare(&step(1.0), &step(theirs), Rule::Bound(1e-4))),
            excuse: None,
            allowance: None,
        }
    }

    /// The verdict after excuses, and whether tract was excused.
    fn judged(mut all: Vec<Comparison>, half: Option<DType>) -> (Verdict, bool) {
        excuse(&mut all, half);
        (Verdict::of(&all), all.iter().any(|c| c.excuse.is_some()))
    }

    #[test]
    fn a_difference_from_tract_alone_is_excused_where_f64_agrees() {
        use Verdict::{Fail, Pass};
        let half = Some(DType::F16);
        for (f64, tract, recorded, half, expected) in [
            (1.0, 1.0, None, None, (Pass, false)),
            (1.0, 1.1, None, None, (Pass, true)),
            (1.0, 1.1, None, half, (Pass, true)),
            (1.0, 1.0, None, half, (Pass, false)),
            (1.1, 1.1, None, half, (Fail, false)),
            (1.0, 1.1, Some(1.0), None, (Pass, true)),
            (1.0, 1.1, Some(1.1), None, (Fail, false)),
            (1.0, 1.1, Some(1.1), half, (Fail, true)),
            (1.1, 1.1, Some(1.0), None, (Fail, false)),
            (1.0, f32::NAN, None, None, (Fail, false)),
            (1.1, 1.1, None, None, (Fail, false)),
        ] {
            let mut all = vec![against("f64", f64), against("tract", tract)];
            all.extend(recorded.map(|y| against("recorded", y)));
            assert_eq!(judged(all, half), expected, "{f64} {tract} {recorded:?} {half:?}");
        }
    }

    #[test]
    fn nothing_passes_where_nothing_was_compared() {
        let left_out =
            |with| Comparison { with, result: Err("a reason".to_owned()), excuse: None, allowance: None };
        assert_eq!(Verdict::of(&[left_out("f64"), left_out("tract")]), Verdict::NothingCompared);
        assert_eq!(
            judged(vec![left_out("f64"), against("tract", 1.1)], Some(DType::F16)),
            (Verdict::Fail, false)
        );
        let empty = [Tensors::from([("y".to_owned(), Tensor::new(&[0], Vec::<f32>::new()).unwrap())])];
        let empty = Comparison {
            with: "f64",
            result: Ok(compare(&empty, &empty, Rule::Bound(1e-4))),
            excuse: None,
            allowance: None,
        };
        assert_eq!(Verdict::of(&[empty]), Verdict::NothingCompared);
        let nan = against("f64", f32::NAN);
        assert_eq!(Verdict::of(&[nan]), Verdict::Fail);
    }
}
