//! Tests that weights of 16 bits give the bits of f32 weights that were rounded before.

use crate::cases::{any_cells, any_direction, cases, cases_of};
use crate::{Behaviour, check};
use libtest_mimic::Failed;
use proptest::prelude::*;
use proptest::sample::select;
use rnnpack::{Layer, Scratch, Sequence, Threads, Variant, WeightType};
use rnnpack_dev::bound::Bounded;
use rnnpack_dev::{Case, Contents, Output, SENTINEL, embedded, expected_of, layer, run};

pub(crate) const BEHAVIOURS: &[(&str, Behaviour)] = &[
    (
        "narrow_weights_compute_the_reference_of_rounded_ones",
        narrow_weights_compute_the_reference_of_rounded_ones,
    ),
    (
        "narrow_weights_are_those_of_a_layer_of_rounded_f32",
        narrow_weights_are_those_of_a_layer_of_rounded_f32,
    ),
    ("bytes_keep_the_type_of_the_weights", bytes_keep_the_type_of_the_weights),
];

fn narrow() -> impl Strategy<Value = WeightType> {
    select(vec![WeightType::Bf16, WeightType::F16])
}

/// Calls with weights of all sizes that f16 can hold: some are subnormal in f16, some become zero.
fn scaled() -> impl Strategy<Value = Case> {
    let scales = select(vec![1e-7f32, 1e-5, 0.1, 1.0, 60.0]);
    let scaled =
        (cases_of(any_cells(), any_direction()), scales).prop_map(|(case, scale)| Case { scale, ..case });
    prop_oneof![cases(), scaled]
}

fn narrow_weights_compute_the_reference_of_rounded_ones(variant: Variant) -> Result<(), Failed> {
    check(variant, (scaled(), narrow()), |(case, narrow)| {
        let contents = case.contents();
        let weights = contents.weights().with_type(narrow).unwrap();
        let output = run(&layer(variant, &weights), &case, &contents);
        if variant.is_fused() {
            return output.difference(&expected_of(&case, &contents, &weights));
        }
        output.within(&expected_of::<Bounded<false>>(&case, &contents, &weights)).map(drop)
    })
}

fn rounded(contents: &Contents, narrow: WeightType) -> Contents {
    let all = |weights: &[f32]| weights.iter().map(|&weight| narrow.rounded(weight)).collect();
    Contents { w: all(&contents.w), r: all(&contents.r), ..contents.clone() }
}

/// On any variant, batch, threads and by steps.
fn narrow_weights_are_those_of_a_layer_of_rounded_f32(variant: Variant) -> Result<(), Failed> {
    check(variant, (scaled(), narrow()), |(case, narrow)| {
        let contents = case.contents();
        let layer = layer(variant, &contents.weights().with_type(narrow).unwrap());
        if layer.weight_type() != narrow {
            return Err("another type of weights".into());
        }
        let right = run(&rounded(&contents, narrow).layer(variant), &case, &contents);
        let mut state = contents.state(&layer, case.batch);
        let mut y = vec![SENTINEL; right.y.len()];
        let sequence = Sequence::dense(&contents.x, &mut y);
        let sequence = sequence.optional_lens(case.lens.as_deref()).threads(Threads::Pool);
        layer.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
        Output::new(y, &state).difference(&right)?;
        if case.shape.direction.count() > 1 || case.lens.is_some() || case.time == 0 {
            return Ok(());
        }
        // By steps, in the direction of the layer.
        let (mut state, mut scratch) = (contents.state(&layer, case.batch), Scratch::new());
        let (of_x, of_y) = (case.batch * case.shape.input, case.batch * case.shape.hidden);
        let mut y = vec![SENTINEL; right.y.len()];
        let reverse = case.shape.direction == rnnpack::Direction::Reverse;
        for step in 0..case.time {
            let t = if reverse { case.time - 1 - step } else { step };
            let x = &contents.x[t * of_x..][..of_x];
            layer.step(x, &mut state, &mut y[t * of_y..][..of_y], &mut scratch).unwrap();
        }
        Output::new(y, &state).difference(&right)
    })
}

fn bytes_keep_the_type_of_the_weights(variant: Variant) -> Result<(), Failed> {
    check(variant, (scaled(), select(WeightType::ALL.to_vec())), |(case, weight_type)| {
        let contents = case.contents();
        let weights = contents.weights().with_type(weight_type).unwrap();
        let packed = layer(variant, &weights);
        let bytes = weights.to_bytes(variant.target()).unwrap();
        let in_place = Layer::from_static(embedded(&bytes, 0)).unwrap();
        for read in [in_place, Layer::from_bytes(&bytes).unwrap()] {
            if (read.weight_type(), read.to_bytes().unwrap()) != (weight_type, bytes.clone()) {
                return Err(format!("{weight_type:?} became {:?}", read.weight_type()));
            }
            run(&read, &case, &contents).difference(&run(&packed, &case, &contents))?;
        }
        Ok(())
    })
}
