//! The calls that the benches time. Each result is checked first, so no time is reported for a wrong result.
#![allow(dead_code, reason = "every bench uses a part of it")]

pub(crate) use rnnpack_dev::{Case, Contents, Output};

use criterion::{BenchmarkId, Throughput};
use rnnpack::{Cell, Dims, Direction, Layer, Scratch, Sequence, Shape, State, Threads, Variant};
use rnnpack_dev::bound::Bounded;

/// One direction of a call, `[T, B, I, H]`.
pub(crate) fn case([time, batch, input, hidden]: [usize; 4]) -> Case {
    Case::new(Cell::lstm(), Shape { input, hidden, direction: Direction::Forward }, time, batch, 1)
}

/// The id of a benchmark: `name`, then `T,B,I,H`.
pub(crate) fn id(name: impl Into<String>, shape: [usize; 4]) -> BenchmarkId {
    BenchmarkId::new(name, shape.map(|extent| extent.to_string()).join(","))
}

/// The floating-point operations of the products, reported as elements: criterion's Gelem/s are GFLOP/s.
pub(crate) fn flops(case: &Case) -> Throughput {
    let Shape { input, hidden, .. } = case.shape;
    Throughput::Elements((8 * hidden * (input + hidden) * case.time * case.batch) as u64)
}

/// A call that can be repeated, on the widest instruction set or the one that `RNNPACK_ISA` forces.
pub(crate) struct Prepared {
    case: Case,
    contents: Contents,
    layer: Layer,
    state: State,
    y: Vec<f32>,
    scratch: Scratch,
    threads: Threads,
}

impl Prepared {
    /// # Panics
    /// If the result is wrong.
    pub(crate) fn new(case: &Case, threads: Threads) -> Prepared {
        let contents = case.contents();
        let layer = Layer::new(&contents.weights()).unwrap();
        let state = contents.state(&layer, case.batch);
        let y = vec![0.0; case.y_dims().checked_len().unwrap()];
        let scratch = Scratch::new();
        let mut prepared = Prepared { case: case.clone(), contents, layer, state, y, scratch, threads };
        prepared.run();
        let (y, state) = (prepared.y.clone(), &prepared.state);
        let output = Output::new(y, state);
        check(prepared.layer.plan().variant, case, &prepared.contents, &output);
        prepared
    }

    /// Runs the sequence. It starts from the state that the previous run left.
    pub(crate) fn run(&mut self) {
        let sequence = Sequence::dense(&self.contents.x, &mut self.y).threads(self.threads);
        self.layer.forward(sequence, &mut self.state, &mut self.scratch).unwrap();
    }
}

/// Checks the first and the last batch row against the naive reference. With fused multiply-adds the bits must be
/// equal. Without them the results must be within the error bound.
///
/// # Panics
/// If the output is wrong.
pub(crate) fn check(variant: Variant, case: &Case, contents: &Contents, output: &Output<f32>) {
    for (alone, of_row, output) in rows(case, contents, output) {
        if variant.is_fused() {
            output.difference(&rnnpack_dev::expected(&alone, &of_row)).unwrap();
        } else {
            output.within(&rnnpack_dev::expected::<Bounded<false>>(&alone, &of_row)).unwrap();
        }
    }
}

/// The first and the last batch row, as calls of their own with their outputs.
pub(crate) fn rows(
    case: &Case,
    contents: &Contents,
    output: &Output<f32>,
) -> [(Case, Contents, Output<f32>); 2] {
    let state_dims = Dims { time: 1, ..case.y_dims() };
    [0, case.batch - 1].map(|b| {
        let of_row = Contents {
            x: row(&contents.x, case.x_dims(), b),
            h: row(&contents.h, state_dims, b),
            c: row(&contents.c, state_dims, b),
            ..contents.clone()
        };
        let (h, c) = (row(&output.h, state_dims, b), row(&output.c, state_dims, b));
        (Case { batch: 1, ..case.clone() }, of_row, Output { y: row(&output.y, case.y_dims(), b), h, c })
    })
}

/// Row `b` of a dense time-major tensor.
fn row(tensor: &[f32], dims: Dims, b: usize) -> Vec<f32> {
    let rows = tensor.chunks(dims.width.max(1)).skip(b).step_by(dims.batch);
    rows.flatten().copied().collect()
}
