//! Layers with subnormal weights, states or inputs beside one of normal numbers, on every instruction set, exact and
//! flushing. Ids are the kind of numbers, the choice, then T,B,I,H.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use rnnpack::reference::Flushed;
use rnnpack::{Layer, Planner, Scratch, Sequence, State, Subnormals, Variant};
use support::{Case, Contents, Output, case, check, flops, id, rows};

const SHAPES: [[usize; 4]; 2] = [[50, 1, 128, 128], [50, 16, 128, 128]];

/// A call of normal numbers and zeros.
fn normal(case: &Case) -> Contents {
    let mut contents = case.contents();
    let Contents { w, r, b, x, h, c, .. } = &mut contents;
    let all = [w, r, x, h, c].into_iter().chain(b);
    all.flatten().filter(|number| number.is_subnormal()).for_each(|number| *number = 0.01);
    contents
}

/// Makes numbers of one kind from normal ones.
type Change = fn(&mut Contents);

/// The kinds of numbers.
const KINDS: [(&str, Change); 4] =
    [("normal", |_| {}), ("weights", weights), ("states", states), ("inputs", inputs)];

/// Subnormal numbers of all sizes and both signs.
fn faint(i: usize) -> f32 {
    let magnitude = f32::from_bits(1 + (i as u32).wrapping_mul(2_654_435_761) % 0x7f_ffff);
    if i.is_multiple_of(2) { magnitude } else { -magnitude }
}

/// One weight of a hundred is subnormal: what weight decay leaves.
fn weights(contents: &mut Contents) {
    let all = contents.w.iter_mut().chain(&mut contents.r).step_by(100).enumerate();
    all.for_each(|(i, weight)| *weight = faint(i));
}

/// An LSTM that keeps a faint state: x is 0, the forget gate is open and the input gate shut.
fn states(contents: &mut Contents) {
    let hidden = contents.shape.hidden;
    let mut bias = vec![0.0; 8 * hidden];
    bias[..hidden].fill(-20.0);
    bias[2 * hidden..3 * hidden].fill(20.0);
    contents.b = Some(bias);
    contents.x.fill(0.0);
    contents.h.iter_mut().chain(&mut contents.c).enumerate().for_each(|(i, state)| *state = faint(i));
}

/// Faint inputs alone, such as the end of a sound that fades: no bias, and a state of zeros.
fn inputs(contents: &mut Contents) {
    contents.b = None;
    contents.h.fill(0.0);
    contents.c.fill(0.0);
    contents.x.iter_mut().enumerate().for_each(|(i, x)| *x = faint(i));
}

/// A call that starts from the same state each time.
struct Prepared<'a> {
    contents: &'a Contents,
    layer: Layer,
    first: State,
    state: State,
    y: Vec<f32>,
    scratch: Scratch,
}

impl<'a> Prepared<'a> {
    /// # Panics
    /// If the result is wrong.
    fn new(variant: Variant, choice: Subnormals, case: &Case, contents: &'a Contents) -> Prepared<'a> {
        let weights = contents.weights().with_subnormals(choice).unwrap();
        let planner = Planner::for_isa(variant.name()).unwrap();
        let layer = Layer::with_plan(&weights, planner.plan(weights.cell(), weights.shape())).unwrap();
        let first = contents.state(&layer, case.batch);
        let y = vec![0.0; case.y_dims().checked_len().unwrap()];
        let (state, scratch) = (first.clone(), Scratch::new());
        let mut prepared = Prepared { contents, layer, first, state, y, scratch };
        prepared.run();
        let output = Output::new(prepared.y.clone(), &prepared.state);
        match choice {
            Subnormals::Flush => check_flushed(variant, case, contents, &output),
            Subnormals::Keep => check(variant, case, contents, &output),
            _ => {
                let mut zeros = contents.clone();
                let all = zeros.w.iter_mut().chain(&mut zeros.r);
                all.filter(|w| w.is_subnormal()).for_each(|w| *w = 0f32.copysign(*w));
                check(variant, case, &zeros, &output);
            }
        }
        prepared
    }

    fn run(&mut self) {
        self.state.clone_from(&self.first);
        let sequence = Sequence::dense(&self.contents.x, &mut self.y);
        self.layer.forward(sequence, &mut self.state, &mut self.scratch).unwrap();
    }
}

/// Checks the first and the last batch row of a call that flushes, as [`check`] does.
///
/// # Panics
/// If the output is wrong.
fn check_flushed(variant: Variant, case: &Case, contents: &Contents, output: &Output<f32>) {
    for (alone, contents, output) in rows(case, contents, output) {
        let numbers = |flushed: Vec<Flushed>| flushed.into_iter().map(|x| x.0).collect::<Vec<f32>>();
        let Output { y, h, c } = rnnpack_dev::expected::<Flushed>(&alone, &contents);
        let right = Output { y: numbers(y), h: numbers(h), c: numbers(c) };
        if variant.is_fused() {
            output.difference(&right).unwrap();
        } else {
            assert!(!output.y.iter().any(|y| y.is_subnormal()), "{variant}");
        }
    }
}

fn subnormals(criterion: &mut Criterion) {
    for variant in Variant::available() {
        let mut group = criterion.benchmark_group(format!("subnormals, {variant}"));
        for shape in SHAPES {
            let case = case(shape);
            group.throughput(flops(&case));
            for (kind, change) in KINDS {
                let mut contents = normal(&case);
                change(&mut contents);
                let choices = Subnormals::ALL.into_iter().filter(|choice| choice.is_available());
                for choice in choices.filter(|&c| kind == "weights" || c != Subnormals::FlushWeights) {
                    let mut prepared = None;
                    group.bench_function(id(format!("{kind}, {}", choice.name()), shape), |bencher| {
                        let prepared =
                            prepared.get_or_insert_with(|| Prepared::new(variant, choice, &case, &contents));
                        bencher.iter(|| prepared.run());
                    });
                }
            }
        }
        group.finish();
    }
}

criterion_group!(benches, subnormals);
criterion_main!(benches);
