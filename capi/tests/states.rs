//! Tests states: as a whole, by rows, and of stacks.

mod support;

use rnnpack::{Cell, Direction, GateOrder, Sequence, State};
use rnnpack_capi::*;
use std::ptr::{null, null_mut};
use support::*;

const TIME: usize = 6;
const BATCH: usize = 5;
const LENS: [i32; BATCH] = [6, 0, 3, 6, 1];

#[test]
fn states_are_reset_and_copied() {
    let case = Case::lstm(3, 5);
    let c_layer = layer(&case.desc());
    let (a, b) = (state(&c_layer, 2), state(&c_layer, 2));
    let (h, c) = (numbers(10, 1.0, 1), numbers(10, 1.0, 2));
    ok(c!(rnnpack_state_write(a.get(), h.as_ptr(), 10, c.as_ptr(), 10)));
    ok(c!(rnnpack_state_copy(a.get(), b.get())));
    assert_eq!(read(&b, 10, true), [h.clone(), c.clone()]);
    ok(c!(rnnpack_state_copy(a.get(), a.get())));
    ok(c!(rnnpack_state_write(b.get(), null(), 0, h.as_ptr(), 10)));
    assert_eq!(read(&a, 10, true), [h.clone(), c]);
    assert_eq!(read(&b, 10, true), [h.clone(), h.clone()]);
    ok(c!(rnnpack_state_reset(a.get())));
    assert_eq!(read(&a, 10, true), [vec![0.0; 10], vec![0.0; 10]]);
    let mut only_c = vec![1.0; 10];
    ok(c!(rnnpack_state_read(b.get(), null_mut(), 0, only_c.as_mut_ptr(), 10)));
    assert_eq!(only_c, h);
}

#[test]
fn rows_are_reset_read_and_written_alone() {
    let case = Case::new(&[Cell::lstm()], GateOrder::Onnx, [3, 5], Direction::Bidirectional);
    let c_layer = layer(&case.desc());
    let state = state(&c_layer, 3);
    let (h, c) = (numbers(30, 1.0, 1), numbers(30, 1.0, 2));
    let row_of =
        |numbers: &[f32], row: usize| [&numbers[row * 5..][..5], &numbers[(3 + row) * 5..][..5]].concat();
    for row in 0..3 {
        ok(c!(rnnpack_state_write(state.get(), h.as_ptr(), 30, c.as_ptr(), 30)));
        let (mut of_h, mut of_c) = ([0.0; 10], [0.0; 10]);
        ok(c!(rnnpack_state_read_row(state.get(), row, of_h.as_mut_ptr(), 10, of_c.as_mut_ptr(), 10)));
        assert_eq!((of_h.to_vec(), of_c.to_vec()), (row_of(&h, row), row_of(&c, row)));
        // h alone, then nothing else of the state has changed.
        ok(c!(rnnpack_state_write_row(state.get(), row, of_c.as_ptr(), 10, null(), 0)));
        let [new_h, new_c] = read(&state, 30, true);
        for other in 0..3 {
            assert_eq!(row_of(&new_h, other), row_of(if other == row { &c } else { &h }, other));
        }
        assert_eq!(new_c, c);
        ok(c!(rnnpack_state_reset_row(state.get(), row)));
        for (other, part) in (0..3).flat_map(|other| [(other, &new_h), (other, &c)]) {
            let now = read(&state, 30, true)[usize::from(std::ptr::eq(part, &c))].clone();
            let expected = if other == row { vec![0.0; 10] } else { row_of(part, other) };
            assert_eq!(row_of(&now, other), expected, "{row} {other}");
        }
    }
}

/// Layers that a stack can have: an LSTM in both directions below a GRU, and an LSTM on top.
fn stacked() -> [Case; 3] {
    let case = |cell, sizes, direction| Case::new(&[cell], GateOrder::Onnx, sizes, direction);
    [
        case(Cell::lstm(), [3, 4], Direction::Bidirectional),
        case(Cell::gru(true), [8, 5], Direction::Forward),
        case(Cell::lstm(), [5, 6], Direction::Bidirectional),
    ]
}

#[test]
fn a_stack_gives_the_bits_of_the_crate_and_its_states_are_those_of_the_layers() {
    let cases = stacked();
    let expected = rnnpack::Stack::new(cases.iter().map(Case::expected).collect()).unwrap();
    let layers = cases.each_ref().map(|case| layer(&case.desc()));
    // A stack in a stack is the same as its layers.
    let inner = stack(&[&layers[0], &layers[1]]);
    let outer = stack(&[&inner, &layers[2]]);
    drop((layers, inner));
    let mut info: LayerInfo = zeroed();
    ok(c!(rnnpack_layer_get_info(outer.get(), &mut info)));
    assert_eq!([info.layers, info.input, info.hidden, info.directions], [3, 3, 6, 2]);
    assert_eq!([info.h_per_row, info.c_per_row], [8 + 5 + 12, 8 + 12]);
    assert_eq!((info.op, info.direction), (RNNPACK_LSTM, RNNPACK_BIDIRECTIONAL));
    let bytes = expected.layers().iter().map(rnnpack::Layer::packed_bytes);
    assert_eq!(info.packed_bytes, bytes.sum());

    let (h_count, c_count) = (BATCH * info.h_per_row, BATCH * info.c_per_row);
    let (x, h, c) = (numbers(TIME * BATCH * 3, 1.0, 7), numbers(h_count, 0.5, 8), numbers(c_count, 0.5, 9));
    let mut state = expected.new_state(BATCH).unwrap();
    let (mut from_h, mut from_c) = (&h[..], &c[..]);
    for layer in state.layers_mut() {
        let fill = |part: &mut [f32], from: &mut &[f32]| {
            part.copy_from_slice(from.split_off(..part.len()).unwrap());
        };
        fill(layer.h_mut(), &mut from_h);
        fill(layer.c_mut(), &mut from_c);
    }
    let mut ys = [vec![f32::NAN; TIME * BATCH * 12], vec![f32::NAN; TIME * BATCH * 12]];
    let [y, other] = &mut ys;
    expected
        .forward(Sequence::dense(&x, y).lens(&LENS), &mut state, &mut rnnpack::StackScratch::new())
        .unwrap();
    let both = |part: fn(&State) -> &[f32]| state.layers().iter().map(part).collect::<Vec<_>>().concat();
    let (final_h, final_c) = (both(State::h), both(State::c));

    let c_state = support::state(&outer, BATCH);
    let (mut got_h, mut got_c) = (h.clone(), c.clone());
    let desc = ForwardDesc {
        time: TIME,
        batch: BATCH,
        x: x.as_ptr(),
        x_count: x.len(),
        y: other.as_mut_ptr(),
        y_count: other.len(),
        lens: LENS.as_ptr(),
        lens_count: BATCH,
        initial_h: got_h.as_ptr(),
        final_h: got_h.as_mut_ptr(),
        h_count,
        initial_c: got_c.as_ptr(),
        final_c: got_c.as_mut_ptr(),
        c_count,
        ..zeroed()
    };
    let scratch = scratch();
    ok(c!(rnnpack_forward(outer.get(), c_state.get(), scratch.get(), &desc)));
    assert_eq!(bits(&ys[0]), bits(&ys[1]));
    assert_eq!([bits(&got_h), bits(&got_c)], [bits(&final_h), bits(&final_c)]);

    // The same from the state, and its rows are those of all layers.
    let (copy, mut row_h, mut row_c) = (support::state(&outer, BATCH), vec![0.0; 25], vec![0.0; 20]);
    ok(c!(rnnpack_state_copy(c_state.get(), copy.get())));
    let mut read = [vec![0.0; h_count], vec![0.0; c_count]];
    let [to_h, to_c] = read.each_mut().map(|part| part.as_mut_ptr());
    ok(c!(rnnpack_state_read(copy.get(), to_h, h_count, to_c, c_count)));
    assert_eq!(read, [final_h, final_c]);
    ok(c!(rnnpack_state_read_row(copy.get(), 2, row_h.as_mut_ptr(), 25, row_c.as_mut_ptr(), 20)));
    let row = |part: fn(&State) -> &[f32]| {
        let rows = state.layers().iter().zip([4, 5, 6]);
        rows.flat_map(|(state, hidden)| part(state).chunks(hidden).skip(2).step_by(BATCH))
            .collect::<Vec<_>>()
            .concat()
    };
    assert_eq!([row_h, row_c], [row(State::h), row(State::c)]);

    // A step of it.
    let x = &x[..BATCH * 3];
    let mut ys = [vec![0.0; BATCH * 12], vec![0.0; BATCH * 12]];
    expected.step(x, &mut state, &mut ys[0], &mut rnnpack::StackScratch::new()).unwrap();
    let (y, y_count) = (ys[1].as_mut_ptr(), ys[1].len());
    ok(c!(rnnpack_step(outer.get(), copy.get(), scratch.get(), x.as_ptr(), x.len(), y, y_count)));
    assert_eq!(bits(&ys[0]), bits(&ys[1]));
}
