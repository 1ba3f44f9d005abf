//! A program that uses tract, with the lines that put its LSTM, GRU and RNN nodes on rnnpack's kernels:
//!
//! ```sh
//! cargo run --release -p rnnpack-tract --example tract_drop_in
//! ```
//!
//! ```diff
//! -    let model = tract_onnx::onnx().model_for_path(path)?;
//! +    let mut onnx = tract_onnx::onnx();
//! +    rnnpack_tract::register(&mut onnx);
//! +    let model = onnx.model_for_path(path)?;
//! ```
//!
//! It also needs `rnnpack-tract` among its dependencies, next to a `tract-onnx` of the versions that `rnnpack-tract`
//! accepts. Nothing else changes. The example runs the model both ways. The model is a graph of Silero's voice activity
//! detector that takes a sequence of chunks of audio. Another file of that graph can be given after `--`.

use anyhow::{Context, Result, ensure};
use rnnpack::compare::difference;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tract_onnx::prelude::*;

const MODEL: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/silero_vad/silero_vad_16k_sequence.onnx");
/// The number of chunks of audio in a call.
const CHUNKS: usize = 100;
/// The samples of a chunk: the last 64 of the chunk before, then 512 new ones.
const SAMPLES: usize = 576;
const HIDDEN: usize = 128;
const CALLS: usize = 20;

type Runnable = Arc<TypedRunnableModel>;

fn load(onnx: &tract_onnx::Onnx, path: &Path) -> Result<Runnable> {
    let model = onnx.model_for_path(path).with_context(|| format!("cannot load {}", path.display()))?;
    let model = model
        .with_input_fact(0, f32::fact([CHUNKS, SAMPLES]).into())?
        .with_input_fact(1, f32::fact([1, 1, HIDDEN]).into())?
        .with_input_fact(2, f32::fact([1, 1, HIDDEN]).into())?;
    model.into_optimized()?.into_runnable()
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    ensure!(args.len() <= 1 && !args.iter().any(|a| a.starts_with('-')), "usage: tract_drop_in [MODEL.onnx]");
    let path = Path::new(args.first().map_or(MODEL, String::as_str));

    let before = load(&tract_onnx::onnx(), path)?;

    let mut onnx = tract_onnx::onnx();
    rnnpack_tract::register(&mut onnx); // the new line
    let after = load(&onnx, path)?;

    let mut rng = fastrand::Rng::with_seed(1);
    let audio = tract_ndarray::Array2::from_shape_simple_fn((CHUNKS, SAMPLES), || rng.f32() - 0.5);
    let zeros = Tensor::zero::<f32>(&[1, 1, HIDDEN])?;
    let inputs = tvec!(audio.into_tensor().into_tvalue(), zeros.clone().into_tvalue(), zeros.into_tvalue());

    // The two take turns, so the machine's load affects both alike. The fastest call counts.
    let mut best = [f64::INFINITY; 2];
    let mut outputs = [tvec!(), tvec!()];
    for _ in 0..CALLS {
        for (side, model) in [&before, &after].into_iter().enumerate() {
            let start = Instant::now();
            outputs[side] = model.run(inputs.clone())?;
            best[side] = best[side].min(start.elapsed().as_secs_f64());
        }
    }
    let [theirs, ours] = &outputs;
    println!("{} recurrent node on rnnpack's kernels", count(&after));
    for (i, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
        let (theirs, ours) = (theirs.to_plain_array_view::<f32>()?, ours.to_plain_array_view::<f32>()?);
        ensure!(theirs.shape() == ours.shape(), "output {i} has other dimensions");
        let [theirs, ours] = [theirs, ours].map(|view| view.iter().copied().collect::<Vec<f32>>());
        let found = difference(&theirs, &ours)?;
        println!("output {i}: largest value {:.3}, largest difference {:.1e}", found.scale, found.largest);
    }
    println!("{CHUNKS} chunks: tract alone {:.2} ms, with rnnpack {:.2} ms", best[0] * 1e3, best[1] * 1e3);
    Ok(())
}

/// Counts the nodes that run on rnnpack. tract's own recurrent nodes have become a Scan.
fn count(model: &Runnable) -> usize {
    let name = |node: &TypedNode| node.op.name().to_string();
    model.model().nodes().iter().filter(|node| ["LSTM", "GRU", "RNN"].contains(&name(node).as_str())).count()
}
