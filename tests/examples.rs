//! Runs every example as its own program, and checks what it prints against something else that knows the answer.

use rnnpack::compare::within;
use rnnpack::reference;
use rnnpack::{Cell, Dims, Direction, GateOrder, LayerTensors, LayerWeights, Layout, Shape, View};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The examples' numbers have five decimals; half of the last one, and what f32 differs from f64.
const PRINTED: f64 = 0.5e-5 + 2e-6;

/// The program of an example, which `cargo test` builds beside the tests.
fn program(example: &str) -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let program = deps.parent().unwrap().with_file_name("examples").join(example);
    let program = program.with_extension(std::env::consts::EXE_EXTENSION);
    let modified = |path: &Path| path.metadata().and_then(|m| m.modified());
    let built =
        modified(&program).unwrap_or_else(|e| panic!("{}: {e}; build it with --examples", program.display()));
    assert!(
        built >= modified(&source(example)).unwrap(),
        "{example} is older than its source: build with --examples"
    );
    program
}

fn source(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example).with_extension("rs")
}

fn output(example: &str, args: &[&str]) -> Output {
    Command::new(program(example)).args(args).env("RUST_BACKTRACE", "0").output().unwrap()
}

/// What an example prints.
fn run(example: &str, args: &[&str]) -> String {
    let output = output(example, args);
    assert!(output.status.success(), "{example} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What an example says when it fails.
fn failure(example: &str, args: &[&str]) -> String {
    let output = output(example, args);
    assert!(!output.status.success(), "{example} {args:?}");
    assert_eq!(output.stdout, b"", "{example} {args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The numbers of a line behind `label`.
fn numbers(line: &str, label: &str) -> Vec<f64> {
    let values = line.trim().strip_prefix(label).unwrap_or_else(|| panic!("{line:?} is no {label:?}"));
    values.split_whitespace().map(|v| v.parse().unwrap()).collect()
}

fn assert_printed(line: &str, label: &str, expected: &[f64]) {
    let found = numbers(line, label);
    within(&found, expected, |_| PRINTED).unwrap_or_else(|e| panic!("{line}: {e}\nexpected {expected:?}"));
}

/// An LSTM with the tensors that the examples draw, on the f64 reference.
struct Lstm {
    shape: Shape,
    w: Vec<f32>,
    r: Vec<f32>,
    b: Vec<f32>,
}

impl Lstm {
    fn random(shape: Shape, mut random: impl FnMut(usize) -> Vec<f32>) -> Lstm {
        let rows = 4 * shape.output();
        Lstm { shape, w: random(rows * shape.input), r: random(rows * shape.hidden), b: random(2 * rows) }
    }

    /// Runs one row from a zero state: h of every step, directions concatenated.
    fn run(&self, x: &[f32]) -> Vec<Vec<f64>> {
        let Shape { input, hidden, direction } = self.shape;
        let tensors = LayerTensors { w: &self.w, r: &self.r, b: Some(&self.b), p: None };
        let weights = LayerWeights::new(Cell::lstm(), self.shape, GateOrder::Onnx, tensors).unwrap();
        let time = x.len() / input;
        let dims = Dims { time, directions: 1, batch: 1, width: input };
        let x = View::new(x, dims, Layout::TimeMajor).unwrap();
        let mut steps = vec![vec![]; time];
        for (d, weights) in weights.directions().iter().enumerate() {
            let (mut h, mut c) = (vec![0f64; hidden], vec![0f64; hidden]);
            let reverse = d == 1 || direction == Direction::Reverse;
            let y = reference::forward::<f32, f64>(weights, x, None, reverse, &mut h, &mut c).unwrap();
            steps.iter_mut().zip(y.chunks(hidden)).for_each(|(step, h)| step.extend(h));
        }
        steps
    }
}

fn linear(weights: &[f32], bias: &[f32], h: &[f64]) -> Vec<f64> {
    let row = |(row, &b): (&[f32], &f32)| {
        row.iter().zip(h).fold(f64::from(b), |sum, (&w, h)| sum + f64::from(w) * h)
    };
    weights.chunks(h.len()).zip(bias).map(row).collect()
}

/// Numbers in ±0.5 `scale`, as the examples draw them.
fn draw(rng: &mut fastrand::Rng, len: usize, scale: f32) -> Vec<f32> {
    (0..len).map(|_| scale * rng.f32() - scale / 2.0).collect()
}

#[test]
fn every_example_names_its_command_and_is_run_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.filter_map(|f| Some(f.strip_suffix(".rs")?.to_string())).collect();
    names.sort();
    assert_eq!(names, ["bidirectional_tagger", "forecast", "quickstart", "streaming_vad", "tract_drop_in"]);
    for name in names {
        let features =
            if matches!(&*name, "streaming_vad" | "tract_drop_in") { "--features tract " } else { "" };
        let command = format!("//! cargo run --release {features}--example {name}\n");
        let text = std::fs::read_to_string(source(&name)).unwrap();
        assert!(text.contains(&command), "{name} does not name {command:?}");
    }
}

#[test]
fn quickstart_prints_what_the_reference_computes() {
    for (args, seed) in [(&[][..], 1), (&["7"], 7)] {
        let text = run("quickstart", args);
        let mut rng = fastrand::Rng::with_seed(seed);
        let shape = Shape { input: 10, hidden: 20, direction: Direction::Forward };
        let lstm = Lstm::random(shape, |len| draw(&mut rng, len, 1.0));
        let (weights, bias) = (draw(&mut rng, 5 * 20, 1.0), draw(&mut rng, 5, 1.0));
        let steps = lstm.run(&draw(&mut rng, 10 * 10, 1.0));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3 * steps.len());
        for (t, (lines, h)) in lines.chunks(3).zip(&steps).enumerate() {
            assert_eq!(lines[0], format!("step {t}"));
            assert_printed(lines[1], "output", &linear(&weights, &bias, h));
            assert_printed(lines[2], "hidden", h);
        }
    }
    assert!(failure("quickstart", &["--help"]).contains("usage: quickstart [SEED]"));
}

/// Reads `steps` and goes on with its own outputs: the forecast, `[HORIZON, outputs]`.
fn forecast(lstm: &Lstm, head: &[f32], mut x: Vec<f32>) -> Vec<Vec<f64>> {
    let outputs = head.len() / lstm.shape.hidden;
    let mut forecast = Vec::new();
    for _ in 0..4 {
        let h = lstm.run(&x).pop().unwrap();
        let values = linear(head, &vec![0.0; outputs], &h);
        x.extend(values.iter().flat_map(|&v| [v as f32, 0.0]));
        forecast.push(values);
    }
    forecast
}

#[test]
fn forecasts_are_those_of_series_on_their_own_and_of_series_together() {
    let text = run("forecast", &[]);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut model = |series: usize| {
        let shape = Shape { input: 2 * series, hidden: 16, direction: Direction::Forward };
        let lstm = Lstm::random(shape, |len| draw(&mut rng, len, 1.0));
        (lstm, draw(&mut rng, series * 16, 1.0))
    };
    let ((shared, shared_head), (joint, joint_head)) = (model(1), model(3));
    let value = |s: usize, t: usize| [(t as f32 / (2 + s) as f32).sin(), 0.0];
    let lines: Vec<&str> = text.lines().collect();
    let column = |forecast: &[Vec<f64>], s: usize| forecast.iter().map(|step| step[s]).collect::<Vec<f64>>();
    assert_eq!((lines[0], lines[4]), ("batch rows", "channels"));
    let together =
        forecast(&joint, &joint_head, (0..24).flat_map(|t| (0..3).flat_map(move |s| value(s, t))).collect());
    for s in 0..3 {
        let alone = forecast(&shared, &shared_head, (0..24).flat_map(|t| value(s, t)).collect());
        assert_printed(lines[1 + s], &format!("series {s}:"), &column(&alone, 0));
        assert_printed(lines[5 + s], &format!("series {s}:"), &column(&together, s));
    }
    let claims = [
        "rows: series 1 alone gives the bits that it gives in the batch: yes",
        "rows: a change of series 0 moves its own forecast: yes",
        "rows: it leaves the others' bits as they were: yes",
        "channels: it moves the forecast of every series: yes",
        "rows: a missing value is not a zero: yes",
        "rows: what stands in its place changes no bit: yes",
        "channels: a missing value is not a zero: yes",
        "channels: what stands in its place changes no bit: yes",
    ];
    assert_eq!(lines[8..], claims);
    assert!(failure("forecast", &["x"]).contains("usage: forecast"));
}

#[test]
fn the_tagger_tags_every_sentence_as_if_it_were_alone() {
    let text = run("bidirectional_tagger", &[]);
    let mut rng = fastrand::Rng::with_seed(3);
    let shape = |input| Shape { input, hidden: 12, direction: Direction::Bidirectional };
    let layers = [8, 24].map(|input| Lstm::random(shape(input), |len| draw(&mut rng, len, 2.0)));
    let weights = draw(&mut rng, 4 * 24, 2.0);
    let tags = ["noun", "verb", "adjective", "other"];
    let mut used = [false; 4];
    let mut lines = text.lines();
    for (i, len) in [4, 7, 2].into_iter().enumerate() {
        assert_eq!(lines.next(), Some(&*format!("sentence {i} of {len} words")));
        let below = layers[0].run(&draw(&mut rng, len * 8, 2.0));
        let below: Vec<f32> = below.concat().iter().map(|&v| v as f32).collect();
        for (word, h) in layers[1].run(&below).iter().enumerate() {
            let scores = linear(&weights, &[0.0; 4], h);
            let best = (0..4).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
            used[best] = true;
            assert_printed(lines.next().unwrap(), &format!("word {word}: {}", tags[best]), &scores);
        }
    }
    assert_eq!(lines.next(), Some("every sentence alone, without padding, gives the same bits"));
    assert_eq!((lines.next(), used), (None, [true; 4]));
    assert!(failure("bidirectional_tagger", &["x"]).contains("usage: bidirectional_tagger"));
}

#[cfg(feature = "tract")]
mod with_tract {
    use super::{failure, run};
    use hound::{SampleFormat, WavSpec, WavWriter};
    use ndarray::{Array1, Array2};
    use std::path::{Path, PathBuf};

    const SPEC: WavSpec =
        WavSpec { channels: 1, sample_rate: 16_000, bits_per_sample: 16, sample_format: SampleFormat::Int };

    /// A file that is removed when it is no longer used.
    struct Temporary(PathBuf);

    impl Drop for Temporary {
        fn drop(&mut self) {
            // What is left behind by a failure to remove it is the system's to clear.
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

    /// The lines of the seconds, and what follows them.
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
        // The voice is 62 chunks.
        let speech: usize = rest[0]
            .strip_prefix("250 chunks of 32 ms, ")
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
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
            .join("tests/fixtures/silero_vad/silero_vad_16k_sequence.seq.npz");
        let mut npz = ndarray_npy::NpzReader::new(std::fs::File::open(path).unwrap()).unwrap();
        let windows: Array2<f32> = npz.by_name("in/0/input").unwrap();
        let expected: Array1<f32> = npz.by_name("out/0/speech_probs").unwrap();
        // A window is 64 samples of the one before and 512 new ones.
        let windows = windows.rows().into_iter();
        let samples: Vec<i16> = windows
            .flat_map(|w| w.iter().skip(64).map(|s| (s * 32_768.0) as i16).collect::<Vec<_>>())
            .collect();
        let file = wav("speech", SPEC, &samples);
        let text = run("streaming_vad", &[file.0.to_str().unwrap()]);
        let (seconds, rest) = seconds(&text);
        let mut highest = vec![0f32; (expected.len() - 1) * 512 / 16_000 + 1];
        expected
            .iter()
            .enumerate()
            .for_each(|(i, &p)| highest[i * 512 / 16_000] = highest[i * 512 / 16_000].max(p));
        super::within(&seconds, &highest, |_| 0.5e-4 + 5e-6).unwrap_or_else(|e| panic!("{e}: {seconds:?}"));
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
}
