//! The register tiles with their epilogue, on every instruction set. Ids are T,B,I,H.
//!
//! Each call is one step without input, so nothing is projected. It has one row, the most rows of a tile, or one row
//! more.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use rnnpack::{Layout, Variant, View, ViewMut};
use rnnpack_kernels::blocking::Blocking;
use rnnpack_kernels::{Call, PackedWeights, Scratch, forward};
use support::{Case, Contents, Output, case, check, flops, id};

/// R has 16 KiB, 256 KiB and 1 MiB: from the first cache level to the second.
const HIDDEN: [usize; 3] = [32, 128, 256];

fn step(
    packed: &PackedWeights,
    case: &Case,
    contents: &Contents,
    output: &mut Output<f32>,
    scratch: &mut Scratch,
) {
    let call = Call {
        x: View::new(&contents.x, case.x_dims(), Layout::TimeMajor).unwrap(),
        y: Some(ViewMut::new(&mut output.y, case.y_dims(), Layout::TimeMajor).unwrap()),
        lens: None,
        reverse: false,
        h: &mut output.h,
        c: &mut output.c,
        blocking: Blocking { rows: case.batch, steps: 1 },
        stop: None,
    };
    forward(packed, call, scratch).unwrap();
}

fn tiles(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tile");
    for variant in Variant::available() {
        for hidden in HIDDEN {
            for rows in [1, variant.tile_rows(), variant.tile_rows() + 1] {
                let shape = [1, rows, 0, hidden];
                let case = case(shape);
                let contents = case.contents();
                let packed = PackedWeights::new(variant, &contents.weights().directions()[0]).unwrap();
                let (h, c) = (contents.h.clone(), contents.c.clone());
                let mut output = Output { y: vec![0.0; rows * hidden], h, c };
                let mut scratch = Scratch::new();
                step(&packed, &case, &contents, &mut output, &mut scratch);
                check(variant, &case, &contents, &output);
                group.throughput(flops(&case));
                group.bench_function(id(variant.name(), shape), |bencher| {
                    bencher.iter(|| step(&packed, &case, &contents, &mut output, &mut scratch));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, tiles);
criterion_main!(benches);
