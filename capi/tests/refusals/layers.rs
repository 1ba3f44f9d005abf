//! Bad arguments where layers and stacks are made, and of their handles.

use crate::list::{HUGE, Refused, misaligned, refused};
use crate::support::*;
use rnnpack::{Cell, Direction, GateOrder};
use rnnpack_capi::*;
use std::ffi::{CString, c_char};
use std::ptr::{null, null_mut};

/// A packing that does this with subnormal numbers.
pub(crate) fn of_pack(subnormals: i32) -> PackDesc {
    PackDesc { subnormals, ..zeroed() }
}

pub(crate) fn layer_new(list: &mut Refused) {
    let lstm = Case::lstm(3, 4);
    let gru = Case::new(&[Cell::gru(false)], GateOrder::Onnx, [3, 4], Direction::Bidirectional);
    let (good, of_gru) = (lstm.desc(), gru.desc());
    let mut out = null_mut();
    refused!(list, RNNPACK_NULL_POINTER, "layer is NULL", rnnpack_layer_new(&good, null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "layer is not", rnnpack_layer_new(&good, misaligned(&out)));
    refused!(list, RNNPACK_NULL_POINTER, "desc is NULL", rnnpack_layer_new(null(), &mut out));
    refused!(list, RNNPACK_ALIGNMENT, "desc is not", rnnpack_layer_new(misaligned(&good), &mut out));
    let nan = [f32::NAN; 200];
    let names = |text: &'static str| CString::new(text).unwrap();
    let (unknown, tanh, avx3) = (names("Tanhh"), names("Tanh"), names("avx3"));
    let of = |name: &CString| [name.as_ptr(), name.as_ptr(), name.as_ptr()];
    let (bad_names, good_names, invalid) = (of(&unknown), of(&tanh), [0xffu8, 0]);
    let null_names = [null(); 3];
    let invalid: [*const c_char; 3] = [invalid.as_ptr().cast(); 3];
    let cases: &[(Status, &str, LayerDesc)] = &[
        (RNNPACK_STRUCT_SIZE, "desc->size is 0", LayerDesc { size: 0, ..good }),
        (RNNPACK_STRUCT_SIZE, "desc->size", LayerDesc { size: good.size - 8, ..good }),
        (RNNPACK_STRUCT_SIZE, "desc->size", LayerDesc { size: usize::MAX, ..good }),
        (RNNPACK_ARGUMENT, "op is 3", LayerDesc { op: 3, ..good }),
        (RNNPACK_ARGUMENT, "op is -1", LayerDesc { op: -1, ..good }),
        (RNNPACK_ARGUMENT, "direction is 7", LayerDesc { direction: 7, ..good }),
        (RNNPACK_ARGUMENT, "gate_order is 2", LayerDesc { gate_order: 2, ..good }),
        (RNNPACK_ARGUMENT, "has_clip is 2", LayerDesc { has_clip: 2, ..good }),
        (RNNPACK_ARGUMENT, "`clip`: 0", LayerDesc { has_clip: 1, clip: 0.0, ..good }),
        (RNNPACK_ARGUMENT, "`clip`: NaN", LayerDesc { has_clip: 1, clip: f32::NAN, ..good }),
        (RNNPACK_ARGUMENT, "input_forget is -1", LayerDesc { input_forget: -1, ..good }),
        (RNNPACK_ARGUMENT, "not an attribute of GRU", LayerDesc { input_forget: 1, ..of_gru }),
        (RNNPACK_ARGUMENT, "not an attribute of LSTM", LayerDesc { linear_before_reset: 1, ..good }),
        (RNNPACK_SHAPE, "hidden_size must not be 0", LayerDesc { hidden: 0, ..good }),
        (RNNPACK_SHAPE, "W has 48", LayerDesc { input: 4, ..good }),
        (RNNPACK_SHAPE, "W overflows", LayerDesc { input: usize::MAX, ..good }),
        (RNNPACK_SHAPE, "overflows", LayerDesc { hidden: usize::MAX / 2, ..good }),
        (
            RNNPACK_SHAPE,
            "W has 48",
            LayerDesc { direction: RNNPACK_BIDIRECTIONAL, activations: null(), activation_count: 0, ..good },
        ),
        (RNNPACK_NULL_POINTER, "w is NULL", LayerDesc { w: null(), ..good }),
        (RNNPACK_SHAPE, "W has 0", LayerDesc { w: null(), w_count: 0, ..good }),
        (RNNPACK_SHAPE, "W has 47", LayerDesc { w_count: 47, ..good }),
        (RNNPACK_SHAPE, "w has", LayerDesc { w_count: HUGE, ..good }),
        (RNNPACK_SHAPE, "w has", LayerDesc { w_count: usize::MAX, ..good }),
        (RNNPACK_ALIGNMENT, "w is not", LayerDesc { w: misaligned(good.w), ..good }),
        (RNNPACK_WEIGHTS, "W[0] is NaN", LayerDesc { w: nan.as_ptr(), ..good }),
        (RNNPACK_NULL_POINTER, "r is NULL", LayerDesc { r: null(), ..good }),
        (RNNPACK_SHAPE, "R has 63", LayerDesc { r_count: 63, ..good }),
        (RNNPACK_ALIGNMENT, "r is not", LayerDesc { r: misaligned(good.r), ..good }),
        (RNNPACK_WEIGHTS, "R[0] is NaN", LayerDesc { r: nan.as_ptr(), ..good }),
        (RNNPACK_NULL_POINTER, "b is NULL", LayerDesc { b: null(), ..good }),
        (RNNPACK_SHAPE, "B has 0", LayerDesc { b_count: 0, ..good }),
        (RNNPACK_ALIGNMENT, "b is not", LayerDesc { b: misaligned(good.b), ..good }),
        (RNNPACK_WEIGHTS, "B[0] is NaN", LayerDesc { b: nan.as_ptr(), ..good }),
        (RNNPACK_NULL_POINTER, "p is NULL", LayerDesc { p: null(), ..good }),
        (RNNPACK_SHAPE, "P has 11", LayerDesc { p_count: 11, ..good }),
        (RNNPACK_ALIGNMENT, "p is not", LayerDesc { p: misaligned(good.p), ..good }),
        (RNNPACK_WEIGHTS, "P[0] is NaN", LayerDesc { p: nan.as_ptr(), ..good }),
        (RNNPACK_SHAPE, "P has 12", LayerDesc { p: good.p, p_count: 12, ..of_gru }),
        (RNNPACK_NULL_POINTER, "activations is NULL", LayerDesc { activations: null(), ..good }),
        (
            RNNPACK_ALIGNMENT,
            "activations is not",
            LayerDesc { activations: misaligned(good.activations), ..good },
        ),
        (RNNPACK_ARGUMENT, "are 2, not 3", LayerDesc { activation_count: 2, ..good }),
        (RNNPACK_ARGUMENT, "activation_count is 7", LayerDesc { activation_count: 7, ..good }),
        (RNNPACK_SHAPE, "activations has", LayerDesc { activation_count: usize::MAX, ..good }),
        (RNNPACK_ARGUMENT, "`Tanhh` is no activation", LayerDesc { activations: bad_names.as_ptr(), ..good }),
        (
            RNNPACK_NULL_POINTER,
            "a name of activations is NULL",
            LayerDesc { activations: null_names.as_ptr(), ..good },
        ),
        (RNNPACK_ARGUMENT, "not UTF-8", LayerDesc { activations: invalid.as_ptr(), ..good }),
        (
            RNNPACK_NULL_POINTER,
            "activation_alpha is NULL",
            LayerDesc { activation_alpha: null(), activation_alpha_count: 1, ..good },
        ),
        (
            RNNPACK_ARGUMENT,
            "left over",
            LayerDesc {
                activations: good_names.as_ptr(),
                activation_alpha: good.w,
                activation_alpha_count: 1,
                ..good
            },
        ),
        (
            RNNPACK_ARGUMENT,
            "`activation_alpha`: NaN",
            LayerDesc { activation_alpha: nan.as_ptr(), activation_alpha_count: 1, ..good },
        ),
        (
            RNNPACK_NULL_POINTER,
            "activation_beta is NULL",
            LayerDesc { activation_beta: null(), activation_beta_count: 1, ..good },
        ),
        (
            RNNPACK_ALIGNMENT,
            "activation_beta is not",
            LayerDesc { activation_beta: misaligned(good.w), activation_beta_count: 1, ..good },
        ),
        (
            RNNPACK_NO_ISA,
            "\"avx3\"",
            LayerDesc { pack: &PackDesc { isa: avx3.as_ptr(), ..zeroed() }, ..good },
        ),
        (
            RNNPACK_ARGUMENT,
            "isa is not UTF-8",
            LayerDesc { pack: &PackDesc { isa: invalid[0], ..zeroed() }, ..good },
        ),
    ];
    for (status, words, desc) in cases {
        let mut out = misaligned(&good).cast();
        list.add("rnnpack_layer_new", *status, words, || c!(rnnpack_layer_new(desc, &mut out)));
        assert!(out.is_null(), "{words}");
    }
}

pub(crate) fn layer_handle(list: &mut Refused) {
    let case = Case::lstm(3, 4);
    let layer = layer(&case.desc());
    let mut info: LayerInfo = zeroed();
    refused!(list, RNNPACK_NULL_POINTER, "layer is NULL", rnnpack_layer_get_info(null(), &mut info));
    refused!(
        list,
        RNNPACK_ALIGNMENT,
        "layer is not",
        rnnpack_layer_get_info(misaligned(layer.get()), &mut info)
    );
    refused!(list, RNNPACK_NULL_POINTER, "info is NULL", rnnpack_layer_get_info(layer.get(), null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "info is not", rnnpack_layer_get_info(layer.get(), misaligned(&info)));
    for size in [0, info.size - 1, info.size + 8, usize::MAX] {
        let mut info = LayerInfo { size, hidden: 77, ..info };
        refused!(list, RNNPACK_STRUCT_SIZE, "info->size", rnnpack_layer_get_info(layer.get(), &mut info));
        assert_eq!((info.size, info.hidden), (size, 77));
    }
    ok(c!(rnnpack_layer_free(null_mut())));
    refused!(list, RNNPACK_ALIGNMENT, "layer is not", rnnpack_layer_free(misaligned(layer.get())));
}

pub(crate) fn stack_handle(list: &mut Refused) {
    let (below, above) = (Case::lstm(3, 4), Case::lstm(4, 5));
    let (below, above) = (layer(&below.desc()), layer(&above.desc()));
    let mut out = null_mut();
    let layers = [below.get().cast_const(), above.get()];
    let (start, wrong, gap) = (layers.as_ptr(), [layers[1], layers[0]], [layers[0], null()]);
    let odd = [layers[0], misaligned(layers[1])];
    refused!(list, RNNPACK_NULL_POINTER, "stack is NULL", rnnpack_stack_new(start, 2, null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "stack is not", rnnpack_stack_new(start, 2, misaligned(&out)));
    refused!(list, RNNPACK_NULL_POINTER, "layers is NULL", rnnpack_stack_new(null(), 2, &mut out));
    refused!(list, RNNPACK_ALIGNMENT, "layers is not", rnnpack_stack_new(misaligned(start), 1, &mut out));
    refused!(list, RNNPACK_SHAPE, "layers has", rnnpack_stack_new(start, HUGE, &mut out));
    refused!(list, RNNPACK_SHAPE, "at least one layer", rnnpack_stack_new(start, 0, &mut out));
    refused!(list, RNNPACK_SHAPE, "at least one layer", rnnpack_stack_new(null(), 0, &mut out));
    refused!(list, RNNPACK_SHAPE, "layer 1 takes 3", rnnpack_stack_new(wrong.as_ptr(), 2, &mut out));
    refused!(list, RNNPACK_NULL_POINTER, "layer of layers", rnnpack_stack_new(gap.as_ptr(), 2, &mut out));
    refused!(list, RNNPACK_ALIGNMENT, "layer of layers", rnnpack_stack_new(odd.as_ptr(), 2, &mut out));
    assert!(out.is_null());

    let (stack, scratch, x, mut y) = (stack(&[&below, &above]), scratch(), [0.5f32; 6], [9.0f32; 18]);
    let (of_below, of_stack) = (state(&below, 2), state(&stack, 2));
    let (w, at_x, at_y) = (scratch.get(), x.as_ptr(), y.as_mut_ptr());
    let (one, two) = (of_below.get(), of_stack.get());
    refused!(list, RNNPACK_SHAPE, "number of layers", rnnpack_step(stack.get(), one, w, at_x, 6, at_y, 10));
    refused!(list, RNNPACK_SHAPE, "number of layers", rnnpack_step(below.get(), two, w, at_x, 6, at_y, 8));
    refused!(list, RNNPACK_SHAPE, "y has 8", rnnpack_step(stack.get(), two, w, at_x, 6, at_y, 8));
    refused!(list, RNNPACK_SHAPE, "differ", rnnpack_state_copy(one, two));
    refused!(list, RNNPACK_SHAPE, "h has 8", rnnpack_state_read(two, at_y, 8, null_mut(), 0));
    refused!(list, RNNPACK_SHAPE, "h has 18", rnnpack_state_read_row(two, 1, at_y, 18, null_mut(), 0));
    assert_eq!(y, [9.0; 18]);
    ok(c!(rnnpack_state_read(two, at_y, 18, null_mut(), 0)));
    ok(c!(rnnpack_state_read_row(two, 1, null_mut(), 0, at_y, 9)));
}
