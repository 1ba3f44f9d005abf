//! Tests of narrow weights: 16 bits give the bits of f32 weights that were rounded before, and integers have one answer
//! whatever the instructions that add them. All other behaviours draw the type of weights too.

use crate::cases::{any_cells, any_direction, cases, cases_of};
use crate::exact::agree;
use crate::{Behaviour, agreed, check};
use libtest_mimic::Failed;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rnnpack::{Dots, Layer, LayerScales, LayerWeights, Planner, Scale, Scratch, Sequence};
use rnnpack::{Subnormals, Threads, Variant, WeightType};
use rnnpack_dev::bound::Bounded;
use rnnpack_dev::numbers::Numbers;
use rnnpack_dev::{Case, Contents, Output, SENTINEL, embedded, expected_of, layer, run};

pub(crate) const BEHAVIOURS: &[(&str, Behaviour)] = &[
    (
        "weights_of_16_bits_are_those_of_a_layer_of_rounded_f32",
        weights_of_16_bits_are_those_of_a_layer_of_rounded_f32,
    ),
    ("bytes_keep_the_type_of_the_weights", bytes_keep_the_type_of_the_weights),
    ("all_dot_products_give_the_same_bits", all_dot_products_give_the_same_bits),
    ("pairs_of_bf16_are_within_their_bound", pairs_of_bf16_are_within_their_bound),
    ("given_scales_keep_every_weight", given_scales_keep_every_weight),
    (
        "a_row_that_is_not_finite_becomes_nan_and_changes_no_other_row",
        a_row_that_is_not_finite_becomes_nan_and_changes_no_other_row,
    ),
];

/// Calls with weights of all sizes that f16 can hold: some are subnormal in f16, some become zero.
fn scaled() -> impl Strategy<Value = Case> {
    let scales = select(vec![1e-7f32, 1e-5, 0.1, 1.0, 60.0]);
    let scaled =
        (cases_of(any_cells(), any_direction()), scales).prop_map(|(case, scale)| Case { scale, ..case });
    prop_oneof![cases(), scaled]
}

fn weights_of_16_bits_are_those_of_a_layer_of_rounded_f32(variant: Variant) -> Result<(), Failed> {
    let narrow = select(vec![WeightType::Bf16, WeightType::F16]);
    check(variant, (scaled(), narrow), |(case, weights)| {
        let case = Case { weights, ..case };
        let contents = case.contents();
        let all = |tensor: &[f32]| tensor.iter().map(|&weight| weights.rounded(weight)).collect();
        let (w, r) = (all(&contents.w), all(&contents.r));
        let rounded = Contents { weights: WeightType::F32, w, r, ..contents.clone() };
        let layer = contents.layer(variant);
        if layer.weight_type() != weights {
            return Err("another type of weights".into());
        }
        run(&layer, &case, &contents).difference(&run(&rounded.layer(variant), &case, &rounded))?;
        agreed(variant, weights, None);
        Ok(())
    })
}

fn bytes_keep_the_type_of_the_weights(variant: Variant) -> Result<(), Failed> {
    check(variant, scaled(), |case| {
        let contents = case.contents();
        let weights = contents.weights();
        let packed = layer(variant, &weights);
        let bytes = weights.to_bytes(variant.target()).unwrap();
        let in_place = Layer::from_static(embedded(&bytes, 0)).unwrap();
        for read in [in_place, Layer::from_bytes(&bytes).unwrap()] {
            if (read.weight_type(), read.to_bytes().unwrap()) != (case.weights, bytes.clone()) {
                return Err(format!("{:?} became {:?}", case.weights, read.weight_type()));
            }
            run(&read, &case, &contents).difference(&run(&packed, &case, &contents))?;
        }
        Ok(())
    })
}

/// The layer with each kind of dot products that this CPU has.
fn with_each_dots(variant: Variant, weights: &LayerWeights<'_>) -> Vec<Layer> {
    let mut plan = Planner::for_isa(variant.name()).unwrap().plan(weights.cell(), weights.shape());
    let with = |dots| {
        plan.dots = dots;
        Layer::with_plan(weights, plan).unwrap()
    };
    variant.dots().map(with).collect()
}

/// Checks that every kind of dot products that the CPU has computes the reference.
pub(crate) fn compare_each_dots(variant: Variant, case: &Case, contents: &Contents) -> Result<(), String> {
    let weights = contents.weights();
    let layers = with_each_dots(variant, &weights);
    let first = run(&layers[0], case, contents);
    agree(variant, &first, case, contents, &weights)?;
    layers.iter().try_for_each(|layer| {
        let dots = layer.plan().dots;
        run(layer, case, contents).difference(&first).map_err(|e| format!("{dots:?}: {e}"))?;
        agreed(variant, case.weights, Some(dots));
        Ok(())
    })
}

fn all_dot_products_give_the_same_bits(variant: Variant) -> Result<(), Failed> {
    check(variant, cases(), |case| {
        let case = Case { weights: WeightType::I8, ..case };
        let contents = case.contents();
        compare_each_dots(variant, &case, &contents)
    })
}

/// The mode outside of the contract: within the bound of two roundings for each product and of factors of bf16. Without tiles,
/// a sequence alone has the bits that it has in a batch.
fn pairs_of_bf16_are_within_their_bound(variant: Variant) -> Result<(), Failed> {
    check(variant, cases(), |case| {
        let case = Case { weights: WeightType::Bf16Dot, ..case };
        let contents = case.contents();
        // The instruction takes subnormal numbers for zero.
        let weights = contents.weights().with_subnormals(Subnormals::FlushWeights).unwrap();
        let layer = layer(variant, &weights);
        let got = run(&layer, &case, &contents);
        let mut bounds = expected_of::<Bounded<false>>(&case, &contents, &weights);
        // Sums that are subnormal may become zero too: far more than all of them together.
        let tensors = [&mut bounds.y, &mut bounds.h, &mut bounds.c];
        tensors.into_iter().flatten().for_each(|bound| bound.error += 1e-30);
        got.within(&bounds)?;
        let mut plan = *layer.plan();
        plan.dots = Dots::Vnni;
        let layer = Layer::with_plan(&weights, plan).unwrap();
        let whole = run(&layer, &case, &contents);
        let mut state = contents.state(&layer, case.batch);
        let mut y = vec![SENTINEL; got.y.len()];
        let sequence = Sequence::dense(&contents.x, &mut y);
        let sequence = sequence.optional_lens(case.lens.as_deref()).threads(Threads::Pool);
        layer.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
        Output::new(y, &state).difference(&whole)?;
        agreed(variant, case.weights, None);
        Ok(())
    })
}

/// Weights that are multiples of given scales, with any zero points.
fn given_scales_keep_every_weight(variant: Variant) -> Result<(), Failed> {
    let zero_points = select(vec![0, 0, -128, 127, 5, 128, -1000]);
    let choices = (zero_points.clone(), zero_points, select(vec![1e-3f32, 0.01, -0.02, 1e-20, 1e-40]));
    check(variant, (cases(), choices), |(case, (w_zero_point, r_zero_point, size))| {
        let case = Case { weights: WeightType::F32, ..case };
        let mut contents = case.contents();
        let mut numbers = Numbers(case.seed);
        let mut multiples = |weights: &mut [f32], columns: usize, zero_point: i32| -> Vec<f32> {
            let rows = weights.chunks_mut(columns.max(1));
            rows.map(|row| {
                let scale = size * numbers.scaled(1, 1.0)[0];
                for weight in row {
                    let integer = (numbers.scaled(1, 128.0)[0] as i32).clamp(-128, 127);
                    *weight = Scale { scale, zero_point }.weight(integer);
                }
                scale
            })
            .collect()
        };
        let w = multiples(&mut contents.w, case.shape.input, w_zero_point);
        let r = multiples(&mut contents.r, case.shape.hidden, r_zero_point);
        let w = if case.shape.input == 0 { vec![1.0; r.len()] } else { w };
        let directions = case.shape.direction.count();
        let points = [vec![w_zero_point; directions], vec![r_zero_point; directions]];
        let scales = LayerScales { w: &w, r: &r, w_zero_points: &points[0], r_zero_points: &points[1] };
        let weights = contents.weights().with_scales(scales).unwrap();
        for (d, of_direction) in weights.directions().iter().enumerate() {
            let unit = case.seed as usize % case.shape.hidden;
            let row = d * of_direction.cell().gates() * case.shape.hidden + unit;
            if (of_direction.w_scale(0, unit).scale, of_direction.r_scale(0, unit).scale) != (w[row], r[row])
                || !of_direction.stored_r(0, unit).eq(of_direction.r_row(0, unit).iter().copied())
            {
                return Err("another scale or other weights".into());
            }
        }
        let again = weights.clone().with_type(WeightType::I8).unwrap();
        if again.directions()[0].r_scale(0, 0) != weights.directions()[0].r_scale(0, 0) {
            return Err("asking for int8 again dropped the scales".into());
        }
        for layer in with_each_dots(variant, &weights) {
            let got = run(&layer, &case, &contents);
            agree(variant, &got, &case, &contents, &weights)?;
            agreed(variant, WeightType::I8, Some(layer.plan().dots));
            let bytes = layer.to_bytes().unwrap();
            run(&Layer::from_bytes(&bytes).unwrap(), &case, &contents).difference(&got)?;
        }
        Ok(())
    })
}

fn a_row_that_is_not_finite_becomes_nan_and_changes_no_other_row(variant: Variant) -> Result<(), Failed> {
    let bad = select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
    check(variant, (cases(), any::<Index>(), bad), |(case, place, bad)| {
        let case = Case { weights: WeightType::I8, lens: None, ..case };
        let contents = case.contents();
        if contents.x.is_empty() || !case.cells.iter().all(rnnpack_dev::options::is_bounded) {
            return Ok(());
        }
        let layer = contents.layer(variant);
        let right = run(&layer, &case, &contents);
        let mut spoiled = contents.clone();
        let place = place.index(spoiled.x.len());
        spoiled.x[place] = bad;
        let got = run(&layer, &case, &spoiled);
        let (row, time) = (place / case.shape.input % case.batch, place / case.shape.input / case.batch);
        let (hidden, directions) = (case.shape.hidden, case.shape.direction.count());
        for (i, (&got, &right)) in got.y.iter().zip(&right.y).enumerate() {
            let (b, t) = (i / hidden % case.batch, i / hidden / case.batch / directions);
            let (d, same_row) = (i / hidden / case.batch % directions, b == row);
            let reverse = d == 1 || case.shape.direction == rnnpack::Direction::Reverse;
            let after = if reverse { t <= time } else { t >= time };
            match same_row && after {
                true if !got.is_nan() => return Err(format!("y[{i}] is {got:e} after {bad}")),
                false if got.to_bits() != right.to_bits() => return Err(format!("y[{i}] changed")),
                _ => {}
            }
        }
        Ok(())
    })
}
