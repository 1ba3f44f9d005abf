//! Tests the determinism contract and the meaning of a call, for every available instruction set, over made-up cases.
//!
//! Tests are named `isa::behaviour`. The summary at the end counts tests and cases per instruction set, and the cases that were
//! compared with the reference per type of weights and kind of dot products. A kind that this CPU has and that no case had is a
//! failure. An instruction set that was compiled in but is not available here is reported as ignored. `tests/variants.rs`
//! decides whether it may be ignored, and compares the kinds of dot products with the CPU's flags. `PROPTEST_CASES` sets the
//! number of cases of each test; below `ENOUGH` of them, a kind may have none by chance.

mod calls;
mod cases;
mod cells;
mod edges;
mod exact;
mod streams;
mod subnormals;
mod weight_types;

use libtest_mimic::{Arguments, Failed, Trial};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use rnnpack::{Dots, Variant, WeightType};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;

/// A behaviour that must hold on an instruction set.
type Behaviour = fn(Variant) -> Result<(), Failed>;

/// The number of cases that ran, per instruction set.
static CASES: Mutex<BTreeMap<&str, usize>> = Mutex::new(BTreeMap::new());

fn main() -> ExitCode {
    let behaviours = [
        exact::BEHAVIOURS,
        calls::BEHAVIOURS,
        cells::BEHAVIOURS,
        streams::BEHAVIOURS,
        subnormals::BEHAVIOURS,
        weight_types::BEHAVIOURS,
        edges::BEHAVIOURS,
    ]
    .concat();
    let mut trials = vec![];
    for &isa in Variant::COMPILED {
        let variant = Variant::by_name(isa);
        for &(name, behaviour) in &behaviours {
            let test = move || behaviour(variant.ok_or("this CPU lacks the instruction set")?);
            trials.push(Trial::test(format!("{isa}::{name}"), test).with_ignored_flag(variant.is_none()));
        }
    }
    let arguments = Arguments::from_args();
    let conclusion = libtest_mimic::run(&arguments, trials);
    for (isa, cases) in CASES.lock().unwrap().iter() {
        println!("{isa}: {} tests, {cases} cases", behaviours.len());
    }
    exact::report();
    let is_whole = arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list;
    let has_enough = Config::default().cases >= ENOUGH;
    match report_kinds() || !is_whole || arguments.ignored || !has_enough {
        true => conclusion.exit_code(),
        false => ExitCode::FAILURE,
    }
}

/// With this number of cases of each test, a kind has none by chance in fewer than one run in a million. Every case of the tests of
/// int8 and of bf16-dot counts for each of their kinds. f32 is two in five cases of the comparison with the reference, and bf16 and f16
/// are half of the cases of their own test. So, with n cases and at most 4 instruction sets, the chance is at most
/// `4·((3/5)^n + 2·(1/2)^n)`: 3.2e-7 for n = 32. With fewer cases than that, kinds are printed and not judged.
const ENOUGH: u32 = 32;

/// The number of cases that agree with the reference, of each kind. Those of bf16-dot are within their bound.
static KINDS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// What computes a product: an instruction set, a type of weights and, of int8, the dot products.
fn kind(variant: Variant, weights: WeightType, dots: Dots) -> String {
    match weights {
        WeightType::I8 => format!("{variant}, int8 by {}", format!("{dots:?}").to_lowercase()),
        _ => format!("{variant}, {}", weights.name()),
    }
}

/// Counts a case that agrees with the reference, with these dot products or else the fastest ones.
fn agreed(variant: Variant, weights: WeightType, dots: Option<Dots>) {
    let dots = dots.or(variant.dots().next()).unwrap_or(Dots::Widened);
    *KINDS.lock().unwrap().entry(kind(variant, weights, dots)).or_default() += 1;
}

/// Prints the number of cases of each kind that this CPU has. Returns whether each has one.
fn report_kinds() -> bool {
    let kinds = KINDS.lock().unwrap();
    let mut all = true;
    for (variant, weights) in
        Variant::available().flat_map(|variant| WeightType::ALL.map(|weights| (variant, weights)))
    {
        let fastest = if weights == WeightType::I8 { usize::MAX } else { 1 };
        for dots in variant.dots().take(fastest) {
            let kind = kind(variant, weights, dots);
            let cases = kinds.get(&kind).copied().unwrap_or(0);
            println!("{kind}: {cases} cases agree with the reference");
            all &= cases > 0;
        }
    }
    all
}

/// Runs a property over random cases. If a case fails, it is shrunk.
fn check<S: Strategy>(
    variant: Variant,
    strategy: S,
    property: impl Fn(S::Value) -> Result<(), String>,
) -> Result<(), Failed> {
    let config = Config { failure_persistence: None, ..Config::default() };
    let counted = |case| {
        *CASES.lock().unwrap().entry(variant.name()).or_default() += 1;
        property(case).map_err(TestCaseError::fail)
    };
    TestRunner::new(config).run(&strategy, counted).map_err(|e| e.to_string().into())
}
