//! Tests that no promised instruction set is skipped, and that the override variable works.
//!
//! The promise is in `RNNPACK_PROMISED_ISAS` (names separated by commas). Without this variable it comes from the
//! CPU's flags, as the operating system lists them. It never comes from the crate's own detection, which is under
//! test.

use rnnpack::{
    Activation, Cell, Direction, Dots, GateOrder, ISA_VARIABLE, Layer, LayerTensors, LayerWeights,
};
use rnnpack::{Scratch, Shape, Variant, WeightType};
use rnnpack_dev::forms::forms;
use rnnpack_dev::{Case, expected, layer, run};
use std::collections::BTreeSet;
use std::env;
use std::process::{Command, Output};

const PROMISE_VARIABLE: &str = "RNNPACK_PROMISED_ISAS";
/// This variable is set in the processes that tests here start.
const CHILD_VARIABLE: &str = "RNNPACK_TEST_CHILD";

fn promised() -> BTreeSet<String> {
    match env::var(PROMISE_VARIABLE) {
        Ok(names) => names.split(',').map(|name| name.trim().to_owned()).collect(),
        Err(_) => promised_by_the_system(),
    }
}

#[cfg(target_arch = "x86_64")]
fn promised_by_the_system() -> BTreeSet<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_else(|e| {
        panic!(
            "this system does not list the CPU's flags ({e}): set {PROMISE_VARIABLE}, e.g. to avx2,portable"
        )
    });
    let line = info.lines().find(|line| line.starts_with("flags")).expect("a line of flags");
    let flags: BTreeSet<&str> = line.split_whitespace().collect();
    let needs = [("avx512", &["avx512f"][..]), ("avx2", &["avx2", "fma", "f16c"]), ("portable", &[])];
    let has = |(_, needed): &(_, &[&str])| needed.iter().all(|flag| flags.contains(flag));
    needs.into_iter().filter(has).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn promised_by_the_system() -> BTreeSet<String> {
    BTreeSet::from(["portable".to_owned()])
}

fn available() -> BTreeSet<String> {
    Variant::available().map(|variant| variant.name().to_owned()).collect()
}

/// Tells whether the system lists a flag of the CPU; `None` if it lists none at all.
#[cfg(target_arch = "x86_64")]
fn listed() -> Option<impl Fn(&str) -> bool> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("flags")).expect("a line of flags").to_owned();
    Some(move |flag: &str| line.split_whitespace().any(|other| other == flag))
}

/// The kinds of dot products are those that the system lists. `tests/invariants` fails if it compares none of one of them.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_dot_products_are_those_of_the_cpu() {
    let Some(has) = listed() else { return };
    for variant in Variant::available() {
        let (vnni, amx) = match variant.name() {
            "avx512" => (has("avx512_vnni"), has("avx512_vnni") && has("amx_tile") && has("amx_int8")),
            "avx2" => (has("avx_vnni"), false),
            _ => (false, false),
        };
        let expected = [(Dots::Amx, amx), (Dots::Vnni, vnni), (Dots::Widened, true)];
        let expected = expected.into_iter().filter_map(|(dots, has)| has.then_some(dots));
        assert!(variant.dots().eq(expected), "{variant}: {:?}", variant.dots().collect::<Vec<_>>());
    }
}

/// The instruction for pairs of bf16 takes subnormal numbers for zero, and multiply-adds of f32 do not.
#[cfg(target_arch = "x86_64")]
#[test]
fn pairs_of_bf16_are_added_by_the_instruction_where_the_system_lists_it() {
    let Some(has) = listed() else { return };
    let cell = Cell::rnn(Activation::Affine { alpha: 1.0, beta: 0.0 });
    let shape = Shape { input: 1, hidden: 1, direction: Direction::Forward };
    let tensors = LayerTensors { w: &[1.0], r: &[0.0], b: None, p: None };
    let weights = LayerWeights::new(cell, shape, GateOrder::Onnx, tensors).unwrap();
    let weights = weights.with_type(WeightType::Bf16Dot).unwrap();
    for variant in Variant::available() {
        let (layer, mut y) = (layer(variant, &weights), [f32::NAN]);
        layer.step(&[1e-39], &mut layer.new_state(1).unwrap(), &mut y, &mut Scratch::new()).unwrap();
        let by_instruction = variant.name() == "avx512" && has("avx512_bf16");
        assert_eq!(y[0] == 0.0, by_instruction, "{variant}: {:e}", y[0]);
    }
}

#[test]
fn what_is_available_is_what_was_promised() {
    assert_eq!(available(), promised(), "left: what the crate detects, right: what this machine promises");
}

#[test]
fn every_available_variant_was_compiled_in_and_has_its_name() {
    for variant in Variant::available() {
        assert!(Variant::COMPILED.contains(&variant.name()));
        assert_eq!(Variant::by_name(variant.name()), Some(variant));
        assert!(variant.lanes().is_power_of_two() && variant.tile_rows() >= 1);
    }
    assert_eq!(Variant::available().last().unwrap().name(), "portable");
}

/// Sizes around the lane widths, and sizes of several panels.
const HIDDEN: [usize; 8] = [1, 4, 15, 16, 17, 33, 64, 100];

#[test]
fn variants_with_fused_multiply_adds_agree_to_the_bit() {
    let fused: Vec<Variant> = Variant::available().filter(|variant| variant.is_fused()).collect();
    let mut cases = 0;
    for (cell, hidden) in forms().into_iter().flat_map(|cell| HIDDEN.map(|hidden| (cell, hidden))) {
        for batch in [1, 2, 7, 16] {
            let shape = Shape { input: 21, hidden, direction: Direction::Bidirectional };
            let case = Case::new(cell, shape, 6, batch, hidden as u64);
            let contents = case.contents();
            let reference = expected(&case, &contents);
            for &variant in &fused {
                let output = run(&contents.layer(variant), &case, &contents);
                output.difference(&reference).unwrap_or_else(|e| panic!("{variant}, {cell:?}: {e}"));
            }
            cases += 1;
        }
    }
    println!("{cases} cases on each of {fused:?}");
}

/// Runs one test of this file in its own process, with the override variable set.
fn in_a_child(test: &str, isa: &str) -> Output {
    child(test).env(ISA_VARIABLE, isa).output().unwrap()
}

/// One test of this file, to be run in its own process.
fn child(test: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD_VARIABLE, "1");
    command
}

/// In a child process: the text says which variant a layer is planned for, or why it is refused.
fn plan_of_a_layer() -> String {
    let contents =
        Case::new(Cell::lstm(), Shape { input: 3, hidden: 5, direction: Direction::Forward }, 1, 1, 0)
            .contents();
    match Layer::new(&contents.weights()) {
        Ok(layer) => format!("planned: {}.", layer.plan().variant),
        Err(e) => format!("refused: {e}."),
    }
}

#[test]
fn the_variable_forces_each_available_variant() {
    if env::var_os(CHILD_VARIABLE).is_some() {
        return println!("{}", plan_of_a_layer());
    }
    for name in available() {
        let output = in_a_child("the_variable_forces_each_available_variant", &name);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(&format!("planned: {name}.")), "{name}: {text}");
    }
}

#[test]
fn the_variable_takes_names_in_any_case_and_an_empty_one_as_none() {
    if env::var_os(CHILD_VARIABLE).is_some() {
        return println!("{}", plan_of_a_layer());
    }
    const TEST: &str = "the_variable_takes_names_in_any_case_and_an_empty_one_as_none";
    let planned = |output: Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().find(|line| line.starts_with("planned")).map(str::to_owned).ok_or(text)
    };
    for name in ["PORTABLE", "Portable"] {
        assert_eq!(planned(in_a_child(TEST, name)), Ok("planned: portable.".to_owned()), "{name}");
    }
    let without = child(TEST).env_remove(ISA_VARIABLE).output().unwrap();
    assert_eq!(planned(in_a_child(TEST, "")), planned(without));
}

#[test]
fn the_variable_refuses_other_names_and_lists_the_available_ones() {
    if env::var_os(CHILD_VARIABLE).is_some() {
        return println!("{}", plan_of_a_layer());
    }
    let names: Vec<&str> = Variant::available().map(Variant::name).collect();
    for name in ["sse9", "avx 2", " "] {
        let output = in_a_child("the_variable_refuses_other_names_and_lists_the_available_ones", name);
        let text = String::from_utf8_lossy(&output.stdout);
        let refused = format!(
            "refused: instruction set {name:?} is not available here; use one of: {}.",
            names.join(", ")
        );
        assert!(output.status.success() && text.contains(&refused), "{name}: {text}");
    }
}
