//! Tests of rows that are hard to quantize: of zeros, of equal, huge, tiny and subnormal elements, and of elements that are not
//! finite. Integers of such rows give the bits of the reference, and are within the bound of it.

use crate::cases::{any_direction, cases_of, plain_cells};
use crate::weight_types::compare_each_dots;
use crate::{Behaviour, check};
use libtest_mimic::Failed;
use rnnpack::{Variant, WeightType};
use rnnpack_dev::bound::Bounded;
use rnnpack_dev::numbers::Numbers;
use rnnpack_dev::{Case, Contents, expected, run};

pub(crate) const BEHAVIOURS: &[(&str, Behaviour)] = &[(
    "rows_that_are_hard_to_quantize_are_the_reference_and_within_its_bound",
    rows_that_are_hard_to_quantize_are_the_reference_and_within_its_bound,
)];

/// The smallest largest element of a row of weights that is not taken for zeros.
const SMALLEST: f32 = 127.0 * f32::MIN_POSITIVE;

/// Gives each row one of these forms, or leaves it. `huge` is the largest element.
fn spoil(rows: &mut [f32], columns: usize, numbers: &mut Numbers, huge: f32) {
    for row in rows.chunks_mut(columns.max(1)) {
        let at = numbers.below(row.len());
        let element = row[at];
        match numbers.below(12) {
            0 => row.fill(0.0),
            1 => row.fill(element),
            2 => row[at] = huge,
            3 => row.iter_mut().for_each(|x| *x *= 1e-40),
            4 => row.iter_mut().for_each(|x| *x *= 1e-34),
            5 => row.fill(f32::from_bits(1)),
            6 => row.fill(-SMALLEST),
            7 => row.fill(f32::from_bits(SMALLEST.to_bits() - 1)),
            _ => {}
        }
    }
}

/// Puts a number that is not finite into one row in eight.
fn spoil_wholly(rows: &mut [f32], columns: usize, numbers: &mut Numbers) {
    for row in rows.chunks_mut(columns.max(1)) {
        let (at, bad) = (numbers.below(row.len()), [f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        if numbers.below(8) == 0 {
            row[at] = bad[numbers.below(3)];
        }
    }
}

/// The case's contents with such rows. Not both of weights and factors are huge: a product of two scales beyond f32 is NaN,
/// also for a sum of zero.
fn spoiled(case: &Case) -> Contents {
    let (mut contents, mut numbers) = (case.contents(), Numbers(!case.seed));
    let (input, hidden) = (case.shape.input, case.shape.hidden);
    let huge = [[f32::MAX, 1.0], [1.0, 1e30]][numbers.below(2)];
    spoil(&mut contents.w, input, &mut numbers, huge[0]);
    spoil(&mut contents.r, hidden, &mut numbers, huge[0]);
    spoil(&mut contents.x, input, &mut numbers, huge[1]);
    spoil(&mut contents.h, hidden, &mut numbers, 1.0);
    if numbers.below(2) == 0 {
        spoil_wholly(&mut contents.x, input, &mut numbers);
    }
    contents
}

fn rows_that_are_hard_to_quantize_are_the_reference_and_within_its_bound(
    variant: Variant,
) -> Result<(), Failed> {
    let cases = cases_of(plain_cells(), any_direction());
    check(variant, cases, |case| {
        let case = Case { weights: WeightType::I8, ..case };
        let contents = spoiled(&case);
        compare_each_dots(variant, &case, &contents)?;
        // Those of other instruction sets are within it already.
        match variant.is_fused() {
            true => run(&contents.layer(variant), &case, &contents)
                .within(&expected::<Bounded<true>>(&case, &contents))
                .map(drop),
            false => Ok(()),
        }
    })
}
