//! Whole sequences on one thread. Ids are T,B,I,H.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use rnnpack::Threads;
use support::{Prepared, case, flops, id};

/// From one step of a stream to batches, and from audio effects to language models.
const SHAPES: [[usize; 4]; 14] = [
    [100, 1, 64, 64],
    [100, 1, 128, 128],
    [100, 1, 256, 256],
    [100, 1, 512, 512],
    [50, 1, 1024, 1024],
    [1, 1, 128, 128],
    [1, 1, 512, 512],
    [50, 4, 256, 256],
    [50, 16, 256, 256],
    [50, 64, 256, 256],
    [25, 16, 1024, 1024],
    [25, 128, 256, 256],
    [200, 8, 40, 32],
    [300, 1, 20, 20],
];

fn sequences(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sequence");
    for shape in SHAPES {
        let case = case(shape);
        group.throughput(flops(&case));
        // Prepared only if this benchmark is selected.
        let mut prepared = None;
        group.bench_function(id("forward", shape), |bencher| {
            let prepared = prepared.get_or_insert_with(|| Prepared::new(&case, Threads::Caller));
            bencher.iter(|| prepared.run());
        });
    }
    group.finish();
}

criterion_group!(benches, sequences);
criterion_main!(benches);
