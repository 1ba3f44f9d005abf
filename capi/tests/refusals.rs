//! Tests bad arguments of every function of the C interface: the status and the words of the message.

mod support;

use rnnpack::{Activation, Cell, Direction, GateOrder};
use rnnpack_capi::*;
use std::ffi::{CString, c_char};
use std::process::Command;
use std::ptr::{null, null_mut};
use support::*;

/// A number of elements beyond all memory.
const HUGE: usize = usize::MAX / 4;

/// The functions whose calls were refused.
#[derive(Default)]
struct Refused(Vec<&'static str>);

/// What may be called in real time.
fn is_of_real_time(function: &str) -> bool {
    let of_state =
        function.starts_with("rnnpack_state_") && !function.ends_with("_new") && !function.ends_with("_free");
    of_state || ["rnnpack_forward", "rnnpack_step"].contains(&function)
}

impl Refused {
    /// Makes a call and checks its status, its message, and that it allocates nothing if it may be called in real time.
    #[track_caller]
    fn add(&mut self, function: &'static str, expected: Status, words: &str, call: impl FnOnce() -> Status) {
        let mut got = RNNPACK_OK;
        let allocations = allocation_counter::measure(|| got = call());
        if is_of_real_time(function) {
            assert_eq!(allocations.count_total, 0, "{function}: {words}: {allocations:?}");
        }
        let message = message();
        assert!(
            got == expected && message.contains(words),
            "{function}: {got}, expected {expected}: {message}"
        );
        self.0.push(function);
    }
}

/// Calls a function. It must return the given status, and the message must contain the given words.
macro_rules! refused {
    ($list:ident, $status:ident, $words:expr, $function:ident($($argument:expr),* $(,)?)) => {
        $list.add(stringify!($function), $status, $words, || c!($function($($argument),*)))
    };
}

/// A misaligned pointer next to a valid one.
fn misaligned<T>(pointer: *const T) -> *mut T {
    pointer.wrapping_byte_add(1).cast_mut()
}

#[test]
fn every_function_refuses_bad_arguments() {
    let mut list = Refused::default();
    library(&mut list);
    layer_new(&mut list);
    layer_handle(&mut list);
    onnx_handle(&mut list);
    stack_handle(&mut list);
    bytes(&mut list);
    state_handle(&mut list);
    state_rows(&mut list);
    scratch_handle(&mut list);
    forward(&mut list);
    step(&mut list);
    let header = include_str!("../include/rnnpack.h");
    let functions: Vec<&str> = header
        .lines()
        .filter(|line| !line.starts_with("/*") && !line.starts_with(' ') && line.contains('('))
        .filter_map(|line| line.split('(').next()?.split([' ', '*']).next_back())
        .filter(|name| name.starts_with("rnnpack_"))
        .collect();
    assert!(functions.len() > 15, "{functions:?}");
    for function in functions.into_iter().filter(|&name| name != "rnnpack_message") {
        let calls = list.0.iter().filter(|&&name| name == function).count();
        assert!(calls >= 1, "{function} has no bad arguments here");
    }
}

fn library(list: &mut Refused) {
    let text = null();
    refused!(list, RNNPACK_NULL_POINTER, "version is NULL", rnnpack_version(null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "version is not aligned", rnnpack_version(misaligned(&text)));
    refused!(list, RNNPACK_NULL_POINTER, "isa is NULL", rnnpack_isa(null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "isa is not aligned", rnnpack_isa(misaligned(&text)));
}

/// A packing that does this with subnormal numbers.
fn of_pack(subnormals: i32) -> PackDesc {
    PackDesc { subnormals, ..zeroed() }
}

fn layer_new(list: &mut Refused) {
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

fn layer_handle(list: &mut Refused) {
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

fn stack_handle(list: &mut Refused) {
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

fn bytes(list: &mut Refused) {
    let (case, other) = (Case::lstm(3, 4), Case::lstm(4, 5));
    let (one, two) = (layer(&case.desc()), layer(&other.desc()));
    let stack = stack(&[&one, &two]);
    let mut memory = packed(&one);
    let Aligned(bytes) = &mut memory;
    let count = info(&one).bytes_count;
    let (l, at, mut out) = (one.get(), bytes.as_mut_ptr().cast(), null_mut());
    refused!(list, RNNPACK_NULL_POINTER, "layer is NULL", rnnpack_layer_to_bytes(null(), at, count));
    refused!(list, RNNPACK_ALIGNMENT, "layer is not", rnnpack_layer_to_bytes(misaligned(l), at, count));
    refused!(list, RNNPACK_NULL_POINTER, "bytes is NULL", rnnpack_layer_to_bytes(l, null_mut(), count));
    refused!(list, RNNPACK_SHAPE, "bytes has", rnnpack_layer_to_bytes(l, at, count - 1));
    refused!(list, RNNPACK_SHAPE, "bytes has", rnnpack_layer_to_bytes(l, null_mut(), 0));
    refused!(list, RNNPACK_ARGUMENT, "pack each", rnnpack_layer_to_bytes(stack.get(), at, count));
    assert_eq!(info(&stack).bytes_count, 0);

    let start = at.cast_const();
    refused!(list, RNNPACK_NULL_POINTER, "layer is NULL", rnnpack_layer_in_place(start, count, null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "layer is not", rnnpack_layer_in_place(start, count, misaligned(&out)));
    refused!(list, RNNPACK_NULL_POINTER, "bytes is NULL", rnnpack_layer_in_place(null(), count, &mut out));
    refused!(list, RNNPACK_BYTES, "packed bytes", rnnpack_layer_in_place(null(), 0, &mut out));
    refused!(list, RNNPACK_BYTES, "bytes long", rnnpack_layer_in_place(start, count - 1, &mut out));
    refused!(list, RNNPACK_SHAPE, "bytes has", rnnpack_layer_in_place(start, usize::MAX, &mut out));
    let off = start.wrapping_byte_add(4);
    refused!(list, RNNPACK_BYTES, "64-byte boundary", rnnpack_layer_in_place(off, count - 4, &mut out));
    bytes[count - 1] ^= 1;
    refused!(list, RNNPACK_BYTES, "altered", rnnpack_layer_in_place(start, count, &mut out));
    let altered = File::new("altered", &bytes[..count]);
    refused!(list, RNNPACK_BYTES, "altered", rnnpack_layer_open(altered.path(), &mut out));
    bytes[count - 1] ^= 1;

    let file = File::new("packed", &bytes[..count]);
    refused!(list, RNNPACK_NULL_POINTER, "layer is NULL", rnnpack_layer_open(file.path(), null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "layer is not", rnnpack_layer_open(file.path(), misaligned(&out)));
    refused!(list, RNNPACK_NULL_POINTER, "path is NULL", rnnpack_layer_open(null(), &mut out));
    refused!(list, RNNPACK_ARGUMENT, "path is not UTF-8", rnnpack_layer_open(c"\xff".as_ptr(), &mut out));
    refused!(list, RNNPACK_NOT_FOUND, "file `none`", rnnpack_layer_open(c"none".as_ptr(), &mut out));
    refused!(list, RNNPACK_NOT_FOUND, "not a file", rnnpack_layer_open(c"/".as_ptr(), &mut out));
    if cfg!(unix) {
        refused!(list, RNNPACK_NOT_FOUND, "not a file", rnnpack_layer_open(c"/dev/zero".as_ptr(), &mut out));
    }
    let cut = File::new("cut", &bytes[..count - 64]);
    refused!(list, RNNPACK_BYTES, "header announces", rnnpack_layer_open(cut.path(), &mut out));
    let short = File::new("short", &bytes[..63]);
    refused!(list, RNNPACK_BYTES, "announces 64", rnnpack_layer_open(short.path(), &mut out));
    let other = File::new("other", &[7; 100]);
    refused!(list, RNNPACK_BYTES, "do not start", rnnpack_layer_open(other.path(), &mut out));
    // A file that has no data behind its header, but a length beyond all memory.
    let length = 1u64 << 42;
    bytes[16..24].copy_from_slice(&length.to_ne_bytes());
    let sparse = File::new("sparse", &bytes[..64]);
    if sparse.set_len(length) {
        refused!(list, RNNPACK_MEMORY, "no memory for the", rnnpack_layer_open(sparse.path(), &mut out));
    }
    assert!(out.is_null());
}

/// A file that is removed when this is dropped.
struct File(std::path::PathBuf, CString);

impl File {
    fn new(name: &str, bytes: &[u8]) -> File {
        let path = std::env::temp_dir().join(format!("rnnpack-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let name = CString::new(path.to_str().unwrap()).unwrap();
        File(path, name)
    }

    fn path(&self) -> *const c_char {
        self.1.as_ptr()
    }

    /// Whether the system can make the file so long.
    fn set_len(&self, length: u64) -> bool {
        std::fs::OpenOptions::new().write(true).open(&self.0).unwrap().set_len(length).is_ok()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn onnx_handle(list: &mut Refused) {
    let bytes = file("tests/fixtures/onnx_node_tests/test_lstm_defaults/model.onnx");
    let model = file("fuzz/seeds/onnx_import/lstm_stored.onnx");
    let (start, onnx) = (bytes.as_ptr().cast(), onnx(&model));
    let mut out = null_mut();
    refused!(list, RNNPACK_NULL_POINTER, "onnx is NULL", rnnpack_onnx_parse(start, bytes.len(), null_mut()));
    refused!(
        list,
        RNNPACK_ALIGNMENT,
        "onnx is not",
        rnnpack_onnx_parse(start, bytes.len(), misaligned(&out))
    );
    refused!(list, RNNPACK_NULL_POINTER, "bytes is NULL", rnnpack_onnx_parse(null(), bytes.len(), &mut out));
    refused!(list, RNNPACK_SHAPE, "bytes has", rnnpack_onnx_parse(start, usize::MAX, &mut out));
    refused!(list, RNNPACK_ONNX, "not an ONNX model", rnnpack_onnx_parse(null(), 0, &mut out));
    refused!(list, RNNPACK_ONNX, "not an ONNX model", rnnpack_onnx_parse(start, bytes.len() - 1, &mut out));
    let path = |file: &str| CString::new(format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (there, absent, other) =
        (path("fuzz/seeds/onnx_import/lstm_stored.onnx"), path("no"), path("README.md"));
    refused!(list, RNNPACK_NULL_POINTER, "onnx is NULL", rnnpack_onnx_open(there.as_ptr(), null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "onnx is not", rnnpack_onnx_open(there.as_ptr(), misaligned(&out)));
    refused!(list, RNNPACK_NULL_POINTER, "path is NULL", rnnpack_onnx_open(null(), &mut out));
    refused!(list, RNNPACK_ARGUMENT, "path is not UTF-8", rnnpack_onnx_open(c"\xff".as_ptr(), &mut out));
    refused!(list, RNNPACK_NOT_FOUND, "file `", rnnpack_onnx_open(absent.as_ptr(), &mut out));
    refused!(list, RNNPACK_ONNX, "not an ONNX model", rnnpack_onnx_open(other.as_ptr(), &mut out));
    assert!(out.is_null());

    let mut count = 0;
    refused!(list, RNNPACK_NULL_POINTER, "onnx is NULL", rnnpack_onnx_count(null(), &mut count));
    refused!(list, RNNPACK_ALIGNMENT, "onnx is not", rnnpack_onnx_count(misaligned(onnx.get()), &mut count));
    refused!(list, RNNPACK_NULL_POINTER, "count is NULL", rnnpack_onnx_count(onnx.get(), null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "count is not", rnnpack_onnx_count(onnx.get(), misaligned(&count)));
    ok(c!(rnnpack_onnx_count(onnx.get(), &mut count)));

    let mut info: NodeInfo = zeroed();
    refused!(list, RNNPACK_NULL_POINTER, "onnx is NULL", rnnpack_onnx_get_node(null(), 0, &mut info));
    refused!(list, RNNPACK_NOT_FOUND, "node 1 of 1", rnnpack_onnx_get_node(onnx.get(), count, &mut info));
    refused!(list, RNNPACK_NOT_FOUND, "of 1", rnnpack_onnx_get_node(onnx.get(), usize::MAX, &mut info));
    refused!(list, RNNPACK_NULL_POINTER, "info is NULL", rnnpack_onnx_get_node(onnx.get(), 0, null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "info is not", rnnpack_onnx_get_node(onnx.get(), 0, misaligned(&info)));
    let mut short = NodeInfo { size: 8, ..info };
    refused!(list, RNNPACK_STRUCT_SIZE, "info->size is 8", rnnpack_onnx_get_node(onnx.get(), 0, &mut short));
    ok(c!(rnnpack_onnx_get_node(onnx.get(), 0, &mut info)));

    let mut layer = null_mut();
    let (none, invalid) = (CString::new("none").unwrap(), [0xffu8, 0]);
    refused!(
        list,
        RNNPACK_NULL_POINTER,
        "layer is NULL",
        rnnpack_onnx_layer(onnx.get(), info.name, null(), null_mut())
    );
    refused!(
        list,
        RNNPACK_NULL_POINTER,
        "onnx is NULL",
        rnnpack_onnx_layer(null(), info.name, null(), &mut layer)
    );
    refused!(
        list,
        RNNPACK_NULL_POINTER,
        "name is NULL",
        rnnpack_onnx_layer(onnx.get(), null(), null(), &mut layer)
    );
    refused!(
        list,
        RNNPACK_NOT_FOUND,
        "`none`",
        rnnpack_onnx_layer(onnx.get(), none.as_ptr(), null(), &mut layer)
    );
    let pack = PackDesc { weight_type: 99, ..zeroed() };
    refused!(
        list,
        RNNPACK_ARGUMENT,
        "weight_type is 99",
        rnnpack_onnx_layer(onnx.get(), info.name, &pack, &mut layer)
    );
    let pack = of_pack(3);
    refused!(
        list,
        RNNPACK_ARGUMENT,
        "subnormals is 3",
        rnnpack_onnx_layer(onnx.get(), info.name, &pack, &mut layer)
    );
    refused!(
        list,
        RNNPACK_ALIGNMENT,
        "pack is not",
        rnnpack_onnx_layer(onnx.get(), info.name, misaligned(&pack), &mut layer)
    );
    let invalid = invalid.as_ptr().cast();
    refused!(
        list,
        RNNPACK_ARGUMENT,
        "name is not UTF-8",
        rnnpack_onnx_layer(onnx.get(), invalid, null(), &mut layer)
    );
    assert!(layer.is_null());
    ok(c!(rnnpack_onnx_free(null_mut())));
    refused!(list, RNNPACK_ALIGNMENT, "onnx is not", rnnpack_onnx_free(misaligned(onnx.get())));
}

fn state_handle(list: &mut Refused) {
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

fn state_rows(list: &mut Refused) {
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

fn scratch_handle(list: &mut Refused) {
    let out = null_mut();
    let scratch = scratch();
    refused!(list, RNNPACK_NULL_POINTER, "scratch is NULL", rnnpack_scratch_new(null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "scratch is not", rnnpack_scratch_new(misaligned(&out)));
    refused!(list, RNNPACK_ALIGNMENT, "scratch is not", rnnpack_scratch_free(misaligned(scratch.get())));
    ok(c!(rnnpack_scratch_free(null_mut())));
}

/// A call of 3 steps and 2 rows on a layer with 3 inputs and 4 hidden units in two directions.
fn forward(list: &mut Refused) {
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

fn step(list: &mut Refused) {
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

#[test]
fn a_wrong_isa_variable_is_refused_by_name() {
    const VARIABLE: &str = "RNNPACK_ISA";
    if std::env::var(VARIABLE).as_deref() != Ok("sparc") {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_wrong_isa_variable_is_refused_by_name"])
            .env(VARIABLE, "sparc")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && output.contains("1 passed"), "{output}");
        return;
    }
    let (case, mut isa, mut layer, mut list) = (Case::lstm(3, 4), null(), null_mut(), Refused::default());
    refused!(list, RNNPACK_NO_ISA, "\"sparc\"", rnnpack_isa(&mut isa));
    refused!(list, RNNPACK_NO_ISA, "\"sparc\"", rnnpack_layer_new(&case.desc(), &mut layer));
    assert!(isa.is_null() && layer.is_null());
    // A name in the description has precedence over the variable.
    let portable = CString::new("portable").unwrap();
    drop(support::layer(&LayerDesc {
        pack: &PackDesc { isa: portable.as_ptr(), ..zeroed() },
        ..case.desc()
    }));
}

#[test]
fn long_messages_are_cut() {
    let case = Case::lstm(3, 4);
    let (name, mut layer) = (CString::new("ä".repeat(3000)).unwrap(), null_mut());
    assert_eq!(
        c!(rnnpack_layer_new(
            &LayerDesc { pack: &PackDesc { isa: name.as_ptr(), ..zeroed() }, ..case.desc() },
            &mut layer
        )),
        RNNPACK_NO_ISA
    );
    assert!((1000..1024).contains(&message().len()));
}

#[test]
fn a_state_of_another_operator_is_refused() {
    let cells = [Cell::lstm(), Cell::gru(false), Cell::rnn(Activation::Tanh)];
    let cases = cells.map(|cell| Case::new(&[cell], GateOrder::Onnx, [4, 8], Direction::Forward));
    let layers = cases.each_ref().map(|case| layer(&case.desc()));
    let (states, scratch) = (layers.each_ref().map(|layer| state(layer, 0)), scratch());
    for (i, layer) in layers.iter().enumerate() {
        for (j, state) in states.iter().enumerate() {
            let (x, mut y) = ([0f32; 0], [0f32; 0]);
            let status =
                c!(rnnpack_step(layer.get(), state.get(), scratch.get(), x.as_ptr(), 0, y.as_mut_ptr(), 0));
            assert_eq!(status, if i == j { RNNPACK_OK } else { RNNPACK_SHAPE }, "{i} {j}");
            let status = c!(rnnpack_state_copy(states[i].get(), state.get()));
            assert_eq!(status, if i == j { RNNPACK_OK } else { RNNPACK_SHAPE }, "{i} {j}");
        }
    }
}
