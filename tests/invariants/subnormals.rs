//! Tests what layers do with subnormal numbers, and that the thread's own floating-point environment changes nothing.

use crate::cases::{any_cells, any_direction, cases, cases_of};
use crate::{Behaviour, check};
use libtest_mimic::Failed;
use proptest::prelude::*;
use proptest::sample::select;
use rnnpack::reference::Flushed;
use rnnpack::{Activation, Cell, GruCell, LstmCell, RnnCell};
use rnnpack::{Layer, LayerWeights, Scratch, Sequence, Subnormals, Threads, Variant};
use rnnpack_dev::environment::{STRANGE, inside};
use rnnpack_dev::{Case, Contents, Output, SENTINEL, embedded, expected_of, layer, run};

pub(crate) const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("flushing_computes_the_reference_that_flushes", flushing_computes_the_reference_that_flushes),
    ("a_row_alone_flushes_as_it_does_in_a_batch", a_row_alone_flushes_as_it_does_in_a_batch),
    ("flushed_weights_are_zeros", flushed_weights_are_zeros),
    ("the_environment_of_the_thread_changes_no_bit", the_environment_of_the_thread_changes_no_bit),
    ("bytes_keep_what_a_layer_does_with_subnormals", bytes_keep_what_a_layer_does_with_subnormals),
];

/// Calls whose numbers are around the smallest normal one, and others.
fn tiny_cases() -> impl Strategy<Value = Case> {
    let scales = select(vec![1e-38f32, 4e-38, 1e-30, 1e-19, 0.1, 1.0, 60.0]);
    let cases = cases_of(any_cells(), any_direction());
    (cases, scales).prop_map(|(case, scale)| usable(Case { scale, ..case }))
}

/// The case without subnormal options, which a layer that flushes refuses.
fn usable(case: Case) -> Case {
    let number = |x: f32| if x.is_subnormal() { 0.25 } else { x };
    let function = |activation: Activation| {
        let (alpha, beta) = activation.parameters();
        activation.with_parameters(alpha.map(number), beta.map(number))
    };
    let cells = case.cells.map(|cell| match cell {
        Cell::Lstm(cell) => {
            let activations = cell.activations.map(function);
            Cell::Lstm(LstmCell { activations, clip: cell.clip.map(number), ..cell })
        }
        Cell::Gru(cell) => {
            let activations = cell.activations.map(function);
            Cell::Gru(GruCell { activations, clip: cell.clip.map(number), ..cell })
        }
        Cell::Rnn(cell) => {
            Cell::Rnn(RnnCell { activation: function(cell.activation), clip: cell.clip.map(number) })
        }
    });
    Case { cells, ..case }
}

fn flushing(contents: &Contents, subnormals: Subnormals) -> LayerWeights<'_> {
    contents.weights().with_subnormals(subnormals).unwrap()
}

fn flushing_computes_the_reference_that_flushes(variant: Variant) -> Result<(), Failed> {
    check(variant, tiny_cases(), |case| {
        let contents = case.contents();
        // Weights that are subnormal become zero before they are rounded to their type: some would become normal numbers.
        let weights = flushing(&contents, Subnormals::Flush);
        let got = run(&layer(variant, &weights), &case, &contents);
        let Output { y, h, c } = expected_of::<Flushed>(&case, &contents, &weights);
        let numbers = |flushed: Vec<Flushed>| flushed.into_iter().map(|x| x.0).collect::<Vec<f32>>();
        let right = Output { y: numbers(y), h: numbers(h), c: numbers(c) };
        if variant.is_fused() {
            return got.difference(&right);
        }
        // What is computed has no subnormals, whatever the multiply-adds are.
        match got.y.iter().find(|y| y.is_subnormal()) {
            Some(y) => Err(format!("y has {y:e}")),
            None => Ok(()),
        }
    })
}

fn a_row_alone_flushes_as_it_does_in_a_batch(variant: Variant) -> Result<(), Failed> {
    let many = (tiny_cases(), 1..=40usize).prop_map(|(case, batch)| Case { batch, lens: None, ..case });
    check(variant, many, |case| {
        let contents = case.contents();
        let layer = layer(variant, &flushing(&contents, Subnormals::Flush));
        let whole = run(&layer, &case, &contents);
        let mut state = contents.state(&layer, case.batch);
        let mut y = vec![f32::NAN; whole.y.len()];
        let sequence = Sequence::dense(&contents.x, &mut y).threads(Threads::Pool);
        layer.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
        Output::new(y, &state).difference(&whole)?;
        for row in 0..case.batch {
            of_row(&layer, &case, &contents, row).difference(&row_of(&whole, &case, row))?;
        }
        Ok(())
    })
}

/// The results of one row of a call, in a call of its own.
fn of_row(layer: &Layer, case: &Case, contents: &Contents, row: usize) -> Output<f32> {
    let one = Case { batch: 1, ..case.clone() };
    let rows = |all: &[f32], width: usize| -> Vec<f32> {
        all.chunks(case.batch * width).flat_map(|rows| &rows[row * width..][..width]).copied().collect()
    };
    let (input, hidden) = (case.shape.input, case.shape.hidden);
    let x = if input == 0 { vec![] } else { rows(&contents.x, input) };
    let alone =
        Contents { x, h: rows(&contents.h, hidden), c: rows(&contents.c, hidden), ..contents.clone() };
    run(layer, &one, &alone)
}

/// One row of the results of a call.
fn row_of(whole: &Output<f32>, case: &Case, row: usize) -> Output<f32> {
    let hidden = case.shape.hidden;
    let rows = |all: &[f32]| -> Vec<f32> {
        all.chunks(case.batch * hidden).flat_map(|rows| &rows[row * hidden..][..hidden]).copied().collect()
    };
    Output { y: rows(&whole.y), h: rows(&whole.h), c: rows(&whole.c) }
}

fn flushed_weights_are_zeros(variant: Variant) -> Result<(), Failed> {
    check(variant, tiny_cases(), |case| {
        let contents = case.contents();
        let weights = flushing(&contents, Subnormals::FlushWeights);
        let (mut zeros, mut count) = (contents.clone(), 0);
        let tensors = [Some(&mut zeros.w), Some(&mut zeros.r), zeros.b.as_mut(), zeros.p.as_mut()];
        for weight in tensors.into_iter().flatten().flatten().filter(|weight| weight.is_subnormal()) {
            *weight = 0f32.copysign(*weight);
            count += 1;
        }
        let layer = layer(variant, &weights);
        if (weights.subnormal_weights(), layer.flushed_weights()) != (count, count as u64) {
            return Err(format!("{count} weights are subnormal, {} counted", weights.subnormal_weights()));
        }
        run(&layer, &case, &contents).difference(&run(&zeros.layer(variant), &case, &zeros))
    })
}

fn the_environment_of_the_thread_changes_no_bit(variant: Variant) -> Result<(), Failed> {
    let choices = (select(STRANGE), select(vec![Subnormals::Keep, Subnormals::Flush]), any::<bool>());
    check(
        variant,
        (prop_oneof![cases().prop_map(usable), tiny_cases()], choices),
        |(case, (strange, subnormals, pack))| {
            let contents = case.contents();
            let weights = flushing(&contents, subnormals);
            let layer = layer(variant, &weights);
            let right = run(&layer, &case, &contents);
            // Packing adds the two biases of a gate, so it has an environment too.
            let layer = if pack {
                inside(strange.1, || Layer::with_plan(&weights, *layer.plan())).unwrap()
            } else {
                layer
            };
            let mut state = contents.state(&layer, case.batch);
            let mut y = vec![SENTINEL; right.y.len()];
            let sequence = Sequence::dense(&contents.x, &mut y).optional_lens(case.lens.as_deref());
            let mut scratch = Scratch::new();
            inside(strange.1, || layer.forward(sequence, &mut state, &mut scratch)).unwrap();
            Output::new(y, &state)
                .difference(&right)
                .map_err(|e| format!("in a thread that {}: {e}", strange.0))
        },
    )
}

fn bytes_keep_what_a_layer_does_with_subnormals(variant: Variant) -> Result<(), Failed> {
    let choices = select(vec![Subnormals::Keep, Subnormals::FlushWeights, Subnormals::Flush]);
    check(variant, (tiny_cases(), choices), |(case, subnormals)| {
        let contents = case.contents();
        let weights = flushing(&contents, subnormals);
        let packed = layer(variant, &weights);
        let bytes = weights.to_bytes(variant.target()).unwrap();
        let read = Layer::from_static(embedded(&bytes, 0)).unwrap();
        let facts = |layer: &Layer| (layer.subnormals(), layer.flushed_weights(), layer.to_bytes().unwrap());
        if facts(&read) != facts(&packed) || read.subnormals() != subnormals {
            return Err(format!("{:?} became {:?}", facts(&packed).0, facts(&read).0));
        }
        run(&read, &case, &contents).difference(&run(&packed, &case, &contents))
    })
}
