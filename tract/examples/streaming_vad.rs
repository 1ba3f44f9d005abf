//! Detects speech in a stream of audio, in chunks of 32 ms, with Silero's voice activity detector:
//!
//! ```sh
//! cargo run --release -p rnnpack-tract --example streaming_vad
//! cargo run --release -p rnnpack-tract --example streaming_vad -- speech.wav
//! ```
//!
//! Audio is 16 kHz, mono, 16-bit PCM. Without a file, the example generates audio: silence, noise, a tone, and a
//! synthetic voice. A second argument is another path of `silero_vad.onnx`.

use anyhow::{Context, Result, bail, ensure};
use rnnpack_onnx::Tensor;
use rnnpack_tract::{Loader, Model};
use std::time::{Duration, Instant};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/silero_vad/silero_vad.onnx");
const RATE: usize = 16_000;
/// The samples of a chunk: 32 ms.
const CHUNK: usize = 512;
/// The number of samples of the previous chunk that the model reads again.
const CONTEXT: usize = 64;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = args.len() > 2 || args.iter().any(|a| a.starts_with('-'));
    ensure!(!usage, "usage: streaming_vad [AUDIO.wav [silero_vad.onnx]]");
    let audio = match args.first() {
        Some(path) => read_wav(path).with_context(|| format!("cannot use {path}"))?,
        None => generate(),
    };
    // The sample rate is an input of the model. Binding it to a number makes it a constant. Then the `If` nodes that
    // test it are decided at load, and the weights of the taken branch are packed.
    let model = Loader::new()
        .bind("sr", Tensor::scalar(RATE as i64))
        .shape("input", &[1, CONTEXT + CHUNK])
        .load_path(args.get(1).map_or(MODEL, String::as_str))?;

    let (probabilities, mut latencies) = detect(&model, &audio)?;
    summarize(&probabilities);
    latencies.sort();
    let at = |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)];
    let [p50, p95, p99, max] = [50, 95, 99, 100].map(|p| at(p).as_secs_f64() * 1e6);
    println!("latency per chunk in µs: p50 {p50:.1}, p95 {p95:.1}, p99 {p99:.1}, max {max:.1}");
    let (busy, seconds) =
        (latencies.iter().sum::<Duration>().as_secs_f64(), audio.len() as f64 / RATE as f64);
    println!("real-time factor {:.5}: {busy:.3} s for {seconds:.2} s of audio", busy / seconds);
    Ok(())
}

/// The speech probability of every whole chunk, and the time for each.
fn detect(model: &Model, audio: &[f32]) -> Result<(Vec<f32>, Vec<Duration>)> {
    ensure!(audio.len() >= CHUNK, "the audio is shorter than one chunk of 32 ms");
    // After each call, the output `stateN` becomes the input `state`. The first call needs zeros.
    let mut stream = model.stream(&[("state", "stateN")])?;
    let tensor =
        |dims: &[usize], data: Vec<f32>| Tensor::new(dims, data).context("a tensor's data do not fit");
    let zeros = tensor(&[2, 1, 128], vec![0.0; 2 * 128])?;
    let mut window = vec![0.0; CONTEXT + CHUNK];
    let (mut probabilities, mut latencies) = (Vec::new(), Vec::new());
    for chunk in audio.chunks_exact(CHUNK) {
        let start = Instant::now();
        window.copy_within(CHUNK.., 0);
        window[CONTEXT..].copy_from_slice(chunk);
        let input = tensor(&[1, CONTEXT + CHUNK], window.clone())?;
        let outputs = match probabilities.is_empty() {
            true => stream.run(&[("input", &input), ("state", &zeros)])?,
            false => stream.run(&[("input", &input)])?,
        };
        let output = outputs.iter().find(|(name, _)| name == "output").and_then(|(_, v)| v.as_slice::<f32>());
        let probability =
            output.and_then(<[f32]>::first).context("the model has no output `output` of f32")?;
        probabilities.push(*probability);
        latencies.push(start.elapsed());
    }
    Ok((probabilities, latencies))
}

/// Prints the highest probability of every second, and how many chunks are speech.
fn summarize(probabilities: &[f32]) {
    println!("second  highest probability of speech");
    let second = |i: usize| i * CHUNK / RATE;
    let chunks: Vec<(usize, f32)> = probabilities.iter().enumerate().map(|(i, &p)| (second(i), p)).collect();
    for of_second in chunks.chunk_by(|a, b| a.0 == b.0) {
        let highest = of_second.iter().fold(0f32, |highest, &(_, p)| highest.max(p));
        println!("{:6}  {highest:.4} {}", of_second[0].0, "#".repeat((highest * 40.0) as usize));
    }
    let speech = probabilities.iter().filter(|&&p| p >= 0.5).count();
    println!("{} chunks of 32 ms, {speech} of them speech", probabilities.len());
}

/// The samples of a wav file, scaled to ±1.
fn read_wav(path: &str) -> Result<Vec<f32>> {
    let reader = hound::WavReader::open(path)?;
    let spec = reader.spec();
    let wanted = hound::WavSpec {
        channels: 1,
        sample_rate: RATE as u32,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    if spec != wanted {
        let hound::WavSpec { channels, sample_rate, bits_per_sample, sample_format } = spec;
        bail!(
            "it has {channels} channels at {sample_rate} Hz in {bits_per_sample} bits ({sample_format:?}), not one at \
             16000 Hz in 16 bits (Int); convert it, for instance with: ffmpeg -i {path} -ac 1 -ar 16000 -c:a pcm_s16le 16k.wav"
        );
    }
    Ok(reader.into_samples::<i16>().map(|s| s.map(|s| f32::from(s) / 32_768.0)).collect::<Result<_, _>>()?)
}

/// Eight seconds of audio, two of each: silence, noise, a tone, and a synthetic voice.
fn generate() -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(1);
    let sine = |hz: f64, t: f64| (std::f64::consts::TAU * hz * t).sin();
    let mut sample = |i: usize| {
        let t = i as f64 / RATE as f64;
        match i / (2 * RATE) {
            0 => 0.0,
            1 => 0.1 * (rng.f64() - 0.5),
            2 => 0.3 * sine(440.0, t),
            _ => voice(t, sine),
        }
    };
    (0..8 * RATE).map(|i| sample(i) as f32).collect()
}

/// Four syllables a second that glide between "ah" and "ee": harmonics of a pitch, louder near the vowel's formants.
fn voice(t: f64, sine: impl Fn(f64, f64) -> f64) -> f64 {
    const PITCH: f64 = 120.0;
    let glide = (sine(2.0, t) + 1.0) / 2.0;
    let formants =
        [(730.0, 270.0), (1090.0, 2290.0), (2440.0, 3010.0)].map(|(ah, ee)| ah + (ee - ah) * glide);
    let harmonic = |n: u32| {
        let hz = f64::from(n) * PITCH;
        let loudness: f64 = formants.iter().map(|f| 1.0 / (1.0 + ((hz - f) / 100.0).powi(2))).sum();
        loudness * sine(hz, t) / f64::from(n)
    };
    sine(4.0, t).max(0.0).sqrt() * (1..40).map(harmonic).sum::<f64>()
}
