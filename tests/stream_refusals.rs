//! Tests what streams, dense sequences, state rows and the builder refuse: the words, and that nothing is written.

use rnnpack::bytes::BytesError;
use rnnpack::{
    Cell, Dims, Direction, Error, KernelError, Layer, LayerF64, LayerWeights, Layout, Sequence, Shape, Stack,
    State, Stream, Threads, View, ViewMut,
};
use rnnpack_dev::{Case, SENTINEL};

const SHAPE: Shape = Shape { input: 3, hidden: 5, direction: Direction::Bidirectional };

fn layer(cell: Cell, shape: Shape) -> Layer {
    Layer::new(&Case::new(cell, shape, 1, 1, 1).contents().weights()).unwrap()
}

/// A stream of two rows, whose states are not zero.
fn stream() -> Stream {
    let mut stream = layer(Cell::lstm(), SHAPE).stream(2).unwrap();
    stream.state_mut().h_mut().fill(0.25);
    stream
}

fn words<T>(result: Result<T, Error>) -> String {
    result.err().expect("a refusal").to_string()
}

/// Passes buffers of these numbers of elements to a call that must be refused. Checks that nothing was written.
fn refused(
    elements: [usize; 2],
    call: impl Fn(&mut Stream, &[f32], &mut [f32]) -> Result<(), Error>,
) -> String {
    let [x, y] = elements;
    let (x, mut y) = (vec![1.0; x], vec![SENTINEL; y]);
    let mut stream = stream();
    let before = stream.state().clone();
    let words = words(call(&mut stream, &x, &mut y));
    assert!(y.iter().all(|y| y.to_bits() == SENTINEL.to_bits()), "y was written");
    assert_eq!(stream.state(), &before, "the state was written");
    words
}

#[test]
fn a_step_names_the_buffer_and_its_shape() {
    let step = |elements| refused(elements, |s, x, y| s.step(x, y));
    assert_eq!(step([5, 20]), "x has 5 elements where [B, I] = [2, 3] calls for 6");
    assert_eq!(step([12, 20]), "x has 12 elements where [B, I] = [2, 3] calls for 6");
    assert_eq!(step([6, 19]), "y has 19 elements where [D, B, H] = [2, 2, 5] calls for 20");
}

#[test]
fn a_dense_sequence_names_the_buffer_and_its_shape() {
    let forward = |elements| refused(elements, |s, x, y| s.forward(x, y));
    assert_eq!(forward([7, 20]), "x has 7 elements where [T, B, I] = [T, 2, 3] calls for a multiple of 6");
    assert_eq!(forward([12, 20]), "y has 20 elements where [T, D, B, H] = [2, 2, 2, 5] calls for 40");
    let run = |elements, of: fn(Sequence<'_>) -> Sequence<'_>| {
        refused(elements, |s, x, y| s.run(of(Sequence::dense(x, y))))
    };
    let words = run([12, 41], |sequence| sequence.batch_major());
    assert_eq!(words, "y has 41 elements where [B, T, D, H] = [2, 2, 2, 5] calls for 40");
    let words = run([12, 39], |sequence| sequence.concatenated());
    assert_eq!(words, "y has 39 elements where [T, B, D·H] = [2, 2, 10] calls for 40");
    let words = run([12, 0], |sequence| sequence.concatenated().batch_major());
    assert_eq!(words, "y has 0 elements where [B, T, D·H] = [2, 2, 10] calls for 40");
    for threads in [Threads::Caller, Threads::AtMost(0), Threads::AtMost(3), Threads::Pool] {
        let lens = |lens: &[i32]| {
            refused([12, 40], |s, x, y| s.run(Sequence::dense(x, y).lens(lens).threads(threads)))
        };
        assert_eq!(lens(&[2, 3]), "sequence_lens[1] is 3, expected 0 to 2 (the time steps of X)");
        assert_eq!(lens(&[2]), "sequence_lens has 1 elements where the shapes call for 2");
    }
    assert_eq!(refused([7, 0], |s, x, _| s.run(Sequence::input(x))), forward([7, 0]));
}

#[test]
fn the_time_of_inputs_without_elements_comes_from_y_or_is_refused() {
    let mut stream = layer(Cell::lstm(), Shape { input: 0, ..SHAPE }).stream(2).unwrap();
    let unknown = words(stream.run(Sequence::input(&[])));
    let expected = "the time steps of x cannot be told where I = 0 and there is no y: give a view, which has its extents";
    assert_eq!(unknown, expected);
    let words_of = |stream: &mut Stream, x: &[f32], y: usize| words(stream.forward(x, &mut vec![0.0; y]));
    assert_eq!(words_of(&mut stream, &[1.0], 20), "x has 1 elements where [T, B, I] = [T, 2, 0] calls for 0");
    let words = words_of(&mut stream, &[], 21);
    assert_eq!(words, "y has 21 elements where [T, D, B, H] = [T, 2, 2, 5] calls for a multiple of 20");
    stream.forward(&[], &mut [0.0; 60]).unwrap();
    let mut by_steps =
        layer(Cell::lstm(), Shape { input: 0, direction: Direction::Forward, ..SHAPE }).stream(0).unwrap();
    by_steps.run(Sequence::input(&[])).unwrap();
    by_steps.forward(&[], &mut []).unwrap();
}

#[test]
fn layouts_of_views_are_refused() {
    let dims = Dims { time: 2, directions: 1, batch: 2, width: 3 };
    let out = Dims { directions: 2, width: 5, ..dims };
    let refused = |of: fn(Sequence<'_>) -> Sequence<'_>| {
        refused([12, 40], |s, x, y| {
            let x = View::new(x, dims, Layout::TimeMajor)?;
            let y = ViewMut::new(y, out, Layout::TimeMajor)?;
            s.run(of(Sequence::views(x, Some(y))))
        })
    };
    let of = |option| format!("`{option}` is about dense tensors: the strides of a view are its layout");
    assert_eq!(refused(|sequence| sequence.batch_major()), of("batch_major"));
    assert_eq!(refused(|sequence| sequence.concatenated()), of("concatenated"));
}

#[test]
fn rows_that_do_not_exist_are_refused() {
    let mut state = stream().state().clone();
    let before = state.clone();
    let words_of = |row| format!("row {row} is out of range: the state has 2 rows");
    for row in [2, usize::MAX] {
        assert_eq!(words(state.reset_row(row)), words_of(row));
        assert_eq!(words(state.copy_row(&before, row, 0)), words_of(row));
        assert_eq!(words(state.copy_row(&before, 0, row)), words_of(row));
        assert_eq!(words(state.gather(&[0, row])), words_of(row));
        assert_eq!(words(stream().reset_row(row)), words_of(row));
    }
    assert_eq!(state, before);
    assert_eq!(state.gather(&[]).unwrap().batch(), 0);
}

#[test]
fn rows_of_other_layers_are_refused() {
    let state = |cell, shape| {
        let mut state = layer(cell, shape).new_state(2).unwrap();
        state.h_mut().fill(1.0);
        state
    };
    let refused = |from: &State| {
        let mut state = state(Cell::lstm(), SHAPE);
        let before = state.clone();
        let words = words(state.copy_row(from, 1, 0));
        assert_eq!(state, before);
        words
    };
    let wide = state(Cell::lstm(), Shape { hidden: 6, ..SHAPE });
    assert_eq!(refused(&wide), "the state's hidden size is 6, expected 5");
    let one_way = state(Cell::lstm(), Shape { direction: Direction::Reverse, ..SHAPE });
    assert_eq!(refused(&one_way), "the state's directions is 1, expected 2");
    let gru = state(Cell::gru(true), SHAPE);
    assert_eq!(refused(&gru), "the number of the state's cell states is 0, expected 20");
    let mut of_gru = gru.clone();
    let words = words(of_gru.copy_row(&state(Cell::lstm(), SHAPE), 1, 0));
    assert_eq!(words, "the number of the state's cell states is 20, expected 0");
    assert_eq!(of_gru, gru);
}

#[test]
fn rows_of_a_stack_are_refused_before_any_layer_is_written() {
    let two = |top| {
        let above = Shape { input: 10, hidden: top, direction: Direction::Forward };
        Stack::new(vec![layer(Cell::lstm(), SHAPE), layer(Cell::lstm(), above)]).unwrap()
    };
    let (stack, other) = (two(4), two(3));
    let one = Stack::new(vec![layer(Cell::lstm(), SHAPE)]).unwrap();
    let mut state = stack.new_state(2).unwrap();
    state.layers_mut().iter_mut().for_each(|state| state.h_mut().fill(1.0));
    let before = state.clone();
    assert_eq!(words(state.reset_row(2)), "row 2 is out of range: the state has 2 rows");
    let of_other = other.new_state(2).unwrap();
    assert_eq!(words(state.copy_row(&of_other, 0, 0)), "the state's hidden size is 3, expected 4");
    let of_one = one.new_state(2).unwrap();
    assert_eq!(words(state.copy_row(&of_one, 0, 0)), "the number of the state's layers is 1, expected 2");
    assert_eq!(words(state.gather(&[1, 2])), "row 2 is out of range: the state has 2 rows");
    assert_eq!(state, before);

    let zeros = stack.new_state(1).unwrap();
    state.copy_row(&zeros, 0, 1).unwrap();
    let mut reset = before.clone();
    reset.reset_row(1).unwrap();
    assert_eq!(state, reset);
    assert_ne!(state, before);
    assert_eq!(state.gather(&[0, 0]).unwrap(), before.gather(&[0, 1]).unwrap());
}

#[test]
fn the_builder_refuses_what_is_missing_and_what_does_not_fit() {
    let zeros = [0.0; 200];
    let lstm = LayerWeights::lstm(3, 5);
    assert_eq!(words(lstm.r(&zeros[..100]).pack()), "the weights lack W");
    assert_eq!(words(lstm.w(&zeros[..60]).build()), "the weights lack R");
    let lstm = lstm.w(&zeros[..60]).r(&zeros[..100]);
    assert!(lstm.pack().is_ok());
    assert_eq!(
        words(lstm.bidirectional().pack()),
        "W has 60 elements where [D, 4·H, I] = [2, 20, 3] calls for 120"
    );
    assert_eq!(words(lstm.b(&zeros[..20]).pack()), "B has 20 elements where [D, 8·H] = [1, 40] calls for 40");
    assert_eq!(words(lstm.p(&zeros[..16]).pack()), "P has 16 elements where [D, 3·H] = [1, 15] calls for 15");
    assert_eq!(words(LayerWeights::rnn(3, 0).w(&[]).r(&[0.0; 0]).pack()), "hidden_size must not be 0");
}

#[test]
fn streams_of_doubles_refuse_in_the_same_words() {
    let zeros = [0.0; 200];
    let weights = LayerWeights::lstm(3, 5).w(&zeros[..60]).r(&zeros[..100]).build().unwrap();
    let mut stream = LayerF64::new(&weights).unwrap().stream(2).unwrap();
    let (x, mut y) = ([1.0; 6], [0.0; 10]);
    stream.step(&x, &mut y).unwrap();
    stream.forward(&x, &mut y).unwrap();
    let step = stream.step(&x[1..], &mut y).unwrap_err().to_string();
    assert_eq!(step, "x has 5 elements where [B, I] = [2, 3] calls for 6");
    let forward = stream.forward(&x, &mut y[1..]).unwrap_err().to_string();
    assert_eq!(forward, "y has 9 elements where [T, D, B, H] = [1, 1, 2, 5] calls for 10");
}

/// A program that prints an error and all its sources prints nothing twice.
#[test]
fn no_error_has_itself_as_its_source() {
    use std::error::Error as _;
    let bytes = Error::Kernel(KernelError::Bytes(BytesError::Magic));
    let pytorch = Stack::pytorch(Cell::gru(false), 1, false, |_| None).unwrap_err();
    let dense = stream().step(&[], &mut []).unwrap_err();
    for error in [bytes, pytorch, dense, Error::EmptyStack] {
        let mut behind = error.source();
        while let Some(source) = behind {
            assert!(!error.to_string().contains(&source.to_string()), "{error} is said twice");
            behind = source.source();
        }
    }
}
