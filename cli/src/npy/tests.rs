//! Tests the reader of `.npy` files against the writer of another crate, and with hostile headers.

use super::*;
use ndarray::{ArrayD, ArrayViewD, IxDyn, ShapeBuilder};
use ndarray_npy::WriteNpyExt;
use proptest::prelude::*;
use rnnpack_onnx::f16;
use std::time::{Duration, Instant};

/// A file with this header and these elements.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn header(descr: &str, fortran_order: bool, shape: &str) -> String {
    let fortran_order = if fortran_order { "True" } else { "False" };
    format!("{{'descr': '{descr}', 'fortran_order': {fortran_order}, 'shape': {shape}, }}   \n")
}

#[track_caller]
fn refused(bytes: &[u8], why: &str) {
    let start = Instant::now();
    let error = format!("{:#}", decode(bytes).unwrap_err());
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    assert!(error.contains(why) && !error.contains('\n') && error.len() < 500, "{error}");
}

proptest! {
    #[test]
    fn what_another_crate_writes_is_read(dims in prop::collection::vec(0usize..5, 0..5), fortran in any::<bool>()) {
        let shape = IxDyn(&dims).set_f(fortran);
        let mut next = 0.0;
        let array = ArrayD::<f64>::from_shape_simple_fn(shape, || { next += 1.0; next });
        let mut bytes = Vec::new();
        array.write_npy(&mut bytes).unwrap();
        let tensor = decode(&bytes).unwrap();
        prop_assert_eq!(tensor.dims(), &dims[..]);
        prop_assert_eq!(tensor.as_slice::<f64>().unwrap(), array.iter().copied().collect::<Vec<_>>());
    }

    #[test]
    fn every_order_of_bytes_and_axes_gives_the_same_tensor(
        dims in prop::collection::vec(0usize..4, 0..4),
        big in any::<bool>(),
        fortran in any::<bool>(),
    ) {
        let len: usize = dims.iter().product();
        let values: Vec<f16> = (0..len).map(|i| f16::from_f32(i as f32 - 2.5)).collect();
        let rows = ArrayViewD::from_shape(&dims[..], &values).unwrap();
        // Reversing the axes and reading row by row is the order of Fortran.
        let stored: Vec<f16> =
            if fortran { rows.t().iter().copied().collect() } else { values.clone() };
        let data: Vec<u8> =
            stored.iter().flat_map(|v| if big { v.to_be_bytes() } else { v.to_le_bytes() }).collect();
        let shape = match dims.as_slice() {
            [one] => format!("({one},)"),
            dims => format!("{dims:?}").replace('[', "(").replace(']', ")"),
        };
        let descr = if big { ">f2" } else { "<f2" };
        let tensor = decode(&file(&header(descr, fortran, &shape), &data)).unwrap();
        prop_assert_eq!(tensor.dims(), &dims[..]);
        prop_assert_eq!(tensor.as_slice::<f16>().unwrap(), values);
    }

    #[test]
    fn any_header_is_read_or_refused_at_once(
        text in "[\\[\\](){}',:0-9L TrueFalsdcipthn_o<>|f4]{0,400}",
        start in prop::sample::select(vec!["", "{'descr': ", "{'descr': '<f4', 'fortran_order': False, 'shape': "]),
    ) {
        let start_time = Instant::now();
        let _ = decode(&file(&format!("{start}{text}"), &[0; 8]));
        prop_assert!(start_time.elapsed() < Duration::from_millis(100));
    }
}

#[test]
fn every_element_type_is_read_in_both_byte_orders() {
    fn of<T: rnnpack_onnx::Element + PartialEq + std::fmt::Debug>(name: &str, value: T, le: &[u8]) {
        let mut be = le.to_vec();
        be.reverse();
        for (descr, bytes) in [(format!("<{name}"), le), (format!(">{name}"), &be)] {
            let tensor = decode(&file(&header(&descr, false, "()"), bytes)).unwrap();
            assert_eq!(tensor.as_slice::<T>().unwrap(), [value], "{descr}");
        }
    }
    of("f2", f16::from_f32(1.5), &f16::from_f32(1.5).to_le_bytes());
    of("f4", 1.5f32, &1.5f32.to_le_bytes());
    of("f8", -1.5f64, &(-1.5f64).to_le_bytes());
    of("i1", -2i8, &(-2i8).to_le_bytes());
    of("i4", -70_000i32, &(-70_000i32).to_le_bytes());
    of("i8", 1i64 << 40, &(1i64 << 40).to_le_bytes());
    of("i2", -300i16, &(-300i16).to_le_bytes());
    of("u1", 200u8, &[200]);
    of("u2", 60_000u16, &60_000u16.to_le_bytes());
    of("u4", 1u32 << 31, &(1u32 << 31).to_le_bytes());
    of("u8", 1u64 << 63, &(1u64 << 63).to_le_bytes());
    of("b1", true, &[1]);
}

#[test]
fn headers_of_other_writers_are_read() {
    for text in [
        "{\"shape\":(2L,),\"fortran_order\":False,\"descr\":\"<f4\"}",
        "{ 'descr' : '<f4' , 'fortran_order' : True , 'shape' : ( 2 , ) , } \n",
    ] {
        assert_eq!(decode(&file(text, &[0; 8])).unwrap().dims(), [2]);
    }
}

#[test]
fn nested_headers_are_refused_at_once() {
    for open in ["[", "(", "{", "{'a':", "[(", "('a',", "{'descr':"] {
        for start in ["", "{'descr': ", "{'shape': ", "{'shape': (", "{'x': "] {
            let text = format!("{start}{}", open.repeat((MAX_HEADER - start.len()) / open.len()));
            refused(&file(&text, &[0; 4]), "its header");
        }
    }
}

#[test]
fn shapes_that_no_memory_holds_are_refused() {
    let huge = "4611686018427387904";
    for shape in [format!("(0, {huge}, {huge})"), format!("({huge}, {huge}, 0)"), format!("({huge}, 2)")] {
        refused(&file(&header("<f4", false, &shape), &[]), "is too large");
        refused(&file(&header("<f4", true, &shape), &[]), "is too large");
    }
    refused(&file(&header("<f4", false, "(99999999999999999999999,)"), &[]), "is no size");
    refused(&file(&header("<f4", false, "(-1,)"), &[]), "is no size");
    refused(
        &file(&header("<f4", false, &format!("({})", "1,".repeat(65))), &[0; 4]),
        "more than 64 dimensions",
    );
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let array = |descr: &str, shape: &str, data: usize| file(&header(descr, false, shape), &vec![0; data]);
    refused(&array("<c8", "(1,)", 8), "elements of type \"<c8\" are not read");
    refused(&array("|S4", "(1,)", 4), "elements of type \"|S4\" are not read");
    refused(&array("=f4", "(1,)", 4), "the byte order of \"=f4\" is not < or >");
    refused(&array("<f4", "(3,)", 8), "it has 8 bytes of elements, where [3] of f32 needs 12");
    refused(&array("<f4", "(1,)", 8), "it has 8 bytes of elements, where [1] of f32 needs 4");
    refused(&array("<f4", "(3)", 12), "the shape is a number, not a tuple");
    refused(&file("{'descr': '<f4', 'fortran_order': False}", &[]), "the key shape is missing");
    refused(&file("{'descr': '<f4', 'descr': '<f8'}", &[]), "the key descr is given twice");
    refused(&file("{'descr': '<f4', 'x\u{1b}': 1}", &[]), "the key x\\u{1b} is unknown");
    refused(b"\x93NUMPY\x01\x00\xff\x00{", "it ends inside its header");
    refused(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "its header claims 4294967295 bytes");
    refused(b"PK", "it is not a .npy array");
}
