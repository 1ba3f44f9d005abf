//! Tests the determinism contract and the meaning of a call, for every available instruction set, over made-up cases.
//!
//! Tests are named `isa::behaviour`. The summary at the end counts tests and cases per instruction set. An
//! instruction set that was compiled in but is not available here is reported as ignored. `tests/variants.rs` decides
//! whether it may be ignored. `PROPTEST_CASES` sets the number of cases of each test.

mod calls;
mod cases;
mod cells;
mod exact;
mod streams;
mod subnormals;
mod weight_types;

use libtest_mimic::{Arguments, Failed, Trial};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use rnnpack::Variant;
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
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    for (isa, cases) in CASES.lock().unwrap().iter() {
        println!("{isa}: {} tests, {cases} cases", behaviours.len());
    }
    exact::report();
    conclusion.exit_code()
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
