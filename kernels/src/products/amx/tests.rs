//! Tests of whole calls by tiles: on this CPU, or with its missing instructions emulated.

use super::super::Products;
use super::emulator::{counts, install};
use super::instructions::found;
use crate::activation::Activation;
use crate::blocking::Blocking;
use crate::call::{Call, forward};
use crate::cell::Cell;
use crate::isa::Variant;
use crate::packed::PackedWeights;
use crate::scratch::Scratch;
use crate::view::{Dims, Layout, View, ViewMut};
use crate::weight_type::{Dots, WeightType};
use crate::weights::{GateOrder, Tensors, Weights};
use std::io::Write;

/// The results of a call: y, h and c.
type Results = [Vec<f32>; 3];

/// Calls of 1 to 40 rows, with depths that have whole tiles, some last groups, or both, and lengths that differ.
const SIZES: [[usize; 4]; 9] = [
    [64, 64, 2, 16],
    [3, 20, 3, 4],
    [0, 17, 2, 5],
    [65, 100, 2, 17],
    [128, 33, 1, 40],
    [130, 70, 3, 7],
    [61, 62, 2, 33],
    [16, 16, 4, 3],
    [5, 130, 9, 1],
];

/// A call with the products, or with those of the variant.
fn run(cell: Cell, [input, hidden, time, batch]: [usize; 4], weights: WeightType, tiles: bool) -> Results {
    let mut state = 1u32;
    let mut numbers = |count: usize| -> Vec<f32> {
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                (state >> 8) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect()
    };
    let rows = cell.gates() * hidden;
    let cells = if cell.has_cell_state() { hidden } else { 0 };
    let [w, r, wb, rb] = [rows * input, rows * hidden, rows, rows].map(&mut numbers);
    let tensors = Tensors { w: &w, r: &r, wb: Some(&wb), rb: Some(&rb), p: None };
    let typed = Weights::new(cell, [input, hidden], GateOrder::Onnx, tensors).unwrap();
    let variant = Variant::by_name("avx512").unwrap();
    let mut packed =
        PackedWeights::new(variant, &typed.with_type(weights).unwrap()).unwrap().with_dots(Dots::Vnni);
    if tiles {
        packed = packed.with_products(Products::by_tiles(weights));
    }
    let [x, mut h, mut c] = [time * batch * input, batch * hidden, batch * cells].map(&mut numbers);
    let mut y = vec![f32::NAN; time * batch * hidden];
    let dims = Dims { time, directions: 1, batch, width: input };
    let lens: Vec<i32> = (0..batch).map(|row| ((time + row * 7) % (time + 1)) as i32).collect();
    let call = Call {
        x: View::new(&x, dims, Layout::TimeMajor).unwrap(),
        y: Some(ViewMut::new(&mut y, Dims { width: hidden, ..dims }, Layout::TimeMajor).unwrap()),
        lens: (batch % 2 == 1).then_some(&lens),
        reverse: false,
        h: &mut h,
        c: &mut c,
        blocking: Blocking { rows: 36, steps: 2 },
        stop: None,
    };
    forward(&packed, call, &mut Scratch::new()).unwrap();
    [y, h, c]
}

/// Whether the system lists a flag of the CPU.
fn listed(flag: &str) -> bool {
    let info = std::fs::read_to_string("/proc/cpuinfo").expect("Linux lists the flags");
    let line = info.lines().find(|line| line.starts_with("flags")).expect("a line of flags");
    line.split_whitespace().any(|other| other == flag)
}

/// Whether tiles can be tested here: AVX-512 is there, and AMX is, or is emulated where the CPU lacks it.
fn ready(weights: WeightType) -> bool {
    let [int8, bf16] = found();
    if listed("amx_tile") {
        // Linux lists them only if programs may use them.
        assert_eq!([int8, bf16], [listed("amx_int8"), listed("amx_bf16")], "the tiles are not found");
        return if weights == WeightType::I8 { int8 } else { bf16 };
    }
    install();
    Variant::by_name("avx512").is_some()
}

fn each_call(weights: WeightType, compare: impl Fn(&Results, &Results, &str)) {
    if !ready(weights) {
        assert!(!listed("avx512bw") || listed("amx_tile"), "nothing was compared");
        return;
    }
    let (mut calls, emulated) = (0, !listed("amx_tile"));
    for cell in [Cell::lstm(), Cell::gru(true), Cell::gru(false), Cell::rnn(Activation::Tanh)] {
        for sizes in SIZES {
            let (before, _) = counts();
            let tiled = run(cell, sizes, weights, true);
            let (after, released) = counts();
            assert!(released, "the tiles are in use after {sizes:?}");
            assert!(
                !emulated || (after > before) == (sizes[3] > 1),
                "{sizes:?} took {} tiles",
                after - before
            );
            compare(&run(cell, sizes, weights, false), &tiled, &format!("{cell:?}, {sizes:?}"));
            calls += 1;
        }
    }
    // Not captured, so that the gate's log has it.
    let how = if emulated { "amx, emulated" } else { "amx" };
    writeln!(std::io::stderr(), "avx512, {} by {how}: {calls} cases agree with vectors", weights.name())
        .unwrap();
}

#[test]
fn tiles_of_int8_give_the_bits_of_vectors() {
    let bits = |results: &Results| results.iter().flatten().map(|x| x.to_bits()).collect::<Vec<_>>();
    each_call(WeightType::I8, |right, tiled, of| assert_eq!(bits(tiled), bits(right), "{of}"));
}

#[test]
fn tiles_of_bf16_are_near_vectors() {
    each_call(WeightType::Bf16Dot, |right, tiled, of| {
        for (tiled, right) in tiled.iter().flatten().zip(right.iter().flatten()) {
            // The order of 130 additions differs.
            assert!((tiled - right).abs() < 2e-3, "{of}: {tiled} and {right}");
        }
    });
}
