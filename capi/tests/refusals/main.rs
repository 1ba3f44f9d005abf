//! Tests bad arguments of every function of the C interface: the status and the words of the message.

mod bytes;
mod calls;
mod layers;
mod list;
mod onnx;
mod states;
#[path = "../support/mod.rs"]
mod support;

use list::{Refused, misaligned, refused};
use rnnpack::{Activation, Cell, Direction, GateOrder};
use rnnpack_capi::*;
use std::ffi::CString;
use std::process::Command;
use std::ptr::{null, null_mut};
use support::*;

#[test]
fn every_function_refuses_bad_arguments() {
    let mut list = Refused::default();
    library(&mut list);
    layers::layer_new(&mut list);
    layers::layer_handle(&mut list);
    onnx::onnx_handle(&mut list);
    layers::stack_handle(&mut list);
    bytes::bytes(&mut list);
    states::state_handle(&mut list);
    states::state_rows(&mut list);
    states::scratch_handle(&mut list);
    calls::forward(&mut list);
    calls::step(&mut list);
    let header = include_str!("../../include/rnnpack.h");
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
