//! Runs every example as its own program, and checks what it prints.

use hound::{SampleFormat, WavSpec, WavWriter};
use ndarray::{Array1, Array2};
use rnnpack::compare::within;
use rnnpack_dev::example::{commands, failure, run};
use std::path::{Path, PathBuf};

#[test]
fn every_example_names_its_command_and_is_run_here() {
    assert_eq!(
        commands("cargo run --release -p rnnpack-tract --example"),
        ["streaming_vad", "tract_drop_in"]
    );
}

const SPEC: WavSpec =
    WavSpec { channels: 1, sample_rate: 16_000, bits_per_sample: 16, sample_format: SampleFormat::Int };

/// A file that is removed when this is dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // If this fails, the file stays in the temporary folder.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn wav(name: &str, spec: WavSpec, samples: &[i16]) -> Temporary {
    let path = std::env::temp_dir().join(format!("rnnpack-{}-{name}.wav", std::process::id()));
    let mut writer = WavWriter::create(&path, spec).unwrap();
    samples.iter().for_each(|&s| writer.write_sample(s).unwrap());
    writer.finalize().unwrap();
    Temporary(path)
}

/// Parses the lines for the seconds. Also returns the lines after them.
fn seconds(text: &str) -> (Vec<f32>, Vec<&str>) {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("second  highest probability of speech"));
    let (mut seconds, mut rest) = (Vec::new(), Vec::new());
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0].parse::<usize>() {
            Ok(second) if rest.is_empty() && second == seconds.len() => {
                seconds.push(words[1].parse().unwrap())
            }
            _ => rest.push(line),
        }
    }
    (seconds, rest)
}

#[test]
fn generated_silence_noise_and_tones_are_no_speech_and_a_generated_voice_is() {
    let text = run("streaming_vad", &[]);
    let (seconds, rest) = seconds(&text);
    assert_eq!(seconds.len(), 8);
    assert!(seconds[..6].iter().all(|&p| p < 0.1), "{seconds:?}");
    assert!(seconds[6..].iter().all(|&p| p > 0.9), "{seconds:?}");
    // The voice has 62 chunks.
    let speech: usize =
        rest[0].strip_prefix("250 chunks of 32 ms, ").unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((20..=62).contains(&speech), "{}", rest[0]);
    let latencies = rest[1].strip_prefix("latency per chunk in µs: ").unwrap();
    let latencies: Vec<(&str, f64)> = latencies
        .split(", ")
        .map(|l| l.split_once(' ').map(|(name, value)| (name, value.parse().unwrap())).unwrap())
        .collect();
    assert_eq!(latencies.iter().map(|l| l.0).collect::<Vec<_>>(), ["p50", "p95", "p99", "max"]);
    assert!(latencies[0].1 > 0.0 && latencies.is_sorted_by(|a, b| a.1 <= b.1), "{latencies:?}");
    let factor: Vec<f64> =
        rest[2].split_whitespace().filter_map(|w| w.trim_end_matches(':').parse().ok()).collect();
    let [factor, busy, audio] = factor[..] else { panic!("{}", rest[2]) };
    assert_eq!(audio, 8.0);
    assert!((factor - busy / audio).abs() <= 1e-4 && busy >= 125.0 * latencies[0].1 / 1e6, "{}", rest[2]);
}

#[test]
fn recorded_speech_has_the_recorded_probabilities() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/silero_vad/silero_vad_16k_sequence.seq.npz");
    let mut npz = ndarray_npy::NpzReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let windows: Array2<f32> = npz.by_name("in/0/input").unwrap();
    let expected: Array1<f32> = npz.by_name("out/0/speech_probs").unwrap();
    // A window has 64 samples of the window before and 512 new ones.
    let windows = windows.rows().into_iter();
    let samples: Vec<i16> =
        windows.flat_map(|w| w.iter().skip(64).map(|s| (s * 32_768.0) as i16).collect::<Vec<_>>()).collect();
    let file = wav("speech", SPEC, &samples);
    let text = run("streaming_vad", &[file.0.to_str().unwrap()]);
    let (seconds, rest) = seconds(&text);
    let mut highest = vec![0f32; (expected.len() - 1) * 512 / 16_000 + 1];
    expected
        .iter()
        .enumerate()
        .for_each(|(i, &p)| highest[i * 512 / 16_000] = highest[i * 512 / 16_000].max(p));
    assert_eq!(seconds.len(), highest.len());
    within(&seconds, &highest, |_| 0.5e-4 + 5e-6).unwrap_or_else(|e| panic!("{e}: {seconds:?}"));
    let speech = expected.iter().filter(|&&p| p >= 0.5).count();
    assert_eq!(rest[0], format!("{} chunks of 32 ms, {speech} of them speech", expected.len()));
    assert!(speech > 100 && speech < expected.len() - 100);
}

#[test]
fn audio_of_another_format_is_refused_with_what_to_do() {
    for (name, spec) in [
        ("stereo", WavSpec { channels: 2, ..SPEC }),
        ("slow", WavSpec { sample_rate: 8_000, ..SPEC }),
        ("wide", WavSpec { bits_per_sample: 24, ..SPEC }),
    ] {
        let file = wav(name, spec, &[0; 2048]);
        let path = file.0.to_str().unwrap();
        let error = failure("streaming_vad", &[path]);
        assert!(
            error.contains(path) && error.contains("convert it") && error.contains("-ar 16000"),
            "{error}"
        );
    }
    let short = wav("short", SPEC, &[0; 511]);
    let error = failure("streaming_vad", &[short.0.to_str().unwrap()]);
    assert!(error.contains("shorter than one chunk"), "{error}");
    let error = failure("streaming_vad", &[concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    assert!(error.contains("cannot use"), "{error}");
    assert!(failure("streaming_vad", &["--help"]).contains("usage: streaming_vad"));
}

#[test]
fn the_drop_in_gives_what_tract_gives() {
    let text = run("tract_drop_in", &[]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (5, "1 recurrent node on rnnpack's kernels"));
    for (i, line) in lines[1..4].iter().enumerate() {
        let values = line.strip_prefix(&format!("output {i}: largest value ")).unwrap();
        let (largest, difference) = values.split_once(", largest difference ").unwrap();
        let [largest, difference] = [largest, difference].map(|v| v.parse::<f64>().unwrap());
        assert!(largest > 0.0 && difference <= 1e-5 * largest.max(1.0), "{line}");
    }
    assert!(lines[4].starts_with("100 chunks: tract alone "), "{}", lines[4]);
    assert!(failure("tract_drop_in", &["no.onnx"]).contains("no.onnx"));
    assert!(failure("tract_drop_in", &["--help"]).contains("usage: tract_drop_in"));
}
