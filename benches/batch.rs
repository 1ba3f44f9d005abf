//! The batch path on one thread and on two. Ids are T,B,I,H.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use rnnpack::Threads;
use support::{Prepared, case, flops, id};

const SHAPES: [[usize; 4]; 5] =
    [[50, 4, 256, 256], [50, 16, 256, 256], [50, 64, 256, 256], [25, 128, 256, 256], [200, 8, 40, 32]];

const THREADS: [(&str, usize); 2] = [("threads=1", 1), ("threads=2", 2)];

fn batches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch");
    for shape in SHAPES {
        let case = case(shape);
        group.throughput(flops(&case));
        for (name, threads) in THREADS {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut prepared = None;
            group.bench_function(id(name, shape), |bencher| {
                let prepared = prepared.get_or_insert_with(|| Prepared::new(&case, Threads::AtMost(threads)));
                pool.install(|| bencher.iter(|| prepared.run()));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, batches);
criterion_main!(benches);
