//! Bad arguments for ONNX files and their nodes.

use crate::layers::of_pack;
use crate::list::{Refused, misaligned, refused};
use crate::support::*;
use rnnpack_capi::*;
use std::ffi::CString;
use std::ptr::{null, null_mut};

pub(crate) fn onnx_handle(list: &mut Refused) {
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
