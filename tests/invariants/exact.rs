//! Tests that kernels have the bits of the reference, and that their errors are within the derived bounds.

use crate::cases::cases;
use crate::{Behaviour, agreed, check};
use libtest_mimic::Failed;
use proptest::prelude::*;
use proptest::sample::select;
use rnnpack::compare::within;
use rnnpack::reference::Real;
use rnnpack::{Cell, Direction, LayerWeights, Shape, Variant};
use rnnpack_dev::bound::{Bounded, TINY, U, activation_error};
use rnnpack_dev::forms::forms;
use rnnpack_dev::options::{activations, is_bounded, parameters};
use rnnpack_dev::{Case, Contents, Output, expected, expected_of, run};
use std::collections::BTreeMap;
use std::sync::Mutex;

pub(crate) const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("kernels_compute_the_reference", kernels_compute_the_reference),
    ("the_error_against_f64_is_within_its_bound", the_error_against_f64_is_within_its_bound),
    ("activations_are_as_exact_as_the_bounds_assume", activations_are_as_exact_as_the_bounds_assume),
    ("one_step_is_within_the_closed_bound_in_k", one_step_is_within_the_closed_bound_in_k),
];

/// Checks the results of a layer of these weights: equal bits with fused multiply-adds; without them, results within the bound
/// of the unfused operations.
pub(crate) fn agree(
    variant: Variant,
    output: &Output<f32>,
    case: &Case,
    contents: &Contents,
    weights: &LayerWeights<'_>,
) -> Result<(), String> {
    match variant.is_fused() {
        true => output.difference(&expected_of(case, contents, weights)),
        false => output.within(&expected_of::<Bounded<false>>(case, contents, weights)).map(drop),
    }
}

fn kernels_compute_the_reference(variant: Variant) -> Result<(), Failed> {
    check(variant, cases(), |case| {
        let contents = case.contents();
        let output = run(&contents.layer(variant), &case, &contents);
        agree(variant, &output, &case, &contents, &contents.weights())?;
        agreed(variant, case.weights, None);
        Ok(())
    })
}

fn the_error_against_f64_is_within_its_bound(variant: Variant) -> Result<(), Failed> {
    let judge = if variant.is_fused() { judge::<true> } else { judge::<false> };
    check(variant, cases(), |case| {
        let contents = case.contents();
        let output = run(&contents.layer(variant), &case, &contents);
        judge(&output, &case, &contents).map(|errors| errors.note(variant, &case))
    })
}

fn judge<const FUSED: bool>(
    output: &Output<f32>,
    case: &Case,
    contents: &Contents,
) -> Result<Errors, String> {
    let bounds = expected::<Bounded<FUSED>>(case, contents);
    let exact = expected::<f64>(case, contents);
    let same = |(bound, &exact): (&Bounded<FUSED>, &f64)| {
        bound.value == exact || bound.value.is_nan() && exact.is_nan()
    };
    if !bounds.y.iter().zip(&exact.y).all(same) {
        return Err("the bounds are about something else than the f64 reference".into());
    }
    let without_bound = bounds.y.iter().filter(|bound| bound.error.is_infinite()).count();
    if without_bound > 0 && case.cells.iter().all(is_bounded) {
        return Err("an element of a cell whose values are bounded has no bound".into());
    }
    let largest = output.within(&bounds)?;
    let plain = case.cells.iter().all(|cell| forms().contains(cell));
    let elements = [exact.y.len(), without_bound];
    Ok(Errors { largest, plain: if plain { largest } else { [0.0; 2] }, elements })
}

/// The errors against f64 of calls of one operator on one instruction set.
#[derive(Clone, Copy, Default)]
struct Errors {
    /// The largest error, and the largest error relative to its bound.
    largest: [f64; 2],
    /// The same, only for calls with ONNX's default activations and without clipping.
    plain: [f64; 2],
    /// The number of elements of Y, and the number of those that may overflow and so have no bound.
    elements: [usize; 2],
}

static ERRORS: Mutex<BTreeMap<[&str; 3], Errors>> = Mutex::new(BTreeMap::new());

impl Errors {
    fn note(self, variant: Variant, case: &Case) {
        // Stronger recurrences are chaotic: errors of any size are within their bounds, so they tell nothing.
        if case.scale > 1.0 {
            return;
        }
        let mut all = ERRORS.lock().unwrap();
        let sum = all.entry([variant.name(), case.cells[0].op(), case.weights.name()]).or_default();
        for i in 0..2 {
            sum.largest[i] = sum.largest[i].max(self.largest[i]);
            sum.plain[i] = sum.plain[i].max(self.plain[i]);
            sum.elements[i] += self.elements[i];
        }
    }
}

/// Prints the errors of all cases whose weights are of the same size as trained ones.
pub(crate) fn report() {
    for ([isa, op, weights], Errors { largest, plain, elements: [all, without] }) in
        ERRORS.lock().unwrap().iter()
    {
        let [error, share] = plain;
        println!(
            "{isa}, {op}, {weights}: with default activations, largest error against f64 {error:.2e}, up to {share:.3} of \
             its bound; with any, up to {:.3} of it, and {without} of {all} elements may overflow and have none",
            largest[1]
        );
    }
}

/// Samples of all finite f32: every activation, at exact arguments.
fn activations_are_as_exact_as_the_bounds_assume(variant: Variant) -> Result<(), Failed> {
    let bounded = |activation, x: f32| match variant.is_fused() {
        true => Bounded::<true>::from(x).activated(activation).error,
        false => Bounded::<false>::from(x).activated(activation).error,
    };
    const STEP: u32 = 131_101;
    check(variant, (activations(parameters()), 0..STEP), |(activation, first)| {
        let sample = (first..u32::MAX).step_by(STEP as usize).map(f32::from_bits);
        let sample: Vec<f32> = sample.filter(|x| x.is_finite()).collect();
        let mut values = sample.clone();
        activation.eval_slice(variant, &mut values);
        let exact: Vec<f64> = sample.iter().map(|&x| activation.eval64(x.into())).collect();
        within(&values, &exact, |i| bounded(activation, sample[i]))
            .map_err(|e| format!("{activation} of {sample:?}: {e}"))
    })
}

/// The closed form that `docs/design.md` derives for one step of an LSTM from an exact state.
fn one_step_is_within_the_closed_bound_in_k(variant: Variant) -> Result<(), Failed> {
    let cases = (0..=500usize, 1..=24usize, 1..=4usize, select(vec![0.1f32, 1.0]), any::<u64>());
    check(variant, cases, |(input, hidden, batch, scale, seed)| {
        let shape = Shape { input, hidden, direction: Direction::Forward };
        let case = Case { scale, ..Case::new(Cell::lstm(), shape, 1, batch, seed) };
        let contents = case.contents();
        let output = run(&contents.layer(variant), &case, &contents);
        let exact = expected::<f64>(&case, &contents);
        let magnitude = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&a, &b)| (f64::from(a) * f64::from(b)).abs()).sum()
        };
        let weights = contents.weights();
        let weights = &weights.directions()[0];
        let activation = activation_error(variant.is_fused());
        let roundings = (input + hidden + 2) as f64 * U;
        let gamma = roundings / (1.0 - roundings);
        for (i, (&h, &c)) in output.h.iter().zip(&output.c).enumerate() {
            let (row, unit) = (i / hidden, i % hidden);
            let x = &contents.x[row * input..][..input];
            let before = &contents.h[row * hidden..][..hidden];
            let sums = [0, 1, 2, 3].map(|gate| {
                let (wb, rb) = (weights.wb(gate, unit), weights.rb(gate, unit));
                let bias = f64::from(wb.abs()) + f64::from(rb.abs());
                bias + magnitude(weights.w_row(gate, unit), x) + magnitude(weights.r_row(gate, unit), before)
            });
            let sum = sums.into_iter().fold(0.0, f64::max);
            let z = gamma * sum + (input + hidden + 2) as f64 * 2.0 * TINY;
            assert!(z < 1.0 / 200.0, "the closed form leaves out second-order terms");
            let cell = f64::from(contents.c[i]).abs();
            let c_bound =
                1.01 * ((cell + 5.0) / 4.0 * z + (cell + 2.0) * activation + 2.0 * (cell + 1.0) * U);
            let h_bound = 1.01 * (z / 4.0 + 2.0 * activation + U + c_bound);
            let bounds = [c_bound, h_bound];
            within(&[c, h], &[exact.c[i], exact.h[i]], |state| bounds[state])
                .map_err(|e| format!("c and h of row {row}, unit {unit}: {e}"))?;
        }
        Ok(())
    })
}
