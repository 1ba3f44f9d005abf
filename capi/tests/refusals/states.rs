//! Bad arguments for states, their rows, and scratches.

use crate::list::{HUGE, Refused, misaligned, refused};
use crate::support::{self, *};
use rnnpack::{Cell, Direction, GateOrder};
use rnnpack_capi::*;
use std::ptr::{null, null_mut};

pub(crate) fn state_handle(list: &mut Refused) {
    let (lstm, rnn) =
        (Case::lstm(3, 4), Case::new(&cells()[5..6], GateOrder::Onnx, [3, 4], Direction::Forward));
    let (layer, of_rnn) = (layer(&lstm.desc()), layer(&rnn.desc()));
    let state = state(&layer, 2);
    let mut out = null_mut();
    refused!(list, RNNPACK_NULL_POINTER, "state is NULL", rnnpack_state_new(layer.get(), 1, null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "state is not", rnnpack_state_new(layer.get(), 1, misaligned(&out)));
    refused!(list, RNNPACK_NULL_POINTER, "layer is NULL", rnnpack_state_new(null(), 1, &mut out));
    refused!(
        list,
        RNNPACK_ALIGNMENT,
        "layer is not",
        rnnpack_state_new(misaligned(layer.get()), 1, &mut out)
    );
    for batch in [1 << 55, 1 << 60, 1 << 62, usize::MAX] {
        refused!(list, RNNPACK_MEMORY, "state", rnnpack_state_new(layer.get(), batch, &mut out));
        assert!(out.is_null());
    }
    refused!(list, RNNPACK_NULL_POINTER, "state is NULL", rnnpack_state_reset(null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "state is not", rnnpack_state_reset(misaligned(state.get())));
    refused!(list, RNNPACK_NULL_POINTER, "state is NULL", rnnpack_state_copy(null(), state.get()));
    refused!(list, RNNPACK_NULL_POINTER, "to is NULL", rnnpack_state_copy(state.get(), null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "to is not", rnnpack_state_copy(state.get(), misaligned(state.get())));
    let (three, without_c) = (support::state(&layer, 3), support::state(&of_rnn, 2));
    refused!(list, RNNPACK_SHAPE, "differ", rnnpack_state_copy(state.get(), three.get()));
    refused!(list, RNNPACK_SHAPE, "differ", rnnpack_state_copy(without_c.get(), state.get()));

    let (mut h, mut c) = ([9.0f32; 8], [9.0f32; 8]);
    let (at_h, at_c, state) = (h.as_mut_ptr(), c.as_mut_ptr(), state.get());
    refused!(list, RNNPACK_NULL_POINTER, "state is NULL", rnnpack_state_read(null(), at_h, 8, at_c, 8));
    refused!(list, RNNPACK_NULL_POINTER, "h is NULL", rnnpack_state_read(state, null_mut(), 8, at_c, 8));
    refused!(list, RNNPACK_NULL_POINTER, "c is NULL", rnnpack_state_read(state, at_h, 8, null_mut(), 8));
    refused!(list, RNNPACK_SHAPE, "h has 7", rnnpack_state_read(state, at_h, 7, at_c, 8));
    refused!(list, RNNPACK_SHAPE, "c has 0", rnnpack_state_read(state, at_h, 8, at_c, 0));
    refused!(list, RNNPACK_SHAPE, "h has", rnnpack_state_read(state, at_h, usize::MAX, at_c, 8));
    refused!(list, RNNPACK_ALIGNMENT, "h is not", rnnpack_state_read(state, misaligned(at_h), 8, at_c, 8));
    refused!(list, RNNPACK_OVERLAP, "h and c", rnnpack_state_read(state, at_h, 8, at_h, 8));
    refused!(list, RNNPACK_SHAPE, "c has 8", rnnpack_state_read(without_c.get(), at_h, 8, at_c, 8));
    refused!(list, RNNPACK_NULL_POINTER, "state is NULL", rnnpack_state_write(null_mut(), at_h, 8, at_c, 8));
    refused!(list, RNNPACK_NULL_POINTER, "h is NULL", rnnpack_state_write(state, null(), 8, at_c, 8));
    refused!(list, RNNPACK_SHAPE, "c has 9", rnnpack_state_write(state, at_h, 8, at_c, 9));
    refused!(list, RNNPACK_SHAPE, "c has", rnnpack_state_write(state, at_h, 8, at_c, HUGE));
    refused!(list, RNNPACK_ALIGNMENT, "c is not", rnnpack_state_write(state, at_h, 8, misaligned(at_c), 8));
    refused!(list, RNNPACK_SHAPE, "c has 8", rnnpack_state_write(without_c.get(), at_h, 8, at_c, 8));
    assert_eq!((h, c), ([9.0; 8], [9.0; 8]));
    ok(c!(rnnpack_state_read(state, at_h, 8, at_c, 8)));
    assert_eq!((h, c), ([0.0; 8], [0.0; 8]), "a refused write wrote");
    ok(c!(rnnpack_state_free(null_mut())));
    refused!(list, RNNPACK_ALIGNMENT, "state is not", rnnpack_state_free(misaligned(state)));
}

pub(crate) fn state_rows(list: &mut Refused) {
    let case = Case::new(&[Cell::lstm()], GateOrder::Onnx, [3, 4], Direction::Bidirectional);
    let layer = layer(&case.desc());
    let (state, empty) = (state(&layer, 2), state(&layer, 0));
    let (mut h, mut c) = ([9.0f32; 8], [9.0f32; 8]);
    let (at_h, at_c, s) = (h.as_mut_ptr(), c.as_mut_ptr(), state.get());
    refused!(list, RNNPACK_NULL_POINTER, "state is NULL", rnnpack_state_reset_row(null_mut(), 0));
    refused!(list, RNNPACK_ALIGNMENT, "state is not", rnnpack_state_reset_row(misaligned(s), 0));
    for row in [2, usize::MAX] {
        refused!(list, RNNPACK_NOT_FOUND, "has 2 rows", rnnpack_state_reset_row(s, row));
        refused!(list, RNNPACK_NOT_FOUND, "has 2 rows", rnnpack_state_read_row(s, row, at_h, 8, at_c, 8));
        refused!(list, RNNPACK_NOT_FOUND, "has 2 rows", rnnpack_state_write_row(s, row, at_h, 8, at_c, 8));
    }
    refused!(list, RNNPACK_NOT_FOUND, "row 0", rnnpack_state_reset_row(empty.get(), 0));
    refused!(list, RNNPACK_NOT_FOUND, "row 0", rnnpack_state_read_row(empty.get(), 0, at_h, 8, at_c, 8));
    refused!(list, RNNPACK_NOT_FOUND, "row 0", rnnpack_state_write_row(empty.get(), 0, at_h, 0, at_c, 0));
    refused!(
        list,
        RNNPACK_NULL_POINTER,
        "state is NULL",
        rnnpack_state_read_row(null(), 1, at_h, 8, at_c, 8)
    );
    refused!(list, RNNPACK_NULL_POINTER, "h is NULL", rnnpack_state_read_row(s, 1, null_mut(), 8, at_c, 8));
    refused!(list, RNNPACK_SHAPE, "h has 16", rnnpack_state_read_row(s, 1, at_h, 16, at_c, 8));
    refused!(list, RNNPACK_SHAPE, "c has 4", rnnpack_state_read_row(s, 1, at_h, 8, at_c, 4));
    refused!(list, RNNPACK_ALIGNMENT, "c is not", rnnpack_state_read_row(s, 1, at_h, 8, misaligned(at_c), 8));
    refused!(list, RNNPACK_OVERLAP, "h and c", rnnpack_state_read_row(s, 1, at_h, 8, at_h, 8));
    refused!(list, RNNPACK_NULL_POINTER, "c is NULL", rnnpack_state_write_row(s, 1, at_h, 8, null(), 8));
    refused!(list, RNNPACK_SHAPE, "h has 4", rnnpack_state_write_row(s, 1, at_h, 4, at_c, 8));
    refused!(
        list,
        RNNPACK_ALIGNMENT,
        "h is not",
        rnnpack_state_write_row(s, 1, misaligned(at_h), 8, at_c, 8)
    );
    assert_eq!((h, c), ([9.0; 8], [9.0; 8]), "a refused read wrote");
    assert_eq!(read(&state, 16, true), [[0.0; 16]; 2], "a refused write wrote");
}

pub(crate) fn scratch_handle(list: &mut Refused) {
    let out = null_mut();
    let scratch = scratch();
    refused!(list, RNNPACK_NULL_POINTER, "scratch is NULL", rnnpack_scratch_new(null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "scratch is not", rnnpack_scratch_new(misaligned(&out)));
    refused!(list, RNNPACK_ALIGNMENT, "scratch is not", rnnpack_scratch_free(misaligned(scratch.get())));
    ok(c!(rnnpack_scratch_free(null_mut())));
}
