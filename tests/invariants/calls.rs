//! Tests that every way to call a layer on a sequence gives the same bits.

use crate::cases::{any_cells, cases, cases_of, one_way_cases, placements};
use crate::{Behaviour, check};
use libtest_mimic::Failed;
use proptest::collection::vec;
use proptest::prelude::*;
use rnnpack::{Dims, Direction, Layer, Layout, Scratch, Sequence, Strides, Threads, Variant, View, ViewMut};
use rnnpack_dev::numbers::Numbers;
use rnnpack_dev::{Case, Contents, Output, SENTINEL, embedded, run, run_with};
use rnnpack_kernels::blocking::Blocking;
use rnnpack_kernels::{Call, PackedWeights, forward};

pub(crate) const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("tensors_may_lie_anywhere_and_nothing_beside_y_is_written", tensors_may_lie_anywhere),
    ("layouts_agree", layouts_agree),
    ("input_rows_may_overlap", input_rows_may_overlap),
    ("without_y_the_final_state_is_the_same", without_y_the_final_state_is_the_same),
    ("blocking_changes_no_bit", blocking_changes_no_bit),
    ("neighbours_in_a_batch_change_no_bit", neighbours_in_a_batch_change_no_bit),
    ("chunks_of_time_change_no_bit", chunks_of_time_change_no_bit),
    ("single_steps_change_no_bit", single_steps_change_no_bit),
    ("a_step_of_both_directions_is_a_call_of_one_step", a_step_of_both_directions_is_a_call_of_one_step),
    ("used_scratch_changes_no_bit", used_scratch_changes_no_bit),
    ("a_layer_from_its_bytes_changes_no_bit", a_layer_from_its_bytes_changes_no_bit),
    #[cfg(feature = "rayon")]
    ("threads_change_no_bit", threads_change_no_bit),
];

fn a_layer_from_its_bytes_changes_no_bit(variant: Variant) -> Result<(), Failed> {
    check(variant, cases(), |case| {
        let contents = case.contents();
        let layer = contents.layer(variant);
        let bytes = layer.to_bytes().unwrap();
        assert_eq!(bytes, contents.weights().to_bytes(variant.target()).unwrap());
        let embedded = Layer::from_static(embedded(&bytes, 0)).unwrap();
        assert_eq!((embedded.shape(), embedded.plan()), (layer.shape(), layer.plan()));
        assert_eq!((embedded.cell(), embedded.packed_bytes()), (layer.cell(), layer.packed_bytes()));
        assert_eq!(embedded.to_bytes().unwrap(), bytes);
        run(&embedded, &case, &contents).difference(&run(&layer, &case, &contents))
    })
}

fn tensors_may_lie_anywhere(variant: Variant) -> Result<(), Failed> {
    check(variant, (cases(), placements(), placements()), |(case, of_x, of_y)| {
        let contents = case.contents();
        let layer = contents.layer(variant);
        let (x_dims, y_dims) = (case.x_dims(), case.y_dims());
        let x = of_x.scatter(&contents.x, x_dims);
        let mut y = of_y.scatter(&vec![SENTINEL; y_dims.checked_len().unwrap()], y_dims);
        let mut state = contents.state(&layer, case.batch);
        let sequence = Sequence::views(
            View::strided(&x, x_dims, of_x.strides(x_dims)).unwrap(),
            Some(ViewMut::strided(&mut y, y_dims, of_y.strides(y_dims)).unwrap()),
        )
        .optional_lens(case.lens.as_deref());
        layer.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
        let y = of_y.gather(&y, y_dims)?;
        let output = Output::new(y, &state);
        output.difference(&run(&layer, &case, &contents))
    })
}

/// ONNX layout 1: X `[B, T, I]`, Y `[B, T, D, H]`.
fn layouts_agree(variant: Variant) -> Result<(), Failed> {
    check(variant, cases(), |case| {
        let contents = case.contents();
        let layer = contents.layer(variant);
        let (input, y_dims) = (case.shape.input, case.y_dims());
        let Dims { directions, width, .. } = y_dims;
        let mut x = vec![0.0; contents.x.len()];
        for t in 0..case.time {
            for b in 0..case.batch {
                let from = &contents.x[(t * case.batch + b) * input..][..input];
                x[(b * case.time + t) * input..][..input].copy_from_slice(from);
            }
        }
        let mut y = vec![SENTINEL; y_dims.checked_len().unwrap()];
        let mut state = contents.state(&layer, case.batch);
        let sequence = Sequence::dense(&x, &mut y).batch_major().optional_lens(case.lens.as_deref());
        layer.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
        let mut time_major = vec![];
        for t in 0..case.time {
            for d in 0..directions {
                for b in 0..case.batch {
                    let at = ((b * case.time + t) * directions + d) * width;
                    time_major.extend_from_slice(&y[at..][..width]);
                }
            }
        }
        let output = Output::new(time_major, &state);
        output.difference(&run(&layer, &case, &contents))
    })
}

/// A sliding window over one signal: row t starts at sample t.
fn input_rows_may_overlap(variant: Variant) -> Result<(), Failed> {
    check(variant, one_way_cases(), |mut case| {
        (case.batch, case.lens) = (1, None);
        let mut contents = case.contents();
        let signal = Numbers(case.seed).scaled(case.time + case.shape.input, 1.0);
        let windows = (0..case.time).flat_map(|t| &signal[t..][..case.shape.input]);
        contents.x = windows.copied().collect();
        let layer = contents.layer(variant);
        let mut state = contents.state(&layer, 1);
        let mut y = vec![SENTINEL; case.time * case.shape.hidden];
        let sequence = Sequence::views(
            View::strided(&signal, case.x_dims(), Strides { time: 1, direction: 0, batch: 0 }).unwrap(),
            Some(ViewMut::new(&mut y, case.y_dims(), Layout::TimeMajor).unwrap()),
        );
        layer.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
        let output = Output::new(y, &state);
        output.difference(&run(&layer, &case, &contents))
    })
}

fn without_y_the_final_state_is_the_same(variant: Variant) -> Result<(), Failed> {
    check(variant, cases(), |case| {
        let contents = case.contents();
        let layer = contents.layer(variant);
        let whole = run(&layer, &case, &contents);
        let mut state = contents.state(&layer, case.batch);
        let x = View::new(&contents.x, case.x_dims(), Layout::TimeMajor).unwrap();
        let sequence = Sequence::views(x, None).optional_lens(case.lens.as_deref());
        layer.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
        Output::new(whole.y.clone(), &state).difference(&whole)
    })
}

fn blocking_changes_no_bit(variant: Variant) -> Result<(), Failed> {
    let extent = |max: usize| prop_oneof![8 => 1..=max, 1 => Just(usize::MAX)];
    let blockings = (extent(25), extent(15)).prop_map(|(rows, steps)| Blocking { rows, steps });
    check(variant, (one_way_cases(), blockings), |(case, blocking)| {
        let contents = case.contents();
        let whole = run(&contents.layer(variant), &case, &contents);
        let packed = PackedWeights::new(variant, &contents.weights().directions()[0]).unwrap();
        let mut output =
            Output { y: vec![SENTINEL; whole.y.len()], h: contents.h.clone(), c: contents.c.clone() };
        let call = Call {
            x: View::new(&contents.x, case.x_dims(), Layout::TimeMajor).unwrap(),
            y: Some(ViewMut::new(&mut output.y, case.y_dims(), Layout::TimeMajor).unwrap()),
            lens: case.lens.as_deref(),
            reverse: case.shape.direction == Direction::Reverse,
            h: &mut output.h,
            c: &mut output.c,
            blocking,
            stop: None,
        };
        forward(&packed, call, &mut rnnpack_kernels::Scratch::new()).unwrap();
        output.difference(&whole)
    })
}

fn neighbours_in_a_batch_change_no_bit(variant: Variant) -> Result<(), Failed> {
    check(variant, cases(), |case| {
        let contents = case.contents();
        let layer = contents.layer(variant);
        let whole = run(&layer, &case, &contents);
        for b in 0..case.batch {
            let lens = case.lens.as_ref().map(|lens| vec![lens[b]]);
            let alone = Case { batch: 1, lens, ..case.clone() };
            let row = |tensor: &[f32], width: usize| -> Vec<f32> {
                let rows = tensor.chunks(width.max(1)).skip(b).step_by(case.batch);
                rows.flatten().copied().collect()
            };
            let hidden = case.shape.hidden;
            let of_row = Contents {
                x: row(&contents.x, case.shape.input),
                h: row(&contents.h, hidden),
                c: row(&contents.c, hidden),
                ..contents.clone()
            };
            let output = run(&layer, &alone, &of_row);
            let expected =
                Output { y: row(&whole.y, hidden), h: row(&whole.h, hidden), c: row(&whole.c, hidden) };
            output.difference(&expected).map_err(|e| format!("row {b}: {e}"))?;
        }
        Ok(())
    })
}

fn chunks_of_time_change_no_bit(variant: Variant) -> Result<(), Failed> {
    check(variant, (one_way_cases(), vec(1..=5usize, 12)), |(case, sizes)| {
        let contents = case.contents();
        let layer = contents.layer(variant);
        let whole = run(&layer, &case, &contents);
        let mut starts = vec![0];
        for size in sizes {
            starts.push((starts[starts.len() - 1] + size).min(case.time));
        }
        let mut chunks: Vec<_> = starts.windows(2).map(|w| (w[0], w[1])).collect();
        if case.shape.direction == Direction::Reverse {
            chunks.reverse();
        }
        let (input, hidden) = (case.batch * case.shape.input, case.batch * case.shape.hidden);
        let mut state = contents.state(&layer, case.batch);
        let mut y = vec![SENTINEL; whole.y.len()];
        let mut scratch = Scratch::new();
        for (start, end) in chunks {
            let time = end - start;
            let within = |&len: &i32| (len - start as i32).clamp(0, time as i32);
            let lens: Option<Vec<i32>> = case.lens.as_ref().map(|lens| lens.iter().map(within).collect());
            let sequence = Sequence::dense(
                &contents.x[start * input..end * input],
                &mut y[start * hidden..end * hidden],
            )
            .optional_lens(lens.as_deref());
            layer.forward(sequence, &mut state, &mut scratch).unwrap();
        }
        Output::new(y, &state).difference(&whole)
    })
}

fn single_steps_change_no_bit(variant: Variant) -> Result<(), Failed> {
    check(variant, one_way_cases(), |mut case| {
        case.lens = None;
        let contents = case.contents();
        let layer = contents.layer(variant);
        let whole = run(&layer, &case, &contents);
        let (input, hidden) = (case.batch * case.shape.input, case.batch * case.shape.hidden);
        let mut state = contents.state(&layer, case.batch);
        let mut y = vec![SENTINEL; whole.y.len()];
        let mut scratch = Scratch::new();
        for step in 0..case.time {
            let t = if case.shape.direction == Direction::Reverse { case.time - 1 - step } else { step };
            let (x, y) = (&contents.x[t * input..][..input], &mut y[t * hidden..][..hidden]);
            layer.step(x, &mut state, y, &mut scratch).unwrap();
        }
        Output::new(y, &state).difference(&whole)
    })
}

fn a_step_of_both_directions_is_a_call_of_one_step(variant: Variant) -> Result<(), Failed> {
    check(variant, cases_of(any_cells(), Just(Direction::Bidirectional)), |mut case| {
        (case.lens, case.time) = (None, 1);
        let contents = case.contents();
        let layer = contents.layer(variant);
        let whole = run(&layer, &case, &contents);
        let mut state = contents.state(&layer, case.batch);
        let mut y = vec![SENTINEL; whole.y.len()];
        layer.step(&contents.x, &mut state, &mut y, &mut Scratch::new()).unwrap();
        Output::new(y, &state).difference(&whole)
    })
}

fn used_scratch_changes_no_bit(variant: Variant) -> Result<(), Failed> {
    check(variant, vec(cases(), 2..4), |cases| {
        let mut scratch = Scratch::new();
        for case in cases {
            let contents = case.contents();
            let layer = contents.layer(variant);
            run_with(&layer, &case, &contents, &mut scratch).difference(&run(&layer, &case, &contents))?;
        }
        Ok(())
    })
}

/// Numbers of threads above and below those of the pool and of the batch rows, for calls that are worth sharing out.
#[cfg(feature = "rayon")]
fn threads_change_no_bit(variant: Variant) -> Result<(), Failed> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let large = (33..=70usize, 20..=60usize);
    let threads = prop_oneof![1 => Just(Threads::Pool), 5 => (0..=5usize).prop_map(Threads::AtMost)];
    check(variant, (cases(), large, threads, any::<bool>()), |(mut case, (input, time), threads, with_y)| {
        (case.shape.input, case.shape.hidden, case.time) = (input, case.shape.hidden + 32, time);
        let contents = case.contents();
        let layer = contents.layer(variant);
        let whole = run(&layer, &case, &contents);
        let mut state = contents.state(&layer, case.batch);
        let mut y = vec![SENTINEL; whole.y.len()];
        let sequence = Sequence::views(
            View::new(&contents.x, case.x_dims(), Layout::TimeMajor).unwrap(),
            with_y.then(|| ViewMut::new(&mut y, case.y_dims(), Layout::TimeMajor).unwrap()),
        )
        .optional_lens(case.lens.as_deref())
        .threads(threads);
        let mut scratch = Scratch::new();
        pool.install(|| layer.forward(sequence, &mut state, &mut scratch)).unwrap();
        let y = if with_y { y } else { whole.y.clone() };
        Output::new(y, &state).difference(&whole)
    })
}
