//! The determinism contract and the semantics of a call, for every available instruction set, over made-up cases.
//!
//! Tests are named `isa::behaviour`; the summary at the end counts tests and cases per instruction set. What was
//! compiled in but is not available here is reported as ignored, and `tests/variants.rs` decides whether it may be.
//! `PROPTEST_CASES` sets the number of cases of each test.

mod support;

use libtest_mimic::{Arguments, Failed, Trial};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use rnnpack::{
    Activation, Cell, Dims, Direction, GateOrder, Layer, LayerTensors, LayerWeights, Layout, Planner,
    Scratch, Sequence, Shape, Stack, StackScratch, StackState, Strides, Variant, View, ViewMut,
};
use rnnpack_kernels::blocking::Blocking;
use rnnpack_kernels::{Call, Packed, forward};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use support::bound::{ACTIVATION_NEAR_ZERO, Bounded, TINY, U, activation_error};
use support::{Case, Contents, Numbers, Output, Placement, SENTINEL, expected, run, run_with};

type Behaviour = fn(Variant) -> Result<(), Failed>;

const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("kernels_compute_the_reference", kernels_compute_the_reference),
    ("the_error_against_f64_is_within_its_bound", the_error_against_f64_is_within_its_bound),
    ("activations_are_as_exact_as_the_bounds_assume", activations_are_as_exact_as_the_bounds_assume),
    ("one_step_is_within_the_closed_bound_in_k", one_step_is_within_the_closed_bound_in_k),
    ("tensors_may_lie_anywhere_and_nothing_beside_y_is_written", tensors_may_lie_anywhere),
    ("layouts_agree", layouts_agree),
    ("input_rows_may_overlap", input_rows_may_overlap),
    ("without_y_the_final_state_is_the_same", without_y_the_final_state_is_the_same),
    ("blocking_changes_no_bit", blocking_changes_no_bit),
    ("neighbours_in_a_batch_change_no_bit", neighbours_in_a_batch_change_no_bit),
    ("chunks_of_time_change_no_bit", chunks_of_time_change_no_bit),
    ("single_steps_change_no_bit", single_steps_change_no_bit),
    ("a_step_of_both_directions_is_a_call_of_one_step", a_step_of_both_directions_is_a_call_of_one_step),
    ("used_scratch_changes_no_bit", used_scratch_changes_no_bit),
    ("gate_orders_agree", gate_orders_agree),
    ("a_stack_computes_its_layers_one_by_one", a_stack_computes_its_layers_one_by_one),
    #[cfg(feature = "rayon")]
    ("threads_change_no_bit", threads_change_no_bit),
];

/// Cases run, per instruction set.
static CASES: Mutex<BTreeMap<&str, usize>> = Mutex::new(BTreeMap::new());
/// The largest error against f64 and the largest share of its bound that an error took, per instruction set, where
/// weights are of the size that trained ones have.
static ERRORS: Mutex<BTreeMap<&str, (f64, f64)>> = Mutex::new(BTreeMap::new());

fn main() -> ExitCode {
    let mut trials = vec![];
    for &isa in Variant::COMPILED {
        let variant = Variant::by_name(isa);
        for &(name, behaviour) in BEHAVIOURS {
            let test = move || behaviour(variant.ok_or("this CPU lacks the instruction set")?);
            trials.push(Trial::test(format!("{isa}::{name}"), test).with_ignored_flag(variant.is_none()));
        }
    }
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    for (isa, cases) in CASES.lock().unwrap().iter() {
        println!("{isa}: {} tests, {cases} cases", BEHAVIOURS.len());
    }
    for (isa, (error, share)) in ERRORS.lock().unwrap().iter() {
        println!("{isa}: largest error against f64 {error:.2e}; errors took up to {share:.3} of their bound");
    }
    conclusion.exit_code()
}

/// Runs a property over random cases, shrinking what fails.
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

/// Sizes around the lane widths, primes, several panels, and anything up to 70.
fn hidden_sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        3 => select(vec![1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65]),
        1 => 1..=70usize,
    ]
}

fn lens() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        Just(None),
        vec(any::<u8>(), 20).prop_map(Some),
        // All different, for as many rows as there are lengths.
        (0..13u8).prop_map(|first| Some((first..first + 20).collect())),
    ]
}

fn cases_in(direction: impl Strategy<Value = Direction>) -> impl Strategy<Value = Case> {
    let sizes = (prop_oneof![1 => Just(0), 9 => hidden_sizes()], hidden_sizes(), direction);
    let extents = (0..=12usize, 0..=20usize, lens());
    let contents = (any::<bool>(), any::<bool>(), select(vec![0.1, 1.0, 4.0, 60.0]), any::<u64>());
    (sizes, extents, contents).prop_map(|(sizes, (time, batch, lens), (bias, initial, scale, seed))| {
        let (input, hidden, direction) = sizes;
        let shape = Shape { input, hidden, direction };
        let within = |len: &u8| (*len as usize % (time + 1)) as i32;
        let lens = lens.map(|lens| lens[..batch].iter().map(within).collect());
        Case { shape, time, batch, bias, initial, lens, scale, seed }
    })
}

fn cases() -> impl Strategy<Value = Case> {
    use Direction::{Bidirectional, Forward, Reverse};
    cases_in(select(vec![Forward, Reverse, Bidirectional]))
}

fn one_way_cases() -> impl Strategy<Value = Case> {
    cases_in(select(vec![Direction::Forward, Direction::Reverse]))
}

fn placements() -> impl Strategy<Value = Placement> {
    (Just([0, 1, 2]).prop_shuffle(), [0..4usize, 0..4, 0..4])
        .prop_map(|(nesting, gaps)| Placement { nesting, gaps })
}

/// Bit for bit with fused multiply-adds; without them within the bound of the unfused operations.
fn kernels_compute_the_reference(variant: Variant) -> Result<(), Failed> {
    check(variant, cases(), |case| {
        let contents = case.contents();
        let output = run(&contents.layer(variant), &case, &contents);
        if variant.is_fused() {
            return output.difference(&expected(&case, &contents));
        }
        output.within(&expected::<Bounded<false>>(&case, &contents)).map(drop)
    })
}

fn the_error_against_f64_is_within_its_bound(variant: Variant) -> Result<(), Failed> {
    fn judge<const FUSED: bool>(
        output: &Output<f32>,
        case: &Case,
        contents: &Contents,
    ) -> Result<[f64; 2], String> {
        let bounds = expected::<Bounded<FUSED>>(case, contents);
        let exact = expected::<f64>(case, contents);
        if bounds.y.iter().zip(&exact.y).any(|(bound, &exact)| bound.value != exact) {
            return Err("the bounds are about something else than the f64 reference".into());
        }
        output.within(&bounds)
    }
    check(variant, cases(), |case| {
        let contents = case.contents();
        let output = run(&contents.layer(variant), &case, &contents);
        let judge = if variant.is_fused() { judge::<true> } else { judge::<false> };
        let [error, share] = judge(&output, &case, &contents)?;
        if case.scale > 1.0 {
            // Recurrences this strong are chaotic: errors of any size are within their bounds, and say nothing.
            return Ok(());
        }
        let mut errors = ERRORS.lock().unwrap();
        let largest = errors.entry(variant.name()).or_default();
        *largest = (largest.0.max(error), largest.1.max(share));
        Ok(())
    })
}

/// Over a sample of all f32.
fn activations_are_as_exact_as_the_bounds_assume(variant: Variant) -> Result<(), Failed> {
    let sample: Vec<f32> = (0..u32::MAX).step_by(4099).map(f32::from_bits).filter(|x| !x.is_nan()).collect();
    for activation in [Activation::Sigmoid, Activation::Tanh] {
        let mut values = sample.clone();
        activation.eval_slice(variant, &mut values);
        for (&x, &value) in sample.iter().zip(&values) {
            let exact = activation.eval64(x.into());
            let bound = exact.abs() * activation_error(variant.is_fused()) + ACTIVATION_NEAR_ZERO;
            if (f64::from(value) - exact).abs() > bound || value.is_nan() {
                return Err(format!("at {x:e} it is {value:e}, not within {bound:e} of {exact:e}").into());
            }
        }
    }
    Ok(())
}

/// The closed form that `docs/design.md` derives for one step from an exact state.
fn one_step_is_within_the_closed_bound_in_k(variant: Variant) -> Result<(), Failed> {
    let cases = (0..=500usize, 1..=24usize, 1..=4usize, select(vec![0.1f32, 1.0]), any::<u64>());
    check(variant, cases, |(input, hidden, batch, scale, seed)| {
        let shape = Shape { input, hidden, direction: Direction::Forward };
        let case = Case { scale, ..Case::new(shape, 1, batch, seed) };
        let contents = case.contents();
        let output = run(&contents.layer(variant), &case, &contents);
        let exact = expected::<f64>(&case, &contents);
        let magnitude = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&a, &b)| (f64::from(a) * f64::from(b)).abs()).sum()
        };
        let weights = contents.weights();
        let weights = &weights.directions()[0];
        let activation = activation_error(variant.is_fused());
        let roundings = (input + hidden + 2) as f64 * U;
        let gamma = roundings / (1.0 - roundings);
        for (i, (&h, &c)) in output.h.iter().zip(&output.c).enumerate() {
            let (row, unit) = (i / hidden, i % hidden);
            let x = &contents.x[row * input..][..input];
            let before = &contents.h[row * hidden..][..hidden];
            let sums = [0, 1, 2, 3].map(|gate| {
                let (wb, rb) = (weights.wb(gate, unit), weights.rb(gate, unit));
                let bias = f64::from(wb.abs()) + f64::from(rb.abs());
                bias + magnitude(weights.w_row(gate, unit), x) + magnitude(weights.r_row(gate, unit), before)
            });
            let sum = sums.into_iter().fold(0.0, f64::max);
            let z = gamma * sum + (input + hidden + 2) as f64 * 2.0 * TINY;
            assert!(z < 1.0 / 200.0, "the closed form leaves out second-order terms");
            let cell = f64::from(contents.c[i]).abs();
            let c_bound =
                1.01 * ((cell + 5.0) / 4.0 * z + (cell + 2.0) * activation + 2.0 * (cell + 1.0) * U);
            let h_bound = 1.01 * (z / 4.0 + 2.0 * activation + U + c_bound);
            for (name, value, exact, bound) in [("c", c, exact.c[i], c_bound), ("h", h, exact.h[i], h_bound)]
            {
                let error = (f64::from(value) - exact).abs();
                if error.is_nan() || error > bound {
                    return Err(format!("{name}[{i}] is {value:e}, not within {bound:e} of {exact:e}"));
                }
            }
        }
        Ok(())
    })
}

fn tensors_may_lie_anywhere(variant: Variant) -> Result<(), Failed> {
    check(variant, (cases(), placements(), placements()), |(case, of_x, of_y)| {
        let contents = case.contents();
        let layer = contents.layer(variant);
        let (x_dims, y_dims) = (case.x_dims(), case.y_dims());
        let x = of_x.scatter(&contents.x, x_dims);
        let mut y = of_y.scatter(&vec![SENTINEL; y_dims.checked_len().unwrap()], y_dims);
        let mut state = contents.state(&layer, case.batch);
        let sequence = Sequence {
            x: View::strided(&x, x_dims, of_x.strides(x_dims)).unwrap(),
            lens: case.lens.as_deref(),
            y: Some(ViewMut::strided(&mut y, y_dims, of_y.strides(y_dims)).unwrap()),
        };
        layer.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
        let y = of_y.gather(&y, y_dims)?;
        let output = Output { y, h: state.h().to_vec(), c: state.c().to_vec() };
        output.difference(&run(&layer, &case, &contents))
    })
}

/// ONNX layout 1: X `[B, T, I]`, Y `[B, T, D, H]`.
fn layouts_agree(variant: Variant) -> Result<(), Failed> {
    check(variant, cases(), |case| {
        let contents = case.contents();
        let layer = contents.layer(variant);
        let (input, [x_dims, y_dims]) = (case.shape.input, [case.x_dims(), case.y_dims()]);
        let Dims { directions, width, .. } = y_dims;
        let mut x = vec![0.0; contents.x.len()];
        for t in 0..case.time {
            for b in 0..case.batch {
                let from = &contents.x[(t * case.batch + b) * input..][..input];
                x[(b * case.time + t) * input..][..input].copy_from_slice(from);
            }
        }
        let mut y = vec![SENTINEL; y_dims.checked_len().unwrap()];
        let mut state = contents.state(&layer, case.batch);
        let sequence = Sequence {
            x: View::new(&x, x_dims, Layout::BatchMajor).unwrap(),
            lens: case.lens.as_deref(),
            y: Some(ViewMut::new(&mut y, y_dims, Layout::BatchMajor).unwrap()),
        };
        layer.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
        let mut time_major = vec![];
        for t in 0..case.time {
            for d in 0..directions {
                for b in 0..case.batch {
                    let at = ((b * case.time + t) * directions + d) * width;
                    time_major.extend_from_slice(&y[at..][..width]);
                }
            }
        }
        let output = Output { y: time_major, h: state.h().to_vec(), c: state.c().to_vec() };
        output.difference(&run(&layer, &case, &contents))
    })
}

/// A sliding window over one signal: row t starts at sample t.
fn input_rows_may_overlap(variant: Variant) -> Result<(), Failed> {
    check(variant, one_way_cases(), |mut case| {
        (case.batch, case.lens) = (1, None);
        let mut contents = case.contents();
        let signal = Numbers(case.seed).floats(case.time + case.shape.input, 1.0);
        let windows = (0..case.time).flat_map(|t| &signal[t..][..case.shape.input]);
        contents.x = windows.copied().collect();
        let layer = contents.layer(variant);
        let mut state = contents.state(&layer, 1);
        let mut y = vec![SENTINEL; case.time * case.shape.hidden];
        let sequence = Sequence {
            x: View::strided(&signal, case.x_dims(), Strides { time: 1, direction: 0, batch: 0 }).unwrap(),
            lens: None,
            y: Some(ViewMut::new(&mut y, case.y_dims(), Layout::TimeMajor).unwrap()),
        };
        layer.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
        let output = Output { y, h: state.h().to_vec(), c: state.c().to_vec() };
        output.difference(&run(&layer, &case, &contents))
    })
}

fn without_y_the_final_state_is_the_same(variant: Variant) -> Result<(), Failed> {
    check(variant, cases(), |case| {
        let contents = case.contents();
        let layer = contents.layer(variant);
        let whole = run(&layer, &case, &contents);
        let mut state = contents.state(&layer, case.batch);
        let x = View::new(&contents.x, case.x_dims(), Layout::TimeMajor).unwrap();
        let sequence = Sequence { x, lens: case.lens.as_deref(), y: None };
        layer.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
        Output { y: whole.y.clone(), h: state.h().to_vec(), c: state.c().to_vec() }.difference(&whole)
    })
}

fn blocking_changes_no_bit(variant: Variant) -> Result<(), Failed> {
    let extent = |max: usize| prop_oneof![8 => 1..=max, 1 => Just(usize::MAX)];
    let blockings = (extent(25), extent(15)).prop_map(|(rows, steps)| Blocking { rows, steps });
    check(variant, (one_way_cases(), blockings), |(case, blocking)| {
        let contents = case.contents();
        let whole = run(&contents.layer(variant), &case, &contents);
        let packed = Packed::new(variant, &contents.weights().directions()[0]).unwrap();
        let mut output =
            Output { y: vec![SENTINEL; whole.y.len()], h: contents.h.clone(), c: contents.c.clone() };
        let call = Call {
            x: View::new(&contents.x, case.x_dims(), Layout::TimeMajor).unwrap(),
            y: Some(ViewMut::new(&mut output.y, case.y_dims(), Layout::TimeMajor).unwrap()),
            lens: case.lens.as_deref(),
            reverse: case.shape.direction == Direction::Reverse,
            h: &mut output.h,
            c: &mut output.c,
            blocking,
        };
        forward(&packed, call, &mut rnnpack_kernels::Scratch::new()).unwrap();
        output.difference(&whole)
    })
}

fn neighbours_in_a_batch_change_no_bit(variant: Variant) -> Result<(), Failed> {
    check(variant, cases(), |case| {
        let contents = case.contents();
        let layer = contents.layer(variant);
        let whole = run(&layer, &case, &contents);
        for b in 0..case.batch {
            let lens = case.lens.as_ref().map(|lens| vec![lens[b]]);
            let alone = Case { batch: 1, lens, ..case.clone() };
            let row = |tensor: &[f32], width: usize| -> Vec<f32> {
                let rows = tensor.chunks(width.max(1)).skip(b).step_by(case.batch);
                rows.flatten().copied().collect()
            };
            let hidden = case.shape.hidden;
            let of_row = Contents {
                x: row(&contents.x, case.shape.input),
                h: row(&contents.h, hidden),
                c: row(&contents.c, hidden),
                ..contents.clone()
            };
            let output = run(&layer, &alone, &of_row);
            let expected =
                Output { y: row(&whole.y, hidden), h: row(&whole.h, hidden), c: row(&whole.c, hidden) };
            output.difference(&expected).map_err(|e| format!("row {b}: {e}"))?;
        }
        Ok(())
    })
}

fn chunks_of_time_change_no_bit(variant: Variant) -> Result<(), Failed> {
    check(variant, (one_way_cases(), vec(1..=5usize, 12)), |(case, sizes)| {
        let contents = case.contents();
        let layer = contents.layer(variant);
        let whole = run(&layer, &case, &contents);
        let mut starts = vec![0];
        for size in sizes {
            starts.push((starts[starts.len() - 1] + size).min(case.time));
        }
        let mut chunks: Vec<_> = starts.windows(2).map(|w| (w[0], w[1])).collect();
        if case.shape.direction == Direction::Reverse {
            chunks.reverse();
        }
        let (input, hidden) = (case.batch * case.shape.input, case.batch * case.shape.hidden);
        let mut state = contents.state(&layer, case.batch);
        let mut y = vec![SENTINEL; whole.y.len()];
        let mut scratch = Scratch::new();
        for (start, end) in chunks {
            let time = end - start;
            let within = |&len: &i32| (len - start as i32).clamp(0, time as i32);
            let lens: Option<Vec<i32>> = case.lens.as_ref().map(|lens| lens.iter().map(within).collect());
            let (x_dims, y_dims) = (Dims { time, ..case.x_dims() }, Dims { time, ..case.y_dims() });
            let sequence = Sequence {
                x: View::new(&contents.x[start * input..end * input], x_dims, Layout::TimeMajor).unwrap(),
                lens: lens.as_deref(),
                y: Some(
                    ViewMut::new(&mut y[start * hidden..end * hidden], y_dims, Layout::TimeMajor).unwrap(),
                ),
            };
            layer.forward(sequence, &mut state, &mut scratch).unwrap();
        }
        Output { y, h: state.h().to_vec(), c: state.c().to_vec() }.difference(&whole)
    })
}

fn single_steps_change_no_bit(variant: Variant) -> Result<(), Failed> {
    check(variant, one_way_cases(), |mut case| {
        case.lens = None;
        let contents = case.contents();
        let layer = contents.layer(variant);
        let whole = run(&layer, &case, &contents);
        let (input, hidden) = (case.batch * case.shape.input, case.batch * case.shape.hidden);
        let mut state = contents.state(&layer, case.batch);
        let mut y = vec![SENTINEL; whole.y.len()];
        let mut scratch = Scratch::new();
        for step in 0..case.time {
            let t = if case.shape.direction == Direction::Reverse { case.time - 1 - step } else { step };
            let (x, y) = (&contents.x[t * input..][..input], &mut y[t * hidden..][..hidden]);
            layer.step(x, &mut state, y, &mut scratch).unwrap();
        }
        Output { y, h: state.h().to_vec(), c: state.c().to_vec() }.difference(&whole)
    })
}

fn a_step_of_both_directions_is_a_call_of_one_step(variant: Variant) -> Result<(), Failed> {
    check(variant, cases_in(Just(Direction::Bidirectional)), |mut case| {
        (case.lens, case.time) = (None, 1);
        let contents = case.contents();
        let layer = contents.layer(variant);
        let whole = run(&layer, &case, &contents);
        let mut state = contents.state(&layer, case.batch);
        let mut y = vec![SENTINEL; whole.y.len()];
        layer.step(&contents.x, &mut state, &mut y, &mut Scratch::new()).unwrap();
        Output { y, h: state.h().to_vec(), c: state.c().to_vec() }.difference(&whole)
    })
}

fn used_scratch_changes_no_bit(variant: Variant) -> Result<(), Failed> {
    check(variant, vec(cases(), 2..4), |cases| {
        let mut scratch = Scratch::new();
        for case in cases {
            let contents = case.contents();
            let layer = contents.layer(variant);
            run_with(&layer, &case, &contents, &mut scratch).difference(&run(&layer, &case, &contents))?;
        }
        Ok(())
    })
}

/// The same weights, gates permuted by hand from ONNX's i, o, f, c to PyTorch's i, f, c, o.
fn gate_orders_agree(variant: Variant) -> Result<(), Failed> {
    fn permuted(tensor: &[f32], gate: usize) -> Vec<f32> {
        if gate == 0 {
            return vec![];
        }
        let gates =
            |g: &[f32]| [&g[..gate], &g[2 * gate..3 * gate], &g[3 * gate..], &g[gate..2 * gate]].concat();
        tensor.chunks(4 * gate).flat_map(gates).collect()
    }
    check(variant, cases(), |case| {
        let contents = case.contents();
        let Shape { input, hidden, .. } = case.shape;
        let w = permuted(&contents.w, hidden * input);
        let r = permuted(&contents.r, hidden * hidden);
        let b = contents.b.as_ref().map(|b| permuted(b, hidden));
        let tensors = LayerTensors { w: &w, r: &r, b: b.as_deref(), p: None };
        let weights = LayerWeights::new(Cell::lstm(), case.shape, GateOrder::PyTorch, tensors).unwrap();
        let planner = Planner::for_isa(variant.name()).unwrap();
        let layer = Layer::with_plan(&weights, planner.plan(&Cell::lstm(), case.shape)).unwrap();
        run(&layer, &case, &contents).difference(&run(&contents.layer(variant), &case, &contents))
    })
}

/// More and fewer shares than the pool has threads and than the batch has rows, of calls that are worth sharing out.
#[cfg(feature = "rayon")]
fn threads_change_no_bit(variant: Variant) -> Result<(), Failed> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let large = (33..=70usize, 20..=60usize);
    check(
        variant,
        (cases(), large, 0..=5usize, any::<bool>()),
        |(mut case, (input, time), threads, with_y)| {
            (case.shape.input, case.shape.hidden, case.time) = (input, case.shape.hidden + 32, time);
            let contents = case.contents();
            let layer = contents.layer(variant);
            let whole = run(&layer, &case, &contents);
            let mut state = contents.state(&layer, case.batch);
            let mut y = vec![SENTINEL; whole.y.len()];
            let sequence = Sequence {
                x: View::new(&contents.x, case.x_dims(), Layout::TimeMajor).unwrap(),
                lens: case.lens.as_deref(),
                y: with_y.then(|| ViewMut::new(&mut y, case.y_dims(), Layout::TimeMajor).unwrap()),
            };
            let mut scratch = Scratch::new();
            pool.install(|| layer.forward_parallel(sequence, &mut state, &mut scratch, threads)).unwrap();
            let y = if with_y { y } else { whole.y.clone() };
            Output { y, h: state.h().to_vec(), c: state.c().to_vec() }.difference(&whole)
        },
    )
}

/// Layers of any directions, with and without threads.
fn a_stack_computes_its_layers_one_by_one(variant: Variant) -> Result<(), Failed> {
    let above = vec((hidden_sizes(), any::<bool>(), any::<u64>()), 0..3);
    check(variant, (cases(), above), |(first, above)| {
        let mut cases = vec![first];
        for (hidden, both, seed) in above {
            let below = &cases[cases.len() - 1];
            let direction = if both { Direction::Bidirectional } else { Direction::Reverse };
            let shape = Shape { input: below.shape.output(), hidden, direction };
            cases.push(Case { shape, seed, ..below.clone() });
        }
        let contents: Vec<Contents> = cases.iter().map(Case::contents).collect();
        let layers = || contents.iter().map(|contents| contents.layer(variant)).collect::<Vec<Layer>>();

        let mut by_hand = vec![];
        let mut x = contents[0].x.clone();
        for ((layer, case), contents) in layers().iter().zip(&cases).zip(&contents) {
            let output = run(layer, case, &Contents { x, ..contents.clone() });
            x = directions_concatenated(&output.y, case.y_dims());
            by_hand.push(output);
        }

        let stack = Stack::new(layers()).unwrap();
        let top = &by_hand[by_hand.len() - 1];
        let (case, y_dims) = (&cases[0], cases[cases.len() - 1].y_dims());
        type Forward =
            fn(&Stack, Sequence<'_>, &mut StackState, &mut StackScratch) -> Result<(), rnnpack::Error>;
        let ways: &[Forward] = &[
            Stack::forward,
            #[cfg(feature = "rayon")]
            |stack, sequence, state, scratch| stack.forward_parallel(sequence, state, scratch, 2),
        ];
        for forward in ways {
            let mut state = stack.new_state(case.batch).unwrap();
            for (state, contents) in state.layers_mut().iter_mut().zip(&contents) {
                state.h_mut().copy_from_slice(&contents.h);
                state.c_mut().copy_from_slice(&contents.c);
            }
            let mut y = vec![SENTINEL; top.y.len()];
            let sequence = Sequence {
                x: View::new(&contents[0].x, case.x_dims(), Layout::TimeMajor).unwrap(),
                lens: case.lens.as_deref(),
                y: Some(ViewMut::new(&mut y, y_dims, Layout::TimeMajor).unwrap()),
            };
            forward(&stack, sequence, &mut state, &mut StackScratch::new()).unwrap();
            for (i, (state, expected)) in state.layers().iter().zip(&by_hand).enumerate() {
                let y = if i + 1 == by_hand.len() { y.clone() } else { expected.y.clone() };
                let output = Output { y, h: state.h().to_vec(), c: state.c().to_vec() };
                output.difference(expected).map_err(|e| format!("layer {i}: {e}"))?;
            }
        }
        Ok(())
    })
}

/// From `[T, D, B, H]` to `[T, B, D·H]`.
fn directions_concatenated(y: &[f32], dims: Dims) -> Vec<f32> {
    let mut rows = vec![];
    for t in 0..dims.time {
        for b in 0..dims.batch {
            for d in 0..dims.directions {
                let row = (t * dims.directions + d) * dims.batch + b;
                rows.extend_from_slice(&y[row * dims.width..][..dims.width]);
            }
        }
    }
    rows
}
