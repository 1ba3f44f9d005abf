//! Times the calls of a whole ONNX model as a stream, with its LSTM nodes on these kernels and on tract's own.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rnnpack::compare::within;
use rnnpack_onnx::Tensor;
use rnnpack_tract::{Kernels, Loader, Stream};

/// Each call of Silero VAD takes 512 new samples, after 64 of the chunk before.
const SAMPLES: usize = 512;

fn stream(kernels: Kernels) -> Stream {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/silero_vad/silero_vad_16k_op15.onnx");
    let loader = Loader::new().bind("sr", Tensor::scalar(16_000i64)).shape("input", &[1, SAMPLES + 64]);
    loader.kernels(kernels).load_path(file).unwrap().stream(&[("state", "stateN")]).unwrap()
}

/// A tone whose volume rises and falls.
fn chunk(call: usize) -> Tensor {
    let sample = |i: usize| {
        let t = (call * SAMPLES + i) as f32 / 16_000.0;
        (t * 1400.0).sin() * (t * 5.0).sin() * 0.5
    };
    Tensor::new(&[1, SAMPLES + 64], (0..SAMPLES + 64).map(sample).collect()).unwrap()
}

fn start() -> Tensor {
    Tensor::new(&[2, 1, 128], vec![0.0f32; 2 * 128]).unwrap()
}

/// The speech probabilities of the first chunks.
fn answers(kernels: Kernels) -> Vec<f32> {
    let mut stream = stream(kernels);
    let mut call = |call: usize| {
        let (input, state) = (chunk(call), start());
        let inputs = [("input", &input), ("state", &state)];
        let outputs = stream.run(if call == 0 { &inputs } else { &inputs[..1] }).unwrap();
        let output = outputs.into_iter().find(|(name, _)| name == "output").unwrap().1;
        output.as_slice::<f32>().unwrap()[0]
    };
    (0..20).map(&mut call).collect()
}

fn models(criterion: &mut Criterion) {
    let expected = answers(Kernels::Reference64);
    let mut group = criterion.benchmark_group("silero_vad_16k_op15");
    group.throughput(Throughput::Elements(SAMPLES as u64));
    for (name, kernels) in [("rnnpack", Kernels::Rnnpack), ("tract", Kernels::Tract)] {
        // Each probability comes from sums of a few hundred terms. 1e-5 is far above their rounding errors and far
        // below the effect of a wrong gate.
        within(&answers(kernels), &expected, |_| 1e-5).unwrap_or_else(|e| panic!("{name}, by calls: {e}"));
        let mut stream = stream(kernels);
        let (input, state) = (chunk(0), start());
        stream.run(&[("input", &input), ("state", &state)]).unwrap();
        group.bench_function(name, |bencher| bencher.iter(|| stream.run(&[("input", &input)]).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, models);
criterion_main!(benches);
