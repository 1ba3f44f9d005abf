//! Tests that the kernels run without the standard library, with the same bits as with it.
//!
//! For every instruction set of this CPU, the test builds the program of `tests/no_std` around a packed layer and
//! runs it.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use rnnpack::{Activation, Cell, Direction, Layer, LstmCell, Scratch, Shape, Variant};
use rnnpack_dev::{Case, embedded};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

const SHAPE: Shape = Shape { input: 5, hidden: 23, direction: Direction::Bidirectional };

/// The compiler flag that enables the instruction set in the compilation target.
fn features(variant: Variant) -> &'static str {
    match variant.name() {
        "portable" => "-Ctarget-cpu=x86-64",
        "avx2" => "-Ctarget-cpu=x86-64-v3",
        "avx512" => "-Ctarget-cpu=x86-64-v4",
        other => panic!("say how to compile for {other}"),
    }
}

/// Tests take turns, since they share folders.
static TURN: Mutex<()> = Mutex::new(());

/// Builds the program around a layer, in a separate folder for each instruction set, and runs it.
fn build_and_run(variant: Variant, bytes: &[u8]) -> Output {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no_std").join(variant.name());
    std::fs::create_dir_all(&folder).unwrap();
    let layer = folder.join("layer.rnnpack");
    std::fs::write(&layer, bytes).unwrap();
    let build = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/no_std/Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        .env("RNNPACK_PACKED_LAYER", &layer)
        .env("RUSTFLAGS", features(variant))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap();
    assert!(build.status.success(), "{variant}: {}", String::from_utf8_lossy(&build.stderr));
    Command::new(folder.join("release/rnnpack-no-std")).output().unwrap()
}

/// The expected output of the program.
fn expected(layer: &Layer) -> String {
    let (mut state, mut scratch) = (layer.new_state(1).unwrap(), Scratch::new());
    let mut y = vec![0.0; SHAPE.output()];
    for step in 0..10 {
        let x = |i| ((step * SHAPE.input + i) % 7) as f32 / 4.0 - 0.75;
        let x: Vec<f32> = (0..SHAPE.input).map(x).collect();
        layer.step(&x, &mut state, &mut y, &mut scratch).unwrap();
    }
    y.extend((0..10).map(|i| Activation::Tanh.eval(i as f32 / 7.0 - 0.7)));
    y.iter().map(|y| format!("{:08x}\n", y.to_bits())).collect()
}

#[test]
fn a_program_without_std_gives_the_bits_of_one_with_it() {
    // The first cell uses vector code, the second one functions that are computed lane by lane.
    let activations = [Activation::Sigmoid, Activation::Elu { alpha: 0.7 }, Activation::Softplus];
    let rare = Cell::Lstm(LstmCell { activations, ..LstmCell::default() });
    let case = Case { cells: [Cell::lstm(), rare], ..Case::new(rare, SHAPE, 1, 1, 6) };
    for variant in Variant::available() {
        let bytes = case.contents().layer(variant).to_bytes().unwrap();
        let expected = expected(&Layer::from_static(embedded(&bytes, 0)).unwrap());
        let output = build_and_run(variant, &bytes);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{variant}");
        assert!(output.status.success(), "{variant}: {}", output.status);
    }
}

#[test]
fn bytes_for_another_instruction_set_are_refused_without_std_too() {
    let Some(avx2) = Variant::by_name("avx2") else { return };
    let bytes = Case::new(Cell::rnn(Activation::Tanh), SHAPE, 1, 1, 7).contents().layer(avx2).to_bytes();
    let portable = Variant::by_name("portable").unwrap();
    let output = build_and_run(portable, &bytes.unwrap());
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(words.contains("\"avx2\", which is not available here; there are portable"), "{words}");
    assert_eq!(output.status.code(), Some(1));
}
