//! An LSTM of 10 inputs and 20 hidden units with a linear layer of 5 outputs. It runs ten random steps one by one:
//!
//! ```sh
//! cargo run --release --example quickstart
//! ```
//!
//! A whole number after `--` is another seed for the weights and the inputs.

use anyhow::Context;
use rnnpack::LayerWeights;

const INPUT: usize = 10;
const HIDDEN: usize = 20;
const OUTPUT: usize = 5;
const STEPS: usize = 10;

fn main() -> anyhow::Result<()> {
    let seed = match std::env::args().nth(1) {
        Some(seed) => seed.parse().context("usage: quickstart [SEED], a whole number")?,
        None => 1,
    };
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut random = |len: usize| -> Vec<f32> { (0..len).map(|_| rng.f32() - 0.5).collect() };

    // The tensors are as in ONNX: W [D, 4·H, I], R [D, 4·H, H], B [D, 8·H]. Put those of a trained model here.
    // `Stack::pytorch` takes the tensors of a PyTorch model under their names.
    let (w, r) = (random(4 * HIDDEN * INPUT), random(4 * HIDDEN * HIDDEN));
    let b = random(8 * HIDDEN);
    let lstm = LayerWeights::lstm(INPUT, HIDDEN).w(&w).r(&r).b(&b).pack()?;
    let (linear_weights, linear_bias) = (random(OUTPUT * HIDDEN), random(OUTPUT));

    // One stream: its state starts at zero, and every step continues from it.
    let batch = 1;
    let mut stream = lstm.stream(batch)?;
    let mut hidden = vec![0.0; batch * HIDDEN];
    for step in 0..STEPS {
        let x = random(batch * INPUT);
        stream.step(&x, &mut hidden)?;
        let output = linear(&linear_weights, &linear_bias, &hidden);
        println!("step {step}");
        println!("  output {}", text(&output));
        println!("  hidden {}", text(&hidden));
    }
    Ok(())
}

/// `weights · x + bias`, with weights `[outputs, inputs]`.
fn linear(weights: &[f32], bias: &[f32], x: &[f32]) -> Vec<f32> {
    let rows = weights.chunks_exact(x.len());
    rows.zip(bias).map(|(row, b)| b + row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>()).collect()
}

fn text(values: &[f32]) -> String {
    values.iter().map(|v| format!("{v:.5}")).collect::<Vec<_>>().join(" ")
}
