//! Tests that the comparisons of the tests and benches do not accept a wrong result.

use rnnpack::{Cell, Direction, Shape, Variant};
use rnnpack_dev::bound::Bounded;
use rnnpack_dev::{Case, Output, SENTINEL, expected, run};

fn output() -> (Output<f32>, Output<Bounded<true>>) {
    let shape = Shape { input: 3, hidden: 5, direction: Direction::Bidirectional };
    let case = Case::new(Cell::lstm(), shape, 4, 2, 1);
    let contents = case.contents();
    (expected(&case, &contents), expected(&case, &contents))
}

/// The results with a change in one of the three tensors.
fn changed(output: &Output<f32>, change: impl Fn(&mut Vec<f32>)) -> [Output<f32>; 3] {
    let mut all = [output.clone(), output.clone(), output.clone()];
    change(&mut all[0].y);
    change(&mut all[1].h);
    change(&mut all[2].c);
    all
}

#[test]
fn nan_infinity_and_other_numbers_differ_at_every_place() {
    let (right, bounds) = output();
    right.difference(&right).unwrap();
    right.within(&bounds).unwrap();
    let last = right.h.len() - 1;
    for at in [0, last / 2, last] {
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, SENTINEL, 0.75, f32::MAX] {
            for output in changed(&right, |values| values[at] = wrong) {
                output.difference(&right).unwrap_err();
                right.difference(&output).unwrap_err();
                output.within(&bounds).unwrap_err();
            }
        }
        // The neighbouring number has other bits, but is within the bound.
        for output in changed(&right, |values| values[at] = f32::from_bits(values[at].to_bits() ^ 1)) {
            output.difference(&right).unwrap_err();
            output.within(&bounds).unwrap();
        }
    }
}

#[test]
fn other_lengths_differ() {
    let (right, bounds) = output();
    let shorter = changed(&right, |values| values.truncate(values.len() - 1));
    let longer = changed(&right, |values| values.push(0.0));
    let empty = changed(&right, Vec::clear);
    for output in shorter.into_iter().chain(longer).chain(empty) {
        output.difference(&right).unwrap_err();
        right.difference(&output).unwrap_err();
        output.within(&bounds).unwrap_err();
    }
}

#[test]
fn what_a_call_left_unwritten_is_no_nan_that_it_computed() {
    let (right, _) = output();
    for (computed, left) in changed(&right, |values| values[0] = f32::NAN)
        .into_iter()
        .zip(changed(&right, |values| values[0] = SENTINEL))
    {
        computed.difference(&computed).unwrap();
        computed.difference(&left).unwrap_err();
        left.difference(&computed).unwrap_err();
    }
}

#[test]
fn a_kernel_on_weights_with_two_gates_exchanged_differs() {
    let shape = Shape { input: 3, hidden: 5, direction: Direction::Forward };
    let case = Case::new(Cell::lstm(), shape, 4, 2, 1);
    let contents = case.contents();
    let right = expected::<f32>(&case, &contents);
    let mut exchanged = contents.clone();
    exchanged.w.rotate_left(5 * 3);
    for variant in Variant::available().filter(|variant| variant.is_fused()) {
        run(&contents.layer(variant), &case, &contents).difference(&right).unwrap();
        run(&exchanged.layer(variant), &case, &exchanged).difference(&right).unwrap_err();
    }
}
