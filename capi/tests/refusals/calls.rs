//! Bad arguments of calls that compute.

use crate::list::{HUGE, Refused, misaligned, refused};
use crate::support::*;
use rnnpack::{Cell, Direction, GateOrder};
use rnnpack_capi::*;
use std::ptr::{null, null_mut};

/// A call of 3 steps and 2 rows on a layer with 3 inputs and 4 hidden units in two directions.
pub(crate) fn forward(list: &mut Refused) {
    let case = Case::new(&[Cell::lstm()], GateOrder::Onnx, [3, 4], Direction::Bidirectional);
    let other = Case::lstm(3, 4);
    let (layer, other) = (layer(&case.desc()), layer(&other.desc()));
    let (state, scratch) = (state(&layer, 2), scratch());
    // The lengths of 2 rows, in as much memory as a final state takes.
    let (x, mut y, mut lens) = ([0.5f32; 100], [9.0f32; 100], [0i32; 16]);
    (lens[0], lens[1]) = (3, 1);
    let (mut h, mut c) = ([9.0f32; 16], [9.0f32; 16]);
    let (too_long, negative) = ([3, 4], [-1, 3]);
    let at_y = y.as_mut_ptr();
    let good = ForwardDesc {
        time: 3,
        batch: 2,
        x: x.as_ptr(),
        x_count: 18,
        y: at_y,
        y_count: 48,
        lens: lens.as_ptr(),
        lens_count: 2,
        initial_h: x.as_ptr(),
        final_h: h.as_mut_ptr(),
        h_count: 16,
        initial_c: x.as_ptr(),
        final_c: c.as_mut_ptr(),
        c_count: 16,
        ..zeroed()
    };
    let strided = ForwardDesc { y_time_stride: 16, y_direction_stride: 4, y_batch_stride: 8, ..good };
    refused!(
        list,
        RNNPACK_NULL_POINTER,
        "layer is NULL",
        rnnpack_forward(null(), state.get(), scratch.get(), &good)
    );
    refused!(
        list,
        RNNPACK_ALIGNMENT,
        "layer is not",
        rnnpack_forward(misaligned(layer.get()), state.get(), scratch.get(), &good)
    );
    refused!(
        list,
        RNNPACK_NULL_POINTER,
        "state is NULL",
        rnnpack_forward(layer.get(), null_mut(), scratch.get(), &good)
    );
    refused!(
        list,
        RNNPACK_ALIGNMENT,
        "state is not",
        rnnpack_forward(layer.get(), misaligned(state.get()), scratch.get(), &good)
    );
    let (l, s) = (layer.get(), state.get());
    refused!(list, RNNPACK_NULL_POINTER, "scratch is NULL", rnnpack_forward(l, s, null_mut(), &good));
    let bad_scratch = misaligned(scratch.get());
    refused!(list, RNNPACK_ALIGNMENT, "scratch is not", rnnpack_forward(l, s, bad_scratch, &good));
    refused!(
        list,
        RNNPACK_NULL_POINTER,
        "desc is NULL",
        rnnpack_forward(layer.get(), state.get(), scratch.get(), null())
    );
    refused!(
        list,
        RNNPACK_ALIGNMENT,
        "desc is not",
        rnnpack_forward(layer.get(), state.get(), scratch.get(), misaligned(&good))
    );
    let of_other = ForwardDesc { y: null_mut(), y_count: 0, ..good };
    refused!(
        list,
        RNNPACK_SHAPE,
        "number of directions is 2",
        rnnpack_forward(other.get(), state.get(), scratch.get(), &of_other)
    );
    let cases: &[(Status, &str, ForwardDesc)] = &[
        (RNNPACK_STRUCT_SIZE, "desc->size is 0", ForwardDesc { size: 0, ..good }),
        (RNNPACK_STRUCT_SIZE, "desc->size", ForwardDesc { size: good.size + 8, ..good }),
        (RNNPACK_ARGUMENT, "layout is 2", ForwardDesc { layout: 2, ..good }),
        (RNNPACK_ARGUMENT, "layout is -1", ForwardDesc { layout: -1, ..good }),
        (RNNPACK_ARGUMENT, "threads is 2", ForwardDesc { threads: 2, ..good }),
        (RNNPACK_ARGUMENT, "threads is -1", ForwardDesc { threads: i32::from(-1i8), ..good }),
        (RNNPACK_SHAPE, "x has 18", ForwardDesc { time: 2, ..good }),
        (RNNPACK_SHAPE, "x has 18", ForwardDesc { time: 0, ..good }),
        (RNNPACK_SHAPE, "overflows", ForwardDesc { time: usize::MAX, ..good }),
        (RNNPACK_SHAPE, "x has 18", ForwardDesc { batch: 0, ..good }),
        (
            RNNPACK_SHAPE,
            "batch is 2, expected 3",
            ForwardDesc { batch: 3, x_count: 27, y_count: 72, lens: null(), lens_count: 0, ..good },
        ),
        (RNNPACK_SHAPE, "overflows", ForwardDesc { batch: usize::MAX, ..good }),
        (RNNPACK_NULL_POINTER, "x is NULL", ForwardDesc { x: null(), ..good }),
        (RNNPACK_SHAPE, "x has 0", ForwardDesc { x: null(), x_count: 0, ..good }),
        (RNNPACK_SHAPE, "x has 17", ForwardDesc { x_count: 17, ..good }),
        (RNNPACK_SHAPE, "x has", ForwardDesc { x_count: usize::MAX, ..good }),
        (RNNPACK_ALIGNMENT, "x is not", ForwardDesc { x: misaligned(good.x), ..good }),
        (RNNPACK_SHAPE, "tensor data has 18", ForwardDesc { x_time_stride: 7, x_batch_stride: 3, ..good }),
        (RNNPACK_SHAPE, "overflows", ForwardDesc { x_time_stride: usize::MAX, ..good }),
        (RNNPACK_NULL_POINTER, "y is NULL", ForwardDesc { y: null_mut(), ..good }),
        (RNNPACK_SHAPE, "y has 0", ForwardDesc { y_count: 0, ..good }),
        (RNNPACK_SHAPE, "y has 47", ForwardDesc { y_count: 47, ..good }),
        (RNNPACK_SHAPE, "y has", ForwardDesc { y_count: HUGE, ..good }),
        (RNNPACK_ALIGNMENT, "y is not", ForwardDesc { y: misaligned(at_y), ..good }),
        (RNNPACK_SHAPE, "tensor data has 48", ForwardDesc { y_time_stride: 17, ..strided }),
        (RNNPACK_SHAPE, "overflows", ForwardDesc { y_batch_stride: usize::MAX, ..strided }),
        (RNNPACK_OVERLAP, "rows of the output", ForwardDesc { y_direction_stride: 3, ..strided }),
        (RNNPACK_OVERLAP, "rows of the output", ForwardDesc { y_batch_stride: 0, ..strided }),
        (RNNPACK_NULL_POINTER, "lens is NULL", ForwardDesc { lens: null(), ..good }),
        (RNNPACK_SHAPE, "sequence_lens has 1", ForwardDesc { lens_count: 1, ..good }),
        (RNNPACK_SHAPE, "lens has", ForwardDesc { lens_count: usize::MAX, ..good }),
        (RNNPACK_ALIGNMENT, "lens is not", ForwardDesc { lens: misaligned(good.lens), ..good }),
        (RNNPACK_SHAPE, "sequence_lens[1] is 4", ForwardDesc { lens: too_long.as_ptr(), ..good }),
        (RNNPACK_SHAPE, "sequence_lens[0] is -1", ForwardDesc { lens: negative.as_ptr(), ..good }),
        (RNNPACK_SHAPE, "initial_h has 15", ForwardDesc { h_count: 15, ..good }),
        (RNNPACK_SHAPE, "initial_h has 0", ForwardDesc { h_count: 0, ..good }),
        (RNNPACK_SHAPE, "initial_h has", ForwardDesc { h_count: usize::MAX, ..good }),
        (RNNPACK_SHAPE, "initial_c has 17", ForwardDesc { c_count: 17, ..good }),
        (RNNPACK_SHAPE, "final_c has 17", ForwardDesc { initial_c: null(), c_count: 17, ..good }),
        (RNNPACK_ALIGNMENT, "initial_h is not", ForwardDesc { initial_h: misaligned(good.x), ..good }),
        (RNNPACK_ALIGNMENT, "initial_c is not", ForwardDesc { initial_c: misaligned(good.x), ..good }),
        (RNNPACK_ALIGNMENT, "final_h is not", ForwardDesc { final_h: misaligned(at_y), ..good }),
        (RNNPACK_ALIGNMENT, "final_c is not", ForwardDesc { final_c: misaligned(at_y), ..good }),
        (RNNPACK_OVERLAP, "y and x", ForwardDesc { x: at_y.wrapping_add(47), ..good }),
        (RNNPACK_OVERLAP, "y and lens", ForwardDesc { lens: at_y.cast(), ..good }),
        (RNNPACK_OVERLAP, "y and initial_h", ForwardDesc { initial_h: at_y, ..good }),
        (RNNPACK_OVERLAP, "y and initial_c", ForwardDesc { initial_c: at_y, ..good }),
        (RNNPACK_OVERLAP, "y and final_h", ForwardDesc { final_h: at_y, ..good }),
        (RNNPACK_OVERLAP, "y and final_c", ForwardDesc { final_c: at_y, ..good }),
        (RNNPACK_OVERLAP, "y and stop", ForwardDesc { stop: at_y.wrapping_add(47).cast(), ..good }),
        (RNNPACK_OVERLAP, "final_h and stop", ForwardDesc { stop: good.final_h.cast(), ..good }),
        (RNNPACK_OVERLAP, "final_c and stop", ForwardDesc { stop: good.final_c.cast(), ..good }),
        (RNNPACK_ALIGNMENT, "stop is not", ForwardDesc { stop: misaligned(good.lens), ..good }),
        (RNNPACK_OVERLAP, "final_h and x", ForwardDesc { final_h: good.x.cast_mut(), ..good }),
        (RNNPACK_OVERLAP, "final_h and final_c", ForwardDesc { final_c: good.final_h, ..good }),
        (RNNPACK_OVERLAP, "final_c and lens", ForwardDesc { final_c: good.lens.cast_mut().cast(), ..good }),
        (RNNPACK_OVERLAP, "final_h and initial_c", ForwardDesc { initial_c: good.final_h, ..good }),
        (RNNPACK_OVERLAP, "final_c and initial_h", ForwardDesc { initial_h: good.final_c, ..good }),
    ];
    for (status, words, desc) in cases {
        list.add("rnnpack_forward", *status, words, || c!(rnnpack_forward(l, s, scratch.get(), desc)));
    }
    assert!([&y[..], &h, &c].concat().iter().all(|&v| v == 9.0), "a refused call wrote");
    ok(c!(rnnpack_forward(layer.get(), state.get(), scratch.get(), &good)));
    ok(c!(rnnpack_forward(layer.get(), state.get(), scratch.get(), &strided)));
}

pub(crate) fn step(list: &mut Refused) {
    let case = Case::lstm(3, 4);
    let layer = layer(&case.desc());
    let (state, scratch, mut y, x) = (state(&layer, 2), scratch(), [9.0f32; 16], [0.5f32; 6]);
    let (l, s, w, at_x, at_y) = (layer.get(), state.get(), scratch.get(), x.as_ptr(), y.as_mut_ptr());
    refused!(list, RNNPACK_NULL_POINTER, "layer is NULL", rnnpack_step(null(), s, w, at_x, 6, at_y, 8));
    refused!(list, RNNPACK_NULL_POINTER, "state is NULL", rnnpack_step(l, null_mut(), w, at_x, 6, at_y, 8));
    refused!(list, RNNPACK_ALIGNMENT, "state is not", rnnpack_step(l, misaligned(s), w, at_x, 6, at_y, 8));
    refused!(list, RNNPACK_NULL_POINTER, "scratch is NULL", rnnpack_step(l, s, null_mut(), at_x, 6, at_y, 8));
    refused!(list, RNNPACK_ALIGNMENT, "scratch is not", rnnpack_step(l, s, misaligned(w), at_x, 6, at_y, 8));
    refused!(list, RNNPACK_NULL_POINTER, "x is NULL", rnnpack_step(l, s, w, null(), 6, at_y, 8));
    refused!(list, RNNPACK_SHAPE, "x has 5", rnnpack_step(l, s, w, at_x, 5, at_y, 8));
    refused!(list, RNNPACK_SHAPE, "x has", rnnpack_step(l, s, w, at_x, HUGE, at_y, 8));
    refused!(list, RNNPACK_ALIGNMENT, "x is not", rnnpack_step(l, s, w, misaligned(at_x), 6, at_y, 8));
    refused!(list, RNNPACK_NULL_POINTER, "y is NULL", rnnpack_step(l, s, w, at_x, 6, null_mut(), 8));
    refused!(list, RNNPACK_SHAPE, "y has 9", rnnpack_step(l, s, w, at_x, 6, at_y, 9));
    refused!(list, RNNPACK_SHAPE, "y has 0", rnnpack_step(l, s, w, at_x, 6, at_y, 0));
    refused!(list, RNNPACK_ALIGNMENT, "y is not", rnnpack_step(l, s, w, at_x, 6, misaligned(at_y), 8));
    refused!(list, RNNPACK_OVERLAP, "y and x", rnnpack_step(l, s, w, at_y.wrapping_add(7), 6, at_y, 8));
    assert_eq!(y, [9.0; 16]);
    assert_eq!(read(&state, 8, true), [[0.0; 8]; 2]);
    ok(c!(rnnpack_step(l, s, w, at_x, 6, null_mut(), 0)));
}
