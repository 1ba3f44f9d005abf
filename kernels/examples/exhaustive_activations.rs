//! Compares the activations of every variant with f64, for every f32.
//!
//! It prints the largest errors, and fails if one exceeds its published bound. Run it with
//! `cargo run --release -p rnnpack-kernels --example exhaustive_activations`.
//!
//! It reports two errors. The first is the distance from the correctly rounded result, in f32 steps; the bound limits
//! it. The second is the error in units of the last place of that result before rounding.

use rnnpack_kernels::{Activation, Variant, activation};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

/// The number of values in one call of an activation.
const BLOCK: u32 = 4096;
/// The number of values that a thread takes at a time: 2^8 pieces cover all 2^32.
const PIECE: u32 = 1 << 24;

/// An activation, and its bound on the distance from the f64 result.
struct Case {
    activation: Activation,
    bound: u32,
}

const CASES: [Case; 2] = [
    Case { activation: Activation::Sigmoid, bound: activation::SIGMOID_MAX_ULP },
    Case { activation: Activation::Tanh, bound: activation::TANH_MAX_ULP },
];

/// The largest errors so far, and their arguments.
#[derive(Clone, Copy, Default)]
struct Worst {
    steps: u32,
    at_steps: f32,
    ulp: f64,
    at_ulp: f32,
    /// The number of NaN or infinite arguments whose result differs from that of the exact function.
    special: u32,
}

impl Worst {
    fn join(&mut self, other: Worst) {
        self.note_steps(other.steps, other.at_steps);
        self.note_ulp(other.ulp, other.at_ulp);
        self.special += other.special;
    }

    fn note_steps(&mut self, steps: u32, at: f32) {
        if steps > self.steps {
            (self.steps, self.at_steps) = (steps, at);
        }
    }

    fn note_ulp(&mut self, ulp: f64, at: f32) {
        if ulp > self.ulp {
            (self.ulp, self.at_ulp) = (ulp, at);
        }
    }

    fn compare(&mut self, x: f32, got: f32, exact: f64) {
        let rounded = exact as f32;
        if !x.is_finite() {
            self.special += u32::from(got != rounded && !(got.is_nan() && rounded.is_nan()));
        } else if got.is_nan() {
            self.note_steps(u32::MAX, x);
        } else {
            self.note_steps(order(got).abs_diff(order(rounded)), x);
            self.note_ulp((f64::from(got) - exact).abs() / unit(rounded), x);
        }
    }
}

/// Maps floats to integers, so that neighbouring floats become neighbouring integers. The two zeros become 0 and -1.
fn order(x: f32) -> i32 {
    let bits = x.to_bits() as i32;
    if bits < 0 { !(bits & i32::MAX) } else { bits }
}

/// The unit in the last place of `x`.
fn unit(x: f32) -> f64 {
    let exponent = (x.to_bits() >> 23 & 0xff).max(1);
    f64::from_bits(u64::from(exponent + 1023 - 127 - 23) << 52)
}

/// The errors of each variant over `PIECE` consecutive bit patterns.
fn check_piece(case: &Case, variants: &[Variant], first: u32) -> Vec<Worst> {
    let mut worst = vec![Worst::default(); variants.len()];
    for block in (0..PIECE / BLOCK).map(|b| first + b * BLOCK) {
        let arguments: Vec<f32> = (block..=block + (BLOCK - 1)).map(f32::from_bits).collect();
        let exact: Vec<f64> = arguments.iter().map(|&x| case.activation.eval64(x.into())).collect();
        for (&variant, worst) in variants.iter().zip(&mut worst) {
            let mut got = arguments.clone();
            case.activation.eval_slice(variant, &mut got);
            for ((&x, &got), &exact) in arguments.iter().zip(&got).zip(&exact) {
                worst.compare(x, got, exact);
            }
        }
    }
    worst
}

/// The errors of each variant over all f32.
fn check(case: &Case, variants: &[Variant]) -> Vec<Worst> {
    let next = AtomicU32::new(0);
    let worst = Mutex::new(vec![Worst::default(); variants.len()]);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(|| {
                loop {
                    let piece = next.fetch_add(1, Ordering::Relaxed);
                    if piece > u32::MAX / PIECE {
                        return;
                    }
                    let found = check_piece(case, variants, piece * PIECE);
                    let mut worst = worst.lock().expect("no thread panics while it holds the lock");
                    worst.iter_mut().zip(found).for_each(|(worst, found)| worst.join(found));
                }
            });
        }
    });
    worst.into_inner().expect("no thread panics while it holds the lock")
}

fn main() -> ExitCode {
    let mut good = true;
    let variants: Vec<Variant> = Variant::available().collect();
    for case in &CASES {
        let start = Instant::now();
        let found = check(case, &variants);
        println!("{} ({:.0} s)", case.activation, start.elapsed().as_secs_f64());
        for (variant, worst) in variants.iter().zip(found) {
            let bound = if variant.is_fused() { case.bound } else { activation::UNFUSED_MAX_ULP };
            let passed = worst.steps <= bound && worst.special == 0;
            good &= passed;
            println!(
                "  {variant:8} {}: at most {} ULP from correctly rounded (at {:e}; bound {bound}), error {:.4} \
                 ULP (at {:e}), {} wrong of NaN and infinity",
                if passed { "passed" } else { "FAILED" },
                worst.steps,
                worst.at_steps,
                worst.ulp,
                worst.at_ulp,
                worst.special,
            );
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
