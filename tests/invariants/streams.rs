//! Tests that streams give the bits of their layers and stacks, and that rows of states can be moved.

use crate::cases::{any_cells, any_direction, cases, cases_of, hidden_sizes, one_way_cases};

use crate::{Behaviour, check};
use libtest_mimic::Failed;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use rnnpack::{
    Dims, Direction, Layer, Network, Scratch, Sequence, Shape, Stack, StackScratch, State, Stream, Threads,
    Variant,
};
use rnnpack_dev::{Case, Contents, Output, SENTINEL, run};

pub(crate) const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("a_stream_gives_the_bits_of_its_layer", a_stream_gives_the_bits_of_its_layer),
    ("steps_and_chunks_of_a_stream_change_no_bit", steps_and_chunks_of_a_stream_change_no_bit),
    ("streams_of_other_layers_may_share_a_scratch", streams_of_other_layers_may_share_a_scratch),
    (
        "concatenated_directions_are_those_of_the_other_layout",
        concatenated_directions_are_those_of_the_other_layout,
    ),
    ("threads_of_a_stream_change_no_bit", threads_of_a_stream_change_no_bit),
    ("a_stream_of_a_stack_is_its_layers_one_by_one", a_stream_of_a_stack_is_its_layers_one_by_one),
    ("gathered_rows_go_on_as_they_would_have", gathered_rows_go_on_as_they_would_have),
    ("copied_and_reset_rows_go_on_as_theirs", copied_and_reset_rows_go_on_as_theirs),
];

/// A stream that starts from the state of the contents.
fn stream(layer: &Layer, case: &Case, contents: &Contents) -> Stream {
    let mut stream = layer.stream(case.batch).unwrap();
    *stream.state_mut() = contents.state(layer, case.batch);
    stream
}

fn a_stream_gives_the_bits_of_its_layer(variant: Variant) -> Result<(), Failed> {
    check(variant, (cases(), any::<bool>()), |(mut case, whole)| {
        if whole {
            case.lens = None;
        }
        let contents = case.contents();
        let layer = contents.layer(variant);
        let expected = run(&layer, &case, &contents);
        let mut stream = stream(&layer, &case, &contents);
        let mut y = vec![SENTINEL; expected.y.len()];
        match &case.lens {
            None => stream.forward(&contents.x, &mut y).unwrap(),
            Some(lens) => stream.run(Sequence::dense(&contents.x, &mut y).lens(lens)).unwrap(),
        }
        Output::new(y, stream.state()).difference(&expected)?;

        // Without y. Then T must follow from x.
        if case.shape.input > 0 {
            *stream.state_mut() = contents.state(&layer, case.batch);
            let sequence = Sequence::input(&contents.x).optional_lens(case.lens.as_deref());
            stream.run(sequence).unwrap();
            Output::new(expected.y.clone(), stream.state()).difference(&expected)?;
        }
        stream.reset();
        assert_eq!(stream.state(), &layer.new_state(case.batch).unwrap());
        Ok(())
    })
}

/// Runs the case in chunks of these sizes (1 is a step), in the order in which its layer reads. The chunks use two
/// scratches in turn: the stream's own and the lent one.
fn in_chunks<N: Network<Number = f32>>(
    stream: &mut Stream<N>,
    case: &Case,
    x: &[f32],
    y: &mut [f32],
    (sizes, lent): (&[usize], &mut N::Scratch),
) {
    let mut starts = vec![0];
    for size in sizes {
        starts.push((starts[starts.len() - 1] + size).min(case.time));
    }
    let mut chunks: Vec<_> = starts.windows(2).map(|w| w[0]..w[1]).collect();
    if case.shape.direction == Direction::Reverse {
        chunks.reverse();
    }
    let (input, output) = (case.batch * case.shape.input, y.len() / case.time.max(1));
    for (i, chunk) in chunks.into_iter().enumerate() {
        let x = &x[chunk.start * input..chunk.end * input];
        let y = &mut y[chunk.start * output..chunk.end * output];
        match (chunk.len(), i % 2) {
            (1, 0) => stream.step(x, y).unwrap(),
            (1, _) => stream.with(lent).step(x, y).unwrap(),
            (_, 0) => stream.forward(x, y).unwrap(),
            (_, _) => stream.with(lent).forward(x, y).unwrap(),
        }
    }
}

fn steps_and_chunks_of_a_stream_change_no_bit(variant: Variant) -> Result<(), Failed> {
    check(variant, (one_way_cases(), vec(1..=3usize, 12)), |(mut case, sizes)| {
        case.lens = None;
        let contents = case.contents();
        let layer = contents.layer(variant);
        let expected = run(&layer, &case, &contents);
        let mut stream = stream(&layer, &case, &contents);
        let mut y = vec![SENTINEL; expected.y.len()];
        in_chunks(&mut stream, &case, &contents.x, &mut y, (&sizes, &mut Scratch::new()));
        Output::new(y, stream.state()).difference(&expected)
    })
}

/// The streams take turns, step by step.
fn streams_of_other_layers_may_share_a_scratch(variant: Variant) -> Result<(), Failed> {
    check(variant, vec(one_way_cases(), 2..4), |mut cases| {
        let contents: Vec<Contents> = cases
            .iter_mut()
            .map(|case| {
                case.lens = None;
                case.contents()
            })
            .collect();
        let layers: Vec<Layer> = contents.iter().map(|contents| contents.layer(variant)).collect();
        let of = cases.iter().zip(&contents).zip(&layers);
        let mut streams: Vec<Stream> =
            of.clone().map(|((case, contents), layer)| stream(layer, case, contents)).collect();
        let expected: Vec<Output<f32>> =
            of.map(|((case, contents), layer)| run(layer, case, contents)).collect();
        let mut outputs: Vec<_> = expected.iter().map(|expected| vec![SENTINEL; expected.y.len()]).collect();
        let mut scratch = Scratch::new();
        for step in 0..12 {
            for (i, case) in cases.iter().enumerate().filter(|(_, case)| step < case.time) {
                let t = if case.shape.direction == Direction::Reverse { case.time - 1 - step } else { step };
                let (input, output) = (case.batch * case.shape.input, case.batch * case.shape.hidden);
                let (x, y) = (&contents[i].x[t * input..][..input], &mut outputs[i][t * output..][..output]);
                streams[i].with(&mut scratch).step(x, y).unwrap();
            }
        }
        let results = outputs.into_iter().zip(&streams).map(|(y, stream)| Output::new(y, stream.state()));
        results.zip(&expected).try_for_each(|(output, expected)| output.difference(expected))
    })
}

/// Copies y `[T, D, B, H]` to a dense `[T, B, D·H]`.
fn concatenated(y: &[f32], Dims { time, directions, batch, width }: Dims) -> Vec<f32> {
    let mut rows = vec![];
    for (t, b) in (0..time).flat_map(|t| (0..batch).map(move |b| (t, b))) {
        for d in 0..directions {
            rows.extend_from_slice(&y[((t * directions + d) * batch + b) * width..][..width]);
        }
    }
    rows
}

/// Copies a tensor `[T, B, width]` to a dense `[B, T, width]`.
fn batch_major(tensor: &[f32], [time, batch, width]: [usize; 3]) -> Vec<f32> {
    let rows = (0..batch).flat_map(|b| (0..time).map(move |t| t * batch + b));
    rows.flat_map(|row| &tensor[row * width..][..width]).copied().collect()
}

fn concatenated_directions_are_those_of_the_other_layout(variant: Variant) -> Result<(), Failed> {
    check(variant, cases(), |case| {
        let contents = case.contents();
        let layer = contents.layer(variant);
        let expected = run(&layer, &case, &contents);
        let side_by_side = concatenated(&expected.y, case.y_dims());
        let extents = [case.time, case.batch];
        let x_batch_major = batch_major(&contents.x, [extents[0], extents[1], case.shape.input]);
        let y_batch_major = batch_major(&side_by_side, [extents[0], extents[1], case.shape.output()]);
        type Layout = fn(Sequence<'_>) -> Sequence<'_>;
        let layouts: [(&[f32], &[f32], Layout); 3] = [
            (&contents.x, &side_by_side, |sequence| sequence.concatenated()),
            (&x_batch_major, &y_batch_major, |sequence| sequence.batch_major()),
            (&x_batch_major, &y_batch_major, |sequence| sequence.concatenated().batch_major()),
        ];
        for (x, y_expected, layout) in layouts {
            let mut stream = stream(&layer, &case, &contents);
            let mut y = vec![SENTINEL; y_expected.len()];
            let sequence = layout(Sequence::dense(x, &mut y)).optional_lens(case.lens.as_deref());
            stream.run(sequence).unwrap();
            let expected = Output { y: y_expected.to_vec(), ..expected.clone() };
            Output::new(y, stream.state()).difference(&expected)?;
        }
        Ok(())
    })
}

/// The calls are large enough to be shared out.
fn threads_of_a_stream_change_no_bit(variant: Variant) -> Result<(), Failed> {
    let threads = prop_oneof![Just(Threads::Pool), (0..4usize).prop_map(Threads::AtMost)];
    check(variant, (cases(), 33..=70usize, 20..=60usize, threads), |(mut case, input, time, threads)| {
        (case.shape.input, case.shape.hidden, case.time) = (input, case.shape.hidden + 32, time);
        let contents = case.contents();
        let layer = contents.layer(variant);
        let expected = run(&layer, &case, &contents);
        let mut stream = stream(&layer, &case, &contents);
        let mut y = vec![SENTINEL; expected.y.len()];
        let sequence = Sequence::dense(&contents.x, &mut y).optional_lens(case.lens.as_deref());
        stream.run(sequence.threads(threads)).unwrap();
        Output::new(y, stream.state()).difference(&expected)
    })
}

fn a_stream_of_a_stack_is_its_layers_one_by_one(variant: Variant) -> Result<(), Failed> {
    let above = vec((hidden_sizes(), any_cells(), any::<u64>()), 0..3);
    let first = cases_of(any_cells(), Just(Direction::Forward));
    check(variant, (first, above, vec(1..=3usize, 12)), |(mut first, above, sizes)| {
        first.lens = None;
        let mut cases = vec![first];
        for (hidden, cells, seed) in above {
            let below = &cases[cases.len() - 1];
            let shape = Shape { input: below.shape.hidden, hidden, ..below.shape };
            cases.push(Case { cells, shape, seed, ..below.clone() });
        }
        let contents: Vec<Contents> = cases.iter().map(Case::contents).collect();
        let layers: Vec<Layer> = contents.iter().map(|contents| contents.layer(variant)).collect();
        let mut states: Vec<State> = vec![];
        let mut x = contents[0].x.clone();
        for ((layer, case), contents) in layers.iter().zip(&cases).zip(&contents) {
            let mut of_layer = stream(layer, case, contents);
            let mut y = vec![SENTINEL; case.y_dims().checked_len().unwrap()];
            of_layer.forward(&x, &mut y).unwrap();
            states.push(of_layer.state().clone());
            x = y;
        }
        let mut stack = Stack::new(layers.clone()).unwrap().stream(cases[0].batch).unwrap();
        for ((state, layer), contents) in
            stack.state_mut().layers_mut().iter_mut().zip(&layers).zip(&contents)
        {
            *state = contents.state(layer, cases[0].batch);
        }
        let mut y = vec![SENTINEL; x.len()];
        let scratch = &mut StackScratch::new();
        in_chunks(&mut stack, &cases[0], &contents[0].x, &mut y, (&sizes, scratch));
        for (state, expected) in stack.state().layers().iter().zip(&states) {
            Output::new(y.clone(), state).difference(&Output::new(x.clone(), expected))?;
        }
        Ok(())
    })
}

/// These rows of a dense tensor `[…, B, width]`.
fn rows(tensor: &[f32], batch: usize, width: usize, rows: &[usize]) -> Vec<f32> {
    let blocks = tensor.chunks(batch * width.max(1));
    blocks.flat_map(|block| rows.iter().flat_map(|&b| block[b * width..][..width].to_vec())).collect()
}

fn gathered_rows_go_on_as_they_would_have(variant: Variant) -> Result<(), Failed> {
    check(
        variant,
        (cases_of(any_cells(), any_direction()), vec(any::<Index>(), 0..9)),
        |(mut case, picks)| {
            case.batch += 1;
            case.lens = None;
            let contents = case.contents();
            let layer = contents.layer(variant);
            let expected = run(&layer, &case, &contents);
            let picks: Vec<usize> = picks.iter().map(|pick| pick.index(case.batch)).collect();
            let of = |tensor: &[f32], width| rows(tensor, case.batch, width, &picks);
            let hidden = case.shape.hidden;
            let mut stream = layer.stream(0).unwrap();
            *stream.state_mut() = contents.state(&layer, case.batch).gather(&picks).unwrap();
            assert_eq!(stream.batch(), picks.len());
            let x = of(&contents.x, case.shape.input);
            let expected =
                Output { y: of(&expected.y, hidden), h: of(&expected.h, hidden), c: of(&expected.c, hidden) };
            let mut y = vec![SENTINEL; expected.y.len()];
            stream.forward(&x, &mut y).unwrap();
            Output::new(y, stream.state()).difference(&expected)
        },
    )
}

fn copied_and_reset_rows_go_on_as_theirs(variant: Variant) -> Result<(), Failed> {
    let picks = (any::<Index>(), any::<Index>(), any::<Index>());
    check(variant, (cases(), picks), |(mut case, (from, to, reset))| {
        (case.batch, case.lens) = (case.batch + 1, None);
        let contents = case.contents();
        let layer = contents.layer(variant);
        let [from, to, reset] = [from, to, reset].map(|pick| pick.index(case.batch));
        let hidden = case.shape.hidden;
        let mut state = contents.state(&layer, case.batch);
        let source = state.clone();
        state.copy_row(&source, from, to).unwrap();
        state.reset_row(reset).unwrap();
        let mut expected = contents.clone();
        for tensor in [&mut expected.h, &mut expected.c] {
            for block in tensor.chunks_mut(case.batch * hidden) {
                block.copy_within(from * hidden..(from + 1) * hidden, to * hidden);
                block[reset * hidden..][..hidden].fill(0.0);
            }
        }
        Output::new(vec![], &state).difference(&Output { y: vec![], h: expected.h, c: expected.c })
    })
}
